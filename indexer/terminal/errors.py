"""Turn exceptions into messages with a remedy."""

from __future__ import annotations

import errno
import functools
from typing import Any

import click

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.terminal.options import F
from imindex.indexer.terminal.output import clean


def errors_for_people(command: F) -> F:
    """Turn what the user can act on into `Error: ...` and exit code 1."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except ImindexError as error:
            raise click.ClickException(clean(str(error), keep="\n")) from error
        except BrokenPipeError:  # the reader went away; click ends quietly
            raise
        except OSError as error:
            raise click.ClickException(_os_error(error)) from error
        except (MemoryError, RuntimeError) as error:
            said = str(error)
            if not isinstance(error, MemoryError) and not any(word in said for word in _TORCH_NO_MEMORY):
                raise
            raise click.ClickException(_NO_MEMORY) from error

    return run  # type: ignore[return-value]


_NO_MEMORY = (
    "The memory of this machine, or what this process may have of it, is used up. What was committed is kept: free "
    "memory or pass a smaller --batch-size, and run the command again."
)
_TORCH_NO_MEMORY = ("allocate memory", "could not create a primitive", "could not create a memory")
"""How PyTorch and oneDNN say so on a CPU."""
_REMEDIES = {
    errno.ENOSPC: "Free space",
    errno.EFBIG: "Raise the limit on the size of files (`ulimit -f`), or write to another file system",
    errno.EROFS: "Mount it for writing, or write elsewhere",
}


def _os_error(error: OSError) -> str:
    what = f"{clean(str(error.filename))}: " if error.filename else ""
    remedy = _REMEDIES.get(error.errno or 0, "Free space or mend the permissions")
    return f"{what}{error.strerror or error}. {remedy}, and run the command again."
