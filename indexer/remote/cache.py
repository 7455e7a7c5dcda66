"""The folder in which pieces of remote objects are kept: private, limited in size, and safe to delete at any time.

`$IMINDEX_CACHE` names another folder, or is `off`. `$IMINDEX_CACHE_SIZE` is the limit, such as 50GB.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.url import Url
from imindex.indexer.system.atomic import clear_file, make_folder, open_own

FOLDER = "IMINDEX_CACHE"
LIMIT = "IMINDEX_CACHE_SIZE"
OFF = frozenset({"off", "no", "none", "0"})
DEFAULT_LIMIT = 20 * 10**9
"""Bytes."""
_SUFFIX = ".object"
_NAME = re.compile(r"[0-9a-f]{48}\.object")
_SIZE = re.compile(r"(\d{1,9})\s*(MB|GB|TB)", re.IGNORECASE)
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def cache_root() -> Path | None:
    """Return the cache folder of imindex, which may not exist yet; None if there is to be none."""
    return None if os.environ.get(FOLDER, "").lower() in OFF else data_root()


def data_root() -> Path:
    """Return the folder of imindex for this user: `$IMINDEX_CACHE`, or that of the system for caches."""
    chosen = os.environ.get(FOLDER, "")
    if chosen and chosen.lower() not in OFF:
        return Path(chosen).absolute()
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).absolute() / "imindex"


def build_path(url: Url) -> Path:
    """Return the path of the local copy of an index that is being changed, in a folder named after its URL."""
    name = re.sub(r"[^\w. -]", "_", url.name)[-80:].strip(" .") or "index.h5"
    return data_root() / "builds" / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:16]}" / name


def limit_bytes() -> int:
    """Return how many bytes the pieces of objects may take together.

    Raises
    ------
    ImindexError
        If `$IMINDEX_CACHE_SIZE` is not a size.
    """
    text = os.environ.get(LIMIT, "")
    if not text:
        return DEFAULT_LIMIT
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ImindexError(f"${LIMIT} is {text[:40]!r}, which is not a size. Write 500MB or 50GB.")
    return int(match[1]) * _UNITS[match[2].upper()]


def open_piece_file(identity: str) -> tuple[int, Path | None]:
    """Open the file that holds pieces of an object, and create it if it does not exist.

    Without a cache, or where its folder cannot be used, the file is a temporary one that disappears when it is closed.

    Parameters
    ----------
    identity : str
        What names the object and its version. Only a digest of it is in the name of the file. Empty if versions cannot
        be told apart, so that nothing may be kept.

    Returns
    -------
    descriptor : int
        Open for reading and writing.
    path : Path or None
        None for a temporary file.

    Raises
    ------
    ImindexError
        If there is not even a temporary folder.
    """
    root = cache_root()
    if root is not None and identity:
        folder = root / "objects"
        with suppress(OSError):
            if _is_private(folder):
                path = folder / (hashlib.sha256(identity.encode()).hexdigest()[:48] + _SUFFIX)
                descriptor = open_own(path, os.O_RDWR)
                with suppress(OSError):  # a file system without permissions, or without times
                    if hasattr(os, "fchmod"):
                        os.fchmod(descriptor, 0o600)
                    os.utime(path)
                return descriptor, path
    try:
        descriptor, name = tempfile.mkstemp(prefix="imindex-", suffix=_SUFFIX)
    except OSError as error:
        raise ImindexError(
            f"There is no room for what is read of a remote index: {error.strerror}. Name a folder with "
            f"${FOLDER}, or one for temporary files with $TMPDIR."
        ) from error
    if os.name == "nt":
        return descriptor, Path(name)
    clear_file(Path(name))
    return descriptor, None


def check_own(folder: Path) -> None:
    """Create a folder for this user alone, whatever its parent is.

    Raises
    ------
    ImindexError
        As `private_folder` does.
    """
    _require(folder, lambda: _is_private(folder))


def private_folder(folder: Path) -> None:
    """Create a folder for this user alone.

    Raises
    ------
    ImindexError
        If it cannot be created, or others can change what is in it.
    """
    _require(folder, lambda: _is_private(folder.parent) and _is_private(folder))


def _require(folder: Path, is_private: Callable[[], bool]) -> None:
    try:
        private = is_private()
    except OSError as error:
        raise ImindexError(
            f"{folder} cannot be created: {error.strerror or error}. Name another folder with ${FOLDER}."
        ) from error
    if not private:
        raise ImindexError(
            f"{folder} can be changed by others than this user. Name another folder with ${FOLDER}."
        )


def _is_private(folder: Path) -> bool:
    """Create the folder for this user alone, and return whether nobody else can change what is in it."""
    for created in (folder.parent, folder):
        if not created.exists():
            make_folder(created.parent)
            with suppress(FileExistsError):
                os.mkdir(created, 0o700)  # noqa: PTH102 - pathlib would apply the umask as well
    if folder.is_symlink() or not folder.is_dir():
        return False
    if not hasattr(os, "geteuid"):
        return True
    status = folder.stat()
    if status.st_uid != os.geteuid():
        return False
    if stat.S_IMODE(status.st_mode) & 0o077:
        folder.chmod(0o700)
        return not stat.S_IMODE(folder.stat().st_mode) & 0o022
    return True


def make_room(keep: Path | None, wanted: int = 0) -> int:
    """Delete the files that were not used for the longest time, until the cache is within its limit.

    A process that has one of them open keeps it.

    Parameters
    ----------
    keep : Path, optional
        A file that is in use here.
    wanted : int
        Bytes that are to be free beyond that, as after a disk was full.

    Returns
    -------
    int
        How many bytes were freed.
    """
    root = cache_root()
    if root is None:
        return 0
    files: list[tuple[int, int, Path]] = []
    with suppress(OSError), os.scandir(root / "objects") as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    used = getattr(status, "st_blocks", -(-status.st_size // 512)) * 512
                    files.append((status.st_mtime_ns, used, Path(entry.path)))
    excess = max(sum(used for _, used, _ in files) - limit_bytes(), wanted)
    freed = 0
    for _, used, path in sorted(files):
        if freed >= excess:
            break
        if path != keep:
            with suppress(OSError):  # on Windows, a file that is open
                clear_file(path)
                freed += used
    return freed
