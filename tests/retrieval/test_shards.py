"""Imitations in pieces, and works shared between workers: the results of a single process, to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.runners.calls import HereCalls, ProcessCalls
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import open_index
from imindex.retrieval import api
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.release_walk import Wanted, observe
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.match.counting import Counter, batches
from imindex.retrieval.match.counting_on_device import count_on_device
from imindex.retrieval.match.match import Match, match
from imindex.retrieval.match.ranking import Sides, csls_neighbours, csls_penalties
from imindex.retrieval.match.shards import Piece, Works, cut, match_in_pieces
from imindex.retrieval.search.nearest import nearest
from imindex.retrieval.shards.search import nearest_by_workers
from imindex.retrieval.shards.start import started
from imindex.retrieval.shards.worker import WORKER, Range, Rows, Worker, files_of
from tests.support.commands import run
from tests.support.divided import divided
from tests.support.invented_index import few, invented_index, unit
from tests.support.walks import everything, results

TESTING = api.Testing(placebos=("placebo *",), n_resamples=99, adjust="bh", seed=3)


def figures(result: Match) -> list[np.ndarray]:
    parts = (result.works, result.artists, result.macro)
    named = ("auc", "rank_percentile", "reciprocal_rank", "average_precision")
    arrays = [getattr(part, name) for part in parts for name in named]
    return [
        *arrays,
        *(value for part in parts for of in (part.recall, part.hit) for value in of.values()),
        result.auc_matrix,
    ]


def same(left: Match, right: Match) -> bool:
    return left.status == right.status and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(figures(left), figures(right), strict=True)
    )


@pytest.mark.parametrize("csls_k", [None, 3])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_any_division_into_pieces_gives_the_same_ranks(seed: int, ties: bool, csls_k: int | None) -> None:
    """Pieces are empty, hold one imitation, or none of an artist; and their order does not matter."""
    random = np.random.default_rng(seed)
    n_works, m, n_artists = (
        int(random.integers(1, 30)),
        int(random.integers(2, 400)),
        int(random.integers(1, 9)),
    )
    draw: Callable[[int], np.ndarray] = (
        (lambda n: few(random, n)) if ties else (lambda n: unit(random.standard_normal((n, 4))))
    )
    vectors, artist = draw(n_works), random.integers(0, n_artists, n_works)
    imitations, made_for = draw(m), random.integers(0, n_artists, m)
    imitations[random.integers(0, m, m // 4)] = imitations[0]
    expected = match(vectors, artist, imitations, made_for, n_artists, csls_k=csls_k, matrix=False)
    works = Works(vectors, artist, n_artists, csls_neighbours(csls_k, n_works))
    for n_pieces in (1, 2, 5):
        piece_of = random.integers(0, n_pieces, m) if random.random() < 0.5 else np.sort(
            random.integers(0, n_pieces, m)
        )  # fmt: skip
        pieces = []
        for number in random.permutation(n_pieces + 1).tolist():  # the last one is empty
            here = piece_of == number
            piece = Piece(works, imitations[here], made_for[here], threads=int(random.integers(1, 3)))
            penalties = piece.penalties()
            pieces.append(Piece(works, imitations[here], made_for[here], penalties))
        found = match_in_pieces(
            works,
            made_for,
            lambda rows, pieces=pieces: [piece.own(rows) for piece in pieces],
            lambda rows, own, pieces=pieces: [piece.count(rows, own) for piece in pieces],
            state_bytes=int(random.choice([1, 10**6, 2**30])),
        )
        assert same(found, expected)


@pytest.mark.parametrize("csls_k", [None, 3])
@pytest.mark.parametrize("ties", [False, True])
def test_counts_by_torch_are_those_of_numpy(ties: bool, csls_k: int | None) -> None:
    random = np.random.default_rng(5)
    draw: Callable[[int], np.ndarray] = (
        (lambda n: few(random, n)) if ties else (lambda n: unit(random.standard_normal((n, 4))))
    )
    vectors, imitations = draw(40), draw(700)
    artist, made_for = np.sort(random.integers(0, 5, 40)), random.integers(0, 5, 700)
    k, penalties = csls_penalties(vectors, imitations, csls_k)
    sides = Sides(vectors, artist, imitations, made_for, 5, k, penalties)
    counter, rows = Counter(sides), np.arange(40)
    own = counter.own_scores(rows)
    for tile_bytes in (1, 8 * 40 * 99, 2**20):
        found = count_on_device(sides, rows, own, "cpu", tile_bytes=tile_bytes)
        for left, right in zip(found, counter.count(rows, own), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_the_state_bounds_the_works_of_a_batch() -> None:
    artist, n = np.repeat(np.arange(10), 30), np.full(10, 500)
    assert [len(rows) for rows in batches(artist, n, csls=False, state_bytes=1)] == [1] * 300
    sizes = [len(rows) for rows in batches(artist, n, csls=False, state_bytes=2**24)]
    assert sum(sizes) == 300 and 1 < max(sizes) < 300
    assert not list(batches(artist, np.array([500, *[0] * 9]), csls=False))  # an artist that has them all


def test_pieces_are_bounded_and_cover_all_rows() -> None:
    for n in (0, 1, 5, 8191, 2**17, 10**6 + 1):
        for workers in (1, 2, 16):
            pieces = list(cut(n, workers))
            assert [row for piece in pieces for row in (piece.start, piece.stop)] == sorted(
                row for piece in pieces for row in (piece.start, piece.stop)
            )
            assert sum(piece.stop - piece.start for piece in pieces) == n
            assert all(0 < piece.stop - piece.start <= 2**17 for piece in pieces)
    assert len(list(cut(10**6, 16))) >= 64


class Several(HereCalls):
    """Workers in this process that divide the work as many processes do, each with files of its own."""

    def __init__(self, index: Index, n_workers: int):
        self._workers = [HereCalls(WORKER, files_of(index)) for _ in range(n_workers)]
        self.n_workers = n_workers
        self.state_bytes = 2**20
        self.asked: list[str] = []

    def map(self, method: str, tasks: Iterable[Sequence[Any]], common: Any = None) -> Iterator[Any]:
        self.asked.append(method)
        for number, task in enumerate(tasks):
            yield from self._workers[number % self.n_workers].map(method, [task], common)


@pytest.fixture(params=[(1, False), (2, True), (5, False)], ids=["plain", "ties", "other"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[Path], list[str]]:
    """An index, the same in parts of which one is empty and one tiny, and the artists with works."""
    seed, ties = request.param
    artists = invented_index(tmp_path / "i.h5", seed, ties=ties)
    with Index(tmp_path / "i.h5") as index:
        third = index.n // 3
    return tmp_path / "i.h5", divided(tmp_path / "i.h5", [third, third, third + 1, 2 * third]), artists


def without_files(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in ("root-digest", "index")}


@pytest.mark.parametrize("n_workers", [5])
def test_everything_observed_by_workers_equals_one_walk(
    world: tuple[Path, list[Path], list[str]], n_workers: int
) -> None:
    """Ranks, tests, MMD, votes, nearest works, galleries: each worker walks over the works of some artists."""
    path, parts, artists = world
    with Index(path) as alone, open_index(parts) as joined:
        calls = Several(joined, n_workers)
        expected = observe(Shared(alone), [everything(alone, one, artists) for one in ("r1", "r2")])
        found = observe(
            Shared(joined), [everything(joined, one, artists) for one in ("r1", "r2")], calls=calls
        )
        assert calls.asked == ["observe"]
        for release in ("r1", "r2"):
            pairs = zip(
                results(alone, release, artists, expected[release]),
                results(joined, release, artists, found[release]),
                strict=True,
            )
            for left, right in pairs:
                if hasattr(left, "to_dict"):
                    left, right = without_files(left.to_dict()), without_files(right.to_dict())
                assert left == right


def test_observers_absorb_in_any_order(world: tuple[Path, list[Path], list[str]]) -> None:
    path, _, artists = world

    class Shuffled(Several):
        def map(self, method: str, tasks: Iterable[Sequence[Any]], common: Any = None) -> Iterator[Any]:
            done = list(super().map(method, tasks, common))
            return iter([done[place] for place in np.random.default_rng(7).permutation(len(done))])

    with Index(path) as index:
        wanted = [everything(index, "r1", artists)]
        expected = observe(Shared(index), wanted)["r1"]
        found = observe(Shared(index), wanted, calls=Shuffled(index, 3))["r1"]
        assert results(index, "r1", artists, found) == results(index, "r1", artists, expected)


def test_ranks_of_all_imitations_are_not_shared(world: tuple[Path, list[Path], list[str]]) -> None:
    with Index(world[0]) as index, pytest.raises(ValueError, match="keep_ranks"):
        observe(Shared(index), [Wanted("r1", TESTING, keep_ranks=True)], calls=Several(index, 2))


def test_match_and_classify_of_parts_equal_those_of_one_file(
    world: tuple[Path, list[Path], list[str]],
) -> None:
    """In processes, with tests and without, with CSLS, sampled works, and the near-duplicates of several files."""
    path, parts, _ = world
    how: list[dict[str, Any]] = [
        {"matrix": False},
        {"matrix": False, "csls": True, "csls_k": 2, "recall_at": [1, 3]},
        {"matrix": True},
        {"testing": TESTING, "csls": True},
        {"testing": api.Testing(placebos=("placebo *",), n_resamples=99, seed=3, background=5)},
    ]
    n_repeated = 0
    with Index(path) as alone, open_index(parts) as joined, started(joined, api.Workers(n=2)) as calls:
        assert isinstance(calls, ProcessCalls) and calls.n_workers == 2
        for options in how:
            expected = match_release(alone, "r1", **options)
            n_repeated += expected.n_repeated_imitations
            found = match_release(joined, "r1", calls=calls, **options)
            assert without_files(found.to_dict()) == without_files(expected.to_dict())
        ties = joined.encoder.dim == 4
        assert n_repeated or not ties  # repetitions in several files
        named: list[tuple[str, dict[str, Any]]] = [("r2", {"testing": TESTING, "k": 3}), ("works", {})]
        for collection, options in named[: 1 if ties else 2]:
            names = classify_release(alone, collection, by="works", **options)
            found_names = classify_release(joined, collection, by="works", calls=calls, **options)
            assert without_files(found_names.to_dict()) == without_files(names.to_dict())


def test_workers_of_the_interface(world: tuple[Path, list[Path], list[str]]) -> None:
    path, parts, _ = world
    with api.open(path) as alone, api.open(parts) as joined:
        expected = alone.match("r1", testing=None, matrix=False).to_dict()
        for workers in (api.Workers(n=1), api.Workers(n=3)):
            found = joined.match("r1", testing=None, matrix=False, workers=workers).to_dict()
            assert without_files(found) == without_files(expected)
    for wrong in ({"on": "moon"}, {"n": 0}, {"address": "10.0.0.1:6379"}):
        with pytest.raises(ImindexError):
            api.Workers(**wrong)  # type: ignore[arg-type]


def test_one_process_works_in_pieces_where_memory_would_be_short(
    world: tuple[Path, list[Path], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imindex.retrieval.shards.start._memory", lambda: 100)
    with Index(world[0]) as index:
        with started(index, bytes_alone=30) as calls:
            assert calls is None
        with started(index, bytes_alone=34) as calls:
            assert isinstance(calls, HereCalls)


def test_nearest_rows_of_parts_equal_those_of_one_file(
    world: tuple[Path, list[Path], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from imindex.indexer.ann.exact import ExactSearcher

    monkeypatch.setattr("imindex.retrieval.shards.search.RANGE_ROWS", 7)
    path, parts, _ = world
    random = np.random.default_rng(4)
    with Index(path) as alone, open_index(parts) as joined:
        queries = np.asarray(alone.vectors[random.integers(0, alone.n, 20)])
        for share, k in ((1.0, 4), (0.3, 1), (0.05, 50), (1.0, 10**4)):
            among = random.random(alone.n) < share
            among[0] = True
            expected = nearest(ExactSearcher(alone.vectors), alone.vectors, queries, k=k, among=among)
            found = nearest_by_workers(Several(joined, 2), joined, queries, k, among)
            assert np.array_equal(found.rows, expected.rows)
            assert np.array_equal(found.scores, expected.scores)


def test_a_file_that_was_replaced_is_refused(world: tuple[Path, list[Path], list[str]]) -> None:
    _, parts, _ = world
    with open_index(parts) as joined:
        calls = HereCalls(WORKER, files_of(joined))
        parts[-1].replace(parts[0])
        rows = Range(0, 0, 1, np.array([128], np.uint8))
        with pytest.raises(ImindexError, match=r"part-00.h5 was replaced while this command was running"):
            list(calls.map("nearest", [(rows, 1)], np.asarray(joined.vectors[:1])))


def test_damaged_vectors_are_refused_by_workers_too(tmp_path: Path) -> None:
    invented_index(tmp_path / "i.h5", 3)
    with Index(tmp_path / "i.h5") as index:
        worker = Worker(files_of(index))
        worker._file(0).vectors = np.full((index.n, 8), 2.0, np.float16)
        with pytest.raises(ValueError, match="imitations: row 0"):
            worker.keys(None, Rows(0, np.arange(3), np.zeros(3, np.int64)))


def test_commands_share_work_between_processes(world: tuple[Path, list[Path], list[str]]) -> None:
    """The rows that `match` and `classify` print, and their JSON."""
    path, parts, _ = world
    pattern = parts[0].with_name("part-*.h5")
    words = ["--collection", "r1", "--no-tests", "--csv"]
    expected = run("match", "-i", path, *words).stdout
    assert run("match", "-i", pattern, *words, "--workers", 2).stdout == expected
    tested = ["match", "--collection", "r1", "--placebo", "placebo *", "--resamples", 99, "--json"]
    left, right = (
        json.loads(run(*tested, "-i", place, *more).stdout)
        for place, more in ((path, []), (pattern, ["--workers", 2]))
    )
    assert {**left, "index": "", "root-digest": ""} == {**right, "index": "", "root-digest": ""}
    assert "--address needs --on ray" in run("match", "-i", path, "--address", "10.0.0.1:6379", code=2).output
