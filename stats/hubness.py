"""Hubness and anisotropy of vectors: whether a few items are near everything, and whether all point the same way.

A *hub* is an item that is among the k nearest neighbours of many others; an *anti-hub* is among those of none
(Radovanović et al. 2010, JMLR 11:2487). Vectors are *anisotropic* if they occupy a narrow cone, so that any two have a
high cosine (Ethayarajh 2019, doi:10.18653/v1/D19-1006). The two are related, but neither implies the other: a constant
that is added to all vectors makes them anisotropic and may leave the order of neighbours as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.set_scores import Float64, Int64


@dataclass(frozen=True, eq=False)
class Hubness:
    """Result of `hubness` for n items and k neighbours.

    Attributes
    ----------
    k : int
        Number of neighbours of each query.
    occurrence : ndarray, shape (n,), int64
        N_k: number of queries among whose neighbours each item is.
    skewness : float
        Skewness of N_k: its third central moment over the cube of its standard deviation. 0 if all items occur alike;
        about ``1 / sqrt(k)`` if neighbours are drawn at random; above 1 is commonly called strong hubness. NaN without
        items.
    gini : float
        Gini coefficient of N_k: 0 if all items occur alike, near 1 if one item takes every place. NaN if there are no
        neighbours.
    anti_hubs : float
        Share of the items that are nobody's neighbour.
    largest : int
        Largest N_k.
    """

    k: int
    occurrence: Int64
    skewness: float
    gini: float
    anti_hubs: float
    largest: int


def hubness(neighbours: npt.ArrayLike, n_items: int | None = None) -> Hubness:
    """Measure how unevenly items occur among nearest neighbours.

    Parameters
    ----------
    neighbours : array_like, shape (q, k), integers
        The k nearest items of each query, from 0 to ``n_items - 1``. -1 fills the places of a query with fewer. A query
        that is itself an item should not be among its own neighbours.
    n_items : int, optional
        Number of items; by default as many as queries.

    Returns
    -------
    Hubness

    Raises
    ------
    ValueError
        If the array is not a matrix of integers, or a number is out of range.

    Notes
    -----
    N_k depends on who asks: with q queries and n items its mean is ``q k / n``. Compare encoders on the same queries
    and items, and with the same k; 10 is usual. If queries choose at random, N_k is close to a Poisson variable with
    this mean, whose skewness is one over the root of the mean.

    Examples
    --------
    >>> result = hubness([[1], [0], [0], [0]])
    >>> result.occurrence.tolist(), round(result.skewness, 2), result.anti_hubs, result.gini
    ([3, 1, 0, 0], 0.82, 0.5, 0.625)
    """
    places = np.asarray(neighbours)
    if places.ndim != 2 or (places.size and places.dtype.kind not in "iu"):
        raise ValueError(
            f"neighbours: expected integers of shape (queries, k), not {places.dtype} of the shape {places.shape}."
        )
    n = len(places) if n_items is None else n_items
    bad = np.flatnonzero((places < -1) | (places >= n))
    if len(bad):
        raise ValueError(
            f"neighbours: query {bad[0] // places.shape[1]} has neighbour {places.flat[bad[0]]}, "
            f"not one of 0 to {n - 1}."
        )
    occurrence = np.bincount(places[places >= 0].ravel().astype(np.int64), minlength=n).astype(np.int64)
    total = int(occurrence.sum())
    return Hubness(
        k=places.shape[1],
        occurrence=occurrence,
        skewness=_skewness(occurrence.astype(np.float64)),
        gini=_gini(occurrence) if total else np.nan,
        anti_hubs=float(np.mean(occurrence == 0)) if n else np.nan,
        largest=int(occurrence.max(initial=0)),
    )


def _skewness(values: Float64) -> float:
    if not len(values):
        return float("nan")
    away = values - values.mean()
    variance = float(np.mean(away**2))
    return float(np.mean(away**3)) / variance**1.5 if variance > 0 else 0.0


def _gini(counts: Int64) -> float:
    """Return half the mean absolute difference of two counts, over their mean."""
    ordered = np.sort(counts)
    n = len(ordered)
    weighted = int((np.arange(1, n + 1) * ordered).sum())
    return 2 * weighted / (n * int(ordered.sum())) - (n + 1) / n


@dataclass(frozen=True)
class Anisotropy:
    """Result of `anisotropy` for n vectors of d values.

    Attributes
    ----------
    mean_cosine : float
        Mean cosine of two different vectors. 0 if directions are spread evenly, near 1 in a narrow cone.
    effective_rank : float
        Number of dimensions that the vectors use: the exponential of the Shannon entropy of the eigenvalues of their
        covariance, divided by their sum (Roy & Vetterli 2007). From 1 to the smaller of d and n - 1. Equal variances in
        r dimensions give r.
    top_share : float
        Share of the largest eigenvalue in the sum of all.
    """

    mean_cosine: float
    effective_rank: float
    top_share: float


def anisotropy(vectors: npt.ArrayLike) -> Anisotropy:
    """Measure whether vectors point the same way, and how many dimensions they use.

    Parameters
    ----------
    vectors : array_like, shape (n, d)
        At least two. They are divided by their norms, none of which may be 0.

    Returns
    -------
    Anisotropy
        `effective_rank` and `top_share` are NaN if all vectors are equal.

    Raises
    ------
    ValueError
        If there are fewer than two vectors, a value is not finite, or a norm is 0.

    Notes
    -----
    The mean cosine is ``(|sum x|^2 - n) / (n (n - 1))``, so no pair of vectors is compared. The covariance is that
    around the common mean: the offset of a cone enters the mean cosine, not the effective rank.

    Examples
    --------
    >>> result = anisotropy([[1, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1]])
    >>> round(result.mean_cosine, 3), round(result.effective_rank, 3), round(result.top_share, 3)
    (0.333, 2.0, 0.5)
    """
    array = np.asarray(vectors, np.float64)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"vectors: expected at least two vectors, one per row, not the shape {array.shape}.")
    norms = np.linalg.norm(array, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not (norms > 0).all():
        row = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))[0])
        raise ValueError(
            f"vectors: row {row} is zero or not finite. Encode the picture again, or exclude it."
        )
    unit = array / norms
    n = len(unit)
    total = unit.sum(axis=0)
    mean_cosine = (float(total @ total) - n) / (n * (n - 1))
    centred = unit - total / n
    # The smaller of the two Gram matrices has the same eigenvalues, except zeros.
    gram = centred.T @ centred if centred.shape[1] <= n else centred @ centred.T
    values = np.clip(np.linalg.eigvalsh(gram), 0.0, None)
    if not values.sum() > 1e-24 * n:
        return Anisotropy(mean_cosine, float("nan"), float("nan"))
    shares = values / values.sum()
    used = shares[shares > 0]
    entropy = -float((used * np.log(used)).sum())
    return Anisotropy(mean_cosine, float(np.exp(entropy)), float(shares.max()))
