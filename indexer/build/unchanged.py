"""Recognise unchanged files by size, modification time and inode, so that they need not be read again.

A stamp is stored only for a file that had not changed for a while when it was read, since a file can change within the
resolution of the clock and keep its stamp. A file without a stamp, or with another one, is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.build.row_keys import numbers_by_spelling
from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.paths import StoredPaths
from imindex.indexer.core.schema import BLOCKED, NO_STAMP, NOBODY, Stamp, Stamps, digests_of
from imindex.indexer.core.url import Url
from imindex.indexer.sources.arms import ALL_BLACK, BLOCKABLE
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.read import stamp_at
from imindex.indexer.store.index import Index
from imindex.indexer.store.structure import has_optional


class Known:
    """The digests of pictures that need no encoding, since they are in the index or in part files.

    Parameters
    ----------
    old : Index or None
    parts : Parts
    retry : callable
        Takes the reason of a rejection; returns whether to retry the picture.

    Attributes
    ----------
    rejected : dict of bytes to str
        Digests of pictures that the index lists as unreadable, with the reason.
    black : set of bytes
        Digests of the blocked pictures of the index that are black. The same bytes may be a work.
    """

    def __init__(
        self, old: Index | None, parts: Parts, retry: Callable[[str], bool], *, rehash: bool = False
    ):
        self._old = old
        self._parts = parts
        self._rehash = rehash
        self.rejected: dict[bytes, str] = {}
        self.black: set[bytes] = set()
        if old is None:
            return
        digests, reasons = old.column("sha256", "rejects"), old.column("reason", "rejects")
        rows = np.isin(_sortable(digests), _sortable(old.column("sha256")))
        for digest, reason, is_row in zip(digests_of(digests), reasons, rows, strict=True):
            if reason.startswith(BLOCKED):
                if reason == BLOCKED + ALL_BLACK and not rehash:
                    self.black.add(digest)
            elif any(digest) and not is_row and digest not in parts.numbers and not retry(reason):
                self.rejected[digest] = reason

    @cached_property
    def in_index(self) -> set[bytes]:
        """Digests of the rows of the index. Not computed if all files are unchanged."""
        return set(digests_of(self._old.column("sha256"))) if self._old else set()

    @cached_property
    def _looked_at(self) -> set[bytes]:
        """Digests of the imitations and controls of the index, if its writer has seen that they are not black."""
        if self._old is None or self._rehash or not has_optional(self._old.version):
            return set()
        blockable = np.array([c.kind in BLOCKABLE for c in self._old.collections], bool)
        return set(digests_of(self._old.column("sha256")[blockable[self._old.column("collection")]]))

    def look(self, item: Item, digest: bytes) -> bool:
        """Return whether a picture of a known digest has to be decoded, to see whether it is black."""
        return (
            item.kind in BLOCKABLE
            and digest in self.in_index
            and digest not in self.rejected
            and digest not in self.black
            and digest not in self._looked_at
        )

    def listed(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Return the first 8 bytes of the digests that are known now, and of those for which `look` may be true.

        Both are sorted, (n,) uint64.
        """
        looked = self.in_index.difference(self.rejected, self.black, self._looked_at)
        known = self.in_index.union(self._parts.numbers, self.rejected, self._parts.rejected)
        return _prefixes(known), _prefixes(looked)

    def is_blocked(self, item: Item, digest: bytes) -> bool:
        """Return whether a picture that need not be decoded is blocked."""
        black = digest in self.black or digest in self._parts.black
        return bool(item.blocked) or (item.kind in BLOCKABLE and black)

    def __contains__(self, digest: object) -> bool:
        return (
            digest in self._parts.numbers
            or digest in self.rejected
            or digest in self._parts.rejected
            or digest in self.in_index
        )


class UnchangedFiles:
    """Look up the digests of unchanged files.

    A file is unchanged if the index has a row with the same artist, collection, path and stamp.
    """

    def __init__(
        self, old: Index | None, folder: Path | Url, known: Known, roots: Mapping[str, str] | None = None
    ):
        self._path = StoredPaths(folder, roots)
        self._known = known
        self._tables: list[_Table] = []
        if old is not None:
            items, rejects = old.stamps()
            self._tables = [_Table(old, "items", items), _Table(old, "rejects", rejects)]
            self._artists = {**numbers_by_spelling(old.artists), "": NOBODY}
            self._collections = numbers_by_spelling([(c.name, c.kind) for c in old.collections])

    def __call__(self, item: Item) -> tuple[bytes, Stamp, bool] | None:
        """Return digest and stamp of an unchanged file, and whether it is a row; None if it has to be read."""
        for table in self._tables:
            key = self._artists.get(item.artist), self._collections.get((item.collection, item.kind))
            row = table.rows.get(key, {}).get(self._path(item.path))
            if row is None:
                continue
            digest = table.digests[row].tobytes()
            if table.rejects and digest not in self._known and not self._known.is_blocked(item, digest):
                return None
            try:
                stamp = stamp_at(item.path)
            except (BadPicture, OSError):
                return None
            stored = tuple(table.stamps[row].tolist())
            return (digest, stamp, not table.rejects) if stamp == stored != NO_STAMP else None
        return None


class _Table:
    """The rows of /items or /rejects by artist and collection, then path."""

    def __init__(self, old: Index, name: str, stamps: Stamps):
        self.rejects = name == "rejects"
        self.stamps = stamps
        self.digests = old.column("sha256", name)
        self.rows: dict[tuple[int | None, int | None], dict[str, int]] = {}
        keys = zip(
            old.column("artist", name).tolist(),
            old.column("collection", name).tolist(),
            old.column("path", name),
            strict=True,
        )
        for row, (artist, collection, path) in enumerate(keys):
            self.rows.setdefault((artist, collection), {})[path] = row


def _prefixes(digests: set[bytes]) -> npt.NDArray[np.uint64]:
    prefixes = np.fromiter((int.from_bytes(digest[:8], "big") for digest in digests), np.uint64, len(digests))
    prefixes.sort()
    return prefixes


def _sortable(digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.bytes_]:
    return np.ascontiguousarray(digests).reshape(-1).view("S32")
