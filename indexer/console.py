"""What the commands share: JSON and tables to stdout, notes and progress to stderr, errors for people."""

from __future__ import annotations

import errno
import functools
import importlib
import inspect
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from indexer.errors import ImindexError
from indexer.limits import Limits

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_INDEX = "imindex.h5"

index_option = click.option(
    "-i",
    "--index",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_INDEX,
    envvar="IMINDEX_INDEX",
    show_default=True,
    show_envvar=True,
    help="The index file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, all of it, to stdout.")
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|cuda:N[,...]",
    help="Where to compute.",
)


class FromSignature(click.Option):
    """An option whose default is that of a function's parameter; the function is imported when it is asked for.

    Parameters
    ----------
    of : str
        `module:function`.
    parameter : str, optional
        Unless it is called as the option is.
    """

    def __init__(self, *args: Any, of: str, parameter: str = "", **kwargs: Any):
        kwargs["show_default"] = True
        super().__init__(*args, **kwargs)
        self._module, _, self._function = of.partition(":")
        self._parameter = parameter or str(self.name)

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        function = getattr(importlib.import_module(self._module), self._function)
        return inspect.signature(function).parameters[self._parameter].default


def add_options(command: F, *options: Callable[[F], F]) -> F:
    """Add options to a command, listed in this order in its help."""
    for option in reversed(options):
        command = option(command)
    return command


def batch_size_of(said: str) -> int | None:
    """What `--batch-size auto|N` says; None for auto."""
    if said == "auto":
        return None
    if not said.isdecimal() or int(said) < 1:
        raise click.BadParameter(
            f"{said} is neither auto nor a whole number above 0.", param_hint="--batch-size"
        )
    return int(said)


def limit_options(command: F) -> F:
    """Add --max-pixels and --decode-timeout for a command that decodes pictures; `limits_of` takes them."""
    limits = "indexer.limits:Limits"
    return add_options(
        command,
        click.option(
            "--max-pixels", cls=FromSignature, of=limits, type=click.IntRange(1), metavar="N",
            help="Reject larger pictures (width x height). Raise it, and those rejected by it are tried again.",
        ),
        click.option(
            "--decode-timeout", cls=FromSignature, of=limits, type=click.FloatRange(0, min_open=True),
            metavar="SECONDS", help="Reject pictures that take longer to decode; the same holds.",
        ),
    )  # fmt: skip


def limits_of(options: Mapping[str, Any]) -> Limits:
    """What --max-pixels and --decode-timeout say."""
    return Limits(options["max_pixels"], options["decode_timeout"])


def model_options(command: F) -> F:
    """Add --model and --pretrained for a command that reads an index: where its encoder lies now."""
    return add_options(
        command,
        click.option("--model", help="Where the index's encoder is now, if it moved."),
        click.option("--pretrained", help="Where the weights of the index's encoder are now, if they moved."),
    )


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


def fail(message: str) -> NoReturn:
    """End with exit code 1."""
    raise ImindexError(message)


def say(message: str) -> None:
    """Write a note to stderr."""
    click.echo(clean(message), err=True)


def print_json(value: Mapping[str, Any]) -> None:
    """Write a result to stdout as JSON; NaN becomes null."""
    click.echo(json.dumps(json_ready(value), ensure_ascii=True, indent=2, allow_nan=False))


def json_ready(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy
        return json_ready(value.tolist())
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def clean(text: str, keep: str = "") -> str:
    """Make a name safe for a terminal: control characters and stray bytes are shown, not obeyed."""
    return "".join(
        c if c.isprintable() or c in keep else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}"
        for c in text
    )


def number(value: float, digits: int = 3) -> str:
    """Format a figure for a table; a dash where there is none."""
    return "-" if value != value else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """Format a share for a table, in per cent."""
    return "-" if value != value else f"{100 * value:.1f} %"


def print_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    note: str | Sequence[str] = "",
) -> None:
    """Write a table to stdout; the first `left` columns hold text, the others figures. No header: names and values."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=bool(header), show_edge=False)
    for position, name in enumerate(header or [""] * len(rows[0])):
        table.add_column(Text(name), justify="left" if position < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console = _stdout()
    console.print(Text(clean(title), "bold"))
    console.print(table)
    for line in [note] if isinstance(note, str) else note:
        if line:
            console.print(Text(clean(line), "dim"))
    console.print()


def _stdout() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr; yields the function to call with (done, encoded)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(what, total=total, rate="")
        due = 0.0

        def advance(done: int, encoded: int) -> None:
            nonlocal due
            if done != total and time.monotonic() < due:  # nobody sees more than this
                return
            due = time.monotonic() + 0.05
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{encoded / elapsed:.0f} pictures/s" if encoded and elapsed else ""
            bar.update(task, completed=done, rate=rate)

        yield advance


def count(n: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: `1 picture`, `2,000 pictures`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def command_line() -> str:
    """The command line as the log keeps it."""
    return shlex.join(["imindex", *sys.argv[1:]])
