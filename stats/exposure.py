"""Imitation against the number of an artist's works in the training data: association, curve and threshold.

The unit of analysis is the artist: one count, and one value such as the AUC or a set's score. The counts come from
whoever knows or estimates the training data. Nothing here shows that a count is right, nor that it is the cause.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import Interval, bca_interval, tail_level
from imindex.stats.keyed import Rng
from imindex.stats.set_scores import Float64

Alternative = Literal["greater", "two-sided"]
Shape = Literal["step", "hinge"]
LEAST_ARTISTS = 6
"""Fewest artists for an association; with fewer, no p-value of a two-sided test could be small."""
LEAST_ON_A_SIDE = 3
"""Fewest artists below and above a threshold."""
LEVEL = 0.05
N_RESAMPLES = 9999
TIE = 1e-12
_GRID = 101
_BLOCK = 2**20


@dataclass(frozen=True)
class Association:
    """Rank correlation of values with counts.

    Attributes
    ----------
    rho : float
        Spearman's rank correlation, ties at their mean rank. NaN if all counts or all values are equal.
    low, high : float
        Bootstrap interval over artists.
    pvalue : float
        Of the permutation test. Ties count against the finding.
    exact : bool
        Whether all permutations were evaluated.
    n_artists : int
    alternative : str
    confidence_level : float
    """

    rho: float
    low: float
    high: float
    pvalue: float
    exact: bool
    n_artists: int
    alternative: Alternative
    confidence_level: float


def association(
    count: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    alternative: Alternative = "greater",
    n_resamples: int = N_RESAMPLES,
    confidence_level: float = 0.95,
    rng: Rng = None,
) -> Association:
    """Test whether values rise with counts.

    Parameters
    ----------
    count : array_like, shape (A,)
        Number of works of each artist in the training data, or any other number that orders the artists alike.
    value : array_like, shape (A,)
    alternative : {"greater", "two-sided"}
    n_resamples : int
        Number of permutations, and of bootstrap resamples. If A! is not larger, all permutations are evaluated.
    confidence_level : float
    rng : Generator or int, optional

    Returns
    -------
    Association

    Raises
    ------
    ValueError
        Shapes disagree, a number is not finite, a count is negative, or there are fewer than `LEAST_ARTISTS` artists.

    Notes
    -----
    Null hypothesis: values are exchangeable over artists, whatever their counts. The test is exact, and needs no
    assumption about the form of the relation. The interval is BCa (Efron & Tibshirani 1993) with tails widened for few
    artists (`imindex.stats.intervals.tail_level`).

    Counts that are measured with error weaken the correlation, so the interval is for the correlation with the counts
    as they were measured. A famous artist may have many works in the training data, many imitators in it, and a name
    that many captions hold: a correlation does not say which of these matters.

    Examples
    --------
    >>> result = association([1, 2, 4, 8, 16, 32], [0.4, 0.5, 0.6, 0.7, 0.9, 0.8], rng=1)
    >>> round(result.rho, 3), round(result.pvalue, 4), result.exact
    (0.943, 0.0083, True)
    """
    counts, values = _check(count, value)
    if alternative not in get_args(Alternative):
        raise ValueError(f"alternative: expected greater or two-sided, not {alternative!r}.")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    n = len(counts)
    x, y = _standard_ranks(counts), _standard_ranks(values)
    if x is None or y is None:
        nan = float("nan")
        return Association(nan, nan, nan, 1.0, False, n, alternative, confidence_level)
    random = np.random.default_rng(rng)
    rho = float(x @ y)
    exact = math.factorial(n) <= n_resamples
    if exact:
        orders = np.array(list(itertools.permutations(range(n))))
        null = y[orders] @ x
    else:
        null = np.concatenate([block @ x for block in _shuffled(y, n_resamples, random)])
    extreme = np.abs(null) >= abs(rho) - TIE if alternative == "two-sided" else null >= rho - TIE
    pvalue = float(np.mean(extreme)) if exact else float((1 + extreme.sum()) / (1 + n_resamples))
    interval = _bootstrap_rho(counts, values, rho, n_resamples, confidence_level, random)
    return Association(rho, interval.low, interval.high, pvalue, exact, n, alternative, confidence_level)


def _bootstrap_rho(
    counts: Float64,
    values: Float64,
    rho: float,
    n_resamples: int,
    confidence_level: float,
    random: np.random.Generator,
) -> Interval:
    n = len(counts)
    drawn = random.integers(0, n, (n_resamples, n))
    distribution = _rows_of_rho(counts[drawn], values[drawn])
    distribution = distribution[~np.isnan(distribution)]
    kept = ~np.eye(n, dtype=bool)
    jackknife = _rows_of_rho(
        np.broadcast_to(counts, (n, n))[kept].reshape(n, n - 1),
        np.broadcast_to(values, (n, n))[kept].reshape(n, n - 1),
    )
    tail = tail_level(confidence_level, n, n_resamples)
    if not len(distribution) or np.isnan(jackknife).any():
        return Interval(np.nan, np.nan)
    interval = bca_interval(rho, distribution, [jackknife], tail)
    if np.isnan(interval.low):
        low, high = np.quantile(distribution, [tail, 1 - tail])
        interval = Interval(float(low), float(high))
    return interval


def _rows_of_rho(counts: Float64, values: Float64) -> Float64:
    """Return Spearman's correlation of each row; NaN where one side does not vary."""
    x, y = (scipy.stats.rankdata(side, axis=1) for side in (counts, values))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    size = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    rho: Float64 = np.divide((x * y).sum(axis=1), size, out=np.full(len(x), np.nan), where=size > TIE)
    return rho


def _standard_ranks(values: Float64) -> Float64 | None:
    """Return mean ranks, centred and scaled to a length of 1; None if all values are equal."""
    ranks = scipy.stats.rankdata(values)
    ranks = ranks - ranks.mean()
    length = float(np.linalg.norm(ranks))
    return np.asarray(ranks / length) if length > TIE else None


def _shuffled(values: Float64, n_resamples: int, random: np.random.Generator) -> list[Float64]:
    """Return random permutations of the values in blocks of rows."""
    step = max(1, _BLOCK // len(values))
    return [
        random.permuted(np.tile(values, (min(step, n_resamples - start), 1)), axis=1)
        for start in range(0, n_resamples, step)
    ]


@dataclass(frozen=True, eq=False)
class Curve:
    """The values that fit best among those that never fall with the count.

    Attributes
    ----------
    count : ndarray, shape (k,), float64
        Counts that occur, ascending.
    value : ndarray, shape (k,), float64
    """

    count: Float64
    value: Float64


def isotonic_curve(count: npt.ArrayLike, value: npt.ArrayLike) -> Curve:
    """Fit a curve that never falls, by least squares (pool adjacent violators).

    Parameters
    ----------
    count, value : array_like, shape (A,)

    Returns
    -------
    Curve

    Examples
    --------
    >>> isotonic_curve([1, 2, 2, 3], [0.5, 0.8, 0.6, 0.6]).value.round(3).tolist()
    [0.5, 0.667, 0.667]
    """
    counts, values = _check(count, value, least=1)
    different, place, n = np.unique(counts, return_inverse=True, return_counts=True)
    means = np.bincount(place, values) / n
    return Curve(different, np.asarray(scipy.optimize.isotonic_regression(means, weights=n).x))


@dataclass(frozen=True)
class Threshold:
    """The count at which values begin to rise.

    Attributes
    ----------
    shape : str
    located : bool
        Whether the values depend on the count (`pvalue` at most the level), and the interval excludes at least one end
        of the counts at which a threshold could be seen.
    estimate : float
        Of a step: the geometric mean of the two counts between which it lies.
    low, high : float
        Interval of the threshold, between counts that occur.
    open_low, open_high : bool
        Whether the interval reaches the smallest or largest threshold that these counts could show. The true threshold
        may then be below `low` or above `high`.
    pvalue : float
        Of the permutation test that the values do not depend on the count.
    before, after : float
        Fitted value before the threshold, and at the largest count.
    explained, explained_line : float
        Share of the variance over artists that the threshold explains, and that a straight line in the logarithm of
        1 + count explains. If the line explains as much, the rise may be gradual, without any threshold.
    n_artists : int
    """

    shape: Shape
    located: bool
    estimate: float
    low: float
    high: float
    open_low: bool
    open_high: bool
    pvalue: float
    before: float
    after: float
    explained: float
    explained_line: float
    n_artists: int


def threshold(
    count: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    shape: Shape = "step",
    level: float = LEVEL,
    confidence_level: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    rng: Rng = None,
) -> Threshold:
    """Estimate the count at which values begin to rise.

    Parameters
    ----------
    count, value : array_like, shape (A,)
        Of at least twice `LEAST_ON_A_SIDE` artists.
    shape : {"step", "hinge"}
        "step": constant below the threshold, and at a higher constant above it. "hinge": constant below it, and rising
        with the logarithm of 1 + count above it.
    level : float
        Of the permutation test.
    confidence_level : float
    n_resamples : int
        Number of permutations.
    rng : Generator or int, optional

    Returns
    -------
    Threshold

    Raises
    ------
    ValueError
        As for `association`, or if the shape is unknown.

    Notes
    -----
    Least squares over all thresholds with at least `LEAST_ON_A_SIDE` artists on each side; only rises are considered.
    The test compares the explained share of variance with that under random permutations of the values, each with its
    own best threshold, so that the search is accounted for.

    The interval holds the thresholds at which the residual sum of squares, relative to the smallest one and times the
    degrees of freedom, rises by at most a critical value: for a step that of Hansen (2000,
    doi:10.1111/1468-0262.00124), 7.35 at 95 %, and for a hinge that of F. With few artists, or counts that jump, many
    thresholds fit alike, and the interval is wide. A step depends on the order of the counts only.

    Verma et al. 2024 (arXiv:2410.15002) look for such a threshold in models whose training data are known, and report
    200 to 700 images. They divide the sequence of values at a change point; here artists differ in more than their
    counts, so the estimate comes with a test and an interval, or with the statement that it cannot be located.

    Examples
    --------
    >>> count = 2 ** np.arange(12)
    >>> value = np.where(count > 100, 0.8, 0.5) + 0.02 * np.random.default_rng(1).normal(size=12)
    >>> result = threshold(count, value, rng=1)
    >>> result.located, result.low, result.high, round(result.estimate)
    (True, 64.0, 128.0, 91)
    """
    counts, values = _check(count, value, least=2 * LEAST_ON_A_SIDE)
    if shape not in get_args(Shape):
        raise ValueError(f"shape: expected step or hinge, not {shape!r}.")
    if not 0 < level < 1 or not 0 < confidence_level < 1:
        raise ValueError("level, confidence_level: they must be between 0 and 1.")
    n, x = len(counts), np.log1p(counts)
    candidates = _candidates(counts, shape)
    centred = values - values.mean()
    total = float(centred @ centred)
    line = (
        min(1.0, _gains(np.asarray(x - x.mean())[None], centred[None])[0, 0] / total) if total > TIE else 0.0
    )
    if not len(candidates.low) or total <= TIE:
        nan = float("nan")
        return Threshold(shape, False, nan, nan, nan, True, True, 1.0, nan, nan, 0.0, float(line), n)
    gains = _gains(candidates.columns, centred[None])[0]
    best = int(np.argmax(gains))
    random = np.random.default_rng(rng)
    null = np.concatenate(
        [_gains(candidates.columns, block).max(axis=1) for block in _shuffled(centred, n_resamples, random)]
    )
    pvalue = float((1 + np.count_nonzero(null >= gains[best] - TIE * total)) / (1 + n_resamples))
    rest = np.maximum(total - gains, 0.0)  # a fit without any rest is 0 only up to rounding
    inside = np.flatnonzero(
        (n - 3) * (rest - rest[best]) <= rest[best] * _critical(shape, n, confidence_level)
    )
    open_low, open_high = bool(inside[0] == 0), bool(inside[-1] == len(gains) - 1)
    column = candidates.columns[best]
    slope = float(column @ centred) / float(column @ column)
    fitted = values.mean() + slope * column
    return Threshold(
        shape=shape,
        located=pvalue <= level * (1 + TIE) and not (open_low and open_high),
        estimate=float(candidates.estimate[best]),
        low=float(candidates.low[inside[0]]),
        high=float(candidates.high[inside[-1]]),
        open_low=open_low,
        open_high=open_high,
        pvalue=pvalue,
        before=float(fitted[np.argmin(counts)]),
        after=float(fitted[np.argmax(counts)]),
        explained=min(1.0, float(gains[best] / total)),
        explained_line=float(line),
        n_artists=n,
    )


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Thresholds that could be seen: the counts around each, and the centred column of its model."""

    low: Float64
    high: Float64
    estimate: Float64
    columns: Float64


def _candidates(counts: Float64, shape: Shape) -> _Candidates:
    ordered = np.sort(counts)
    first, last = ordered[LEAST_ON_A_SIDE - 1], ordered[len(ordered) - LEAST_ON_A_SIDE]
    if shape == "step":
        different = np.unique(counts)
        low, high = different[:-1], different[1:]
        kept = (low >= first) & (high <= last)
        low, high = low[kept], high[kept]
        estimate = np.sqrt((1 + low) * (1 + high)) - 1
        columns = (counts > low[:, None]).astype(np.float64)
    else:
        places = np.linspace(np.log1p(first), np.log1p(last), _GRID) if last > first else np.empty(0)
        low = high = estimate = np.expm1(places)
        columns = np.maximum(np.log1p(counts) - places[:, None], 0.0)
        kept = (columns > 0).sum(axis=1) >= LEAST_ON_A_SIDE - 1
        low = high = estimate = estimate[kept]
        columns = columns[kept]
    return _Candidates(low, high, estimate, columns - columns.mean(axis=1, keepdims=True))


def _gains(columns: Float64, values: Float64) -> Float64:
    """Return the sum of squares that each rising column explains of each row of centred values."""
    product = values @ columns.T
    return np.asarray(np.maximum(product, 0.0) ** 2 / np.maximum((columns**2).sum(axis=1), TIE))


def _critical(shape: Shape, n: int, confidence_level: float) -> float:
    if shape == "step":
        return -2 * math.log(1 - math.sqrt(confidence_level))
    return float(scipy.stats.f.ppf(confidence_level, 1, n - 3))


def _check(count: npt.ArrayLike, value: npt.ArrayLike, least: int = LEAST_ARTISTS) -> tuple[Float64, Float64]:
    counts, values = np.asarray(count, np.float64), np.asarray(value, np.float64)
    if counts.ndim != 1 or counts.shape != values.shape:
        raise ValueError(f"count, value: the shapes {counts.shape} and {values.shape} differ.")
    if not np.isfinite(counts).all() or not np.isfinite(values).all():
        raise ValueError(
            "count, value: a number is not finite. Leave out artists without a count or a value."
        )
    if (counts < 0).any():
        raise ValueError("count: a number is negative.")
    if len(counts) < least:
        raise ValueError(f"count: {len(counts)} artists, and at least {least} are needed.")
    return counts, values
