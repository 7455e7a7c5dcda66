"""Equivalence and non-inferiority of two releases: t-tests that the mean difference over artists is within a margin.

A large p-value of a test for a difference does not show that there is no difference. These tests reverse the burden of
proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import LEAST, Interval
from imindex.stats.set_scores import Float64

TIE = 100 * float(np.finfo(np.float64).eps)
"""Relative tolerance below which a difference counts as a tie, as in `scipy.stats.permutation_test`."""


@dataclass(frozen=True, eq=False)
class MarginTest:
    """Result of `tost` or `non_inferior`.

    Attributes
    ----------
    estimate, standard_error : float
        Estimate and standard error of the mean difference.
    pvalue : float
        A small value indicates that the difference is within the margin.
    pvalue_lower, pvalue_upper : float
        P-values of "at or below -margin" and "at or above margin". `pvalue_lower` is NaN for `non_inferior`.
    interval : Interval
        Student's t interval. It is inside the margins if and only if p < 1 - confidence_level. For `tost` its level is
        1 - 2 (1 - confidence_level); for `non_inferior` it starts at -inf.
    within : bool
        Whether p < 1 - confidence_level.
    margin : float
    n : int
    confidence_level : float
    """

    estimate: float
    standard_error: float
    pvalue: float
    pvalue_lower: float
    pvalue_upper: float
    interval: Interval
    within: bool
    margin: float
    n: int
    confidence_level: float


def tost(differences: npt.ArrayLike, *, margin: float, confidence_level: float = 0.95) -> MarginTest:
    """Test whether two releases are equivalent, by two one-sided t-tests.

    Parameters
    ----------
    differences : array_like, shape (A,)
        New minus base, one value per artist.
    margin : float
        The largest irrelevant mean difference, above 0. Choose it before seeing the data.
    confidence_level : float
        With 0.95, equivalence is declared if p < 0.05, and the interval is the corresponding 90 % interval.

    Returns
    -------
    MarginTest

    Raises
    ------
    ValueError
        If there are fewer than 2 differences, one of them is not finite, or the margin is not above 0.

    Notes
    -----
    Schuirmann 1987, doi:10.1007/BF01068419: the p-value is the larger of the p-values of "mean <= -margin" and
    "mean >= margin". Assumptions: the mean difference is approximately normal, and artists are independent. Differences
    without any spread get the limiting value: p = 0 if they are within the margin, otherwise 1.

    Examples
    --------
    >>> result = tost([0.01, -0.02, 0.0, 0.01, -0.01], margin=0.05)
    >>> round(result.pvalue, 4), result.within
    (0.0006, True)
    """
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin is {margin}. Pass the largest irrelevant difference, above 0.")
    return _margin_test(differences, margin, confidence_level, both=True)


def non_inferior(differences: npt.ArrayLike, *, margin: float, confidence_level: float = 0.95) -> MarginTest:
    """Test whether the new release imitates no more than the base release plus a margin, by a one-sided t-test.

    Parameters
    ----------
    differences : array_like, shape (A,)
        New minus base, one value per artist.
    margin : float
        The largest irrelevant increase, at least 0. Choose it before seeing the data.
    confidence_level : float

    Returns
    -------
    MarginTest
        A small p-value indicates that the mean increase is below the margin. A large p-value shows nothing.

    Raises
    ------
    ValueError
        If there are fewer than 2 differences, one of them is not finite, or the margin is negative.

    Notes
    -----
    H0: mean >= margin. Assumptions and differences without spread as in `tost`.

    Examples
    --------
    >>> non_inferior([-0.1, -0.2, 0.0, -0.1, -0.3], margin=0.05).within
    True
    """
    if not (margin >= 0 and math.isfinite(margin)):
        raise ValueError(f"margin is {margin}. Pass the largest irrelevant increase, at least 0.")
    return _margin_test(differences, margin, confidence_level, both=False)


def _margin_test(
    differences: npt.ArrayLike, margin: float, confidence_level: float, *, both: bool
) -> MarginTest:
    values = finite(differences, "differences")
    check_level(confidence_level)
    n, mean = len(values), float(values.mean())
    if n < 2:
        raise ValueError(
            "differences: a t-test needs at least 2 artists. Audit both releases on more artists."
        )
    error = float(values.std(ddof=1)) / math.sqrt(n)
    if error <= TIE * abs(mean):  # only rounding error
        error, tolerance = 0.0, TIE * max(abs(mean), margin)
        lower, upper = float(mean + margin <= tolerance), float(mean - margin >= -tolerance)
    else:
        lower = float(scipy.stats.t.sf((mean + margin) / error, n - 1))
        upper = float(scipy.stats.t.cdf((mean - margin) / error, n - 1))
    lower, upper = max(lower, LEAST), max(upper, LEAST)
    p = max(lower, upper) if both else upper
    half = float(scipy.stats.t.ppf(confidence_level, n - 1)) * error
    return MarginTest(
        estimate=mean,
        standard_error=error,
        pvalue=p,
        pvalue_lower=lower if both else np.nan,
        pvalue_upper=upper,
        interval=Interval(mean - half if both else -np.inf, mean + half),
        within=p < 1 - confidence_level,
        margin=margin,
        n=n,
        confidence_level=confidence_level,
    )


def finite(values: npt.ArrayLike, name: str) -> Float64:
    """Return a one-dimensional array as float64; refuse an empty array, and NaN or infinite values."""
    out = np.asarray(values, dtype=np.float64)
    if out.ndim != 1 or not len(out):
        raise ValueError(f"{name}: expected a non-empty list of values, not the shape {out.shape}.")
    if not np.isfinite(out).all():
        raise ValueError(f"{name}: a value is NaN or infinite. Leave out missing values.")
    return out


def check_level(confidence_level: float) -> None:
    """Refuse a level that is not between 0 and 1."""
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
