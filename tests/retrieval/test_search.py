"""Search: in place without a copy, with exactly the rows that brute force in float64 finds, ties by row."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import faiss
import h5py
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.indexer.ann import exact as ann
from imindex.indexer.ann.exact import ExactSearcher
from imindex.indexer.ann.exact_blocks import FROM_QUERIES
from imindex.indexer.core.schema import item_columns
from imindex.indexer.store.index import Index
from imindex.retrieval.search.nearest import ArtistVotes, Neighbours, nearest, vote
from tests.support.example_index import DIM, example, row, save


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def table(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def brute(
    vectors: np.ndarray, queries: np.ndarray, k: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All cosines in float64, best first, ties by row."""
    rows = np.arange(len(vectors)) if among is None else np.flatnonzero(among)
    scores = queries.astype(np.float64) @ vectors[rows].astype(np.float64).T
    first = np.lexsort((np.broadcast_to(rows, scores.shape), -scores))[:, :k]
    return rows[first], np.take_along_axis(scores, first, 1)


def check(vectors: np.ndarray, queries: np.ndarray, k: int, among: np.ndarray | None = None) -> Neighbours:
    found = nearest(ExactSearcher(vectors), vectors, queries, k=k, among=among)
    rows, scores = brute(vectors, queries, k, among)
    assert found.rows.tolist() == rows.tolist()
    assert (found.scores == scores).all()  # not nearly: every bit
    return found


# FAISS, in place


def test_vectors_are_searched_in_place() -> None:
    vectors = table(100)
    searcher = ExactSearcher(vectors)
    codes = faiss.downcast_index(searcher._index).codes
    assert int(codes.data()) == vectors.ctypes.data
    assert searcher.search(vectors[:5].astype(np.float32), 1)[1].ravel().tolist() == [0, 1, 2, 3, 4]
    moved = vectors.copy()
    ctypes.memmove(vectors.ctypes.data, moved[::-1].tobytes(), moved.nbytes)  # under its feet: it is a view
    assert searcher.search(moved[:5].astype(np.float32), 1)[1].ravel().tolist() == [99, 98, 97, 96, 95]


def test_searching_a_mapped_index_allocates_no_memory(tmp_path: Path) -> None:
    n, dim = 200_000, 128
    vectors = np.memmap(tmp_path / "v", np.float16, "w+", shape=(n, dim))
    vectors[:] = np.float16(1 / np.sqrt(dim))
    vectors.flush()

    def anonymous() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    searchers = []
    before = anonymous()
    for _ in range(5):
        searchers.append(ExactSearcher(vectors))
        searchers[-1].search(np.ones((1, dim), np.float32), 10)
    assert anonymous() - before < vectors.nbytes / 4


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
@pytest.mark.parametrize("dim", [1, 7, 8, 512])
def test_header_and_vectors_are_a_faiss_file(n: int, dim: int) -> None:
    vectors = table(max(n, 1), dim)[:n]
    whole = ann.exact_header(n, dim) + vectors.tobytes()
    index = faiss.deserialize_index(np.frombuffer(whole, np.uint8))
    assert (index.ntotal, index.d, index.metric_type) == (n, dim, faiss.METRIC_INNER_PRODUCT)
    assert faiss.serialize_index(index).tobytes() == whole
    if n:
        queries, k = table(FROM_QUERIES - 1, dim, seed=1).astype(np.float32), min(n, 10)
        there, here = index.search(queries, k), ExactSearcher(vectors).search(queries, k)
        assert (there[0] == here[0]).all() and (there[1] == here[1]).all()


def test_stored_index_is_the_one_searched(tmp_path: Path) -> None:
    vectors = table(50, DIM)
    save(tmp_path / "i.h5", example(items=item_columns([row(i, 0, 0) for i in range(50)])), vectors)
    with h5py.File(tmp_path / "i.h5") as file:
        whole = np.concatenate([file["ann/data"][:], file["vectors"][:].reshape(-1).view(np.uint8)])
    stored = faiss.deserialize_index(whole).search(vectors[: FROM_QUERIES - 1].astype(np.float32), 5)
    with Index(tmp_path / "i.h5") as index:
        assert index.ann() == ann.describe()
        mine = ExactSearcher(index.vectors).search(vectors[: FROM_QUERIES - 1].astype(np.float32), 5)
        found = nearest(ExactSearcher(index.vectors), index.vectors, vectors, k=5)
    assert (stored[1] == mine[1]).all() and (stored[0] == mine[0]).all()
    assert found.rows.tolist() == brute(vectors, vectors, 5)[0].tolist()


class LikeGpu:
    """Behaves like faiss.GpuIndexFlatIP: it silently ignores a selection of rows, and returns at most 2048."""

    def __init__(self, vectors: np.ndarray):
        self._vectors = np.asarray(vectors, np.float32)

    def search(self, queries: np.ndarray, k: int, params: object = None) -> tuple[np.ndarray, np.ndarray]:
        if k > 2048:
            raise RuntimeError("GPU index only supports min/max-K selection up to 2048")
        scores = queries @ self._vectors.T
        rows = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, rows, 1), rows


def test_unsupported_gpu_searches_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ann, "_on_gpu", lambda vectors, device: LikeGpu(vectors))
    vectors = np.repeat(table(10, 32), 500, axis=0)
    for k, among in ((5, None), (3000, None), (5, np.arange(5000) % 7 == 3), (3, np.zeros(5000, bool))):
        found = nearest(ExactSearcher(vectors, "cuda"), vectors, vectors[:2], k=k, among=among)
        assert found.rows.tolist() == brute(vectors, vectors[:2], k, among)[0].tolist()


# Nearest


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 10), (17, 17), (300, 1), (300, 10), (300, 299), (5000, 50)])
def test_nearest_equals_brute_force(n: int, k: int) -> None:
    found = check(table(n, 32), table(6, 32, seed=1), k)
    assert found.rows.shape == (6, min(n, k))


@pytest.mark.parametrize("k", [1, 2, 10, 16, 17, 50, 999, 1000])
def test_many_equal_pictures_are_listed_by_row(k: int) -> None:
    vectors = np.repeat(table(4, 32), 250, axis=0)
    np.random.default_rng(3).shuffle(vectors)
    check(vectors, vectors[:3], k)


@pytest.mark.parametrize("copies", [2, 40, 400])
def test_ties_at_rank_k(copies: int) -> None:
    vectors = table(1000, 32)
    query = vectors[:1]
    order = brute(vectors, query, 1000)[0][0]
    vectors[order[6 : 6 + copies]] = vectors[order[6]]  # the 7th nearest is there `copies` times
    for k in (6, 7, 8, 10):
        check(vectors, query, k)


def test_near_ties_that_fp32_cannot_order_are_ordered() -> None:
    rng = np.random.default_rng(0)
    vectors = np.repeat(table(1, 64), 500, axis=0)
    flips = rng.integers(0, 64, 500)
    vectors.view(np.uint16)[np.arange(500), flips] ^= 1  # the last bit of one coordinate
    scores = vectors.astype(np.float64) @ vectors[0].astype(np.float64)
    assert len(np.unique(scores)) > 30 and np.ptp(scores) < 1e-3
    check(vectors, vectors[:4], 20)


def test_among_restricts_the_search_to_its_rows() -> None:
    vectors, queries = np.repeat(table(90, 32), 4, axis=0), table(5, 32, seed=2)
    rng = np.random.default_rng(7)
    for share in (0.0, 0.01, 0.3, 1.0):
        among = rng.random(len(vectors)) < share
        found = check(vectors, queries, 12, among)
        assert among[found.rows].all()
    last = np.zeros(len(vectors), bool)
    last[-1] = True  # the last bit of the last byte
    assert check(vectors, queries, 3, last).rows.tolist() == [[len(vectors) - 1]] * 5


def test_empty_request_and_empty_folder() -> None:
    vectors = table(5)
    assert nearest(ExactSearcher(vectors), vectors, vectors[:0], k=3).rows.shape == (0, 3)
    assert nearest(ExactSearcher(vectors[:0]), vectors[:0], vectors, k=3).rows.shape == (5, 0)
    assert check(vectors, vectors, 3, np.zeros(5, bool)).rows.shape == (5, 0)


def test_invalid_queries_are_refused() -> None:
    vectors = table(5)
    for queries, k, message in (
        (vectors, 0, "k is 0"),
        (vectors.astype(np.float32), 1, "float16"),
        (vectors * np.float16(2), 1, "norm"),
        (table(2, 8), 1, "dimensions"),
    ):
        with pytest.raises(ValueError, match=message):
            nearest(ExactSearcher(vectors), vectors, queries, k=k)


@dataclass
class Sloppy:
    """A searcher whose scores are rounded and whose ties are in any order, as on a GPU."""

    vectors: np.ndarray
    seed: int

    def search(
        self, queries: np.ndarray, k: int, *, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self.seed)
        scores = queries.astype(np.float64) @ self.vectors.astype(np.float64).T
        scores += rng.uniform(-4e-5, 4e-5, scores.shape)
        if among is not None:
            scores[:, ~among] = -np.inf
        rows = np.argsort(-scores, axis=1)[:, :k]
        return np.take_along_axis(scores, rows, 1).astype(np.float32), rows


few = arrays.arrays(np.int8, st.tuples(st.integers(1, 60), st.just(3)), elements=st.integers(-2, 2))


@settings(max_examples=150, deadline=None)
@given(few, st.integers(1, 70), st.integers(0, 99), st.data())
def test_nearest_equals_brute_force_for_any_vectors(
    values: np.ndarray, k: int, seed: int, data: st.DataObject
) -> None:
    values = values[np.any(values, axis=1)]
    if not len(values):
        return
    vectors = unit(values.astype(np.float64))
    among = data.draw(st.none() | arrays.arrays(np.bool_, len(vectors)))
    check(vectors, vectors[:3], k, among)
    found = nearest(Sloppy(vectors, seed), vectors, vectors[:3], k=k, among=among)
    rows, scores = brute(vectors, vectors[:3], k, among)
    assert found.rows.tolist() == rows.tolist() and (found.scores == scores).all()


# Votes


def test_votes_are_ordered_by_number_then_by_the_nearest_then_by_artist() -> None:
    rows = np.array([[0, 1, 2, 3, 4, 5, 6]])
    scores = np.array([[0.9, 0.8, 0.7, 0.6, 0.6, 0.5, 0.4]])
    artists = np.array([2, -1, 1, 1, 0, 3, 0], np.int32)
    assert vote(Neighbours(rows, scores), artists) == [
        [ArtistVotes(1, 2, 0.7), ArtistVotes(0, 2, 0.6), ArtistVotes(2, 1, 0.9), ArtistVotes(3, 1, 0.5)]
    ]
    tied = Neighbours(rows[:, :4], np.full((1, 4), 0.5))
    assert [v.artist for v in vote(tied, np.array([3, 0, 2, 1]))[0]] == [0, 1, 2, 3]
    assert vote(tied, np.full(4, -1)) == [[]]
    assert vote(Neighbours(rows[:, :0], scores[:, :0]), artists) == [[]]


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.int32, 30, elements=st.integers(-1, 4)), st.integers(0, 99))
def test_votes_equal_counter(artists: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(30)[None, :12]
    scores = -np.sort(-rng.random((1, 12)))
    (votes,) = vote(Neighbours(rows, scores), artists)
    named = artists[rows[0]]
    for v in votes:
        assert v.votes == np.count_nonzero(named == v.artist) > 0
        assert v.best == scores[0][named == v.artist].max()
    assert sum(v.votes for v in votes) == np.count_nonzero(named >= 0)
    order = [(-v.votes, -v.best, v.artist) for v in votes]
    assert order == sorted(order)
