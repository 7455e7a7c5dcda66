"""Results of a stage, kept in the audit's folder under a digest of what they came from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.jsonable import json_ready
from imindex.indexer.core.provenance import program, versions
from imindex.indexer.core.slug import slug
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import make_folder, put_in_place
from imindex.retrieval.audit.run import Run
from imindex.stats.keyed import STREAMS


def results_file(folder: Path, index: Path, release: str, base: str = "") -> Path:
    """Where the results of a release by an index are kept, or its comparison with a base."""
    against = f"-against-{slug(base)}" if base else ""
    return folder / "results" / index.stem / f"{slug(release)}{against}.json"


def _kept(
    run: Run, file: Path, path: Path, asked: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The result in `file` if it came from this index and this question; else compute and keep it."""
    if not run.keeps:
        fresh: dict[str, Any] = json_ready(compute())
        return fresh
    with Index(path) as index:
        roots = [index.root_digest]
    how = {"program": program(), "versions": versions(), "streams": STREAMS}
    key = json_ready({"roots": roots, "asked": asked, **how})
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] == key and kept["digest"] == json_digest(kept["result"]):
            result: dict[str, Any] = kept["result"]
            return result
    result = json_ready(compute())
    make_folder(file.parent)
    with put_in_place(file) as temporary:
        temporary.write_text(
            json.dumps({"key": key, "digest": json_digest(result), "result": result}, indent=1),
            encoding="utf-8",
        )
    return result
