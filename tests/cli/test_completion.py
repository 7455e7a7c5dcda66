"""Completion in shells: the scripts, and the names of an index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.places import ROOT, child_environment


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell: str, tmp_path: Path) -> None:
    script = run("completion", shell).stdout
    assert f"_IMINDEX_COMPLETE={shell}_complete" in script and "imindex" in script
    if program := shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([program, "-n", tmp_path / "script"], check=True, timeout=20)
    assert f"imindex completion {shell} >" in run("completion", "--help").stdout


def complete(words: str, **environment: str) -> list[str]:
    """Ask as the script for bash does, with the last word incomplete."""
    code = "import sys; from imindex import main; main(prog_name='imindex')"
    done = subprocess.run(
        [sys.executable, "-c", f"try:\n exec({code!r})\nfinally:\n print(sorted(sys.modules), file=sys.stderr)"],
        env=child_environment(
            _IMINDEX_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), **environment
        ),
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    heavy = {"torch", "faiss", "open_clip", "pyarrow", "PIL", "scipy", "rich"}
    assert heavy & {word.strip("'[], \n") for word in done.stderr.split()} == set()  # too slow for a shell
    assert "Traceback" not in done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_names_come_from_the_index(built: Path, tmp_path: Path) -> None:
    assert complete(f"imindex remove -i {built} --artist ") == ["ada", "bo"]
    assert complete(f"imindex remove -i {built} --collection r") == ["r1"]
    assert complete("imindex match --collection ", IMINDEX_INDEX=str(built)) == ["control", "r1", "works"]
    assert complete("imindex query --artist b", IMINDEX_INDEX=str(built)) == ["bo"]
    assert complete(f"imindex compare -i {built} r") == ["r1"]
    for no_index in (tmp_path / "none.h5", tmp_path, ROOT / "README.md"):
        assert complete(f"imindex remove -i {no_index} --artist ") == []


def test_commands_and_options_are_completed() -> None:
    assert complete("imindex ver") == ["verify"]
    assert complete("imindex verify --repl") == ["--replay"]
    assert complete("imindex audit con") == ["confirm"]
    assert complete("imindex completion f") == ["fish"]


def test_names_take_less_than_a_second(built: Path) -> None:
    spent = []
    for _ in range(3):
        before = os.times()
        complete(f"imindex remove -i {built} --artist ")
        after = os.times()
        spent.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert min(spent) < 1.0
