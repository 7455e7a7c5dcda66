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
from imindex.stats.intervals import clopper_pearson


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


def test_cluster_interval_is_clopper_pearson_on_the_fractional_count() -> None:
    random = np.random.default_rng(1)
    cluster = np.repeat(np.arange(25), random.integers(1, 6, 25))
    correct = random.random(len(cluster)) < random.beta(2, 1, 25)[cluster]
    p = correct.mean()
    without = np.array([correct[cluster != c].mean() for c in range(25)])
    variance = 24 / 25 * ((without - without.mean()) ** 2).sum()
    theirs = scipy_stats.bootstrap(
        (np.bincount(cluster, correct), np.bincount(cluster)),
        lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True, vectorized=True, n_resamples=20_000, random_state=np.random.default_rng(2),
    )  # fmt: skip
    assert np.sqrt(variance) == pytest.approx(theirs.standard_error, rel=0.1)
    variance *= (scipy_stats.t.ppf(0.975, 24) / scipy_stats.norm.ppf(0.975)) ** 2
    weight = (2 * p - 1) ** 8
    variance = (1 - weight) * variance + weight * p * (1 - p) / 25
    expected = clopper_pearson(p * p * (1 - p) / variance, p * (1 - p) / variance, 0.95)
    order = random.permutation(len(cluster))
    ours = accuracy_interval(correct[order], cluster=cluster[order])
    assert ours.estimate == p and ours.n_units == 25
    assert ours.method == "Clopper-Pearson on the fractional count"
    assert (ours.interval.low, ours.interval.high) == pytest.approx((expected.low, expected.high))


def test_clusters_widen_the_interval() -> None:
    cluster = np.repeat(np.arange(20), 10)
    correct = (cluster % 3 > 0) ^ (np.arange(200) % 10 == 0)
    alone, together = accuracy_interval(correct), accuracy_interval(correct, cluster=cluster)
    assert together.interval.high - together.interval.low > 2 * (alone.interval.high - alone.interval.low)


def test_degenerate_clusters() -> None:
    one = accuracy_interval([True, False], cluster=[7, 7])
    assert np.isnan([one.interval.low, one.interval.high]).all() and "one cluster" in one.note
    for value, k in ((True, 5), (False, 0)):
        found = accuracy_interval([value] * 20, cluster=np.repeat(np.arange(5), 4))
        theirs = scipy_stats.binomtest(k, 5).proportion_ci(0.95, "exact")
        assert (found.interval.low, found.interval.high) == pytest.approx((theirs.low, theirs.high))
        assert found.n_units == 5 and found.note == ""
    # Prompts that agree by chance do not make the interval narrower than independent pictures would.
    halves, alone = (
        accuracy_interval([1, 0] * 4, cluster=c).interval for c in (np.repeat(np.arange(4), 2), None)
    )
    assert halves.low < alone.low and halves.high > alone.high


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
    with pytest.raises(ValueError, match="artist"):
        macro_interval([1, 0], [1])


def test_macro_varies_as_artists_and_their_prompts_do() -> None:
    """Brute force: artists are drawn, then the pictures of each; and artists and shared prompts are drawn."""
    random = np.random.default_rng(4)
    artist, prompt, _ = np.indices((40, 12, 20)).reshape(3, -1)
    share = 0.6 + random.uniform(-0.15, 0.15, (40, 1)) + random.uniform(-0.2, 0.2, 12)
    correct = random.random(len(artist)) < share[artist, prompt]
    table = correct.reshape(40, 12, 20).mean(axis=2)
    shared = macro_interval(correct, artist, cluster=prompt).interval
    apart = macro_interval(correct, artist).interval
    drawn = [
        table[np.ix_(random.integers(0, 40, 40), random.integers(0, 12, 12))].mean() for _ in range(4000)
    ]
    own = table.mean(axis=1)[random.integers(0, 40, (4000, 40))].mean(axis=1)
    for interval, slow, df in ((shared, np.array(drawn), 11), (apart, own, 39)):
        half = scipy_stats.t.ppf(0.975, df) * slow.std()
        assert interval.high - interval.low == pytest.approx(2 * half, rel=0.15)
    assert shared.high - shared.low > 2 * (apart.high - apart.low)


def test_macro_degenerate() -> None:
    one = macro_interval([1, 0, 1], [3, 3, 3])
    assert np.isnan(one.interval.low) and "one artist" in one.note and one.estimate == pytest.approx(2 / 3)
    right = macro_interval(np.ones(30), np.repeat(np.arange(10), 3))
    theirs = scipy_stats.binomtest(10, 10).proportion_ci(0.95, "exact")
    assert (right.interval.low, right.interval.high) == pytest.approx((theirs.low, theirs.high))
    few = macro_interval(np.ones(30), np.repeat(np.arange(10), 3), cluster=np.tile(np.arange(3), 10))
    assert few.n_units == 3 and few.interval.low == pytest.approx(0.025 ** (1 / 3))
    single = macro_interval([1, 0] * 6, np.repeat(np.arange(6), 2), cluster=np.zeros(12))
    assert np.isnan(single.interval.low) and "one prompt" in single.note


def test_macro_interval_stays_among_shares() -> None:
    correct, artist = np.zeros(16, int), np.repeat(np.arange(4), 4)
    correct[6] = 1  # 1 of 16: an interval of the form estimate +- width would go below 0
    found = macro_interval(correct, artist, cluster=np.tile(np.arange(4), 4))
    assert 0.0 <= found.interval.low < found.estimate == 1 / 16 < found.interval.high < 1.0
    mirrored = macro_interval(1 - correct, artist, cluster=np.tile(np.arange(4), 4))
    assert mirrored.interval.low == pytest.approx(1 - found.interval.high)
    assert mirrored.interval.high == pytest.approx(1 - found.interval.low)


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
