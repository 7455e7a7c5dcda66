"""Isolation of child processes: private output, a memory limit, and exit with the parent."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of the data to an unbuffered pipe."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def isolate_output() -> BinaryIO:
    """Return stdout as the reply pipe, and detach everything else from it.

    The output of libraries is discarded, a crash writes no core file, and Ctrl-C is left to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGIO, signal.SIG_DFL)
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    with contextlib.suppress(OSError):  # when memory runs out, kill this process rather than the build
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    return replies


def limit_memory(addresses: int, private: int | None = None) -> None:
    """Limit the address space, and the private memory if a limit is given, where the system supports it.

    Parameters
    ----------
    addresses : int
        In bytes, with the files that are mapped, such as libraries.
    private : int, optional
        In bytes. Only Linux counts everything that a process allocates.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        for kind, most in ((resource.RLIMIT_AS, addresses), (resource.RLIMIT_DATA, private)):
            hard = resource.getrlimit(kind)[1]
            if most is not None and (hard == resource.RLIM_INFINITY or most < hard):
                resource.setrlimit(kind, (most, hard))


@contextlib.contextmanager
def ends_with_parent() -> Iterator[None]:
    """During the block, exit the process when stdin ends, even if a decoder hangs."""
    if sys.platform == "win32":
        yield
        return
    import fcntl
    import select

    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)  # SIGIO when the parent closes its end
    ended = select.poll()
    ended.register(0, 0)
    if ended.poll(0):  # it has already ended
        raise SystemExit
    try:
        yield
    finally:
        fcntl.fcntl(0, fcntl.F_SETFL, flags)
