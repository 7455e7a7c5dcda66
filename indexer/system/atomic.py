"""Write files: into a temporary file next to the target, which is flushed and renamed, or at the end of an own file.

Nothing here follows a symbolic link at the last component of a path. Temporary files have random names, and are created
exclusively. A file that is changed in place (a lock, a log) must be a regular file with a single name.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.input_files import exists, kind, open_input

SUFFIX = ".imindex-new"
"""The end of the name of every temporary file."""
_TEMPORARY = re.compile(rf"\.(?P<name>.+)\.[0-9a-f]{{16}}{re.escape(SUFFIX)}", re.DOTALL)
_LONGEST = 220
"""Bytes of a name that the name of its temporary file repeats; of longer ones it has a digest."""
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)


@contextmanager
def put_in_place(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file, open for writing; at the end of the block it is flushed and renamed to `path`.

    The new file takes over the permissions of the file that it replaces and, where the process may set them, its owner
    and group. Otherwise its permissions follow the umask. A symbolic link at `path` is replaced, not followed. After an
    exception the new file is deleted, and an existing file at `path` is unchanged.

    Raises
    ------
    ImindexError
        If the folder of `path` does not exist, or `path` is a folder, a pipe, a socket or a device.
    OSError
        If the file cannot be written.
    """
    if not path.parent.is_dir():
        raise ImindexError(f"{path} cannot be written: there is no folder {path.parent}. Create it first.")
    replaced = _replaced(path)
    temporary = path.with_name(f".{_shown(path.name)}.{secrets.token_hex(8)}{SUFFIX}")
    try:
        with _created(temporary, 0o666 if replaced is None else 0o600) as file:
            yield file
            file.flush()
            if replaced is not None:
                _take_over(file.fileno(), replaced)
            flush(file.fileno())
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


@contextmanager
def put_folder_in_place(folder: Path, known: Collection[str]) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, which takes its place when the block ends without an exception.

    Nothing of the folder before is kept.

    Parameters
    ----------
    folder : Path
    known : collection of str
        Names that a folder of this kind may hold. One that holds anything else is not replaced.

    Raises
    ------
    ImindexError
        If the folder is a link, or holds anything else.
    """
    if folder.is_symlink():
        raise ImindexError(f"{folder} is a symbolic link, and is not replaced. Name the folder itself.")
    others = sorted({path.name for path in folder.iterdir()} - set(known)) if folder.is_dir() else []
    if others:
        raise ImindexError(
            f"{folder} holds {others[0]}, which is no part of such an export, so it is not replaced. "
            "Name another folder."
        )
    make_folder(folder.absolute().parent)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.absolute().parent) as name:
        new, old = Path(name) / "new", Path(name) / "old"
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        flush_folder(folder.absolute().parent)


def write_file(path: Path, data: bytes) -> None:
    """Write a file at once, as `put_in_place` does."""
    with put_in_place(path) as file:
        file.write(data)


def clear_file(path: Path) -> None:
    """Delete a file, if it exists. The caller must hold the lock of its folder."""
    path.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy the bytes of a file, written as `put_in_place` does."""
    with open_input(source) as read, put_in_place(target) as file:
        shutil.copyfileobj(read, file)


def open_own(path: Path, flags: int) -> int:
    """Open a file of imindex that is changed in place, and return its descriptor. It is created if it does not exist.

    Parameters
    ----------
    path : Path
    flags : int
        As of `os.open`, such as `os.O_RDWR`.

    Raises
    ------
    ImindexError
        If it is a symbolic link or otherwise not a regular file, or has other names (hard links), so that another file
        of the user would be changed.
    OSError
        If it cannot be opened.
    """
    with suppress(FileNotFoundError):  # a device is refused without being opened
        _refuse_foreign(path, path.lstat())
    try:
        descriptor = os.open(path, flags | os.O_CREAT | _FLAGS | _NONBLOCK, 0o666)
    except OSError:
        with suppress(FileNotFoundError):  # it was replaced in the meantime
            _refuse_foreign(path, path.lstat())
        raise
    try:
        _refuse_foreign(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_to_append(path: Path) -> BinaryIO:
    """Open a file of imindex for appending and reading, as `open_own` does; writes go to its end."""
    return cast("BinaryIO", os.fdopen(open_own(path, os.O_RDWR | os.O_APPEND), "a+b"))


def path_of_open_file(file: BinaryIO) -> str:
    """Return a path for a library that opens files by name only, and gets the very file that is open.

    On systems without /proc it is the path by which the file was created, whose random name nobody can know beforehand.
    """
    through_descriptor = f"/proc/self/fd/{file.fileno()}"
    return through_descriptor if Path(through_descriptor).exists() else str(file.name)


def make_folder(path: Path, *, inside: Path | None = None) -> None:
    """Create a folder and its parents durably, so that they survive a power cut.

    Parameters
    ----------
    path : Path
    inside : Path, optional
        A folder of imindex that `path` is in, or `path` itself: neither it nor any folder down to `path` may be a
        symbolic link.

    Raises
    ------
    ImindexError
        If one of them is.
    OSError
        If it cannot be created.
    """
    if inside is not None:
        refuse_links(path, inside=inside)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        flush_folder(folder.parent)


def refuse_links(path: Path, *, inside: Path | None = None) -> None:
    """Refuse symbolic links where imindex creates, changes or deletes files of its own.

    Parameters
    ----------
    path : Path
    inside : Path, optional
        The folder from which on to check; by default `path` alone.

    Raises
    ------
    ImindexError
        If `path`, `inside` or a folder between them is a symbolic link.
    """
    checked = [path] if inside is None else [inside, *_below(path, inside)]
    for folder in checked:
        if folder.is_symlink():
            raise ImindexError(
                f"{folder} is a symbolic link to {_target(folder)}. imindex does not write through it. Name the file "
                "or folder that it leads to, or delete the link."
            )


def flush_folder(path: Path) -> None:
    """Flush the entries of a folder to disk: files created, renamed and deleted in it."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            flush(descriptor)
        finally:
            os.close(descriptor)


def check_room(file: BinaryIO, size: int) -> None:
    """Check that a new file can have the given size, by allocating its space.

    Without this check, HDF5 crashes the process when the disk refuses a write.

    Raises
    ------
    OSError
        If the disk is full, or a file size limit is exceeded.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


def real_file(path: Path) -> Path:
    """Resolve a symbolic link to an existing file, so that a new index replaces the file and not the link.

    Raises
    ------
    ImindexError
        If the link leads back to itself, or to a file that does not exist: a link must not decide where a new file is
        created.
    """
    if not path.is_symlink():
        return path
    if not exists(path):
        raise ImindexError(
            f"{path} is a symbolic link to {_target(path)}, which does not exist. Name the file itself, or delete the "
            "link."
        )
    return path.resolve()


def leftovers_of(path: Path) -> list[Path]:
    """Return the temporary files of `path`, left by killed processes or being written; empty if none can be listed."""
    try:
        return [leftover for leftover, name in _leftovers(path.parent) if name == _shown(path.name)]
    except OSError:
        return []


def clear_leftovers(path: Path) -> None:
    """Delete temporary files of `path` left by killed processes. The caller must hold the builders' lock."""
    for leftover, name in _leftovers(path.parent):
        if name == _shown(path.name):
            leftover.unlink(missing_ok=True)


def clear_folder(folder: Path) -> None:
    """Delete temporary files left by killed processes in a folder, except those of indexes.

    The caller must hold the lock of the folder.
    """
    for leftover, name in _leftovers(folder):
        if not name.endswith(".h5"):
            leftover.unlink(missing_ok=True)


def clear_folders(folder: Path) -> None:
    """Clear a folder and all folders below it as `clear_folder` does. Symbolic links are not followed."""
    for below, _, _ in os.walk(folder):
        clear_folder(Path(below))


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


def _leftovers(folder: Path) -> list[tuple[Path, str]]:
    """Return the temporary files of imindex in a folder, with the names of the files they were to become."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [
            (folder / entry.name, match["name"])
            for entry in entries
            if (match := _TEMPORARY.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False)
        ]


def _shown(name: str) -> str:
    """Return the part of a temporary name that tells its target: the name itself, unless that is too long."""
    encoded = os.fsencode(name)
    if len(encoded) <= _LONGEST:
        return name
    return hashlib.sha256(encoded).hexdigest() + (".h5" if name.endswith(".h5") else "")


@contextmanager
def _created(path: Path, mode: int) -> Iterator[BinaryIO]:
    """Create a file that does not exist yet and open it. It is closed at the end of the block."""

    def opener(name: str, flags: int) -> int:  # with O_CREAT and O_EXCL
        return os.open(name, flags | _FLAGS, mode)

    file = io.open(path, "x+b", opener=opener)  # noqa: SIM115, UP020 - closed below; tests count its calls
    try:
        yield file
    except BaseException:
        with suppress(OSError):  # a full disk refuses the rest of its buffer once more
            file.close()
        raise
    file.close()


def _replaced(path: Path) -> os.stat_result | None:
    """Return the status of the regular file at `path`; None if there is nothing, or a link."""
    try:
        status = path.lstat()
        found = path.stat() if stat.S_ISLNK(status.st_mode) else status
    except OSError:  # nothing there, or a link to nothing
        return None
    if what := kind(found):
        raise ImindexError(f"{path} is {what}, not a regular file. Write to another path.")
    return None if stat.S_ISLNK(status.st_mode) else status


def _take_over(descriptor: int, old: os.stat_result) -> None:
    """Give a file the permissions, group and owner of the one that it replaces, as far as the process may.

    Where the group cannot be kept, the new group gets no more than everybody else had.
    """
    if not hasattr(os, "fchown"):
        return
    mode = stat.S_IMODE(old.st_mode) & 0o777
    new = os.fstat(descriptor)
    if new.st_gid != old.st_gid:
        try:
            os.fchown(descriptor, -1, old.st_gid)
        except OSError:
            mode &= ~0o070 | (mode & 0o007) << 3
    with suppress(OSError):  # a file system without permissions
        os.fchmod(descriptor, mode)
    if new.st_uid != old.st_uid:
        with suppress(OSError):
            os.fchown(descriptor, old.st_uid, -1)


def _refuse_foreign(path: Path, status: os.stat_result) -> None:
    """Refuse a file whose change in place could change another file of the user, or do something else."""
    if what := kind(status):
        raise ImindexError(f"{path} is {what}, not a regular file of imindex. Delete it, then run again.")
    if status.st_nlink > 1:
        raise ImindexError(
            f"{path} has {status.st_nlink} names (hard links), so changing it would change another file. Delete it, "
            "then run again."
        )


def _below(path: Path, folder: Path) -> Iterator[Path]:
    """Yield the folders from below `folder` down to `path`."""
    for name in path.relative_to(folder).parts:
        folder = folder / name
        yield folder


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return "another place"
