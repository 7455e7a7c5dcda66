"""Observers of a walk: the nearest works of each imitation, and the nearest work of each artist."""

from __future__ import annotations

import numpy as np

from imindex.retrieval.match.similarity_pass import Block
from imindex.retrieval.vectors.blocks import Float64, Int64

_TOGETHER = 2**14  # imitations into whose nearest works one is inserted at a time


class NearestWorks:
    """Observer that keeps the k nearest works of each imitation.

    Parameters
    ----------
    columns : ndarray, shape (n,), int64
        The columns whose nearest works are needed.
    k : int
        At least 1.

    Notes
    -----
    A work is inserted only if it is nearer than the k-th work so far; for works in random order, that is about
    k log(W / k) times for each imitation. Memory: 16 n k bytes.
    """

    def __init__(self, columns: Int64, k: int):
        self._columns: Int64 | slice = columns
        if np.array_equal(columns, np.arange(len(columns))):
            self._columns = slice(len(columns))
        self._cosine = np.full((len(columns), k), -np.inf)
        self._work = np.full((len(columns), k), -1)
        self._last = self._cosine[:, -1].copy()

    def add(self, rows: Int64, *seen: Block) -> None:
        """Receive some works. Of equally near works, the one with the lower number ranks first."""
        table = seen[0].similarity[:, self._columns]
        for work, line in zip(rows.tolist(), table, strict=True):
            nearer = np.flatnonzero(line >= self._last)
            for start in range(0, len(nearer), _TOGETHER):
                places = nearer[start : start + _TOGETHER]
                self._insert(work, line[places], places)

    def _insert(self, work: int, cosine: Float64, places: Int64) -> None:
        n, k = len(places), self._work.shape[1]
        before, works = self._cosine[places], self._work[places]
        nearer = (before > cosine[:, None]) | ((before == cosine[:, None]) & (works < work))
        at = nearer.sum(axis=1)[:, None]  # rows are sorted, so this is the position of the work
        moved_cosine, moved_work = np.empty((n, k + 1)), np.empty((n, k + 1), np.int64)
        moved_cosine[:, 1:], moved_work[:, 1:] = before, works
        moved_cosine[:, :-1][nearer], moved_work[:, :-1][nearer] = before[nearer], works[nearer]
        np.put_along_axis(moved_cosine, at, cosine[:, None], axis=1)
        np.put_along_axis(moved_work, at, work, axis=1)
        self._cosine[places], self._work[places] = moved_cosine[:, :k], moved_work[:, :k]
        self._last[places] = moved_cosine[:, k - 1]

    def received(self) -> tuple[Int64, Float64]:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        return self._work, self._cosine

    def absorb(self, received: tuple[Int64, Float64]) -> None:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        work, cosine = received
        k = self._work.shape[1]
        for start in range(0, len(work), _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            works = np.concatenate([self._work[rows], work[rows]], axis=1)
            cosines = np.concatenate([self._cosine[rows], cosine[rows]], axis=1)
            order = np.lexsort((works, -cosines), axis=1)[:, :k]
            self._work[rows] = np.take_along_axis(works, order, axis=1)
            self._cosine[rows] = np.take_along_axis(cosines, order, axis=1)
        self._last = self._cosine[:, -1].copy()

    def finish(self) -> tuple[Int64, Float64]:
        """Return the nearest works, nearest first, and their cosines; ties are ordered by number.

        Returns
        -------
        work : ndarray, shape (n, k), int64
            Padded with -1 if there are fewer than k works.
        cosine : ndarray, shape (n, k), float64
            Padded with -inf.
        """
        return self._work, self._cosine


class ArtistsNearest:
    """Observer that keeps the cosine of each artist's nearest work, for each imitation.

    Parameters
    ----------
    columns : ndarray, shape (n,), int64
        The columns of the imitations that are needed.
    n_artists : int

    Attributes
    ----------
    cosine : ndarray, shape (n, n_artists), float64
        Cosine of the artist's nearest work so far; -inf without works. It takes 8 n n_artists bytes.
    """

    def __init__(self, columns: Int64, n_artists: int):
        self._columns = columns
        self.cosine = np.full((len(columns), n_artists), -np.inf)

    def add(self, rows: Int64, *seen: Block) -> None:
        """Receive some works."""
        (block,) = seen
        for artist, here in block.runs:
            best = block.similarity[here].max(axis=0)[self._columns]
            np.maximum(self.cosine[:, artist], best, out=self.cosine[:, artist])

    def received(self) -> Float64:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        return self.cosine

    def absorb(self, received: Float64) -> None:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        np.maximum(self.cosine, received, out=self.cosine)
