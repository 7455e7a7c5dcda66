"""Near-duplicates among an artist's works: a series counts as one work where works are counted or drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
BETWEEN = 0.99
"""Share of works whose nearest work by another artist is further away than near-duplicates are."""
NEARNESS = 0.1
"""Near-duplicates are at most this share of the usual distance of two works by one artist apart (1 - cosine)."""

_LINKS = 2**22
"""Number of links between works that are held before they are merged."""


def duplicate_threshold(nearest_other: npt.ArrayLike, within: npt.ArrayLike) -> float:
    """Return the cosine above which two works by one artist are near-duplicates.

    Parameters
    ----------
    nearest_other : array_like, shape (n,)
        For each work, or each of a sample of works, its highest cosine to a work by another artist. Empty with one
        artist.
    within : array_like, shape (A,)
        For each artist with several works, the median cosine of two different works.

    Returns
    -------
    float
        1 if `within` is empty: nothing is a near-duplicate.

    Notes
    -----
    The larger of two cosines:

    - the `BETWEEN` quantile of `nearest_other`, which works by different artists practically never exceed. It is a
      quantile and
      not the maximum, because a picture that is listed under two artists would otherwise switch the rule off;
    - 1 - `NEARNESS` (1 - c), where c is the median over artists of `within`. An encoder that tells artists apart well
      puts
      most works of an artist nearer to each other than to all others, without their being duplicates. For unit vectors,
      1 - cosine is half the squared distance. Two works at a tenth of the usual squared distance share nine tenths of
      the variance between the works of an artist.

    Examples
    --------
    >>> duplicate_threshold([0.4, 0.5, 0.6], [0.7, 0.8, 0.9])
    0.98
    """
    others, own = np.asarray(nearest_other, np.float64), np.asarray(within, np.float64)
    if not len(own):
        return 1.0
    near = 1 - NEARNESS * (1 - float(np.median(own)))
    return max(near, float(np.quantile(others, BETWEEN))) if len(others) else near


def link(similarity: npt.ArrayLike, threshold: float) -> Int64:
    """Link works whose cosine exceeds a threshold, directly or through others (single linkage).

    Parameters
    ----------
    similarity : array_like, shape (n, n)
        Cosines between the works of an artist. The diagonal is not used.
    threshold : float

    Returns
    -------
    ndarray, shape (n,), int64
        For each work, the position of the first work of its cluster: its own if it is the first, or alone.

    Examples
    --------
    >>> link([[1.0, 0.2, 0.99], [0.2, 1.0, 0.2], [0.99, 0.2, 1.0]], 0.98).tolist()
    [0, 1, 0]
    """
    linked = np.asarray(similarity) > threshold
    if linked.ndim != 2 or linked.shape[0] != linked.shape[1]:
        raise ValueError(f"similarity: expected works x works, not the shape {linked.shape}.")
    links = Links(len(linked))
    links.add(*np.nonzero(linked))
    return links.finish()


class Links:
    """Clusters of n works from pairs that are linked, which arrive in any order.

    Memory: 16 bytes for each of up to `_LINKS` pairs, and 24 n bytes.
    """

    def __init__(self, n: int):
        self._n = n
        self._pairs: list[tuple[Int64, Int64]] = []
        self._held = 0

    def add(self, first: npt.ArrayLike, second: npt.ArrayLike) -> None:
        """Link works ``first[k]`` and ``second[k]``, for each k."""
        i, j = np.asarray(first, np.int64), np.asarray(second, np.int64)
        self._pairs.append((i, j))
        self._held += len(i)
        if self._held > _LINKS:
            # A work and the first one of its cluster say as much as all pairs of the cluster.
            self._pairs = [(self.finish(), np.arange(self._n))]
            self._held = self._n

    def finish(self) -> Int64:
        """Return, for each work, the position of the first work of its cluster, shape (n,)."""
        if not self._pairs:
            return np.arange(self._n)
        from scipy import sparse  # only where there is something to link
        from scipy.sparse import csgraph

        i, j = (np.concatenate(part) for part in zip(*self._pairs, strict=True))
        graph = sparse.coo_array((np.ones(len(i), np.bool_), (i, j)), shape=(self._n, self._n))
        _, label = csgraph.connected_components(graph, directed=False)
        first = np.unique(label, return_index=True)[1]
        clusters: Int64 = first[label].astype(np.int64)
        return clusters


def nearest_other(similarity: Float64, artist: npt.ArrayLike, others: npt.ArrayLike) -> Float64:
    """Return the highest cosine of each work to a work by another artist.

    Parameters
    ----------
    similarity : ndarray, shape (n, W)
    artist : array_like, shape (n,)
    others : array_like, shape (W,)
        The artists of the rows and columns.

    Returns
    -------
    ndarray, shape (n,), float64
        Empty if all works are by one artist.

    Examples
    --------
    >>> nearest_other(np.array([[1.0, 0.9, 0.3]]), [0], [0, 0, 1]).tolist()
    [0.3]
    """
    same = np.asarray(artist)[:, None] == np.asarray(others)[None]
    highest = np.where(same, -np.inf, similarity).max(axis=1, initial=-np.inf)
    return np.asarray(highest[np.isfinite(highest)])
