"""Sums of ranks over the compared parts of sets, for two releases: the scores that changes are measured with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imindex.retrieval.match.similarity_pass import Block
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.stats.set_scores import Sets


class SetSums:
    """Sums, over an artist's works, of the ranks of the compared imitations of every set of some releases.

    Parameters
    ----------
    sets : sequence of Sets
        One per release. Imitations are numbered as in the caller's arrays, artists as in the walk.
    artists : sequence of int
        Artists to sum over the works of.

    Notes
    -----
    Memory: 8 bytes for each pair of an artist and a name, for each release and size at which sets are compared.
    """

    def __init__(self, sets: Sequence[Sets], artists: Sequence[int]) -> None:
        self.sets = tuple(sets)
        self._artists = {artist: place for place, artist in enumerate(artists)}
        self._n_works = np.zeros(len(artists), np.int64)
        self._columns: list[Int64] = []
        self._n_ranked: list[int] = []
        self._sums = [
            {size: np.zeros((len(artists), len(of.sizes)), np.int64) for size in of.compared_sizes}
            for of in sets
        ]

    def add(self, artist: int, here: slice, blocks: Sequence[Block]) -> None:
        """Receive some works of an artist: the rows `here` of the blocks of all releases."""
        if not self._columns:
            self._columns = [
                block.columns.places()[of.order] for block, of in zip(blocks, self.sets, strict=True)
            ]
            self._n_ranked = [len(block.columns.order) for block in blocks]
        place = self._artists.get(artist)
        if place is None:
            return
        for block, of, columns, sums in zip(blocks, self.sets, self._columns, self._sums, strict=True):
            totals = block.midrank[here].sum(axis=0, dtype=np.int64)[columns]
            for size, table in sums.items():
                large = np.flatnonzero(of.n_imitations[of.present] >= size)
                bounds = np.stack([of.starts[large], of.starts[large] + size], axis=1).ravel()
                padded = np.append(totals, 0)  # the last set may end where the columns end
                table[place, of.present[large]] += np.add.reduceat(padded, bounds)[::2]
        self._n_works[place] += here.stop - here.start

    def auc(self, release: int, size: int) -> Float64:
        """Return the AUC of every set for every artist, at one size.

        Parameters
        ----------
        release : int
            Position of the release.
        size : int
            One of its `Sets.compared_sizes`.

        Returns
        -------
        ndarray, shape (artists, names), float64
            Probability that an imitation of the set is nearer to a work of the artist than one that is not compared
            with it, of this release; ties count one half. NaN where the set is smaller, or there are no others.
        """
        n_ranked, of = self._n_ranked[release], self.sets[release]
        rank = self._sums[release][size] / (2 * size * np.maximum(self._n_works, 1)[:, None])
        known = (of.n_imitations >= size)[None] & (self._n_works > 0)[:, None] & (n_ranked > size)
        return np.where(known, (rank - (size + 1) / 2) / max(1, n_ranked - size), np.nan)
