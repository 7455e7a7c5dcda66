"""An index whose encoder has no text side: what compares pictures works, and what needs texts names the remedy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.two_releases import COLORS, build_index, draw

pytestmark = pytest.mark.usefixtures("one_thread")
NO_TEXT = "has no text side: it encodes pictures, so they can be compared with pictures but not with names"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, pictures_only: str) -> Path:
    """A folder with `i.h5`, of works and two releases."""
    folder = tmp_path_factory.mktemp("pictures-only")
    draw(folder)
    build_index(folder, "i.h5", folder / "works", folder / "both.jsonl", model=f"{pictures_only}:1")
    return folder


@pytest.fixture
def index(root: Path) -> Path:
    return root / "i.h5"


def printed(*words: object) -> Any:
    return json.loads(run(*words, "--json").stdout)


def nearest_prototypes(index: Path, release: str) -> Mapping[str, Counter[str]]:
    """How often the mean of each artist's works is the nearest one to the imitations of each name."""
    with Index(index) as opened:
        vectors = np.asarray(opened.vectors, np.float64)
        kinds = np.array([opened.collections[c].kind for c in opened.column("collection")])
        names = np.array([opened.artists[a] for a in opened.column("artist")])
        collections = np.array([opened.collections[c].name for c in opened.column("collection")])
    means = {}
    for artist in COLORS:
        mean = vectors[(kinds == "works") & (names == artist)].sum(axis=0)
        means[artist] = (mean / np.linalg.norm(mean)).astype(np.float16).astype(np.float64)
    scores = vectors @ np.array(list(means.values())).T
    given = np.array(list(means))[scores.argmax(axis=1)]
    return {name: Counter(given[(collections == release) & (names == name)].tolist()) for name in set(names)}


def test_classify_compares_with_works_and_says_so(index: Path) -> None:
    words = ("classify", "-i", index, "--collection", "r2", "--placebo", "placebo *", "--device", "cpu")
    shown = run(*words)
    assert (
        "pictures-only:1 at fp32 has no text side: pictures are compared with works, not with names"
        in shown.stderr
    )
    found = printed(*words)
    assert found["by"] == "works" and found["generic_labels"] == []
    assert found == printed(*words, "--by", "works")
    given = nearest_prototypes(index, "r2")
    placebos = [name for name in given if name.startswith("placebo")]
    n_placebo = sum(sum(given[name].values()) for name in placebos)
    method = found["methods"][0]
    assert method["method"] == "by works, prototype" and method["n_labels"] == len(COLORS)
    for row in method["artists"]:
        own, artist = given[row["artist"]], row["artist"]
        assert row["top1"] == own[artist] / own.total()
        assert row["placebo_share"] == pytest.approx(sum(given[p][artist] for p in placebos) / n_placebo)
        beaten = sum(given[p][artist] >= own[artist] for p in placebos)
        assert row["p_named"] == pytest.approx((1 + beaten) / (1 + len(placebos)))
    assert method["chance_top1"] == 1 / len(COLORS)


def test_what_needs_texts_is_refused_in_one_sentence(index: Path) -> None:
    refused = [
        ("classify", "--by", "name"),
        ("classify", "--label", "Artwork"),
        ("classify", "--template", "A picture by {artist}"),
        ("query", "--text", "red"),
    ]
    for words in refused:
        release = ("--collection", "r1") if words[0] == "classify" else ()
        said = " ".join(run(*words, *release, "-i", index, "--device", "cpu", code=1).stderr.split())
        assert NO_TEXT in said and "--by works), query with a picture" in said and "Traceback" not in said, (
            words
        )
    with imindex.open(index) as opened:
        assert opened.classify("r1", testing=None).by == "works"
        with pytest.raises(ImindexError, match="has no text side"):
            opened.classify("r1", by="name", testing=None)


def test_two_releases_are_compared_without_names(index: Path) -> None:
    words = ("compare", "r1", "r2", "-i", index, "--placebo", "placebo *", "--device", "cpu")
    found = printed(*words)
    assert [note for note in found["notes"] if "has no text side" in note]
    assert set(found["figures"]["accuracy"].values()) <= {None, 0}
    without = printed(*words, "--no-names")
    for key in ("figures", "counts", "shifts", "artists"):
        assert found[key] == without[key]
    for condition, outcome, code in (("accuracy > 0.5", "undecided", 4), ("auc.change > 0.9", "passed", 0)):
        gated = json.loads(run(*words, "--json", "--fail-if", condition, code=code).stdout)
        assert [one["outcome"] for one in gated["gate"]] == [outcome]


def test_pages_do_not_speak_of_names(root: Path, index: Path) -> None:
    page = root / "page.html"
    words = ("-i", index, "--collection", "r2", "--placebo", "placebo *", "--report", page)
    run("classify", *words, "--device", "cpu")
    text = page.read_text(encoding="utf-8")
    assert (
        "<b>Accuracy by works</b>" in text
        and "Nearest by works" in text
        and "Accuracy by works against chance" in text
    )
    for word in ("given the names", "Named as the artist", "Names given", "generic label", "named correctly"):
        assert word not in text, word
    run("match", *words)
    assert "Accuracy" not in page.read_text(encoding="utf-8")


def test_other_commands(root: Path, index: Path, tmp_path: Path) -> None:
    red = root / "works" / "ada" / "0.png"
    found = printed("query", red, "-i", index, "-k", 5, "--device", "cpu")["queries"][0]
    assert found["kinds"]["works"]["artists"][0]["artist"] == "ada"
    assert found["attribution"]["artists"][0]["artist"] == "ada"
    assert printed("power", "-i", index, "--collection", "r1")["pilot_artists"] == 4
    assert printed("info", "-i", index)["encoder"]["model"] == "pictures-only:1"
    assert "0 faults" in run("doctor", "-i", index, "--device", "cpu").output
    again = printed("verify", "-i", index, "--replay", 20, "--device", "cpu")
    assert again["faults"] == [] and again["replay-text"] is None
    run("export", tmp_path / "out", "-i", index)
    with Index(index) as opened:
        assert np.array_equal(np.load(tmp_path / "out" / "vectors.npy"), opened.vectors[:])
    before = printed("match", "-i", index, "--collection", "r1")
    run("split", index, "--rows", 100, "-o", tmp_path / "parts")
    parts = str(tmp_path / "parts" / "*.h5")
    words = ("classify", "--collection", "r2", "--device", "cpu")
    several, one = printed(*words, "-i", parts), printed(*words, "-i", index)
    for key in ("by", "methods", "n"):
        assert several[key] == one[key]
    run("merge", *sorted((tmp_path / "parts").glob("*.h5")), "-o", tmp_path / "merged.h5")
    run("optimize", "-i", tmp_path / "merged.h5")
    assert (
        printed("match", "-i", tmp_path / "merged.h5", "--collection", "r1")["artists"] == before["artists"]
    )
