"""Send signals to real processes of `imindex`, at random moments of their life."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import ROOT, child_environment

_CODE = """
import os, runpy, sys
from imindex.indexer.terminal.interrupts import Interrupts
install = Interrupts.install
def first(self):
    install(self)
    os.write(int(os.environ["IMINDEX_TEST_STARTED"]), b".")
Interrupts.install = first
runpy.run_module("imindex", run_name="__main__", alter_sys=True)
"""
LATEST = 60.0
"""Seconds after which a process that was interrupted counts as hanging; the command's own patience is shorter."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: exit code, output, and the seconds from its first line to its end."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def problem(self) -> str:
        """What a user must not see; empty if there is nothing."""
        for word in ("Traceback", "Exception ignored", "terminate called", "Fatal", "defect"):
            if word in self.stderr + self.stdout:
                return f"{word}: {self.stderr[-2000:]}"
        if self.code in (130, 143):
            said = [line for line in self.stderr.splitlines() if line.startswith("Error: Stopped")]
            return "" if len(said) == 1 else f"no word of what is kept: {self.stderr[-2000:]}"
        return ""


def run_and_signal(
    words: Sequence[object],
    after: float | None,
    number: signal.Signals = signal.SIGINT,
    *,
    group: bool = True,
    times: int = 1,
) -> Ended:
    """Run `imindex WORDS`, and send a signal some seconds after its first line.

    Parameters
    ----------
    words : sequence of str
    after : float or None
        None sends no signal.
    number : signal.Signals
    group : bool
        Send it to the process group, as a terminal does, instead of to the process alone.
    times : int
        How often it is sent, 0.2 s apart.
    """
    read, write = os.pipe()
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _CODE, *map(str, words)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=(write,),
        cwd=ROOT, env={**child_environment(), "IMINDEX_TEST_STARTED": str(write)}, start_new_session=True,
        # A shell's background jobs ignore SIGINT, and so would this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        os.close(write)
        os.read(read, 1)
        os.close(read)
        started = time.monotonic()
        try:
            if after is not None:
                time.sleep(after)
                for again in range(times):
                    if again:
                        time.sleep(0.2)
                    if process.poll() is None:
                        (os.killpg if group else os.kill)(process.pid, number)
            out, err = process.communicate(timeout=LATEST if after is not None else None)
        except BaseException:
            process.kill()
            raise
    return Ended(process.returncode, out, err, time.monotonic() - started)


def moments(seed: int, n: int, seconds: float) -> Iterator[float]:
    """Yield random moments in the life of a process that takes so many seconds, half of them while it is loading."""
    draw = random.Random(seed)
    for k in range(n):
        yield draw.uniform(0.0, min(0.3, seconds) if k % 2 else seconds * 1.05)


@contextmanager
def no_leftovers(folder: Path) -> Iterator[None]:
    """Check that no temporary file is left in a folder."""
    yield
    assert list(folder.rglob("*.imindex-new")) == []
