"""How long threads of OpenMP spin: as libgomp itself reports what it read when it was loaded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import threadpoolctl

from imindex.indexer.system.spin import BLOCK_MILLISECONDS, SPINS, VARIABLES, bound_spin
from tests.support.pictures import picture
from tests.support.places import ROOT

OURS = {"GOMP_SPINCOUNT": str(SPINS), "KMP_BLOCKTIME": str(BLOCK_MILLISECONDS)}

needs_libgomp = pytest.mark.skipif(
    not any(one["prefix"] == "libgomp" for one in threadpoolctl.threadpool_info()),
    reason="PyTorch is not built with libgomp here",
)


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with no say about the spin but that of `environment`; libgomp prints its settings to stderr."""
    base = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    base |= {"OMP_DISPLAY_ENV": "VERBOSE", **environment}
    return subprocess.run(
        [sys.executable, *words], env=base, capture_output=True, text=True, check=True, cwd=ROOT
    )


def spins(stderr: str) -> set[str]:
    """The values of GOMP_SPINCOUNT that all copies of libgomp in the process read."""
    return set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", stderr))


@needs_libgomp
def test_the_process_that_encodes_spins_shortly_and_a_user_decides_otherwise_with_the_same_digest(
    tmp_path: Path,
) -> None:
    (tmp_path / "works" / "ada").mkdir(parents=True)
    for number in range(5):
        picture(number).save(tmp_path / "works" / "ada" / f"{number}.png")

    def build(name: str, **environment: str) -> tuple[str, set[str]]:
        words = [
            "-m",
            "imindex",
            "build",
            str(tmp_path / "works"),
            "-i",
            str(tmp_path / name),
            "--model",
            "demo",
        ]
        done = python(*words, "--device", "cpu", "--json", **environment)
        return json.loads(done.stdout)["root_digest"], spins(done.stderr)

    ours, of_ours = build("ours.h5")
    theirs, of_theirs = build("theirs.h5", GOMP_SPINCOUNT="123456")
    assert of_ours == {str(SPINS)}
    assert of_theirs == {"123456"}
    assert ours == theirs


@needs_libgomp
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import imindex; imindex.build; import torch", str(SPINS)),
        ("import torch; import imindex; imindex.build", "300000"),  # too late: documented in docs/python.md
    ],
)
def test_the_python_door_sets_it_where_it_can_still_act(code: str, expected: str) -> None:
    assert spins(python("-c", code).stderr) >= {expected}


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ({}, OURS),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {}),
        ({"OMP_WAIT_POLICY": ""}, {}),
        ({"GOMP_SPINCOUNT": "7"}, {"KMP_BLOCKTIME": OURS["KMP_BLOCKTIME"]}),
        ({"KMP_BLOCKTIME": "infinite"}, {"GOMP_SPINCOUNT": OURS["GOMP_SPINCOUNT"]}),
        ({"KMP_LIBRARY": "turnaround"}, {"GOMP_SPINCOUNT": OURS["GOMP_SPINCOUNT"]}),
        ({"OMP_NUM_THREADS": "1"}, OURS),
    ],
)
def test_what_a_user_has_set_stays(given: dict[str, str], added: dict[str, str]) -> None:
    environment = dict(given)
    bound_spin(environment)
    assert environment == {**given, **added}
    bound_spin(environment)  # a second time, as in a child process
    assert environment == {**given, **added}
