"""Several index files as one index, without writing one: what `imindex merge` of the same files would hold.

The order is that of the files as given. Artists and collections are numbered by first appearance. Paths are relative to
the folder of the first file. A picture that is in two files (same artist, collection, path and bytes) is one row, that
of the first file.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import STREAM_ROWS, encode_text
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.core.paths import PicturePaths, Place, Rebased, merged_roots, require_roots
from imindex.indexer.core.schema import FORMATS_READ, NOBODY, Attribute, Collection, EncoderInfo, Stamps
from imindex.indexer.core.url import Url
from imindex.indexer.store.index import Index
from imindex.indexer.store.joined_vectors import JoinedVectors
from imindex.indexer.store.lineage import chained_digest, joined_log, part_of
from imindex.indexer.store.raw import Raw
from imindex.indexer.system.index_files import MERGE_FIRST

_KEY = 16
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
        What a user should know: pictures that several files hold, roots that they name differently.
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
        self.artists, artists = _numbered([file.artists for file in files])
        self.collections, collections = _numbered_collections(files)
        notes = []
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
        self.joins, self.n_repeated = _without_repeated(joins)
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


def _numbered(lists: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], list[npt.NDArray[np.int32]]]:
    """Number names by first appearance. A name is also found by its clean spelling; the first spelling stays."""
    numbers: dict[str, int] = {}
    names: list[str] = []
    maps = []
    for listed in lists:
        own = set(listed)
        mapped = []
        for name in listed:
            number = numbers.get(name)
            if number is None:
                clean = clean_name(name)
                number = numbers.get(clean) if clean == name or clean not in own else None
            if number is None:
                number = len(names)
                names.append(name)
            numbers.setdefault(name, number)
            mapped.append(number)
        for name, number in zip(listed, mapped, strict=True):
            numbers.setdefault(clean_name(name), number)
        maps.append(np.array([*mapped, NOBODY], np.int32))
    return tuple(names), maps


def _numbered_collections(
    files: Sequence[Index],
) -> tuple[tuple[Collection, ...], list[npt.NDArray[np.int32]]]:
    """Number collections by first appearance of their name and kind."""
    marked = [[f"{c.kind} {c.name}" for c in file.collections] for file in files]
    names, maps = _numbered(marked)
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
    if _are_of_one_split([part.index for part in joins]):
        return tuple(joins), 0
    shared = _shared_cells(joins)
    keys, owners, places, rejected = [], [], [], []
    if len(shared):
        for number, part in enumerate(joins):
            for reject, table in enumerate(("items", "rejects")):
                rows = np.flatnonzero(np.isin(_cells(part, table), shared))
                keys.append(_keys(part, table, rows))
                owners.append(np.full(len(rows), number))
                places.append(rows)
                rejected.append(np.full(len(rows), reject, np.bool_))
    if not keys:
        return tuple(joins), 0
    key = np.ascontiguousarray(np.concatenate(keys)).view(f"V{_KEY}").ravel()
    owner, place, is_reject = np.concatenate(owners), np.concatenate(places), np.concatenate(rejected)
    order = np.argsort(key, kind="stable")
    same = key[order[1:]] == key[order[:-1]]
    dropped: dict[tuple[int, bool], list[int]] = {}
    firsts = np.flatnonzero(np.append(True, ~same))
    for first, end in zip(firsts.tolist(), np.append(firsts[1:], len(order)).tolist(), strict=True):
        if end - first < 2:
            continue
        group = order[first:end]
        for lost in _resolved(joins, [(int(owner[g]), bool(is_reject[g]), int(place[g])) for g in group]):
            dropped.setdefault(lost[:2], []).append(lost[2])
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


def _are_of_one_split(files: Sequence[Index]) -> bool:
    """Return whether the logs say that all files are different parts of one index, unchanged since it was split."""
    parts = [part_of(file.log()[-1:], file.root_digest) for file in files]
    known = [part for part in parts if part is not None]
    return (
        len(known) == len(files)
        and len({(part.root, part.total) for part in known}) == 1
        and len({part.number for part in known}) == len(known)
    )


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


def _keys(part: Part, group: str, rows: Int64) -> npt.NDArray[np.uint8]:
    """Return digests of artist, collection and path of some rows, (n, 16) uint8."""
    cells = _cells(part, group)[rows]
    digests = []
    for start in range(0, len(rows), STREAM_ROWS):
        chunk = rows[start : start + STREAM_ROWS]
        paths = (
            part.index.text_at("path", chunk) if group == "items" else part.index.column("path", group)[chunk]
        )
        digests += [
            hashlib.blake2b(f"{cell} ".encode() + encode_text(part.path(path)), digest_size=_KEY).digest()
            for cell, path in zip(cells[start : start + STREAM_ROWS].tolist(), paths, strict=True)
        ]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _KEY)


Entry = tuple[int, bool, int]
"""A row or reject: number of its file, whether it is a reject, number in the file."""


def _resolved(joins: Sequence[Part], entries: Sequence[Entry]) -> list[Entry]:
    """Return which of the rows and rejects of one picture are left out: all but the first row, or the first reject.

    A reject counts only if there is no row; one whose file could not be read gives way to any other.
    """

    def bytes_of(entry: Entry) -> bytes:
        number, is_reject, row = entry
        return joins[number].index.digest_at(row, "rejects" if is_reject else "items")

    ordered = sorted(entries, key=lambda e: (e[1], bytes_of(e) == _NO_DIGEST, e[0], e[2]))
    first, digest = ordered[0], bytes_of(ordered[0])
    lost = []
    for other in ordered[1:]:
        if other[0] == first[0]:  # within one file, `imindex verify` finds it
            continue
        number, is_reject, row = other
        if bytes_of(other) not in (digest, _NO_DIGEST if is_reject else digest):
            raise _conflict(joins, first, other, "other bytes")
        if not is_reject and not np.array_equal(
            joins[first[0]].index.vectors[first[2]].view(np.uint16),
            joins[number].index.vectors[row].view(np.uint16),
        ):
            raise _conflict(joins, first, other, "another vector of the same bytes")
        lost.append(other)
    return lost


def _conflict(joins: Sequence[Part], first: Entry, other: Entry, what: str) -> ImindexError:
    part, again = joins[first[0]], joins[other[0]]
    path = part.index.column("path", "rejects" if first[1] else "items")[first[2]]
    remedy = (
        "Run imindex build again for the older of them, which replaces what has changed, or name only one of them."
        if what == "other bytes"
        else "They were encoded on machines whose arithmetic differs. Build one of them again on the machine of the "
        "other, or remove the pictures from one of them (imindex remove)."
    )
    return ImindexError(
        f"{part.index.path} and {again.index.path} both hold {part.path(path)}, with {what}. {remedy}"
    )


def _all_but(n: int, dropped: Sequence[int] | None) -> Int64 | None:
    if not dropped:
        return None
    kept = np.ones(n, np.bool_)
    kept[list(dropped)] = False
    return np.flatnonzero(kept)
