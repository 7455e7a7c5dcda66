"""The interval of a mean of shares, against scipy and theory, and its coverage where intervals used to fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from scipy import stats as scipy_stats

from imindex.stats.accuracy import macro_interval
from imindex.stats.intervals import Interval, Spread, satterthwaite, share_interval
from imindex.stats.resampling import crossed_bootstrap, macro_bootstrap


@pytest.mark.parametrize("n", [2, 5, 40])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_at_the_edges_it_is_clopper_pearson(n: int, level: float) -> None:
    for estimate in (0.0, 1.0):
        found = share_interval(estimate, Spread(0.0, n - 1, n), level)
        theirs = scipy_stats.binomtest(int(estimate * n), n).proportion_ci(level, "exact")
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_in_the_middle_it_is_students_t() -> None:
    found = share_interval(0.5, Spread(0.0004, 9, 10), 0.95)
    half = scipy_stats.t.ppf(0.975, 9) * 0.02
    assert found.high - 0.5 == pytest.approx(half, rel=0.03) and 0.5 - found.low == pytest.approx(
        half, rel=0.03
    )


@given(st.floats(0, 1), st.floats(0, 0.25), st.integers(2, 100), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_ends_are_shares_on_either_side_and_symmetric(
    p: float, variance: float, n: int, level: float
) -> None:
    spread = Spread(variance, n - 1, n)
    found, mirrored = share_interval(p, spread, level), share_interval(1 - p, spread, level)
    assert 0 <= found.low <= p + 1e-6 and p - 1e-6 <= found.high <= 1
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-6)
    wider = share_interval(p, spread, 1 - (1 - level) / 2)
    assert wider.low <= found.low + 1e-9 and wider.high >= found.high - 1e-9


def test_tiny_counts_are_none() -> None:
    for tiny in (5e-324, 1e-200, 1e-10):
        found = share_interval(tiny, Spread(0.01, 4, 5), 0.5)
        assert found.low == 0.0 and 0 < found.high < 1


def test_there_is_no_jump() -> None:
    estimates = np.linspace(0, 1, 2001)
    for variance in (0.0, 1e-6, 1e-3):
        ends = np.array(
            [(i.low, i.high) for i in (share_interval(p, Spread(variance, 9, 10), 0.95) for p in estimates)]
        )
        assert np.abs(np.diff(ends, axis=0)).max() < 0.005
    variances = np.linspace(0, 1e-3, 200)
    for p in (0.6, 0.95, 0.999, 1.0):
        ends = np.array([share_interval(p, Spread(v, 9, 10), 0.95).low for v in variances])
        assert np.abs(np.diff(ends)).max() < 0.03 and (np.diff(ends) <= 1e-9).all()


def test_satterthwaite_equals_welch() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=8), 3 * rng.normal(size=12)
    df = satterthwaite([a.var(ddof=1) / 8, b.var(ddof=1) / 12], [7, 11])
    assert df == pytest.approx(scipy_stats.ttest_ind(a, b, equal_var=False).df)
    assert satterthwaite([0.0, 0.0], [3, 9]) == 3


def test_spread_of_means_is_that_of_textbooks() -> None:
    values = np.random.default_rng(2).random(9)
    without = (values.sum() - values) / 8
    assert Spread.of([without]).variance == pytest.approx(scipy_stats.sem(values) ** 2)


def covers(interval: Interval, true: float) -> bool:
    return interval.low <= true <= interval.high


def test_one_imitation_in_20_that_fails() -> None:
    """The bootstrap covers in 33 %: 8 imitations often hold none that failed."""
    rng, hits, before = np.random.default_rng(3), [], []
    for _ in range(300):
        values = 1 - 0.001 * rng.random((20, 8))
        failed = rng.random(8) < 0.05
        values[:, failed] = rng.random((20, failed.sum()))
        found = crossed_bootstrap(values, n_resamples=99, rng=rng, small_sample=True)
        hits.append(covers(found.interval, 0.95 * 0.9995 + 0.05 * 0.5))
        before.append(covers(found.percentile, 0.95 * 0.9995 + 0.05 * 0.5))
    assert np.mean(hits) >= 0.94 and np.mean(before) < 0.5


def test_eight_of_ten_works_nearly_the_same() -> None:
    rng, hits, before = np.random.default_rng(4), [], []
    series = np.maximum(np.arange(10) - 7, 0)
    for _ in range(400):
        works = 0.4 * rng.normal(size=10)[series] + 0.05 * rng.normal(size=10)
        values = special.ndtr(
            0.8 + works[:, None] + 0.3 * rng.normal(size=20) + 0.3 * rng.normal(size=(10, 20))
        )
        true = special.ndtr(0.8 / np.sqrt(1 + 0.4**2 + 0.05**2 + 2 * 0.3**2))
        found = crossed_bootstrap(values, row_cluster=series, n_resamples=99, rng=rng, small_sample=True)
        hits.append(covers(found.interval, true))
        plain = crossed_bootstrap(values, n_resamples=99, rng=rng, small_sample=True)
        before.append(covers(plain.percentile, true))
    assert np.mean(hits) >= 0.93 and np.mean(before) < 0.7  # two standard errors below 95 %


@pytest.mark.parametrize(("n_prompts", "strong"), [(4, 0.4), (8, 0.8)])
def test_artists_who_share_prompts(n_prompts: int, strong: float) -> None:
    """With prompts drawn for each artist alone, 95 % intervals cover 54 % (accuracy) and 42 % (AUC)."""
    rng, hits = np.random.default_rng(5), []
    who, prompt = np.indices((40, n_prompts)).reshape(2, -1)
    parts = (0.4, strong, 0.2)
    true = special.ndtr(0.5 / np.sqrt(1 + sum(part**2 for part in parts)))
    for _ in range(300):
        table = 0.5 + 0.4 * rng.normal(size=(40, 1)) + strong * rng.normal(size=n_prompts)
        table = special.ndtr(table + 0.2 * rng.normal(size=table.shape))
        cells, labels = [row[None] for row in table], [np.arange(n_prompts)] * 40
        right = rng.random(table.size) < table.ravel()
        hits.append(
            (
                covers(macro_bootstrap(cells, clusters=labels, n_resamples=49, rng=rng).interval, true),
                covers(macro_interval(right, who, cluster=prompt).interval, true),
                covers(macro_bootstrap(cells, n_resamples=99, rng=rng).percentile, true),
            )
        )
    auc, accuracy, apart = np.mean(hits, axis=0)
    assert auc >= 0.93 and accuracy >= 0.93 and apart < 0.6
