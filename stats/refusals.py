"""Pictures that a service withheld: how often by name, and what they could have changed.

A service that refuses prompts, or blocks pictures, decides which pictures there are to test. The functions here count
that as an outcome, compare it between names, and bound what the missing pictures could do to a test on those there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import Interval
from imindex.stats.set_scores import SHARE_OF_SETS, Float64, Int64

_TIE = 1e-12


@dataclass(frozen=True, eq=False)
class WithheldTest:
    """Result of `withheld_test`.

    Attributes
    ----------
    share : ndarray, shape (A,), float64
        Share of the pictures of each name that was withheld; NaN if none was asked for.
    low, high : ndarray, shape (A,), float64
        Exact (Clopper-Pearson) interval of the share for this name.
    reference : ndarray, shape (A,), float64
        Mean share over the reference names that are compared; NaN without any.
    pvalue : ndarray, shape (A,), float64
        (1 + reference names whose share is at least as high) / (1 + reference names); NaN without reference names.
    n_references, n_left_out : ndarray, shape (A,), int64
        Reference names of which equally many pictures were asked for, and the others, which are not compared.
    """

    share: Float64
    low: Float64
    high: Float64
    reference: Float64
    pvalue: Float64
    n_references: Int64
    n_left_out: Int64

    @property
    def resolution(self) -> Float64:
        """Smallest possible p-value of each name, shape (A,); NaN without reference names."""
        return np.where(self.n_references > 0, 1 / (1 + self.n_references), np.nan)


def withheld_test(
    asked: npt.ArrayLike,
    withheld: npt.ArrayLike,
    reference_asked: npt.ArrayLike,
    reference_withheld: npt.ArrayLike,
    *,
    confidence_level: float = 0.95,
) -> WithheldTest:
    """Test whether pictures of a name are withheld more often than those of reference names, such as placebo names.

    Parameters
    ----------
    asked, withheld : array_like, shape (A,), integers
        Pictures of each name that were asked for, and of these, those that were withheld.
    reference_asked, reference_withheld : array_like, shape (K,), integers
        The same of the reference names.
    confidence_level : float

    Returns
    -------
    WithheldTest

    Raises
    ------
    ValueError
        Shapes disagree, a count is negative, or more is withheld than was asked for.

    Notes
    -----
    The unit is the name. If a filter does not care which name is an artist's, the share of the name and those of the
    reference names are exchangeable, provided that equally many pictures were asked for; other reference names are left
    out. Then P(p <= alpha) <= alpha, whatever the filter does within a name: it may refuse a name always, or never. A
    test of all pictures together, such as Fisher's, takes each request as independent; where a filter judges names, it
    finds a difference that is not there (`scripts/bench/question_worlds_refusals.py`). Ties count against the finding.
    With K reference names no p-value is below 1 / (1 + K).

    Examples
    --------
    >>> result = withheld_test([10], [9], [10] * 4, [0, 1, 0, 9])
    >>> result.pvalue.tolist(), result.reference.tolist()
    ([0.4], [0.25])
    """
    n, k = _counts(asked, withheld, "withheld")
    reference_n, reference_k = _counts(reference_asked, reference_withheld, "reference_withheld")
    if not 0 < confidence_level < 1:
        raise ValueError(
            f"confidence_level is {confidence_level}. It must be between 0 and 1; 0.95 is usual."
        )
    equal = reference_n[None, :] == n[:, None]
    equal &= n[:, None] > 0
    n_references = equal.sum(axis=1)
    at_least = (equal & (reference_k[None, :] >= k[:, None])).sum(axis=1)
    total = (equal * reference_k[None, :]).sum(axis=1)
    there = n_references > 0
    some = np.maximum(n, 1)
    ends = [clopper_pearson(int(a), int(b), confidence_level) for a, b in zip(k, n, strict=True)]
    return WithheldTest(
        share=np.where(n > 0, k / some, np.nan),
        low=np.array([end.low for end in ends]),
        high=np.array([end.high for end in ends]),
        reference=np.where(there, total / np.maximum(n_references * some, 1), np.nan),
        pvalue=np.where(there, (1 + at_least) / (1 + n_references), np.nan),
        n_references=n_references,
        n_left_out=len(reference_n) - n_references,
    )


def clopper_pearson(k: int, n: int, confidence_level: float = 0.95) -> Interval:
    """Return the exact interval of a share of k out of n; NaN if n is 0.

    Source: Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> interval = clopper_pearson(0, 10)
    >>> interval.low, round(interval.high, 4)
    (0.0, 0.3085)
    """
    if n == 0:
        return Interval(np.nan, np.nan)
    tail = (1 - confidence_level) / 2
    low = float(scipy.stats.beta.ppf(tail, k, n - k + 1)) if k > 0 else 0.0
    high = float(scipy.stats.beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return Interval(low, high)


@dataclass(frozen=True, eq=False)
class WithheldBounds:
    """Result of `withheld_bounds`: what a test would say if the withheld pictures had been made.

    Attributes
    ----------
    auc : float
        Probability that a picture that was made scores higher than a picture of a reference name, with the reference
        names weighted equally; ties count half. NaN without pictures.
    auc_as_references : float
        The same if the withheld pictures were like those of reference names: each adds 1/2.
    auc_low, auc_high : float
        The same if each of them scored below, and above, everything: no assumption can lead outside.
    p_as_answered : float
        p-value of the set's mean score among those of reference names, by equally many pictures of each that were made:
        if the withheld pictures of each name were like these.
    p_as_references : float
        The same if the withheld pictures of every name were like the mean reference name.
    p_low, p_high : float
        The same in the best and the worst case for the finding: the withheld pictures of the name had the highest
        score of all pictures and those of reference names the lowest, and the other way round.
    n_references : int
        Reference names with pictures.
    """

    auc: float
    auc_as_references: float
    auc_low: float
    auc_high: float
    p_as_answered: float
    p_as_references: float
    p_low: float
    p_high: float
    n_references: int


def withheld_bounds(
    own: npt.ArrayLike,
    n_withheld: int,
    references: Sequence[npt.ArrayLike],
    references_withheld: npt.ArrayLike,
) -> WithheldBounds:
    """Bound the AUC and the p-value of a set of pictures, some of which were withheld.

    Parameters
    ----------
    own : array_like, shape (n,)
        Scores of the pictures of a name that were made; n may be 0. If sets of other sizes are compared, the first
        pictures of each stand for it, so their order must not depend on the scores.
    n_withheld : int
        Number of its pictures that were withheld.
    references : sequence of R array_like, shape (n_r,)
        Scores of the pictures of reference names that were made.
    references_withheld : array_like, shape (R,), integers
        Number of pictures of each reference name that were withheld.

    Returns
    -------
    WithheldBounds

    Raises
    ------
    ValueError
        A score is not finite, a count is negative, or there are not as many counts as references.

    Notes
    -----
    The bounds of the AUC assume nothing about the withheld pictures (Manski 1990, Am. Econ. Rev. 80:319). The other two
    values assume something that can be said: "as answered" suits a filter that looks at neither the picture nor what
    makes it like the artist; a finding that holds "as references" needs no such assumption, only that the withheld
    pictures were no less like the artist than those of an invented name. The best and the worst case of the p-value
    stay within the scores that were seen.

    Examples
    --------
    >>> result = withheld_bounds([3.0, 4.0], 2, [[0.0, 1.0], [1.0, 2.0], [2.0, 1.0]], [0, 0, 0])
    >>> result.auc, result.auc_as_references, result.auc_low, result.p_as_answered
    (1.0, 0.75, 0.5, 0.25)
    """
    scores = _scores(own, "own")
    listed = [_scores(values, "references") for values in references]
    missing = np.asarray(references_withheld, np.int64)
    if missing.shape != (len(listed),):
        raise ValueError(
            f"references_withheld: expected {len(listed)} counts, not the shape {missing.shape}."
        )
    if n_withheld < 0 or (missing < 0).any():
        raise ValueError("n_withheld: a count is negative.")
    there = [values for values in listed if len(values)]
    n, m = len(scores), int(n_withheld)
    auc = float(np.mean([_auc(scores, values) for values in there])) if n and there else np.nan
    made = n * (auc if n else 0.0)
    total = n + m

    def whole(added: float) -> float:
        if not m:
            return auc
        return (made + m * added) / total if there else np.nan

    everything = np.concatenate([scores, *there]) if n or there else np.zeros(0)
    least, most = (float(everything.min()), float(everything.max())) if len(everything) else (0.0, 0.0)
    mean = float(np.mean([values.mean() for values in there])) if there else np.nan

    def p(own_value: float, reference_value: float) -> float:
        """Return the p-value if withheld pictures have these scores."""
        if not total or not there:
            return np.nan
        sets = [
            _mean(values, int(k), reference_value)
            for values, k in zip(listed, missing, strict=True)
            if len(values) + k
        ]
        return _rank(_mean(scores, m, own_value), sets)

    size = min(n, _common_size([len(values) for values in listed]))
    equal = [float(values[:size].mean()) for values in listed if len(values) >= size] if size else []
    return WithheldBounds(
        auc=auc,
        auc_as_references=whole(0.5),
        auc_low=whole(0.0),
        auc_high=whole(1.0),
        p_as_answered=_rank(float(scores[:size].mean()), equal) if equal else np.nan,
        p_as_references=p(mean, mean),
        p_low=p(most, least),
        p_high=p(least, most),
        n_references=len(there),
    )


def _mean(values: Float64, n_withheld: int, score: float) -> float:
    """Return the mean of a set whose withheld pictures have a score."""
    return float((values.sum() + n_withheld * score) / (len(values) + n_withheld))


def _rank(own: float, sets: Sequence[float]) -> float:
    tolerance = _TIE * max(1.0, abs(own))
    return (1 + sum(value >= own - tolerance for value in sets)) / (1 + len(sets))


def _common_size(sizes: Sequence[int]) -> int:
    """Return the largest size that `SHARE_OF_SETS` of the sets with pictures reach; 0 if none has any."""
    ordered = sorted((size for size in sizes if size), reverse=True)
    return ordered[max(0, math.ceil(SHARE_OF_SETS * len(ordered)) - 1)] if ordered else 0


def _auc(own: Float64, others: Float64) -> float:
    above = own[:, None] > others[None, :]
    level = own[:, None] == others[None, :]
    return float(above.mean() + level.mean() / 2)


def _scores(values: npt.ArrayLike, name: str) -> Float64:
    array = np.asarray(values, np.float64).reshape(-1) if np.size(values) else np.zeros(0)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: a score is not finite. Leave the picture out.")
    return array


def _counts(asked: npt.ArrayLike, withheld: npt.ArrayLike, name: str) -> tuple[Int64, Int64]:
    n, k = np.asarray(asked, np.int64), np.asarray(withheld, np.int64)
    if n.ndim != 1 or n.shape != k.shape:
        raise ValueError(
            f"{name}: expected one count per name, as asked, not the shapes {n.shape} and {k.shape}."
        )
    if (k < 0).any() or (k > n).any():
        raise ValueError(f"{name}: a count is negative, or larger than the number that was asked for.")
    return n, k
