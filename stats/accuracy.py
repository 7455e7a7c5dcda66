"""Classification accuracy of imitations, with confidence intervals and tests.

Pictures from one prompt resemble each other. Where prompts are given, the unit of analysis is therefore the prompt, not
the picture. `imindex.stats.label_count` computes the accuracy that fewer candidates would give.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import LEAST, Interval, Spread, clopper_pearson, share_interval
from imindex.stats.resampling import over_artists
from imindex.stats.set_scores import Float64, Int64

_BY_CLUSTER = "Clopper-Pearson on the fractional count"


@dataclass(frozen=True, eq=False)
class Accuracy:
    """Result of `accuracy_interval` or `macro_interval`.

    Attributes
    ----------
    estimate : float
        Fraction of pictures classified correctly; for `macro_interval`, the mean of the artists' fractions.
    interval : Interval
        Within [0, 1]. NaN with a single unit.
    n, n_right : int
        Number of pictures, and of those classified correctly.
    n_units : int
        Number of independent units: pictures, clusters (prompts) or artists; of artists and prompts that they share,
        the smaller number.
    method : str
        "Clopper-Pearson", "Clopper-Pearson on the fractional count" or "none".
    note : str
        A caveat about the interval, or empty.
    confidence_level : float
    """

    estimate: float
    interval: Interval
    n: int
    n_right: int
    n_units: int
    method: str
    note: str
    confidence_level: float


def accuracy_interval(
    correct: npt.ArrayLike,
    *,
    cluster: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> Accuracy:
    """Estimate the fraction of pictures that are classified correctly, with a confidence interval.

    Parameters
    ----------
    correct : array_like, shape (n,), bool
    cluster : array_like, shape (n,), optional
        The prompt of each picture.
    confidence_level : float

    Returns
    -------
    Accuracy

    Raises
    ------
    ValueError
        If there are no pictures, `correct` has values other than 0 and 1, or `cluster` does not have one label per
        picture.

    Notes
    -----
    Without clusters, or with one picture per cluster, the interval is that of Clopper & Pearson 1934, which is exact
    if pictures are independent (`scipy.stats.binomtest`). With clusters it is `imindex.stats.intervals.share_interval`
    of the jackknife variance over clusters, or of the variance of independent pictures if that is larger: pictures of
    one prompt do not vary less than independent ones. A single cluster says nothing about other prompts, and gives no
    interval.

    Examples
    --------
    >>> result = accuracy_interval([1, 1, 1, 0, 1, 0, 1, 1], cluster=[0, 0, 1, 1, 2, 2, 3, 3])
    >>> result.estimate, round(result.interval.low, 3), round(result.interval.high, 3), result.n_units
    (0.75, 0.134, 0.998, 4)
    """
    right = _right(correct)
    _check(confidence_level)
    sums, sizes = _by_cluster(right, cluster, np.arange(len(right)))
    n, n_right, units = len(right), int(right.sum()), len(sums)
    estimate = n_right / n
    if units == n:
        method, note, interval = "Clopper-Pearson", "", clopper_pearson(n_right, n, confidence_level)
    elif units == 1:
        method, interval = "none", Interval(np.nan, np.nan)
        note = "one cluster only: no interval. Generate imitations from more prompts."
    else:
        spread = Spread.of([(n_right - sums) / (n - sizes)])
        spread = replace(spread, variance=max(spread.variance, estimate * (1 - estimate) / n))
        method, note, interval = _BY_CLUSTER, "", share_interval(estimate, spread, confidence_level)
    return Accuracy(estimate, interval, n, n_right, units, method, note, confidence_level)


def macro_interval(
    correct: npt.ArrayLike,
    artist: npt.ArrayLike,
    *,
    cluster: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> Accuracy:
    """Estimate the mean over artists of the fraction classified correctly, with a confidence interval.

    Parameters
    ----------
    correct : array_like, shape (n,), bool
    artist : array_like, shape (n,)
        The artist named in the prompt.
    cluster : array_like, shape (n,), optional
        The prompt of each picture. Artists whose pictures have the same label share a prompt.
    confidence_level : float

    Returns
    -------
    Accuracy

    Raises
    ------
    ValueError
        If there are no pictures, `correct` has values other than 0 and 1, or a label array does not have one label per
        picture.

    Notes
    -----
    The interval is for the mean over artists like these: artists are a sample. It is
    `imindex.stats.intervals.share_interval` of the variance over artists and over the prompts that they share
    (`imindex.stats.resampling.over_artists`), or of the variance of independent pictures if that is larger.

    Examples
    --------
    >>> result = macro_interval([1, 1, 0, 1, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1, 2, 2])
    >>> round(result.estimate, 4), result.n_units, result.method
    (0.4167, 3, 'Clopper-Pearson on the fractional count')
    """
    right = _right(correct)
    _check(confidence_level)
    number = _numbers(artist, len(right), "artist")
    labels = None if cluster is None else _numbers(cluster, len(right), "cluster")
    found = over_artists(right, number, labels)
    units, note = found.spread.n_units, ""
    if len(found.means) == 1:
        method, interval = "none", Interval(np.nan, np.nan)
        note = "one artist only: no interval over artists. See accuracy_interval."
    elif units == 1:
        method, interval = "none", Interval(np.nan, np.nan)
        note = "all artists share one prompt: no interval. Generate imitations from more prompts."
    else:
        sizes = np.bincount(number)
        least = float((found.means * (1 - found.means) / sizes).sum()) / len(sizes) ** 2
        spread = replace(found.spread, variance=max(found.spread.variance, least))
        method, interval = _BY_CLUSTER, share_interval(found.estimate, spread, confidence_level)
    return Accuracy(
        found.estimate, interval, len(right), int(right.sum()), units, method, note, confidence_level
    )


@dataclass(frozen=True, eq=False)
class ChanceTest:
    """Result of `chance_test` for A artists.

    Attributes
    ----------
    pvalue : ndarray, shape (A,), float64
        Not corrected for the number of artists. 1 for an artist without pictures.
    n_right, n : ndarray, shape (A,), int64
    chance : ndarray, shape (A,), float64
    assumes : str
        The assumption to print next to the p-values.
    """

    pvalue: Float64
    n_right: Int64
    n: Int64
    chance: Float64
    assumes: str = "pictures independent"


def chance_test(
    correct_by_artist_counts: npt.ArrayLike, n: npt.ArrayLike, chance: npt.ArrayLike
) -> ChanceTest:
    """Test for each artist whether more pictures are classified correctly than by guessing.

    Parameters
    ----------
    correct_by_artist_counts : array_like, shape (A,), integers
        Number of pictures in each artist's set that are classified correctly.
    n : array_like, shape (A,) or (), integers
        Number of pictures in each set.
    chance : array_like, shape (A,) or (), float
        The expected fraction of correct guesses, such as 1 / labels.

    Returns
    -------
    ChanceTest

    Raises
    ------
    ValueError
        If a count is below 0 or above n, or a chance is outside [0, 1].

    Notes
    -----
    One-sided exact binomial test. Assumption: pictures are independent. This does not hold if several pictures come
    from one prompt, and labels do not have equal chances if one of them attracts many pictures. Interpret the result
    together with `name_test`.

    Examples
    --------
    >>> chance_test([3, 0], 3, 0.5).pvalue.tolist()
    [0.125, 1.0]
    """
    counts, sizes, rate = np.broadcast_arrays(
        np.asarray(correct_by_artist_counts), np.asarray(n), np.asarray(chance, dtype=np.float64)
    )
    integral = (counts == np.round(counts)) & (sizes == np.round(sizes))
    if not (integral & (counts >= 0) & (counts <= sizes)).all():
        raise ValueError("correct_by_artist_counts: expected integers from 0 to n.")
    if not ((rate >= 0) & (rate <= 1)).all():
        raise ValueError("chance: expected fractions from 0 to 1, such as 1 / labels.")
    p = np.where(counts == 0, 1.0, np.maximum(scipy.stats.binom.sf(counts - 1, sizes, rate), LEAST))
    return ChanceTest(p, counts.astype(np.int64), sizes.astype(np.int64), rate.copy())


@dataclass(frozen=True)
class GenericTest:
    """Result of `generic_test`.

    Attributes
    ----------
    share : float
        Fraction classified as the artist among pictures classified as the artist or as generic. NaN without any.
    pvalue : float
    n_right, n_generic : int
    alternative : str
    """

    share: float
    pvalue: float
    n_right: int
    n_generic: int
    alternative: str


def generic_test(n_right: int, n_generic: int, *, alternative: str = "greater") -> GenericTest:
    """Test whether pictures are classified as the artist more often than as generic.

    Parameters
    ----------
    n_right, n_generic : int
        Number of pictures classified as the artist, and with a generic label. Other pictures are ignored.
    alternative : {"two-sided", "less", "greater"}
        "greater": more often as the artist.

    Returns
    -------
    GenericTest
        The p-value is 1 if both counts are 0.

    Notes
    -----
    Sign test: exact binomial test with probability 1/2 (Dixon & Mood 1946). Assumption: pictures are independent, as in
    `chance_test`.

    Examples
    --------
    >>> generic_test(5, 0).pvalue, generic_test(0, 0).pvalue
    (0.03125, 1.0)
    """
    if min(n_right, n_generic) < 0:
        raise ValueError(f"n_right is {n_right} and n_generic is {n_generic}. Counts must not be negative.")
    if alternative not in ("two-sided", "less", "greater"):
        raise ValueError(f"alternative is {alternative!r}. Pass one of two-sided, less, greater.")
    n = n_right + n_generic
    p = float(scipy.stats.binomtest(n_right, n, 0.5, alternative=alternative).pvalue) if n else 1.0
    return GenericTest(n_right / n if n else np.nan, p, n_right, n_generic, alternative)


@dataclass(frozen=True)
class TemplateSpread:
    """Accuracy over prompt templates: `low`, `high`, `range` (high - low) and `mean`."""

    low: float
    high: float
    range: float
    mean: float


def between_templates(accuracies: npt.ArrayLike) -> TemplateSpread:
    """Summarise the accuracies of different prompt templates, shape (n,).

    Examples
    --------
    >>> between_templates([0.25, 0.5, 0.75])
    TemplateSpread(low=0.25, high=0.75, range=0.5, mean=0.5)
    """
    values = np.asarray(accuracies, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("accuracies: expected at least one finite accuracy, one per template.")
    low, high = float(values.min()), float(values.max())
    return TemplateSpread(low, high, high - low, float(values.mean()))


def _right(correct: npt.ArrayLike) -> Float64:
    right = np.asarray(correct)
    if right.ndim != 1 or not len(right):
        raise ValueError(
            f"correct: expected at least one value, one per picture, not the shape {right.shape}."
        )
    if not np.isin(right, (0, 1)).all():
        raise ValueError("correct: expected only True or False. Leave out pictures that were not classified.")
    return right.astype(np.float64)


def _numbers(labels: npt.ArrayLike, n: int, name: str) -> Int64:
    values = np.asarray(labels)
    if values.shape != (n,):
        raise ValueError(f"{name}: expected {n} labels, one per picture, not the shape {values.shape}.")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _by_cluster(right: Float64, cluster: npt.ArrayLike | None, singletons: Int64) -> tuple[Float64, Float64]:
    """Return the numbers of correct pictures and of pictures per cluster; without clusters, each picture is its own."""
    number = _numbers(singletons if cluster is None else cluster, len(right), "cluster")
    return np.bincount(number, right).astype(np.float64), np.bincount(number).astype(np.float64)


def _check(confidence_level: float) -> None:
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
