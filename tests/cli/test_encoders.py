"""The commands `imindex encoders compare` and `imindex encoders list`."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import imindex
from imindex.indexer.encoders.registry import BACKENDS
from imindex.indexer.terminal.width import width_of
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.results import EncoderComparison, from_json
from tests.support.commands import run, shown
from tests.support.pictures import picture
from tests.support.works_index import save_works, unit, world

N, EACH = 12, 5
ARTISTS = [f"Artist {i:02}" for i in range(N) for _ in range(EACH)]
FAST = ["--resamples", "99"]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three indexes of the same works: good, one that is nearly the same, and weak."""
    folder = tmp_path_factory.mktemp("indexes")
    good = world(N, EACH, apart=1.2, seed=1)
    also = unit(good.astype(np.float64) + 0.02 * np.random.default_rng(2).normal(size=good.shape))
    for name, table in (("good", good), ("also-good", also), ("weak", world(N, EACH, apart=0.2, seed=3))):
        save_works(folder / f"{name}.h5", table, ARTISTS)
    return folder


@pytest.fixture(scope="module")
def three(indexes: Path) -> str:
    return ",".join(str(indexes / f"{name}.h5") for name in ("weak", "good", "also-good"))


def test_a_comparison_writes_json_and_a_page_and_ends_with_the_rule(three: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("encoders", "compare", "--encoders", three, "--out", out, *FAST)
    assert "is not told apart from" in result.stderr
    assert "best" not in result.output
    stored = from_json(EncoderComparison, (out / "encoders.json").read_bytes())
    assert [one.name for one in stored.encoders] == ["weak", "good", "also-good"]
    page = (out / "encoders.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page
    assert stored.recommendation.sentence in page


def test_json_and_csv_hold_every_figure(three: str, tmp_path: Path) -> None:
    line = ["encoders", "compare", "--encoders", three, "--out", tmp_path / "out", *FAST]
    said = json.loads(run(*line, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(run(*line, "--csv").stdout)))
    assert len(rows) == 3
    by_name = {one["name"]: one for one in said["encoders"]}
    for row in rows:
        for name, figure in by_name[row["name"]]["figures"].items():
            for suffix, key in (("", "value"), ("_low", "low"), ("_high", "high")):
                assert float(row[f"{name}{suffix}"]) == pytest.approx(figure[key])
    values = [float(row["map"]) for row in rows]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_table_fits_a_terminal(three: str, tmp_path: Path, columns: int) -> None:
    output = "imindex.indexer.terminal.output"
    line = ["encoders", "compare", "--encoders", three, "--out", tmp_path / "out", *FAST]
    with (
        mock.patch(f"{output}.is_terminal", return_value=True),
        mock.patch(f"{output}._UNLIMITED", columns),
        mock.patch(f"{output}.terminal_width", return_value=columns),
    ):
        said = run(*line).stdout
    for text in said.splitlines():
        assert width_of(text) <= columns, text
    for word in ("encoder", "mAP", "good", "also-good", "weak", "difference"):
        assert word in said
    assert "not told apart" in " ".join(said.split())


def test_works_are_encoded_once_and_continued(tmp_path: Path) -> None:
    for number in range(12):
        place = tmp_path / "art" / "works" / f"Artist {number // 3}"
        place.mkdir(parents=True, exist_ok=True)
        picture(number).save(place / f"{number}.png")
        (tmp_path / "art" / "imitations" / "r1" / "Artist 0").mkdir(parents=True, exist_ok=True)
        picture(100 + number).save(tmp_path / "art" / "imitations" / "r1" / "Artist 0" / f"{number}.png")
    line = ["encoders", "compare", tmp_path / "art", "--encoders", "demo", "--out", tmp_path / "out", *FAST]
    first = json.loads(run(*line, "--device", "cpu", "--json").stdout)
    (one,) = first["encoders"]
    assert one["n_works"] == 12 and not first["imitations_present"]
    assert one["speed"]["pictures"] == 12 and one["speed"]["pictures_per_second"] > 0
    assert one["speed"]["processor_seconds"] > 0 and one["demonstration"]
    assert one["speed"]["device"] == "cpu"
    assert "Demonstration encoder: not for evidence" in run(*line, "--csv").stderr
    again = json.loads(run(*line, "--device", "cpu", "--json").stdout)
    (two,) = again["encoders"]
    assert two["root_digest"] == one["root_digest"] and two["speed"] == one["speed"]
    picture(99).save(tmp_path / "art" / "works" / "Artist 0" / "99.png")
    later = json.loads(run(*line, "--device", "cpu", "--json").stdout)["encoders"][0]
    assert later["n_works"] == 13 and later["speed"] is None


PLAN = """\
# A plan with a comment.
title = "choice"

[artists]
tested = ["Artist 00", "Artist 01"]

[[encoders]]
model = "ViT-B-32"
pretrained = "openai"

[[releases]]
name = "r1"
pictures = "imitations"
placebos = ["Nobody *"]
"""


def test_an_encoder_is_chosen_into_a_plan_with_its_record(indexes: Path, three: str, tmp_path: Path) -> None:
    plan, new, out = tmp_path / "plan.toml", tmp_path / "new.toml", tmp_path / "out"
    plan.write_text(PLAN)
    before = read_plan(plan)
    line = ["encoders", "compare", "--encoders", three, "--plan", plan, "--out", out, *FAST]
    run(*line, "--choose", "good", "--write-plan", new)
    assert plan.read_text() == PLAN
    chosen = read_plan(new)
    (spec,) = chosen.encoders
    digest = hashlib.sha256((out / "encoders.json").read_bytes()).hexdigest()
    assert (spec.name, spec.model, spec.chosen_by) == ("good", "demo", "out/encoders.json")
    assert spec.chosen_sha256 == digest and spec.chosen_on.endswith("+00:00")
    assert chosen.releases == before.releases and chosen.tested == before.tested
    assert "# A plan with a comment." in new.read_text()
    assert chosen.digest != before.digest
    result = run(*line, "--choose", "weak", "--choose", "good")
    assert "shown to have a lower mean average precision" in result.stderr
    assert [one.name for one in read_plan(plan).encoders] == ["weak", "good"]
    failed = run(*line, "--choose", "nobody", code=1)
    assert "has no encoder nobody" in failed.stderr


def test_comments_of_a_plan_stay_where_an_encoder_is_chosen(
    indexes: Path, three: str, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.toml"
    comments = (
        "# of the first",
        "# of a key",
        "# of the second",
        "# Pictures came by post.",
        "# At the end.",
    )
    first, key, second, releases, end = comments
    text = PLAN.replace("[[encoders]]\n", f"{first}\n[[encoders]]\n{key}\n")
    other = f'{second}\n[[encoders]]\nmodel = "demo"\n\n{releases}\n\n[[releases]]'
    plan.write_text(f"{text.replace('[[releases]]', other)}\n{end}\n")
    line = ["encoders", "compare", "--encoders", three, "--plan", plan, "--out", tmp_path / "out", *FAST]
    run(*line, "--choose", "good")
    once = plan.read_text()
    assert [one for one in once.splitlines() if one in comments] == list(comments)
    assert f"\n\n{releases}\n\n[[releases]]\n" in once and "\n\n\n" not in once
    assert [one.name for one in read_plan(plan).encoders] == ["good"]
    run(*line, "--choose", "good")
    assert len(plan.read_text().splitlines()) == len(once.splitlines())


@pytest.mark.parametrize("inline", ['encoders = [{model = "demo"}]\n', "encoders = []\n"])
def test_encoders_written_inline_are_left_to_be_written_by_hand(
    three: str, tmp_path: Path, inline: str
) -> None:
    from imindex.retrieval.audit.encoder_choice import choose_encoders

    plan = tmp_path / "plan.toml"
    text = f"{inline}{PLAN.split('[[encoders]]')[0]}[[releases]]{PLAN.split('[[releases]]')[1]}"
    plan.write_text(text)
    out = tmp_path / "out"
    run("encoders", "compare", "--encoders", three, "--out", out, *FAST)
    result = from_json(EncoderComparison, (out / "encoders.json").read_bytes())
    with pytest.raises(imindex.ImindexError, match="Write them by hand"):
        list(choose_encoders(plan, ["good"], out / "encoders.json", result, target=plan))
    assert plan.read_text() == text


def test_a_plan_that_would_be_invalid_is_not_written(three: str, tmp_path: Path) -> None:
    from imindex.retrieval.audit.encoder_choice import choose_encoders

    out, plan, new = tmp_path / "out", tmp_path / "plan.toml", tmp_path / "new.toml"
    text = PLAN.replace('title = "choice"', 'title = "choice"\nunknown = 1')
    plan.write_text(text)
    new.write_text(PLAN)
    run("encoders", "compare", "--encoders", three, "--out", out, *FAST)
    result = from_json(EncoderComparison, (out / "encoders.json").read_bytes())
    for target in (plan, new):
        with pytest.raises(imindex.ImindexError, match="unknown"):
            list(choose_encoders(plan, ["good"], out / "encoders.json", result, target=target))
    assert plan.read_text() == text and new.read_text() == PLAN


def test_a_choice_enters_the_digest_of_a_plan_only_if_it_is_there(tmp_path: Path) -> None:
    plain, chosen = tmp_path / "plain.toml", tmp_path / "chosen.toml"
    plain.write_text(PLAN)
    record = 'chosen_by = "encoders.json"\nchosen_sha256 = "00"\nchosen_on = "2026-01-01"\n'
    chosen.write_text(PLAN.replace('pretrained = "openai"\n', f'pretrained = "openai"\n{record}'))
    empty = tmp_path / "empty.toml"
    empty.write_text(PLAN.replace('pretrained = "openai"\n', 'pretrained = "openai"\nchosen_by = ""\n'))
    digests = {path.stem: read_plan(path).digest for path in (plain, chosen, empty)}
    assert digests["plain"] == digests["empty"] != digests["chosen"]


def test_encoders_and_works_of_a_plan_are_taken_where_none_are_given(tmp_path: Path) -> None:
    for number in range(12):
        place = tmp_path / "pictures" / f"Artist {number // 3:02}"
        place.mkdir(parents=True, exist_ok=True)
        picture(number).save(place / f"{number}.png")
    plan = tmp_path / "plan.toml"
    text = PLAN.replace('model = "ViT-B-32"\npretrained = "openai"\n', 'model = "demo"\nname = "small"\n')
    plan.write_text(text.replace("[[encoders]]", '[works]\ntested = "pictures"\n\n[[encoders]]'))
    result = imindex.compare_encoders(plan=plan, folder=tmp_path / "out", device="cpu", n_resamples=99)
    assert [one.name for one in result.encoders] == ["small"] and result.works.n_works == 12


def test_groups_of_artists_are_read(three: str, tmp_path: Path) -> None:
    groups = tmp_path / "groups.csv"
    groups.write_text("artist,group\n" + "".join(f"Artist {i:02},school {i // 4}\n" for i in range(N)))
    line = ["encoders", "compare", "--encoders", three, "--out", tmp_path / "out", *FAST, "--json"]
    said = json.loads(run(*line, "--groups", groups).stdout)
    assert said["unit"] == "groups" and said["artists"][5]["group"] == "school 1"
    groups.write_text("artist,group\nArtist 00,a\nArtist 00,b\n")
    assert "in two groups" in run(*line, "--groups", groups, code=1).stderr
    groups.write_text("name,group\nArtist 00,a\n")
    assert "lacks a column" in run(*line, "--groups", groups, code=1).stderr


def test_incomplete_names_of_encoders_are_refused(tmp_path: Path) -> None:
    for names, message in (
        ("demo,,demo", "without empty items"),
        ("@openai", "is incomplete"),
        ("demo@", "incomplete"),
    ):
        failed = run("encoders", "compare", tmp_path, "--encoders", names, code=1)
        assert message in failed.stderr, names
    assert "there are no works" in run("encoders", "compare", "--encoders", "demo", code=1).stderr


def test_the_list_has_every_back_end_and_what_it_is() -> None:
    said = json.loads(run("encoders", "list", "--json").stdout)
    assert {one["name"] for one in said["backends"]} >= set(BACKENDS)
    for one in said["backends"]:
        assert one["origin"] and one["module"] and not one["needs"], one
        assert one["origin"] != "imindex" or (one["description"] and one["takes"]), one
    assert "open_clip" in shown("encoders", "list")


def test_the_list_tells_only_names_that_are_taken() -> None:
    said = {
        one["name"]: one["takes"] for one in json.loads(run("encoders", "list", "--json").stdout)["backends"]
    }
    for name in ("csd", "megastyle", "sscd"):
        assert said[name] == f"{name} with the authors' file in --pretrained"
    assert "timm:local-dir:FOLDER" in said["timm"] and "timm:FOLDER" not in said["timm"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_list_keeps_what_to_type(columns: int) -> None:
    output = "imindex.indexer.terminal.output"
    with (
        mock.patch(f"{output}.is_terminal", return_value=True),
        mock.patch(f"{output}._UNLIMITED", columns),
        mock.patch(f"{output}.terminal_width", return_value=columns),
    ):
        said = run("encoders", "list").stdout
    heading = said.splitlines()[1]
    assert "--model" in heading and "what it is" in heading and "needs" not in heading
    assert all(width_of(text) <= columns for text in said.splitlines())


def test_columns_of_the_list_are_named_as_they_are_headed() -> None:
    rows = list(
        csv.reader(io.StringIO(run("encoders", "list", "--csv", "--columns", "back end,--model").stdout))
    )
    assert rows[0] == ["name", "takes"]
    refused = run("encoders", "list", "--columns", "modle", code=2).stderr
    assert "no column modle" in refused and "--model" in refused


def test_a_wrong_column_of_a_comparison_is_refused_before_anything_is_encoded(tmp_path: Path) -> None:
    line = ["encoders", "compare", tmp_path, "--encoders", "demo", "--out", tmp_path / "out"]
    refused = run(*line, "--columns", "encodr", code=2).stderr
    assert "no column encodr" in refused and "encoder" in refused and len(refused) < 400
    assert not (tmp_path / "out").exists()


def test_columns_of_a_comparison_are_named_as_they_are_headed(three: str, tmp_path: Path) -> None:
    line = [
        "encoders",
        "compare",
        "--encoders",
        three,
        "--out",
        tmp_path / "out",
        *FAST,
        "--csv",
        "--columns",
    ]
    said = run(*line, "encoder,mAP,recall@1,dim,auc_low,device").stdout
    assert next(csv.reader(io.StringIO(said))) == [
        "name", "map", "map_low", "map_high", "recall_at_1", "recall_at_1_low", "recall_at_1_high", "dim", "auc_low",
        "device",
    ]  # fmt: skip
