"""Several artists in one prompt: the plan, the prompts, and answers on pictures whose truth is known."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from msgspec.structs import replace as with_settings

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import picture_seed
from imindex.retrieval.audit.audit import Outcome
from imindex.retrieval.audit.plan import plan_of, read_plan
from imindex.retrieval.audit.recompute import recompute
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.questions.pairs import PairPrompts, composed, pairs_of
from imindex.retrieval.questions.question import Asking
from imindex.retrieval.questions.settings import Together
from imindex.retrieval.questions.study import Study
from imindex.retrieval.questions.together import QUESTION, _statement
from imindex.retrieval.report.questions.catalogue import answered
from imindex.retrieval.results.questions import NameInPair, PairPresence, TogetherAnswer
from imindex.stats.intervals import Interval
from tests.support.paired_world import ARTISTS, PAIRS, PLAN, UNKNOWN, run_world, write_world

TESTED = ("Ada Example", "Bo Sample", "Cy Specimen", "Di Instance")
PLACEBOS = tuple(f"Placebo {number}" for number in range(40))
ASKING = Asking("final", tested=TESTED, placebos=PLACEBOS, seed=3)


# The plan and its prompts


def test_every_name_is_replaced_by_the_same_placebo_names_at_equal_seeds() -> None:
    settings = Together(pairs=(("Ada Example", "Bo Sample"),), placebos=2, placebo_pairs=3, per_pair=2)
    shots = QUESTION.shots(ASKING, settings)
    prompts = {shot.prompt for shot in shots}
    a, b, p, q = "Ada Example", "Bo Sample", "Placebo 0", "Placebo 1"
    expected = {
        (a, b),
        (p, b),
        (q, b),
        (a, p),
        (a, q),
        ("Placebo 2", "Placebo 3"),
        ("Placebo 4", "Placebo 5"),
        (p, q),
    }
    expected |= {pair[::-1] for pair in expected}
    assert prompts == {f"Artwork from {first} and {second}" for first, second in expected}
    assert len(shots) == 2 * len(prompts) == len({shot.path for shot in shots})
    template = "Artwork from {artist} and {other}"
    assert {shot.seed for shot in shots} == {picture_seed(3, "", template, number) for number in (0, 1)}
    for shot in shots:
        assert shot.prompt.startswith(f"Artwork from {shot.artist} and")
        assert shot.arm == ("artist" if shot.artist in TESTED else "placebo")
    one_order = QUESTION.shots(ASKING, with_settings(settings, both_orders=False))
    assert {shot.prompt for shot in one_order} < prompts and 2 * len(one_order) == len(shots)


def test_auto_pairs_follow_from_the_seed_and_use_each_artist_once() -> None:
    pairs = pairs_of(Together(), TESTED, 3)
    assert sorted(name for pair in pairs for name in pair) == sorted(TESTED)
    assert pairs == pairs_of(Together(), TESTED[::-1], 3)
    assert len({pairs_of(Together(), TESTED, seed) for seed in range(20)}) > 3
    assert len(pairs_of(Together(n=1), TESTED, 3)) == 1
    assert len(pairs_of(Together(), TESTED[:3], 3)) == 1


def test_names_that_look_like_placeholders_are_taken_as_written() -> None:
    assert composed("{artist} with {other}", ("{other}", "Bo")) == "{other} with Bo"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Together(pairs=(("Ada Example", "Nobody"),)), "pairs[1]: 'Nobody' is not a tested artist"),
        (Together(pairs=(("Ada Example", "Ada Example"),)), "pairs[1] names 'Ada Example' twice"),
        (
            Together(pairs=(("Ada Example", "Bo Sample"), ("Bo Sample", "Ada Example"))),
            "pairs[2]: 'Bo Sample' and 'Ada Example' are listed twice",
        ),
        (Together(pairs=()), "pairs is empty"),
        (Together(pairs="all"), 'Write "auto"'),
        (
            Together(templates=("Artwork from {artist}",)),
            "has no {other}. Write it where the second name goes",
        ),
        (Together(templates=("by {other}",)), "has no {artist}. Write it where the first name goes"),
        (Together(templates=()), "templates is empty"),
        (Together(templates=("{artist}, {other}", "{artist}, {other}")), "is listed twice"),
        (Together(templates=("{artist}, {other}", "{artist} {other}"), per_pair=3, sizes=(1,)), "Write 4"),
        (Together(sizes=(9,)), "a pair has 8. Write at most 8"),
        (Together(both_orders=False), "a pair has 4"),
        (Together(sizes=(1, 1)), "lists a number twice"),
        (Together(false_inclusion=0.01), "Write placebo_pairs = 99"),
        (Together(placebos=41), "needs 41 placebo names"),
        (Together(placebo_pairs=21), "needs 42 placebo names"),
    ],
)
def test_settings_that_cannot_be_asked_are_refused(settings: Together, words: str) -> None:
    with pytest.raises(ImindexError) as error:
        QUESTION.check(ASKING, settings)
    assert words in str(error.value) and str(error.value).startswith("questions.together")


def test_valid_settings_pass_and_given_pictures_need_no_placebo_names_yet() -> None:
    QUESTION.check(ASKING, Together())
    QUESTION.check(replace(ASKING, placebos=(), generates=False), Together())
    with pytest.raises(ImindexError, match="has 0"):
        QUESTION.check(replace(ASKING, placebos=()), Together())


def test_two_pairs_with_the_same_prompt_are_refused() -> None:
    names = ("A and B", "C", "A", "B and C")
    settings = Together(pairs=(("A and B", "C"), ("A", "B and C")), placebos=1, placebo_pairs=0)
    with pytest.raises(ImindexError, match="have the same prompt"):
        PairPrompts.of(settings, names, PLACEBOS, 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('pairs = [["Ada Example"]]', "pairs[1] is ['Ada Example']. Write a pair of names"),
        ("pairs = 3", 'pairs is 3. Write "auto", or a list of pairs'),
        ("sizes = [0]", "sizes[1] is 0. Write a whole number"),
        ("pair = 3", "questions.together.pair is not a key of a plan. Did you mean pairs?"),
    ],
)
def test_a_wrong_plan_is_refused_by_the_name_of_its_key(tmp_path: Path, line: str, words: str) -> None:
    text = PLAN.format(tested='["Ada Example"]', questions=f"[questions.together]\n{line}")
    with pytest.raises(ImindexError) as error:
        plan_of(tmp_path / "plan.toml", text)
    assert words in str(error.value)


# End to end


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A finished audit of a release that paints halves."""
    plan = write_world(tmp_path_factory.mktemp("paired"))
    return plan, run_world(plan)


def answer_of(asked: tuple[Path, Outcome]) -> TogetherAnswer:
    (answer,) = asked[1].report.questions or ()
    assert isinstance(answer, TogetherAnswer)
    return answer


def test_names_in_company_are_found_if_the_release_paints_them(asked: tuple[Path, Outcome]) -> None:
    answer = answer_of(asked)
    rows = {row.artist: row for row in answer.artists}
    assert tuple(rows) == ARTISTS and answer.n_judged == 4
    for artist in ARTISTS[:3]:
        assert rows[artist].p == pytest.approx(1 / 20)
        assert rows[artist].company_low > 0 and rows[artist].alone_low > 0
        assert (rows[artist].n_pictures, rows[artist].n_references) == (4, 19)
    assert rows[UNKNOWN].p > 1 / 20 and rows[UNKNOWN].company < min(rows[a].company for a in ARTISTS[:3])
    assert (answer.n_found, answer.n_both) == (3, 1)
    assert all(name in answer.statement for name in ARTISTS[:3])
    first, second = answer.pairs
    assert (first.first, first.second) == PAIRS[0]
    assert first.p_both == pytest.approx(1 / 20) and second.p_both == rows[UNKNOWN].p


def test_half_a_picture_keeps_a_part_of_what_the_name_adds_alone(asked: tuple[Path, Outcome]) -> None:
    answer = answer_of(asked)
    for row in answer.artists[:3]:
        assert 0.1 < row.kept < 1 and row.kept == pytest.approx(row.company / row.alone)
    assert 0.1 < answer.kept < 1


def test_sets_of_artists_are_answered_above_chance(asked: tuple[Path, Outcome]) -> None:
    answer = answer_of(asked)
    single, several = answer.sets
    assert (single.size, single.n_sets, several.size, several.n_sets) == (1, 8, 4, 2)
    assert answer.n_placebo_pairs == 4 and answer.n_candidates == 6
    assert single.recall > single.recall_chance and single.recall > 0.4
    assert single.false_inclusion < single.recall
    included = [row.included for row in answer.artists]
    assert single.recall == pytest.approx(sum(included) / 4)
    assert single.exact == pytest.approx(sum(pair.exact for pair in answer.pairs) / 2)
    assert single.recall_low is None  # two pairs have no interval


def test_the_report_shows_the_section_its_figure_and_tables(asked: tuple[Path, Outcome]) -> None:
    folder = asked[0].parent / "audit"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert ">Several artists in one prompt</h2>" in page and "Each name alone, and beside another" in page
    with (folder / "together.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["artist"] for row in rows] == list(ARTISTS)
    ((_, _, section),) = answered(asked[1].report.questions)[0].sections
    assert section.shows and section.shows_not and len(section.tables) == 3
    assert section.figures[0].svg.count("mark") >= 8


def test_the_answer_is_computed_again_from_the_index(asked: tuple[Path, Outcome]) -> None:
    run = Run(read_plan(asked[0]), Workspace(asked[0].parent / "audit", keeps=False), Compute("cpu"))
    outcome = recompute(run)
    assert not outcome.faults and outcome.stored == outcome.now


def test_without_pictures_the_answer_says_what_is_missing(
    asked: tuple[Path, Outcome], tmp_path: Path
) -> None:
    for name in ("works", "halves"):
        shutil.copytree(asked[0].parent / name, tmp_path / name)
    plan, manifest = (
        Path(shutil.copy(asked[0].parent / name, tmp_path)) for name in ("plan.toml", "manifest.jsonl")
    )
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if "/ together" not in line))
    answer = answer_of((plan, run_world(plan)))
    assert "This cannot be answered" in answer.statement and answer.n_judged == 0 and answer.sets == ()


def _statement_of(rows: list[NameInPair], p_both: float | None, ends: Interval) -> str:
    study = cast(Study, SimpleNamespace(testing=Testing()))
    pair = PairPresence(first="Ada", second="Bo", p_both=p_both)
    p = np.array([np.nan if row.p is None else row.p for row in rows])
    n_judged = int(np.count_nonzero(~np.isnan(p)))
    return _statement(study, Together(), rows, p <= 0.05, n_judged, 0, [pair], 2.5, ends, ())


def test_what_cannot_be_tested_is_not_said_to_be_absent() -> None:
    some = NameInPair(pair=0, artist="Ada", other="Bo", judged=False, n_pictures=4, n_references=39)
    undefined = Interval(np.nan, np.nan)
    said = _statement_of([some, with_settings(some, artist="Bo", other="Ada")], None, undefined)
    assert said == "This cannot be answered: the encoder tells no artist’s works from those of others."
    alone = with_settings(some, judged=True, n_references=0)
    assert "no placebo name has the pictures" in _statement_of([alone], None, undefined)
    tested = [with_settings(some, judged=True, p=0.5), with_settings(some, artist="Bo", other="Ada")]
    said = _statement_of(tested, None, undefined)
    assert "0 of 1 names are shown to make a difference" in said and "In no pair can both be tested." in said
    assert "remains" not in said  # a share without an interval: the part alone may be noise
    assert "250 % remains beside the other name (95 % interval 110 % to 300 %)" in _statement_of(
        tested, 0.5, Interval(1.1, 3.0)
    )
