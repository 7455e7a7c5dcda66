"""Intervals and paired differences of figures over artists, from the contribution of each artist.

A figure such as mean average precision depends on an artist twice: its works are queries, and they are in the gallery
of all others. A contribution holds both: it is the estimate plus the artist's first-order (or delete-one) influence.
Contributions have the estimate as their mean, and are treated as independent, one per artist or, if artists belong to
known groups (schools), one sum per group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.intervals import Interval, Spread, bca_interval, share_interval, tail_level
from imindex.stats.keyed import Rng
from imindex.stats.paired import PairedDifference, paired_difference
from imindex.stats.set_scores import Float64, Int64

_CACHE = 2**20


@dataclass(frozen=True, eq=False)
class Contributions:
    """A figure over artists.

    Attributes
    ----------
    estimate : float
    each : ndarray, shape (A,), float64
        Contribution of each artist; their mean is `estimate`.
    is_share : bool
        Whether the figure is between 0 and 1.
    """

    estimate: float
    each: Float64
    is_share: bool = True

    @classmethod
    def from_jackknife(
        cls, estimate: float, without: npt.ArrayLike, *, is_share: bool = True
    ) -> Contributions:
        """Return contributions from the estimate without each artist in turn.

        Examples
        --------
        >>> Contributions.from_jackknife(2.0, [2.5, 2.0, 1.5]).each.tolist()
        [1.0, 2.0, 3.0]
        """
        values = np.asarray(without, np.float64)
        return cls(estimate, estimate + (len(values) - 1) * (values.mean() - values), is_share)

    @classmethod
    def from_influence(
        cls, estimate: float, influence: npt.ArrayLike, *, is_share: bool = True
    ) -> Contributions:
        """Return contributions from first-order effects, which are centred."""
        values = np.asarray(influence, np.float64)
        return cls(estimate, estimate + values - values.mean(), is_share)


def by_group(each: Float64, group: Int64 | None) -> tuple[Float64, Float64]:
    """Return the sum of contributions of each group, and the number of its artists; without groups, of each artist."""
    if group is None:
        return each, np.ones(len(each))
    _, number = np.unique(group, return_inverse=True)
    sums: Float64 = np.bincount(number, weights=each).astype(np.float64)
    return sums, np.bincount(number).astype(np.float64)


def interval(
    figure: Contributions,
    *,
    group: Int64 | None = None,
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> Interval:
    """Compute the confidence interval of a figure.

    Parameters
    ----------
    figure : Contributions
    group : ndarray, shape (A,), int64, optional
        Group of each artist. Groups are then drawn, not artists.
    confidence_level : float
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    Interval
        NaN with fewer than 3 artists or groups, or if a contribution is not finite.

    Notes
    -----
    Of a share, `imindex.stats.intervals.share_interval` with the jackknife variance. Of another figure, the BCa
    interval of the linearised bootstrap: artists (or groups) are drawn with replacement, and the estimate moves with
    the mean of their contributions. Tails are widened for small samples (`imindex.stats.intervals.tail_level`).

    Examples
    --------
    >>> ends = interval(Contributions(0.5, np.array([0.4, 0.5, 0.6, 0.5])))
    >>> round(ends.low, 3), round(ends.high, 3)
    (0.364, 0.636)
    """
    sums, sizes = by_group(figure.each, group)
    n = len(sums)
    if n < 3 or not np.isfinite(sums).all():
        return Interval(np.nan, np.nan)
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    if figure.is_share:
        return share_interval(min(max(figure.estimate, 0.0), 1.0), Spread.of([without]), confidence_level)
    random = np.random.default_rng(rng)
    distribution = np.empty(n_resamples)
    step = max(1, _CACHE // n)
    for start in range(0, n_resamples, step):
        drawn = random.integers(0, n, (min(step, n_resamples - start), n))
        distribution[start : start + len(drawn)] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = tail_level(confidence_level, n, n_resamples)
    centre = float(sums.sum() / sizes.sum())
    found = bca_interval(centre, distribution, [without], tail)
    if not np.isfinite(found.low):
        low, high = np.quantile(distribution, [tail, 1 - tail])
        found = Interval(float(low), float(high))
    shift = figure.estimate - centre  # 0 but for rounding
    return Interval(found.low + shift, found.high + shift)


def difference(
    base: Contributions,
    new: Contributions,
    *,
    group: Int64 | None = None,
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> PairedDifference:
    """Estimate and test the difference of a figure between two encoders over the same artists.

    Parameters
    ----------
    base, new : Contributions
        Of the same artists in the same order.
    group, confidence_level, n_resamples, rng
        As in `interval`.

    Returns
    -------
    PairedDifference
        New minus base; BCa interval, and the two-sided p-value of the sign-flip test, over artists or groups.

    Notes
    -----
    Sign flips: under the null hypothesis the two encoders serve each artist (or group) equally well on average, so
    that both signs of its difference are equally likely, independently of the others.

    Examples
    --------
    >>> base, new = Contributions(0.5, np.array([0.4, 0.6, 0.5])), Contributions(0.6, np.array([0.5, 0.7, 0.6]))
    >>> result = difference(base, new)
    >>> round(result.estimate, 3), result.pvalue
    (0.1, 0.25)
    """
    sums, sizes = by_group(new.each - base.each, group)
    values = sums * len(sums) / sizes.sum()  # their mean is the mean over artists
    return paired_difference(
        np.zeros(len(values)), values,
        confidence_level=confidence_level, n_resamples=n_resamples, rng=rng,
    )  # fmt: skip
