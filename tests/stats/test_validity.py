"""Validity of an encoder for an artist: against imindex.retrieval.match.match, brute force, scikit-learn and theory."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from imindex.retrieval.match.discrimination import discrimination_gap
from imindex.stats.resampling import draw_weights
from imindex.stats.validity import ceiling, gap_bootstrap, medians_between, medians_within


def artists(
    n_works: list[int], spread: float = 1.0, seed: int = 0, d: int = 16
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Works scattered around one direction per artist: vectors, similarities, artist numbers."""
    random = np.random.default_rng(seed)
    artist = random.permutation(np.repeat(np.arange(len(n_works)), n_works))
    vectors = random.normal(size=(len(n_works), d))[artist] + spread * random.normal(size=(len(artist), d))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    exact = vectors.astype(np.float64)
    return vectors, exact @ exact.T, artist


@pytest.mark.parametrize("n_works", [[5, 6, 7, 8], [4, 1, 0, 9, 2], [3, 0], [1], [2, 2]])
def test_gap_equals_match(n_works: list[int]) -> None:
    vectors, similarity, artist = artists(n_works)
    theirs = discrimination_gap(vectors, artist, len(n_works))
    ours = gap_bootstrap(similarity, artist, len(n_works), n_resamples=20, rng=1)
    np.testing.assert_array_equal(ours.gap, theirs.gap)
    np.testing.assert_array_equal(ours.nearest, theirs.nearest)
    np.testing.assert_array_equal(ours.n_works, theirs.n_works)
    for mine, other in zip(ours.status, theirs.status, strict=True):
        assert mine == other if other != "ok" else mine.startswith(("robust", "ambiguous", "too few"))
    np.testing.assert_array_equal(np.isnan(ours.low), np.isnan(theirs.gap))


def test_equal_medians_name_the_lowest_number() -> None:
    similarity = np.full((6, 6), 0.5)
    found = gap_bootstrap(similarity, [0, 0, 1, 1, 2, 2], 3, rng=1)
    assert found.nearest.tolist() == [1, 0, 0] and found.gap.tolist() == [0, 0, 0]
    assert found.status == ("too few works",) * 3


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_medians_equal_medians_of_copies(ties: bool) -> None:
    random = np.random.default_rng(3)
    left, right = draw_weights(5, 60, random).T, draw_weights(4, 60, random).T
    block, square = random.random((5, 4)), random.random((5, 5))
    square += square.T
    if ties:
        block, square = block.round(1), square.round(1)
    between, within = medians_between(block, left, right), medians_within(square, left)
    for b in range(60):
        i, j = (np.repeat(np.arange(len(w)), w[:, b].astype(int)) for w in (left, right))
        assert between[b] == np.median(block[np.ix_(i, j)])
        pairs = [square[p, q] for k, p in enumerate(i) for q in i[:k] if p != q]
        assert within[b] == np.median(pairs) if pairs else np.isnan(within[b])
    assert np.isnan(medians_within(square, np.array([[5.0], [0], [0], [0], [0]]))).all()


@pytest.mark.parametrize("digits", [None, 2, 1])
def test_bisected_medians_equal_exhaustive_medians(
    digits: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(8)
    left, right = draw_weights(40, 90, random).T, draw_weights(25, 90, random).T
    block = random.random((40, 25)) + random.random((40, 1))  # rows differ, so medians of resamples do
    square = random.random((40, 40)) + random.random((40, 1))
    square += square.T
    if digits is not None:
        block, square = block.round(digits), square.round(digits)
    monkeypatch.setattr("imindex.stats.validity._SPAN", 10**6)
    expected = medians_between(block, left, right), medians_within(square, left)
    for span in (1, 7, 200):
        monkeypatch.setattr("imindex.stats.validity._SPAN", span)
        np.testing.assert_array_equal(medians_between(block, left, right), expected[0])
        np.testing.assert_array_equal(medians_between(block.T, right, left), expected[0])
        np.testing.assert_array_equal(medians_within(square, left), expected[1])


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    _, similarity, artist = artists([6, 7, 8])
    whole = gap_bootstrap(similarity, artist, 3, n_resamples=101, rng=1)
    monkeypatch.setattr("imindex.stats.validity._BLOCK", 300)
    parts = gap_bootstrap(similarity, artist, 3, n_resamples=101, rng=1)
    np.testing.assert_array_equal(whole.low, parts.low)
    np.testing.assert_array_equal(whole.high, parts.high)


def test_interval_equals_drawing_works() -> None:
    _, similarity, artist = artists([7, 8, 6], spread=1.5, seed=4)
    rows = [np.flatnonzero(artist == a) for a in range(3)]
    random, gaps = np.random.default_rng(5), []
    for _ in range(3000):
        drawn = [random.choice(own, len(own)) for own in rows]
        own = drawn[0]
        within = [similarity[p, q] for k, p in enumerate(own) for q in own[:k] if p != q]
        gaps.append(np.median(within) - max(np.median(similarity[np.ix_(own, drawn[b])]) for b in (1, 2)))
    low, high = np.quantile(gaps, [0.05, 0.95])
    found = gap_bootstrap(similarity, artist, 3, n_resamples=20_000, confidence_level=0.9, rng=6)
    assert found.low[0] == pytest.approx(low, abs=0.05 * (high - low))
    assert found.high[0] == pytest.approx(high, abs=0.05 * (high - low))


def test_classes() -> None:
    _, similarity, artist = artists([12] * 4, spread=0.3)
    assert set(gap_bootstrap(similarity, artist, 4, rng=1).status) == {"robust positive"}
    # The last artist works in the styles of two others.
    styles = np.eye(8)[np.repeat([0, 1, 0, 1], [10, 10, 5, 5])]
    vectors = styles + np.random.default_rng(1).normal(0, 0.05, styles.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    status = gap_bootstrap(vectors @ vectors.T, np.repeat([0, 1, 2], 10), 3, rng=1).status
    assert status[2] != "robust positive"
    _, similarity, artist = artists([10] * 3, spread=100)
    assert "robust positive" not in gap_bootstrap(similarity, artist, 3, rng=1).status
    assert set(gap_bootstrap(np.eye(30) - 0.4 * (artist[:, None] == artist), artist, 3, rng=1).status) == {
        "robust negative"
    }
    _, similarity, artist = artists([4, 5], spread=0.1)
    few = gap_bootstrap(similarity, artist, 2, rng=1)
    assert few.status == ("too few works", "robust positive") and few.low[0] > 0


def test_rivals_are_the_nearest() -> None:
    _, similarity, artist = artists([8] * 6, spread=1.0, seed=7)
    all_rivals = gap_bootstrap(similarity, artist, 6, n_rivals=50, rng=1)
    one = gap_bootstrap(similarity, artist, 6, n_rivals=1, rng=1)
    assert (all_rivals.high <= one.high).all() and (all_rivals.low <= one.low).all()
    for a in range(6):
        both = np.isin(artist, [a, one.nearest[a]])
        alone = gap_bootstrap(similarity[np.ix_(both, both)], artist[both], 6, n_resamples=4000, rng=2)
        more = gap_bootstrap(similarity, artist, 6, n_rivals=1, n_resamples=4000, rng=3)
        assert more.low[a] == pytest.approx(alone.low[a], abs=0.05)


def test_gap_is_fast() -> None:
    _, similarity, artist = artists([20] * 70, d=64)
    start = time.process_time()
    gap_bootstrap(similarity, artist, 70, n_resamples=1000, rng=1)
    assert time.process_time() - start < 6  # 0.9 s on an idle core


@pytest.mark.parametrize("ties", [False, True])
def test_ceiling_equals_sklearn(ties: bool) -> None:
    _, similarity, artist = artists([6, 9, 4, 1, 0], spread=1.5)
    if ties:
        similarity = similarity.round(1)
    found = ceiling(similarity, artist, 5)
    for work, own in enumerate(artist):
        others = np.arange(len(artist)) != work
        if own == 3:
            assert np.isnan(found.work_auc[work])
        else:
            expected = roc_auc_score(artist[others] == own, similarity[work, others])
            assert found.work_auc[work] == pytest.approx(expected)
    assert found.auc[:3] == pytest.approx([found.work_auc[artist == a].mean() for a in range(3)])
    assert found.macro == pytest.approx(found.auc[:3].mean())
    assert found.status == ("ok", "ok", "ok", "one work", "no works")


def test_ceiling_extremes() -> None:
    assert ceiling(np.ones((4, 4)), [0, 0, 1, 1], 2).auc.tolist() == [0.5, 0.5]
    alone = ceiling(np.ones((3, 3)), [0, 0, 0], 2)
    assert np.isnan(alone.macro) and alone.status == ("no other artist", "no works")
    _, similarity, artist = artists([50, 50], spread=1e3)
    assert ceiling(similarity, artist, 2).macro == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("function", [gap_bootstrap, ceiling])
def test_refusals(function) -> None:
    good = np.eye(3)
    for similarity, artist, n, message in [
        (np.empty((0, 0)), np.empty(0, int), 2, "no works"),
        (np.ones((2, 3)), [0, 1], 2, "works x works"),
        (np.where(good == 1, np.nan, good), [0, 0, 1], 2, "NaN"),
        (good + np.arange(3), [0, 0, 1], 2, "not symmetric"),
        (good, [0, 0], 2, "3 integers"),
        (good, [0.0, 0, 1], 2, "integers"),
        (good, [0, 0, 2], 2, "within 0 to 1"),
        (good, [0, 0, -1], 2, "within 0 to 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            function(similarity, artist, n)


def test_options_are_checked() -> None:
    for options in ({"n_rivals": 0}, {"n_resamples": 0}, {"confidence_level": 1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            gap_bootstrap(np.eye(2), [0, 1], 2, **options)


def test_gap_around_zero_is_ambiguous() -> None:
    random = np.random.default_rng(9)
    table = random.normal(0.5, 0.2, (24, 24))
    found = gap_bootstrap((table + table.T) / 2, np.repeat(np.arange(3), 8), 3, rng=1)
    assert "ambiguous" in found.status and "robust positive" not in found.status
