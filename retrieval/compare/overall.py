"""Summarize the changes between two releases over all artists in both."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.findings import SIGNIFICANT, Finding
from imindex.retrieval.results import (
    Alternative,
    ArtistChange,
    Comparison,
    FigureChange,
    FigureChanges,
    FigureName,
    FindingChange,
    FindingCounts,
    LeftOut,
    ReleaseFindings,
    ReleaseSide,
    Shifts,
    SideCounts,
    SideFindings,
    SideReleaseFindings,
    WithinMargin,
)
from imindex.stats.changes import MeanChange, change_interval
from imindex.stats.intervals import Interval, Spread, finish
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust_all, called, fewest_findable
from imindex.stats.paired import paired_difference
from imindex.stats.resampling import draw_weights
from imindex.stats.set_scores import Float64

FEW_ARTISTS = 10
DEFAULTS = Testing()
FIGURES: tuple[FigureName, FigureName] = ("auc", "accuracy")
Findings = Mapping[str, Finding]


def adjusted(rows: Sequence[ArtistChange]) -> tuple[ArtistChange, ...]:
    """Return the rows with `p_auc` adjusted over all artists by every method."""
    auc = adjust_all(_column(row.p_auc for row in rows))
    return tuple(
        replace(
            row,
            p_auc_holm=auc.holm[i],
            p_auc_bh=auc.bh[i],
            p_auc_by=auc.by[i],
        )
        for i, row in enumerate(rows)
    )


def _column(values: Iterable[float | None]) -> Float64:
    """Return values as an array, with NaN for None."""
    return np.array(list(values), dtype=np.float64)


def fewest_found(rows: Sequence[ArtistChange], testing: Testing) -> int | None:
    """Return the smallest number of artists whose changes can be found together; None if nobody's can."""
    resolution = np.array([1 / (1 + row.n_placebos) for row in rows if row.p_auc is not None])
    if not len(resolution):
        return None
    return fewest_findable(resolution, level=testing.level, method=testing.adjust)


def figures(
    rows: Sequence[ArtistChange],
    testing: Testing,
    alternative: str,
    beyond: MeanChange | None = None,
    spreads: Mapping[FigureName, Spread] | None = None,
) -> FigureChanges:
    """Compute the means over artists for both releases and their paired change; the unit is the artist.

    Parameters
    ----------
    rows : sequence of ArtistChange
    testing : Testing
    alternative : {"two-sided", "less", "greater"}
        "greater": the new release has higher figures.
    beyond : MeanChange, optional
        Mean change of the AUC beyond placebo names.
    spreads : mapping of figure to Spread, optional
        Variance of each mean change, with the prompts that artists share; by default that over artists.

    Returns
    -------
    FigureChanges
        Its figures are None if no artist has both.
    """
    by_name = sorted(rows, key=lambda row: row.artist)
    known = spreads or {}
    auc, accuracy = (_figure(by_name, name, testing, alternative, known.get(name)) for name in FIGURES)
    if beyond is not None:
        auc = replace(
            auc,
            placebo_change=None if auc.change is None else auc.change - beyond.estimate,
            beyond=beyond.estimate,
            beyond_low=beyond.interval.low,
            beyond_high=beyond.interval.high,
            beyond_p=beyond.pvalue,
            n_placebos=beyond.n_placebos,
        )
    return FigureChanges(auc=auc, accuracy=accuracy)


def _figure(
    rows: Sequence[ArtistChange],
    name: FigureName,
    testing: Testing,
    alternative: str,
    spread: Spread | None,
) -> FigureChange:
    changes = [row.figure(name) for row in rows]
    table = np.stack(
        [_column(figure.base for figure in changes), _column(figure.new for figure in changes)], axis=1
    )
    both = table[np.isfinite(table).all(axis=1)]
    if not len(both):
        return FigureChange(
            base=None, base_low=None, base_high=None, new=None, new_low=None, new_high=None,
            change=None, low=None, high=None, n_artists=0,
        )  # fmt: skip
    difference = paired_difference(
        both[:, 0],
        both[:, 1],
        alternative=alternative,
        n_resamples=testing.n_resamples,
        confidence_level=testing.confidence_level,
        rng=generator(testing.seed, "mean change", name),
    )
    moved = both[:, 1] - both[:, 0]
    interval = change_interval(moved, spread or spread_of(moved), testing.confidence_level)
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
        change=difference.estimate,
        low=interval.low,
        high=interval.high,
        p_if_no_drift=difference.pvalue,
        n_artists=difference.n_artists,
    )


def _over_artists(values: Float64, testing: Testing, random: np.random.Generator) -> Interval:
    """Compute the bootstrap interval of the mean over artists."""
    n, mean = len(values), float(values.mean())
    drawn = draw_weights(n, testing.n_resamples, random) @ values / n
    without = (values.sum() - values) / (n - 1) if n > 1 else np.empty(0)
    return finish(mean, drawn, (without,), 0.5, testing.confidence_level, True).interval


def counts(rows: Sequence[ArtistChange], base: Findings, new: Findings) -> FindingCounts:
    """Count the artists with each finding.

    Parameters
    ----------
    rows : sequence of ArtistChange
        Rows of the artists compared.
    base, new : mapping of str to Finding
        Finding of every artist of the release, including artists that are not compared.

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
        all=SideReleaseFindings(base=_all(base), new=_all(new)),
    )


def _all(findings: Findings) -> ReleaseFindings:
    values = list(findings.values())
    return ReleaseFindings(
        n=len(values) - values.count(Finding.NOT_TESTED),
        significant=_significant(values),
        findings=Counter(values),
    )


def _significant(findings: Sequence[Finding]) -> int:
    return sum(f in SIGNIFICANT for f in findings)


def shifts(rows: Sequence[ArtistChange], testing: Testing) -> Shifts:
    """Return the artists whose AUC has risen or fallen significantly at the level, after correction.

    The direction is that of the change beyond placebo names.
    """
    significant = called(_column(row.p_adjusted(testing.adjust) for row in rows), level=testing.level)
    changes = [(row.artist, row.auc_beyond or 0.0) for row, s in zip(rows, significant, strict=True) if s]
    return Shifts(
        risen=tuple(name for name, change in changes if change > 0),
        fallen=tuple(name for name, change in changes if change < 0),
        fewest=fewest_found(rows, testing),
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
    beyond: MeanChange | None = None,
    spreads: Mapping[FigureName, Spread] | None = None,
    margin: float | None = None,
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
    beyond, spreads : optional
        As for `figures`.
    margin : float, optional
        Test whether the mean change beyond placebo names is within this margin.

    Returns
    -------
    Comparison
    """
    adjusted_rows = adjusted(rows)
    overall = figures(adjusted_rows, testing, alternative, beyond, spreads)
    counted = counts(adjusted_rows, *findings)
    return Comparison(
        base=base,
        new=new,
        encoder=encoder,
        left_out=tuple(left_out),
        n_artists=len(adjusted_rows),
        figures=overall,
        counts=counted,
        shifts=shifts(adjusted_rows, testing) if adjusted_rows else Shifts(risen=(), fallen=()),
        artists=adjusted_rows,
        testing=testing.record(),
        alternative=alternative,
        notes=(*notes, *_common_notes(overall.auc.n_artists, counted.not_compared)),
        within=None if margin is None else _within(beyond, margin, testing),
    )


def _within(beyond: MeanChange | None, margin: float, testing: Testing) -> WithinMargin:
    if beyond is None or math.isnan(beyond.standard_error):
        return WithinMargin(margin=margin, p_equivalent=None, p_no_more=None)
    test = beyond.within(margin, 1 - testing.level)
    return WithinMargin(margin=margin, p_equivalent=test.pvalue, p_no_more=test.pvalue_upper)


def spread_of(values: Float64) -> Spread:
    """Return the variance of the mean over artists of some values."""
    n = len(values)
    return Spread(float(values.var(ddof=1)) / n if n > 1 else math.nan, n - 1, n)


def _common_notes(n: int, not_compared: Sequence[str]) -> list[str]:
    """Return sentences on the basis of the overall figures."""
    notes = [
        "Over artists the unit is the artist: intervals are for artists such as these, prompted in the same way."
    ]
    if n < FEW_ARTISTS:
        notes.append(f"With {n} artists the intervals over artists are too narrow.")
    if not_compared:
        notes.append(
            f"Tested in NEW and not compared: {', '.join(not_compared)}. A gate on a count against a number counts "
            "them, one against base does not."
        )
    return notes
