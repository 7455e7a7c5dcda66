"""Read the attributes and datasets of an index file by name, block by block, without interpreting them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import STREAM_ROWS
from imindex.indexer.core.schema import Attribute
from imindex.indexer.core.url import Url
from imindex.indexer.store.guard import DESCRIPTOR, GuardedFile, read_texts, reading
from imindex.indexer.store.structure import (
    check_dataset,
    dtype_of,
    member_group,
    names_in,
    read_attributes,
)

_BLOCK_BYTES = 2**22


class Raw:
    """An open, untrusted index file. Each dataset is checked, mapped, and copied block by block.

    Parameters
    ----------
    file : h5py.File
    guard : GuardedFile
        The file object through which `file` reads.
    path : Path or Url
        Used in error messages.

    Raises
    ------
    ImindexError
        From every method, if a part is missing or does not conform to the format.
    """

    def __init__(self, file: h5py.File, guard: GuardedFile, path: Path | Url):
        self._file, self._guard, self._path = file, guard, path

    def visit(self) -> None:
        """Visit every group and dataset, including metadata that no value needs, to find damage."""
        with reading(self._path, self._guard):
            self._file.visititems(lambda name, item: None)

    def names(self, group: str) -> list[str]:
        """Return the names in a group; empty if the group does not exist."""
        with reading(self._path, self._guard):
            return names_in(self._file.id, group)

    def attributes(self, group: str) -> dict[str, Attribute]:
        """Return the scalar attributes of a group, or those of the file for "/"."""
        with reading(self._path, self._guard):
            root = h5py.h5g.open(self._file.id, b"/")
            opened = root if group == "/" else member_group(root, group)
            return read_attributes(opened, self._guard, group.strip("/"))

    def rows(self, name: str) -> int:
        """Return the number of rows of a dataset."""
        with reading(self._path, self._guard):
            return int(self._dataset(name)[0].shape[0])

    def part(self, name: str, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return some rows of a dataset, given as a slice or as row numbers; text is an object array of bytes."""
        with reading(self._path, self._guard):
            dataset, dtype = self._dataset(name)
            return self._copied(self._guard.rows(dataset, rows, dtype), name, slice(None))

    def blocks(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Yield a dataset in blocks of a few megabytes; text is an object array of bytes."""
        with reading(self._path, self._guard):
            dataset = self._mapped(name)
        is_text = dataset.dtype == DESCRIPTOR
        rows = STREAM_ROWS if is_text else max(1, _BLOCK_BYTES // max(1, dataset[:1].nbytes))
        for start in range(0, len(dataset), rows):
            with reading(self._path, self._guard):
                block = self._copied(dataset, name, slice(start, start + rows))
            yield block

    def _mapped(self, name: str) -> npt.NDArray[Any]:
        return self._guard.mapped(*self._dataset(name))

    def _dataset(self, name: str) -> tuple[h5py.Dataset, npt.DTypeLike | None]:
        parent, _, column = name.rpartition("/")
        group = member_group(self._file.id, parent) if parent else self._file.id
        dtype = dtype_of(name)
        check_dataset(group, column, dtype, self._guard, name)
        return self._file[name], DESCRIPTOR if dtype == "text" else None

    def _copied(
        self, dataset: npt.NDArray[Any], name: str, rows: slice | npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        selected = dataset[rows]
        if dataset.dtype != DESCRIPTOR:
            return np.array(selected)
        texts = np.empty(len(selected), dtype=object)
        texts[:] = read_texts(self._guard, selected, name)
        return texts


class Written:
    """A file that this process is writing, as a `Source` of digests.

    Parameters
    ----------
    file : h5py.File
    """

    def __init__(self, file: h5py.File):
        self._file = file

    def names(self, group: str) -> list[str]:
        """Return the names in a group."""
        return list(self._file[group])

    def attributes(self, group: str) -> dict[str, Attribute]:
        """Return the attributes of a group."""
        return dict(self._file[group].attrs.items())

    def blocks(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Yield a dataset in blocks."""
        dataset = self._file[name]
        row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
        is_text = h5py.check_string_dtype(dataset.dtype) is not None
        rows = STREAM_ROWS if is_text else max(1, _BLOCK_BYTES // max(1, row_bytes))
        for start in range(0, dataset.shape[0], rows):
            yield dataset[start : start + rows]
