"""Cosines of one vector to very many, quickly and with a bounded error, to choose which are worth computing exactly."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float16, Float64, Int64, blocks

Float32 = npt.NDArray[np.float32]

ERROR = 1e-3
"""Bound of the error of a rough cosine: half the distance of two float16 numbers around 1, and the sums in fp32."""
_SPARSE = 3
"""Of a table of which less than one in this many rows is of interest, these rows are copied."""
_STEP = 4096


class RoughTable:
    """Some rows of a table of float16 unit vectors, mapped or copied.

    Parameters
    ----------
    vectors : array_like, shape (n, d), float16
        An array, which is not copied unless few of its rows are of interest; or several files' or a remote file's
        vectors.
    rows : ndarray of int64
        The rows of interest, in any order.
    """

    def __init__(self, vectors: Any, rows: Int64):
        first, end = (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)
        is_mapped = isinstance(vectors, np.ndarray) and vectors.flags.c_contiguous
        if is_mapped and end - first <= _SPARSE * len(rows):
            self._table, self._place = vectors[first:end], rows - first
        else:
            self._table = np.empty((len(rows), vectors.shape[1]), np.float16)
            for start in range(0, len(rows), _STEP):
                self._table[start : start + _STEP] = vectors[rows[start : start + _STEP]]
            self._place = np.arange(len(rows))

        self._is_whole = len(self._table) == len(rows) and bool((np.diff(self._place) == 1).all())

    def rough(self, vector: Float16) -> Float32:
        """Return the cosines of a vector to the rows of interest, shape (rows,), within `ERROR`.

        PyTorch multiplies float16 matrices with vectors at the speed of memory. It sums in fp32, and rounds the sum to
        float16. Callers compare some of them with `exact`, in case another PyTorch does otherwise.
        """
        import torch

        out = np.empty(len(self._table), np.float16)
        if len(out):
            torch.mv(
                torch.from_numpy(_writable(self._table)),
                torch.from_numpy(np.array(vector)),
                out=torch.from_numpy(out),
            )
        cosines = out.astype(np.float32)
        return cosines if self._is_whole else cosines[self._place]

    def vectors(self, positions: Int64) -> Float16:
        """Return the vectors of some of the rows of interest, given their positions."""
        return np.asarray(self._table[self._place[positions]])

    def exact(self, vector: Float16, positions: Int64 | None = None) -> Float64:
        """Return the exact cosines of a vector to some of the rows of interest, given their positions; or to all."""
        places = self._place if positions is None else self._place[positions]
        wide = np.asarray(vector, np.float64)
        cosines = np.empty(len(places))
        for some in blocks(len(places), self._table.shape[1]):
            cosines[some] = self._table[places[some]].astype(np.float64) @ wide
        return cosines


def _writable(array: Float16) -> Float16:
    """Return a view that NumPy takes for writable, which PyTorch requires of what it only reads.

    The memory of a mapped file stays protected: who writes to it is stopped by the operating system.
    """
    if array.flags.writeable:
        return array
    memory: Any = (ctypes.c_char * array.nbytes).from_address(array.ctypes.data)
    view: Float16 = np.frombuffer(memory, np.float16).reshape(array.shape)
    return view
