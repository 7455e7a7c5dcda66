"""Exact inner-product search for many queries at once: blocks of float16 rows, widened, and searched by FAISS in fp32.

FAISS widens every row anew for each query of a scalar quantiser; with many queries products of matrices are quicker,
and need no second copy of the vectors in fp32 as `IndexFlat` does. Each processor takes blocks of its own, small enough
to stay in its cache, and computes alone: nobody waits for anybody before the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from indexer.processors import processors

FROM_QUERIES = 8
"""With fewer queries FAISS is as quick."""
ROWS = 8_192
"""Most rows in one block."""
BLOCK_BYTES = 2**27
"""Of the blocks of all processors together, in fp32."""
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
    """
    asked = np.ascontiguousarray(queries, np.float32)
    chosen = None if among is None else np.flatnonzero(among)
    n = len(vectors) if chosen is None else len(chosen)
    threads = threads or processors()
    size = max(1, min(ROWS, BLOCK_BYTES // (4 * vectors.shape[1] * threads), -(-n // threads)))
    starts = range(0, n, size)
    given = _Given(vectors, asked, k, chosen, size)
    with _by_products_of_matrices(), ThreadPoolExecutor(max(1, min(threads, len(starts)))) as pool:
        found = list(pool.map(given.search, [starts[first::threads] for first in range(pool._max_workers)]))
    best = found[0]
    for other in found[1:]:
        best.add(other.scores, other.rows)
    return best.scores, best.rows


@contextlib.contextmanager
def _by_products_of_matrices() -> Iterator[None]:
    """Let FAISS multiply matrices however few queries there are: seven times as fast for 64 of them.

    Left to itself FAISS 1.15 begins at 128,000 numbers, which are 250 queries.
    """
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 1
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_threshold = before


class _Best:
    """The k best of what was added, for each of m queries: scores descending, of equal ones the first row first."""

    def __init__(self, m: int, k: int):
        self.scores = np.full((m, k), -np.inf, np.float32)
        self.rows = np.full((m, k), np.iinfo(np.int64).max)

    def add(self, scores: Float32, rows: Int64) -> None:
        """Take others among them, (m, any number), the highest score of each query first."""
        k = self.scores.shape[1]
        better = np.flatnonzero(scores[:, 0] >= self.scores[:, -1])
        if len(better):
            both = (
                np.hstack([self.scores[better], scores[better]]),
                np.hstack([self.rows[better], rows[better]]),
            )
            order = np.lexsort((both[1], -both[0]), axis=1)[:, :k]
            self.scores[better] = np.take_along_axis(both[0], order, 1)
            self.rows[better] = np.take_along_axis(both[1], order, 1)


class _Given(NamedTuple):
    """What is searched for what, in blocks of `size` rows; rows are positions in `chosen`, where there is one."""

    vectors: Float16
    queries: Float32
    k: int
    chosen: Int64 | None
    size: int

    def search(self, starts: Iterable[int]) -> _Best:
        """Search the blocks that begin there, on this thread."""
        faiss.omp_set_num_threads(1)  # of this thread
        best = _Best(len(self.queries), self.k)
        wide = np.empty((self.size, self.vectors.shape[1]), np.float32)
        for start in starts:
            rows = self._widen(start, wide)
            found, places = faiss.knn(
                self.queries, wide[: len(rows)], min(self.k, len(rows)), metric=faiss.METRIC_INNER_PRODUCT
            )
            best.add(found, rows[places])
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
