"""Lock files that one process holds at a time, and that identify their holder.

The lock of the operating system excludes other processes, and ends with the process that holds it. The content of the
file is informative: process, host, user, time and command line of the holder. It is erased when the lock is released,
so the content of an unlocked file was left by a process that was killed.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.provenance import now
from imindex.indexer.system.atomic import open_own, refuse_links
from imindex.indexer.system.input_files import read_input

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ORPHANS_SECONDS = 5.0
"""How long to wait for the children of a killed holder, which keep its lock until they notice."""
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_ORPHANS = ", or by one of its children, since the process itself has ended"
_LOCKED_BYTE = 2**30
"""The byte that is locked on Windows, far from the content, since others cannot read locked bytes there."""

Holder = dict[str, Any]


class Held(Exception):
    """Another process holds the lock; `by` describes it as far as known, for use inside a sentence."""

    def __init__(self, by: str):
        super().__init__(by)
        self.by = by


class Lock:
    """A lock file. Its folder is created if it does not exist. Neither may be a symbolic link.

    If the file system does not support locks, the file with the additional suffix `.held` is the lock: the holder
    creates and deletes it, and it is taken over from a holder that is known to have ended.

    Parameters
    ----------
    path : Path
    command : str
        The command line of the holder, shown to processes that are refused.

    Attributes
    ----------
    note : str
        After acquiring the lock, a note on an earlier holder that did not release it; usually empty.
    """

    def __init__(self, path: Path, command: str = ""):
        self.path = path
        self.note = ""
        self._command = command
        self._descriptor = -1
        self._held_file: Path | None = None

    def acquire(self) -> None:
        """Acquire the lock.

        Raises
        ------
        Held
            If another process holds it.
        ImindexError
            If the file or its folder is a symbolic link, or the file is not a regular file with a single name.
        OSError
            If the file cannot be written.
        """
        deadline = time.monotonic() + ORPHANS_SECONDS
        while not self._try():
            holder = _read(self.path)
            if runs(holder) is not False or time.monotonic() > deadline:
                raise Held(_description(holder) + _ORPHANS * (runs(holder) is False))
            time.sleep(0.05)
        if self._held_file is None:
            self._note(_read(self.path))
            os.truncate(self._descriptor, 0)
            os.write(self._descriptor, holder_record(self._command))

    def release(self) -> None:
        """Release the lock, even if its file was deleted in the meantime."""
        if self._descriptor < 0:
            return
        if self._held_file is not None:
            self._held_file.unlink(missing_ok=True)
            self._held_file = None
        with suppress(OSError):
            os.truncate(self._descriptor, 0)
        if fcntl is not None:  # immediately, instead of when the last child closes its copy
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = -1

    def _try(self) -> bool:
        refuse_links(self.path.parent)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = open_own(self.path, os.O_RDWR)
        except FileNotFoundError:  # the previous holder has just deleted the folder
            return False
        try:
            if not self._lock(descriptor):
                return False
            # The previous holder may have deleted the file, in which case this lock protects nothing.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), self.path.lstat()):
                    self._descriptor, descriptor = descriptor, -1
                    return True
            return False
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _lock(self, descriptor: int) -> bool:
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                import msvcrt

                os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
                os.lseek(descriptor, 0, os.SEEK_SET)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return self._hold_by_name()
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                return False
            raise
        return True

    def _hold_by_name(self) -> bool:
        held = self.path.with_name(self.path.name + ".held")
        try:
            descriptor = os.open(held, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            holder = _read(held)
            if runs(holder) is not False:
                raise Held(f"{_description(holder)} (if it has ended, delete {held})") from None
            # Rename it first: if two processes try to take over, only one of them succeeds.
            renamed = held.with_name(f"{held.name}.{os.getpid()}")
            with suppress(FileNotFoundError):
                held.rename(renamed)
                if _read(renamed) != holder:  # another process has taken over in the meantime
                    renamed.rename(held)
                    return False
                renamed.unlink()
                self._note(holder)
            return self._hold_by_name()
        with os.fdopen(descriptor, "wb") as file:
            file.write(holder_record(self._command))
        self._held_file = held
        return True

    def _note(self, holder: Holder) -> None:
        if holder:
            self.note = (
                f"An earlier run was interrupted: {_description(holder)}. This run resumes from its results."
            )


@contextmanager
def alone(path: Path, refusal: str, command: str = "") -> Iterator[str]:
    """Hold a lock during the block; yield the note on an earlier holder that was killed.

    Parameters
    ----------
    path : Path
        Path of the lock file.
    refusal : str
        The error message if another process holds the lock; `{by}` is replaced by its description.
    command : str

    Raises
    ------
    ImindexError
        If another process holds the lock, or it cannot be a lock of imindex; see `Lock.acquire`.
    """
    lock = Lock(path, command)
    try:
        lock.acquire()
    except Held as held:
        raise ImindexError(refusal.replace("{by}", held.by)) from None
    try:
        yield lock.note
    finally:
        lock.release()


def held_by(path: Path) -> str:
    """Return a description of the running process that holds a lock; empty if none on this machine is known to.

    The lock is not touched: an attempt to acquire it could refuse another process.
    """
    for file in (path, path.with_name(path.name + ".held")):
        holder = _read(file)
        if runs(holder):
            return _description(holder)
    return ""


def left_behind(path: Path) -> bool:
    """Return whether a file of `holder_record` was written by a process that is known to have ended."""
    return runs(_read(path)) is False


def runs(holder: Holder) -> bool | None:
    """Return whether the process named in a lock is still running; None if this machine cannot tell."""
    if not holder or holder["host"] != socket.gethostname() or holder["namespace"] != _namespace():
        return None
    if holder["boot"] != _boot():
        return False
    if Path("/proc/self/stat").exists():
        return bool(_started(holder["pid"]) == holder["started"])
    if os.name != "posix":
        return None
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def holder_record(command: str) -> bytes:
    """Return the JSON that this process writes into a lock file; `runs` reads it.

    Parameters
    ----------
    command : str
        The command line, for messages to other processes.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name, as in some containers
        user = ""
    return json.dumps(
        {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "user": user,
            "since": now(),
            "command": command,
            "boot": _boot(),
            "started": _started(os.getpid()),
            "namespace": _namespace(),
        },
        ensure_ascii=True,
        allow_nan=False,
    ).encode()


def process_identity(pid: int) -> str:
    """Return `MACHINE/PID/START`, which no other process has, on this machine or another, now or later.

    START is empty if there is no such process, or the system does not say.
    """
    return f"{socket.gethostname()}:{_boot()}:{_namespace()}/{pid}/{_started(pid)}"


def _read(path: Path) -> Holder:
    """Read the content of a lock file; empty if it is missing or invalid."""
    text = ("host", "user", "since", "command", "boot", "started", "namespace")
    try:
        holder = parse_json(read_input(path, follow=False))
        if type(holder["pid"]) is int and all(isinstance(holder[key], str) for key in text):
            return {"pid": holder["pid"], **{key: holder[key] for key in text}}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ImindexError):
        pass
    return {}


def _description(holder: Holder) -> str:
    if not holder:
        return "another process"
    who = f"user {holder['user']}, " if holder["user"] else ""
    what = f": `{holder['command']}`" if holder["command"] else ""
    return f"process {holder['pid']} on {holder['host']} ({who}since {holder['since']}{what})"


def _boot() -> str:
    """Return an identifier that changes with every boot of the machine."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _namespace() -> str:
    """Return the PID namespace, such as that of a container; process numbers are unique only within it."""
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _started(pid: int) -> str:
    """Return the start time of a process in ticks since boot, to detect a process number that was reused."""
    with suppress(OSError):
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    return ""
