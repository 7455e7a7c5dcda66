"""Comparing two releases: against scipy, brute force and theory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.paired import exchange_test, paired_difference, sign_flip_test

ALTERNATIVES = ["two-sided", "less", "greater"]


def mean_difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    return x.mean(axis=axis) - y.mean(axis=axis)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("seed", range(4))
def test_sign_flips_equal_scipy_and_brute_force(alternative: str, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0.3, 1, 9).round(1)  # rounded: ties
    ours = sign_flip_test(values, alternative=alternative)
    theirs = scipy_stats.permutation_test(
        (values,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True,
        alternative=alternative,
    )  # fmt: skip
    assert ours.exact and ours.n == 9
    assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)
    tenths = (values * 10).round().astype(int)
    sums = np.array([np.dot(signs, tenths) for signs in itertools.product((1, -1), repeat=9)])
    counted = {
        "greater": sums >= tenths.sum(),
        "less": sums <= tenths.sum(),
        "two-sided": abs(sums) >= abs(tenths.sum()),
    }
    assert ours.pvalue == counted[alternative].mean()
    assert sorted(ours.null_distribution) == pytest.approx(sorted(sums / 90))


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_random_sign_flips_approach_all_of_them(alternative: str) -> None:
    values = np.random.default_rng(3).normal(0.3, 1, 14)
    exact = sign_flip_test(values, alternative=alternative, n_resamples=2**14 - 1)
    random = sign_flip_test(values, alternative=alternative, n_resamples=2**14 - 2, rng=1)
    assert exact.exact and not random.exact
    assert len(exact.null_distribution) == 2**14 and len(random.null_distribution) == 2**14 - 2
    assert random.pvalue == pytest.approx(exact.pvalue, abs=4 * np.sqrt(exact.pvalue / 2**14))
    again = sign_flip_test(
        values, alternative=alternative, n_resamples=2**14 - 2, rng=np.random.default_rng(1)
    )
    assert again.pvalue == random.pvalue


def test_sign_flip_never_0_and_ties_count_against() -> None:
    assert sign_flip_test(np.ones(40), rng=1).pvalue == 1 / 10_000
    assert sign_flip_test(np.zeros(40), rng=1).pvalue == 1
    assert sign_flip_test([0.3]).pvalue == 1
    assert sign_flip_test([0.3], alternative="greater").pvalue == 0.5
    # 0.1 + 0.2 is not 0.3 in floats, yet these tie.
    assert sign_flip_test([0.1, 0.2, -0.3], alternative="greater").pvalue == 5 / 8
    # The statistic is about 0 only by cancellation.
    assert sign_flip_test([1e9, 0.1, -1e9, -0.1]).pvalue == 1


@pytest.mark.parametrize(
    ("values", "message"), [([], "empty"), ([1, np.nan], "NaN"), ([1, np.inf], "infinite")]
)
def test_sign_flip_errors(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sign_flip_test(values)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="alternative"):
        sign_flip_test([1.0], alternative="more")
    with pytest.raises(ValueError, match="n_resamples"):
        exchange_test([1.0], [2.0], n_resamples=0)
    with pytest.raises(ValueError, match="confidence_level"):
        paired_difference([1.0, 2.0], [2.0, 2.5], confidence_level=95)


def test_sign_flip_holds_its_level() -> None:
    random = np.random.default_rng(5)
    p = [sign_flip_test(row).pvalue for row in random.standard_t(3, (1000, 10))]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("n", [6, 30])
def test_paired_interval_equals_scipy(n: int) -> None:
    random = np.random.default_rng(n)
    base = random.beta(5, 3, n)
    new = base + random.gamma(1, 0.1, n)
    ours = paired_difference(base, new, n_resamples=30_000, confidence_level=0.9, rng=1)
    theirs = scipy_stats.bootstrap(
        (new - base,), np.mean, n_resamples=30_000, confidence_level=0.9, method="BCa", batch=1000,
        random_state=np.random.default_rng(2),
    )  # fmt: skip
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ours.interval.low == pytest.approx(theirs.confidence_interval.low, abs=0.02 * width)
    assert ours.interval.high == pytest.approx(theirs.confidence_interval.high, abs=0.02 * width)
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=0.03)
    assert ours.estimate == pytest.approx(np.mean(new - base))
    assert ours.exact == (n == 6)


def test_artists_without_figures_are_excluded_and_counted() -> None:
    base, new = np.array([0.5, np.nan, 0.6, 0.7, 0.4]), np.array([0.6, 0.5, np.nan, 0.9, 0.3])
    found = paired_difference(base, new, rng=1)
    assert (found.n_artists, found.n_left_out) == (3, 2)
    assert found.differences == pytest.approx([0.1, 0.2, -0.1])
    assert found.pvalue == sign_flip_test(found.differences).pvalue


def test_paired_difference_of_few_or_equal_artists() -> None:
    one = paired_difference([0.5], [0.7])
    assert one.estimate == pytest.approx(0.2) and one.pvalue == 1
    assert np.isnan([one.interval.low, one.interval.high, one.standard_error]).all()
    same = paired_difference(np.full(8, 0.5), np.full(8, 0.5), rng=1)
    assert (same.estimate, same.interval.low, same.interval.high, same.pvalue) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="Audit both"):
        paired_difference([np.nan], [0.5])
    with pytest.raises(ValueError, match="same artists"):
        paired_difference([0.5, 0.5], [0.5])


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(("n", "m"), [(5, 6), (4, 4), (2, 7), (3, 2)])
def test_exchange_equals_scipy(alternative: str, n: int, m: int) -> None:
    random = np.random.default_rng(n)
    base, new = random.random(n).round(1), random.random(m).round(1)
    ours = exchange_test(base, new, alternative=alternative)
    theirs = scipy_stats.permutation_test(
        (new, base), mean_difference, vectorized=True, alternative=alternative, permutation_type="independent"
    )
    assert ours.exact and (ours.n_base, ours.n_new) == (n, m)
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)
    assert sorted(ours.null_distribution) == pytest.approx(sorted(theirs.null_distribution))


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_random_labels_approach_all_of_them(alternative: str) -> None:
    random = np.random.default_rng(9)
    base, new = random.random(8), random.random(8) + 0.1
    exact = exchange_test(base, new, alternative=alternative, n_resamples=12_870)
    drawn = exchange_test(base, new, alternative=alternative, n_resamples=12_868, rng=1)
    assert exact.exact and not drawn.exact
    assert drawn.pvalue == pytest.approx(exact.pvalue, abs=0.02)


def test_exchange_ties_and_extremes() -> None:
    assert exchange_test(np.full(30, 0.1), np.full(40, 0.1), rng=1).pvalue == 1
    assert exchange_test(np.zeros(30), np.ones(30), alternative="greater", rng=1).pvalue == 1 / 10_000
    assert exchange_test(np.zeros(30), np.ones(30), rng=1).pvalue == 2 / 10_000
    assert exchange_test([0.3], [0.4]).pvalue == 1
    for base, new in (([], [1.0]), ([1.0], []), ([np.nan], [1.0])):
        with pytest.raises(ValueError, match=r"empty|NaN"):
            exchange_test(base, new)


def test_pairs_flip_signs_within_pairs() -> None:
    random = np.random.default_rng(4)
    prompt = random.normal(0, 5, 10)  # what prompts share hides the difference, unless paired
    base, new = prompt + random.normal(0, 0.1, 10), prompt + 0.6 + random.normal(0, 0.1, 10)
    paired = exchange_test(base, new, pairs=True)
    assert paired.paired and paired.pvalue == sign_flip_test(new - base).pvalue == 2 / 2**10
    assert exchange_test(base, new, rng=1).pvalue > 0.5
    with pytest.raises(ValueError, match="prompt and seed"):
        exchange_test([0.1, 0.2], [0.1], pairs=True)


def test_exchange_holds_its_level() -> None:
    random = np.random.default_rng(6)
    p = [
        exchange_test(row[:20], row[20:], n_resamples=199, rng=random).pvalue
        for row in random.random((600, 35))
    ]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.025)
