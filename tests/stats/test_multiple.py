"""Adjusted p-values against their definitions, statsmodels and their properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from imindex.stats.multiple import adjust, adjust_all, called

METHODS = ("holm", "bh", "by")
FAMILY = hnp.arrays(
    np.float64,
    st.integers(1, 30),
    elements=st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05, 1.0]) | st.just(np.nan),
)


def by_definition(p: np.ndarray, method: str) -> np.ndarray:
    """Compute each adjusted p-value from its definition."""
    n, order = len(p), sorted(range(len(p)), key=lambda i: p[i])
    scale = sum(1 / i for i in range(1, n + 1)) if method == "by" else 1.0
    out = np.empty(n)
    for place, i in enumerate(order):
        if method == "holm":
            out[i] = min(1.0, max((n - j) * p[order[j]] for j in range(place + 1)))
        else:
            out[i] = min(1.0, min(scale * n / (j + 1) * p[order[j]] for j in range(place, n)))
    return out


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 7, 70])
def test_equals_the_definition(method: str, n: int) -> None:
    for seed in range(20):
        p = np.random.default_rng(seed).random(n) ** 3
        p[: n // 3] = p[0]  # ties
        np.testing.assert_allclose(adjust(p, method=method), by_definition(p, method), rtol=1e-12)


@pytest.mark.parametrize(("method", "name"), [("holm", "holm"), ("bh", "fdr_bh"), ("by", "fdr_by")])
def test_equals_statsmodels(method: str, name: str) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for seed in range(20):
        p = np.random.default_rng(seed).random(40) ** 4
        np.testing.assert_allclose(adjust(p, method=method), multitest.multipletests(p, method=name)[1])


@settings(max_examples=100, deadline=None)
@given(p=FAMILY, method=st.sampled_from(METHODS), seed=st.integers(0, 2**16))
def test_properties(p: np.ndarray, method: str, seed: int) -> None:
    found = adjust(p, method=method)
    known = ~np.isnan(p)
    assert np.array_equal(np.isnan(found), ~known)
    assert (found[known] >= p[known]).all() and (found[known] <= 1).all()
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_array_equal(adjust(p[order], method=method), found[order])
    in_order = found[known][np.argsort(p[known], kind="stable")]
    assert (np.diff(in_order) >= 0).all()
    np.testing.assert_array_equal(adjust(p[known], method=method), found[known])  # NaN is not counted


def test_side_by_side() -> None:
    p = np.array([0.2, np.nan, 0.001, 0.03])
    found = adjust_all(p)
    assert found.n_tests == 3
    np.testing.assert_array_equal(found.raw, p)
    for method in METHODS:
        np.testing.assert_array_equal(getattr(found, method), adjust(p, method=method))
    p[0] = 0.5
    assert found.raw[0] == 0.2


@pytest.mark.parametrize("method", METHODS)
def test_empty_and_all_missing(method: str) -> None:
    assert adjust([], method=method).shape == (0,)
    assert np.isnan(adjust([np.nan, np.nan], method=method)).all()
    assert adjust([0.3], method=method).tolist() == [0.3]


def test_p_at_the_level_is_significant_despite_rounding() -> None:
    p = np.r_[np.full(17, 17 / 500), np.ones(8)]
    adjusted = adjust(p, method="bh")
    assert adjusted[0] > 0.05 and called(adjusted).tolist() == [True] * 17 + [False] * 8
    assert not called([0.0500001, np.nan]).any()


@pytest.mark.parametrize(
    ("p", "message"), [([[0.1]], "vector"), (0.1, "vector"), ([1.1], "between 0 and 1"), ([-0.1], "between")]
)
def test_invalid_families_are_refused(p: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adjust(p)
    with pytest.raises(ValueError, match=message):
        adjust_all(p)
    with pytest.raises(ValueError, match="method"):
        adjust([0.1], method="bonferroni")
    with pytest.raises(ValueError, match="level"):
        called([0.1], level=5)
