"""What a name adds to a prompt: the movement from no name to an invented name to the artist's name, at equal seeds.

Any name moves the pictures of a model: "Artwork" becomes "Artwork by somebody". Only what an artist's name does beyond
invented names is the artist's own. LatentArtBench calls the first part shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import Interval
from imindex.stats.named_sets import rank_pvalue
from imindex.stats.set_scores import Float64


@dataclass(frozen=True, eq=False)
class Movement:
    """Result of `movement`.

    Attributes
    ----------
    shared : float
        Share of the name's squared movement that lies along the common movement of invented names, from 0 to 1. NaN if
        either movement cannot be told from 0.
    interval : Interval
        Of the share: jackknife over cells.
    length, own_length : float
        Length of the whole movement, and of the part across the common one; 0 where the unbiased square is negative.
    reference_shared : float
        Median over invented names of their own share, along the common movement of the others.
    pvalue : float
        (1 + invented names whose own part is at least as long) / (1 + invented names).
    n_cells, n_references : int
    """

    shared: float
    interval: Interval
    length: float
    own_length: float
    reference_shared: float
    pvalue: float
    n_cells: int
    n_references: int


def movement(
    own: npt.ArrayLike, references: npt.ArrayLike, nameless: npt.ArrayLike, *, confidence_level: float = 0.95
) -> Movement:
    """Split the movement from nameless pictures to a name's pictures into what all names share, and the rest.

    Parameters
    ----------
    own : array_like, shape (C, d)
        Vectors of the name's pictures, one per cell (template and seed).
    references : array_like, shape (R, C, d)
        Vectors of the invented names' pictures of the same cells.
    nameless : array_like, shape (C, d)
        Vectors of the pictures without a name, of the same cells.
    confidence_level : float

    Returns
    -------
    Movement

    Raises
    ------
    ValueError
        Shapes disagree, there are fewer than 3 cells or 2 references, or a value is not finite.

    Notes
    -----
    With the displacements D of a name and S of all invented names, the share is <D, S>^2 / (<D, D> <S, S>): the squared
    cosine between the mean movements. A squared length of a mean of noisy vectors is too large, so every product is
    taken between different cells, and <S, S> also between different names; these products are unbiased. The share is
    undefined where the jackknife interval of either squared movement holds 0: nothing moves, or nothing is common.

    The own part of a name is <D, D> (1 - share). For the p-value, every name is compared with the common movement of
    all other names, the artist's included, so that all names are treated alike: if the artist's name is to the model
    like one of the invented names, the rank of its own part among theirs is uniform.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> nameless = rng.normal(size=(30, 8)); noise = 0.1 * rng.normal(size=(21, 30, 8))
    >>> common, own = np.eye(8)[0], np.eye(8)[1]
    >>> moved = nameless + common + noise
    >>> result = movement(moved[0] + own, moved[1:], nameless)
    >>> round(result.shared, 1), round(result.pvalue, 4)
    (0.5, 0.0476)
    """
    mine, others, none = (np.asarray(values, np.float64) for values in (own, references, nameless))
    if mine.ndim != 2 or none.shape != mine.shape or others.ndim != 3 or others.shape[1:] != mine.shape:
        raise ValueError(
            f"own, references, nameless: the shapes {mine.shape}, {others.shape} and {none.shape} do not match."
        )
    if len(mine) < 3 or len(others) < 2:
        raise ValueError("own, references: at least 3 cells and 2 reference names are needed.")
    if not all(np.isfinite(values).all() for values in (mine, others, none)):
        raise ValueError("own, references, nameless: a value is not finite.")
    moved = np.concatenate([mine[None], others]) - none
    products = _products(moved)
    shared, length, own_square = _split(products, 0)
    others_split = [_split(products, name) for name in range(1, len(moved))]
    half = _jackknife(moved, confidence_level)
    told = np.isfinite(half).all() and products[0, 0] > half[1] and _common(products, 0) > half[2]
    if not told:
        shared = np.nan
    interval = (
        Interval(max(0.0, shared - half[0]), min(1.0, shared + half[0])) if told else Interval(np.nan, np.nan)
    )
    reference = [part[0] for part in others_split if np.isfinite(part[0])]
    return Movement(
        shared=shared,
        interval=interval,
        length=length,
        own_length=float(np.sqrt(max(0.0, own_square))),
        reference_shared=float(np.median(reference)) if told and reference else np.nan,
        pvalue=rank_pvalue(own_square, np.array([part[2] for part in others_split])),
        n_cells=len(mine),
        n_references=len(others),
    )


def _products(moved: Float64) -> Float64:
    """Return the inner product of each two names' movements between different cells, shape (N, N), given (N, C, d)."""
    n_cells = moved.shape[1]
    total = moved.sum(axis=1)
    within = np.einsum("ncd,mcd->nm", moved, moved, optimize=True)
    products: Float64 = (total @ total.T - within) / (n_cells * (n_cells - 1))
    return products


def _split(products: Float64, name: int) -> tuple[float, float, float]:
    """Return the share along the common movement of the other names, the length, and the square of the rest."""
    others = np.arange(len(products)) != name
    own, cross = float(products[name, name]), float(products[name, others].mean())
    common = _common(products, name)
    length = float(np.sqrt(max(0.0, own)))
    if common <= 0:
        return np.nan, length, own
    along = cross**2 / common
    return (min(1.0, along / own) if own > 0 else np.nan), length, own - along


def _common(products: Float64, name: int) -> float:
    """Return the square of the common movement of the names other than one, between different names."""
    others = np.arange(len(products)) != name
    rest, n = products[np.ix_(others, others)], int(others.sum())
    return float((rest.sum() - np.trace(rest)) / (n * (n - 1)))


def _jackknife(moved: Float64, confidence_level: float) -> Float64:
    """Return half the width of the intervals of the artist's share, its squared movement, and the common one."""
    n = moved.shape[1]
    if n < 4:
        return np.full(3, np.nan)
    values = np.empty((n, 3))
    for cell in range(n):
        products = _products(np.delete(moved, cell, axis=1))
        values[cell] = _split(products, 0)[0], products[0, 0], _common(products, 0)
    error = np.sqrt((n - 1) * values.var(axis=0))
    half: Float64 = scipy.stats.t.ppf((1 + confidence_level) / 2, n - 1) * error
    return half
