"""What a child process does to isolate itself: quiet pipes, a limit on memory, the end of its parent."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of it to an unbuffered pipe."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def keep_to_oneself() -> BinaryIO:
    """Return the pipe of answers; what libraries print goes nowhere, a crash leaves no core, Ctrl-C is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGIO, signal.SIG_DFL)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with contextlib.suppress(OSError):  # rather this process than the build, when memory runs out
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    return answers


def limit_memory(most: int) -> None:
    """Let no more than so many bytes of address space be taken, where the system can see to it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))


@contextlib.contextmanager
def ends_with_parent() -> Iterator[None]:
    """While a decoder runs, which may never come back, the end of stdin is a signal that ends the process."""
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
    if ended.poll(0):  # before that
        raise SystemExit
    yield
    fcntl.fcntl(0, fcntl.F_SETFL, flags)
