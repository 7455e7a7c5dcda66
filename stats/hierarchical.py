"""Findings in two steps: first which names matter, then, for these, whether it is this artist rather than another.

With A artists as each other's rivals, no rival p-value is below 1 / A. If both tests are combined into one p-value per
artist and corrected over all artists, no artist can pass unless most artists do. Here the second correction covers only
the artists who could have been called falsely, and uses an estimate of how many of them are not imitated.

Artists must not be left out of the second correction because the first step did not call them: a set that passes the
first step by chance tends to be near the artist, and its rival p-value is then small as well.
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
        p_rival, corrected over the artists in `at_risk`; NaN for artists that are not in `name_called`.
    rival_called : ndarray, shape (A,), bool
        Whether it is at most the level.
    at_risk : ndarray, shape (A,), bool
        The family of the second step: artists for whom some real name's set, the own one or a rival's, is near enough
        to pass the first step.
    least : ndarray, shape (A,), float64
        Smallest value that `rival_adjusted` could have, given who passed the first step; NaN for the others.
    testable : ndarray, shape (A,), bool
        Whether the finding about rivals was possible: `least`, or `resolution` for artists that are not in
        `name_called`, is at most the level.
    resolution : ndarray, shape (A,), float64
        Smallest possible p_rival, 1 / (1 + number of rivals). If an artist is not `testable`, the remedy is pictures of
        more real names; they need no works.
    """

    name_adjusted: Float64
    name_called: Flags
    rival_adjusted: Float64
    rival_called: Flags
    at_risk: Flags
    least: Float64
    testable: Flags
    resolution: Float64


def two_steps(
    p_name: npt.ArrayLike,
    p_rival: npt.ArrayLike,
    resolution: npt.ArrayLike,
    *,
    p_nearest: npt.ArrayLike | None = None,
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
    p_nearest : array_like, shape (A,), optional
        p_name that the nearest real name's set would have, `imindex.stats.references.nearest_pvalue`. By default every
        artist with both p-values is at risk, which is valid, but finds less.
    level : float
    method : {"holm", "bh", "by"}
        Correction of both steps. For "bh", the second step is the adaptive procedure `adaptive_bh`.

    Returns
    -------
    TwoSteps

    Notes
    -----
    First step: p_name, corrected over all artists. Let c be the largest p_name that is called.

    Second step: the family is the artists with p_nearest <= c; no other artist can be called. Whether an artist belongs
    to it depends on the scores of all real names' sets for the artist, but not on which of them is the own one. If the
    own set is no nearer than rivals' sets are, it is equally likely to be any of them, so p_rival is valid given the
    family. In the family, p_rival counts if the artist passed the first step, and 1 otherwise. This p-value is at least
    p_rival, hence valid too, and the correction is made over the whole family.

    Errors, for an artist whose name has an effect that is not specific: the probability of a false call is at most the
    level. Over artists, the expected share of false calls among the calls of either step is at most the level for "bh"
    if the artists' tests are independent, and for "by", which does not estimate the number of true null hypotheses,
    under any dependence; "holm" bounds the probability of any. c and the artists' sets are shared between artists. In
    simulated tables of normal scores, with 24 or 70 artists and unspecific effects of 0 to 4 standard deviations, the
    share of false calls is at most 4.4 % at a nominal 5 %; correction among the selected artists alone has up to 9 %.

    Testing within what was selected follows Benjamini & Bogomolov (2014, doi:10.1111/rssb.12028) and Yekutieli (2008,
    doi:10.1198/016214507000001373); they correct for the selection by the selected share of all families, which with
    few rivals leaves nothing testable. Given all sets without their names, the own set is equally likely to be any of
    them (Lehmann & Romano 2005, section 15.2), so a family that is chosen by the sets without their names needs no
    correction.

    Examples
    --------
    >>> result = two_steps([0.01, 0.01, 0.01, 0.9], [0.02, 0.02, 0.5, 0.04], [0.02] * 4)
    >>> result.name_called.tolist(), result.rival_called.tolist()
    ([True, True, True, False], [True, True, False, False])
    """
    name, rival, least = (np.asarray(p, np.float64) for p in (p_name, p_rival, resolution))
    nearest = np.zeros_like(name) if p_nearest is None else np.asarray(p_nearest, np.float64)
    if not name.shape == rival.shape == least.shape == nearest.shape or name.ndim != 1:
        raise ValueError("p_name, p_rival, resolution, p_nearest: expected vectors of one length.")
    name_adjusted = adjust(name, method=method)
    name_called = called(name_adjusted, level=level)
    limit = name[name_called].max() if name_called.any() else -np.inf
    # An own set that was called is a real name's set that passes, whatever p_nearest says.
    passes = (nearest <= limit * (1 + 1e-9)) | name_called
    at_risk = passes & np.isfinite(rival) & np.isfinite(name)
    steps = np.where(at_risk, np.where(name_called, rival, 1.0), np.nan)
    selected = at_risk & name_called
    rival_adjusted = np.where(selected, _correct(steps, rival, level, method), np.nan)
    best = np.where(selected, least, steps)
    attainable = np.where(selected, _correct(best, np.where(selected, least, rival), level, method), np.nan)
    smallest = np.where(selected, attainable, least)
    return TwoSteps(
        name_adjusted=name_adjusted,
        name_called=name_called,
        rival_adjusted=rival_adjusted,
        rival_called=called(rival_adjusted, level=level),
        at_risk=at_risk,
        least=attainable,
        testable=np.nan_to_num(smallest, nan=np.inf) <= level * (1 + 1e-9),
        resolution=least,
    )


def _correct(p: Float64, estimate_from: Float64, level: float, method: Method) -> Float64:
    if method != "bh":
        return adjust(p, method=method)
    return adaptive_bh(p, level=level, estimate_from=estimate_from)


def adaptive_bh(
    p: npt.ArrayLike, *, level: float = 0.05, estimate_from: npt.ArrayLike | None = None
) -> Float64:
    """Adjust p-values by the adaptive Benjamini-Hochberg procedure.

    Parameters
    ----------
    p : array_like, shape (n,)
        NaN marks a test that was not made.
    level : float
        The level that the adjusted values will be compared with; the estimate depends on it.
    estimate_from : array_like, shape (n,), optional
        p-values of the same hypotheses, not larger than `p`, from which the share of true null hypotheses is estimated;
        by default `p`.

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
    basis = values if estimate_from is None else np.asarray(estimate_from, np.float64)[np.isfinite(values)]
    share = min(1.0, (1 + np.count_nonzero(basis > level * (1 + 1e-9))) / (n * (1 - level)))
    adjusted: Float64 = np.maximum(adjust(values, method="bh") * share, values)
    return adjusted
