"""Complete the names of an index in a shell."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from imindex.indexer.terminal.options import DEFAULT_INDEX
from imindex.indexer.terminal.output import clean

_MOST = 200
_INDEX = "imindex.indexer.store.index"
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _names(column: str, otherwise: str = "") -> Complete:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        index = context.params.get("index") or os.environ.get("IMINDEX_INDEX") or DEFAULT_INDEX
        try:
            names = _read(index, column)
        except Exception:  # a shell that waits for names must not be shown an error
            names = []
        # A name that a terminal cannot show as it is would be escaped, and then be another name.
        fitting = sorted({name for name in names if name.startswith(incomplete) and clean(name) == name})
        if not fitting and otherwise:
            return [CompletionItem(incomplete, type=otherwise)]
        return [CompletionItem(name) for name in fitting[:_MOST]]

    return complete


def _read(path: Any, column: str) -> list[str]:
    module: Any = importlib.import_module(_INDEX)  # not before a shell asks

    with module.Index(path) as index:
        return list(index.artists) if column == "artists" else [one.name for one in index.collections]


complete_artists = _names("artists")
complete_collections = _names("collections")
complete_releases = _names("collections", otherwise="file")
