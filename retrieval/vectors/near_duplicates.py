"""Near-duplicates among the works of each artist, from the works' vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.select import same_pictures_at
from imindex.retrieval.vectors.similarity import Widened, similarities
from imindex.stats.duplicates import Links, duplicate_threshold

SAMPLE = 1000
"""Number of works, evenly spaced, on which the threshold rests, and number of works of each artist."""
_TILE_BYTES = 64 * 2**20
"""Size of the works, and of their similarities to the sample, that are held at a time."""


def near_duplicates(works: Float16, work_artist: Int64, *, among: Int64 | None = None) -> tuple[Int64, float]:
    """Group works that are nearly the same picture to this encoder.

    Parameters
    ----------
    works : ndarray, shape (W, d), float16, unit norm
    work_artist : ndarray, shape (W,), int64
    among : ndarray of int64, optional
        The works that are grouped, by default all. The threshold always rests on all works.

    Returns
    -------
    cluster : ndarray, shape (W,), int64
        For each work, the position of the first work of its cluster. A cluster has one artist. Works that are not
        grouped are alone.
    threshold : float
        The cosine above which two works by one artist are linked; see `imindex.stats.duplicates.duplicate_threshold`.

    Notes
    -----
    The threshold depends on the works of all artists: an artist's clusters may change when another artist is added, if
    a cosine lies between the old threshold and the new one. A picture that is listed under two artists is no measure of
    how near works by different artists come, so it is left out of that sample.
    """
    threshold = near_duplicate_threshold(lambda rows: works[rows], work_artist, works.shape[1])
    cluster = np.arange(len(works))
    rows = rows_by_artist(work_artist)
    if among is not None:
        grouped = np.zeros(len(works), np.bool_)
        grouped[among] = True
        rows = [own[grouped[own]] for own in rows]
    for own in rows:
        if len(own) > 1:
            cluster[own] = own[linked(works[own], threshold)]
    return cluster, threshold


def near_duplicate_threshold(vectors_at: Callable[[Int64], Float16], work_artist: Int64, dim: int) -> float:
    """Return the threshold of `near_duplicates`. Few vectors are held at a time.

    Parameters
    ----------
    vectors_at : callable
        Returns the vectors of some works, (k, dim) float16, given their positions.
    work_artist : ndarray, shape (W,), int64
        At least one work.
    dim : int
    """
    rows = rows_by_artist(work_artist)
    within = [_median(vectors_at(_spaced(own))) for own in rows if len(own) > 1]
    sample = _spaced(np.concatenate(rows))
    sample = sample[~_listed_under_two(vectors_at, work_artist, dim)[sample]]
    chosen, artist = vectors_at(sample), work_artist[sample]
    highest = np.full(len(sample), -np.inf)
    for some in blocks(len(work_artist), dim + len(sample), _TILE_BYTES):
        tile = vectors_at(np.arange(some.start, some.stop))
        others = similarities(chosen, tile, names=("works", "works"))
        others[artist[:, None] == work_artist[some][None]] = -np.inf
        np.maximum(highest, others.max(axis=1), out=highest)
    return duplicate_threshold(highest[np.isfinite(highest)], within)


def rows_by_artist(artist: Int64) -> list[Int64]:
    """Return the positions of the works of each artist who has any, in the order of the artists' numbers."""
    order = np.argsort(artist, kind="stable")
    starts = np.unique(artist[order], return_index=True)[1]
    return np.split(order, starts[1:]) if len(order) else []


def linked(works: Float16, threshold: float) -> Int64:
    """Return the clusters of an artist's works, see `imindex.stats.duplicates.link`, without a table of all pairs."""
    links, wide = Links(len(works)), Widened(works)
    for some in blocks(len(works), len(works)):
        later = wide.product(works[some].astype(np.float64), slice(some.start, None))
        first, second = np.nonzero(later > threshold)
        links.add(some.start + first, some.start + second)
    return links.finish()


def _listed_under_two(
    vectors_at: Callable[[Int64], Float16], work_artist: Int64, dim: int
) -> npt.NDArray[np.bool_]:
    """Return whether the same picture, by its vector, is also a work by another artist."""
    group = same_pictures_at(vectors_at, np.zeros(len(work_artist), np.int64), dim)
    elsewhere = work_artist != work_artist[group]
    shared = np.zeros(len(work_artist), np.bool_)
    shared[group[elsewhere]] = True
    return np.asarray(shared[group])


def _among(works: Float16) -> Float64:
    return np.asarray(similarities(works, works, names=("works", "works")))


def _median(works: Float16) -> float:
    return float(np.median(_among(works)[np.tri(len(works), k=-1, dtype=np.bool_)]))


def _spaced(rows: Int64) -> Int64:
    """Return at most `SAMPLE` of the rows, evenly spaced."""
    n = min(len(rows), SAMPLE)
    return rows[np.arange(n) * len(rows) // n]
