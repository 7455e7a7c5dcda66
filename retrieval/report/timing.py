"""What is known of the order of question and answer: whether the plan came before the pictures."""

from __future__ import annotations

from dataclasses import dataclass

from imindex.retrieval.report.text import listed
from imindex.retrieval.results import Report


@dataclass(frozen=True)
class Timing:
    """What the report says about the registration of its plan.

    Attributes
    ----------
    lead : str
        A warning in a few words; empty if there is none.
    text : str
    """

    lead: str
    text: str


def timing(report: Report) -> Timing:
    """State whether the question came before the answer, and for which releases that is not known."""
    plan = report.plan
    given = [release.name for release in report.releases if release.source == "pictures"]
    made = [release.name for release in report.releases if release.source == "generated"]
    if plan.registered_late:
        return Timing(
            "Pictures or results existed before the plan was registered.",
            "Nothing shows that the question came before the answer.",
        )
    not_known = (
        f"The pictures of {listed(given)} existed before: when they were made, and whether they were chosen by what "
        "they show, is not known."
        if given
        else ""
    )
    if plan.amendments:
        first = (
            f"another plan was registered (digest {plan.first_digest[:12]})"
            if plan.first_digest not in ("", plan.digest)
            else "this plan was registered, and the pictures have changed since"
        )
        n = len(plan.amendments)
        return Timing(
            f"The plan or the pictures were changed {'once' if n == 1 else f'{n} times'} after registration.",
            _joined(f"Before anything was generated or encoded here, {first}.", not_known),
        )
    if plan.tests_used != plan.tests_registered:
        came = f"The question came before the pictures of {listed(made)}; the tests did not." if made else ""
        return Timing("The plan was registered with another version of the tests.", _joined(came, not_known))
    if not made:
        return Timing("", _joined("The digest was stored before any picture was encoded here.", not_known))
    question = "the question came before the answer"
    return Timing(
        "",
        _joined(
            f"The digest was stored before any picture of {listed(made)} was generated: {question}."
            if given
            else f"The digest was stored before any picture was generated: {question}.",
            not_known,
        ),
    )


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
