"""The vectors of an index in an object store, which are fetched where they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import BLOCK_ROWS
from imindex.indexer.store.guard import GuardedFile

_ALL_FROM = 0.5
"""From this share of the rows on, all are fetched: they can be searched in place, and compared with digests."""
_LARGEST_COPY = 2**30
"""Bytes. Of more, all are fetched and mapped rather than copied."""


class RemoteVectors:
    """Float16 vectors of shape (n, dim) that are fetched when they are indexed. It is no array, but gives arrays.

    A few rows are fetched alone, and are a copy. Everything else fetches all rows, compares each block of 65,536 rows
    with its digest in the file, and is a memory map (`numpy.asarray`, `whole`). What was fetched before is not fetched
    again. So no memory is ever mapped that was not fetched.

    Parameters
    ----------
    guard : GuardedFile
    dataset : h5py.Dataset
        /vectors, checked.
    digests : callable
        Returns /digests/vectors, (blocks, 32) uint8.
    refuse : callable
        Called with what is wrong; raises.
    reading : callable
        Returns the context in which the file is read, which turns what libraries raise into errors for people.
    """

    def __init__(
        self,
        guard: GuardedFile,
        dataset: h5py.Dataset,
        digests: Callable[[], npt.NDArray[np.uint8]],
        refuse: Callable[[str], None],
        reading: Callable[[], Any],
    ):
        self._guard, self._dataset, self._digests = guard, dataset, digests
        self._refuse, self._reading = refuse, reading
        self._whole: npt.NDArray[np.float16] | None = None
        self.shape: tuple[int, int] = dataset.shape
        self.dtype = np.dtype(np.float16)
        self.ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def is_few(self, n_rows: int) -> bool:
        """Return whether so many rows are fetched alone, rather than all of them."""
        few = n_rows < _ALL_FROM * len(self) and 2 * n_rows * self.shape[1] <= _LARGEST_COPY
        return self._whole is None and few

    def whole(self) -> npt.NDArray[np.float16]:
        """Fetch all vectors, compare them with their digests, and return them as a memory map."""
        if self._whole is None:
            with self._reading():
                self._compare()
                self._whole = self._guard.mapped(self._dataset)
        return self._whole

    def _compare(self) -> None:
        if not self.size:
            return
        digests = self._digests()
        n_blocks = -(-len(self) // BLOCK_ROWS)
        if digests.shape != (n_blocks, 32):
            self._refuse(f"digests/vectors has {len(digests)} digests for {n_blocks} blocks of vectors")
        for block in range(n_blocks):
            first, end = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, len(self))
            expected = digests[block].tobytes()

            def is_right(pieces: Iterator[bytes], expected: bytes = expected) -> bool:
                hasher = hashlib.sha256()
                for piece in pieces:
                    hasher.update(piece)
                return hasher.digest() == expected

            if not self._guard.compare(self._dataset, first, end, is_right):
                self._refuse(
                    f"vectors/{block} (rows {first} to {end - 1}) is not what was written: it was changed in the "
                    "store, or on its way"
                )

    def __getitem__(self, key: Any) -> npt.NDArray[np.float16]:
        if self._whole is None and not isinstance(key, tuple):
            if isinstance(key, slice):
                n_rows = len(range(*key.indices(len(self))))
            else:
                key = np.asarray(key)
                if key.dtype == np.bool_ and key.shape == (len(self),):
                    key = np.flatnonzero(key)
                n_rows = key.size
                if key.ndim == 0 and np.issubdtype(key.dtype, np.integer):
                    with self._reading():
                        return np.asarray(self._guard.rows(self._dataset, key.reshape(1))[0])
                if key.ndim != 1 or not (np.issubdtype(key.dtype, np.integer) or not key.size):
                    raise IndexError(f"rows are {key.dtype} of shape {key.shape}, not a list of integers")
            if self.is_few(n_rows):
                with self._reading():
                    return self._guard.rows(self._dataset, key)
        chosen: npt.NDArray[np.float16] = self.whole()[key]
        return chosen

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        whole = self.whole()
        if copy:
            return np.array(whole, dtype)
        return np.asarray(whole, dtype)
