"""Ranks of the own imitations by counting, in bounded memory and in a fraction of the time of the product.

The figures of a work depend only on the number of imitations with a lower score than each of its own, and the number
with the same score. These are counted while exact similarities are computed tile by tile.

Both are sums over the imitations. So imitations may be divided into parts in any way, such as the files of an index or
the machines of a cluster: own scores are collected from all parts first, and then each part is counted by itself
(`imindex.retrieval.match.shards`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imindex.indexer.system.cpu import processors, products_alone
from imindex.retrieval.match.ranking import Part, Sides, runs
from imindex.retrieval.vectors.blocks import Float16, Float64, Int32, Int64, blocks

PIECE = 2**17
"""Maximum number of similarities of a work that are counted at a time."""
PRODUCT_BYTES = 2**29
"""Size of the similarities that all threads together compute at a time."""
_BLOCK_ROWS = 64
"""Minimum number of works per product. A product with fewer is slow, so tiles become narrower instead."""
STATE_BYTES = 5 * 2**28
"""Maximum size of the counts of the current works. With fewer works at a time, imitations are widened more often."""

_ONE = np.int32(1)
_PENDING, _OWN = 2**13, 16
"""Number of scores that a work collects before comparing them: a constant, plus a number for each own score."""


@dataclass(eq=False)
class _Count:
    """The counts of one work. `own` are the scores of its own imitations, in ascending order.

    The range of scores is divided into cells of equal width, whose numbers ascend with the score. A score in a cell
    without own scores is above or below each own score by the number of its cell alone. Only scores in cells with own
    scores ("hot" cells) must be compared.

    For cosines, the cells range from 1/2 below the middle of the own scores to 1/2 above it; for the integers of CSLS,
    from the lowest own score to the highest. The first and the last cell also hold all scores beyond.
    """

    own: npt.NDArray[Any]
    cells: Int32  # number of scores in each cell; the number of cells is a power of two
    hot: npt.NDArray[np.bool_]  # whether each cell has an own score
    magic: np.float64 | int = field(init=False)
    base: int = field(init=False)
    low: float = field(init=False)
    high: float = field(init=False)
    pending: list[npt.NDArray[Any]] = field(default_factory=list)
    n_pending: int = 0

    def __post_init__(self) -> None:
        n = len(self.cells)
        self.base = n - 1
        if self.own.dtype == np.float64:
            # Adding `magic` to a score leaves 2**k (score - low) in the last bits of the sum.
            k = n.bit_length() - 1
            self.low = round(((self.own[0] + self.own[-1]) / 2 - 0.5) * n) / n
            self.high = self.low + 1 - 2 / n
            self.magic = np.float64(1.5 * 2.0 ** (52 - k) - self.low)
        else:
            span = int(self.own[-1]) - int(self.own[0])
            self.magic = (span // (n - 4)).bit_length()  # number of bits to shift out
            self.base = (int(self.own[0]) >> self.magic) - 1
        self.places = self.cell(self.own)
        self.hot[self.places] = True
        self.below, self.equal = np.zeros((2, len(self.own)), np.int64)

    def cell(self, scores: npt.NDArray[Any], out: Int64 | None = None) -> Int64:
        """Return the number of the cell of each score."""
        if out is None:
            out = np.empty(len(scores), np.int64)
        if scores.dtype == np.float64:
            moved = out.view(np.float64)
            if scores.min() < self.low or scores.max() > self.high:
                scores = np.clip(scores, self.low, self.high, out=moved)
            np.add(scores, self.magic, out=moved)
            return np.bitwise_and(out, self.base, out=out)
        np.right_shift(scores, self.magic, out=out)
        # Clip first, because the difference of two scores may need more than 64 bits. (np.clip is slower.)
        np.maximum(out, self.base, out=out)
        np.minimum(out, self.base + len(self.cells) - 1, out=out)
        return np.subtract(out, self.base, out=out)

    def add(self, scores: npt.NDArray[Any], out: Int64, flags: npt.NDArray[np.bool_]) -> None:
        """Count some scores. `out` and `flags` are work arrays of the same length."""
        cell = self.cell(scores, out)
        np.add.at(self.cells, cell, _ONE)
        self.hot.take(cell, out=flags, mode="clip")
        near = scores.compress(flags)
        self.pending.append(near)
        self.n_pending += len(near)
        if self.n_pending > _OWN * len(self.own) + _PENDING:
            self.compare()

    def compare(self) -> None:
        """Compare the pending scores with all own scores."""
        if self.pending:
            near = np.concatenate(self.pending)
            near.sort()
            below = near.searchsorted(self.own, "left")
            self.below += below
            self.equal += near.searchsorted(self.own, "right") - below
            self.pending, self.n_pending = [], 0

    def finish(self) -> tuple[Int64, Int64]:
        """Return the number of scores below each own score, and the number equal to it."""
        self.compare()
        self.cells[self.hot] = 0
        self.below += np.cumsum(self.cells, dtype=np.int64)[self.places]
        return self.below, self.equal


def counted_ranks(
    sides: Sides,
    *,
    limit_bytes: int = PRODUCT_BYTES,
    state_bytes: int = STATE_BYTES,
    threads: int | None = None,
) -> Iterator[Part]:
    """Rank the own imitations by counting. Works whose artist has no imitations, or all of them, are omitted.

    Neither whole rows of similarities nor all widened imitations are held in memory. Both are processed tile by tile,
    for as many works at a time as `state_bytes` allows.

    Parameters
    ----------
    sides : Sides
    limit_bytes : int
        Approximate size of the similarities held at a time; widened imitations take twice as much.
    state_bytes : int
        Approximate size of the counts held at a time.
    threads : int, optional
        Number of threads; by default the number of processors.
    """
    n, m = sides.n_imitations, len(sides.imitations)
    counter = Counter(sides, limit_bytes=limit_bytes, threads=threads)
    for rows in batches(sides.work_artist, n, csls=sides.csls_k is not None, state_bytes=state_bytes):
        own = counter.own_scores(rows)
        below, equal = counter.count(rows, own)
        yield from parts_of(sides.work_artist, rows, own, below, equal, m)


def parts_of(
    work_artist: Int64,
    rows: Int64,
    own: Sequence[npt.NDArray[Any]],
    below: Sequence[Int64],
    equal: Sequence[Int64],
    m: int,
) -> Iterator[Part]:
    """Yield the ranks of the own imitations of some works, given the counts over all m imitations.

    Parameters
    ----------
    work_artist : ndarray, shape (W,), int64
    rows : ndarray, shape (r,), int64
        Some works, sorted by artist.
    own, below, equal : sequence of r ndarrays, shape (n,)
        The own scores of each work, and the number of imitations with a lower score and with the same score.
    m : int
    """
    for here in runs(work_artist[rows]):
        n = len(own[here.start])
        ranks = np.array([m - count for count in below[here]], np.int32)
        u = [
            int((2 * lower + same + 1).sum()) - n * (n + 1)
            for lower, same in zip(below[here], equal[here], strict=True)
        ]
        yield Part(int(work_artist[rows[here.start]]), rows[here], ranks, np.array(u, np.int64), None)


def cells_for(most: int, *, csls: bool) -> int:
    """Return the number of cells for works with at most this many own scores: a power of two.

    Most scores should lie in cells without own scores. Beyond 2**16 cells, the counts of a work no longer fit in a
    processor's cache, but comparing scores takes longer.
    """
    bits = min(19, max(10, (16 * most - 1).bit_length()))
    # Own cosines occupy only part of the range.
    return int(2 ** min(19, bits + (not csls)))


def batches(
    work_artist: Int64, n_imitations: Int64, *, csls: bool, state_bytes: int = STATE_BYTES
) -> Iterator[Int64]:
    """Divide the works that can be ranked into batches, sorted by artist, whose counts fit in `state_bytes`.

    Works whose artist has no imitations, or all of them, are omitted.
    """
    order = np.argsort(work_artist, kind="stable")
    m = int(n_imitations.sum())
    order = order[((n_imitations > 0) & (n_imitations < m))[work_artist[order]]]
    if not len(order):
        return
    most = int(n_imitations[np.unique(work_artist[order])].max())
    # Cells and flags; and for each own score the score itself, its cell, two counts and the pending scores.
    each = 5 * cells_for(most, csls=csls) + (32 + 8 * _OWN) * most + 16 * _PENDING
    step = max(1, state_bytes // each)
    for start in range(0, len(order), step):
        yield order[start : start + step]


class Counter:
    """Counts the imitations with a lower score than each own score, and those with the same score.

    Parameters
    ----------
    sides : Sides
        The imitations may be a part of those that are ranked: own scores come from all parts, and counts are added.
    limit_bytes : int
        Approximate size of the similarities held at a time; widened imitations take twice as much.
    threads : int, optional
        Number of threads; by default the number of processors.
    """

    def __init__(self, sides: Sides, *, limit_bytes: int = PRODUCT_BYTES, threads: int | None = None):
        self._sides, self._limit_bytes = sides, limit_bytes
        self._threads = threads or processors()
        self._by_artist = np.split(
            np.argsort(sides.imitation_artist, kind="stable"), np.cumsum(sides.n_imitations)[:-1]
        )
        self._room: _Room | None = None

    def own_scores(self, rows: Int64) -> list[npt.NDArray[Any]]:
        """Return the scores of the own imitations of some works, sorted by artist: r arrays, each ascending."""
        sides, artist = self._sides, self._sides.work_artist[rows]
        left = sides.works[rows].astype(np.float64)

        def scores(here: slice) -> npt.NDArray[Any]:
            columns = self._by_artist[artist[here.start]]
            return _own_scores(sides, left[here], columns, self._limit_bytes // self._threads)

        with products_alone(), ThreadPoolExecutor(self._threads) as pool:
            return [line for table in pool.map(scores, runs(artist)) for line in table]

    def count(self, rows: Int64, own: Sequence[npt.NDArray[Any]]) -> tuple[list[Int64], list[Int64]]:
        """Count the imitations below and equal to the own scores of some works.

        Parameters
        ----------
        rows : ndarray, shape (r,), int64
        own : sequence of r ndarrays
            The own scores of each work, ascending. At least one for each.

        Returns
        -------
        below, equal : list of r ndarrays of int64
        """
        sides = self._sides
        n_works, m = len(rows), len(sides.imitations)
        if self._room is None or not self._room.fits(n_works):
            self._room = _Room.of(n_works, sides.imitations, self._limit_bytes, self._threads)
        room = self._room
        left = sides.works[rows].astype(np.float64)
        n_cells = cells_for(max(map(len, own)), csls=sides.csls_k is not None)
        cells = np.zeros((n_works, n_cells), np.int32)
        hot = np.zeros((n_works, n_cells), np.bool_)
        cuts = [n_works * i // self._threads for i in range(self._threads + 1)]
        shares = [slice(*cut) for cut in itertools.pairwise(cuts)]

        def begin(share: slice) -> list[_Count]:
            return [_Count(own[i], cells[i], hot[i]) for i in range(share.start, share.stop)]

        def finish(share: slice) -> list[tuple[Int64, Int64]]:
            return [count.finish() for count in counts[share]]

        with products_alone(), ThreadPoolExecutor(self._threads) as pool:
            counts = list(itertools.chain.from_iterable(pool.map(begin, shares)))
            for start in range(0, m, len(room.wide)):
                columns = slice(start, min(m, start + len(room.wide)))
                wide = _widen(sides.imitations[columns], room.wide, pool)
                count = partial(_count_share, sides, left, counts, wide, start)
                for _ in pool.map(count, shares, room.products):
                    pass
            done = list(itertools.chain.from_iterable(pool.map(finish, shares)))
        return [below for below, _ in done], [equal for _, equal in done]


class _Room(NamedTuple):
    """Memory for a tile of imitations and for the products of each thread, reused for all tiles."""

    wide: Float64
    products: list[Float64]
    n_works: int

    def fits(self, n_works: int) -> bool:
        """Return whether it was made for at least as many works."""
        return n_works <= self.n_works

    @classmethod
    def of(cls, n_works: int, imitations: Float16, limit_bytes: int, threads: int) -> _Room:
        m, d = imitations.shape
        here = limit_bytes // (8 * threads)
        width = max(1, min(m, PIECE, here // _BLOCK_ROWS, 2 * limit_bytes // (8 * d)))
        size = width * max(1, min(-(-n_works // threads), here // width))
        return cls(np.empty((width, d)), [np.empty(size) for _ in range(threads)], n_works)


def _own_scores(sides: Sides, works: Float64, columns: Int64, limit_bytes: int) -> npt.NDArray[Any]:
    """Return the sorted scores of an artist's imitations (`columns`) for some works, shape (r, n)."""
    tiles = [columns[tile] for tile in blocks(len(columns), works.shape[1], limit_bytes)]
    similarity = np.empty((len(works), len(columns)))
    if len(columns):
        tables = [works @ sides.imitations[tile].astype(np.float64).T for tile in tiles]
        similarity = np.concatenate(tables, axis=1)
    scores = sides.scores(similarity, columns)
    scores.sort(axis=1)
    return scores


def _widen(vectors: Float16, room: Float64, pool: ThreadPoolExecutor) -> Float64:
    wide = room[: len(vectors)]
    cuts = [slice(start, start + 1024) for start in range(0, len(vectors), 1024)]
    for _ in pool.map(lambda rows: np.copyto(wide[rows], vectors[rows]), cuts):
        pass
    return wide


def _count_share(
    sides: Sides, left: Float64, counts: list[_Count], wide: Float64, start: int, share: slice, room: Float64
) -> None:
    """Multiply a share of the works by a tile of imitations, which begins at `start`, and count, in one thread.

    Counting is bound by memory and multiplying by the processor, so threads that do one or the other overlap well.
    """
    n = len(wide)
    out, flags = np.empty(n, np.int64), np.empty(n, np.bool_)
    for rows in blocks(share.stop - share.start, n, room.nbytes):
        part = left[share][rows]
        product = room[: len(part) * n].reshape(len(part), n)
        np.matmul(part, wide.T, out=product)
        for count, similarity in zip(counts[share][rows], product, strict=True):
            count.add(sides.scores(similarity, slice(start, start + n)), out, flags)
