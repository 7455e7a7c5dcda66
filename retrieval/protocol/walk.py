"""One walk over the similarities of all works, and everything that the figures of an encoder need from it.

The works of one artist are compared with all works at a time; no table of all pairs is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.similarity import Widened
from imindex.stats.retrieval_scores import query_precision

FINE, COARSE = 2**16, 2**11
"""Bins of the histograms of all pairs, and of those of one artist."""
NEIGHBOURS = 5
"""Number of the nearest works of an artist whose mean similarity is the score of that artist, as in conformal sets."""
BLOCK_BYTES = 32 * 2**20
_SAMPLE = 256
_TIE = 1e-12


@dataclass(frozen=True, eq=False)
class Walked:
    """Result of `walk` for W works of A artists.

    Attributes
    ----------
    average_precision : ndarray, shape (A,), float64
        Mean over the works of each artist.
    taken : ndarray, shape (A,), float64
        How much the works of each artist, in the gallery, take from the average precision of the others (first order).
    neighbour : ndarray, shape (W, m), int64
        The nearest other works of each work, nearest first. Of equally near ones, works by other artists come first.
    same, different : ndarray, shape (A, COARSE), float64
        Histograms of the pairs of each artist, as `imindex.stats.verification.without_each` takes them.
    all_same, all_different : ndarray, shape (FINE,), float64
        The same of all artists.
    half_same, half_different : ndarray, shape (R, 2, FINE), float64
        The same among the artists of each half, for each split.
    low, high : float
        Ends of the range of the histograms.
    score : ndarray, shape (W, A), float32
        Mean similarity of each work to its `NEIGHBOURS` nearest works of each artist, without itself.
    covered : ndarray, shape (W,), bool
        Whether the conformal set of each work has its artist.
    set_size : ndarray, shape (W,), int64
        Number of artists in the conformal set of each work.
    entered : ndarray, shape (A,), float64
        Share of works, each artist weighing the same, whose conformal set has each artist.
    """

    average_precision: Float64
    taken: Float64
    neighbour: Int64
    same: Float64
    different: Float64
    all_same: Float64
    all_different: Float64
    half_same: Float64
    half_different: Float64
    low: float
    high: float
    score: npt.NDArray[np.float32]
    covered: npt.NDArray[np.bool_]
    set_size: Int64
    entered: Float64


def walk(
    works: Float16,
    n_works: Int64,
    half: npt.NDArray[np.bool_],
    *,
    k: int = 10,
    confidence_level: float = 0.95,
) -> Walked:
    """Compare all works with all others.

    Parameters
    ----------
    works : ndarray, shape (W, d), float16, unit norm
        In the order of their artists.
    n_works : ndarray, shape (A,), int64
        Number of works of each artist, at least 2.
    half : ndarray, shape (R, A), bool
        Splits of the artists into two halves, of at least 2 each.
    k : int
        Number of nearest works that figures need.
    confidence_level : float
        Of the conformal sets.

    Returns
    -------
    Walked

    Notes
    -----
    Similarities are exact. The conformal sets are those of `imindex.stats.conformal.conformal_attribution` for each
    work against all others. Memory: `BLOCK_BYTES` a few times, 8 W (k + most works of an artist), 4 W A and
    16 A COARSE bytes.
    """
    state = _Walk(works, n_works, half, k, confidence_level)
    for artist in range(len(n_works)):
        state.see(artist)
    return state.finish()


class _Walk:
    def __init__(
        self, works: Float16, n_works: Int64, half: npt.NDArray[np.bool_], k: int, confidence_level: float
    ):
        n, n_artists = len(works), len(n_works)
        self.works, self.n_works, self.half, self.level = works, n_works, half, confidence_level
        self.starts = np.cumsum(n_works) - n_works
        self.artist = np.repeat(np.arange(n_artists), n_works)
        self.wide = Widened(works)
        self.m = min(n - 1, k + max(k, int(n_works.max())))
        self.average_precision, self.taken = np.zeros((2, n_artists))
        self.neighbour = np.empty((n, self.m), np.int64)
        self.same, self.different = np.zeros((2, n_artists, COARSE))
        self.all_same, self.all_different = np.zeros((2, FINE))
        self.half_same, self.half_different = np.zeros((2, len(half), 2, FINE))
        self.score = np.empty((n, n_artists), np.float32)
        self.covered = np.empty(n, np.bool_)
        self.set_size = np.empty(n, np.int64)
        self.entered = np.zeros(n_artists)
        self._find_range()
        self.sum_before, self.last = np.empty((2, n))
        self.own_score = np.empty(n)
        for artist in range(n_artists):
            self._score_own(artist)
        self.columns = [
            (artists, (self.starts[artists][:, None] + np.arange(size)))
            for size in np.unique(n_works)
            for artists in [np.flatnonzero(n_works == size)]
        ]

    def _rows(self, artist: int) -> slice:
        return slice(int(self.starts[artist]), int(self.starts[artist] + self.n_works[artist]))

    def _find_range(self) -> None:
        """Set the range of the bins to that of a sample of works and all others; what is beyond goes to the ends."""
        n = len(self.works)
        sample = np.arange(min(n, _SAMPLE)) * n // min(n, _SAMPLE)
        block = self.wide.product(self.works[sample].astype(np.float64))
        block[np.arange(len(sample)), sample] = block[0, 1 if sample[0] == 0 else 0]
        low, high = float(block.min()), float(block.max())
        margin = (high - low) / 16 + 1e-6
        self.low, self.scale = low - margin, FINE / (high - low + 2 * margin)

    def _bins(self, similarity: Float64) -> Int64:
        return ((similarity - self.low) * self.scale).astype(np.int64).clip(0, FINE - 1)

    def _score_own(self, artist: int) -> None:
        """Compute how each work fits the others of its artist, and what a further picture would change in that."""
        rows = self._rows(artist)
        n = int(self.n_works[artist])
        for some in blocks(n, n, BLOCK_BYTES):
            here = slice(rows.start + some.start, rows.start + some.stop)
            own = self.wide.product(self.works[here].astype(np.float64), rows)
            own[np.arange(len(own)), np.arange(some.start, some.stop)] = -np.inf
            own = np.sort(own, axis=1)[:, 1:]  # without the work itself
            k = min(NEIGHBOURS, n)  # others of each picture, if there is one more
            least = own.shape[1] - k
            self.last[here] = own[:, least] if least >= 0 else -np.inf
            self.sum_before[here] = own[:, least + 1 :].sum(axis=1) if least >= 0 else own.sum(axis=1)
            self.own_score[here] = own[:, -min(NEIGHBOURS, n - 1) :].mean(axis=1)

    def see(self, artist: int) -> None:
        rows = self._rows(artist)
        n, n_all = int(self.n_works[artist]), len(self.works)
        other = np.ones(n_all, np.bool_)
        other[rows] = False
        elsewhere = self.artist[other]
        weights = 1 / (n * self.n_works[elsewhere])
        with_it = self.half == self.half[:, [artist]]
        same, different = np.zeros(FINE), np.zeros(FINE)
        for some in blocks(n, n_all, BLOCK_BYTES):
            here = np.arange(rows.start + some.start, rows.start + some.stop)
            block = self.wide.product(self.works[here].astype(np.float64))
            lines = np.arange(len(here))
            keep = np.ones((len(here), n), np.bool_)
            keep[lines, here - rows.start] = False
            own = block[:, rows][keep].reshape(len(here), n - 1)
            others = block[:, other]
            self._precision(artist, own, others, elsewhere)
            self._nearest(here, block, rows)
            self._classify(artist, here, block)
            same += np.bincount(self._bins(own).ravel(), minlength=FINE) / (n * (n - 1))
            bins = self._bins(others).ravel()
            different += np.bincount(bins, np.tile(weights, len(here)), FINE)
            for split, half in enumerate(self.half):
                weighted = np.tile(weights * with_it[split, elsewhere], len(here))
                self.half_different[split, int(half[artist])] += np.bincount(bins, weighted, FINE)
        for split, half in enumerate(self.half):
            self.half_same[split, int(half[artist])] += same
        self.all_same += same
        self.all_different += different
        self.same[artist] = same.reshape(COARSE, -1).sum(axis=1)
        self.different[artist] = different.reshape(COARSE, -1).sum(axis=1)

    def _precision(self, artist: int, own: Float64, others: Float64, elsewhere: Int64) -> None:
        n = int(self.n_works[artist])
        for relevant, rest in zip(own, others, strict=True):
            one = query_precision(relevant, rest, elsewhere, len(self.n_works))
            self.average_precision[artist] += one.average_precision / n
            self.taken += one.taken / n

    def _nearest(self, here: Int64, block: Float64, rows: slice) -> None:
        lines = np.arange(len(here))
        held = block[lines, here]
        block[lines, here] = -np.inf
        chosen = np.argpartition(-block, self.m - 1, axis=1)[:, : self.m]
        similarity = np.take_along_axis(block, chosen, axis=1)
        block[lines, here] = held
        own = (chosen >= rows.start) & (chosen < rows.stop)
        order = np.lexsort((chosen, own, -similarity), axis=1)
        self.neighbour[here] = np.take_along_axis(chosen, order, axis=1)

    def _classify(self, artist: int, here: Int64, block: Float64) -> None:
        allowed = 1 - self.level
        size = np.zeros(len(here), np.int64)
        for artists, columns in self.columns:
            n = columns.shape[1]
            k = min(NEIGHBOURS, n)
            for group in _grouped(len(artists), len(here) * n):
                chosen = columns[group]
                mine = block[:, chosen.ravel()].reshape(len(here), *chosen.shape)
                score = np.partition(mine, n - k, axis=2)[:, :, n - k :]
                score = np.sort(score, axis=2).mean(axis=2)
                self.score[here[:, None], artists[group]] = score
                fits = (self.sum_before[chosen] + np.maximum(self.last[chosen], mine)) / k
                tie = _TIE * np.maximum(1.0, np.abs(score))[..., None]
                no_better = 1 + (fits <= score[..., None] + tie).sum(axis=2)
                inside = no_better > allowed * (n + 1) * (1 + _TIE)
                inside &= artists[group] != artist
                size += inside.sum(axis=1)
                self.entered[artists[group]] += inside.sum(axis=0) / self.n_works[artist]
        rows = self._rows(artist)
        own, mine = self.own_score[here], self.own_score[rows]
        self.score[here, artist] = own
        no_better = (mine <= own[:, None] + _TIE * np.maximum(1.0, np.abs(own))[:, None]).sum(axis=1)
        covered = no_better > allowed * len(mine) * (1 + _TIE)
        self.covered[here] = covered
        self.entered[artist] += covered.sum() / self.n_works[artist]
        self.set_size[here] = size + covered

    def finish(self) -> Walked:
        return Walked(
            average_precision=self.average_precision,
            taken=self.taken,
            neighbour=self.neighbour,
            same=self.same,
            different=self.different,
            all_same=self.all_same,
            all_different=self.all_different,
            half_same=self.half_same,
            half_different=self.half_different,
            low=self.low,
            high=self.low + FINE / self.scale,
            score=self.score,
            covered=self.covered,
            set_size=self.set_size,
            entered=self.entered / len(self.n_works),
        )


def _grouped(n: int, size: int) -> Iterator[slice]:
    """Divide n artists into slices whose (rows, artists, works) block of float64 fits in `BLOCK_BYTES`."""
    return blocks(n, size, BLOCK_BYTES)
