"""Exact search with FAISS over the vectors of an index file.

The exact kind is a scalar quantiser of type fp16. Its codes are the float16 matrix /vectors itself, so nothing is
stored twice: /ann/data holds only a header, which followed by the bytes of /vectors forms a FAISS file.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from imindex.indexer.ann import exact_blocks
from imindex.indexer.core.schema import Attribute
from imindex.indexer.store.joined_vectors import JoinedVectors
from imindex.indexer.store.remote_vectors import RemoteVectors

EXACT = "exact-fp16"
_GPU_BLOCK = 262_144
_GPU_MAX_K = 2048
"""The largest k that FAISS supports on a GPU."""


def exact_header(n: int, dim: int) -> bytes:
    """Return the bytes that precede the vectors in a serialised FAISS index of n vectors.

    `faiss.deserialize_index` reads `exact_header(n, dim) + vectors.tobytes()`.
    """
    index = _scalar_quantizer(dim)
    index.ntotal = n
    # The last field before the codes is their length. It is written for no codes, then patched to n * dim * 2.
    empty = faiss.serialize_index(index).tobytes()
    return empty[:-8] + (n * dim * 2).to_bytes(8, "little")


def describe() -> dict[str, Attribute]:
    """Return the attributes of /ann for the exact kind."""
    return {"kind": EXACT, "metric": "inner-product", "faiss-version": faiss.__version__, "recall": 1.0}


def n_gpus() -> int:
    """Return the number of GPUs that FAISS sees."""
    return int(faiss.get_num_gpus())


class ExactSearcher:
    """Exact inner-product search over float16 vectors, in place.

    Parameters
    ----------
    vectors : (n, dim) float16, C-contiguous
        Usually mapped from the index file. On a CPU they are not copied; they must not change.
    device : str
        `cpu`, `cuda` or `cuda:N`. On CUDA the vectors are copied to the GPU, in fp16.
    """

    def __init__(self, vectors: npt.NDArray[np.float16], device: str = "cpu"):
        self.n, self.dim = vectors.shape
        self._vectors = vectors  # FAISS holds a bare pointer into it
        self._device = device if device.startswith("cuda") else ""
        self._index = _on_gpu(vectors, device) if self._device else in_place(vectors)

    def search(
        self, queries: npt.NDArray[np.float32], k: int, *, among: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the k nearest rows of each query.

        Parameters
        ----------
        queries : (m, dim) float32
        k : int
            At most the number of rows searched.
        among : (n,) bool, optional
            Search these rows only.

        Returns
        -------
        scores : (m, k) float32
            In descending order; rounding may swap near ties.
        rows : (m, k) int64
        """
        if self._device and k > _GPU_MAX_K:
            return ExactSearcher(self._vectors).search(queries, k, among=among)
        if self._device and among is not None:  # on a GPU, FAISS silently ignores selectors
            chosen = np.flatnonzero(among)
            scores, rows = ExactSearcher(self._vectors[chosen], self._device).search(queries, k)
            return scores, chosen[rows]
        n_rows = self.n if among is None else int(np.count_nonzero(among))
        if not self._device and len(queries) >= exact_blocks.FROM_QUERIES and k <= n_rows:
            return exact_blocks.search_blocks(self._vectors, queries, k, among=among)
        parameters = None
        if among is not None:
            bits = np.packbits(among, bitorder="little")
            selector = faiss.IDSelectorBitmap(self.n, faiss.swig_ptr(bits))
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, rows = self._index.search(np.ascontiguousarray(queries, np.float32), k, params=parameters)
        return scores, rows


class JoinedSearcher:
    """Exact inner-product search over the vectors of several files, file by file; see `ExactSearcher`.

    Parameters
    ----------
    vectors : JoinedVectors
    device : str
    """

    def __init__(self, vectors: JoinedVectors, device: str = "cpu"):
        self.n, self.dim = vectors.shape
        self._files = [
            (start, kept, exact_searcher(file, device))
            for start, file, kept in vectors.segments()
            if len(file)
        ]

    def search(
        self, queries: npt.NDArray[np.float32], k: int, *, among: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the k nearest rows of each query, of all files together; see `ExactSearcher.search`."""
        scores = np.full((len(queries), k), -np.inf, np.float32)
        rows = np.full((len(queries), k), -1, np.int64)
        for start, kept, searcher in self._files:
            n_counted = searcher.n if kept is None else len(kept)
            allowed = None if among is None else among[start : start + n_counted]
            if kept is not None:
                whole = np.zeros(searcher.n, np.bool_)
                whole[kept] = True if allowed is None else allowed
                allowed = whole
            n_rows = searcher.n if allowed is None else int(np.count_nonzero(allowed))
            if not n_rows:
                continue
            own_scores, own_rows = searcher.search(
                queries, min(k, n_rows), among=None if n_rows == searcher.n else allowed
            )
            numbers = own_rows if kept is None else np.searchsorted(kept, own_rows)
            numbers = np.where(own_rows < 0, -1, numbers + start)
            both = np.hstack([scores, own_scores]), np.hstack([rows, numbers])
            # A row of -1 has no score; ties are in row order.
            order = np.lexsort((both[1], -both[0], both[1] < 0), axis=1)[:, :k]
            scores, rows = np.take_along_axis(both[0], order, 1), np.take_along_axis(both[1], order, 1)
        return scores, rows


class RemoteSearcher:
    """Exact inner-product search over vectors in an object store, which fetches what it searches.

    Parameters
    ----------
    vectors : RemoteVectors
    device : str
    """

    def __init__(self, vectors: RemoteVectors, device: str = "cpu"):
        self.n, self.dim = vectors.shape
        self._vectors, self._device = vectors, device
        self._whole: ExactSearcher | None = None

    def search(
        self, queries: npt.NDArray[np.float32], k: int, *, among: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the k nearest rows of each query; see `ExactSearcher.search`."""
        if among is not None and self._vectors.is_few(int(np.count_nonzero(among))):
            chosen = np.flatnonzero(among)
            scores, rows = ExactSearcher(self._vectors[chosen], self._device).search(queries, k)
            return scores, np.where(rows < 0, -1, chosen[rows])
        if self._whole is None:
            self._whole = ExactSearcher(self._vectors.whole(), self._device)
        return self._whole.search(queries, k, among=among)


Searcher = ExactSearcher | JoinedSearcher | RemoteSearcher


def exact_searcher(
    vectors: npt.NDArray[np.float16] | JoinedVectors | RemoteVectors, device: str = "cpu"
) -> Searcher:
    """Return what searches the vectors of one file, of several, or of one in an object store, exactly."""
    if isinstance(vectors, JoinedVectors):
        return JoinedSearcher(vectors, device)
    if isinstance(vectors, RemoteVectors):
        return RemoteSearcher(vectors, device)
    return ExactSearcher(vectors, device)


def _scalar_quantizer(dim: int) -> Any:
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def in_place(vectors: npt.NDArray[np.float16]) -> Any:
    """Return a FAISS index whose codes are the given vectors, without copying them.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim), float16, C-contiguous
        They must stay alive and unchanged as long as the index is used.

    Returns
    -------
    faiss.IndexScalarQuantizer
    """
    index = _scalar_quantizer(vectors.shape[1])
    if len(vectors):
        flat = vectors.reshape(-1).view(np.uint8)
        no_owner = index.codes.owner  # an empty pointer: the caller keeps the memory alive
        view: Any = faiss.MaybeOwnedVectorUInt8
        index.codes = view.create_view(faiss.swig_ptr(flat), flat.size, no_owner)
        index.ntotal = len(vectors)
    return index


def _on_gpu(vectors: npt.NDArray[np.float16], device: str) -> Any:
    config = faiss.GpuIndexFlatConfig()
    config.device = int(device.partition(":")[2] or 0)
    config.useFloat16 = True
    index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), vectors.shape[1], config)
    for start in range(0, len(vectors), _GPU_BLOCK):
        index.add(np.asarray(vectors[start : start + _GPU_BLOCK], np.float32))
    return index
