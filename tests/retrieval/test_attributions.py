"""Attribution with the works compared once: every figure is that of comparing them for each picture, to the bit."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.store.index import Index
from imindex.retrieval.results import AttributedArtist, Attribution
from imindex.retrieval.search import attribution
from imindex.retrieval.search.attribution import Attributions, attribute
from imindex.retrieval.search.digests import Digests
from imindex.retrieval.search.prepared import Prepared
from imindex.retrieval.vectors import rough
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.retrieval.vectors.rough import RoughTable
from imindex.stats.conformal import conformal_attribution
from imindex.stats.duplicates import link
from tests.support.invented_index import few, invented_index, unit


def attributed_anew(
    vectors: np.ndarray,
    artist: np.ndarray,
    digests: np.ndarray,
    vector: np.ndarray,
    digest: bytes,
    level: float,
) -> tuple[int, list[AttributedArtist]]:
    """Compare all works for one picture: plain loops, float64 products, no shortcut."""
    order = [row for row in range(len(vectors)) if (vectors[row].tobytes(), artist[row]) not in {
        (vectors[other].tobytes(), artist[other]) for other in range(row)
    }]  # fmt: skip
    threshold = near_duplicates(vectors[order], artist[order])[1] if order else 1.0
    itself = np.array([bool(digest) and row.tobytes() == digest for row in digests], bool)
    found = []
    for number in np.unique(artist[~itself]).tolist():
        rows, seen = [], set()
        for row in np.flatnonzero((artist == number) & ~itself).tolist():
            if vectors[row].tobytes() not in seen:
                rows.append(row)
                seen.add(vectors[row].tobytes())
        own = vectors[rows].astype(np.float64)
        cosines = own @ own.T
        result = conformal_attribution(
            own @ vector.astype(np.float64), cosines, np.zeros(len(rows), int), 1,
            cluster=link(cosines, threshold), confidence_level=level,
        )  # fmt: skip
        found.append(
            AttributedArtist(
                artist=f"artist {number}", p=result.pvalue[0], n_works=len(rows),
                n_distinct_works=int(result.n_distinct[0]), smallest_p=result.resolution[0],
                excludable=bool(result.excludable[0]), in_set=bool(len(result.prediction_set)),
                score=result.score[0],
            )
        )  # fmt: skip
    return int(itself.sum()), sorted(found, key=lambda a: (-a.p, -a.score, a.artist))


class Invented:
    """What `Attributions` reads of an index."""

    def __init__(self, vectors: np.ndarray, n_artists: int):
        self.vectors, self.artists = vectors, tuple(f"artist {number}" for number in range(n_artists))


def world(seed: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Works of artists with one to forty works, with copies of files, other files of equal pictures, and series."""
    random = np.random.default_rng(seed)
    sizes = [1, 1, 2, 3, 5, 6, 7, 12, *random.integers(1, 40, 4)]
    artist = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    n = len(artist)
    if kind == "ties":
        vectors = few(random, n)
    else:
        centres = random.standard_normal((len(sizes), 24))
        vectors = unit(centres[artist] + (0.4 if kind == "near" else 1.5) * random.standard_normal((n, 24)))
    digests = random.integers(0, 256, (n, 32), dtype=np.uint8)
    for a, b in random.integers(0, n, (n // 3, 2)):
        chance = random.random()
        if chance < 0.3:
            vectors[b], digests[b] = vectors[a], digests[a]
        elif chance < 0.5:
            vectors[b] = vectors[a]
        elif kind != "ties":
            vectors[b] = unit((vectors[a] + 0.03 * random.standard_normal(24))[None])[0]
            artist[b] = artist[a]
    return vectors, artist, digests


@pytest.mark.parametrize("kind", ["far", "near", "ties"])
@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_that_of_comparing_all_works_for_each_picture(seed: int, kind: str) -> None:
    vectors, artist, digests = world(seed, kind)
    index, everything = Invented(vectors, artist.max() + 1), np.ones(len(vectors), bool)
    table = Attributions(index, everything, artist.astype(np.int32), Digests(digests))
    random = np.random.default_rng(seed + 100)
    new = few(random, 20) if kind == "ties" else unit(vectors[:20] + 0.3 * random.standard_normal((20, 24)))
    asked = [(vectors[row], digests[row].tobytes()) for row in range(len(vectors))]
    asked += [(vector, b"") for vector in new] + [(vector, b"\7" * 32) for vector in vectors[:10]]
    for vector, digest in asked:
        n_itself, artists = attributed_anew(vectors, artist, digests, vector, digest, 0.8)
        found = table.attribute(vector, digest, 0.8)
        assert list(found.artists) == artists
        assert found.n_itself == n_itself
        assert found.set == tuple(a.artist for a in artists if a.in_set)


def test_few_dimensions_of_rough_cosines_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PyTorch that rounds more than expected is noticed, and exact cosines take over."""
    vectors, artist, digests = world(1, "near")
    columns = (artist.astype(np.int32), Digests(digests))
    index, everything = Invented(vectors, artist.max() + 1), np.ones(len(vectors), bool)
    expected = [Attributions(index, everything, *columns).attribute(vector, b"") for vector in vectors[:20]]
    right = RoughTable.rough
    monkeypatch.setattr(RoughTable, "rough", lambda table, vector: right(table, vector) * np.float32(0.9))
    table = Attributions(index, everything, *columns)
    assert [table.attribute(vector, b"") for vector in vectors[:20]] == expected


def test_rough_cosines_are_within_their_bound_and_rows_may_be_few() -> None:
    random = np.random.default_rng(0)
    vectors = unit(random.standard_normal((5000, 512)))
    vectors[7] = vectors[5]
    vectors.flags.writeable = False
    for rows in (
        np.arange(5000),
        np.arange(4, 5000, 100),
        random.permutation(5000)[:2000],
        np.zeros(0, np.int64),
    ):
        table = RoughTable(vectors, rows)
        for vector in (vectors[5], vectors[4], -vectors[5]):
            exact = vectors[rows].astype(np.float64) @ vector.astype(np.float64)
            assert (table.exact(vector) == exact).all()
            assert np.abs(table.rough(vector) - exact).max(initial=0) <= rough.ERROR / 2
    assert table.exact(vectors[0], np.zeros(0, np.int64)).shape == (0,)


def test_works_that_many_wait_for_are_compared_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    invented_index(tmp_path / "i.h5", 3)
    with Index(tmp_path / "i.h5") as index:
        expected = Prepared(index).query_rows([0, 1]).queries
        assert not any(answer.attribution_pending for answer in expected)
        monkeypatch.setattr(attribution, "_AT_ONCE", 0)
        prepared = Prepared(index)
        first = prepared.query_rows([0, 1], attribution="ready").queries
        assert [answer.kinds for answer in first] == [answer.kinds for answer in expected]
        assert all(answer.attribution is None and answer.attribution_pending for answer in first)
        assert first[0].to_dict()["attribution_pending"] is True
        deadline = time.monotonic() + 60
        while prepared.query_rows([0, 1], attribution="ready").queries != expected:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert "attribution_pending" not in expected[0].to_dict()


def test_a_work_without_artist_or_of_no_artist_is_no_work() -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((3, 8)))
    columns = (np.full(3, -1, np.int32), Digests(np.zeros((3, 32), np.uint8)))
    found = Attributions(Invented(vectors, 1), np.ones(3, bool), *columns).attribute(vectors[0], b"\0" * 32)
    assert found == Attribution(confidence_level=0.95, n_itself=3, set=(), artists=())


def test_one_picture_gets_what_many_get(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 7)
    with Index(tmp_path / "i.h5") as index:
        prepared = Prepared(index)
        works = prepared.selection().masks["works"]
        for row in range(0, index.n, 9):
            digest = bytes(index.column("sha256")[row])
            found = prepared.query_rows([row]).queries[0].attribution
            assert found == attribute(index, np.asarray(index.vectors[row]), digest, works)
