"""Exit codes: 0 done, 1 could not, 2 usage, 3 a check said no, 4 undecided, 130 interrupted; all commands alike."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import pytest

from imindex import COMMANDS
from imindex.indexer.core.exit_codes import MEANINGS
from tests.support.commands import run
from tests.support.places import ROOT

USAGE = {
    "demo": [[], ["d", "--works", "0"]],
    "doctor": [["--no-such"]],
    "build": [[], ["x", "--kind", "fakes"]],
    "fetch": [[], ["u.csv"], ["u.csv", "o", "--rate", "0"]],
    "generate": [["--model", "m"], ["--model", "m", "--out", "o"]],
    "query": [[], ["x", "-k", "0"]],
    "match": [["--csls-k", "0"]],
    "classify": [["--by", "luck"]],
    "compare": [["a"], ["a", "b", "--fail-if", "luck > 0"]],
    "audit": [
        ["run"],
        ["p.toml", "--batch-size", "0"],
        ["confirm", "f", "--copy", "r/p"],
        ["init", "a", "b"],
    ],
    "encoders": [
        ["compare", "works"],
        ["compare", "works", "--encoders", "demo", "-k", "0"],
        ["compare", "works", "--encoders", "demo", "--choose", "demo"],
        ["list", "--no-such"],
    ],
    "power": [[], ["-i", "i.h5", "--residual", "0.1"]],
    "panel": [["make"], ["make", "a", "--raters", "0"], ["read", "k"], ["read", "k", "a", "--csv", "--json"]],
    "info": [["--no-such"]],
    "verify": [["--signer", "k"], ["--replay", "0"], ["--identical"], ["--root", "."]],
    "seal": [["--no-such"]],
    "export": [[]],
    "remove": [[]],
    "optimize": [["--recall", "2"]],
    "migrate": [["--no-such"]],
    "merge": [[], ["a.h5", "b.h5"]],
    "split": [[], ["a.h5"], ["a.h5", "--rows", "0"]],
    "completion": [[], ["tcsh"]],
    "serve": [[], ["-i", "x.h5", "--port", "-1"]],
    "map": [["--method", "luck"], ["--seed", "-1"]],
    "push": [[], ["a/b", "-i", "x.h5"]],
    "pull": [[]],
}
COULD_NOT = {
    "demo": [["file/below"]],
    "build": [["nowhere"]],
    "fetch": [["no.csv", "o"], ["file", "o"]],
    "generate": [["--model", "no-model", "--artist", "Ada Example", "--out", "o", "--per-artist", "1"]],
    "query": [["x.png"]],
    "match": [[]],
    "classify": [[]],
    "compare": [["a", "b"]],
    "audit": [["run", "no.toml"], ["no.toml", "--dry-run"], ["confirm", "no"], ["init", "file"]],
    "encoders": [["compare", "--encoders", "none.h5"], ["compare", "nowhere", "--encoders", "demo"]],
    "power": [["-i", "none.h5"]],
    "panel": [
        ["make", "nowhere"],
        ["make", "nowhere", "--dry-run"],
        ["read", "no.json", "file"],
        ["read", "file", "file"],
    ],
    "info": [[]],
    "verify": [[], ["--seal", "s"]],
    "seal": [[]],
    "export": [["out"]],
    "remove": [["--artist", "a", "--dry-run"]],
    "optimize": [[]],
    "migrate": [[]],
    "merge": [["no-*.h5", "-o", "all.h5"], ["file", "-o", "all.h5"]],
    "split": [["no.h5", "--rows", "9"]],
    "serve": [["-i", "no.h5"], ["--audit", "nowhere"]],
    "map": [[]],
    "push": [["a/b", "--license", "other"]],
    "pull": [["no-owner"]],
}
"""Of doctor, every finding is one of its checks; of completion, nothing can fail."""


def test_the_table_is_complete() -> None:
    assert set(USAGE) == set(COMMANDS) == {*COULD_NOT, "doctor", "completion"}


@pytest.mark.parametrize("command", USAGE)
def test_wrong_usage_exits_with_2(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in USAGE[command]:
        result = run(command, *words, code=2)
        assert "Usage: imindex" in result.stderr and not result.stdout, words


@pytest.mark.parametrize("command", COULD_NOT)
def test_what_cannot_run_exits_with_1(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("taken")
    for words in COULD_NOT[command]:
        result = run(command, *words, code=1)
        assert "Error: " in result.stderr and "defect" not in result.stderr, words


def test_a_check_that_says_no_exits_with_3(built: Path, tmp_path: Path) -> None:
    run("verify", "-i", built)
    changed = tmp_path / "i.h5"
    changed.write_bytes(built.read_bytes())
    with h5py.File(changed, "r+") as file:
        file["items/width"][0] += 1
    assert "fault " in run("verify", "-i", changed, code=3).stdout
    changed.write_bytes(changed.read_bytes()[:3000])
    assert "fault " in run("doctor", "-i", changed, "--device", "cpu", code=3).stdout


def test_the_codes_are_listed_once_in_the_help_and_in_the_documentation() -> None:
    said = run("--help").stdout
    listed = said[said.index("Exit codes:") :]
    for code in MEANINGS:
        assert re.search(rf"^  {code} ", listed, re.M), code
    table = (ROOT / "retrieval/RELEASES.md").read_text()
    rows = {int(n) for n in re.findall(r"^\| (\d+) \|", table, re.M)}
    assert rows == {*MEANINGS, 143}
