"""Do two sets of pictures differ in distribution? The kernel two-sample test, on a matrix of similarities."""

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
    """What `mmd_test` found.

    Attributes
    ----------
    statistic : float
        Unbiased estimate of the squared maximum mean discrepancy. Around 0 under the null, and may be below it.
    pvalue : float
    null_distribution : ndarray, shape (n_resamples,), float64
        The statistic under other splits; under all of them, the true one included, where `exact`.
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
        Symmetric, positive definite kernel of the pooled sample: the n_x rows of X first, then those of Y. The
        diagonal is not used. `rbf_kernel_from_similarity` makes one from cosines.
    n_x : int
        At least 2, and at most N - 2.
    n_resamples : int
        Random splits. All of them are gone through where there are no more.
    rng : Generator or int, optional

    Returns
    -------
    MMDTest

    Raises
    ------
    ValueError
        Not a symmetric finite matrix, fewer than 2 pictures on a side, or no resamples.

    Notes
    -----
    **What p means.** A small p says that the two sets differ in distribution: in style, but as well in subject,
    medium, format or how they were photographed. A large p says that no difference was found, with these numbers and
    this kernel. It does not show that the sets are alike, and never that one imitates the other.

    Assumed: under the null all N pictures are exchangeable. Pictures that come in groups (works of several artists,
    several seeds of one prompt) are not, and p is then too small.

    The statistic is MMD_u^2 of Gretton et al. 2012 (JMLR 13:723, equation 3): the mean kernel within X, plus that
    within Y, without the diagonal, minus twice the mean between. p is (b + 1) / (B + 1) (Phipson & Smyth 2010),
    ties against; where all splits are gone through it is their share that reaches the statistic. With a linear
    kernel it compares means only; the Gaussian kernel is characteristic, it can tell any two distributions apart.

    The resamples of a block are one product of matrices, of time n_resamples x N^2. About 100 MB are held beside
    the kernel, and a copy of it where it is not float64.

    Examples
    --------
    >>> points = np.r_[np.zeros(5), np.ones(5)]
    >>> found = mmd_test(np.exp(-np.subtract.outer(points, points) ** 2), 5)
    >>> found.exact, round(found.pvalue * math.comb(10, 5)), round(found.statistic, 3)
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
        raise ValueError(f"n_resamples is {n_resamples}. Draw at least one.")
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
    """Bandwidth of a Gaussian kernel by the median heuristic: the median distance between two pictures.

    Parameters
    ----------
    similarity : array_like, shape (N, N)
        Cosines of the pooled sample.

    Returns
    -------
    float
        Where more than half of the distances are 0, the median of the others; 1 where all are 0.

    Raises
    ------
    ValueError
        As `rbf_kernel_from_similarity`, or fewer than 2 pictures.

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
    """Gaussian kernel of unit vectors, from their cosines.

    Parameters
    ----------
    similarity : array_like, shape (N, N)
        Cosines of the pooled sample, both sets together.
    bandwidth : float, optional
        In units of distance. By default `median_bandwidth`, which does not know the sets, so that a permutation
        test with it stays valid.

    Returns
    -------
    ndarray, shape (N, N), float64
        exp(-d^2 / (2 bandwidth^2)) with d^2 = 2 - 2 cos. The diagonal is 1.

    Raises
    ------
    ValueError
        Not square, not finite, beyond -1 to 1 by more than rounding of float16 explains, or a bandwidth that is not
        above 0.

    Notes
    -----
    Median heuristic: Gretton et al. 2012 (JMLR 13:723), section 8. It is a choice of scale and not the most powerful
    one. Cosines a little beyond 1 count as 1.

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
            f"bandwidth is {bandwidth}. It must be a distance above 0; leave it out for the median."
        )
    squared *= -0.5 / bandwidth**2
    kernel = np.exp(squared, out=squared)
    np.fill_diagonal(kernel, 1.0)
    return kernel


def _statistics(kernel: Float64, member: Float64) -> Float64:
    """MMD_u^2 of splits (B, N): 1 in X, 0 in Y. All rows have the same number in X."""
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
        some = min(step, n_resamples - start)
        yield random.permuted(np.broadcast_to(small, (some, len(own))), axis=1).astype(np.float64)


def _all_splits(total: int, n_x: int, step: int) -> Iterator[Float64]:
    every = itertools.combinations(range(total), n_x)
    while chosen := list(itertools.islice(every, step)):
        block = np.zeros((len(chosen), total))
        np.put_along_axis(block, np.array(chosen), 1.0, axis=1)
        yield block


def _check_symmetric(table: Float64) -> float:
    """Refuse what is not finite or not symmetric, block by block; return the largest absolute value."""
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
            f"similarity: expected pictures x pictures, not empty, not the shape {cosines.shape}."
        )
    if not (np.abs(cosines) <= 1 + _BEYOND_1).all():  # NaN is not either
        raise ValueError("similarity: a value is no cosine of unit vectors. Scale the vectors to length 1.")
    squared: Float64 = np.maximum(2.0 - 2.0 * cosines, 0.0)
    np.fill_diagonal(squared, 0.0)
    return squared
