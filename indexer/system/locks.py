"""A file that one process holds at a time, and that says who holds it.

The operating system's lock keeps others out, and goes with the process that had it. The file's content is for people:
process, host, user, time and command line of the holder. It is emptied when the lock is let go, so content under a
lock that is free is that of a process that was killed.
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
from imindex.indexer.core.provenance import now

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ORPHANS_SECONDS = 5.0
"""How long to wait for the children of a holder that was killed; they have its lock until they notice."""
_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
_ORPHANS = ", or rather by a child of it, for it has ended itself"
_FAR = 2**30
"""The byte that is locked on Windows, where what is locked cannot be read by others."""

Holder = dict[str, Any]


class Held(Exception):
    """Another process has the lock; `by` says which, as far as is known, for the middle of a sentence."""

    def __init__(self, by: str):
        super().__init__(by)
        self.by = by


class Lock:
    """A lock file; its folder is made if it is not there.

    Where the file system has no locks, the file beside it with `.held` after its name is the lock: it is made
    by the holder and deleted by it, and taken over from a holder that is known to have ended.

    Parameters
    ----------
    path : Path
    command : str
        The holder's command line, for whoever is refused.

    Attributes
    ----------
    note : str
        Once it is held: that an earlier holder did not let go, and who it was. Mostly empty.
    """

    def __init__(self, path: Path, command: str = ""):
        self.path = path
        self.note = ""
        self._command = command
        self._descriptor = -1
        self._held_file: Path | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        Held
        OSError
            The file cannot be written.
        """
        deadline = time.monotonic() + ORPHANS_SECONDS
        while not self._try():
            holder = _read(self.path)
            if runs(holder) is not False or time.monotonic() > deadline:
                raise Held(_named(holder) + _ORPHANS * (runs(holder) is False))
            time.sleep(0.05)
        if self._held_file is None:
            self._note(_read(self.path))
            os.truncate(self._descriptor, 0)
            os.write(self._descriptor, _record(self._command))

    def release(self) -> None:
        """Let go of the lock, also of one whose file was deleted meanwhile."""
        if self._descriptor < 0:
            return
        if self._held_file is not None:
            self._held_file.unlink(missing_ok=True)
            self._held_file = None
        with suppress(OSError):
            os.truncate(self._descriptor, 0)
        if fcntl is not None:  # at once, and not when the last child has closed its copy
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
        self._descriptor = -1

    def _try(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except FileNotFoundError:  # the last holder has just deleted the folder
            return False
        try:
            if not self._lock(descriptor):
                return False
            # A holder that ends may delete the file: then this is the lock of nothing.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), self.path.stat()):
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

                os.lseek(descriptor, _FAR, os.SEEK_SET)
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
                raise Held(f"{_named(holder)} (if it has ended, delete {held})") from None
            # Moved away first: of two that take over, one finds nothing to move.
            away = held.with_name(f"{held.name}.{os.getpid()}")
            with suppress(FileNotFoundError):
                held.rename(away)
                if _read(away) != holder:  # another took over meanwhile
                    away.rename(held)
                    return False
                away.unlink()
                self._note(holder)
            return self._hold_by_name()
        with os.fdopen(descriptor, "wb") as file:
            file.write(_record(self._command))
        self._held_file = held
        return True

    def _note(self, holder: Holder) -> None:
        if holder:
            self.note = (
                f"An earlier run did not end by itself: {_named(holder)}. This one goes on from what it kept."
            )


@contextmanager
def alone(path: Path, refusal: str, command: str = "") -> Iterator[str]:
    """Hold a lock; yields the note on an earlier holder that was killed.

    Parameters
    ----------
    path : Path
        Of the lock file.
    refusal : str
        What to say when another process holds it; `{by}` stands for that process.
    command : str

    Raises
    ------
    ImindexError
        Another process holds it.
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


def runs(holder: Holder) -> bool | None:
    """Whether the process that a lock names still runs; None where this machine cannot tell."""
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


def _record(command: str) -> bytes:
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
    ).encode()


def _read(path: Path) -> Holder:
    """What a lock file says; nothing where it says nothing that can be understood."""
    text = ("host", "user", "since", "command", "boot", "started", "namespace")
    try:
        holder = json.loads(path.read_bytes())
        if type(holder["pid"]) is int and all(isinstance(holder[key], str) for key in text):
            return {"pid": holder["pid"], **{key: holder[key] for key in text}}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}


def _named(holder: Holder) -> str:
    if not holder:
        return "another process"
    who = f"user {holder['user']}, " if holder["user"] else ""
    what = f": `{holder['command']}`" if holder["command"] else ""
    return f"process {holder['pid']} on {holder['host']} ({who}since {holder['since']}{what})"


def _boot() -> str:
    """Another one after every start of the machine."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _namespace() -> str:
    """Process numbers mean something within one of these only, that is within a container."""
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _started(pid: int) -> str:
    """When a process began, in ticks since boot: a number that was given to another process since is found out."""
    with suppress(OSError):
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    return ""
