"""Likelihood ratios: against hand computations, scikit-learn, brute force and simulations with known ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.likelihood_ratio import (
    Trials,
    calibrate,
    cllr,
    cllr_min,
    cross_calibrated,
    elub,
    equal_error_rate,
    likelihood_ratio,
    pav,
    tippett,
    trials,
    validate,
    verbal,
    weights,
)

N_PLACEBOS = 12


def drawn(random: np.random.Generator, n: int = 30, mean: float = 2.0, groups: int = 1) -> Trials:
    """Trials of n artists, each with its own pictures and those of every artist and of placebo names."""
    artist, source, _ = np.meshgrid(np.arange(n), np.arange(n + N_PLACEBOS), np.arange(groups), indexing="ij")
    artist, source = artist.ravel(), source.ravel()
    return trials(random.normal(mean * (artist == source)), artist, source)


def true_log10(known: Trials, mean: float = 2.0) -> np.ndarray:
    """Log10 likelihood ratio of normal scores with unit variance and the means `mean` and 0."""
    return np.asarray((mean * known.score - mean**2 / 2) / math.log(10))


# Measures


def test_cllr_by_hand() -> None:
    # Two trials under H1 with LR 2 and 1/2, one under H2 with LR 1/4.
    expected = (0.5 * (math.log2(1.5) + math.log2(3)) + math.log2(1.25)) / 2
    assert cllr(np.log10([2, 0.5]), np.log10([0.25])) == pytest.approx(expected)
    assert cllr([np.inf], [-np.inf]) == 0 and cllr([-np.inf], [-1]) == np.inf
    weighted = cllr(np.log10([2, 0.5]), np.log10([0.25]), [3, 1])
    assert weighted == pytest.approx(((3 * math.log2(1.5) + math.log2(3)) / 4 + math.log2(1.25)) / 2)


def test_cllr_min_by_hand() -> None:
    # The best monotone posterior is 0, then 1/2 (two violators pooled), then 1: only the middle pair costs a bit each.
    assert cllr_min([1, 2, 3, 4], [False, True, False, True]) == pytest.approx(0.5)
    assert cllr_min([5, 5, 5], [True, False, True]) == pytest.approx(1)


def test_pav_equals_scikit_learn() -> None:
    isotonic = pytest.importorskip("sklearn.isotonic").IsotonicRegression(y_min=0, y_max=1)
    random = np.random.default_rng(1)
    same = random.random(200) < 0.3
    score = np.round(random.normal(1.0 * same), 1)
    weight = random.uniform(0.5, 2, 200)
    mass = np.where(same, weight / weight[same].sum(), weight / weight[~same].sum())
    posterior = isotonic.fit_transform(score, same, sample_weight=mass)
    with np.errstate(divide="ignore"):
        expected = np.log10(posterior) - np.log10(1 - posterior)
    assert pav(score, same, weight) == pytest.approx(expected, abs=1e-6)
    own, other = expected[same], expected[~same]
    assert cllr_min(score, same, weight) == pytest.approx(cllr(own, other, mass[same], mass[~same]), abs=1e-9)


def test_cllr_min_is_below_every_monotone_calibration() -> None:
    known = drawn(np.random.default_rng(2))
    weight, same = weights(known), known.same
    least = cllr_min(known.score, same, weight)
    for intercept, slope in ((0, 0), (-1, 0.5), (-2, 2), (-0.87, 0.87)):
        ratio = intercept + slope * known.score
        assert least <= cllr(ratio[same], ratio[~same], weight[same], weight[~same]) + 1e-12
    assert cllr_min(np.exp(known.score), same, weight) == pytest.approx(least)


def test_equal_error_rate_is_that_of_normal_scores() -> None:
    random = np.random.default_rng(3)
    same = np.repeat([True, False], 20_000)
    assert equal_error_rate(random.normal(2.0 * same), same) == pytest.approx(
        scipy_stats.norm.sf(1), abs=0.005
    )
    assert equal_error_rate([1, 2, 3], [False, True, True]) == 0


def test_tippett_curves_are_shares_above_each_value() -> None:
    random = np.random.default_rng(4)
    same, different = random.normal(1, 1, 40).round(1), random.normal(-1, 1, 70).round(1)
    curves = tippett(same, different)
    for value, one, two in zip(curves.log10_lr, curves.same, curves.different, strict=True):
        assert one == pytest.approx(np.mean(same > value)) and two == pytest.approx(
            np.mean(different > value)
        )
    assert set(curves.log10_lr) == {*same, *different}


# Weights


def test_weights_are_equal_for_artists_and_then_for_names() -> None:
    known = trials(np.zeros(8), [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 5, 6, 1, 5, 5, 7])
    assert weights(known) == pytest.approx([1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 2, 1 / 8, 1 / 8, 1 / 4])
    kept = np.ones(8)
    kept[5] = 0
    assert weights(known, kept, kept) == pytest.approx([1 / 4, 1 / 4, 0, 1 / 2, 1 / 2, 0, 0, 1 / 2])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="differ"):
        trials([0.0, 1.0], [0], [0])
    with pytest.raises(ValueError, match="not finite"):
        trials([np.nan, 1.0], [0, 0], [0, 1])
    with pytest.raises(ValueError, match="none under H2"):
        trials([0.0], [0], [0])
    with pytest.raises(ValueError, match="none under H1"):
        trials([0.0], [0], [1])
    few = drawn(np.random.default_rng(1), n=4)
    with pytest.raises(ValueError, match="4 artists"):
        calibrate(few)
    with pytest.raises(ValueError, match="penalty"):
        calibrate(drawn(np.random.default_rng(1)), penalty=-1)
    known = drawn(np.random.default_rng(1), n=6)
    with pytest.raises(ValueError, match="one per trial"):
        validate(known, [0.0])
    with pytest.raises(ValueError, match="NaN"):
        validate(known, np.full(len(known.score), np.nan))
    with pytest.raises(ValueError, match="finite"):
        likelihood_ratio([np.inf], known)


# Calibration


@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
def test_calibration_equals_scikit_learn(penalty: float) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    known = drawn(np.random.default_rng(5), groups=2)
    weight, same = weights(known), known.same
    # Under each proposition, the artists weigh as many trials as there are artists; the score is standardised.
    centre = weight @ known.score / 2
    scale = np.sqrt(weight @ (known.score - centre) ** 2 / 2)
    model = linear_model.LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000)
    model.fit((known.score[:, None] - centre) / scale, same, sample_weight=30 * weight)
    learned = calibrate(known, penalty=penalty)
    expected = model.decision_function((np.array([-2.0, 0.5, 4.0])[:, None] - centre) / scale) / math.log(10)
    assert learned.unbounded([-2, 0.5, 4]) == pytest.approx(expected, abs=1e-4)


def test_calibration_finds_known_ratios() -> None:
    known = drawn(np.random.default_rng(6), n=400)
    learned = calibrate(known)
    score = np.array([-1.0, 1.0, 3.0])
    assert learned.unbounded(score) == pytest.approx((2 * score - 2) / math.log(10), abs=0.2)


def test_penalty_shrinks_towards_no_evidence() -> None:
    known = drawn(np.random.default_rng(7))
    slopes = [calibrate(known, penalty=penalty).slope for penalty in (0, 1, 10, 1000, 1e6)]
    assert slopes == sorted(slopes, reverse=True) and slopes[-1] < 1e-3


def test_scores_that_run_the_wrong_way_are_no_evidence() -> None:
    known = drawn(np.random.default_rng(8))
    reversed_ = Trials(-known.score, known.artist, known.source)
    assert calibrate(reversed_).log10_lr([-5, 0, 5]).tolist() == [0, 0, 0]
    constant = Trials(np.zeros(len(known.score)), known.artist, known.source)
    assert calibrate(constant).log10_lr([0, 1]).tolist() == [0, 0]


def test_separated_scores_stay_finite_and_below_the_number_of_artists() -> None:
    known = drawn(np.random.default_rng(9), n=20, mean=50)
    shrunken, learned = calibrate(known, penalty=1), calibrate(known, penalty=1e-6)
    assert np.isfinite([shrunken.intercept, shrunken.slope]).all()
    # Beyond the ratios of its own trials nothing is supported, so a stronger penalty lowers the bounds, too.
    assert shrunken.high < learned.high
    # The name of a placebo set is one of 12 + 19 others, so the artists are the fewest.
    assert 10**learned.high == pytest.approx(20) and 10**-learned.low == pytest.approx(20)
    assert learned.log10_lr([1e9]).tolist() == [pytest.approx(math.log10(20))]


def brute_upper_bound(same: np.ndarray, different: np.ndarray) -> float:
    """First threshold above 1 at which the evidence with one more error is worse than none, on a fine grid."""
    for exponent in np.arange(1, 40_000) / 10_000:
        t = 10**exponent
        cost = (np.sum(same <= exponent) + 1) / (len(same) + 1)
        cost += t * (np.sum(different > exponent) + 1) / (len(different) + 1)
        if cost > 1:
            return float(exponent)
    raise AssertionError


@pytest.mark.parametrize("seed", range(5))
def test_bounds_equal_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    same, different = random.normal(1, 0.8, 60), random.normal(-1, 0.8, 90)
    low, high = elub(same, different)
    assert high == pytest.approx(brute_upper_bound(same, different), abs=2e-4)
    assert -low == pytest.approx(brute_upper_bound(-different, -same), abs=2e-4)


def test_bounds_are_neutral_without_information() -> None:
    random = np.random.default_rng(1)
    ratio = random.normal(0, 1, 400)
    low, high = elub(ratio[:200], ratio[200:])
    assert -0.1 < low <= 0 <= high < 0.1


# Disjoint artists


def test_an_artists_own_pictures_and_works_do_not_calibrate_its_ratios() -> None:
    known = drawn(np.random.default_rng(10))
    base = cross_calibrated(known)
    changed = known.score.copy()
    mine = (known.artist == 3) | (known.source == 3)
    changed[mine] = np.random.default_rng(11).normal(size=mine.sum()) * 5
    after = cross_calibrated(Trials(changed, known.artist, known.source))
    assert after.by_artist[3] == base.by_artist[3]
    assert after.by_artist[4] != base.by_artist[4]
    for artist in (3, 4):
        rows = base.trials.artist == artist
        expected = calibrate(known.without(artist)).log10_lr(known.score[rows])
        assert base.log10_lr[rows] == pytest.approx(expected)


def test_validation_leaves_out_artists_and_names_in_turn() -> None:
    known = drawn(np.random.default_rng(12), n=9)
    ratio = true_log10(known)
    result = validate(known, ratio)

    def cost(rows: np.ndarray) -> float:
        part, mine = known.part(rows), ratio[rows]
        weight = weights(part)
        return cllr(mine[part.same], mine[~part.same], weight[part.same], weight[~part.same])

    everything = np.ones(len(ratio), bool)
    assert result.cllr.value == pytest.approx(cost(everything))
    by_artist = np.array([cost((known.artist != a) & (known.source != a)) for a in range(9)])
    by_name = np.array([cost(known.source != s) for s in range(9, 9 + N_PLACEBOS)])
    variance = 8 * by_artist.var() + (N_PLACEBOS - 1) * by_name.var()
    assert result.cllr.high - result.cllr.value > 1.96 * math.sqrt(variance)
    assert result.cllr.high - result.cllr.value < scipy_stats.t.isf(0.025, 8) * math.sqrt(variance) * (
        1 + 1e-9
    )
    weight, same = weights(known), known.same
    assert result.cllr_min.value == pytest.approx(cllr_min(ratio, same, weight))
    assert result.misleading_same.value == pytest.approx(np.mean(ratio[same] < 0))
    assert result.misleading_different.value == pytest.approx(np.mean(ratio[~same] > 0))
    assert (result.n_artists, result.n_others) == (9, 9 + N_PLACEBOS)


def test_an_interval_equals_calibrating_again_without_each_unit() -> None:
    known = drawn(np.random.default_rng(13), n=60)
    (one,), learned = likelihood_ratio([1.7], known)
    assert one.unbounded == pytest.approx(float(learned.unbounded(1.7)))
    again = [
        [float(calibrate(known.without(a)).unbounded(1.7)) for a in range(60)],
        [float(calibrate(known.part(known.source != s)).unbounded(1.7)) for s in range(60, 60 + N_PLACEBOS)],
    ]
    variance = sum((len(level) - 1) * np.var(level) for level in again)
    assert one.high - one.low == pytest.approx(2 * 2.0 * math.sqrt(variance), rel=0.12)


def test_order_and_numbers_do_not_matter() -> None:
    known = drawn(np.random.default_rng(14), n=12)
    order = np.random.default_rng(1).permutation(len(known.score))
    renamed = Trials(known.score[order], 7 * known.artist[order], 7 * known.source[order])
    one, two = cross_calibrated(known), cross_calibrated(renamed)
    assert two.log10_lr == pytest.approx(one.log10_lr[order])
    first, second = validate(one.trials, one.log10_lr), validate(two.trials, two.log10_lr)
    assert second.cllr.value == pytest.approx(first.cllr.value)
    assert second.cllr.high == pytest.approx(first.cllr.high)


# Known truth


def test_calibrated_cost_is_near_that_of_the_true_ratios() -> None:
    random = np.random.default_rng(15)
    true, ours = [], []
    for _ in range(20):
        known = drawn(random, n=40)
        result = cross_calibrated(known)
        true.append(validate(known, true_log10(known)).cllr.value)
        ours.append(validate(result.trials, result.log10_lr).cllr.value)
    # Learning from 39 artists, and the bounds, cost a little.
    assert np.mean(true) < np.mean(ours) < np.mean(true) + 0.05
    # Cost of the true ratios of normal scores, by numerical integration.
    grid = np.linspace(-10, 12, 20_001)
    log_ratio = 2 * grid - 2
    exact = np.trapezoid(scipy_stats.norm.pdf(grid, 2) * np.logaddexp(0, -log_ratio), grid) / math.log(2)
    assert np.mean(true) == pytest.approx(exact, abs=0.04)


def test_without_information_nothing_is_called_informative() -> None:
    random = np.random.default_rng(16)
    called, extremes = [], []
    for _ in range(60):
        result = cross_calibrated(drawn(random, n=15, mean=0.0))
        called.append(validate(result.trials, result.log10_lr).informative)
        extremes.append(np.abs(result.log10_lr).max())
    assert np.mean(called) <= 0.05
    assert np.quantile(extremes, 0.9) < math.log10(4)


def test_information_is_called_informative() -> None:
    random = np.random.default_rng(17)
    found = [cross_calibrated(drawn(random, n=24)) for _ in range(10)]
    assert all(validate(one.trials, one.log10_lr).informative for one in found)


def test_no_ratio_exceeds_the_number_of_artists() -> None:
    random = np.random.default_rng(18)
    for mean in (0.0, 3.0, 30.0):
        known = drawn(random, n=10, mean=mean)
        (one,), _ = likelihood_ratio([100.0], known)
        assert one.low <= one.log10_lr <= one.high <= math.log10(10) + 1e-9


def test_verbal_terms_follow_the_scale() -> None:
    assert verbal(0) == verbal(math.log10(1.9)) == "no support for either proposition"
    assert verbal(math.log10(50)) == "moderate support for H1"
    assert verbal(-math.log10(500)) == "moderately strong support for H2"
    assert verbal(7) == "extremely strong support for H1"
