"""Work out the rows of the new index from those of the old one and the pictures of the sources.

A row is one picture file of an artist in a collection, identified by its path. Its bytes may move (the row gets a new
path), change (a new row replaces the old one), or be shared with other rows (several rows, one vector).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.build.row_keys import Key, Names, Paths
from imindex.indexer.build.same_files import SameFiles
from imindex.indexer.build.scan import Scan, Scanned
from imindex.indexer.core.digest import STREAM_ROWS
from imindex.indexer.core.paths import PicturePaths, StoredPaths
from imindex.indexer.core.provenance import now, program
from imindex.indexer.core.schema import (
    ITEM_DTYPES,
    NO_SEED,
    NO_STAMP,
    NOBODY,
    OPTIONAL_DTYPES,
    Collection,
    Columns,
    Contents,
    EncoderInfo,
    Stamp,
    digests_of,
    item_columns,
    reject_columns,
    stamp_rows,
    without_rows,
)
from imindex.indexer.runners.base import NO_DIGEST
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.local import UNLISTED
from imindex.indexer.sources.read import is_gone
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import unchanged_blocks


@dataclass
class Merged:
    """The new index without its vectors, and counts of what happened to each picture.

    Attributes
    ----------
    contents : Contents
    old_rows : (k,) int
        The rows of the old index that are kept; the new index begins with them.
    rejected : list of Scanned
    unchanged, moved, replaced, added, repeated, pruned, relinked : int
        `repeated` counts pictures listed more than once, `pruned` rows removed because they are not in the sources,
        `relinked` rows with a new path to the same file.
    changed : bool
        Whether the new index differs from the old one in anything except stamps.
    restamped : int
        Total size in bytes of unchanged files that had to be read and now have a stamp.
    pruned_rows, pruned_rejects : list of int
        Rows and rejects of the old index that `prune` removes.
    """

    contents: Contents
    old_rows: npt.NDArray[np.intp]
    rejected: list[Scanned]
    unchanged: int = 0
    moved: int = 0
    replaced: int = 0
    added: int = 0
    repeated: int = 0
    pruned: int = 0
    relinked: int = 0
    changed: bool = False
    restamped: int = 0
    pruned_rows: list[int] = field(default_factory=list)
    pruned_rejects: list[int] = field(default_factory=list)

    def vectors(self, old: Index | None, parts: Parts) -> Iterator[npt.NDArray[np.float16]]:
        """Yield the vectors of the new index in blocks, in the order of its rows."""
        if old is not None:
            yield from unchanged_blocks(old, self.old_rows)
        new = self.contents.items["sha256"][len(self.old_rows) :]
        from_old = {digest for digest in digests_of(new) if digest not in parts.numbers}
        old_row: dict[bytes, int] = {}
        if from_old and old is not None:
            for row, digest in enumerate(digests_of(old.column("sha256"))):
                if digest in from_old:
                    old_row.setdefault(digest, row)
        for start in range(0, len(new), STREAM_ROWS):
            digests = list(digests_of(new[start : start + STREAM_ROWS]))
            block = np.empty((len(digests), self.contents.encoder.dim), np.float16)
            from_parts = [i for i, digest in enumerate(digests) if digest not in from_old]
            block[from_parts] = parts.collect([digests[i] for i in from_parts])[0]
            for i, digest in enumerate(digests):
                if digest in from_old:
                    assert old is not None
                    block[i] = old.vectors[old_row[digest]]
            yield block


def merge(
    old: Index | None,
    scan: Scan,
    encoder: EncoderInfo,
    parts: Parts,
    places: PicturePaths,
    *,
    prune: bool = False,
) -> Merged:
    """Work out the rows of the new index.

    Parameters
    ----------
    old : Index, optional
    scan : Scan
        The pictures in the order of the sources. Reasons of rejections made in this run are looked up in `parts`.
    encoder : EncoderInfo
    parts : Parts
    places : PicturePaths
        Folder of the index, to which paths are relative, and folders of the named roots.
    prune : bool
        Remove the rows and rejects that are not in `scan`.
    """
    return _Merge(old, scan, encoder, parts, places).run(prune)


class _Merge:
    def __init__(
        self, old: Index | None, scan: Scan, encoder: EncoderInfo, parts: Parts, places: PicturePaths
    ):
        self._encoder = encoder
        self._parts = parts
        self._places = places
        self._path = StoredPaths(places.folder, places.roots)
        self._base = old.contents() if old else _empty(encoder)
        self._artists = Names(list(self._base.artists))
        self._collections = Names([(c.name, c.kind) for c in self._base.collections])
        items, rejects = self._base.items, self._base.rejects
        self._items = dict(items)
        self._stamps, self._reject_stamps = (stamps.copy() for stamps in self._base.stamps())
        self._keep = np.ones(len(items["path"]), bool)
        self._keep_rejects = np.ones(len(rejects["path"]), bool)
        self._row_of = Paths.of(items)
        self._reject_of = Paths.of(rejects)
        self._scan = scan
        self._paths = [self._path(item.path) for item in scan.items]
        self._first_position = Paths()
        """The position of the first occurrence of each key in the scan."""
        self._new: list[int] = []
        """Positions in the scan of pictures without a row."""
        self._new_rejects: list[tuple[Key, Scanned]] = []
        self._described = False
        self._merged = Merged(self._base, np.empty(0, np.intp), [])

    @cached_property
    def _rows_of_bytes(self) -> dict[bytes, list[int]]:
        """Rows by the digest of their bytes, for the digests of the scan. Not computed if nothing is new."""
        return self._by_bytes(self._base.items["sha256"])

    @cached_property
    def _rejects_of_bytes(self) -> dict[bytes, list[int]]:
        """Rejects by the digest of their bytes, for the digests of the scan."""
        return self._by_bytes(self._base.rejects["sha256"])

    def _by_bytes(self, packed: npt.NDArray[np.uint8]) -> dict[bytes, list[int]]:
        """Return the numbers of the digests that the scan has too, or that begin like one of them, by digest."""
        wanted, numbers = (_beginnings(digests) for digests in (self._scan.digests(slice(None)), packed))
        rows = np.flatnonzero(np.isin(numbers, wanted))
        by_bytes: dict[bytes, list[int]] = {}
        for row, digest in zip(rows.tolist(), digests_of(packed[rows]), strict=True):
            by_bytes.setdefault(digest, []).append(row)
        return by_bytes

    def run(self, prune: bool) -> Merged:
        merged = self._merged
        for position in range(len(self._scan)):
            self._first_position.setdefault(self._key(position), position)
        same_files = SameFiles(
            self._places, (self._row_of, self._reject_of), self._first_position,
            lambda position: self._scan.items[position].path,
        )  # fmt: skip
        for position, scanned in enumerate(self._scan):
            key = self._key(position)
            if self._first_position.get(key) != position:
                merged.repeated += 1
                continue
            if key not in self._row_of and key not in self._reject_of:
                known, is_listed = same_files.find(key, position)
                if is_listed:
                    merged.repeated += 1
                    continue
                if known is not None:
                    self._relink(known, key)
            reason = scanned.reason or self._parts.rejected.get(scanned.digest, "")
            if reason:
                self._reject(key, replace(scanned, reason=reason))
            else:
                self._accept(key, position, scanned)
        if prune:
            self._prune()
        return self._finish()

    def _prune(self) -> None:
        rejected = self._merged.rejected
        unlisted = tuple(
            f"{self._path(scanned.item.path)}/" for scanned in rejected if scanned.reason.startswith(UNLISTED)
        )

        def is_missing(key: Key) -> bool:  # files in a folder that cannot be listed may still exist
            return key not in self._first_position and not key[2].startswith(unlisted)

        for key, row in self._row_of:
            if is_missing(key) and self._items["path"][row] == key[2] and self._keep[row]:
                self._keep[row] = False
                self._merged.pruned += 1
                self._merged.pruned_rows.append(row)
        for key, reject in self._reject_of:
            if is_missing(key):
                self._keep_rejects[reject] = False
                self._merged.pruned_rejects.append(reject)

    def _key(self, position: int) -> Key:
        item = self._scan.items[position]
        artist = self._artists.number(item.artist) if item.artist else NOBODY
        collection = self._collections.number((item.collection, item.kind))
        return artist, collection, self._paths[position]

    def _accept(self, key: Key, position: int, scanned: Scanned) -> None:
        merged, row, reject = self._merged, self._row_of.get(key), self._reject_of.get(key)
        if reject is not None:
            self._keep_rejects[reject] = False
        if row is not None and bytes(self._items["sha256"][row]) == scanned.digest:
            merged.unchanged += 1
            self._describe(row, scanned.item)
            self._restamp(self._stamps, row, scanned.stamp)
            return
        moved = self._moved_from(key, scanned.digest)
        if row is not None:
            self._keep[row] = False
            merged.replaced += 1
            if moved is not None:  # another file was renamed over this path: keep one row for the one file
                self._keep[moved] = False
        elif moved is not None:
            self._set("path", moved, key[2])
            self._row_of.put(key, moved)
            self._describe(moved, scanned.item)
            self._stamps[moved] = scanned.stamp
            merged.moved += 1
            return
        else:
            merged.added += 1
        self._new.append(position)

    def _relink(self, known: Key, key: Key) -> None:
        """Give the row or reject that reaches a file by another path the path of its key."""
        row, reject = self._row_of.get(known), self._reject_of.get(known)
        if reject is not None:
            self._keep_rejects[reject] = False
        if row is not None and self._keep[row]:
            self._set("path", row, key[2])
            self._row_of.put(key, row)
            self._merged.relinked += 1

    def _moved_from(self, key: Key, digest: bytes) -> int | None:
        """Return the row with the same bytes, artist and collection whose own file no longer exists."""
        for row in self._rows_of_bytes.get(digest, ()):
            artist, collection, path = (self._items[name][row] for name in ("artist", "collection", "path"))
            old_key = (int(artist), int(collection), path)
            if old_key[:2] != key[:2] or old_key in self._first_position or not self._keep[row]:
                continue
            if self._is_gone(path):
                return row
        return None

    def _is_gone(self, path: str) -> bool:
        full = self._places.full(path)
        return not self._places.is_remote(path) if full is None else is_gone(full)

    def _describe(self, row: int, item: Item) -> None:
        """Update the metadata of an unchanged picture, which is not encoded again.

        Empty values change nothing, except that a manifest may clear an arm.
        """
        for name, value in _metadata(item).items():
            if (value not in ("", -1) or (name == "arm" and item.no_arm)) and self._items[name][row] != value:
                self._set(name, row, value)
                self._described = True

    def _set(self, name: str, row: int, value: Any) -> None:
        if self._items[name] is self._base.items[name]:
            self._items[name] = self._items[name].copy()
        self._items[name][row] = value

    def _reject(self, key: Key, scanned: Scanned) -> None:
        self._merged.rejected.append(scanned)
        row, reject = self._row_of.get(key), self._reject_of.get(key)
        # A file that could not be read counts as unchanged, unless the manifest says that it is blocked.
        if row is not None and (scanned.digest != NO_DIGEST or scanned.item.blocked):
            self._keep[row] = False
        if reject is not None:
            same = bytes(self._base.rejects["sha256"][reject]) == scanned.digest
            described = _of_reject(scanned)
            if same and all(self._base.rejects[name][reject] == value for name, value in described.items()):
                self._restamp(self._reject_stamps, reject, scanned.stamp)
                return
            self._keep_rejects[reject] = False
        elif scanned.digest != NO_DIGEST:
            self._forget_moved_rejects(key, scanned.digest)
        self._new_rejects.append((key, scanned))

    def _forget_moved_rejects(self, key: Key, digest: bytes) -> None:
        """Drop rejects with the same bytes, artist and collection whose own file no longer exists."""
        for reject in self._rejects_of_bytes.get(digest, ()):
            artist, collection, path = (
                self._base.rejects[name][reject] for name in ("artist", "collection", "path")
            )
            old_key = (int(artist), int(collection), path)
            if old_key[:2] == key[:2] and old_key not in self._first_position and self._is_gone(path):
                self._keep_rejects[reject] = False

    def _restamp(self, stamps: npt.NDArray[np.int64], row: int, stamp: Stamp) -> None:
        if stamp != NO_STAMP and stamp != tuple(stamps[row].tolist()):
            stamps[row] = stamp
            self._merged.restamped += stamp[0]

    def _finish(self) -> Merged:
        merged = self._merged
        merged.old_rows = np.flatnonzero(self._keep)
        merged.changed = bool(
            merged.moved
            or merged.relinked
            or any(self._places.roots[name] != place for name, place in self._base.roots.items())
            or self._new
            or self._new_rejects
            or self._described
            or not self._keep.all()
            or not self._keep_rejects.all()
        )
        if not merged.changed:
            merged.contents = replace(
                self._base,
                encoder=self._encoder,
                item_stamps=self._stamps,
                reject_stamps=self._reject_stamps,
                roots=self._places.roots,
            )
            return merged
        new_rejects = reject_columns(
            {
                "artist": key[0],
                "collection": key[1],
                "path": key[2],
                "sha256": scanned.digest,
                **_of_reject(scanned),
            }
            for key, scanned in self._new_rejects
        )
        generators = {(c.name, c.kind): c.generator for c in self._base.collections}
        contents = Contents(
            encoder=self._encoder,
            artists=self._artists.names,
            collections=[
                Collection(name, kind, generators.get((name, kind), {}))
                for name, kind in self._collections.names
            ],
            items=_stack(self._items, self._new_items()),
            rejects=_stack(self._base.rejects, new_rejects),
            log=self._base.log,
            created_at=self._base.created_at,
            created_by=self._base.created_by,
            roots=self._places.roots,
            item_stamps=np.concatenate([self._stamps, self._scan.stamps(self._new)]),
            reject_stamps=np.concatenate(
                [self._reject_stamps, stamp_rows(scanned.stamp for _, scanned in self._new_rejects)]
            ),
        )
        merged.contents = without_rows(
            contents,
            np.concatenate([self._keep, np.ones(len(self._new), bool)]),
            np.concatenate([self._keep_rejects, np.ones(len(self._new_rejects), bool)]),
        )
        return merged

    def _new_items(self) -> Columns:
        """Return the columns of the new rows."""
        digests = self._scan.digests(self._new)
        width, height = self._sizes(digests).T
        items = [self._scan.items[position] for position in self._new]
        keys = np.array([self._key(position)[:2] for position in self._new], np.int32).reshape(-1, 2)
        columns = {
            "artist": keys[:, 0],
            "collection": keys[:, 1],
            "sha256": digests,
            "path": [self._paths[position] for position in self._new],
            "width": width,
            "height": height,
            "prompt": [item.prompt for item in items],
            "seed": [item.seed for item in items],
            "caption": [item.caption for item in items],
            "arm": [item.arm for item in items],
            "model": [item.model for item in items],
            "origin": [item.origin for item in items],
        }
        dtypes = {**ITEM_DTYPES, **OPTIONAL_DTYPES["items"]}
        return {name: np.array(columns[name], dtype) for name, dtype in dtypes.items()}

    def _sizes(self, packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        sizes = np.zeros((len(packed), 2), np.int32)
        for start in range(0, len(packed), STREAM_ROWS):
            digests = list(digests_of(packed[start : start + STREAM_ROWS]))
            from_parts = [i for i, digest in enumerate(digests) if digest in self._parts.numbers]
            sizes[np.array(from_parts, np.intp) + start] = self._parts.collect(
                [digests[i] for i in from_parts]
            )[1]
            for i, digest in enumerate(digests):
                if digest not in self._parts.numbers:
                    row = self._rows_of_bytes[digest][0]
                    sizes[start + i] = self._items["width"][row], self._items["height"][row]
        return sizes


def _beginnings(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return the first 8 bytes of each digest as a number."""
    return np.ascontiguousarray(packed[:, :8]).view(np.uint64)[:, 0]


def _metadata(item: Item) -> dict[str, str | int]:
    names = ("prompt", "seed", "caption", "arm", "model", "origin")
    return {name: getattr(item, name) for name in names}


def _of_reject(scanned: Scanned) -> dict[str, str | int]:
    """Return the reason of a reject; and what the manifest says of it, if it is blocked."""
    item, reason = scanned.item, {"reason": scanned.reason}
    if not item.blocked:
        return {**reason, **dict.fromkeys(("arm", "model", "prompt", "blocked"), ""), "seed": NO_SEED}
    return {**reason, **{name: getattr(item, name) for name in OPTIONAL_DTYPES["rejects"]}}


def _stack(first: Columns, second: Columns) -> Columns:
    return {
        name: np.concatenate([values, second[name].astype(values.dtype)]) for name, values in first.items()
    }


def _empty(encoder: EncoderInfo) -> Contents:
    return Contents(
        encoder=encoder,
        artists=(),
        collections=(),
        items=item_columns(()),
        rejects=reject_columns(()),
        created_at=now(),
        created_by=program(),
    )
