"""Ctrl-C and SIGTERM at any moment of a process: exit code 130 or 143, a word of what is kept, and no traceback."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from imindex.indexer.integrity.verify import verify
from tests.support.interrupting import Ended, moments, no_leftovers, run_and_signal

TRIES = 3
MANY = 12

World = Callable[[], Path]
"""Makes a folder that a command may change, with an index i.h5, its pictures and the model of a generator."""


@pytest.fixture
def world(built: Path, tmp_path: Path) -> World:
    def made() -> Path:
        folder = tmp_path / "world"
        shutil.rmtree(folder, ignore_errors=True)
        return Path(shutil.copytree(built.parent, folder))

    return made


QUICK = {
    "--help": [],
    "info": ["-i", "i.h5"],
    "verify": ["-i", "i.h5", "--pictures"],
    "seal": ["-i", "i.h5", "--force"],
    "remove": ["-i", "i.h5", "--artist", "ada", "--yes"],
    "export": ["out", "-i", "i.h5", "--force"],
    "power": ["--effect", "0.1", "--between-sets", "0.05", "--within-set", "0.2", "--resamples", "99"],
}
SLOW = {
    "optimize": ["-i", "i.h5"],
    "match": ["-i", "i.h5"],
    "audit": ["init", "plan.toml", "--force"],
    "doctor": ["-i", "i.h5", "--device", "cpu", "--trust-encoder"],
    "query": ["art/works/ada/0.png", "-i", "i.h5", "--device", "cpu", "--trust-encoder"],
    "classify": ["-i", "i.h5", "--device", "cpu", "--trust-encoder"],
    "compare": ["r1", "works", "-i", "i.h5", "--device", "cpu", "--trust-encoder"],
}
FINISHED = {"remove": 1, "compare": 1}
"""Exit codes of a command that is run again after it has done its work, or has nothing to do."""


def check(ended: Ended, command: str, after: float, number: int = signal.SIGINT) -> None:
    where = f"{command} after {after:.3f} s: {ended}"
    assert not ended.problem, where
    assert ended.code in (0, 128 + number, FINISHED.get(command, 0)), where


def interrupt(command: str, words: list[str], world: World, tries: int) -> None:
    folder = world()
    whole = run_and_signal([command, *places(words, folder)], None)
    interrupted = 0
    times = [
        *moments(len(command), tries, whole.seconds),
        *(whole.seconds / part for part in (4, 16, 64)),
        0.0,
    ]
    for n, after in enumerate(times):
        if n >= tries and interrupted:  # the last ones are for runs that are quicker than the first one was
            break
        folder = world()
        number = signal.SIGTERM if n % 4 == 3 else signal.SIGINT
        ended = run_and_signal([command, *places(words, folder)], after, number, group=n % 2 == 0)
        check(ended, command, after, number)
        interrupted += ended.code > 128
        with no_leftovers(folder):  # an index is either as it was or as it is to be
            assert verify(folder / "i.h5").faults == []
    assert interrupted


def places(words: list[str], folder: Path) -> list[str]:
    files = ("i.h5", "out", "plan.toml")
    return [str(folder / word) if word in files or word.startswith("art/") else word for word in words]


@pytest.mark.parametrize("command", QUICK)
def test_quick_commands_are_interrupted_at_any_moment(command: str, world: World) -> None:
    interrupt(command, QUICK[command], world, TRIES)


@pytest.mark.slow
@pytest.mark.parametrize("command", [*QUICK, *SLOW])
def test_all_commands_are_interrupted_at_any_moment(command: str, world: World) -> None:
    interrupt(command, {**QUICK, **SLOW}[command], world, MANY)


@pytest.mark.slow
def test_an_interrupted_build_is_resumed(world: World, tiny_model: str) -> None:
    folder = world()
    words = ["build", folder / "art", "-i", folder / "new.h5", "--model", tiny_model, "--device", "cpu"]
    whole = run_and_signal(words, None)
    assert not whole.code
    for after in moments(1, MANY, whole.seconds):
        for leftover in folder.glob("new.h5*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        check(run_and_signal(words, after), "build", after)
        again = run_and_signal(words, None)
        assert not again.code and ": 14 rows" in again.stdout, again
        assert verify(folder / "new.h5").faults == []


@pytest.mark.slow
def test_an_interrupted_generation_is_resumed(model: Callable[[str], Path], tmp_path: Path) -> None:
    words = [
        "generate", "--model", model("sd"), "--artist", "Ada", "--per-artist", "6", "--steps", "2", "--size", "32",
        "--device", "cpu", "--out",
    ]  # fmt: skip
    whole = run_and_signal([*words, tmp_path / "whole"], None)
    assert not whole.code
    for n, after in enumerate(moments(2, MANY, whole.seconds)):
        ended = run_and_signal([*words, tmp_path / str(n)], after)
        check(ended, "generate", after)
        if n % 3 == 0:
            again = run_and_signal([*words, tmp_path / str(n)], None)
            assert not again.code, again
            assert (tmp_path / str(n) / "manifest.jsonl").read_text().count("\n") == 6


def test_a_second_signal_ends_the_process_at_once(world: World) -> None:
    folder = world()
    words = ["doctor", "-i", folder / "i.h5", "--device", "cpu", "--trust-encoder"]
    ended = run_and_signal(words, 0.3, times=3)
    assert ended.code == 130 and not ended.problem, ended
