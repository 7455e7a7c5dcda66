"""Withheld pictures: shares against scipy and brute force, and bounds that hold whatever the pictures were."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy

from imindex.stats.drift import drift_test, early_and_late
from imindex.stats.refusals import clopper_pearson, withheld_bounds, withheld_test


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_are_those_of_scipy(k: int, n: int, level: float) -> None:
    ours = clopper_pearson(k, n, level)
    theirs = scipy.stats.binomtest(k, n).proportion_ci(level, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_shares_and_p_values_by_hand() -> None:
    result = withheld_test([10, 10, 8, 0], [10, 0, 4, 0], [10, 10, 10, 8], [0, 10, 3, 4])
    assert result.share[:3].tolist() == [1.0, 0.0, 0.5] and np.isnan(result.share[3])
    assert result.n_references.tolist() == [3, 3, 1, 0] and result.n_left_out.tolist() == [1, 1, 3, 4]
    assert result.pvalue[:3].tolist() == [2 / 4, 1.0, 1.0] and np.isnan(result.pvalue[3])
    assert result.reference[0] == pytest.approx(13 / 30) and np.isnan(result.resolution[3])


def test_the_rank_test_holds_its_level_where_the_filter_judges_names_and_fisher_does_not() -> None:
    rng = np.random.default_rng(0)
    n_worlds, n, refs = 2000, 12, 39
    ours = fisher = 0
    for _ in range(n_worlds):
        odds = rng.choice([0.0, 1.0], size=refs + 1, p=[0.85, 0.15])  # a name is refused always or never
        k = rng.binomial(n, odds)
        ours += withheld_test([n], [k[0]], [n] * refs, k[1:]).pvalue[0] <= 0.05
        table = [[k[0], n - k[0]], [k[1:].sum(), refs * n - k[1:].sum()]]
        fisher += scipy.stats.fisher_exact(table, alternative="greater").pvalue <= 0.05
    assert ours / n_worlds <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_worlds)
    assert fisher / n_worlds > 0.1


def test_the_rank_test_finds_names_that_are_refused_more_often() -> None:
    rng = np.random.default_rng(1)
    found = [
        withheld_test([12], [rng.binomial(12, 0.7)], [12] * 39, rng.binomial(12, 0.1, 39)).pvalue[0] <= 0.05
        for _ in range(300)
    ]
    assert np.mean(found) > 0.95


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="larger than the number"):
        withheld_test([3], [4], [3], [0])
    with pytest.raises(ValueError, match="expected one count per name"):
        withheld_test([3, 3], [1], [3], [0])
    with pytest.raises(ValueError, match="not finite"):
        withheld_bounds([np.nan], 0, [[1.0]], [0])
    with pytest.raises(ValueError, match="expected 1 counts"):
        withheld_bounds([1.0], 0, [[1.0]], [0, 0])


def brute_p(own: np.ndarray, references: list[np.ndarray]) -> float:
    return (1 + sum(values.mean() >= own.mean() - 1e-12 for values in references)) / (1 + len(references))


def brute_auc(own: np.ndarray, references: list[np.ndarray]) -> float:
    pairs = [
        np.mean([(a > b) + (a == b) / 2 for a, b in itertools.product(own, values)]) for values in references
    ]
    return float(np.mean(pairs))


def test_without_withheld_pictures_all_scenarios_agree_with_brute_force() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        own, references = rng.integers(0, 5, 6) * 1.0, [rng.integers(0, 4, 6) * 1.0 for _ in range(7)]
        got = withheld_bounds(own, 0, references, [0] * 7)
        assert got.auc == got.auc_low == got.auc_high == got.auc_as_references
        assert got.auc == pytest.approx(brute_auc(own, references))
        assert got.p_as_answered == got.p_as_references == got.p_low == got.p_high == brute_p(own, references)


def test_bounds_hold_whatever_was_withheld() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        own = rng.normal(0.5, 1, 8)
        references = [rng.normal(0, 1, 8) for _ in range(9)]
        gone = rng.random(8) < 0.4
        others = [rng.random(8) < 0.2 for _ in references]
        kept = [values[~mask] for values, mask in zip(references, others, strict=True)]
        got = withheld_bounds(own[~gone], int(gone.sum()), kept, [int(mask.sum()) for mask in others])
        if not (~gone).any() or not all(len(values) for values in kept):
            continue
        # The AUC bounds are for the pictures of this name; the reference pictures are those that were made.
        assert got.auc_low - 1e-12 <= brute_auc(own, kept) <= got.auc_high + 1e-12
        shown = np.concatenate([own[~gone], *kept])
        low, high = shown.min(), shown.max()
        clipped = [np.clip(values, low, high) for values in references]
        p = brute_p(np.clip(own, low, high), clipped)
        assert got.p_low <= p <= got.p_high


def test_scenarios_against_imputation() -> None:
    rng = np.random.default_rng(4)
    own, references, missing = rng.normal(1, 1, 5), [rng.normal(0, 1, n) for n in (6, 4, 5, 6)], [0, 2, 1, 0]
    got = withheld_bounds(own, 3, references, missing)
    mean = np.mean([values.mean() for values in references])
    filled = [np.append(values, [mean] * k) for values, k in zip(references, missing, strict=True)]
    assert got.p_as_references == brute_p(np.append(own, [mean] * 3), filled)
    assert got.p_as_answered == brute_p(own[:4], [values[:4] for values in references])
    many = [*references, *(rng.normal(0, 1, 6) for _ in range(16))]  # 19 of 20 reach 5 pictures
    large = withheld_bounds(own, 3, many, [0] * 20)
    assert large.p_as_answered == brute_p(own, [values[:5] for values in many if len(values) >= 5])
    assert got.auc_as_references == pytest.approx((5 * brute_auc(own, references) + 3 / 2) / 8)


def test_a_name_without_any_picture_is_not_found() -> None:
    got = withheld_bounds([], 6, [[0.0, 1.0], [1.0, 2.0]], [0, 0])
    assert np.isnan(got.auc) and np.isnan(got.p_as_answered)
    assert (got.auc_low, got.auc_as_references, got.auc_high) == (0.0, 0.5, 1.0)
    assert got.p_as_references > 1 / 3 or got.p_as_references == pytest.approx(2 / 3)
    nothing = withheld_bounds([1.0], 1, [], [])
    assert np.isnan(nothing.auc_low) and np.isnan(nothing.p_as_references)


# Drift


def test_drift_enumerates_all_flips() -> None:
    rng = np.random.default_rng(5)
    early, late = rng.normal(size=(6, 3)), rng.normal(0.4, 1, size=(6, 3))
    got = drift_test(early, late)
    lengths = [
        np.linalg.norm((np.array(signs)[:, None] * (late - early)).mean(axis=0))
        for signs in itertools.product((1, -1), repeat=6)
    ]
    shift = np.linalg.norm((late - early).mean(axis=0))
    assert got.exact and got.pvalue == pytest.approx(np.mean(np.array(lengths) >= shift - 1e-9))
    assert got.shift == pytest.approx(shift)
    drawn = drift_test(np.tile(early, (4, 1)), np.tile(late, (4, 1)), n_resamples=999, rng=0)
    assert not drawn.exact and drawn.n_resamples == 999 and drawn.pvalue >= 1 / 1000


def test_drift_in_one_dimension_is_the_permutation_test_of_scipy() -> None:
    rng = np.random.default_rng(6)
    early, late = rng.normal(size=9), rng.normal(0.3, 1, size=9)
    theirs = scipy.stats.permutation_test(
        (late, early), lambda a, b: abs((a - b).mean()), permutation_type="samples", alternative="greater"
    )
    assert drift_test(early[:, None], late[:, None]).pvalue == pytest.approx(theirs.pvalue)


def test_level_and_power_of_the_drift_test() -> None:
    rng = np.random.default_rng(7)

    def rate(shift: float, n_worlds: int) -> float:
        found = 0
        for _ in range(n_worlds):
            names = rng.normal(size=(15, 1, 8)) * 2  # sets cluster by name
            vectors = names + rng.normal(size=(15, 8, 8))
            vectors[:, 4:, 0] += shift
            halves = [early_and_late(own, range(8)) for own in vectors]
            early, late = (np.array(part) for part in zip(*halves, strict=True))
            found += drift_test(early, late, n_resamples=499, rng=rng).pvalue <= 0.05
        return found / n_worlds

    assert rate(0.0, 600) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert rate(1.0, 60) > 0.9


def test_halves_are_equal_and_faults_are_named() -> None:
    early, late = early_and_late([[1.0], [2.0], [3.0]], [5, 9, 1])
    assert (early.tolist(), late.tolist()) == ([3.0], [2.0])
    with pytest.raises(ValueError, match="2 or more"):
        early_and_late([[1.0]], [1])
    with pytest.raises(ValueError, match="expected names x dimensions"):
        drift_test([[1.0]], [[1.0, 2.0]])
    assert np.isnan(drift_test([[1.0]], [[2.0]]).pvalue)
