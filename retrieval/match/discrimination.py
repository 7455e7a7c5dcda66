"""Measure how well an encoder distinguishes each artist's works from those of other artists."""

from __future__ import annotations

import numpy.typing as npt

from imindex.retrieval.match.among_works import Discrimination, among_works
from imindex.retrieval.vectors.checks import check_artists, check_vectors


def discrimination_gap(works: npt.ArrayLike, work_artist: npt.ArrayLike, n_artists: int) -> Discrimination:
    """Measure how well an encoder distinguishes each artist's works from those of other artists.

    Parameters
    ----------
    works : array_like, shape (W, d), float16, unit norm
    work_artist : array_like, shape (W,), integers
    n_artists : int

    Returns
    -------
    Discrimination

    Raises
    ------
    ValueError
        If there are no works, the vectors are not float16 unit vectors, or an artist number is out of range.

    Notes
    -----
    Cosines and medians are exact. The table of all cosines is never in memory, see
    `imindex.retrieval.match.among_works`.

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
    artists = check_artists(work_artist, len(vectors), n_artists, "work_artist")
    return among_works(vectors, artists, n_artists, keep_bytes=0).discrimination
