"""An index that answers many queries: what `query` says, to the bit, from several threads at a time."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import imindex
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval.search.one_pass import nearest_of
from imindex.retrieval.search.prepared import Prepared
from imindex.retrieval.search.queries import Queries
from imindex.retrieval.search.texts import Texts
from imindex.retrieval.vectors.rough import RoughTable
from tests.support.example_index import example, save
from tests.support.invented_index import invented_index, unit

CHOICES = [
    {},
    {"k": 3, "collections": ["r1", "works"]},
    {"artists": ["ada"], "confidence_level": 0.6},
    {"k": 100, "collections": ["r1"], "exact": True},
]


@pytest.mark.parametrize("choice", CHOICES)
def test_answers_to_vectors_are_those_of_query(built: Path, tmp_path: Path, choice: dict) -> None:
    new = tmp_path / "new.png"
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(new)
    pictures = [new, built.parent / "art/works/ada/0.png", built.parent / "art/imitations/r1/bo/1.png"]
    texts = ["Artwork from ada", "a word " * 60]
    with imindex.open(built) as index:
        expected = index.query(*pictures, texts=texts, encoder={"trust": True}, **choice)
        encoder = imindex.Encoder.load(index.encoder.model, device="cpu", precision="fp32")
        vectors = np.concatenate([encoder.encode_pictures(pictures), encoder.encode_texts(texts[:1])])
        digests = [hashlib.sha256(path.read_bytes()).digest() for path in pictures]
        names = [*map(str, pictures), f'"{texts[0]}"']
        prepared = index.prepared()
        found = prepared.query_vectors(vectors, names, [*digests, None], **choice)
    assert found.queries == expected.queries[:4]
    assert (found.index, found.k, found.rejects) == (expected.index, expected.k, expected.rejects)


def test_rows_are_asked_with_their_own_vectors(built: Path) -> None:
    with imindex.open(built) as index:
        prepared = index.prepared()
        rows = range(len(index))
        found = prepared.query_rows(rows)
        paths = [built.parent / item["path"] for item in index.items]
        expected = index.query(*paths, encoder={"trust": True})
        assert [answer.query for answer in found.queries] == [item["path"] for item in index.items]
        for one, other in zip(found.queries, expected.queries, strict=True):
            assert (one.kinds, one.attribution) == (other.kinds, other.attribution)
        with pytest.raises(ImindexError, match=f"has no row {len(index)}. Its rows are 0 to"):
            prepared.query_rows([len(index)])
        with pytest.raises(ImindexError, match="has no collection nothing"):
            prepared.query_rows([0], collections=["nothing"])


def test_threads_get_the_answers_of_one_thread(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 5)
    choices = [{}, {"collections": ["r1"]}, {"artists": ["artist 1", "artist 2"]}, {"k": 2}]
    with Index(tmp_path / "i.h5") as index:
        tasks = [(row, choices[row % 4]) for row in range(min(120, index.n))]
        expected = [Prepared(index).query_rows([row], **choice) for row, choice in tasks]
        prepared = Prepared(index)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda task: prepared.query_rows([task[0]], **task[1]), tasks))
    assert found == expected


def test_texts_and_pictures_may_come_in_any_order(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 2)
    with Index(tmp_path / "i.h5") as index:
        prepared = Prepared(index)
        vectors = np.asarray(index.vectors[:4])
        digests = [None, b"", None, b"\1" * 32]
        together = prepared.query_vectors(vectors, "abcd", digests).queries
        for place in range(4):
            alone = prepared.query_vectors(
                vectors[place : place + 1], "abcd"[place], digests[place : place + 1]
            )
            assert alone.queries[0] == together[place]
        assert [answer.attribution is None for answer in together] == [True, False, True, False]
        nothing = prepared.query_vectors(vectors[:1], "a", [b""], attribution="none").queries[0]
        assert nothing.attribution is None and nothing.kinds == together[0].kinds | nothing.kinds


def test_texts_in_memory_are_those_of_the_file(built: Path, tmp_path: Path) -> None:
    save(tmp_path / "hostile.h5", example())
    for path in (built, tmp_path / "hostile.h5"):
        with Index(path) as index:
            rows = np.array([1, 0, index.n - 1, 0])
            texts = Texts(index)
            from_file = texts.at(rows)
            texts.load()
            assert texts.at(rows) == from_file
            assert from_file["path"] == [index.column("path")[row] for row in rows]
            assert texts.at(rows[:0]) == {"path": [], "prompt": [], "arm": []}


def test_a_warm_index_answers_the_same(built: Path) -> None:
    with Index(built) as index:
        expected = Prepared(index).query_rows(range(5))
        warm = Prepared(index)
        warm.warm()
        assert warm.query_rows(range(5)) == expected
        deadline = time.monotonic() + 30
        while warm._texts._loaded is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert warm.query_rows(range(5)) == expected


def test_queries_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 2)
    with Index(tmp_path / "i.h5") as index:
        prepared, vector = Prepared(index), np.asarray(index.vectors[:1])
        with pytest.raises(ValueError, match="1 names, 1 vectors and 2 digests"):
            prepared.query_vectors(vector, ["a"], [b"", b""])
        with pytest.raises(ValueError, match="A SHA-256 has 32"):
            Queries(("a",), vector, (b"x",))
        with pytest.raises(ValueError, match="expected float16"):
            prepared.query_vectors(vector.astype(np.float32), ["a"], [b""])
        with pytest.raises(ValueError, match="dimensions"):
            prepared.query_vectors(np.eye(3, dtype=np.float16)[:1], ["a"], [b""])
        with pytest.raises(ImindexError, match="k"):
            prepared.query_vectors(vector, ["a"], [b""], k=0)
        with pytest.raises(ImindexError, match="attribution"):
            prepared.query_vectors(vector, ["a"], [b""], attribution="later")


@pytest.mark.parametrize("ties", [False, True])
def test_one_pass_finds_what_searches_find(
    tmp_path: Path, ties: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that tie, copies, more neighbours than rows, and few rows of a kind."""
    invented_index(tmp_path / "i.h5", 11, ties=ties)
    with Index(tmp_path / "i.h5") as index:
        passes = []
        real = Prepared._nearest_of
        monkeypatch.setattr(
            Prepared, "_nearest_of", lambda *words: passes.append(real(*words) is not None) or real(*words)
        )
        tasks = [(rows, k) for rows in ([0], [5, 6, 7], list(range(20, 27))) for k in (1, 10, 1000)]
        found = [Prepared(index).query_rows(rows, k=k) for rows, k in tasks]
        assert len(passes) == 4 * len(tasks) and all(passes)  # of each kind
        monkeypatch.setattr(Prepared, "_rough", lambda *_: None)
        assert found == [Prepared(index).query_rows(rows, k=k) for rows, k in tasks]


def test_vectors_that_rough_cosines_cannot_tell_are_searched_otherwise() -> None:
    random = np.random.default_rng(0)
    vectors = unit(random.standard_normal((3000, 64)))
    table = RoughTable(vectors, np.arange(3000))
    cosines, everything = table.rough(vectors[0]), np.ones(3000, bool)
    exact = vectors.astype(np.float64) @ vectors[0].astype(np.float64)
    found = nearest_of(table, cosines, vectors[0], 5, everything)
    assert found is not None and found.rows[0].tolist() == np.lexsort((np.arange(3000), -exact))[:5].tolist()
    assert nearest_of(table, cosines * np.float32(0.9), vectors[0], 5, everything) is None
    cosines[7] = np.nan
    assert nearest_of(table, cosines, vectors[0], 5, everything) is None
    assert nearest_of(table, cosines, vectors[0], 5, np.arange(3000) > 10) is not None
