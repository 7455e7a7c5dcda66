"""Exact inner-product search for many queries at once: blocks of float16 rows, widened, and searched by FAISS in fp32.

FAISS widens every row anew for each query of a scalar quantiser; with many queries products of matrices are quicker,
and need no second copy of the vectors in fp32 as `IndexFlat` does.
"""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

FROM_QUERIES = 16
"""With fewer queries FAISS is as quick."""
ROWS = 65_536
"""Of vectors in one block, 128 MiB in fp32 at 512 dimensions."""
PIECE = 2_048
"""Rows that are copied and widened at a time: they stay in the processor's cache."""

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
    import torch  # widens float16 some ten times as fast as NumPy

    asked = np.ascontiguousarray(queries, np.float32)
    chosen = None if among is None else np.flatnonzero(among)
    n = len(vectors) if chosen is None else len(chosen)
    size = min(n, ROWS)
    narrow = np.empty((min(n, PIECE), vectors.shape[1]), np.float16)
    wide = np.empty((size, vectors.shape[1]), np.float32)
    source, target = torch.from_numpy(narrow), torch.from_numpy(wide)
    scores = np.full((len(asked), k), -np.inf, np.float32)
    rows = np.full((len(asked), k), np.iinfo(np.int64).max)
    for start in range(0, n, ROWS):
        here = np.arange(start, min(n, start + ROWS)) if chosen is None else chosen[start : start + ROWS]
        for first in range(0, len(here), PIECE):
            # By way of `narrow`: PyTorch wants memory that may be written, and a mapped file's may not.
            some = here[first : first + PIECE]
            narrow[: len(some)] = vectors[some[0] : some[-1] + 1] if chosen is None else vectors[some]
            target[first : first + len(some)] = source[: len(some)]
        found, places = faiss.knn(
            asked, wide[: len(here)], min(k, len(here)), metric=faiss.METRIC_INNER_PRODUCT
        )
        # A later row comes after an earlier one of the same score, so only a higher score changes anything.
        better = np.flatnonzero(found[:, 0] > scores[:, -1])
        if len(better):
            both = np.hstack([scores[better], found[better]]), np.hstack([rows[better], here[places[better]]])
            order = np.lexsort((both[1], -both[0]), axis=1)[:, :k]
            scores[better] = np.take_along_axis(both[0], order, 1)
            rows[better] = np.take_along_axis(both[1], order, 1)
    return scores, rows
