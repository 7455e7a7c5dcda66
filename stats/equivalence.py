"""Two releases that imitate alike: t-tests that the mean difference over artists is within a margin.

A large p of a test for a difference does not show that there is none; these tests turn the burden around.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from imindex.stats.intervals import LEAST, Interval
from imindex.stats.set_scores import Float64

TIE = 100 * float(np.finfo(np.float64).eps)
"""How much smaller than what is summed a difference may be and still be a tie, as in `scipy.stats.permutation_test`."""


@dataclass(frozen=True, eq=False)
class MarginTest:
    """What `tost` or `non_inferior` found.

    Attributes
    ----------
    estimate, standard_error : float
        Of the mean difference.
    pvalue : float
        Small: the difference is within the margin.
    pvalue_lower, pvalue_upper : float
        Of "at or below -margin" and of "at or above margin". `pvalue_lower` is NaN for `non_inferior`.
    interval : Interval
        Student's t: with p < 1 - confidence_level exactly if it lies within the margins. For `tost` of level
        1 - 2 (1 - confidence_level), for `non_inferior` from -inf.
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
    """Test whether two releases imitate alike: equivalence, by two one-sided t-tests.

    Parameters
    ----------
    differences : array_like, shape (A,)
        New minus base, one for each artist.
    margin : float
        The largest mean difference that would not matter, above 0. Fix it before you see the data.
    confidence_level : float
        0.95 calls with p < 0.05, and gives the 90 % interval that goes with it.

    Returns
    -------
    MarginTest

    Raises
    ------
    ValueError
        Fewer than 2 differences, one that is not finite, or a margin not above 0.

    Notes
    -----
    Schuirmann 1987, doi:10.1007/BF01068419: p is the larger of the p of "mean <= -margin" and of "mean >= margin".
    Assumed: the mean difference is about normal, artists are independent. Differences without any spread get the
    limit: p = 0 if they are within the margin, else 1.

    Examples
    --------
    >>> found = tost([0.01, -0.02, 0.0, 0.01, -0.01], margin=0.05)
    >>> round(found.pvalue, 4), found.within
    (0.0006, True)
    """
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin is {margin}. Pass the largest difference that would not matter, above 0.")
    return _margin_test(differences, margin, confidence_level, both=True)


def non_inferior(differences: npt.ArrayLike, *, margin: float, confidence_level: float = 0.95) -> MarginTest:
    """Test whether the new release imitates no more than the last, by more than a margin: one-sided t-test.

    Parameters
    ----------
    differences : array_like, shape (A,)
        New minus base, one for each artist.
    margin : float
        The largest increase that would not matter, 0 or above. Fix it before you see the data.
    confidence_level : float

    Returns
    -------
    MarginTest
        A small p: the mean increase is below the margin. A large p shows nothing.

    Raises
    ------
    ValueError
        Fewer than 2 differences, one that is not finite, or a negative margin.

    Notes
    -----
    H0: mean >= margin. Assumed, and differences without spread: as `tost`.

    Examples
    --------
    >>> non_inferior([-0.1, -0.2, 0.0, -0.1, -0.3], margin=0.05).within
    True
    """
    if not (margin >= 0 and math.isfinite(margin)):
        raise ValueError(f"margin is {margin}. Pass the largest increase that would not matter, 0 or above.")
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
    if error <= TIE * abs(mean):  # nothing but rounding
        error, room = 0.0, TIE * max(abs(mean), margin)
        lower, upper = float(mean + margin <= room), float(mean - margin >= -room)
    else:
        lower = float(stats.t.sf((mean + margin) / error, n - 1))
        upper = float(stats.t.cdf((mean - margin) / error, n - 1))
    lower, upper = max(lower, LEAST), max(upper, LEAST)
    p = max(lower, upper) if both else upper
    half = float(stats.t.ppf(confidence_level, n - 1)) * error
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
    """Return a list of values as float64, or refuse what is empty, NaN or infinite."""
    out = np.asarray(values, dtype=np.float64)
    if out.ndim != 1 or not len(out):
        raise ValueError(f"{name}: expected a list of values, not empty, and not the shape {out.shape}.")
    if not np.isfinite(out).all():
        raise ValueError(f"{name}: a value is NaN or infinite. Leave out what has no figure.")
    return out


def check_level(confidence_level: float) -> None:
    """Refuse a level that is not between 0 and 1."""
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must lie between 0 and 1.")
