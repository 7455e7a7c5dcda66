"""The command `imindex`: a group whose commands are imported when they are called."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import click

from imindex.indexer.core.errors import DEBUG
from imindex.indexer.core.exit_codes import MEANINGS

JOBS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Start": {
        "demo": ("imindex.retrieval.cli.demo", "Run a complete example on generated pictures."),
        "doctor": ("imindex.indexer.cli.doctor", "Check this machine, its GPUs and an index; suggest fixes."),
        "build": ("imindex.indexer.cli.build", "Encode pictures into an index, each once."),
        "fetch": ("imindex.indexer.cli.fetch", "Download artists' works from a list of URLs."),
        "generate": (
            "imindex.indexer.cli.generate",
            "Generate pictures from artists' names with a diffusion model or an API.",
        ),
    },
    "Ask": {
        "query": ("imindex.retrieval.cli.query", "Search for the nearest pictures and artists."),
        "match": ("imindex.retrieval.cli.match", "Rank all imitations by every work, exactly."),
        "classify": ("imindex.retrieval.cli.classify", "Name the artist of each imitation, zero-shot."),
        "compare": (
            "imindex.retrieval.cli.compare",
            "Compare two releases artist by artist, with conditions to fail on.",
        ),
    },
    "Look": {
        "map": ("imindex.retrieval.cli.map", "Lay an index out in two dimensions, for imindex serve."),
        "serve": ("imindex.retrieval.cli.serve", "Serve indexes and audits as pages and an HTTP API."),
    },
    "Audit": {
        "encoders": (
            "imindex.retrieval.cli.encoders",
            "Choose an encoder on works alone, before any imitation is seen.",
        ),
        "audit": (
            "imindex.retrieval.cli.audit",
            "Audit releases by a written plan, from prompts to report.",
        ),
        "power": (
            "imindex.retrieval.cli.power",
            "Compute how many works, imitations and placebo names an audit needs.",
        ),
        "panel": (
            "imindex.retrieval.cli.panel",
            "Ask people which pictures are like an artist's works, blind.",
        ),
    },
    "Keep": {
        "info": ("imindex.indexer.cli.info", "Show what an index holds and how it was made."),
        "verify": (
            "imindex.retrieval.cli.verify",
            "Check that an index, its pictures or an audit are unchanged.",
        ),
        "seal": (
            "imindex.retrieval.cli.seal",
            "Write a manifest of an index for signing or time-stamping.",
        ),
        "export": ("imindex.retrieval.cli.export", "Write an index as files of other programs."),
        "push": ("imindex.retrieval.cli.push", "Upload an index to a dataset repository of a hub."),
        "pull": ("imindex.retrieval.cli.pull", "Download an index from a hub, and check it."),
        "merge": ("imindex.indexer.cli.merge", "Merge several index files into one."),
        "split": ("imindex.indexer.cli.split", "Split an index into several files."),
        "remove": ("imindex.indexer.cli.remove", "Remove pictures from an index permanently."),
        "optimize": (
            "imindex.indexer.cli.optimize",
            "Speed up queries on a large index, at a stated recall.",
        ),
        "migrate": ("imindex.indexer.cli.migrate", "Upgrade an index from an older format version."),
        "completion": ("imindex.indexer.cli.completion", "Print the completion script of a shell."),
    },
}
"""The module and the summary of each command, by the job that it is for."""
COMMANDS = {name: entry for commands in JOBS.values() for name, entry in commands.items()}
_SHOWN = {
    "doctor": {"audit init": "Write a commented plan from the folders beside it."},
    "audit": {
        "audit PLAN": COMMANDS["audit"][1],
        "audit confirm": "Confirm or reject candidates for copies.",
    },
}
"""Further rows of the help, below that of a command or, for `audit`, in its place."""


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


def _print_any_name() -> None:
    """Escape the characters that stdout and stderr cannot encode, such as names in a locale that is not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="backslashreplace")


class LazyGroup(click.Group):
    """A group whose commands are named in `JOBS`; `imindex --help` imports none of their modules."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        _print_any_name()
        with _guard():
            return super().make_context(info_name, args, parent, **extra)

    def _main_shell_completion(
        self, ctx_args: MutableMapping[str, Any], prog_name: str, complete_var: str | None = None
    ) -> None:
        if complete_var or os.environ.get("_IMINDEX_COMPLETE"):  # a shell asks
            importlib.import_module("imindex.indexer.terminal.shells").use_shells()
        super()._main_shell_completion(ctx_args, prog_name, complete_var)

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
        for job, commands in JOBS.items():
            rows: dict[str, str] = {}
            for name, (_, summary) in commands.items():
                rows |= ({} if name == "audit" else {name: summary}) | _SHOWN.get(name, {})
            with formatter.section(job):
                formatter.write_dl([(f"{name:<13}", summary) for name, summary in rows.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl([(f"{code:<13}", meaning) for code, meaning in MEANINGS.items()])


def _version() -> str:
    package: Any = importlib.import_module("imindex")
    return str(package.__version__)


def _debug(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Set the variable that `imindex.indexer.terminal.errors` reads, until the command has ended."""
    if value:
        before = os.environ.get(DEBUG)
        os.environ[DEBUG] = "all"

        def restore() -> None:
            os.environ.pop(DEBUG, None)
            os.environ.update({} if before is None else {DEBUG: before})

        context.call_on_close(restore)


@click.command(
    "imindex",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Start with: imindex demo DIR. Then: imindex build SOURCE...; imindex match.",
)
@click.version_option(_version(), prog_name="imindex")
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_debug,
    help="Show the traceback of every error.",
)
def main() -> None:
    """Measure how well a generative image model imitates named artists, and say how sure one may be."""
