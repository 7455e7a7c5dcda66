"""Observers of a walk for the tests of a release: control floors and kernel two-sample tests."""

from __future__ import annotations

import numpy as np

from imindex.retrieval.match.among_works import AmongWorks
from imindex.retrieval.match.similarity_pass import Block
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.similarity import Widened
from imindex.stats.mmd import mmd_test, rbf_kernel_from_similarity

MMD_RESAMPLES = 999
MMD_PICTURES = 2_000
"""Of more works of an artist, those are used that works are compared with; of more imitations, this many."""


class ControlFloor:
    """Observer that ranks control pictures among the imitations of a release.

    Parameters
    ----------
    works : ndarray, shape (W, d), float16, unit norm
    work_artist : ndarray, shape (W,), int64
    control : ndarray, shape (c, d), float16, unit norm
        At least one.
    n_artists : int
    """

    def __init__(self, works: Float16, work_artist: Int64, control: Float16, n_artists: int):
        self._works, self._work_artist, self._n_artists = works, work_artist, n_artists
        self._control = Widened(control)
        self._near = np.full(len(works), np.nan)

    def add(self, rows: Int64, *seen: Block) -> None:
        """Receive some works."""
        (block,) = seen
        ordered = block.ordered if block.columns.csls_k is None else np.sort(block.similarity, axis=1)
        control = self._control.product(self._works[rows].astype(np.float64))
        places = [
            line.searchsorted(values, "left") + line.searchsorted(values, "right")
            for line, values in zip(ordered, control, strict=True)
        ]
        self._near[rows] = np.array(places).mean(axis=1) / (2 * ordered.shape[1])

    def received(self) -> Float64:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        return self._near

    def absorb(self, received: Float64) -> None:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        here = ~np.isnan(received)
        self._near[here] = received[here]

    def finish(self) -> Float64:
        """Return the mean rank percentile of the control pictures for each artist's works, shape (n_artists,)."""
        floor = np.full(self._n_artists, np.nan)
        for artist in np.unique(self._work_artist).tolist():
            floor[artist] = self._near[self._work_artist == artist].mean()
        return floor


class Differences:
    """Observer that tests whether each artist's works and own imitations have the same distribution.

    The kernel of an artist combines the similarities between its works, between its works and its imitations, and
    between its imitations. Only the last of these are computed here.

    Parameters
    ----------
    works : AmongWorks
    chosen : ndarray, shape (W,), int64
        The works that are observed, by their numbers in `works`. The observer numbers them by their position here.
    work_artist : ndarray, shape (W,), int64
    n_resamples : int
    random : list of numpy.random.Generator
        One generator per artist.

    Notes
    -----
    An artist is tested as soon as all of its works have been received. Memory: the kernel of one artist, of at most
    `MMD_PICTURES` works and as many imitations, evenly spaced.
    """

    def __init__(
        self,
        works: AmongWorks,
        chosen: Int64,
        work_artist: Int64,
        n_resamples: int,
        random: list[np.random.Generator],
    ):
        self._works, self._chosen, self._work_artist = works, chosen, work_artist
        self._n_resamples, self._random = min(n_resamples, MMD_RESAMPLES), random
        self._n_works = np.bincount(work_artist, minlength=len(random))
        self._n_seen = np.zeros(len(random), np.int64)
        self._seen: dict[int, list[tuple[Int64, Float64]]] = {}
        self._pvalue = np.full(len(random), np.nan)

    def add(self, rows: Int64, *seen: Block) -> None:
        """Receive some works."""
        (block,) = seen
        for artist, here in block.runs:
            own = block.columns.own(artist)
            n_own = own.stop - own.start
            if min(self._n_works[artist], n_own) < 2:
                continue
            columns: slice | Int64 = own
            if n_own > MMD_PICTURES:
                columns = own.start + np.arange(MMD_PICTURES) * n_own // MMD_PICTURES
            works = rows[here]
            used = np.ones(len(works), np.bool_)
            if self._n_works[artist] > MMD_PICTURES:
                used = np.isin(self._chosen[works], self._works.rows(artist))
            parts = self._seen.setdefault(artist, [])
            parts.append((works[used], block.similarity[here][:, columns][used].copy()))
            self._n_seen[artist] += len(works)
            if self._n_seen[artist] == self._n_works[artist]:
                self._test(artist, block.columns.vectors[columns])
                del self._seen[artist]

    def received(self) -> Float64:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        return self._pvalue

    def absorb(self, received: Float64) -> None:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        here = ~np.isnan(received)
        self._pvalue[here] = received[here]

    def _test(self, artist: int, imitations: Float16) -> None:
        rows = np.concatenate([numbers for numbers, _ in self._seen[artist]])
        across = np.concatenate([table for _, table in self._seen[artist]])[np.argsort(rows)]
        positions = self._chosen[np.sort(rows)]
        n, total = len(rows), len(rows) + len(imitations)
        if n < 2:  # with very many artists, works of some are not drawn
            return
        similarity = np.empty((total, total))
        similarity[:n, :n] = self._works.similarity(artist, positions, positions)
        similarity[:n, n:], similarity[n:, :n] = across, across.T
        similarity[n:, n:] = Widened(imitations).product(imitations.astype(np.float64))
        test = mmd_test(
            rbf_kernel_from_similarity(similarity),
            n,
            n_resamples=self._n_resamples,
            rng=self._random[artist],
        )
        self._pvalue[artist] = test.pvalue

    def finish(self) -> Float64:
        """Return the p-values, shape (A,); NaN with fewer than two works or imitations."""
        return self._pvalue
