"""Ranks of the own imitations by counting, in bounded memory, for a fraction of the time of the product.

The figures of a work depend on nothing but how many imitations score lower than each of its own, and how many
the same. Only that is counted, while exact similarities stream by tile by tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.processors import processors
from retrieval.ranks import Part, Sides, runs
from retrieval.similarity import Float16, Float64, Int32, Int64, blocks

PIECE = 2**16
"""Similarities that a thread counts at a time. The threads wait for each other at the end of each operation on them."""
PRODUCT_BYTES = 2**29
"""Bytes of similarities that are computed at a time. After a product its threads linger for a while, in the way."""
STATE_BYTES = 3 * 2**29
"""Most bytes kept of the works in hand. The fewer works at a time, the more often imitations are widened."""

_ONE = np.int32(1)
_PENDING = 2**13


@dataclass(eq=False)
class _Count:
    """The count of one work: `own` are the scores of its own imitations, in order.

    Scores are cut into cells of equal width. Whatever falls into a cell that holds no own score is above or below each
    of them by the number of its cell alone, for the number of the cell never falls as the score rises. Only what falls
    into one of the others is compared.

    Cosines have cells from -2 to 2, so that none of them has to be clipped; the whole numbers of CSLS have cells from
    the lowest own score to the highest, and the first and the last take what is beyond.
    """

    own: npt.NDArray[Any]
    cells: Int32  # how many scores fell into each cell; their number is a power of two
    hot: npt.NDArray[np.bool_]  # whether an own score is in the cell
    magic: np.float64 | int = field(init=False)
    base: int = field(init=False)
    pending: list[npt.NDArray[Any]] = field(default_factory=list)
    n_pending: int = 0

    def __post_init__(self) -> None:
        n = len(self.cells)
        self.base = n - 1
        if self.own.dtype == np.float64:
            # Added to a score, this number leaves 2**k times the score, counted from -2, in its last bits.
            k = n.bit_length() - 3
            self.magic = np.float64(1.5 * 2.0 ** (52 - k) + 2)
        else:
            span = int(self.own[-1]) - int(self.own[0])
            self.magic = (span // (n - 4)).bit_length()  # how many bits to shift away
            self.base = (int(self.own[0]) >> self.magic) - 1
        self.places = self.cell(self.own)
        self.hot[self.places] = True
        self.below, self.equal = np.zeros((2, len(self.own)), np.int64)

    def cell(self, scores: npt.NDArray[Any], out: Int64 | None = None) -> Int64:
        """Numbers of the cells."""
        if out is None:
            out = np.empty(len(scores), np.int64)
        if scores.dtype == np.float64:
            np.add(scores, self.magic, out=out.view(np.float64))
            return np.bitwise_and(out, self.base, out=out)
        np.right_shift(scores, self.magic, out=out)
        np.subtract(out, self.base, out=out)
        np.maximum(out, 0, out=out)  # np.clip asks for the limits of the type, at each call
        return np.minimum(out, len(self.cells) - 1, out=out)

    def add(self, scores: npt.NDArray[Any], out: Int64, flags: npt.NDArray[np.bool_]) -> None:
        """Count some more scores; `out` and `flags` are room to work in, as long as they."""
        cell = self.cell(scores, out)
        np.add.at(self.cells, cell, _ONE)
        self.hot.take(cell, out=flags, mode="clip")
        near = scores.compress(flags)
        self.pending.append(near)
        self.n_pending += len(near)
        if self.n_pending > 8 * len(self.own) + _PENDING:
            self.compare()

    def compare(self) -> None:
        """Compare what is pending with every own score."""
        if self.pending:
            near = np.concatenate(self.pending)
            near.sort()
            below = near.searchsorted(self.own, "left")
            self.below += below
            self.equal += near.searchsorted(self.own, "right") - below
            self.pending, self.n_pending = [], 0

    def finish(self, m: int) -> tuple[Int64, int]:
        """Ranks of the own scores among all m, and twice their Mann-Whitney U."""
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
    """Rank the own imitations by counting; works whose artist has none, or all of them, are left out.

    Rows of similarities are never held whole, nor is the list of imitations widened as a whole: both are
    gone through tile by tile, for as many works at a time as `state_bytes` allows.

    Parameters
    ----------
    sides : Sides
    limit_bytes : int
        About how many bytes of similarities are held at a time, and of widened imitations twice as many.
    state_bytes : int
        About how many bytes of counts are held at a time.
    threads : int, optional
        As many as there are processors, unless given.
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
        bits = min(16, bits + 3)  # cosines take up some eighth of the range from -2 to 2
    n_cells = 2**bits
    # Cells and flags, and for each own score itself, its place, two counts and those that are pending.
    step = max(1, state_bytes // (5 * n_cells + (32 + 8 * 8) * most + 16 * _PENDING))
    room = _Room.of(min(step, len(order)), sides.imitations, limit_bytes)
    with ThreadPoolExecutor(threads or processors()) as pool:
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            yield from _count_works(sides, rows, by_artist, (n_cells, limit_bytes), room, pool)


class _Room(NamedTuple):
    """Memory for a tile of imitations and its products: the same pages, again and again."""

    wide: Float64
    product: Float64

    @classmethod
    def of(cls, n_works: int, imitations: Float16, limit_bytes: int) -> _Room:
        m, d = imitations.shape
        width = max(1, min(m, PIECE, 2 * limit_bytes // (8 * d)))
        return cls(np.empty((width, d)), np.empty(min(n_works, max(1, limit_bytes // (8 * width))) * width))


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
    counts: list[_Count] = []
    for here in runs(artist):
        own = _own_scores(sides, left[here], by_artist[artist[here.start]], limit_bytes)
        counts += [_Count(own[i - here.start], cells[i], hot[i]) for i in range(here.start, here.stop)]
    width, n_workers = len(room.wide), pool._max_workers
    for start in range(0, m, width):
        columns = slice(start, min(m, start + width))
        wide = _widen(sides.imitations[columns], room.wide, pool)
        for some in blocks(len(rows), width, limit_bytes):
            part = left[some]
            product = room.product[: len(part) * len(wide)].reshape(len(part), len(wide))
            np.matmul(part, wide.T, out=product)
            count = partial(_count_rows, sides, counts[some], product, start)
            for _ in pool.map(count, [slice(i, None, n_workers) for i in range(n_workers)]):
                pass
    for here in runs(artist):
        done = [count.finish(m) for count in counts[here]]
        own = np.array([rank for rank, _ in done], np.int32)
        u = np.array([value for _, value in done], np.int64)
        yield Part(int(artist[here.start]), rows[here], own, u, None)


def _own_scores(sides: Sides, works: Float64, columns: Int64, limit_bytes: int) -> npt.NDArray[Any]:
    """Scores of an artist's imitations, which are these columns, for some works; in order, shape (r, n)."""
    tiles = [columns[some] for some in blocks(len(columns), works.shape[1], limit_bytes)]
    similarity = np.concatenate([works @ sides.imitations[t].astype(np.float64).T for t in tiles], axis=1)
    scores = sides.scores(similarity, columns)
    scores.sort(axis=1)
    return scores


def _widen(vectors: Float16, room: Float64, pool: ThreadPoolExecutor) -> Float64:
    wide = room[: len(vectors)]
    cuts = [slice(start, start + 1024) for start in range(0, len(vectors), 1024)]
    for _ in pool.map(lambda some: np.copyto(wide[some], vectors[some]), cuts):
        pass
    return wide


def _count_rows(sides: Sides, counts: list[_Count], product: Float64, start: int, some: slice) -> None:
    out, flags = np.empty(PIECE, np.int64), np.empty(PIECE, np.bool_)
    for count, row in zip(counts[some], product[some], strict=True):
        for i in range(0, len(row), PIECE):
            similarity = row[i : i + PIECE]
            k = len(similarity)
            count.add(sides.scores(similarity, slice(start + i, start + i + k)), out[:k], flags[:k])
