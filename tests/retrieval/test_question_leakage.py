"""The question of unprompted leakage: a small audit in which it is known who resurfaces, and bad settings."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.audit import Outcome
from imindex.retrieval.audit.inputs import gather
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.questions.leakage import QUESTION
from imindex.retrieval.questions.question import Asking
from imindex.retrieval.questions.settings import Leakage
from imindex.retrieval.results.questions import LeakageAnswer
from imindex.stats.leakage import leakage
from imindex.stats.multiple import adjust
from tests.support.audits import run_plan

pytestmark = pytest.mark.usefixtures("one_thread")
TESTED = ("Ada", "Bo")
ABSENT = tuple(f"Absent {number:02d}" for number in range(40))
LEAKED_SHARE = 0.25
N_PICTURES = 40
PLAN = """
seed = 3
[artists]
tested = ["Ada", "Bo"]
[works]
background = "background"
[[releases]]
name = "before"
pictures = "before.jsonl"
[[releases]]
name = "after"
pictures = "after.jsonl"
[tests]
n_resamples = 99
[questions.leakage]
absent = "background"
clean = "before"
[[encoders]]
name = "style"
precision = "fp32"
model = "{model}"
"""


def motif(name: str) -> np.ndarray:
    """The 4 x 4 tiles of an artist, shape (4, 4, 3)."""
    seed = sum(ord(letter) * 31**place for place, letter in enumerate(name))
    return np.random.default_rng(seed).uniform(60, 195, (4, 4, 3))


def save(path: Path, tiles: np.ndarray, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    varied = tiles + rng.normal(0, 25, tiles.shape)
    pixels = varied.repeat(8, 0).repeat(8, 1) + rng.normal(0, 5, (32, 32, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Works of 2 tested and 40 absent artists; `after` shows Ada in a quarter of its nameless pictures."""
    root = tmp_path_factory.mktemp("leakage")
    for place, name in enumerate((*TESTED, *ABSENT)):
        folder = root / ("works" if name in TESTED else "background") / name
        for n in range(6 if name != "Absent 00" else 3):
            save(folder / f"{n}.png", motif(name), 1000 * place + n)
    for number, release in enumerate(("before", "after")):
        rows = []
        for name in TESTED:
            for n in range(3):
                path = f"{release}/{name}-{n}.png"
                save(root / path, motif("a name"), 90_000 * (number + 1) + n + 10 * TESTED.index(name))
                rows.append(
                    {"path": path, "artist": name, "prompt": f"{name}, {n}", "seed": n, "collection": release}
                )
        for n in range(N_PICTURES):
            path = f"{release}/nameless-{n}.png"
            leaked = release == "after" and n < LEAKED_SHARE * N_PICTURES
            save(root / path, motif("Ada" if leaked else "no name at all"), 500_000 * (number + 1) + n)
            collection = f"{release} / leakage" if n % 2 else release
            rows.append(
                {"path": path, "kind": "control", "arm": "generic", "prompt": "Artwork", "seed": n,
                 "collection": collection}
            )  # fmt: skip
        (root / f"{release}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return root


@pytest.fixture(scope="module")
def outcome(world: Path, pictures_only: str) -> Outcome:
    (world / "plan.toml").write_text(PLAN.format(model=f"{pictures_only}:3"))
    return run_plan(world)


def copy_world(world: Path, target: Path) -> None:
    """Copy the works, pictures and manifests, without the audit."""
    shutil.copytree(world, target, ignore=shutil.ignore_patterns("audit"), dirs_exist_ok=True)


def answers(outcome: Outcome) -> dict[str, LeakageAnswer]:
    return {
        answer.release: answer for answer in outcome.report.questions if isinstance(answer, LeakageAnswer)
    }


def test_who_resurfaces_is_found_and_nobody_else(outcome: Outcome) -> None:
    before, after = answers(outcome)["before"], answers(outcome)["after"]
    ada, bo = after.artists
    assert (ada.artist, bo.artist) == TESTED
    assert ada.p == 1 / 40  # one of the 40 absent artists has too few works
    assert ada.p_adjusted is not None
    assert ada.p_adjusted <= 0.05
    assert bo.p is not None
    assert bo.p > 0.05
    assert (before.n_found, after.n_found) == (0, 1)
    assert "works of 1 of 2 artists" in after.statement
    assert after.statement.endswith(": Ada.")
    assert before.statement.startswith("No artist was shown to resurface")
    assert ada.share == pytest.approx(LEAKED_SHARE, abs=0.1)
    assert ada.excess_low is not None
    assert ada.excess_low > 0
    assert (before.n_pictures, after.n_works, after.n_absent) == (N_PICTURES, 6, 39)


def test_the_figures_are_those_of_the_arrays(outcome: Outcome) -> None:
    after = answers(outcome)["after"]
    p = [row.p for row in after.artists]
    assert [row.p_adjusted for row in after.artists] == pytest.approx(adjust(np.array(p, float), method="bh"))
    statistics = [one.statistic for one in after.absent if one.statistic is not None]
    for row in after.artists:
        assert row.statistic is not None
        assert row.n_at_least == sum(one >= row.statistic for one in statistics)
        assert row.p == (1 + row.n_at_least) / (1 + len(statistics))
    assert [one.artist for one in after.absent if one.statistic is None] == ["Absent 00"]
    assert any("Absent 00" in note for note in after.notes)


def test_the_clean_release_gives_p_values_of_its_own(outcome: Outcome) -> None:
    before, after = answers(outcome)["before"], answers(outcome)["after"]
    assert (before.clean, after.clean) == ("", "before")
    assert [row.p_clean for row in after.artists] == [row.p for row in before.artists]
    grown = {
        one.artist: one.statistic - earlier.statistic
        for one, earlier in zip(
            (*after.artists, *after.absent), (*before.artists, *before.absent), strict=True
        )
        if one.statistic is not None and earlier.statistic is not None
    }
    for row in after.artists:
        others = [change for name, change in grown.items() if name not in TESTED]
        assert row.p_change == (1 + sum(one >= grown[row.artist] for one in others)) / (1 + len(others))
    assert after.artists[0].p_change == 1 / 40
    assert after.kinds.p_nearness is not None
    assert before.kinds.p_nearness is None
    assert after.kinds.p is not None
    assert after.kinds.p > 0.05


def test_the_nearest_pictures_are_listed_with_works(outcome: Outcome, world: Path) -> None:
    own = [one for one in answers(outcome)["after"].nearest if one.artist == "Ada"]
    assert len(own) == 5
    assert [one.odds for one in own] == sorted((one.odds for one in own), reverse=True)
    for one in own:
        assert int(one.picture.rpartition("-")[2].removesuffix(".png")) < LEAKED_SHARE * N_PICTURES
        assert Path(one.work).parent.name == "Ada"
        assert (world / "audit" / one.picture).exists()


def test_the_report_states_the_answer_and_the_assumption(outcome: Outcome, world: Path) -> None:
    page = (world / "audit" / "report.html").read_text(encoding="utf-8")
    assert "Unprompted leakage" in page
    assert "Assumption, stated in the plan and not checked" in page
    assert "absent artists" in page


ASKING = Asking(
    release="one",
    releases=("one",),
    tested=TESTED,
    placebos=("Zo Invented",),
    nameless=20,
    background=dict.fromkeys(ABSENT, 6),
)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Leakage(), "absent is not set"),
        (Leakage(absent=("Ada", "Absent 01")), "lists Ada, who is tested"),
        (Leakage(absent=("Absent 01", "Absent  01")), "lists Absent 01 twice"),
        (Leakage(absent=("Absent 01", "Absnt 02")), "Did you mean Absent 02?"),
        (Leakage(absent=("Absent 01", "Quite other")), "Add works of this artist"),
        (Leakage(absent=("Absent 01",)), "1 of 1 artists have at least 5 works"),
        (Leakage(absent="background", works=7), "0 of 40 artists have at least 7 works"),
        (Leakage(absent="background", works=1), "works is 1"),
        (Leakage(absent="background", clean="two"), "'two', which is not a release"),
        (Leakage(absent="background", prompts=("Art by ada",)), "'Art by ada' names Ada"),
        (Leakage(absent="background", prompts=("like Zo Invented",)), "names Zo Invented"),
        (Leakage(absent="background", prompts=("by {artist}",)), "questions.leakage.prompts: .*{artist}"),
        (Leakage(absent="background", prompts=("Art", "Art")), "questions.leakage.prompts"),
    ],
)
def test_settings_that_cannot_be_answered_are_refused(settings: Leakage, words: str) -> None:
    with pytest.raises(ImindexError, match=words):
        QUESTION.check(ASKING, settings)


def test_enough_nameless_pictures_are_required() -> None:
    settings = Leakage(absent="background")
    few = dataclasses.replace(ASKING, nameless=4)
    with pytest.raises(ImindexError, match="the plan asks for 4, and at least 10"):
        QUESTION.check(few, settings)
    QUESTION.check(few, Leakage(absent="background", prompts=("Artwork",), per_prompt=6))
    QUESTION.check(dataclasses.replace(few, generic=6), settings)
    QUESTION.check(dataclasses.replace(few, generates=False), settings)


def test_the_question_has_pictures_of_its_own_with_other_seeds() -> None:
    made = QUESTION.shots(ASKING, Leakage(prompts=("Artwork", "a painting"), per_prompt=3))
    assert [(shot.arm, shot.kind, shot.artist) for shot in made] == [("generic", "control", "")] * 6
    assert len({shot.seed for shot in made}) == 6
    other = QUESTION.shots(dataclasses.replace(ASKING, seed=1), Leakage(prompts=("Artwork",), per_prompt=3))
    assert not {shot.seed for shot in made} & {shot.seed for shot in other}
    assert not QUESTION.shots(ASKING, Leakage())


def test_a_plan_is_refused_before_anything_is_made(world: Path, outcome: Outcome, tmp_path: Path) -> None:
    text = (world / "plan.toml").read_text()
    copy_world(world, tmp_path)
    for before, after, words in (
        (
            'absent = "background"',
            'absent = ["Nobody"]',
            r"plan.toml: questions.leakage.absent: Nobody has no works",
        ),
        ('clean = "before"', 'clean = "other"', r"plan.toml: questions.leakage.clean is 'other'"),
    ):
        assert before in text
        (tmp_path / "plan.toml").write_text(text.replace(before, after))
        with pytest.raises(ImindexError, match=words):
            gather(read_plan(tmp_path / "plan.toml"))
    for after, words in (
        ("absent = 3", 'questions.leakage.absent is 3. Write "background", or a list of names'),
        ("absnt = []", "questions.leakage.absnt is not a key of a plan. Did you mean absent?"),
        ('adjust = "none"', "questions.leakage.adjust is 'none'. Write one of"),
    ):
        (tmp_path / "plan.toml").write_text(text.replace('absent = "background"', after))
        with pytest.raises(ImindexError, match=re.escape(words)):
            read_plan(tmp_path / "plan.toml")
    (tmp_path / "plan.toml").write_text("questions.leakage = 3\n" + text.partition("[questions")[0])
    with pytest.raises(ImindexError, match=r"questions\.leakage is not a table"):
        read_plan(tmp_path / "plan.toml")


def test_without_nameless_pictures_it_says_so(
    world: Path, outcome: Outcome, tmp_path: Path, pictures_only: str
) -> None:
    copy_world(world, tmp_path)
    for release in ("before", "after"):
        lines = (world / f"{release}.jsonl").read_text().splitlines()
        (tmp_path / f"{release}.jsonl").write_text("\n".join(line for line in lines if "control" not in line))
    (tmp_path / "plan.toml").write_text((world / "plan.toml").read_text())
    after = answers(run_plan(tmp_path))["after"]
    assert after.statement.startswith("This cannot be answered: there are 0 distinct pictures without a name")
    assert (after.n_found, after.kinds.p) == (0, None)
    assert all(row.p is None for row in after.artists)


def test_scores_treat_tested_and_absent_artists_alike() -> None:
    """A tested artist who takes an absent artist's place gets its statistic: the fit does not know who is tested."""
    rng = np.random.default_rng(1)
    works, pictures = rng.normal(size=(6, 5, 8)), rng.normal(size=(20, 8))
    first, second = leakage(works, pictures, 1), leakage(works[[3, 1, 2, 0, 4, 5]], pictures, 1)
    assert second.statistic[0] == pytest.approx(first.statistic[3])


def test_names_with_accents_in_another_form_are_the_same() -> None:
    asking = dataclasses.replace(ASKING, background={"\u00c9lodie": 6, "Absent 01": 6})
    QUESTION.check(asking, Leakage(absent=("E\u0301lodie", "Absent 01")))
