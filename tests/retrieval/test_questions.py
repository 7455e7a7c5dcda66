"""Further questions, end to end, on pictures whose truth is known."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import shots
from imindex.indexer.sources.item import Item
from imindex.retrieval.audit.asking import check_questions
from imindex.retrieval.audit.audit import Outcome
from imindex.retrieval.audit.inputs import _asked_digest, gather
from imindex.retrieval.audit.plan import plan_of, read_plan
from imindex.retrieval.audit.recompute import audit_digests, recompute, stored_rendered
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.questions.erasure import _statement as erasure_statement
from imindex.retrieval.questions.erasure import in_both
from imindex.retrieval.questions.name_adds import _Tables
from imindex.retrieval.questions.named_prompts import class_shots, filled
from imindex.retrieval.questions.settings import PromptClass
from imindex.retrieval.questions.study import Named, Study
from imindex.retrieval.report.questions.catalogue import SECTIONS, answered
from imindex.retrieval.report.questions.name_adds import section as name_adds_section
from imindex.retrieval.report.report import write
from imindex.retrieval.results.questions import (
    AddedByName,
    ErasureAnswer,
    KeptArtist,
    NameAddsAnswer,
    PromptClassesAnswer,
)
from tests.support.asked_world import (
    ARTISTS,
    ERASED,
    KEPT,
    PLACEBOS,
    PLAN,
    QUESTIONS,
    run_world,
    write_plan,
    write_world,
)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A finished audit with three questions."""
    plan = write_world(tmp_path_factory.mktemp("asked"))
    return plan, run_world(plan)


def answers(outcome: Outcome, kind: type, release: str) -> list:
    return [one for one in outcome.report.questions or () if type(one) is kind and one.release == release]


def test_a_name_adds_what_its_release_has_learned(asked: tuple[Path, Outcome]) -> None:
    (answer,) = answers(asked[1], NameAddsAnswer, "before")
    rows = {row.artist: row for row in answer.artists}
    for artist in ARTISTS:
        known = artist in (ERASED, KEPT)
        row = rows[artist]
        # An unknown name may come first of 20 by chance, but it is not far from the others.
        assert row.p == pytest.approx(1 / 20) if known else row.own < 0.1 * (row.works - row.nameless)
        assert (row.n_cells, row.n_invented) == (4, 19)
        # The parts add up to the whole.
        assert row.named - row.nameless == pytest.approx(row.shared + row.own)
        assert row.own == pytest.approx(row.named - row.invented)
    assert rows[KEPT].own_low > 0
    # Invented names leave the pictures nameless here, so nothing is shared.
    assert all(row.moved_shared is None for row in answer.artists) and answer.moved_shared is None
    assert any("not shown to move" in note for note in answer.notes)
    (after,) = answers(asked[1], NameAddsAnswer, "after")
    rows = {row.artist: row for row in after.artists}
    assert rows[KEPT].p == pytest.approx(1 / 20) and rows[KEPT].own > 10 * abs(rows[ERASED].own)


def test_a_class_of_prompts_finds_what_another_misses(asked: tuple[Path, Outcome]) -> None:
    (answer,) = answers(asked[1], PromptClassesAnswer, "after")
    auc = {(row.prompt_class, row.artist): row.auc for row in answer.artists}
    p = {(row.prompt_class, row.artist): row.p for row in answer.artists}
    shown = {("simple", KEPT), ("style", KEPT), ("style", ERASED)}
    assert all(auc[pair] > 0.9 and p[pair] == pytest.approx(1 / 20) for pair in shown)
    assert all(auc[pair] < 0.9 for pair in auc.keys() - shown)
    simple, style = answer.classes
    assert style.change > 0 and style.typicality == 0.25 and simple.source == "the main prompts"
    assert simple.change is None
    row = next(row for row in answer.artists if (row.artist, row.prompt_class) == (ERASED, "style"))
    assert row.auc > 0.9 and (row.n_pictures, row.n_placebos) == (4, 19)


def test_an_erasure_that_holds_for_one_way_of_asking_only_is_told(asked: tuple[Path, Outcome]) -> None:
    assert not answers(asked[1], ErasureAnswer, "before")
    (answer,) = answers(asked[1], ErasureAnswer, "after")
    verdicts = {row.asked: row.verdict for row in answer.artists}
    assert verdicts["style"] == "remains"
    assert "remains" not in (verdicts["main prompts"], verdicts["simple"])
    assert answer.remaining == (ERASED,) and answer.gone == ()
    kept = {row.artist: row for row in answer.kept}
    assert kept[KEPT].verdict == "kept" and kept[KEPT].base_auc > 0.9
    assert {kept[name].verdict for name in ARTISTS[2:]} == {"not imitated before"}
    assert all(row.nearest_erased == ERASED for row in answer.kept)


def test_the_main_answer_does_not_depend_on_questions(asked: tuple[Path, Outcome], tmp_path: Path) -> None:
    plain = run_world(write_plan(asked[0].with_name("plain.toml"), questions=""), tmp_path / "audit")
    assert not plain.report.questions
    for with_questions, without in zip(asked[1].report.results, plain.report.results, strict=True):
        for a, b in zip(with_questions.artists, without.artists, strict=True):
            assert (a.auc, a.p, a.finding, a.top1_by_works) == (b.auc, b.p, b.finding, b.top1_by_works)


def test_the_report_shows_the_questions_and_only_where_they_are_asked(asked: tuple[Path, Outcome]) -> None:
    folder = asked[0].parent / "audit"
    page = (folder / "report.html").read_text(encoding="utf-8")
    for title, _ in SECTIONS.values():
        assert (f">{title}</h2>" in page) == (
            title in ("What a name adds", "Classes of prompts", "Erased artists")
        )
    assert "What it does not show" in page
    report = json.loads((folder / "report.json").read_text())
    assert [one["question"] for one in report["questions"]].count("erasure") == 1
    with (folder / "prompt-classes.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * len(ARTISTS) and {row["prompt_class"] for row in rows} == {"simple", "style"}
    groups = answered(asked[1].report.questions)
    assert [group.title for group in groups] == ["What a name adds", "Classes of prompts", "Erased artists"]
    assert all(section.shows and section.shows_not for group in groups for _, _, section in group.sections)


def test_the_answers_are_computed_again_from_the_indexes(asked: tuple[Path, Outcome]) -> None:
    run = Run(read_plan(asked[0]), Workspace(asked[0].parent / "audit", keeps=False), Compute("cpu"))
    outcome = recompute(run)
    assert [fault for fault in outcome.faults if "question" in str(fault).lower()] == []
    assert not outcome.faults and outcome.stored == outcome.now
    written = [
        "erasure.csv",
        "erasure-kept.csv",
        "name-adds.csv",
        "prompt-classes.csv",
        "prompt-classes-classes.csv",
    ]
    assert sorted(outcome.same[2:]) == sorted(written)


def test_the_tables_of_questions_are_verified_and_sealed(asked: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(asked[0].parent / "audit", tmp_path / "audit"))
    assert set(audit_digests(folder).files) >= {"erasure-kept.csv", "name-adds.csv"}
    kept = (folder / "erasure-kept.csv").read_text(encoding="utf-8-sig")
    assert "kept" in kept or "undecided" in kept
    (folder / "erasure-kept.csv").write_text(
        kept.replace("undecided", "lost").replace(",kept", ",lost"), encoding="utf-8-sig"
    )
    (folder / "name-adds.csv").unlink()
    (folder / "together.csv").write_text("release\n", encoding="utf-8-sig")
    (folder / "together-notes.csv").write_text("mine\n", encoding="utf-8")  # of the user
    said = {
        fault.where: fault.said for fault in stored_rendered(folder).faults if fault.where.endswith(".csv")
    }
    assert said == {
        "erasure-kept.csv": "has other rows, columns or characters than report.json gives",
        "name-adds.csv": "is missing",
        "together.csv": "is a table that report.json does not have: it is of an earlier report",
    }
    write(asked[1].report, folder, base=folder, pictures=False)
    assert not (folder / "together.csv").exists() and (folder / "together-notes.csv").exists()
    assert [fault.where for fault in stored_rendered(folder).faults if fault.where.endswith(".csv")] == []


def test_an_edited_table_or_kept_answer_is_a_fault(asked: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder = asked[0].parent
    shutil.copytree(folder, tmp_path / "copy")
    audit = tmp_path / "copy/audit"
    csv_file = audit / "prompt-classes.csv"
    csv_file.write_text(csv_file.read_text(encoding="utf-8").replace(KEPT, ERASED), encoding="utf-8")
    kept = next(path for path in audit.rglob("*question-name_adds.json") if "before" in path.name)
    entry = json.loads(kept.read_text(encoding="utf-8"))
    entry["result"]["answer"]["statement"] = "No artist’s name adds anything."
    entry["digest"] = json_digest(entry["result"])
    kept.write_text(json.dumps(entry), encoding="utf-8")
    run = Run(read_plan(tmp_path / "copy" / asked[0].name), Workspace(audit, keeps=False), Compute("cpu"))
    faults = [str(fault) for fault in recompute(run).faults]
    assert any("prompt-classes.csv" in fault and "has other rows" in fault for fault in faults)
    assert any("question-name_adds.json" in fault and "statement" in fault for fault in faults)


def test_questions_that_need_works_of_several_artists_are_refused_without_them(tmp_path: Path) -> None:
    text = PLAN.format(tested=json.dumps([ERASED]), questions="[questions.name_adds]")
    plan = plan_of(tmp_path / "plan.toml", text)
    names = {"before": PLACEBOS, "after": PLACEBOS}
    with pytest.raises(ImindexError, match=f"there are works of {ERASED} only"):
        check_questions(plan, names, {}, {})
    check_questions(plan, names, {}, {"Background Artist": 3})


def test_answers_are_kept_until_a_setting_changes(asked: tuple[Path, Outcome]) -> None:
    plan = asked[0]
    kept = plan.parent / "audit/results/"
    files = {path: path.stat().st_mtime_ns for path in kept.rglob("*question*.json")}
    assert len(files) == 6
    run_world(plan)
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*question*.json")} == files


@pytest.mark.parametrize(
    ("questions", "words"),
    [
        (
            '[questions.erasure]\nerased = ["Nobody"]',
            "questions.erasure.erased: 'Nobody' is not in artists.tested",
        ),
        (
            f'[questions.erasure]\nerased = ["{ERASED[:-1]}"]',
            f"{ERASED[:-1]!r} is not in artists.tested. Did you mean {ERASED}?",
        ),
        (
            '[questions.erasure]\nerased = ["{erased}"]\nmargin = 0.6',
            "every artist would be gone. Write a number below 0.5",
        ),
        ("[questions.erasure]", "questions.erasure.erased is empty"),
        ('[questions.erasure]\nerased = ["{erased}"]\nreleases = ["before"]', "'before' is the base"),
        ("[questions.prompt_classes]", "classes is empty"),
        (
            '[[questions.prompt_classes.classes]]\nname = "a"\ntemplates = ["Artwork"]',
            "'Artwork' names nobody. Write one of {{artist}}",
        ),
        (
            '[questions.prompt_classes]\nper_name = 3\n[[questions.prompt_classes.classes]]\nname = "a"\n'
            'templates = ["by {{artist}}", "from {{artist}}"]',
            "3 pictures per name cannot be split evenly among 2 templates. Write per_name = 4",
        ),
        (
            '[[questions.prompt_classes.classes]]\nname = "a"\ntemplates = ["by {{alias}}"]',
            "uses {{alias}}, but aliases is empty",
        ),
        ('[questions.erasure]\nerased = ["{erased}", "{erased}"]', "erased lists '{erased}' twice"),
        (
            '[[questions.prompt_classes.classes]]\nname = "Main prompts"\ntemplates = ["by {{artist}}"]',
            "Main prompts is what the prompts of the audit itself are called",
        ),
        ("[questions.name_add]", "questions.name_add is not a key of a plan. Did you mean name_adds?"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(
    asked: tuple[Path, Outcome], tmp_path: Path, questions: str, words: str
) -> None:
    plan = write_plan(asked[0].with_name("refused.toml"), questions)
    with pytest.raises(ImindexError) as error:
        run_world(plan, tmp_path / "audit")
    assert words.format(erased=ERASED) in str(error.value)
    assert not list(tmp_path.rglob("*.h5"))


@pytest.mark.parametrize("name", ["before / name_adds", "before-name_adds", "BEFORE / NAME_ADDS"])
def test_a_release_cannot_take_the_place_of_the_pictures_of_a_question(
    asked: tuple[Path, Outcome], tmp_path: Path, name: str
) -> None:
    plan = write_plan(asked[0].with_name("taken.toml"), "[questions.name_adds]")
    plan.write_text(plan.read_text().replace('name = "after"', f'name = "{name}"'))
    text = plan.read_text()
    with pytest.raises(ImindexError, match=r"is what the pictures of questions\.name_adds are called"):
        check_questions(plan_of(plan, text), {"before": PLACEBOS, name: PLACEBOS}, {}, {})


def test_pictures_that_the_manifest_does_not_list_for_a_question_are_missed_before_the_audit(
    tmp_path: Path,
) -> None:
    plan = write_world(tmp_path)
    manifest = tmp_path / "manifest.jsonl"
    text = manifest.read_text().replace("before / prompt_classes", "before/prompt-classes")
    manifest.write_text(
        "".join(line for line in text.splitlines(keepends=True) if "after / prompt_classes" not in line)
    )
    said: list[str] = []
    gather(read_plan(plan), said.append)
    before, after = (line for line in said if "questions.prompt_classes will not be answered" in line)
    assert before.startswith(
        "before: manifest.jsonl lists no pictures of the collection 'before / prompt_classes'"
    )
    assert "Correct 'before/prompt-classes' to that, or remove the question." in before
    assert "List them, with their prompts, arms and seeds" in after


def test_a_design_that_can_find_nobody_does_not_say_that_nobody_was_found(
    asked: tuple[Path, Outcome],
) -> None:
    """19 placebo names and 4 artists with bh: one found name has p = 0.05 x 4, so four are needed together."""
    for kind, release in ((PromptClassesAnswer, "before"), (NameAddsAnswer, "before")):
        (answer,) = answers(asked[1], kind, release)
        assert "either at least 4 are found together or none" in answer.statement


def test_blocked_pictures_of_a_question_are_told(asked: tuple[Path, Outcome]) -> None:
    (answer,) = answers(asked[1], PromptClassesAnswer, "after")
    n = 1 + 2 * 4 * (len(ARTISTS) + len(PLACEBOS))
    assert any(
        note.startswith(f"1 of {n} pictures that were made for this question") for note in answer.notes
    )
    assert {row.n_placebos for row in answer.artists} == {19}


def test_columns_of_words_are_aligned_at_the_left(asked: tuple[Path, Outcome]) -> None:
    page = (asked[0].parent / "audit" / "report.html").read_text(encoding="utf-8")
    assert '<th scope="col">verdict</th>' in page and "<td>undecided</td>" in page
    assert '<th scope="col" class="n">p of the name</th>' in page


def test_an_erasure_pairs_the_cells_and_names_that_both_releases_have() -> None:
    """Without pairing, a placebo name that lacks a picture in one release would shift all others."""
    before, after = (_tables(place) for place in (0, 1))
    pair = in_both(before, after, "Ada")
    assert pair is not None
    (own, names), (own_new, names_new) = pair
    assert own.shape == own_new.shape == (2,) and names.tolist() == [[20.0, 21.0]]
    assert names_new.tolist() == [[120.0, 121.0]]


def _tables(place: int) -> Any:
    """Return main pictures of three cells; placebo 1 lacks a picture before, and placebo 3 after."""
    table = (
        np.array([[0.0, 1.0, 2.0], [10.0, np.nan, 12.0], [20.0, 21.0, 22.0], [30.0, 31.0, 32.0]])
        + 100 * place
    )
    if place:
        table[0, 2] = np.nan
        table[1] = 110.0
        table[3, 0] = np.nan
    return SimpleNamespace(
        tables=lambda artist: (table[0], table[1:]),
        order=tuple(("t", number) for number in range(3)),
        study=SimpleNamespace(placebos_of=lambda artist: ("P1", "P2", "P3")),
    )


def test_name_adds_needs_equal_seeds_of_a_model(tmp_path: Path) -> None:
    text = (
        PLAN.format(tested=json.dumps(list(ARTISTS)), questions="[questions.name_adds]")
        .replace('pictures = "manifest.jsonl"', 'model = "models/one"')
        .replace("equal_seeds = true", "")
    )
    plan = plan_of(tmp_path / "plan.toml", text)
    names = {"before": PLACEBOS, "after": PLACEBOS}
    with pytest.raises(ImindexError, match="equal_seeds = true"):
        check_questions(plan, names, {}, {})
    few = plan_of(
        tmp_path / "plan.toml", text.replace("[prompts]", "[prompts]\nequal_seeds = true\nnameless = 3")
    )
    with pytest.raises(ImindexError, match="nameless = 20"):
        check_questions(few, names, {}, {})


def test_a_plan_without_questions_has_the_digest_that_it_had(tmp_path: Path) -> None:
    text = PLAN.format(tested=json.dumps(list(ARTISTS)), questions="").replace("equal_seeds = true", "")
    plain = plan_of(tmp_path / "plan.toml", text)
    asked = plan_of(tmp_path / "plan.toml", text + QUESTIONS.format(erased=ERASED))
    equal = plan_of(tmp_path / "plan.toml", text.replace("[prompts]", "[prompts]\nequal_seeds = true"))
    assert len({plain.digest, asked.digest, equal.digest}) == 3
    default = plan_of(
        tmp_path / "plan.toml",
        text
        + QUESTIONS.format(erased=ERASED).replace(
            "[questions.name_adds]", '[questions.name_adds]\nadjust = "bh"'
        ),
    )
    assert default.digest == asked.digest


def test_equal_seeds_are_those_of_all_names_and_of_pictures_without_a_name() -> None:
    listed = shots(
        ["Ada Example"], placebos=["Bo Sample"], per_artist=3, nameless=3, seed=4, equal_seeds=True
    )
    by_number = {number: {shot.seed for shot in listed if shot.number == number} for number in range(3)}
    assert all(len(seeds) == 1 for seeds in by_number.values())
    assert len(set.union(*by_number.values())) == 3
    apart = shots(["Ada Example"], placebos=["Bo Sample"], per_artist=3, nameless=3, seed=4)
    assert len({shot.seed for shot in apart}) == 9


def test_classes_ask_every_name_alike() -> None:
    classes = [
        PromptClass(name="initials", templates=("Artwork from {initials}",)),
        PromptClass(name="negative", templates=("Artwork",), negative="{artist}"),
        PromptClass(name="alias", templates=("by {alias}",)),
    ]
    listed = class_shots(
        classes, tested=["Ada May Example"], placebos=["Bo Sample", "Cy Specimen"],
        aliases={"Ada May Example": "A. E."}, per_name=2, seed=1,
    )  # fmt: skip
    assert len(listed) == 3 * 3 * 2 and len({shot.path for shot in listed}) == len(listed)
    prompts = {(shot.artist, shot.prompt, shot.negative) for shot in listed}
    assert ("Ada May Example", "Artwork from A. M. Example", "") in prompts
    assert ("Bo Sample", "Artwork", "Bo Sample") in prompts
    assert ("Ada May Example", "by A. E.", "") in prompts and ("Bo Sample", "by Cy Specimen", "") in prompts
    seeds = {(shot.template, shot.number): shot.seed for shot in listed}
    assert all(shot.seed == seeds[shot.template, shot.number] for shot in listed)
    assert filled("{artist} or {alias}", "Ada {alias}", "A. {artist}") == "Ada {alias} or A. {artist}"
    assert filled("{surname}", "Solo", "") == "Solo" and np.unique(list(seeds.values())).size == 6


def _kept(artist: str, verdict: str) -> KeptArtist:
    return KeptArtist(artist=artist, verdict=cast(Any, verdict))


def test_an_artist_without_pictures_is_not_said_to_have_been_unknown_before() -> None:
    gone = {"Ada": {"gone"}}
    said = erasure_statement(gone, [_kept("Bo", "no pictures")], 1, "before", [])
    assert "imitated before" not in said and "Whether Bo is kept cannot be said" in said
    both = [_kept("Bo", "not imitated before"), _kept("Cy", "not judged"), _kept("Di", "no pictures")]
    said = erasure_statement(gone, both, 1, "before", [])
    assert "No other artist was shown to be imitated before" in said
    assert "Whether Cy and Di are kept cannot be said" in said
    assert (
        erasure_statement(gone, [], 1, "before", [])
        == "Ada is gone by the main prompts, the only ones tried."
    )


def test_gone_is_no_erasure_of_what_was_not_there() -> None:
    said = erasure_statement({"Ada": {"gone"}}, [], 1, "before", ["Ada"])
    assert "before was not shown to imitate Ada either" in said and "does not show that anything" in said


def test_pictures_of_two_templates_with_one_seed_are_not_compared_with_each_other() -> None:
    """The artist lacks the picture of the first template, so the placebo names' pictures of it are not compared."""
    prompts = {"art by": "Art by {artist}", "photo by": "Photo by {artist}"}

    def named(rows: list[tuple[str, str, float]], arm: str) -> Named:
        n = len(rows)
        return Named(
            np.arange(n),
            np.array([[value] for *_, value in rows], np.float16),
            tuple(name for name, *_ in rows),
            tuple(prompt for _, prompt, _ in rows),
            np.ones(n, np.int64),
            (arm,) * n,
        )

    made = named(
        [("Ada", prompts["photo by"].format(artist="Ada"), 5.0)]
        + [
            (name, prompt.format(artist=name), value)
            for name in ("Bo", "Cy")
            for prompt, value in zip(prompts.values(), (1.0, 5.0), strict=True)
        ],
        "own",
    )
    nameless = named([("", "Art", 1.0), ("", "Photo", 3.0)], "nameless")
    study = SimpleNamespace(
        tested=("Ada",),
        placebos=("Bo", "Cy"),
        imitations=lambda: made,
        controls=lambda: nameless,
        template_of=lambda prompt, name: {"Art": prompts["art by"], "Photo": prompts["photo by"]}[prompt],
        table=lambda vectors: vectors.astype(np.float64),
        column=lambda artist: 0,
    )
    values, none = _Tables.of(cast(Study, study)).scores(cast(Study, study), "Ada")
    assert np.array_equal(values, [[np.nan, 5.0], [1.0, 5.0], [1.0, 5.0]], equal_nan=True)
    assert none.tolist() == [1.0, 3.0]


def test_a_p_value_at_the_level_up_to_rounding_is_marked_as_found() -> None:
    row = AddedByName(artist="Ada", judged=True, n_cells=4, n_invented=499, p_adjusted=(17 / 500) * (25 / 17))
    assert row.p_adjusted is not None and row.p_adjusted > 0.05
    answer = NameAddsAnswer(
        release="a", encoder="b", statement="", adjust="bh", level=0.05, confidence_level=0.95, n_found=1,
        statistic="lda", artists=(row,),
    )  # fmt: skip
    assert name_adds_section("x", answer).tables[0].strong == (0,)


def test_the_register_binds_prompts_and_seeds_of_a_question_to_its_pictures(tmp_path: Path) -> None:
    """Exchanging the prompts of two pictures of one name, so that both lists stay as they were, is a change."""
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]))

    def digest(prompts: tuple[str, str], blocked: str = "") -> str:
        return _asked_digest(
            [
                Item(
                    str(tmp_path / f"{n}.png"),
                    "Ada",
                    "imitations",
                    "final / prompt_classes",
                    prompt,
                    blocked=why,
                )
                for n, (prompt, why) in enumerate(zip(prompts, (blocked, ""), strict=True))
            ]
        )

    assert digest(("simple", "style")) == digest(("simple", "style"))
    assert (
        len({digest(("simple", "style")), digest(("style", "simple")), digest(("simple", "style"), "x")}) == 3
    )
