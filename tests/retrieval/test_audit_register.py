"""The register of an audit: nothing but an amendment changes the plan, and every text survives it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from imindex.indexer.core.digest import canonical_json, json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.integrity.seal import SealedAudit
from imindex.retrieval import api
from imindex.retrieval.audit.audit import Outcome
from imindex.retrieval.audit.plan import Plan, read_plan
from imindex.retrieval.audit.recompute import audit_digests, sealed_audit
from imindex.retrieval.audit.register import NAME, read_register, record_decisions, register
from imindex.retrieval.audit.runs import recorded
from imindex.retrieval.results import CopyDecision
from tests.support.audits import change
from tests.support.commands import run

pytestmark = pytest.mark.usefixtures("one_thread")

SEPARATORS = "a\u2028b\u2029c\x85d"
"""Characters at which `str.splitlines` splits and which JSON leaves as they are."""
DECISION = CopyDecision(
    release="one", imitation="x.png", imitation_sha256="0" * 64, work="y.png", work_sha256="1" * 64,
    decided="rejected", by="A. Expert", note="",
)  # fmt: skip
INPUTS = {"works": "2" * 64}


@pytest.fixture
def plan(finished: tuple[Path, Outcome], tmp_path: Path) -> Plan:
    """A plan whose audit's folder has a register of one line."""
    shutil.copytree(finished[0], tmp_path / "world", symlinks=True)
    plan = read_plan(tmp_path / "world/plan.toml")
    (tmp_path / "audit").mkdir()
    register(plan, INPUTS, tmp_path / "audit")
    return plan


def other(plan: Plan) -> Plan:
    change(plan.path.parent, 'adjust = "bh"', 'adjust = "holm"')
    return read_plan(plan.path)


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit the last line of a register, and give it the digest that fits."""
    *lines, last = (folder / NAME).read_text().split("\n")[:-1]
    entry = json.loads(last)
    change(entry)
    del entry["digest"]
    entry["digest"] = json_digest(entry)
    (folder / NAME).write_text("\n".join([*lines, canonical_json(entry), ""]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan": "3" * 64, "text": "level = 0.9"}, "a decision on a copy changes plan and text"),
        ({"inputs": {"works": "3" * 64}}, "a decision on a copy changes inputs"),
        ({"text": "level = 0.9"}, "a decision on a copy changes text"),
        ({"tests": 1}, "a decision on a copy changes tests"),
        ({"placebo_drawing": 1}, "a decision on a copy changes placebo_drawing"),
        ({"event": "amended", "plan": "3" * 64}, "a decision on a copy has the event 'amended'"),
        ({"event": "copy confirmed"}, "a decision on a copy has the event 'copy confirmed'"),
        ({"why": "x"}, "the event 'copy rejected' has a reason"),
    ],
)
def test_a_decision_on_a_copy_changes_nothing_else(
    plan: Plan, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    record_decisions(tmp_path / "audit", [DECISION])
    assert len(read_register(tmp_path / "audit")) == 2
    forge(tmp_path / "audit", lambda entry: entry.update(changes))
    with pytest.raises(ImindexError, match=f"line 2 was not written by imindex: {said}"):
        read_register(tmp_path / "audit")
    with pytest.raises(ImindexError, match="line 2 was not written by imindex"):
        register(plan, INPUTS, tmp_path / "audit", amend="why not")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"event": "registered"}, "a later line has the event 'registered'"),
        ({"event": "copy rejected"}, "a later line has the event 'copy rejected'"),
        ({"placebo_drawing": 1}, "it changes the drawing of placebo names"),
        ({"why": ""}, "the event 'amended' has no reason"),
    ],
)
def test_only_an_amendment_changes_the_plan(
    plan: Plan, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    register(other(plan), INPUTS, tmp_path / "audit", amend="the court asked for Holm")
    assert len(read_register(tmp_path / "audit")) == 2
    forge(tmp_path / "audit", lambda entry: entry.update(changes))
    with pytest.raises(ImindexError, match=f"line 2 was not written by imindex: {said}"):
        read_register(tmp_path / "audit")


def test_an_amendment_changes_something_and_no_register_begins_with_one(plan: Plan, tmp_path: Path) -> None:
    register(other(plan), INPUTS, tmp_path / "audit", amend="the court asked for Holm")
    first = read_register(tmp_path / "audit")[0]
    forge(tmp_path / "audit", lambda entry: entry.update(plan=first.plan))
    with pytest.raises(ImindexError, match="changes neither the plan nor the inputs"):
        read_register(tmp_path / "audit")
    (tmp_path / "audit" / NAME).unlink()
    register(plan, INPUTS, tmp_path / "audit")
    forge(tmp_path / "audit", lambda entry: entry.update(event="amended", why="x"))
    with pytest.raises(ImindexError, match=r"line 1 .*the first line has the event 'amended'"):
        read_register(tmp_path / "audit")


def test_an_early_seal_shows_that_the_plan_in_use_was_amended(plan: Plan, tmp_path: Path) -> None:
    """The seal is made of the register alone, before there is a report."""
    folder = tmp_path / "audit"
    sealed = audit_digests(folder, plan.path)

    def said(sealed: SealedAudit = sealed) -> dict[str, tuple[str, str]]:
        return {one.what: (one.status, one.said) for one in sealed_audit(sealed, folder)}

    assert {said()[what][0] for what in ("register", "plan")} == {"identical"} and "inputs" not in said()
    record_decisions(folder, [DECISION])
    assert said()["plan"][0] == "identical"
    assert said()["register"][1] == "has 1 more lines since: amendments 0, decisions on copies 1"
    amended = other(plan)
    register(amended, {"works": "3" * 64}, folder, amend="the result was unwelcome")
    assert said()["register"][1] == "has 2 more lines since: amendments 1, decisions on copies 1"
    status, text = said()["plan"]
    assert status == "rewritten" and "amended since it was sealed" in text and amended.digest[:12] in text
    assert said()["inputs"] == ("rewritten", "amended since the seal: the works changed")
    assert said(replace(sealed, plan="4" * 64))["plan"][0] == "differs"  # the seal does not fit its own line


def test_every_text_survives_the_register(plan: Plan, tmp_path: Path) -> None:
    change(plan.path.parent, 'adjust = "bh"', f'adjust = "holm" # {SEPARATORS}'.replace("\x85", ""))
    register(read_plan(plan.path), INPUTS, tmp_path / "audit", amend=SEPARATORS)
    record_decisions(tmp_path / "audit", [replace(DECISION, note=SEPARATORS), DECISION])
    entries = read_register(tmp_path / "audit")
    assert len(entries) == 4 and "\u2028" in entries[1].text and entries[1].why == SEPARATORS
    assert entries[2].decision and entries[2].decision.note == SEPARATORS


def test_every_text_survives_the_runs(tmp_path: Path) -> None:
    with pytest.raises(ImindexError), recorded(tmp_path, "2026-01-01T00:00:00+00:00", SEPARATORS):
        raise ImindexError(SEPARATORS)
    lines = (tmp_path / "runs.jsonl").read_text().split("\n")
    plain = "".join(json.dumps(json.loads(line), ensure_ascii=False) + "\n" for line in lines if line)
    (tmp_path / "runs.jsonl").write_text(plain)  # as another program writes JSON
    with recorded(tmp_path, "2026-01-02T00:00:00+00:00", "") as earlier:
        assert [run.why for run in earlier] == [SEPARATORS]


@pytest.mark.parametrize(
    "edit",
    [
        lambda line: line.replace('"event":', '"event":"registered late","event":', 1),
        lambda line: line.replace(",", ", ", 1),
        lambda line: line.replace("registered", "\\u0072egistered", 1),
    ],
    ids=["repeated key", "space", "escape"],
)  # fmt: skip
def test_lines_of_a_register_are_canonical(plan: Plan, tmp_path: Path, edit: Callable[[str], str]) -> None:
    file = tmp_path / "audit" / NAME
    whole = file.read_text()
    file.write_text(edit(whole))
    assert file.read_text() != whole
    with pytest.raises(ImindexError, match="line 1 has changed since it was written"):
        read_register(tmp_path / "audit")


def test_a_report_that_repeats_a_key_is_refused(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    from imindex.retrieval.audit.recompute import stored_rendered
    from imindex.retrieval.compare.archived_report import read_archived
    from imindex.retrieval.results import Report, from_json

    root = tmp_path / "world"
    shutil.copytree(finished[0], root, symlinks=True)
    file = root / "audit/report.json"
    file.write_text(file.read_text().replace('"auc":', '"auc": 0.99, "auc":'))
    assert json.loads(file.read_text())  # other programs read it
    readers: list[Callable[[], object]] = [
        lambda: read_archived(file),
        lambda: stored_rendered(root / "audit"),
        lambda: from_json(Report, file.read_bytes(), "report.json"),
        lambda: api.copy_candidates(root / "audit"),
    ]
    for read in readers:
        with pytest.raises(ImindexError, match="it repeats the key 'auc'"):
            read()


def test_a_refusal_names_the_pictures_that_changed(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    root = Path(shutil.copytree(finished[0], tmp_path / "world", symlinks=True))
    words = ("audit", root / "plan.toml", "--out", root / "audit", "--device", "cpu")
    first, second, *_ = sorted((root / "works").glob("*/*.png"))
    first.write_bytes(first.read_bytes() + b" ")
    second.unlink()
    for n in range(5):
        shutil.copy(first, root / f"works/{first.parent.name}/zz{n}.png")
    said = " ".join(run(*words, code=1).stderr.split())
    assert "the works changed after the plan was registered" in said
    new = ", ".join(f"works/{first.parent.name}/zz{n}.png" for n in range(3))
    gone, bytes_ = (path.relative_to(root) for path in (second, first))
    assert f"In works, new: {new} and 2 more; missing: {gone}; with other bytes: {bytes_}. Undo" in said


@pytest.mark.parametrize("reason", ["", "  "])
def test_an_amendment_without_a_reason_is_a_usage_error(reason: str, tmp_path: Path) -> None:
    assert "it is empty" in run("audit", tmp_path / "plan.toml", "--amend", reason, code=2).stderr
