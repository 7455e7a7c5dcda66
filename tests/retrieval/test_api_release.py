"""Audits of models behind an API: registered, resumed, verified; and refusals as outcomes that are tested."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.image_api.settings import Asking
from imindex.retrieval.audit.audit import Outcome, audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.recompute import recompute
from imindex.retrieval.audit.register import read_register
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.results.questions import RefusalsAnswer
from tests.support.commands import last_line, run
from tests.support.fake_image_api import ImageApi, image_api, png, refuse_names
from tests.support.pictures import paint

pytestmark = pytest.mark.usefixtures("one_thread")
COLORS = {"Ada Example": (200, 30, 30), "Bo Sample": (30, 60, 200), "Cy Painter": (30, 180, 60)}
FAST = Asking(per_minute=100_000, concurrency=2, backoff=0.01)
PLAN = """
title = "A service"
seed = 3
[artists]
tested = ["Ada Example", "Bo Sample", "Cy Painter"]
origins = {{ "Ada Example" = "english", "Bo Sample" = "english", "Cy Painter" = "english" }}
[[releases]]
name = "service"
{release}
[prompts]
per_artist = 4
placebos = 20
nameless = 2
[[encoders]]
model = "{encoder}"
[tests]
n_resamples = 99
adjust = "bh"
[questions.refusals]
"""


def colored(prompt: str, before: int) -> bytes:
    """A picture in the colours of the artist in the prompt; grey for other names."""
    color = next((color for name, color in COLORS.items() if name in prompt), (128, 128, 128))
    rng = np.random.default_rng([before, *prompt.encode()])
    return png(np.clip(np.array(color) + rng.normal(0, 25, (48, 48, 3)), 0, 255).astype(np.uint8))


@dataclass
class World:
    root: Path
    api: ImageApi
    outcome: Outcome

    def audit(self, **options: object) -> Outcome:
        return run_audit(self.root, **options)


def run_audit(root: Path, **options: object) -> Outcome:
    plan = read_plan(root / "plan.toml")
    return audit(Run(plan, Workspace(root / "audit"), Compute("cpu", asking=FAST)), **options)  # type: ignore[arg-type]


def write_works(root: Path) -> None:
    for place, (artist, color) in enumerate({**COLORS, "Di Ground": (220, 200, 40)}.items()):
        for n in range(6):
            paint(root / "works" / artist / f"{n}.png", color, 100 * place + n)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Iterator[World]:
    root = tmp_path_factory.mktemp("api")
    write_works(root)
    half = lambda seen, before: refuse_names("Bo Sample")(seen, before) if before % 2 else None  # noqa: E731
    with image_api(refuse_names("Cy Painter"), half, picture=colored) as api:
        release = f'api = "{api.url}"\nmodel = "fake-1"'
        (root / "plan.toml").write_text(PLAN.format(release=release, encoder=tiny_model))
        yield World(root, api, run_audit(root))


def answer_of(outcome: Outcome) -> RefusalsAnswer:
    (answer,) = outcome.report.questions or ()
    assert isinstance(answer, RefusalsAnswer)
    return answer


def test_every_request_is_counted(world: World) -> None:
    record = world.outcome.report.releases[0].requests
    assert record is not None
    assert record.outcomes == {"picture": 88, "refused": 6, "blocked": 0, "no picture": 0, "error": 0}
    assert record.n_requests == len(world.api.seen) == 94 and record.n_lost == 0
    assert record.codes == {"content_policy_violation": 6} and record.models == ("fake-1",)
    assert "none is sent" in record.seeds
    rows = {row.artist: row for row in answer_of(world.outcome).artists}
    assert {name: (row.n_pictures, row.n_refused) for name, row in rows.items()} == {
        "Ada Example": (4, 0), "Bo Sample": (2, 2), "Cy Painter": (0, 4),
    }  # fmt: skip


def test_refused_names_are_found_among_placebo_names(world: World) -> None:
    answer = answer_of(world.outcome)
    rows = {row.artist: row for row in answer.artists}
    assert rows["Cy Painter"].p == rows["Bo Sample"].p == 1 / 21 and rows["Ada Example"].p == 1.0
    assert answer.n_found == 0, "three tests at 1/21: the corrected p is 1/14"
    assert rows["Cy Painter"].p_adjusted == pytest.approx(1.5 / 21)
    assert "6 of 12 pictures with artists’ names" in answer.statement
    assert "0 of 80 with invented names" in answer.statement
    assert any("are found together or none" in note for note in answer.notes)
    assert any("Cy Painter: no picture was made" in note for note in answer.notes)


def test_bounds_bracket_the_auc_of_a_name_that_was_partly_refused(world: World) -> None:
    rows = {row.artist: row for row in answer_of(world.outcome).artists}
    bo = rows["Bo Sample"]
    assert bo.auc is not None and bo.auc_low is not None and bo.auc_high is not None
    assert bo.auc_low == pytest.approx(bo.auc / 2) and bo.auc_high == pytest.approx(bo.auc / 2 + 0.5)
    assert bo.auc_as_placebos == pytest.approx(bo.auc / 2 + 0.25)
    ada = rows["Ada Example"]
    assert ada.auc == ada.auc_low == ada.auc_high and (ada.auc or 0) > 0.9
    assert rows["Cy Painter"].auc is None
    for row in rows.values():
        if row.p_best is not None and row.p_worst is not None and row.p_as_placebos is not None:
            assert row.p_best <= row.p_as_placebos <= row.p_worst


def test_drift_is_tested_on_placebo_names(world: World) -> None:
    answer = answer_of(world.outcome)
    assert answer.n_drift_names == 20 and answer.p_drift is not None and 0 < answer.p_drift <= 1


def test_the_log_is_registered_and_verified(world: World, tmp_path: Path) -> None:
    log = world.root / "audit/imitations/service/requests.jsonl"
    entries = read_register(world.root / "audit")
    assert [entry.event for entry in entries] == ["registered", "asked"]
    record = world.outcome.report.releases[0].requests
    assert record is not None and dict(entries[-1].requests) == {"service": record.log_sha256}
    copy = Path(shutil.copytree(world.root, tmp_path / "copy"))
    assert checked(copy) == []
    log = copy / "audit/imitations/service/requests.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))  # the last answer is cut off
    with pytest.raises(ImindexError, match="lacks 1 of the 94 pictures"):
        checked(copy)
    log.write_bytes(b"".join(lines).replace(b'"refused"', b'"blocked"', 1))
    with pytest.raises(ImindexError, match=r"requests\.jsonl, line"):
        checked(copy)


def checked(root: Path) -> list[str]:
    plan = read_plan(root / "plan.toml")
    outcome = recompute(Run(plan, Workspace(root / "audit", keeps=False), Compute("cpu")))
    return [str(fault) for fault in outcome.faults]


def test_a_second_run_asks_nothing_and_keeps_the_register(world: World) -> None:
    before = len(world.api.seen), (world.root / "audit/register.jsonl").read_bytes()
    again = world.audit()
    assert (len(world.api.seen), (world.root / "audit/register.jsonl").read_bytes()) == before
    assert again.report.digest == world.outcome.report.digest


def test_the_page_shows_the_question(world: World) -> None:
    page = (world.root / "audit/report.html").read_text(encoding="utf-8")
    for text in ("Refused and blocked pictures", "If the withheld pictures had been made", "invented names"):
        assert text in page


def test_pictures_made_elsewhere_come_with_a_log(world: World, tmp_path: Path, tiny_model: str) -> None:
    """The same pictures and outcomes as a manifest and a log in CSV give the same answer."""
    folder = world.root / "audit/imitations/service"
    shutil.copytree(folder, tmp_path / "pictures")
    write_works(tmp_path)
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    columns = ("time", "prompt", "name", "arm", "number", "outcome", "code", "path", "sha256")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                "time": row["time"], "prompt": row["prompt"], "name": row["artist"], "arm": row["arm"],
                "number": row["number"], "outcome": "refused" if row["blocked"] else "picture",
                "code": "no" if row["blocked"] else "", "path": row["path"], "sha256": row["sha256"],
            }
        )  # fmt: skip
    (tmp_path / "pictures/requests.csv").write_text(text.getvalue(), encoding="utf-8")
    release = 'pictures = "pictures/manifest.jsonl"\nrequests = "pictures/requests.csv"'
    (tmp_path / "plan.toml").write_text(PLAN.format(release=release, encoder=tiny_model))
    outcome = run_audit(tmp_path)
    theirs, ours = answer_of(outcome), answer_of(world.outcome)
    assert [(row.artist, row.n_refused, row.p) for row in theirs.artists] == [
        (row.artist, row.n_refused, row.p) for row in ours.artists
    ]
    assert [row.auc_low for row in theirs.artists] == pytest.approx([row.auc_low for row in ours.artists])
    assert theirs.p_drift == ours.p_drift
    assert len(outcome.report.releases[0].blocked) == 6
    entries = read_register(tmp_path / "audit")
    assert "service / log of requests" in entries[0].inputs
    with (tmp_path / "pictures/requests.csv").open("a", encoding="utf-8") as file:
        file.write("2026-01-01T00:00:00Z,x,Ada Example,own,9,refused,no,,\n")
    with pytest.raises(ImindexError, match="the log of requests of service changed"):
        run_audit(tmp_path)


# Plans


@pytest.mark.parametrize(
    ("release", "message"),
    [
        ('api = "http://example.org"\nmodel = "m"', "Write https"),
        ('api = "https://example.org"', "No model"),
        ('api = "https://ada:secretsecret@example.org"\nmodel = "m"', "carries credentials"),
        ('api = "https://example.org"\nmodel = "m"\nsteps = 3', "releases[1].steps does not apply to an API"),
        (
            'api = "https://example.org"\nmodel = "m"\nkey_env = "sk-123"',
            "not the name of an environment variable",
        ),
        ('model = "m"\nkey_env = "A_KEY"', "releases[1].key_env is a setting of an API"),
        ('model = "m"\nrequests = "requests.csv"', "is the log of requests for existing pictures"),
    ],
)
def test_faults_of_a_plan_are_named(release: str, message: str, tmp_path: Path) -> None:
    import re

    (tmp_path / "plan.toml").write_text(PLAN.format(release=release, encoder="demo"))
    with pytest.raises(ImindexError, match=re.escape(message)) as caught:
        read_plan(tmp_path / "plan.toml")
    assert "secretsecret" not in str(caught.value) and "sk-123" not in str(caught.value)


def test_an_api_has_no_equal_seeds_and_the_digest_of_other_plans_is_unchanged(tmp_path: Path) -> None:
    release = 'api = "https://example.org"\nmodel = "m"'
    text = PLAN.format(release=release, encoder="demo")
    (tmp_path / "plan.toml").write_text(text.replace("[prompts]", "[prompts]\nequal_seeds = true"))
    with pytest.raises(ImindexError, match="nothing shows that an API uses a seed"):
        read_plan(tmp_path / "plan.toml")
    (tmp_path / "plan.toml").write_text(text)
    one = read_plan(tmp_path / "plan.toml")
    (tmp_path / "plan.toml").write_text(text.replace("example.org", "example.com"))
    assert one.digest != read_plan(tmp_path / "plan.toml").digest


def test_refusals_without_a_log_are_not_asked(tmp_path: Path, tiny_model: str) -> None:
    write_works(tmp_path)
    for name in COLORS:
        paint(tmp_path / "pictures" / name / "0.png", (1, 2, 3), 5)
    (tmp_path / "plan.toml").write_text(PLAN.format(release='pictures = "pictures"', encoder=tiny_model))
    with pytest.raises(ImindexError, match=r"questions\.refusals needs a release with a log of requests"):
        run_audit(tmp_path)


# The command


def test_generate_asks_an_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "key-of-the-test-0123456789")
    with image_api(refuse_names("Bo")) as api:
        words = [
            "generate", "--api", api.url, "--model", "fake-1", "--artist", "Ada Example", "--artist", "Bo Sample",
            "--placebos", 2, "--per-artist", 2, "--per-minute", 100_000, "--key-env", "A_KEY", "--price", 0.04,
            "--out", tmp_path / "r",
        ]  # fmt: skip
        planned = run(*words, "--dry-run")
        assert "Would send 8 requests" in planned.output and "about 0.32 in all" in planned.output
        said = json.loads(run(*words, "--dry-run", "--json").stdout)
        assert (said["requests"], said["to_make"], said["cost"]) == (8, 8, 0.32) and not api.seen
        made = run(*words)
        again = json.loads(run(*words, "--json").stdout)
    assert "Sent 8 requests" in last_line(made) and "6 pictures of 4 names (2 refused" in last_line(made)
    assert "Withheld (content_policy_violation): 2 pictures" in made.output
    assert again["requests"] == 0 and again["outcomes"]["refused"] == 2
    assert Counter(seen.headers["Authorization"] for seen in api.seen) == {
        "Bearer key-of-the-test-0123456789": 8
    }
    assert "key-of-the-test" not in made.output + planned.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "3"], "--steps is an option of a pipeline"),
        (["--api", "http://example.org"], "Write https"),
        (["--api", "https://example.org", "--key-env", "NO_SUCH_KEY_HERE"], "NO_SUCH_KEY_HERE is not set"),
    ],
)
def test_wrong_options_of_an_api_are_named(words: list[str], message: str, tmp_path: Path) -> None:
    more = [] if "--api" in words else ["--api", "https://example.org"]
    done = run(
        "generate", "--model", "m", "--artist", "Ada", "--out", tmp_path / "r", *more, *words,
        code=2 if "--steps" in words else 1,
    )  # fmt: skip
    assert message in done.output


def test_options_of_an_api_need_one(tmp_path: Path) -> None:
    done = run("generate", "--model", "m", "--artist", "Ada", "--out", tmp_path / "r", "--price", "1", code=2)
    assert "--price is an option of an API, and there is no --api" in done.output
