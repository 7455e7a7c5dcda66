"""The options that adjust similarities for hubs and anisotropy, shared by the commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from imindex.indexer.core.bounds import CSLS_NEIGHBOURS
from imindex.indexer.terminal.options import FromSignature, add_options, within

ADJUST = ("csls", "csls_k", "whiten")
F = TypeVar("F", bound=Callable[..., Any])


def adjust_options(of: str, *, only: str = "") -> Callable[[F], F]:
    """Add --csls, --csls-k and --whiten to a command.

    Parameters
    ----------
    of : str
        The function whose signature has the defaults.
    only : str
        When they apply, for their help.
    """

    def add(command: F) -> F:
        return add_options(
            command,
            click.option(
                "--csls/--no-csls", default=False,
                help=f"{only}Order by CSLS, which corrects for hubs, instead of by cosine.",
            ),
            click.option(
                "--csls-k", cls=FromSignature, of=of, type=within(CSLS_NEIGHBOURS),
                help="Number of neighbours in CSLS.",
            ),
            click.option(
                "--whiten/--no-whiten", default=False,
                help=f"{only}Whiten all vectors by what is learnt on the works of the index.",
            ),
        )  # fmt: skip

    return add
