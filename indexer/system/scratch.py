"""Temporary folders of programs that imindex starts, and what is left of them when imindex is killed."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.locks import holder_record, left_behind

_OWNER = "owner"
"""The file in a folder that says which process made it."""


@contextmanager
def scratch_folder(prefix: str, longest: int, programs: bytes) -> Iterator[Path]:
    """Yield a new folder that only this user can enter, and delete it at the end of the block.

    Folders of the same prefix that killed processes left are deleted first, and programs that run in them are ended.

    Parameters
    ----------
    prefix : str
        Of its name.
    longest : int
        Characters that the folder for temporary files may have; if it has more, the folder is made in /tmp. Paths of
        sockets have at most 107 characters (103 on macOS).
    programs : bytes
        What the command lines of these programs contain.
    """
    place = Path(tempfile.gettempdir())
    if len(str(place)) > longest and os.access("/tmp", os.W_OK | os.X_OK):
        place = Path("/tmp")
    clear_left_behind(place, prefix, programs)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        write_file(folder / _OWNER, holder_record(f"{prefix}*"))
        yield folder
    finally:
        _clear(folder, programs)


def clear_left_behind(place: Path, prefix: str, programs: bytes) -> None:
    """End the programs and delete the folders of `scratch_folder` whose own processes were killed.

    A folder is kept if it is of another user, or if its process may be running, on this machine or on another one that
    shares `place`.
    """
    for folder in place.glob(f"{prefix}*"):
        with suppress(OSError):
            status = folder.lstat()
            mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
            if stat.S_ISDIR(status.st_mode) and mine and left_behind(folder / _OWNER):
                _clear(folder, programs)


def _clear(folder: Path, programs: bytes) -> None:
    """End the programs that run in a folder, since one that is just starting would make it again, and delete it."""
    for pid in _started_for(folder, programs):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _started_for(folder: Path, programs: bytes) -> list[int]:
    """Return the processes of this machine that run such a program with a variable that names a path in the folder."""
    inside = os.fsencode(folder) + b"/"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (
                inside in (process / "environ").read_bytes()
                and programs in (process / "cmdline").read_bytes()
            ):
                found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]
