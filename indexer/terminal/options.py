"""What the commands share: JSON and tables to stdout, notes and progress to stderr, errors for people."""

from __future__ import annotations

import importlib
import inspect
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from imindex.indexer.decode.limits import Limits

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
    limits = "imindex.indexer.decode.limits:Limits"
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


def command_line() -> str:
    """The command line as the log keeps it."""
    return shlex.join(["imindex", *sys.argv[1:]])
