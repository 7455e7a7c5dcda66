"""Several index files as one index, without writing one: what `imindex merge` of the same files would hold.

The order is that of the files as given. Artists and collections are numbered by first appearance. Paths are relative to
the folder of the first file. A picture that is in two files (same artist, collection, path and bytes) is one row, that
of the first file.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import STREAM_ROWS
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.core.paths import PicturePaths, Place, Rebased, merged_roots, require_roots
from imindex.indexer.core.schema import FORMATS_READ, NOBODY, Attribute, Collection, EncoderInfo, Stamps
from imindex.indexer.core.url import Url
from imindex.indexer.store.index import Index
from imindex.indexer.store.joined_vectors import JoinedVectors
from imindex.indexer.store.lineage import are_of_one_split, chained_digest, joined_log, missing_parts
from imindex.indexer.store.raw import Raw
from imindex.indexer.system.index_files import MERGE_FIRST

_ODD, _ODD_TOO = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_EXACT = "exact-fp16"
_NO_DIGEST = bytes(32)
Bool = npt.NDArray[np.bool_]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """One file of several, and how its numbers map to those of all.

    Attributes
    ----------
    index : Index
    artists, collections : ndarray, int32
        The number in all files of each number in this one; one more at the end, for nobody.
    path : Rebased
        Its paths -> paths relative to the folder of the first file.
    rows, rejects : ndarray of int64, or None
        The rows and rejects that count, ascending; None for all.
    """

    index: Index
    artists: npt.NDArray[np.int32]
    collections: npt.NDArray[np.int32]
    path: Rebased
    rows: Int64 | None = None
    rejects: Int64 | None = None

    @property
    def n(self) -> int:
        """Number of rows that count."""
        return self.index.n if self.rows is None else len(self.rows)

    def kept(self, group: str) -> Int64 | None:
        """Return the rows of a table that count; None for all."""
        return self.rows if group == "items" else self.rejects

    def column(self, name: str, group: str) -> npt.NDArray[Any]:
        """Return a column, with the numbers and the paths of all files."""
        values, kept = self.index.column(name, group), self.kept(group)
        values = values if kept is None else values[kept]
        if name in ("artist", "collection"):
            numbers = self.artists if name == "artist" else self.collections
            mapped: npt.NDArray[np.int32] = numbers[values]
            return mapped
        if name == "path" and not self.path.keeps_all:
            return np.array(list(map(self.path, values)), dtype=object)
        return values


class Joined(Index):
    """Several index files, open for reading as one.

    It has the public face of `Index`, and is accepted wherever an open index is read. `vectors` is a `JoinedVectors`.
    There is no approximate index and no `raw()`: what checks or rewrites a file takes one file.

    Parameters
    ----------
    files : sequence of Index
        At least two, in order. They are closed with this index, and if it cannot be made.
    shown : str
        What messages call it; by default the names of the files.
    roots : mapping of str to path-like, optional
        Where the pictures of named roots are now.

    Attributes
    ----------
    parts : tuple of Index
        The files.
    joins : tuple of Part
    notes : tuple of str
        What a user should know: pictures that several files hold, roots that they name differently,
        parts of a split that are missing.
    differing_roots : tuple of str
        Names of roots of which the files name different folders, and the caller none.
    n_repeated : int
        Rows and rejects that are left out, since an earlier file has them.
    root_digest : str
        The digest that chains those of the files (FORMAT.md, "Chained digests").

    Raises
    ------
    ImindexError
        If the files have different encoders, hold the same picture with other bytes, or are copies of each other.
    """

    def __init__(
        self, files: Sequence[Index], shown: str = "", roots: Mapping[str, Place] | None = None
    ) -> None:
        if len(files) < 2:
            raise ValueError("one file is not joined to anything")
        self._parts = tuple(files)
        remote = any(isinstance(file.path, Url) for file in files)
        self.path = Url(shown or _listed(files)) if remote else Path(shown or _listed(files))
        self.close = weakref.finalize(self, _close, self._parts)  # type: ignore[call-arg,arg-type]
        try:
            self._named = require_roots(roots or {})
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        files = self._parts
        _refuse_copies(files)
        self.encoder = common_encoder(files)
        self.version = min((file.version for file in files), key=FORMATS_READ.index)
        self.created_at, self.created_by = min((file.created_at, file.created_by) for file in files)
        self.root_digest = chained_digest([file.root_digest for file in files])
        self._folder = files[0].folder
        self.size = sum(file.size for file in files)
        logs, digests = [file.log() for file in files], [file.root_digest for file in files]
        is_one_split = are_of_one_split(logs, digests)
        # The parts of an index have its names; two names of it that differ by spelling only stay two.
        self.artists, artists = _numbered([file.artists for file in files], exactly=is_one_split)
        self.collections, collections = _numbered_collections(files, exactly=is_one_split)
        notes = missing_parts(logs, digests)
        self.roots: dict[str, str] = {}
        self.differing_roots: tuple[str, ...] = ()
        for file in files:
            for name, folder in file.roots.items():
                first = self.roots.setdefault(name, folder)
                if first != folder and name not in (*self._named, *self.differing_roots):
                    self.differing_roots += (name,)
                    notes.append(
                        f"{file.path} says that the root {name} is {folder}, and an earlier file that it is {first}, "
                        f"which is used. Pass --root {name}=FOLDER to say where it is."
                    )
        joins = [
            Part(file, artists[number], collections[number], Rebased(file.folder, self._folder))
            for number, file in enumerate(files)
        ]
        self.joins, self.n_repeated = (tuple(joins), 0) if is_one_split else _without_repeated(joins)
        if self.n_repeated:
            notes.append(
                f"{self.n_repeated:,} picture{'s' if self.n_repeated != 1 else ''} that several of the files hold "
                f"count{'' if self.n_repeated != 1 else 's'} once."
            )
        self.notes = tuple(notes)
        vectors = JoinedVectors([(part.index.vectors, part.rows) for part in self.joins], self.encoder.dim)
        self.n = len(vectors)
        # It has what readers use of an array, without being one.
        self.vectors = cast("npt.NDArray[np.float16]", vectors)
        self._starts = vectors.starts

    @property
    def is_local(self) -> bool:
        return all(file.is_local for file in self._parts)

    @property
    def parts(self) -> tuple[Index, ...]:
        return self._parts

    @property
    def files(self) -> str | tuple[str, ...]:
        return tuple(str(file.path) for file in self._parts)

    @property
    def n_rejects(self) -> int:
        return sum(part.index.n_rejects if part.rejects is None else len(part.rejects) for part in self.joins)

    @property
    def folder(self) -> Path | Url:
        """The folder of the first file, to which paths are relative."""
        return self._folder

    def places(self) -> PicturePaths:
        return PicturePaths(self._folder, merged_roots(self.roots, self._named))

    def column(self, name: str, group: str = "items") -> npt.NDArray[Any]:
        self.require_open()
        return np.concatenate([part.column(name, group) for part in self.joins])

    def text_at(self, name: str, rows: npt.NDArray[np.int64]) -> list[str]:
        self.require_open()
        chosen = np.asarray(rows, np.int64)
        texts = np.empty(len(chosen), dtype=object)
        owner = self.owners(chosen)
        for number in np.unique(owner).tolist():
            part, places = self.joins[number], np.flatnonzero(owner == number)
            local = chosen[places] - self._starts[number]
            values = part.index.text_at(name, local if part.rows is None else part.rows[local])
            texts[places] = list(map(part.path, values)) if name == "path" else values
        return list(texts)

    def stamps(self) -> tuple[Stamps, Stamps]:
        self.require_open()
        pairs = [part.index.stamps() for part in self.joins]
        items = [
            s if part.rows is None else s[part.rows] for part, (s, _) in zip(self.joins, pairs, strict=True)
        ]
        rejects = [
            s if part.rejects is None else s[part.rejects]
            for part, (_, s) in zip(self.joins, pairs, strict=True)
        ]
        return np.concatenate(items), np.concatenate(rejects)

    def log(self) -> list[dict[str, str]]:
        """Return the changes made to each file, file by file; a line that several files have is there once."""
        self.require_open()
        return joined_log([file.log() for file in self._parts])

    def ann(self) -> dict[str, Attribute]:
        """Return the attributes of no approximate index: several files are searched exactly."""
        exact = (known for file in self._parts if (known := file.ann()).get("kind") == _EXACT)
        return next(exact, {"kind": _EXACT, "metric": "inner-product", "recall": 1.0})

    def ann_bytes(self) -> int:
        return 0

    def ann_data(self) -> npt.NDArray[np.uint8]:
        return np.empty(0, np.uint8)

    def pieces(self) -> Iterator[bytes]:
        raise ImindexError(f"{self.path} is several files. {MERGE_FIRST}")

    def raw(self) -> Raw:
        raise ImindexError(f"{self.path} is several files. {MERGE_FIRST}")

    def owners(self, rows: npt.NDArray[np.integer[Any]]) -> Int64:
        """Return the number of the file that has each of some rows."""
        return np.searchsorted(self._starts, rows, side="right").astype(np.int64) - 1

    def blocks(self, rows: npt.NDArray[np.intp] | None = None) -> Iterator[npt.NDArray[np.float16]]:
        if rows is not None:
            yield from super().blocks(rows)
            return
        for start in range(0, self.n, STREAM_ROWS):
            yield np.asarray(self.vectors[start : start + STREAM_ROWS])


def _listed(files: Sequence[Index]) -> str:
    names = [str(file.path) for file in files]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _close(files: Sequence[Index]) -> None:
    for file in files:
        file.close()


def _refuse_copies(files: Sequence[Index]) -> None:
    known: dict[str, Index] = {}
    for file in files:
        first = known.setdefault(file.root_digest, file)
        if first is not file and (file.n or file.n_rejects):
            raise ImindexError(
                f"{first.path} and {file.path} have the same content (root digest {file.root_digest[:12]}): one is a "
                "copy of the other, and its pictures would count twice. Name one of them."
            )


def common_encoder(files: Sequence[Index]) -> EncoderInfo:
    """Return the encoder of several files: that of the first, or of the first that knows its tokenizer.

    Raises
    ------
    ImindexError
        If their vectors, or the pictures that have one, are not comparable.
    """
    first = files[0]
    for file in files[1:]:
        differences = first.encoder.mismatch(file.encoder)
        if file.encoder.truncated != first.encoder.truncated:
            differences.append(
                f"truncated pictures {first.encoder.truncated} against {file.encoder.truncated}"
            )
        if differences:
            raise ImindexError(
                f"{first.path} and {file.path} have different encoders: {'; '.join(differences)}. Vectors of "
                "different encoders cannot be compared. Name files of one encoder, or build one of them again with "
                "the encoder of the other."
            )
    return next((file.encoder for file in files if file.encoder.tokens_sha256), first.encoder)


def _numbered(
    lists: Sequence[Sequence[str]], *, exactly: bool
) -> tuple[tuple[str, ...], list[npt.NDArray[np.int32]]]:
    """Number names by first appearance.

    Unless `exactly`, a name is also found by its clean spelling; the first spelling stays.
    """
    numbers: dict[str, int] = {}
    names: list[str] = []
    maps = []
    for listed in lists:
        own = set(listed)
        mapped = []
        for name in listed:
            number = numbers.get(name)
            if number is None and not exactly:
                clean = clean_name(name)
                number = numbers.get(clean) if clean == name or clean not in own else None
            if number is None:
                number = len(names)
                names.append(name)
            numbers.setdefault(name, number)
            mapped.append(number)
        for name, number in () if exactly else zip(listed, mapped, strict=True):
            numbers.setdefault(clean_name(name), number)
        maps.append(np.array([*mapped, NOBODY], np.int32))
    return tuple(names), maps


def _numbered_collections(
    files: Sequence[Index], *, exactly: bool
) -> tuple[tuple[Collection, ...], list[npt.NDArray[np.int32]]]:
    """Number collections by first appearance of their name and kind."""
    marked = [[f"{c.kind} {c.name}" for c in file.collections] for file in files]
    names, maps = _numbered(marked, exactly=exactly)
    collections: list[Collection | None] = [None] * len(names)
    owners: list[Index] = [files[0]] * len(names)
    for file, numbers in zip(files, maps, strict=True):
        for own, number in zip(file.collections, numbers.tolist(), strict=False):
            known = collections[number]
            if known is None or not known.generator:
                collections[number] = (
                    own if known is None else Collection(known.name, known.kind, own.generator)
                )
                owners[number] = file
            elif own.generator and own.generator != known.generator:
                raise ImindexError(
                    f"{owners[number].path} and {file.path} both have a collection {own.name}, made by different "
                    "generators. It is one release only if one generator made it. Build one of them again under "
                    "another name (--collection)."
                )
    return tuple(c for c in collections if c is not None), maps


# Pictures in several files


def _without_repeated(joins: Sequence[Part]) -> tuple[tuple[Part, ...], int]:
    """Leave out the rows and rejects that an earlier file has, and return how many they are.

    Raises
    ------
    ImindexError
        If two files hold a picture of the same artist, collection and path with other bytes or another vector.
    """
    shared = _shared_cells(joins)
    keys, owners, places, rejected = [], [], [], []
    if len(shared):
        for number, part in enumerate(joins):
            for reject, table in enumerate(("items", "rejects")):
                cells = _cells(part, table)
                rows = np.flatnonzero(np.isin(cells, shared))
                keys.append(_keys(part, table, rows, cells[rows]))
                owners.append(np.full(len(rows), number))
                places.append(rows)
                rejected.append(np.full(len(rows), reject, np.bool_))
    if not keys:
        return tuple(joins), 0
    key = np.concatenate(keys)
    owner, place, is_reject = np.concatenate(owners), np.concatenate(places), np.concatenate(rejected)
    order = np.argsort(key, kind="stable")
    repeated = np.append(key[order[1:]] == key[order[:-1]], False)
    starts = np.flatnonzero(repeated & ~np.append(False, repeated[:-1]))
    ends = np.flatnonzero(~repeated & np.append(False, repeated[:-1])) + 1
    groups = [order[first:end] for first, end in zip(starts, ends, strict=True)]
    chosen = np.sort(np.concatenate([np.empty(0, np.int64), *groups]))
    known = dict(
        zip(chosen.tolist(), _entries(joins, owner[chosen], is_reject[chosen], place[chosen]), strict=True)
    )
    dropped: dict[tuple[int, bool], list[int]] = {}
    for group in groups:
        pictures: dict[tuple[int, str], list[_Entry]] = {}
        for entry in (known[number] for number in group.tolist()):
            pictures.setdefault((entry.cell, entry.path), []).append(entry)
        for entries in pictures.values():
            for lost in _resolved(joins, entries):
                dropped.setdefault((lost.file, lost.is_reject), []).append(lost.row)
    return (
        tuple(
            Part(
                part.index, part.artists, part.collections, part.path,
                _all_but(part.index.n, dropped.get((number, False))),
                _all_but(part.index.n_rejects, dropped.get((number, True))),
            )
            for number, part in enumerate(joins)
        ),
        sum(map(len, dropped.values())),
    )  # fmt: skip


def _cells(part: Part, group: str) -> Int64:
    """Return a number for the artist and collection of each row or reject."""
    artist, collection = part.column("artist", group), part.column("collection", group)
    cells: Int64 = (artist.astype(np.int64) + 1) * 2**31 + collection
    return cells


def _shared_cells(joins: Sequence[Part]) -> Int64:
    """Return the cells that several files have, or one has for rows and another for rejects."""
    own = [np.unique(np.concatenate([_cells(part, "items"), _cells(part, "rejects")])) for part in joins]
    cells, n = np.unique(np.concatenate(own), return_counts=True)
    return cells[n > 1]


def _paths(part: Part, group: str, rows: Int64) -> list[str]:
    """Return the paths of some rows or rejects, relative to the folder of the first file."""
    paths = part.index.text_at("path", rows) if group == "items" else part.index.column("path", group)[rows]
    return list(paths) if part.path.keeps_all else list(map(part.path, paths))


def _keys(part: Part, group: str, rows: Int64, cells: Int64) -> npt.NDArray[np.uint64]:
    """Return a number for each row: equal for rows of one cell and path, and seldom for others."""
    keys = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), STREAM_ROWS):
        chunk = slice(start, start + STREAM_ROWS)
        paths = _paths(part, group, rows[chunk])
        keys[chunk] = np.fromiter(map(hash, paths), np.int64, len(paths)).view(np.uint64)
    mixed: npt.NDArray[np.uint64] = keys * _ODD + cells.view(np.uint64) * _ODD_TOO
    return mixed


class _Entry(NamedTuple):
    """A row or reject: the number of its file, its number in it, and what identifies the picture."""

    file: int
    is_reject: bool
    row: int
    cell: int
    path: str
    digest: bytes


def _entries(joins: Sequence[Part], owner: Int64, is_reject: Bool, place: Int64) -> list[_Entry]:
    """Read what identifies some rows and rejects, of one file after another."""
    entries: list[_Entry] = []
    for number in np.unique(owner).tolist():
        for reject, table in enumerate(("items", "rejects")):
            part, rows = joins[number], place[(owner == number) & (is_reject == bool(reject))]
            if not len(rows):
                continue
            cells, digests = _cells(part, table)[rows], part.index.column("sha256", table)[rows]
            for row, cell, path, digest in zip(
                rows.tolist(), cells.tolist(), _paths(part, table, rows), digests, strict=True
            ):
                entries.append(_Entry(number, bool(reject), row, cell, path, digest.tobytes()))
    return entries


def _resolved(joins: Sequence[Part], entries: Sequence[_Entry]) -> list[_Entry]:
    """Return which of the rows and rejects of one picture are left out: all but the first row, or the first reject.

    A reject counts only if there is no row; one whose file could not be read gives way to any other.
    """
    first, *others = sorted(entries, key=lambda e: (e.is_reject, e.digest == _NO_DIGEST, e.file, e.row))
    lost = []
    for other in others:
        if other.file == first.file:  # within one file, `imindex verify` finds it
            continue
        if other.digest not in (first.digest, _NO_DIGEST if other.is_reject else first.digest):
            raise _conflict(joins, first, other, "other bytes")
        if not other.is_reject and not np.array_equal(
            joins[first.file].index.vectors[first.row].view(np.uint16),
            joins[other.file].index.vectors[other.row].view(np.uint16),
        ):
            raise _conflict(joins, first, other, "another vector of the same bytes")
        lost.append(other)
    return lost


def _conflict(joins: Sequence[Part], first: _Entry, other: _Entry, what: str) -> ImindexError:
    part, again = joins[first.file].index, joins[other.file].index
    remedy = (
        "Run imindex build again for the older of them, which replaces what has changed, or name only one of them."
        if what == "other bytes"
        else "They were encoded on machines whose arithmetic differs. Build one of them again on the machine of the "
        "other, or remove the pictures from one of them (imindex remove)."
    )
    return ImindexError(f"{part.path} and {again.path} both hold {first.path}, with {what}. {remedy}")


def _all_but(n: int, dropped: Sequence[int] | None) -> Int64 | None:
    if not dropped:
        return None
    kept = np.ones(n, np.bool_)
    kept[list(dropped)] = False
    return np.flatnonzero(kept)
