"""Nearest rows by whitened vectors or with hub terms: exactly, block by block, without an index of candidates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imindex.retrieval.search.nearest import Neighbours, merged
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.checks import check_pair
from imindex.retrieval.vectors.row_ranks import nearest_in_rows
from imindex.retrieval.vectors.similarity import similarity_blocks

ROWS = 2**15
"""Number of rows that are read at a time."""


def nearest_adjusted(
    vectors: Float16,
    rows: Int64,
    queries: Float16,
    k: int,
    half: Callable[[Float16, Int64], Float64] | None = None,
) -> tuple[Neighbours, Float64]:
    """Find the k nearest rows of each query, exactly, by cosine or by cosine minus half a hub term.

    Parameters
    ----------
    vectors : array_like, shape (n, d), float16, unit norm
        Only `rows` are read, `ROWS` at a time.
    rows : ndarray, shape (m,), int64
        The rows to search, ascending.
    queries : ndarray, shape (Q, d), float16, unit norm
    k : int
        At least 1.
    half : callable, optional
        Returns the half hub terms of some rows, given their vectors and their numbers.

    Returns
    -------
    neighbours : Neighbours
        In the order of the adjusted scores, equal ones by row. Their `scores` are the adjusted ones.
    half : ndarray, shape (Q, k), float64
        The half hub term of each; adding it to the score gives the cosine.
    """
    k = min(k, len(rows))
    best = Neighbours(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0)))
    terms = np.zeros(len(rows))
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        wanted, near = check_pair(queries, np.asarray(vectors[some]), ("queries", "vectors"))
        if half is not None:
            terms[start : start + len(some)] = half(near, some)
        here = terms[start : start + len(some)]
        n = min(k, len(some))
        found, scores = np.empty((len(queries), n), np.int64), np.empty((len(queries), n))
        for few, block in similarity_blocks(wanted, near, names=("queries", "vectors")):
            block -= here
            places = np.nonzero(nearest_in_rows(block, n))[1].reshape(-1, n)
            found[few], scores[few] = some[places], np.take_along_axis(block, places, 1)
        best = merged([best, Neighbours(found, scores)], len(queries), k)
    return best, terms[np.searchsorted(rows, best.rows)]
