"""Compare the walk over works and imitations, and its observers, with the full table: for any blocks, with ties."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from imindex.retrieval.classify.by_works import knn_scores, knn_scores_of
from imindex.retrieval.match.nearest_works import ArtistsNearest, NearestWorks
from imindex.retrieval.match.own_neighbours import OwnNeighbours
from imindex.retrieval.match.paired_cells import PairedCells
from imindex.retrieval.match.similarity_pass import Block, Columns, Limits, Watch, walk
from imindex.stats.set_scores import collect, twice_midranks
from tests.support.invented_index import few, unit

SEEDS = st.integers(0, 2**32 - 1)
relaxed = settings(deadline=None, max_examples=40)


class World:
    """Works of five artists, imitations of two releases, and limits. They are random, with or without ties."""

    def __init__(self, seed: int):
        self.random = random = np.random.default_rng(seed)
        self.n_artists = 5
        n, m, k = random.integers(1, [30, 40, 40])
        draw = few if random.random() < 0.5 else lambda rng, n: unit(rng.standard_normal((n, 6)))
        self.works, self.imitations = draw(random, n), [draw(random, m), draw(random, k)]
        self.work_artist = random.integers(0, 5, n)
        self.artists = [random.integers(0, 5, len(vectors)) for vectors in self.imitations]
        self.columns = [
            Columns.of(vectors, artist, 5)
            for vectors, artist in zip(self.imitations, self.artists, strict=True)
        ]
        self.tables = [self.works.astype(float) @ vectors.astype(float).T for vectors in self.imitations]
        self.limits = Limits(*(int(value) for value in random.integers(1, [8000, 3000, 3000])))

    def walk(self, *watches: Watch, **how: object) -> None:
        walk(self.works, self.work_artist, self.columns, watches, limits=self.limits, **how)  # type: ignore[arg-type]


class Recorder:
    """Records everything that it receives."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.blocks: list[tuple[np.ndarray, tuple[Block, ...]]] = []

    def add(self, rows: np.ndarray, *seen: Block) -> None:
        self.rows += rows.tolist()
        self.blocks.append((rows, seen))


@relaxed
@given(SEEDS)
def test_each_work_is_received_once_with_its_exact_similarities_and_ranks(seed: int) -> None:
    world = World(seed)
    n = len(world.works)
    numbers = world.random.permutation(n)
    some = np.where(world.random.random(n) < 0.5, numbers, -1)
    both, second, partly = Recorder(), Recorder(), Recorder()
    world.walk(
        Watch(both, (0, 1), numbers), Watch(second, (1,), np.arange(n)), Watch(partly, (0,), some),
        sequence=numbers,
    )  # fmt: skip
    assert sorted(both.rows) == sorted(second.rows) == list(range(n))
    assert sorted(partly.rows) == sorted(some[some >= 0].tolist())
    for recorder, releases, number in ((both, (0, 1), numbers), (second, (1,), None), (partly, (0,), some)):
        for rows, seen in recorder.blocks:
            works = rows if number is None else np.array([np.flatnonzero(number == row)[0] for row in rows])
            for release, block in zip(releases, seen, strict=True):
                expected = world.tables[release][works]
                order = world.columns[release].order
                assert np.array_equal(block.artist, world.work_artist[works])
                assert np.array_equal(block.similarity, expected[:, order])
                assert np.array_equal(block.ordered, np.sort(expected, axis=1))
                assert np.array_equal(block.rank, rankdata(-expected, "max", axis=1)[:, order])
                assert np.array_equal(block.midrank, twice_midranks(expected)[:, order])
                with pytest.raises(ValueError, match="read-only"):
                    block.similarity[:] = 0
    # Within an artist, all observers receive the works in the given sequence.
    for artist in range(5):
        own = [row for row in both.rows if world.work_artist[np.flatnonzero(numbers == row)[0]] == artist]
        seen_by_all = [row for row in own if row in partly.rows]
        assert seen_by_all == sorted(seen_by_all)


@relaxed
@given(SEEDS)
def test_sets_are_slices_of_the_columns(seed: int) -> None:
    world = World(seed)
    for columns, artists in zip(world.columns, world.artists, strict=True):
        assert np.array_equal(columns.order[columns.places()], np.arange(len(artists)))
        for artist in range(5):
            assert columns.order[columns.own(artist)].tolist() == np.flatnonzero(artists == artist).tolist()


@relaxed
@given(SEEDS)
def test_nearest_works_and_votes_match_the_full_table(seed: int) -> None:
    world = World(seed)
    n, table = len(world.works), world.tables[0].T
    k = int(world.random.integers(1, 9))
    chosen = np.flatnonzero(world.random.random(len(table)) < 0.7)
    places = world.columns[0].places()
    nearest, best = NearestWorks(places, k), ArtistsNearest(places[chosen], 5)
    world.walk(Watch(nearest, (0,), np.arange(n)), Watch(best, (0,), np.arange(n)))
    work, cosine = nearest.finish()
    order = np.argsort(-table, axis=1, kind="stable")[:, :k]
    n_found = min(k, n)
    assert np.array_equal(work[:, :n_found], order) and (work[:, n_found:] == -1).all()
    assert np.array_equal(cosine[:, :n_found], np.take_along_axis(table, order, axis=1))
    if len(chosen):
        expected = knn_scores(world.imitations[0][chosen], world.works, world.work_artist, 5, k=n_found)
        scores = knn_scores_of(best.cosine, work[chosen], world.work_artist)
        assert np.array_equal(scores, expected)


def test_works_in_the_worst_order_are_found() -> None:
    angles = np.linspace(1.5, 0.1, 60)
    works = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    imitations = np.array([[1, 0]], np.float16)
    observer = NearestWorks(np.array([0]), 7)
    zeros = np.zeros(60, np.int64)
    walk(works, zeros, [Columns.of(imitations, zeros[:1], 1)], [Watch(observer, (0,), np.arange(60))])
    assert observer.finish()[0].tolist() == [list(range(59, 52, -1))]


@relaxed
@given(SEEDS)
def test_paired_cells_match_the_concatenated_tables(seed: int) -> None:
    world = World(seed)
    n = len(world.works)
    numbers = world.random.permutation(n)
    cells = PairedCells()
    world.walk(Watch(cells, (0, 1), numbers))
    order = np.argsort(numbers)
    tables = [table[order] for table in world.tables]

    def expected(table: np.ndarray, artists: np.ndarray, artist: int) -> np.ndarray:
        own = artists == artist
        lines = table[world.work_artist[order] == artist]
        share = [
            [((line[~own] < value).sum() + (line[~own] <= value).sum()) / (2 * (~own).sum()) for value in line[own]]
            for line in lines
        ]  # fmt: skip
        return np.array(share)

    for artist in np.unique(world.work_artist).tolist():
        if not all((artists == artist).any() and (artists != artist).any() for artists in world.artists):
            continue
        own = cells.of(artist)
        assert np.array_equal(own.base, expected(tables[0], world.artists[0], artist))
        assert np.array_equal(own.new, expected(tables[1], world.artists[1], artist))
        both = expected(np.hstack(tables), np.concatenate(world.artists), artist)
        assert np.array_equal(own.both, both)


@relaxed
@given(SEEDS)
def test_own_neighbours_match_the_full_table(seed: int) -> None:
    world = World(seed)
    observer = OwnNeighbours(world.work_artist, 5)
    world.walk(Watch(observer, (0,), np.arange(len(world.works))))
    table, artists = world.tables[0], world.artists[0]
    for artist in np.unique(world.work_artist).tolist():
        own = artists == artist
        if not own.any():
            continue
        nearest = observer.of(artist)
        lines = table[world.work_artist == artist]
        best = np.flatnonzero(own)[lines[:, own].argmax(axis=1)]
        assert np.array_equal(nearest.imitation, best)
        assert np.array_equal(nearest.cosine, lines[np.arange(len(lines)), best])
        assert np.array_equal(nearest.rank, 1 + (lines[:, ~own] >= nearest.cosine[:, None]).sum(axis=1))
        assert nearest.histogram.sum() == (len(lines) * own.sum() if (~own).any() else 0)


def test_memory_does_not_grow_with_the_works() -> None:
    """Similarities of 400 works x 20,000 imitations take 64 MB. Only a few blocks are in memory at a time."""
    random = np.random.default_rng(3)
    imitations, works = unit(random.standard_normal((20_000, 16))), unit(random.standard_normal((400, 16)))
    columns = Columns.of(imitations, np.arange(20_000) % 50, 50)
    artist = np.arange(400) // 8

    class Sums:
        def __init__(self) -> None:
            self.total = 0

        def add(self, rows: np.ndarray, *seen: Block) -> None:
            self.total += int(seen[0].midrank.sum(dtype=np.int64))

    def peak(n: int, limits: Limits) -> int:
        sums = Sums()
        tracemalloc.start()
        walk(works[:n], artist[:n], [columns], [Watch(sums, (0,), np.arange(n))], limits=limits)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sums.total == n * 20_000 * 20_001
        return used

    small = Limits(product_bytes=2**21, block_bytes=2**20, wide_bytes=2**20)
    assert peak(400, small) < 1.2 * peak(100, small) < 16 * 2**20


def test_scores_of_sets_match_collect() -> None:
    """`Block.further` gives the fractions of `imindex.stats.set_scores`: others' imitations that are further."""
    world = World(11)
    seen = Recorder()
    world.walk(Watch(seen, (0,), np.arange(len(world.works))))
    expected = collect(
        [(slice(None), twice_midranks(world.tables[0]))], world.work_artist, world.artists[0], 5, rng=1
    )
    for rows, (block,) in seen.blocks:
        for artist, here in block.runs:
            n_others = (world.artists[0] != artist).sum()
            if artist in block.further and n_others:
                places = [
                    np.flatnonzero(np.flatnonzero(world.work_artist == artist) == row)[0]
                    for row in rows[here]
                ]
                share = np.sort(block.further[artist] / (2 * n_others), axis=1)
                assert np.array_equal(share, np.sort(expected.own[artist][places], axis=1))
