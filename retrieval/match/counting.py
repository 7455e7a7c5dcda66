"""Ranks of the own imitations by counting, in bounded memory and in a fraction of the time of the product.

The figures of a work depend only on the number of imitations with a lower score than each of its own, and the number
with the same score. These are counted while exact similarities are computed tile by tile.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
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

    def finish(self, m: int) -> tuple[Int64, int]:
        """Return the ranks of the own scores among all m, and twice their Mann-Whitney U."""
        self.compare()
        self.cells[self.hot] = 0
        self.below += np.cumsum(self.cells, dtype=np.int64)[self.places]
        n = len(self.own)
        return m - self.below, int((2 * self.below + self.equal + 1).sum()) - n * (n + 1)


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
    order = np.argsort(sides.work_artist, kind="stable")
    order = order[((n > 0) & (n < m))[sides.work_artist[order]]]
    if not len(order):
        return
    by_artist = np.split(np.argsort(sides.imitation_artist, kind="stable"), np.cumsum(n)[:-1])
    most = int(n[np.unique(sides.work_artist[order])].max())
    bits = min(16, max(10, (16 * most - 1).bit_length()))
    if sides.csls_k is None:
        bits = min(16, bits + 1)  # own cosines occupy only part of the range
    n_cells = 2**bits
    # Cells and flags; and for each own score the score itself, its cell, two counts and the pending scores.
    step = max(1, state_bytes // (5 * n_cells + (32 + 8 * _OWN) * most + 16 * _PENDING))
    threads = threads or processors()
    room = _Room.of(min(step, len(order)), sides.imitations, limit_bytes, threads)
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            yield from _count_works(sides, rows, by_artist, (n_cells, limit_bytes), room, pool)


class _Room(NamedTuple):
    """Memory for a tile of imitations and for the products of each thread, reused for all tiles."""

    wide: Float64
    products: list[Float64]

    @classmethod
    def of(cls, n_works: int, imitations: Float16, limit_bytes: int, threads: int) -> _Room:
        m, d = imitations.shape
        here = limit_bytes // (8 * threads)
        width = max(1, min(m, PIECE, here // _BLOCK_ROWS, 2 * limit_bytes // (8 * d)))
        size = width * max(1, min(-(-n_works // threads), here // width))
        return cls(np.empty((width, d)), [np.empty(size) for _ in range(threads)])


def _count_works(
    sides: Sides,
    rows: Int64,
    by_artist: list[Int64],
    sizes: tuple[int, int],
    room: _Room,
    pool: ThreadPoolExecutor,
) -> Iterator[Part]:
    m = len(sides.imitations)
    n_cells, limit_bytes = sizes
    artist = sides.work_artist[rows]
    left = sides.works[rows].astype(np.float64)
    cells = np.zeros((len(rows), n_cells), np.int32)
    hot = np.zeros((len(rows), n_cells), np.bool_)
    width, n_threads = len(room.wide), len(room.products)
    cuts = [len(rows) * i // n_threads for i in range(n_threads + 1)]
    shares = [slice(*cut) for cut in itertools.pairwise(cuts)]

    def begin(here: slice) -> list[_Count]:
        own = _own_scores(sides, left[here], by_artist[artist[here.start]], limit_bytes // n_threads)
        return [_Count(own[i - here.start], cells[i], hot[i]) for i in range(here.start, here.stop)]

    def finish(share: slice) -> list[tuple[Int64, int]]:
        return [count.finish(m) for count in counts[share]]

    with products_alone():
        counts = list(itertools.chain.from_iterable(pool.map(begin, runs(artist))))
        for start in range(0, m, width):
            columns = slice(start, min(m, start + width))
            wide = _widen(sides.imitations[columns], room.wide, pool)
            count = partial(_count_share, sides, left, counts, wide, start)
            for _ in pool.map(count, shares, room.products):
                pass
    done = list(itertools.chain.from_iterable(pool.map(finish, shares)))
    for here in runs(artist):
        own = np.array([rank for rank, _ in done[here]], np.int32)
        u = np.array([value for _, value in done[here]], np.int64)
        yield Part(int(artist[here.start]), rows[here], own, u, None)


def _own_scores(sides: Sides, works: Float64, columns: Int64, limit_bytes: int) -> npt.NDArray[Any]:
    """Return the sorted scores of an artist's imitations (`columns`) for some works, shape (r, n)."""
    tiles = [columns[tile] for tile in blocks(len(columns), works.shape[1], limit_bytes)]
    similarity = np.concatenate(
        [works @ sides.imitations[tile].astype(np.float64).T for tile in tiles], axis=1
    )
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
