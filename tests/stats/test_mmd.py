"""The kernel two-sample test against loops, enumeration and its null distribution."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from imindex.stats.mmd import median_bandwidth, mmd_test, rbf_kernel_from_similarity


def unit(rng: np.random.Generator, n: int, shift: float = 0.0, dim: int = 6) -> np.ndarray:
    vectors = rng.standard_normal((n, dim))
    vectors[:, 0] += shift
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def kernel_of(*sets: np.ndarray) -> np.ndarray:
    pooled = np.concatenate(sets)
    return rbf_kernel_from_similarity(pooled @ pooled.T)


def by_definition(kernel: np.ndarray, x: list[int], y: list[int]) -> float:
    within = [
        sum(kernel[i, j] for i in rows for j in rows if i != j) / (len(rows) * (len(rows) - 1))
        for rows in (x, y)
    ]
    return sum(within) - 2 * sum(kernel[i, j] for i in x for j in y) / (len(x) * len(y))


def test_few_pictures_are_enumerated() -> None:
    rng = np.random.default_rng(1)
    kernel = kernel_of(unit(rng, 4, 1.0), unit(rng, 5))
    every = [
        by_definition(kernel, list(x), [i for i in range(9) if i not in x])
        for x in itertools.combinations(range(9), 4)
    ]
    found = mmd_test(kernel, 4)
    assert found.exact and (found.n_x, found.n_y) == (4, 5)
    assert found.statistic == pytest.approx(every[0], abs=1e-12)
    np.testing.assert_allclose(found.null_distribution, every, atol=1e-12)
    assert found.pvalue == np.mean(np.array(every) >= every[0] - 1e-12)


def test_random_splits_agree_with_enumeration() -> None:
    rng = np.random.default_rng(2)
    kernel = kernel_of(unit(rng, 6, 0.6), unit(rng, 7))
    exact, drawn = mmd_test(kernel, 6, n_resamples=2000), mmd_test(kernel, 6, n_resamples=1500, rng=3)
    assert exact.exact and len(exact.null_distribution) == math.comb(13, 6) and not drawn.exact
    assert drawn.pvalue == pytest.approx(exact.pvalue, abs=4 * np.sqrt(exact.pvalue / 1500))
    assert np.mean(drawn.null_distribution) == pytest.approx(np.mean(exact.null_distribution), abs=0.01)
    assert np.mean(exact.null_distribution) == pytest.approx(
        0, abs=1e-12
    )  # the unbiased statistic has mean 0


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    kernel = kernel_of(unit(rng, 10), unit(rng, 12))
    whole, all_splits = mmd_test(kernel, 10, n_resamples=99, rng=5), mmd_test(kernel[:9, :9], 4)
    monkeypatch.setattr("imindex.stats.mmd._BLOCK", 50)
    small, few_splits = mmd_test(kernel, 10, n_resamples=99, rng=5), mmd_test(kernel[:9, :9], 4)
    np.testing.assert_allclose(small.null_distribution, whole.null_distribution, atol=1e-14)
    np.testing.assert_allclose(few_splits.null_distribution, all_splits.null_distribution, atol=1e-14)
    assert small.pvalue == whole.pvalue


def test_p_is_never_0_and_ties_are_against() -> None:
    rng = np.random.default_rng(6)
    apart = kernel_of(unit(rng, 20, 50.0), unit(rng, 20, -50.0))
    assert mmd_test(apart, 20, n_resamples=99, rng=1).pvalue == 0.01
    assert mmd_test(apart[15:25, 15:25], 5).pvalue == 2 / math.comb(10, 5)  # this split and its mirror image
    for kernel in (np.ones((40, 40)), np.zeros((40, 40)), 0.3 + 0.7 * np.eye(40)):
        found = mmd_test(kernel, 20, n_resamples=99, rng=1)
        assert found.pvalue == 1.0 and found.statistic == pytest.approx(0, abs=1e-12)


def test_uniform_under_the_null_and_powerful_beyond() -> None:
    rng, repeats = np.random.default_rng(7), 400
    p = np.array([
        mmd_test(kernel_of(unit(rng, 12), unit(rng, 18)), 12, n_resamples=199, rng=rng).pvalue
        for _ in range(repeats)
    ])  # fmt: skip
    for level in (0.05, 0.1, 0.5):
        assert np.mean(p <= level + 1e-12) == pytest.approx(
            level, abs=3 * np.sqrt(level * (1 - level) / repeats)
        )
    shifted = [mmd_test(kernel_of(unit(rng, 12, 3.0), unit(rng, 18)), 12, rng=1).pvalue for _ in range(20)]
    assert np.mean(np.array(shifted) <= 0.05) > 0.9


def test_difference_in_spread_is_detected_with_equal_means() -> None:
    rng = np.random.default_rng(8)
    x = np.concatenate([unit(rng, 30, 6.0), unit(rng, 30, -6.0)])
    y = unit(rng, 60)
    assert mmd_test(kernel_of(x, y), 60, n_resamples=199, rng=1).pvalue == 1 / 200


def test_kernel_equals_scikit_learn() -> None:
    vectors = unit(np.random.default_rng(9), 15)
    found = rbf_kernel_from_similarity(vectors @ vectors.T)
    sigma = median_bandwidth(vectors @ vectors.T)
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(vectors, 2)]
    assert sigma == pytest.approx(np.median(distances))
    np.testing.assert_allclose(found, rbf_kernel(vectors, gamma=0.5 / sigma**2), atol=1e-12)
    assert (np.diagonal(found) == 1).all()


def test_same_pictures_have_a_bandwidth() -> None:
    similarity = np.ones((6, 6))
    assert median_bandwidth(similarity) == 1.0 and (rbf_kernel_from_similarity(similarity) == 1).all()
    similarity[0, 1:] = similarity[1:, 0] = 0.0  # 10 of 15 distances are 0, the others sqrt(2)
    assert median_bandwidth(similarity) == pytest.approx(np.sqrt(2))
    assert rbf_kernel_from_similarity([[1.002]]).tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("kernel", "n_x", "message"),
    [
        (np.ones((3, 4)), 2, "pictures x pictures"),
        (np.ones((4, 4)), 1, "at least 2"),
        (np.ones((4, 4)), 3, "at least 2"),
        (np.empty((0, 0)), 0, "at least 2"),
        (np.full((4, 4), np.nan), 2, "not finite"),
        (np.arange(16.0).reshape(4, 4), 2, "not symmetric"),
    ],
)
def test_untestable_inputs_are_refused(kernel: np.ndarray, n_x: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mmd_test(kernel, n_x)
    with pytest.raises(ValueError, match="n_resamples"):
        mmd_test(np.eye(4), 2, n_resamples=0)


def test_values_that_are_not_cosines_are_refused() -> None:
    for similarity, message in (
        ([[1.0, 2.0], [2.0, 1.0]], "not a cosine"),
        ([[np.nan]], "not a cosine"),
        ([1.0], "pictures x"),
    ):
        with pytest.raises(ValueError, match=message):
            rbf_kernel_from_similarity(similarity)
    with pytest.raises(ValueError, match="bandwidth"):
        rbf_kernel_from_similarity(np.eye(2), bandwidth=0)
    with pytest.raises(ValueError, match="one picture"):
        median_bandwidth([[1.0]])
