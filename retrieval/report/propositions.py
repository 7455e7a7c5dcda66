"""The propositions of both sides, and how each finding bears on them (ISO 21043-4 and -5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.text import number, percent
from imindex.retrieval.report.together import leading_results
from imindex.retrieval.results import Report, ReportResult

CLAIM = (
    "Asked for by name, the release makes pictures that are nearer to this artist’s works, because of this artist’s "
    "name."
)
ALTERNATIVE = (
    "The artist’s name makes no such difference: pictures asked for by an invented name, or by another artist’s name, "
    "come as near."
)

_BY_EVERY = " by every encoder that can judge the artist"
"""Several encoders give one finding, and the limits of the design are for an AUC that they share."""


@dataclass(frozen=True)
class Bearing:
    """How a finding bears on the propositions.

    Attributes
    ----------
    finding : Finding
    claim, alternative : str
        What each proposition predicts of this finding.
    bearing : str
    """

    finding: Finding
    claim: str
    alternative: str
    bearing: str


def bearings(report: Report) -> tuple[Bearing, ...]:
    """Return how each finding that occurs in the report bears on the propositions."""
    results = leading_results(report)
    occurring = {row.finding for result in results for row in result.artists}
    together = len(report.encoders) > 1
    effect, error = _effect(results, together), _error(report)
    texts = {
        Finding.IMITATED: (
            f"Expected{effect}.",
            f"Rare: {error}.",
            "Speaks for the first proposition. It is not the probability that this proposition is true, and does not "
            "say how the release came to it.",
        ),
        Finding.NAME_EFFECT: (
            f"Possible: the name has an effect{effect}, and other artists’ pictures come too near to separate.",
            f"Rare if the name makes no difference: {error}. Expected if the release draws a similar artist, a "
            f"school or a period.",
            "Speaks against a name without effect. It does not decide between this artist and a similar one.",
        ),
        Finding.SPECIFICITY_NOT_TESTABLE: (
            f"Expected{effect}.",
            f"Rare if the name makes no difference: {error}. Expected if other real names have the same effect, which "
            "could not be tested.",
            "Speaks against a name without effect. It does not decide between this artist and another.",
        ),
        Finding.NEARER: (
            "Expected if the imitation is strong.",
            "Rare if the artists’ names are interchangeable; it happens if the artist’s works are near to most "
            "pictures.",
            "Speaks for a difference between the artists’ pictures. Without invented names, it does not say that the "
            "name makes it.",
        ),
        Finding.BY_WORK: (
            "Expected.",
            "Frequent too: this test calls 16 to 32 % of artists when nobody is imitated.",
            "Hardly distinguishes the propositions.",
        ),
        Finding.NOT_SHOWN: (
            f"Expected if the imitation is weaker than this design can find{_limit(results, together)}.",
            "Expected nearly always.",
            "Expected under both unless the imitation claimed is strong. It is not a finding that there is none.",
        ),
        Finding.CANNOT_TELL: (
            "Predicts nothing here.",
            "Predicts nothing here.",
            f"None: {'no' if together else 'this'} encoder "
            f"{'tells' if together else 'does not tell'} the artist’s works from those of others.",
        ),
        Finding.NOT_TESTED: ("Predicts nothing here.", "Predicts nothing here.", "None: nothing was tested."),
    }
    return tuple(Bearing(finding, *texts[finding]) for finding in Finding if finding in occurring)


def _error(report: Report) -> str:
    level = percent(report.plan.tests.level)
    if report.plan.tests.adjust == "holm":
        return f"the probability that any artist of a release is called falsely is at most {level}"
    return f"of the artists of a release that are called, at most {level} are called falsely on average"


def _limits(results: Sequence[ReportResult]) -> list[float]:
    return sorted(
        {round(r.summary.detectable_auc, 2) for r in results if r.summary.detectable_auc is not None}
    )


def _effect(results: Sequence[ReportResult], together: bool) -> str:
    known = _limits(results)
    by = _BY_EVERY if together else ""
    return (
        f" if the AUC is {number(known[-1])} or more{by}" if known else " if the imitation is strong enough"
    )


def _limit(results: Sequence[ReportResult], together: bool) -> str:
    known = _limits(results)
    if not known:
        return ""
    values = number(known[0]) if len(known) == 1 else f"{number(known[0])} to {number(known[-1])}"
    return f" (AUC below about {values}{' by an encoder that can judge the artist' if together else ''})"
