"""Options shared by several commands."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from imindex.indexer.core.bounds import BATCH, MAX_PIXELS, MEMORY, SECONDS, Bounds
from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.paths import root_name_fault
from imindex.indexer.core.preprocess_bounds import COLORS, TRUNCATED
from imindex.indexer.core.secrets import public_argument
from imindex.indexer.core.url import Url
from imindex.indexer.decode.limits import Limits
from imindex.indexer.terminal.output import View

Command = TypeVar("Command", bound=Callable[..., Any])
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
DEFAULT_INDEX = "imindex.h5"

IndexPlace = Path | Url | tuple[Path | Url, ...]
"""What `indexes_option` passes: a file, a pattern or a URL, or several of them."""


class PathOrUrl(click.Path):
    """A path, or the URL of an object. Credentials in a URL are kept for requests, and taken out of it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | Url:
        text = os.fspath(value)
        if not is_url(text):
            return Path(os.fsdecode(super().convert(value, param, ctx)))
        if isinstance(value, Url):
            return value
        return Url(name_by_user(text))


class IndexOption(click.Option):
    """`-i`, which may be repeated. The environment variable holds one path, whatever characters it has."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        if opts.get(str(self.name)) and not ctx.resilient_parsing:
            self._refuse_expanded(ctx, opts, args)
        return super().handle_parse_result(ctx, opts, args)

    def _refuse_expanded(self, ctx: click.Context, opts: Mapping[str, Any], args: Sequence[str]) -> None:
        """Refuse index files that follow -i FILE as arguments: a shell made them of a pattern."""
        words = list(args)
        for parameter in ctx.command.params:
            if isinstance(parameter, click.Argument):
                values = opts.get(
                    str(parameter.name)
                )  # click has an own value for an argument that is missing
                words += (
                    [values]
                    if isinstance(values, str)
                    else values
                    if isinstance(values, (list, tuple))
                    else ()
                )
        for word in words:
            if str(word).endswith((".h5", ".hdf5")) and Path(word).is_file():
                remedy = (
                    "If the shell expanded a pattern after -i, quote it: -i 'part-*.h5'. Or repeat -i for each file."
                    if self.callback is _some_indexes
                    else "It takes one index, with -i."
                )
                raise click.UsageError(
                    f"{word} is an index file, and no argument of this command. {remedy}", ctx
                )

    def value_from_envvar(self, ctx: click.Context) -> Any:
        value = self.resolve_envvar_value(ctx)
        return None if value is None else (value,)


def _one_index(ctx: click.Context, param: click.Parameter, values: tuple[Path | Url, ...]) -> Path | Url:
    """Return the one file that is named; refuse several, since the command rewrites or checks one."""
    first = values[0]
    if len(values) == 1 and (
        isinstance(first, Url) or first.exists() or not any(c in str(first) for c in "*?[")
    ):
        return first
    if ctx.resilient_parsing:
        return first
    from imindex.indexer.system.index_files import has_match, one_file

    if len(values) == 1 and not has_match(first):  # a new file may have such a name
        return first
    try:
        return one_file(values, f"imindex {ctx.info_name}")
    except ImindexError as error:
        raise click.UsageError(str(error), ctx) from error


def _some_indexes(
    ctx: click.Context, param: click.Parameter, values: tuple[Path | Url, ...]
) -> IndexPlace | None:
    return values[0] if len(values) == 1 else values or None


def index_option_of(
    *,
    several: bool = False,
    default: str | None = DEFAULT_INDEX,
    help: str = "The index file, or the URL of one in an object store.",
) -> Callable[[Command], Command]:
    """Return the option `-i`: of one index file, or of several that are read as one."""
    more = ' A quoted pattern, such as "part-*.h5", or a repeated -i reads several files as one index.'
    return click.option(
        "-i",
        "--index",
        cls=IndexOption,
        type=PathOrUrl(path_type=Path, dir_okay=False),
        multiple=True,
        callback=_some_indexes if several else _one_index,
        default=None if default is None else (default,),
        envvar="IMINDEX_INDEX",
        show_default=default is not None,
        show_envvar=default is not None,
        help=f"{help}{more if several else ''}",
    )


index_option = index_option_of()
indexes_option = index_option_of(several=True)
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


class Location(click.Path):
    """A path, or a URL, whose credentials are kept for requests only."""

    name = "location"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and is_url(value):
            return name_by_user(value)
        return super().convert(value, param, ctx)


class RootFolder(click.ParamType):  # type: ignore[type-arg]
    """A folder of pictures, or the prefix of URLs, with or without a name: FOLDER or NAME=FOLDER."""

    name = "[NAME=]FOLDER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Root:
        if isinstance(value, Root):
            return value
        name, equals, folder = str(value).partition("=")
        if not equals or is_url(str(value)) or Path(value).is_dir():
            name, folder = "", str(value)
        folder = name_by_user(folder)
        if name and (fault := root_name_fault(name)):
            self.fail(f"The name {name!r} {fault}.", param, ctx)
        return Root(name, folder.rstrip("/") if is_url(folder) else Path(folder))


@dataclass(frozen=True)
class Root:
    """A folder of pictures, or the prefix of URLs, that the user named; `name` is empty if only that was given."""

    name: str
    folder: Path | str

    @property
    def default_name(self) -> str:
        """The name of the folder."""
        return (
            self.folder.absolute().name if isinstance(self.folder, Path) else self.folder.rpartition("/")[2]
        )


root_option = click.option(
    "--root",
    "roots",
    type=RootFolder(),
    multiple=True,
    metavar="[NAME=]FOLDER",
    help="Where the pictures of a named root are now: a folder, or a URL such as s3://bucket/art. The name is by "
    "default that of FOLDER. Repeatable.",
)


def require_folders(roots: Sequence[Root]) -> None:
    """Refuse a `--root` that is not a folder."""
    if missing := [
        str(root.folder) for root in roots if isinstance(root.folder, Path) and not root.folder.is_dir()
    ]:
        raise click.UsageError(
            f"There is no folder {', '.join(missing)}. --root takes a folder with pictures."
        )


def roots_of(options: Mapping[str, Any]) -> dict[str, Path | str]:
    """Return the folders, and prefixes of URLs, passed with `--root` by their names."""
    require_folders(options["roots"])
    roots: dict[str, Path | str] = {}
    for root in options["roots"]:
        name = root.name or root.default_name
        if fault := root_name_fault(name):
            raise click.UsageError(f"--root {root.folder}: its name {fault}. Pass --root NAME={root.folder}.")
        if name in roots and roots[name] != root.folder:
            raise click.UsageError(
                f"--root: {roots[name]} and {root.folder} would both be named {name}. Pass --root NAME=FOLDER."
            )
        roots[name] = root.folder
    return roots


class FromSignature(click.Option):
    """An option that takes its default from a function's signature. The function is imported on demand.

    Parameters
    ----------
    of : str
        `module:function`.
    parameter : str, optional
        The function's parameter, by default the name of the option.
    is_light : bool
        Whether its module is imported quickly, so that help can show the default.
    """

    def __init__(self, *args: Any, of: str, parameter: str = "", is_light: bool = False, **kwargs: Any):
        kwargs["show_default"] = True
        super().__init__(*args, **kwargs)
        self._is_light = is_light
        self._module, _, self._function = of.partition(":")
        self._parameter = parameter or str(self.name)

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        if ctx.resilient_parsing and not self._is_light:  # for help and completion, which are to be quick
            return None
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


def table_options(command: Command) -> Command:
    """Add --columns and --csv to a command that shows a table; see `view_of`."""
    return add_options(
        command,
        click.option(
            "--columns", metavar="NAME,...",
            help="Columns to show, by their names in the CSV, or `all`. A name that is unknown lists them. "
            "[default: those that the terminal has room for]",
        ),
        click.option(
            "--csv", "as_csv", is_flag=True,
            help="Print the full table as CSV: every row and column, in full precision. A pipe gets the same, "
            "separated by tabs.",
        ),
    )  # fmt: skip


def view_of(options: MutableMapping[str, Any], known: Callable[[], Sequence[str]] = tuple) -> View:
    """Take --columns and --csv out of the options of a command, and return what they ask for.

    Parameters
    ----------
    options : mutable mapping
    known : callable, optional
        Returns the names of the fields of the table, so that a wrong one is an error before anything is computed.
        Fields of which there are several, such as `recall@5`, are known by what precedes the @.
    """
    columns, as_csv = options.pop("columns"), options.pop("as_csv")
    context = click.get_current_context(silent=True)
    if as_csv and context is not None and context.params.get("as_json"):
        raise click.UsageError("--csv and --json are two forms of one result. Pass one of them.")
    names = tuple(name for part in (columns or "").split(",") if (name := part.strip()))
    if columns is not None and not names:
        raise click.BadParameter("no column is named.", param_hint="--columns")
    there = known() if names and names != ("all",) else ()
    if there:
        from imindex.indexer.terminal.table import check_names

        prefixes = {name.partition("@")[0] for name in there if "@" in name}
        try:
            check_names([name for name in names if name.partition("@")[0] not in prefixes], there)
        except ImindexError as error:
            raise click.BadParameter(str(error), param_hint="--columns") from error
    return View(names, as_csv)


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


def preprocess_option(command: Command) -> Command:
    """Add --preprocess-from to a command that loads an encoder by its name."""
    return add_options(
        command,
        click.option(
            "--preprocess-from", metavar="TAG|MODEL:TAG",
            help="For a file of weights: published weights with the same mean, standard deviation, resizing and "
            "activation, if those of the model differ.",
        ),
    )  # fmt: skip


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
    """Return the command line as recorded in the log: without the credentials of URLs."""
    return shlex.join(["imindex", *map(public_argument, sys.argv[1:])])
