"""Kernel two-sample test of whether two sets of pictures differ in distribution, based on a similarity matrix."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.keyed import Rng
from imindex.stats.set_scores import Float64

_TIE = 1e-12
_BLOCK = 2**22
_BEYOND_1 = 5e-3


@dataclass(frozen=True, eq=False)
class MMDTest:
    """Result of `mmd_test`.

    Attributes
    ----------
    statistic : float
        Unbiased estimate of the squared maximum mean discrepancy. Close to 0 under the null, possibly negative.
    pvalue : float
    null_distribution : ndarray, shape (n_resamples,), float64
        The statistic under random splits or, if `exact`, under all of them, including the true one.
    exact : bool
    n_x, n_y : int
    """

    statistic: float
    pvalue: float
    null_distribution: Float64
    exact: bool
    n_x: int
    n_y: int


def mmd_test(kernel: npt.ArrayLike, n_x: int, *, n_resamples: int = 9999, rng: Rng = None) -> MMDTest:
    """Permutation test of whether two sets of pictures come from one distribution.

    Parameters
    ----------
    kernel : array_like, shape (N, N)
        Symmetric, positive definite kernel of the pooled sample: the n_x rows of X first, then those of Y. The diagonal
        is not used. `rbf_kernel_from_similarity` computes one from cosines.
    n_x : int
        Number of pictures in X, from 2 to N - 2.
    n_resamples : int
        Number of random splits. If there are not more splits than this, all of them are evaluated.
    rng : Generator or int, optional

    Returns
    -------
    MMDTest

    Raises
    ------
    ValueError
        If the matrix is not symmetric or not finite, a set has fewer than 2 pictures, or n_resamples is below 1.

    Notes
    -----
    **Interpretation.** A small p-value indicates that the two sets differ in distribution: in style, but possibly also
    in subject, medium, format or photography. A large p-value means that no difference was detected with these sample
    sizes and this kernel. It does not show that the sets are alike, and never that one imitates the other.

    Assumption: under the null, all N pictures are exchangeable. Grouped pictures (works of several artists, several
    seeds of one prompt) are not exchangeable, and the p-value is then too small.

    The statistic is MMD_u^2 of Gretton et al. 2012 (JMLR 13:723, equation 3): the mean kernel within X, plus the mean
    kernel within Y, both without the diagonal, minus twice the mean kernel between them. The p-value is
    (b + 1) / (B + 1) (Phipson & Smyth 2010), with ties counted against the finding; if all splits are evaluated, it is
    the fraction of them that reach the statistic. A linear kernel compares only means; the Gaussian kernel is
    characteristic and distinguishes any two distributions.

    The resamples of a block are one matrix product, which takes time n_resamples x N^2. Memory use is about 100 MB in
    addition to the kernel, plus a copy of the kernel if it is not float64.

    Examples
    --------
    >>> points = np.r_[np.zeros(5), np.ones(5)]
    >>> result = mmd_test(np.exp(-np.subtract.outer(points, points) ** 2), 5)
    >>> result.exact, round(result.pvalue * math.comb(10, 5)), round(result.statistic, 3)
    (True, 2, 1.264)
    """
    table = np.asarray(kernel, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(
            f"kernel: expected pictures x pictures of the pooled sample, not the shape {table.shape}."
        )
    total = len(table)
    if not 2 <= n_x <= total - 2:
        raise ValueError(f"n_x is {n_x} of {total} pictures. Each of the two sets needs at least 2.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}. It must be at least 1.")
    tie = _TIE * max(_check_symmetric(table), np.finfo(np.float64).tiny)
    step = max(1, _BLOCK // total)
    own = np.zeros((1, total))
    own[0, :n_x] = 1.0
    observed = float(_statistics(table, own)[0])
    n_splits = math.comb(total, n_x)
    exact = n_splits <= n_resamples
    splits = _all_splits(total, n_x, step) if exact else _random_splits(own[0], n_resamples, step, rng)
    null = np.concatenate([_statistics(table, block) for block in splits])
    reached = int(np.count_nonzero(null >= observed - tie))
    p = reached / n_splits if exact else (reached + 1) / (n_resamples + 1)
    return MMDTest(observed, p, null, exact, n_x, total - n_x)


def median_bandwidth(similarity: npt.ArrayLike) -> float:
    """Compute the bandwidth of a Gaussian kernel by the median heuristic: the median distance between two pictures.

    Parameters
    ----------
    similarity : array_like, shape (N, N)
        Cosines of the pooled sample.

    Returns
    -------
    float
        If more than half of the distances are 0, the median of the others; 1 if all distances are 0.

    Raises
    ------
    ValueError
        As in `rbf_kernel_from_similarity`, or if there are fewer than 2 pictures.

    Examples
    --------
    >>> round(median_bandwidth(np.eye(3)) ** 2, 6)
    2.0
    """
    squared = _squared_distances(similarity)
    if len(squared) < 2:
        raise ValueError("similarity: one picture has no distances. Pass at least 2, or a bandwidth.")
    distances = np.sqrt(squared[np.tri(len(squared), k=-1, dtype=np.bool_)])
    median = float(np.median(distances))
    if median > 0:
        return median
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def rbf_kernel_from_similarity(similarity: npt.ArrayLike, *, bandwidth: float | None = None) -> Float64:
    """Compute the Gaussian kernel of unit vectors from their cosines.

    Parameters
    ----------
    similarity : array_like, shape (N, N)
        Cosines of the pooled sample, both sets together.
    bandwidth : float, optional
        In units of distance. The default is `median_bandwidth`, which does not depend on the split into sets, so that a
        permutation test remains valid.

    Returns
    -------
    ndarray, shape (N, N), float64
        exp(-d^2 / (2 bandwidth^2)) with d^2 = 2 - 2 cos. The diagonal is 1.

    Raises
    ------
    ValueError
        If the matrix is not square or not finite, a value is outside [-1, 1] by more than float16 rounding, or the
        bandwidth is not above 0.

    Notes
    -----
    Median heuristic: Gretton et al. 2012 (JMLR 13:723), section 8. It is a convenient scale, not the most powerful one.
    Cosines slightly above 1 are treated as 1.

    Examples
    --------
    >>> rbf_kernel_from_similarity([[1.0, 0.0], [0.0, 1.0]], bandwidth=1.0).round(4).tolist()
    [[1.0, 0.3679], [0.3679, 1.0]]
    """
    squared = _squared_distances(similarity)
    if bandwidth is None:
        bandwidth = median_bandwidth(similarity) if len(squared) > 1 else 1.0
    if not bandwidth > 0 or not np.isfinite(bandwidth):
        raise ValueError(
            f"bandwidth is {bandwidth}. It must be a distance above 0; omit it to use the median."
        )
    squared *= -0.5 / bandwidth**2
    kernel = np.exp(squared, out=squared)
    np.fill_diagonal(kernel, 1.0)
    return kernel


def _statistics(kernel: Float64, member: Float64) -> Float64:
    """Return MMD_u^2 of splits (B, N), which are 1 in X and 0 in Y. All splits have the same number of ones."""
    n_x = int(member[0].sum())
    n_y = kernel.shape[0] - n_x
    diagonal = np.diagonal(kernel)
    sums = kernel.sum(axis=1) - diagonal
    within_x = np.einsum("bn,bn->b", member @ kernel, member) - member @ diagonal
    of_x = member @ sums
    between = of_x - within_x
    within_y = sums.sum() - of_x - between
    return np.asarray(within_x / (n_x * (n_x - 1)) + within_y / (n_y * (n_y - 1)) - 2 * between / (n_x * n_y))


def _random_splits(own: Float64, n_resamples: int, step: int, rng: Rng) -> Iterator[Float64]:
    random, small = np.random.default_rng(rng), own.astype(np.int8)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        yield random.permuted(np.broadcast_to(small, (size, len(own))), axis=1).astype(np.float64)


def _all_splits(total: int, n_x: int, step: int) -> Iterator[Float64]:
    every = itertools.combinations(range(total), n_x)
    while chosen := list(itertools.islice(every, step)):
        block = np.zeros((len(chosen), total))
        np.put_along_axis(block, np.array(chosen), 1.0, axis=1)
        yield block


def _check_symmetric(table: Float64) -> float:
    """Refuse a matrix that is not finite or not symmetric, block by block; return its largest absolute value."""
    step, largest = max(1, _BLOCK // len(table)), 0.0
    for start in range(0, len(table), step):
        rows = table[start : start + step]
        if not np.isfinite(rows).all():
            raise ValueError("kernel: a value is not finite. Leave out pictures without a vector.")
        largest = max(largest, float(np.abs(rows).max()))
        if not np.allclose(rows, table[:, start : start + step].T, rtol=1e-5, atol=1e-8 + 1e-5 * largest):
            raise ValueError("kernel: not symmetric. Pass the kernel of the pooled sample against itself.")
    return largest


def _squared_distances(similarity: npt.ArrayLike) -> Float64:
    cosines = np.asarray(similarity, dtype=np.float64)
    if cosines.ndim != 2 or cosines.shape[0] != cosines.shape[1] or not cosines.size:
        raise ValueError(
            f"similarity: expected a non-empty matrix of pictures x pictures, not the shape {cosines.shape}."
        )
    if not (np.abs(cosines) <= 1 + _BEYOND_1).all():  # also catches NaN
        raise ValueError(
            "similarity: a value is not a cosine of unit vectors. Scale the vectors to length 1."
        )
    squared: Float64 = np.maximum(2.0 - 2.0 * cosines, 0.0)
    np.fill_diagonal(squared, 0.0)
    return squared
