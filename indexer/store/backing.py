"""Where the bytes of an index file are: in a local file, or in a copy of an object that is filled as it is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from imindex.indexer.system.input_files import open_descriptor

Span = tuple[int, int]
"""The address of a piece of a file, and its length in bytes."""


class Backing(Protocol):
    """The bytes of a file that does not change while it is open.

    `descriptor` is the only way to a descriptor, and takes the spans that are to be read through it: where pieces of
    the file are not there yet, nobody can map or read them by mistake.
    """

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether every byte is there, so that reading costs nothing beforehand."""
        ...

    def at(self, address: int, length: int) -> bytes:
        """Return the bytes at an address that is known to be inside the file."""
        ...

    def descriptor(self, spans: Sequence[Span]) -> int:
        """Return a descriptor of a local file in which these spans have the bytes of the file, at their addresses.

        The descriptor stays open, and the bytes unchanged, until the backing is closed; a memory map of them longer.
        """
        ...

    def expect(self, spans: Sequence[Span]) -> None:
        """Fetch these spans together, as far as they are not there."""
        ...

    def compare(self, address: int, length: int, is_right: Callable[[Iterator[bytes]], bool]) -> bool:
        """Fetch a span, and return whether it is right; a span that was compared before is not compared again.

        Parameters
        ----------
        address, length : int
        is_right : callable
            Gets the bytes of the span in pieces.
        """
        ...

    def close(self) -> None:
        """Close it. A second call does nothing."""
        ...


class LocalFile:
    """A local file as a `Backing`.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ImindexError
        If it is not a regular file.
    OSError
        If it cannot be opened.
    """

    is_whole = True

    def __init__(self, path: Path):
        self._descriptor = open_descriptor(path)
        self.size = os.fstat(self._descriptor).st_size

    def at(self, address: int, length: int) -> bytes:
        return read_at(self._descriptor, address, length)

    def descriptor(self, spans: Sequence[Span]) -> int:
        return self._descriptor

    def expect(self, spans: Sequence[Span]) -> None:
        pass

    def compare(self, address: int, length: int, is_right: Callable[[Iterator[bytes]], bool]) -> bool:
        step = 1 << 22
        end = address + length
        return is_right(self.at(start, min(step, end - start)) for start in range(address, end, step))

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def read_at(descriptor: int, address: int, length: int) -> bytes:
    """Return up to `length` bytes of an open file from an address on."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, length, address)
    os.lseek(descriptor, address, os.SEEK_SET)
    return os.read(descriptor, length)
