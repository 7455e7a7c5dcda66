"""The command `imindex`: a lazy click group."""

from __future__ import annotations

import importlib

import click

__version__ = "0.1.0"

COMMANDS = {
    "build": ("indexer.cli", "Encode pictures into an index, each once."),
    "info": ("indexer.cli", "Say what an index holds and how it came to be."),
    "remove": ("indexer.cli", "Take pictures out of an index for good."),
    "optimize": ("indexer.optimize_cli", "Make queries of a large index quicker, at a stated recall."),
    "export": ("indexer.cli", "Write an index as NumPy and Parquet files."),
    "generate": ("indexer.generate_cli", "Ask a diffusion model for pictures in artists' names."),
    "query": ("retrieval.cli", "Find the nearest pictures and artists."),
    "classify": ("retrieval.cli", "Name the artist of each imitation, zero-shot."),
    "match": ("retrieval.cli", "Rank the imitations by every work, exactly."),
    "compare": ("retrieval.compare_cli", "Compare two releases, artist by artist, and fail on a condition."),
    "audit": ("retrieval.audit_cli", "Audit releases by a written plan, from prompts to report."),
    "verify": ("retrieval.verify_cli", "Check that an index, its pictures or an audit are what was written."),
    "seal": ("retrieval.verify_cli", "Write down what an index is, to be signed or time-stamped."),
    "migrate": ("indexer.migrate_cli", "Bring an index of an older format version up to date."),
    "power": ("retrieval.power_cli", "Say how many works, imitations and placebo names an audit needs."),
    "doctor": ("indexer.doctor_cli", "Check this machine, its GPUs and an index, with remedies."),
    "demo": ("retrieval.demo_cli", "Try it all on pictures that this command draws."),
}


class LazyGroup(click.Group):
    """A group whose commands are named in `COMMANDS`; `imindex --help` imports none of their modules."""

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


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: imindex demo DIR. Then: imindex build SOURCE...; imindex match.",
)
@click.version_option(__version__, prog_name="imindex")
def main() -> None:
    """Measure how well a generative image model imitates named artists, and say how sure one may be."""


if __name__ == "__main__":
    main()
