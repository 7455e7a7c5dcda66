"""The questions about likelihood ratios and about works in the training data, from arrays and in a small audit."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.artists_file import read_training_images
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.questions.likelihood_ratio import QUESTION as RATIO
from imindex.retrieval.questions.question import Asking
from imindex.retrieval.questions.settings import LikelihoodRatio, TrainingCounts
from imindex.retrieval.questions.study import Named, Study
from imindex.retrieval.questions.training_counts import QUESTION as COUNTS
from imindex.retrieval.report.questions import likelihood_ratio, training_counts
from imindex.retrieval.results import to_dict
from imindex.retrieval.results.questions import LikelihoodRatioAnswer, TrainingCountsAnswer
from imindex.stats.likelihood_ratio import calibrate, trials
from tests.support.audits import draw, run_plan
from tests.support.commands import run
from tests.support.places import ROOT

ARTISTS = tuple(f"Artist {number:02}" for number in range(12))
PLACEBOS = tuple(f"Invented {number:02}" for number in range(15))
RIVALS = tuple(f"Rival {number:02}" for number in range(8))
PER_NAME = 4


@dataclass
class Row:
    artist: str
    auc: float | None


@dataclass
class FakeStudy:
    """A study without an index: the vector of a picture holds its score for each artist.

    Attributes
    ----------
    strength : float
        Added to the scores of own pictures.
    """

    strength: float = 3.0
    seed: int = 0
    release: str = "final"
    encoder: str = "tiny"
    tested: tuple[str, ...] = ARTISTS
    judged: tuple[str, ...] = ARTISTS
    placebos: tuple[str, ...] = PLACEBOS
    rivals: tuple[str, ...] = RIVALS
    testing: Testing = field(default_factory=lambda: Testing(n_resamples=199))
    others: Mapping[str, FakeStudy] = field(default_factory=dict)
    training_images: Mapping[str, int] = field(default_factory=dict)
    questioned: tuple[tuple[str, float], ...] = ()
    known_files: Mapping[int, str] = field(default_factory=dict)
    matching: Any = None

    def _named(self, names: list[str], vectors: np.ndarray) -> Named:
        n = len(names)
        none = np.full(n, -1)
        return Named(np.arange(n), vectors, tuple(names), ("",) * n, none, ("",) * n)

    def imitations(self, key: str = "") -> Named:
        if key:
            names = [name for name, _ in self.questioned]
            return self._named(names, np.array([[score] * len(ARTISTS) for _, score in self.questioned]))
        names = [name for name in (*ARTISTS, *PLACEBOS, *RIVALS) for _ in range(PER_NAME)]
        vectors = np.random.default_rng(self.seed).normal(size=(len(names), len(ARTISTS)))
        for number in range(len(ARTISTS)):
            vectors[number * PER_NAME : (number + 1) * PER_NAME, number] += self.strength
        return self._named(names, vectors)

    def same_files(self, pictures: Named) -> tuple[str, ...]:
        return tuple(self.known_files.get(row, "") for row in pictures.rows.tolist())

    def scores(self, vectors: np.ndarray, artist: str) -> np.ndarray:
        return vectors[:, ARTISTS.index(artist)]

    @property
    def shared(self) -> Any:
        paths = np.array([f"questioned/{number}.png" for number in range(len(self.questioned))], object)
        index = type("Index", (), {"column": lambda self, name: paths})()
        return type("Shared", (), {"index": index})()


def answer(study: FakeStudy, **settings: Any) -> LikelihoodRatioAnswer:
    return RATIO.answer(cast(Study, study), LikelihoodRatio(**settings))


def test_ratios_are_calibrated_on_the_pictures_of_other_artists() -> None:
    study = FakeStudy()
    result = answer(study)
    assert [one.other for one in result.validations] == ["invented names", "other real names"]
    invented, real = result.validations
    assert (invented.n_artists, invented.n_others, invented.n_same) == (12, 15, 12 * PER_NAME)
    assert (real.n_others, real.n_different) == (12 + 8, 12 * (11 + 8) * PER_NAME)
    assert invented.informative and real.informative and invented.cllr < 0.6
    # By hand, for one artist against invented names.
    pictures = study.imitations()
    artist, source, score = [], [], []
    for number, name in enumerate(ARTISTS):
        for place, other in enumerate(pictures.names):
            if other == name or other in PLACEBOS:
                artist.append(number)
                source.append(number if other == name else 100 + PLACEBOS.index(other))
                score.append(pictures.vectors[place, number])
    learned = calibrate(trials(score, artist, source).without(5))
    row = next(r for r in result.artists if r.artist == ARTISTS[5] and r.other == "invented names")
    assert (row.intercept, row.slope) == pytest.approx((learned.intercept, learned.slope))
    own = pictures.vectors[5 * PER_NAME : 6 * PER_NAME, 5]
    assert row.log10_lr == pytest.approx(np.median(learned.log10_lr(own)))


def test_without_imitation_questioned_ratios_are_withheld() -> None:
    study = FakeStudy(strength=0.0, questioned=((ARTISTS[0], 9.0),))
    result = answer(study, questioned="questioned")
    assert not any(one.informative for one in result.validations)
    assert [row.log10_lr for row in result.questioned] == [None, None]
    assert all("informative" in row.withheld for row in result.questioned)
    assert "not to be used" in result.statement


def test_questioned_pictures_get_ratios_within_bounds() -> None:
    study = FakeStudy(questioned=((ARTISTS[0], 50.0), (ARTISTS[1], -50.0), ("Nobody Known", 1.0)))
    result = answer(study, questioned="questioned", scale="enfsi")
    high, low, unknown = (r for r in result.questioned if r.other == "invented names")
    assert high.at_bound and high.log10_lr is not None and 0 < high.log10_lr <= np.log10(12)
    assert low.at_bound and low.log10_lr is not None and -np.log10(12) <= low.log10_lr < 0
    assert high.words.endswith("for H1") and low.words.endswith("for H2")
    assert unknown.log10_lr is None and unknown.withheld == "no tested artist has this name"
    page = likelihood_ratio.section("q", result)
    cells = [row for table in page.tables for row in table.rows]
    assert any(row[0] == "questioned/0.png" and row[4].startswith("≥ ") for row in cells)
    assert any("withheld" in row[4] for row in cells)
    assert all(len(row) == len(table.head) for table in page.tables for row in table.rows)
    assert "training data" not in page.statement and "probability that" in page.shows_not


def test_a_questioned_file_whose_origin_is_known_has_no_ratio() -> None:
    study = FakeStudy(questioned=((ARTISTS[0], 9.0), (ARTISTS[1], 9.0)), known_files={1: "a work by Bo"})
    result = answer(study, questioned="questioned")
    assert [row.withheld for row in result.questioned if row.artist == ARTISTS[0]] == ["", ""]
    copies = [row for row in result.questioned if row.artist == ARTISTS[1]]
    assert all(row.log10_lr is None and row.score is None for row in copies)
    assert all("the same file is a work by Bo" in row.withheld for row in copies)
    assert (
        "Questioned pictures or groups: 2. Likelihood ratios: 2 stated, and 2 withheld." in result.statement
    )


def test_files_of_works_and_of_the_release_are_recognised() -> None:
    digests = np.array([[1], [2], [3], [1], [2], [9]], np.uint8)
    index = SimpleNamespace(column=lambda name: digests, artists=("Ada", "Bo"))
    rows = [np.array(own) for own in ((0,), (1, 2), (3, 4, 5))]
    fake = SimpleNamespace(
        shared=SimpleNamespace(index=index, every_work=SimpleNamespace(rows=rows[0], artist=np.array([1]))),
        imitations=lambda: SimpleNamespace(rows=rows[1], names=("Ada", "Nobody")),
        release="final",
    )
    asked = cast(Named, SimpleNamespace(rows=rows[2]))
    assert Study.same_files(cast(Study, fake), asked) == (
        "a work by Bo",
        "a picture that final made for Ada",
        "",
    )


def test_unjudged_artists_have_no_ratios() -> None:
    study = FakeStudy(judged=ARTISTS[:-1], questioned=((ARTISTS[-1], 3.0),))
    result = answer(study, questioned="questioned")
    assert result.validations[0].n_artists == 11
    assert all(row.log10_lr is None for row in result.questioned)
    assert [row.judged for row in result.artists if row.artist == ARTISTS[-1]] == [False, False]


def test_groups_of_pictures_say_more_than_single_ones() -> None:
    study = FakeStudy(strength=1.5)
    single, grouped = answer(study), answer(study, pictures=PER_NAME)
    assert grouped.validations[0].n_same == 12
    assert grouped.validations[0].cllr < single.validations[0].cllr


def test_ratios_are_tried_on_other_releases() -> None:
    other = FakeStudy(strength=0.0, seed=1, release="early")
    result = answer(FakeStudy(others={"early": other}))
    by_other = {one.other: one for one in result.elsewhere if one.tried_on == "early"}
    assert set(by_other) == {"invented names", "other real names"}
    # A release that imitates nobody: the ratios of the other one mislead there.
    assert all(one.cllr > 1 and not one.informative for one in by_other.values())
    page = likelihood_ratio.section("q", result)
    assert len(page.figures) == 4 and all("<svg" in figure.svg for figure in page.figures)


def test_too_few_artists_are_refused_or_said() -> None:
    with pytest.raises(ImindexError, match="more than 5, but 5 are tested"):
        RATIO.check(Asking("final", tested=ARTISTS[:5]), LikelihoodRatio())
    with pytest.raises(ImindexError, match="pictures is 9"):
        RATIO.check(Asking("final", tested=ARTISTS, per_artist=8), LikelihoodRatio(pictures=9))
    few = answer(FakeStudy(judged=ARTISTS[:4]))
    assert not few.validations and few.statement.startswith("This cannot be answered")
    assert "4 artists" in " ".join(few.notes) or "3 artists" in " ".join(few.notes)
    nobody = answer(FakeStudy(judged=()))
    assert not nobody.validations


# Works in the training data


def counted(values: list[float], **options: Any) -> FakeStudy:
    rows = [Row(artist, value) for artist, value in zip(ARTISTS, values, strict=True)]
    counts = {artist: 2**number for number, artist in enumerate(ARTISTS)}
    matching = type("Matching", (), {"artists": rows})()
    return FakeStudy(training_images=counts, matching=matching, **options)


def count_answer(study: FakeStudy, **settings: Any) -> TrainingCountsAnswer:
    return COUNTS.answer(cast(Study, study), TrainingCounts(**settings))


def test_a_threshold_is_located() -> None:
    noise = 0.02 * np.random.default_rng(1).normal(size=12)
    study = counted((np.where(np.arange(12) >= 7, 0.8, 0.5) + noise).tolist())
    result = count_answer(study)
    assert result.located and (result.threshold_low, result.threshold_high) == (64, 128)
    assert result.p is not None and result.p <= 0.05 and result.n_artists == 12
    assert "between 64 and 128 works" in result.statement
    page = training_counts.section("q", result)
    assert 'class="band"' in page.figures[0].svg and len(page.tables[0].rows) == 12


def test_no_relation_is_not_located() -> None:
    study = counted(np.random.default_rng(3).normal(0.6, 0.05, 12).clip(0, 1).tolist())
    result = count_answer(study)
    assert not result.located and result.threshold is None
    assert "cannot be located" in result.statement and "was not shown to rise" in result.statement
    assert 'class="band"' not in training_counts.section("q", result).figures[0].svg


def test_the_own_part_of_the_score_is_a_measure() -> None:
    study = replace(counted([0.5] * 12), strength=2.0)
    result = count_answer(study, measure="score")
    pictures = study.imitations()
    own = pictures.vectors[:PER_NAME, 0].mean()
    invented = pictures.of(PLACEBOS).vectors[:, 0].mean()
    assert result.artists[0].value == pytest.approx(own - invented)


def test_artists_without_count_or_judgement_take_no_part() -> None:
    study = counted([0.5 + 0.01 * n for n in range(12)], judged=ARTISTS[1:])
    study.training_images = {
        artist: n for artist, n in study.training_images.items() if artist != ARTISTS[-1]
    }
    result = count_answer(study)
    assert result.n_artists == 10
    assert ARTISTS[-1] in " ".join(result.notes) and ARTISTS[0] in " ".join(result.notes)
    few = count_answer(replace(study, judged=ARTISTS[:4]))
    assert few.statement.startswith("This cannot be answered") and few.p is None
    study.training_images = {artist: 1 + 99 * (artist == ARTISTS[3]) for artist in ARTISTS}
    one_differs = count_answer(study)
    assert one_differs.rho_low is None and "nan" not in one_differs.statement
    flat = count_answer(counted([0.5] * 12))
    assert flat.statement.startswith("This cannot be answered") and flat.rho is None
    with pytest.raises(ImindexError, match="at least 6 artists, and 1 are stated"):
        COUNTS.check(Asking("final", training_images={"Ada Example": 3}), TrainingCounts())


def test_counts_are_read_from_the_file_of_artists(tmp_path: Path) -> None:
    table = tmp_path / "artists.csv"
    table.write_text("artist,training_images\nAda Example,120\nBo Sample,\nCy Third,0\n", encoding="utf-8")
    assert read_training_images(table) == {"Ada Example": 120, "Cy Third": 0}
    lines = tmp_path / "artists.jsonl"
    lines.write_text('{"artist": "Ada Example", "training_images": 12}\n"Bo Sample"\n', encoding="utf-8")
    assert read_training_images(lines) == {"Ada Example": 12}
    for wrong in ("-1", "1.5", "many"):
        table.write_text(f"artist,training_images\nAda Example,{wrong}\n", encoding="utf-8")
        with pytest.raises(ImindexError, match="line 2: training_images is"):
            read_training_images(table)


# In an audit

PLAN = """
title = "Ratios and counts"
seed = 7
[artists]
tested = [{names}]
[artists.training_images]
{counts}
[[releases]]
name = "one"
pictures = "pictures"
placebos = ["Invented *"]
[[releases]]
name = "two"
pictures = "others"
placebos = ["Invented *"]
[[encoders]]
name = "tiny"
model = "{encoder}"
[tests]
n_resamples = 99
adjust = "bh"
[questions.likelihood_ratio]
questioned = "questioned"
scale = "enfsi"
[questions.training_counts]
measure = "score"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """Seven artists with works, pictures of their names and of invented names, and questioned pictures."""
    root = tmp_path_factory.mktemp("ratios")
    names = [f"Artist {number}" for number in range(7)]
    for place, name in enumerate(names):
        draw(root / "works" / name, 5, 100 * place)
        draw(root / "pictures" / name, 2, 100 * place + 20)
        draw(root / "others" / name, 2, 100 * place + 30)
    for place in range(6):
        draw(root / "pictures" / f"Invented {place}", 2, 1000 + 100 * place)
        draw(root / "others" / f"Invented {place}", 2, 1000 + 100 * place + 30)
    draw(root / "questioned" / names[0], 2, 50)
    text = PLAN.format(
        names=", ".join(f'"{name}"' for name in names),
        counts="\n".join(f'"{name}" = {2**place}' for place, name in enumerate(names)),
        encoder=tiny_model,
    )
    (root / "plan.toml").write_text(text, encoding="utf-8")
    return root


def test_plan_is_checked_and_digested(folder: Path, tmp_path: Path) -> None:
    plan = read_plan(folder / "plan.toml")
    assert plan.training_images["Artist 3"] == 8
    text = (folder / "plan.toml").read_text(encoding="utf-8")
    other = tmp_path / "plan.toml"
    other.write_text(text.replace('"Artist 3" = 8', '"Artist 3" = 9'), encoding="utf-8")
    assert read_plan(other).digest != plan.digest
    for before, after, message in (
        ('"Artist 3" = 8', '"Artist 9" = 8', "'Artist 9' is not tested"),
        ('"Artist 3" = 8', '"Artist 3" = -8', "training_images is .*Write numbers of pictures by artist"),
        ('scale = "enfsi"', 'scale = "words"', "Write one of none, enfsi"),
        ('measure = "score"', 'measure = "top1"', "Write one of auc, score"),
    ):
        other.write_text(text.replace(before, after), encoding="utf-8")
        with pytest.raises(ImindexError, match=message):
            read_plan(other)


@pytest.mark.usefixtures("one_thread")
def test_both_questions_are_answered_in_an_audit(folder: Path) -> None:
    outcome = run_plan(folder)
    report = json.loads((folder / "audit/report.json").read_text(encoding="utf-8"))
    schema = json.loads((ROOT / "retrieval/report.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(report, schema)
    asked = [(one["question"], one["release"]) for one in report["questions"]]
    assert asked == [
        (key, name) for key in ("likelihood_ratio", "training_counts") for name in ("one", "two")
    ]
    ratio, _, counts, _ = report["questions"]
    assert {row["artist"] for row in ratio["questioned"]} <= {"Artist 0"}
    assert len(counts["artists"]) == 7
    page = (folder / "audit/report.html").read_text(encoding="utf-8")
    assert "Likelihood ratios" in page and "Works in the training data" in page
    with (folder / "audit/training-counts.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["training_images"] for row in rows] == 2 * [str(2**place) for place in range(7)]
    # The questioned pictures take no part in the main tests.
    assert report["releases"][0]["n_imitations"] == 2 * (7 + 6)
    again = run_plan(folder)
    assert to_dict(again.report)["questions"] == to_dict(outcome.report)["questions"]
    run("verify", "--results", folder / "audit", "--plan", folder / "plan.toml", "--device", "cpu")
