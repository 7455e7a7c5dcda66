"""Exact inner-product search for many queries at once: blocks of float16 rows, widened, and multiplied in fp32.

FAISS widens every row anew for each query of a scalar quantiser; with many queries products of matrices are quicker,
and need no second copy of the vectors in fp32 as `IndexFlat` does. Each processor takes blocks of its own, small enough
that their scores stay in its cache, and computes alone: nobody waits for anybody before the end. Of the scores all are
compared with the worst that a query has kept so far; the few that are better are merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imindex.indexer.system.cpu import processors, products_alone

FROM_QUERIES = 8
"""With fewer queries FAISS is as quick."""
ROWS = 8_192
"""Most rows in one block."""
BLOCK_BYTES = 2**27
"""Of the blocks of all processors together, in fp32."""
QUERIES = 1_024
"""Most queries that are multiplied with a block at a time."""
SCORES = 2**22
"""Most scores at a time, of each processor."""
_FEW = 16
"""Of each query so many scores, and twice k, are merged without finding the k-th first."""
_NONE = np.iinfo(np.int64).max
_ALONE = 2**15
"""PyTorch goes about a copy of fewer numbers without calling for its other threads."""

Float16 = npt.NDArray[np.float16]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def search_blocks(
    vectors: Float16,
    queries: Float32,
    k: int,
    *,
    among: npt.NDArray[np.bool_] | None = None,
    threads: int | None = None,
) -> tuple[Float32, Int64]:
    """Return the k nearest rows of each query.

    Parameters
    ----------
    vectors : (n, dim) float16
    queries : (m, dim) float32
    k : int
        At most the number of rows searched.
    among : (n,) bool, optional
        Search these rows only.
    threads : int, optional
        As many as there are processors, unless given.

    Returns
    -------
    scores : (m, k) float32
        Descending, of equal ones the first row first; products in fp32.
    rows : (m, k) int64
        -1 where there are too few rows whose product is a number, as FAISS has it.
    """
    asked = np.ascontiguousarray(queries, np.float32)
    chosen = None if among is None else np.flatnonzero(among)
    n = len(vectors) if chosen is None else len(chosen)
    threads = threads or processors()
    size = min(
        ROWS,
        SCORES // max(1, min(QUERIES, len(asked))),
        BLOCK_BYTES // (4 * vectors.shape[1] * threads),
        -(-n // threads),
    )
    given = _Given(vectors, asked, k, chosen, max(1, size))
    starts = range(0, n, given.size)
    with products_alone(), ThreadPoolExecutor(max(1, min(threads, len(starts)))) as pool:
        found = list(pool.map(given.search, [starts[first::threads] for first in range(pool._max_workers)]))
    best = found[0]
    for other in found[1:]:
        best.merge(np.arange(len(asked)), other.scores, other.rows)
    best.rows[best.rows == _NONE] = -1
    return best.scores, best.rows


class _Best:
    """The k best of what was added, for each of m queries: scores descending, of equal ones the first row first."""

    def __init__(self, m: int, k: int):
        self.scores = np.full((m, k), -np.inf, np.float32)
        self.rows = np.full((m, k), _NONE)

    def add(self, first: int, scores: Float32, rows: Int64, better: npt.NDArray[np.bool_]) -> None:
        """Take what is best of a block's `scores`, those of queries from `first` on; `rows` ascend from call to call.

        `better` is room to work in, of the shape of the scores.
        """
        k = self.scores.shape[1]
        if not k:
            return
        n = len(scores)
        np.greater(scores, self.scores[first : first + n, -1, None], out=better)
        if np.count_nonzero(better) > n * (2 * k + _FEW):
            # As in the first block. Of each query the k-th is found, so that less is listed and sorted.
            # What is not a number is better than nothing, and comes last here.
            last = max(0, scores.shape[1] - k)
            better &= scores >= np.partition(np.where(better, scores, -np.inf), last, axis=1)[:, last, None]
        # The few, query by query, the rows of each from the left of a table.
        query, place = np.divmod(np.flatnonzero(better), scores.shape[1])
        if not len(query):
            return
        n_better = np.bincount(query, minlength=n)
        among = np.flatnonzero(n_better)
        line = np.repeat(np.arange(len(among)), n_better[among])
        column = np.arange(len(query)) - np.repeat(np.cumsum(n_better) - n_better, n_better)
        new_scores = np.full((len(among), n_better.max()), -np.inf, np.float32)
        new_rows = np.full(new_scores.shape, _NONE)
        new_scores[line, column] = scores[query, place]
        new_rows[line, column] = rows[place]
        self.merge(first + among, new_scores, new_rows)

    def merge(self, queries: Int64, scores: Float32, rows: Int64) -> None:
        """Take others among the best of these queries, any number of each."""
        both = np.hstack([self.scores[queries], scores]), np.hstack([self.rows[queries], rows])
        order = np.lexsort((both[1], -both[0]), axis=1)[:, : self.scores.shape[1]]
        self.scores[queries] = np.take_along_axis(both[0], order, 1)
        self.rows[queries] = np.take_along_axis(both[1], order, 1)


class _Given(NamedTuple):
    """What is searched for what, in blocks of `size` rows; rows are positions in `chosen`, where there is one."""

    vectors: Float16
    queries: Float32
    k: int
    chosen: Int64 | None
    size: int

    def search(self, starts: Iterable[int]) -> _Best:
        """Search the blocks that begin there, which ascend, on this thread."""
        m, n = len(self.queries), self.size
        best = _Best(m, self.k)
        wide = np.empty((n, self.vectors.shape[1]), np.float32)
        scores, better = np.empty((min(m, QUERIES), n), np.float32), np.empty((min(m, QUERIES), n), np.bool_)
        for start in starts:
            rows = self._widen(start, wide)
            block = wide[: len(rows)].T
            for first in range(0, m, QUERIES):
                asked = self.queries[first : first + QUERIES]
                here = slice(len(asked)), slice(len(rows))
                best.add(first, np.matmul(asked, block, out=scores[here]), rows, better[here])
        return best

    def _widen(self, start: int, wide: Float32) -> Int64:
        """Widen a block; return its rows. PyTorch does it some ten times as fast as NumPy."""
        import torch

        n, dim = self.vectors.shape
        if self.chosen is None:
            rows = np.arange(start, min(n, start + self.size))
        else:
            rows = self.chosen[start : start + self.size]
        step = max(1, (_ALONE - 1) // dim)
        # By way of `narrow`: PyTorch wants memory that may be written, and a mapped file's may not.
        narrow = np.empty((min(step, len(rows)), dim), np.float16)
        source, target = torch.from_numpy(narrow), torch.from_numpy(wide)
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            narrow[: len(some)] = (
                self.vectors[some] if self.chosen is not None else self.vectors[some[0] : some[-1] + 1]
            )
            target[first : first + len(some)] = source[: len(some)]
        return rows
