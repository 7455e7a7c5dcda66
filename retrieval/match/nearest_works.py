"""The nearest works of each imitation, and of each artist, while the product streams by."""

from __future__ import annotations

import numpy as np

from imindex.retrieval.match.similarity_pass import Block
from imindex.retrieval.vectors.blocks import Float64, Int64


class NearestWorks:
    """Keeps the k nearest works of each imitation: an observer of `imindex.retrieval.match.similarity_pass`.

    Parameters
    ----------
    columns : ndarray, shape (n,), int64
        The columns of the blocks whose nearest works are wanted.
    k : int
        At least 1.

    Notes
    -----
    Each work is inserted where it is nearer than the k-th so far: in any order of works about k log(W / k) times for
    an imitation, not W times. Memory: 16 n k bytes.
    """

    def __init__(self, columns: Int64, k: int):
        self._columns: Int64 | slice = columns
        if np.array_equal(columns, np.arange(len(columns))):
            self._columns = slice(len(columns))
        self._cosine = np.full((len(columns), k), -np.inf)
        self._work = np.full((len(columns), k), -1)
        self._last = self._cosine[:, -1].copy()

    def add(self, rows: Int64, *seen: Block) -> None:
        """See some works; of equally near ones the lower of `rows` counts as nearer."""
        table = seen[0].similarity[:, self._columns]
        for work, line in zip(rows.tolist(), table, strict=True):
            places = np.flatnonzero(line >= self._last)
            if len(places):
                self._insert(work, line[places], places)

    def _insert(self, work: int, cosine: Float64, places: Int64) -> None:
        n, k = len(places), self._work.shape[1]
        before, works = self._cosine[places], self._work[places]
        nearer = (before > cosine[:, None]) | ((before == cosine[:, None]) & (works < work))
        at = nearer.sum(axis=1)[:, None]  # each row is ordered, so this is where the work belongs
        moved_cosine, moved_work = np.empty((n, k + 1)), np.empty((n, k + 1), np.int64)
        moved_cosine[:, 1:], moved_work[:, 1:] = before, works
        moved_cosine[:, :-1][nearer], moved_work[:, :-1][nearer] = before[nearer], works[nearer]
        np.put_along_axis(moved_cosine, at, cosine[:, None], axis=1)
        np.put_along_axis(moved_work, at, work, axis=1)
        self._cosine[places], self._work[places] = moved_cosine[:, :k], moved_work[:, :k]
        self._last[places] = moved_cosine[:, k - 1]

    def finish(self) -> tuple[Int64, Float64]:
        """Return the nearest works and their cosines, the nearest first; of equal ones the lowest number.

        Returns
        -------
        work : ndarray, shape (n, k), int64
            -1 where there are fewer than k works.
        cosine : ndarray, shape (n, k), float64
            -inf there.
        """
        return self._work, self._cosine


class ArtistsNearest:
    """Keeps each artist's nearest work for each imitation: an observer of `imindex.retrieval.match.similarity_pass`.

    Parameters
    ----------
    columns : ndarray, shape (n,), int64
        The columns of the blocks that are wanted.
    n_artists : int

    Attributes
    ----------
    cosine : ndarray, shape (n, n_artists), float64
        Of the artist's nearest work so far; -inf without works. Memory: this table.
    """

    def __init__(self, columns: Int64, n_artists: int):
        self._columns = columns
        self.cosine = np.full((len(columns), n_artists), -np.inf)

    def add(self, rows: Int64, *seen: Block) -> None:
        """See some works."""
        (block,) = seen
        for artist, here in block.runs:
            best = block.similarity[here].max(axis=0)[self._columns]
            np.maximum(self.cosine[:, artist], best, out=self.cosine[:, artist])
