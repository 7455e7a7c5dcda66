"""Confidence intervals and p-values from bootstrap distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from imindex.stats.set_scores import Float64

TIE = 1e-12
"""Resamples that differ by at most this are considered equal."""
_NO_SPREAD = 1e-14
_NO_COUNT = 1e-9
"""Smaller counts are 0: the beta distribution overflows."""
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
    interval : Interval
        The interval to report, `share_interval` of the jackknife variance. NaN with a single unit at any level.
    percentile, basic, bca : Interval
        Bootstrap intervals, for comparison, within [0, 1]. Next to 0 and 1 they are too narrow. NaN if undefined: BCa
        if all resamples are on one side of the estimate, all of them with a single unit.
    pvalue : float
        One-sided p-value of "not above `null`": (1 + resamples at or below null) / (1 + B). NaN with a single unit.
    distribution : ndarray, shape (B,), float64
    n : tuple of int
        Number of units drawn at each level: works and imitations (or prompts), or artists.
    confidence_level : float
    """

    estimate: float
    standard_error: float
    interval: Interval
    percentile: Interval
    basic: Interval
    bca: Interval
    pvalue: float
    distribution: Float64
    n: tuple[int, ...]
    confidence_level: float


@dataclass(frozen=True)
class Spread:
    """Estimated variance of an estimate.

    Attributes
    ----------
    variance : float
    df : float
        Degrees of freedom of `variance`.
    n_units : int
        Number of independent units; at several levels, that of the level with the fewest.
    """

    variance: float
    df: float
    n_units: int

    @classmethod
    def of(cls, jackknives: Sequence[Float64]) -> Spread:
        """Add the jackknife variances of several levels, such as works and imitations, with at least 2 units each.

        Parameters
        ----------
        jackknives : sequence of ndarray
            For each level, the estimate without each unit in turn.

        Notes
        -----
        Degrees of freedom: Satterthwaite 1946. What works and imitations contribute together is counted at both levels,
        so the variance is slightly too large.

        Examples
        --------
        >>> spread = Spread.of([np.array([0.5, 0.6, 0.7])])
        >>> round(spread.variance, 4), round(spread.df, 4), spread.n_units
        (0.0133, 2, 3)
        """
        sizes = [len(values) for values in jackknives]
        parts = [(n - 1) * float(np.var(values)) for n, values in zip(sizes, jackknives, strict=True)]
        df = satterthwaite(parts, [n - 1 for n in sizes])
        return cls(sum(parts), df, min(sizes))


def satterthwaite(parts: Sequence[float], dfs: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of variances, some perhaps negative, and at least the smallest of `dfs`.

    Source: Satterthwaite 1946, doi:10.2307/3002019.

    Examples
    --------
    >>> round(satterthwaite([1.0, 1.0], [4, 9]), 4)
    11.0769
    """
    below = sum(part**2 / df for part, df in zip(parts, dfs, strict=True))
    return max(min(dfs), sum(parts) ** 2 / below) if below > 0 else float(min(dfs))


POWER = 4
"""How fast `share_interval` turns from the binomial variance to the measured one, away from 0 and 1."""


def share_interval(estimate: float, spread: Spread, confidence_level: float) -> Interval:
    """Compute a confidence interval of the mean of values in [0, 1].

    Parameters
    ----------
    estimate : float
        The mean, from 0 to 1.
    spread : Spread
        Its measured variance.
    confidence_level : float

    Returns
    -------
    Interval
        Within [0, 1].

    Notes
    -----
    Clopper-Pearson on a fractional count (Korn & Graubard 1998): the interval of ``estimate * n`` successes among the n
    trials that would have the same variance, n = estimate (1 - estimate) / variance.

    Next to 0 and 1 the measured variance cannot be trusted: if one imitation in 20 fails, a set of 8 often holds none
    that failed, and then shows no spread. The values are most spread out if each is 0 or 1, which for N independent
    units gives the variance estimate (1 - estimate) / N. The variance in use is the mean of the two, with the weight
    x**4 for the latter, where x = (2 estimate - 1)**2. At 0 and 1 this is Clopper-Pearson with N trials, at 1/2 only
    the measured variance counts, and there is no jump between them. The measured variance is widened as Student's t
    widens the normal.

    The power 4 is a choice: of the powers tried, the largest (and so the narrowest interval) at which every world of
    `scripts/bench/coverage` is covered in at least 94 % at a nominal 95 %.

    Examples
    --------
    >>> top = share_interval(1.0, Spread(0.0, 9, 10), 0.95)
    >>> round(top.low, 4), top.high
    (0.6915, 1.0)
    >>> middle = share_interval(0.5, Spread(0.01, 9, 10), 0.95)
    >>> round(middle.low, 3), round(middle.high, 3)
    (0.265, 0.735)
    """
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    tail = (1 - confidence_level) / 2
    widened = spread.variance * float(scipy.stats.t.ppf(tail, spread.df) / scipy.special.ndtri(tail)) ** 2
    x = (2 * estimate - 1) ** 2
    # The mean of both variances, divided by estimate (1 - estimate); 1 - x**4 is (1 - x) (1 + x + x**2 + x**3), and
    # 1 - x is 4 estimate (1 - estimate).
    per_trial = 4 * widened * sum(x**power for power in range(POWER)) + x**POWER / spread.n_units
    if per_trial < _NO_SPREAD:
        return Interval(estimate, estimate)
    return clopper_pearson(estimate / per_trial, 1 / per_trial, confidence_level)


def finish(
    estimate: float,
    distribution: Float64,
    jackknives: Sequence[Float64],
    null: float,
    confidence_level: float,
    small_sample: bool,
    spread: Spread | None = None,
) -> Bootstrap:
    """Compute intervals and p-value from the distribution and the jackknife values of each resampled level.

    `spread` is by default that of the jackknife values.
    """
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    sizes = tuple(max(1, len(values)) for values in jackknives)
    undefined = Interval(np.nan, np.nan)
    if min(sizes) < 2:
        return Bootstrap(
            estimate,
            np.nan,
            undefined,
            undefined,
            undefined,
            undefined,
            np.nan,
            distribution,
            sizes,
            confidence_level,
        )
    tail = tail_level(confidence_level, min(sizes) if small_sample else None, len(distribution))
    low, high = np.quantile(distribution, [tail, 1 - tail])
    return Bootstrap(
        estimate=estimate,
        standard_error=float(distribution.std(ddof=1)),
        interval=share_interval(estimate, spread or Spread.of(jackknives), confidence_level),
        percentile=_shares(low, high),
        basic=_shares(2 * estimate - high, 2 * estimate - low),
        bca=bca_interval(estimate, distribution, jackknives, tail),
        pvalue=float((1 + np.count_nonzero(distribution <= null + TIE)) / (1 + len(distribution))),
        distribution=distribution,
        n=sizes,
        confidence_level=confidence_level,
    )


def _shares(low: float, high: float) -> Interval:
    return Interval(min(max(float(low), 0.0), 1.0), min(max(float(high), 0.0), 1.0))


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
    z0 = scipy.special.ndtri(below / len(distribution))
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
        z = z0 + scipy.special.ndtri(level)
        if acceleration * z >= 1:  # outside the range in which the correction is valid
            return Interval(np.nan, np.nan)
        ends.append(float(scipy.special.ndtr(z0 + z / (1 - acceleration * z))))
    low, high = np.quantile(distribution, ends)
    return Interval(float(low), float(high))


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
    tail = float(scipy.special.ndtr(np.sqrt(n / (n - 1)) * scipy.stats.t.ppf(tail, n - 1)))
    return max(tail, 1 / (1 + n_resamples))


def clopper_pearson(n_right: float, n: float, confidence_level: float) -> Interval:
    """Return the exact confidence interval of a binomial proportion. The counts need not be integers.

    Examples
    --------
    >>> clopper_pearson(0, 10, 0.95).low, round(clopper_pearson(0, 10, 0.95).high, 4)
    (0.0, 0.3085)
    """
    tail, wrong = (1 - confidence_level) / 2, n - n_right
    low = 0.0 if n_right <= _NO_COUNT else float(scipy.stats.beta.ppf(tail, n_right, wrong + 1))
    high = 1.0 if wrong <= _NO_COUNT else float(scipy.stats.beta.isf(tail, n_right + 1, wrong))
    return Interval(low, high)
