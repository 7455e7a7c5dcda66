"""Searching an approximate index: candidates from it, their scores from /vectors, exact where it is too little."""

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
"""Its stubs do not know half of what is used here."""
_QUERIES = 2_048
_MARGIN = 16
"""What a search for ten may ask for beyond them, to break ties, before more lists are looked at."""


def stored(index: Index) -> tuple[ApproximateSearcher, Record] | None:
    """Open the approximate index of an index file; None where it has none.

    Raises
    ------
    ImindexError
        It is damaged.
    """
    attributes = index.ann()
    if not is_approximate(attributes):
        return None
    record = Record.read(attributes)
    return ApproximateSearcher(index.vectors, record, index.ann_data()), record


class ApproximateSearcher:
    """Inner-product search by an approximate index: most of the nearest rows, in a fraction of the time.

    Scores are those of the vectors themselves. What the index cannot answer as well as it was measured, it leaves
    to an exact search: few rows to choose from, very many neighbours, and queries for which it finds too little.

    Parameters
    ----------
    vectors : (n, dim) float16, C-contiguous
        Mapped from the index file.
    record : Record
        The attributes of /ann.
    data : (bytes,) uint8
        /ann/data, mapped. Neither it nor `vectors` is copied; they must not change.
    exact_rows : int, optional
        Of so few allowed rows the search is exact.

    Attributes
    ----------
    approximate_queries : int
        How many queries it has answered so far other than exactly.

    Raises
    ------
    ImindexError
        The data is not an index of that kind over these vectors.
    """

    def __init__(
        self,
        vectors: npt.NDArray[np.float16],
        record: Record,
        data: npt.NDArray[np.uint8],
        *,
        exact_rows: int | None = None,
    ):
        self._start(vectors, faiss_kinds.read(record.kind, data, vectors), record.kind, record.parameters)
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
        """A searcher of a FAISS index that is in memory, to measure it before it is written.

        However few the rows to choose from, down to a tenth, it does not search exactly.
        """
        made = cls.__new__(cls)
        made._start(vectors, index, kind, parameters)
        made._exact_rows = 0
        return made

    def _start(self, vectors: npt.NDArray[np.float16], index: Any, kind: str, parameters: Any) -> None:
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
        """Return k near rows of each query: the nearest with the recall that was measured.

        Parameters
        ----------
        queries : (m, dim) float32
        k : int
            At most the number of rows searched.
        among : (n,) bool, optional
            Search these rows only. More lists are looked at then: the nearest ten of a tenth are about the nearest
            hundred of all. Below a tenth the search is exact, and so it is of more neighbours than that.

        Returns
        -------
        scores : (m, k) float32
            Descending.
        rows : (m, k) int64
        """
        queries = np.ascontiguousarray(queries, np.float32)
        allowed = self.n if among is None else int(np.count_nonzero(among))
        if allowed == self.n:
            among = None
        deeper = (
            self.n / max(allowed, 1) * max(1.0, (k - _MARGIN) / NEIGHBOURS)
        )  # ten of a tenth are a hundred of all
        few = among is not None and allowed <= self._exact_rows
        if not len(queries) or few or deeper * SHARE > 1 + 1e-9 or k > allowed // 4:
            return self._exact.search(queries, k, among=among)
        bits = None if among is None else np.packbits(among, bitorder="little")
        selector = None if bits is None else faiss.IDSelectorBitmap(self.n, faiss.swig_ptr(bits))
        effort = self.parameters[effort_of(self._kind) + (AMONG if deeper > 1 else "")]
        scores = np.empty((len(queries), k), np.float32)
        rows = np.empty((len(queries), k), np.int64)
        for start in range(0, len(queries), _QUERIES):
            some = slice(start, start + _QUERIES)
            scores[some], rows[some] = self._find(queries[some], k, effort, selector)
        short = np.flatnonzero(rows[:, -1] < 0)
        self.approximate_queries += len(queries) - len(short)
        if len(short):
            scores[short], rows[short] = self._exact.search(queries[short], k, among=among)
        return scores, rows

    def _find(
        self, queries: npt.NDArray[np.float32], k: int, effort: int, selector: Any
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        chosen: dict[str, Any] = {} if selector is None else {"sel": selector}
        if self._kind == HNSW:
            entries = faiss.SearchParametersHNSW(efSearch=max(effort, k), **chosen)
            found = self._index.search(queries, k, params=entries)
        else:
            lists = faiss.SearchParametersIVF(nprobe=effort, **chosen)
            if self._refined is None:
                found = self._index.search(queries, k, params=lists)
            else:
                again = faiss.IndexRefineSearchParameters(
                    k_factor=float(self.parameters["refine"]), base_index_params=lists
                )
                found = self._refined.search(queries, k, params=again)
        scores, rows = found
        return scores, rows
