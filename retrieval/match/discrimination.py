"""How well an encoder tells each artist's works from those of others."""

from __future__ import annotations

import numpy.typing as npt

from imindex.retrieval.match.among_works import Discrimination, among_works
from imindex.retrieval.vectors.blocks import Int64
from imindex.retrieval.vectors.checks import check_artists, check_vectors


def discrimination_gap(
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    cluster: Int64 | None = None,
    artists: Int64 | None = None,
) -> Discrimination:
    """Tell how well this encoder tells each artist's works from those of the others.

    Parameters
    ----------
    works : array_like, shape (W, d), float16, unit norm
    work_artist : array_like, shape (W,), integers
    n_artists : int
    cluster : ndarray, shape (W,), int64, optional
        The cluster of each work (`imindex.retrieval.vectors.near_duplicates`). Works of one cluster are not compared
        with each other.
    artists : ndarray of int64, optional
        The artists whose gaps are needed; by default all. Pairs of two others are not compared.

    Returns
    -------
    Discrimination

    Raises
    ------
    ValueError
        No works at all; not float16 unit vectors; artist numbers out of range.

    Notes
    -----
    Cosines and medians are exact. No table of all cosines is held, see `imindex.retrieval.match.among_works`.

    Examples
    --------
    >>> import numpy as np
    >>> works = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float16)
    >>> result = discrimination_gap(works, [0, 0, 1, 1], 2)
    >>> result.gap.round(2).tolist(), result.nearest.tolist()
    ([0.7, 0.5], [1, 0])
    """
    vectors = check_vectors(works, "works")
    if not len(vectors):
        raise ValueError("There are no works, so there is nothing to distinguish. Add works to the index.")
    artist_of = check_artists(work_artist, len(vectors), n_artists, "work_artist")
    return among_works(
        vectors,
        artist_of,
        n_artists,
        cluster=cluster,
        artists=artists,
        every_median=artists is None,
        keep_bytes=0,
    ).discrimination
