"""Tar shards at URLs: each is copied once into a bounded folder of this machine, and read there.

The headers of a tar file are spread over all of it, and lie nearer to each other than requests are worth, so a scan by
ranges would read as many bytes as the whole shard has. A copy is named by URL, etag and size: a shard that changed is
copied again, and one that did not costs one request for its headers.

`$IMINDEX_CACHE` is the folder, by default `imindex` in the user's folder for caches; if it is `off`, copies are deleted
when the process ends. `$IMINDEX_CACHE_BYTES` is its size.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.schema import NO_STAMP, Stamp
from imindex.indexer.remote import cache, objects
from imindex.indexer.remote.errors import Changed
from imindex.indexer.remote.info import AT_REST, UNKNOWN, Info
from imindex.indexer.sources import tar
from imindex.indexer.system.atomic import SUFFIX as TEMPORARY
from imindex.indexer.system.atomic import clear_file, make_folder, put_in_place

FOLDER, BYTES = cache.FOLDER, "IMINDEX_CACHE_BYTES"
"""Environment variables."""
DEFAULT_BYTES = 50 * 10**9
"""Bytes of all copies together, or half of what is free on the disk if that is less."""
FRESH = 60.0
"""Seconds for which it is not asked again whether a shard has changed."""
_PIECE = 2**25
_PIECES = 2
"""Pieces that are requested at a time, and held in memory."""
_SUFFIX = ".shard"
_ATTEMPTS = 10
_DAY = 86_400.0
_T = TypeVar("_T")
_lock = threading.Lock()
_copying = threading.Lock()
_locks: dict[str, threading.Lock] = {}
_known: dict[str, tuple[Info, float]] = {}
_temporary: list[tempfile.TemporaryDirectory[str]] = []


def copy_of(url: str) -> tuple[str, Info]:
    """Return the path of the copy of a shard on this machine, and what its store says of it. It is made if need be.

    Raises
    ------
    ImindexError
        If the shard does not exist, cannot be read, changes each time that it is read, or is larger than the folder of
        copies may be.
    OSError
        If the copy cannot be written.
    """
    with _lock:
        lock = _locks.setdefault(url, threading.Lock())
    with lock:
        for attempt in range(_ATTEMPTS):
            info = _info(url)
            path = _path(info)
            if path.is_file() and path.stat().st_size == info.size:
                os.utime(path)
                return str(path), info
            try:
                _copy(url, info, path)
            except Changed:
                _known.pop(url, None)
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            return str(path), info
    raise AssertionError("unreachable")


def shard_at(url: str) -> tar.Shard:
    """Return the members of a shard, as `tar.shard_at` does."""
    return _with_copy(url, lambda path, _: tar.shard_at(path))


def read_member(
    url: str, name: str, admit: Callable[[int], object] = lambda size: None
) -> tuple[bytes, Stamp]:
    """Return the bytes of a member and its stamp, as `tar.read_member` does."""

    def read(path: str, info: Info) -> tuple[bytes, Stamp]:
        offset, size = tar.place_of(path, name)
        admit(size)
        return tar.read_member(path, name)[0], _stamp(info, offset, size)

    return _with_copy(url, read)


def member_stamp(url: str, name: str) -> Stamp:
    """Return the present stamp of a member without reading it.

    It is the size of the member, the date of the shard, and a hash of the shard's etag and the member's offset.
    """
    return _with_copy(url, lambda path, info: _stamp(info, *tar.place_of(path, name)))


def head_of_member(url: str, name: str, size: int) -> bytes:
    """Return the first bytes of a member; none if it cannot be read."""
    return _with_copy(url, lambda path, _: tar.head_of_member(path, name, size))


def forget() -> None:
    """Ask again whether shards have changed."""
    _known.clear()


def _with_copy(url: str, call: Callable[[str, Info], _T]) -> _T:
    """Call a function with the copy of a shard; again if it was deleted in between, to make room for another."""
    for _ in range(_ATTEMPTS):
        path = url
        try:
            path, info = copy_of(url)
            return call(path, info)
        except FileNotFoundError:
            continue
        except BadPicture as error:
            raise BadPicture(str(error).replace(path, url)) from None
        except ImindexError as error:
            if path == url:
                raise
            raise ImindexError(str(error).replace(path, url)) from None
    raise ImindexError(
        f"{url}: its copy is deleted again and again, to make room for others. Set ${BYTES} to more than a few shards."
    )


def _stamp(info: Info, offset: int, size: int) -> Stamp:
    if info.stamp == NO_STAMP:
        return NO_STAMP
    return tar.stamp_of_member(size, info.modified, info.etag.strip('"') or str(info.size), offset)


def _info(url: str) -> Info:
    known = _known.get(url)
    if known is not None and time.monotonic() - known[1] < FRESH:
        return known[0]
    info = objects.head(url)
    if info.size == UNKNOWN:
        raise ImindexError(f"{url}: its server does not say how large it is. Download it, and name the file.")
    if info.stamp == NO_STAMP and info.modified:  # a date of whole seconds, within which it may change again
        time.sleep(AT_REST / 1e9)
        info = objects.head(url)
    if info.stamp == NO_STAMP:
        raise ImindexError(
            f"{url}: its server sends no etag, and no date that has passed, so that a copy of another version would be "
            "taken for it. Download it, and name the file."
        )
    _known[url] = info, time.monotonic()
    return info


def _path(info: Info) -> Path:
    version = f"{info.url}\n{info.etag or info.modified}\n{info.size}"
    return _folder() / f"{hashlib.sha256(version.encode()).hexdigest()[:32]}{_SUFFIX}"


def _folder() -> Path:
    """Return the folder of the copies: one of this user alone, so that nobody else can put another shard there."""
    root = cache.cache_root()
    if root is None:  # no cache is wanted: the copies go with this process
        if not _temporary:
            _temporary.append(tempfile.TemporaryDirectory(prefix="imindex-shards-"))
        return Path(_temporary[0].name)
    cache.check_own(root)
    return root


def _limit(folder: Path) -> int:
    text = os.environ.get(BYTES, "")
    if text:
        if not text.isdecimal() or len(text) > 18:
            raise ImindexError(
                f"${BYTES} is {text[:40]!r}. Write a number of bytes, such as {DEFAULT_BYTES}."
            )
        return int(text)
    return (
        DEFAULT_BYTES
        if not folder.is_dir()
        else min(DEFAULT_BYTES, _there(folder) + shutil.disk_usage(folder).free // 2)
    )


def _there(folder: Path) -> int:
    return sum(size for _, size, _ in _copies(folder))


def _copies(folder: Path) -> list[tuple[float, int, Path]]:
    """Return the time of the last use, the size and the path of each copy, the least recently used first."""
    copies = []
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            status = path.stat()
        except OSError:  # another process has just deleted it
            continue
        copies.append((status.st_mtime, status.st_size, path))
    return sorted(copies)


def _copy(url: str, info: Info, path: Path) -> None:
    """Copy a shard. Only one is copied at a time, so that all copies together keep to their limit."""
    make_folder(path.parent)
    with _copying:
        _make_room(url, info.size, path.parent)
        with put_in_place(path) as file:
            for start in range(0, info.size, _PIECE * _PIECES):
                ranges = [
                    (begin, min(_PIECE, info.size - begin))
                    for begin in range(start, min(info.size, start + _PIECE * _PIECES), _PIECE)
                ]
                for piece in objects.read_ranges(url, ranges, version=info):
                    file.write(piece)
            if file.tell() != info.size:
                raise ImindexError(f"{url} was cut: {file.tell():,} of {info.size:,} bytes came. Try again.")


def _make_room(url: str, size: int, folder: Path) -> None:
    """Delete the copies that were not used for longest, until there is room for another one."""
    limit = _limit(folder)
    if size > limit:
        raise ImindexError(
            f"{url} has {size:,} bytes, more than the {limit:,} that copies of shards may take in {folder}. "
            f"Set ${BYTES} to more, and ${FOLDER} to a folder on a larger disk; or download the shard."
        )
    for leftover in folder.glob(f".*{TEMPORARY}"):  # of processes that were killed
        if time.time() - leftover.stat().st_mtime > _DAY:
            clear_file(leftover)
    copies = _copies(folder)
    taken = sum(other for _, other, _ in copies)
    for _, other, path in copies:
        if taken + size <= limit:
            break
        clear_file(path)
        tar.forget(str(path))
        taken -= other
