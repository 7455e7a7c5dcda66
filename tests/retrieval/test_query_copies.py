"""Copies of a work count once in `query`: among the neighbours, the votes, and the works of the conformal test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.build.build import build
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.retrieval.cli._query_tables import answer_table
from imindex.retrieval.search.attribution import attribute
from imindex.retrieval.search.query import ask
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.retrieval.vectors.select import same_files
from tests.support.builds import Counting


def test_same_files_are_those_of_one_artist_and_the_same_bytes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        digests = rng.integers(0, 256, (4, 32), dtype=np.uint8)
        pick, artist = rng.integers(0, 4, 25), rng.integers(-1, 2, 25)
        pairs = list(zip(pick.tolist(), artist.tolist(), strict=True))
        assert same_files(digests[pick], artist).tolist() == [pairs.index(pair) for pair in pairs]
    assert same_files(np.zeros((0, 32), np.uint8), np.zeros(0, np.int32)).tolist() == []


@pytest.fixture
def root(works: Callable) -> Path:
    root: Path = works({"works/ada": 12, "works/bo": 12, "background/cy": 4, "imitations/r1/ada": 2})
    return root


def indexed(root: Path, path: Path, encoder: Encoder) -> Path:
    build(list(find([root])), path, Counting(encoder))
    return path


@pytest.mark.parametrize("times", [1, 3])
def test_copies_of_a_folder_change_nothing(
    root: Path, tiny_encoder: Encoder, tmp_path: Path, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imindex.indexer.encoders.load.load_with", lambda *_, **__: tiny_encoder)
    query = tmp_path / "query.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(query)
    plain = ask(indexed(root, tmp_path / "plain.h5", tiny_encoder), [query], [], k=5, confidence_level=0.93)
    for number in range(times):
        for kind, artist in (("works", "ada"), ("works", "bo"), ("background", "cy")):
            shutil.copytree(root / kind / artist, root / kind / artist / f"again {number}")
    copied = ask(indexed(root, tmp_path / "copied.h5", tiny_encoder), [query], [], k=5, confidence_level=0.93)
    before, after = plain.queries[0], copied.queries[0]
    assert before.attribution is not None and not any(a.excludable for a in before.attribution.artists)
    assert after.attribution == before.attribution
    for kind in ("works", "background"):
        assert [(n.artist, n.cosine) for n in after.kinds[kind].pictures] == [
            (n.artist, n.cosine) for n in before.kinds[kind].pictures
        ]
        assert after.kinds[kind].artists == before.kinds[kind].artists
        assert {n.copies for n in after.kinds[kind].pictures} == {2**times - 1}
        assert {n.copies for n in before.kinds[kind].pictures} == {0}


def test_the_query_itself_and_placebo_names_are_marked(
    root: Path, tiny_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imindex.indexer.encoders.load.load_with", lambda *_, **__: tiny_encoder)
    listed = "".join(
        f"{path.relative_to(root)},{name},imitations,r2,{arm}\n"
        for name, arm, folder in (("ada", "own", "works/ada"), ("Zo", "placebo", "works/bo"))
        for path in sorted((root / folder).iterdir())[:2]
    )
    (root / "m.csv").write_text(f"path,artist,kind,collection,arm\n{listed}", encoding="utf-8")
    build(list(find([root / "works", root / "m.csv"])), tmp_path / "i.h5", Counting(tiny_encoder))
    query = root / "works/bo/000.png"
    answer = ask(tmp_path / "i.h5", [query], [], k=4).queries[0]
    same = {(kind, n.artist) for kind, found in answer.kinds.items() for n in found.pictures if n.same_file}
    assert same == {("works", "bo"), ("imitations", "Zo")}
    assert {(n.artist, n.arm) for n in answer.kinds["imitations"].pictures} == {
        ("ada", "own"),
        ("Zo", "placebo"),
    }
    table = answer_table(answer, "q")
    assert {record["artist"] for record in table.records if isinstance(record, dict)} == {"ada", "bo", "Zo *"}
    assert "* A placebo name: invented, no artist." in table.notes
    assert sum("is the same file as the query" in note for note in table.notes) == 2
    assert any("does not count for p" in note for note in table.notes)


def test_copies_that_are_also_listed_under_another_artist_count_once(
    root: Path, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    """Works that two artists share must not switch off the rule for near-duplicates."""
    shutil.copytree(root / "works/ada", root / "works/ada/again")
    for name in ("0", "1", "2", "3"):
        shutil.copy(root / f"works/ada/00{name}.png", root / f"works/bo/from-ada-{name}.png")
    with Index(indexed(root, tmp_path / "i.h5", tiny_encoder)) as index:
        works = index.column("collection") == [c.name for c in index.collections].index("works")
        result = attribute(index, np.asarray(index.vectors[0]), b"\0" * 32, works)
    assert {a.artist: a.n_works for a in result.artists} == {"ada": 12, "bo": 16}
    assert all(a.n_distinct_works <= a.n_works and not a.excludable for a in result.artists)


def test_pictures_of_two_artists_do_not_raise_the_threshold() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(60, 24))
    vectors[30:40] = vectors[:10]  # ten works are listed under both artists
    vectors[1] = vectors[0] + 0.02 * rng.normal(size=24)  # a near-duplicate under the first artist
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cluster, threshold = near_duplicates(vectors.astype(np.float16), np.repeat([0, 1], 30))
    assert threshold < 0.99
    assert cluster[1] == 0 and len(np.unique(cluster)) == 59
