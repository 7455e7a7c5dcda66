"""Select pictures of an open index, as the arrays that classification and matching take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import as_stored
from imindex.indexer.store.index import Index
from imindex.retrieval.vectors.blocks import Float16, Int64, blocks


@dataclass(frozen=True, eq=False)
class Pictures:
    """Some rows of an index, in the order of the rows.

    Attributes
    ----------
    rows : ndarray, shape (n,), int64
    vectors : ndarray, shape (n, d), float16
    artist : ndarray, shape (n,), int64
        Number in `Index.artists`; -1 for none.
    """

    rows: Int64
    vectors: Float16
    artist: Int64

    def of(self, artists: Sequence[int]) -> Pictures:
        """Return the pictures of `artists`."""
        return self._at(np.isin(self.artist, artists))

    def without(self, artists: Sequence[int]) -> Pictures:
        """Return the pictures that are not of `artists`."""
        return self._at(~np.isin(self.artist, artists))

    def followed_by(self, others: Pictures) -> Pictures:
        """Return these pictures, and then the others. The rows are no longer in order."""
        if not len(others.rows):
            return self
        return Pictures(
            np.concatenate([self.rows, others.rows]),
            np.concatenate([self.vectors, others.vectors]),
            np.concatenate([self.artist, others.artist]),
        )

    def _at(self, kept: npt.NDArray[np.bool_]) -> Pictures:
        return Pictures(self.rows[kept], self.vectors[kept], self.artist[kept])


def distinct(chosen: Pictures) -> tuple[Pictures, int]:
    """Exclude duplicates: keep each picture once per artist, and count the repetitions.

    Identical files, and nearly always identical pixels, have the same vector. A picture that is repeated twenty times
    counts once; otherwise a set, or an artist's works, would seem more consistent than they are.
    """
    group = same_pictures(chosen)
    first = np.unique(group)
    if len(first) == len(group):
        return chosen, 0
    kept = Pictures(chosen.rows[first], chosen.vectors[first], chosen.artist[first])
    return kept, len(group) - len(first)


def same_pictures(chosen: Pictures) -> Int64:
    """Find repetitions: pictures with the same vector and the same artist.

    Returns
    -------
    ndarray, shape (n,), int64
        For each picture, the position of the first picture that is the same, which may be its own.
    """
    return _same_rows(_bits(chosen.vectors), chosen.artist)


def same_files(sha256: npt.NDArray[np.uint8], artist: npt.NDArray[np.integer[Any]]) -> Int64:
    """Find repetitions: files with the same bytes and the same artist.

    Parameters
    ----------
    sha256 : ndarray, shape (n, 32), uint8
        Digests of the files.
    artist : ndarray, shape (n,), integers

    Returns
    -------
    ndarray, shape (n,), int64
        For each file, the position of the first file that is the same, which may be its own.
    """
    return _same_rows(np.ascontiguousarray(sha256).view(np.uint16), artist.astype(np.int64))


def row_keys(bits: npt.NDArray[np.uint16], artist: Int64) -> npt.NDArray[np.uint64]:
    """Return a key of each row and artist. Equal rows of an artist have equal keys; others hardly ever do.

    Parameters
    ----------
    bits : ndarray, shape (n, d), uint16
    artist : ndarray, shape (n,), int64

    Returns
    -------
    ndarray, shape (n,), uint64
    """
    n, d = bits.shape
    odd = np.random.default_rng(0).integers(0, 2**63, d + 1, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    key: npt.NDArray[np.uint64] = artist.astype(np.uint64) * odd[d]
    for rows in blocks(n, d):
        key[rows] += bits[rows].astype(np.uint64) @ odd[:d]
    return key


def same_pictures_at(vectors_at: Callable[[Int64], Float16], artist: Int64, dim: int) -> Int64:
    """Return `same_pictures` of pictures whose vectors are read block by block.

    Parameters
    ----------
    vectors_at : callable
        Returns the vectors of some pictures, (k, dim) float16, given their positions.
    artist : ndarray, shape (n,), int64
    dim : int
    """
    key = np.empty(len(artist), np.uint64)
    for rows in blocks(len(artist), dim):
        positions = np.arange(rows.start, rows.stop)
        key[rows] = row_keys(_bits(vectors_at(positions)), artist[rows])
    return same_by_keys(key, artist, lambda positions: _bits(vectors_at(positions)))


def _bits(vectors: Float16) -> npt.NDArray[np.uint16]:
    return np.ascontiguousarray(vectors).view(np.uint16)


def same_by_keys(
    key: npt.NDArray[np.uint64], artist: Int64, content: Callable[[Int64], npt.NDArray[np.uint16]]
) -> Int64:
    """Find repetitions, given the `row_keys`. Only rows whose keys repeat are read.

    Parameters
    ----------
    key : ndarray, shape (n,), uint64
    artist : ndarray, shape (n,), int64
    content : callable
        Returns some rows, (k, d) uint16, given their positions.

    Returns
    -------
    ndarray, shape (n,), int64
        For each row, the position of the first row that is the same, which may be its own.
    """
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    group = np.asarray(first[inverse], np.int64)
    repeated = np.flatnonzero(group != np.arange(len(key)))
    if not len(repeated):
        return group
    to_compare = np.flatnonzero(np.isin(inverse, inverse[repeated]))
    # Rows of equal keys one after the other, so that few rows are held.
    to_compare = to_compare[np.argsort(inverse[to_compare], kind="stable")]
    known: dict[tuple[int, bytes], int] = {}
    last = -1
    for rows in blocks(len(to_compare), 1, 8 * 4096):
        positions = to_compare[rows]
        for position, row in zip(positions.tolist(), content(positions), strict=True):
            if inverse[position] != last:
                last = inverse[position]
                known.clear()
            group[position] = known.setdefault((int(artist[position]), row.tobytes()), position)
    return group


def _same_rows(bits: npt.NDArray[np.uint16], artist: Int64) -> Int64:
    return same_by_keys(row_keys(bits, artist), artist, lambda rows: bits[rows])


def rows_of(index: Index, *kinds: str, collections: Sequence[str] = ()) -> tuple[Int64, Int64]:
    """Return the rows of the pictures of some kinds, optionally only those of some collections, and their artists.

    Raises
    ------
    ImindexError
        If there are none.
    """
    require_rows(index)
    numbers = [
        number
        for number, c in enumerate(index.collections)
        if c.kind in kinds and (not collections or c.name in collections)
    ]
    rows = np.flatnonzero(np.isin(index.column("collection"), numbers))
    if not len(rows):
        raise ImindexError(
            f"{index.path} has no {kinds[0]}{' of ' + ', '.join(collections) if collections else ''}. "
            f"Add some: `imindex build {kinds[0]}/ -i {index.path}`."
        )
    artist = index.column("artist")[rows].astype(np.int64)
    if "control" not in kinds and artist.min() < 0:
        raise ImindexError(
            f"{index.path}: {int((artist < 0).sum()):,} of the {' and '.join(kinds)} have no artist, which no build "
            f"writes. Restore the file from a backup, or build it again."
        )
    return rows, artist


def pictures(index: Index, *kinds: str, collections: Sequence[str] = ()) -> Pictures:
    """Return the pictures of some kinds, optionally only those of some collections.

    Raises
    ------
    ImindexError
        If there are none.
    """
    rows, artist = rows_of(index, *kinds, collections=collections)
    return Pictures(rows, np.asarray(index.vectors[rows]), artist)


def without_vectors(index: Index, *kinds: str, collections: Sequence[str] = ()) -> Pictures:
    """Return `pictures` with vectors of length 0, where only rows and artists are needed."""
    rows, artist = rows_of(index, *kinds, collections=collections)
    return Pictures(rows, np.empty((len(rows), 0), np.float16), artist)


def release(index: Index, name: str | None, kinds: Sequence[str] = ("imitations",)) -> tuple[str, str]:
    """Return the name and the kind of a collection; by default of the only release.

    Raises
    ------
    ImindexError
        If there is no such collection, or there are several releases and `name` is None.
    """
    require_rows(index)
    collections = [(c.name, c.kind) for c in index.collections if c.kind in kinds]
    if name is not None:
        (name,) = as_stored([name], [c for c, _ in collections])
    listed = ", ".join(sorted(c for c, _ in collections)) or "none"
    if name is not None:
        for kind in kinds:  # collections of several kinds can share a name; the first kind takes precedence
            if (name, kind) in collections:
                return name, kind
        raise ImindexError(f"{index.path} has no collection {name} of {' or '.join(kinds)}. It has {listed}.")
    releases = [(c, kind) for c, kind in collections if kind == "imitations"]
    if len(releases) == 1:
        return releases[0]
    if not releases:
        raise ImindexError(
            f"{index.path} has no imitations. Add a release: `imindex build imitations/ -i {index.path}`."
        )
    listed = ", ".join(sorted(c for c, _ in releases))
    raise ImindexError(
        f"{index.path} has several releases: {listed}. Pass one of them as the release (--collection)."
    )


def require_rows(index: Index) -> None:
    """Refuse an index without rows.

    Raises
    ------
    ImindexError
    """
    if index.n:
        return
    rejects = index.n_rejects
    only = f", only {rejects:,} reject{'s' if rejects != 1 else ''}" if rejects else ""
    raise ImindexError(
        f"{index.path} holds no pictures{only}: there is nothing to search or test. See `imindex info --rejects -i "
        f"{index.path}`, and build it from pictures that can be read."
    )


def artist_numbers(index: Index, names: Sequence[str]) -> list[int]:
    """Return the numbers of these artists.

    Raises
    ------
    ImindexError
        If an artist is not in the index.
    """
    names = as_stored(names, index.artists)
    missing = [name for name in names if name not in index.artists]
    if missing:
        raise ImindexError(
            f"{index.path} has no artist {', '.join(missing)}. See `imindex info --artists -i {index.path}`."
        )
    return [number for number, artist in enumerate(index.artists) if artist in names]


def artist_mask(index: Index, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Mark the rows of these artists.

    Raises
    ------
    ImindexError
        If an artist is not in the index.
    """
    return np.isin(index.column("artist"), artist_numbers(index, names))
