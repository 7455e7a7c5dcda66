"""Walk the product of works and imitations once, and let everybody who needs it watch.

The product costs W x M x d operations, and ranking a row of it costs as much again. Ranks, nearest works, galleries,
control floors and comparisons of releases all need the same numbers, so they are observers of one pass:

1. `Columns` puts the imitations of a release in the order of their artists, so that each artist's set is a slice.
2. `walk` computes the exact similarities of some works to all imitations, block by block, and hands each `Block` to
   the observers. The order of a block's rows is found when the first observer asks for it, and shared by all.
3. Each observer sums up what it needs. None may hold the whole product.

Memory is bounded by the limits of `walk`, whatever the numbers of works and imitations; an observer's own memory is
its own affair, and is stated where it is defined.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import stats

from imindex.indexer.system.cpu import processors, products_alone
from imindex.retrieval.vectors.blocks import BLOCK_BYTES, LIMIT_BYTES, Float16, Float64, Int32, Int64, blocks
from imindex.retrieval.vectors.row_ranks import ranks_of_sorted, sorted_rows
from imindex.retrieval.vectors.similarity import Widened, exact_integers


@dataclass(frozen=True)
class Limits:
    """How much memory a walk takes. They change no bit of any result.

    Attributes
    ----------
    product_bytes : int
        Similarities that are multiplied at a time; at least one work's.
    block_bytes : int
        Similarities that are handed to the observers at a time; at least one work's.
    wide_bytes : int
        Imitations that are held as float64.
    """

    product_bytes: int = 128 * 2**20
    block_bytes: int = BLOCK_BYTES
    wide_bytes: int = LIMIT_BYTES


@dataclass(frozen=True, eq=False)
class Columns:
    """The imitations of one release, in the order of their artists.

    Attributes
    ----------
    vectors : ndarray, shape (M, d), float16, unit norm
    order : ndarray, shape (M,), int64
        Which imitation, by the caller's number, each column is. Within an artist's set, ascending.
    starts, counts : ndarray, shape (A,), int64
        The set of artist `a` is ``starts[a] : starts[a] + counts[a]``.
    csls_k : int or None
        Imitations are ordered by ``2 csls_k cos - penalty`` in whole numbers of 2**-48; by the cosine, if None.
    penalties : ndarray, shape (M,), int64
    """

    vectors: Float16
    order: Int64
    starts: Int64
    counts: Int64
    csls_k: int | None
    penalties: Int64

    @classmethod
    def of(
        cls,
        imitations: Float16,
        imitation_artist: Int64,
        n_artists: int,
        *,
        csls_k: int | None = None,
        penalties: Int64 | None = None,
    ) -> Columns:
        """Put imitations in the order of their artists; arguments are checked by the caller."""
        order = np.argsort(imitation_artist, kind="stable")
        counts = np.bincount(imitation_artist, minlength=n_artists)
        if penalties is None:
            penalties = np.zeros(len(order), np.int64)
        return cls(imitations[order], order, np.cumsum(counts) - counts, counts, csls_k, penalties[order])

    def own(self, artist: int) -> slice:
        """The columns of an artist's set."""
        return slice(int(self.starts[artist]), int(self.starts[artist] + self.counts[artist]))

    def places(self) -> Int64:
        """The column of each imitation, shape (M,): the inverse of `order`."""
        return np.argsort(self.order)


class Block:
    """The exact similarities of some works to all imitations of one release.

    Attributes
    ----------
    artist : ndarray, shape (r,), int64
        The artist of each work. Works of one artist stand together.
    similarity : ndarray, shape (r, M), float64
        Read-only, as all arrays here. Columns are those of `columns`.
    columns : Columns
    """

    def __init__(
        self, artist: Int64, similarity: Float64, columns: Columns, pool: ThreadPoolExecutor | None = None
    ):
        similarity.flags.writeable = False
        self.artist = artist
        self.similarity = similarity
        self.columns = columns
        self._pool = pool

    @functools.cached_property
    def scores(self) -> npt.NDArray[Any]:
        """What decides the order, shape (r, M): the exact cosines, or the exact whole numbers of CSLS."""
        if self.columns.csls_k is None:
            return self.similarity
        return 2 * self.columns.csls_k * exact_integers(self.similarity) - self.columns.penalties

    @functools.cached_property
    def _sorted(self) -> tuple[Int64, npt.NDArray[Any], Int32, Int32]:
        """Order, ordered scores, ranks and midranks; rows are shared out among threads."""
        scores = self.scores

        def find(some: slice) -> tuple[Int64, npt.NDArray[Any], Int32, Int32]:
            order, ordered = sorted_rows(scores[some])
            return order, ordered, *ranks_of_sorted(order, ordered)

        if self._pool is None or len(scores) < 2 or scores.size < 2**16:
            return find(slice(None))
        n = min(len(scores), processors())
        cuts = [slice(len(scores) * i // n, len(scores) * (i + 1) // n) for i in range(n)]
        parts = zip(*self._pool.map(find, cuts), strict=True)
        return tuple(np.concatenate(part) for part in parts)  # type: ignore[return-value]

    @property
    def ordered(self) -> npt.NDArray[Any]:
        """The scores of each row, ascending, shape (r, M)."""
        return self._sorted[1]

    @property
    def rank(self) -> Int32:
        """How many imitations score at least as high, shape (r, M): 1 is the nearest."""
        return self._sorted[2]

    @property
    def midrank(self) -> Int32:
        """Twice the rank from below, ties at their mean rank, shape (r, M)."""
        return self._sorted[3]

    @functools.cached_property
    def runs(self) -> list[tuple[int, slice]]:
        """Each artist, and the rows of this block that are its works."""
        cuts = [0, *(np.flatnonzero(np.diff(self.artist)) + 1).tolist(), len(self.artist)]
        return [(int(self.artist[start]), slice(start, stop)) for start, stop in itertools.pairwise(cuts)]

    @functools.cached_property
    def further(self) -> dict[int, Int64]:
        """Of each artist with imitations here: twice how many of the others' are further, ties one half.

        Returns
        -------
        dict of int to ndarray, shape (r, n), int64
            For the artist's works in this block, and its own imitations in the order of their columns.
        """
        found = {}
        for artist, rows in self.runs:
            if self.columns.counts[artist]:
                own = self.midrank[rows, self.columns.own(artist)].astype(np.int64)
                found[artist] = own - twice_midranks_in_rows(own)
        return found


def twice_midranks_in_rows(scores: npt.NDArray[Any]) -> Int64:
    """Twice the midrank from below within each row."""
    twice: Float64 = np.rint(2 * stats.rankdata(scores, axis=1))
    return twice.astype(np.int64)


class Observer(Protocol):
    """Somebody who watches a pass."""

    def add(self, rows: Int64, *seen: Block) -> None:
        """See some works.

        Parameters
        ----------
        rows : ndarray, shape (r,), int64
            Which works, by the observer's own numbers. Each comes once; works of one artist come together.
        *seen : Block
            Their similarities to each release that the observer watches.
        """


@dataclass(frozen=True, eq=False)
class Watch:
    """What an observer is shown.

    Attributes
    ----------
    observer : Observer
    releases : tuple of int
        Which releases, by their places in `walk`; a block of each is handed over.
    numbers : ndarray, shape (W,), int64
        The observer's number of each work; -1 for works that it does not see.
    """

    observer: Observer
    releases: tuple[int, ...]
    numbers: Int64


def walk(
    works: Float16,
    work_artist: Int64,
    releases: Sequence[Columns],
    watches: Sequence[Watch],
    *,
    sequence: Int64 | None = None,
    limits: Limits | None = None,
) -> None:
    """Compute the similarities of works to the imitations of some releases once, for all observers.

    Parameters
    ----------
    works : ndarray, shape (W, d), float16, unit norm
    work_artist : ndarray, shape (W,), int64
    releases : sequence of Columns
        Of the same dimension; checked by the caller, as the works are.
    watches : sequence of Watch
    sequence : ndarray, shape (W,), int64, optional
        Works of one artist come in ascending order of these numbers; by default in their own order.
    limits : Limits, optional

    Notes
    -----
    Works that the same observers see come together, and among them works of one artist. A pair that nobody watches
    is not multiplied.
    """
    limits = limits or Limits()
    seen = np.stack([watch.numbers >= 0 for watch in watches], axis=1)
    groups, group = np.unique(seen, axis=0, return_inverse=True)
    n_columns = sum(len(one.order) for one in releases)
    fits = 8 * sum(one.vectors.size for one in releases) <= limits.wide_bytes
    wide = [Widened(one.vectors, limits.wide_bytes, keep=fits) for one in releases]
    with products_alone(), ThreadPoolExecutor(processors()) as pool:
        for number, who in enumerate(groups):
            watching = [watch for watch, sees in zip(watches, who, strict=True) if sees]
            needed = sorted({release for watch in watching for release in watch.releases})
            rows = np.flatnonzero(group.ravel() == number)
            rows = rows[np.lexsort((rows if sequence is None else sequence[rows], work_artist[rows]))]
            together = max(limits.product_bytes, limits.block_bytes)
            for many in blocks(len(rows) if needed else 0, n_columns, together):
                top = works[rows[many]].astype(np.float64)
                products = {release: wide[release].product(top, pool=pool) for release in needed}
                for few in blocks(len(top), n_columns, limits.block_bytes):
                    here = rows[many][few]
                    shown = {
                        release: Block(work_artist[here], products[release][few], releases[release], pool)
                        for release in needed
                    }
                    for watch in watching:
                        watch.observer.add(watch.numbers[here], *(shown[r] for r in watch.releases))
                    del shown
                del products
