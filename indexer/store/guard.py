"""A guarded file object between libhdf5 and an untrusted index file, which checks heaps of text before they are read.

libhdf5 validates most of what it reads, but not everything: a heap with inconsistent sizes sends some versions into
an endless loop, and the length of a text is used before it is checked. The file is therefore opened through a Python
object that inspects each read, and the texts of columns are read without libhdf5.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.url import Url
from imindex.indexer.store.backing import Backing, read_at
from imindex.indexer.store.metadata_blocks import Blocks

LONGEST_TEXT = 16 << 20
"""Maximum number of bytes per text."""
DESCRIPTOR = np.dtype([("length", "<u4"), ("address", "<u8"), ("number", "<u4")])
"""A text of a column as stored in the file: its length, the address of its heap, and its number in the heap."""
_HEAP = b"GCOL"
_HEAP_HEADER = 16
_LEAST_HEAP = 4096
_BASE_BUDGET = 64 << 20
_MIN_READ = 512
_MAX_BLOCKS = 4096
"""Maximum number of metadata blocks kept in memory."""
Objects = dict[int, tuple[int, int]]


class Damage(Exception):
    """Describes what is wrong with a file; `reading` turns it into an error message."""


class Rewritten(Damage):
    """Describes what another program has stored in another way than the format allows, with the same values.

    `by_layout` says that only filters or the layout differ, which h5repack undoes.
    """

    def __init__(self, problem: str, *, by_layout: bool = False):
        super().__init__(problem)
        self.by_layout = by_layout


@contextmanager
def reading(path: Path | Url, guard: GuardedFile | None = None) -> Iterator[None]:
    """Report any error while reading a file as damage of the file. One thread reads at a time."""
    with contextlib.nullcontext() if guard is None else guard.lock:
        if guard is not None:
            guard.renew()
        with _damage_reported(path, guard):
            yield


@contextmanager
def _damage_reported(path: Path | Url, guard: GuardedFile | None) -> Iterator[None]:
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
        if isinstance(error, Rewritten):
            undo = f"; or undo it: h5repack -f NONE -l CONTI {path} NEW.h5" if error.by_layout else ""
            raise ImindexError(
                f"{path} was rewritten by another program: {error}. Nothing may be lost, but imindex reads only what "
                f"is stored as it stores it. Restore the original, copied with cp{undo}."
            ) from error
        if guard is not None and guard.failure is not None:
            raise guard.failure from error
        problem = guard.wrong if guard is not None and guard.wrong else str(error) or type(error).__name__
        raise ImindexError(
            f"{path} is damaged: {problem.strip(chr(39)).rstrip('.')}. Restore it from a backup, or build it again."
        ) from error


class GuardedFile(io.RawIOBase):
    """A file opened for reading through h5py's driver for Python file objects.

    Parameters
    ----------
    backing : Backing
        The bytes of the file. It is closed with this object.

    Attributes
    ----------
    size : int
        Size of the file in bytes when it was opened.
    wrong : str
        Why the last read was refused, which libhdf5 may hide.
    failure : ImindexError or None
        Why the last bytes could not be fetched.
    blocks : dict of int to bytes
        Metadata blocks passed to libhdf5, by address.
    lock : RLock
        Held by the thread that reads, see `reading`.
    """

    def __init__(self, backing: Backing):
        self._backing = backing
        self.size = backing.size
        self.wrong = ""
        self.failure: ImindexError | None = None
        self.blocks: dict[int, bytes] = {}
        self._position = 0
        self.lock = threading.RLock()
        self._checked_heaps: set[int] = set()
        self._blocks = Blocks(self.size)
        self.renew()

    def renew(self) -> None:
        """Start a new operation, which may read each byte only a few times."""
        self.wrong, self.failure = "", None
        self._budget = _BASE_BUDGET + 4 * self.size

    @property
    def is_whole(self) -> bool:
        """Whether every byte of the file is on this machine."""
        return self._backing.is_whole

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = (0, self._position, self.size)[whence] + offset
        return self._position

    def close(self) -> None:
        if not self.closed:
            self._backing.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        address, length = self._position, len(view)
        self._budget -= max(length, _MIN_READ)
        if self._budget < 0:
            raise self._refusal("its structure is circular")
        if address + length > self.size:
            raise self._refusal(f"it ends at byte {self.size:,}, but refers to byte {address + length:,}")
        data = self.at(address, length)
        if data[:4] == _HEAP and address not in self._checked_heaps:
            try:
                self.heap(address)
            except Damage as error:
                raise self._refusal(str(error)) from error
            self._checked_heaps.add(address)
        elif wrong := self._blocks.wrong_with(address, data):
            raise self._refusal(wrong)
        elif length <= 1 << 16 and len(self.blocks) < _MAX_BLOCKS:
            self.blocks[address] = max(self.blocks.get(address, b""), data, key=len)
        view[:] = data
        self._position += length
        return length

    def _refusal(self, problem: str) -> OSError:
        self.wrong = problem
        return OSError(problem)

    def at(self, address: int, length: int) -> bytes:
        """Return the bytes at an address that is known to be inside the file."""
        try:
            return self._backing.at(address, length)
        except ImindexError as error:
            self.failure = error
            raise

    def mapped(self, dataset: h5py.Dataset, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
        """Memory-map a contiguous dataset, all of whose bytes are fetched before; see `mapped`."""
        span = dataset.id.get_offset(), dataset.id.get_storage_size()
        return mapped(self._backing.descriptor([span]) if dataset.size else -1, dataset, dtype)

    def rows(
        self, dataset: h5py.Dataset, rows: npt.NDArray[np.int64] | slice, dtype: npt.DTypeLike | None = None
    ) -> npt.NDArray[Any]:
        """Return some rows of a contiguous dataset, without fetching the others: a copy, except of a slice.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        n = len(dataset)
        if self.is_whole or not dataset.size:
            return self.mapped(dataset, dtype)[rows]
        kind = dataset.dtype if dtype is None else np.dtype(dtype)
        row_bytes, offset = dataset.id.get_storage_size() // n, dataset.id.get_offset()
        if isinstance(rows, slice):
            start, stop, step = rows.indices(n)
            if step == 1:
                stop = max(start, stop)
                return self._run(offset, row_bytes, start, stop, kind, dataset.shape[1:])
            rows = np.arange(start, stop, step)
        chosen = np.asarray(rows, np.int64)
        if len(chosen) and not -n <= int(chosen.min()) <= int(chosen.max()) < n:
            raise IndexError(f"row {int(chosen.max())} of {n}")
        distinct, place = np.unique(np.where(chosen < 0, chosen + n, chosen), return_inverse=True)
        breaks = np.flatnonzero(np.diff(distinct) != 1) + 1
        runs = [(int(run[0]), int(run[-1]) + 1) for run in np.split(distinct, breaks) if len(run)]
        spans = [(offset + first * row_bytes, (end - first) * row_bytes) for first, end in runs]
        descriptor = self._backing.descriptor(spans)
        values = np.empty((len(distinct), *dataset.shape[1:]), kind)
        target = values.reshape(-1).view(np.uint8)
        filled = 0
        for address, length in spans:
            target[filled : filled + length] = np.frombuffer(read_at(descriptor, address, length), np.uint8)
            filled += length
        return values[place.reshape(chosen.shape)]

    def compare(
        self, dataset: h5py.Dataset, first: int, end: int, is_right: Callable[[Iterator[bytes]], bool]
    ) -> bool:
        """Fetch consecutive rows of a contiguous dataset, and return whether their bytes are right."""
        row_bytes, offset = dataset.id.get_storage_size() // len(dataset), dataset.id.get_offset()
        return self._backing.compare(offset + first * row_bytes, (end - first) * row_bytes, is_right)

    def _run(
        self, offset: int, row_bytes: int, first: int, end: int, kind: np.dtype[Any], shape: tuple[int, ...]
    ) -> npt.NDArray[Any]:
        """Memory-map consecutive rows, which are fetched before."""
        if first == end:
            return np.empty((0, *shape), kind)
        start = offset + first * row_bytes
        descriptor = self._backing.descriptor([(start, (end - first) * row_bytes)])
        return _map(descriptor, kind, start, (end - first, *shape))

    def expect_heaps(self, descriptors: npt.NDArray[Any]) -> None:
        """Fetch the beginnings of the heaps of some texts together."""
        if self.is_whole:
            return
        addresses = np.unique(descriptors["address"])
        inside = addresses[(addresses > 0) & (addresses <= max(0, self.size - _LEAST_HEAP))]
        self._backing.expect([(int(address), _LEAST_HEAP) for address in inside.tolist()])

    def heap(self, address: int) -> tuple[bytes, Objects]:
        """Return a heap of texts, and the start and size of each text in it by number.

        Raises
        ------
        Damage
            If its sizes are inconsistent.
        """
        header = self.at(address, _HEAP_HEADER) if 0 < address <= self.size - _HEAP_HEADER else b""
        if len(header) < _HEAP_HEADER or header[:5] != _HEAP + b"\1":
            raise Damage(f"there is no heap of texts at byte {address:,}")
        size = int.from_bytes(header[8:], "little")
        if not _LEAST_HEAP <= size <= self.size - address or size > LONGEST_TEXT + 4096:
            raise Damage(f"the heap of texts at byte {address:,} claims to have {size:,} bytes")
        content = self.at(address, size)
        objects: Objects = {}
        start = _HEAP_HEADER
        while start + 16 <= size:
            number, length = struct.unpack_from("<H6xQ", content, start)
            # Number 0 is the free space; its length includes the header.
            span = length if not number else 16 + (length + 7) // 8 * 8
            if span < 16 or start + span > size or number in objects:
                raise Damage(f"the heap of texts at byte {address:,} is broken after {start} bytes")
            if number:
                objects[number] = (start + 16, length)
            start += span
        return content, objects


def open_file(backing: Backing) -> tuple[h5py.File, GuardedFile]:
    """Open an HDF5 file for reading, without loading HDF5 plugins.

    Parameters
    ----------
    backing : Backing
        Its bytes. It is closed with the file, and stays open after a failure.

    Raises
    ------
    ImindexError
        If its bytes cannot be fetched.
    OSError
        If it is no HDF5 file.
    """
    for _ in range(
        h5py.h5pl.size()
    ):  # plugins provide filters, which an index does not use, and would load code
        h5py.h5pl.remove(0)
    guard = GuardedFile(backing)
    try:
        return h5py.File(guard, "r", locking=False), guard
    except BaseException as error:
        if guard.failure is not None:
            raise guard.failure from error
        raise


def mapped(descriptor: int, dataset: h5py.Dataset, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Memory-map a contiguous dataset; an empty dataset gives an empty array.

    Parameters
    ----------
    descriptor : int
        Descriptor of the open file, since a build may have replaced the file of that name in the meantime.
    dataset : h5py.Dataset
    dtype : dtype, optional
        `DESCRIPTOR` for a column of text.
    """
    dtype = dataset.dtype if dtype is None else np.dtype(dtype)
    if not dataset.size:
        return np.empty(dataset.shape, dtype)
    return _map(descriptor, dtype, dataset.id.get_offset(), dataset.shape)


def _map(descriptor: int, dtype: npt.DTypeLike, offset: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    with os.fdopen(os.dup(descriptor), "rb") as same_file:
        return np.memmap(same_file, dtype=dtype, mode="r", offset=offset, shape=shape)


def read_texts(guard: GuardedFile, descriptors: npt.NDArray[Any], key: str) -> list[bytes]:
    """Read the texts of a column.

    Parameters
    ----------
    guard : GuardedFile
    descriptors : (n,) `DESCRIPTOR`
        Untrusted values from the file.
    key : str
        Name of the column, for error messages.

    Raises
    ------
    Damage
        If a text is too long, or is not where its descriptor says.
    """
    lengths = descriptors["length"]
    total = int(lengths.sum(dtype=np.int64))
    if len(lengths) and (int(lengths.max()) > LONGEST_TEXT or total > guard.size):
        raise Damage(f"/{key} claims to hold texts of {total:,} bytes, the longest of {int(lengths.max()):,}")
    guard.expect_heaps(descriptors)
    texts: list[bytes] = []
    heaps: dict[int, tuple[bytes, Objects]] = {}
    for length, address, number in zip(
        lengths.tolist(), descriptors["address"].tolist(), descriptors["number"].tolist(), strict=True
    ):
        if not length and not address and not number:  # an empty text, as written by some programs
            texts.append(b"")
            continue
        if address not in heaps:
            if len(heaps) >= 64:  # a column uses its heaps in order, so old ones are not needed again
                heaps.clear()
            heaps[address] = guard.heap(address)
        content, objects = heaps[address]
        start, stored_length = objects.get(number, (0, -1))
        if stored_length != length:
            raise Damage(f"/{key}: a text of {length:,} bytes is not where its descriptor says")
        texts.append(content[start : start + length])
    return texts
