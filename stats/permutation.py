"""Permutation test over all artists: do imitations match their artists better than under a random assignment?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.keyed import Rng
from imindex.stats.set_scores import Float64

_TIE = 1e-12
_BLOCK = 2**20


@dataclass(frozen=True, eq=False)
class AssignmentTest:
    """Result of `assignment_test`.

    Attributes
    ----------
    statistic : float
        Mean of the diagonal.
    pvalue : float
    null_distribution : ndarray, shape (n_resamples,)
        The statistic under random assignments or, if `exact`, under all of them, including the true one.
    exact : bool
    n_artists : int
    """

    statistic: float
    pvalue: float
    null_distribution: Float64
    exact: bool
    n_artists: int


def assignment_test(matrix: npt.ArrayLike, *, n_resamples: int = 9999, rng: Rng = None) -> AssignmentTest:
    """Permutation test of the assignment of artists to sets of imitations.

    Parameters
    ----------
    matrix : array_like, shape (A, A)
        Row a, column b: similarity of set b to artist a, higher is nearer. With the AUC matrix, the statistic is the
        mean AUC over artists; with the fraction of set b classified as a, it is the macro accuracy.
    n_resamples : int
        Number of random assignments. If A! is not larger, all assignments are evaluated.
    rng : Generator or int, optional

    Returns
    -------
    AssignmentTest

    Raises
    ------
    ValueError
        If the matrix is not square, has fewer than 2 artists, or contains NaN.

    Notes
    -----
    Assumption: if the release imitates no artist in particular, all assignments of sets to artists are equally
    likely. A small p-value indicates that the sets as a whole match their artists; it does not identify any artist.
    Statistic and reference distribution are those of a Mantel-type test; the p-value is (b + 1) / (B + 1) (Phipson &
    Smyth 2010), with ties counted against the finding.

    Examples
    --------
    >>> result = assignment_test(np.eye(4), rng=1)
    >>> result.statistic, round(result.pvalue * 24), result.exact
    (1.0, 1, True)
    """
    table = np.asarray(matrix, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise ValueError(f"matrix: expected artists x artists, at least 2, not the shape {table.shape}.")
    if np.isnan(table).any():
        raise ValueError("matrix: a value is NaN. Leave out artists without works or without imitations.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}. It must be at least 1.")
    n, rows = len(table), np.arange(len(table))
    observed = float(np.diagonal(table).mean())
    exact = math.factorial(n) <= n_resamples if n <= 20 else False
    if exact:
        null = np.array([table[rows, list(order)].mean() for order in itertools.permutations(range(n))])
    else:
        random = np.random.default_rng(rng)
        null = np.empty(n_resamples)
        step = max(1, _BLOCK // n)
        for start in range(0, n_resamples, step):
            size = min(step, n_resamples - start)
            orders = random.permuted(np.broadcast_to(rows, (size, n)), axis=1)
            null[start : start + size] = table[rows, orders].mean(axis=1)
    reached = np.count_nonzero(null >= observed - _TIE)
    p = reached / len(null) if exact else (reached + 1) / (n_resamples + 1)
    return AssignmentTest(observed, p, null, exact, n)
