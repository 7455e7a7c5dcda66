"""The vectors of several index files as one read-only matrix, without copying a file's vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float16 = npt.NDArray[np.float16]
Rows = npt.NDArray[np.intp]


class JoinedVectors:
    """Mapped vectors of several files, one after another: an array-like of shape (n, dim), float16.

    It supports what readers of an index do: `len`, `shape`, and indexing by an integer, a slice, an integer or
    boolean array, or a pair of these and columns. The result of indexing is an ndarray: a view where all rows lie in
    one file, otherwise a copy of the chosen rows. `numpy.asarray` copies everything.

    Parameters
    ----------
    segments : sequence of (vectors, rows)
        The vectors of each file, (n_i, dim) float16, and the ascending numbers of the rows that count; None for all.
    dim : int

    Examples
    --------
    >>> first, second = np.eye(2, dtype=np.float16), np.zeros((3, 2), np.float16)
    >>> joined = JoinedVectors([(first, None), (second, np.array([0, 2]))], 2)
    >>> joined.shape, joined[1:3].tolist(), joined[[3, 0]].tolist()
    ((4, 2), [[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]])
    """

    dtype = np.dtype(np.float16)
    ndim = 2

    def __init__(self, segments: Sequence[tuple[Float16, Rows | None]], dim: int):
        self._segments = tuple(segments)
        lengths = [len(vectors) if rows is None else len(rows) for vectors, rows in self._segments]
        self.starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        """The first row of each file, and the number of all rows at the end."""
        self.shape = int(self.starts[-1]), dim

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        return 2 * self.size

    def __len__(self) -> int:
        return self.shape[0]

    def segments(self) -> Iterator[tuple[int, Float16, Rows | None]]:
        """Yield the first row of each file, its mapped vectors, and the rows of it that count (None: all)."""
        for start, (vectors, rows) in zip(self.starts[:-1].tolist(), self._segments, strict=True):
            yield start, vectors, rows

    def __getitem__(self, key: Any) -> Float16:
        if isinstance(key, tuple):
            rows, *columns = key
            if isinstance(rows, (int, np.integer)):
                value: Float16 = self[rows][tuple(columns)]
                return value
            if isinstance(rows, slice) and len(columns) == 1:
                return self[rows][:, columns[0]]
            raise IndexError("index joined vectors by rows, or by a slice of rows and columns")
        if isinstance(key, (int, np.integer)):
            number = int(key) + (len(self) if key < 0 else 0)
            if not 0 <= number < len(self):
                raise IndexError(f"row {int(key)} of {len(self)}")
            row: Float16 = self[number : number + 1][0]
            return row
        if isinstance(key, slice):
            return self._slice(range(*key.indices(len(self))))
        rows = np.asarray(key)
        if rows.dtype == np.bool_:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of shape {rows.shape} for {len(self)} rows")
            rows = np.flatnonzero(rows)
        elif not rows.size:
            rows = rows.astype(np.int64)
        return self._rows(rows)

    def _slice(self, chosen: range) -> Float16:
        if not len(chosen):
            return np.empty((0, self.shape[1]), np.float16)
        least, most = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        first, last = np.searchsorted(self.starts, [least, most], side="right") - 1
        if first == last:
            vectors, rows = self._segments[first]
            start = int(self.starts[first])
            stop = chosen[-1] - start + (1 if chosen.step > 0 else -1)
            part = slice(chosen[0] - start, None if stop < 0 else stop, chosen.step)
            view: Float16 = vectors[part] if rows is None else vectors[rows[part]]
            return view
        if chosen.step == 1:
            pieces = []
            for number in range(first, last + 1):
                start, (vectors, rows) = int(self.starts[number]), self._segments[number]
                part = slice(max(0, least - start), most + 1 - start)
                pieces.append(vectors[part] if rows is None else vectors[rows[part]])
            return np.concatenate(pieces)
        return self._rows(np.arange(chosen.start, chosen.stop, chosen.step))

    def _rows(self, rows: npt.NDArray[Any]) -> Float16:
        """Return copies of the given rows, in any order."""
        if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
            raise IndexError(f"rows are {rows.dtype} of shape {rows.shape}, not a list of integers")
        rows = rows.astype(np.int64)
        rows = np.where(rows < 0, rows + len(self), rows)
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self)):
            raise IndexError(f"rows {int(rows.min())} to {int(rows.max())} of {len(self)}")
        taken = np.empty((len(rows), self.shape[1]), np.float16)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(owner).tolist():
            places = np.flatnonzero(owner == number)
            vectors, kept = self._segments[number]
            local = rows[places] - self.starts[number]
            taken[places] = vectors[local if kept is None else kept[local]]
        return taken

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("the vectors of several files are in one array only as a copy")
        return np.asarray(self[:] if len(self) else np.empty(self.shape, np.float16), dtype)
