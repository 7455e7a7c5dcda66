"""Files that are whole or not there at all: write beside, flush, rename, flush the folder."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def put_in_place(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there is on the disk under `path` afterwards.

    After an exception nothing is left of it, and what `path` held before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # HDF5 raises either when the disk refuses
        found = re.search(r"\berrno = (\d+)", str(error))
        number = error.errno if isinstance(error, OSError) and error.errno else int(found[1]) if found else 0
        names_another = isinstance(error, OSError) and error.filename not in (None, str(temporary), temporary)
        if names_another or not number:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, so that a power cut does not take them again."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        flush_folder(folder.parent)


def flush_folder(path: Path) -> None:
    """Bring to the disk which names a folder holds: what was made, renamed and deleted in it."""
    if os.name == "posix":
        _sync(path)


def check_room(path: Path, size: int) -> None:
    """See that a file of a size can be written at a path, by taking the room and leaving it to whoever writes there.

    HDF5 crashes the process where the disk refuses a write, so it must not come to that.

    Raises
    ------
    OSError
        No space, or a limit on the size of files.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def real_file(path: Path) -> Path:
    """Follow a link to an index, so that a new one takes the place of the file and not of the link."""
    return path.resolve() if path.is_symlink() else path


def clear_leftovers(path: Path) -> None:
    """Delete what killed processes left half-written beside `path`. Call it under the builders' lock."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        if re.fullmatch(
            rf"\.{re.escape(path.name)}\.\d+\.new", leftover.name
        ):  # not those of audit.h5 for audit
            leftover.unlink(missing_ok=True)


def clear_folder(folder: Path) -> None:
    """Delete what killed processes left half-written in a folder, but for indexes. Call it under the folder's lock."""
    for leftover in folder.glob(".*.new"):
        if re.fullmatch(r"\..+(?<!\.h5)\.\d+\.new", leftover.name):
            leftover.unlink(missing_ok=True)


def flush(descriptor: int) -> None:
    """Bring an open file to the disk; on macOS, beyond the disk's own memory too."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError:  # not on this file system
            pass
    os.fsync(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)
