"""Summarize the changes between two releases over all artists in both."""

from __future__ import annotations

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
)
from imindex.stats.intervals import Interval, finish
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust_all, called
from imindex.stats.paired import paired_difference
from imindex.stats.resampling import draw_weights
from imindex.stats.set_scores import Float64

FEW_ARTISTS = 10
DEFAULTS = Testing()
FIGURES: tuple[FigureName, FigureName] = ("auc", "accuracy")
Findings = Mapping[str, Finding]


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


def figures(rows: Sequence[ArtistChange], testing: Testing, alternative: str) -> FigureChanges:
    """Compute the means over artists for both releases and their paired change; the unit is the artist.

    Parameters
    ----------
    rows : sequence of ArtistChange
    testing : Testing
    alternative : {"two-sided", "less", "greater"}
        "greater": the new release has higher figures.

    Returns
    -------
    FigureChanges
        Its figures are None if no artist has both.
    """
    by_name = sorted(rows, key=lambda row: row.artist)
    auc, accuracy = (_figure(by_name, name, testing, alternative) for name in FIGURES)
    return FigureChanges(auc=auc, accuracy=accuracy)


def _figure(
    rows: Sequence[ArtistChange], name: FigureName, testing: Testing, alternative: str
) -> FigureChange:
    changes = [row.figure(name) for row in rows]
    table = np.stack(
        [_column(figure.base for figure in changes), _column(figure.new for figure in changes)], axis=1
    )
    both = table[np.isfinite(table).all(axis=1)]
    if not len(both):
        return FigureChange(
            base=None, base_low=None, base_high=None, new=None, new_low=None, new_high=None,
            change=None, low=None, high=None, p=None, n_artists=0,
        )  # fmt: skip
    difference = paired_difference(
        both[:, 0],
        both[:, 1],
        alternative=alternative,
        n_resamples=testing.n_resamples,
        confidence_level=testing.confidence_level,
        rng=generator(testing.seed, "mean change", name),
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
        change=difference.estimate,
        low=difference.interval.low,
        high=difference.interval.high,
        p=difference.pvalue,
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

    The direction is that of the score among the same other imitations, which the p-value tests.
    """
    significant = called(_column(row.auc.p_adjusted(testing.adjust) for row in rows), level=testing.level)
    changes = [
        (row.artist, row.auc_shared_change or 0.0) for row, s in zip(rows, significant, strict=True) if s
    ]
    return Shifts(
        risen=tuple(name for name, change in changes if change > 0),
        fallen=tuple(name for name, change in changes if change < 0),
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

    Returns
    -------
    Comparison
    """
    adjusted_rows = adjusted(rows)
    overall, counted = figures(adjusted_rows, testing, alternative), counts(adjusted_rows, *findings)
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
        notes=(*notes, *_common_notes(overall.auc.n_artists, counted.not_compared, testing)),
    )


def _common_notes(n: int, not_compared: Sequence[str], testing: Testing) -> list[str]:
    """Return sentences on the basis of the overall figures."""
    notes = [
        "Over artists the unit is the artist: intervals and p are for artists such as these, asked in the same way."
    ]
    if n < FEW_ARTISTS:
        notes.append(f"With {n} artists the intervals over artists are too narrow.")
    if n and 2.0 ** (1 - n) > testing.level:
        notes.append(f"With {n} artists no two-sided p over artists can be below {2.0 ** (1 - n):.3g}.")
    if not_compared:
        notes.append(
            f"Tested in NEW and not compared: {', '.join(not_compared)}. A gate on a count against a number counts "
            "them, one against base does not."
        )
    return notes
