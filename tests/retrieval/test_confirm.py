"""Candidates for copies are confirmed or rejected by people: in the register, in the report and in the gate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval import api
from imindex.retrieval.audit.decisions import Listed, find_pair
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.recompute import recompute
from imindex.retrieval.audit.register import read_register
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.results import CopyPair
from tests.support.audits import change, draw, run_plan
from tests.support.commands import run

pytestmark = pytest.mark.usefixtures("one_thread")

MIRRORED, SAME = "two/made/Bo Sample/mirrored.png", "two/made/Ada Example/same.png"


@pytest.fixture
def audited(world: Path, tmp_path: Path) -> Path:
    """An audit of two releases; the second has a work and a mirrored work among its pictures."""
    root = tmp_path / "world"
    root.mkdir()
    shutil.copytree(world / "works", root / "works")
    (root / "models").symlink_to(world / "models")
    shutil.copy(world / "plan.toml", root)
    for place, name in enumerate(("Ada Example", "Bo Sample", "inv 1", "inv 2", "inv 3")):
        draw(root / "made" / name, 2, 700 + 10 * place)
    shutil.copy(root / "works/Ada Example/0.png", root / "made/Ada Example/same.png")
    with Image.open(root / "works/Bo Sample/1.png") as work:
        ImageOps.mirror(work.convert("RGB")).save(root / "made/Bo Sample/mirrored.png")
    change(root, 'model = "models/two"\nsteps = 2\nsize = "32x32"', 'pictures = "made"\nplacebos = ["inv *"]')
    change(root, "[compare]", '[gate]\nfail_if = ["copies > 0", "candidates > 1"]\n[compare]')
    run_plan(root)
    return root


def report_of(root: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / "audit/report.json").read_text())
    return found


def states(root: Path) -> dict[str, str]:
    return {
        Path(one.pair.imitation).name: one.pair.state
        for one in api.copy_candidates(root / "audit")
        if one.pair.state != "comparison"
    }


def test_a_candidate_is_no_copy_until_a_person_says_so(audited: Path) -> None:
    assert states(audited) == {"same.png": "candidate", "mirrored.png": "candidate"}
    before = run_plan(audited)
    assert before.failed == ["candidates 2 > 1: fails."]
    lines = (audited / "audit/register.jsonl").read_text().splitlines()

    entries = api.confirm_copies(audited / "audit", [MIRRORED], by="A. Expert", note="the very work")
    (entry,) = entries
    assert (entry.event, entry.plan) == ("copy confirmed", before.report.plan.digest)
    assert entry.decision and (entry.decision.by, entry.decision.note) == ("A. Expert", "the very work")
    api.confirm_copies(audited / "audit", rejected=[SAME], by="B. Expert")
    kept = (audited / "audit/register.jsonl").read_text().splitlines()
    assert kept[: len(lines)] == lines and len(kept) == len(lines) + 2  # nothing is removed

    after = run_plan(audited)  # a rerun keeps the decisions
    assert len(read_register(audited / "audit")) == len(kept)
    assert after.failed == ["copies 1 > 0: fails."]
    assert states(audited) == {"same.png": "rejected", "mirrored.png": "confirmed"}
    two = next(result for result in after.report.results if result.release == "two")
    assert (two.summary.n_copies, two.summary.n_candidates) == (1, 1)
    assert [(row.artist, row.copies, row.candidates) for row in two.artists] == [
        ("Ada Example", 0, 0),
        ("Bo Sample", 1, 1),
    ]
    (pair,) = two.copies.of("confirmed")
    assert pair.decided_by == "A. Expert" and pair.decided_when == entry.when and pair.mirrored
    page = (audited / "audit/report.html").read_text()
    assert (
        "confirmed as a copy" in page
        and "A. Expert" in page
        and "the very work" in page
        and "rejected" in page
    )
    assert before.report.plan.amendments == after.report.plan.amendments == ()

    api.confirm_copies(audited / "audit", rejected=[MIRRORED], by="B. Expert")  # the later decision holds
    assert run_plan(audited).failed == [] and states(audited)["mirrored.png"] == "rejected"


def test_an_audit_with_decisions_is_recomputed(audited: Path) -> None:
    api.confirm_copies(audited / "audit", [SAME], by="A. Expert")
    run_plan(audited)
    plan = read_plan(audited / "plan.toml")
    found = recompute(Run(plan, Workspace(audited / "audit", keeps=False), Compute("cpu")))
    assert found.faults == [] and found.now == found.stored


def test_what_cannot_be_decided_is_refused(audited: Path) -> None:
    folder = audited / "audit"
    with pytest.raises(ImindexError, match="no picture that the report lists"):
        api.confirm_copies(folder, ["two/none.png"], by="A")
    with pytest.raises(ImindexError, match="--by"):
        api.confirm_copies(folder, [SAME], by=" ")
    with pytest.raises(ImindexError, match="ambiguous"):
        api.confirm_copies(folder, ["two/0.png"], by="A")
    with pytest.raises(ImindexError, match="no register"):
        api.copy_candidates(audited)
    (audited / "made/Ada Example/same.png").write_bytes(b"another")
    with pytest.raises(ImindexError, match="has changed"):
        api.confirm_copies(folder, [SAME], by="A")
    assert len(read_register(folder)) == 1
    text = (folder / "register.jsonl").read_text()
    (folder / "register.jsonl").write_text(text.replace('"why":""', '"why":"x"', 1))
    with pytest.raises(ImindexError, match="has changed since it was written"):
        api.confirm_copies(folder, [MIRRORED], by="A")


def test_pairs_of_an_edited_report_are_not_shown_for_a_decision(audited: Path) -> None:
    report = json.loads((audited / "audit/report.json").read_text())
    for result in report["results"]:
        result["copies"]["pairs"] = [{**pair, "candidate": False} for pair in result["copies"]["pairs"]]
    (audited / "audit/report.json").write_text(json.dumps(report))
    with pytest.raises(ImindexError, match="was edited since it was written"):
        api.copy_candidates(audited / "audit")


def test_the_command(audited: Path) -> None:
    folder = audited / "audit"
    listed = run("audit", "confirm", folder)
    assert "same file" in listed.output and "2 of 2 candidates undecided" in listed.output
    assert "--by" in run("audit", "confirm", folder, "--copy", SAME, code=2).stderr
    told = run("audit", "confirm", folder, "--copy", SAME, "--by", "A. Expert")
    assert "Recorded 1 copy and 0 rejected" in told.stdout
    asked = run("audit", "confirm", folder, "--ask", "--by", "A. Expert", input="n\n")
    assert "Recorded 0 copies and 1 rejected" in asked.stdout
    found = json.loads(run("audit", "confirm", folder, "--json").stdout)
    assert {pair["decided"] for pair in found["pairs"]} == {"confirmed", "rejected"} and found[
        "recorded"
    ] == []


def test_a_whole_path_names_its_own_pair_only() -> None:
    def listed(release: str, path: str) -> Listed:
        pair = CopyPair(
            artist="Ada Example", imitation=path, prompt=None, seed=None, work="w.png", work_artist="Ada Example",
            cosine=0.9, outlines=None, mirrored=False, series=None, same_bytes=False, placebo=False, candidate=True,
        )  # fmt: skip
        return Listed(release, pair)

    pairs = [listed("final", "1.png"), listed("final", "more/1.png"), listed("v2/fast", "2.png")]
    assert find_pair(pairs, "final/1.png") is pairs[0]
    assert find_pair(pairs, "final/more/1.png") is pairs[1]
    assert find_pair(pairs, "v2/fast/2.png") is pairs[2]
    with pytest.raises(ImindexError, match="is no picture"):
        find_pair(pairs, "final/3.png")
    pairs[0] = listed("final", "other/1.png")
    with pytest.raises(ImindexError, match="ambiguous"):
        find_pair(pairs, "final/1.png")
