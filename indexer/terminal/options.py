"""Options shared by several commands."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from imindex.indexer.core.bounds import BATCH, MAX_PIXELS, MEMORY, SECONDS, Bounds
from imindex.indexer.core.preprocess_bounds import COLORS, TRUNCATED
from imindex.indexer.decode.limits import Limits

Command = TypeVar("Command", bound=Callable[..., Any])
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
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
json_option = click.option("--json", "as_json", is_flag=True, help="Print the full result to stdout as JSON.")
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|cuda:N[,...]",
    help="Compute device.",
)

trust_option = click.option(
    "--trust-encoder",
    is_flag=True,
    help="Load the encoder that the index names, even if it is a folder, a file or a repository.",
)


class FromSignature(click.Option):
    """An option that takes its default from a function's signature. The function is imported on demand.

    Parameters
    ----------
    of : str
        `module:function`.
    parameter : str, optional
        The function's parameter, by default the name of the option.
    """

    def __init__(self, *args: Any, of: str, parameter: str = "", **kwargs: Any):
        kwargs["show_default"] = True
        super().__init__(*args, **kwargs)
        self._module, _, self._function = of.partition(":")
        self._parameter = parameter or str(self.name)

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        function = getattr(importlib.import_module(self._module), self._function)
        return inspect.signature(function).parameters[self._parameter].default


class Real(click.FloatRange):
    """A number in a range, ends included; NaN is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if number != number:
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def within(bounds: Bounds) -> click.ParamType:  # type: ignore[type-arg]
    """Return the type of an option whose numbers are in a range of `imindex.indexer.core.bounds`."""
    if bounds.whole:
        return click.IntRange(int(bounds.least), int(bounds.most))
    return Real(bounds.least, bounds.most)


class Size(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, such as 500MB or 1.5GiB."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,9})?)\s*([KMGT]?)(I?)B?", str(value).strip().upper())
        if not match or (match[3] and not match[2]):
            self.fail(f"{value} is not a size. Write 500MB, 2GB or 1.5GiB.", param, ctx)
        unit = _UNITS[match[2]]
        if match[3]:
            unit = 1024 ** ("KMGT".index(match[2]) + 1)
        size = int(float(match[1]) * unit)
        if not MEMORY.hold(size):
            self.fail(f"{value} is too small or too large: write 1MiB to 1024TiB.", param, ctx)
        return size


def add_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Add options to a command, listed in this order in its help."""
    for option in reversed(options):
        command = option(command)
    return command


def batch_size_of(value: str) -> int | None:
    """Parse `--batch-size auto|N`; return None for auto."""
    if value == "auto":
        return None
    if not value.isdecimal() or len(value) > 9 or not BATCH.hold(int(value)):
        raise click.BadParameter(f"{value} is neither auto nor {BATCH}.", param_hint="--batch-size")
    return int(value)


def limit_options(command: Command) -> Command:
    """Add --max-pixels, --decode-timeout and --decode-memory to a command that decodes pictures; see `limits_of`."""
    limits = "imindex.indexer.decode.limits:Limits"
    return add_options(
        command,
        click.option(
            "--max-pixels", cls=FromSignature, of=limits, type=within(MAX_PIXELS), metavar="N",
            help="Reject larger pictures (width x height). Raising the limit retries those it rejected.",
        ),
        click.option(
            "--decode-timeout", cls=FromSignature, of=limits, type=within(SECONDS),
            metavar="SECONDS",
            help="Reject pictures that take longer to decode. Raising the limit retries those it rejected.",
        ),
        click.option(
            "--decode-memory", type=Size(), metavar="SIZE",
            help="Memory for all pictures that are decoded at the same time, such as 2GB. A picture that alone needs "
            "more is rejected. Raising the limit retries those it rejected.  [default: a quarter of the memory]",
        ),
    )  # fmt: skip


def rendering_options(command: Command) -> Command:
    """Add --color and --truncated to a command that makes an index."""
    return add_options(
        command,
        click.option(
            "--color", type=click.Choice(COLORS),
            help="srgb: pictures are converted to sRGB by their colour profiles. as-encoded: profiles are ignored.  "
            "[default: the index's; srgb for a new one]",
        ),
        click.option(
            "--truncated", type=click.Choice(TRUNCATED),
            help="accept: a picture whose file ends early is a row, with a grey rest.  [default: the index's; reject "
            "for a new one]",
        ),
    )  # fmt: skip


def limits_of(options: Mapping[str, Any]) -> Limits:
    """Return the limits set by --max-pixels, --decode-timeout and --decode-memory."""
    return Limits(options["max_pixels"], options["decode_timeout"], options["decode_memory"] or 0)


def model_options(command: Command) -> Command:
    """Add --model, --pretrained and --trust-encoder to a command that reads an index; see `encoder_of`."""
    return add_options(
        command,
        click.option("--model", help="New location of the index's encoder, if it was moved."),
        click.option("--pretrained", help="New location of the encoder's weights, if they were moved."),
        trust_option,
    )


def encoder_of(options: Mapping[str, Any]) -> dict[str, object]:
    """Return where the encoder of an index is, and whether it is trusted, as `load_with` takes it."""
    where = {name: options[name] for name in ("model", "pretrained", "device")}
    return {**where, "trust": options["trust_encoder"] or None}


def command_line() -> str:
    """Return the command line as recorded in the log."""
    return shlex.join(["imindex", *sys.argv[1:]])
