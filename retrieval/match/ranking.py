"""Rank the own imitations of each work among all imitations, by one of three methods.

`every_rank` computes the rank of every imitation. `sorted_ranks` sorts, for each work, integers that hold the
similarity in their high bits and the artist in their low bits, so that a single sort gives the ranks.
`imindex.retrieval.match.counting.counted_ranks` sorts almost nothing: for each own imitation, it counts the imitations
with a lower score and those with the same score. All three give bit-identical figures. They differ in speed, and in
whether they also give the ranks of other artists' imitations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imindex.indexer.system.cpu import processors
from imindex.retrieval.match.similarity_pass import Block, Columns
from imindex.retrieval.vectors.blocks import BLOCK_BYTES, LIMIT_BYTES, Float16, Float64, Int32, Int64
from imindex.retrieval.vectors.row_ranks import ties
from imindex.retrieval.vectors.similarity import exact_integers, similarity_blocks

PRODUCT_BYTES = 128 * 2**20
"""Size of the similarities that are computed at a time. It is larger than `BLOCK_BYTES` because a product is processed
in pieces that fit in the processor's cache."""

WIDE_ROWS_BYTES = 2**30
"""The same for `sorted_ranks`, which needs whole rows, if there are too many imitations to convert them all once."""

PIECE = 2**14  # similarities that a thread processes at a time
_UNITS_BITS = 48  # a similarity is an integer multiple of 2**-48


@dataclass(frozen=True, eq=False)
class Sides:
    """The works and the imitations to rank: W works, M imitations, A artists. The caller has validated them.

    Attributes
    ----------
    works, imitations : ndarray, shape (W, d) and (M, d), float16, unit norm
    work_artist, imitation_artist : ndarray, shape (W,) and (M,), int64
    n_artists : int
    csls_k : int or None
        If given, imitations are ranked by ``2 csls_k cos - penalty``, in integer multiples of 2**-48; otherwise by the
        cosine.
    penalties : ndarray, shape (M,), int64
    """

    works: Float16
    work_artist: Int64
    imitations: Float16
    imitation_artist: Int64
    n_artists: int
    csls_k: int | None
    penalties: Int64

    @property
    def n_imitations(self) -> Int64:
        """Number of imitations of each artist, shape (A,)."""
        return np.bincount(self.imitation_artist, minlength=self.n_artists)

    def scores(self, similarity: Float64, columns: slice | Int64 = slice(None)) -> npt.NDArray[Any]:
        """Return the scores by which imitations are ranked: exact cosines, or exact integers for CSLS."""
        if self.csls_k is None:
            return similarity
        return 2 * self.csls_k * exact_integers(similarity) - self.penalties[columns]


class Part(NamedTuple):
    """Some works of one artist with n own imitations.

    Attributes
    ----------
    artist : int
    rows : ndarray, shape (r,), int64
        Numbers of the works.
    own : ndarray, shape (r, n), int32
        Ranks of the own imitations, in any order. A rank is the number of imitations with at least the same score.
    u : ndarray, shape (r,), int64
        Twice the Mann-Whitney U of the own imitations against all others.
    every_u : ndarray, shape (r, A), int64, or None
        The same for the imitations of each artist.
    """

    artist: int
    rows: Int64
    own: Int32
    u: Int64
    every_u: Int64 | None


def csls_penalties(works: Float16, imitations: Float16, k: int | None) -> tuple[int | None, Int64]:
    """Return the effective k, and k r_k(y) of each imitation in units of 2**-48.

    Raises
    ------
    ValueError
        If k is below 1 or above 10,000.
    """
    k = csls_neighbours(k, len(works))
    if k is None:
        return None, np.zeros(len(imitations), np.int64)
    sums = np.empty(len(imitations), np.int64)
    for rows, block in similarity_blocks(imitations, works, limit_bytes=BLOCK_BYTES):
        highest = np.partition(block, len(works) - k, axis=1)[:, len(works) - k :]
        sums[rows] = exact_integers(highest).sum(axis=1)
    return k, sums


def csls_neighbours(k: int | None, n_works: int) -> int | None:
    """Return the effective k of CSLS among this many works; None for none.

    Raises
    ------
    ValueError
        If k is below 1 or above 10,000.
    """
    if k is None:
        return None
    if not 1 <= k <= 10_000:  # 3 k times a cosine must fit in 63 bits
        raise ValueError(f"csls_k is {k}. Pass 1 to 10,000 neighbours; 15 is usual.")
    return min(k, n_works)


def every_rank(
    sides: Sides, ranks: Int32 | None = None, observe: Callable[[Int64, Int32], None] | None = None
) -> Iterator[Part]:
    """Rank every imitation for every work.

    Parameters
    ----------
    sides : Sides
    ranks : ndarray, shape (W, M), int32, optional
        Filled with the rank of each imitation for each work.
    observe : callable, optional
        See `imindex.retrieval.match.match.match`.
    """
    columns = Columns.of(
        sides.imitations,
        sides.imitation_artist,
        sides.n_artists,
        csls_k=sides.csls_k,
        penalties=sides.penalties,
    )
    order, places = np.argsort(sides.work_artist, kind="stable"), columns.places()
    for positions, similarity in similarity_blocks(
        sides.works[order], columns.vectors, limit_bytes=BLOCK_BYTES
    ):
        rows = order[positions]
        block = Block(sides.work_artist[rows], similarity, columns)
        if ranks is not None:
            ranks[rows[:, None], columns.order] = block.rank
        if observe is not None:
            observe(rows, block.midrank[:, places])
        yield from every_part(rows, block)


def every_part(rows: Int64, block: Block) -> Iterator[Part]:
    """Yield a `Part` for each artist with works in a block."""
    n, starts = block.columns.counts, block.columns.starts
    present = np.flatnonzero(n)
    u = np.zeros((len(rows), len(n)), np.int64)
    u[:, present] = np.add.reduceat(block.midrank, starts[present], axis=1, dtype=np.int64)
    u -= n * (n + 1)
    for artist, here in block.runs:
        own = block.rank[here, block.columns.own(artist)]
        yield Part(artist, rows[here], own, u[here, artist], u[here])


def label_bits(sides: Sides) -> int | None:
    """Return the number of low bits that `sorted_ranks` uses for the artist; None if they do not fit in 64 bits."""
    bits = max(1, (sides.n_artists - 1).bit_length())
    # A cosine is at most 1.01**2, and a CSLS score at most 3 k times that.
    highest = math.ceil(1.03 * 2**_UNITS_BITS * (1 if sides.csls_k is None else 3 * sides.csls_k))
    return bits if bits <= 13 and (highest + 1) << bits < 2**63 else None


def sorted_ranks(
    sides: Sides, *, limit_bytes: int | None = None, threads: int | None = None
) -> Iterator[Part]:
    """Rank by a single sort per work, of integers with the score in the high bits and the artist in the low bits.

    Parameters
    ----------
    sides : Sides
        Must have few enough artists that `label_bits` is not None.
    limit_bytes : int, optional
        Maximum size of the similarities held at a time; by default chosen by the size. A row is never split.
    threads : int, optional
        Number of threads; by default the number of processors.
    """
    bits = label_bits(sides)
    if bits is None:
        raise ValueError(f"{sides.n_artists} artists and the scores do not fit in 64 bits. Use every_rank.")
    order = np.argsort(sides.work_artist, kind="stable")
    n, m = sides.n_imitations, len(sides.imitations)
    if limit_bytes is None:
        fits = sides.imitations.size * 8 <= LIMIT_BYTES
        limit_bytes = PRODUCT_BYTES if fits else WIDE_ROWS_BYTES
    with ThreadPoolExecutor(threads or processors()) as pool:
        for positions, block in similarity_blocks(
            sides.works[order], sides.imitations, limit_bytes=limit_bytes
        ):
            artist = sides.work_artist[order[positions]]
            step = max(1, 4 * PIECE // max(m, sides.n_artists))
            pieces = [slice(start, start + step) for start in range(0, len(block), step)]
            sort = partial(_sort, sides, bits, block, artist)
            results = list(pool.map(sort, pieces))
            u = np.concatenate([sums for sums, _ in results]) - n * (n + 1)
            own = np.concatenate([ranks for _, ranks in results])
            ends = np.cumsum(n[artist])
            for here in runs(artist):
                a = int(artist[here.start])
                own_ranks = own[ends[here.start] - n[a] : ends[here.stop - 1]]
                own_ranks = own_ranks.reshape(here.stop - here.start, n[a])
                yield Part(a, order[positions][here], own_ranks, u[here, a], u[here])
            del block, results


def _sort(sides: Sides, bits: int, block: Float64, artist: Int64, piece: slice) -> tuple[Int64, Int32]:
    """Return twice the sum of midranks of each artist, shape (rows, A), and the ranks of the own imitations, flat."""
    part, artist = block[piece], artist[piece]
    n_rows, m = part.shape
    if sides.csls_k is None:
        packed = (part * 2.0 ** (_UNITS_BITS + bits)).astype(np.int64)
    else:
        packed = sides.scores(part)
        packed <<= bits
    packed |= sides.imitation_artist
    packed.sort(axis=1)
    # Two neighbours tie if they differ only in the label.
    tied = np.bitwise_xor(packed[:, 1:], packed[:, :-1]).view(np.uint64) < np.uint64(1 << bits)
    packed &= (1 << bits) - 1
    label = packed
    own_row, own_place = np.nonzero(label == artist[:, None])
    label += np.arange(n_rows)[:, None] * sides.n_artists
    keys, size = label.ravel(), n_rows * sides.n_artists
    places = np.broadcast_to(np.arange(m, dtype=np.float64), part.shape).ravel()
    # Sums of places are integers below 2**53, so they are exact in float64.
    sums = np.bincount(keys, weights=places, minlength=size)
    first = own_place
    if tied.any():
        at, begins, ends = ties(tied)
        flat = keys[at]
        sums += np.bincount(flat, weights=(begins + ends) / 2 - at % m, minlength=size)
        where = np.searchsorted(at, own_row * m + own_place)
        where[where == len(at)] = 0
        is_tied = at[where] == own_row * m + own_place
        first = np.where(is_tied, begins[where], own_place)
    twice = 2 * sums + 2 * np.bincount(keys, minlength=size)
    return twice.astype(np.int64).reshape(n_rows, -1), (m - first).astype(np.int32)


def runs(values: Int64) -> list[slice]:
    """Return the slices of runs of equal values."""
    cuts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]
