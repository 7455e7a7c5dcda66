"""Search an approximate index: it supplies candidates, /vectors their scores, and exact search the hard cases."""

from __future__ import annotations

from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from imindex.indexer.ann import faiss_kinds
from imindex.indexer.ann.exact import ExactSearcher, in_place
from imindex.indexer.ann.record import (
    AMONG,
    EXACT_ROWS,
    HNSW,
    IVF_PQ,
    NEIGHBOURS,
    SHARE,
    Record,
    damaged,
    effort_of,
    is_approximate,
)
from imindex.indexer.store.index import Index

faiss: Any = _faiss
"""Typed as Any, since FAISS's stubs lack much of what is used here."""
_QUERIES = 2_048
_MARGIN = 16
"""A search may request this many extra neighbours, to break ties, before it has to probe more lists."""


def stored(index: Index) -> tuple[ApproximateSearcher, Record] | None:
    """Open the approximate index of an index file; return None if there is none.

    Raises
    ------
    ImindexError
        If it is damaged.
    """
    attributes = index.ann()
    if not is_approximate(attributes):
        return None
    record = Record.read(attributes)
    return ApproximateSearcher(np.asarray(index.vectors), record, index.ann_data()), record


class ApproximateSearcher:
    """Inner-product search with an approximate index: most of the nearest rows, in a fraction of the time.

    Scores are computed from the vectors themselves. Cases for which the measured recall does not apply use an exact
    search: few rows to choose from, very many neighbours, and queries with too few candidates.

    Parameters
    ----------
    vectors : (n, dim) float16, C-contiguous
        Mapped from the index file.
    record : Record
        The attributes of /ann.
    data : (bytes,) uint8
        /ann/data, mapped. Neither `data` nor `vectors` is copied; they must not change.
    exact_rows : int, optional
        With at most this many allowed rows, the search is exact.

    Attributes
    ----------
    approximate_queries : int
        The number of queries answered approximately so far.

    Raises
    ------
    ImindexError
        If the data is not an index of that kind over these vectors.
    """

    def __init__(
        self,
        vectors: npt.NDArray[np.float16],
        record: Record,
        data: npt.NDArray[np.uint8],
        *,
        exact_rows: int | None = None,
    ):
        self._initialize(
            vectors, faiss_kinds.read(record.kind, data, vectors), record.kind, record.parameters
        )
        self._data = data
        self._exact_rows = EXACT_ROWS if exact_rows is None else exact_rows
        if record.kind != HNSW and max(record.parameters["nprobe"], record.parameters["nprobe" + AMONG]) > (
            self._index.nlist
        ):
            raise damaged(f"search parameters {record.parameters} of {self._index.nlist} lists")

    @classmethod
    def over(
        cls, index: Any, kind: str, vectors: npt.NDArray[np.float16], parameters: Any
    ) -> ApproximateSearcher:
        """Return a searcher for a FAISS index in memory, to measure it before it is written.

        It searches approximately among any subset of at least a tenth of the rows.
        """
        searcher = cls.__new__(cls)
        searcher._initialize(vectors, index, kind, parameters)
        searcher._exact_rows = 0
        return searcher

    def _initialize(self, vectors: npt.NDArray[np.float16], index: Any, kind: str, parameters: Any) -> None:
        self.n, self.dim = vectors.shape
        self.approximate_queries = 0
        self.parameters = dict(parameters)
        self._vectors, self._index, self._kind = vectors, index, kind
        self._table = in_place(vectors)
        self._refined = faiss.IndexRefine(index, self._table) if kind == IVF_PQ else None
        self._exact = ExactSearcher(vectors)

    def search(
        self, queries: npt.NDArray[np.float32], k: int, *, among: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the k nearest rows of each query, with the measured recall.

        Parameters
        ----------
        queries : (m, dim) float32
        k : int
            At most the number of rows searched.
        among : (n,) bool, optional
            Search these rows only. The search then probes more lists, since the nearest ten among a tenth of the rows
            are about the nearest hundred among all. For fewer rows, or correspondingly more neighbours, it is exact.

        Returns
        -------
        scores : (m, k) float32
            In descending order.
        rows : (m, k) int64
        """
        queries = np.ascontiguousarray(queries, np.float32)
        allowed = self.n if among is None else int(np.count_nonzero(among))
        if allowed == self.n:
            among = None
        # Ten neighbours among a tenth of the rows need a search as deep as a hundred among all.
        depth = self.n / max(allowed, 1) * max(1.0, (k - _MARGIN) / NEIGHBOURS)
        few = among is not None and allowed <= self._exact_rows
        if not len(queries) or few or depth * SHARE > 1 + 1e-9 or k > allowed // 4:
            return self._exact.search(queries, k, among=among)
        bits = None if among is None else np.packbits(among, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(self.n, faiss.swig_ptr(bits))
        effort = self.parameters[effort_of(self._kind) + (AMONG if depth > 1 else "")]
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        for start in range(0, len(queries), _QUERIES):
            batch = slice(start, start + _QUERIES)
            scores[batch], rows[batch] = self._search_batch(queries[batch], k, effort, selector)
        incomplete = np.flatnonzero(rows[:, -1] < 0)
        self.approximate_queries += len(queries) - len(incomplete)
        if len(incomplete):
            scores[incomplete], rows[incomplete] = self._exact.search(queries[incomplete], k, among=among)
        return scores, rows

    def _search_batch(
        self, queries: npt.NDArray[np.float32], k: int, effort: int, selector: Any
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        options = {} if selector is None else {"sel": selector}
        if self._kind == HNSW:
            parameters = faiss.SearchParametersHNSW(efSearch=max(effort, k), **options)
            result = self._index.search(queries, k, params=parameters)
        else:
            parameters = faiss.SearchParametersIVF(nprobe=effort, **options)
            if self._refined is None:
                result = self._index.search(queries, k, params=parameters)
            else:
                refine = faiss.IndexRefineSearchParameters(
                    k_factor=float(self.parameters["refine"]), base_index_params=parameters
                )
                result = self._refined.search(queries, k, params=refine)
        scores, rows = result
        return scores, rows
