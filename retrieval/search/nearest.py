"""Exact nearest neighbours of queries, on arrays.

FAISS finds candidates, whose scores are then computed without rounding (`imindex.retrieval.vectors.similarity`). So the
order is exact on every machine and device, and ties are broken by row number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadVectors
from imindex.indexer.store.joined_vectors import JoinedVectors
from imindex.indexer.store.remote_vectors import RemoteVectors
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.checks import check_pair

Bool = npt.NDArray[np.bool_]

_MARGIN = 16
_BEST_BYTES = 2**26
"""Memory limit for scoring candidates exactly, per block."""
_ROUNDING = 1e-4
"""Upper bound of the score error of a searcher in fp32, or with fp16 vectors on a GPU."""


class Searcher(Protocol):
    """A candidate search, such as `imindex.indexer.ann.exact.ExactSearcher`."""

    def search(
        self, queries: npt.NDArray[np.float32], k: int, *, among: Bool | None = None
    ) -> tuple[npt.NDArray[np.float32], Int64]: ...


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest rows of Q queries, nearest first; `k` is smaller than requested if there are fewer rows.

    Attributes
    ----------
    rows : ndarray, shape (Q, k), int64
    scores : ndarray, shape (Q, k), float64
        Exact cosines.
    """

    rows: Int64
    scores: Float64


def nearest(
    searcher: Searcher,
    vectors: npt.ArrayLike | JoinedVectors | RemoteVectors,
    queries: npt.ArrayLike,
    *,
    k: int = 10,
    among: Bool | None = None,
) -> Neighbours:
    """Find the k nearest rows of each query.

    Parameters
    ----------
    searcher : Searcher
        Searches all of `vectors`.
    vectors : array_like, shape (n, d), float16, unit norm
        Those of several files (`JoinedVectors`) are not copied, and those in an object store (`RemoteVectors`) are
        fetched where they are needed.
    queries : array_like, shape (Q, d), float16, unit norm
    k : int
        At least 1.
    among : ndarray, shape (n,), bool, optional
        Search only these rows.

    Returns
    -------
    Neighbours
        Equal scores are ordered by row.

    Raises
    ------
    ValueError
        If the inputs are not float16 unit vectors of the same dimension, if k is less than 1, or if a vector that is
        not finite is encountered.

    Notes
    -----
    A searcher rounds its scores and breaks ties arbitrarily. So more than k candidates are fetched, and more are added
    until the last one is farther than the k-th by more than the rounding error.

    Examples
    --------
    >>> import numpy as np
    >>> class Brute:
    ...     def search(self, queries, k, *, among=None):
    ...         scores = queries @ table.T.astype(np.float32)
    ...         rows = np.argsort(-scores, axis=1)[:, :k]
    ...         return np.take_along_axis(scores, rows, 1), rows
    >>> table = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 1]], np.float16)
    >>> neighbours = nearest(Brute(), table, table[1:2], k=3)
    >>> neighbours.rows.tolist(), neighbours.scores.round(2).tolist()
    ([[1, 3, 2]], [[1.0, 1.0, 0.8]])
    """
    table = vectors if isinstance(vectors, (JoinedVectors, RemoteVectors)) else np.asarray(vectors)
    unit_queries, _ = check_pair(queries, table[:0], ("queries", "vectors"))
    if k < 1:
        raise ValueError(f"k is {k}. Request at least one neighbour.")
    n_allowed = len(table) if among is None else int(np.count_nonzero(among))
    k = min(k, n_allowed)
    rows = np.empty((len(unit_queries), k), np.int64)
    scores = np.empty((len(unit_queries), k))
    pending = np.arange(len(unit_queries)) if k else np.arange(0)
    fetch = k + _MARGIN
    while len(pending):
        fetch = min(fetch, n_allowed)
        rough, candidates = searcher.search(unit_queries[pending].astype(np.float32), fetch, among=among)
        if candidates.min(initial=0) < 0:
            raise BadVectors(
                "some of the vectors are not finite, so they have no neighbours. Encode their pictures again."
            )
        contenders = rough >= rough[:, k - 1, None] - _ROUNDING
        settled = (fetch == n_allowed) | ~contenders[:, -1]
        for block in blocks(int(settled.sum()), fetch * unit_queries.shape[1], _BEST_BYTES):
            batch = pending[settled][block]
            n = int(np.count_nonzero(contenders[settled][block].any(axis=0)))
            rows[batch], scores[batch] = _best(table, unit_queries[batch], candidates[settled][block, :n], k)
        pending = pending[~settled]
        fetch *= 4
    return Neighbours(rows, scores)


def _best(
    table: Float16 | JoinedVectors | RemoteVectors, queries: Float16, candidates: Int64, k: int
) -> tuple[Int64, Float64]:
    """Return the rows and exact scores of the k best candidates of each query, each of shape (q, k).

    Products in float64 are exact; see `similarities`.
    """
    ordered = np.sort(candidates, axis=1)
    distinct, place = np.unique(ordered, return_inverse=True)
    unit_queries, near = check_pair(queries, table[distinct], ("queries", "vectors"))
    wide = near.astype(np.float64)[place.reshape(ordered.shape)]
    exact = np.matmul(wide, unit_queries.astype(np.float64)[:, :, None])[:, :, 0]
    first = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(ordered, first, 1), np.take_along_axis(exact, first, 1)


def merged(parts: Sequence[Neighbours], n_queries: int, k: int) -> Neighbours:
    """Return the k nearest of several parts, each of which holds its own k nearest, or all if it has fewer.

    Parameters
    ----------
    parts : sequence of Neighbours
        Their rows are numbered alike, and no two parts share a row.
    n_queries : int
    k : int

    Examples
    --------
    >>> one = Neighbours(np.array([[4, 1]]), np.array([[0.9, 0.5]]))
    >>> two = Neighbours(np.array([[2]]), np.array([[0.9]]))
    >>> merged([one, two], 1, 2).rows.tolist()
    [[2, 4]]
    """
    rows = np.concatenate([np.empty((n_queries, 0), np.int64), *(part.rows for part in parts)], axis=1)
    scores = np.concatenate([np.empty((n_queries, 0)), *(part.scores for part in parts)], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))


@dataclass(frozen=True)
class ArtistVotes:
    """An artist among a query's neighbours: the number of neighbours and the highest cosine."""

    artist: int
    votes: int
    best: float


def vote(neighbours: Neighbours, artist_of: npt.NDArray[np.int32]) -> list[list[ArtistVotes]]:
    """Group each query's neighbours by artist, ordered by votes, then best cosine, then artist number.

    Parameters
    ----------
    neighbours : Neighbours
    artist_of : ndarray, shape (n,), integers
        The artist of every row; -1 for rows without an artist, which do not vote.

    Returns
    -------
    list, for each query, of ArtistVotes
    """
    return [
        _votes(artist_of[rows].tolist(), scores.tolist())
        for rows, scores in zip(neighbours.rows, neighbours.scores, strict=True)
    ]


def _votes(artists: Sequence[int], scores: Sequence[float]) -> list[ArtistVotes]:
    named = [(artist, score) for artist, score in zip(artists, scores, strict=True) if artist >= 0]
    votes = [
        ArtistVotes(
            artist,
            sum(other == artist for other, _ in named),
            max(score for other, score in named if other == artist),
        )
        for artist in {artist for artist, _ in named}
    ]
    return sorted(votes, key=lambda v: (-v.votes, -v.best, v.artist))
