"""Statistics of a panel of raters, against published examples, outside implementations, brute force and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy

from imindex.stats.agreement import (
    half_test,
    krippendorff_alpha,
    panel_power,
    placebo_test,
    rank_correlation,
    share_of_choices,
)

NAN = float("nan")


# Krippendorff's alpha


def by_definition(values: np.ndarray) -> float:
    """Krippendorff's alpha from its coincidence matrix, pair by pair."""
    categories = sorted({v for v in values.ravel() if not np.isnan(v)})
    matrix = np.zeros((len(categories), len(categories)))
    for column in values.T:
        there = [v for v in column if not np.isnan(v)]
        for a, b in itertools.permutations(range(len(there)), 2):
            matrix[categories.index(there[a]), categories.index(there[b])] += 1 / (len(there) - 1)
    n, totals = matrix.sum(), matrix.sum(axis=0)
    observed = n - np.trace(matrix)
    expected = (n * n - (totals**2).sum()) / (n - 1)
    return float(1 - observed / expected)


def test_alpha_of_the_published_examples() -> None:
    """Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, sections A and B."""
    a = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    b = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff_alpha([a, b]).estimate == pytest.approx(0.095, abs=5e-4)
    a = [1, 1, 2, 2, 4, 3, 3, 3, 5, 4, 4, 1]
    b = [1, 2, 2, 2, 2, 3, 3, 3, 5, 4, 4, 4]
    assert krippendorff_alpha([a, b]).estimate == pytest.approx(by_definition(np.array([a, b], float)))


@pytest.mark.parametrize("seed", range(6))
def test_alpha_is_that_of_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2 + seed % 3, (5, 20)).astype(float)
    values[rng.random(values.shape) < 0.2] = NAN
    found = krippendorff_alpha(values)
    assert found.estimate == pytest.approx(by_definition(values))
    pairs = [
        np.mean([x == y for x, y in itertools.combinations([v for v in column if not np.isnan(v)], 2)])
        for column in values.T
        if (~np.isnan(column)).sum() >= 2
    ]
    assert found.observed == pytest.approx(np.mean(pairs))


def test_alpha_is_one_if_all_agree_and_undefined_without_variety() -> None:
    values = np.tile([0.0, 1.0, 1.0, 0.0, 1.0], (4, 1))
    assert krippendorff_alpha(values).estimate == 1
    assert np.isnan(krippendorff_alpha(np.ones((3, 4))).estimate)
    assert np.isnan(krippendorff_alpha([[1.0, NAN], [NAN, 0.0]]).estimate)
    alone = krippendorff_alpha([[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    assert not np.isnan(alone.estimate) and np.isnan(alone.interval.low)


def test_the_interval_of_alpha_covers_it() -> None:
    """Truth: alpha of very many raters and trials from the same world."""
    rng = np.random.default_rng(0)

    def world(n_raters: int, n_trials: int) -> np.ndarray:
        chance = scipy.special.ndtr(0.8 * rng.standard_normal(n_trials))
        return (rng.random((n_raters, n_trials)) < chance).astype(float)

    truth = krippendorff_alpha(world(100, 4000)[:, :1500]).estimate
    covered = []
    for _ in range(150):
        interval = krippendorff_alpha(world(8, 40)).interval
        covered.append(interval.low <= truth <= interval.high)
    assert 0.9 <= np.mean(covered) <= 1


# Shares


def test_a_share_is_the_mean_of_trials_that_weigh_the_same() -> None:
    choices = np.array([[1, NAN, 0], [1, 0, NAN], [0, NAN, NAN], [NAN, NAN, 1]])
    found = share_of_choices(choices)
    assert found.estimate == pytest.approx(np.mean([2 / 3, 0, 1 / 2]))
    assert (found.n_answers, found.n_raters, found.n_units) == (6, 4, 3)
    by_artist = share_of_choices(choices, ["a", "a", "b"])
    assert by_artist.estimate == pytest.approx(np.mean([np.mean([2 / 3, 0]), 1 / 2]))
    assert by_artist.n_units == 2


def test_the_interval_of_a_share_is_that_of_two_jackknives() -> None:
    rng = np.random.default_rng(1)
    choices = (rng.random((6, 9)) < 0.5).astype(float)
    choices[rng.random(choices.shape) < 0.15] = NAN
    unit = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])

    def mean(values: np.ndarray, labels: np.ndarray) -> float:
        trials = np.nanmean(values, axis=0)
        return float(np.mean([np.nanmean(trials[labels == one]) for one in np.unique(labels)]))

    raters = [mean(np.delete(choices, n, axis=0), unit) for n in range(6)]
    units = [mean(choices[:, unit != n], unit[unit != n]) for n in range(4)]
    variance = 5 * np.var(raters) + 3 * np.var(units)
    from imindex.stats.intervals import Spread, share_interval

    estimate = mean(choices, unit)
    spread = Spread.of([np.array(raters), np.array(units)])
    assert spread.variance == pytest.approx(variance)
    floor = estimate * (1 - estimate) / np.count_nonzero(~np.isnan(choices))
    assert variance > floor
    expected = share_interval(estimate, spread, 0.95)
    found = share_of_choices(choices, unit).interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_shares_without_answers_and_with_a_single_rater_are_undefined_not_wrong() -> None:
    assert np.isnan(share_of_choices(np.full((2, 3), NAN)).estimate)
    one = share_of_choices([[1.0, 0.0, 1.0]])
    assert one.estimate == pytest.approx(2 / 3) and np.isnan(one.interval.low)
    sure = share_of_choices(np.ones((5, 8)))
    assert sure.interval.high == 1 and sure.interval.low == pytest.approx(0.025 ** (1 / 5))  # 5 raters
    for wrong in ([[2.0]], [1.0, 0.0], [[-0.1]]):
        with pytest.raises(ValueError, match="choices"):
            share_of_choices(wrong)
    with pytest.raises(ValueError, match="one per trial"):
        share_of_choices([[1.0, 0.0]], [1])


# Tests


def test_the_half_test_is_the_sign_flip_test_over_opponents() -> None:
    shares, opponent = [0.9, 0.7, 0.2, 0.8], ["p", "p", "q", "r"]
    values = np.array([0.3, -0.3, 0.3])  # means over opponents, less one half
    signs = np.array(list(itertools.product([1, -1], repeat=3)))
    expected = np.mean((signs @ values) / 3 >= values.mean() - 1e-12)
    assert half_test(shares, opponent).pvalue == pytest.approx(expected)
    assert half_test([1.0] * 8).pvalue == 2**-8


def test_the_half_test_ignores_how_many_raters_share_a_taste() -> None:
    """Ten raters who always agree are one rater: the p-value is the same."""
    rng = np.random.default_rng(2)
    one = (rng.random((1, 10)) < 0.6).astype(float)
    assert half_test(one.mean(axis=0)).pvalue == half_test(np.repeat(one, 10, axis=0).mean(axis=0)).pvalue


def test_the_placebo_test_is_students_with_known_mean() -> None:
    placebos = np.array([0.4, 0.55, 0.62, 0.47])
    found = placebo_test(0.7, placebos, n_opponents=6, set_size=5, n_raters=1000)
    sd = np.sqrt(np.mean((placebos - 0.5) ** 2))
    assert found.sd == pytest.approx(sd)
    assert found.pvalue == pytest.approx(scipy.stats.t.sf(0.2 / sd, 4))
    calm = placebo_test(0.7, [0.5] * 4, n_opponents=6, set_size=5, n_raters=10)
    assert calm.sd == pytest.approx(np.sqrt(1 / 200)) and 0 < calm.pvalue < 0.05
    with pytest.raises(ValueError, match="at most as large"):
        placebo_test(0.7, placebos, n_opponents=4, set_size=5, n_raters=10)
    with pytest.raises(ValueError, match=r"not in \[0, 1\]"):
        placebo_test(1.2, placebos, n_opponents=6, set_size=5, n_raters=10)


def simulate(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    effect: float,
    picture: float,
    name: float,
    n_raters: int,
) -> np.ndarray:
    """Shares of the choices of sets of trials, each set of one name against others."""
    n_sets, _ = shape
    latent = (
        effect
        + name * rng.standard_normal((n_sets, 1))
        - name * rng.standard_normal(shape)
        + picture * np.sqrt(2) * rng.standard_normal(shape)
    )
    return np.asarray(rng.binomial(n_raters, scipy.special.ndtr(latent)) / n_raters)


@pytest.mark.parametrize(
    ("picture", "name"),
    [(0.0, 0.0), (1.0, 0.0), (0.3, 0.8), (0.0, 1.5)],
    ids=["guess", "taste", "names", "strong"],
)
def test_the_placebo_test_holds_its_level_also_where_raters_agree_about_names(
    picture: float, name: float
) -> None:
    rng = np.random.default_rng(3)
    world = {"picture": picture, "name": name, "n_raters": 12}
    p = []
    for _ in range(3000):
        placebos = simulate(rng, (8, 5), effect=0, **world).mean(axis=1)
        own = simulate(rng, (1, 8), effect=0, **world)[0]
        p.append(placebo_test(float(own.mean()), placebos, n_opponents=8, set_size=5, n_raters=12).pvalue)
    assert np.mean(np.array(p) <= 0.05) <= 0.06
    assert np.mean(np.array(p) <= 0.01) <= 0.016


def test_the_half_test_holds_with_a_shared_taste_for_pictures_and_fails_with_one_for_names() -> None:
    """The reason for the second test."""
    rng = np.random.default_rng(4)
    rates = {}
    for label, picture, name in (("pictures", 1.0, 0.0), ("names", 0.3, 0.8)):
        sets = simulate(rng, (2000, 8), effect=0, picture=picture, name=name, n_raters=12)
        rates[label] = np.mean([half_test(one).pvalue <= 0.05 for one in sets])
    assert rates["pictures"] <= 0.06
    assert rates["names"] > 0.1


def test_both_tests_find_an_effect() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(200):
        world = {"picture": 0.5, "name": 0.2, "n_raters": 12}
        placebos = simulate(rng, (8, 5), effect=0, **world).mean(axis=1)
        own = simulate(rng, (1, 8), effect=1.6, **world)[0]
        half = half_test(own).pvalue
        name = placebo_test(float(own.mean()), placebos, n_opponents=8, set_size=5, n_raters=12).pvalue
        found.append(max(half, name) <= 0.05)
    assert np.mean(found) > 0.9


# Correlation


@pytest.mark.parametrize("seed", range(4))
def test_the_rank_correlation_is_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, 12) / 6
    y = x + rng.integers(0, 4, 12) / 3
    found = rank_correlation(x, y, rng=seed)
    expected = scipy.stats.spearmanr(x, y)
    assert found.estimate == pytest.approx(expected.statistic)
    assert found.pvalue == pytest.approx(expected.pvalue, abs=0.02)
    z = np.arctanh(expected.statistic)
    wide = 1.959964 * np.sqrt((1 + expected.statistic**2 / 2) / 9)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (np.tanh(z - wide), np.tanh(z + wide)), abs=1e-6
    )


def test_the_rank_correlation_holds_its_level_and_is_never_zero() -> None:
    rng = np.random.default_rng(6)
    p = [
        rank_correlation(rng.random(8), rng.integers(0, 3, 8), n_resamples=199, rng=n).pvalue
        for n in range(600)
    ]
    p = [one for one in p if not np.isnan(one)]
    assert np.mean(np.array(p) <= 0.05) <= 0.07 and min(p) >= 1 / 200
    perfect = rank_correlation(np.arange(9.0), np.arange(9.0), n_resamples=99, rng=0)
    assert perfect.pvalue == 0.01 and perfect.interval.high == pytest.approx(1)
    assert np.isnan(rank_correlation([1.0, 2.0], [1.0, 2.0]).estimate)
    assert np.isnan(rank_correlation([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]).pvalue)


# Power


def test_power_grows_with_raters_trials_and_the_effect() -> None:
    size = {"n_artists": 5, "n_placebo_sets": 8, "n_panels": 40, "rng": 0}
    small, large = (
        panel_power([0.5, 0.8], n_trials=trials, n_raters=raters, set_size=5, **size)  # type: ignore[arg-type]
        for trials, raters in ((6, 4), (12, 24))
    )
    assert large[1].together > small[1].together + 0.1
    assert small[0].together < 0.05 and large[0].together < 0.05
    assert large[1].alone <= large[1].together
    with pytest.raises(ValueError, match="between 0 and 1"):
        panel_power([1.0], n_trials=6, n_raters=4, set_size=5, **size)  # type: ignore[arg-type]
