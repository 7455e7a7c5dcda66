"""An audit by an encoder without a text side: resumed, interrupted, verified, and compared with other audits."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.encoders import registry
from imindex.retrieval.audit.run import Show
from tests.support.audits import run_plan
from tests.support.commands import run
from tests.support.pictures import paint

pytestmark = pytest.mark.usefixtures("one_thread")
COLORS = {"Ada": (200, 30, 30), "Bo": (30, 60, 200)}
PLACEBOS = [f"placebo {k}" for k in range(3)]
PLAN = """
seed = 3
[artists]
tested = ["Ada", "Bo"]
[works]
tested = "works"
[[releases]]
name = "one"
pictures = "one.jsonl"
placebos = ["placebo *"]
[[releases]]
name = "two"
pictures = "two.jsonl"
placebos = ["placebo *"]
[tests]
n_resamples = 99
[compare]
base = "one"
[gate]
fail_if = ["accuracy > 0.99", "accuracy_by_works < 0.1"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures-only-audits")
    for place, (artist, color) in enumerate(COLORS.items()):
        for n in range(5):
            paint(root / "works" / artist / f"{n}.png", color, 100 * place + n)
    for number, release in enumerate(("one", "two")):
        rows = []
        for place, name in enumerate([*COLORS, *PLACEBOS]):
            for n in range(4):
                path = f"{release}/{place}-{n}.png"
                color = COLORS[name] if release == "two" and name in COLORS else (128, 128, 128)
                paint(root / path, color, 10_000 * (number + 1) + 100 * place + n)
                rows.append({"path": path, "artist": name, "prompt": f"{name}, {n}", "seed": n})
        (root / f"{release}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return root


@pytest.fixture
def plan(world: Path, tmp_path: Path, tiny_model: str, pictures_only: str) -> Callable[..., Path]:
    """Return a function that writes a plan of these encoders beside the pictures, in a folder of its own."""
    models = {"tiny": tiny_model, "style": f"{pictures_only}:3"}

    def write(name: str, *encoders: str) -> Path:
        folder = Path(shutil.copytree(world, tmp_path / name))
        named = "".join(
            f'[[encoders]]\nname = "{encoder}"\nmodel = "{models[encoder]}"\nprecision = "fp32"\n'
            for encoder in encoders
        )
        (folder / "plan.toml").write_text(PLAN + named)
        return folder

    return write


class Interrupted(Show):
    """Is interrupted at the beginning of a stage."""

    def __init__(self, stage: str):
        self._stage = stage

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int, int], None]]:
        if name == self._stage:
            raise KeyboardInterrupt
        yield lambda done, new: None


def report_of(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text())


def test_interrupted_resumed_and_run_again(
    plan: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_plan(plan("whole", "style"))
    again = plan("again", "style")
    for stage in ("encode with style", "test two by style", "compare two with one by style"):
        with pytest.raises(KeyboardInterrupt):
            run_plan(again, Interrupted(stage))
    resumed = run_plan(again)
    assert resumed.report.digest == whole.report.digest
    assert [verdict.outcome for verdict in resumed.report.gate] == ["undecided", "passed"]
    assert resumed.undecided == [
        "accuracy is not known (style has no text side and names no artist; see accuracy_by_works): undecided."
    ]
    # Nothing is left to do, so that no encoder is loaded.
    monkeypatch.setitem(registry.BACKENDS, "pictures-only", "no_such_module")
    assert run_plan(again).report.digest == whole.report.digest


def test_reports_with_and_without_names_are_compared_by_what_they_share(plan: Callable[..., Path]) -> None:
    both, style, tiny = plan("both", "tiny", "style"), plan("style", "style"), plan("tiny", "tiny")
    for folder, code in ((both, 0), (style, 4), (tiny, 0)):
        done = run("audit", folder / "plan.toml", "--device", "cpu", code=code)
        named = "style has no text side: its pictures are classified by the artists' works" in done.stderr
        assert named == (folder != tiny)
    reports = {folder.name: report_of(folder / "plan-audit") for folder in (both, style, tiny)}
    beside, alone = (
        [one["by_works"] for one in reports[name]["results"] if "by_works" in one]
        for name in ("both", "style")
    )
    assert len(alone) == 2 and beside == alone  # whatever the other encoders are
    assert all("by_works" not in result for result in reports["tiny"]["results"])
    titles = [limit["title"] for limit in reports["both"]["limits"]]
    assert titles.count("Classified by works, not by name") == 1
    assert "Classified by works, not by name" not in [limit["title"] for limit in reports["tiny"]["limits"]]
    header = (tiny / "plan-audit" / "artists.csv").read_text().splitlines()[0]
    assert (
        (both / "plan-audit" / "artists.csv")
        .read_text()
        .splitlines()[0]
        .startswith(f"{header},top1_low_by_works")
    )
    covered = [one["reason"].partition(" Only by ")[2] for one in reports["both"]["gate"]]
    assert covered == ["tiny: style has no text side.", "", ""]

    words = ("--device", "cpu")
    audits = {
        name: folder / "plan-audit" for name, folder in (("both", both), ("style", style), ("tiny", tiny))
    }
    refused = run("compare", f"{audits['tiny']}:one", f"{audits['style']}:two", *words, code=1).stderr
    assert "have no encoder in common: they have tiny and style" in " ".join(refused.split())
    partial = run("compare", f"{audits['both']}:one", f"{audits['style']}:two", "--json", *words)
    found = json.loads(partial.stdout)
    assert found["encoder"] == "style" and found["figures"]["accuracy"]["base"] is None
    assert found["figures"]["auc"]["n_artists"] == 2
    said = " ".join([partial.stderr, *found["notes"]])
    assert "Compared by style alone: there is tiny only in BASE." in said and "no accuracy by name" in said
    (audits["style"] / report_of(audits["style"])["encoders"][0]["index"]).unlink()  # by figures alone
    alone = run("compare", f"{audits['both']}:one", f"{audits['style']}:two", "--json", *words)
    found = json.loads(alone.stdout)
    assert found["figures"]["accuracy"]["base"] is None
    assert any("no accuracy by name to compare" in note for note in found["notes"])


def test_plans_state_which_encoder_has_no_text_side(plan: Callable[..., Path]) -> None:
    folder = plan("both", "tiny", "style")
    forecast = json.loads(run("audit", folder / "plan.toml", "--dry-run", "--device", "cpu", "--json").stdout)
    (note,) = (one for one in forecast["notes"] if "text side" in one)
    assert note.startswith("style has no text side") and note.endswith("cannot decide: accuracy > 0.99.")
    run("audit", folder / "plan.toml", "--device", "cpu", "--as-paper", "--no-pictures")
    report = report_of(folder / "plan-audit")
    papers = {result["encoder"]: result["as_paper"] for result in report["results"]}
    assert papers["style"]["accuracy"] is None and papers["tiny"]["accuracy"] is not None
    assert "has no text side" in papers["style"]["assumes"][0]
    verified = run("verify", "--results", folder / "plan-audit", "--device", "cpu")
    assert "no faults" in verified.output and "report.html was rendered again and agrees" in verified.output
    page = (folder / "plan-audit" / "report.html").read_text(encoding="utf-8")
    assert page.count("<b>Accuracy by works</b>") == 2 and page.count("<b>Accuracy</b>: share") == 2
