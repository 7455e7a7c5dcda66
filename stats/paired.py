"""Comparison of two releases on the same artists: tests and intervals for the change.

Over artists, the unit of analysis is the artist, with one paired difference each: new release minus base release.
Within one artist, it is the imitation, or the pair of imitations with the same prompt and seed. Higher values mean
more imitation. `imindex.stats.equivalence` has tests of equivalence.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.equivalence import TIE, check_level, finite
from imindex.stats.intervals import Interval, bca_interval
from imindex.stats.keyed import Rng
from imindex.stats.resampling import draw_weights
from imindex.stats.set_scores import Float64

ALTERNATIVES = ("two-sided", "less", "greater")
_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class SignFlipTest:
    """Result of `sign_flip_test`.

    Attributes
    ----------
    statistic : float
        Mean of the differences.
    pvalue : float
    null_distribution : ndarray, shape (n_resamples,)
        The mean under random signs or, if `exact`, under all sign vectors, including the true one.
    exact : bool
    n : int
        Number of differences.
    alternative : str
    """

    statistic: float
    pvalue: float
    null_distribution: Float64
    exact: bool
    n: int
    alternative: str


def sign_flip_test(
    differences: npt.ArrayLike, *, alternative: str = "two-sided", n_resamples: int = 9999, rng: Rng = None
) -> SignFlipTest:
    """Test whether paired differences are centred at 0, by flipping their signs at random.

    Parameters
    ----------
    differences : array_like, shape (A,)
        New minus base, one value per artist.
    alternative : {"two-sided", "less", "greater"}
        "greater": the new release imitates more.
    n_resamples : int
        Number of random sign vectors. If 2**A is at most n_resamples + 1, all sign vectors are evaluated.
    rng : Generator or int, optional

    Returns
    -------
    SignFlipTest

    Raises
    ------
    ValueError
        If there are no differences, or one of them is not finite.

    Notes
    -----
    Fisher 1935, The Design of Experiments, section 21. Assumption: if the releases do not differ, both signs of each
    artist's difference are equally likely, independently of the other artists. The exact p-value is count / 2**A,
    including the true signs, so at least 1 / 2**A, or 2 / 2**A if two-sided. Otherwise it is (b + 1) / (B + 1)
    (Phipson & Smyth 2010). Ties, up to rounding, count against the finding.

    Examples
    --------
    >>> result = sign_flip_test([0.1, 0.3, 0.2, 0.4])
    >>> result.statistic, result.pvalue * 2**4, result.exact
    (0.25, 2.0, True)
    """
    values = finite(differences, "differences")
    _check(alternative, n_resamples)
    n = len(values)
    exact = 2**n <= n_resamples + 1
    if exact:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
    else:
        random = np.random.default_rng(rng)
        sums = np.empty(n_resamples)
        for block in _blocks(n_resamples, n):
            positive = random.integers(0, 2, (block.stop - block.start, n), dtype=np.int8)
            sums[block] = 2 * (positive @ values) - values.sum()
    null, observed, tie = sums / n, float(values.mean()), TIE * float(np.abs(values).mean())
    # The null distribution is symmetric, so a two-sided test compares absolute values.
    p = (
        _pvalue(np.abs(null), abs(observed), tie, "greater", exact)
        if alternative == "two-sided"
        else _pvalue(null, observed, tie, alternative, exact)
    )
    return SignFlipTest(observed, p, null, exact, n, alternative)


@dataclass(frozen=True, eq=False)
class PairedDifference:
    """Result of `paired_difference`.

    Attributes
    ----------
    estimate : float
        Mean over artists of new minus base.
    standard_error : float
        Standard deviation of the resampled means. NaN with one artist.
    interval : Interval
        BCa interval. NaN with one artist; of zero width if all differences are equal.
    pvalue : float
        P-value of the sign-flip test.
    exact : bool
        Whether the test evaluated all sign vectors.
    n_artists : int
    n_left_out : int
        Number of artists with NaN under either release.
    differences : ndarray, shape (n_artists,), float64
    alternative : str
        Alternative of the test. The interval is always two-sided.
    confidence_level : float
    """

    estimate: float
    standard_error: float
    interval: Interval
    pvalue: float
    exact: bool
    n_artists: int
    n_left_out: int
    differences: Float64
    alternative: str
    confidence_level: float


def paired_difference(
    base: npt.ArrayLike,
    new: npt.ArrayLike,
    *,
    alternative: str = "two-sided",
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> PairedDifference:
    """Estimate and test the mean difference between two releases over the same artists.

    Parameters
    ----------
    base, new : array_like, shape (A,)
        A statistic of each artist under each release, such as its AUC. Artists with NaN in either are excluded.
    alternative : {"two-sided", "less", "greater"}
    confidence_level : float
    n_resamples : int
        Number of resamples, both for the interval and for the test.
    rng : Generator or int, optional

    Returns
    -------
    PairedDifference

    Raises
    ------
    ValueError
        If the shapes differ, no artist has a value under both releases, or a value is infinite.

    Notes
    -----
    Artists are drawn with replacement; BCa as in Efron & Tibshirani 1993, chapter 14 (`scipy.stats.bootstrap`).
    Assumption: these artists represent all artists of interest. With fewer than about 10 artists the interval is too
    narrow. The p-value is that of `sign_flip_test`.

    Examples
    --------
    >>> base = np.array([0.5, 0.6, 0.7, np.nan, 0.5])
    >>> result = paired_difference(base, base + [0.1, 0.2, 0.1, 0.1, 0.2], rng=1)
    >>> round(result.estimate, 3), result.n_artists, result.n_left_out, result.pvalue
    (0.15, 4, 1, 0.125)
    """
    old, changed = np.asarray(base, dtype=np.float64), np.asarray(new, dtype=np.float64)
    if old.ndim != 1 or old.shape != changed.shape:
        raise ValueError(
            f"base and new: expected one value per artist, with the same artists in both, not the shapes {old.shape} "
            f"and {changed.shape}."
        )
    kept = ~(np.isnan(old) | np.isnan(changed))
    if not kept.any():
        raise ValueError("No artist has a value under both releases. Audit both on the same artists.")
    finite(np.concatenate([old[kept], changed[kept]]), "base and new")
    check_level(confidence_level)
    values = changed[kept] - old[kept]
    random, n, estimate = np.random.default_rng(rng), len(values), float(values.mean())
    test = sign_flip_test(values, alternative=alternative, n_resamples=n_resamples, rng=random)
    error, interval = np.nan, Interval(np.nan, np.nan)
    if n > 1:
        means = np.concatenate(
            [draw_weights(n, b.stop - b.start, random) @ values for b in _blocks(n_resamples, n)]
        )
        means /= n
        without = (values.sum() - values) / (n - 1)
        error = float(means.std(ddof=1)) if n_resamples > 1 else np.nan
        interval = bca_interval(estimate, means, (without,), (1 - confidence_level) / 2)
    return PairedDifference(
        estimate=estimate,
        standard_error=error,
        interval=interval,
        pvalue=test.pvalue,
        exact=test.exact,
        n_artists=n,
        n_left_out=len(kept) - n,
        differences=values,
        alternative=alternative,
        confidence_level=confidence_level,
    )


@dataclass(frozen=True, eq=False)
class ExchangeTest:
    """Result of `exchange_test`.

    Attributes
    ----------
    statistic : float
        Mean of `new` minus mean of `base`.
    pvalue : float
    null_distribution : ndarray, shape (n_resamples,)
        The statistic under random labels or, if `exact`, under all of them, including the true ones.
    exact : bool
    n_base, n_new : int
    paired : bool
    alternative : str
    """

    statistic: float
    pvalue: float
    null_distribution: Float64
    exact: bool
    n_base: int
    n_new: int
    paired: bool
    alternative: str


def exchange_test(
    base: npt.ArrayLike,
    new: npt.ArrayLike,
    *,
    alternative: str = "two-sided",
    pairs: bool = False,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> ExchangeTest:
    """Test for one artist whether the imitations of two releases have the same scores.

    Parameters
    ----------
    base : array_like, shape (n,)
        Score of each imitation of the base release: its mean rank percentile over the artist's works, 1 is nearest.
    new : array_like, shape (m,)
        The same for the new release, ranked among the same other imitations.
    alternative : {"two-sided", "less", "greater"}
        "greater": the new release imitates this artist more.
    pairs : bool
        Whether imitation i of both releases has the same prompt and seed. Labels are then exchanged only within pairs.
    n_resamples : int
        Number of random labellings. If there are at most n_resamples + 1, all of them are evaluated.
    rng : Generator or int, optional

    Returns
    -------
    ExchangeTest

    Raises
    ------
    ValueError
        If a release has no imitations, a score is not finite, or `pairs` is set and the numbers differ.

    Notes
    -----
    Assumption: if the releases do not differ for this artist, each imitation is equally likely to come from either,
    independently of the others. Imitations from one prompt resemble each other: without `pairs`, average the seeds of
    each prompt first. The p-value is exact, or (b + 1) / (B + 1). A two-sided p-value is twice the smaller one-sided
    p-value, as in `scipy.stats.permutation_test`. Ties, up to rounding, count against the finding.

    Examples
    --------
    >>> result = exchange_test([0.1, 0.2, 0.3], [0.7, 0.8, 0.9], alternative="greater")
    >>> round(result.statistic, 3), result.pvalue * 20
    (0.6, 1.0)
    """
    old, changed = finite(base, "base"), finite(new, "new")
    _check(alternative, n_resamples)
    n, m = len(old), len(changed)
    if pairs:
        if n != m:
            raise ValueError(
                f"pairs: base has {n} imitations and new has {m}. Pass only those whose prompt and seed occur in both."
            )
        flip = sign_flip_test(changed - old, alternative=alternative, n_resamples=n_resamples, rng=rng)
        return ExchangeTest(
            flip.statistic, flip.pvalue, flip.null_distribution, flip.exact, n, m, True, alternative
        )
    pooled = np.concatenate([old, changed])
    pooled -= pooled.mean()  # so that the sums of the two releases are opposite
    total, n_labels = pooled.sum(), math.comb(n + m, m)
    exact = n_labels <= n_resamples + 1
    sums = np.empty(n_labels if exact else n_resamples)
    if exact:
        labels = itertools.combinations(range(n + m), m)
        for block in _blocks(n_labels, m):
            picked = list(itertools.islice(labels, block.stop - block.start))
            sums[block] = pooled[np.array(picked)].sum(axis=1)
    else:
        random = np.random.default_rng(rng)
        is_new = np.repeat([0.0, 1.0], [n, m])
        for block in _blocks(n_resamples, n + m):
            drawn = random.permuted(np.broadcast_to(is_new, (block.stop - block.start, n + m)), axis=1)
            sums[block] = drawn @ pooled
    null = sums / m - (total - sums) / n
    observed = float(changed.mean() - old.mean())
    tie = TIE * max(float(np.abs(old).max()), float(np.abs(changed).max()))
    p = _pvalue(null, observed, tie, alternative, exact)
    return ExchangeTest(observed, p, null, exact, n, m, False, alternative)


def _pvalue(null: Float64, observed: float, tie: float, alternative: str, exact: bool) -> float:
    greater = int(np.count_nonzero(null >= observed - tie))
    less = int(np.count_nonzero(null <= observed + tie))
    both = min(2 * min(greater, less), len(null)) if exact else 2 * min(greater, less) + 1
    reached = {"greater": greater, "less": less, "two-sided": both}[alternative]
    return reached / len(null) if exact else min(1.0, (reached + 1) / (len(null) + 1))


def _blocks(n_resamples: int, width: int) -> list[slice]:
    step = max(1, _BLOCK // width)
    return [slice(start, min(start + step, n_resamples)) for start in range(0, n_resamples, step)]


def _check(alternative: str, n_resamples: int) -> None:
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative is {alternative!r}. Pass one of {', '.join(ALTERNATIVES)}.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}. It must be at least 1.")
