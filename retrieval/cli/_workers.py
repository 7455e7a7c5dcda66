"""The options that say where an index is searched and matched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from imindex.indexer.core.bounds import PROCESSES
from imindex.indexer.terminal.options import within

if TYPE_CHECKING:
    from imindex.retrieval.shards.start import Workers

Command = TypeVar("Command", bound=Callable[..., Any])


def workers_options(command: Command) -> Command:
    """Add --workers, --on and --address; `workers_of` reads them."""
    for option in reversed(
        (
            click.option(
                "--workers",
                type=within(PROCESSES),
                metavar="N",
                help="Share the work between N processes, or with --on ray N actors. Results do not change, except "
                "that an optimized index is searched exactly.",
            ),
            click.option(
                "--on",
                type=click.Choice(("local", "ray")),
                default="local",
                help="Where to compute: on this machine, or on a Ray cluster (needs imindex[ray]).",
            ),
            click.option(
                "--address",
                metavar="HOST:PORT",
                help="With --on ray: the head of a running cluster. By default, a private one on this machine.",
            ),
        )
    ):
        command = option(command)
    return command


def workers_of(options: Mapping[str, Any]) -> Workers:
    """Return what `workers_options` were passed.

    Raises
    ------
    click.UsageError
        If --address was passed without --on ray.
    """
    from imindex.retrieval.shards.start import Workers

    if options["address"] and options["on"] != "ray":
        raise click.UsageError("--address needs --on ray.")
    return Workers(options["on"], options["address"], options["workers"])
