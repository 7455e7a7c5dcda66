"""Read the bytes of a local file, and its stamp: size, modification time and inode."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.schema import NO_STAMP, Stamp
from imindex.indexer.decode.limits import MAX_BYTES

AT_REST = 2.0
"""Seconds that must have passed since the last change of a file for its stamp to be trusted."""
UNLISTED = "a folder that cannot be listed"
_CHUNK = 2**20
_2_63 = 2**63


def stamp_of(status: os.stat_result) -> Stamp:
    """Return size in bytes, modification time in nanoseconds and inode.

    Return `NO_STAMP` if the file changed within the last `AT_REST` seconds, or its modification time is in the future.
    """
    return raw_stamp(status) if time.time() - status.st_mtime >= AT_REST else NO_STAMP


def raw_stamp(status: os.stat_result) -> Stamp:
    """Return the stamp of a file regardless of when it changed; `NO_STAMP` for times beyond the year 2262.

    The inode is stored as a signed number, because some file systems use all 64 bits.
    """
    inode = (status.st_ino + _2_63) % 2**64 - _2_63
    in_range = -_2_63 <= status.st_mtime_ns < _2_63
    return (status.st_size, status.st_mtime_ns, inode) if in_range else NO_STAMP


def read_file(path: str) -> tuple[bytes, Stamp]:
    """Return the content of a file, and its stamp if that did not change while reading.

    Only regular files are opened, since opening a device can have side effects. The file is opened without blocking, in
    case it was replaced by a pipe after the check.

    Raises
    ------
    BadPicture
        If it is not a regular file, or larger than `MAX_BYTES`.
    OSError
    """
    _refuse_others(path, Path(path).stat())
    flags = os.O_RDONLY | sum(
        getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
    )
    with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        _refuse_others(path, before)
        data = file.read(before.st_size) if before.st_size else b""
        while chunk := file.read(_CHUNK):  # after a short read, or if the file grows
            data += chunk
            _refuse_larger(len(data))
        after = os.fstat(file.fileno())
    stamp = stamp_of(before)
    return data, stamp if stamp == stamp_of(after) and len(data) == before.st_size else NO_STAMP


def _refuse_others(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        try:
            os.scandir(path).close()
        except OSError as error:
            raise BadPicture(f"{UNLISTED}: {error.strerror}") from error
        raise BadPicture("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise BadPicture("not a regular file")
    _refuse_larger(status.st_size)


def _refuse_larger(size: int) -> None:
    if size > MAX_BYTES:
        raise BadPicture(f"{size} bytes are more than the limit of {MAX_BYTES}")
