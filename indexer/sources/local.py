"""Read the bytes of a local file, with its size, time of change and inode."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.schema import NO_STAMP, Stamp
from imindex.indexer.decode.limits import MAX_BYTES

if TYPE_CHECKING:
    pass


AT_REST = 2.0
"""Seconds since its last change before a file's stamp is to be trusted."""
_2_63 = 2**63


def stamp_of(status: os.stat_result) -> Stamp:
    """Size in bytes, time of change in nanoseconds, inode; `NO_STAMP` of a file that changed a moment ago, or will."""
    return _stamp(status) if time.time() - status.st_mtime >= AT_REST else NO_STAMP


def _stamp(status: os.stat_result) -> Stamp:
    """No stamp of a time beyond the year 2262; the inode is a signed number, as some file systems use all 64 bits."""
    inode = (status.st_ino + _2_63) % 2**64 - _2_63
    in_range = -_2_63 <= status.st_mtime_ns < _2_63
    return (status.st_size, status.st_mtime_ns, inode) if in_range else NO_STAMP


_CHUNK = 2**20
UNLISTED = "a folder that cannot be listed"


def read_bytes(path: str) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    BadPicture
        Not a regular file, or larger than `MAX_BYTES`.
    OSError
    """
    return _read_file(path)[0]


def _read_file(path: str) -> tuple[bytes, Stamp]:
    """A file's bytes, and its stamp if it was the same before and after reading.

    What is no regular file is not opened, for opening a device may do something; nor does opening wait, should the file
    have become a pipe since it was looked at.
    """
    _refuse_others(path, Path(path).stat())
    flags = os.O_RDONLY | sum(
        getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
    )
    with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        _refuse_others(path, before)
        data = file.read(before.st_size) if before.st_size else b""
        while chunk := file.read(_CHUNK):  # a short read, or it grows
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
