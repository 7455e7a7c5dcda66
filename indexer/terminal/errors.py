"""Convert exceptions into error messages with a remedy."""

from __future__ import annotations

import contextlib
import errno
import functools
import signal
import threading
from collections.abc import Iterator
from typing import Any

import click

from imindex.indexer.core.errors import ImindexError, Interrupted
from imindex.indexer.terminal.options import Command
from imindex.indexer.terminal.output import clean

_NO_MEMORY = (
    "Out of memory, or the memory limit of this process is reached. Committed results are kept. Free memory or pass a "
    "smaller --batch-size, then run the command again."
)
_TORCH_NO_MEMORY = ("allocate memory", "could not create a primitive", "could not create a memory")
"""Parts of the out-of-memory messages of PyTorch and oneDNN on a CPU."""
_REMEDIES = {
    errno.ENOSPC: "Free space",
    errno.EFBIG: "Raise the file size limit (`ulimit -f`), or write to another file system",
    errno.EROFS: "Mount the file system for writing, or write elsewhere",
}


_SAME_AGAIN = "Run the same command again to resume."
_RESUME = {
    "run": f"Stopped. Finished pictures and results are kept. {_SAME_AGAIN}",
    "optimize": "Stopped. The index is unchanged. Run the same command again to start over.",
    "migrate": "Stopped. The index is unchanged. Run the same command again to start over.",
    "demo": f"Stopped. {_SAME_AGAIN}",
    "build": f"Stopped. Encoded pictures are kept. {_SAME_AGAIN}",
    "generate": f"Stopped. Generated pictures are kept. {_SAME_AGAIN}",
}
"""What an interrupted command says, by its name; `run` is that of `imindex audit`."""


class _Interrupted(click.ClickException):
    """Ends a command that Ctrl-C interrupted."""

    exit_code = 128 + signal.SIGINT


class _Terminated(click.ClickException):
    """Ends a command that SIGTERM interrupted."""

    exit_code = 128 + signal.SIGTERM


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
        received: list[int] = []
        try:
            with _terminated_as_interrupted(received):
                return command(*args, **kwargs)
        except KeyboardInterrupt:
            context = click.get_current_context(silent=True)
            name = context.info_name if context else ""
            raise (_Terminated if received else _Interrupted)(_RESUME.get(name or "", "Stopped.")) from None
        except Interrupted as error:
            raise (_Terminated if received else _Interrupted)(clean(str(error), keep="\n")) from None
        except ImindexError as error:
            raise click.ClickException(clean(str(error), keep="\n")) from error
        except BrokenPipeError:  # the reader closed the pipe; click exits silently
            raise
        except OSError as error:
            raise click.ClickException(_os_error(error)) from error
        except (MemoryError, RuntimeError) as error:
            message = str(error)
            if not isinstance(error, MemoryError) and not any(part in message for part in _TORCH_NO_MEMORY):
                raise
            raise click.ClickException(_NO_MEMORY) from error

    return run  # type: ignore[return-value]


def _os_error(error: OSError) -> str:
    file = f"{clean(str(error.filename))}: " if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0, "Free space or fix the permissions")
    return f"{file}{error.strerror or error}. {remedy}, then run the command again."
