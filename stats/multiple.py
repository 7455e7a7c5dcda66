"""Multiple testing: p-values adjusted for the number of tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.set_scores import Float64

Method = Literal["holm", "bh", "by"]

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Raw and adjusted p-values of a family of tests, each of shape (n,). NaN marks a test that was not made.

    Attributes
    ----------
    raw : ndarray of float64
    holm : ndarray of float64
        Rejecting those at or below a level keeps the probability of any false rejection at or below that level.
    bh : ndarray of float64
        Benjamini-Hochberg: keeps the expected fraction of false rejections among all rejections at or below the level,
        if the tests are independent or positively dependent.
    by : ndarray of float64
        Benjamini-Yekutieli: the same under any dependence.
    n_tests : int
        Number of tests in the family, not counting NaN.
    """

    raw: Float64
    holm: Float64
    bh: Float64
    by: Float64
    n_tests: int


def adjust(p: npt.ArrayLike, *, method: Method = "holm") -> Float64:
    """Adjust the p-values of one family of tests.

    Parameters
    ----------
    p : array_like, shape (n,)
        Values between 0 and 1. NaN marks a test that was not made; it stays NaN and is not counted.
    method : {"holm", "bh", "by"}
        Holm, Benjamini-Hochberg or Benjamini-Yekutieli; see `Adjusted` for what each controls.

    Returns
    -------
    ndarray, shape (n,), float64
        Adjusted p-values, to be compared with the level by `called`. Empty if `p` is empty.

    Raises
    ------
    ValueError
        If `p` is not a vector, a value is outside [0, 1], or the method is unknown.

    Notes
    -----
    For sorted p-values p(1) <= ... <= p(n), with c = 1 + 1/2 + ... + 1/n, the i-th adjusted p-value is

    - holm: the largest of (n - j + 1) p(j) over j <= i (Holm 1979, Scand. J. Statist. 6:65);
    - bh: the smallest of n p(j) / j over j >= i (Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x);
    - by: the same times c (Benjamini & Yekutieli 2001, doi:10.1214/aos/1013699998);

    and at most 1. A p-value from B resamples cannot be below 1 / (B + 1), and one from K placebos not below 1 / (K +
    1). With n tests, Holm therefore needs at least n / level of either; see `imindex.stats.power`.

    Examples
    --------
    >>> adjust([0.01, 0.04, np.nan, 0.03]).round(4).tolist()
    [0.03, 0.06, nan, 0.06]
    >>> adjust([0.01, 0.04, np.nan, 0.03], method="bh").round(4).tolist()
    [0.03, 0.04, nan, 0.04]
    """
    raw = _check(p)
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}. Choose one of {', '.join(get_args(Method))}.")
    tested = ~np.isnan(raw)
    out = np.full(len(raw), np.nan)
    if tested.any():
        known = raw[tested]
        out[tested] = (
            _holm(known) if method == "holm" else scipy.stats.false_discovery_control(known, method=method)
        )
    return out


def adjust_all(p: npt.ArrayLike) -> Adjusted:
    """Adjust the p-values of one family of tests by all methods.

    Parameters
    ----------
    p : array_like, shape (n,)
        As in `adjust`.

    Returns
    -------
    Adjusted

    Raises
    ------
    ValueError
        As in `adjust`.

    Notes
    -----
    Choose the method before seeing the p-values. The smallest of the three is not a p-value.

    Examples
    --------
    >>> result = adjust_all([0.01, 0.02, 0.5])
    >>> result.holm.round(4).tolist(), result.bh.round(4).tolist(), result.n_tests
    ([0.03, 0.04, 0.5], [0.03, 0.03, 0.5], 3)
    """
    raw = _check(p).copy()
    return Adjusted(
        raw=raw,
        holm=adjust(raw, method="holm"),
        bh=adjust(raw, method="bh"),
        by=adjust(raw, method="by"),
        n_tests=int(np.count_nonzero(~np.isnan(raw))),
    )


def called(adjusted: npt.ArrayLike, *, level: float = 0.05) -> npt.NDArray[np.bool_]:
    """Return which tests are significant at a level: those whose adjusted p-value is at or below it.

    Parameters
    ----------
    adjusted : array_like, shape (n,)
        Adjusted p-values. NaN is never significant.
    level : float
        Between 0 and 1.

    Returns
    -------
    ndarray, shape (n,), bool

    Raises
    ------
    ValueError
        If the level is not between 0 and 1.

    Notes
    -----
    A p-value that equals the level up to rounding (relative 1e-12) counts as at the level. For example, with 25 tests
    of which the 17th has p = 17 / 500, the Benjamini-Hochberg value is 0.05, but floating point yields a value above
    0.05.

    Examples
    --------
    >>> called([0.02, 0.05, 0.2, np.nan]).tolist()
    [True, True, False, False]
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}. It must be between 0 and 1; 0.05 is usual.")
    return np.asarray(np.asarray(adjusted, dtype=np.float64) <= level * (1 + _ROUNDING))


def is_called(adjusted: float | None, *, level: float = 0.05) -> bool:
    """Return whether one test is significant at a level, by the rule of `called`; not if there is no test.

    Examples
    --------
    >>> is_called(0.05), is_called(17 / 500 * (25 / 17)), is_called(0.051), is_called(None)
    (True, True, False, False)
    """
    return adjusted is not None and bool(called([adjusted], level=level)[0])


def _check(p: npt.ArrayLike) -> Float64:
    raw = np.asarray(p, dtype=np.float64)
    if raw.ndim != 1:
        raise ValueError(f"p: expected the p-values of one family as a vector, not the shape {raw.shape}.")
    if ((raw < 0) | (raw > 1)).any():
        raise ValueError(
            "p: a value is not between 0 and 1. Pass p-values, with NaN for tests that were not made."
        )
    return raw


def _holm(p: Float64) -> Float64:
    n, order = len(p), np.argsort(p, kind="stable")
    out = np.empty(n)
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(n, 0, -1)))
    return out


def fewest_findable(resolution: npt.ArrayLike, *, level: float = 0.05, method: Method = "holm") -> int | None:
    """Return the smallest number of tests that can be significant together, given how small p-values can be.

    Parameters
    ----------
    resolution : array_like, shape (n,)
        Smallest possible p-value of each test of the family.
    level : float
    method : {"holm", "bh", "by"}

    Returns
    -------
    int or None
        With fewer true effects, no adjusted p-value can be at most the level. None if none can be, whatever the data.

    Examples
    --------
    >>> fewest_findable([1 / 100] * 70, method="bh"), fewest_findable([1 / 100] * 70, method="holm")
    (14, None)
    """
    smallest = np.sort(np.asarray(resolution, np.float64))
    for k in range(1, len(smallest) + 1):
        p = np.concatenate([smallest[:k], np.ones(len(smallest) - k)])
        if called(adjust(p, method=method), level=level).sum() >= k:
            return k
    return None


def level_of_next(n_tests: int, n_found: int, *, level: float = 0.05, method: Method = "holm") -> float:
    """Return the p-value at or below which one more test is significant after correction.

    Parameters
    ----------
    n_tests, n_found : int
        Size of the family, and the number of its tests that are significant.
    level : float
    method : {"holm", "bh", "by"}

    Returns
    -------
    float
        If the p-values of the other tests stay as they are, a test with a p-value at or below this is significant.

    Notes
    -----
    Holm: level / (n - found); Benjamini-Hochberg: level (found + 1) / n; Benjamini-Yekutieli: that divided by
    1 + 1/2 + ... + 1/n. A larger p-value can be enough if further tests are significant together with this one.

    Examples
    --------
    >>> round(level_of_next(24, 16, method="bh"), 4), round(level_of_next(24, 16, method="holm"), 5)
    (0.0354, 0.00625)
    """
    if n_tests < 1 or not 0 <= n_found <= n_tests:
        raise ValueError(f"n_found is {n_found}. It must be between 0 and n_tests, {n_tests}.")
    rank = min(n_found + 1, n_tests)
    if method == "holm":
        return level / (n_tests - rank + 1)
    share = level * rank / n_tests
    return share if method == "bh" else share / sum(1 / k for k in range(1, n_tests + 1))
