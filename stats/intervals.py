"""Confidence intervals and p-values from bootstrap distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from imindex.stats.set_scores import Float64

TIE = 1e-12
"""Resamples that differ by at most this are considered equal."""
LEAST = float(np.finfo(np.float64).tiny)
"""Smallest p-value, used where a formula would round to 0."""


@dataclass(frozen=True, eq=False)
class Interval:
    """Lower and upper end of an interval."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """A bootstrapped statistic.

    Attributes
    ----------
    estimate : float
    standard_error : float
        Standard deviation of the distribution.
    percentile, basic, bca : Interval
        NaN if undefined: BCa if all resamples are on one side of the estimate, all of them with a single unit. If all
        resamples are equal and the statistic is in [0, 1], Clopper-Pearson with the smallest number of units.
    pvalue : float
        One-sided p-value of "not above `null`": (1 + resamples at or below null) / (1 + B). NaN with a single unit.
    distribution : ndarray, shape (B,), float64
    n : tuple of int
        Number of units drawn at each level: works and imitations (or prompts), or artists.
    confidence_level : float
    """

    estimate: float
    standard_error: float
    percentile: Interval
    basic: Interval
    bca: Interval
    pvalue: float
    distribution: Float64
    n: tuple[int, ...]
    confidence_level: float


def finish(
    estimate: float,
    distribution: Float64,
    jackknives: Sequence[Float64],
    null: float,
    confidence_level: float,
    small_sample: bool,
) -> Bootstrap:
    """Compute intervals and p-value from the distribution and the jackknife values of each resampled level."""
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    sizes = tuple(max(1, len(values)) for values in jackknives)
    undefined = Interval(np.nan, np.nan)
    if min(sizes) < 2:
        return Bootstrap(
            estimate, np.nan, undefined, undefined, undefined, np.nan, distribution, sizes, confidence_level
        )
    tail = tail_level(confidence_level, min(sizes) if small_sample else None, len(distribution))
    if np.ptp(distribution) <= TIE and 0 <= estimate <= 1:
        # With few units, no spread among the resamples does not imply no spread: bound it as if each were binary.
        percentile = basic = bca = clopper_pearson(estimate * min(sizes), min(sizes), confidence_level)
    else:
        low, high = np.quantile(distribution, [tail, 1 - tail])
        percentile = Interval(float(low), float(high))
        basic = Interval(float(2 * estimate - high), float(2 * estimate - low))
        bca = bca_interval(estimate, distribution, jackknives, tail)
    return Bootstrap(
        estimate=estimate,
        standard_error=float(distribution.std(ddof=1)),
        percentile=percentile,
        basic=basic,
        bca=bca,
        pvalue=float((1 + np.count_nonzero(distribution <= null + TIE)) / (1 + len(distribution))),
        distribution=distribution,
        n=sizes,
        confidence_level=confidence_level,
    )


def bca_interval(
    estimate: float, distribution: Float64, jackknives: Sequence[Float64], tail: float
) -> Interval:
    """Compute the BCa interval from the distribution and the jackknife values of each resampled sample.

    Source: Efron & Tibshirani 1993, section 14.3; several samples as in `scipy.stats.bootstrap`. NaN if all resamples
    are on one side of the estimate.
    """
    ties = distribution[np.abs(distribution - estimate) <= TIE]
    if len(ties) == len(distribution):
        return Interval(estimate, estimate)
    below = np.count_nonzero(distribution < estimate - TIE) + len(ties) / 2
    z0 = special.ndtri(below / len(distribution))
    if not np.isfinite(z0):
        return Interval(np.nan, np.nan)
    top = bottom = 0.0
    for values in jackknives:
        n = len(values)
        influence = (n - 1) * (values.mean() - values)
        top += float((influence**3).sum()) / n**3
        bottom += float((influence**2).sum()) / n**2
    acceleration = top / (6 * bottom**1.5) if bottom > 0 else 0.0
    ends = []
    for level in (tail, 1 - tail):
        z = z0 + special.ndtri(level)
        if acceleration * z >= 1:  # outside the range in which the correction is valid
            return Interval(np.nan, np.nan)
        ends.append(float(special.ndtr(z0 + z / (1 - acceleration * z))))
    low, high = np.quantile(distribution, ends)
    return Interval(float(low), float(high))


def shrinkage(estimates: Float64, within: npt.ArrayLike) -> float:
    """Return the between-artist share of the spread of the artists' estimates, as a ratio of standard deviations.

    Parameters
    ----------
    estimates : ndarray, shape (A,)
    within : array_like, shape (A,)
        The variance of each estimate about the artist's true value, estimated by its bootstrap.

    Examples
    --------
    >>> round(shrinkage(np.array([0.4, 0.6, 0.8]), [0.01, 0.02, 0.03]), 4)
    0.7071
    """
    if len(estimates) < 2:
        return 1.0
    total = float(np.var(estimates, ddof=1))
    return float(np.sqrt(max(0.0, 1 - float(np.asarray(within).mean()) / total))) if total > 0 else 1.0


def tail_level(confidence_level: float, n: int | None, n_resamples: int) -> float:
    """Return the tail level of a percentile interval, adjusted for n units as Student's t widens the normal.

    Source: Hesterberg 2015, doi:10.1080/00031305.2015.1089789, "expanded percentile". With 2 or 3 units the adjusted
    level may be beyond the resamples; the ends are then the extremes of `n_resamples`.

    Examples
    --------
    >>> round(tail_level(0.95, None, 999), 4), round(tail_level(0.95, 20, 999), 4)
    (0.025, 0.0159)
    """
    tail = (1 - confidence_level) / 2
    if n is None:
        return tail
    tail = float(special.ndtr(np.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1)))
    return max(tail, 1 / (1 + n_resamples))


def clopper_pearson(n_right: float, n: float, confidence_level: float) -> Interval:
    """Return the exact confidence interval of a binomial proportion. The counts need not be integers.

    Examples
    --------
    >>> clopper_pearson(0, 10, 0.95).low, round(clopper_pearson(0, 10, 0.95).high, 4)
    (0.0, 0.3085)
    """
    tail, wrong = (1 - confidence_level) / 2, n - n_right
    low = 0.0 if n_right <= 0 else float(stats.beta.ppf(tail, n_right, wrong + 1))
    high = 1.0 if wrong <= 0 else float(stats.beta.isf(tail, n_right + 1, wrong))
    return Interval(low, high)
