"""Files that are whole or not there at all: write beside, flush, rename, flush the folder."""

from __future__ import annotations

import glob
import os
import re
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
        if os.name == "posix":
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
