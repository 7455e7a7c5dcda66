"""Compare the three methods for ranking own imitations with each other and with brute force.

Results must not depend on the blocks or the number of threads.
"""

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
    """Draw from only 16 vectors, whose cosines -1, -0.5, 0, 0.5 and 1 are on borders of cells of any width."""
    return rng.choice([-0.5, 0.5], (n, 4)).astype(np.float16)


def near(rng: np.random.Generator, n: int) -> Float16:
    """Draw vectors that differ only in the last bits: cosines differ by a few multiples of 2**-48, or are equal."""
    x = np.zeros((n, 4), np.float16)
    x[:, 0] = 1
    x[:, 1:] = rng.integers(-3, 4, (n, 3)) * 2.0**-24
    return x


def mixed(rng: np.random.Generator, n: int) -> Float16:
    """Draw random vectors, some of them repeated or negated, so that some cosines are extreme and tie exactly."""
    x = unit(rng, n)
    return x[rng.integers(0, max(1, n // 3), n)] * rng.choice([-1, 1], (n, 1)).astype(np.float16)


def grid(rng: np.random.Generator, n: int) -> Float16:
    """Draw vectors in two dimensions whose cosines to (1, 0) are multiples of 1/64."""
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
    """Return, for each work, the sorted ranks of own imitations, their U, and the U of all artists."""
    results: dict[int, tuple[list[int], int, list[int] | None]] = {}
    for part in parts:
        assert part.own.dtype == np.int32
        assert len(part.rows) == len(part.own) == len(part.u)
        for i, row in enumerate(part.rows.tolist()):
            assert row not in results
            every = None if part.every_u is None else part.every_u[i].tolist()
            results[row] = sorted(part.own[i].tolist()), int(part.u[i]), every
    return results


def brute_force(data: Sides) -> dict[int, tuple[list[int], int, list[int]]]:
    """Compute the same by comparing all pairs of scores as Python integers."""
    results = {}
    for row, artist in enumerate(data.work_artist.tolist()):
        exact = data.works[row].astype(float) @ data.imitations.astype(float).T
        scores = [int(value * 2**48) for value in exact]
        if data.csls_k is not None:
            scores = [2 * data.csls_k * s - p for s, p in zip(scores, data.penalties.tolist(), strict=True)]
        label = data.imitation_artist.tolist()
        own = sorted(sum(b >= a for b in scores) for a, o in zip(scores, label, strict=True) if o == artist)
        every = [
            sum(
                2 * (a > b) + (a == b)
                for a, artist_of_a in zip(scores, label, strict=True)
                if artist_of_a == number
                for b, artist_of_b in zip(scores, label, strict=True)
                if artist_of_b != number
            )
            for number in range(data.n_artists)
        ]
        results[row] = own, every[artist], every
    return results


SIZES = st.tuples(st.integers(1, 7), st.integers(1, 40), st.integers(1, 4))


@relaxed
@given(SEEDS, DRAWS, SIZES, st.sampled_from([None, 1, 3]), st.integers(1, 3000))
def test_all_three_methods_match_brute_force(
    seed: int, draw: object, sizes: tuple[int, int, int], k: int | None, limit: int
) -> None:
    data = world(seed, draw, sizes, k)
    expected = brute_force(data)
    assert by_row(every_rank(data)) == expected
    assert by_row(sorted_ranks(data, limit_bytes=limit)) == expected
    n, m = data.n_imitations, len(data.imitations)
    counted = by_row(counted_ranks(data, limit_bytes=limit))
    assert counted == {
        row: (own, u, None) for row, (own, u, _) in expected.items() if 0 < n[data.work_artist[row]] < m
    }


@pytest.mark.parametrize("k", [None, 15])
@pytest.mark.parametrize("draw", [unit, few, near, mixed, grid])
def test_results_do_not_depend_on_pieces_tiles_and_threads(
    draw: object, k: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cover several pieces and tiles, early comparison of pending scores, two threads, and few works at a time."""
    data = world(5, draw, (12, 1501, 6), k)
    expected = by_row(every_rank(data))
    plain = {row: (own, u, None) for row, (own, u, _) in expected.items()}
    assert by_row(sorted_ranks(data)) == expected
    assert by_row(counted_ranks(data)) == plain
    settings_ = ((64, 2**14, 1, 1), (100, 2**16, 2**20, 2), (1000, 2**12, 10**5, 2), (30, 2**20, 2**30, 1))
    for piece, limit, state, threads in settings_:
        monkeypatch.setattr("imindex.retrieval.match.counting.PIECE", piece)
        monkeypatch.setattr("imindex.retrieval.match.ranking.PIECE", piece)
        assert by_row(counted_ranks(data, limit_bytes=limit, state_bytes=state, threads=threads)) == plain
        assert by_row(sorted_ranks(data, limit_bytes=limit, threads=threads)) == expected


def test_cells_ascend_with_the_score() -> None:
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
        # Cells cover 1/2 around the middle of the own scores, and begin at a multiple of their width.
        assert np.abs(cell - place.clip(0, 1022)).max() <= 1
        integers, own_integers = (scores * 2**48).astype(np.int64), (own * 2**48).astype(np.int64)
        count = _Count(own_integers, np.zeros(1024, np.int32), np.zeros(1024, np.bool_))
        assert (np.diff(count.cell(integers)) >= 0).all()
        assert count.cell(own_integers).min() == 1 and count.cell(own_integers).max() <= 1022
        assert not count.hot[[0, -1]].any()  # scores beyond all own scores are not compared
        if own_integers[-1] - own_integers[0] > 1022:
            assert count.cell(own_integers).max() > 400  # a good part of the cells is used


def test_differences_of_csls_scores_may_exceed_64_bits() -> None:
    works = np.tile(np.array([[-1, 0]], np.float16), (6000, 1))
    works[0] = [1, 0]
    imitations = np.array([[1, 0], [-1, 0], [0, 1]], np.float16)
    artist = np.ones(6000, np.int64)
    artist[0] = 0
    k, penalties = csls_penalties(works, imitations, 6000)
    assert k > 5300
    data = Sides(works, artist, imitations, np.array([0, 1, 1]), 2, k, penalties)
    assert by_row(counted_ranks(data)) == {
        row: (*result[:2], None) for row, result in by_row(every_rank(data)).items()
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
def test_match_is_bit_identical_for_all_methods(
    draw: object, csls_k: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(8)
    data = (
        draw(rng, 60), rng.integers(0, 50, 60), draw(rng, 2000), rng.integers(0, 48, 2000), 50
    )  # type: ignore[operator] # fmt: skip
    called = []
    for name in ("counted_ranks", "sorted_ranks", "every_rank"):
        method = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, method=method, name=name, **k: called.append(name) or method(*a, **k)
        )
    by_every_rank = match(*data, csls_k=csls_k, keep_ranks=True)
    by_sorting = match(*data, csls_k=csls_k)
    by_counting = match(*data, csls_k=csls_k, matrix=False)
    assert called == ["every_rank", "sorted_ranks", "counted_ranks"]
    matrix = by_every_rank.auc_matrix
    assert np.array_equal(matrix, by_sorting.auc_matrix, equal_nan=True)
    assert np.array_equal(np.diagonal(matrix), np.diagonal(by_counting.auc_matrix), equal_nan=True)
    assert np.isnan(by_counting.auc_matrix[~np.eye(50, dtype=bool)]).all()
    for results in zip(figures(by_every_rank), figures(by_sorting), figures(by_counting), strict=True):
        assert np.array_equal(results[0], results[1], equal_nan=True)
        assert np.array_equal(results[0], results[2], equal_nan=True)
    assert by_every_rank.status == by_sorting.status == by_counting.status


def test_without_the_matrix_all_methods_omit_it() -> None:
    rng = np.random.default_rng(9)
    data = (unit(rng, 10), rng.integers(0, 2, 10), unit(rng, 30), rng.integers(0, 2, 30), 2)
    whole = match(*data)
    for options in ({}, {"keep_ranks": True}):  # too many own imitations to count; all ranks
        own = match(*data, matrix=False, **options)
        assert np.array_equal(np.diagonal(own.auc_matrix), np.diagonal(whole.auc_matrix))
        assert np.isnan(own.auc_matrix[[0, 1], [1, 0]]).all()
        assert np.array_equal(own.works.auc, whole.works.auc)


def test_every_rank_is_used_if_artists_and_scores_do_not_fit_in_64_bits() -> None:
    rng = np.random.default_rng(10)
    works, imitations = unit(rng, 5), unit(rng, 9)
    for n_artists, k, bits in (
        (5, None, 3),
        (8192, None, 13),
        (8193, None, None),
        (300, 15, 9),
        (8192, 15, None),
    ):
        penalties = np.full(9, 15 * 2**47)
        data = Sides(works, np.arange(5), imitations, np.arange(9) % 5, n_artists, k, penalties)
        assert label_bits(data) == bits
        if bits is None:
            with pytest.raises(ValueError, match="Use every_rank"):
                next(sorted_ranks(data))
        else:
            assert by_row(sorted_ranks(data)) == by_row(every_rank(data))
        parts = module._fastest(data, matrix=True)
        assert parts.gi_code.co_name == ("every_rank" if bits is None else "sorted_ranks")


def test_memory_is_bounded_by_the_blocks() -> None:
    """Similarities of 300 works x 20,000 imitations take 48 MB, and imitations 10 MB. Neither is held as a whole."""
    rng = np.random.default_rng(11)
    data = sides(unit(rng, 300, 64), np.arange(300) // 3, unit(rng, 20_000, 64), np.arange(20_000) % 100, 100)
    tracemalloc.start()
    expected = list(counted_ranks(data))
    whole = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    got = list(counted_ranks(data, limit_bytes=2**19, state_bytes=2**21))
    small = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert by_row(got) == by_row(expected)
    assert small < 8 * 2**20
    assert whole > 48 * 2**20  # so it is the limits that bound the memory
