"""Statistics of sets of imitations that are learned from works.

The score of a picture for an artist is a function that is fitted to works, and at most to the pictures of all names
taken together, without their names. The score of a set is its mean over the set's pictures. Exchanging two sets does
not change the function, so a set's own score and those of the placebo sets are exchangeable whenever the sets are:
`imindex.stats.references.name_test` is exact with any of these statistics.

=========== ===========================================================================================
`rank`      mean rank percentile of the set by the artist's works (`imindex.stats.set_scores`)
`direction` cosine with the direction from the other artists' mean works to the artist's mean work
`softmax`   share of the artist in a softmax over cosines with the artists' mean works
`lda`       log odds of the artist against all other artists, by a linear discriminant with a shrunken covariance
`linear`    linear discriminant of the artist's mean work against the mean of the other artists' mean works
=========== ===========================================================================================

METHODS.md states why `lda` is the default; `scripts/bench/calibration --only statistics` measures what each of them
finds in simulated worlds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import Interval, clopper_pearson
from imindex.stats.set_scores import Float64, Int64, SetScores

Statistic = Literal["lda", "linear", "direction", "softmax", "rank"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
DEFAULT: Statistic = "lda"
DISCRIMINANTS = ("lda", "linear")
"""Statistics that use a covariance."""
TEMPERATURE = 0.02
"""Temperature of the softmax over cosines."""
FOLDS = 10
BESIDE = 20
"""Held-out works are compared with those of other artists in the same fold if there are at least this many."""
LEVEL = 0.05
"""Level at which it is decided whether works of an artist can be told from those of others."""
POOL = 20_000
"""Most pictures, roughly, from which a covariance is estimated."""
_BLOCK = 2**22
_FOLD = 2**24
"""Number of scores of held-out works that are computed at a time."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores of pictures for K artists; returned by `fit`.

    Attributes
    ----------
    statistic : str
    artists : ndarray, shape (K,), int64
        Numbers of the artists, ascending: those with works.
    weights : ndarray, shape (d, K), float64
    offsets : ndarray, shape (K,), float64
    shrinkage : float
        Weight of the identity in the works' covariance for `lda` and `linear`, between 0 and 1; NaN for other
        statistics.
    """

    statistic: Statistic
    artists: Int64
    weights: Float64
    offsets: Float64
    shrinkage: float

    @property
    def is_linear(self) -> bool:
        """Whether the score of a mean of pictures is the mean of their scores."""
        return self.statistic not in ("lda", "softmax")

    def score(self, pictures: npt.ArrayLike) -> Float64:
        """Score pictures, shape (n, d), for each artist.

        Returns
        -------
        ndarray, shape (n, K), float64
            Higher means more like the artist's works. The log odds of `lda` and the discriminants of `linear` have no
            bounds, a share of `softmax` is between 0 and 1, and a cosine of `direction` or `rank` between -1 and 1.

        Raises
        ------
        ValueError
            If a value is not finite.
        """
        vectors = np.asarray(pictures, np.float64)
        if not np.isfinite(vectors).all():
            raise ValueError("pictures: a value is not finite. Encode the picture again, or exclude it.")
        linear = vectors @ self.weights + self.offsets
        if self.statistic == "lda":
            return _log_odds(linear)
        if self.statistic == "softmax":
            return np.asarray(scipy.special.softmax(linear / TEMPERATURE, axis=1))
        return linear


def fit(
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    statistic: Statistic = DEFAULT,
    *,
    pictures: npt.ArrayLike | None = None,
) -> Scorer:
    """Fit a statistic to works.

    Parameters
    ----------
    works : array_like, shape (W, d)
        Unit vectors.
    work_artist : array_like, shape (W,), integers
        Number of the artist of each work, background artists included.
    statistic : {"lda", "linear", "direction", "softmax", "rank"}
        With "rank" the scorer is the cosine with the artist's mean work, which orders sets much as ranks do; it serves
        `tell_apart`. The rank percentiles themselves are those of `imindex.stats.set_scores`.
    pictures : array_like, shape (P, d), optional
        Pictures of the release without their names, as many of every set: the rows `pooled` of the imitations. The
        covariance of `lda` and `linear` is then the mean of the works' and the pictures'; the other statistics do not
        use them.

    Returns
    -------
    Scorer

    Raises
    ------
    ValueError
        Shapes disagree, a value is not finite, the statistic is unknown, or there are works of fewer than two artists.

    Notes
    -----
    `lda` is Fisher's linear discriminant with equal priors. The covariance S is that of works around the mean of their
    artist, pooled over artists, and shrunken towards a multiple of the identity with the weight of Ledoit & Wolf (2004,
    doi:10.1016/S0047-259X(03)00096-4). With the discriminants d_k(x) = x' S^-1 m_k - m_k' S^-1 m_k / 2, the log odds
    are d_a(x) - log sum over b != a of exp d_b(x). A picture that is far from every artist has no high odds for any.

    `linear` is (x - (m_a + r_a) / 2)' S^-1 (m_a - r_a), with r_a the mean of the other artists' means. Being linear, it
    adds the same constant to every set if the pictures of a release are shifted together.

    What counts in a test is how much sets vary, and sets can vary in dimensions in which works hardly do. S then gives
    these dimensions too much weight. With `pictures`, S is the mean of the shrunken covariances of works and of
    pictures, the latter around their common mean and with the variation between names. All names contribute alike and
    without their labels, so the tests stay exact.

    Examples
    --------
    >>> works = np.eye(4)[[0, 0, 1, 1, 2, 2]] + 0.01 * np.random.default_rng(1).normal(size=(6, 4))
    >>> scorer = fit(works, [0, 0, 1, 1, 2, 2])
    >>> scorer.score(np.eye(4)[:3]).argmax(axis=1).tolist()
    [0, 1, 2]
    """
    vectors, artist = np.asarray(works, np.float64), np.asarray(work_artist, np.int64)
    if statistic not in STATISTICS:
        raise ValueError(f"statistic: expected one of {', '.join(STATISTICS)}, not {statistic!r}.")
    if vectors.ndim != 2 or artist.shape != vectors.shape[:1]:
        raise ValueError(f"works, work_artist: the shapes {vectors.shape} and {artist.shape} do not match.")
    if not np.isfinite(vectors).all():
        raise ValueError("works: a value is not finite. Encode the picture again, or exclude it.")
    artists, label = np.unique(artist, return_inverse=True)
    if len(artists) < 2:
        raise ValueError("works: at least two artists are needed.")
    means = _means(vectors, label, len(artists))
    others = (means.sum(axis=0) - means) / (len(artists) - 1)
    offsets, shrinkage = np.zeros(len(artists)), np.nan
    if statistic in DISCRIMINANTS:
        residuals = means[label]
        np.subtract(vectors, residuals, out=residuals)
        covariance, shrinkage = shrunken_covariance(residuals, max(1, len(vectors) - len(artists)))
        if pictures is not None:
            covariance = (covariance + _covariance(pictures, vectors.shape[1])) / 2
        factor = scipy.linalg.cho_factor(covariance, lower=True)
        weights = scipy.linalg.cho_solve(factor, means.T if statistic == "lda" else (means - others).T)
        middle = means if statistic == "lda" else means + others
        offsets = -0.5 * np.einsum("kd,dk->k", middle, weights)
    elif statistic == "direction":
        weights = _unit(means - others).T
    else:
        weights = _unit(means).T
    return Scorer(statistic, artists.astype(np.int64), np.ascontiguousarray(weights), offsets, shrinkage)


def pooled(scores: SetScores) -> Int64:
    """Return the rows of the imitations to which `fit` may adapt its covariance: as many of every set.

    Parameters
    ----------
    scores : SetScores

    Returns
    -------
    ndarray, shape (P,), int64
        Of each set that is used in a test, the first pictures in `SetScores.order`, as many as the smallest size at
        which sets are compared, or fewer where these are more than `POOL`. Every compared set then contributes equally
        to the covariance, which keeps the tests exact. Empty if nothing is tested.

    Examples
    --------
    >>> from imindex.stats.set_scores import collect, twice_midranks
    >>> ranks = twice_midranks([[0.9, 0.8, 0.1, 0.2, 0.3]])
    >>> pooled(collect([(slice(0, 1), ranks)], [0], [0, 0, 1, 1, 1], 2, rng=1)).size
    4
    """
    if not scores.sums:
        return np.empty(0, np.int64)
    size = min(scores.sums)
    starts = (np.cumsum(scores.n_imitations) - scores.n_imitations)[scores.n_imitations >= size]
    size = max(1, min(size, POOL // len(starts)))
    rows: Int64 = scores.order[(starts[:, None] + np.arange(size)).ravel()]
    return rows


def shrunken_covariance(residuals: Float64, degrees_of_freedom: int) -> tuple[Float64, float]:
    """Estimate a covariance matrix from residuals, shrunken towards a multiple of the identity.

    Parameters
    ----------
    residuals : ndarray, shape (n, d)
        With mean zero.
    degrees_of_freedom : int
        Divisor of the sum of squares.

    Returns
    -------
    covariance : ndarray, shape (d, d)
        Positive definite.
    shrinkage : float
        Weight of the identity, from 0 to 1: that of Ledoit & Wolf (2004), with n the degrees of freedom.
    """
    n, d = residuals.shape
    sample = residuals.T @ residuals / degrees_of_freedom
    scale = float(np.trace(sample)) / d
    if not scale > 0:  # no artist has two different works
        return np.eye(d), 1.0
    squares = np.einsum("nd,nd->n", residuals, residuals) * (n / degrees_of_freedom)
    distance = float(np.square(sample).sum()) - d * scale**2
    error = (float(np.square(squares).sum()) / n - float(np.square(sample).sum())) / degrees_of_freedom
    shrinkage = 1.0 if distance <= 0 else min(1.0, max(0.0, error / distance))
    # A little of the identity always remains, so that the matrix can be inverted.
    shrinkage = max(shrinkage, 1e-3)
    covariance = (1 - shrinkage) * sample
    covariance.flat[:: d + 1] += shrinkage * scale
    return covariance, shrinkage


def _covariance(pictures: npt.ArrayLike, d: int) -> Float64:
    vectors = np.asarray(pictures, np.float64)
    if vectors.ndim != 2 or vectors.shape[1] != d or len(vectors) < 2:
        raise ValueError(
            f"pictures: expected at least two vectors of {d} values, not the shape {vectors.shape}."
        )
    if not np.isfinite(vectors).all():
        raise ValueError("pictures: a value is not finite. Encode the picture again, or exclude it.")
    return shrunken_covariance(vectors - vectors.mean(axis=0), len(vectors) - 1)[0]


@dataclass(frozen=True, eq=False)
class SetTable:
    """Score of each set for each artist; returned by `set_table`.

    Attributes
    ----------
    statistic : str
    values : dict from size to ndarray, shape (A, A), float64
        Row a, column s: mean score for artist a over `size` pictures of set s, the same pictures as in
        `SetScores.sums`. NaN if the set is smaller or a has no works.
    """

    statistic: Statistic
    values: dict[int, Float64]


def set_table(scorer: Scorer, pictures: npt.NDArray[np.floating], scores: SetScores) -> SetTable:
    """Score every set of a release.

    Parameters
    ----------
    scorer : Scorer
    pictures : ndarray, shape (M, d)
        The imitations, in the order in which `scores` numbers them.
    scores : SetScores
        Defines the sets, the sizes at which they are compared, and the subsamples.

    Returns
    -------
    SetTable

    Notes
    -----
    Memory: a block of pictures x artists at a time, and the tables. The linear statistics score the mean picture of
    each set, which is faster. On one core with 512 dimensions and 20 works per artist, with the fit: 70 artists and 169
    sets of 12 pictures take 0.2 s; 1,000 artists and 100,000 pictures take 15 to 30 s (`lda`) or 2 s (`linear`).
    """
    n_artists = len(scores.sizes)
    sizes = sorted(scores.sums)
    values = {size: np.full((n_artists, n_artists), np.nan) for size in sizes}
    ends = np.cumsum(scores.n_imitations)
    if scorer.is_linear:
        for size in sizes:
            compared = np.flatnonzero(scores.n_imitations >= size)
            starts = ends[compared] - scores.n_imitations[compared]
            means = [
                pictures[scores.order[start : start + size]].mean(axis=0, dtype=np.float64)
                for start in starts
            ]
            values[size][np.ix_(scorer.artists, compared)] = scorer.score(np.array(means)).T
        return SetTable(scorer.statistic, values)
    for sets in _runs(scores.n_imitations, max(1, _BLOCK // len(scorer.artists))):
        first = ends[sets[0]] - scores.n_imitations[sets[0]]
        rows = scores.order[first : ends[sets[-1]]]
        table = scorer.score(pictures[rows])
        for s in sets:
            start = ends[s] - scores.n_imitations[s] - first
            for size in sizes:
                if scores.n_imitations[s] >= size:
                    values[size][scorer.artists, s] = table[start : start + size].mean(axis=0)
    return SetTable(scorer.statistic, values)


@dataclass(frozen=True, eq=False)
class ToldApart:
    """Result of `tell_apart` for A artists.

    Attributes
    ----------
    auc : ndarray, shape (A,), float64
        Probability that a held-out work of the artist scores higher for the artist than another artist's work. NaN
        without two works, or without another artist.
    low, high : ndarray, shape (A,), float64
        Conservative confidence interval: Clopper & Pearson's, for the AUC as a share of the clusters.
    pvalue : ndarray, shape (A,), float64
        One-sided p-value of an AUC of 1/2.
    told : ndarray, shape (A,), bool
        Whether the p-value is at most `LEVEL`.
    n_works, n_clusters : ndarray, shape (A,), int64
        Number of works, and of clusters of near-duplicates.
    statistic : str
    """

    auc: Float64
    low: Float64
    high: Float64
    pvalue: Float64
    told: npt.NDArray[np.bool_]
    n_works: Int64
    n_clusters: Int64
    statistic: Statistic


def tell_apart(
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    statistic: Statistic = DEFAULT,
    cluster: npt.ArrayLike | None = None,
    artists: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> ToldApart:
    """Test for each artist whether a statistic tells held-out works of the artist from those of others.

    Parameters
    ----------
    works : array_like, shape (W, d)
    work_artist : array_like, shape (W,), integers below n_artists
    n_artists : int
    statistic : {"lda", "linear", "direction", "softmax", "rank"}
    cluster : array_like, shape (W,), integers, optional
        Works with the same number are held out together and count as one, such as near-duplicates. By default each
        work is a cluster.
    artists : array_like of int, optional
        The artists that are tested; by default all. The others have NaN.
    confidence_level : float

    Returns
    -------
    ToldApart

    Notes
    -----
    The scorer is fitted `FOLDS` times, each time without a tenth of each artist's clusters, so an artist with up to
    ten clusters has each of them held out alone. The percentile of a held-out work is the share of other artists' works
    held out in the same fold (in any fold, if these are fewer than `BESIDE`) with a lower score for the artist, ties
    counting one half. All works of a fold are scored by the same scorer, so artists with few and with many works are
    judged alike. The mean percentile is the AUC. The p-value is that of `held_out_pvalue`. Works that resemble each
    other for another reason than the artist, such as a series of one motif, count as evidence of the artist here.

    Measured at a nominal 5 %, for artists that are alike and `lda` or `linear`: 3 to 6 %
    (`scripts/bench/calibration --only statistics`).

    The decision uses works only. Selecting artists by it leaves the tests of their imitations valid.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> artist = np.repeat(np.arange(3), 6)
    >>> works = np.eye(3, 8)[artist] + 0.3 * rng.normal(size=(18, 8))
    >>> tell_apart(works, artist, 3).told.tolist()
    [True, True, True]
    """
    vectors, artist = np.asarray(works, np.float64), np.asarray(work_artist, np.int64)
    groups = np.arange(len(artist)) if cluster is None else np.asarray(cluster, np.int64)
    auc, low, high, p = (np.full(n_artists, np.nan) for _ in range(4))
    n_works = np.bincount(artist, minlength=n_artists)
    n_clusters = np.zeros(n_artists, np.int64)
    tested = np.flatnonzero(n_works) if artists is None else np.unique(np.asarray(artists, np.int64))
    tested = tested[n_works[tested] > 0]
    column = np.full(n_artists, -1)
    column[tested] = np.arange(len(tested))
    scores = np.full((len(artist), len(tested)), np.nan)
    fold = np.full(len(artist), -1)
    for f, (rows, scorer) in enumerate(_folds(vectors, artist, groups, statistic)):
        fold[rows] = f
        known = np.flatnonzero(column[scorer.artists] >= 0)
        step = max(1, _FOLD // len(scorer.artists))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            scores[np.ix_(some, column[scorer.artists[known]])] = scorer.score(vectors[some])[:, known]
    for a in tested.tolist():
        own = np.flatnonzero(artist == a)
        _, label = np.unique(groups[own], return_inverse=True)
        n_clusters[a] = label.max() + 1
        by_works = scores[:, column[a]]
        mine, other = by_works[own], (artist != a) & np.isfinite(by_works)
        if n_clusters[a] < 2 or not other.any() or np.isnan(mine).any():
            continue
        percentile = np.empty(len(own))
        for f in np.unique(fold[own]).tolist():
            beside = other & (fold == f)
            others = np.sort(by_works[beside if beside.sum() >= BESIDE else other])
            here = fold[own] == f
            below, upto = (np.searchsorted(others, mine[here], side) for side in ("left", "right"))
            percentile[here] = (below + upto) / (2 * len(others))
        by_cluster = np.bincount(label, percentile) / np.bincount(label)
        auc[a], p[a] = percentile.mean(), held_out_pvalue(by_cluster)
        interval: Interval = clopper_pearson(auc[a] * n_clusters[a], int(n_clusters[a]), confidence_level)
        low[a], high[a] = interval.low, interval.high
    told = np.nan_to_num(p, nan=1.0) <= LEVEL
    return ToldApart(auc, low, high, p, told, n_works, n_clusters, statistic)


def held_out_pvalue(percentile: npt.ArrayLike) -> float:
    """Return the one-sided p-value of held-out percentiles, under the null that their mean is 1/2.

    Parameters
    ----------
    percentile : array_like, shape (n,)
        One per cluster. Each is uniform under the null.

    Notes
    -----
    Normal approximation with the variance n / 6 of the sum, twice that of independent uniform variables: if two works
    resemble each other by chance, each raises the percentile of the other.

    Examples
    --------
    >>> held_out_pvalue([0.5, 0.5]), round(held_out_pvalue([0.95] * 5), 4)
    (0.5, 0.0069)
    """
    values = np.asarray(percentile, np.float64)
    n = len(values)
    return float(scipy.stats.norm.sf((values.sum() - n / 2) / np.sqrt(n / 6)))


def _folds(
    vectors: Float64, artist: Int64, groups: Int64, statistic: Statistic
) -> Iterator[tuple[Int64, Scorer]]:
    """Yield the rows of each fold, and the scorer fitted to all other works."""
    fold = np.empty(len(artist), np.int64)
    for a in np.unique(artist).tolist():
        own = np.flatnonzero(artist == a)
        _, first = np.unique(groups[own], return_index=True)
        order = np.argsort(np.argsort(first))  # clusters in the order in which they first occur
        number = order[np.searchsorted(np.unique(groups[own]), groups[own])]
        n = len(first)
        fold[own] = number % FOLDS if n >= FOLDS else number * FOLDS // n
    for f in np.unique(fold).tolist():
        rows, kept = np.flatnonzero(fold == f), fold != f
        if len(np.unique(artist[kept])) > 1:
            yield rows, fit(vectors[kept], artist[kept], statistic)


def _runs(counts: Int64, most: int) -> Iterator[list[int]]:
    """Yield runs of consecutive non-empty sets with at most `most` pictures, or a single larger set."""
    run: list[int] = []
    total = 0
    for s in np.flatnonzero(counts).tolist():
        if run and total + counts[s] > most:
            yield run
            run, total = [], 0
        run.append(s)
        total += int(counts[s])
    if run:
        yield run


def _log_odds(linear: Float64) -> Float64:
    """Return each column minus the log of the sum of exponentials of the others, without loss near certainty."""
    n = np.arange(len(linear))
    top = linear.argmax(axis=1)
    largest = linear[n, top]
    terms = np.exp(linear - largest[:, None])
    total = terms.sum(axis=1)
    # At most half of the total for every column but the largest, so the difference is accurate.
    odds = linear - largest[:, None] - np.log(np.maximum(total[:, None] - terms, 0.5))
    others = linear.copy()
    others[n, top] = -np.inf
    odds[n, top] = largest - scipy.special.logsumexp(others, axis=1)
    return np.asarray(odds)


def _means(vectors: Float64, label: npt.NDArray[np.intp], n: int) -> Float64:
    counts = np.bincount(label, minlength=n)
    sums = np.empty((vectors.shape[1], n))
    for column, out in zip(vectors.T, sums, strict=True):
        out[:] = np.bincount(label, column, minlength=n)  # adds in the order of the rows
    return np.asarray(np.ascontiguousarray(sums.T) / counts[:, None])


def _unit(vectors: Float64) -> Float64:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))
