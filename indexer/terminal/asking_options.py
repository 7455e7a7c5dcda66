"""The options of commands that ask an image API: how fast, how often, and at what price."""

from __future__ import annotations

import click

from imindex.indexer.core.bounds import CONNECTIONS, PER_MINUTE, PRICE, SECONDS, SOME_ATTEMPTS, SOME_REQUESTS
from imindex.indexer.terminal.options import Command, FromSignature, add_options, within

ASKING = "imindex.indexer.image_api.settings:Asking"


def pace_options(command: Command) -> Command:
    """Add the options that say how fast and how often an API is asked."""
    return add_options(
        command,
        click.option(
            "--per-minute", cls=FromSignature, of=ASKING, type=within(PER_MINUTE), help="API: requests per minute."
        ),
        click.option(
            "--concurrency", cls=FromSignature, of=ASKING, type=within(CONNECTIONS),
            help="API: requests at the same time.",
        ),
        click.option(
            "--max-requests", type=within(SOME_REQUESTS),
            help="API: stop after this many requests; run again to go on.",
        ),
        click.option("--price", type=within(PRICE), help="API: of one picture, to print the expected cost."),
    )  # fmt: skip


def fault_options(command: Command) -> Command:
    """Add the options that say how long and how often a faulty API is asked."""
    return add_options(
        command,
        click.option(
            "--timeout", cls=FromSignature, of=ASKING, type=within(SECONDS), metavar="SECONDS",
            help="API: time for one request, to the last byte of its answer.",
        ),
        click.option(
            "--attempts", cls=FromSignature, of=ASKING, type=within(SOME_ATTEMPTS),
            help="API: attempts per picture where a fault may pass. A refusal is never asked again.",
        ),
    )  # fmt: skip
