"""Between libhdf5 and an index file from a stranger: every read passes here, and heaps of text are checked first.

libhdf5 checks most of what it reads, but not all: a heap whose sizes do not add up sends some versions into an endless
loop, and the length of a text is believed before it is compared. So a file is opened through a Python object
that looks at what it hands over, and texts of columns are read without libhdf5.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.metadata_blocks import Blocks

LONGEST_TEXT = 16 << 20
"""Bytes of one text."""
DESCRIPTOR = np.dtype([("length", "<u4"), ("address", "<u8"), ("number", "<u4")])
"""How a file holds one text of a column: its length, and where it lies in which heap."""
_HEAP = b"GCOL"
_HEAP_HEADER = 16
_ROOM = 64 << 20
_LEAST = 512
_KEPT = 4096
"""Of the blocks of metadata that were read, so many are kept."""
Objects = dict[int, tuple[int, int]]


class Damage(Exception):
    """What is wrong with a file; `reading` makes a message of it."""


@contextmanager
def reading(path: Path, guard: GuardedFile | None = None) -> Iterator[None]:
    """Whatever goes wrong in reading a file is told as damage of the file."""
    if guard is not None:
        guard.renew()
    try:
        yield
    except ImindexError:
        raise
    except (
        Damage,
        OSError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        MemoryError,
    ) as error:
        said = guard.wrong if guard is not None and guard.wrong else str(error) or type(error).__name__
        raise ImindexError(
            f"{path} is damaged: {said.strip(chr(39)).rstrip('.')}. Restore it from a copy, or build it anew."
        ) from error


class GuardedFile(io.RawIOBase):
    """A file opened for reading, as h5py's driver for Python objects takes it.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    size : int
        Bytes of the file when it was opened.
    wrong : str
        Why the last read was refused; libhdf5 may hide it.
    blocks : dict of int to bytes
        Metadata that libhdf5 was given, by its place.
    """

    def __init__(self, path: Path):
        self._descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        )
        self.size = os.fstat(self._descriptor).st_size
        self.wrong = ""
        self.blocks: dict[int, bytes] = {}
        self._place = 0
        self._sound: set[int] = set()
        self._blocks = Blocks(self.size)
        self.renew()

    def renew(self) -> None:
        """Begin an operation: it may read each byte a few times, and no more."""
        self.wrong = ""
        self._budget = _ROOM + 4 * self.size

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = (0, self._place, self.size)[whence] + offset
        return self._place

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        place, length = self._place, len(view)
        self._budget -= max(length, _LEAST)
        if self._budget < 0:
            raise self._refusal("its structure leads round in circles")
        if place + length > self.size:
            raise self._refusal(f"it ends at byte {self.size:,}, and refers to byte {place + length:,}")
        read = self.at(place, length)
        if read[:4] == _HEAP and place not in self._sound:
            try:
                self.heap(place)
            except Damage as error:
                raise self._refusal(str(error)) from error
            self._sound.add(place)
        elif wrong := self._blocks.wrong_with(place, read):
            raise self._refusal(wrong)
        elif length <= 1 << 16 and len(self.blocks) < _KEPT:
            self.blocks[place] = read if len(read) > len(self.blocks.get(place, b"")) else self.blocks[place]
        view[:] = read
        self._place += length
        return length

    def _refusal(self, said: str) -> OSError:
        self.wrong = said
        return OSError(said)

    def at(self, place: int, length: int) -> bytes:
        """Return the bytes at a place that is known to lie in the file."""
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, length, place)
        os.lseek(self._descriptor, place, os.SEEK_SET)
        return os.read(self._descriptor, length)

    def heap(self, place: int) -> tuple[bytes, Objects]:
        """Return a heap of texts and where each lies in it: number -> (start, bytes).

        Raises
        ------
        Damage
            Its sizes do not add up.
        """
        header = self.at(place, _HEAP_HEADER) if 0 < place <= self.size - _HEAP_HEADER else b""
        if len(header) < _HEAP_HEADER or header[:5] != _HEAP + b"\1":
            raise Damage(f"no heap of texts lies at byte {place:,}")
        size = int.from_bytes(header[8:], "little")
        if not 4096 <= size <= self.size - place or size > LONGEST_TEXT + 4096:
            raise Damage(f"the heap of texts at byte {place:,} is said to have {size:,} bytes")
        whole = self.at(place, size)
        found: Objects = {}
        start = _HEAP_HEADER
        while start + 16 <= size:
            number, length = struct.unpack_from("<H6xQ", whole, start)
            room = (
                length if not number else 16 + (length + 7) // 8 * 8
            )  # number 0 is what is free, header and all
            if room < 16 or start + room > size or number in found:
                raise Damage(f"the heap of texts at byte {place:,} is broken after {start} bytes")
            if number:
                found[number] = (start + 16, length)
            start += room
        return whole, found


def open_file(path: Path) -> tuple[h5py.File, GuardedFile]:
    """Open an HDF5 file for reading; no shared library is loaded on its account.

    Raises
    ------
    OSError
        It cannot be opened.
    """
    for _ in range(
        h5py.h5pl.size()
    ):  # filters from plugins: no column has a filter, and no file shall load code
        h5py.h5pl.remove(0)
    guard = GuardedFile(path)
    try:
        return h5py.File(guard, "r", locking=False), guard
    except BaseException:
        guard.close()
        raise


def mapped(descriptor: int, dataset: h5py.Dataset, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """A contiguous dataset where it lies in the file. Of no rows there is nothing to map.

    Parameters
    ----------
    descriptor : int
        Of the open file, for a build may have put another file under the name meanwhile.
    dataset : h5py.Dataset
    dtype : dtype, optional
        `DESCRIPTOR`, for a column of text.
    """
    dtype = dataset.dtype if dtype is None else np.dtype(dtype)
    if not dataset.size:
        return np.empty(dataset.shape, dtype)
    with os.fdopen(os.dup(descriptor), "rb") as same_file:
        return np.memmap(
            same_file, dtype=dtype, mode="r", offset=dataset.id.get_offset(), shape=dataset.shape
        )


def read_texts(guard: GuardedFile, descriptors: npt.NDArray[Any], key: str) -> list[bytes]:
    """Read the texts of a column.

    Parameters
    ----------
    guard : GuardedFile
    descriptors : (n,) `DESCRIPTOR`
        From the file; nothing of them is believed.
    key : str
        The column, for messages.

    Raises
    ------
    Damage
        One is too long or does not lie where it is said to.
    """
    lengths = descriptors["length"]
    total = int(lengths.sum(dtype=np.int64))
    if len(lengths) and (int(lengths.max()) > LONGEST_TEXT or total > guard.size):
        raise Damage(
            f"/{key} is said to hold texts of {total:,} bytes, the longest of {int(lengths.max()):,}"
        )
    found: list[bytes] = []
    heaps: dict[int, tuple[bytes, Objects]] = {}
    for length, place, number in zip(
        lengths.tolist(), descriptors["address"].tolist(), descriptors["number"].tolist(), strict=True
    ):
        if not length and not place and not number:  # as other writers may leave an empty text
            found.append(b"")
            continue
        if place not in heaps:
            if len(heaps) >= 64:  # a column lies in its heaps in order
                heaps.clear()
            heaps[place] = guard.heap(place)
        whole, objects = heaps[place]
        start, said = objects.get(number, (0, -1))
        if said != length:
            raise Damage(f"/{key}: a text of {length:,} bytes is not where it is said to lie")
        found.append(whole[start : start + length])
    return found
