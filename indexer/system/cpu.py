"""How many processors this process may use, and products of matrices that keep to one of them."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator

import threadpoolctl


def processors() -> int:
    """How many processors this process may use: those that the machine has, unless it is held to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def products_alone() -> Iterator[None]:
    """Let each product of NumPy's be computed by the thread that asks for it, while this lasts.

    For code with threads of its own, one a processor. Otherwise BLAS shares out each product among threads that wait
    for each other, and that go on waiting, at the expense of everybody, for some hundredths of a second after it.
    It holds for the whole process. Several may be inside at once; the last to leave puts back what the first found.
    A BLAS that cannot be told, such as Apple's, does as it likes, and so does one that another thread of the caller's
    holds to its own limit by threadpoolctl: that is slower and not wrong.
    """
    _HELD.enter()
    try:
        yield
    finally:
        _HELD.leave()


class _Held:
    """Who is inside of `products_alone`.

    A thread of its own, the keeper, tells BLAS, and tells it again at the end: threadpoolctl lets none but the thread
    that set a limit lift it, and the first to come need not be the last to leave.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._keeper = threading.Thread()
        self._told, self._done = threading.Event(), threading.Event()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._told.clear()
                self._done.clear()
                self._keeper = threading.Thread(target=self._keep, daemon=True)
                self._keeper.start()
                try:
                    self._told.wait()
                except BaseException:  # Ctrl-C: nobody will come to leave
                    self._done.set()
                    raise
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._done.set()
                self._keeper.join()

    def _keep(self) -> None:
        try:
            with _blas().limit(limits=1):
                self._told.set()
                self._done.wait()
        finally:
            self._told.set()


_HELD = _Held()


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
    """What NumPy multiplies with. To find it takes some milliseconds: once a process."""
    import numpy  # noqa: F401 - so that it is there to be found

    return threadpoolctl.ThreadpoolController().select(user_api="blas")
