"""Retrieval of held-out works: average precision, precision among the k nearest, and hubness, from similarities.

A query is a work. Its gallery is all other works; those by the same artist are relevant. Ties count against the
finding, except in `average_precision`, which treats them as `sklearn.metrics.average_precision_score` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.set_scores import Float64, Int64


@dataclass(frozen=True, eq=False)
class QueryPrecision:
    """Average precision of a query, and what each artist of the gallery takes from it.

    Attributes
    ----------
    average_precision : float
    taken : ndarray, shape (A,), float64
        First-order loss of average precision for each artist: minus its derivative with respect to the weight of the
        artist's pictures in the gallery. 0 for the artist of the query.
    """

    average_precision: float
    taken: Float64


def average_precision(relevant: npt.ArrayLike, others: npt.ArrayLike) -> float:
    """Compute the average precision of a ranking.

    Parameters
    ----------
    relevant : array_like, shape (P,)
        Similarities of the relevant pictures to the query; at least one.
    others : array_like, shape (N,)
        Similarities of all other pictures.

    Returns
    -------
    float
        Mean over relevant pictures of the precision at their similarity: the share of relevant pictures among those
        at least as similar.

    Notes
    -----
    Pictures of equal similarity share a threshold, so the value does not depend on their order. It equals
    `sklearn.metrics.average_precision_score` (Salton & McGill 1983, without interpolation).

    Examples
    --------
    >>> average_precision([0.9, 0.5], [0.7])
    0.8333333333333333
    """
    own = np.sort(np.asarray(relevant, np.float64))
    if not len(own):
        raise ValueError("relevant: there is no relevant picture, so that average precision is not defined.")
    return query_precision(own, others, np.zeros(np.size(others), np.int64), 1).average_precision


def query_precision(
    relevant: npt.ArrayLike, others: npt.ArrayLike, other_artist: npt.ArrayLike, n_artists: int
) -> QueryPrecision:
    """Compute the average precision of a query, and its derivative with respect to each artist of the gallery.

    Parameters
    ----------
    relevant : array_like, shape (P,)
    others : array_like, shape (N,)
        As in `average_precision`.
    other_artist : array_like, shape (N,), integers below n_artists
    n_artists : int

    Returns
    -------
    QueryPrecision

    Notes
    -----
    If the pictures of artist i count with weight w_i, the precision at a relevant picture is p / (p + sum_i w_i c_i),
    with p relevant pictures and c_i pictures of artist i at least as similar. Its derivative at w = 1 is -p c_i / r**2,
    r being the rank. `taken` is the mean of p c_i / r**2 over relevant pictures.

    Examples
    --------
    >>> query_precision([0.9, 0.5], [0.7, 0.1], [1, 2], 3).taken.round(3).tolist()
    [0.0, 0.111, 0.0]
    """
    own, other = np.sort(np.asarray(relevant, np.float64)), np.asarray(others, np.float64)
    n = len(own)
    reached = own.searchsorted(other, "right")  # of the relevant pictures, how many are no more similar
    n_ahead = np.bincount(reached, minlength=n + 1)[::-1].cumsum()[::-1][1:]
    n_relevant = n - own.searchsorted(own, "left")
    rank = n_relevant + n_ahead
    loss = np.concatenate([[0.0], np.cumsum(n_relevant / rank**2)]) / n
    taken: Float64 = np.bincount(np.asarray(other_artist), weights=loss[reached], minlength=n_artists).astype(
        np.float64
    )
    return QueryPrecision(float((n_relevant / rank).mean()), taken)


def expected_average_precision(n_relevant: npt.ArrayLike, n: npt.ArrayLike) -> Float64:
    """Return the mean average precision of a random ranking of n pictures, n_relevant of them relevant.

    Examples
    --------
    >>> float(expected_average_precision(1, 2))
    0.75
    """
    from scipy.special import digamma

    relevant, size = np.asarray(n_relevant, np.float64), np.asarray(n, np.float64)
    harmonic = digamma(size + 1) + np.euler_gamma
    return np.asarray(((relevant - 1) / np.maximum(size - 1, 1) * (size - harmonic) + harmonic) / size)


def precision_at_k(relevant: npt.NDArray[np.bool_], k: int, n_relevant: npt.ArrayLike) -> Float64:
    """Compute the average precision among the k nearest, for several queries.

    Parameters
    ----------
    relevant : ndarray, shape (n, m), bool
        Whether each neighbour is relevant, nearest first, m at least k or all there are.
    k : int
    n_relevant : array_like, shape (n,)
        Number of relevant pictures in the gallery; at least 1.

    Returns
    -------
    ndarray, shape (n,), float64
        ``sum over relevant neighbours i <= k of precision@i, divided by min(k, n_relevant)``. With k = 1 it is
        recall@1: whether the nearest is relevant.

    Examples
    --------
    >>> precision_at_k(np.array([[True, False, True]]), 3, [2]).round(3).tolist()
    [0.833]
    """
    hits = relevant[:, :k]
    precision = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.asarray((precision * hits).sum(axis=1) / np.minimum(k, np.asarray(n_relevant)))


@dataclass(frozen=True, eq=False)
class TopScores:
    """Figures from the nearest neighbours of each work, and the same without each artist in turn.

    Attributes
    ----------
    map_at_k, recall_at_1 : float
        Means over artists of the means over their works.
    skewness, robin_hood, anti_hubs : float
        Of the number of times that each work is among the k nearest of another work; see `Hubness`.
    without : ndarray, shape (5, A), float64
        The five figures without the works of each artist, as queries and in the gallery.
    of_artist : ndarray, shape (2, A), float64
        `map_at_k` and `recall_at_1` of each artist.
    """

    map_at_k: float
    recall_at_1: float
    skewness: float
    robin_hood: float
    anti_hubs: float
    without: Float64
    of_artist: Float64


@dataclass(frozen=True)
class Hubness:
    """How unequally works occur among the k nearest neighbours of other works.

    Attributes
    ----------
    skewness : float
        Third standardised moment of the number of occurrences N_k. 0 if all are equal.
    robin_hood : float
        Hoover index of N_k: the share of all places that would have to move for all works to occur equally often.
    anti_hubs : float
        Share of works that occur in no list.

    Notes
    -----
    Radovanovic, Nanopoulos & Ivanovic 2010, JMLR 11:2487 (skewness, antihubs); Feldbauer et al. 2018,
    doi:10.1109/ICBK.2018.00055 (Robin Hood index).
    """

    skewness: float
    robin_hood: float
    anti_hubs: float


def hubness(occurrences: npt.ArrayLike) -> Hubness:
    """Compute hubness from the number of times N_k that each work is among the k nearest of another.

    Examples
    --------
    >>> hubness([0, 0, 0, 4]) == Hubness(1.1547005383792515, 0.75, 0.75)
    True
    """
    counts = np.asarray(occurrences, np.float64)
    deviation = counts - counts.mean()
    spread = float((deviation**2).mean())
    total = float(counts.sum())
    return Hubness(
        float((deviation**3).mean() / spread**1.5) if spread > 0 else 0.0,
        float(np.abs(deviation).sum() / (2 * total)) if total else 0.0,
        float((counts == 0).mean()),
    )


def top_scores(neighbour: Int64, artist: Int64, n_artists: int, *, k: int = 10) -> TopScores:
    """Compute what depends on the nearest neighbours of each work, and its delete-one jackknife over artists.

    Parameters
    ----------
    neighbour : ndarray, shape (W, m), int64
        The nearest other works of each work, nearest first; m at least k, or all there are. Without an artist, its
        places go to the next neighbours, so m should be k plus the number of works of the largest artist.
    artist : ndarray, shape (W,), int64
        Each artist has at least 2 works.
    n_artists : int
        At least 2.
    k : int

    Returns
    -------
    TopScores
    """
    n_works = np.bincount(artist, minlength=n_artists)
    whose = artist[neighbour]
    relevant = whose == artist[:, None]
    n_relevant = n_works[artist] - 1
    each = np.stack([precision_at_k(relevant, size, n_relevant) for size in (k, 1)])
    total = np.stack([np.bincount(artist, weights=line, minlength=n_artists) for line in each])
    of_artist = total / n_works
    occurs = np.bincount(neighbour[:, :k].ravel(), minlength=len(artist))
    hub = hubness(occurs)
    without = np.empty((5, n_artists))
    for gone in range(n_artists):
        kept = np.arange(n_artists) != gone
        # Only queries with a picture of this artist among their k nearest change.
        changed = np.flatnonzero((whose[:, :k] == gone).any(axis=1) & (artist != gone))
        sums = total.copy()
        counts = occurs - np.bincount(neighbour[artist == gone, :k].ravel(), minlength=len(artist))
        if len(changed):
            rest, right = _skip(neighbour[changed], relevant[changed], whose[changed] == gone)
            now = np.stack([precision_at_k(right, size, n_relevant[changed]) for size in (k, 1)])
            for line, new, old in zip(sums, now, each[:, changed], strict=True):
                np.add.at(line, artist[changed], new - old)
            counts = counts - np.bincount(neighbour[changed, :k].ravel(), minlength=len(artist))
            counts = counts + np.bincount(rest[:, :k][rest[:, :k] >= 0].ravel(), minlength=len(artist))
        left = hubness(counts[artist != gone])
        without[:2, gone] = (sums[:, kept] / n_works[kept]).mean(axis=1)
        without[2:, gone] = left.skewness, left.robin_hood, left.anti_hubs
    mean = of_artist.mean(axis=1)
    return TopScores(
        float(mean[0]), float(mean[1]), hub.skewness, hub.robin_hood, hub.anti_hubs, without, of_artist
    )


def _skip(
    neighbour: Int64, relevant: npt.NDArray[np.bool_], gone: npt.NDArray[np.bool_]
) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """Move the neighbours that are gone to the end of each row, as -1 and not relevant."""
    order = np.argsort(gone, axis=1, kind="stable")
    away = np.take_along_axis(gone, order, axis=1)
    moved = np.take_along_axis(neighbour, order, axis=1)
    right = np.take_along_axis(relevant, order, axis=1)
    return np.where(away, -1, moved), right & ~away
