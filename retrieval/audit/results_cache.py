"""A cache of results in the audit's folder. The key covers the index, the options, the program and its packages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json
from imindex.indexer.core.jsonable import json_ready
from imindex.indexer.core.provenance import program, versions
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import opened
from imindex.indexer.system.atomic import make_folder, write_file
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.audit.run import Run
from imindex.retrieval.results import Result, from_dict, to_dict
from imindex.stats.keyed import STREAMS

R = TypeVar("R", bound=Result)


def stored(run: Run, file: Path, path: Path | Index, options: Mapping[str, Any], type: type[R]) -> R | None:
    """Return the result in `file` if the run reuses results and its key matches."""
    if not run.workspace.keeps:
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, ImindexError):
        entry = parse_json(read_text(file))
        if entry["key"] == _key(path, options) and entry["digest"] == json_digest(entry["result"]):
            return from_dict(type, entry["result"], str(file))
    return None


def kept(
    run: Run,
    file: Path,
    path: Path | Index,
    options: Mapping[str, Any],
    type: type[R],
    compute: Callable[[], R],
) -> R:
    """Return the result in `file` if its key matches; otherwise compute and store it."""
    cached = stored(run, file, path, options, type)
    if cached is not None:
        return cached
    result = compute()
    if not run.workspace.keeps:
        return result
    content = to_dict(result)
    entry = {"key": _key(path, options), "digest": json_digest(content), "result": content}
    make_folder(file.parent, inside=run.workspace.folder)
    write_file(file, json_text(entry, indent=1).encode())
    return result


def _key(path: Path | Index, options: Mapping[str, Any]) -> Any:
    with opened(path) as index:
        roots = [index.root_digest]
    how = {"program": program(), "versions": versions(), "streams": STREAMS}
    return json_ready({"roots": roots, "asked": options, **how})
