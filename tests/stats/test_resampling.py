"""The bootstrap against scipy, brute force and theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.intervals import Spread, share_interval
from imindex.stats.resampling import (
    bootstrap_artists,
    crossed_bootstrap,
    draw_weights,
    macro_bootstrap,
    over_artists,
    work_test,
)
from imindex.stats.set_scores import collect, twice_midranks


def cell(n: int = 12, m: int = 15, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(rng.beta(5, 2, (n, m)) + rng.gamma(1, 0.1, (n, 1)) - rng.gamma(1, 0.1, (1, m)), 0, 1)


@pytest.mark.parametrize("method", ["percentile", "basic", "BCa"])
def test_intervals_equal_scipy(method: str) -> None:
    values = cell()

    def mean(rows: np.ndarray, columns: np.ndarray, axis: int = -1) -> np.ndarray:
        return values[rows[..., :, None], columns[..., None, :]].mean(axis=(-1, -2))

    theirs = scipy_stats.bootstrap(
        tuple(np.arange(n) for n in values.shape), mean, vectorized=True, method=method,
        n_resamples=20_000, batch=1000, random_state=np.random.default_rng(1),
    )  # fmt: skip
    ours = crossed_bootstrap(values, n_resamples=20_000, rng=2)
    interval = getattr(ours, method.lower())
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert interval.low == pytest.approx(theirs.confidence_interval.low, abs=0.02 * width)
    assert interval.high == pytest.approx(theirs.confidence_interval.high, abs=0.02 * width)
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=0.03)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3)])
def test_distribution_equals_drawing_rows_and_columns(shape: tuple[int, int]) -> None:
    values, random = cell(*shape), np.random.default_rng(7)
    found = crossed_bootstrap(values, n_resamples=50, rng=7).distribution
    rows, columns = (random.integers(0, n, (50, n), dtype=np.uint16) for n in shape)  # all rows first
    for mean, picked_rows, picked_columns in zip(found, rows, columns, strict=True):
        assert mean == pytest.approx(values[np.ix_(picked_rows, picked_columns)].mean())


def test_distribution_equals_drawing_rows_and_prompts() -> None:
    values, prompts, random = cell(3, 5), np.array([0, 0, 1, 2, 2]), np.random.default_rng(7)
    found = crossed_bootstrap(values, cluster=prompts, n_resamples=50, rng=7).distribution
    weights = draw_weights(3, 50, random), draw_weights(5, 50, random, cluster=prompts)
    for mean, rows, columns in zip(found, *weights, strict=True):
        picked_rows = np.repeat(np.arange(3), rows.astype(int))
        picked_columns = np.repeat(np.arange(5), columns.astype(int))
        assert mean == pytest.approx(values[np.ix_(picked_rows, picked_columns)].mean())


def test_weights_are_multinomial() -> None:
    weights = draw_weights(5, 40_000, 1)
    assert (weights.sum(axis=1) == 5).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    assert weights.var(axis=0) == pytest.approx(np.full(5, 4 / 5), abs=0.05)


def test_clusters_are_drawn_whole() -> None:
    cluster = np.array(["a", "a", "b", "b", "b", "c"])
    weights = draw_weights(6, 20_000, 1, cluster=cluster)
    sizes = {name: weights[:, cluster == name].sum(axis=1) for name in "abc"}
    for name, n in zip("abc", (2, 3, 1), strict=True):
        assert set(np.unique(sizes[name] / n)) <= {0.0, 1.0, 2.0, 3.0}
        assert sizes[name].mean() == pytest.approx(n, rel=0.03)
        assert sizes[name].var() == pytest.approx(n**2 * 2 / 3, rel=0.05)
    both = weights[sizes["a"] == 2][:, :2]  # within a cluster the members are drawn anew: not always one each
    assert 0.4 < np.mean(both[:, 0] == 1) < 0.6
    with pytest.raises(ValueError, match="6 labels"):
        draw_weights(6, 5, cluster=["a"])


def test_prompts_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    prompts = np.repeat(np.arange(6), 10)
    values = np.clip(0.6 + 0.15 * rng.normal(size=6)[prompts] + 0.05 * rng.normal(size=(10, 60)), 0, 1)
    plain, by_prompt = crossed_bootstrap(values, rng=1), crossed_bootstrap(values, cluster=prompts, rng=1)
    assert by_prompt.standard_error > 2 * plain.standard_error
    assert by_prompt.n == (10, 6) and plain.n == (10, 60)


def test_standard_error_equals_that_of_means() -> None:
    rows = np.random.default_rng(4).normal(0.6, 0.1, (40, 1)) * np.ones((1, 30))
    found = crossed_bootstrap(rows, n_resamples=20_000, rng=1)
    assert found.standard_error == pytest.approx(rows[:, 0].std() / np.sqrt(40), rel=0.03)


def test_small_sample_widens_by_students_t() -> None:
    values = cell(10, 400)
    plain = crossed_bootstrap(values, n_resamples=20_000, rng=1).percentile
    wide = crossed_bootstrap(values, n_resamples=20_000, rng=1, small_sample=True).percentile
    expected = scipy_stats.t.ppf(0.975, 9) / scipy_stats.norm.ppf(0.975) * np.sqrt(10 / 9)
    assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(expected, rel=0.05)


def test_artists_tested_together_equal_each_alone() -> None:
    cells = [cell(12, 15, seed) for seed in range(3)] + [np.empty((4, 0))]
    together = bootstrap_artists(cells, rng=1)
    assert together[3] is None
    for values, one in zip(cells, together[:3], strict=False):
        alone = crossed_bootstrap(values, rng=5, small_sample=True)
        assert one is not None and one.estimate == alone.estimate
        assert one.bca.low == pytest.approx(alone.bca.low, abs=0.01)
        assert 1 / 10_000 <= one.pvalue < 0.01
    prompts = [np.arange(15) // 3] * 3 + [np.empty(0)]
    assert bootstrap_artists(cells, clusters=prompts, rng=1)[0].n == (12, 5)


def test_macro_interval_counts_artists() -> None:
    rng = np.random.default_rng(5)
    cells = [np.full((5, 6), share) for share in rng.normal(0.6, 0.1, 40)]  # no spread within
    found = macro_bootstrap(cells, n_resamples=20_000, rng=1)
    means = np.array([values[0, 0] for values in cells])
    assert found.estimate == pytest.approx(means.mean())
    assert found.standard_error == pytest.approx(means.std() / np.sqrt(40), rel=0.03)
    assert found.n == (40,)
    with pytest.raises(ValueError, match="No artist"):
        macro_bootstrap([np.empty((0, 3))])


def test_degenerate_input() -> None:
    one_work = crossed_bootstrap(cell(1, 9), rng=1)
    assert np.isnan([one_work.percentile.low, one_work.pvalue, one_work.standard_error]).all()
    assert one_work.estimate == pytest.approx(cell(1, 9).mean())
    flat = crossed_bootstrap(np.ones((4, 5)), rng=1)
    assert (
        flat.interval.low == pytest.approx(0.025 ** (1 / 4)) and flat.interval.high == 1.0
    )  # 4 works, all 1
    assert flat.pvalue == 1 / 10_000
    assert crossed_bootstrap(np.full((4, 5), 0.5), rng=1).pvalue == 1.0
    with pytest.raises(ValueError, match="non-empty"):
        crossed_bootstrap(np.empty((0, 3)))
    with pytest.raises(ValueError, match="finite"):
        crossed_bootstrap([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="confidence_level"):
        crossed_bootstrap(cell(), confidence_level=1.0)
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_weights(0, 3)


def test_work_test_draws_from_pooled_works() -> None:
    rng = np.random.default_rng(6)
    works, imitations = np.repeat(np.arange(4), 3), np.repeat(np.arange(4), 5)
    similarity = rng.normal(size=(12, 20)) + 1.0 * (works[:, None] == imitations[None])
    scores = collect([(slice(None), twice_midranks(similarity))], works, imitations, 4, rng=0)
    found = work_test(scores, n_resamples=20_000, rng=1)
    for artist in range(4):
        near = scores.near(artist)
        from itertools import product

        null = np.array([np.mean(drawn) for drawn in product(near, repeat=3)])
        exact = np.mean(null >= near[works == artist].mean() - 1e-12)
        assert found.pvalue[artist] == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000) + 1e-4)


def test_interval_of_two_works_is_about_as_wide_as_the_draws() -> None:
    found = crossed_bootstrap(cell(2, 9), rng=1, small_sample=True)
    assert found.percentile.low == np.quantile(found.distribution, 1 / 10_000)
    assert found.percentile.high == np.quantile(found.distribution, 1 - 1 / 10_000)


def test_macro_interval_does_not_count_the_spread_within_twice() -> None:
    rng = np.random.default_rng(8)
    cells = [0.6 + rng.uniform(-0.3, 0.3, (20, 1)) + np.zeros((20, 30)) for _ in range(60)]
    found = macro_bootstrap(cells, n_resamples=20_000, rng=1)
    assert found.standard_error == pytest.approx(
        0.6 / np.sqrt(12 * 20 * 60), rel=0.2
    )  # and not 1.4 times that


def crossed_table(a: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One picture of each artist and prompt: its value, artist and prompt."""
    rng = np.random.default_rng(seed)
    table = 0.5 + 0.1 * rng.normal(size=(a, 1)) + 0.1 * rng.normal(size=p) + 0.03 * rng.normal(size=(a, p))
    who, label = np.indices((a, p)).reshape(2, -1)
    return table.clip(0, 1).ravel(), who, label


def test_shared_prompts_are_crossed_random_effects() -> None:
    values, who, label = crossed_table(12, 6)
    found = over_artists(values, who, label)
    table = values.reshape(12, 6)
    residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    rows, columns = table.mean(1).var(ddof=1) / 12, table.mean(0).var(ddof=1) / 6
    both = (residual**2).sum() / (11 * 5) / (12 * 6)  # the classical estimate, by mean squares
    assert found.estimate == pytest.approx(table.mean())
    assert found.spread.variance == pytest.approx(rows + columns - both)
    df = (rows + columns - both) ** 2 / (rows**2 / 11 + columns**2 / 5 + both**2 / 55)
    assert found.spread.df == pytest.approx(df) and found.spread.n_units == 6
    drawn = found.draw(40_000, np.random.default_rng(1))
    assert drawn.mean() == pytest.approx(table.mean(), abs=0.002)
    assert drawn.var() == pytest.approx((rows - both) * 11 / 12 + columns * 5 / 6, rel=0.05)


def test_joint_draws_equal_drawing_artists_and_prompts() -> None:
    """Brute force: one weight per prompt and resample, for all artists (Owen 2007)."""
    values, who, label = crossed_table(12, 6)
    rng, table = np.random.default_rng(2), values.reshape(12, 6)
    slow = np.array(
        [table[np.ix_(rng.integers(0, 12, 12), rng.integers(0, 6, 6))].mean() for _ in range(20_000)]
    )
    fast = over_artists(values, who, label).draw(20_000, rng)
    assert fast.std() == pytest.approx(
        slow.std(), rel=0.05
    )  # little interaction, which the former counts thrice
    alone = over_artists(values, who).draw(20_000, rng)
    assert alone.std() < 0.8 * slow.std()


def test_unshared_prompts_add_nothing() -> None:
    values, who, label = crossed_table(12, 6)
    alone, own = over_artists(values, who), over_artists(values, who, who * 6 + label)
    assert own.spread == alone.spread and own.jackknives[0].tolist() == alone.jackknives[0].tolist()
    assert alone.spread.variance == pytest.approx(values.reshape(12, 6).mean(1).var(ddof=1) / 12)
    # One prompt that two artists share changes little.
    labels = who * 6 + label
    labels[labels == 6] = 0
    assert over_artists(values, who, labels).spread.variance == pytest.approx(alone.spread.variance, rel=0.1)


def test_jackknife_without_each_prompt() -> None:
    values, who, label = crossed_table(7, 5)
    without = over_artists(values, who, label).jackknives[1]
    table = values.reshape(7, 5)
    assert without == pytest.approx([np.delete(table, p, axis=1).mean() for p in range(5)])


def test_macro_draws_shared_prompts_jointly() -> None:
    rng = np.random.default_rng(3)
    prompts = rng.uniform(-0.2, 0.2, 8)
    cells = [(0.6 + rng.uniform(-0.05, 0.05, (5, 8)) + prompts) for _ in range(30)]
    joint = macro_bootstrap(cells, clusters=[np.arange(8)] * 30, n_resamples=999, rng=1)
    apart = macro_bootstrap(cells, n_resamples=999, rng=1)
    assert joint.n == (30, 8) and apart.n == (30,) and joint.estimate == apart.estimate
    assert joint.standard_error > 5 * apart.standard_error
    shuffled = macro_bootstrap(
        [cell[:, ::-1] for cell in cells], clusters=[np.arange(8)[::-1]] * 30, n_resamples=999, rng=1
    )
    assert shuffled.interval.low == pytest.approx(joint.interval.low)


def test_a_series_of_works_is_drawn_as_one() -> None:
    values = cell(6, 9)
    values[:4] = values[0]
    series = np.array([0, 0, 0, 0, 4, 5])
    found = crossed_bootstrap(values, row_cluster=series, n_resamples=2000, rng=1, small_sample=True)
    plain = crossed_bootstrap(values, n_resamples=2000, rng=1, small_sample=True)
    assert found.n == (3, 9) and found.estimate == plain.estimate
    assert found.interval.high - found.interval.low > plain.interval.high - plain.interval.low
    without = [values[4:].mean(), values[[0, 1, 2, 3, 5]].mean(), values[:5].mean()]
    columns = [np.delete(values, j, axis=1).mean() for j in range(9)]
    expected = share_interval(values.mean(), Spread.of([np.array(without), np.array(columns)]), 0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    alone = bootstrap_artists([values], row_clusters=[np.arange(6)], n_resamples=99, rng=1)[0]
    assert alone is not None and alone.n == (6, 9)


def test_ends_stay_from_0_to_1() -> None:
    rng = np.random.default_rng(4)
    for values in (rng.beta(0.2, 5, (4, 5)), rng.beta(5, 0.2, (3, 8)), rng.beta(0.3, 0.3, (3, 3))):
        found = crossed_bootstrap(values, n_resamples=199, rng=1, small_sample=True)
        macro = macro_bootstrap([values, 1 - values, values**2], n_resamples=199, rng=1)
        for one in (found, macro):
            for interval in (one.interval, one.percentile, one.basic):
                assert 0 <= interval.low <= interval.high <= 1
            assert one.distribution.min() >= 0 and one.distribution.max() <= 1
    with pytest.raises(ValueError, match="from 0 to 1"):
        crossed_bootstrap([[0.5, 1.1], [0.2, 0.3]])
