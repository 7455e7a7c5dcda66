"""The sentences of a report that state its answer and findings, and the formatting of values."""

from __future__ import annotations

from collections.abc import Sequence

from imindex.retrieval.findings import UNJUDGED, Finding
from imindex.retrieval.results import Agreement, ReportResult, Summary

ADJUSTED = {"holm": "Holm", "bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}
DASH = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MEANING = {
    Finding.IMITATED: "The artist's name moves the pictures towards this artist's works: nearer than invented names "
    "do, and nearer than other real names do. Both hold after correction for the number of artists.",
    Finding.NAME_EFFECT: "The artist's name moves the pictures towards this artist's works: nearer than invented names "
    "do. Whether other real names do the same was tested, and a difference was not shown: the pictures may be those of "
    "a similar artist.",
    Finding.SPECIFICITY_NOT_TESTABLE: "The artist's name moves the pictures towards this artist's works: nearer than "
    "invented names do. Whether other real names do the same could not be tested: there were too few other names.",
    Finding.NEARER: "The pictures are nearer to this artist's works than those for other names; without invented names "
    "as a reference it is not known whether the name itself makes the difference.",
    Finding.BY_WORK: "Nearer than works drawn from all artists: a test that calls too often, because works of one hand "
    "are alike.",
    Finding.NOT_SHOWN: "The data do not show imitation. That is not a finding that there is none.",
    Finding.CANNOT_TELL: "By this encoder, works of the artist cannot be told from works of others. So it can say "
    "nothing about imitations of this artist.",
    Finding.NOT_TESTED: "Too few works or imitations, or no set of the same design (as many pictures of each prompt) "
    "to compare them with.",
}
"""The meaning of each finding, as the report states it."""


def number(value: float | None, digits: int = 2) -> str:
    """Format a value; a dash if it is missing."""
    return DASH if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 0) -> str:
    """Format a fraction as a percentage. Only 0 and 1 are shown as 0 % and 100 %; other values never round to them."""
    if value is None:
        return DASH
    if value < 0:
        return f"−{percent(-value, digits)}"
    shown, least = 100 * value, 10.0**-digits
    if 0 < shown <= least / 2:
        return f"< {least:g} %"
    if 100 - least / 2 <= shown < 100:
        return f"> {100 - least:g} %"
    return f"{shown:.{digits}f} %"


def signed(value: float | None, digits: int = 3) -> str:
    """Format a change with its sign."""
    return DASH if value is None else f"{value:+.{digits}f}".replace("-", "−")


def points(value: float | None) -> str:
    """Format the change of a fraction in percentage points."""
    return DASH if value is None else f"{signed(100 * value, 1)} points"


def p_value(p: float | None) -> str:
    """Format a p-value with three decimals, or in scientific notation below 0.001; never as 0."""
    if p is None:
        return DASH
    if p < 1e-300:
        return "< 10⁻³⁰⁰"
    if p >= 0.001:
        return f"{p:.3f}"
    digits, _, power = f"{p:.1e}".partition("e")
    return f"{digits} × 10{str(int(power)).translate(_SUPERSCRIPT)}"


def span(low: float | None, high: float | None, digits: int = 2) -> str:
    """Format an interval."""
    return DASH if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"


def percent_span(low: float | None, high: float | None, digits: int = 0) -> str:
    """Format an interval of fractions as percentages."""
    if low is None or high is None:
        return DASH
    first, last = percent(low, digits), percent(high, digits)
    return f"{first.removesuffix(' %')} to {last}"


def count(n: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun, in the singular or the plural."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def listed(words: Sequence[str], most: int = 12, separator: str = ", ") -> str:
    """Join words for a sentence. If there are more than `most`, list the first and the number of others."""
    shown = list(words[:most])
    if len(words) > most:
        return f"{separator.join(shown)} and {len(words) - most} more"
    return " and ".join([separator.join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def answer(release: str, results: Sequence[ReportResult], agreement: Agreement | None) -> str:
    """Answer the question of the audit for a release in two sentences: the findings, and the average figures.

    Parameters
    ----------
    release : str
    results : sequence of ReportResult
        The results of this release, one for each encoder. The answer uses the first.
    agreement : Agreement or None
        The agreement between encoders on this release.
    """
    summary = results[0].summary
    if summary.level is None or summary.adjust is None:
        tested = "nothing was tested"
    else:
        tested = f"level {percent(summary.level)} after {ADJUSTED[summary.adjust]}"
    first = (
        f"{release}: of {count(summary.n_artists, 'artist')}, {_findings(summary)} "
        f"(encoder {results[0].encoder}, {tested})."
    )
    parts = []
    if summary.accuracy is not None:
        inside = [_interval(percent_span(summary.accuracy_low, summary.accuracy_high, 1), summary)]
        inside.append(f"guessing {percent(summary.accuracy_chance, 1)}")
        parts.append(
            f"{percent(summary.accuracy, 1)} of an artist's imitations are named as that artist "
            f"({'; '.join(text for text in inside if text)})"
        )
    if summary.auc is not None:
        inside = [_interval(span(summary.auc_low, summary.auc_high), summary), "0.50 without imitation"]
        parts.append(
            "an own imitation is nearer to a work than one made for another name with probability "
            f"{number(summary.auc)} ({'; '.join(text for text in inside if text)})"
        )
    unjudged = any(summary.findings.get(finding) for finding in UNJUDGED)
    whom = "all artists, those included who could not be judged" if unjudged else "artists"
    second = f"On average over {whom}, {', and '.join(parts)}" if parts else ""
    if agreement and agreement.n_judged and parts:
        second += (
            f"; the {len(agreement.encoders)} encoders agree on {agreement.n_agree} of the "
            f"{count(agreement.n_judged, 'artist')} that all of them can judge"
        )
    return f"{first} {second}." if second else first


def _interval(text: str, summary: Summary) -> str:
    level = summary.confidence_level
    return "" if text == DASH or level is None else f"{percent(level)} interval {text}"


def _findings(summary: Summary) -> str:
    found = summary.findings

    def said(label: Finding, one: str, many: str = "") -> str:
        n = found.get(label, 0)
        return "" if not n else (one if n == 1 else many or one).format(n=n)

    judged = sum(
        found.get(label, 0)
        for label in (
            Finding.IMITATED,
            Finding.NAME_EFFECT,
            Finding.SPECIFICITY_NOT_TESTABLE,
            Finding.NEARER,
            Finding.BY_WORK,
            Finding.NOT_SHOWN,
        )
    )
    named = not (found.get(Finding.NEARER) or found.get(Finding.BY_WORK))
    parts = [
        said(Finding.IMITATED, "{n} is found imitated", "{n} are found imitated")
        or (_none_found(summary) if judged and named else ""),
        said(Finding.NEARER, "for {n} the pictures are nearer than for other artists"),
        said(Finding.BY_WORK, "for {n} the pictures are nearer than to pooled works"),
        said(
            Finding.NAME_EFFECT,
            "for {n} the name has an effect that is not shown to be specific to the artist",
        ),
        said(
            Finding.SPECIFICITY_NOT_TESTABLE,
            "for {n} the name has an effect; whether it is specific to the artist could not be tested",
        ),
        said(Finding.NOT_SHOWN, "for {n} no imitation is shown"),
        said(Finding.CANNOT_TELL, "{n} cannot be judged by this encoder"),
        said(Finding.NOT_TESTED, "{n} could not be tested"),
    ]
    return listed([part for part in parts if part], separator="; ")


def _none_found(summary: Summary) -> str:
    """Say that no artist is found imitated, or that this design could not have found any."""
    found = summary.findings
    if found.get(Finding.SPECIFICITY_NOT_TESTABLE) or found.get(Finding.NAME_EFFECT):
        return ""  # the finding itself says what was not shown, or could not be
    if summary.n_placebo_names and summary.family:
        if summary.fewest_findable is None:
            return "this design could find nobody, however strong the imitation"
        if summary.fewest_findable > 1:
            return (
                "none is found imitated, and this design could not have found fewer than "
                f"{summary.fewest_findable}"
            )
    return "none is found imitated"
