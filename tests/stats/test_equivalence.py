"""Equivalence and non-inferiority: against scipy, statsmodels and theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.equivalence import non_inferior, tost


@pytest.mark.parametrize("shift", [0.0, 0.03, -0.2, 0.4])
def test_both_tests_equal_scipy(shift: float) -> None:
    values = np.random.default_rng(1).normal(shift, 0.1, 12)
    lower = scipy_stats.ttest_1samp(values, -0.1, alternative="greater")
    upper = scipy_stats.ttest_1samp(values, 0.1, alternative="less")
    both, one = tost(values, margin=0.1), non_inferior(values, margin=0.1)
    assert both.pvalue_lower == pytest.approx(lower.pvalue)
    assert both.pvalue_upper == one.pvalue == pytest.approx(upper.pvalue)
    assert both.pvalue == max(both.pvalue_lower, both.pvalue_upper)
    ninety = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (both.interval.low, both.interval.high) == pytest.approx((ninety.low, ninety.high))
    assert one.interval.low == -np.inf and one.interval.high == pytest.approx(ninety.high)
    assert both.within == (ninety.low > -0.1 and ninety.high < 0.1)
    assert one.within == (ninety.high < 0.1)


def test_tost_equals_statsmodels() -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    random = np.random.default_rng(2)
    base = random.random(15)
    new = base + random.normal(0.02, 0.1, 15)
    pvalue, lower, upper = weightstats.ttost_paired(new, base, -0.08, 0.08)
    ours = tost(new - base, margin=0.08)
    assert (ours.pvalue, ours.pvalue_lower, ours.pvalue_upper) == pytest.approx((pvalue, lower[1], upper[1]))


def test_levels_at_the_margin() -> None:
    random = np.random.default_rng(3)
    rows = random.normal(0.2, 0.1, (2000, 12))
    assert np.mean([tost(row, margin=0.2).within for row in rows]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([non_inferior(row, margin=0.2).within for row in rows]) == pytest.approx(0.05, abs=0.015)


def test_limit_is_used_without_spread() -> None:
    assert 0 < tost(np.zeros(5), margin=0.1).pvalue < 1e-300
    assert 0 < tost([0.1] * 3, margin=0.2).pvalue < 1e-300
    assert tost([0.1] * 3, margin=0.1).pvalue == 1
    assert tost([0.7] * 7, margin=0.7).pvalue == 1
    assert non_inferior([-0.5] * 3, margin=0).within and not non_inferior([0.0] * 3, margin=0).within


def test_refusals() -> None:
    for test in (tost, non_inferior):
        with pytest.raises(ValueError, match="at least 2"):
            test([0.1], margin=0.1)
        with pytest.raises(ValueError, match="NaN"):
            test([0.1, np.nan], margin=0.1)
        with pytest.raises(ValueError, match="empty"):
            test([], margin=0.1)
        with pytest.raises(ValueError, match="margin"):
            test([0.1, 0.2], margin=-0.1)
        with pytest.raises(ValueError, match="margin"):
            test([0.1, 0.2], margin=np.nan)
        with pytest.raises(ValueError, match="confidence_level"):
            test([0.1, 0.2], margin=0.1, confidence_level=1)
    with pytest.raises(ValueError, match="margin"):
        tost([0.1, 0.2], margin=0)
