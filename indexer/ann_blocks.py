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
    narrow, wide = (
        np.empty((size, vectors.shape[1]), np.float16),
        np.empty((size, vectors.shape[1]), np.float32),
    )
    source, target = torch.from_numpy(narrow), torch.from_numpy(wide)
    scores, rows = np.empty((len(asked), 0), np.float32), np.empty((len(asked), 0), np.int64)
    for start in range(0, n, ROWS):
        here = np.arange(start, min(n, start + ROWS)) if chosen is None else chosen[start : start + ROWS]
        m = len(here)
        narrow[:m] = vectors[start : start + m] if chosen is None else vectors[here]
        target[:m] = source[:m]
        found, places = faiss.knn(asked, wide[:m], min(k, m), metric=faiss.METRIC_INNER_PRODUCT)
        scores, rows = np.hstack([scores, found]), np.hstack([rows, here[places]])
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
    return scores, rows
