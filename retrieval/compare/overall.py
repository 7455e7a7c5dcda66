"""Summarize the changes between two releases over all artists in both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from imindex.retrieval.compare.placebo_changes import PlaceboChanges
from imindex.retrieval.evidence.fair_reference import reference_warning
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.findings import SIGNIFICANT, Finding
from imindex.retrieval.results import (
    Alternative,
    ArtistChange,
    Comparison,
    Exchangeability,
    FigureChange,
    FigureChanges,
    FigureName,
    FindingChange,
    FindingCounts,
    LeftOut,
    MarginResult,
    Matching,
    ReleaseFindings,
    ReleaseSide,
    Shifts,
    SideCounts,
    SideFindings,
    SideReleaseFindings,
    name_test_calls,
)
from imindex.stats.changes import mean_interval, within_margin
from imindex.stats.intervals import Interval, finish
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust_all, called, fewest_findable
from imindex.stats.resampling import draw_weights
from imindex.stats.set_scores import Float64

FEW_ARTISTS = 10
DEFAULTS = Testing()
FIGURES: tuple[FigureName, FigureName] = ("auc", "accuracy")
Findings = Mapping[str, Finding]


@dataclass(frozen=True)
class Resolution:
    """What the tests of a release can find; None where it is not known.

    Attributes
    ----------
    n_placebos : int or None
    fewest : float or None
        The smallest number of artists that can be found; infinity if none can be.
    checks : tuple of Exchangeability
        Diagnostics of whether placebo names are a fair reference.
    level : float or None
        Level of the tests.
    """

    n_placebos: int | None = None
    fewest: float | None = None
    checks: tuple[Exchangeability, ...] = ()
    level: float | None = None


UNKNOWN = Resolution()


def resolution_of(matching: Matching) -> Resolution:
    """Return what the tests of a release can find."""
    if matching.evidence is None:
        return UNKNOWN
    evidence = matching.evidence
    fewest = evidence.overall.fewest_findable
    return Resolution(
        len(evidence.placebos),
        math.inf if fewest is None else float(fewest),
        evidence.exchangeability,
        evidence.level,
    )


def adjusted(rows: Sequence[ArtistChange]) -> tuple[ArtistChange, ...]:
    """Return the rows with `p_auc` and `p_accuracy` adjusted over all artists by every method."""
    auc, accuracy = (adjust_all(_column(row.figure(name).p for row in rows)) for name in FIGURES)
    return tuple(
        replace(
            row,
            p_auc_holm=auc.holm[i],
            p_auc_bh=auc.bh[i],
            p_auc_by=auc.by[i],
            p_accuracy_holm=accuracy.holm[i],
            p_accuracy_bh=accuracy.bh[i],
            p_accuracy_by=accuracy.by[i],
        )
        for i, row in enumerate(rows)
    )


def _column(values: Iterable[float | None]) -> Float64:
    """Return values as an array, with NaN for None."""
    return np.array(list(values), dtype=np.float64)


def figures(
    rows: Sequence[ArtistChange], testing: Testing, changes: PlaceboChanges | None = None
) -> FigureChanges:
    """Compute the means over artists for both releases and their paired change; the unit is the artist.

    Parameters
    ----------
    rows : sequence of ArtistChange
    testing : Testing
    changes : PlaceboChanges, optional
        The tests against placebo names.

    Returns
    -------
    FigureChanges
        Its figures are None if no artist has both.
    """
    by_name = sorted(rows, key=lambda row: row.artist)
    auc, accuracy = (_figure(by_name, name, testing) for name in FIGURES)
    overall = changes.overall if changes else None
    if overall is not None:
        auc = replace(
            auc,
            p=overall.pvalue,
            placebo_change=overall.placebo_change,
            beyond=overall.beyond,
            beyond_low=overall.interval.low,
            beyond_high=overall.interval.high,
            n_beyond=overall.n_artists,
            n_placebos=overall.n_placebos,
        )
    return FigureChanges(auc=auc, accuracy=accuracy)


def _figure(rows: Sequence[ArtistChange], name: FigureName, testing: Testing) -> FigureChange:
    both_releases = [row.figure(name) for row in rows]
    table = np.stack(
        [_column(figure.base for figure in both_releases), _column(figure.new for figure in both_releases)],
        axis=1,
    )
    both = table[np.isfinite(table).all(axis=1)]
    if not len(both):
        return FigureChange(
            base=None, base_low=None, base_high=None, new=None, new_low=None, new_high=None,
            change=None, low=None, high=None, p=None, n_artists=0,
        )  # fmt: skip
    differences = both[:, 1] - both[:, 0]
    interval = (
        mean_interval(differences, confidence_level=testing.confidence_level).interval
        if len(both) > 1
        else Interval(np.nan, np.nan)
    )
    before, after = (
        _over_artists(both[:, side], testing, generator(testing.seed, "mean of a release", name, release))
        for side, release in enumerate(("base", "new"))
    )
    return FigureChange(
        base=both[:, 0].mean(),
        base_low=before.low,
        base_high=before.high,
        new=both[:, 1].mean(),
        new_low=after.low,
        new_high=after.high,
        change=differences.mean(),
        low=interval.low,
        high=interval.high,
        p=None,
        n_artists=len(both),
    )


def _over_artists(values: Float64, testing: Testing, random: np.random.Generator) -> Interval:
    """Compute the bootstrap interval of the mean over artists."""
    n, mean = len(values), float(values.mean())
    drawn = draw_weights(n, testing.n_resamples, random) @ values / n
    without = (values.sum() - values) / (n - 1) if n > 1 else np.empty(0)
    return finish(mean, drawn, (without,), 0.5, testing.confidence_level, True).interval


def counts(
    rows: Sequence[ArtistChange],
    base: Findings,
    new: Findings,
    resolutions: tuple[Resolution, Resolution] = (UNKNOWN, UNKNOWN),
) -> FindingCounts:
    """Count the artists with each finding.

    Parameters
    ----------
    rows : sequence of ArtistChange
        Rows of the artists compared.
    base, new : mapping of str to Finding
        Finding of every artist of the release, including artists that are not compared.
    resolutions : pair of Resolution
        Of the base release and of the new one.

    Returns
    -------
    FindingCounts
    """
    compared = {row.artist for row in rows}
    before, after = [row.finding_base for row in rows], [row.finding_new for row in rows]
    return FindingCounts(
        significant=SideCounts(base=_significant(before), new=_significant(after)),
        findings=SideFindings(base=Counter(before), new=Counter(after)),
        changed=tuple(
            FindingChange(artist=row.artist, before=row.finding_base, to=row.finding_new)
            for row in rows
            if row.finding_base != row.finding_new
        ),
        not_compared=tuple(
            sorted(name for name, f in new.items() if f != Finding.NOT_TESTED and name not in compared)
        ),
        all=SideReleaseFindings(base=_all(base, resolutions[0]), new=_all(new, resolutions[1])),
    )


def _all(findings: Findings, resolution: Resolution) -> ReleaseFindings:
    values, fewest = list(findings.values()), resolution.fewest
    nobody = fewest is not None and math.isinf(fewest)
    return ReleaseFindings(
        n=len(values) - values.count(Finding.NOT_TESTED),
        significant=_significant(values),
        findings=Counter(values),
        n_placebos=resolution.n_placebos,
        fewest_findable=None if fewest is None or nobody else int(fewest),
        finds_nobody=nobody,
        name_test_calls=name_test_calls(resolution.checks, resolution.level),
    )


def _significant(findings: Sequence[Finding]) -> int:
    return sum(f in SIGNIFICANT for f in findings)


def shifts(rows: Sequence[ArtistChange], testing: Testing) -> Shifts:
    """Return the artists whose AUC has risen or fallen beyond the placebo names, at the level, after correction."""
    significant = called(_column(row.auc.p_adjusted(testing.adjust) for row in rows), level=testing.level)
    changes = [(row.artist, row.auc_beyond or 0.0) for row, s in zip(rows, significant, strict=True) if s]
    resolution = [1 / (1 + row.n_placebos) for row in rows if row.p_auc is not None]
    return Shifts(
        risen=tuple(name for name, change in changes if change > 0),
        fallen=tuple(name for name, change in changes if change < 0),
        n_tested=len(resolution),
        fewest_findable=fewest_findable(resolution, level=testing.level, method=testing.adjust),
    )


def margin_result(changes: PlaceboChanges | None, margin: float, level: float) -> MarginResult:
    """Test whether the mean change beyond placebo names is within a margin, in numbers and one sentence."""
    overall = changes.overall if changes else None
    result = within_margin(overall.at if overall else lambda _: Interval(np.nan, np.nan), margin)
    more, less = result.p_not_more, result.p_not_less
    if np.isnan(result.p_equivalent):
        sentence = f"Whether the change is within {margin:g} cannot be tested without placebo names of both releases."
    else:
        shown = [f"{p:.2g}" for p in (more, less)]
        rise, fall = (
            f"a {word} of more than {margin:g} {'is' if p <= level else 'cannot be'} excluded (p {text})"
            for word, p, text in zip(("rise", "fall"), (more, less), shown, strict=True)
        )
        sentence = f"Of the mean AUC beyond placebo names, {rise}; {fall}."
    return MarginResult(
        margin=margin,
        p_not_more=more,
        p_not_less=less,
        p_equivalent=result.p_equivalent,
        sentence=sentence,
    )


def finding(findings: Findings, artist: str) -> Finding:
    """Return an artist's finding; `not tested` if there is none."""
    return findings.get(artist, Finding.NOT_TESTED)


def conclude(  # noqa: PLR0913
    rows: Sequence[ArtistChange],
    findings: tuple[Findings, Findings],
    *,
    base: ReleaseSide,
    new: ReleaseSide,
    encoder: str,
    left_out: Sequence[LeftOut],
    testing: Testing,
    alternative: Alternative,
    notes: Sequence[str],
    changes: PlaceboChanges | None = None,
    margin: float | None = None,
    resolutions: tuple[Resolution, Resolution] = (UNKNOWN, UNKNOWN),
) -> Comparison:
    """Build a comparison from the rows of its artists.

    Parameters
    ----------
    rows : sequence of ArtistChange
        Rows of the artists compared, without adjusted p-values.
    findings : pair of mapping of str to Finding
        Findings of all artists of the base release and of the new one.
    base, new : ReleaseSide
    encoder : str
    left_out : sequence of LeftOut
    testing : Testing
    alternative : {"two-sided", "less", "greater"}
    notes : sequence of str
        Notes on the basis of the figures are appended.
    changes : PlaceboChanges, optional
        The tests against placebo names.
    margin : float, optional
        Largest irrelevant change of the mean AUC.
    resolutions : pair of Resolution
        What the tests of the base release and of the new one can find.

    Returns
    -------
    Comparison
    """
    adjusted_rows = adjusted(rows)
    overall, counted = figures(adjusted_rows, testing, changes), counts(adjusted_rows, *findings, resolutions)
    shifted = shifts(adjusted_rows, testing)
    return Comparison(
        base=base,
        new=new,
        encoder=encoder,
        left_out=tuple(left_out),
        n_artists=len(adjusted_rows),
        figures=overall,
        counts=counted,
        shifts=shifted,
        artists=adjusted_rows,
        testing=testing.record(),
        alternative=alternative,
        notes=(
            *_reference_notes((base.release, new.release), resolutions),
            *notes,
            *_common_notes(overall, shifted, counted.not_compared),
        ),
        placebos=changes.placebos if changes else (),
        margin=None if margin is None else margin_result(changes, margin, testing.level),
    )


def _reference_notes(names: tuple[str, str], resolutions: tuple[Resolution, Resolution]) -> list[str]:
    """State for each release what may not be claimed of its findings, if the check of its placebo names failed."""
    pairs = zip(names, resolutions, strict=True)
    warnings = [(name, reference_warning(one.checks, one.level)) for name, one in pairs]
    return [f"{name}: {warning}" for name, warning in warnings if warning]


def _common_notes(overall: FigureChanges, shifted: Shifts, not_compared: Sequence[str]) -> list[str]:
    """Return sentences on the basis of the overall figures."""
    n = overall.auc.n_artists
    notes = [
        "Over artists the unit is the artist: intervals are for artists such as these, asked in the same way."
    ]
    if overall.auc.p is not None:
        notes.append(
            "p over artists assigns the placebo names and the artists' names at random to the artists; it is that of "
            "the change beyond placebo names."
        )
    if overall.accuracy.n_artists:
        notes.append(
            "The change of the accuracy has no p: placebo names have no label, so that nothing shows how much of it is "
            "drift between the releases."
        )
    if shifted.n_tested and shifted.fewest_findable != 1:
        fewest = shifted.fewest_findable
        reach = "no artist" if fewest is None else f"no fewer than {fewest} artists"
        notes.append(
            f"With {overall.auc.n_placebos} placebo names for {shifted.n_tested} artists, this design can find {reach} "
            "whose AUC rose or fell. Ask both releases for more placebo names."
        )
    if n < FEW_ARTISTS:
        notes.append(f"With {n} artists the intervals over artists are too narrow.")
    if not_compared:
        notes.append(
            f"Tested in NEW and not compared: {', '.join(not_compared)}. A gate on a count against a number counts "
            "them, one against base does not."
        )
    return notes
