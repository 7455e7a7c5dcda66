"""SIGKILL at many moments of every writing command; scripts/bench/crash is the long version."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.crashing import Server
from tests.support.workloads import kill_in_a_row, kill_once, prepare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks after importing torch")

KILLS = {"build": 5, "add": 4, "remove": 3, "optimise": 2, "generate": 2, "audit": 2}
"""Steps spread over the whole run: a random one from each stretch."""


@pytest.mark.parametrize(
    "command", [name if name == "build" else pytest.param(name, marks=pytest.mark.slow) for name in KILLS]
)
def test_killed_command_loses_nothing_and_finishes_when_repeated(
    server: Server, tmp_path: Path, command: str
) -> None:
    rng = np.random.default_rng(11)
    killed = 0
    (workload,) = prepare(tmp_path / "killed", server, [command])
    for stretch in np.array_split(np.arange(1, workload.steps + 1), KILLS[command]):
        ended = kill_once(server, workload, step=int(rng.choice(stretch)))
        killed += ended.code == -signal.SIGKILL
    assert not workload.faults, "\n".join(workload.faults)
    assert killed == KILLS[command]


@pytest.mark.slow
def test_generating_is_killed_in_a_row_and_ends_with_the_same_files(server: Server, tmp_path: Path) -> None:
    """Each run that resumes is killed as well. The manifest and the pictures are those of an undisturbed run."""
    (workload,) = prepare(tmp_path / "killed", server, ["generate"])
    steps = np.random.default_rng(12).integers(1, workload.steps // 4, 4)
    ended = kill_in_a_row(server, workload, [{"step": int(step)} for step in steps])
    assert not workload.faults, "\n".join(workload.faults)
    assert [one.code for one in ended] == [-signal.SIGKILL] * len(steps)
