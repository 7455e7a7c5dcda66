"""Compare the pictures of one name with those of reference names that were made by the same prompts.

The building block of the further questions of an audit. The unit of analysis is the set of pictures of a name: the
p-value compares sets, and intervals account for the choice of the reference names as well as for the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import Interval, Spread, satterthwaite, share_interval
from imindex.stats.set_scores import Float64, Int64

Alternative = Literal["greater", "less"]
TIE = 1e-9
"""Means that differ by at most this, or by this share of the own mean, are considered equal."""
FEWEST = 2
"""Pictures, and reference names, below which there is no interval."""


@dataclass(frozen=True, eq=False)
class NamedSet:
    """Result of `compare_names`.

    Attributes
    ----------
    own, reference : float
        Mean score of the own pictures, and mean over reference names of their mean scores.
    difference : float
        own - reference.
    interval : Interval
        Of the difference; NaN with fewer than 2 pictures or reference names.
    standard_error, df : float
        Of the difference.
    auc : float
        Probability that an own picture scores higher than a picture of a reference name; ties count half.
    auc_interval : Interval
        Within [0, 1]; NaN where `interval` is.
    pvalue : float
        (1 + reference names at least as far in the direction of the alternative) / (1 + reference names). NaN without
        references.
    n_pictures, n_references, n_left_out : int
        Pictures of the own name that were compared, reference names, and reference names that lack a picture of a cell.
    """

    own: float
    reference: float
    difference: float
    interval: Interval
    standard_error: float
    df: float
    auc: float
    auc_interval: Interval
    pvalue: float
    n_pictures: int
    n_references: int
    n_left_out: int

    @property
    def resolution(self) -> float:
        """Smallest possible p-value."""
        return 1 / (1 + self.n_references) if self.n_references else np.nan


def compare_names(
    own: npt.ArrayLike,
    references: npt.ArrayLike,
    *,
    alternative: Alternative = "greater",
    confidence_level: float = 0.95,
) -> NamedSet:
    """Compare the scores of a name's pictures with those of reference names, such as placebo names.

    Parameters
    ----------
    own : array_like, shape (C,)
        Score of the own picture of each cell: a template and a number, or a template and a seed. NaN if there is no
        such picture.
    references : array_like, shape (R, C)
        Scores of the reference names' pictures of the same cells, NaN where missing.
    alternative : {"greater", "less"}
        Whether the own pictures are expected to score higher or lower.
    confidence_level : float

    Returns
    -------
    NamedSet

    Raises
    ------
    ValueError
        Shapes disagree, or a value is infinite.

    Notes
    -----
    Cells that the own name lacks are not compared, and a reference name that lacks another cell is left out, so that
    all sets have the same prompts. If the name makes no difference to the model, the own set and the reference sets
    are then exchangeable, and P(p <= alpha) <= alpha for any score that does not depend on who has which name
    (Davison & Hinkley 1997, section 4.2). Ties count against the finding.

    The interval of the difference adds two variances: that of own - mean reference over cells, and that of the
    reference names' means over names, each divided by their number; Student's t with the degrees of freedom of
    Satterthwaite (1946). It is the interval of what this name adds to the mean of all such reference names. It takes
    cells as independent; pictures of equal seeds are compared within their cell.

    The variance of the AUC adds that over own pictures and that over reference names of the placement values (DeLong et
    al. 1988, doi:10.2307/2531595, with the name as the unit of the references), and the interval is
    `imindex.stats.intervals.share_interval`.

    Examples
    --------
    >>> result = compare_names([2.0, 3.0], [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    >>> result.pvalue, result.auc, round(result.difference, 3)
    (0.25, 1.0, 2.167)
    """
    mine, others = np.asarray(own, np.float64), np.asarray(references, np.float64)
    others = others.reshape(0, len(mine)) if others.size == 0 else others
    if mine.ndim != 1 or others.ndim != 2 or others.shape[1] != len(mine):
        raise ValueError(f"own, references: the shapes {mine.shape} and {others.shape} do not match.")
    if np.isinf(mine).any() or np.isinf(others).any():
        raise ValueError("own, references: a score is infinite.")
    if alternative not in ("greater", "less"):
        raise ValueError(f"alternative: expected greater or less, not {alternative!r}.")
    present = ~np.isnan(mine)
    mine, others = mine[present], others[:, present]
    whole = ~np.isnan(others).any(axis=1)
    n_left_out = int(np.count_nonzero(~whole))
    others = others[whole]
    n_cells, n_names = len(mine), len(others)
    if not n_cells or not n_names:
        undefined = Interval(np.nan, np.nan)
        own_mean = float(mine.mean()) if n_cells else np.nan
        return NamedSet(
            own_mean,
            np.nan,
            np.nan,
            undefined,
            np.nan,
            np.nan,
            np.nan,
            undefined,
            np.nan,
            n_cells,
            n_names,
            n_left_out,
        )
    means = others.mean(axis=1)
    own_mean, reference = float(mine.mean()), float(means.mean())
    error, df, interval = _difference(mine, others, confidence_level)
    auc, auc_interval = _auc(mine, others, confidence_level)
    return NamedSet(
        own=own_mean,
        reference=reference,
        difference=own_mean - reference,
        interval=interval,
        standard_error=error,
        df=df,
        auc=auc,
        auc_interval=auc_interval,
        pvalue=rank_pvalue(own_mean, means, alternative=alternative),
        n_pictures=n_cells,
        n_references=n_names,
        n_left_out=n_left_out,
    )


def rank_pvalue(own: float, references: npt.ArrayLike, *, alternative: Alternative = "greater") -> float:
    """Return the p-value of a value among reference values; NaN without references, or if `own` is NaN.

    Parameters
    ----------
    own : float
    references : array_like, shape (R,)
    alternative : {"greater", "less"}

    Examples
    --------
    >>> rank_pvalue(2.0, [1.0, 2.0, 0.5])
    0.5
    """
    values = np.asarray(references, np.float64)
    if not len(values) or np.isnan(own):
        return np.nan
    sign = 1.0 if alternative == "greater" else -1.0
    tolerance = TIE * max(1.0, abs(own))
    return float((1 + np.count_nonzero(sign * values >= sign * own - tolerance)) / (1 + len(values)))


def _difference(own: Float64, others: Float64, confidence_level: float) -> tuple[float, float, Interval]:
    n_cells, n_names = len(own), len(others)
    if n_cells < FEWEST or n_names < FEWEST:
        return np.nan, np.nan, Interval(np.nan, np.nan)
    each = own - others.mean(axis=0)
    parts = [float(each.var(ddof=1)) / n_cells, float(others.mean(axis=1).var(ddof=1)) / n_names]
    error = float(np.sqrt(sum(parts)))
    df = satterthwaite(parts, [n_cells - 1, n_names - 1])
    half = float(scipy.stats.t.ppf((1 + confidence_level) / 2, df)) * error
    middle = float(each.mean())
    return error, df, Interval(middle - half, middle + half)


def placements(own: Float64, others: Float64) -> Float64:
    """Return the share of pictures of each reference name below each own picture, shape (R, C); ties count half."""
    below: Float64 = np.empty((len(others), len(own)))
    for row, values in enumerate(np.sort(others, axis=1)):
        below[row] = (np.searchsorted(values, own, "left") + np.searchsorted(values, own, "right")) / (
            2 * len(values)
        )
    return below


def _auc(own: Float64, others: Float64, confidence_level: float) -> tuple[float, Interval]:
    below = placements(own, others)
    auc = float(below.mean())
    if min(below.shape) < FEWEST:
        return auc, Interval(np.nan, np.nan)
    return auc, share_interval(auc, _spread(below), confidence_level)


def _spread(below: Float64) -> Spread:
    """Return the variance of a mean of a table whose rows and columns are both sampled."""
    sizes = below.shape
    parts = [float(below.mean(axis=1 - axis).var(ddof=1)) / sizes[axis] for axis in (0, 1)]
    return Spread(sum(parts), satterthwaite(parts, [n - 1 for n in sizes]), min(sizes))


@dataclass(frozen=True, eq=False)
class Change:
    """Result of `change_of_auc`.

    Attributes
    ----------
    base, new, change : float
        AUCs, and new - base.
    standard_error, df : float
    interval : Interval
        Of the change; NaN with fewer than 2 pictures or reference names.
    """

    base: float
    new: float
    change: float
    standard_error: float
    df: float
    interval: Interval


def change_of_auc(
    base: tuple[npt.ArrayLike, npt.ArrayLike],
    new: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    confidence_level: float = 0.95,
) -> Change:
    """Estimate how the AUC of a name against reference names changes from one release to another.

    Parameters
    ----------
    base, new : pair of array_like
        Scores of the own pictures, shape (C,), and of the reference names', shape (R, C), by each release, without
        NaN. Both releases have the same cells and reference names in the same order.
    confidence_level : float

    Returns
    -------
    Change

    Notes
    -----
    The interval is put together from those of the two AUCs, `imindex.stats.intervals.share_interval`, as Zou & Donner
    (2008, doi:10.1002/sim.3095) do for differences of correlated estimates. Their correlation is that of the placement
    values, over cells and over names, so that equal seeds and equal names make the interval narrower. An interval of
    the differences alone would have no width where all placement values are 1 in both releases: few pictures seldom
    hold one that fails, and a loss of 0.1 would be "excluded" by 8 pictures in a quarter of all cases.

    Examples
    --------
    >>> change = change_of_auc(([2.0, 3.0], [[0.0, 1.0], [1.0, 0.0]]), ([0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]]))
    >>> change.base, change.new, change.change
    (1.0, 0.5, -0.5)
    """
    tables = []
    for own, references in (base, new):
        mine, others = np.asarray(own, np.float64), np.asarray(references, np.float64)
        if (
            others.ndim != 2
            or others.shape[1:] != mine.shape
            or not (np.isfinite(mine).all() and np.isfinite(others).all())
        ):
            raise ValueError("base, new: expected finite scores of shapes (C,) and (R, C).")
        tables.append(placements(mine, others))
    before, after = tables
    if before.shape != after.shape:
        raise ValueError(f"base, new: the shapes {before.shape} and {after.shape} differ.")
    means = [float(table.mean()) if table.size else np.nan for table in tables]
    estimate = means[1] - means[0]
    if min(before.shape) < FEWEST:
        return Change(means[0], means[1], estimate, np.nan, np.nan, Interval(np.nan, np.nan))
    spread = _spread(after - before)
    return Change(
        base=means[0],
        new=means[1],
        change=estimate,
        standard_error=float(np.sqrt(spread.variance)),
        df=spread.df,
        interval=_change_interval(before, after, confidence_level),
    )


def _change_interval(before: Float64, after: Float64, confidence_level: float) -> Interval:
    """Return the interval of the difference of the means of two tables of shares, whose cells and names are paired."""
    mean, mean_after = float(before.mean()), float(after.mean())
    one, two = _spread(before), _spread(after)
    shared = sum(
        float(np.cov(before.mean(axis=1 - axis), after.mean(axis=1 - axis))[0, 1]) / n
        for axis, n in enumerate(before.shape)
    )
    both = float(np.sqrt(one.variance * two.variance))
    alike = min(1.0, max(-1.0, shared / both)) if both > TIE * abs(shared) else 0.0
    # The names are the same in both, so pictures are the units of which few may hold none that fails.
    ends, ends_after = (
        share_interval(value, replace(spread, n_units=before.shape[1]), confidence_level)
        for value, spread in ((mean, one), (mean_after, two))
    )

    def reach(of_after: float, of_before: float) -> float:
        return float(np.sqrt(max(0.0, of_after**2 + of_before**2 - 2 * alike * of_after * of_before)))

    change = mean_after - mean
    return Interval(
        max(-1.0, change - reach(mean_after - ends_after.low, ends.high - mean)),
        min(1.0, change + reach(ends_after.high - mean_after, mean - ends.low)),
    )


def in_cells(
    cell: npt.ArrayLike, name: npt.ArrayLike, scores: npt.ArrayLike, n_names: int, n_cells: int
) -> Float64:
    """Arrange scores of pictures as a table of names x cells, NaN where there is no picture.

    Parameters
    ----------
    cell, name : array_like of int, shape (N,)
        Of each picture.
    scores : array_like, shape (N,)
    n_names, n_cells : int

    Returns
    -------
    ndarray, shape (n_names, n_cells), float64

    Raises
    ------
    ValueError
        If two pictures have the same name and cell.

    Examples
    --------
    >>> in_cells([0, 1, 0], [0, 0, 1], [0.1, 0.2, 0.3], 2, 2).tolist()
    [[0.1, 0.2], [0.3, nan]]
    """
    places: Int64 = np.asarray(name, np.int64) * n_cells + np.asarray(cell, np.int64)
    if len(np.unique(places)) < len(places):
        raise ValueError("cell, name: two pictures have the same name and cell.")
    table = np.full(n_names * n_cells, np.nan)
    table[places] = np.asarray(scores, np.float64)
    return table.reshape(n_names, n_cells)
