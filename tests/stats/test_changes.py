"""Changes beyond placebo names: brute force, level, coverage, and agreement of tests with intervals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from imindex.stats.changes import change_test, mean_change, mean_interval, within_margin
from imindex.stats.equivalence import non_inferior, tost


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("n", [19, 20, 39, 40])
def test_ranks_among_placebos_are_uniform(alternative: str, n: int) -> None:
    """Each of the n + 1 values in turn is the own one: p is at most alpha in at most that share, with ties too."""
    random = np.random.default_rng(n)
    for values in (
        random.standard_normal(n + 1),
        random.exponential(1, n + 1),
        random.integers(0, 4, n + 1) / 4,
    ):
        p = np.array(
            [
                change_test(values[k], np.delete(values, k), alternative=alternative).pvalue
                for k in range(n + 1)
            ]
        )
        for alpha in np.unique(p):
            assert np.mean(p <= alpha) <= alpha + 1e-12
        shifted = [
            change_test(values[k] + 7, np.delete(values, k) + 7, alternative=alternative).pvalue
            for k in (0, n)
        ]
        assert shifted == [p[0], p[n]]  # a drift of all names changes nothing


@pytest.mark.parametrize("n", [19, 20, 39, 40, 99])
def test_the_interval_inverts_the_two_sided_test(n: int) -> None:
    random = np.random.default_rng(n)
    others, own = random.exponential(1, n), 0.3
    found = change_test(own, others)
    for end, outside in ((found.interval.low, -1e-6), (found.interval.high, 1e-6)):
        assert change_test(own - end - outside, others).pvalue <= 0.05
        assert change_test(own - end + outside, others).pvalue > 0.05
    grid = np.linspace(found.interval.low + 1e-6, found.interval.high - 1e-6, 101)
    assert all(change_test(own - shift, others).pvalue > 0.05 for shift in grid)
    assert np.isnan(change_test(own, others[:18]).interval.low)


def test_no_placebos_no_test() -> None:
    found = change_test(0.4, [])
    assert np.isnan(found.pvalue) and found.n_placebos == 0


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_the_assignment_equals_all_assignments(alternative: str) -> None:
    table = np.random.default_rng(5).standard_normal((2, 6)) / 10
    table[0, 0] += 0.2
    found = mean_change(table, [0, 1], [[2, 3, 4, 5]] * 2, alternative=alternative, n_resamples=20_000, rng=1)
    null = np.array(
        [
            np.mean([table[a, order[a]] - table[a, list(order[2:])].mean() for a in range(2)])
            for order in itertools.permutations(range(6))
        ]
    )
    observed = null[0]
    reached = {
        "two-sided": np.abs(null) >= abs(observed) - 1e-9,
        "greater": null >= observed - 1e-9,
        "less": null <= observed + 1e-9,
    }[alternative]
    assert found.beyond == pytest.approx(observed) and found.pvalue == pytest.approx(
        reached.mean(), abs=0.015
    )


def test_names_of_other_groups_are_not_exchanged() -> None:
    """Two groups without a common placebo name: a group whose names all drift alike shows nothing."""
    random = np.random.default_rng(3)
    table = random.standard_normal((4, 44)) / 100
    table[2:, 24:] += 0.5  # the second group's names drift, placebo names included
    own, placebos = [0, 1, 24, 25], [list(range(4, 24))] * 2 + [list(range(26, 44))] * 2
    assert mean_change(table, own, placebos, n_resamples=999, rng=1).pvalue > 0.05
    table[[2, 3], [24, 25]] += 0.1
    assert mean_change(table, own, placebos, n_resamples=999, rng=1).pvalue < 0.02


def drifting(random: np.random.Generator, drift: float, joint: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw changes of 12 artists and 30 names, with 6 shared prompts, and what each prompt explains."""
    n, n_names, n_prompts = 12, 30, 6
    by_prompt = (
        drift * random.standard_normal((1, 1, n_names)) + random.standard_normal((n_prompts, n, n_names)) / 5
    )
    kind = joint * random.standard_normal(n_prompts)  # a prompt moves the artists' own names together
    by_prompt[:, np.arange(n), np.arange(n)] += kind[:, None]
    table = by_prompt.mean(axis=0) / 10
    return table, (by_prompt / 10 - table) / n_prompts


@pytest.mark.parametrize(("drift", "joint"), [(0.0, 0.0), (0.5, 0.0), (1.5, 0.0), (0.5, 0.5)])
def test_level_and_coverage_under_drift(drift: float, joint: float) -> None:
    random, n = np.random.default_rng(int(10 * drift + 100 * joint)), 600
    below, covered = [], []
    for _ in range(n):
        table, prompts = drifting(random, drift, joint)
        found = mean_change(
            table, np.arange(12), [list(range(12, 30))] * 12, prompts=prompts, n_resamples=99, rng=random
        )
        below.append(found.pvalue <= 0.05)
        covered.append(found.interval.low <= 0 <= found.interval.high)
    slack = 2.6 * np.sqrt(0.05 * 0.95 / n)
    assert np.mean(covered) >= 0.94 - slack
    if not joint:
        assert np.mean(below) <= 0.05 + slack


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("n", [8, 24, 70])
def test_intervals_where_most_differences_are_0(n: int, share: float) -> None:
    random, covered = np.random.default_rng(n), []
    for _ in range(400):
        values = np.where(random.random(n) < share, 0.3, 0.0)
        found = mean_interval(values).interval
        assert found.low < found.high
        covered.append(found.low <= 0.3 * share <= found.high)
    assert np.mean(covered) >= 0.94 - 2.6 * np.sqrt(0.05 * 0.95 / 400)


def test_the_interval_is_never_of_zero_width() -> None:
    for value in (0.0, 0.1):
        found = mean_interval(np.full(20, value)).interval
        assert found.low < value < found.high
    table = np.zeros((5, 25))
    found = mean_change(table, np.arange(5), [list(range(5, 25))] * 5, n_resamples=99, rng=1)
    assert found.pvalue == 1 and found.interval.low < -0.1 and found.interval.high > 0.1


def test_margins_agree_with_t_tests() -> None:
    values = np.random.default_rng(2).normal(0.01, 0.03, 20)
    found = within_margin(lambda level: mean_interval(values, confidence_level=level).interval, 0.03)
    assert found.p_equivalent == pytest.approx(tost(values, margin=0.03).pvalue, rel=1e-6)
    assert found.p_not_more == pytest.approx(non_inferior(values, margin=0.03).pvalue, rel=1e-6)
    same = within_margin(lambda level: mean_interval(np.zeros(5), confidence_level=level).interval, 0.05)
    assert same.p_equivalent > 0.2  # five artists that did not change show little
    with pytest.raises(ValueError, match="above 0"):
        within_margin(lambda level: mean_interval(values).interval, 0.0)


def test_names_of_other_origins_are_not_exchanged() -> None:
    """Five artists have names of their own origin, which change more than those that only the sixth artist uses."""
    rng, called = np.random.default_rng(3), []
    for _ in range(200):
        spread = np.concatenate([np.full(5, 0.1), [0.01], np.full(10, 0.1), np.full(60, 0.01)])
        changes = np.tile(rng.normal(0, spread), (6, 1)) + 0.01 * rng.normal(size=(6, 76))
        placebos = [list(range(6, 16))] * 5 + [list(range(6, 76))]
        called.append(mean_change(changes, np.arange(6), placebos, n_resamples=199, rng=rng).pvalue <= 0.05)
    assert np.mean(called) <= 0.05 + 3 * (0.05 * 0.95 / len(called)) ** 0.5


def test_direction_is_that_of_the_test_where_placebo_names_are_skewed() -> None:
    """A few placebo names change much; the own set is above the others that do not."""
    result = change_test(0.01, np.concatenate([np.linspace(-0.005, 0.005, 95), np.full(4, 0.9)]))
    assert result.pvalue <= 0.05
    assert result.beyond > 0 and result.interval.low > 0
