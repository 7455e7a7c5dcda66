"""Where a command computes, from its options: here, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from imindex.indexer.terminal.runner_options import runner_options, taken

if TYPE_CHECKING:
    from imindex.indexer.runners.base import Place

__all__ = ["place_of", "runner_options"]


def place_of(options: MutableMapping[str, Any]) -> Place:
    """Take the options of `runner_options` out of those of a command.

    Raises
    ------
    click.UsageError
        One of them needs --on ray.
    """
    from imindex.indexer.runners.base import Place

    return Place(**taken(options))
