"""Files that an index has met before: told by size, time of change and inode, so that they need not be read again.

A stamp is noted only for a file that had been at rest for a while when it was read: within the clock's grain a file
can change and keep its stamp. What has no stamp, or another one, is read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path

from indexer.contents import NO_STAMP, Stamp
from indexer.parts import Parts
from indexer.sources import Item
from indexer.store import Index

AT_REST = 2.0
"""Seconds since its last change before a file's stamp is to be trusted."""
_FolderName = Callable[[str], str]


def stamp_of(status: os.stat_result) -> Stamp:
    """Size in bytes, time of change in nanoseconds, inode; `NO_STAMP` of a file that changed a moment ago, or will."""
    return _stamp(status) if time.time() - status.st_mtime >= AT_REST else NO_STAMP


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ino


def stored_path(path: str, folder: Path) -> str:
    """Return a path as /items has it: relative to the folder of the index, with forward slashes."""
    full = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links
    try:
        return os.path.relpath(full, folder.absolute()).replace(os.sep, "/")
    except ValueError:  # another drive
        return full.replace(os.sep, "/")


class StoredPaths:
    """`stored_path` for many files: the work is done once a folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._known: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        head, _, name = path.rpartition(os.sep)
        inside = self._known.get(head)
        if inside is None or name in ("", ".", ".."):
            if not head or name in ("", ".", ".."):
                return stored_path(path, self._folder)
            inside = stored_path(head, self._folder)
            inside = self._known[head] = "" if inside == "." else inside.rstrip("/") + "/"
        return inside + name


@dataclass
class Known:
    """The pictures that need no encoding, by the digest of their bytes: in the index, or committed in parts.

    Attributes
    ----------
    in_index : set of bytes
    rejected : dict of bytes to str
        Pictures that the index has as unreadable, with the reason.
    parts : Parts
    """

    parts: Parts
    in_index: set[bytes] = field(default_factory=set)
    rejected: dict[bytes, str] = field(default_factory=dict)

    @classmethod
    def of(cls, old: Index | None, parts: Parts, again: Callable[[str], bool]) -> Known:
        """What an index and its parts know; `again` tells, by the reason, which rejects to try again."""
        known = cls(parts)
        if old is not None:
            known.in_index = set(_digests(old.column("sha256")))
            rejects = old.rejects()
            known.rejected = {
                digest: reason
                for digest, reason in zip(_digests(rejects["sha256"]), rejects["reason"], strict=True)
                if any(digest)
                and digest not in known.in_index
                and digest not in parts.numbers
                and not again(reason)
            }
        return known

    def __contains__(self, digest: object) -> bool:
        return (
            digest in self.in_index
            or digest in self.parts.numbers
            or digest in self.rejected
            or digest in self.parts.rejected
        )


class Seen:
    """The digest of a file's bytes, where the index has it under this artist, collection, path and stamp."""

    def __init__(self, old: Index | None, folder: Path, known: Container[bytes]):
        self._path = StoredPaths(folder)
        self._known = known
        self._files: dict[tuple[str, str, str, str], tuple[Stamp, bytes]] = {}
        if old is None:
            return
        artists = [*old.artists, ""]  # the last place is that of -1, nobody
        sets = [(c.name, c.kind) for c in old.collections]
        item_stamps, reject_stamps = old.stamps()
        for stamps, table in ((reject_stamps, old.rejects()), (item_stamps, old.items())):
            for artist, number, path, digest, stamp in zip(
                table["artist"].tolist(),
                table["collection"].tolist(),
                table["path"],
                _digests(table["sha256"]),
                map(tuple, stamps.tolist()),
                strict=True,
            ):
                if stamp != NO_STAMP:
                    collection, kind = sets[number]
                    self._files[(artists[artist], collection, kind, path)] = (stamp, digest)

    def __call__(self, item: Item) -> tuple[bytes, Stamp] | None:
        """Digest and stamp of a file that is as it was; None where it has to be read."""
        there = self._files.get((item.artist, item.collection, item.kind, self._path(item.path)))
        if there is None or there[1] not in self._known:
            return None
        try:
            status = os.stat(item.path)  # noqa: PTH116 - many
        except OSError:
            return None
        return (there[1], there[0]) if there[0] == _stamp(status) else None


def _digests(column: object) -> list[bytes]:
    raw = column.tobytes()  # type: ignore[attr-defined]
    return [raw[start : start + 32] for start in range(0, len(raw), 32)]
