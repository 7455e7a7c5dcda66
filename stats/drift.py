"""Whether what a service makes changed while it was asked: early against late pictures of the same names."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.keyed import Rng
from imindex.stats.set_scores import Float64

_TIE = 1e-12
_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Drift:
    """Result of `drift_test`.

    Attributes
    ----------
    shift : float
        Length of the mean difference between late and early pictures.
    expected : float
        Its root mean square if nothing changed.
    pvalue : float
        (1 + sign flips with at least this shift) / (1 + flips); exact if all are enumerated. NaN with fewer than 2
        names.
    n_names, n_resamples : int
    exact : bool
    """

    shift: float
    expected: float
    pvalue: float
    n_names: int
    n_resamples: int
    exact: bool


def early_and_late(vectors: npt.ArrayLike, times: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Split the pictures of a name into equally many early and late ones, and return the mean vector of each.

    Parameters
    ----------
    vectors : array_like, shape (n, d)
        At least 2 pictures. With an odd number, the middle one is left out.
    times : array_like, shape (n,)
        Any numbers that grow with time; ties are split by position.

    Returns
    -------
    early, late : ndarray, shape (d,), float64

    Raises
    ------
    ValueError
        There are fewer than 2 pictures, or not as many times.

    Examples
    --------
    >>> early, late = early_and_late([[0.0], [4.0], [2.0], [9.0]], [3, 1, 2, 4])
    >>> early.tolist(), late.tolist()
    ([3.0], [4.5])
    """
    values, when = np.asarray(vectors, np.float64), np.asarray(times, np.float64)
    if values.ndim != 2 or len(values) < 2 or when.shape != (len(values),):
        raise ValueError(
            f"vectors: expected 2 or more, with a time each, not {values.shape} and {when.shape}."
        )
    order = np.argsort(when, kind="stable")
    half = len(order) // 2
    return values[order[:half]].mean(axis=0), values[order[-half:]].mean(axis=0)


def drift_test(
    early: npt.ArrayLike, late: npt.ArrayLike, *, n_resamples: int = 9999, rng: Rng = None
) -> Drift:
    """Test whether late pictures differ from early ones in a direction that names share.

    Parameters
    ----------
    early, late : array_like, shape (S, d)
        Mean vectors of equally many early and late pictures of each name, by `early_and_late`.
    n_resamples : int
        Sign flips that are drawn, if there are more than this many.
    rng : numpy.random.Generator, int or None

    Returns
    -------
    Drift

    Raises
    ------
    ValueError
        Shapes disagree, or a value is not finite.

    Notes
    -----
    The unit is the name. If nothing changes and the pictures of a name were asked for in a random order, early and late
    are exchangeable within each name, so that the difference of each name has either sign with equal probability,
    independently of the other names. The test flips these signs (Fisher's randomisation test for paired differences)
    and compares the length of the mean difference. It does not see a change that differs from name to name, nor one
    that came and went within a run.

    Examples
    --------
    >>> early = np.zeros((8, 2))
    >>> drift_test(early, early + [1.0, 0.0]).pvalue
    0.0078125
    """
    before, after = np.asarray(early, np.float64), np.asarray(late, np.float64)
    if before.ndim != 2 or before.shape != after.shape:
        raise ValueError(
            f"early and late: expected names x dimensions, not {before.shape} and {after.shape}."
        )
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("early and late: a value is not finite.")
    differences = after - before
    n = len(differences)
    if n < 2:
        shift = float(np.linalg.norm(differences.mean(axis=0))) if n else np.nan
        return Drift(shift, np.nan, np.nan, n, 0, True)
    gram = differences @ differences.T
    observed = float(gram.sum())
    threshold = observed - _TIE * max(1.0, float(np.trace(gram)))
    exact = 2 ** (n - 1) - 1 <= n_resamples
    if exact:  # a flip of all signs gives the same length, so the first one stays
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n - 1)))[1:]
        signs = np.column_stack([np.ones(len(signs)), signs])
    else:
        signs = np.random.default_rng(rng).choice([1.0, -1.0], size=(n_resamples, n))
    at_least = 0
    for start in range(0, len(signs), _CHUNK):
        part = signs[start : start + _CHUNK]
        at_least += int((np.einsum("bi,ij,bj->b", part, gram, part) >= threshold).sum())
    return Drift(
        shift=float(np.sqrt(max(observed, 0.0))) / n,
        expected=float(np.sqrt(np.trace(gram))) / n,
        pvalue=(1 + at_least) / (1 + len(signs)),
        n_names=n,
        n_resamples=len(signs),
        exact=exact,
    )
