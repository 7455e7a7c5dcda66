"""A remote object as a local file that is filled, block by block, with what is read of it.

The file has the size of the object. After the bytes of the object comes one byte for each block, which says whether the
block is there: 0 no, 1 fetched, 2 fetched and compared with a digest. It is written after the block has reached the
disk, so that neither a killed process nor a power cut leaves a mark without its block. Both are in one file, so that no
process can combine the marks of one file with the blocks of another. Processes that fill the same file write the same
bytes, since its name includes the version (the etag) of the object.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import NO_STAMP
from imindex.indexer.remote import cache, objects
from imindex.indexer.remote.errors import RemoteError
from imindex.indexer.remote.info import UNKNOWN, Info
from imindex.indexer.system.atomic import clear_file

BLOCK = 1 << 16
"""Bytes per block."""
_AHEAD = 4
"""Blocks fetched together where a single piece of metadata is read."""
_REQUEST = 128
"""The most blocks per request."""
_BATCH = 1024
"""The most blocks in memory at a time."""
_GAP = 4
"""So many blocks that are not needed are fetched too, where that saves a request."""
_PAGE = 4096
_FETCHED, _COMPARED = 1, 2
Span = tuple[int, int]


class CachedObject:
    """An object of a store, opened for reading at one version; see `imindex.indexer.store.backing.Backing`.

    Parameters
    ----------
    url : str

    Attributes
    ----------
    size : int
        Bytes.
    info : Info
        The version that is read.
    requests, bytes_read : int
        Requests for ranges made so far, and bytes that they brought.

    Raises
    ------
    RemoteError
        If the object cannot be found or read, or its store does not say its size.
    """

    is_whole = False

    def __init__(self, url: str):
        self.info: Info = objects.head(url)
        self.url = self.info.url
        if self.info.size == UNKNOWN:
            raise RemoteError(
                self.url,
                "cannot be read in pieces: its server does not say how long it is. Download it first.",
            )
        self.size = self.info.size
        self.requests, self.bytes_read = 0, 0
        version = "" if self.info.stamp == NO_STAMP else self.info.etag or str(self.info.modified)
        identity = f"1\n{self.url}\n{version}\n{self.size}" if version else ""
        self._blocks = -(-self.size // BLOCK)
        self._marks_at = -(-self.size // _PAGE) * _PAGE
        self._fill = threading.Lock()
        self._descriptor, self._path = cache.open_piece_file(identity)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        """Give the file its size, and read which blocks are there."""
        total = self._marks_at + self._blocks
        with _disk(self._path):
            if os.fstat(self._descriptor).st_size > total:  # no file of this version of imindex
                os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, total)
        self._marks = np.zeros(self._blocks, np.uint8)
        self._reread(0, self._blocks)
        cache.make_room(self._path)

    def _reread(self, first: int, end: int) -> None:
        """Read which blocks of a range are there; another process may have filled some."""
        raw = _read(self._descriptor, self._marks_at + first, end - first)
        marks = np.frombuffer(raw, np.uint8)
        if len(marks) == end - first:
            self._marks[first:end] = np.where(marks <= _COMPARED, marks, 0)

    def at(self, address: int, length: int) -> bytes:
        """Return some bytes. What is missing is fetched with the bytes that follow it."""
        first, end = address // BLOCK, -(-(address + length) // BLOCK)
        if not self._marks[first:end].all():
            ahead = min(self.size, max(end, first + _AHEAD) * BLOCK)
            self.expect([(first * BLOCK, ahead - first * BLOCK)])
        return _read(self._descriptor, address, length)

    def descriptor(self, spans: Sequence[Span]) -> int:
        """Return the descriptor of the file, in which these spans are filled."""
        self.expect(spans)
        return self._descriptor

    def expect(self, spans: Sequence[Span]) -> None:
        """Fetch what is missing of some spans, in as few requests as is sensible.

        Raises
        ------
        RemoteError
            If it cannot be read, or the object was replaced.
        ImindexError
            If the disk is full.
        """
        with self._fill:
            missing = self._missing(spans)
            if len(missing):
                self._reread(int(missing[0]), int(missing[-1]) + 1)
                missing = self._missing(spans)
            for start in range(0, len(missing), _BATCH):
                self._fetch(list(_runs(missing[start : start + _BATCH])))

    def compare(self, address: int, length: int, is_right: Callable[[Iterator[bytes]], bool]) -> bool:
        """Fetch a span, and compare it unless that was done before.

        Parameters
        ----------
        address, length : int
        is_right : callable
            Gets the bytes of the span in pieces.

        Returns
        -------
        bool
            Whether it is right. What is not is no longer taken to be there.
        """
        first, end = address // BLOCK, -(-(address + length) // BLOCK)
        inner = slice(-(-address // BLOCK), (address + length) // BLOCK)
        if (
            self._marks[first:end].all()
            and (self._marks[inner] == _COMPARED).all()
            and inner.stop > inner.start
        ):
            return True
        self.expect([(address, length)])
        step = 64 * BLOCK
        pieces = (
            _read(self._descriptor, start, min(step, address + length - start))
            for start in range(address, address + length, step)
        )
        right = is_right(pieces)
        with self._fill:
            if right:
                self._mark(np.arange(inner.start, max(inner.start, inner.stop)), _COMPARED)
            else:
                self._mark(np.arange(first, end), 0)
        return right

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            if os.name == "nt" and self._path is not None and self._path.parent.name != "objects":
                clear_file(self._path)
            self._descriptor = -1

    def _missing(self, spans: Sequence[Span]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        wanted = [
            np.arange(address // BLOCK, -(-(address + length) // BLOCK))
            for address, length in spans
            if length > 0
        ]
        if not wanted:
            return np.empty(0, np.int64)
        blocks = np.unique(np.concatenate(wanted))
        return np.asarray(blocks[self._marks[blocks] == 0], np.int64)

    def _fetch(self, runs: Sequence[Span]) -> None:
        """Fetch runs of blocks, each given by its first block and its end, and then mark them as there."""
        ranges = [(first * BLOCK, min(end * BLOCK, self.size) - first * BLOCK) for first, end in runs]
        pieces = objects.read_ranges(self.url, ranges, version=self.info)
        self.requests += len(ranges)
        for (address, length), piece in zip(ranges, pieces, strict=True):
            if len(piece) != length:
                raise RemoteError(self.url, f"gave {len(piece):,} bytes at byte {address:,}, not {length:,}.")
            self.bytes_read += length
            with _disk(self._path):
                try:
                    _write(self._descriptor, address, piece)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not cache.make_room(
                        self._path, length
                    ):
                        raise
                    _write(self._descriptor, address, piece)
        if self._path is not None:
            with _disk(self._path):
                getattr(os, "fdatasync", os.fsync)(self._descriptor)
        for first, end in runs:
            blocks = np.arange(first, end)
            self._mark(blocks[self._marks[first:end] == 0], _FETCHED)
        cache.make_room(self._path)

    def _mark(self, blocks: np.ndarray[tuple[int], np.dtype[np.int64]], value: int) -> None:
        if not len(blocks):
            return
        self._marks[blocks] = value
        first, end = int(blocks[0]), int(blocks[-1]) + 1
        if end - first == len(blocks):
            with _disk(self._path):
                _write(self._descriptor, self._marks_at + first, bytes([value]) * len(blocks))
            return
        with _disk(self._path):
            for block in blocks.tolist():
                _write(self._descriptor, self._marks_at + block, bytes([value]))


def _runs(blocks: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[Span]:
    """Yield runs of blocks for one request each; small gaps between them are bridged."""
    first = end = int(blocks[0])
    for block in blocks.tolist():
        if block - end > _GAP or block + 1 - first > _REQUEST:
            yield first, end
            first = block
        end = block + 1
    yield first, end


class _disk:
    """Report what the disk refuses as an error with its remedy."""

    def __init__(self, path: Path | None):
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            where = (
                f"The cache folder {self._path.parent}" if self._path else "The folder for temporary files"
            )
            raise ImindexError(
                f"{where} cannot hold what is read of a remote index: {error.strerror or error}. Free some space, or "
                f"name another folder with ${cache.FOLDER}."
            ) from error


def _read(descriptor: int, address: int, length: int) -> bytes:
    """Return the bytes at an address. A single call may return less than asked for, of more than 2 GiB always."""
    if not hasattr(os, "pread"):
        os.lseek(descriptor, address, os.SEEK_SET)
        return os.read(descriptor, length)
    data = os.pread(descriptor, length, address)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), address + len(data))
        if not more:
            break
        data += more
    return data


def _write(descriptor: int, address: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, view, address)
        else:
            os.lseek(descriptor, address, os.SEEK_SET)
            written = os.write(descriptor, view)
        view, address = view[written:], address + written
