"""`imindex demo`, small: the command runs completely, and a second time without generating anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imindex.indexer.demo.artists import NAMES
from imindex.retrieval.audit.demo import RELEASES, TRAINED, truth
from imindex.retrieval.audit.rivals import rivals_needed
from imindex.retrieval.findings import Finding
from tests.support.commands import last_line, run

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("--works", 5, "--imitations", 1, "--placebos", 2, "--steps", 2, "--device", "cpu")


@pytest.mark.slow
def test_demo_runs_in_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = run("demo", "here/demo", *SMALL)
    made = tmp_path / "here/demo"
    assert "here/demo/plan-audit/report.html" in last_line(first)
    assert (made / "contact-sheet.png").stat().st_size > 10_000
    report = json.loads((made / "plan-audit/report.json").read_text())
    assert [one["name"] for one in report["releases"]] == list(RELEASES)
    assert report["plan"]["artists"] == list(NAMES)
    n_rivals = rivals_needed(0.05) - (len(NAMES) - 1)
    assert all(one["n_imitations"] == len(NAMES) + 2 + n_rivals for one in report["releases"])
    times = {path: path.stat().st_mtime_ns for path in made.rglob("names/**/*.png")}
    again = run("demo", "here/demo", *SMALL)
    assert last_line(again) == last_line(first)
    assert times == {path: path.stat().st_mtime_ns for path in made.rglob("names/**/*.png")}
    (made / "works/mine.png").write_bytes(b"x")
    assert "is not part of this demo" in run("demo", "here/demo", *SMALL, code=1).stderr


def test_truth_lists_artists_by_name() -> None:
    findings = dict.fromkeys(NAMES, Finding.NOT_SHOWN) | {
        TRAINED[0]: Finding.NAME_EFFECT,
        NAMES[-1]: Finding.SPECIFICITY_NOT_TESTABLE,
    }
    line = truth("early", findings)
    assert line == (
        f"early: 1 of the 16 artists that the model was trained on are found, and 1 of the 8 that it has never seen "
        f"({NAMES[-1]})."
    )
