"""Similarities between works: medians, gaps and ceilings from one walk, without a table of all pairs.

The similarities of some artists' works to all works are computed, used for everything that needs them, and discarded.
They do not depend on a release, so one walk serves all releases of an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.indexer.system.cpu import processors, products_alone
from imindex.retrieval.vectors.blocks import LIMIT_BYTES, Float16, Float64, Int64
from imindex.retrieval.vectors.similarity import Widened
from imindex.stats.validity import (
    Ceiling,
    CeilingCollector,
    GapBootstrap,
    GapCollector,
    clusters_of,
    different,
)

OK = "ok"
TILE_BYTES = 64 * 2**20
"""Size of the similarities that are computed at a time, at least those of one artist's works to another's."""
KEEP_BYTES = 128 * 2**20
"""Size of the similarities within artists that are kept for later use. The others are computed again when needed."""

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Discrimination:
    """How well an encoder distinguishes A artists.

    Attributes
    ----------
    gap : ndarray, shape (A,), float64
        Median cosine within the artist, minus the largest median cosine to another artist. NaN if either is missing. At
        0 or below, the encoder does not distinguish this artist.
    nearest : ndarray, shape (A,), int64
        The other artist with the largest median, ties resolved by the lowest number; -1 if there is none.
    medians : ndarray, shape (A, A), float64
        Median cosines; on the diagonal, over the pairs of different works, near-duplicates left out. NaN without a
        pair.
    n_works : ndarray, shape (A,), int64
    status : tuple of str, length A
        "ok", or the reason for a missing gap: "no works", "one work" (distinct) or "no other artist".
    """

    gap: Float64
    nearest: Int64
    medians: Float64
    n_works: Int64
    status: tuple[str, ...]

    @classmethod
    def of(cls, medians: Float64, n_works: Int64, n_distinct: Int64) -> Discrimination:
        """Derive gaps from the medians between artists, and their numbers of works and of distinct works."""
        n_artists = len(n_works)
        others = np.where(np.eye(n_artists, dtype=np.bool_) | np.isnan(medians), -np.inf, medians)
        nearest = others.argmax(axis=1)
        highest = others[np.arange(n_artists), nearest]
        alone = np.isneginf(highest)
        return cls(
            gap=np.diagonal(medians) - np.where(alone, np.nan, highest),
            nearest=np.where(alone, -1, nearest),
            medians=medians,
            n_works=n_works,
            status=tuple(
                "no works" if n == 0 else "one work" if n == 1 else "no other artist" if lonely else OK
                for n, lonely in zip(n_distinct.tolist(), alone.tolist(), strict=True)
            ),
        )


class AmongWorks:
    """Result of `among_works`.

    Attributes
    ----------
    discrimination : Discrimination
    gaps : GapBootstrap or None
    ceiling : Ceiling or None
        None if they were not requested.
    """

    discrimination: Discrimination
    gaps: GapBootstrap | None = None
    ceiling: Ceiling | None = None

    def __init__(self, works: Float16, order: Int64, starts: Int64, n_works: Int64, keep_bytes: int):
        self._works, self._order, self._starts, self._n_works = works, order, starts, n_works
        self._kept: dict[int, Float64] = {}
        self._room = keep_bytes

    def outline(self) -> tuple[Int64, Int64, Int64]:
        """Return which works of each artist are compared: the arguments of `outlined`."""
        return self._order, self._starts, self._n_works

    @classmethod
    def outlined(cls, works: Float16, outline: tuple[Int64, Int64, Int64]) -> AmongWorks:
        """Return what gives `rows` and `similarity` only, computed from the works when needed."""
        return cls(works, *outline, 0)

    def rows(self, artist: int) -> Int64:
        """Return the artist's works, ascending."""
        start = self._starts[artist]
        return self._order[start : start + self._n_works[artist]]

    def numbered(self, rows: Int64, works: Float16) -> AmongWorks:
        """Number the works by ``rows[w]``, their positions among further `works`. `rows` must be ascending."""
        self._order, self._works = rows[self._order], works
        return self

    def similarity(self, artist: int, first: Int64, second: Int64) -> Float64:
        """Return the exact similarities between some works of an artist and others of the same artist."""
        rows = self.rows(artist)
        if artist in self._kept and np.isin(first, rows).all() and np.isin(second, rows).all():
            own = self._kept[artist]
            return np.asarray(own[np.ix_(np.searchsorted(rows, first), np.searchsorted(rows, second))])
        right = Widened(self._works[second])
        return right.product(self._works[first].astype(np.float64))

    def within(self, artist: int) -> Float64:
        """Return the exact similarities between the artist's works, shape (n, n), in the order of `rows`, read-only."""
        if artist not in self._kept:
            vectors = self._works[self.rows(artist)]
            return Widened(vectors).product(vectors.astype(np.float64))
        return self._kept[artist]

    def keep(self, artist: int, own: Float64) -> None:
        """Keep the similarities within an artist, if there is room left."""
        if own.nbytes <= self._room:
            self._room -= own.nbytes
            self._kept[artist] = own.copy()
            self._kept[artist].flags.writeable = False


def among_works(  # noqa: PLR0913
    works: Float16,
    work_artist: Int64,
    n_artists: int,
    *,
    cluster: Int64 | None = None,
    gaps: GapCollector | None = None,
    artists: Int64 | None = None,
    every_median: bool = True,
    tile_bytes: int = TILE_BYTES,
    keep_bytes: int = KEEP_BYTES,
    wide_bytes: int = LIMIT_BYTES,
) -> AmongWorks:
    """Compute the similarities between works, and what is derived from them, in one walk.

    Parameters
    ----------
    works : ndarray, shape (W, d), float16, unit norm
    work_artist : ndarray, shape (W,), int64
        Must have been validated, as `works`.
    n_artists : int
    cluster : ndarray, shape (W,), int64, optional
        The cluster of each work (`imindex.retrieval.vectors.near_duplicates`). Works of one cluster are not compared
        with each other.
    gaps : GapCollector, optional
        Of the same works and clusters. If given, gaps are bootstrapped and ceilings computed, from similarities in
        float32.
    artists : ndarray of int64, optional
        The artists whose gaps are bootstrapped, and whose ceilings are computed; by default all.
    every_median : bool
        If False, only the medians of `artists` are computed, with all others. Those of two other artists are NaN.
    tile_bytes, keep_bytes, wide_bytes : int
        Approximate size of the similarities, of the similarities within artists, and of the float64 works that are held
        in memory. Results do not depend on them.

    Returns
    -------
    AmongWorks

    Notes
    -----
    Medians are exact. Each pair of artists is multiplied once; with `gaps`, a pair of two of the `artists` twice, from
    either side.
    """
    wanted = np.ones(n_artists, np.bool_)
    if artists is not None:
        wanted[:] = False
        wanted[artists] = True
    with products_alone(), ThreadPoolExecutor(processors()) as pool:
        walk = _Walk(works, work_artist, wanted, cluster, gaps, wide_bytes, pool)
        found = AmongWorks(works, walk.order, walk.starts, walk.n_works, keep_bytes)
        return walk.run(tile_bytes, found, every_median=every_median)


class _Walk:
    """State of one walk. Each thread of the pool processes one artist at a time.

    Artists are processed in a sequence: first those that are wanted, then the others, each in the order of their
    numbers. A pair of artists is multiplied when the first of the two is processed.
    """

    def __init__(
        self,
        works: Float16,
        work_artist: Int64,
        wanted: npt.NDArray[np.bool_],
        cluster: Int64 | None,
        gaps: GapCollector | None,
        wide_bytes: int,
        pool: ThreadPoolExecutor,
    ):
        n_artists = len(wanted)
        self._wanted = wanted
        sequence = np.argsort(~wanted, kind="stable")
        self._place = np.argsort(sequence)
        self.n_works = np.bincount(work_artist, minlength=n_artists)
        self._present = sequence[self.n_works[sequence] > 0]
        self.order = np.argsort(self._place[work_artist], kind="stable")
        self._cluster = clusters_of(cluster, len(works))[self.order]
        first = np.unique(self._cluster, return_index=True)[1]
        self._n_distinct = np.bincount(work_artist[self.order][first], minlength=n_artists)
        self.starts = np.empty(n_artists, np.int64)
        self.starts[sequence] = np.cumsum(self.n_works[sequence]) - self.n_works[sequence]
        self._works, self._wide, self._pool = works, Widened(works[self.order], wide_bytes), pool
        self._medians = np.full((n_artists, n_artists), np.nan)
        self._rounded = self._medians.copy()  # medians of float32 similarities, for the bootstrap
        self._gaps = gaps
        self._ceiling = None if gaps is None else CeilingCollector(work_artist, n_artists, cluster=cluster)
        self._held: dict[int, dict[int, Float32]] = {}

    def _columns(self, artist: int, first: int = 0) -> slice:
        """Return the positions of the artist's works in `order`, counted from `first`."""
        start = int(self.starts[artist]) - first
        return slice(start, start + int(self.n_works[artist]))

    def run(self, tile_bytes: int, found: AmongWorks, *, every_median: bool) -> AmongWorks:
        n_wanted = int(self._wanted[self._present].sum())
        parts = [(self._present[:n_wanted], self._gaps is not None)]
        if every_median:
            parts.append((self._present[n_wanted:], False))
        for part, whole in parts:
            for artists in _groups(part, self.n_works, len(self._works), tile_bytes):
                rows = slice(self._columns(artists[0]).start, self._columns(artists[-1]).stop)
                top = self._works[self.order[rows]].astype(np.float64)
                self._held = {artist: {} for artist in artists}
                begin = int(np.searchsorted(self._place[self._present], self._place[artists[0]]))
                for others in _columns(
                    self._present,
                    slice(begin, begin + len(artists)),
                    self.n_works,
                    len(top),
                    tile_bytes,
                    whole=whole,
                ):
                    self._see(top, artists, others, found, whole=whole)
                if whole:
                    self._each(artists, self._bootstrap)
        found.discrimination = Discrimination.of(self._medians, self.n_works, self._n_distinct)
        if self._gaps is not None and self._ceiling is not None:
            found.gaps, found.ceiling = self._gaps.finish(), self._ceiling.finish()
        return found

    def _each(self, artists: list[int], do: Callable[[int], None]) -> None:
        for _ in self._pool.map(do, artists):
            pass

    def _see(
        self, top: Float64, artists: list[int], others: list[int], found: AmongWorks, *, whole: bool
    ) -> None:
        """Compute and use the similarities of some artists' works to those of others."""
        first, top_first = self._columns(others[0]).start, self._columns(artists[0]).start
        columns = slice(first, self._columns(others[-1]).stop)
        block = self._wide.product(top, columns, pool=self._pool)
        places = {other: self._columns(other, first) for other in others}

        def mine(artist: int) -> Float64:
            return block[self._columns(artist, top_first)]

        # A median is used for both of its artists, so all are computed before the first is used.
        self._each(artists, lambda artist: self._find_medians(mine(artist), artist, places))
        for artist in artists:
            if artist in places:
                found.keep(artist, mine(artist)[:, places[artist]])
        if whole:
            self._each(artists, lambda artist: self._show(mine(artist), artist, places))

    def _find_medians(self, mine: Float64, artist: int, places: dict[int, slice]) -> None:
        """Compute the medians of an artist with itself and with later artists."""
        if artist in places and len(mine) > 1:
            pairs = mine[:, places[artist]][different(self._cluster[self._columns(artist)])]
            if len(pairs):
                self._note(artist, np.array([artist]), *_middle(pairs[None]))
        by_size: dict[int, list[int]] = {}
        for other, columns in places.items():
            if self._place[other] > self._place[artist]:
                by_size.setdefault(columns.stop - columns.start, []).append(other)
        for size, others in by_size.items():
            chosen = np.array([places[other].start for other in others])[:, None] + np.arange(size)
            each = mine[:, chosen].transpose(1, 0, 2).reshape(len(others), -1)
            self._note(artist, np.array(others), *_middle(each))

    def _note(self, artist: int, others: Int64, low: Float64, high: Float64) -> None:
        """Store the mean of the two middle values, exact, and rounded to float32 (which preserves their order)."""
        medians, rounded = self._medians, self._rounded
        medians[artist, others] = medians[others, artist] = (low + high) / 2
        low, high = (ends.astype(np.float32).astype(np.float64) for ends in (low, high))
        rounded[artist, others] = rounded[others, artist] = (low + high) / 2

    def _show(self, exact: Float64, artist: int, places: dict[int, slice]) -> None:
        """Update the ceiling with some other artists, and hold the blocks of those that may be the nearest rivals."""
        if self._gaps is None or self._ceiling is None:
            return
        held, mine = self._held[artist], exact.astype(np.float32)
        if artist in places:
            own = places[artist]
            held[artist] = mine[:, own].copy()
            others = np.concatenate([mine[:, : own.start], mine[:, own.stop :]], axis=1)
            self._ceiling.add(artist, held[artist], others)
        else:
            self._ceiling.add(artist, held[artist], mine)
        so_far = np.full(len(self.n_works), np.nan)
        seen = [*held, *places]
        so_far[seen] = self._rounded[artist, seen]
        rivals = self._gaps.rivals(artist, so_far)
        for other in [other for other in held if other not in rivals and other != artist]:
            del held[other]
        for other in rivals:
            if other not in held:
                held[other] = mine[:, places[other]].copy()

    def _bootstrap(self, artist: int) -> None:
        if self._gaps is not None:
            self._gaps.add(artist, self._rounded[artist], self._held.pop(artist).__getitem__)


def _groups(artists: Int64, n_works: Int64, n: int, tile_bytes: int) -> Iterator[list[int]]:
    """Yield groups of consecutive artists, each of as many as fit in a tile against n works, at least one."""
    group: list[int] = []
    size = 0
    for artist in artists.tolist():
        size += int(n_works[artist])
        if group and 8 * size * n > tile_bytes:
            yield group
            group, size = [], int(n_works[artist])
        group.append(artist)
    if group:
        yield group


def _columns(
    present: Int64, here: slice, n_works: Int64, n_rows: int, tile_bytes: int, *, whole: bool
) -> Iterator[list[int]]:
    """Yield groups of consecutive artists against which some artists are multiplied: all at once if they fit in a tile.

    Otherwise the artists themselves, ``present[here]``, come first. Unless `whole`, artists before them are left out.
    """
    before, after = present[: here.start] if whole else present[:0], present[here.stop :]
    together = np.concatenate([before, present[here], after])
    if 8 * n_rows * int(n_works[together].sum()) <= tile_bytes:
        yield together.tolist()
        return
    yield present[here].tolist()
    for some in (before, after):
        room = tile_bytes // (8 * n_rows)
        yield from _groups(some, n_works, 1, 8 * room)


def _middle(values: Float64) -> tuple[Float64, Float64]:
    """Return the two middle values of each row (twice the same for an odd number). `values` are reordered."""
    low, high = (values.shape[1] - 1) // 2, values.shape[1] // 2
    values.partition([low, high], axis=1)
    return values[:, low], values[:, high]
