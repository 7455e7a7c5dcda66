"""How well an encoder tells each artist's works from those of others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.match.match import OK
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.checks import check_artists, check_vectors


@dataclass(frozen=True, eq=False)
class Discrimination:
    """What `discrimination_gap` found, of A artists.

    Attributes
    ----------
    gap : ndarray, shape (A,), float64
        Median cosine within the artist, minus the largest median cosine to another artist. NaN where
        either is missing. At or below 0 the encoder does not tell this artist apart.
    nearest : ndarray, shape (A,), int64
        The other artist with that largest median, of equal ones the lowest number; -1 where there is none.
    medians : ndarray, shape (A, A), float64
        Median cosines, on the diagonal over the pairs of different works. NaN without a pair.
    n_works : ndarray, shape (A,), int64
    status : tuple of str, length A
        "ok", or why there is no gap: "no works", "one work", "no other artist".
    """

    gap: Float64
    nearest: Int64
    medians: Float64
    n_works: Int64
    status: tuple[str, ...]


def discrimination_gap(works: npt.ArrayLike, work_artist: npt.ArrayLike, n_artists: int) -> Discrimination:
    """Tell how well this encoder tells each artist's works from those of the others.

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
        No works at all; not float16 unit vectors; artist numbers out of range.

    Notes
    -----
    Cosines and medians are exact. At a time the cosines of two artists' works are held.

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
        raise ValueError("works: none given, so there is nothing to tell apart. Add works to the index.")
    artist_of = check_artists(work_artist, len(vectors), n_artists, "work_artist")
    n_works = np.bincount(artist_of, minlength=n_artists)
    by_artist = [vectors[artist_of == artist].astype(np.float64) for artist in range(n_artists)]
    medians = np.full((n_artists, n_artists), np.nan)
    present = np.flatnonzero(n_works).tolist()
    for a in present:
        if n_works[a] > 1:
            within = by_artist[a] @ by_artist[a].T
            medians[a, a] = _median(within[np.tri(len(within), k=-1, dtype=np.bool_)])
        for b in present:
            if a < b:
                medians[a, b] = medians[b, a] = _median((by_artist[a] @ by_artist[b].T).ravel())
    others = np.where(np.eye(n_artists, dtype=np.bool_) | np.isnan(medians), -np.inf, medians)
    nearest = others.argmax(axis=1)
    highest = others[np.arange(n_artists), nearest]
    alone = np.isneginf(highest)
    return Discrimination(
        gap=np.diagonal(medians) - np.where(alone, np.nan, highest),
        nearest=np.where(alone, -1, nearest),
        medians=medians,
        n_works=n_works,
        status=tuple(
            "no works" if n == 0 else "one work" if n == 1 else "no other artist" if lonely else OK
            for n, lonely in zip(n_works.tolist(), alone.tolist(), strict=True)
        ),
    )


def _median(values: Float64) -> float:
    """Take the median; of an even number, the mean of the middle two (exact for similarities)."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    ordered = np.partition(values, [low, high])
    return float((ordered[low] + ordered[high]) / 2)
