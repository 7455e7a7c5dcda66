"""Unprompted leakage: are pictures of prompts that name nobody near an artist's works?

Every release is nearer to some artists than to others, so nearness alone says nothing. The reference are works of
artists that the release cannot have learned from, and the p-value of an artist is the rank among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import Interval, clopper_pearson
from imindex.stats.keyed import Rng
from imindex.stats.mmd import mmd_test, rbf_kernel_from_similarity
from imindex.stats.named_sets import TIE, rank_pvalue
from imindex.stats.set_scores import Float64
from imindex.stats.set_statistics import DEFAULT, Statistic, fit

TOP = 0.1
"""Share of the pictures, the nearest ones, whose mean score is compared with the median."""
FOLDS = 10
"""Most folds in which works are held out."""
FEWEST_PICTURES = 10
"""Pictures below which the nearest tenth is a single picture."""
FEWEST_ARTISTS = 2
"""Artists of a kind below which the kinds are not compared."""


@dataclass(frozen=True, eq=False)
class Leakage:
    """Result of `leakage` for T tested and M absent artists.

    Attributes
    ----------
    statistic : ndarray, shape (T + M,), float64
        `upper_gap` of the log odds of each artist, in standard deviations (see Notes); the tested artists first.
    pvalue : ndarray, shape (T,), float64
        (1 + absent artists with at least this statistic) / (1 + M); NaN without absent artists.
    n_at_least : ndarray, shape (T,), int64
        Number of absent artists with at least this statistic.
    odds : ndarray, shape (n, T + M), float64
        Log odds of each picture for each artist.
    threshold : ndarray, shape (T + M,), float64
        Log odds from which a picture counts as like the artist: half of the way from the median picture to the median
        of the artist's own held-out works. NaN if the works are not above the pictures.
    share : ndarray, shape (T + M,), float64
        Share of the pictures at or above the threshold.
    absent_share : float
        Mean share over absent artists; NaN without any.
    excess : ndarray, shape (T,), float64
        share - absent_share.
    intervals : tuple of Interval
        Of the excess; NaN with fewer than 2 absent artists.
    n_pictures, n_works, n_absent : int
        Pictures, works of each artist, and absent artists.
    """

    statistic: Float64
    pvalue: Float64
    n_at_least: npt.NDArray[np.int64]
    odds: Float64
    threshold: Float64
    share: Float64
    absent_share: float
    excess: Float64
    intervals: tuple[Interval, ...]
    n_pictures: int
    n_works: int
    n_absent: int

    @property
    def resolution(self) -> float:
        """Smallest possible p-value."""
        return 1 / (1 + self.n_absent) if self.n_absent else np.nan


def upper_gap(scores: npt.ArrayLike, *, top: float = TOP) -> Float64:
    """Return the mean score of the nearest pictures minus the median score.

    Parameters
    ----------
    scores : array_like, shape (n, K)
        Of n pictures for K artists; higher is nearer.
    top : float
        Share of the pictures that are the nearest, rounded to at least one picture.

    Returns
    -------
    ndarray, shape (K,), float64

    Notes
    -----
    If a share f < 1/2 of the pictures shows an artist, the nearest ones rise and the median stays. What moves all
    pictures alike, such as works that are nearer to pictures in general, moves both and cancels. An artist who appears
    in more than half of the pictures moves the median as well and is found less often.

    Examples
    --------
    >>> upper_gap([[0.0, 5.0], [1.0, 5.0], [2.0, 9.0]]).tolist()
    [1.0, 4.0]
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"scores: expected finite scores of pictures x artists, not the shape {values.shape}."
        )
    if not 0 < top <= 1:
        raise ValueError(f"top is {top}. It must be above 0 and at most 1.")
    ordered = np.sort(values, axis=0)
    n_top = max(1, round(top * len(values)))
    return np.asarray(ordered[-n_top:].mean(axis=0) - np.median(ordered, axis=0))


def leakage(
    works: npt.ArrayLike,
    pictures: npt.ArrayLike,
    n_tested: int,
    *,
    statistic: Statistic = DEFAULT,
    confidence_level: float = 0.95,
) -> Leakage:
    """Test whether artists resurface in pictures whose prompts name nobody.

    Parameters
    ----------
    works : array_like, shape (K, m, d)
        Unit vectors of m works of each artist: first the tested artists, then the absent ones, who cannot have been
        learned from. Take the same number of works of all.
    pictures : array_like, shape (n, d)
        Unit vectors of the nameless pictures.
    n_tested : int
        Number of tested artists, T. The other K - T are absent.
    statistic : {"lda", "linear", "direction", "softmax", "rank"}
        Score of single pictures, `imindex.stats.set_statistics.fit`.
    confidence_level : float

    Returns
    -------
    Leakage

    Raises
    ------
    ValueError
        Shapes disagree, or there are fewer than 2 works of each artist, 2 artists or 1 picture.

    Notes
    -----
    The score is fitted to the works of all artists, tested and absent ones alike, so exchanging the works of two
    artists exchanges their statistics. If a tested artist's works are exchangeable with those of the absent artists,
    given the pictures, P(p <= alpha) <= alpha: p is a conformal p-value (Bates et al. 2023, doi:10.1214/22-AOS2244).
    With a score that treats all artists alike, the p-values of several artists are positively dependent as
    Benjamini-Hochberg requires (Marandon et al. 2024, doi:10.1214/23-AOS2338).

    **Exchangeability is an assumption.** It fails if the works of the tested artists differ in kind from those of the
    absent ones. `kinds_test` looks for differences that are seen in the works, and
    ``scripts/bench/question_worlds_leakage.py`` measures how false p is then.

    The statistic of an artist is g / sqrt(D), where g is the `upper_gap` of the log odds, and D is the median log odds
    of the artist's own held-out works less that of the pictures; at least the standard deviation of the former. For
    normal distributions with one covariance, the log odds of two groups differ by D on average and have the variance D,
    so this is a gap in standard deviations. Without the division, artists who are far from the pictures have the
    largest gaps, only because their log odds vary most. It was chosen by simulation (the same script,
    ``--only statistics``) against the gap itself, the mean, the mean of the nearest tenth, shares above an artist's
    level, and others.

    The share is a description, not a test. A picture that imitates an artist weakly is not counted. The interval of the
    excess combines Clopper & Pearson's interval of the artist's share with the prediction interval, by Student's t, of
    the share of one more absent artist, as Zou & Donner (2008, doi:10.1002/sim.3095) do for differences.

    Time, on one core with 512 dimensions: 80 artists with 10 works and 200 pictures take about 1 s.

    Examples
    --------
    Five artists, of whom the first appears in 6 of 20 pictures:

    >>> rng = np.random.default_rng(0)
    >>> works = np.eye(16)[:5, None] + 0.1 * rng.normal(size=(5, 4, 16))
    >>> pictures = np.eye(16)[10] + 0.1 * rng.normal(size=(20, 16))
    >>> pictures[:6] += np.eye(16)[0] - np.eye(16)[10]
    >>> result = leakage(works, pictures, 1)
    >>> result.pvalue.tolist(), float(result.share[0]), result.absent_share
    ([0.2], 0.3, 0.0)
    """
    vectors, seen = np.asarray(works, np.float64), np.asarray(pictures, np.float64)
    if vectors.ndim != 3 or seen.ndim != 2 or vectors.shape[2] != seen.shape[1]:
        raise ValueError(
            f"works, pictures: expected the shapes (K, m, d) and (n, d), not {vectors.shape} and {seen.shape}."
        )
    n_artists, n_works, dim = vectors.shape
    if n_artists < 2 or n_works < 2 or not len(seen):
        raise ValueError(
            f"works, pictures: at least 2 artists with 2 works and 1 picture are needed, not {n_artists} artists with "
            f"{n_works} works and {len(seen)} pictures."
        )
    if not 1 <= n_tested <= n_artists:
        raise ValueError(f"n_tested is {n_tested}. It must be from 1 to the number of artists, {n_artists}.")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    artist = np.repeat(np.arange(n_artists), n_works)
    odds = fit(vectors.reshape(-1, dim), artist, statistic).score(seen)
    held_out = held_out_scores(vectors, statistic)
    middle, own = np.median(odds, axis=0), np.median(held_out, axis=1)
    gaps = upper_gap(odds) / np.sqrt(np.maximum(own - middle, np.maximum(held_out.std(axis=1), TIE)))
    absent = gaps[n_tested:]
    at_least = np.array([_at_least(gap, absent) for gap in gaps[:n_tested]], np.int64)
    threshold = np.where(own > middle, (own + middle) / 2, np.nan)
    share = np.where(np.isnan(threshold), np.nan, (odds >= threshold).mean(axis=0))
    absent_shares = share[n_tested:][~np.isnan(share[n_tested:])]
    absent_share = float(absent_shares.mean()) if len(absent_shares) else np.nan
    return Leakage(
        statistic=gaps,
        pvalue=np.array([rank_pvalue(float(gap), absent) for gap in gaps[:n_tested]]),
        n_at_least=at_least,
        odds=odds,
        threshold=threshold,
        share=share,
        absent_share=absent_share,
        excess=share[:n_tested] - absent_share,
        intervals=tuple(
            excess_interval(float(one), len(seen), absent_shares, confidence_level=confidence_level)
            for one in share[:n_tested]
        ),
        n_pictures=len(seen),
        n_works=n_works,
        n_absent=len(absent),
    )


def change_pvalues(statistic: npt.ArrayLike, clean: npt.ArrayLike, n_tested: int) -> Float64:
    """Return the p-values of the change of each tested artist's statistic from a clean release, among absent artists.

    Parameters
    ----------
    statistic, clean : array_like, shape (T + M,)
        `Leakage.statistic` by the pictures of the release, and of one that cannot show the tested artists.
    n_tested : int

    Returns
    -------
    ndarray, shape (n_tested,), float64
        (1 + absent artists whose statistic grew at least as much) / (1 + M).

    Notes
    -----
    What makes an artist's statistic large in any release, such as works that are near pictures in general, cancels. The
    assumption is the same as that of `leakage`, and less of it matters; the difference has more noise.

    Examples
    --------
    >>> change_pvalues([5.0, 3.0, 2.0, 1.0], [1.0, 3.5, 2.0, 1.0], 2).round(2).tolist()
    [0.33, 1.0]
    """
    change = np.asarray(statistic, np.float64) - np.asarray(clean, np.float64)
    return np.array([rank_pvalue(float(one), change[n_tested:]) for one in change[:n_tested]])


def _at_least(value: float, absent: Float64) -> int:
    return int(np.count_nonzero(absent >= value - TIE * max(1.0, abs(value))))


def held_out_scores(works: npt.ArrayLike, statistic: Statistic = DEFAULT) -> Float64:
    """Score each work for its own artist, by a fit without it.

    Parameters
    ----------
    works : array_like, shape (K, m, d)
    statistic : {"lda", "linear", "direction", "softmax", "rank"}

    Returns
    -------
    ndarray, shape (K, m), float64

    Notes
    -----
    Each fold leaves out the same number of works of every artist, so that all artists are treated alike. There are m
    folds, at most 10.

    Examples
    --------
    >>> works = np.eye(8)[:2, None] + 0.1 * np.random.default_rng(0).normal(size=(2, 5, 8))
    >>> held_out_scores(works).shape
    (2, 5)
    """
    vectors = np.asarray(works, np.float64)
    n_artists, n_works, dim = vectors.shape
    fold = np.arange(n_works) % min(FOLDS, n_works)
    scores = np.empty((n_artists, n_works))
    for number in range(int(fold.max()) + 1):
        out = np.flatnonzero(fold == number)
        kept = vectors[:, fold != number]
        artist = np.repeat(np.arange(n_artists), kept.shape[1])
        scorer = fit(kept.reshape(-1, dim), artist, statistic)
        table = scorer.score(vectors[:, out].reshape(-1, dim)).reshape(n_artists, len(out), n_artists)
        scores[:, out] = table[np.arange(n_artists), :, np.arange(n_artists)]
    return scores


def excess_interval(
    share: float, n: int, absent: npt.ArrayLike, *, confidence_level: float = 0.95
) -> Interval:
    """Return the interval of a share beyond what an absent artist would get.

    Parameters
    ----------
    share : float
        Share of n pictures.
    n : int
    absent : array_like, shape (M,)
        Shares of absent artists, of the same pictures.
    confidence_level : float

    Returns
    -------
    Interval
        Of the difference from the mean of `absent`; within [-1, 1]. NaN with fewer than 2 absent artists, or if `share`
        is NaN.

    Examples
    --------
    >>> ends = excess_interval(0.3, 100, [0.0, 0.02, 0.01, 0.05])
    >>> round(ends.low, 2), round(ends.high, 2)
    (0.16, 0.38)
    """
    others = np.asarray(absent, np.float64)
    if np.isnan(share) or len(others) < 2:
        return Interval(np.nan, np.nan)
    own = clopper_pearson(share * n, n, confidence_level)
    mean = float(others.mean())
    half = float(scipy.stats.t.ppf((1 + confidence_level) / 2, len(others) - 1)) * float(
        others.std(ddof=1) * np.sqrt(1 + 1 / len(others))
    )
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    difference = share - mean
    return Interval(
        float(difference - np.hypot(share - own.low, high - mean)),
        float(difference + np.hypot(own.high - share, mean - low)),
    )


@dataclass(frozen=True, eq=False)
class KindsTest:
    """Result of `kinds_test`: do tested and absent artists differ in kind?

    Attributes
    ----------
    pvalue : float
        The smallest of the p-values below times their number (Bonferroni); NaN with fewer than 2 artists of a kind.
    typical_pvalue, alike_pvalue : float
        Two-sided permutation p-values of `typical` and `alike`.
    place_pvalue : float
        Of the kernel two-sample test of the artists' mean works: another source, another scanner, other subjects.
    nearness_pvalue : float
        Two-sided, of `nearness`; NaN if it was not given.
    typical : float
        Mean cosine of an artist's works with the works of all other artists, tested minus absent artists.
    alike : float
        Mean cosine between works of an artist, tested minus absent artists.
    nearness : float
        Tested minus absent artists, in standard deviations.
    """

    pvalue: float
    typical_pvalue: float
    alike_pvalue: float
    place_pvalue: float
    nearness_pvalue: float
    typical: float
    alike: float
    nearness: float


def kinds_test(
    works: npt.ArrayLike,
    n_tested: int,
    *,
    nearness: npt.ArrayLike | None = None,
    n_resamples: int = 999,
    rng: Rng = None,
) -> KindsTest:
    """Test whether tested and absent artists differ in kind, without the release.

    Parameters
    ----------
    works : array_like, shape (K, m, d)
        As for `leakage`.
    n_tested : int
    nearness : array_like, shape (K,), optional
        The statistic of each artist for a release that cannot show any of them.
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    KindsTest

    Notes
    -----
    Null hypothesis: tested and absent artists are exchangeable, the assumption of `leakage`. The unit is the artist:
    artists are assigned to the two kinds at random, and p is (b + 1) / (B + 1). A rejection says that p-values of
    `leakage` may be too small or too large. No rejection does not show that they are right: with few artists only large
    differences are seen (``scripts/bench/question_worlds_leakage.py`` measures the power).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> works = np.eye(16)[15] + 0.3 * rng.normal(size=(24, 1, 16)) + 0.2 * rng.normal(size=(24, 5, 16))
    >>> works[:8] += np.eye(16)[14]
    >>> works /= np.linalg.norm(works, axis=2, keepdims=True)
    >>> kinds_test(works, 8, rng=0).pvalue <= 0.05
    True
    """
    vectors = np.asarray(works, np.float64)
    if vectors.ndim != 3 or vectors.shape[1] < 2:
        raise ValueError(f"works: expected artists x works x dimensions, not the shape {vectors.shape}.")
    n_artists, n_works, _ = vectors.shape
    n_absent = n_artists - n_tested
    if min(n_tested, n_absent) < FEWEST_ARTISTS:
        return KindsTest(*[np.nan] * 8)
    random = np.random.default_rng(rng)
    means = vectors.mean(axis=1)
    total = means.sum(axis=0)
    typical = np.einsum("kd,kd->k", means, total - means) / (n_artists - 1)
    squares = np.einsum("kmd,kmd->k", vectors, vectors) / n_works
    alike = (n_works * np.einsum("kd,kd->k", means, means) - squares) / (n_works - 1)
    kept = np.zeros((n_resamples + 1, n_artists), np.bool_)
    kept[0, :n_tested] = True
    for row in kept[1:]:
        row[random.permutation(n_artists)[:n_tested]] = True
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    place = mmd_test(
        rbf_kernel_from_similarity(unit @ unit.T), n_tested, n_resamples=n_resamples, rng=random
    ).pvalue
    near, near_p = np.nan, np.nan
    if nearness is not None:
        values = np.asarray(nearness, np.float64)
        near, near_p = _two_sided(values, kept)
        near = near / float(values.std()) if values.std() > 0 else 0.0
    (typical_gap, typical_p), (alike_gap, alike_p) = (_two_sided(one, kept) for one in (typical, alike))
    p = [one for one in (typical_p, alike_p, place, near_p) if not np.isnan(one)]
    return KindsTest(
        min(1.0, len(p) * min(p)), typical_p, alike_p, place, near_p, typical_gap, alike_gap, near
    )


def _two_sided(values: Float64, kept: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the difference of means, and its permutation p-value; the first row of `kept` is the true assignment."""
    n = int(kept[0].sum())
    sums = kept @ values
    differences = sums / n - (values.sum() - sums) / (len(values) - n)
    size = np.abs(differences)
    reached = np.count_nonzero(size[1:] >= size[0] - TIE * max(1.0, float(size[0])))
    return float(differences[0]), float((1 + reached) / len(kept))
