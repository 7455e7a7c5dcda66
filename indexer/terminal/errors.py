"""Convert exceptions into error messages with a remedy."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import platform
import shlex
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from imindex.indexer.core.errors import DEBUG, ImindexError, Interrupted, NoEncoder
from imindex.indexer.core.exit_codes import INTERRUPTED, TERMINATED
from imindex.indexer.core.secrets import public_argument, without_secrets
from imindex.indexer.core.url import Url
from imindex.indexer.terminal.interrupts import INTERRUPTS, nothing_changed
from imindex.indexer.terminal.options import Command, command_line
from imindex.indexer.terminal.output import clean, error_text

_SMALLER = (
    ("--batch-size", "a smaller --batch-size"),
    ("--generate-batch", "a smaller --generate-batch"),
    ("--background", "a smaller --background"),
    ("--no-tests", "--no-tests"),
    ("--resamples", "fewer --resamples"),
)
"""Options with which a command takes less memory, and what to pass."""
_TORCH_NO_MEMORY = ("allocate memory", "could not create a primitive", "could not create a memory")
"""Parts of the out-of-memory messages of PyTorch and oneDNN on a CPU."""
_REMEDIES = {
    errno.ENOSPC: "Free space",
    errno.EFBIG: "Raise the file size limit (`ulimit -f`), or write to another file system",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EROFS: "Mount the file system for writing, or write elsewhere",
}


_LONGEST_REASON = 300
_NO_ANSWER = (
    "The command asked a question, and nobody answered. Run it in a terminal, or see --help for its option."
)
_LF = "\n"
_SAME_AGAIN = "Run the same command again"
_START_OVER = f"{_SAME_AGAIN} to start over."
_WHOLE = "a file is written whole or not at all"
_KEPT = {
    "run": f"Stopped. Finished pictures and results are kept. {_SAME_AGAIN} to resume.",
    "build": f"Stopped. Encoded pictures are kept. {_SAME_AGAIN} to resume.",
    "generate": f"Stopped. Generated pictures are kept. {_SAME_AGAIN} to resume.",
    "demo": f"Stopped. Finished pictures and results are kept. {_SAME_AGAIN} to resume.",
    "optimize": f"Stopped. The index is unchanged. {_START_OVER}",
    "migrate": f"Stopped. The index is unchanged. {_START_OVER}",
    "remove": f"Stopped. The index is unchanged. {_START_OVER}",
    "merge": f"Stopped. No file was written. {_START_OVER}",
    "split": f"Stopped. The index is unchanged, and files that were written are kept. {_SAME_AGAIN} to go on.",
    "seal": f"Stopped. No seal was written. {_START_OVER}",
    "init": f"Stopped. No plan was written. {_START_OVER}",
    "export": "Stopped. The index is unchanged. Files of the export are whole, but some may be missing. "
    f"{_SAME_AGAIN}, with --force.",
    "confirm": f"Stopped. Decisions that were answered before are in the register. {_SAME_AGAIN} to go on.",
    "match": f"Stopped. The index is unchanged, and {_WHOLE}. {_SAME_AGAIN}.",
    "serve": "Stopped serving. Decisions that were recorded are kept.",
    "classify": f"Stopped. The index is unchanged, and {_WHOLE}. {_SAME_AGAIN}.",
    "compare": f"Stopped. The releases are unchanged, and {_WHOLE}. {_SAME_AGAIN}.",
}
"""What an interrupted command says, by its name (`run`, `init` and `confirm` are of `imindex audit`). Others change
nothing."""
_WRITES: Mapping[str, Callable[[Mapping[str, Any]], Path | None]] = {
    **dict.fromkeys(("optimize", "migrate", "remove"), lambda options: _local(options.get("index"))),
    "init": lambda options: options.get("plan"),
    "merge": lambda options: _local(options.get("out")),
    "seal": lambda options: options.get("out") or _seal_of(options["index"]),
}
"""The one file that a command replaces at its end."""


def _message_of(command: str, options: Mapping[str, Any]) -> Callable[[], str]:
    """Return a function that says what an interruption of a command leaves, at the time it is called."""
    path = _WRITES[command](options) if command in _WRITES else None
    before = _state(path)

    def message() -> str:
        if path is not None and _state(path) != before:
            return f"Stopped, but {clean(str(path))} was complete before. There is nothing left to do."
        if command == "build" and not _parts_of(options.get("index")).exists():
            return f"Stopped. No picture was encoded yet. {_START_OVER}"
        return _KEPT.get(command) or nothing_changed()

    return message


def _seal_of(index: Any) -> Path:
    return Path("" if isinstance(index, Url) else index.parent, f"{index.name}.seal.json")


def _local(place: Any) -> Path | None:
    return place if isinstance(place, Path) else None


def _parts_of(place: Any) -> Path:
    """Return the folder of the part files of an index."""
    if not isinstance(place, Url):
        return Path(f"{place}.parts")
    from imindex.indexer.remote.cache import build_path

    return Path(f"{build_path(place)}.parts")


def _state(path: Path | None) -> tuple[int, int, int] | None:
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None


class _Interrupted(click.ClickException):
    """Ends a command that Ctrl-C interrupted."""

    exit_code = INTERRUPTED


class _Terminated(click.ClickException):
    """Ends a command that SIGTERM interrupted."""

    exit_code = TERMINATED


@contextlib.contextmanager
def _terminated_as_interrupted(received: list[int]) -> Iterator[None]:
    """Let SIGTERM interrupt like Ctrl-C, and note it in `received`; only the main thread may set a handler."""
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def errors_for_people(command: Command) -> Command:
    """Convert errors that the user can act on into `Error: ...` and exit code 1.

    Ctrl-C exits with 130 and SIGTERM with 143. A command that keeps its work says how to resume.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        terminated: list[int] = []
        context = click.get_current_context(silent=True)
        message = _message_of((context.info_name if context else "") or "", kwargs)
        try:
            with INTERRUPTS.command(message), _terminated_as_interrupted(terminated):
                return command(*args, **kwargs)
        except click.exceptions.Exit:  # the result is out
            raise
        except BaseException as error:
            # A library may convert the interruption into an exception of its own.
            if not (INTERRUPTS.received or terminated or _is_interruption(error)):
                raise
            said = clean(str(error), keep="\n") if isinstance(error, Interrupted) else message()
            ended = terminated or INTERRUPTS.received == signal.SIGTERM
            raise (_Terminated if ended else _Interrupted)(said) from None

    @functools.wraps(command)
    def with_errors(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except click.Abort as error:
            raise click.UsageError(_NO_ANSWER) from error
        except ImindexError as error:
            raise click.ClickException(_for_people(error)) from error
        except BrokenPipeError:  # the reader closed the pipe; click exits silently
            raise
        except OSError as error:
            raise click.ClickException(_os_error(error)) from error
        except (MemoryError, RuntimeError) as error:
            message = str(error)
            if not isinstance(error, MemoryError) and not any(part in message for part in _TORCH_NO_MEMORY):
                raise
            raise click.ClickException(_no_memory()) from error

    return with_errors  # type: ignore[return-value]


def remedy_of(error: Exception) -> str:
    """Return the command line that would go on after an error about an encoder; otherwise nothing."""
    context = click.get_current_context(silent=True)
    options = error.options if isinstance(error, NoEncoder) else ""
    if not options or context is None or not any("--model" in one.opts for one in context.command.params):
        return ""
    return f"\nRun: {command_line()} {options}"


def _is_interruption(error: BaseException) -> bool:
    """Whether it is Ctrl-C: as such, with a message of what is kept, or in a question on the terminal."""
    if isinstance(error, click.Abort):
        return isinstance(error.__context__, KeyboardInterrupt)
    return isinstance(error, (KeyboardInterrupt, Interrupted))


class Defect(click.ClickException):
    """Ends a command with an exception that no part of imindex expected, and says how to report it."""

    def __init__(self, error: BaseException):
        super().__init__(_about_defect(error))


@contextlib.contextmanager
def guard() -> Iterator[None]:
    """Convert every exception that is not for click, Python's exit or an interruption into a message, exit code 1.

    It surrounds the whole command line, so that no input, however odd, ends in a traceback. What the user can act on,
    such as a full disk or a lack of memory, is said as by `errors_for_people`; anything else is a `Defect`. Messages
    of click are made safe by `clean`, because they quote arguments.
    """
    try:
        yield
    except (
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        click.exceptions.Exit,
        click.Abort,
        BrokenPipeError,
    ):
        raise
    except click.ClickException as error:
        safe = clean(without_secrets(error.message), keep="\n")
        before = max(
            0, error.format_message().find(error.message)
        )  # such as "Invalid value for '--batch-size': "
        echoed = len("^C") if isinstance(error, _Interrupted) else 0  # by the terminal, before the message
        vars(error)["message"] = error_text(safe, echoed + len("Error: ") + before)
        raise
    except ImindexError as error:
        raise click.ClickException(_for_people(error)) from error
    except OSError as error:
        raise click.ClickException(_os_error(error)) from error
    except MemoryError as error:
        raise click.ClickException(_no_memory()) from error
    except BaseException as error:  # PyO3's PanicException is no Exception
        raise Defect(error) from error


def _for_people(error: ImindexError) -> str:
    """Return the message of an error, after its traceback if the user asked for that."""
    shown = f"{''.join(traceback.format_exception(error))}\n" if os.environ.get(DEBUG) == "all" else ""
    return clean(without_secrets(f"{shown}{error}{remedy_of(error)}"), keep=_LF)


def _no_memory() -> str:
    """Say that memory ran out, and name options that the command has."""
    context = click.get_current_context(silent=True)
    parameters = context.command.params if context else []
    known = {name for parameter in parameters for name in parameter.opts}
    remedies = [what for option, what in _SMALLER if option in known]
    free = f"Free memory or pass {' or '.join(remedies)}" if remedies else "Free memory"
    return (
        "Out of memory, or the memory limit of this process is reached. Committed results are kept. "
        f"{free}, then run the command again."
    )


def _about_defect(error: BaseException) -> str:
    from imindex.indexer.core.provenance import program

    said = clean(without_secrets(f"{type(error).__name__}: {error}"))
    said = said if len(said) <= _LONGEST_REASON else f"{said[:_LONGEST_REASON]}..."
    about = f"{program()}, Python {platform.python_version()}, {platform.platform()}"
    text = "".join(traceback.format_exception(error))
    details = without_secrets(f"{about}\n{shlex.join(map(public_argument, sys.argv))}\n\n{text}")
    shown, remark = "", ""
    if os.environ.get(DEBUG, "") not in ("", "0"):
        shown, what = f"{clean(details, keep=_LF)}\n", "the text above"
    elif path := _keep(details):
        what = clean(path)
    else:
        what, remark = "the details", f" Set {DEBUG}=1, or run `imindex --debug ...`, to see the details."
    return (
        f"{shown}This is a defect in imindex: {said}.{remark} To report it, send the maintainers {what}, and the "
        "smallest input that shows it; in private, if the input came from somebody whom you do not trust (SECURITY.md)."
    )


def _keep(details: str) -> str:
    """Write details to a new file that only this user can read, and return its path; empty if that fails."""
    try:
        number, path = tempfile.mkstemp(prefix="imindex-defect-", suffix=".txt")
        with os.fdopen(number, "wb") as file:
            file.write(details.encode("utf-8", "backslashreplace"))
    except OSError:
        return ""
    return path


def _os_error(error: OSError) -> str:
    file = f"{clean(without_secrets(str(error.filename)))}: " if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0, "Free space or fix the permissions")
    return f"{file}{without_secrets(str(error.strerror or error))}. {remedy}, then run the command again."
