"""Compute the product of works and imitations once, for all observers that need it.

The product takes W x M x d operations, and ranking its rows takes as long again. Ranks, nearest works, galleries,
control floors and comparisons of releases all need the same numbers, so they observe one pass:

1. `Columns` sorts the imitations of a release by artist, so that the set of each artist is a slice.
2. `walk` computes exact similarities of works to all imitations, block by block, and passes each `Block` to the
   observers. A block sorts its rows when the first observer needs the ranks, and shares them with the others.
3. Each observer accumulates what it needs. No observer holds the whole product.

The memory of a walk is bounded by its `Limits`, for any number of works and imitations. Each observer documents the
memory that it takes itself.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy

from imindex.indexer.system.cpu import processors, products_alone
from imindex.retrieval.vectors.blocks import BLOCK_BYTES, Float16, Float64, Int32, Int64, blocks
from imindex.retrieval.vectors.row_ranks import ranks_of_sorted, sorted_rows
from imindex.retrieval.vectors.similarity import Widened, exact_integers


@dataclass(frozen=True)
class Limits:
    """Bounds on the memory of a walk. Results do not depend on them.

    Attributes
    ----------
    product_bytes : int
        Size of the similarities that are computed at a time, at least those of one work.
    block_bytes : int
        Size of the similarities that are passed to the observers at a time, at least those of one work.
    wide_bytes : int
        Size of the imitations that are held as float64.
    """

    product_bytes: int = 128 * 2**20
    block_bytes: int = BLOCK_BYTES
    wide_bytes: int = 128 * 2**20


@dataclass(frozen=True, eq=False)
class Columns:
    """The imitations of one release, sorted by artist.

    Attributes
    ----------
    vectors : ndarray, shape (M, d), float16, unit norm
    order : ndarray, shape (M,), int64
        The caller's number of the imitation in each column, ascending within an artist's set.
    starts, counts : ndarray, shape (A,), int64
        The set of artist `a` is ``starts[a] : starts[a] + counts[a]``.
    csls_k : int or None
        If given, imitations are ranked by ``2 csls_k cos - penalty``, in integer multiples of 2**-48; otherwise by the
        cosine.
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
        """Sort imitations by artist. The arguments must have been validated."""
        order = np.argsort(imitation_artist, kind="stable")
        counts = np.bincount(imitation_artist, minlength=n_artists)
        if penalties is None:
            penalties = np.zeros(len(order), np.int64)
        return cls(imitations[order], order, np.cumsum(counts) - counts, counts, csls_k, penalties[order])

    def own(self, artist: int) -> slice:
        """Return the columns of an artist's set."""
        return slice(int(self.starts[artist]), int(self.starts[artist] + self.counts[artist]))

    def places(self) -> Int64:
        """Return the column of each imitation, shape (M,): the inverse of `order`."""
        return np.argsort(self.order)


class Block:
    """Exact similarities of some works to all imitations of one release.

    All arrays are shared between the observers, and must not be modified.

    Attributes
    ----------
    artist : ndarray, shape (r,), int64
        The artist of each work. Works of the same artist are adjacent.
    similarity : ndarray, shape (r, M), float64
        In the order of `columns`.
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
        """Scores by which imitations are ranked, shape (r, M): exact cosines, or exact integers for CSLS."""
        if self.columns.csls_k is None:
            return self.similarity
        return 2 * self.columns.csls_k * exact_integers(self.similarity) - self.columns.penalties

    @functools.cached_property
    def _sorted(self) -> tuple[Int64, npt.NDArray[Any], Int32, Int32]:
        """Order, sorted scores, ranks and midranks. The threads of the pool share the rows."""
        scores = self.scores

        def rank(rows: slice) -> tuple[Int64, npt.NDArray[Any], Int32, Int32]:
            order, ordered = sorted_rows(scores[rows])
            return order, ordered, *ranks_of_sorted(order, ordered)

        if self._pool is None or len(scores) < 2 or scores.size < 2**16:
            return rank(slice(None))
        n = min(len(scores), processors())
        cuts = [slice(len(scores) * i // n, len(scores) * (i + 1) // n) for i in range(n)]
        parts = zip(*self._pool.map(rank, cuts), strict=True)
        return tuple(np.concatenate(part) for part in parts)  # type: ignore[return-value]

    @property
    def ordered(self) -> npt.NDArray[Any]:
        """The scores of each work in ascending order, shape (r, M)."""
        return self._sorted[1]

    @property
    def rank(self) -> Int32:
        """Number of imitations with at least the same score, shape (r, M): the nearest has 1."""
        return self._sorted[2]

    @property
    def midrank(self) -> Int32:
        """Twice the rank from below, with mean ranks for ties, shape (r, M)."""
        return self._sorted[3]

    @functools.cached_property
    def runs(self) -> list[tuple[int, slice]]:
        """Each artist with works in this block, and the rows of these works."""
        cuts = [0, *(np.flatnonzero(np.diff(self.artist)) + 1).tolist(), len(self.artist)]
        return [(int(self.artist[start]), slice(start, stop)) for start, stop in itertools.pairwise(cuts)]

    @functools.cached_property
    def further(self) -> dict[int, Int64]:
        """Twice the number of other artists' imitations that are further than each own imitation, ties counting half.

        Returns
        -------
        dict of int to ndarray, shape (r, n), int64
            By artist with imitations: its works in this block by its imitations, in the order of `columns`.
        """
        twice = {}
        for artist, rows in self.runs:
            if self.columns.counts[artist]:
                own = self.midrank[rows, self.columns.own(artist)].astype(np.int64)
                twice[artist] = own - twice_midranks_in_rows(own)
        return twice


def twice_midranks_in_rows(scores: npt.NDArray[Any]) -> Int64:
    """Return twice the midrank from below within each row."""
    twice: Float64 = np.rint(2 * scipy.stats.rankdata(scores, axis=1))
    return twice.astype(np.int64)


class Observer(Protocol):
    """Receives the blocks of a walk."""

    def add(self, rows: Int64, *seen: Block) -> None:
        """Receive the similarities of some works.

        Parameters
        ----------
        rows : ndarray, shape (r,), int64
            Numbers of the works, as in `Watch.numbers`. In a walk each work comes once, and the works of an artist come
            one after the other.
        *seen : Block
            One block for each release that the observer watches.
        """


class Mergeable(Observer, Protocol):
    """An observer whose works several processes can share: each walks some of them.

    The works of an artist must go to one process. What the processes have received is then absorbed by one observer, in
    any order, which is left as if it had received all works itself.
    """

    def received(self) -> Any:
        """Return what was received so far, as arrays, without what the observer was made with."""

    def absorb(self, received: Any) -> None:
        """Add what another observer, made in the same way, has received: of other works."""


@dataclass(frozen=True, eq=False)
class Watch:
    """What an observer receives.

    Attributes
    ----------
    observer : Observer
    releases : tuple of int
        Positions, among the releases of the walk, of those whose blocks it receives.
    numbers : ndarray, shape (W,), int64
        The number under which the observer knows each work; -1 for works that it does not receive.
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
    """Compute the similarities of works to the imitations of some releases, once for all observers.

    Parameters
    ----------
    works : ndarray, shape (W, d), float16, unit norm
    work_artist : ndarray, shape (W,), int64
    releases : sequence of Columns
        Of the same dimension as the works. All vectors must have been validated.
    watches : sequence of Watch
    sequence : ndarray, shape (W,), int64, optional
        The works of an artist come in ascending order of these values; by default in their own order.
    limits : Limits, optional

    Notes
    -----
    Works that are received by the same observers form a group, and within a group works are sorted by artist. A pair of
    a work and a release that no observer watches is not multiplied.
    """
    limits = limits or Limits()
    seen = np.stack([watch.numbers >= 0 for watch in watches], axis=1)
    groups, group = np.unique(seen, axis=0, return_inverse=True)
    n_columns = sum(len(release.order) for release in releases)
    fits = 8 * sum(release.vectors.size for release in releases) <= limits.wide_bytes
    wide_bytes = limits.wide_bytes if fits else limits.wide_bytes // len(releases)
    wide = [Widened(release.vectors, wide_bytes, keep=fits) for release in releases]
    with products_alone(), ThreadPoolExecutor(processors()) as pool:
        for number, receives in enumerate(groups):
            watching = [watch for watch, wanted in zip(watches, receives, strict=True) if wanted]
            needed = sorted({place for watch in watching for place in watch.releases})
            rows = np.flatnonzero(group.ravel() == number)
            rows = rows[np.lexsort((rows if sequence is None else sequence[rows], work_artist[rows]))]
            together = max(limits.product_bytes, limits.block_bytes)
            for many in blocks(len(rows) if needed else 0, n_columns, together):
                top = works[rows[many]].astype(np.float64)
                products = {place: wide[place].product(top, pool=pool) for place in needed}
                for few in _shared_blocks(len(top), n_columns, limits.block_bytes):
                    here = rows[many][few]
                    seen_blocks = {
                        place: Block(work_artist[here], products[place][few], releases[place], pool)
                        for place in needed
                    }
                    for watch in watching:
                        watch.observer.add(
                            watch.numbers[here], *(seen_blocks[place] for place in watch.releases)
                        )
                    del seen_blocks
                del products


def _shared_blocks(n: int, n_columns: int, limit_bytes: int) -> Iterator[slice]:
    """Divide n rows into blocks of about `limit_bytes`, so that all threads get as many rows of a block."""
    step = max(1, limit_bytes // (8 * max(1, n_columns)))
    if step > 1:
        step = -(-step // processors()) * processors()
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))
