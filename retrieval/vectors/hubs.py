"""The hub terms of CSLS: how near an item is to works in general, which is taken off its similarities.

CSLS (Conneau et al. 2018, arXiv:1710.04087) orders the items y near a picture x by ``2 cos(x, y) - r(x) - r(y)``. The
term r(x) is the same for all items and changes no order. The term r(y) is the mean cosine of y to its k nearest works.
It is learnt from works alone, so the order for one picture does not depend on which others are asked for. Where the
item is itself a work, works of its artist are left out: a work among many of its kind is no hub for it.

Items are ordered by ``cos(x, y) - r(y) / 2``, which is the same order. The half term is rounded to a multiple of
2**-48, in which cosines are exact, so scores have no further rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.bounds import CSLS_NEIGHBOURS
from imindex.retrieval.vectors.blocks import BLOCK_BYTES, Float16, Float64, Int64
from imindex.retrieval.vectors.similarity import exact_integers, similarity_blocks

_UNITS = 2.0**48
CSLS_K = 15
"""Default number of works over which a hub term averages."""


@dataclass(frozen=True, eq=False)
class HubTerms:
    """Half of the hub term of each of n items; returned by `hub_terms`.

    Attributes
    ----------
    k : int
        Number of works over which a term averages; fewer where there are fewer.
    half : ndarray, shape (n,), float64
        r(y) / 2, in multiples of 2**-48. 0 without works to compare with.
    """

    k: int
    half: Float64
    _values: Float64
    _works: Int64

    def without(self, works: Int64) -> tuple[Int64, Float64]:
        """Return the items whose terms change if some works are left out, and their half terms then.

        Parameters
        ----------
        works : ndarray of int64
            Rows of at most `spare` works.
        """
        left_out = np.isin(self._works, works)
        items = np.flatnonzero(left_out.any(axis=1))
        values = np.where(left_out[items], -np.inf, self._values[items])
        return items, _half_means(-np.sort(-values, axis=1)[:, : self.k])


def hub_terms(
    items: Float16,
    works: Float16,
    k: int,
    *,
    artists: tuple[Int64, Int64] | None = None,
    spare: int = 0,
) -> HubTerms:
    """Compute the hub terms of some items.

    Parameters
    ----------
    items : ndarray, shape (n, d), float16, unit norm
    works : ndarray, shape (W, d), float16, unit norm
    k : int
    artists : (ndarray, ndarray), optional
        The artists of the items and of the works: works of an item's artist are left out.
    spare : int
        How many works `HubTerms.without` may leave out.

    Returns
    -------
    HubTerms

    Raises
    ------
    ImindexError
        If k is out of range.
    ValueError
        If the vectors are not float16 unit vectors.

    Examples
    --------
    >>> works = np.eye(3, dtype=np.float16)
    >>> items = np.array([[1, 0, 0], [0.6, 0.8, 0]], np.float16)
    >>> hub_terms(items, works, 1).half.round(2).tolist()
    [0.5, 0.4]
    """
    CSLS_NEIGHBOURS.check(k, "csls_k")
    kept = min(k + spare, len(works))
    values, rows = np.full((len(items), kept), -np.inf), np.zeros((len(items), kept), np.int64)
    if kept:
        for here, block in similarity_blocks(items, works, limit_bytes=BLOCK_BYTES, names=("items", "works")):
            if artists is not None:
                block[artists[0][here][:, None] == artists[1]] = -np.inf
            nearest = np.argpartition(-block, kept - 1, axis=1)[:, :kept]
            order = np.argsort(-np.take_along_axis(block, nearest, 1), axis=1, kind="stable")
            rows[here] = np.take_along_axis(nearest, order, 1)
            values[here] = np.take_along_axis(block, rows[here], 1)
    return HubTerms(k, _half_means(values[:, :k]), values, rows)


def _half_means(values: Float64) -> Float64:
    """Return half the mean of the finite values of each row, rounded to a multiple of 2**-48; 0 without any."""
    there = np.isfinite(values)
    sums = exact_integers(np.where(there, values, 0.0)).sum(axis=1)
    n: npt.NDArray[np.int64] = np.maximum(there.sum(axis=1), 1)
    return np.asarray(np.round(sums / (2 * n)) / _UNITS)
