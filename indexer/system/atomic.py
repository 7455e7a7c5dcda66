"""Atomic files: write a temporary file next to the target, flush it, rename it, and flush the folder."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imindex.indexer.core.errors import ImindexError


@contextmanager
def put_in_place(path: Path) -> Iterator[Path]:
    """Yield a temporary path; at the end of the block, the file written there is flushed and renamed to `path`.

    After an exception the temporary file is deleted, and an existing file at `path` is unchanged.

    Raises
    ------
    ImindexError
        The folder of `path` does not exist.
    OSError
        The file cannot be written.
    """
    if not path.parent.is_dir():
        raise ImindexError(f"{path} cannot be written: there is no folder {path.parent}. Create it first.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # HDF5 raises either of them for a disk error
        match = re.search(r"\berrno = (\d+)", str(error))
        number = error.errno if isinstance(error, OSError) and error.errno else int(match[1]) if match else 0
        other_file = isinstance(error, OSError) and error.filename not in (None, str(temporary), temporary)
        if other_file or not number:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create a folder and its parents durably, so that they survive a power cut."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        flush_folder(folder.parent)


def flush_folder(path: Path) -> None:
    """Flush the entries of a folder to disk: files created, renamed and deleted in it."""
    if os.name == "posix":
        _sync(path)


def check_room(path: Path, size: int) -> None:
    """Check that a file of the given size can be written, by allocating its space at `path`.

    Without this check, HDF5 crashes the process when the disk refuses a write.

    Raises
    ------
    OSError
        If the disk is full, or a file size limit is exceeded.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def real_file(path: Path) -> Path:
    """Resolve a symbolic link, so that a new index replaces the file and not the link."""
    return path.resolve() if path.is_symlink() else path


def clear_leftovers(path: Path) -> None:
    """Delete temporary files of `path` left by killed processes. The caller must hold the builders' lock."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        # For the name audit, do not match the temporary files of audit.h5.
        if re.fullmatch(rf"\.{re.escape(path.name)}\.\d+\.new", leftover.name):
            leftover.unlink(missing_ok=True)


def clear_folder(folder: Path) -> None:
    """Delete temporary files left by killed processes in a folder, except those of indexes.

    The caller must hold the lock of the folder.
    """
    for leftover in folder.glob(".*.new"):
        if re.fullmatch(r"\..+(?<!\.h5)\.\d+\.new", leftover.name):
            leftover.unlink(missing_ok=True)


def flush(descriptor: int) -> None:
    """Flush an open file to disk; on macOS, including the cache of the disk itself."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError:  # not supported by this file system
            pass
    os.fsync(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)
