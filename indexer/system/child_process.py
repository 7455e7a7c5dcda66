"""Processes that read for this one what may crash, hang or swell whoever reads it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CODE = """
import json, sys, types
sys.path[:] = json.loads(sys.argv[1])
sys.modules["imindex"] = package = types.ModuleType("imindex")
package.__path__ = [sys.argv[2]]
module, _, function = sys.argv[3].partition(":")
getattr(__import__(module, fromlist=["_"]), function)(*sys.argv[4:])
"""
# The package is handed over by its folder: a checkout may have any name, and an editable install is on no path.
# Its `__init__`, which imports the command line, is not run.
_PACKAGE = Path(__file__).parents[2]
_PIECE = 2**16


class Crashed(Exception):
    """The process ended before it had said all, or was ended; the message says how."""


def start(
    function: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a Python process that calls a function, with pipes to its stdin and from its stdout.

    Parameters
    ----------
    function : str
        `module:function`, given the arguments.
    environment : mapping, optional
        Variables beside those of this process.

    Raises
    ------
    OSError
        It cannot be started.
    """
    words = [json.dumps(_paths()), str(_PACKAGE), function, *arguments]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CODE, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,  # Ctrl-C is the parent's
        env={**os.environ, **(environment or {})},
    )


def _paths() -> list[str]:
    """Return the import path of this process without the current folder, which may hold a stranger's modules.

    `python -m`, `python -c` and notebooks put the current folder first. It stays only if imindex itself, or Python's
    own packages, are installed there.
    """
    own = {os.path.realpath(path) for path in (str(_PACKAGE.parent), *sysconfig.get_paths().values())}
    left_out = {os.path.realpath(os.curdir)} - own
    return [path for path in sys.path if path and os.path.realpath(path) not in left_out]


@contextlib.contextmanager
def python(function: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start such a process, and end it at the end of the block at the latest."""
    with start(function, *arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """In a word or two: a signal's name, or the exit code; empty if it runs on."""
    try:
        code = process.wait(1)
    except subprocess.TimeoutExpired:
        return ""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


class Lines:
    """The lines that a process writes, each in time and of bounded length. An empty line says that it is done.

    Raises
    ------
    Crashed
        The process ended before, took too long for a line, or wrote one that is too long.
    """

    def __init__(self, process: subprocess.Popen[bytes], seconds: float, longest: int):
        assert process.stdout is not None
        self._process, self._out = process, process.stdout
        self._seconds, self._longest = seconds, longest

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        due = time.monotonic() + self._seconds
        while True:
            *lines, rest = (rest + self._piece(due)).split(b"\n")
            for line in lines:
                if not line:
                    return
                yield line
            if lines:
                due = time.monotonic() + self._seconds
            if len(rest) > self._longest:
                raise Crashed(f"a row of more than {self._longest:,} bytes")

    def _piece(self, due: float) -> bytes:
        if hasattr(select, "poll") and sys.platform != "win32":
            ready: Any = select.poll()
            ready.register(self._out, select.POLLIN)
            if not ready.poll(max(0.0, due - time.monotonic()) * 1000):
                raise Crashed(f"took longer than {self._seconds:g} s")
        piece = self._out.read(_PIECE)
        if not piece:
            raise Crashed(f"its reader ended ({how_it_ended(self._process)})")
        return piece
