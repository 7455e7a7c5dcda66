"""Findings in two steps: first which names matter, then, for these, whether it is this artist rather than another.

With A artists as each other's rivals, no rival p-value is below 1 / A. If both tests are combined into one p-value per
artist and corrected over all artists, no artist can pass unless most artists do. In two steps, the second correction
covers only the artists that passed the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.multiple import Method, adjust, called
from imindex.stats.set_scores import Float64

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TwoSteps:
    """Result of `two_steps` for A artists.

    Attributes
    ----------
    name_adjusted : ndarray, shape (A,), float64
        p_name, corrected over all artists with a p_name.
    name_called : ndarray, shape (A,), bool
        Whether it is at most the level.
    rival_adjusted : ndarray, shape (A,), float64
        p_rival, corrected over the artists in `name_called`; NaN for the others.
    rival_called : ndarray, shape (A,), bool
        Whether it is at most the level.
    testable : ndarray, shape (A,), bool
        Whether p_rival exists and its smallest possible value can pass: for the Benjamini-Hochberg procedures if the
        value is at most the level, for Holm if it is at most the level divided by the number in `name_called`.
    """

    name_adjusted: Float64
    name_called: Flags
    rival_adjusted: Float64
    rival_called: Flags
    testable: Flags


def two_steps(
    p_name: npt.ArrayLike,
    p_rival: npt.ArrayLike,
    resolution: npt.ArrayLike,
    *,
    level: float = 0.05,
    method: Method = "bh",
) -> TwoSteps:
    """Test names, and for the names that matter, test rivals.

    Parameters
    ----------
    p_name, p_rival : array_like, shape (A,)
        NaN where there is no test.
    resolution : array_like, shape (A,)
        Smallest possible p_rival of each artist; NaN where there is no test.
    level : float
    method : {"holm", "bh", "by"}
        Correction of both steps. For "bh", the second step is the adaptive procedure `adaptive_bh`.

    Returns
    -------
    TwoSteps

    Notes
    -----
    An artist is called by both steps only if p_rival is at most the level. So, if only the second null hypothesis is
    true for an artist, the probability of a false call of that artist is at most the level. Over artists, the expected
    share of false calls among the calls of a step is at most the level if its p-values are independent. The second
    step takes the selection as given; a set that passed the first step by chance tends to be near the artist, so its
    rival p-value tends to be small as well. `scripts/bench/calibration` measures the resulting share of false calls,
    including worlds in which every real name has an effect that is not specific to any artist. The design follows
    Benjamini & Bogomolov (2014, doi:10.1111/rssb.12028), who test within selected families.

    Examples
    --------
    >>> result = two_steps([0.01, 0.01, 0.01, 0.9], [0.04, 0.04, 0.5, 0.04], [0.04] * 4)
    >>> result.name_called.tolist(), result.rival_called.tolist()
    ([True, True, True, False], [True, True, False, False])
    """
    name, rival, least = (np.asarray(p, np.float64) for p in (p_name, p_rival, resolution))
    if not name.shape == rival.shape == least.shape or name.ndim != 1:
        raise ValueError("p_name, p_rival, resolution: expected vectors of one length.")
    name_adjusted = adjust(name, method=method)
    name_called = called(name_adjusted, level=level)
    selected = np.where(name_called, rival, np.nan)
    rival_adjusted = adaptive_bh(selected, level=level) if method == "bh" else adjust(selected, method=method)
    n = int(np.isfinite(selected).sum())
    limit = level / max(1, n) if method == "holm" else level
    testable = np.nan_to_num(least, nan=np.inf) <= limit * (1 + 1e-9)
    return TwoSteps(name_adjusted, name_called, rival_adjusted, called(rival_adjusted, level=level), testable)


def adaptive_bh(p: npt.ArrayLike, *, level: float = 0.05) -> Float64:
    """Adjust p-values by the adaptive Benjamini-Hochberg procedure.

    Parameters
    ----------
    p : array_like, shape (n,)
        NaN marks a test that was not made.
    level : float
        The level that the adjusted values will be compared with; the estimate depends on it.

    Returns
    -------
    ndarray, shape (n,)
        Benjamini-Hochberg's adjusted p-values times the estimated share of true null hypotheses
        (1 + number of p > level) / (n (1 - level)), at most 1; never below p itself.

    Notes
    -----
    Storey, Taylor & Siegmund (2004, doi:10.1111/j.1467-9868.2004.00439.x) with the parameter lambda equal to the level,
    which Blanchard & Roquain (2009, J. Mach. Learn. Res. 10:2837) find robust under positive dependence. Controls the
    false discovery rate for independent p-values.

    Examples
    --------
    >>> adaptive_bh([0.04, 0.04, 0.04, 0.04, 0.9]).round(3).tolist()
    [0.04, 0.04, 0.04, 0.04, 0.9]
    """
    values: Float64 = np.array(p, np.float64)
    n = int(np.isfinite(values).sum())
    if not n:
        return values
    share = min(1.0, (1 + np.count_nonzero(values > level * (1 + 1e-9))) / (n * (1 - level)))
    adjusted: Float64 = np.maximum(adjust(values, method="bh") * share, values)
    return adjusted
