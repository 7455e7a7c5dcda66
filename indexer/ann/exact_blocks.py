"""Exact inner-product search for many queries at once: blocks of float16 rows are converted to and multiplied in fp32.

For a scalar quantiser, FAISS converts every row again for each query. With many queries, matrix products are faster,
and unlike `IndexFlat` they need no second copy of the vectors in fp32. Each processor works on its own blocks, which
are small enough for their scores to stay in its cache; the threads synchronise only at the end. All scores are
compared with the worst one kept so far for the query, and the few better ones are merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imindex.indexer.system.cpu import processors, products_alone

FROM_QUERIES = 8
"""With fewer queries, FAISS is as fast."""
ROWS = 8_192
"""Maximum number of rows per block."""
BLOCK_BYTES = 2**27
"""Maximum total size of the fp32 blocks of all processors."""
QUERIES = 1_024
"""Maximum number of queries multiplied with a block at a time."""
SCORES = 2**22
"""Maximum number of scores held by each processor at a time."""
_FEW = 16
"""Up to this many scores per query, plus 2 k, are merged without selecting the k-th best first."""
_NONE = np.iinfo(np.int64).max
_SINGLE_THREADED = 2**15
"""PyTorch copies fewer values than this in a single thread."""

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
        By default, the number of processors.

    Returns
    -------
    scores : (m, k) float32
        Inner products in fp32, in descending order; ties are in row order.
    rows : (m, k) int64
        -1 where fewer than k rows have a product that is not NaN, as in FAISS.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    chosen = None if among is None else np.flatnonzero(among)
    n = len(vectors) if chosen is None else len(chosen)
    threads = threads or processors()
    size = min(
        ROWS,
        SCORES // max(1, min(QUERIES, len(queries))),
        BLOCK_BYTES // (4 * vectors.shape[1] * threads),
        -(-n // threads),
    )
    search = _BlockSearch(vectors, queries, k, chosen, max(1, size))
    starts = range(0, n, search.size)
    with products_alone(), ThreadPoolExecutor(max(1, min(threads, len(starts)))) as pool:
        partial = list(pool.map(search.run, [starts[first::threads] for first in range(pool._max_workers)]))
    best = partial[0]
    for other in partial[1:]:
        best.merge(np.arange(len(queries)), other.scores, other.rows)
    best.rows[best.rows == _NONE] = -1
    return best.scores, best.rows


class _Best:
    """The k best scores seen so far for each of m queries, in descending order; ties are in row order."""

    def __init__(self, m: int, k: int):
        self.scores = np.full((m, k), -np.inf, np.float32)
        self.rows = np.full((m, k), _NONE)

    def add(self, first: int, scores: Float32, rows: Int64, better: npt.NDArray[np.bool_]) -> None:
        """Add the scores of a block for the queries from `first` on.

        `rows` must ascend from call to call. `better` is a work array of the shape of `scores`.
        """
        k = self.scores.shape[1]
        if not k:
            return
        n = len(scores)
        np.greater(scores, self.scores[first : first + n, -1, None], out=better)
        if np.count_nonzero(better) > n * (2 * k + _FEW):
            # Many candidates, as in the first block: keep only those at least as good as the k-th of each query.
            # NaN never compares as better, and sorts last here.
            last = max(0, scores.shape[1] - k)
            better &= scores >= np.partition(np.where(better, scores, -np.inf), last, axis=1)[:, last, None]
        # Arrange the candidates in a table with one line per query, filled from the left.
        query, position = np.divmod(np.flatnonzero(better), scores.shape[1])
        if not len(query):
            return
        n_better = np.bincount(query, minlength=n)
        improved = np.flatnonzero(n_better)
        line = np.repeat(np.arange(len(improved)), n_better[improved])
        column = np.arange(len(query)) - np.repeat(np.cumsum(n_better) - n_better, n_better)
        new_scores = np.full((len(improved), n_better.max()), -np.inf, np.float32)
        new_rows = np.full(new_scores.shape, _NONE)
        new_scores[line, column] = scores[query, position]
        new_rows[line, column] = rows[position]
        self.merge(first + improved, new_scores, new_rows)

    def merge(self, queries: Int64, scores: Float32, rows: Int64) -> None:
        """Merge further scores into the best ones of these queries."""
        both = np.hstack([self.scores[queries], scores]), np.hstack([self.rows[queries], rows])
        order = np.lexsort((both[1], -both[0]), axis=1)[:, : self.scores.shape[1]]
        self.scores[queries] = np.take_along_axis(both[0], order, 1)
        self.rows[queries] = np.take_along_axis(both[1], order, 1)


class _BlockSearch(NamedTuple):
    """A search in blocks of `size` rows, or of `size` positions in `chosen` if that is not None."""

    vectors: Float16
    queries: Float32
    k: int
    chosen: Int64 | None
    size: int

    def run(self, starts: Iterable[int]) -> _Best:
        """Search the blocks that begin at the given, ascending positions, in the calling thread."""
        m, n = len(self.queries), self.size
        best = _Best(m, self.k)
        wide = np.empty((n, self.vectors.shape[1]), np.float32)
        scores, better = np.empty((min(m, QUERIES), n), np.float32), np.empty((min(m, QUERIES), n), np.bool_)
        for start in starts:
            rows = self._widen(start, wide)
            block = wide[: len(rows)].T
            for first in range(0, m, QUERIES):
                batch = self.queries[first : first + QUERIES]
                used = slice(len(batch)), slice(len(rows))
                best.add(first, np.matmul(batch, block, out=scores[used]), rows, better[used])
        return best

    def _widen(self, start: int, wide: Float32) -> Int64:
        """Convert a block to fp32 and return its rows. PyTorch is about ten times as fast here as NumPy."""
        import torch

        n, dim = self.vectors.shape
        if self.chosen is None:
            rows = np.arange(start, min(n, start + self.size))
        else:
            rows = self.chosen[start : start + self.size]
        step = max(1, (_SINGLE_THREADED - 1) // dim)
        # Copied to `narrow` first, since PyTorch requires writable memory and the mapped file is read-only.
        narrow = np.empty((min(step, len(rows)), dim), np.float16)
        source, target = torch.from_numpy(narrow), torch.from_numpy(wide)
        for first in range(0, len(rows), step):
            chunk = rows[first : first + step]
            narrow[: len(chunk)] = (
                self.vectors[chunk] if self.chosen is not None else self.vectors[chunk[0] : chunk[-1] + 1]
            )
            target[first : first + len(chunk)] = source[: len(chunk)]
        return rows
