"""Classification figures: against scipy, brute force and theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.accuracy import (
    accuracy_interval,
    between_templates,
    chance_test,
    generic_test,
    macro_interval,
)
from imindex.stats.intervals import clopper_pearson, tail_level


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 9), (9, 9), (3, 10), (50, 120)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_exact_without_clusters(k: int, n: int, level: float) -> None:
    correct = np.arange(n) < k
    theirs = scipy_stats.binomtest(k, n).proportion_ci(level, "exact")
    for cluster in (None, np.arange(n) + 5, [f"prompt {i}" for i in range(n)]):
        found = accuracy_interval(correct, cluster=cluster, confidence_level=level)
        assert (found.interval.low, found.interval.high) == pytest.approx((theirs.low, theirs.high))
        assert (found.estimate, found.n, found.n_right, found.n_units) == (k / n, n, k, n)
        assert found.method == "Clopper-Pearson" and found.note == ""


def test_cluster_interval_equals_scipy() -> None:
    random = np.random.default_rng(1)
    cluster = np.repeat(np.arange(25), random.integers(1, 6, 25))
    correct = random.random(len(cluster)) < random.beta(2, 1, 25)[cluster]
    sums, sizes = np.bincount(cluster, correct), np.bincount(cluster)
    theirs = scipy_stats.bootstrap(
        (sums, sizes), lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis), paired=True, vectorized=True,
        method="percentile", confidence_level=1 - 2 * tail_level(0.95, 25, 30_000),
        n_resamples=30_000, batch=2000,
        random_state=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    order = random.permutation(len(cluster))
    ours = accuracy_interval(correct[order], cluster=cluster[order], n_resamples=30_000, rng=3)
    assert ours.estimate == correct.mean() and ours.n_units == 25 and ours.method == "cluster bootstrap"
    width = theirs.high - theirs.low
    assert ours.interval.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.interval.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_clusters_widen_the_interval() -> None:
    cluster = np.repeat(np.arange(20), 10)
    correct = (cluster % 3 > 0) ^ (np.arange(200) % 10 == 0)
    alone, together = accuracy_interval(correct), accuracy_interval(correct, cluster=cluster, rng=1)
    assert together.interval.high - together.interval.low > 2 * (alone.interval.high - alone.interval.low)


def test_degenerate_clusters() -> None:
    one = accuracy_interval([True, False], cluster=[7, 7])
    assert np.isnan([one.interval.low, one.interval.high]).all() and "one cluster" in one.note
    for value, k in ((True, 5), (False, 0)):
        found = accuracy_interval([value] * 20, cluster=np.repeat(np.arange(5), 4))
        theirs = scipy_stats.binomtest(k, 5).proportion_ci(0.95, "exact")
        assert (found.interval.low, found.interval.high) == pytest.approx((theirs.low, theirs.high))
        assert found.method == "Clopper-Pearson on units" and "5 clusters" in found.note
    halves = accuracy_interval([1, 0] * 4, cluster=np.repeat(np.arange(4), 2))
    expected = clopper_pearson(2, 4, 0.95)
    assert (halves.interval.low, halves.interval.high) == (expected.low, expected.high)
    assert "too narrow" in accuracy_interval([1, 0, 1, 1], cluster=[0, 0, 1, 1], rng=1).note


def test_refusals() -> None:
    for function in (
        accuracy_interval,
        lambda correct, **k: macro_interval(correct, np.zeros(len(correct)), **k),
    ):
        with pytest.raises(ValueError, match="at least one"):
            function([])
        with pytest.raises(ValueError, match="True or False"):
            function([1, 0, np.nan])
        with pytest.raises(ValueError, match="cluster"):
            function([1, 0], cluster=[1])
        with pytest.raises(ValueError, match="confidence_level"):
            function([1, 0], confidence_level=0)
        with pytest.raises(ValueError, match="n_resamples"):
            function([1, 0], n_resamples=0)
    with pytest.raises(ValueError, match="artist"):
        macro_interval([1, 0], [1])


def slow_share(correct: np.ndarray, cluster: np.ndarray, random: np.random.Generator) -> float:
    """Draw clusters of one artist by explicit loops."""
    labels = np.unique(cluster)
    return float(
        np.concatenate([correct[cluster == label] for label in random.choice(labels, len(labels))]).mean()
    )


def test_macro_equals_brute_force() -> None:
    random = np.random.default_rng(4)
    artist = np.repeat(np.arange(8), random.integers(6, 15, 8))
    cluster = random.integers(0, 4, len(artist))
    correct = random.random(len(artist)) < random.beta(2, 2, 8)[artist]
    parts = [(correct[artist == a], cluster[artist == a]) for a in range(8)]
    shares = np.array([right.mean() for right, _ in parts])
    within = np.mean([np.var([slow_share(*part, random) for _ in range(1000)]) for part in parts])
    kept = np.sqrt(max(0, 1 - within / shares.var(ddof=1)))  # of the spread between artists
    moved = shares.mean() + kept * (shares - shares.mean()) - shares
    slow = [
        np.mean([slow_share(*parts[a], random) + moved[a] for a in random.integers(0, 8, 8)])
        for _ in range(4000)
    ]
    tail = tail_level(0.95, 8, 30_000)
    low, high = np.quantile(slow, [tail, 1 - tail])
    ours = macro_interval(correct, artist, cluster=cluster, n_resamples=30_000, rng=5)
    assert ours.estimate == pytest.approx(shares.mean())
    assert ours.interval.low == pytest.approx(low, abs=0.06 * (high - low))
    assert ours.interval.high == pytest.approx(high, abs=0.06 * (high - low))
    assert (ours.n_units, ours.method) == (8, "hierarchical bootstrap") and "too narrow" in ours.note
    assert macro_interval(correct, artist, rng=1).interval.low != ours.interval.low


def test_macro_degenerate() -> None:
    one = macro_interval([1, 0, 1], [3, 3, 3])
    assert np.isnan(one.interval.low) and "one artist" in one.note and one.estimate == pytest.approx(2 / 3)
    right = macro_interval(np.ones(30), np.repeat(np.arange(10), 3), rng=1)
    theirs = scipy_stats.binomtest(10, 10).proportion_ci(0.95, "exact")
    assert (right.interval.low, right.interval.high) == pytest.approx((theirs.low, theirs.high))
    halves = macro_interval([1, 0] * 6, np.repeat(np.arange(6), 2), cluster=np.zeros(12), rng=1)
    assert halves.method == "Clopper-Pearson on units" and halves.interval.low < 0.2


def test_macro_interval_stays_between_0_and_1() -> None:
    correct, artist = np.zeros(24, int), np.repeat(np.arange(4), 6)
    correct[6] = 1  # shares drawn towards their mean go below 0 here
    found = macro_interval(correct, artist, n_resamples=499, rng=1)
    assert found.interval.low == 0.0 < found.estimate < found.interval.high
    mirrored = macro_interval(1 - correct, artist, n_resamples=499, rng=1)
    assert mirrored.interval.low < mirrored.estimate < mirrored.interval.high <= 1.0


def test_chance_equals_binomtest() -> None:
    right, n, chance = [0, 3, 12, 5, 0], [12, 12, 12, 7, 0], [0.1, 0.1, 0.1, 0.5, 0.1]
    found = chance_test(right, n, chance)
    expected = [scipy_stats.binomtest(*each, alternative="greater").pvalue if each[1] else 1.0
                for each in zip(right, n, chance, strict=True)]  # fmt: skip
    assert found.pvalue == pytest.approx(expected)
    assert found.assumes == "pictures independent"
    assert chance_test([2, 1], 3, 0.25).n.tolist() == [3, 3]
    assert chance_test([], [], 0.5).pvalue.shape == (0,)
    for bad in (([4], 3, 0.5), ([-1], 3, 0.5), ([1.5], 3, 0.5), ([1], 3, 1.5), ([1], 3, np.nan)):
        with pytest.raises(ValueError, match="expected"):
            chance_test(*bad)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_generic_equals_binomtest(alternative: str) -> None:
    found = generic_test(9, 3, alternative=alternative)
    assert found.pvalue == scipy_stats.binomtest(9, 12, 0.5, alternative=alternative).pvalue
    assert found.share == 0.75
    nothing = generic_test(0, 0, alternative=alternative)
    assert nothing.pvalue == 1 and np.isnan(nothing.share)
    with pytest.raises(ValueError, match="must not be negative"):
        generic_test(-1, 3)
    with pytest.raises(ValueError, match="alternative"):
        generic_test(1, 3, alternative="more")


def test_templates() -> None:
    found = between_templates([0.5, 0.9, 0.7])
    assert (found.low, found.high) == (0.5, 0.9)
    assert (found.range, found.mean) == pytest.approx((0.4, 0.7))
    for bad in ([], [np.nan], [[0.5]]):
        with pytest.raises(ValueError, match="accuracies"):
            between_templates(bad)
