"""Recomputing an audit gives the same figures, and every change since is named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from msgspec.structs import replace

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.audit import Outcome
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.recompute import Recomputed, plan_of, recompute
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.report.report import digest
from tests.support import audits
from tests.support.audits import run_plan
from tests.support.commands import last_line, run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def done(finished: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A modifiable copy of a finished audit."""
    root = tmp_path / "copy"
    shutil.copytree(finished[0], root, symlinks=True)
    return root


def again(root: Path) -> Recomputed:
    return recompute(
        Run(read_plan(root / "plan.toml"), Workspace(root / "audit", keeps=False), Compute("cpu"))
    )


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted((root / "audit").rglob("*")) if path.is_file()}


def test_intact_audit_recomputes_identically_without_writing(
    done: Path, finished: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(done)
    (done / "models").unlink()  # no model is asked
    monkeypatch.setattr("imindex.retrieval.audit.assess.kept", kept_only_asks(done))
    found = again(done)
    assert found.faults == [] and found.now == found.stored == finished[1].report.digest
    assert found.figures > 500 and found.versions == {}
    assert files(done) == before


def kept_only_asks(root: Path) -> Callable[..., Any]:
    """Stands in for `kept`, and must not read cached results."""
    from imindex.retrieval.audit.results_cache import kept

    def never_reads(run: Run, file: Path, *how: Any) -> Any:
        return kept(run, root / "no" / "such" / "file", *how)

    return never_reads


def edit_report(root: Path, honest: bool) -> None:
    path = root / "audit/report.json"
    report = json.loads(path.read_text())
    report["results"][0]["artists"][0]["auc"] = 0.987
    if honest:
        report["digest"] = digest(report)
    path.write_text(json.dumps(report))


def edit_kept(root: Path) -> None:
    path = next(path for path in (root / "audit/results").rglob("two.json"))
    kept = json.loads(path.read_text())
    kept["result"]["matching"]["artists"][1]["auc"] = 0.123
    kept["digest"] = json_digest(kept["result"])
    path.write_text(json.dumps(kept))


def edit_comparison(root: Path) -> None:
    path = next(path for path in (root / "audit/results").rglob("two-against-one.json"))
    kept = json.loads(path.read_text())
    kept["result"]["n_artists"] = 3
    path.write_text(json.dumps(kept))


def edit_index(root: Path) -> None:
    with h5py.File(next((root / "audit").glob("*.h5")), "r+") as file:
        file["items/seed"][0] = 99


def named(root: Path) -> list[str]:
    return [f"{fault.where}: {fault.said}" for fault in again(root).faults]


def test_what_was_changed_is_named(done: Path) -> None:
    edit_report(done, honest=False)
    edit_kept(done)
    edit_comparison(done)
    edit_index(done)
    audits.draw(done / "works/Bo Sample/more", 1, 800)
    said = named(done)
    for wanted in (
        r"report\.json: has changed since it was written",
        r"results/.*two\.json\.matching\.artists\[Bo Sample\]\.auc: is .* now, 0\.123 stored",
        r"two-against-one\.json: has changed since it was written",
        r"two-against-one\.json\.n_artists: is 2 now, 3 stored",
        r"tiny.*\.h5: items/seed: has changed since it was written",
        r"inputs: the works changed",
        r"\.h5: lacks 1 pictures",
    ):
        assert any(re.search(wanted, one) for one in said), (wanted, said)


def test_a_report_that_was_given_a_new_digest_is_named_by_its_figures(done: Path) -> None:
    edit_report(done, honest=True)
    audits.change(done, "seed = 7\n", "seed = 7 # the same\n")
    figure, text, *more = sorted(named(done), key=lambda one: one.startswith("report.plan.text: "))
    assert re.fullmatch(
        r"report\.results\[one, tiny\]\.artists\[Ada Example\]\.auc: is [0-9.]+ now, 0\.987 stored", figure
    )
    assert text.startswith("report.plan.text: ") and not more


def test_another_plan_is_named(done: Path) -> None:
    audits.change(done, "n_resamples = 99", "n_resamples = 199")
    assert any(re.search(r"plan: .*not the plan that was registered", one) for one in named(done))


def test_what_is_gone_is_said(done: Path, tmp_path: Path) -> None:
    picture = next((done / "audit/imitations").rglob("*.png"))
    data = picture.read_bytes()
    picture.write_bytes(data + b"x")
    with pytest.raises(ImindexError, match=r"lacks 1 of the 12 pictures of one"):
        again(done)
    picture.write_bytes(data)
    (done / "audit/register.jsonl").rename(tmp_path / "kept")
    with pytest.raises(ImindexError, match=r"has no register\.jsonl"):
        again(done)
    (tmp_path / "kept").rename(done / "audit/register.jsonl")
    (done / "audit/report.json").unlink()
    with pytest.raises(ImindexError, match="not finished"):
        again(done)
    with pytest.raises(ImindexError, match="--plan"):
        plan_of(done / "audit")


def test_the_commands_verify_and_seal_an_audit(done: Path) -> None:
    index, seal = next((done / "audit").glob("*.h5")), done / "seal.json"
    (done / "audit").rename(done / "plan-audit")
    index = done / "plan-audit" / index.name
    run("seal", "-i", index, "--plan", done / "plan.toml", "-o", seal)
    said = json.loads(seal.read_text())["audit"]
    report = json.loads((done / "plan-audit/report.json").read_text())
    assert said["plan"] == read_plan(done / "plan.toml").digest and said["report"] == report["digest"]
    line = json.loads((done / "plan-audit/register.jsonl").read_text().splitlines()[-1])
    assert said["register"] == line["digest"]
    result = run("verify", "-i", index, "--seal", seal, "--results", done / "plan-audit", "--device", "cpu")
    assert last_line(result) == f"Verified {done / 'plan-audit'}: no faults."
    for what in ("register: last line", "plan: digest", "report: digest"):
        assert f"identical   {what}" in result.stdout
    assert "not checked audit: pass its folder" in run("verify", "-i", index, "--seal", seal).stdout
    audits.change(done, "n_resamples = 99", "n_resamples = 199")
    assert (
        "amend the audit first"
        in run("seal", "-i", index, "--plan", done / "plan.toml", "-o", done / "other.json", code=1).stderr
    )
    result = run("verify", "--results", done / "plan-audit", "--device", "cpu", "--json", code=1)
    assert json.loads(result.stdout)["faults"][0]["where"] == "plan"


def test_sealed_register_may_grow_but_not_be_replaced(done: Path) -> None:
    from imindex.retrieval.audit.recompute import audit_digests, sealed_audit

    sealed = audit_digests(done / "audit", done / "plan.toml")
    audits.change(done, "n_resamples = 99", "n_resamples = 199")
    run_plan(done, amend="more resamples")
    said = {one.what: one.status for one in sealed_audit(sealed, done / "audit")}
    assert said == {"register": "rewritten", "plan": "identical", "report": "differs"}
    other = replace(sealed, register="ab" * 32)
    assert [one.status for one in sealed_audit(other, done / "audit")] == ["differs"]
