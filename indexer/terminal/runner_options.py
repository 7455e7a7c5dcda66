"""The options that say where a command computes: here, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TypeVar

import click

from imindex.indexer.core.bounds import GPUS, PROCESSES
from imindex.indexer.terminal.options import within

Command = TypeVar("Command", bound=Callable[..., Any])
_OF_RAY = ("address", "encoders", "gpus_per_encoder", "allow_mixed")


def runner_options(command: Command) -> Command:
    """Add --on, --address, --encoders, --gpus-per-encoder and --allow-mixed; `taken` takes them."""
    for option in reversed(
        (
            click.option(
                "--on",
                type=click.Choice(("local", "ray")),
                default="local",
                show_default=True,
                help="Where to compute: in this process, or on a Ray cluster (needs imindex[ray]).",
            ),
            click.option(
                "--address",
                metavar="HOST:PORT",
                help="With --on ray: the head of a running cluster, which needs a token (docs/cluster.md). By default, "
                "a private cluster on this machine.",
            ),
            click.option(
                "--encoders",
                type=within(PROCESSES),
                metavar="N",
                help="With --on ray: models that compute at the same time. By default one for each GPU or, without "
                "GPUs, for each node.",
            ),
            click.option(
                "--gpus-per-encoder",
                type=within(GPUS),
                metavar="N",
                help="With --on ray: GPUs of each model, such as 1 or 0.5. By default 1 where there are GPUs, else 0.",
            ),
            click.option(
                "--allow-mixed",
                is_flag=True,
                help="With --on ray: admit processors whose results differ in the last bits. An index says so.",
            ),
        )
    ):
        command = option(command)
    return command


def taken(options: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Take the options of `runner_options` out of those of a command, by their names.

    Raises
    ------
    click.UsageError
        One of them needs --on ray.
    """
    found = {name: options.pop(name) for name in ("on", *_OF_RAY)}
    if found["on"] == "local":
        for name in _OF_RAY:
            if found[name]:
                raise click.UsageError(f"--{name.replace('_', '-')} needs --on ray.")
    return found
