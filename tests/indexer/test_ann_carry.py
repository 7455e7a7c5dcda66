"""Updates of an optimized index: added rows are found, and nothing is left of removed rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from imindex.indexer.ann import exact as ann
from imindex.indexer.ann import faiss_kinds as ann_kinds
from imindex.indexer.ann import tuning
from imindex.indexer.ann import upkeep as ann_carry
from imindex.indexer.ann.approximate import ApproximateSearcher
from imindex.indexer.ann.record import APPROXIMATE, Record
from imindex.indexer.ann.upkeep import ann_after
from imindex.indexer.core.provenance import entry
from imindex.indexer.maintain.remove import remove
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from tests.support.approximate import (
    DIM,
    N,
    clustered,
    contents,
    copy,
    searcher,
    shared,
    truth,
)


@pytest.fixture
def path(optimized: dict[str, Path], tmp_path: Path) -> Path:
    return copy(optimized["ivf-pq"], tmp_path)


# Added and removed rows


def grown(path: Path, extra: np.ndarray, keep: np.ndarray | None = None) -> list[str]:
    """Rewrite the index at `path` with some rows kept and others added; return the notes."""
    with Index(path) as old:
        keep = np.ones(old.n, bool) if keep is None else keep
        table = np.concatenate([np.asarray(old.vectors)[keep], extra])
        how, notes = ann_after(old, np.flatnonzero(keep), len(table), DIM)
        write(path, contents(len(table)), [table], entry=entry("", "test", ""), **how)
    assert how["carry"] is not None
    return notes


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_added_rows_are_found_without_retraining(
    optimized: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    path = copy(optimized[kind], tmp_path)
    with Index(path) as index:
        before = Record.read(index.ann())
    extra = clustered(700, seed=5)
    assert grown(path, extra) == []
    with Index(path) as index:
        after, table = Record.read(index.ann()), np.asarray(index.vectors)
        assert index.n == N + 700 and after.rows_trained == N
        assert after.rows_changed == 0 and not after.held_out and after.recall >= 0.95  # measured again
        if kind != "hnsw":
            assert after.trained_sha256 == before.trained_sha256
            opened = ann_kinds.read(kind, index.ann_data(), index.vectors)
            rows = np.concatenate([rows for rows, _ in ann_kinds.split_lists(opened)])
            assert sorted(rows.tolist()) == list(range(N + 700))
        found = searcher(index).search(extra.astype(np.float32), 10)[1]
        assert np.mean(found[:, 0] == np.arange(N, N + 700)) > 0.97
        assert shared(found, truth(table, extra)) > 0.93


@pytest.mark.parametrize("kind", ["ivf-pq", "ivf"])
def test_an_updated_index_equals_a_refilled_one(
    optimized: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """Codes and lists of kept and added rows equal those that the quantizer assigns to the vectors."""
    path = copy(optimized[kind], tmp_path)
    keep = np.arange(N) % 7 != 0
    grown(path, clustered(300, seed=6), keep)
    with Index(optimized[kind]) as old, Index(path) as index:
        first = ann_kinds.read(kind, old.ann_data(), old.vectors)
        opened = ann_kinds.read(kind, index.ann_data(), index.vectors)
        table = np.asarray(index.vectors, np.float32)
        lists = first.quantizer.search(np.asarray(old.vectors, np.float32), 1)[1][:, 0]
        kept = lists[keep]
        for number, (rows, codes) in enumerate(ann_kinds.split_lists(opened)):
            old_ones = rows < keep.sum()
            assert (kept[rows[old_ones]] == number).all() and (np.sort(rows) == rows).all()
            if len(rows) and kind == "ivf-pq":
                assert (first.pq.compute_codes(table[rows]) == codes).all()
            if len(rows) and kind == "ivf":
                assert (codes.view(np.float16) == index.vectors[rows]).all()


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_removed_artist_is_not_listed(optimized: dict[str, Path], tmp_path: Path, kind: str) -> None:
    path = copy(optimized[kind], tmp_path)
    with Index(path) as index:
        gone = index.column("artist") == 3
        old_table = np.asarray(index.vectors)
        codes = (
            ann_kinds.split_lists(ann_kinds.read(kind, index.ann_data(), old_table)) if kind == "ivf" else []
        )
    report = remove(path, artists=["artist 3"])
    assert report.removed == gone.sum() == N // 10
    trained = [note for note in report.notes if "retrained" in note]
    assert len(trained) == (kind == "hnsw")
    with Index(path) as index:
        assert index.ann()["kind"] == kind and index.n == N - N // 10
        table = np.asarray(index.vectors)
        opened = ann_kinds.read(kind, index.ann_data(), index.vectors)
        assert opened.ntotal == index.n
        found = searcher(index).search(old_table[gone].astype(np.float32), 10)[1]
        assert found.max() < index.n and shared(found, truth(table, old_table[gone])) > 0.9
        if kind == "ivf":  # neither in the lists nor as a list's centroid
            raw = index.ann_data().tobytes()
            assert not any(code.tobytes() in raw for rows, its in codes for code in its[gone[rows]])


def test_a_centroid_equal_to_a_vector_is_removed_with_it(tmp_path: Path) -> None:
    table = clustered(2_000, spread=0.3)
    lonely = np.zeros(DIM)
    lonely[:2] = 0.6, -0.8
    table[7] = lonely
    index = ann_kinds.train("ivf-pq", table, np.arange(2_000), seed=0)
    centroids = ann_kinds.centroids_of(index)
    centroids[11] = table[7]
    index = ann_kinds.from_lists(index, centroids, [])
    ann_kinds.add(index, table)
    keep = np.delete(np.arange(2_000), 7)
    moved = ann_carry.renumbered("ivf-pq", index, keep, 2_000, table[keep])
    left = ann_kinds.centroids_of(moved)
    assert (centroids @ lonely).max() > 0.999 and (left @ lonely).max() < 0.95
    assert table[7].astype(np.float32).tobytes() not in ann_kinds.to_bytes(moved).tobytes()


def test_small_changes_accumulate_until_the_recall_is_measured_again(path: Path) -> None:
    with Index(path) as index:
        first = Record.read(index.ann())
    for number, changed in ((1, 30), (2, 0)):  # 30 and 60 of 5,000: the second is above one in a hundred
        grown(path, clustered(30, seed=10 + number))
        with Index(path) as index:
            record = Record.read(index.ann())
        assert record.rows_changed == changed and record.held_out == bool(changed)
    assert record.recall != first.recall or record.n_queries != first.n_queries


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_parameters_that_still_reach_the_target_are_kept_after_two_searches(
    optimized: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A build that adds a few pictures must not repeat the dozens of searches that choose the parameters."""
    path = copy(optimized[kind], tmp_path)
    with Index(path) as index:
        before = Record.read(index.ann())
    before = replace(before, target=0.8)
    monkeypatch.setattr(Record, "read", staticmethod(lambda _: before))
    searches: list[int] = []
    recalls = tuning.recalls
    monkeypatch.setattr(tuning, "recalls", lambda *a: searches.append(len(a[2].rows)) or recalls(*a))
    assert grown(path, clustered(200, seed=8)) == []
    monkeypatch.undo()
    assert len(searches) == 2 and len(set(searches)) == 1
    with Index(path) as index:
        after = Record.read(index.ann())
    assert after.parameters == before.parameters and after.rows_changed == 0
    assert after.n_queries == searches[0] and after.recall >= 0.8 and not after.held_out


def test_parameters_that_fall_short_are_chosen_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Index(path) as index:
        before = Record.read(index.ann())
    poor = replace(before, parameters={**before.parameters, "nprobe": 1, "refine": 1})
    monkeypatch.setattr(Record, "read", staticmethod(lambda _: poor))
    grown(path, clustered(200, seed=8))
    monkeypatch.undo()
    with Index(path) as index:
        after = Record.read(index.ann())
    assert after.recall >= before.target and after.parameters["nprobe"] > 1


@pytest.mark.parametrize("among", [False, True])
def test_both_recalls_must_reach_the_target(
    optimized: dict[str, Path], monkeypatch: pytest.MonkeyPatch, among: bool
) -> None:
    recalls = tuning.recalls

    def lowered(searcher: ApproximateSearcher, vectors: np.ndarray, held_out: tuning.Queries) -> np.ndarray:
        factor = 0.9 if (held_out.among is not None) == among else 1.0
        return factor * recalls(searcher, vectors, held_out)

    with Index(optimized["ivf-pq"]) as index:
        record = Record.read(index.ann())
        opened = ann_kinds.read("ivf-pq", index.ann_data(), index.vectors)
        drawn = tuning.queries(index.vectors, np.arange(0, N, 20))
        arguments = opened, "ivf-pq", index.vectors, drawn, 0.92, record.parameters
        assert tuning.measured_again(*arguments) is not None
        monkeypatch.setattr(tuning, "recalls", lowered)
        assert tuning.measured_again(*arguments) is None


def test_it_is_retrained_after_growing_beyond_its_training(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ann_carry, "_GROWTH", 1.1)
    notes = grown(path, clustered(600, seed=5))
    assert len(notes) == 1 and "retrained: it was trained on 5000 rows and there are 5600 now" in notes[0]
    with Index(path) as index:
        record = Record.read(index.ann())
        assert record.rows_trained == 5_600 and record.held_out and record.recall >= 0.95


def test_it_is_retrained_when_new_rows_have_another_distribution(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If all new rows fall into one list, the lists are useless, and the measured work shows it."""
    rng = np.random.default_rng(4)
    middle = 3 * rng.normal(size=DIM) + rng.normal(size=(200, DIM))
    other = middle[rng.integers(0, 200, 6_000)] + 0.3 * rng.normal(size=(6_000, DIM))
    other = (other / np.linalg.norm(other, axis=1, keepdims=True)).astype(np.float16)
    monkeypatch.setattr(ann_carry, "_GROWTH", 2.5)
    notes = grown(path, other)
    assert len(notes) == 1 and "retrained" in notes[0] and "times the work" in notes[0]
    with Index(path) as index:
        assert Record.read(index.ann()).rows_trained == N + 6_000


def test_too_few_rows_or_a_damaged_index_make_it_exact_again(path: Path, tmp_path: Path) -> None:
    few = copy(path, tmp_path / "few") if (tmp_path / "few").mkdir() is None else path
    assert "too few" in grown(few, clustered(1), np.arange(N) < 900)[0]
    with h5py.File(path, "r+") as file:
        file["ann/data"][:40] = 0
    assert "damaged" in grown(path, clustered(1))[0]
    for each in (few, path):
        with Index(each) as index:
            assert index.ann() == ann.describe()
            assert index.ann_data().tobytes() == ann.exact_header(index.n, DIM)


def test_moved_rows_leave_the_index_unchanged(path: Path) -> None:
    with Index(path) as index:
        before, data = index.ann(), index.ann_data().tobytes()
    grown(path, clustered(0))
    with Index(path) as index:
        assert index.ann() == before and index.ann_data().tobytes() == data
