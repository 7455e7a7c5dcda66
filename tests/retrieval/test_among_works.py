"""Works against works, block by block: bit for bit as from the full table, in bounded memory."""

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
def test_tiling_changes_no_bit(seed: int) -> None:
    random = np.random.default_rng(seed)
    n_artists, n = random.integers(1, [9, 60])
    artist = random.integers(0, n_artists, n)
    works = few(random, n) if random.random() < 0.5 else unit(random.standard_normal((n, 8)))
    exact = works.astype(np.float64) @ works.astype(np.float64).T
    rounded = exact.astype(np.float32)
    names = [f"artist {number}" for number in range(n_artists)]
    gaps = gap_bootstrap(rounded, artist, n_artists, n_resamples=40, rng=generators(1, "gap", names))
    best = ceiling(rounded, artist, n_artists)
    sizes = {"tile_bytes": int(random.integers(1, 5000)), "wide_bytes": int(random.integers(1, 3000))}
    found = among_works(
        works, artist, n_artists, gaps=collector(artist, n_artists), keep_bytes=int(random.integers(0, 3000)),
        **sizes,
    )  # fmt: skip
    assert found.gaps is not None and found.ceiling is not None
    for name in ("gap", "low", "high", "nearest", "n_works"):
        np.testing.assert_array_equal(getattr(found.gaps, name), getattr(gaps, name))
    for name in ("auc", "work_auc", "macro", "n_works"):
        np.testing.assert_array_equal(getattr(found.ceiling, name), getattr(best, name))
    assert (found.gaps.status, found.ceiling.status) == (gaps.status, best.status)
    alone = among_works(works, artist, n_artists, **sizes)
    assert alone.gaps is None and alone.ceiling is None
    for a in range(n_artists):
        rows = np.flatnonzero(artist == a)
        assert np.array_equal(found.rows(a), rows)
        assert np.array_equal(found.within(a), exact[np.ix_(rows, rows)])
        for b in range(n_artists):
            others = np.flatnonzero(artist == b)
            pairs = exact[np.ix_(rows, others)]
            values = pairs[np.tri(len(rows), k=-1, dtype=bool)] if a == b else pairs.ravel()
            expected = np.median(values) if len(values) else np.nan
            np.testing.assert_array_equal(found.discrimination.medians[a, b], expected)
    np.testing.assert_array_equal(alone.discrimination.medians, found.discrimination.medians)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_some_artists_have_the_results_that_they_have_among_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    n_artists, n = random.integers(1, [9, 60])
    artist = random.integers(0, n_artists, n)
    works = few(random, n) if random.random() < 0.5 else unit(random.standard_normal((n, 8)))
    chosen = random.permutation(n_artists)[: random.integers(0, n_artists + 1)]
    rest = np.setdiff1d(np.arange(n_artists), chosen)
    sizes = {"tile_bytes": int(random.integers(1, 5000)), "wide_bytes": int(random.integers(1, 3000))}
    whole = among_works(works, artist, n_artists, gaps=collector(artist, n_artists))
    some = among_works(
        works, artist, n_artists, gaps=collector(artist, n_artists), artists=chosen, keep_bytes=3000, **sizes
    )
    rows = among_works(works, artist, n_artists, artists=chosen, every_median=False, **sizes)
    assert whole.gaps and some.gaps and whole.ceiling and some.ceiling
    np.testing.assert_array_equal(some.discrimination.medians, whole.discrimination.medians)
    for name in ("gap", "nearest"):
        np.testing.assert_array_equal(getattr(some.discrimination, name), getattr(whole.discrimination, name))
        np.testing.assert_array_equal(
            getattr(rows.discrimination, name)[chosen], getattr(whole.discrimination, name)[chosen]
        )
    for name in ("gap", "low", "high", "nearest"):
        np.testing.assert_array_equal(getattr(some.gaps, name)[chosen], getattr(whole.gaps, name)[chosen])
    assert np.isnan(some.gaps.gap[rest]).all() and np.isnan(some.ceiling.auc[rest]).all()
    np.testing.assert_array_equal(some.ceiling.auc[chosen], whole.ceiling.auc[chosen])
    assert np.isnan(rows.discrimination.medians[np.ix_(rest, rest)]).all()
    for a in range(n_artists):
        assert np.array_equal(some.rows(a), np.flatnonzero(artist == a))
        assert np.array_equal(some.within(a), whole.within(a))


def test_cached_scores_of_an_artist_are_not_recomputed() -> None:
    random = np.random.default_rng(5)
    works, artist = unit(random.standard_normal((40, 8))), np.arange(40) % 4
    found = among_works(works, artist, 4, keep_bytes=2 * 100 * 8)  # two artists' 10 x 10
    kept = [found.within(a) is found.within(a) for a in range(4)]
    assert kept == [True, True, False, False]
    with pytest.raises(ValueError, match="read-only"):
        found.within(0)[:] = 0


def test_memory_grows_with_the_works_and_not_with_their_pairs() -> None:
    """The table of 3,000 works takes 36 MB in float32, and over 100 MB with the values in float64."""

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
