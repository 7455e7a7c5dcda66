"""The sentences of a report that state its answer and findings, and the formatting of values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imindex.retrieval.evidence.fair_reference import reference_warning
from imindex.retrieval.findings import SIGNIFICANT, UNJUDGED, Finding
from imindex.retrieval.report.by_works import shown_by_works
from imindex.retrieval.report.together import also_alone, combined_of, leading
from imindex.retrieval.results import (
    Agreement,
    CombinedArtist,
    CombinedResult,
    Comparison,
    EncoderChoice,
    Report,
    ReportArtist,
    ReportResult,
    Summary,
    name_test_calls,
)

ADJUSTED = {"holm": "Holm", "bh": "Benjamini-Hochberg", "by": "Benjamini-Yekutieli"}
DASH = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MEANING = {
    Finding.IMITATED: "The artist's name moves the pictures towards this artist's works: further than invented names "
    "do, and further than other real names do. Both hold after correction for the number of artists.",
    Finding.NAME_EFFECT: "The artist's name moves the pictures towards this artist's works, further than invented "
    "names do. Whether it does so more than other real names do was tested and is not shown: the pictures may be "
    "those of a similar artist.",
    Finding.SPECIFICITY_NOT_TESTABLE: "The artist's name moves the pictures towards this artist's works, further than "
    "invented names do. Whether it does so more than other real names do could not be tested: there are too few other "
    "names.",
    Finding.NEARER: "The pictures are nearer to this artist's works than pictures made for other names. Without "
    "invented names as a reference, it is not known whether the name makes the difference.",
    Finding.BY_WORK: "The pictures are nearer than works drawn from all artists. This test calls too often, because "
    "works of the same artist are alike.",
    Finding.NOT_SHOWN: "The data do not show imitation. This is not a finding that there is none.",
    Finding.CANNOT_TELL: "This encoder does not tell the artist's works from those of others, so it can say nothing "
    "about imitations of this artist.",
    Finding.NOT_TESTED: "There are too few works or pictures, or no set of the same design (equally many pictures of "
    "each prompt) to compare them with.",
}
"""The meaning of each finding, as the report states it."""


def meaning(finding: Finding, *, together: bool = False) -> str:
    """Return the meaning of a finding; with several encoders in one test, for a reader of theirs."""
    if together and finding == Finding.CANNOT_TELL:
        return (
            "No encoder tells the artist's works from those of others, so nothing can be said about imitations of this "
            "artist. In the table of one encoder, it is this encoder that cannot."
        )
    return MEANING[finding]


def number(value: float | None, digits: int = 2) -> str:
    """Format a value; a dash if it is missing."""
    return DASH if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 0) -> str:
    """Format a fraction as a percentage. Only 0 and 1 are shown as 0 % and 100 %; other values never round to them."""
    if value is None:
        return DASH
    if value < 0:
        text = percent(-value, digits)
        return f"−{text}" if text[0] not in "<>" else f"{'>' if text[0] == '<' else '<'} −{text[2:]}"
    shown, least = 100 * value, 10.0**-digits
    if 0 < shown <= least / 2:
        return f"< {least:g} %"
    if 100 - least / 2 <= shown < 100:
        return f"> {100 - least:g} %"
    return f"{shown:.{digits}f} %"


def signed(value: float | None, digits: int = 3) -> str:
    """Format a change with its sign."""
    return DASH if value is None else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


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


@dataclass(frozen=True)
class Statement:
    """The answer for one release, in sentences.

    Attributes
    ----------
    warning : str
        What may and may not be claimed, if the check of the placebo names failed; otherwise empty.
    main : str
        The main finding.
    others : tuple of str
        The other findings, a sentence each.
    figures : str
        The figures over all artists; empty if there are none.
    basis : str
        Encoder, level and correction.
    """

    warning: str
    main: str
    others: tuple[str, ...]
    figures: str
    basis: str

    def __str__(self) -> str:
        return " ".join(
            part for part in (self.warning, self.main, *self.others, self.basis, self.figures) if part
        )


_PLANNED = {
    True: "By the tests as planned, and not to be claimed: ",
    False: "By the tests as planned: ",
}
NO_RESULT = Statement("", "There is no result of this release.", (), "", "")


def answer(
    release: str,
    results: Sequence[ReportResult],
    agreement: Agreement | None,
    combined: CombinedResult | None = None,
) -> str:
    """Return the answer of the audit for a release, as text.

    Parameters
    ----------
    release : str
    results : sequence of ReportResult
        The results of this release, one for each encoder.
    agreement : Agreement or None
        The agreement between encoders on this release.
    combined : CombinedResult or None
        The findings by all encoders together, on which the answer rests; None with one encoder.
    """
    return f"{release}: {statement(results, agreement, combined)}"


def statement(
    results: Sequence[ReportResult], agreement: Agreement | None, combined: CombinedResult | None = None
) -> Statement:
    """State the answer of the audit for a release; see `answer`."""
    result = leading(results, combined)
    summary = shown_by_works(result).summary
    if summary.level is None or summary.adjust is None:
        tested = "findings were not tested"
    else:
        tested = f"level {percent(summary.level)} after {ADJUSTED[summary.adjust]} correction"
    warning = not_a_fair_reference(result)
    by_works = result.by_works is not None
    main = _main(summary, by_works)
    how = f", {result.adjusted}" if result.adjusted else ""
    return Statement(
        warning=warning,
        main=f"{_PLANNED[too_often(result)]}{main[:1].lower()}{main[1:]}" if warning else main,
        others=(*_others(summary, together=combined is not None), *_alone(combined)),
        figures=_averages(summary, by_works, None if combined else agreement, results if combined else ()),
        basis=f"(Encoder {result.encoder}{how}; {tested}.)"
        if combined is None
        else f"(Encoders {listed(combined.encoders)} in one test{how}; {tested}.)",
    )


def _alone(combined: CombinedResult | None) -> Iterator[str]:
    """State which encoders show the effects alone."""
    if combined is None:
        return
    found = [row for row in combined.artists if row.finding in SIGNIFICANT]
    if not found:
        return
    alone = [
        f"by {encoder} alone for {sum(encoder in also_alone(row) for row in found)}"
        for encoder in combined.encoders
    ]
    yield (
        f"Each finding rests on {len(combined.encoders)} encoders in one test. Of the "
        f"{count(len(found), 'artist')} with a finding, the effect is also shown {listed(alone)}."
    )


def not_a_fair_reference(result: ReportResult) -> str:
    """State what may and may not be claimed if the check of the placebo names failed; empty if it did not."""
    return reference_warning(result.exchangeability, result.summary.level, p_value)


def too_often(result: ReportResult) -> bool:
    """Whether the check of the placebo names failed in such a way that the name test calls too often."""
    return name_test_calls(result.exchangeability, result.summary.level) == "too often"


def judged(summary: Summary) -> int:
    """Return the number of artists that could be judged."""
    return summary.n_artists - sum(summary.findings.get(finding, 0) for finding in UNJUDGED)


def _main(summary: Summary, by_works: bool) -> str:
    """State the strongest finding. It never says that none is found where none could be."""
    found, n = summary.findings, judged(summary)
    whom = count(summary.n_artists, "artist")
    imitated = found.get(Finding.IMITATED, 0)
    effect, open_ = found.get(Finding.NAME_EFFECT, 0), found.get(Finding.SPECIFICITY_NOT_TESTABLE, 0)
    nearer, by_work = found.get(Finding.NEARER, 0), found.get(Finding.BY_WORK, 0)
    if not summary.n_ranked and summary.n_classified:
        what = "nearest to the mean of that artist's works" if by_works else "assigned to the artist by name"
        return f"On average over {whom}, {percent(summary.accuracy, 1)} of the pictures made for an artist are {what}."
    if summary.level is None:
        return f"Nothing was tested for {whom}."
    if not n:
        return f"None of {whom} could be judged: the question stays open."
    if imitated:
        return f"Of {whom}, {imitated} {'is' if imitated == 1 else 'are'} found imitated."
    if effect or open_:
        return f"For {effect + open_} of {whom}, the name moves the pictures towards the artist's works."
    if nearer:
        return f"For {nearer} of {whom}, the pictures are nearer to the works than pictures for other artists are."
    if by_work:
        return f"For {by_work} of {whom}, the pictures are nearer than pooled works are."
    if summary.fewest_findable is None and summary.family:
        return f"This design could not have found any of {whom}, however strong the imitation: the question stays open."
    nobody = (
        f"None of {whom} is" if n == summary.n_artists else f"Of {whom}, {n} could be judged, and none is"
    )
    finding = "found imitated" if summary.n_placebo_names else "found nearer than other artists"
    if (summary.fewest_findable or 1) > 1:
        return (
            f"{nobody} {finding}, but this design could not have found fewer than {summary.fewest_findable}: if "
            "fewer are imitated, it misses them all."
        )
    return f"{nobody} {finding}."


def _others(summary: Summary, *, together: bool) -> Iterator[str]:
    found = summary.findings
    imitated = found.get(Finding.IMITATED, 0)
    if not summary.n_ranked and summary.n_classified:
        yield "How near the pictures are to the works was not measured."
    if summary.level is None:
        return

    def of(finding: Finding, more: bool = True) -> str:
        n = found.get(finding, 0)
        return "" if not n else f"For {n}{' more' if imitated and more else ''}"

    if text := of(Finding.NAME_EFFECT):
        effect = "the name has an effect, which" if imitated else "this effect"
        yield f"{text}, {effect} is not shown to be specific: the pictures may be those of a similar artist."
    if text := of(Finding.SPECIFICITY_NOT_TESTABLE):
        effect = "the name has an effect; whether it is" if imitated else "whether this effect is"
        yield f"{text}, {effect} specific to the artist could not be tested, because there are too few other names."
    if text := of(Finding.NOT_SHOWN, more=False):
        yield f"{text}, imitation is not shown. That is not a finding that there is none{_missed(summary, together)}."
    if n := found.get(Finding.CANNOT_TELL, 0):
        who = "no encoder tells" if together else "this encoder does not tell"
        yield f"{count(n, 'artist')} cannot be judged, because {who} their works from others."
    if n := found.get(Finding.NOT_TESTED, 0):
        yield f"{count(n, 'artist')} could not be tested."


def _missed(summary: Summary, together: bool) -> str:
    """State the smallest effect that could have been found, where it is known and the main sentence does not say it."""
    if summary.detectable_auc is not None:
        return f": {_detectable(summary.detectable_auc, together)}"
    nothing_found = not any(summary.findings.get(finding) for finding in SIGNIFICANT)
    if summary.n_placebo_names and summary.family and not nothing_found:
        if summary.fewest_findable is None:
            return ": this design could not find anybody"
        if summary.fewest_findable > 1:
            return f": this design cannot find fewer than {summary.fewest_findable} artists"
    return ""


def _detectable(auc: float, together: bool) -> str:
    by = " by every encoder that can judge the artist" if together else ""
    return (
        f"one more artist would be found with 80 % probability if the pictures were nearer in {percent(auc)} of "
        f"comparisons (AUC){by}, and less often if the imitation were weaker"
    )


def missed(summary: Summary, together: bool = False) -> str:
    """State beside "not shown" the smallest effect that could have been found, as the end of a sentence."""
    if summary.detectable_auc is not None:
        return f"is not a finding that there is none: {_detectable(summary.detectable_auc, together)}."
    if summary.fewest_findable is None:
        return "is not a finding that there is none: this design could not find anybody."
    if summary.fewest_findable > 1:
        fewest = summary.fewest_findable
        return f"is not a finding that there is none: this design cannot find fewer than {fewest} artists."
    return "is not a finding that there is none."


def _averages(
    summary: Summary,
    by_works: bool,
    agreement: Agreement | None,
    together: Sequence[ReportResult] = (),
) -> str:
    parts = []
    if summary.accuracy is not None:
        inside = [_interval(percent_span(summary.accuracy_low, summary.accuracy_high, 1), summary)]
        inside.append(_guessing(summary))
        by_mean = "nearest to the mean of that artist's works, by an encoder that reads no names"
        what = by_mean if by_works else "assigned to the artist by name"
        parts.append(
            f"{percent(summary.accuracy, 1)} of the pictures made for an artist are {what} "
            f"({'; '.join(text for text in inside if text)})"
        )
    if summary.auc is not None:
        inside = [
            _interval(span(summary.auc_low, summary.auc_high), summary),
            "0.50 if names made no difference",
        ]
        parts.append(
            "a picture made for the artist is nearer to the artist's works than one made for another name with "
            f"probability {number(summary.auc)} (AUC; {'; '.join(text for text in inside if text)})"
        )
    if not parts:
        return ""
    unjudged = summary.level is not None and judged(summary) < summary.n_artists
    whom = "all artists, also those who could not be judged" if unjudged else "all artists"
    rests = ""
    if summary.auc is not None:
        rests = " The probability is a mean over all artists, and no finding about one artist rests on it."
    if together:  # the findings are by all encoders together, the figures are not
        text = f"By {together[0].encoder}, on average over {whom}, {', and '.join(parts)}."
        each = [
            f"{number(one.summary.auc)} by {one.encoder}"
            for one in together[1:]
            if one.summary.auc is not None
        ]
        if each:
            text += f" This probability is {listed(each)}."
        return f"{text}{rests}{_other_side(together)}"
    text = f"On average over {whom}, {', and '.join(parts)}.{rests}"
    if agreement and agreement.n_judged:
        text += (
            f" The {len(agreement.encoders)} encoders agree on {agreement.n_agree} of the "
            f"{count(agreement.n_judged, 'artist')} that all of them can judge."
        )
    return text


def _other_side(results: Sequence[ReportResult]) -> str:
    """Say of encoders whose accuracy is of the other kind than that of the first where it stands."""
    by_works = results[0].by_works is not None
    others = [one.encoder for one in results[1:] if (one.by_works is not None) != by_works]
    if not others or (results[0].summary.accuracy is None and not by_works):
        return ""
    one = len(others) == 1
    where = "in its own section" if one else "in their own sections"
    if by_works:
        return f" For {listed(others)}, the accuracy by name is {where}."
    who = (
        f"Encoder {others[0]} reads no names: its"
        if one
        else f"Encoders {listed(others)} read no names: their"
    )
    return f" {who} accuracy by works is {where}."


def _guessing(summary: Summary) -> str:
    """State the accuracy of guessing, as a fraction too if every label is as likely."""
    chance, n = summary.accuracy_chance, summary.n_labels
    fraction = f"1/{n} or " if chance is not None and n and abs(chance * n - 1) < 1e-9 else ""
    return f"{fraction}{percent(chance, 1)} by guessing"


def rivals(rows: Sequence[ReportArtist], n_artists: int, n_further: int) -> str:
    """Say what the rival test compares with, in numbers.

    Parameters
    ----------
    rows : sequence of ReportArtist
    n_artists, n_further : int
        Number of tested artists, and of further real names that pictures were made for.
    """
    numbers = [row.n_rival_references for row in rows if row.n_rival_references]
    if not numbers:
        return "other real names"
    low, high, others = min(numbers), max(numbers), n_artists - 1
    if low == high == others + n_further:
        if not n_further:
            return count(low, "other tested artist")
        of_them = f"of them {count(others, 'tested artist')} and {count(n_further, 'further name')}"
        return f"{low:,} other real names ({of_them})"
    n = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    names = "other real name" if low == high == 1 else "other real names"
    if high > others + n_further:
        return f"{n} {names}"
    out_of = count(others, "other tested artist")
    further = f" and {count(n_further, 'further name')}" if n_further else ""
    return f"{n} {names} with pictures of the same design (out of {out_of}{further})"


def _interval(text: str, summary: Summary) -> str:
    level = summary.confidence_level
    return "" if text == DASH or level is None else f"{percent(level)} interval {text}"


def change(comparison: Comparison) -> str:
    """State the change between two releases over all artists, and how it compares with that of placebo names."""
    figure, base, new = comparison.figures.auc, comparison.base.release, comparison.new.release
    artists, level = count(comparison.n_artists, "artist"), percent(comparison.testing.confidence_level)

    def interval(low: float | None, high: float | None) -> str:
        return "" if low is None or high is None else f"{level} interval {signed(low)} to {signed(high)}"

    if figure.change is None:
        return f"{base} and {new} have no nearness (AUC) to compare for {artists}."
    inside = interval(figure.low, figure.high)
    text = (
        f"From {base} to {new}, the mean AUC of {artists} changes from {number(figure.base)} to {number(figure.new)} "
        f"({signed(figure.change)}{'; ' if inside else ''}{inside})."
    )
    if figure.beyond is None:
        return f"{text} Without invented names in both releases, it is not known whether imitation changed."
    parts = [interval(figure.beyond_low, figure.beyond_high), f"p = {p_value(figure.p)}"]
    return (
        f"{text} Beyond the change for {figure.n_placebos} invented names, that is {signed(figure.beyond)} "
        f"({'; '.join(part for part in parts if part)})."
    )


def chosen(choice: EncoderChoice, name: str) -> str:
    """Say how an encoder was chosen."""
    then = "An index held imitations then." if choice.imitations_present else "No index held imitations then."
    against = "" if choice.recommended else " The rule of the comparison recommended another encoder."
    differences = (
        "".join(f" {one}" for one in choice.differences) or " The audit has the same encoder and works."
    )
    compared = count(choice.n_encoders, "encoder")
    works = f"{count(choice.n_works, 'work')} of {count(choice.n_artists, 'artist')}"
    return (
        f"{name} was chosen on works alone, by {choice.protocol} of {choice.compared_on}, which compares {compared} "
        f"on {works}. {then}{against}{differences} SHA-256:"
    )


def report_wide(report: Report) -> str:
    """State how many findings stand when p is corrected over the whole report; empty with one result."""
    rows: list[ReportArtist | CombinedArtist] = [
        row for one in combined_of(report).values() for row in one.artists
    ]
    rows = rows or [row for result in report.results for row in result.artists]
    over = "every artist and release" if combined_of(report) else "every artist, release and encoder"
    family = [row for row in rows if row.p_adjusted_report is not None]
    if not family:
        return ""
    found = [row for row in family if row.finding in SIGNIFICANT]
    level = report.plan.tests.level
    corrected = f"Corrected over the whole report ({count(len(family), 'test')}: {over} that could be judged)"
    if not found:
        return f"{corrected}: there is no finding to correct."
    stand = sum((row.p_adjusted_report or 0.0) <= level * (1 + 1e-9) for row in found)
    test = "name" if any(result.summary.n_placebo_names for result in report.results) else "rival"
    return (
        f"{corrected}, the {test} test stays significant for {stand} of the {count(len(found), 'finding')} at level "
        f"{percent(level)}."
    )
