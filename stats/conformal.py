"""Attribution of a single picture by conformal prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.set_scores import Float64, Int64

TIE = 1e-12
"""Scores that differ by less, relative to 1 or to the largest of them, are tied."""
NEIGHBOURS = 5
"""Default number of neighbours whose mean similarity is the fit of a picture."""
_ASYMMETRY = 1e-5


@dataclass(frozen=True, eq=False)
class ConformalAttribution:
    """Result of `conformal_attribution` for A artists.

    Attributes
    ----------
    pvalue : ndarray, shape (A,), float64
        Fraction of the artist's distinct works, counting the query as one of them, that fit no better than the query.
        NaN without works; always 1 with one work.
    prediction_set : ndarray of int64
        The artists whose p-value is above 1 - confidence_level, in ascending order. If it is empty, the query resembles
        none of the artists with works.
    excludable : ndarray, shape (A,), bool
        Whether the artist has enough works to be excluded at this level: n_distinct + 1 >= 1 / (1 - level). An artist
        with fewer, but at least one, is always in the set. False without works.
    resolution : ndarray, shape (A,), float64
        1 / (n_distinct + 1), the smallest possible p-value. NaN without works.
    score : ndarray, shape (A,), float64
        Mean similarity of the query to its k nearest distinct works of the artist. NaN without works.
    n_works, n_distinct : ndarray, shape (A,), int64
        Number of works, and of distinct ones: of clusters, if there are any.
    k : int
    confidence_level : float
    """

    pvalue: Float64
    prediction_set: Int64
    excludable: npt.NDArray[np.bool_]
    resolution: Float64
    score: Float64
    n_works: Int64
    n_distinct: Int64
    k: int
    confidence_level: float


def conformal_attribution(
    query_similarity: npt.ArrayLike,
    work_similarity: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    cluster: npt.ArrayLike | None = None,
    k: int = NEIGHBOURS,
    confidence_level: float = 0.95,
) -> ConformalAttribution:
    """Compute the set of artists that a picture may be by, at a given confidence level.

    Parameters
    ----------
    query_similarity : array_like, shape (W,)
        Similarity of the picture to each work, higher is nearer.
    work_similarity : array_like, shape (W, W)
        Symmetric similarity of the works. Only pairs of different works by one artist are used.
    work_artist : array_like, shape (W,), integers
    n_artists : int
    cluster : array_like, shape (W,), optional
        The cluster of each work, such as its near-duplicates (`imindex.stats.duplicates`). Works of one cluster are by
        one artist. By default each work is its own.
    k : int
        Number of neighbours. The fit of a picture is its mean similarity to its k nearest others, or to all others if
        there are fewer.
    confidence_level : float

    Returns
    -------
    ConformalAttribution

    Raises
    ------
    ValueError
        If there are no works, shapes or artist numbers are inconsistent, a similarity in use is not finite or not
        symmetric, k is below 1, or the level is outside (0, 1).

    Notes
    -----
    Full, class-conditional (Mondrian) conformal prediction (Vovk, Gammerman & Shafer 2005, *Algorithmic Learning in a
    Random World*, sections 2.2 and 4.5). For each artist, the query is added to the n works, each of the n + 1 pictures
    is scored by its mean similarity to its k nearest others, and the p-value is the fraction of scores at or below that
    of the query. Ties count, so they keep an artist in the set.

    If the query and the artist's works are exchangeable, P(p <= a) <= a for every a, regardless of the similarity, the
    number of works and k. The set therefore contains the true artist with a probability of at least the level. This
    holds for each artist separately, and needs no correction for the number of artists.

    Limitations. An artist in the set is merely not excluded, which with few works is no evidence at all (see
    `excludable`). A picture by someone outside the index may resemble an artist in it. A picture made after the works,
    such as an imitation, is not exchangeable with them by construction: its p-value shows how it would rank if it were.
    A copy of a work fits well and is never excluded. Series of works and duplicates violate exchangeability, so each
    cluster counts as one work, its first: if the query is a work from another series, it is exchangeable with the first
    works of the series. The other works of a cluster are not used.

    Examples
    --------
    >>> angle = np.array([0.0, 0.1, 0.2, 1.5, 1.6, 1.7])
    >>> works = np.cos(angle[:, None] - angle)
    >>> result = conformal_attribution(np.cos(angle - 0.1), works, [0, 0, 0, 1, 1, 1], 2, confidence_level=0.7)
    >>> result.pvalue.tolist(), result.prediction_set.tolist(), result.resolution.tolist()
    ([1.0, 0.25], [0], [0.25, 0.25])
    """
    query, works, artist_of = _check(query_similarity, work_similarity, work_artist, n_artists)
    if k < 1:
        raise ValueError(f"k is {k}. Pass at least 1 neighbour; 5 is usual.")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    n_works = np.bincount(artist_of, minlength=n_artists)
    first = np.sort(np.unique(_clusters(cluster, len(artist_of)), return_index=True)[1])
    n_distinct = np.bincount(artist_of[first], minlength=n_artists)
    fits_no_better = np.zeros(n_artists, np.int64)
    score = np.full(n_artists, np.nan)
    for artist in np.flatnonzero(n_works).tolist():
        rows = first[artist_of[first] == artist]
        scores = _bag_scores(query[rows], _within(works, rows, artist), k)
        score[artist] = scores[-1]
        fits_no_better[artist] = no_better(scores, scores[-1])
    decided = conformal_decision(fits_no_better, n_distinct, n_works > 0, confidence_level)
    return ConformalAttribution(
        pvalue=decided.pvalue,
        prediction_set=np.flatnonzero(decided.in_set),
        excludable=decided.excludable,
        resolution=decided.resolution,
        score=score,
        n_works=n_works,
        n_distinct=n_distinct,
        k=k,
        confidence_level=confidence_level,
    )


@dataclass(frozen=True, eq=False)
class ConformalDecision:
    """What the numbers of works say about a query, for A artists.

    Attributes
    ----------
    pvalue, resolution : ndarray, shape (A,), float64
    in_set, excludable : ndarray, shape (A,), bool
        See `ConformalAttribution`.
    """

    pvalue: Float64
    resolution: Float64
    in_set: npt.NDArray[np.bool_]
    excludable: npt.NDArray[np.bool_]


def conformal_decision(
    fits_no_better: Int64, n_distinct: Int64, has_works: npt.NDArray[np.bool_], confidence_level: float
) -> ConformalDecision:
    """Return p-values and the prediction set, from numbers of works.

    Parameters
    ----------
    fits_no_better : ndarray, shape (A,), int64
        Number of distinct works of each artist that fit no better than the query, and the query.
    n_distinct : ndarray, shape (A,), int64
        Number of distinct works.
    has_works : ndarray, shape (A,), bool
    confidence_level : float
    """
    # Compare numbers of works, so that the level is exact: in floating point, 1 - 0.9 is less than 1 / 10.
    allowed = (1 - confidence_level) * (n_distinct + 1) * (1 + 1e-12)
    with np.errstate(divide="ignore"):
        resolution = np.where(has_works, 1.0 / (n_distinct + 1), np.nan)
        pvalue = np.where(has_works, fits_no_better / (n_distinct + 1), np.nan)
    return ConformalDecision(
        pvalue=pvalue,
        resolution=resolution,
        in_set=has_works & (fits_no_better > allowed),
        excludable=has_works & (allowed >= 1),
    )


def no_better(scores: npt.ArrayLike, own: float) -> int:
    """Return the number of scores of a bag that are at or below the query's own. Ties count, up to rounding."""
    values = np.asarray(scores, np.float64)
    tie = TIE * max(1.0, abs(own), float(np.abs(values).max(initial=0.0)))
    return int(np.count_nonzero(values <= own + tie))


def _clusters(cluster: npt.ArrayLike | None, n: int) -> npt.NDArray[np.generic]:
    labels = np.arange(n) if cluster is None else np.asarray(cluster)
    if labels.shape != (n,):
        raise ValueError(f"cluster: expected {n} labels, one per work, not the shape {labels.shape}.")
    return labels


def _bag_scores(query: Float64, works: Float64, k: int) -> Float64:
    """Score the works and, last, the query: the mean similarity of each to its k nearest others."""
    n = len(query)
    bag = np.empty((n + 1, n + 1))
    bag[:n, :n], bag[n, :n], bag[:n, n] = works, query, query
    np.fill_diagonal(bag, -np.inf)
    k = min(k, n)
    nearest = np.partition(bag, n + 1 - k, axis=1)[:, n + 1 - k :]
    nearest.sort(axis=1)
    return np.asarray(nearest.mean(axis=1))


def _within(works: npt.NDArray[np.generic], rows: Int64, artist: int) -> Float64:
    block = works[np.ix_(rows, rows)].astype(np.float64)
    np.fill_diagonal(block, 0.0)
    if not np.isfinite(block).all():
        raise ValueError(f"work_similarity: a value among the works of artist {artist} is not finite.")
    if not np.allclose(block, block.T, rtol=_ASYMMETRY, atol=_ASYMMETRY):
        raise ValueError(
            f"work_similarity: not symmetric among the works of artist {artist}. Pass S[i, j] = S[j, i]."
        )
    return block


def _check(
    query_similarity: npt.ArrayLike,
    work_similarity: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
) -> tuple[Float64, npt.NDArray[np.generic], Int64]:
    query = np.asarray(query_similarity, dtype=np.float64)
    works, artist_of = np.asarray(work_similarity), np.asarray(work_artist)
    if query.ndim != 1:
        raise ValueError(f"query_similarity: expected one picture's vector, not the shape {query.shape}.")
    n = len(query)
    if not n:
        raise ValueError(
            "query_similarity: no works, so there is no artist to attribute to. Add works to the index."
        )
    if works.shape != (n, n):
        raise ValueError(
            f"work_similarity: expected {n} x {n}, since query_similarity has {n} values, not {works.shape}."
        )
    if artist_of.shape != (n,) or artist_of.dtype.kind not in "iu":
        raise ValueError(f"work_artist: expected {n} integers, one per work.")
    if artist_of.min() < 0 or artist_of.max() >= n_artists:
        raise ValueError(f"work_artist: a number is not between 0 and {n_artists - 1}.")
    if not np.isfinite(query).all():
        raise ValueError("query_similarity: a value is not finite. Leave out works without a vector.")
    return query, works, artist_of.astype(np.int64)
