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
from imindex.stats.validity import Ceiling, CeilingCollector, GapBootstrap, GapCollector

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
        Median cosines; on the diagonal, over the pairs of different works. NaN without a pair.
    n_works : ndarray, shape (A,), int64
    status : tuple of str, length A
        "ok", or the reason for a missing gap: "no works", "one work" or "no other artist".
    """

    gap: Float64
    nearest: Int64
    medians: Float64
    n_works: Int64
    status: tuple[str, ...]

    @classmethod
    def of(cls, medians: Float64, n_works: Int64) -> Discrimination:
        """Derive gaps from the medians between artists."""
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
                for n, lonely in zip(n_works.tolist(), alone.tolist(), strict=True)
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

    def __init__(self, works: Float16, order: Int64, n_works: Int64, keep_bytes: int):
        self._works, self._order = works, order
        self._starts = np.cumsum(n_works) - n_works
        self._n_works = n_works
        self._kept: dict[int, Float64] = {}
        self._room = keep_bytes

    def rows(self, artist: int) -> Int64:
        """Return the artist's works, ascending."""
        start = self._starts[artist]
        return self._order[start : start + self._n_works[artist]]

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


def among_works(
    works: Float16,
    work_artist: Int64,
    n_artists: int,
    *,
    gaps: GapCollector | None = None,
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
    gaps : GapCollector, optional
        A collector for the same works. If given, gaps are bootstrapped and ceilings computed from float32 similarities.
    tile_bytes, keep_bytes, wide_bytes : int
        Approximate size of the similarities, of the similarities within artists, and of the float64 works that are held
        in memory. Results do not depend on them.

    Returns
    -------
    AmongWorks

    Notes
    -----
    Medians are exact. Without `gaps` each pair of artists is multiplied once; with `gaps` twice, from either side.
    """
    with products_alone(), ThreadPoolExecutor(processors()) as pool:
        walk = _Walk(works, work_artist, n_artists, gaps, wide_bytes, pool)
        return walk.run(tile_bytes, AmongWorks(works, walk.order, walk.n_works, keep_bytes))


class _Walk:
    """State of one walk. Each thread of the pool processes one artist at a time."""

    def __init__(
        self,
        works: Float16,
        work_artist: Int64,
        n_artists: int,
        gaps: GapCollector | None,
        wide_bytes: int,
        pool: ThreadPoolExecutor,
    ):
        self.n_works = np.bincount(work_artist, minlength=n_artists)
        self.order = np.argsort(work_artist, kind="stable")
        self._ends = np.cumsum(self.n_works)
        self._works, self._wide, self._pool = works, Widened(works[self.order], wide_bytes), pool
        self._medians = np.full((n_artists, n_artists), np.nan)
        self._rounded = self._medians.copy()  # medians of float32 similarities, for the bootstrap
        self._gaps = gaps
        self._ceiling = None if gaps is None else CeilingCollector(work_artist, n_artists)
        self._held: dict[int, dict[int, Float32]] = {}

    def _columns(self, artist: int, first: int = 0) -> slice:
        """Return the positions of the artist's works in `order`, counted from `first`."""
        end = int(self._ends[artist]) - first
        return slice(end - int(self.n_works[artist]), end)

    def run(self, tile_bytes: int, result: AmongWorks) -> AmongWorks:
        present = np.flatnonzero(self.n_works)
        for artists in _groups(present, self.n_works, len(self._works), tile_bytes):
            rows = slice(self._columns(artists[0]).start, self._columns(artists[-1]).stop)
            top = self._works[self.order[rows]].astype(np.float64)
            self._held = {artist: {} for artist in artists}
            whole = self._gaps is not None
            for others in _columns(artists, self.n_works, len(top), tile_bytes, whole=whole):
                self._process(top, artists, others, result)
            self._each(artists, self._bootstrap)
        result.discrimination = Discrimination.of(self._medians, self.n_works)
        if self._gaps is not None and self._ceiling is not None:
            result.gaps, result.ceiling = self._gaps.finish(), self._ceiling.finish()
        return result

    def _each(self, artists: list[int], do: Callable[[int], None]) -> None:
        for _ in self._pool.map(do, artists):
            pass

    def _process(self, top: Float64, artists: list[int], others: list[int], result: AmongWorks) -> None:
        """Compute and use the similarities of some artists' works to those of others."""
        first, top_first = self._columns(others[0]).start, self._columns(artists[0]).start
        columns = slice(first, self._columns(others[-1]).stop)
        block = self._wide.product(top, columns, pool=self._pool)
        places = {other: self._columns(other, first) for other in others}

        def own_rows(artist: int) -> Float64:
            return block[self._columns(artist, top_first)]

        # A median is used for both of its artists, so all are computed before the first is used.
        self._each(artists, lambda artist: self._find_medians(own_rows(artist), artist, places))
        for artist in artists:
            if artist in places:
                result.keep(artist, own_rows(artist)[:, places[artist]])
        self._each(artists, lambda artist: self._update(own_rows(artist), artist, places))

    def _find_medians(self, own_rows: Float64, artist: int, places: dict[int, slice]) -> None:
        """Compute the medians of an artist with itself and with later artists."""
        if artist in places and len(own_rows) > 1:
            own = own_rows[:, places[artist]]
            low, high = _middle(own[np.tri(len(own), k=-1, dtype=np.bool_)][None])
            self._store(artist, np.array([artist]), low, high)
        by_size: dict[int, list[int]] = {}
        for other, columns in places.items():
            if other > artist:
                by_size.setdefault(columns.stop - columns.start, []).append(other)
        for size, others in by_size.items():
            chosen = np.array([places[other].start for other in others])[:, None] + np.arange(size)
            each = own_rows[:, chosen].transpose(1, 0, 2).reshape(len(others), -1)
            self._store(artist, np.array(others), *_middle(each))

    def _store(self, artist: int, others: Int64, low: Float64, high: Float64) -> None:
        """Store the mean of the two middle values, exact, and rounded to float32 (which preserves their order)."""
        medians, rounded = self._medians, self._rounded
        medians[artist, others] = medians[others, artist] = (low + high) / 2
        low, high = (ends.astype(np.float32).astype(np.float64) for ends in (low, high))
        rounded[artist, others] = rounded[others, artist] = (low + high) / 2

    def _update(self, exact: Float64, artist: int, places: dict[int, slice]) -> None:
        """Update the ceiling with some other artists, and hold the blocks of those that may be the nearest rivals."""
        if self._gaps is None or self._ceiling is None:
            return
        held, own_rows = self._held[artist], exact.astype(np.float32)
        if artist in places:
            own = places[artist]
            held[artist] = own_rows[:, own].copy()
            others = np.concatenate([own_rows[:, : own.start], own_rows[:, own.stop :]], axis=1)
            self._ceiling.add(artist, held[artist], others)
        else:
            self._ceiling.add(artist, held[artist], own_rows)
        so_far = np.full(len(self.n_works), np.nan)
        seen = [*held, *places]
        so_far[seen] = self._rounded[artist, seen]
        rivals = self._gaps.rivals(artist, so_far)
        for other in [other for other in held if other not in rivals and other != artist]:
            del held[other]
        for other in rivals:
            if other not in held:
                held[other] = own_rows[:, places[other]].copy()

    def _bootstrap(self, artist: int) -> None:
        if self._gaps is not None:
            self._gaps.add(artist, self._rounded[artist], self._held.pop(artist).__getitem__)


def _groups(present: Int64, n_works: Int64, n: int, tile_bytes: int) -> Iterator[list[int]]:
    """Yield groups of consecutive artists, each of as many as fit in a tile against n works, at least one."""
    group: list[int] = []
    size = 0
    for artist in present.tolist():
        size += int(n_works[artist])
        if group and 8 * size * n > tile_bytes:
            yield group
            group, size = [], int(n_works[artist])
        group.append(artist)
    if group:
        yield group


def _columns(
    artists: list[int], n_works: Int64, n_rows: int, tile_bytes: int, *, whole: bool
) -> Iterator[list[int]]:
    """Yield groups of consecutive artists against which some artists are multiplied: all at once if they fit in a tile.

    Otherwise the artists themselves come first. If `whole` is False, artists before them are omitted.
    """
    present = np.flatnonzero(n_works)
    after = present[present > artists[-1]]
    before = present[present < artists[0]] if whole else present[:0]
    together = np.concatenate([before, artists, after])
    if 8 * n_rows * int(n_works[together].sum()) <= tile_bytes:
        yield together.tolist()
        return
    yield artists
    for others in (before, after):
        room = tile_bytes // (8 * n_rows)
        yield from _groups(others, n_works, 1, 8 * room)


def _middle(values: Float64) -> tuple[Float64, Float64]:
    """Return the two middle values of each row (twice the same for an odd number). `values` are reordered."""
    low, high = (values.shape[1] - 1) // 2, values.shape[1] // 2
    values.partition([low, high], axis=1)
    return values[:, low], values[:, high]
