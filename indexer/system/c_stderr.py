"""What C libraries write to stderr, by thread: libjpeg warns there, and does not know the name of the file.

The C library's `stderr` is replaced while a thread listens. Python's own stderr, and messages of a crash, are not
affected: they go to the file descriptor. What other threads write is passed on. This works with glibc; elsewhere
nothing is caught, and the lines appear.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

_UNBUFFERED = 2
_Write = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _Functions(ctypes.Structure):
    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _Write),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


class _Stderr:
    """The C library's stderr, and a stream that takes its place."""

    def __init__(self, library: Any) -> None:
        self._pointer = ctypes.c_void_p.in_dll(library, "stderr")
        self._written = _Write(self._write)  # must live as long as the stream
        library.fopencookie.restype = ctypes.c_void_p
        library.fopencookie.argtypes = (ctypes.c_void_p, ctypes.c_char_p, _Functions)
        library.setvbuf.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
        self._stream = library.fopencookie(None, b"w", _Functions(None, self._written, None, None))
        if not self._stream:
            raise OSError("fopencookie")
        library.setvbuf(self._stream, None, _UNBUFFERED, 0)
        self._lock = threading.Lock()
        self._own: int | None = None
        self._heard: dict[int, list[bytes]] = {}

    def _write(self, _: int, buffer: int, size: int) -> int:
        data = ctypes.string_at(buffer, size)
        heard = self._heard.get(threading.get_ident())
        if heard is not None:
            heard.append(data)
        else:
            with contextlib.suppress(OSError):
                os.write(2, data)
        return size

    @contextlib.contextmanager
    def listening(self) -> Iterator[list[bytes]]:
        heard: list[bytes] = []
        with self._lock:
            if not self._heard:
                self._own = self._pointer.value
                self._pointer.value = self._stream
            self._heard[threading.get_ident()] = heard
        try:
            yield heard
        finally:
            with self._lock:
                del self._heard[threading.get_ident()]
                if not self._heard:
                    self._pointer.value = self._own


@contextlib.contextmanager
def c_stderr() -> Iterator[list[bytes]]:
    """Collect what C libraries write to stderr in this thread, during a block. Do not nest.

    Yields
    ------
    list of bytes
        Grows during the block; empty where the C library is not glibc.
    """
    stderr = _stderr()
    if stderr is None:
        yield []
        return
    with stderr.listening() as heard:
        yield heard


@functools.cache
def _stderr() -> _Stderr | None:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - of glibc alone
        return _Stderr(library)
    except (AttributeError, OSError, TypeError, ValueError):
        return None
