"""Temporary folders of programs: deleted after their process was killed, by the next one, and never before."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imindex.indexer.system.scratch import clear_left_behind, scratch_folder

PREFIX = "imindex-test-"
HOLD = f"""
import os, subprocess, sys
from imindex.indexer.system.scratch import scratch_folder
with scratch_folder({PREFIX!r}, 1000, b"a program") as folder:
    env = dict(os.environ, WHERE=str(folder / "file"))
    sleep = "import time; time.sleep(100)"
    children = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", sleep, title], env=env, stdout=subprocess.DEVNULL)
        for title in ("a program", "another one")
    ]
    print(folder, *(child.pid for child in children), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def holder(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path, list[int]]]:
    """A process that has a folder, and two programs that run in it."""
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pids: list[int] = []
    try:
        assert process.stdout is not None
        folder, *numbers = process.stdout.readline().split()
        pids = [int(number) for number in numbers]
        yield process, Path(folder), pids
    finally:
        process.kill()
        process.wait()
        for pid in pids:
            if runs(pid):
                os.kill(pid, 9)


def runs(pid: int) -> bool:
    """Whether a process runs and is not merely waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_what_a_killed_process_left_is_cleared_by_the_next_one_and_nothing_else(place: Path) -> None:
    with holder(place) as (killed, left, (program, other)), holder(place) as (_, living, (beside, _)):
        assert left.stat().st_mode & 0o777 == 0o700
        without_owner = place / f"{PREFIX}by-hand"
        without_owner.mkdir()
        clear_left_behind(place, PREFIX, b"a program")
        assert left.exists()
        assert living.exists()
        (left / "session").mkdir()
        (left / "session/latest").symlink_to(living)
        link = place / f"{PREFIX}link"
        link.symlink_to(living)
        killed.kill()
        killed.wait()
        with scratch_folder(PREFIX, 1000, b"a program") as own:
            assert own.exists()
            assert not left.exists()
            for _ in range(200):
                if not runs(program):
                    break
                time.sleep(0.01)
            assert (living / "owner").exists()
            assert without_owner.exists()
            assert link.is_symlink()
            assert runs(beside)
            assert runs(other)
        assert not own.exists()
        assert not runs(program)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_programs_that_still_run_are_ended_with_the_folder(place: Path) -> None:
    with holder(place) as (process, folder, (program, other)):
        process.communicate("")
        assert not folder.exists()
        assert not runs(program)
        assert runs(other)


def test_a_long_folder_for_temporary_files_is_avoided(place: Path) -> None:
    with scratch_folder(PREFIX, len(str(place)), b"a program") as folder:
        assert folder.parent == place
    if os.access("/tmp", os.W_OK):
        with scratch_folder(PREFIX, len(str(place)) - 1, b"a program") as folder:
            assert folder.parent == Path("/tmp")
