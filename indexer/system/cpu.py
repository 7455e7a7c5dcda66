"""The number of available processors, and single-threaded matrix products."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import threadpoolctl


def processors() -> int:
    """Return the number of processors available to this process, considering its CPU affinity."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, _SHARE[0]) if _SHARE else available


def use_processors(n: int) -> None:
    """Limit `processors` in this process, which shares the machine with others of its kind."""
    _SHARE[:] = [n]


@contextlib.contextmanager
def products_alone() -> Iterator[None]:
    """Limit BLAS to one thread, so that each NumPy product is computed by its calling thread.

    Use it in code that runs its own thread on each processor. By default, BLAS splits each product among threads that
    wait for each other, and that keep spinning for some hundredths of a second afterwards. The limit applies to the
    whole process. Several blocks may be active at the same time; the last one to end restores the original limit.
    A BLAS without such a limit, such as Apple's, ignores it, and another thread may override it with threadpoolctl.
    The products are then slower, but still correct.
    """
    _HELD.enter()
    try:
        yield
    finally:
        _HELD.leave()


@contextlib.contextmanager
def in_background() -> Iterator[None]:
    """Let the calling thread give way to others that want a processor, where the operating system knows threads."""
    if not hasattr(os, "setpriority") or not Path("/proc/thread-self").exists():
        yield
        return
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, min(19, before + 10))
    # The priority cannot be raised again without privileges. A thread that ends takes it along.
    yield


_SHARE: list[int] = []


class _Held:
    """Counts the active `products_alone` blocks.

    A separate thread, the keeper, sets the limit and restores it at the end: with threadpoolctl, only the thread that
    set a limit can lift it, and the first block to begin need not be the last to end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_active = 0
        self._keeper = threading.Thread()
        self._limited, self._done = threading.Event(), threading.Event()

    def enter(self) -> None:
        with self._lock:
            if not self._n_active:
                self._limited.clear()
                self._done.clear()
                self._keeper = threading.Thread(target=self._keep, daemon=True)
                self._keeper.start()
                try:
                    self._limited.wait()
                except BaseException:  # after Ctrl-C, `leave` will not be called
                    self._done.set()
                    raise
            self._n_active += 1

    def leave(self) -> None:
        with self._lock:
            self._n_active -= 1
            if not self._n_active:
                self._done.set()
                self._keeper.join()

    def _keep(self) -> None:
        try:
            with _blas().limit(limits=1):
                self._limited.set()
                self._done.wait()
        finally:
            self._limited.set()


_HELD = _Held()


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
    """Return the controller of the BLAS that NumPy uses. Finding it takes a few milliseconds, so it is cached."""
    import numpy  # noqa: F401 - loads the BLAS

    return threadpoolctl.ThreadpoolController().select(user_api="blas")
