"""An audit from plan to report: the full workflow, interruption, refusals, and hostile names."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.locks import alone
from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Show, Workspace
from tests.support.audits import change, draw, run_plan
from tests.support.commands import run
from tests.support.models import LONG, save_model
from tests.support.pipelines import save_pipeline
from tests.support.places import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def copied(world: Path, tmp_path: Path) -> Path:
    """A modifiable copy of the audit's folder; the models are shared."""
    root = tmp_path / "world"
    root.mkdir()
    shutil.copytree(world / "works", root / "works")
    (root / "models").symlink_to(world / "models")
    shutil.copy(world / "plan.toml", root)
    return root


def identity(outcome: Outcome) -> tuple[str, list[str], list[str]]:
    report = outcome.report
    return (
        report.digest,
        [encoder.root_digest for encoder in report.encoders],
        [release.digest for release in report.releases],
    )


def pictures_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def test_full_workflow_and_repeat(finished: tuple[Path, Outcome], copied: Path) -> None:
    root, outcome = finished
    report = outcome.report
    assert [release.name for release in report.releases] == ["one", "two"]
    assert [release.n_imitations for release in report.releases] == [2 * (2 + 3)] * 2
    assert [release.n_controls for release in report.releases] == [2, 2]
    assert [release.n_placebo_names for release in report.releases] == [3, 3]
    assert len(pictures_in(root / "audit/imitations")) == 2 * 12
    for result in report.results:
        assert [row.artist for row in result.artists] == ["Ada Example", "Bo Sample"]
        assert all(row.n_works == 5 and row.n_imitations == 2 for row in result.artists)
    assert report.plan.background == ("Cy Background",)
    assert {path.suffix for path in outcome.files} == {".html", ".json", ".csv"}
    written = json.loads((root / "audit/report.json").read_text())
    assert written == report.to_dict()
    schema = json.loads((ROOT / "retrieval" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(written)
    assert identity(run_plan(copied)) == identity(outcome)  # elsewhere, from the start


class Recorder(Show):
    """Records the stages, and how much was new in each."""

    def __init__(self) -> None:
        self.new: dict[str, int] = {}
        self.notes: list[str] = []

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int, int], None]]:
        self.new[name] = 0

        def progress(done: int, new: int) -> None:
            self.new[name] = new

        yield progress

    def note(self, text: str) -> None:
        self.notes.append(text)


class Breaker(Show):
    """Raises Ctrl-C in a stage: at its start, or after its first picture."""

    def __init__(self, stage: str, inside: bool):
        self._stage, self._inside = stage, inside
        self.broke = False

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int, int], None]]:
        mine = name.startswith(self._stage)

        def progress(done: int, new: int) -> None:
            if mine and self._inside and new:
                self.broke = True
                raise KeyboardInterrupt

        if mine and not self._inside:
            self.broke = True
            raise KeyboardInterrupt
        yield progress


STAGES = ("generate one", "generate two", "encode with", "test one", "test two", "compare", "report")


def test_audit_interrupted_in_any_stage_resumes_to_the_same_result(
    finished: tuple[Path, Outcome], copied: Path
) -> None:
    root, outcome = finished
    for stage in STAGES:
        for inside in (False, True) if stage.startswith(("generate", "encode")) else (False,):
            breaker = Breaker(stage, inside)
            with pytest.raises((KeyboardInterrupt, ImindexError)):
                run_plan(copied, breaker)
            assert breaker.broke
    assert identity(run_plan(copied)) == identity(outcome)
    manifests = [p.relative_to(root) for p in sorted((root / "audit").rglob("manifest.jsonl"))]
    assert manifests and all((root / p).read_bytes() == (copied / p).read_bytes() for p in manifests)


def test_finished_stages_are_not_repeated(finished: tuple[Path, Outcome], monkeypatch: Any) -> None:
    root, outcome = finished

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("computed again")

    for name in ("classify_release", "match_release", "gallery", "copies"):
        monkeypatch.setattr(f"imindex.retrieval.audit.assess.{name}", never)
    recorder = Recorder()
    assert identity(run_plan(root, recorder)) == identity(outcome)
    assert not any(recorder.new.values())


def test_a_changed_plan_is_refused_unless_the_change_is_recorded(
    finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    root = tmp_path / "world"
    shutil.copytree(finished[0], root, symlinks=True)
    change(root, 'adjust = "bh"', 'adjust = "holm"')
    with pytest.raises(ImindexError, match=r"the plan .* changed after .* --amend"):
        run_plan(root)
    report = run_plan(root, amend="the court asked for Holm").report
    (amendment,) = report.plan.amendments
    assert amendment.why == "the court asked for Holm"
    assert (amendment.before, amendment.to) == (finished[1].report.plan.digest, report.plan.digest)
    assert run_plan(root).report.digest == report.digest


def test_changed_works_and_altered_register_are_refused(
    finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    root = tmp_path / "world"
    shutil.copytree(finished[0], root, symlinks=True)
    (root / "works/Ada Example/0.png").rename(root / "works/Ada Example/renamed.png")
    run_plan(root)  # the same pictures elsewhere are the same pictures
    (root / "works/Ada Example/renamed.png").unlink()
    with pytest.raises(ImindexError, match="the works changed after"):
        run_plan(root)
    report = run_plan(root, amend="withdrawn by the artist").report
    assert {row.artist: row.n_works for row in report.results[0].artists}["Ada Example"] == 4
    register = root / "audit/register.jsonl"
    whole = register.read_text()
    for line in (0, -1):  # the last one too
        lines = whole.splitlines()
        lines[line] = lines[line].replace("a", "b", 1)
        register.write_text("\n".join(lines))
        with pytest.raises(ImindexError, match=r"line \d has changed since it was written"):
            run_plan(root)
    register.unlink()
    with pytest.raises(ImindexError, match=r"contains imitations but no register"):
        run_plan(root)
    late = run_plan(root, amend="the register was lost").report
    assert late.plan.registered_late and not report.plan.registered_late


def test_plan_is_registered_before_the_first_picture(copied: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_plan(copied, Breaker("generate one", inside=False))
    (line,) = (copied / "audit/register.jsonl").read_text().splitlines()
    assert json.loads(line)["plan"] == read_plan(copied / "plan.toml").digest
    assert not pictures_in(copied / "audit")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda root: change(root, "models/two", "models/none"), "two: .*models/none"),
        (lambda root: change(root, '"Bo Sample"]', '"Bo Sampel"]'), "Bo Sampel has no works .* Did you mean Bo Sample"),
        (lambda root: shutil.rmtree(root / "works"), r"works\.tested: .*works does not exist"),
        (lambda root: [p.unlink() for p in (root / "works/Bo Sample").iterdir()], "Bo Sample has no works"),
        (lambda root: change(root, "local-dir:", "local-dir:/nowhere"), "nowhere"),
        (
            lambda root: ((root / "made").mkdir(), change(root, 'model = "models/two"\nsteps = 2\nsize = "32x32"',
                          'pictures = "made"')),
            "two has no imitations of any tested artist",
        ),
        (
            lambda root: (draw(root / "made/Ada Example", 2, 900),
                          change(root, 'model = "models/two"\nsteps = 2\nsize = "32x32"', 'pictures = "made"')),
            "two has no imitations of Bo Sample",
        ),
    ],
)  # fmt: skip
def test_missing_inputs_are_reported_before_generation(
    copied: Path, prepare: Callable[[Path], Any], message: str
) -> None:
    prepare(copied)
    with pytest.raises(ImindexError, match=message):
        run_plan(copied)
    assert not (copied / "audit/register.jsonl").exists()  # a plan that cannot run is not registered
    assert not pictures_in(copied / "audit") if (copied / "audit").exists() else True


HOSTILE = (
    'O"Hara \'quoted\'', "<script>alert(1)</script>", "a/b\\c/../d", "=1+cmd|' /C calc'!A0", "🎨 émoji",
    "فنان مبدع", "..hidden", "n" * 300, "%s {artist} {0}", "[red]markup[/red] *?[x]",
)  # fmt: skip


def test_hostile_names_go_through_files_manifest_and_report(copied: Path) -> None:
    """Works are read from a manifest, because most of these names cannot be folder names."""
    plan = copied / "plan.toml"
    long = save_model(copied / "long", config=LONG)  # reads the longest of these names
    plan.write_text(re.sub('model = "local-dir:.*"', f'model = "local-dir:{long}"', plan.read_text()))
    rows = []
    for place, name in enumerate(HOSTILE):
        draw(copied / f"art/{place}", 5, 1000 + 10 * place)
        rows += [{"path": f"art/{place}/{n}.png", "artist": name} for n in range(5)]
    (copied / "works.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    change(copied, '["Ada Example", "Bo Sample"]', json.dumps(HOSTILE, ensure_ascii=False))
    change(copied, "[[releases]]", '[works]\ntested = "works.jsonl"\n[[releases]]')
    change(copied, "placebos = 3", "placebos = 2")
    outcome = run_plan(copied)
    for result in outcome.report.results:
        assert [row.artist for row in result.artists] == list(HOSTILE)
    inside = (copied / "audit").resolve()
    manifest = [
        json.loads(line)
        for path in sorted((copied / "audit/imitations").rglob("manifest.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert {row["artist"] for row in manifest} >= set(HOSTILE)
    assert all(inside in path.resolve().parents for path in pictures_in(copied / "audit"))
    page = next(path for path in outcome.files if path.suffix == ".html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    table = next(path for path in outcome.files if path.suffix == ".csv").read_text(encoding="utf-8-sig")
    assert "'=1+cmd|" in table and "\n=" not in table and ",=" not in table


def test_one_network_under_two_names_is_refused(copied: Path) -> None:
    model = re.search('model = "local-dir:.*"', (copied / "plan.toml").read_text())
    assert model is not None
    change(copied, "[tests]", f'[[encoders]]\nname = "another"\n{model[0]}\nprecision = "fp32"\n[tests]')
    with pytest.raises(ImindexError, match=r"encoders tiny and another are the same network.*Drop one"):
        run_plan(copied)


def test_existing_pictures_are_audited_with_named_placebos(copied: Path) -> None:
    for place, name in enumerate(("Ada Example", "Bo Sample", "inv 1", "inv 2")):
        draw(copied / "made" / name, 2, 700 + 10 * place)
    change(
        copied, 'model = "models/two"\nsteps = 2\nsize = "32x32"', 'pictures = "made"\nplacebos = ["inv *"]'
    )
    change(
        copied, 'model = "models/one"\nsteps = 2\nsize = "32x32"', 'pictures = "made"\nplacebos = ["inv 1"]'
    )
    outcome = run_plan(copied)
    report, page = outcome.report, next(path for path in outcome.files if path.suffix == ".html").read_text()
    assert "when they were made, and whether they were chosen by what they show, is not known" in page
    assert "the question came before the answer" not in page
    assert report.plan.tests_registered == report.plan.tests_used
    two = next(release for release in report.releases if release.name == "two")
    assert (two.source, two.n_imitations, two.n_placebo_names) == ("pictures", 8, 2)
    rows = next(result for result in report.results if result.release == "two").artists
    assert [row.artist for row in rows] == ["Ada Example", "Bo Sample"]
    assert all(row.n_name_references == 2 for row in rows)


def test_placebo_name_differs_from_artists_ignoring_case(copied: Path) -> None:
    for place, name in enumerate(("Ada Example", "Bo Sample", "ADA EXAMPLE")):
        draw(copied / "made" / name, 2, 700 + 10 * place)
    change(
        copied, 'model = "models/two"\nsteps = 2\nsize = "32x32"', 'pictures = "made"\nplacebos = ["ADA*"]'
    )
    with pytest.raises(ImindexError, match="ADA EXAMPLE has works"):
        run_plan(copied)


def test_path_with_dots_and_missing_model(copied: Path) -> None:
    (copied / "x").mkdir()
    plan = read_plan(copied / "x" / ".." / "plan.toml")
    first = audit(Run(plan, Workspace(copied / "x" / ".." / "audit"), Compute("cpu")))
    (copied / "models").unlink()
    assert identity(run_plan(copied)) == identity(first)  # nothing is missing, so the models are not needed
    pictures_in(copied / "audit/imitations")[0].unlink()
    with pytest.raises(ImindexError, match="models/one"):
        run_plan(copied)


def test_blocked_pictures_are_listed_and_reported_if_too_many(copied: Path) -> None:
    save_pipeline(copied / "checked", kind="sd-checked")
    change(copied, 'model = "models/two"', 'model = "checked"')
    recorder = Recorder()
    try:
        report = run_plan(copied, recorder).report
    except ImindexError as error:  # which pictures it blocks is chance: all of one artist's, perhaps
        assert "pictures were blocked" in str(error)
    else:
        two = next(release for release in report.releases if release.name == "two")
        assert two.n_imitations + two.n_controls + len(two.blocked) == 12
    assert any("of 12 pictures were blocked" in note for note in recorder.notes)


def test_concurrent_audits_in_one_folder_are_refused(copied: Path) -> None:
    said = rf"in use by process {os.getpid()} on .*: `imindex audit other\.toml`\)\. Wait"
    with (
        alone(copied / "audit/.lock", "", "imindex audit other.toml"),
        pytest.raises(ImindexError, match=said),
    ):
        run_plan(copied)


def test_the_command(finished: tuple[Path, Outcome], copied: Path) -> None:
    root, outcome = finished
    plan = root / "plan.toml"
    done = run("audit", plan, "--out", root / "audit", "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "report.html" in done.stdout.splitlines()[-1]
    told = json.loads(run("audit", plan, "--out", root / "audit", "--device", "cpu", "--json").stdout)
    assert told["digest"] == outcome.report.digest

    dry = run("audit", "--dry-run", copied / "plan.toml", "--device", "cpu", "--json")
    assert dry.exit_code == 0, dry.output
    stages = {one["what"]: one for one in json.loads(dry.stdout)["stages"]}
    assert (stages["generate one"]["to_do"], stages["encode with tiny"]["to_do"]) == (12, 15 + 24)
    assert all(one["seconds"] > 0 for one in stages.values())
    assert not (copied / "plan-audit").exists() and not pictures_in(copied / "audit")

    change(copied, "[compare]", '[gate]\nfail_if = ["auc > 0", "auc > 1", "significant > 99"]\n[compare]')
    gated = run("audit", copied / "plan.toml", "--device", "cpu", code=3)
    assert (copied / "plan-audit/report.html").exists()
    assert "auc" in gated.stderr
    assert re.search(r"auc [\d.]+ > 0[.0]*: fails\.\n.*auc [\d.]+ is not > 1[.0]*: passes\.\n", gated.stdout)
    assert "significant is not known" in gated.stderr  # nobody could be judged: that is no pass

    again = run("audit", "init", copied / "plan.toml", code=1)
    assert "exists already" in again.stderr
    made = run("audit", "init", copied / "new.toml")
    assert made.exit_code == 0 and "Cy Background" in (copied / "new.toml").read_text()
