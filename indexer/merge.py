"""The rows of the new index: those of the old one, and what was found in the sources.

A row is a picture file of an artist in a collection, known by its path. Its bytes may move (a new path for
the row), change (a new row in place of the old), or be shared with other rows (one vector, several rows).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.contents import (
    NO_STAMP,
    NOBODY,
    STREAM_ROWS,
    Collection,
    Columns,
    Contents,
    EncoderInfo,
    Stamp,
    item_columns,
    reject_columns,
    stamp_rows,
    without_rows,
)
from indexer.parts import Parts
from indexer.provenance import now, program
from indexer.reader import NO_DIGEST, UNLISTED
from indexer.seen import StoredPaths
from indexer.sources import Item
from indexer.store import Index

_Key = tuple[int, int, str]
"""Artist, collection, path: what makes a picture a row."""


@dataclass(frozen=True, slots=True)
class Found:
    """A picture of the sources, the digest of its bytes, why it was rejected, if it was, and its file's stamp."""

    item: Item
    digest: bytes
    reason: str = ""
    stamp: Stamp = NO_STAMP


@dataclass
class Merged:
    """The new index, but for its vectors, and what became of the pictures that were found.

    Attributes
    ----------
    contents : Contents
    old_rows : (k,) int
        The rows of the old index that are kept; the new index begins with them.
    new_digests : list of bytes
        The pictures of the rows that follow.
    rejected : list of Found
    unchanged, moved, replaced, added, repeated, pruned : int
        `repeated` pictures were given more than once; `pruned` rows were not given, and go.
    changed : bool
        Whether the new index differs from the old one at all, but for stamps.
    restamped : int
        Bytes of the files that are as they were, but had to be read, and have a stamp now.
    """

    contents: Contents
    old_rows: npt.NDArray[np.intp]
    new_digests: list[bytes]
    rejected: list[Found]
    unchanged: int = 0
    moved: int = 0
    replaced: int = 0
    added: int = 0
    repeated: int = 0
    pruned: int = 0
    changed: bool = False
    restamped: int = 0

    def vectors(self, old: Index | None, parts: Parts) -> Iterator[npt.NDArray[np.float16]]:
        """Yield the vectors of the new index in blocks, in the order of its rows."""
        if old is not None:
            yield from old.blocks(self.old_rows)
        wanted = {digest for digest in self.new_digests if digest not in parts.numbers}
        shared: dict[bytes, int] = {}
        if wanted and old is not None:
            for row, digest in enumerate(old.column("sha256")):
                if bytes(digest) in wanted:
                    shared.setdefault(bytes(digest), row)
        for start in range(0, len(self.new_digests), STREAM_ROWS):
            digests = self.new_digests[start : start + STREAM_ROWS]
            block = np.empty((len(digests), self.contents.encoder.dim), np.float16)
            from_parts = [i for i, digest in enumerate(digests) if digest not in wanted]
            block[from_parts] = parts.collect([digests[i] for i in from_parts])[0]
            for i, digest in enumerate(digests):
                if digest in wanted:
                    assert old is not None
                    block[i] = old.vectors[shared[digest]]
            yield block


def merge(
    old: Index | None,
    found: Sequence[Found],
    encoder: EncoderInfo,
    parts: Parts,
    folder: Path,
    *,
    prune: bool = False,
) -> Merged:
    """Work out the rows of the new index.

    Parameters
    ----------
    old : Index, optional
    found : sequence of Found
        In the order of the sources; rejections that `parts` knows are looked up there.
    encoder : EncoderInfo
    parts : Parts
    folder : Path
        Of the index; paths are stored relative to it.
    prune : bool
        Take out the rows and rejects that are not among `found`.
    """
    return _Merge(old, encoder, parts, folder).run(found, prune)


@dataclass
class _Names:
    """Names numbered in the order of their first appearance."""

    listed: list[Any]
    numbers: dict[Any, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = {name: number for number, name in enumerate(self.listed)}

    def number(self, name: Any) -> int:
        if name not in self.numbers:
            self.numbers[name] = len(self.listed)
            self.listed.append(name)
        return self.numbers[name]


class _Merge:
    def __init__(self, old: Index | None, encoder: EncoderInfo, parts: Parts, folder: Path):
        self._encoder = encoder
        self._parts = parts
        self._folder = folder
        self._path = StoredPaths(folder)
        self._old = old
        self._base = old.contents() if old else _nothing(encoder)
        self._artists = _Names(list(self._base.artists))
        self._collections = _Names([(c.name, c.kind) for c in self._base.collections])
        items, rejects = self._base.items, self._base.rejects
        self._items: Columns = {name: values.copy() for name, values in items.items()}
        self._stamps, self._reject_stamps = (stamps.copy() for stamps in self._base.stamps())
        self._keep = np.ones(len(items["path"]), bool)
        self._keep_rejects = np.ones(len(rejects["path"]), bool)
        self._row_of = _rows_by_key(items)
        self._reject_of = _rows_by_key(rejects)
        self._found_keys: dict[_Key, bool] = {}
        """Of all that was found, whether its turn has come."""
        self._new: list[tuple[_Key, Found]] = []
        self._new_rejects: list[tuple[_Key, Found]] = []
        self._described = False
        self._merged = Merged(self._base, np.empty(0, np.intp), [], [])

    @cached_property
    def _rows_of_bytes(self) -> dict[bytes, list[int]]:
        """Rows by the digest of their bytes; where nothing is new, nobody asks."""
        rows: dict[bytes, list[int]] = {}
        for row, digest in enumerate(self._base.items["sha256"]):
            rows.setdefault(bytes(digest), []).append(row)
        return rows

    def run(self, found: Sequence[Found], prune: bool) -> Merged:
        merged = self._merged
        keys = [self._key(one.item) for one in found]
        self._found_keys = dict.fromkeys(keys, False)
        for key, one in zip(keys, found, strict=True):
            if self._found_keys[key]:
                merged.repeated += 1
                continue
            self._found_keys[key] = True
            reason = one.reason or self._parts.rejected.get(one.digest, "")
            if reason:
                self._reject(key, replace(one, reason=reason))
            else:
                self._accept(key, one)
        if prune:
            self._prune()
        return self._finish()

    def _prune(self) -> None:
        rejected = self._merged.rejected
        unlisted = tuple(
            f"{self._path(one.item.path)}/" for one in rejected if one.reason.startswith(UNLISTED)
        )

        def left_out(key: _Key) -> bool:  # nobody knows of what lies in a folder that cannot be listed
            return key not in self._found_keys and not key[2].startswith(unlisted)

        for key, row in self._row_of.items():
            if left_out(key) and self._items["path"][row] == key[2] and self._keep[row]:
                self._keep[row] = False
                self._merged.pruned += 1
        for key, reject in self._reject_of.items():
            if left_out(key):
                self._keep_rejects[reject] = False

    def _key(self, item: Item) -> _Key:
        artist = self._artists.number(item.artist) if item.artist else NOBODY
        collection = self._collections.number((item.collection, item.kind))
        return artist, collection, self._path(item.path)

    def _accept(self, key: _Key, one: Found) -> None:
        merged, row = self._merged, self._row_of.get(key)
        if key in self._reject_of:
            self._keep_rejects[self._reject_of[key]] = False
        if row is not None and bytes(self._items["sha256"][row]) == one.digest:
            merged.unchanged += 1
            self._describe(row, one.item)
            self._restamp(self._stamps, row, one.stamp)
            return
        moved = self._moved_from(key, one.digest)
        if row is not None:
            self._keep[row] = False
            merged.replaced += 1
            if moved is not None:  # renamed over it: one file, one row
                self._keep[moved] = False
        elif moved is not None:
            self._items["path"][moved] = key[2]
            self._row_of[key] = moved
            self._describe(moved, one.item)
            self._stamps[moved] = one.stamp
            merged.moved += 1
            return
        else:
            merged.added += 1
        self._new.append((key, one))
        merged.new_digests.append(one.digest)

    def _moved_from(self, key: _Key, digest: bytes) -> int | None:
        """Return the row of the same bytes, artist and collection whose own file is gone."""
        for row in self._rows_of_bytes.get(digest, ()):
            artist, collection, path = (self._items[name][row] for name in ("artist", "collection", "path"))
            there = (int(artist), int(collection), path)
            if there[:2] != key[:2] or there in self._found_keys or not self._keep[row]:
                continue
            if not os.path.exists(os.path.normpath(self._folder.absolute() / path)):  # noqa: PTH110 - as stored_path
                return row
        return None

    def _describe(self, row: int, item: Item) -> None:
        """Take over what a manifest now says of an unchanged picture; silence changes nothing."""
        for name, value in _said_of(item).items():
            if value not in ("", -1) and self._items[name][row] != value:
                self._items[name][row] = value
                self._described = True

    def _reject(self, key: _Key, one: Found) -> None:
        self._merged.rejected.append(one)
        row, reject = self._row_of.get(key), self._reject_of.get(key)
        if row is not None and one.digest != NO_DIGEST:  # bytes that were not read have not changed
            self._keep[row] = False
        if reject is not None:
            same = bytes(self._base.rejects["sha256"][reject]) == one.digest
            if same and self._base.rejects["reason"][reject] == one.reason:
                self._restamp(self._reject_stamps, reject, one.stamp)
                return
            self._keep_rejects[reject] = False
        self._new_rejects.append((key, one))

    def _restamp(self, stamps: npt.NDArray[np.int64], row: int, stamp: Stamp) -> None:
        if stamp != NO_STAMP and stamp != tuple(stamps[row].tolist()):
            stamps[row] = stamp
            self._merged.restamped += stamp[0]

    def _finish(self) -> Merged:
        merged = self._merged
        new = item_columns(_row(key, one) | _said_of(one.item) | _NO_SIZE for key, one in self._new)
        new["width"], new["height"] = self._sizes(merged.new_digests).T
        new_rejects = reject_columns(
            _row(key, one) | {"reason": one.reason} for key, one in self._new_rejects
        )
        generators = {(c.name, c.kind): c.generator for c in self._base.collections}
        contents = Contents(
            encoder=self._encoder,
            artists=self._artists.listed,
            collections=[
                Collection(name, kind, generators.get((name, kind), {}))
                for name, kind in self._collections.listed
            ],
            items=_stack(self._items, new),
            rejects=_stack(self._base.rejects, new_rejects),
            log=self._base.log,
            created_at=self._base.created_at,
            created_by=self._base.created_by,
            item_stamps=np.concatenate([self._stamps, stamp_rows(one.stamp for _, one in self._new)]),
            reject_stamps=np.concatenate(
                [self._reject_stamps, stamp_rows(one.stamp for _, one in self._new_rejects)]
            ),
        )
        merged.contents = without_rows(
            contents,
            np.concatenate([self._keep, np.ones(len(self._new), bool)]),
            np.concatenate([self._keep_rejects, np.ones(len(self._new_rejects), bool)]),
        )
        merged.old_rows = np.flatnonzero(self._keep)
        merged.changed = bool(
            merged.moved
            or self._new
            or self._new_rejects
            or self._described
            or not self._keep.all()
            or not self._keep_rejects.all()
        )
        return merged

    def _sizes(self, digests: Sequence[bytes]) -> npt.NDArray[np.int32]:
        sizes = np.zeros((len(digests), 2), np.int32)
        from_parts = [i for i, digest in enumerate(digests) if digest in self._parts.numbers]
        for start in range(0, len(from_parts), STREAM_ROWS):
            block = from_parts[start : start + STREAM_ROWS]
            sizes[block] = self._parts.collect([digests[i] for i in block])[1]
        for i, digest in enumerate(digests):
            if digest not in self._parts.numbers:
                row = self._rows_of_bytes[digest][0]
                sizes[i] = self._items["width"][row], self._items["height"][row]
        return sizes


_NO_SIZE = {"width": 0, "height": 0}


def _row(key: _Key, one: Found) -> dict[str, Any]:
    return {"artist": key[0], "collection": key[1], "path": key[2], "sha256": one.digest}


def _said_of(item: Item) -> dict[str, Any]:
    return {"prompt": item.prompt, "seed": item.seed, "caption": item.caption}


def _rows_by_key(table: Columns) -> dict[_Key, int]:
    keys = zip(table["artist"].tolist(), table["collection"].tolist(), table["path"], strict=True)
    return {key: row for row, key in enumerate(keys)}


def _stack(first: Columns, second: Columns) -> Columns:
    return {
        name: np.concatenate([values, second[name].astype(values.dtype)]) for name, values in first.items()
    }


def _nothing(encoder: EncoderInfo) -> Contents:
    return Contents(
        encoder=encoder,
        artists=(),
        collections=(),
        items=item_columns(()),
        rejects=reject_columns(()),
        created_at=now(),
        created_by=program(),
    )
