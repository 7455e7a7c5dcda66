"""The three ways to the ranks of own imitations: against each other, brute force, any blocks, any threads."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.retrieval.match import match as module
from imindex.retrieval.match.counting import _Count, counted_ranks
from imindex.retrieval.match.match import Match, match
from imindex.retrieval.match.ranking import Part, Sides, csls_penalties, every_rank, label_bits, sorted_ranks
from imindex.retrieval.vectors.blocks import Float16, Int64

SEEDS = st.integers(0, 2**32 - 1)
relaxed = settings(deadline=None, max_examples=60)


def unit(rng: np.random.Generator, n: int, d: int = 24) -> Float16:
    x = rng.standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


def few(rng: np.random.Generator, n: int) -> Float16:
    """Only 16 kinds, whose cosines are -1, -0.5, 0, 0.5 and 1, on borders of cells of any width."""
    return rng.choice([-0.5, 0.5], (n, 4)).astype(np.float16)


def near(rng: np.random.Generator, n: int) -> Float16:
    """All alike but for the last bits: cosines within a few multiples of 2**-48, and many equal."""
    x = np.zeros((n, 4), np.float16)
    x[:, 0] = 1
    x[:, 1:] = rng.integers(-3, 4, (n, 3)) * 2.0**-24
    return x


def mixed(rng: np.random.Generator, n: int) -> Float16:
    """Random ones, each perhaps repeated or turned round: cosines near 1 and -1 to the bit."""
    x = unit(rng, n)
    return x[rng.integers(0, max(1, n // 3), n)] * rng.choice([-1, 1], (n, 1)).astype(np.float16)


def grid(rng: np.random.Generator, n: int) -> Float16:
    """Cosines that are whole multiples of 1/64, in two dimensions that cost nothing of the norm's tolerance."""
    x = np.zeros((n, 3), np.float16)
    x[:, 0] = rng.integers(-64, 65, n) / 64
    x[:, 1] = np.sqrt(1 - x[:, 0].astype(float) ** 2)
    if n > 1:
        x[rng.integers(0, n)] = [1, 0, 0]
    return x


DRAWS = st.sampled_from([unit, few, near, mixed, grid])


def sides(
    works: Float16,
    work_artist: Int64,
    imitations: Float16,
    imitation_artist: Int64,
    n_artists: int,
    k: int | None = None,
) -> Sides:
    k, penalties = csls_penalties(works, imitations, k)
    return Sides(works, work_artist, imitations, imitation_artist, n_artists, k, penalties)


def world(seed: int, draw: object, sizes: tuple[int, int, int], k: int | None) -> Sides:
    rng = np.random.default_rng(seed)
    n_works, n_imitations, n_artists = sizes
    vectors = draw(rng, n_works + n_imitations)  # type: ignore[operator]
    return sides(
        vectors[:n_works],
        rng.integers(0, n_artists, n_works),
        vectors[n_works:],
        rng.integers(0, n_artists, n_imitations),
        n_artists,
        k,
    )


def by_row(parts: Iterable[Part]) -> dict[int, tuple[list[int], int, list[int] | None]]:
    """Of each work: its own ranks in order, its U, and every U."""
    found: dict[int, tuple[list[int], int, list[int] | None]] = {}
    for part in parts:
        assert part.own.dtype == np.int32
        assert len(part.rows) == len(part.own) == len(part.u)
        for i, row in enumerate(part.rows.tolist()):
            assert row not in found
            every = None if part.every_u is None else part.every_u[i].tolist()
            found[row] = sorted(part.own[i].tolist()), int(part.u[i]), every
    return found


def brute_force(given: Sides) -> dict[int, tuple[list[int], int, list[int]]]:
    """By comparing whole numbers of Python, each with each."""
    found = {}
    for row, artist in enumerate(given.work_artist.tolist()):
        exact = given.works[row].astype(float) @ given.imitations.astype(float).T
        scores = [int(value * 2**48) for value in exact]
        if given.csls_k is not None:
            scores = [2 * given.csls_k * s - p for s, p in zip(scores, given.penalties.tolist(), strict=True)]
        label = given.imitation_artist.tolist()
        own = sorted(sum(b >= a for b in scores) for a, o in zip(scores, label, strict=True) if o == artist)
        every = [
            sum(
                2 * (a > b) + (a == b)
                for a, mine in zip(scores, label, strict=True)
                if mine == one
                for b, other in zip(scores, label, strict=True)
                if other != one
            )
            for one in range(given.n_artists)
        ]
        found[row] = own, every[artist], every
    return found


SIZES = st.tuples(st.integers(1, 7), st.integers(1, 40), st.integers(1, 4))


@relaxed
@given(SEEDS, DRAWS, SIZES, st.sampled_from([None, 1, 3]), st.integers(1, 3000))
def test_all_three_are_brute_force(
    seed: int, draw: object, sizes: tuple[int, int, int], k: int | None, limit: int
) -> None:
    given_ = world(seed, draw, sizes, k)
    expected = brute_force(given_)
    assert by_row(every_rank(given_)) == expected
    assert by_row(sorted_ranks(given_, limit_bytes=limit)) == expected
    n, m = given_.n_imitations, len(given_.imitations)
    counted = by_row(counted_ranks(given_, limit_bytes=limit))
    assert counted == {
        row: (own, u, None) for row, (own, u, _) in expected.items() if 0 < n[given_.work_artist[row]] < m
    }


@pytest.mark.parametrize("k", [None, 15])
@pytest.mark.parametrize("draw", [unit, few, near, mixed, grid])
def test_larger_than_a_piece(draw: object, k: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces and tiles, pending scores compared on the way, threads one and two, state for few works only."""
    given_ = world(5, draw, (12, 1501, 6), k)
    expected = by_row(every_rank(given_))
    plain = {row: (own, u, None) for row, (own, u, _) in expected.items()}
    assert by_row(sorted_ranks(given_)) == expected
    assert by_row(counted_ranks(given_)) == plain
    ways = ((64, 2**14, 1, 1), (100, 2**16, 2**20, 2), (1000, 2**12, 10**5, 2), (30, 2**20, 2**30, 1))
    for piece, limit, state, threads in ways:
        monkeypatch.setattr("imindex.retrieval.match.counting.PIECE", piece)
        monkeypatch.setattr("imindex.retrieval.match.ranking.PIECE", piece)
        assert by_row(counted_ranks(given_, limit_bytes=limit, state_bytes=state, threads=threads)) == plain
        assert by_row(sorted_ranks(given_, limit_bytes=limit, threads=threads)) == expected


def test_cells_never_fall_as_the_score_rises() -> None:
    rng = np.random.default_rng(3)
    steps = np.arange(-(2**17), 2**17)
    for exponent in range(-48, -16):
        scores = steps * 2.0**exponent
        scores = scores[np.abs(scores) < 1.99]
        own = np.sort(rng.choice(scores, 50))
        cosines = _Count(own, np.zeros(1024, np.int32), np.zeros(1024, np.bool_))
        cell = cosines.cell(scores)
        assert (np.diff(cell) >= 0).all()
        middle = (own[0] + own[-1]) / 2
        place = (scores - middle + 0.5) * 1024
        # The nearest, of those within 1/2 of the middle of the own scores; they begin at a multiple of their width.
        assert np.abs(cell - place.clip(0, 1022)).max() <= 1
        whole, mine = (scores * 2**48).astype(np.int64), (own * 2**48).astype(np.int64)
        count = _Count(mine, np.zeros(1024, np.int32), np.zeros(1024, np.bool_))
        assert (np.diff(count.cell(whole)) >= 0).all()
        assert count.cell(mine).min() == 1 and count.cell(mine).max() <= 1022
        assert not count.hot[[0, -1]].any()  # what is beyond all own scores is compared with none
        if mine[-1] - mine[0] > 1022:
            assert count.cell(mine).max() > 400  # and the cells are made use of


def test_scores_of_csls_may_lie_further_apart_than_64_bits_tell() -> None:
    works = np.tile(np.array([[-1, 0]], np.float16), (6000, 1))
    works[0] = [1, 0]
    imitations = np.array([[1, 0], [-1, 0], [0, 1]], np.float16)
    artist = np.ones(6000, np.int64)
    artist[0] = 0
    k, penalties = csls_penalties(works, imitations, 6000)
    assert k > 5300
    given_ = Sides(works, artist, imitations, np.array([0, 1, 1]), 2, k, penalties)
    assert by_row(counted_ranks(given_)) == {
        row: (*found[:2], None) for row, found in by_row(every_rank(given_)).items()
    }


def figures(result: Match) -> list[np.ndarray]:
    return [
        value
        for part in (result.works, result.artists, result.macro)
        for value in (
            part.auc, part.rank_percentile, part.reciprocal_rank, part.average_precision,
            *part.recall.values(), *part.hit.values(),
        )
    ]  # fmt: skip


@pytest.mark.parametrize("csls_k", [None, 4])
@pytest.mark.parametrize("draw", [unit, few, mixed])
def test_match_gives_the_same_bits_by_each_way(
    draw: object, csls_k: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    data = (
        draw(rng, 60), rng.integers(0, 50, 60), draw(rng, 2000), rng.integers(0, 48, 2000), 50
    )  # type: ignore[operator] # fmt: skip
    asked = []
    for name in ("counted_ranks", "sorted_ranks", "every_rank"):
        way = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, way=way, name=name, **k: asked.append(name) or way(*a, **k)
        )
    slow = match(*data, csls_k=csls_k, keep_ranks=True)
    quick = match(*data, csls_k=csls_k)
    own = match(*data, csls_k=csls_k, matrix=False)
    assert asked == ["every_rank", "sorted_ranks", "counted_ranks"]
    assert np.array_equal(slow.auc_matrix, quick.auc_matrix, equal_nan=True)
    assert np.array_equal(np.diagonal(slow.auc_matrix), np.diagonal(own.auc_matrix), equal_nan=True)
    assert np.isnan(own.auc_matrix[~np.eye(50, dtype=bool)]).all()
    for one, two, three in zip(figures(slow), figures(quick), figures(own), strict=True):
        assert np.array_equal(one, two, equal_nan=True)
        assert np.array_equal(one, three, equal_nan=True)
    assert slow.status == quick.status == own.status


def test_without_the_matrix_each_way_leaves_it_out() -> None:
    rng = np.random.default_rng(9)
    data = (unit(rng, 10), rng.integers(0, 2, 10), unit(rng, 30), rng.integers(0, 2, 30), 2)
    whole = match(*data)
    for options in ({}, {"keep_ranks": True}):  # too many own ones to count; every rank
        own = match(*data, matrix=False, **options)
        assert np.array_equal(np.diagonal(own.auc_matrix), np.diagonal(whole.auc_matrix))
        assert np.isnan(own.auc_matrix[[0, 1], [1, 0]]).all()
        assert np.array_equal(own.works.auc, whole.works.auc)


def test_too_many_artists_or_too_long_scores_fall_back() -> None:
    rng = np.random.default_rng(10)
    works, imitations = unit(rng, 5), unit(rng, 9)
    for n_artists, k, bits in (
        (5, None, 3),
        (8192, None, 13),
        (8193, None, None),
        (300, 15, 9),
        (8192, 15, None),
    ):
        one = np.arange(5), np.arange(9) % 5
        given_ = Sides(works, one[0], imitations, one[1], n_artists, k, np.full(9, 15 * 2**47))
        assert label_bits(given_) == bits
        if bits is None:
            with pytest.raises(ValueError, match="Use every_rank"):
                next(sorted_ranks(given_))
        else:
            assert by_row(sorted_ranks(given_)) == by_row(every_rank(given_))
        way = module._fastest(given_, matrix=True)
        assert way.gi_code.co_name == ("every_rank" if bits is None else "sorted_ranks")


def test_memory_is_bounded_by_the_blocks() -> None:
    """300 works x 20,000 imitations are 48 MB of similarities, the imitations 10 MB: neither is held whole."""
    rng = np.random.default_rng(11)
    given_ = sides(
        unit(rng, 300, 64), np.arange(300) // 3, unit(rng, 20_000, 64), np.arange(20_000) % 100, 100
    )
    tracemalloc.start()
    expected = list(counted_ranks(given_))
    whole = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    got = list(counted_ranks(given_, limit_bytes=2**19, state_bytes=2**21))
    small = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert by_row(got) == by_row(expected)
    assert small < 8 * 2**20
    assert whole > 48 * 2**20  # so the limits are what bounds it
