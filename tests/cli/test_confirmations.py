"""Commands that remove something show it and ask. Without a terminal they need --yes, and refuse without any loss."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.maintain.remove import remove
from imindex.indexer.store.index import Index
from tests.support.commands import last_line, run
from tests.support.places import ROOT, child_environment

pty = pytest.importorskip("pty")


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(built, tmp_path / "i.h5"))


def asked(answer: str, *words: object) -> tuple[int, str]:
    """Run a command whose stdin and stderr are a terminal, answer its question, and return exit code and output."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "imindex", *map(str, words)],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=child_environment(), start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        said = ""
        while True:
            try:
                said += os.read(ours, 4096).decode()
            except OSError:  # its end
                break
            if answer and said.rstrip().endswith("[y/N]:"):
                os.write(ours, answer.encode())
                answer = ""
    os.close(ours)
    return process.returncode, said


def test_remove_shows_what_it_takes_and_asks(index: Path) -> None:
    before = index.read_bytes()
    code, said = asked("n\n", "remove", "-i", index, "--artist", "ada")
    for line in (
        f"To be removed from {index}: 6 pictures; 8 rows will be left. The file has {len(before) / 1000:.1f} kB, "
        f"afterwards about {len(before) * 8 / 14 / 1000:.1f} kB.",
        "  artist ada: 6 pictures", "  collection r1: 3 pictures", "  collection works: 3 pictures",
        "art/works/ada/0.png", "  and 1 more file", "Error: Nothing was removed.",
    ):  # fmt: skip
        assert " ".join(line.split()) in " ".join(said.split()), (line, said)
    assert code == 2 and index.read_bytes() == before
    code, said = asked("y\n", "remove", "-i", index, "--artist", "ada")
    assert code == 0 and "Removed 6 pictures and 0 rejects" in said, said
    with Index(index) as opened:
        assert opened.n == 8


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_remove_refuses_without_a_terminal(index: Path, extra: list[str]) -> None:
    before = index.read_bytes()
    result = run("remove", "-i", index, "--artist", "ada", *extra, code=2)
    assert "Nothing was removed" in result.stderr and "--yes" in result.stderr and not result.stdout
    assert index.read_bytes() == before
    result = run("remove", "-i", index, "--artist", "ada", *extra, "--yes")
    assert "artist ada: 6 pictures" in result.stderr
    if extra:
        said = json.loads(result.stdout)
        assert said["removal"]["artists"] == [{"name": "ada", "pictures": 6, "rejects": 0}]
        assert said["removal"]["bytes_before"] == len(before)
        assert said["removal"]["bytes_after"] == index.stat().st_size


def test_a_dry_run_shows_the_same_and_asks_nothing(index: Path) -> None:
    before = index.read_bytes()
    result = run("remove", "-i", index, "--collection", "r1", "--dry-run")
    assert "  artist bo: 3 pictures" in result.stderr and last_line(result).startswith(
        "Would remove 6 pictures"
    )
    assert index.read_bytes() == before


def test_many_names_are_summed_and_control_pictures_are_named(
    works: Callable, tiny_model: str, tmp_path: Path
) -> None:
    root = works({**{f"imitations/r1/a{n:02}": 1 for n in range(12)}, "control": 3})
    (root / "imitations/r1/a00/bad.png").write_bytes(b"no picture")
    run("build", root, "-i", tmp_path / "i.h5", "--model", tiny_model, "--device", "cpu")
    said = run("remove", "-i", tmp_path / "i.h5", "--collection", "r1", "--dry-run").stderr
    assert "12 pictures and 1 reject;" in said and "  artist a00: 1 picture and 1 reject\n" in said
    assert "  and 2 more artists: 2 pictures\n" in said and "  and 8 more files\n" in said
    said = run("remove", "-i", tmp_path / "i.h5", "--collection", "control", "--dry-run").stderr
    assert "  artist (no artist): 3 pictures\n" in said


def test_an_index_that_changed_after_the_question_is_refused(index: Path) -> None:
    shown = remove(index, artists=["ada"], dry_run=True)
    remove(index, collections=["control"])
    with pytest.raises(ImindexError, match="changed in the meantime"):
        remove(index, artists=["ada"], expected=shown.root_digest)


def test_prune_asks_too_and_keeps_what_it_encoded(works: Callable, tiny_model: str, tmp_path: Path) -> None:
    root, index = works({"works/ada": 3, "works/bo": 2}), tmp_path / "i.h5"
    words = ("build", root, "-i", index, "--model", tiny_model, "--device", "cpu")
    run(*words)
    shutil.rmtree(root / "works/bo")
    works({"works/cy": 2}, first_seed=50)
    before = index.read_bytes()
    result = run(*words, "--prune", code=2)
    assert "artist bo: 2 pictures" in result.stderr and "--yes" in result.stderr
    assert index.read_bytes() == before
    result = run(*words, "--prune", "--yes", "--json")
    said = json.loads(result.stdout)
    assert (said["pruned"], said["encoded"], said["resumed"], said["rows"]) == (2, 0, 2, 5)
    run(*words, "--prune")  # nothing to remove: no question
