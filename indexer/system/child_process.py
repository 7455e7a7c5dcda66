"""Child processes for reading files that may crash, hang or exhaust the memory of their reader."""

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
# The package is passed as a folder, since a checkout may have any name and an editable install is not on the path.
# Its `__init__`, which imports the command line, is not run.
_PACKAGE = Path(__file__).parents[2]
_CHUNK = 2**16


class Crashed(Exception):
    """The process ended early or was killed; the message gives the reason."""


def start(
    function: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a Python process that calls a function, with pipes to its stdin and from its stdout.

    Parameters
    ----------
    function : str
        `module:function`, called with the arguments.
    environment : mapping, optional
        Environment variables in addition to those of this process.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    words = [json.dumps(import_paths(), allow_nan=False), str(_PACKAGE), function, *arguments]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CODE, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,  # Ctrl-C is handled by the parent
        env={**os.environ, **(environment or {})},
    )


def import_paths() -> list[str]:
    """Return the import path of this process without the current folder, which may hold untrusted modules.

    `python -m`, `python -c` and notebooks put the current folder first. It is kept only if imindex itself, or Python's
    own packages, are installed there.
    """
    own = {os.path.realpath(path) for path in (str(_PACKAGE.parent), *sysconfig.get_paths().values())}
    excluded = {os.path.realpath(os.curdir)} - own
    return [path for path in sys.path if path and os.path.realpath(path) not in excluded]


@contextlib.contextmanager
def python(function: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a Python process as `start` does, and kill it at the end of the block."""
    with start(function, *arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """Return the name of the signal or the exit code that ended a process; empty if it is still running."""
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
    """Iterate over the lines that a process writes, with limits on time and length. An empty line marks the end.

    Raises
    ------
    Crashed
        If the process ends before the empty line, takes too long for a line, or writes one that is too long.
    """

    def __init__(self, process: subprocess.Popen[bytes], seconds: float, max_length: int):
        assert process.stdout is not None
        self._process, self._out = process, process.stdout
        self._seconds, self._max_length = seconds, max_length

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        deadline = time.monotonic() + self._seconds
        while True:
            *lines, rest = (rest + self._read(deadline)).split(b"\n")
            for line in lines:
                if not line:
                    return
                yield line
            if lines:
                deadline = time.monotonic() + self._seconds
            if len(rest) > self._max_length:
                raise Crashed(f"a row of more than {self._max_length:,} bytes")

    def _read(self, deadline: float) -> bytes:
        if hasattr(select, "poll") and sys.platform != "win32":
            ready: Any = select.poll()
            ready.register(self._out, select.POLLIN)
            if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise Crashed(f"took longer than {self._seconds:g} s")
        chunk = self._out.read(_CHUNK)
        if not chunk:
            raise Crashed(f"its reader ended ({how_it_ended(self._process)})")
        return chunk
