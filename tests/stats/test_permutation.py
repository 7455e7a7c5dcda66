"""The assignment test against enumeration and theory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from imindex.stats.permutation import assignment_test


def test_few_artists_are_enumerated() -> None:
    table = np.random.default_rng(1).normal(size=(5, 5))
    means = [
        np.mean([table[a, b] for a, b in enumerate(order)]) for order in itertools.permutations(range(5))
    ]
    found = assignment_test(table)
    assert found.exact and len(found.null_distribution) == 120
    assert found.pvalue == pytest.approx(np.mean(np.array(means) >= means[0] - 1e-12))


def test_random_assignments_agree_with_enumeration() -> None:
    table = np.random.default_rng(2).normal(size=(6, 6)) + 0.5 * np.eye(6)
    exact, drawn = assignment_test(table), assignment_test(table, n_resamples=700, rng=3)
    assert exact.exact and not drawn.exact
    assert drawn.pvalue == pytest.approx(exact.pvalue, abs=4 * np.sqrt(exact.pvalue / 700) + 1 / 700)
    assert 701 * drawn.pvalue == pytest.approx(
        1 + np.count_nonzero(drawn.null_distribution >= drawn.statistic)
    )


def test_p_is_never_0_and_ties_are_against() -> None:
    assert assignment_test(np.eye(30), n_resamples=99, rng=1).pvalue == 0.01
    assert assignment_test(np.zeros((30, 30)), n_resamples=99, rng=1).pvalue == 1.0


def test_uniform_under_the_null() -> None:
    rng = np.random.default_rng(4)
    p = [assignment_test(rng.normal(size=(12, 12)) + rng.normal(size=(1, 12)), n_resamples=199, rng=rng).pvalue
         for _ in range(400)]  # fmt: skip
    for level in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(
            level, abs=3 * np.sqrt(level * (1 - level) / 400)
        )


@pytest.mark.parametrize(
    ("matrix", "message"),
    [([[1.0]], "at least 2"), ([[1.0, 2.0]], "artists x artists"), ([[1.0, np.nan], [0.0, 1.0]], "NaN")],
)
def test_untestable_inputs_are_refused(matrix: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assignment_test(matrix)
    with pytest.raises(ValueError, match="n_resamples"):
        assignment_test(np.eye(3), n_resamples=0)
