"""Measure how well a generative image model imitates named artists, and how sure one may be.

>>> import imindex
>>> imindex.open("audit.h5").query("picture.png")  # doctest: +SKIP

`open`, `build`, `compare`, `audit`, `Encoder`, `Testing` and the types that they return are loaded when first used
(docs/python.md). `main` is the command line, a click group.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

import click

__version__ = "0.1.0"

DOOR = (
    "BuildReport", "Encoder", "ImindexError", "Items", "Limits", "OpenIndex", "Testing",
    "audit", "build", "compare", "confirm_copies", "copy_candidates", "forecast", "open",
)  # fmt: skip
"""Names of `imindex.retrieval.api` that are names of this package too."""

COMMANDS = {
    "build": ("imindex.indexer.cli.build", "Encode pictures into an index, each once."),
    "info": ("imindex.indexer.cli.info", "Show what an index holds and how it was made."),
    "remove": ("imindex.indexer.cli.remove", "Remove pictures from an index permanently."),
    "optimize": (
        "imindex.indexer.cli.optimize",
        "Speed up queries on a large index, at a stated recall.",
    ),
    "export": ("imindex.indexer.cli.export", "Write an index as NumPy and Parquet files."),
    "generate": (
        "imindex.indexer.cli.generate",
        "Generate pictures from artists' names with a diffusion model.",
    ),
    "query": ("imindex.retrieval.cli.query", "Search for the nearest pictures and artists."),
    "classify": ("imindex.retrieval.cli.classify", "Name the artist of each imitation, zero-shot."),
    "match": ("imindex.retrieval.cli.match", "Rank all imitations by every work, exactly."),
    "compare": (
        "imindex.retrieval.cli.compare",
        "Compare two releases artist by artist, with conditions to fail on.",
    ),
    "audit": ("imindex.retrieval.cli.audit", "Audit releases by a written plan, from prompts to report."),
    "verify": (
        "imindex.retrieval.cli.verify",
        "Check that an index, its pictures or an audit are unchanged.",
    ),
    "seal": ("imindex.retrieval.cli.seal", "Write a manifest of an index for signing or time-stamping."),
    "migrate": ("imindex.indexer.cli.migrate", "Upgrade an index from an older format version."),
    "power": (
        "imindex.retrieval.cli.power",
        "Compute how many works, imitations and placebo names an audit needs.",
    ),
    "doctor": ("imindex.indexer.cli.doctor", "Check this machine, its GPUs and an index; suggest fixes."),
    "demo": ("imindex.retrieval.cli.demo", "Run a complete example on generated pictures."),
}


def __getattr__(name: str) -> Any:
    if name in DOOR:
        return getattr(importlib.import_module("imindex.retrieval.api"), name)
    raise AttributeError(f"module 'imindex' has no attribute {name!r}")


def __dir__() -> list[str]:
    modules = ("indexer", "retrieval", "stats")
    return sorted({*DOOR, *modules, "main", *(name for name in globals() if name.startswith("__"))})


@contextlib.contextmanager
def _guard() -> Iterator[None]:
    """Apply `imindex.indexer.terminal.errors.guard`, which is imported only if there is an exception."""
    try:
        yield
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError, click.Abort):
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        from imindex.indexer.terminal.errors import guard

        with guard():
            raise error


class LazyGroup(click.Group):
    """A group whose commands are named in `COMMANDS`; `imindex --help` imports none of their modules."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _guard():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _guard():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Set the variable that `imindex.indexer.terminal.errors` reads, until the command has ended."""
    if value:
        name = "IMINDEX_DEBUG"
        before = os.environ.get(name)
        os.environ[name] = "all"

        def restore() -> None:
            if before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = before

        context.call_on_close(restore)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: imindex demo DIR. Then: imindex build SOURCE...; imindex match.",
)
@click.version_option(__version__, prog_name="imindex")
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_debug,
    help="Show the traceback of every error.",
)
def main() -> None:
    """Measure how well a generative image model imitates named artists, and say how sure one may be."""
