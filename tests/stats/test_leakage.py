"""Unprompted leakage: against brute force, exchangeability, and the level and power of the tests."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from imindex.stats.leakage import excess_interval, held_out_scores, kinds_test, leakage, upper_gap
from imindex.stats.set_statistics import fit

DIM = 12


def world(
    rng: np.random.Generator, n: int, m: int = 5, n_pictures: int = 30, *, shown: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Works of n artists, and pictures of which the first `shown` are like the first artist."""
    styles = rng.normal(size=(n, DIM))
    works = styles[:, None] + rng.normal(size=(n, m, DIM))
    pictures = rng.normal(size=(n_pictures, DIM)) + rng.normal(size=DIM)
    pictures[:shown] += 2 * styles[0]
    return works / np.linalg.norm(works, axis=2, keepdims=True), pictures / np.linalg.norm(
        pictures, axis=1, keepdims=True
    )


def test_the_gap_is_the_mean_of_the_largest_tenth_less_the_median() -> None:
    scores = np.random.default_rng(1).normal(size=(37, 3))
    by_hand = [np.mean(sorted(column, reverse=True)[:4]) - sorted(column)[18] for column in scores.T.tolist()]
    assert upper_gap(scores) == pytest.approx(by_hand)
    assert upper_gap(scores + 5.0) == pytest.approx(by_hand)  # what moves all pictures cancels
    assert upper_gap([[1.0], [4.0]]).tolist() == [1.5]
    for bad in ([1.0, 2.0], np.empty((0, 2)), [[np.nan]]):
        with pytest.raises(ValueError, match="finite scores"):
            upper_gap(bad)
    with pytest.raises(ValueError, match="top is 0"):
        upper_gap(scores, top=0.0)


def test_all_figures_against_a_slow_computation() -> None:
    works, pictures = world(np.random.default_rng(2), 9, shown=6)
    result = leakage(works, pictures, 3)
    artist = np.repeat(np.arange(9), 5)
    odds = fit(works.reshape(-1, DIM), artist).score(pictures)
    assert result.odds == pytest.approx(odds)
    for k in range(3):
        at_least = sum(one >= result.statistic[k] for one in result.statistic[3:])
        assert result.n_at_least[k] == at_least
        assert result.pvalue[k] == (1 + at_least) / 7
    assert result.resolution == 1 / 7
    for k in range(9):
        own = []
        for j in range(5):
            kept = [i for i in range(45) if i % 5 != j]
            scorer = fit(works.reshape(-1, DIM)[kept], artist[kept])
            own.append(scorer.score(works[k, [j]])[0, k])
        middle = np.median(odds[:, k])
        gap = np.sort(odds[:, k])[-3:].mean() - middle
        assert result.statistic[k] == pytest.approx(gap / max(np.median(own) - middle, np.std(own)) ** 0.5)
        if np.median(own) > middle:
            limit = (np.median(own) + middle) / 2
            assert result.threshold[k] == pytest.approx(limit)
            assert result.share[k] == np.mean(odds[:, k] >= limit)
    assert result.excess == pytest.approx(result.share[:3] - np.nanmean(result.share[3:]), nan_ok=True)


def test_the_log_odds_agree_with_scikit_learn() -> None:
    works, pictures = world(np.random.default_rng(3), 4, m=40)
    artist = np.repeat(np.arange(4), 40)
    result = leakage(works, pictures, 1)
    shrinkage = fit(works.reshape(-1, DIM), artist).shrinkage
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=[0.25] * 4)
    log = model.fit(works.reshape(-1, DIM), artist).predict_log_proba(pictures)
    other = log - np.log1p(-np.exp(log))
    # scikit-learn shrinks each class by itself, so the agreement is close and not exact.
    for k in range(4):
        assert np.corrcoef(result.odds[:, k], other[:, k])[0, 1] > 0.99


def test_exchanging_two_artists_exchanges_their_figures() -> None:
    works, pictures = world(np.random.default_rng(4), 8, shown=5)
    order = [5, 1, 2, 3, 4, 0, 6, 7]
    first, second = leakage(works, pictures, 2), leakage(works[order], pictures, 2)
    assert second.statistic == pytest.approx(first.statistic[order])
    assert second.share == pytest.approx(first.share[order])


def test_exchangeable_artists_have_uniform_ranks_and_a_leak_is_found() -> None:
    rng = np.random.default_rng(5)
    null, shown = [], []
    for _ in range(150):
        null.append(leakage(*world(rng, 20), 1).pvalue[0])
        shown.append(leakage(*world(rng, 20, shown=5), 1).pvalue[0])
    # The level is 1/20 in 20: within four standard errors, and never systematically below.
    assert abs(np.mean(np.array(null) <= 0.05) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 150)
    assert stats.kstest(np.array(null) - rng.random(150) / 20, "uniform").pvalue > 0.001
    assert np.mean(np.array(shown) <= 0.05) > 0.6


def test_ties_count_against_the_finding() -> None:
    works, pictures = world(np.random.default_rng(6), 5)
    same = np.repeat(works[:1], 5, axis=0)
    assert leakage(same, pictures, 2).pvalue.tolist() == [1.0, 1.0]


def test_held_out_scores_do_not_see_the_work() -> None:
    works = world(np.random.default_rng(7), 6, m=23)[0]
    scores = held_out_scores(works)
    seen = fit(works.reshape(-1, DIM), np.repeat(np.arange(6), 23))
    own = np.array([seen.score(works[k])[:, k] for k in range(6)])
    assert scores.shape == (6, 23)
    assert scores.mean() < own.mean()
    moved = works.copy()
    moved[2, 4] = works[3, 4]
    fold = np.arange(23) % 10 == 4
    changed = held_out_scores(moved)
    # Only other folds learn from the work, so the other held-out scores of its own fold stay.
    others = fold.copy()
    others[4] = False
    assert changed[:, others] == pytest.approx(scores[:, others])
    assert changed[2, 4] != pytest.approx(scores[2, 4])


def test_the_interval_of_the_excess() -> None:
    absent = [0.02, 0.0, 0.05, 0.01, 0.0]
    ends = excess_interval(0.3, 40, absent)
    assert ends.low < 0.3 - np.mean(absent) < ends.high
    narrow = excess_interval(0.3, 4000, absent)
    assert narrow.high - narrow.low < ends.high - ends.low
    alone = stats.binomtest(12, 40).proportion_ci(0.95, "exact")
    flat = excess_interval(0.3, 40, [0.0, 0.0, 0.0])
    assert (flat.low, flat.high) == pytest.approx((alone.low, alone.high))
    for nothing in (excess_interval(np.nan, 40, absent), excess_interval(0.3, 40, [0.1])):
        assert np.isnan(nothing.low)


@pytest.mark.parametrize(
    ("works", "pictures", "n", "words"),
    [
        (np.ones((3, 2)), np.ones((4, 2)), 1, "expected the shapes"),
        (np.ones((3, 2, 5)), np.ones((4, 2)), 1, "expected the shapes"),
        (np.ones((1, 2, 5)), np.ones((4, 5)), 1, "at least 2 artists"),
        (np.ones((3, 1, 5)), np.ones((4, 5)), 1, "at least 2 artists"),
        (np.ones((3, 2, 5)), np.ones((0, 5)), 1, "0 pictures"),
        (np.ones((3, 2, 5)), np.ones((4, 5)), 4, "n_tested is 4"),
    ],
)
def test_what_cannot_be_tested_is_refused(
    works: np.ndarray, pictures: np.ndarray, n: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        leakage(works, pictures, n)


def test_without_absent_artists_there_is_no_p_value() -> None:
    works, pictures = world(np.random.default_rng(8), 4)
    result = leakage(works, pictures, 4)
    assert np.isnan(result.pvalue).all()
    assert np.isnan(result.excess).all()
    assert np.isnan(result.resolution)


def test_the_comparison_of_kinds_is_that_of_all_assignments() -> None:
    works = world(np.random.default_rng(9), 8)[0]
    works[:3] *= 0.8
    result = kinds_test(works, 3, n_resamples=40_000, rng=1)
    means = works.mean(axis=1)
    typical, alike = [], []
    for k in range(8):
        others = [works[k] @ works[j].T for j in range(8) if j != k]
        typical.append(np.mean(others))
        alike.append(np.mean((works[k] @ works[k].T)[~np.eye(5, dtype=bool)]))
    assert means.shape == (8, DIM)
    for values, gap, p in (
        (np.array(typical), result.typical, result.typical_pvalue),
        (np.array(alike), result.alike, result.alike_pvalue),
    ):
        differences = [
            values[list(chosen)].mean() - np.delete(values, chosen).mean()
            for chosen in itertools.combinations(range(8), 3)
        ]
        assert gap == pytest.approx(differences[0])
        exact = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9)
        assert p == pytest.approx(exact, abs=0.01)
    assert result.pvalue == min(1.0, 3 * min(result.typical_pvalue, result.alike_pvalue, result.place_pvalue))
    assert np.isnan(result.nearness_pvalue)
    assert np.isnan(kinds_test(works, 1).pvalue)


def test_the_comparison_of_kinds_has_its_level_and_finds_another_source() -> None:
    rng = np.random.default_rng(10)
    null, moved, near = [], [], []
    for _ in range(120):
        works = world(rng, 24)[0]
        null.append(kinds_test(works, 8, n_resamples=99, rng=rng).pvalue)
        nearness = rng.normal(size=24) + 2.0 * (np.arange(24) < 8)
        near.append(kinds_test(works, 8, nearness=nearness, n_resamples=199, rng=rng).nearness_pvalue)
        works[:8] += 0.5 * np.eye(DIM)[0]
        works /= np.linalg.norm(works, axis=2, keepdims=True)
        moved.append(kinds_test(works, 8, n_resamples=99, rng=rng).pvalue)
    assert np.mean(np.array(null) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)
    assert np.mean(np.array(moved) <= 0.05) > 0.6
    assert np.mean(np.array(near) <= 0.05) > 0.8
