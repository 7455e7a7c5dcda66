"""An index file as it lies on the disk: attributes and datasets by name, a block at a time, nothing interpreted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from indexer.contents import STREAM_ROWS

_BLOCK_BYTES = 2**22


class Raw:
    """An open HDF5 file.

    Parameters
    ----------
    file : h5py.File
    """

    def __init__(self, file: h5py.File):
        self._file = file

    def visit(self) -> None:
        """Look at every group and dataset, and so at metadata that no value needs; raises where one is damaged."""
        self._file.visititems(lambda name, thing: None)

    def names(self, group: str) -> list[str]:
        """What a group holds; nothing if it is not there."""
        return list(self._file[group]) if group in self._file else []

    def attributes(self, group: str) -> dict[str, Any]:
        """The attributes of a group, as h5py reads them."""
        return dict(self._file[group].attrs.items())

    def rows(self, name: str) -> int:
        """Rows of a dataset."""
        return int(self._file[name].shape[0])

    def part(self, name: str, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Some rows of a dataset: a slice, or numbers that rise; text as an object array of bytes."""
        values: npt.NDArray[Any] = self._file[name][rows]
        return values

    def blocks(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Yield a dataset in blocks of some megabytes; text as an object array of bytes."""
        dataset = self._file[name]
        if h5py.check_string_dtype(dataset.dtype):
            rows = STREAM_ROWS
        else:
            rows = max(1, _BLOCK_BYTES // max(1, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))))
        for start in range(0, dataset.shape[0], rows):
            yield dataset[start : start + rows]
