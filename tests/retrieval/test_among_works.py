"""Similarities between works: bit-identical to those of the table of all pairs, in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.retrieval.match.among_works import among_works
from imindex.stats.keyed import generators
from imindex.stats.validity import GapCollector, ceiling, gap_bootstrap
from tests.support.invented_index import few, unit


def collector(artist: np.ndarray, n_artists: int, n_resamples: int = 40) -> GapCollector:
    names = [f"artist {number}" for number in range(n_artists)]
    return GapCollector(artist, n_artists, n_resamples=n_resamples, rng=generators(1, "gap", names))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_results_do_not_depend_on_the_tiles(seed: int) -> None:
    random = np.random.default_rng(seed)
    n_artists, n = random.integers(1, [9, 60])
    artist = random.integers(0, n_artists, n)
    works = few(random, n) if random.random() < 0.5 else unit(random.standard_normal((n, 8)))
    exact = works.astype(np.float64) @ works.astype(np.float64).T
    rounded = exact.astype(np.float32)
    names = [f"artist {number}" for number in range(n_artists)]
    gaps = gap_bootstrap(rounded, artist, n_artists, n_resamples=40, rng=generators(1, "gap", names))
    expected_ceiling = ceiling(rounded, artist, n_artists)
    sizes = {"tile_bytes": int(random.integers(1, 5000)), "wide_bytes": int(random.integers(1, 3000))}
    result = among_works(
        works, artist, n_artists, gaps=collector(artist, n_artists), keep_bytes=int(random.integers(0, 3000)),
        **sizes,
    )  # fmt: skip
    assert result.gaps is not None and result.ceiling is not None
    for name in ("gap", "low", "high", "nearest", "n_works"):
        np.testing.assert_array_equal(getattr(result.gaps, name), getattr(gaps, name))
    for name in ("auc", "work_auc", "macro", "n_works"):
        np.testing.assert_array_equal(getattr(result.ceiling, name), getattr(expected_ceiling, name))
    assert (result.gaps.status, result.ceiling.status) == (gaps.status, expected_ceiling.status)
    without_gaps = among_works(works, artist, n_artists, **sizes)
    assert without_gaps.gaps is None and without_gaps.ceiling is None
    for a in range(n_artists):
        rows = np.flatnonzero(artist == a)
        assert np.array_equal(result.rows(a), rows)
        assert np.array_equal(result.within(a), exact[np.ix_(rows, rows)])
        for b in range(n_artists):
            others = np.flatnonzero(artist == b)
            pairs = exact[np.ix_(rows, others)]
            values = pairs[np.tri(len(rows), k=-1, dtype=bool)] if a == b else pairs.ravel()
            expected = np.median(values) if len(values) else np.nan
            np.testing.assert_array_equal(result.discrimination.medians[a, b], expected)
    np.testing.assert_array_equal(without_gaps.discrimination.medians, result.discrimination.medians)


def test_similarities_that_are_kept_are_not_computed_again() -> None:
    random = np.random.default_rng(5)
    works, artist = unit(random.standard_normal((40, 8))), np.arange(40) % 4
    result = among_works(works, artist, 4, keep_bytes=2 * 100 * 8)  # 10 x 10 similarities of two artists
    kept = [result.within(a) is result.within(a) for a in range(4)]
    assert kept == [True, True, False, False]
    with pytest.raises(ValueError, match="read-only"):
        result.within(0)[:] = 0


def test_memory_grows_with_the_works_and_not_with_their_pairs() -> None:
    """The table of 3,000 works takes 36 MB in float32, and over 100 MB together with the values in float64."""

    def peak(n: int) -> int:
        random = np.random.default_rng(n)
        works, artist = unit(random.standard_normal((n, 16))), np.arange(n) % 100
        tracemalloc.start()
        among_works(works, artist, 100, gaps=collector(artist, 100, 20), tile_bytes=2**20, keep_bytes=2**20)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    small, large = peak(1_500), peak(3_000)
    assert large < 2.2 * small and large < 10 * 2**20
