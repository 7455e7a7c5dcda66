"""Convert exceptions into error messages with a remedy."""

from __future__ import annotations

import errno
import functools
from typing import Any

import click

from imindex.indexer.core.errors import ImindexError
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


def errors_for_people(command: Command) -> Command:
    """Convert errors that the user can act on into `Error: ...` and exit code 1."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
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
