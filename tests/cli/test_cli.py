"""The commands: output, streams and exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from imindex.indexer.store.index import Index
from tests.support.commands import last_line, run
from tests.support.places import ROOT

# Build


def test_second_build_encodes_nothing(works: Callable, tiny_model: str, tmp_path: Path) -> None:
    root, index = works({"works/ada": 2, "works/bo": 1}), tmp_path / "i.h5"
    (root / "works/bo/bad.png").write_bytes(b"x")
    words = ("build", root, "-i", index, "--device", "cpu")
    first = run(*words, "--model", tiny_model, "--precision", "fp32")
    assert re.fullmatch(
        r"Encoded 3 pictures \(0 unchanged, 1 rejected\) into .*i\.h5: 3 rows, \d+\.\d s\.", last_line(first)
    )
    assert len(first.stdout.splitlines()) == 1 and "info --rejects" in first.stderr
    assert last_line(run(*words)).startswith("Encoded 0 pictures (3 unchanged, 1 rejected)")
    said = json.loads(run(*words, "--json").stdout)
    assert (said["rows"], said["encoded"], said["unchanged"], said["already_rejected"]) == (3, 0, 3, 1)
    assert "bad.png" in run(*words, "--strict", code=1).stderr
    assert "fp32, not bf16" in run(*words, "--precision", "bf16", code=1).stderr


def test_rows_added_without_encoding_are_told(works: Callable, tiny_model: str, tmp_path: Path) -> None:
    root, index = works({"works/ada": 2, "works/bo": 1}), tmp_path / "i.h5"
    run("build", root, "-i", index, "--device", "cpu", "--model", tiny_model)
    words = (
        "build",
        root / "works",
        "-i",
        index,
        "--device",
        "cpu",
        "--kind",
        "works",
        "--collection",
        "again",
    )
    assert last_line(run(*words)).startswith(
        "Encoded 0 pictures (3 added without encoding, 0 unchanged, 0 rejected)"
    )
    assert last_line(run(*words)).startswith("Encoded 0 pictures (3 unchanged, 0 rejected)")
    works({"works/cy": 1}, first_seed=2)  # the picture of bo
    works({"works/di": 1}, first_seed=50)
    assert last_line(run(*words)).startswith(
        "Encoded 1 picture (1 added without encoding, 3 unchanged, 0 rejected)"
    )


def test_the_log_records_the_command_line(works: Callable, tiny_model: str, tmp_path: Path) -> None:
    root = works({"works/Ada B": 1})
    subprocess.run(
        [sys.executable, "-m", "imindex", "build", root, "-i", tmp_path / "i.h5", "--model", tiny_model],
        cwd=ROOT, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    with Index(tmp_path / "i.h5") as index:
        assert shlex.split(index.log()[0]["command"])[:3] == ["imindex", "build", str(root)]
        assert "numpy" in json.loads(index.log()[0]["versions"])


# Output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["info"], r".*i\.h5 holds 14 pictures by 2 artists\."),
        (["info", "--artists", "--rejects", "--duplicates"], r".*i\.h5 holds 14 pictures by 2 artists\."),
        (["query", "PICTURE", "--device", "cpu", "-k", "2"], r"Searched .*i\.h5 for 1 query, exactly\."),
        (["query", "--text", "a", "--text", "b", "--device", "cpu"], r"Searched .* for 2 queries, exactly\."),
        (["classify", "--device", "cpu"], r"Classified 6 pictures of r1 among 5 labels: .* %\)\."),
        (["classify", "--by", "works", "--all"], r"Classified 6 pictures of r1 among 2 labels: .*\(chance 50\.0 %\)\."),
        (["classify", "--collection", "works", "--by", "works"], r"Classified 6 pictures of works among 2 labels: .*"),
        (["match"], r"Ranked 6 imitations of r1 by 6 works, exactly: mean AUC [01]\.\d+ over 2 artists .*\."),
        (
            ["match", "--csls", "--csls-k", "2", "--all"],
            r"Ranked 6 imitations of r1 by 6 works, exactly, adjusted for hubs \(CSLS, k = 2\): .*\.",
        ),
        (["remove", "--artist", "ada", "--dry-run"], r"Would remove 6 pictures and 0 rejects from .*: 8 rows would .*"),
        (["export", "OUT"], r"Exported 14 rows of .*i\.h5 to .*\."),
    ],
)  # fmt: skip
def test_each_command_ends_with_a_sentence_and_has_json(
    built: Path, tmp_path: Path, words: list[str], sentence: str
) -> None:
    places = {"PICTURE": built.parent / "art/works/ada/0.png", "OUT": tmp_path / "out"}
    line = [str(places.get(word, word)) for word in words]
    plain = run(*line, "-i", built)
    assert re.fullmatch(sentence, last_line(plain)), last_line(plain)
    again = [*line, "--force"] if "OUT" in words else line
    result = run(*again, "-i", built, "--json")
    said = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert said["index"] == str(built)
    with Index(built) as index:
        assert index.n == 14


def test_a_query_finds_itself_and_its_artist(built: Path) -> None:
    shown = built.parent / "art/works/bo/1.png"
    said = json.loads(run("query", shown, "-i", built, "-k", 3, "--device", "cpu", "--json").stdout)
    (answer,) = said["queries"]
    assert list(answer["kinds"]) == ["works", "imitations", "control"]
    nearest = answer["kinds"]["works"]["pictures"][0]
    assert (nearest["path"], nearest["artist"], nearest["rank"]) == ("art/works/bo/1.png", "bo", 1)
    assert nearest["cosine"] == pytest.approx(1, abs=2e-3)
    assert len(answer["kinds"]["imitations"]["pictures"]) == 3 and not answer["kinds"]["control"]["artists"]
    narrow = (
        "query",
        shown,
        "-i",
        built,
        "--device",
        "cpu",
        "--json",
        "--artist",
        "ada",
        "--collection",
        "r1",
    )
    (answer,) = json.loads(run(*narrow).stdout)["queries"]
    assert {p["artist"] for p in answer["kinds"]["imitations"]["pictures"]} == {"ada"}
    assert list(answer["kinds"]) == ["imitations"]


def test_figures_equal_those_recomputed_from_vectors(built: Path) -> None:
    with Index(built) as index:
        values, artist = index.vectors.astype(np.float64), index.column("artist")
        kind = np.array([c.kind for c in index.collections])[index.column("collection")]
    scores = values[kind == "works"] @ values[kind == "imitations"].T
    own = artist[kind == "works"][:, None] == artist[kind == "imitations"]
    pairs = [(s[o][:, None] > s[~o]).mean() for s, o in zip(scores, own, strict=True)]
    said = json.loads(run("match", "-i", built, "--json").stdout)
    expected = [
        np.mean([p for p, a in zip(pairs, artist[kind == "works"], strict=True) if a == n]) for n in (0, 1)
    ]
    assert [a["auc"] for a in said["artists"]] == pytest.approx(expected, abs=1e-12)
    assert said["macro"]["auc"] == pytest.approx(np.mean(expected), abs=1e-12)


def test_written_ranks_equal_sorting(built: Path, tmp_path: Path) -> None:
    result = run("match", "-i", built, "--ranks", tmp_path / "r.npz", "--json")
    json.loads(result.stdout)
    saved = np.load(tmp_path / "r.npz")
    with Index(built) as index:
        values = index.vectors.astype(np.float64)
    scores = values[saved["works"]] @ values[saved["imitations"]].T
    assert (saved["ranks"] == (scores[:, None, :] >= scores[:, :, None]).sum(2)).all()


def test_remove_and_export(built: Path, tmp_path: Path) -> None:
    index = tmp_path / "copy.h5"
    index.write_bytes(built.read_bytes())
    assert last_line(run("remove", "-i", index, "--artist", "ada", "--yes")) == (
        f"Removed 6 pictures and 0 rejects from {index}: 8 rows are left."
    )
    assert "has no artist ada. See" in run("remove", "-i", index, "--artist", "ada", code=1).stderr
    run("export", tmp_path / "out", "-i", index)
    assert np.load(tmp_path / "out/vectors.npy").shape == (8, 32)
    items = pyarrow.parquet.read_table(tmp_path / "out/items.parquet").to_pydict()
    assert set(items["artist"]) == {"bo", ""}
    assert "Pass --force to overwrite" in run("export", tmp_path / "out", "-i", index, code=1).stderr


# Errors


@pytest.mark.parametrize(
    "words",
    [
        ["info", "-i", "none.h5"], ["query", "x.png", "-i", "none.h5"], ["classify", "-i", "none.h5"],
        ["match", "-i", "none.h5"], ["remove", "--artist", "a", "-i", "none.h5"], ["export", "o", "-i", "none.h5"],
        ["build", "nowhere"], ["build", "empty/works"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_failures_exit_with_1_and_print_nothing_to_stdout(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty/works").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    result = run(*words, code=1)
    assert result.stderr.startswith("Error: ") and not result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["build"], ["query"], ["remove"], ["export"], ["nonsense"], ["info", "--nonsense"], ["query", "x", "-k", "0"],
        ["build", "ART", "--batch-size", "0"], ["build", "ART", "--batch-size", "many"],
        ["build", "ART", "--batch-size", "²"],
        ["build", "ART", "--kind", "fakes"], ["build", "ART", "--precision", "int8"], ["classify", "--by", "luck"],
        ["match", "--csls-k", "0"], ["info", "-i", "."], ["demo"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_exits_with_2(
    built: Path, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*(built.parent / "art" if word == "ART" else word for word in words), code=2)
    assert "Usage: " in result.stderr and not result.stdout


def test_an_unreadable_query_is_named_and_the_others_are_answered(built: Path) -> None:
    good, bad = built.parent / "art/control/0.png", built.parent / "text.png"
    bad.write_text("no picture")
    result = run("query", good, bad, "no.png", "-i", built, "--device", "cpu", "--json", code=1)
    said = json.loads(result.stdout)
    assert [q["query"] for q in said["queries"]] == [str(good)] and set(said["rejects"]) == {
        str(bad),
        "no.png",
    }
    assert "no.png cannot be used as a query: No such file" in result.stderr


def test_a_query_larger_than_its_limit_is_rejected(built: Path) -> None:
    asked = ["query", built.parent / "art/control/0.png", "-i", built, "--device", "cpu"]
    assert "pixels are more than the limit of 10." in run(*asked, "--max-pixels", 10, code=1).stderr
    run(*asked, "--max-pixels", 10**6)


@pytest.mark.parametrize(
    "options",
    [
        ["--device", "tpu"], ["--model", "nothing-of-the-kind"], ["--artist", "Cy"], ["--collection", "r9"],
        ["--artist", "ada", "--collection", "control"],
    ],
)  # fmt: skip
def test_a_query_without_an_answer_explains_why(built: Path, options: list[str]) -> None:
    result = run("query", "--text", "x", "-i", built, *options, code=1)
    assert (
        options[1] in result.stderr
        or "that match both collections (--collection) and artists (--artist)" in result.stderr
    )


def test_several_releases_require_a_choice(works: Callable, tiny_model: str, tmp_path: Path) -> None:
    root, index = works({"works/ada": 1, "imitations/r1/ada": 1, "imitations/r2/ada": 1}), tmp_path / "i.h5"
    run("build", root, "-i", index, "--model", tiny_model, "--device", "cpu")
    for command in ("match", "classify"):
        message = run(command, "-i", index, code=1).stderr
        assert re.search(
            r"has several releases: r1, r2\. Pass one of them as the release \(--collection\)", message
        )
        message = run(command, "-i", index, "--collection", "r3", code=1).stderr
        assert "has no collection r3" in message and "r1, r2" in message


def test_templates_must_contain_the_placeholder(built: Path) -> None:
    message = run("classify", "-i", built, "--template", "Artwork from {}", code=1).stderr
    assert 'The template "Artwork from {}" has no {artist}. Write it where' in message
    assert (
        "The generic label ada is also an artist"
        in run("classify", "-i", built, "--label", "ada", code=1).stderr
    )
