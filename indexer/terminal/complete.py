"""Complete the names of an index in a shell."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from imindex.indexer.terminal.options import DEFAULT_INDEX
from imindex.indexer.terminal.output import clean

_MOST = 200
_INDEX = "imindex.indexer.store.opening"
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _names(column: str, files: Callable[[str], list[str]] | None = None) -> Complete:
    """Return a function that completes names of an index, and with them what `files` finds, or else any file."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        index = context.params.get("index") or os.environ.get("IMINDEX_INDEX") or DEFAULT_INDEX
        try:
            names = _read(index, column)
        except Exception:  # a shell that waits for names must not be shown an error
            names = []
        names = [name for name in names if name.startswith(incomplete)]
        return _items([*names, *(files(incomplete) if files else ())], incomplete if files else None)

    return complete


def _items(names: Iterable[str], incomplete: str | None) -> list[CompletionItem]:
    """Return names to offer; if there is none, any file that begins as `incomplete` does, unless it is None."""
    # A name that a terminal cannot show as it is would be escaped, and then be another name.
    fitting = sorted({name for name in names if clean(name) == name})
    if not fitting and incomplete is not None:
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in fitting[:_MOST]]


def _beside(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """Return the paths that begin as `incomplete` does and are wanted, as they would be typed."""
    folder, start = os.path.split(incomplete)
    try:
        entries = sorted(Path(folder or ".").iterdir())
        before = incomplete[: len(incomplete) - len(start)]
        return [before + one.name for one in entries if one.name.startswith(start) and wanted(one)]
    except OSError:
        return []


def _audits(incomplete: str) -> list[str]:
    return _beside(incomplete, lambda path: (path / "report.json").is_file() or path.suffix == ".json")


def complete_plans(incomplete: str, commands: Iterable[CompletionItem]) -> list[CompletionItem]:
    """Return commands and the plans (TOML files) that begin as `incomplete` does; without either, any file."""
    plans = _beside(incomplete, lambda path: path.suffix == ".toml")
    return [*commands, *_items(plans, None)] or [CompletionItem(incomplete, type="file")]


def _read(path: Any, column: str) -> list[str]:
    module: Any = importlib.import_module(_INDEX)  # not before a shell asks

    with module.open_index(path) as index:
        if column == "artists":
            return list(index.artists)
        releases = column == "releases"
        return [one.name for one in index.collections if not releases or one.kind == "imitations"]


complete_artists = _names("artists")
complete_collections = _names("collections")
complete_release = _names("releases")
"""A collection of imitations."""
complete_releases = _names("releases", _audits)
"""A collection of imitations, or a finished audit."""
