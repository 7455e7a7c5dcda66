"""Values against training counts: against scipy, scikit-learn, brute force, theory and simulations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.exposure import association, isotonic_curve, threshold


def counts_of(random: np.random.Generator, n: int) -> np.ndarray:
    return np.floor(2 ** random.uniform(0, 10, n))


# Association


def test_rho_equals_scipy() -> None:
    random = np.random.default_rng(1)
    count, value = counts_of(random, 25), random.normal(size=25).round(1)
    result = association(count, value, n_resamples=99, rng=1)
    assert result.rho == pytest.approx(scipy_stats.spearmanr(count, value).statistic)


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_exact_test_equals_enumeration(alternative: str) -> None:
    count, value = np.array([1, 3, 3, 9, 20, 50]), np.array([0.5, 0.4, 0.7, 0.6, 0.6, 0.9])
    result = association(count, value, alternative=alternative)  # type: ignore[arg-type]
    observed = scipy_stats.spearmanr(count, value).statistic
    null = [scipy_stats.spearmanr(count, p).statistic for p in itertools.permutations(value)]
    extreme = (
        np.abs(null) >= abs(observed) - 1e-9
        if alternative == "two-sided"
        else np.array(null) >= observed - 1e-9
    )
    assert result.exact and result.pvalue == pytest.approx(np.mean(extreme))


def test_random_permutations_agree_with_scipy() -> None:
    random = np.random.default_rng(2)
    count, value = counts_of(random, 15), random.normal(size=15)
    ours = association(count, value, n_resamples=20_000, rng=1)
    theirs = scipy_stats.permutation_test(
        (value,), lambda v: scipy_stats.spearmanr(count, v).statistic, permutation_type="pairings",
        alternative="greater", n_resamples=2_000, rng=np.random.default_rng(3),
    )  # fmt: skip
    assert not ours.exact and ours.pvalue == pytest.approx(theirs.pvalue, abs=0.02)


def test_p_is_never_zero_and_constants_show_nothing() -> None:
    rising = association(np.arange(30), np.arange(30), n_resamples=99, rng=1)
    assert rising.rho == pytest.approx(1) and rising.pvalue == 0.01
    for count, value in ((np.ones(8), np.arange(8)), (np.arange(8), np.ones(8))):
        flat = association(count, value)
        assert flat.pvalue == 1 and np.isnan(flat.rho)


def test_level_and_power_of_the_association() -> None:
    random = np.random.default_rng(4)
    rates = []
    for slope, n in ((0.0, 1200), (0.25, 200)):
        p = []
        for _ in range(n):
            count = counts_of(random, 24)
            value = slope * np.log2(1 + count) + random.normal(size=24)
            p.append(association(count, value, n_resamples=99, rng=random).pvalue)
        rates.append(np.mean(np.array(p) <= 0.05))
    assert rates[0] == pytest.approx(0.05, abs=0.02)
    assert rates[1] > 0.8


def test_the_interval_covers_the_correlation() -> None:
    random = np.random.default_rng(5)
    big = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 200_000)
    true = scipy_stats.spearmanr(big[:, 0], big[:, 1]).statistic
    covered = []
    for _ in range(200):
        x, y = random.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 30).T
        result = association(np.exp(x), y, n_resamples=499, rng=random)
        covered.append(result.low <= true <= result.high)
    assert np.mean(covered) > 0.9


def test_errors_in_counts_weaken_the_correlation() -> None:
    random = np.random.default_rng(6)
    count = counts_of(random, 400)
    value = np.log2(1 + count) + random.normal(size=400)
    noisy = count * np.exp(random.normal(0, 2, 400))
    assert association(noisy, value, n_resamples=99).rho < association(count, value, n_resamples=99).rho - 0.1


# Curve


def test_curve_equals_scikit_learn() -> None:
    isotonic = pytest.importorskip("sklearn.isotonic").IsotonicRegression()
    random = np.random.default_rng(7)
    count = counts_of(random, 60)
    value = 0.1 * np.log2(1 + count) + random.normal(size=60)
    curve = isotonic_curve(count, value)
    assert curve.value == pytest.approx(isotonic.fit(count, value).predict(curve.count), abs=1e-9)
    assert (np.diff(curve.value) >= 0).all() and curve.count.tolist() == sorted(set(count))


# Threshold


def residuals_by_hand(count: np.ndarray, value: np.ndarray) -> dict[tuple[float, float], float]:
    """Residual sum of squares of each step that does not fall, with at least 3 artists on each side."""
    out = {}
    for low, high in itertools.pairwise(np.unique(count)):
        below, above = value[count <= low], value[count > low]
        if len(below) >= 3 and len(above) >= 3:
            if above.mean() < below.mean():
                below, above = value, value[:0]
            out[low, high] = ((below - below.mean()) ** 2).sum() + (
                (above - above.sum() / max(1, len(above))) ** 2
            ).sum()
    return out


def test_step_equals_brute_force() -> None:
    random = np.random.default_rng(8)
    for _ in range(20):
        count = counts_of(random, 20)
        value = 0.5 * (count > 60) + random.normal(0, 0.4, 20)
        result = threshold(count, value, n_resamples=99, rng=1)
        rest = residuals_by_hand(count, value)
        (low, high), least = min(rest.items(), key=lambda item: item[1])
        assert result.estimate == pytest.approx(np.sqrt((1 + low) * (1 + high)) - 1)
        assert result.explained == pytest.approx(1 - least / ((value - value.mean()) ** 2).sum())
        inside = [ends for ends, one in rest.items() if 17 * (one - least) / least <= 7.3523]
        assert (result.low, result.high) == (min(a for a, _ in inside), max(b for _, b in inside))


def test_hinge_equals_least_squares() -> None:
    random = np.random.default_rng(9)
    count = counts_of(random, 40)
    x = np.log1p(count)
    value = 0.2 * np.maximum(x - np.log(50), 0) + random.normal(0, 0.05, 40)
    result = threshold(count, value, shape="hinge", n_resamples=99, rng=1)
    column = np.maximum(x - np.log1p(result.estimate), 0)
    fit = np.linalg.lstsq(np.stack([np.ones(40), column], axis=1), value, rcond=None)
    assert result.explained == pytest.approx(1 - fit[1][0] / ((value - value.mean()) ** 2).sum())
    assert result.before == pytest.approx(fit[0][0]) and result.after == pytest.approx(
        fit[0][0] + fit[0][1] * column[np.argmax(count)]
    )
    assert result.located and result.low < 49 < result.high
    line = scipy_stats.linregress(x, value).rvalue ** 2
    assert result.explained_line == pytest.approx(line)


def test_the_permutation_test_accounts_for_the_search() -> None:
    random = np.random.default_rng(10)
    located, p = [], []
    for _ in range(300):
        result = threshold(counts_of(random, 20), random.normal(size=20), n_resamples=99, rng=random)
        p.append(result.pvalue)
        located.append(result.located)
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(located) <= 0.06


def test_a_clear_step_is_located_and_covered() -> None:
    random = np.random.default_rng(11)
    located, covered = [], []
    for _ in range(100):
        count = counts_of(random, 24)
        value = np.where(count > 100, 0.75, 0.5) + random.normal(0, 0.07, 24)
        result = threshold(count, value, n_resamples=99, rng=random)
        located.append(result.located)
        covered.append(result.low <= 100 <= result.high)
    assert np.mean(located) > 0.95 and np.mean(covered) > 0.9


def test_a_fall_is_no_threshold_and_ends_are_open() -> None:
    count = 2.0 ** np.arange(12)
    falling = threshold(count, -np.arange(12.0), n_resamples=99, rng=1)
    assert not falling.located and falling.explained == 0 and falling.pvalue == 1
    early = np.where(count > 4, 1.0, 0.0) + 0.01 * np.random.default_rng(1).normal(size=12)
    result = threshold(count, early, n_resamples=999, rng=1)
    assert result.located and result.open_low and not result.open_high and (result.low, result.high) == (4, 8)
    flat = threshold(count, np.ones(12))
    assert not flat.located and np.isnan(flat.estimate)
    same = threshold(np.ones(12), np.arange(12))
    assert not same.located and np.isnan(same.estimate)


def test_a_step_depends_on_the_order_of_counts_only() -> None:
    random = np.random.default_rng(12)
    count = counts_of(random, 20)
    value = 0.5 * (count > 60) + random.normal(0, 0.2, 20)
    one, two = (threshold(c, value, n_resamples=99, rng=1) for c in (count, count**2))
    assert (two.low, two.high, two.pvalue) == (one.low**2, one.high**2, one.pvalue)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="differ"):
        association([1, 2], [1])
    with pytest.raises(ValueError, match="not finite"):
        association([1, 2, 3, 4, 5, np.nan], np.arange(6))
    with pytest.raises(ValueError, match="negative"):
        threshold([1, 2, 3, 4, 5, -1], np.arange(6))
    with pytest.raises(ValueError, match="5 artists"):
        association(np.arange(5), np.arange(5))
    with pytest.raises(ValueError, match="alternative"):
        association(np.arange(6), np.arange(6), alternative="less")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shape"):
        threshold(np.arange(6), np.arange(6), shape="line")  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [(0.1,) * 3 + (0.7,) * 3, (0.3,) * 5 + (0.9,) * 7])
def test_values_that_a_threshold_fits_without_any_rest_have_an_interval(values: tuple[float, ...]) -> None:
    found = threshold(np.arange(len(values)), values, n_resamples=99, rng=1)
    middle = values.count(values[0])
    assert (found.low, found.high) == (middle - 1, middle)
    assert found.explained <= 1 and found.explained_line <= 1
