"""Conditions that fail a release, such as `accuracy > base + 0.05`. They are parsed and never evaluated as code.

The grammar (whitespace is ignored, one condition per string)::

    condition := metric op limit
    op        := ">" | ">=" | "<" | "<="
    limit     := ["-"] number | base [("+" | "-") number]
    base      := "base" | "base.low" | "base.high"
    number    := digits ["." digits] ["%"]

A release fails if a condition is true. A condition that the design cannot decide is neither passed nor failed: it is
undecided, which counts as not passed unless that is allowed. `METRICS` lists the metrics. `base` is the figure of the
same name for the base release: its AUC in `auc.low > base`, the upper end of its interval in `auc.low > base.high`.
A percentage is a number divided by 100: `5 %` is 0.05.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.exit_codes import REFUSED, UNDECIDED
from imindex.retrieval.findings import TOGETHER, UNJUDGED, Finding
from imindex.retrieval.results import (
    AuditResult,
    Classification,
    CombinedResult,
    Comparison,
    Copies,
    Matching,
    NameTestCalls,
    Verdict,
    name_test_calls,
)

Figures = Mapping[str, float]
Outcome = Literal["passed", "failed", "undecided"]

SHARES = {
    "accuracy": "mean over artists of the share of imitations named as the artist",
    "auc": "mean over artists of the AUC",
}
BY_WORKS = "accuracy_by_works"
"""Mean over artists of the share of imitations that are nearest to the prototype of the artist's works, in audits."""
COUNTS = {
    "significant": "artists with a finding at the level",
    "imitated": f'artists found "{Finding.IMITATED}"',
    "named": "artists with a name effect whose specificity was not shown, or not testable",
    "nearer": f'artists found "{Finding.NEARER}"',
    "risen": "artists whose AUC has risen beyond that of placebo names, at the level after correction",
    "fallen": "artists whose AUC has fallen beyond that of placebo names, at the level after correction",
    "copies": "copies of works that a person has confirmed",
    "candidates": "candidates for copies of works that nobody has rejected, with the confirmed ones",
}
ENDS = (".low", ".high")
CHANGES = (".change", ".change.low", ".change.high", ".change.p")
BEYOND = ("auc.beyond", "auc.beyond.low", "auc.beyond.high", "auc.beyond.p")
"""Change of the mean AUC beyond that of placebo names, its interval and its p-value."""
METRICS = (
    *(name + end for name in SHARES for end in ("", *ENDS, *CHANGES)),
    *BEYOND,
    *COUNTS,
    *(BY_WORKS + end for end in ("", *ENDS)),
)
"""All metrics that a condition can use; `.low` and `.high` are the ends of the interval."""
BY_NAME = tuple(f"accuracy{end}" for end in ("", *ENDS, *CHANGES))
"""Metrics of the classification by name, which an encoder without a text side lacks."""
ONLY_NEW = ("risen", "fallen")
COVERAGE = 0.8
"""Smallest share of the artists that must have been judged, if the others could change the verdict."""
UNJUDGED_KEY, UNTESTABLE_KEY, OF_KEY = ".unjudged", ".untestable", ".of"
"""Suffixes of a count's key: artists not judged, artists whose specificity could not be tested, and all artists."""
PLACEBOS_NEEDED = (
    "it needs placebo names that both releases were asked for, their index, and a test of this direction; a mean "
    "needs two artists and two placebo names"
)
WHY_UNKNOWN = {
    **dict.fromkeys((*ONLY_NEW, *BEYOND, "auc.change.p"), PLACEBOS_NEEDED),
    "accuracy.change.p": "placebo names have no label of their own, so that the change of the accuracy has no test",
    "imitated": "it needs placebo names, and an artist that could be judged",
    "named": "it needs placebo names, and an artist that could be judged",
    "significant": "no artist could be judged",
    **dict.fromkeys(
        (BY_WORKS + end for end in ("", *ENDS)), "only an audit classifies by works, and it needs works"
    ),
}
"""Why a figure may be missing."""
FOUND = ("significant", "imitated", "named", "nearer")
"""Counts of findings, which need enough reference names to be found."""
FEWEST = "fewest findable"
"""Key in the figures of a release: the smallest number of artists that its tests can find, infinity for none."""
FEWEST_SHIFTS = "fewest shifts"
"""The same for the tests of changes between two releases."""
BY_NAME_TEST = ("significant", "imitated", "named")
"""Counts that rest on placebo names, where a release has such names."""
CALLS = {"too often": "name test calls too often", "too seldom": "name test calls too seldom"}
"""Keys in the figures of a release whose placebo names are not a fair reference (`NameTestCalls`)."""
ROUNDING = 1e-12
_CONDITION = re.compile(
    r"\s*(?P<metric>[a-z_.]+)\s*(?P<op>>=|<=|>|<)\s*"
    r"(?:(?P<base>base(?:\.low|\.high)?)(?:\s*(?P<sign>[+-])\s*(?P<offset>\d+(?:\.\d+)?)\s*(?P<offset_percent>%)?)?"
    r"|(?P<minus>-)?\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<number_percent>%)?)\s*",
    re.ASCII,
)
_OPERATORS = {
    ">": lambda value, limit, room: value > limit + room,
    ">=": lambda value, limit, room: value >= limit - room,
    "<": lambda value, limit, room: value < limit - room,
    "<=": lambda value, limit, room: value <= limit + room,
}


@dataclass(frozen=True)
class Condition:
    """A condition that fails a release.

    Attributes
    ----------
    text : str
        The condition as written.
    metric : str
        One of `METRICS`.
    op : str
    base : str
        Figure of the base release that the limit starts from; empty for a plain number.
    offset : float
        The number, or the offset added to the base's figure.
    """

    text: str
    metric: str
    op: str
    base: str
    offset: float


def parse(text: str) -> Condition:
    """Parse a condition.

    Raises
    ------
    ImindexError
        If the text does not follow the grammar, the metric is unknown, or the comparison is meaningless.

    Examples
    --------
    >>> parse("accuracy > base + 5 %")
    Condition(text='accuracy > base + 5 %', metric='accuracy', op='>', base='accuracy', offset=0.05)
    >>> parse("auc.low > base.high").base
    'auc.high'
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ImindexError(
            f'"{text}" is not a condition. Write METRIC > LIMIT, such as "auc.beyond.low > 0", "risen > 0" or '
            '"accuracy > base + 0.05"; the operators are > >= < <=.'
        )
    metric, base = match["metric"], match["base"] or ""
    if metric not in METRICS:
        raise ImindexError(f'"{text}": there is no metric {metric}. Choose one of {", ".join(METRICS)}.')
    if match["offset_percent"] or match["number_percent"]:
        if metric in COUNTS:
            raise ImindexError(f'"{text}": {metric} is a number of artists or pictures. Drop the %.')
        scale = 100.0
    else:
        scale = 1.0
    offset = float(match["offset"] or match["number"] or 0) / scale
    if match["sign"] == "-" or match["minus"]:
        offset = -offset
    return Condition(text, metric, match["op"], _of_base(text, metric, base), offset)


def _of_base(text: str, metric: str, base: str) -> str:
    """Return the figure of the base release that `base`, `base.low` or `base.high` refers to."""
    if not base:
        return ""
    stem, _, end = base.partition(".")
    if ".change" in metric or ".beyond" in metric or metric in ONLY_NEW:
        raise ImindexError(f'"{text}": {metric} already compares with base. Use a number as the limit.')
    if metric in COUNTS and end:
        raise ImindexError(f'"{text}": {metric} has no interval. Write {stem} without .{end}.')
    name = metric.partition(".")[0]
    return f"{name}.{end}" if end else name


def check(
    condition: Condition,
    base: Figures | None,
    new: Figures,
    *,
    release: str = "",
    encoder: str = "",
    why: str = "",
) -> Verdict:
    """Evaluate a condition on the figures.

    Parameters
    ----------
    condition : Condition
    base : mapping of str to float, or None
        Figures of the base release by metric; None without a base.
    new : mapping of str to float
        Figures of the new release by metric. `NAME.all`, if present, is the count over all its artists and is used
        for NAME if the limit is a number; comparisons with base count only the artists of both releases.
    release, encoder : str
        Release and encoder of the figures, recorded in the verdict.
    why : str
        Why the figure may be missing, if it is not as in `WHY_UNKNOWN`.

    Returns
    -------
    Verdict
        Failed if the condition is true. Undecided if a figure is missing or NaN; if a count is smaller than any that
        the design can find; if findings may not be claimed, or not be missed, because the placebo names are not a fair
        reference; or if artists that were not judged, or whose specificity could not be tested, could change the
        verdict. Artists that were not judged count in this only if they are more than 1 - `COVERAGE` of all.

    Examples
    --------
    >>> print(check(parse("accuracy > base + 0.05"), {"accuracy": 0.70}, {"accuracy": 0.81}).reason)
    accuracy 0.81 > base 0.70 + 0.05 = 0.75: fails.
    >>> print(check(parse("copies > 0"), None, {}).reason)
    copies is not known: undecided.
    """
    names = [condition.metric] if condition.base else [f"{condition.metric}.all", condition.metric]
    key = next((name for name in names if name in new), condition.metric)
    value = float(new.get(key, math.nan))
    start = 0.0 if not condition.base else float((base or {}).get(condition.base, math.nan))
    limit = start + condition.offset
    missing = [condition.metric] if math.isnan(value) else []
    missing += [f"base's {condition.base}"] if math.isnan(start) else []
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        why = why or WHY_UNKNOWN.get(condition.metric, "")
        reason = f"{' and '.join(missing)} {verb} not known{f' ({why})' if why else ''}: undecided."
        outcome: Outcome = "undecided"
    else:
        fired = _fires(condition, value, limit)
        outcome = "failed" if fired else "passed"
        reason = _reason(condition, value, start, limit, fired)
        open_question = _open(condition, key, value, limit, base or {}, new)
        if open_question:
            outcome = "undecided"
            reason = f"{reason.rpartition(': ')[0]}, but {open_question}: undecided."
    return Verdict(
        condition=condition.text,
        value=value,
        limit=limit,
        failed=None if outcome == "undecided" else outcome == "failed",
        reason=reason,
        release=release,
        encoder=encoder,
        outcome=outcome,
    )


def _fires(condition: Condition, value: float, limit: float) -> bool:
    return bool(_OPERATORS[condition.op](value, limit, ROUNDING * max(1.0, abs(value), abs(limit))))


def _open(condition: Condition, key: str, value: float, limit: float, base: Figures, new: Figures) -> str:
    """Return what the design lacks to decide a condition; empty if it can decide it."""
    if condition.metric not in (*FOUND, *ONLY_NEW):
        return ""
    fewest = FEWEST_SHIFTS if condition.metric in ONLY_NEW else FEWEST
    counts, what = _possible(key, value, new, fewest, "")
    base_counts, base_what = (
        _possible(condition.base, limit - condition.offset, base, fewest, "in the base release, ")
        if condition.base
        else ((limit - condition.offset,), [])
    )
    possible = {_fires(condition, a, b + condition.offset) for a in counts for b in base_counts}
    return " and ".join([*what, *base_what]) if len(possible) > 1 else ""


def _possible(
    key: str, value: float, figures: Figures, fewest_key: str, where: str
) -> tuple[tuple[float, ...], list[str]]:
    """Return the count, the smallest and largest that it could be if the design could tell, and why it cannot."""
    what, total = [], figures.get(key + OF_KEY, 0.0)
    more = untestable = figures.get(key + UNTESTABLE_KEY, 0.0)
    fewest = float(figures.get(fewest_key, 0.0))
    if value < fewest - 1:  # that many may be there and cannot be found
        hidden = fewest - 1 - value if math.isfinite(fewest) or not total else total - value
        more = max(more, hidden)
        reach = "nobody" if math.isinf(fewest) else f"no fewer than {fewest:.0f} artists"
        what.append(f"{where}with so few reference names, this design can find {reach}")
    if untestable:
        what.append(
            f"{where}specificity could not be tested for {untestable:.0f} of {total:.0f} artists: there are too few "
            "other real names"
        )
    unjudged = figures.get(key + UNJUDGED_KEY, 0.0)
    if total - unjudged < COVERAGE * total - ROUNDING:
        more = max(more, untestable + unjudged)
        what.append(f"{where}only {total - unjudged:.0f} of {total:.0f} artists were judged")
    least = value
    if key.partition(".")[0] in BY_NAME_TEST:
        unfair = f"{where}the placebo names are not a fair reference"
        if figures.get(CALLS["too often"]):
            least = 0.0
            what.append(f"{unfair}: it may not be claimed that a name has an effect")
        elif figures.get(CALLS["too seldom"]):
            more = max(more, total - value)
            what.append(f"{unfair}: nothing may be concluded about artists without a finding")
    return (least, value, value + more), what


def _reason(condition: Condition, value: float, start: float, limit: float, failed: bool) -> str:
    offset = abs(condition.offset)
    numbers = [value, start, offset, limit]
    digits = _digits(numbers, condition.metric in COUNTS)
    shown = [f"{number:.{digits}f}" for number in numbers]
    right = shown[3]
    if condition.base:
        name = condition.base if "." not in condition.base else f"base.{condition.base.partition('.')[2]}"
        right = f"{name if '.' in name else 'base'} {shown[1]}"
        right += f" {'-' if condition.offset < 0 else '+'} {shown[2]} = {shown[3]}" if offset else ""
    if failed:
        return f"{condition.metric} {shown[0]} {condition.op} {right}: fails."
    return f"{condition.metric} {shown[0]} is not {condition.op} {right}: passes."


def _digits(numbers: list[float], count: bool) -> int:
    """Return the number of decimals that shows these numbers exactly, or at least distinguishes value and limit."""
    for digits in (0,) * count + (2, 3, 4):
        if all(abs(round(number, digits) - number) < 1e-9 for number in numbers):
            return digits
    value, limit = numbers[0], numbers[3]
    distinct = (d for d in (4, 6, 9, 12) if f"{value:.{d}f}" != f"{limit:.{d}f}")
    return next(distinct, 4)


def comparison_figures(comparison: Comparison) -> tuple[dict[str, float], dict[str, float]]:
    """Return the figures of base and new by metric, from a comparison by `imindex.retrieval.compare.releases`.

    They do not include copies: add `copies` and `candidates` from the audit's results.
    """
    base: dict[str, float] = {}
    new: dict[str, float] = {}
    for name, figure in (("auc", comparison.figures.auc), ("accuracy", comparison.figures.accuracy)):
        base |= _with_ends(name, figure.base, figure.base_low, figure.base_high)
        new |= _with_ends(name, figure.new, figure.new_low, figure.new_high)
        new |= _with_ends(f"{name}.change", figure.change, figure.low, figure.high)
        new[f"{name}.change.p"] = _number(figure.p)
    auc, counts = comparison.figures.auc, comparison.counts
    new |= _with_ends("auc.beyond", auc.beyond, auc.beyond_low, auc.beyond_high)
    new["auc.beyond.p"] = _number(auc.p)
    for figures, findings, everybody in (
        (base, counts.findings.base, counts.all.base),
        (new, counts.findings.new, counts.all.new),
    ):
        with_placebos = everybody.n_placebos != 0
        figures |= _counted("", findings, with_placebos)
        figures |= _counted(".all", everybody.findings, with_placebos)
        if everybody.finds_nobody or everybody.fewest_findable is not None:
            figures[FEWEST] = float(everybody.fewest_findable or math.inf)
        figures |= _calls(everybody.name_test_calls)
    shifts = comparison.shifts
    # Artists whose pictures one release lacks could have changed as well.
    absent = sum(one.why.startswith(("no imitations in", "no figures in")) for one in comparison.left_out)
    of = float(comparison.n_artists + absent)
    for name, artists, cannot in (("risen", shifts.risen, "less"), ("fallen", shifts.fallen, "greater")):
        known = (
            shifts.n_tested and comparison.alternative != cannot
        )  # a one-sided test finds one direction only
        new[name] = float(len(artists)) if known else math.nan
        if known:
            new[name + UNJUDGED_KEY], new[name + OF_KEY] = of - shifts.n_tested, of
    if shifts.n_tested:
        new[FEWEST_SHIFTS] = math.inf if shifts.fewest_findable is None else float(shifts.fewest_findable)
    return base, new


def _with_ends(name: str, value: float | None, low: float | None, high: float | None) -> dict[str, float]:
    return {name: _number(value), f"{name}.low": _number(low), f"{name}.high": _number(high)}


def release_figures(
    matching: Matching,
    classification: Classification | None = None,
    copies: Copies | None = None,
    by_works: Classification | None = None,
) -> dict[str, float]:
    """Return the figures of one release by metric, for a gate without a base.

    Parameters
    ----------
    matching : Matching
    classification : Classification, optional
        Classification by name.
    copies : Copies, optional
    by_works : Classification, optional
        Classification by works.
    """
    if matching.evidence:
        overall = matching.evidence.overall
        figures = _with_ends("auc", overall.auc, overall.auc_low, overall.auc_high)
        figures |= _counted("", overall.findings, bool(matching.evidence.placebos))
        fewest = overall.fewest_findable
        figures[FEWEST] = math.inf if fewest is None else float(fewest)
        figures |= _calls(name_test_calls(matching.evidence.exchangeability, matching.evidence.level))
    else:
        figures = _with_ends("auc", matching.macro.auc, None, None)
    for name, found in (("accuracy", classification), (BY_WORKS, by_works)):
        if found is None:
            continue
        method = found.methods[0]
        macro = method.evidence.macro if method.evidence else None
        figures |= _with_ends(
            name,
            method.macro_top1,
            macro.top1_low if macro else None,
            macro.top1_high if macro else None,
        )
    return figures | copy_figures(copies)


def exit_code(verdicts: Sequence[Verdict], *, allow_undecided: bool = False) -> int:
    """Return the exit code of a command with these verdicts: 3 if one failed, 4 if one is undecided, otherwise 0.

    Parameters
    ----------
    verdicts : sequence of Verdict
    allow_undecided : bool
        Whether undecided counts as passed.

    Examples
    --------
    >>> exit_code([check(parse("auc > 0.5"), None, {"auc": 0.6}), check(parse("copies > 0"), None, {})])
    3
    >>> exit_code([check(parse("copies > 0"), None, {})])
    4
    """
    outcomes = {outcome(verdict) for verdict in verdicts}
    if "failed" in outcomes:
        return REFUSED
    return UNDECIDED if "undecided" in outcomes and not allow_undecided else 0


def outcome(verdict: Verdict) -> Outcome:
    """Return the outcome of a verdict, also of earlier versions, which counted undecided as failed."""
    return verdict.outcome or ("failed" if verdict.failed else "passed")


def copy_figures(copies: Copies | None) -> dict[str, float]:
    """Return the number of confirmed copies and of candidates, by metric; nothing where they are not known."""
    if copies is None:
        return {}
    return {"copies": float(copies.n_copies), "candidates": float(copies.n_candidates)}


def verdicts(
    conditions: Sequence[str],
    base: str | None,
    results: Sequence[AuditResult],
    comparisons: Sequence[Comparison],
    combined: Sequence[CombinedResult] = (),
) -> tuple[Verdict, ...]:
    """Evaluate every condition for each release of an audit except the base.

    With several encoders, counts of findings (`FOUND`) are those by all encoders together, with one verdict per
    release. All other conditions have a verdict for each encoder.

    Parameters
    ----------
    conditions : sequence of str
    base : str or None
        The release that the others are compared with; empty or None without one.
    results : sequence of AuditResult
        One per release and encoder.
    comparisons : sequence of Comparison
        Their encoders have the same names as in the results.
    combined : sequence of CombinedResult
        The findings by all encoders together, one per release; empty with one encoder.

    Returns
    -------
    tuple of Verdict
        Conditions that compare with base use the artists in both releases; the others use all artists of the release.
        Conditions on the accuracy by name have no verdict by encoders without a text side, and the reason of each
        verdict says so; if no encoder has a text side, they are undecided.

    Raises
    ------
    ImindexError
        If a condition cannot be parsed.
    """
    parsed = [parse(text) for text in conditions]
    compared = {(c.new.release, c.encoder): c for c in comparisons}
    copies = {(r.release, r.encoder): r.copies for r in results}
    together = [condition for condition in parsed if combined and condition.metric in FOUND]
    parsed = [condition for condition in parsed if condition not in together]
    outcomes = _combined_verdicts(together, base, results, comparisons, combined)
    by_works = {(r.release, r.encoder): r.by_works for r in results}
    with_names = [r.encoder for r in results if r.classification is not None]
    without = list(dict.fromkeys(r.encoder for r in results if r.classification is None))
    for result in results:
        release, encoder = result.release, result.encoder
        if base and release == base:
            continue
        alone = release_figures(result.matching, result.classification, result.copies, result.by_works)
        comparison = compared.get((release, encoder))
        old, new = comparison_figures(comparison) if comparison else ({}, {})
        for figures, name in ((old, base), (new, release)):
            figures |= copy_figures(copies.get((str(name), encoder)))
            found = by_works.get((str(name), encoder))
            if comparison and found:
                figures |= _works_figures(found, {row.artist for row in comparison.artists})
        for condition in parsed:
            named = condition.metric in BY_NAME
            if named and with_names and encoder in without:
                continue
            why = (
                f"{encoder} has no text side and names no artist; see {BY_WORKS}"
                if encoder in without
                else ""
            )
            figures = new if compares(condition) else alone
            verdict = check(
                condition, old, figures, release=release, encoder=encoder, why=why if named else ""
            )
            if named and with_names and without:
                lacking = f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no text side"
                verdict = replace(verdict, reason=f"{verdict.reason} Only by {encoder}: {lacking}.")
            outcomes.append(verdict)
    return tuple(outcomes)


def _combined_verdicts(
    conditions: Sequence[Condition],
    base: str | None,
    results: Sequence[AuditResult],
    comparisons: Sequence[Comparison],
    combined: Sequence[CombinedResult],
) -> list[Verdict]:
    """Evaluate conditions on the findings by all encoders together."""
    calls = {
        one.release: _together(
            [
                name_test_calls(result.matching.evidence.exchangeability, result.matching.evidence.level)
                for result in results
                if result.release == one.release and result.matching.evidence is not None
            ]
        )
        for one in combined
    }
    old_result = next((one for one in combined if base and one.release == base), None)
    outcomes = []
    for one in combined:
        if one is old_result:
            continue
        alone = _combined_figures(one, {row.artist for row in one.artists}, calls)
        compared = [{row.artist for row in c.artists} for c in comparisons if c.new.release == one.release]
        both = set.intersection(*compared) if compared else set()
        old = _combined_figures(old_result, both, calls) if old_result else {}
        new = _combined_figures(one, both, calls)
        outcomes += [
            check(
                condition,
                old,
                new if compares(condition) else alone,
                release=one.release,
                encoder=TOGETHER,
            )
            for condition in conditions
        ]
    return outcomes


def _combined_figures(
    result: CombinedResult, artists: Set[str], calls: Mapping[str, NameTestCalls]
) -> dict[str, float]:
    """Return the counts of findings by all encoders together, over some of the artists."""
    rows = [row.finding for row in result.artists if row.artist in artists]
    findings = {finding: rows.count(finding) for finding in Finding}
    figures = _counted("", findings, result.n_placebo_names > 0)
    figures[FEWEST] = math.inf if result.fewest_findable is None else float(result.fewest_findable)
    return figures | _calls(calls[result.release])


def _together(calls: Sequence[NameTestCalls]) -> NameTestCalls:
    """Return how the combined name test errs, if it errs as soon as that of one encoder does."""
    return "too often" if "too often" in calls else "too seldom" if "too seldom" in calls else ""


def _works_figures(found: Classification, artists: Collection[str]) -> dict[str, float]:
    """Return the accuracy by works of some artists; its interval only if they are all that were classified."""
    method = found.methods[0]
    chosen = [row.top1 for row in method.artists if row.artist in artists and row.top1 is not None]
    whole = len(chosen) == len(method.artists) and method.evidence is not None
    macro = method.evidence.macro if whole and method.evidence else None
    value = math.fsum(chosen) / len(chosen) if chosen else None
    return _with_ends(BY_WORKS, value, macro.top1_low if macro else None, macro.top1_high if macro else None)


def compares(condition: Condition) -> bool:
    """Return whether a condition compares with a base release."""
    metric = condition.metric
    return bool(condition.base) or ".change" in metric or ".beyond" in metric or metric in ONLY_NEW


def _counted(suffix: str, counted: Mapping[Finding, int], with_placebos: bool) -> dict[str, float]:
    """Return the counts of findings by metric with a suffix, and how many artists each could not count."""
    labels = {
        "significant": (
            Finding.IMITATED,
            Finding.NAME_EFFECT,
            Finding.SPECIFICITY_NOT_TESTABLE,
            Finding.NEARER,
        ),
        "imitated": (Finding.IMITATED,),
        "named": (Finding.NAME_EFFECT, Finding.SPECIFICITY_NOT_TESTABLE),
        "nearer": (Finding.NEARER,),
    }
    total = float(sum(counted.values()))
    unjudged = float(sum(counted.get(label, 0) for label in UNJUDGED))
    figures = {}
    for name, findings in labels.items():
        known = unjudged < total and (with_placebos or name in ("significant", "nearer"))
        key = name + suffix
        figures[key] = float(sum(counted.get(one, 0) for one in findings)) if known else math.nan
        figures[key + OF_KEY], figures[key + UNJUDGED_KEY] = total, unjudged
    figures[f"imitated{suffix}{UNTESTABLE_KEY}"] = float(counted.get(Finding.SPECIFICITY_NOT_TESTABLE, 0))
    return figures


def _calls(how: NameTestCalls) -> dict[str, float]:
    """Return the key of `CALLS` for a release whose placebo names are not a fair reference."""
    return {CALLS[how]: 1.0} if how else {}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
