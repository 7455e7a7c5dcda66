"""Open input files. Only regular files are read: a pipe would block, and opening a device can have side effects."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from imindex.indexer.core.errors import ImindexError

_FLAGS = sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
)  # non-blocking, in case the file was replaced by a pipe after it was checked
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


def open_descriptor(path: str | os.PathLike[str], *, follow: bool = True) -> int:
    """Open a regular file for reading and return its descriptor.

    Parameters
    ----------
    path : path-like
    follow : bool
        Whether `path` may be a symbolic link.

    Raises
    ------
    ImindexError
        If it is not a regular file, or a symbolic link that leads back to itself.
    OSError
        If it does not exist or cannot be opened.
    """
    try:
        _refuse_others(path, Path(path).stat(follow_symlinks=follow))
        descriptor = os.open(path, os.O_RDONLY | _FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ImindexError(_loop(path)) from error
        raise
    try:
        _refuse_others(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_input(path: str | os.PathLike[str], *, follow: bool = True) -> BinaryIO:
    """Open a regular file for reading, as `open_descriptor` does."""
    return os.fdopen(open_descriptor(path, follow=follow), "rb")


def read_input(path: str | os.PathLike[str], *, follow: bool = True) -> bytes:
    """Return the bytes of a regular file, opened as `open_descriptor` does."""
    with open_input(path, follow=follow) as file:
        return file.read()


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """Return the text of a regular file, with line feeds for line breaks of any kind.

    Raises
    ------
    ImindexError, OSError
        As `open_descriptor` does.
    UnicodeDecodeError
    """
    return read_input(path).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether a path exists, and raise an error if it is a symbolic link that leads back to itself.

    Raises
    ------
    ImindexError
        For such a link, which `Path.exists` takes for a missing file.
    """
    try:
        Path(path).stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ImindexError(_loop(path)) from error
        return False
    except ValueError:  # a null character
        return False
    return True


def refuse_special_files(path: str | os.PathLike[str]) -> None:
    """Refuse a file, or a folder with a file, that is neither a regular file nor a folder.

    For files that a library opens by their names, such as the weights of a model. Hidden folders are skipped.

    Raises
    ------
    ImindexError
        If there is a pipe, a socket or a device.
    """
    if not exists(path):
        return
    if not Path(path).is_dir():
        _refuse_others(path, Path(path).stat())
        return
    for folder, names, files in os.walk(path):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            file = Path(folder, name)
            if exists(file) and not file.is_dir():
                _refuse_others(file, file.stat())


def kind(status: os.stat_result) -> str:
    """Return what a path that is not a regular file is, such as "a pipe"; empty for a regular file."""
    return "" if stat.S_ISREG(status.st_mode) else _KINDS.get(stat.S_IFMT(status.st_mode), "something else")


def _refuse_others(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if what := kind(status):
        raise ImindexError(f"{os.fspath(path)} is {what}, not a regular file. Name a regular file.")


def _loop(path: str | os.PathLike[str]) -> str:
    return (
        f"{os.fspath(path)} is, or lies behind, a symbolic link that leads back to itself. Delete the link, or name "
        "the file itself."
    )
