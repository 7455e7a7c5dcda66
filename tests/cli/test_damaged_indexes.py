"""Every command on every kind of damaged index ends with an error for people: no traceback, no hang.

The matrix of commands and kinds of damage is in `tests.support.damage`.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.damage import COLUMNS, ENCODERS, EVERY, VECTORS, commands, damaged, forged, fuzz, outcome

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="commands are stopped by SIGALRM")
FIGURES = ("query a picture", "query an artist", "classify by works", "match", "compare", "power")
"""Commands whose figures follow from vectors."""


@pytest.fixture
def root(two_releases: Path, tmp_path: Path) -> Path:
    """A folder with the pictures, where the commands may write."""
    for name in ("works", "r1", "r2"):
        shutil.copytree(two_releases / name, tmp_path / name)
    for name in ("r1.jsonl", "r2.jsonl", "both.jsonl"):
        shutil.copy(two_releases / name, tmp_path)
    return tmp_path


def run_matrix(
    kinds: dict,
    root: Path,
    source: Path,
    model: str,
    *,
    chosen: Sequence[str] = (),
    nth: int = 1,
    seal: bool = False,
) -> list[str]:
    """Run the chosen commands, or all, on each kind of damage; of the combinations, only every `nth`."""
    every = commands(root, model)
    faults = []
    for (row, kind), (column, name) in itertools.product(enumerate(kinds), enumerate(chosen or every)):
        if (row + column) % nth != (nth // 2 if seal else 0):
            continue
        path = damaged(source, root / "damaged.h5", kinds[kind])
        if seal and not forged(path):
            continue
        if fault := outcome([*every[name], "-i", path]).fault:
            faults.append(f"{name}, with {kind}: {fault}")
    return faults


@pytest.mark.slow
def test_the_commands_work_on_the_sound_index(root: Path, two_releases: Path, tiny_model: str) -> None:
    """Otherwise the matrix would test nothing."""
    for name, words in commands(root, tiny_model).items():
        shutil.copy(two_releases / "i.h5", root / "sound.h5")
        ended = outcome([*words, "-i", root / "sound.h5"])
        expected = (1, "needs at least 1000") if name == "optimize by graph" else (0, "")
        assert (ended.code, ended.fault) == (expected[0], ""), (name, ended)
        assert expected[1] in ended.said


@pytest.mark.parametrize("kind", VECTORS)
def test_vectors_that_are_no_unit_vectors_are_named_with_their_index(
    kind: str, root: Path, two_releases: Path, tiny_model: str
) -> None:
    every = commands(root, tiny_model)
    said = []
    for name in FIGURES:
        path = damaged(two_releases / "i.h5", root / "damaged.h5", VECTORS[kind])
        assert forged(path)  # otherwise the digests would show it first
        ended = outcome([*every[name], "-i", path])
        assert not ended.fault, (name, ended)
        said += [ended.said] if ended.code else []
    assert said or kind == "an infinity among the imitations"
    for text in said:
        assert f"{root / 'damaged.h5'}: " in text and "imindex verify -i" in text, text


@pytest.mark.parametrize("kinds", [ENCODERS, COLUMNS], ids=["encoders", "columns"])
def test_other_damage_is_an_error_for_people(
    kinds: dict, root: Path, two_releases: Path, tiny_model: str
) -> None:
    chosen = ["info", "classify untested", "remove an artist"]
    assert run_matrix(kinds, root, two_releases / "i.h5", tiny_model, chosen=chosen) == []


def test_a_forged_log_does_not_keep_an_artist_from_being_removed(
    root: Path, two_releases: Path, tiny_model: str
) -> None:
    for kind in ("command with an open quote", "command with an escape at its end", "command of nothing"):
        path = damaged(two_releases / "i.h5", root / "damaged.h5", COLUMNS[kind])
        assert forged(path)
        ended = outcome(["remove", "--artist", "ada", "-i", path, "--yes"])
        assert (ended.code, ended.fault) == (0, ""), ended


@pytest.mark.slow
@pytest.mark.parametrize("seal", [False, True], ids=["damaged", "forged"])
def test_every_command_on_every_damage(root: Path, two_releases: Path, tiny_model: str, seal: bool) -> None:
    """An eighth of the combinations; `scripts/bench/fuzz --commands` draws from all.

    `forged`: with the digests of what the file holds now, so that writers do not refuse it for these.
    """
    assert run_matrix(EVERY, root, two_releases / "i.h5", tiny_model, nth=8, seal=seal) == []


def test_mutated_reports_and_plans_are_errors_for_people(
    root: Path, two_releases: Path, tiny_model: str
) -> None:
    """A short run of `scripts/bench/fuzz --commands`, without the indexes."""
    shutil.copy(two_releases / "i.h5", root / "i.h5")
    numbers = (number for number in range(120) if number % 3)
    counts, finds = fuzz(root, tiny_model, numbers, 60)
    assert finds == [] and counts.total() == 80
    assert len(counts) >= 2, counts
