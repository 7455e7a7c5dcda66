"""Exact inner-product search for many queries at once: blocks of float16 rows, widened, multiplied, sifted.

FAISS widens every row anew for each query of a scalar quantiser; with many queries a product of matrices is quicker,
and needs no second copy of the vectors in fp32 as `IndexFlat` does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FROM_QUERIES = 16
"""With fewer queries FAISS is as quick."""
ROWS = 4096
"""Of vectors in one block: its products with some 1,000 queries stay in the processor's cache."""
QUERIES = 1024
"""At a time."""

Float16 = npt.NDArray[np.float16]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def search_blocks(
    vectors: Float16, queries: Float32, k: int, *, among: npt.NDArray[np.bool_] | None = None
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

    Returns
    -------
    scores : (m, k) float32
        Descending, of equal ones the first row first; products in fp32.
    rows : (m, k) int64
    """
    scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), QUERIES):
        some = slice(start, start + QUERIES)
        scores[some], rows[some] = _search(vectors, queries[some], k, among)
    return scores, rows


def _search(
    vectors: Float16, queries: Float32, k: int, among: npt.NDArray[np.bool_] | None
) -> tuple[Float32, Int64]:
    import torch  # widens float16 some ten times as fast as NumPy

    best = _Best(len(queries), k)
    narrow, wide = (
        np.empty((ROWS, vectors.shape[1]), np.float16),
        np.empty((ROWS, vectors.shape[1]), np.float32),
    )
    source, target = torch.from_numpy(narrow), torch.from_numpy(wide)
    table = np.empty((ROWS, len(queries)), np.float32)
    asked = np.ascontiguousarray(queries.T, np.float32)
    for first, chosen, block in _blocks(vectors, among, k):
        n = len(block)
        narrow[:n] = block
        target[:n] = source[:n]
        np.matmul(wide[:n], asked, out=table[:n])
        found = np.flatnonzero(table[:n] > best.floor)
        row, query = np.divmod(found, len(queries))
        best.add(query, row + first if chosen is None else chosen[row], table[row, query])
    return best.finish()


def _blocks(
    vectors: Float16, among: npt.NDArray[np.bool_] | None, k: int
) -> Iterator[tuple[int, Int64 | None, Float16]]:
    """Yield the first row, the rows if they are not consecutive, and the vectors of each block.

    The first blocks are small: as long as there is no floor, every row is a candidate.
    """
    chosen = None if among is None else np.flatnonzero(among)
    n = len(vectors) if chosen is None else len(chosen)
    start, size = 0, 2 * k
    while start < n:
        stop = min(n, start + min(size, ROWS))
        if chosen is None:
            yield start, None, vectors[start:stop]
        else:
            yield start, chosen[start:stop], vectors[chosen[start:stop]]
        start, size = stop, 2 * size


class _Best:
    """The k best of each query so far, and the score that a row has to exceed to be among them.

    Candidates are collected and sifted now and then: the floor only lags behind, which costs time and no row.
    """

    def __init__(self, n_queries: int, k: int):
        self.floor = np.full(n_queries, -np.inf, np.float32)
        self._n, self._k = n_queries, k
        self._query: list[Int64] = []
        self._row: list[Int64] = []
        self._score: list[Float32] = []
        self._waiting = 0

    def add(self, query: Int64, row: Int64, score: Float32) -> None:
        self._query.append(query)
        self._row.append(row)
        self._score.append(score)
        self._waiting += len(query)
        if self._waiting >= 2 * self._n * self._k:
            self._sift()

    def _sift(self) -> None:
        query, row = np.concatenate(self._query), np.concatenate(self._row)
        score = np.concatenate(self._score)
        order = np.lexsort((row, -score, query))
        counts = np.bincount(query, minlength=self._n)
        ends = np.cumsum(counts)
        place = np.arange(len(order)) - np.repeat(ends - counts, counts)
        kept = order[place < self._k]
        self._query, self._row, self._score = [query[kept]], [row[kept]], [score[kept]]
        self._waiting = len(kept)
        full = counts >= self._k
        last = (np.cumsum(np.minimum(counts, self._k)) - 1)[full]
        self.floor[full] = self._score[0][last]

    def finish(self) -> tuple[Float32, Int64]:
        self._sift()
        return self._score[0].reshape(self._n, self._k), self._row[0].reshape(self._n, self._k)
