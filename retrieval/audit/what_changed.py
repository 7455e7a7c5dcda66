"""Name the pictures that have changed since an audit encoded them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from imindex.indexer.core.credentials import named_by_user
from imindex.indexer.core.locations import absolute, is_url
from imindex.indexer.core.paths import PicturePaths
from imindex.indexer.sources.arms import ALL_BLACK
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index
from imindex.retrieval.audit.inputs import bytes_digest

_NAMED = 3
"""Number of files of each kind of change that are named."""


def picture_changes(index: Path, items: Sequence[Item], folder: Path) -> str:
    """Say which pictures are new, missing, changed or of another artist than in an index.

    Parameters
    ----------
    index : Path
        The index of the last run of the audit. It need not exist.
    items : sequence of Item
        The pictures as they are now. They are compared with those of the same collections.
    folder : Path
        The folder that the paths of the message are relative to.

    Returns
    -------
    str
        Such as ``new: works/Ada/9.png; missing: works/Bo/1.png``; empty without an index or a difference.
    """
    if not index.exists():
        return ""
    before = _stored(index, {(item.kind, item.collection) for item in items})
    now = {absolute(item.path): item for item in items}
    both = sorted(now.keys() & before.keys())
    found = {
        "new": sorted(now.keys() - before.keys()),
        "missing": sorted(before.keys() - now.keys()),
        "of another artist": [path for path in both if now[path].artist != before[path][0]],
        "with other bytes": [path for path in both if bytes_digest(now[path]) != before[path][1]],
    }
    return "; ".join(f"{what}: {_some(paths, folder)}" for what, paths in found.items() if paths)


def _stored(index: Path, wanted: set[tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    """Return artist and SHA-256 of each picture of some collections of an index, by its absolute path."""
    stored: dict[str, tuple[str, str]] = {}
    with Index(index) as opened:
        places = PicturePaths(opened.folder, opened.roots, named_by_user())
        for table in ("items", "rejects"):
            columns = [opened.column(name, table) for name in ("collection", "artist", "path", "sha256")]
            marked = opened.column("blocked", table) if table == "rejects" else [""] * len(columns[0])
            for number, artist, path, digest, why in zip(*columns, marked, strict=True):
                own = opened.collections[number]
                if why not in ("", ALL_BLACK):  # the manifest says so, and the audit does not count it
                    continue
                if (own.kind, own.name) in wanted and (full := places.full(path)):
                    stored[full] = (opened.artists[artist] if artist >= 0 else "", bytes(digest).hex())
    return stored


def _some(paths: Sequence[str], folder: Path) -> str:
    shown = ", ".join(path if is_url(path) else os.path.relpath(path, folder) for path in paths[:_NAMED])
    return shown + (f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else "")
