"""One budget of memory for everything that is decoded at the same time in this process and its children.

A picture waits until what it needs is free. A picture that needs more than the whole budget is rejected. A quarter of
the budget is for files as they were read, the rest for pixels. A thread takes from the first before it takes from the
second, and never twice from the same one, so that no two threads wait for each other.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode.limits import Limits

_COPIES = 2
"""Copies of a file: that of this process, and that of the decoder."""
_OVERHEAD = 2**16


class Share:
    """An amount of memory that threads take from and give back, in the order of their requests.

    Parameters
    ----------
    total : int
        In bytes.

    Attributes
    ----------
    peak : int
        The most that was taken at any time, in bytes.
    """

    def __init__(self, total: int):
        self.total = total
        self.peak = 0
        self._taken = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def holding(self, size: int, ended: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Hold `size` bytes during a block; wait for them first.

        Raises
        ------
        BadPicture
            If `ended` returns True while waiting.
        ValueError
            If the size exceeds the total.
        """
        if size > self.total:
            raise ValueError(f"{size} bytes of {self.total}")
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._taken + size > self.total:
                    self._changed.wait(0.25)
                    if ended():
                        raise BadPicture("the build has ended")
                self._taken += size
                self.peak = max(self.peak, self._taken)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


class Budget:
    """The memory for all decoders together.

    Parameters
    ----------
    files, pixels : int
        Memory for the bytes of files, and for pixels, in bytes.
    """

    def __init__(self, files: int, pixels: int):
        self.files = Share(files)
        self.pixels = Share(pixels)

    @contextlib.contextmanager
    def file(self, size: int) -> Iterator[None]:
        """Hold the memory for the bytes of a file, in this process and in its decoder.

        Raises
        ------
        BadPicture
            If the file alone does not fit.
        """
        needed = _COPIES * size + _OVERHEAD
        if needed > self.files.total:
            raise BadPicture(Limits.too_costly("read", needed, self.files.total))
        with self.files.holding(needed):
            yield

    @contextlib.contextmanager
    def picture(self, size: int | None, ended: Callable[[], bool] = lambda: False) -> Iterator[int]:
        """Hold the memory for decoding a picture, and yield it in bytes; None holds all that there is for pixels.

        Raises
        ------
        BadPicture
            If the picture alone does not fit.
        """
        needed = self.pixels.total if size is None else size + _OVERHEAD
        if needed > self.pixels.total:
            raise BadPicture(Limits.too_costly("decode", needed, self.pixels.total))
        with self.pixels.holding(needed, ended):
            yield needed


def budget(limits: Limits) -> Budget:
    """Return the budget of this process for these limits; all decoders with the same limit of memory share it."""
    return _budget(limits.file_memory, limits.pixel_memory)


@functools.cache
def _budget(files: int, pixels: int) -> Budget:
    return Budget(files, pixels)
