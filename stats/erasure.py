"""Decide whether a name is gone from a release, and whether another is kept: equivalence, not absence of a finding.

That a test finds nothing does not show that nothing is left: few pictures never find anything. A name is gone only if
what is left is shown to be below a margin, and kept only if what is lost is.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from imindex.stats.multiple import is_called
from imindex.stats.named_sets import Change, NamedSet, compare_names
from imindex.stats.set_scores import Float64

Gone = Literal["gone", "remains", "undecided"]
Kept = Literal["kept", "lost", "undecided"]


def gone(found: NamedSet, *, margin: float, level: float = 0.05) -> Gone:
    """Decide whether a name is gone.

    Parameters
    ----------
    found : NamedSet
        Of the name's pictures against placebo names, with intervals at confidence 1 - 2 level.
    margin : float
        The AUC beyond 0.5 that counts as nothing. Chosen before the pictures are seen.
    level : float

    Returns
    -------
    {"gone", "remains", "undecided"}

    Notes
    -----
    "gone" rejects "the AUC is 0.5 + margin or more" at the level, by the upper end of the interval (the confidence
    interval inclusion of Schuirmann 1987, on one side: a name that pushes pictures away is gone too). "remains" needs
    a p-value of the name test at or below the level. Where both hold, a difference is shown and is shown to be
    negligible; the verdict is "gone".

    By several ways of asking, a name is gone if it is gone by each: an intersection-union test, which needs no
    correction (Berger 1982).

    Examples
    --------
    >>> from imindex.stats.named_sets import compare_names
    >>> rng = np.random.default_rng(1)
    >>> left = compare_names(2 + rng.normal(size=30), rng.normal(size=(19, 30)), confidence_level=0.9)
    >>> nothing = compare_names(rng.normal(size=300), rng.normal(size=(19, 300)), confidence_level=0.9)
    >>> gone(left, margin=0.1), gone(nothing, margin=0.1)
    ('remains', 'gone')
    """
    _check(margin)
    if found.auc_interval.high < 0.5 + margin:
        return "gone"
    return "remains" if is_called(found.pvalue, level=level) else "undecided"


def kept(change: Change, *, margin: float) -> Kept:
    """Decide whether what a name did in the base release is kept.

    Parameters
    ----------
    change : Change
        Of the AUC, with an interval at confidence 1 - 2 level.
    margin : float
        The loss that counts as nothing.

    Returns
    -------
    {"kept", "lost", "undecided"}
        kept: a loss of the margin or more is rejected. lost: a loss of the margin or less is rejected.

    Examples
    --------
    >>> from imindex.stats.named_sets import change_of_auc
    >>> rng = np.random.default_rng(1)
    >>> own, names = 3 + rng.normal(size=60), rng.normal(size=(19, 60))
    >>> kept(change_of_auc((own, names), (own, names), confidence_level=0.9), margin=0.1)
    'kept'
    """
    _check(margin)
    if change.interval.low > -margin:
        return "kept"
    return "lost" if change.interval.high < -margin else "undecided"


def gone_among_references(references: npt.ArrayLike, *, margin: float, confidence_level: float) -> float:
    """Return the share of reference names that would be "gone", each compared with the others.

    Parameters
    ----------
    references : array_like, shape (R, C)
        Scores of the reference names' pictures, without NaN.
    margin, confidence_level : float

    Returns
    -------
    float
        NaN with fewer than 3 names. This is the power of "gone" for a name that the model does not know: where it is
        low, "undecided" says little.
    """
    values: Float64 = np.asarray(references, np.float64)
    if len(values) < 3:
        return np.nan
    every = np.arange(len(values))
    decided = [
        gone(compare_names(values[n], values[every != n], confidence_level=confidence_level), margin=margin)
        == "gone"
        for n in every.tolist()
    ]
    return float(np.mean(decided))


def _check(margin: float) -> None:
    if not 0 < margin < 1:
        raise ValueError(f"margin is {margin}. Pass what counts as nothing, above 0 and below 1.")
