"""What a hostile file can do to a child process: `before` runs before each picture, the others replace decoding."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path


def before(data: bytes) -> None:
    """Obey the word that a test has appended to a picture's bytes."""
    if data.endswith(b"CRASH"):
        ctypes.string_at(0)
    elif data.endswith(b"HANG"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        ctypes.pythonapi.usleep(600_000_000) if hasattr(ctypes.pythonapi, "usleep") else time.sleep(600)
    elif data.endswith(b"HUNGRY"):
        bytearray(3 * 2**30)
    elif data.endswith(b"ONCE"):  # as if an earlier picture had spoilt the memory
        mark = Path(os.environ["IMINDEX_TEST_MARK"])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    elif data.endswith(b"KILLED"):  # as the system does when memory is short
        os.kill(os.getpid(), signal.SIGKILL)


def killed() -> None:
    os.write(1, b'{"row": 1}\n')
    os.kill(os.getpid(), signal.SIGSEGV)


def hung() -> None:
    time.sleep(60)


def chatty() -> None:
    while True:
        os.write(1, b"x" * 2**20)
