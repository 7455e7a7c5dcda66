"""Validate the bytes of the three approximate kinds field by field, before FAISS reads them.

FAISS trusts the lengths, links and row numbers in its input. This module accepts only the exact form that imindex
writes, over n rows of dim numbers: no other class inside, no lists on disk, nothing before or after.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.ann.record import HNSW, IVF, IVF_PQ, damaged

_PRESERVED = 1 << 20
_INNER_PRODUCT = 0
_FP16 = 4
_BLOCK = 32
_MAX_LINKS = 1 << 16


def check_bytes(kind: str, data: npt.NDArray[np.uint8], n: int, dim: int) -> None:
    """Refuse bytes that are not a serialised index of a kind over n rows of dim numbers.

    Parameters
    ----------
    kind : str
    data : ndarray of uint8, shape (bytes,)
        The check allocates only a few bytes per row.
    n, dim : int

    Raises
    ------
    ImindexError
        If a field does not have the expected value.
    """
    fields = _Fields(data)
    {IVF_PQ: _ivf_pq, IVF: _ivf, HNSW: _hnsw}[kind](fields, n, dim)
    if fields.offset != len(data):
        raise damaged(f"{len(data) - fields.offset:,} bytes too many")


class _Fields:
    """Reads consecutive fields, never beyond the end."""

    def __init__(self, data: npt.NDArray[np.uint8]):
        self._data = data
        self.offset = 0

    def array(self, dtype: str, count: int, what: str) -> npt.NDArray[Any]:
        size = count * np.dtype(dtype).itemsize
        if not 0 <= size <= len(self._data) - self.offset:
            raise damaged(
                f"{what}: {size:,} bytes at byte {self.offset:,} exceed the size of {len(self._data):,} bytes"
            )
        values = self._data[self.offset : self.offset + size].view(dtype)
        self.offset += size
        return values

    def number(self, dtype: str, what: str) -> int:
        return int(self.array(dtype, 1, what)[0])

    def expect(self, dtype: str, value: int, what: str) -> None:
        actual = self.number(dtype, what)
        if actual != value:
            raise damaged(f"{what} is {actual}, not {value}")

    def marker(self, value: bytes) -> None:
        actual = self.array("u1", 4, "a name").tobytes()
        if actual != value:
            raise damaged(f"{actual!r} where {value!r} was expected")

    def vector(self, dtype: str, count: int, what: str) -> npt.NDArray[Any]:
        """Read a vector that is preceded by its length, which must be `count`."""
        self.expect("<u8", count, f"the length of {what}")
        return self.array(dtype, count, what)


def _header(fields: _Fields, fourcc: bytes, n: int, dim: int) -> None:
    fields.marker(fourcc)
    fields.expect("<i4", dim, "the dimension")
    fields.expect("<i8", n, "the number of rows")
    fields.expect("<i8", _PRESERVED, "a constant")
    fields.expect("<i8", _PRESERVED, "a constant")
    fields.expect("u1", 1, "whether it is trained")
    fields.expect("<i4", _INNER_PRODUCT, "the metric")


def _lists(fields: _Fields, fourcc: bytes, n: int, dim: int) -> int:
    """Check the fields before the codes, which both IVF kinds share; return the number of lists."""
    _header(fields, fourcc, n, dim)
    lists = fields.number("<u8", "the number of lists")
    if not 1 <= lists <= max(n, 1):
        raise damaged(f"{lists:,} lists of {n:,} rows")
    if not 1 <= fields.number("<u8", "nprobe") <= lists:
        raise damaged("nprobe is not a number of lists")
    _header(fields, b"IxFI", lists, dim)
    _finite(fields.vector("<f4", lists * dim, "the centroids"), "the centroids")
    fields.expect("u1", 0, "the kind of direct map")
    fields.vector("<i8", 0, "the direct map")
    return lists


def _finite(values: npt.NDArray[Any], what: str) -> None:
    if not np.isfinite(values).all():
        raise damaged(f"{what} are not all finite")


def _ivf_pq(fields: _Fields, n: int, dim: int) -> None:
    lists = _lists(fields, b"IwPf", n, dim)
    fields.expect("u1", 0, "whether codes are of residuals")
    code_size = fields.number("<u8", "the size of a code")
    fields.expect("<i4", _BLOCK, "the size of a block")
    padded = fields.number("<u8", "the number of codes, padded")
    fields.expect("<i4", 0, "the implementation")
    fields.expect("<u8", 0, "the batching of queries")
    fields.expect("<u8", dim, "the dimension of the codebooks")
    m = fields.number("<u8", "the number of codes")
    if not 1 <= m <= dim or dim % m or padded != m + m % 2 or code_size != (m + 1) // 2:
        raise damaged(f"{m} codes ({padded} with padding, {code_size} bytes) of {dim} numbers")
    fields.expect("<u8", 4, "the bits of a code")
    _finite(fields.vector("<f4", 16 * dim, "the codebooks"), "the codebooks")
    fields.marker(b"ilbl")
    fields.expect("<u8", lists, "the number of lists")
    fields.number("<u8", "the size of a code in the lists")  # FAISS writes -1 and never reads it
    fields.expect("<u8", _BLOCK, "the rows of a block")
    fields.expect("<u8", _BLOCK * padded // 2, "the size of a block")
    rows = []
    for _ in range(lists):
        count = fields.number("<u8", "the length of a list")
        rows.append(fields.array("<i8", count, "the rows of a list"))
        fields.vector("u1", -(-count // _BLOCK) * _BLOCK * padded // 2, "the codes of a list")
    _each_once(rows, n)


def _ivf(fields: _Fields, n: int, dim: int) -> None:
    lists = _lists(fields, b"IwSq", n, dim)
    fields.expect("<i4", _FP16, "the type of the codes")
    fields.array("u1", 8, "the training of ranges")  # unused by fp16
    fields.expect("<u8", dim, "the dimension of the codes")
    fields.expect("<u8", 2 * dim, "the size of a code")
    fields.vector("<f4", 0, "what was trained")
    fields.expect("<u8", 2 * dim, "the size of a code")
    fields.expect("u1", 0, "whether codes are of residuals")
    fields.marker(b"ilar")
    fields.expect("<u8", lists, "the number of lists")
    fields.expect("<u8", 2 * dim, "the size of a code in the lists")
    encoding = fields.array("u1", 4, "a name").tobytes()
    sizes = np.zeros(lists, np.uint64)
    if encoding == b"full":
        sizes = fields.vector("<u8", lists, "the lengths of the lists")
    elif encoding == b"sprs":
        entries = fields.number("<u8", "the lengths of the lists")
        if entries % 2 or entries > 2 * lists:
            raise damaged(f"{entries:,} numbers for the lengths of {lists:,} lists")
        numbers, counts = fields.array("<u8", entries, "the lengths of the lists").reshape(-1, 2).T
        if len(numbers) and (numbers.max() >= lists or len(np.unique(numbers)) < len(numbers)):
            raise damaged("the lengths do not match the lists")
        sizes[numbers.astype(np.intp)] = counts
    else:
        raise damaged(f"lists of the kind {encoding!r}")
    rows = []
    for count in sizes.tolist():
        fields.array("u1", count * 2 * dim, "the codes of a list")
        rows.append(fields.array("<i8", count, "the rows of a list"))
    _each_once(rows, n)


def _each_once(rows: list[npt.NDArray[Any]], n: int) -> None:
    if sum(map(len, rows)) != n:
        raise damaged(f"the lists hold {sum(map(len, rows)):,} rows of {n:,}")
    seen = np.zeros(n, np.bool_)
    for list_rows in rows:
        if len(list_rows) and not (list_rows.min() >= 0 and list_rows.max() < n):
            raise damaged("the lists hold other rows than the file")
        seen[list_rows] = True
    if not seen.all():
        raise damaged("a row is in two lists")


def _hnsw(fields: _Fields, n: int, dim: int) -> None:
    _header(fields, b"IHNs", n, dim)
    if not n:
        raise damaged("a graph of no rows")
    n_levels = fields.number("<u8", "the number of levels")
    if not 1 <= n_levels <= 64:
        raise damaged(f"{n_levels:,} levels")
    _finite(fields.array("<f8", n_levels, "the shares of the levels"), "the shares of the levels")
    ends = fields.number("<u8", "the number of levels")
    if not 2 <= ends <= 65:
        raise damaged(f"links of {ends - 1:,} levels")
    cumulated = fields.array("<i4", ends, "the links of a level").astype(np.int64)
    if cumulated[0] != 0 or (np.diff(cumulated) < 0).any() or cumulated[-1] > _MAX_LINKS:
        raise damaged("the numbers of links per level are invalid")
    levels = fields.vector("<i4", n, "the levels of the rows").astype(np.int64)
    if levels.min() < 1 or levels.max() >= ends:
        raise damaged("a row is on a level that does not exist")
    offsets = fields.vector("<u8", n + 1, "the offsets of the links")
    expected = np.concatenate([[0], np.cumsum(cumulated[levels])])
    if not np.array_equal(offsets, expected.astype(np.uint64)):
        raise damaged("the offsets of the links are wrong")
    links = fields.vector("<i4", int(expected[-1]), "the links")
    if len(links) and not (links.min() >= -1 and links.max() < n):
        raise damaged("a link points outside the graph")
    for level in range(1, int(levels.max())):  # a link must point to a row on the same level
        on_level = np.flatnonzero(levels > level)
        span = np.arange(cumulated[level], cumulated[level + 1])
        targets = links[expected[on_level][:, None] + span]
        if (levels[targets[targets >= 0]] <= level).any():
            raise damaged("a link points to a row that is not on its level")
    entry = fields.number("<i4", "the entry point")
    fields.expect("<i4", int(levels.max()) - 1, "the highest level")
    if not 0 <= entry < n or levels[entry] != levels.max():
        raise damaged("the entry point is not on the highest level")
    for what in ("efConstruction", "efSearch"):
        if not 1 <= fields.number("<i4", what) <= 1 << 20:
            raise damaged(f"{what} is out of range")
    fields.expect("<i4", 1, "the width of the beam")
    fields.marker(b"null")
