"""Whitening of unit vectors, learnt on works only: no common offset, and equal variance in all directions."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.set_scores import Float64, Int64

Float16 = npt.NDArray[np.float16]

FLOOR = 1e-3
"""Smallest weight of the identity, so that the covariance can be inverted."""
_MATRIX_UNITS = 2.0**16
_MEAN_UNITS = 2.0**24
_BLOCK_VALUES = 2**20
"""Number of values that are held as float64 at a time."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """The map from a vector x to ``matrix @ (x - mean)``, divided by its norm; returned by `learn`.

    Attributes
    ----------
    mean : ndarray, shape (d,), float64
        Multiples of 2**-24.
    matrix : ndarray, shape (d, d), float64
        Symmetric; multiples of 2**-16, no row of which has a norm above 1.
    shrinkage : float
        Weight of the identity in the covariance, from `FLOOR` to 1.
    n_works, n_artists : int
        What it was learnt on.
    """

    mean: Float64
    matrix: Float64
    shrinkage: float
    n_works: int
    n_artists: int

    @property
    def sha256(self) -> str:
        """Digest of the mean and the matrix, as little-endian float64."""
        digest = hashlib.sha256()
        for values in (self.mean, self.matrix):
            digest.update(np.ascontiguousarray(values, "<f8").tobytes())
        return digest.hexdigest()

    def apply(self, vectors: npt.ArrayLike) -> Float16:
        """Whiten vectors.

        Parameters
        ----------
        vectors : array_like, shape (n, d), float16, unit norm

        Returns
        -------
        ndarray, shape (n, d), float16, unit norm
            A row depends on its own vector only, so results do not depend on what is whitened together.

        Raises
        ------
        ValueError
            If the vectors are not float16, have another dimension, or one is exactly the mean.

        Notes
        -----
        Products are exact. A float16 value is a multiple of 2**-24, an entry of the matrix one of 2**-16, and a product
        one of 2**-40. By the Cauchy-Schwarz inequality, no partial sum exceeds 1.01, and float64 holds all
        multiples of 2**-40 up to 2**13. The mean is a multiple of 2**-24 too, so subtracting its product is exact as
        well. Norms are exactly rounded sums (`math.fsum`). The result is therefore the same for any block size, BLAS or
        machine.
        """
        array = np.asarray(vectors)
        if array.ndim != 2 or array.shape[1] != len(self.mean) or array.dtype != np.float16:
            raise ValueError(
                f"vectors: expected float16 of shape (n, {len(self.mean)}), not {array.dtype} of the shape "
                f"{array.shape}."
            )
        out = np.empty(array.shape, np.float16)
        middle = self.matrix @ self.mean
        step = max(1, _BLOCK_VALUES // len(self.mean))
        for start in range(0, len(array), step):
            rows = slice(start, start + step)
            moved = array[rows].astype(np.float64) @ self.matrix - middle
            norms = np.array([math.sqrt(math.fsum(row)) for row in np.square(moved).tolist()])
            if not (norms > 0).all():
                row = start + int(np.flatnonzero(~(norms > 0))[0])
                raise ValueError(
                    f"vectors: row {row} is the mean of the works, so that whitening leaves it no direction. "
                    "Check that this encoder computed the vectors, or match without whitening."
                )
            out[rows] = (moved / norms[:, None]).astype(np.float16)
        return out


def learn(works: npt.ArrayLike, work_artist: npt.ArrayLike) -> Whitening:
    """Learn a whitening from works. Each artist counts alike, whatever the number of works.

    Parameters
    ----------
    works : array_like, shape (n, d), float16, unit norm
    work_artist : array_like, shape (n,), integers

    Returns
    -------
    Whitening
        It does not depend on the order of the works or on the numbers of the artists.

    Raises
    ------
    ValueError
        If shapes disagree, the vectors are not float16 or not finite, or there are works of fewer than two artists.

    Notes
    -----
    With A artists, m = mean over artists of the artist's mean work, and C_a = mean over the works x of artist a of
    (x - m)(x - m)'. The covariance is S = mean of the C_a. It is the *total* covariance, with the variation between
    artists: labels enter as weights only.

    S is shrunken to (1 - w) S + w tr(S)/d I with the weight of Ledoit & Wolf (2004,
    doi:10.1016/S0047-259X(03)00096-4), the artist being the unit that is sampled: w is the estimated variance of S,
    ``sum_a |C_a - S|^2 / A^2``, over ``|S - tr(S)/d I|^2``. Works of an artist resemble each other, and count as one
    observation. With one work of each artist it is the estimator of scikit-learn's `LedoitWolf`. It does not notice
    that the mean is estimated too, which matters with few artists; w is therefore at least 1 / A and at least `FLOOR`.

    The matrix is the symmetric root S^(-1/2) (ZCA), which has no arbitrary signs or order of axes; cosines are those of
    any other whitening by S. It is scaled, which norms undo, and rounded to multiples of 2**-16. The works are summed
    in an order of their own values. The root comes from LAPACK, so on another machine it can differ in the last digits,
    which the rounding nearly always removes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(400, 3)) * [3, 1, 1] + [9, 0, 0]
    >>> works = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)
    >>> whitening = learn(works, np.arange(400))
    >>> white = whitening.apply(works).astype(float)
    >>> bool(np.abs(white.mean(axis=0)).max() < 0.2 < np.abs(works.mean(axis=0)).max())
    True
    """
    vectors, artist = np.asarray(works), np.asarray(work_artist, np.int64)
    if vectors.ndim != 2 or artist.shape != vectors.shape[:1] or vectors.dtype != np.float16:
        raise ValueError(
            f"works, work_artist: expected float16 vectors and a number for each, not {vectors.dtype} of the shape "
            f"{vectors.shape} and {artist.shape}."
        )
    if not np.isfinite(vectors).all():
        raise ValueError("works: a value is not finite. Encode the picture again, or exclude it.")
    groups = _in_order(vectors, artist)
    d, n_artists = vectors.shape[1], len(groups)
    if n_artists < 2:
        raise ValueError("works: whitening is learnt on works of at least two artists.")
    mean = np.zeros(d)
    for rows in groups:
        mean += _sum(vectors, rows) / len(rows)
    mean = np.round(mean / n_artists * _MEAN_UNITS) / _MEAN_UNITS
    covariance, squares = np.zeros((d, d)), 0.0
    for rows in groups:
        part = np.zeros((d, d))
        for start in range(0, len(rows), _step(d)):
            centred = vectors[rows[start : start + _step(d)]].astype(np.float64) - mean
            part += centred.T @ centred
        part /= len(rows)
        squares += float(np.square(part).sum())
        covariance += part
    covariance /= n_artists
    scale = float(np.trace(covariance)) / d
    if not scale > 0:
        raise ValueError("works: all works have the same vector. Check that this encoder computed them.")
    size = float(np.square(covariance).sum())
    distance = size - d * scale**2
    error = (squares / n_artists - size) / n_artists
    shrinkage = 1.0 if distance <= 0 else min(1.0, max(FLOOR, 1 / n_artists, error / distance))
    covariance *= 1 - shrinkage
    covariance.flat[:: d + 1] += shrinkage * scale
    return Whitening(mean, _root(covariance), shrinkage, len(vectors), n_artists)


def _root(covariance: Float64) -> Float64:
    """Return the inverse symmetric root, scaled so that no row has a norm above 1, in multiples of 2**-16."""
    values, axes = scipy.linalg.eigh(covariance)
    root = (axes / np.sqrt(values)) @ axes.T
    root = (root + root.T) / 2
    # A little below 1, for the rounding.
    largest = float(np.sqrt(np.square(root).sum(axis=1).max())) * (1 + 2**-8)
    return np.asarray(np.round(root / 2.0 ** math.ceil(math.log2(largest)) * _MATRIX_UNITS) / _MATRIX_UNITS)


def _step(d: int) -> int:
    return max(1, _BLOCK_VALUES // d)


def _sum(vectors: Float16, rows: Int64) -> Float64:
    """Return the exact sum of some vectors: multiples of 2**-24 below 2**29."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), _step(vectors.shape[1])):
        total += vectors[rows[start : start + _step(vectors.shape[1])]].astype(np.float64).sum(axis=0)
    return total


def _in_order(vectors: Float16, artist: Int64) -> list[Int64]:
    """Return the rows of each artist, in an order that depends on the vectors only, not on rows or numbers."""
    content = np.ascontiguousarray(vectors).view(f"V{2 * vectors.shape[1]}").ravel()
    _, place = np.unique(content, return_inverse=True)
    place = place.ravel()
    order = np.lexsort((place, artist))
    cuts = np.flatnonzero(np.diff(artist[order])) + 1
    groups = np.split(order, cuts) if len(order) else []
    return sorted(groups, key=lambda rows: place[rows].tolist())
