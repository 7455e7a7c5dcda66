"""Audits by earlier versions (tests/data/audits) open, resume, compare and recompute."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.store.index import Index
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.evidence.testing import TESTS
from tests.support.audits import change
from tests.support.commands import last_line, run
from tests.support.pictures import picture
from tests.support.places import DATA

ARCHIVES = DATA / "audits"
VERSIONS = sorted(path.name for path in ARCHIVES.iterdir() if path.is_dir())
COUNTED = ("artist", "n_works", "n_imitations", "copies", "work", "imitation", "rank")
EXACT = (*COUNTED, "auc", "gap", "ceiling_auc", "floor_placebo", "cosine")
"""Figures of an artist, and of its nearest pairs, that depend on no random number and no text encoder."""
ADDED = {"n_distinct_works"}
"""Keys that reports of earlier versions do not have."""

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.parametrize("version", VERSIONS)]


@pytest.fixture
def old(version: str, tmp_path: Path) -> Path:
    """A copy of an archived audit: plan, pictures and the audit's folder, without the model."""
    return Path(shutil.copytree(ARCHIVES / version, tmp_path / "old"))


def audit_again(root: Path, *words: str, code: int = 0) -> Any:
    return run("audit", root / "plan.toml", "--device", "cpu", "--no-pictures", *words, code=code)


def report_of(root: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((root / "plan-audit/report.json").read_text(encoding="utf-8"))
    return report


def index_of(root: Path) -> Path:
    (path,) = (root / "plan-audit").glob("*.h5")
    return path


def exact(report: dict[str, Any]) -> list[Any]:
    """The exact figures of each release and artist; sums may differ in the last bit between processors."""

    def figures(row: dict[str, Any]) -> dict[str, Any]:
        found = {key: row[key] for key in EXACT if key in row}
        return {key: round(value, 9) if isinstance(value, float) else value for key, value in found.items()}

    return [
        (result["release"], figures(row), [figures(pair) for pair in row["neighbours"]])
        for result in report["results"]
        for row in result["artists"]
    ]


def test_old_audit_resumes_as_registered(old: Path) -> None:
    before = report_of(old)
    register, pictures = (old / "plan-audit/register.jsonl").read_bytes(), sorted(old.rglob("*.png"))
    audit_again(old)
    after = report_of(old)
    assert read_plan(old / "plan.toml").digest == after["plan"]["digest"] == before["plan"]["digest"]
    assert (old / "plan-audit/register.jsonl").read_bytes() == register
    assert sorted(old.rglob("*.png")) == pictures  # no picture is made again
    assert after["releases"] == before["releases"]
    told = [{key: value for key, value in one.items() if key != "demonstration"} for one in after["encoders"]]
    assert told == before["encoders"]  # the index too is the same
    assert after["encoders"][0]["demonstration"]
    assert after["plan"]["registered"] == before["plan"]["registered"]
    assert len(exact(after)) == 6 and exact(after) == exact(before)
    assert (after["plan"]["tests_registered"], after["plan"]["tests_used"]) == (1, TESTS)
    assert "The tests are not those that were registered" in [limit["title"] for limit in after["limits"]]
    page = (old / "plan-audit/report.html").read_text(encoding="utf-8")
    assert "registered with another version of the tests" in page
    assert "the question came before the answer" not in page


def test_changed_old_plan_is_refused(old: Path) -> None:
    change(old, "n_resamples = 99", "n_resamples = 199")
    said = audit_again(old, code=1).stderr
    assert "the plan (now" in said and "changed after the plan was registered on" in said
    change(old, "n_resamples = 199", "n_resamples = 99")
    picture(1).save(old / "works/Ada Example/more.png")
    assert "the works changed after the plan was registered" in audit_again(old, code=1).stderr


def test_old_audit_with_missing_pictures_reports_the_missing_model(old: Path) -> None:
    shutil.rmtree(old / "plan-audit/imitations/one/names")
    said = audit_again(old, code=1).stderr
    assert f"{old / 'plan.toml'}: one: " in said and "models/early" in said


def test_old_audit_is_recomputed(old: Path) -> None:
    result = run("verify", "--results", old / "plan-audit", "--device", "cpu", "--json", code=3)
    found = json.loads(result.stdout)["results"]
    assert found["other_streams"] and found["figures"] > 1_000
    faults = json.loads(result.stdout)["faults"]
    sources = ("plan", "inputs", "report.json", index_of(old).name)
    assert [one for one in faults if one["where"].startswith(sources)] == []
    assert [one for one in faults if one["where"].rpartition(".")[2] in COUNTED] == []
    gone = [one["where"] for one in faults if "nothing" in one["said"]]
    assert {where.rpartition(".")[2] for where in gone} <= ADDED  # no other key came or went
    text = run("verify", "--results", old / "plan-audit", "--device", "cpu", code=3).stdout
    assert "used other random streams" in text
    audit_again(old)  # with the streams of today
    again = run("verify", "--results", old / "plan-audit", "--device", "cpu")
    assert "other random streams" not in again.stdout and last_line(again).endswith("no faults.")


def test_an_old_report_is_compared_with_a_new_one(old: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(old, tmp_path / "new"))
    audit_again(new)
    sides = (f"{old / 'plan-audit'}:one", f"{new / 'plan-audit'}:two")
    by_index = json.loads(run("compare", *sides, "--device", "cpu", "--json").stdout)
    assert "figures of" not in " ".join(by_index["notes"])
    index_of(old).unlink()
    by_reports = json.loads(run("compare", *sides, "--json").stdout)
    assert any("comparing the figures" in note for note in by_reports["notes"])
    before = {row["artist"]: row["auc"] for row in report_of(old)["results"][0]["artists"]}
    after = {row["artist"]: row["auc"] for row in report_of(new)["results"][1]["artists"]}
    for compared in (by_index, by_reports):
        rows = compared["artists"]
        assert {row["artist"]: row["auc_base"] for row in rows} == pytest.approx(before, abs=1e-9)
        assert {row["artist"]: row["auc_new"] for row in rows} == pytest.approx(after, abs=1e-9)


def test_the_index_of_an_old_audit_serves_the_commands(old: Path) -> None:
    path, report = index_of(old), report_of(old)
    said = json.loads(run("info", "-i", path, "--json").stdout)
    with Index(path) as index:
        assert said["root-digest"] == index.root_digest == report["encoders"][0]["root_digest"]
    assert (
        run("verify", "-i", path, "--pictures", "--root", old).stdout.count("40 are unchanged, 0 changed")
        == 1
    )
    words = ("--collection", "two", "--placebo", "placebo *", "--json")
    matched = {
        row["artist"]: row["auc"] for row in json.loads(run("match", "-i", path, *words).stdout)["artists"]
    }
    result = next(one for one in report["results"] if one["release"] == "two")
    audited = {row["artist"]: row["auc"] for row in result["artists"]}
    assert {name: matched[name] for name in audited} == pytest.approx(audited, abs=1e-9)
    run("classify", "-i", path, "--collection", "two", "--by", "works")
    nearest = result["artists"][0]["neighbours"][0]
    asked = old / "plan-audit" / nearest["imitation"]
    found = json.loads(run("query", asked, "-i", path, "--device", "cpu", "-k", 3, "--json").stdout)
    assert nearest["work"] in json.dumps(found)
