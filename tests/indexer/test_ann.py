"""Approximate indexes: stored recall, search, round trips, and refusal of damaged data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import h5py
import numpy as np
import pytest

from imindex.indexer.ann import faiss_kinds as ann_kinds
from imindex.indexer.ann import tuning as ann_measure
from imindex.indexer.ann import upkeep as ann_carry
from imindex.indexer.ann.approximate import ApproximateSearcher, stored
from imindex.indexer.ann.exact import ExactSearcher
from imindex.indexer.ann.record import APPROXIMATE, Record
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index, recompute_root_digest
from imindex.retrieval.search.nearest import nearest
from tests.support.approximate import (
    DIM,
    N,
    clustered,
    copy,
    run,
    searcher,
    shared,
    truth,
)


@pytest.fixture
def path(optimized: dict[str, Path], tmp_path: Path) -> Path:
    return copy(optimized["ivf-pq"], tmp_path)


# Recall


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_stored_recall_matches_the_measured_recall(optimized: dict[str, Path], kind: str) -> None:
    with Index(optimized[kind]) as index:
        record = Record.read(index.ann())
        fresh = clustered(1_000, seed=7)
        found = searcher(index).search(fresh.astype(np.float32), 10)[1]
        measured = shared(found, truth(index.vectors, fresh))
        assert record.recall >= record.target == 0.95 and record.held_out and record.n_queries == 250
        assert measured >= 0.93 and abs(measured - record.recall) < 0.03


def test_recall_excludes_the_query_and_matches_brute_force() -> None:
    table = clustered(600)
    table[5] = table[6] = table[7]  # ties: any of them will do
    rows = np.array([0, 5, 6, 599])
    asked = ann_measure.queries(table, rows)
    exact = table.astype(np.float64) @ table[rows].astype(np.float64).T
    for place, row in enumerate(rows):
        others = np.delete(exact[:, place], row)
        assert asked.least[place] == pytest.approx(np.sort(others)[-10], abs=1e-6)

    class Half:
        """Returns every second nearest neighbour, starting with the query itself."""

        def search(
            self, queries: np.ndarray, k: int, *, among: np.ndarray | None = None
        ) -> tuple[np.ndarray, np.ndarray]:
            assert among is None
            return queries, truth(table, table[rows], 2 * k)[:, ::2]

    found = ann_measure.recalls(Half(), table, asked)  # type: ignore[arg-type]
    for place, row in enumerate(rows):
        got = [r for r in truth(table, table[rows], 22)[place, ::2] if r != row][:10]
        good = np.sort(np.delete(exact[:, place], row))[-10]
        assert found[place] == np.mean([exact[r, place] >= good - 1e-9 for r in got])


def test_recall_reached_by_chance_does_not_count() -> None:
    assert ann_measure.reaches(np.full(100, 0.95), 0.95) and ann_measure.reaches(np.ones(3), 1.0)
    wavering = np.tile([1.0, 0.9], 50)
    assert wavering.mean() == pytest.approx(0.95) and not ann_measure.reaches(wavering, 0.95)
    assert ann_measure.reaches(wavering, 0.94) and not ann_measure.reaches(wavering, 0.945)


def test_more_recall_takes_more_work(tmp_path: Path) -> None:
    table, work = clustered(N), []
    for target in (0.6, 0.9, 0.99):
        found = ann_carry.make("ivf-pq", table, target, seed=0, memory=0)
        assert found is not None and found.record.recall >= target
        work.append(found.record.work)
    assert work == sorted(set(work))


def test_held_out_rows_do_not_influence_training() -> None:
    table, drawn = clustered(N), np.random.default_rng(0).permutation(N)
    held, others = drawn[:500], np.sort(drawn[500:])
    changed = table.copy()
    changed[held] = clustered(500, seed=1)
    for kind in ("ivf-pq", "ivf"):
        trained = [
            ann_kinds.trained_sha256(ann_kinds.train(kind, rows, others, seed=3)) for rows in (table, changed)
        ]
        assert trained[0] == trained[1]
        assert trained[0] != ann_kinds.trained_sha256(ann_kinds.train(kind, table, held, seed=3))


# Stored in the file


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_every_kind_round_trips_bit_for_bit_and_opens_in_place(optimized: dict[str, Path], kind: str) -> None:
    with Index(optimized[kind]) as index, h5py.File(optimized[kind], locking=False) as file:
        data = index.ann_data()
        opened = ann_kinds.read(kind, data, index.vectors)
        assert isinstance(data, np.memmap) and (data == file["ann/data"][:]).all()
        assert (ann_kinds.to_bytes(opened) == data).all()
        assert ann_kinds.trained_sha256(opened) == index.ann()["trained-sha256"]
        if kind == "ivf-pq":  # without a second copy of the vectors
            assert len(data) < index.vectors.nbytes
        if kind == "ivf":
            there = int(faiss.downcast_InvertedLists(opened.invlists).get_codes(0))
            assert data.ctypes.data <= there < data.ctypes.data + data.size
        if kind == "hnsw":  # a graph only, over the vectors of the file
            assert len(data) < 300 * N
            assert faiss.downcast_index(opened.storage).codes.data().__int__() == index.vectors.ctypes.data
        assert recompute_root_digest(index) == index.root_digest


def test_an_optimized_file_differs_only_in_ann_and_the_log(optimized: dict[str, Path]) -> None:
    with Index(optimized["exact"]) as before, Index(optimized["ivf-pq"]) as after:
        assert before.root_digest == after.root_digest and (before.vectors == after.vectors).all()
        assert [line["summary"].split(":")[0] for line in after.log()] == ["build", "optimize"]
        line = after.log()[-1]
        assert line["digest-before"] == line["digest-after"] == after.root_digest
        queries = clustered(20, seed=3).astype(np.float32)
        one, other = (ExactSearcher(i.vectors).search(queries, 10) for i in (before, after))
        assert (one[0] == other[0]).all() and (one[1] == other[1]).all()


def test_the_exact_kind_removes_an_approximate_index(path: Path, optimized: dict[str, Path]) -> None:
    assert "is exact again" in run("optimize", "-i", path, "--kind", "exact").stdout
    with Index(path) as index, Index(optimized["exact"]) as before:
        assert index.ann() == before.ann() and (index.ann_data() == before.ann_data()).all()
        assert stored(index) is None and index.root_digest == before.root_digest
    written = path.read_bytes()
    assert "stays exact" in run("optimize", "-i", path, "--kind", "exact").stdout
    assert path.read_bytes() == written


# Search


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_scores_come_from_the_vectors_and_searches_can_be_restricted(
    optimized: dict[str, Path], kind: str
) -> None:
    fresh = clustered(50, seed=2)
    with Index(optimized[kind]) as index:
        table = np.asarray(index.vectors)
        among = np.arange(N) % 3 == 0
        quick = searcher(index, exact_rows=10)
        scores, rows = quick.search(fresh.astype(np.float32), 10, among=among)
        assert quick.approximate_queries and among[rows].all() and (np.diff(scores, axis=1) <= 0).all()
        cosines = np.einsum("qd,qkd->qk", fresh.astype(np.float64), table[rows].astype(np.float64))
        assert np.abs(scores - cosines).max() < 1e-5
        wanted = np.flatnonzero(among)[truth(table[among], fresh)]
        assert shared(rows, wanted) > 0.9


@pytest.mark.parametrize("kind", APPROXIMATE)
@pytest.mark.parametrize("one_in", [1, 2, 3, 5, 9])
def test_the_target_recall_is_reached_among_a_subset_of_rows(
    optimized: dict[str, Path], kind: str, one_in: int
) -> None:
    """The nearest ten among a third of the rows are about the nearest thirty of all, in over three times the lists."""
    fresh = clustered(600, seed=2)
    with Index(optimized[kind]) as index:
        record, table = Record.read(index.ann()), np.asarray(index.vectors)
        among = np.random.default_rng(4).random(N) < 1 / one_in
        rows = searcher(index, exact_rows=10).search(fresh.astype(np.float32), 10, among=among)[1]
        wanted = np.flatnonzero(among)[truth(table[among], fresh)]
        assert record.recall_among > 0.94
        assert shared(rows, wanted) > record.target - 0.015  # three standard errors


def test_hard_queries_are_searched_exactly(optimized: dict[str, Path]) -> None:
    fresh = clustered(30, seed=2)
    few = np.arange(N) % 20 == 0
    with Index(optimized["ivf-pq"]) as index:
        table, quick = np.asarray(index.vectors), searcher(index)
        for k, among in ((10, few), (10, np.arange(N) < N // 2), (N // 2, None), (2_000, None)):
            rows = np.flatnonzero(among) if among is not None else np.arange(N)
            found = nearest(quick, table, fresh, k=k, among=among)
            assert (found.rows == rows[truth(table[rows], fresh, k)]).all()
        assert not quick.approximate_queries
        quick.parameters = {
            "nprobe": 1,
            "nprobe-among-tenth": 2,
            "refine": 2,
        }  # a list has fewer rows than are asked for
        found = quick.search(fresh.astype(np.float32), 40)[1]
        exact = (found == truth(table, fresh, 40)).all(axis=1)
        assert (found >= 0).all() and 0 < quick.approximate_queries < len(fresh)
        assert exact.sum() >= len(fresh) - quick.approximate_queries


def test_nearest_terminates_when_all_rows_tie(tmp_path: Path) -> None:
    table = np.repeat(clustered(20), 100, axis=0)
    made = ann_carry.make("ivf-pq", table, 0.9, seed=0, memory=0)
    assert made is not None
    quick = ApproximateSearcher(table, made.record, made.data)
    found = nearest(quick, table, table[::100], k=10)
    assert (found.rows == truth(table, table[::100])).all()


# Untrusted files


def damage(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "r+") as file:
        file["ann"].attrs[name] = value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "ivf"),
        ("kind", "hnsw"),
        ("parameters", "{}"),
        ("parameters", '{"nprobe": 0, "nprobe-among-tenth": 1, "refine": 2}'),
        ("parameters", '{"nprobe": 1, "nprobe-among-tenth": 999999, "refine": 2}'),
        ("parameters", '{"nprobe": 1, "refine": 2}'),
        ("recall-among-tenth", -1.0),
        ("parameters", "no JSON"),
        ("metric", "l2"),
        ("recall", 2.0),
        ("work", 0),
    ],
)
def test_inconsistent_attributes_are_refused(path: Path, name: str, value: Any) -> None:
    damage(path, name, value)
    with Index(path) as index, pytest.raises(ImindexError, match=r"damaged.*--exact"):
        stored(index)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_index_of_other_rows_is_refused(optimized: dict[str, Path], kind: str) -> None:
    with Index(optimized[kind]) as index:
        data, table = index.ann_data(), np.asarray(index.vectors)
        for other in (table[:-1], table[:, :16].copy(), np.concatenate([table, table[:1]])):
            with pytest.raises(ImindexError, match="damaged"):
                ann_kinds.read(kind, data, other)
        for size in (0, 4, 100, len(data) // 2, len(data) - 1):
            with pytest.raises(ImindexError, match="damaged"):
                ann_kinds.read(kind, np.asarray(data[:size]).copy(), table)
        flat = faiss.IndexFlatIP(DIM)
        flat.add(table.astype(np.float32))
        with pytest.raises(ImindexError, match="damaged"):
            ann_kinds.read(kind, faiss.serialize_index(flat), table)


def test_rows_and_links_outside_the_file_are_refused(optimized: dict[str, Path]) -> None:
    with Index(optimized["ivf"]) as index:
        data, table = np.array(index.ann_data()), np.asarray(index.vectors)
        opened = ann_kinds.read("ivf", data, table)
        lists = [(rows.copy(), codes) for rows, codes in ann_kinds.split_lists(opened)]
        full = next(number for number, (rows, _) in enumerate(lists) if len(rows) > 1)
        for wrong, said in ((N, "other rows"), (-1, "other rows"), (lists[full][0][1], "two lists")):
            changed = [(rows.copy(), codes) for rows, codes in lists]
            changed[full][0][0] = wrong
            bad = ann_kinds.to_bytes(ann_kinds.from_lists(opened, ann_kinds.centroids_of(opened), changed))
            with pytest.raises(ImindexError, match=said):
                ann_kinds.read("ivf", bad, table)
    with Index(optimized["hnsw"]) as index:
        data, table = np.array(index.ann_data()), np.asarray(index.vectors)
        links = faiss.vector_to_array(ann_kinds.read("hnsw", data, table).hnsw.neighbors)[:64].tobytes()
        place = data.tobytes().index(links)
        for wrong in (N, -2, 2**31 - 1):
            bad = data.copy()
            bad[place : place + 4] = np.frombuffer(np.int32(wrong).tobytes(), np.uint8)
            with pytest.raises(ImindexError, match="a link points outside the graph"):
                ann_kinds.read("hnsw", bad, table)
