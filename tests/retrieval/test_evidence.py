"""Evidence from an index: the tests of the arrays, run through the commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.store.index import Index
from imindex.stats.multiple import adjust
from imindex.stats.references import name_test, rival_test
from imindex.stats.set_scores import collect, twice_midranks
from imindex.stats.set_statistics import fit, set_table
from tests.support.commands import run
from tests.support.pictures import paint
from tests.support.precision import FP32

N_WORKS, N_IMITATIONS, N_PLACEBOS = 20, 6, 40
ARTISTS = ("ada", "bo", "cy")
UNTESTABLE = "name effect; specificity not testable"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """Three artists of one colour each; the release imitates ada and bo, and produces grey for all other names."""
    root = tmp_path_factory.mktemp("evidence")
    colors = {"ada": (200, 30, 30), "bo": (30, 60, 200), "cy": (40, 180, 60)}
    names = [*ARTISTS, *(f"placebo {n}" for n in range(N_PLACEBOS))]
    for place, name in enumerate(names):
        for n in range(N_WORKS if name in colors else 0):
            paint(root / "works" / name / f"{n}.png", colors[name], 1000 * place + n)
        for n in range(N_IMITATIONS):
            color = colors[name] if name in ("ada", "bo") else (128, 128, 128)
            paint(root / "imitations" / "r1" / name / f"{n}.png", color, 500_000 + 1000 * place + n)
    path = root / "i.h5"
    run("build", root, "-i", path, "--model", tiny_model, "--device", "cpu", *FP32)
    return path


def asked(index: Path, *words: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(*words, "-i", index, "--json").stdout)
    return answer


def by_artist(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {a["artist"]: a for a in result["artists"]}


def test_match_finds_exactly_the_imitated_artists(index: Path) -> None:
    result = asked(index, "match", "--placebo", "placebo *", "--adjust", "bh")
    found = by_artist(result)
    assert {a: found[a]["finding"] for a in ARTISTS} == {
        "ada": UNTESTABLE, "bo": UNTESTABLE, "cy": "not shown",
    }  # fmt: skip
    assert result["evidence"]["overall"]["findings"][UNTESTABLE] == 2
    assert result["evidence"]["overall"]["findings"]["imitated"] == 0  # two rivals: no p below 1/3
    assert found["ada"]["p_name"] == pytest.approx(1 / (1 + N_PLACEBOS))
    assert found["ada"]["resolution_rival"] == pytest.approx(1 / 3)
    for a in ARTISTS:
        assert found[a]["auc_low"] <= found[a]["auc"] <= found[a]["auc_high"]
        assert found[a]["p"] == found[a]["p_name"]
        assert found[a]["specificity_testable"] is False and found[a]["told_auc"] == 1


def test_p_values_equal_those_recomputed_from_vectors(index: Path) -> None:
    result = by_artist(asked(index, "match", "--placebo", "placebo *", "--seed", "5"))
    with Index(index) as opened:
        names, kinds = opened.artists, np.array([c.kind for c in opened.collections])
        kind = kinds[opened.column("collection")]
        vectors, artist = np.asarray(opened.vectors).astype(np.float64), opened.column("artist")
    works, made = np.flatnonzero(kind == "works"), np.flatnonzero(kind == "imitations")
    ranks = twice_midranks(vectors[works] @ vectors[made].T)
    scores = collect([(slice(None), ranks)], artist[works], artist[made], len(names), rng=5)
    placebos = [n for n, name in enumerate(names) if name.startswith("placebo")]
    learned = set_table(fit(vectors[works], artist[works]), vectors[made], scores)
    ranks_only = by_artist(asked(index, "match", "--placebo", "placebo *", "--statistic", "rank"))
    for a in ARTISTS:
        number = names.index(a)
        assert ranks_only[a]["p_name"] == name_test(scores, placebos).pvalue[number]
        assert ranks_only[a]["p_rival"] == rival_test(scores, placebos).pvalue[number]
    name, rival = name_test(scores, placebos, learned), rival_test(scores, placebos, learned)
    p = [name.pvalue[names.index(a)] for a in ARTISTS]
    for place, a in enumerate(ARTISTS):
        number = names.index(a)
        assert result[a]["auc"] == pytest.approx(scores.auc[number], abs=1e-12)
        assert result[a]["p_name"] == name.pvalue[number]
        assert result[a]["p_rival"] == rival.pvalue[number]
        assert result[a]["p_rival_approximate"] == pytest.approx(rival.pvalue_t[number], nan_ok=True) or (
            result[a]["p_rival_approximate"] is None
        )
        assert result[a]["p_holm"] == pytest.approx(adjust(p)[place])


def test_the_same_seed_gives_the_same_answer(index: Path) -> None:
    words = ("match", "--placebo", "placebo *", "--resamples", "199")
    assert asked(index, *words) == asked(index, *words)
    assert asked(index, *words) != asked(index, *words, "--seed", "1")


def test_output_states_what_is_not_tested_without_placebos(index: Path) -> None:
    plain = run("match", "-i", index, "--resamples", "99").output
    assert "pass --placebo" in " ".join(plain.split())
    result = asked(index, "match", "--resamples", "99")
    assert result["evidence"]["placebos"] == []
    assert by_artist(result)["ada"]["p_name"] is None
    assert asked(index, "match", "--no-tests")["evidence"] is None


def test_work_as_unit_gives_a_warning(index: Path) -> None:
    found = run("match", "-i", index, "--unit", "work", "--resamples", "99")
    assert "assumes that works by the same artist are independent" in found.stderr
    assert found.stdout.splitlines()[0].split("\t")[:6] == [
        "artist",
        "finding",
        "auc",
        "auc_low",
        "auc_high",
        "p",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["match", "--placebo", "nobody*"], 'No imitations were made of a name like "nobody*"'),
        (["match", "--placebo", "a*"], "ada has works, so it is not a placebo name"),
        (["classify", "--by", "works", "--placebo", "nobody"], "No imitations were made"),
    ],
)
def test_invalid_placebos_are_refused(index: Path, words: list[str], message: str) -> None:
    assert message in run(*words, "-i", index, code=1).stderr


def test_classify_excludes_placebos_and_reports_uncertainty(index: Path) -> None:
    result = asked(index, "classify", "--by", "works", "--placebo", "placebo *", "--resamples", "199")
    assert result["n"] == 3 * N_IMITATIONS
    for method in result["methods"]:
        assert method["n_labels"] == 3
        found = by_artist(method)
        assert set(found) == set(ARTISTS)
        assert found["ada"]["top1"] == 1.0 and found["ada"]["top1_high"] == 1.0
        assert found["ada"]["top1_low"] == pytest.approx(0.025 ** (1 / N_IMITATIONS))  # Clopper & Pearson
        assert found["ada"]["p_chance_if_independent"] == pytest.approx(3.0**-N_IMITATIONS)
        assert method["evidence"]["by_label_count"]["counts"][-1] <= 3 + N_PLACEBOS
        assert 0 < method["evidence"]["p_assignment"] <= 1


def test_several_templates_are_shown_separately(index: Path) -> None:
    words = ("--template", "Artwork from {artist}", "--template", "A picture by {artist}", "--device", "cpu")
    result = asked(index, "classify", *words, "--placebo", "placebo *", "--resamples", "99")
    assert set(result["templates_top1"]) == {"Artwork from {artist}", "A picture by {artist}"}
    assert all(0 <= share <= 1 for share in result["templates_top1"].values())


def test_query_attributes_a_picture(index: Path, tmp_path: Path) -> None:
    red, black = tmp_path / "red.png", tmp_path / "black.png"
    paint(red, (200, 30, 30), 99_999)
    Image.new("RGB", (32, 32), "black").save(black)
    answers = asked(index, "query", str(red), str(black), "--device", "cpu")["queries"]
    first, second = (answer["attribution"] for answer in answers)
    assert first["set"] == ["ada"]
    assert second["set"] == []
    assert all(a["excludable"] and a["smallest_p"] == pytest.approx(1 / 21) for a in first["artists"])
    said = run("query", red, black, "-i", index, "--device", "cpu").stderr.splitlines()
    assert any(line.startswith(f"{red}: Does not stand out among the works of ada: ") for line in said)
    assert any(line.startswith(f"{black}: Stands out among the works of every artist: ") for line in said)


def test_indexed_work_is_compared_only_with_other_works(index: Path) -> None:
    work = index.parent / "works" / "ada" / "0.png"
    found = asked(index, "query", str(work), "--device", "cpu")["queries"][0]["attribution"]
    assert found["n_itself"] == 1
    assert {a["artist"]: a["n_works"] for a in found["artists"]} == {"ada": 19, "bo": 20, "cy": 20}


class TestPower:
    STATED = ("--effect", "0.2", "--between-sets", "0.05", "--within-set", "0.1", "--work-by-set", "0.1")

    def test_stated_variances(self) -> None:
        result = json.loads(run("power", *self.STATED, "--artists", "10", "--json").stdout)
        assert result["references_needed"] == 199
        assert result["smallest"]["power"] >= 0.8
        assert min(one["n_placebos"] for one in result["designs"]) == 199
        assert "power requires" in run("power", *self.STATED, "--resamples", "999").output

    def test_too_few_placebos_find_nobody(self) -> None:
        words = (*self.STATED, "--artists", "10", "--placebos", "50", "--resamples", "199")
        assert "No design reaches" in run("power", *words).output

    def test_power_from_a_pilot_index(self, index: Path) -> None:
        result = asked(index, "power", "--artists", "3", "--resamples", "999")
        assert result["pilot_artists"] == 3
        assert result["effect"] > 0.1
        assert all(value >= 0 for value in result["variances"].values())

    def test_the_default_numbers_of_names_are_those_at_which_p_can_change(self) -> None:
        words = (*self.STATED, "--artists", "26", "--resamples", "99")
        result = json.loads(run("power", *words, "--json").stdout)
        assert sorted({one["n_placebos"] for one in result["designs"]}) == [519, 1039]
        assert (
            result["steps"][:3] == [519, 1039, 1559] and result["between"] == [] and result["given"] is None
        )
        told = run("power", *words, "--placebos", "1038", "--placebos", "1039", "--placebos", "100").stderr
        assert (
            "1,038 placebo names, p can be small enough no more often than with 519: use 519, or 1,039."
            in told
        )
        assert "100 placebo names, no p can be small enough: use 519." in told and "With 1,039" not in told

    def test_what_the_pilot_has_is_counted(self, index: Path) -> None:
        with Index(index) as opened:
            kinds = np.array([c.kind for c in opened.collections])[opened.column("collection")]
            artist = opened.column("artist")
            names = [n for n, name in enumerate(opened.artists) if (artist[kinds == "works"] == n).any()]
        result = asked(index, "power", "--resamples", "99")
        given = result["given"]
        assert given["source"] == str(index) and result["artists"] == given["artists"] <= len(names)
        assert {one["n_works"] for one in result["designs"]} == {given["works"]}
        assert given["imitations"] in {one["n_imitations"] for one in result["designs"]}
        assert given["works_fewest"] <= given["works"] <= given["works_most"]
        other = asked(
            index, "power", "--resamples", "99", "--artists", "2", "--works", "7", "--imitations", "5"
        )
        assert other["artists"] == 2 and {
            (one["n_works"], one["n_imitations"]) for one in other["designs"]
        } == {(7, 5)}

    def test_what_a_plan_has_is_counted(self, index: Path, works: Callable, tmp_path: Path) -> None:
        root = works({"works/Ada Example": 6, "works/Bo Sample": 4, "works/Cy Trial": 5})
        (root / "plan.toml").write_text(PLANNED)
        words = ("power", *self.STATED, "--plan", root / "plan.toml", "--resamples", "99")
        result = json.loads(run(*words, "--json").stdout)
        given = result["given"]
        assert (given["artists"], given["works"], given["works_fewest"], given["works_most"]) == (3, 5, 4, 6)
        assert (given["imitations"], given["placebos"]) == (4, 39)
        assert (result["artists"], result["level"], result["correction"]) == (3, 0.1, "bh")
        power = result["as_given"]
        assert (power["n_works"], power["n_imitations"], power["n_placebos"], power["resolution"]) == (
            5,
            4,
            39,
            1 / 40,
        )
        said = run(*words).stderr
        assert (
            "has 3 artists, per artist 5 works (4 to 6) and 4 imitations, and 39 placebo names: power "
            in said
        )

    def test_missing_items_are_named(self, works: Callable, tiny_model: str, tmp_path: Path) -> None:
        assert "Pass a pilot" in run("power", code=2).stderr
        root, path = works({"works/ada": 1, "imitations/r1/ada": 1}), tmp_path / "small.h5"
        run("build", root, "-i", path, "--model", tiny_model, "--device", "cpu", *FP32)
        assert "too small for a pilot" in run("power", "-i", path, code=1).stderr


PLANNED = """
title = "t"
[artists]
tested = ["Ada Example", "Bo Sample", "Cy Trial"]
[[releases]]
name = "one"
model = "models/none"
[prompts]
per_artist = 4
placebos = 39
[[encoders]]
name = "demo"
model = "demo"
[tests]
level = 0.1
adjust = "bh"
"""


def test_small_indexes_have_answers(works: Callable, tiny_model: str, tmp_path: Path) -> None:
    for place, layout in enumerate(
        (
            {"works/ada": 1, "imitations/r1/ada": 1},
            {"works/ada": 1, "works/bo": 1, "imitations/r1/ada": 1},
            {"works/ada": 2, "imitations/r1/bo": 2},
            {"works/ada": 4, "imitations/r1/ada": 2, "imitations/r1/placebo": 2},
            {"works/ada": 3, "works/bo": 1, "imitations/r1/ada": 2, "imitations/r1/bo": 1},
        )
    ):
        root, path = works(layout), tmp_path / f"{place}.h5"
        run("build", root, "-i", path, "--model", tiny_model, "--device", "cpu", *FP32)
        placebo = ["--placebo", "placebo"] if "imitations/r1/placebo" in layout else []
        for words in (
            ["match", *placebo],
            ["classify", "--device", "cpu", *placebo],
            ["classify", "--by", "works"],
        ):
            run(*words, "-i", path)
            json.loads(run(*words, "-i", path, "--json").stdout)


def test_one_artist_with_placebos_and_a_background_is_found(tiny_model: str, tmp_path: Path) -> None:
    art, index = tmp_path / "art", tmp_path / "i.h5"
    for n in range(12):
        paint(art / "works" / "ada" / f"{n}.png", (200, 30, 30), n)
        paint(art / "background" / "bo" / f"{n}.png", (30, 60, 200), 100 + n)
    for n in range(3):
        paint(art / "imitations" / "r1" / "ada" / f"{n}.png", (200, 30, 30), 200 + n)
        for name in range(19):
            paint(
                art / "imitations" / "r1" / f"placebo {name}" / f"{n}.png",
                (128, 128, 128),
                300 + 9 * name + n,
            )
    run("build", art, "-i", index, "--model", tiny_model, "--device", "cpu", *FP32)
    found = by_artist(asked(index, "match", "--placebo", "placebo *"))["ada"]
    assert (found["finding"], found["p_name"], found["p_rival"]) == (UNTESTABLE, 0.05, None)
    assert 0 < found["floor_placebo"] < found["auc"] and found["floor_control"] is None
    for n in range(2):
        paint(art / "control" / f"{n}.png", (128, 128, 128), 900 + n)
    run("build", art, "-i", index, "--device", "cpu")
    with_control = by_artist(asked(index, "match", "--placebo", "placebo *"))["ada"]
    assert with_control["p_name"] == 0.05
    with Index(index) as opened:
        kind = np.array([c.kind for c in opened.collections])[opened.column("collection")]
        vectors, names = np.asarray(opened.vectors).astype(np.float64), opened.artists
        own = (kind == "works") & (opened.column("artist") == names.index("ada"))
    made, control = (
        vectors[own] @ vectors[kind == "imitations"].T,
        vectors[own] @ vectors[kind == "control"].T,
    )
    further = (made[:, None, :] < control[:, :, None]) + (made[:, None, :] == control[:, :, None]) / 2
    assert with_control["floor_control"] == pytest.approx(further.mean())
    run("remove", "--collection", "background", "-i", index, "--yes")
    alone = by_artist(asked(index, "match", "--placebo", "placebo *"))["ada"]
    assert (alone["finding"], alone["p_name"]) == ("not tested", 0.05)
    assert "add some to background/" in " ".join(
        run("match", "--placebo", "placebo *", "-i", index).output.split()
    )


def test_few_works_are_not_tested_and_few_prompts_are_held_fixed(tiny_model: str, tmp_path: Path) -> None:
    art, index = tmp_path / "art", tmp_path / "i.h5"
    lines = ["path,artist,kind,collection,prompt"]
    for n in range(6):
        paint(art / f"a{n}.png", (200, 30, 30), n)
        lines.append(f"a{n}.png,ada,works,works,")
    for n in range(4):
        paint(art / f"b{n}.png", (30, 60, 200), 50 + n)
        lines.append(f"b{n}.png,bo,works,works,")
    for place, name in enumerate(["ada", "bo", *(f"placebo {k}" for k in range(5))]):
        for n in range(6):
            paint(art / f"m{place}-{n}.png", (128, 128, 128), 100 + 10 * place + n)
            prompt = n if name == "placebo 4" else n // 3  # another design: one picture a prompt
            lines.append(f"m{place}-{n}.png,{name},imitations,r1,{name} prompt {prompt}")
    (art / "m.csv").write_text("\n".join(lines))
    run("build", art / "m.csv", "-i", index, "--model", tiny_model, "--device", "cpu", *FP32)
    found = by_artist(asked(index, "match", "--placebo", "placebo *"))
    assert (found["bo"]["finding"], found["bo"]["gap_class"]) == ("not tested", "too few works")
    assert found["ada"]["prompts_held_fixed"] is True
    assert (found["ada"]["n_name_references"], found["ada"]["n_name_left_out"]) == (4, 1)
    shown = " ".join(run("match", "--placebo", "placebo *", "-i", index).output.split())
    assert "apply to the few prompts used" in shown
    assert "up to 1 excluded: fewer imitations, or another number of pictures per prompt" in shown
    shown = " ".join(run("classify", "--placebo", "placebo *", "--by", "works", "-i", index).output.split())
    assert "apply to the few prompts used" in shown


def test_indistinguishable_artist_has_no_finding(tiny_model: str, tmp_path: Path) -> None:
    art, index = tmp_path / "art", tmp_path / "i.h5"
    for n in range(8):
        for place, artist in enumerate(("ada", "bo")):  # one hand under two names
            paint(art / "works" / artist / f"{n}.png", (200, 30, 30), 50 * place + n)
    for place, name in enumerate(["ada", "bo", *(f"placebo {k}" for k in range(4))]):
        for n in range(3):
            paint(art / "imitations" / "r1" / name / f"{n}.png", (128, 128, 128), 500 + 9 * place + n)
    run("build", art, "-i", index, "--model", tiny_model, "--device", "cpu", *FP32)
    result = asked(index, "match", "--placebo", "placebo *")
    for one in by_artist(result).values():
        if one["finding"]:
            assert one["p_told"] > 0.05
            assert one["finding"] == "this encoder cannot tell" and one["p_holm"] is None
    assert result["evidence"]["overall"]["findings"]["this encoder cannot tell"] == 2
    shown = " ".join(run("match", "--placebo", "placebo *", "-i", index).output.split())
    assert "cannot tell 2" in shown and "the figures say nothing about imitation" in shown


def test_work_unit_and_approximate_tests_use_weaker_wording(index: Path) -> None:
    by_work = by_artist(asked(index, "match", "--placebo", "placebo *", "--unit", "work"))
    assert by_work["ada"]["finding"] == "nearer than pooled works"
    shown = " ".join(run("match", "--placebo", "placebo *", "--approximate", "-i", index).output.split())
    assert "not evidence by themselves" in shown


def test_duplicate_pictures_count_once(tmp_path: Path, tiny_model: str) -> None:
    """Five copies of one work are not five works, and ten copies of one imitation are not a set of ten."""
    for name, color in (("ada", (200, 30, 30)), ("bo", (30, 60, 200))):
        for n in range(6):
            paint(tmp_path / "works" / name / f"{n}.png", color, n if name == "bo" else 0)
        for n in range(10):
            paint(tmp_path / "imitations/r1" / name / f"{n}.png", color, 99 if name == "ada" else 100 + n)
    for place in range(20):
        for n in range(10):
            paint(tmp_path / f"imitations/r1/placebo {place}" / f"{n}.png", (128, 128, 128), 1000 * place + n)
    run("build", tmp_path, "-i", tmp_path / "i.h5", "--model", tiny_model, "--device", "cpu", *FP32)
    result = asked(
        tmp_path / "i.h5", "match", "--placebo", "placebo *", "--adjust", "bh", "--resamples", "99"
    )
    found = by_artist(result)
    assert (found["ada"]["n_works"], found["ada"]["n_imitations"]) == (1, 1)
    assert (found["bo"]["n_works"], found["bo"]["n_imitations"]) == (6, 10)
    assert found["ada"]["finding"] == "not tested"
    assert (result["n_repeated_works"], result["n_repeated_imitations"]) == (5, 9)
    assert "14 duplicates of a picture" in run("match", "-i", tmp_path / "i.h5", "--resamples", "99").stderr


def test_naming_is_tested_against_placebo_names(index: Path) -> None:
    words = ("classify", "-i", index, "--by", "works", "--resamples", "99")
    tested = asked(index, "classify", "--by", "works", "--placebo", "placebo *", "--resamples", "99")
    found = by_artist(tested["methods"][0])
    assert found["bo"]["p_named"] == 1 / (1 + N_PLACEBOS)
    # Grey pictures are named as ada, so that ada's pictures are too says nothing.
    assert found["ada"]["top1"] == 1 and found["ada"]["placebo_share"] > 0.8 and found["ada"]["p_named"] > 0.5
    assert found["ada"]["p_chance_if_independent"] < 0.01
    assert found["ada"]["n_named_references"] == N_PLACEBOS
    assert sum(row["placebo_share"] for row in found.values()) == pytest.approx(1)
    plain = " ".join(run(*words).output.split())
    assert "Not tested against placebo names" in plain and "p named" not in plain
    assert "p chance" not in run(*words, "--placebo", "placebo *").output


def test_summary_says_what_the_design_could_not_find(index: Path) -> None:
    words = ("match", "-i", index, "--placebo", "placebo *", "--resamples", "99", "--level", "0.01")
    text = " ".join(run(*words).output.split())
    assert (
        "This design could find nobody, however strong the imitation."
        in text.partition("Tested 3 artists")[2]
    )
    assert (
        "could find nobody" not in run(*words[:-2], "--adjust", "bh").output.partition("Tested 3 artists")[2]
    )
