"""An index file as it lies on the disk: attributes and datasets by name, a block at a time, nothing interpreted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import STREAM_ROWS
from imindex.indexer.store.guard import DESCRIPTOR, GuardedFile, mapped, read_texts, reading
from imindex.indexer.store.structure import (
    Attribute,
    check_dataset,
    dtype_of,
    member_group,
    names_in,
    read_attributes,
)

_BLOCK_BYTES = 2**22


class Raw:
    """An open index file, from whomever: what is asked for is checked, mapped, and copied a block at a time.

    Parameters
    ----------
    file : h5py.File
    guard : GuardedFile
        Through which `file` reads.
    path : Path
        For messages.

    Raises
    ------
    ImindexError
        From every method: it is not there, or not as the format has it.
    """

    def __init__(self, file: h5py.File, guard: GuardedFile, path: Path):
        self._file, self._guard, self._path = file, guard, path

    def visit(self) -> None:
        """Look at every group and dataset, and so at metadata that no value needs; raises where one is damaged."""
        with reading(self._path, self._guard):
            self._file.visititems(lambda name, thing: None)

    def names(self, group: str) -> list[str]:
        """What a group holds; nothing if it is not there."""
        with reading(self._path, self._guard):
            return names_in(self._file.id, group)

    def attributes(self, group: str) -> dict[str, Attribute]:
        """The plain attributes of a group; those of the file itself for "/"."""
        with reading(self._path, self._guard):
            root = h5py.h5g.open(self._file.id, b"/")
            found = root if group == "/" else member_group(root, group)
            return read_attributes(found, self._guard, group.strip("/"))

    def rows(self, name: str) -> int:
        """Rows of a dataset."""
        with reading(self._path, self._guard):
            return len(self._mapped(name))

    def part(self, name: str, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Some rows of a dataset: a slice, or numbers; text as an object array of bytes."""
        with reading(self._path, self._guard):
            return self._copied(self._mapped(name), name, rows)

    def blocks(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Yield a dataset in blocks of some megabytes; text as an object array of bytes."""
        with reading(self._path, self._guard):
            whole = self._mapped(name)
        text = whole.dtype == DESCRIPTOR
        rows = STREAM_ROWS if text else max(1, _BLOCK_BYTES // max(1, whole[:1].nbytes))
        for start in range(0, len(whole), rows):
            with reading(self._path, self._guard):
                block = self._copied(whole, name, slice(start, start + rows))
            yield block

    def _mapped(self, name: str) -> npt.NDArray[Any]:
        parent, _, column = name.rpartition("/")
        group = member_group(self._file.id, parent) if parent else self._file.id
        dtype = dtype_of(name)
        check_dataset(group, column, dtype, self._guard, name)
        return mapped(self._guard.fileno(), self._file[name], DESCRIPTOR if dtype == "text" else None)

    def _copied(
        self, whole: npt.NDArray[Any], name: str, rows: slice | npt.NDArray[np.int64]
    ) -> npt.NDArray[Any]:
        some = whole[rows]
        if whole.dtype != DESCRIPTOR:
            return np.array(some)
        found = np.empty(len(some), dtype=object)
        found[:] = read_texts(self._guard, some, name)
        return found


class Written:
    """A file of one's own that is being written; what `digests` asks of a file.

    Parameters
    ----------
    file : h5py.File
    """

    def __init__(self, file: h5py.File):
        self._file = file

    def names(self, group: str) -> list[str]:
        """What a group holds."""
        return list(self._file[group])

    def attributes(self, group: str) -> dict[str, Any]:
        """The attributes of a group."""
        return dict(self._file[group].attrs.items())

    def blocks(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Yield a dataset in blocks."""
        dataset = self._file[name]
        row = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
        text = h5py.check_string_dtype(dataset.dtype) is not None
        rows = STREAM_ROWS if text else max(1, _BLOCK_BYTES // max(1, row))
        for start in range(0, dataset.shape[0], rows):
            yield dataset[start : start + rows]
