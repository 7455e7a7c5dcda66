"""Observer of a walk: the nearest own imitation of each work, and a histogram of the ranks of own imitations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.match.similarity_pass import Block, Columns, Watch, walk
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.checks import check_pair

BINS = 20


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest own imitation of each of an artist's w works.

    Attributes
    ----------
    imitation : ndarray, shape (w,), int64
        Number of the imitation; of equally near ones, the first.
    rank : ndarray, shape (w,), int64
        Number of imitations of the release that are at least as near, including this one, but not other own imitations
        that are equally near.
    cosine : ndarray, shape (w,), float64
    histogram : ndarray, shape (BINS,), int64
        Over all pairs of a work and an own imitation: the fraction of other artists' imitations that are nearer, ties
        counting one half, in equal bins from 0 to 1. About flat if the artist is not imitated.
    """

    imitation: Int64
    rank: Int64
    cosine: Float64
    histogram: Int64


class OwnNeighbours:
    """Observer that finds `Nearest` of every artist. With CSLS, the nearest imitation is that of the highest score.

    Parameters
    ----------
    work_artist : ndarray, shape (W,), int64
    n_artists : int

    Notes
    -----
    Memory: 24 W bytes, and a histogram for each artist.
    """

    def __init__(self, work_artist: Int64, n_artists: int):
        self._work_artist = work_artist
        self._imitation, self._rank = np.full((2, len(work_artist)), -1)
        self._cosine = np.full(len(work_artist), np.nan)
        self._histogram = np.zeros((n_artists, BINS), np.int64)

    def add(self, rows: Int64, *seen: Block) -> None:
        """Receive some works."""
        (block,) = seen
        for artist, here in block.runs:
            n_others = len(block.columns.order) - int(block.columns.counts[artist])
            if artist not in block.further:
                continue
            own = block.columns.own(artist)
            table = block.scores[here, own]
            best = table.argmax(axis=1)
            lines = np.arange(len(table))
            highest, works = table[lines, best], rows[here]
            self._cosine[works] = block.similarity[here, own][lines, best]
            self._imitation[works] = block.columns.order[own][best]
            # Equally near own imitations share its rank, and are not counted.
            tied = (table == highest[:, None]).sum(axis=1) - 1
            self._rank[works] = block.rank[here, own][lines, best] - tied
            if n_others:
                nearer = 2 * n_others - block.further[artist].ravel()
                bins = np.minimum(nearer * BINS // (2 * n_others), BINS - 1)
                self._histogram[artist] += np.bincount(bins, minlength=BINS)

    def received(self) -> tuple[Int64, Int64, Float64, Int64]:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        return self._imitation, self._rank, self._cosine, self._histogram

    def absorb(self, received: tuple[Int64, Int64, Float64, Int64]) -> None:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        imitation, rank, cosine, histogram = received
        here = imitation >= 0
        self._imitation[here], self._rank[here], self._cosine[here] = (
            imitation[here],
            rank[here],
            cosine[here],
        )
        self._histogram += histogram

    def of(self, artist: int) -> Nearest:
        """Return the result for one artist, with its works in ascending order."""
        works = np.flatnonzero(self._work_artist == artist)
        return Nearest(
            self._imitation[works], self._rank[works], self._cosine[works], self._histogram[artist]
        )


def nearest_own(works: Float16, imitations: Float16, own: npt.NDArray[np.bool_]) -> Nearest:
    """Find the nearest own imitation of each of an artist's works.

    Parameters
    ----------
    works : ndarray, shape (w, d), float16, unit norm
        The artist's works.
    imitations : ndarray, shape (m, d), float16, unit norm
    own : ndarray, shape (m,), bool
        Whether each imitation was made from the artist's name; at least one.

    Examples
    --------
    >>> works = np.array([[1, 0]], np.float16)
    >>> imitations = np.array([[0, 1], [0.6, 0.8], [0.8, 0.6]], np.float16)
    >>> nearest = nearest_own(works, imitations, np.array([False, True, False]))
    >>> nearest.imitation.tolist(), nearest.rank.tolist(), nearest.histogram.nonzero()[0].tolist()
    ([1], [2], [10])
    """
    left, right = check_pair(works, imitations, ("works", "imitations"))
    artist = np.zeros(len(left), np.int64)
    observer = OwnNeighbours(artist, 2)
    columns = Columns.of(right, np.where(own, 0, 1), 2)
    walk(left, artist, [columns], [Watch(observer, (0,), np.arange(len(left)))])
    return observer.of(0)
