"""Read the items that a manifest lists."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import KINDS, NO_SEED
from imindex.indexer.sources import manifest_rows as manifests
from imindex.indexer.sources.item import Given, Item, _clean

_TEXT_KEYS = ("artist", "kind", "collection", "prompt", "caption")
_SEED_MAX = 2**63 - 1
_STRAY = re.compile("[\ud800-\udfff]")


def _manifest(path: Path, given: Given, note: Callable[[str], None]) -> Iterator[Item]:
    unknown: set[str] = set()
    n_blocked = 0
    inside = _Inside(path)
    for where, row in manifests.rows(path):
        unknown |= set(row) - {"path", "seed", "blocked", *_TEXT_KEYS}
        if row.get("blocked"):  # a safety filter took the picture away, and left a black one
            n_blocked += 1
        else:
            yield _item(inside, where, row, given)
    if n_blocked:
        note(f"{path}: {n_blocked} pictures are marked as blocked, and left out.")
    if (
        unknown and not (path.parent / "release.json").exists()
    ):  # what `imindex generate` wrote says more than we need
        note(f"{path}: the columns {', '.join(sorted(unknown))} are not used.")


def _item(inside: _Inside, where: str, row: Mapping[str, Any], given: Given) -> Item:
    name = row.get("path")
    if not isinstance(name, str) or not _text(where, "path", name):
        raise ImindexError(f"{where}: no path. Every row names its picture in the column `path`.")
    text = {key: _text(where, key, row.get(key)) for key in _TEXT_KEYS}
    kind = text["kind"] or given.kind
    if kind not in KINDS:
        said = f"kind {kind!r} is unknown" if kind else "no kind"
        raise ImindexError(f"{where}: {said}. Write one of {', '.join(KINDS)}, or pass --kind.")
    artist = _clean(text["artist"] or given.artist or "")
    if kind == "control":
        artist = ""
    elif not artist:
        raise ImindexError(f"{where}: no artist. Fill in the column `artist`, or pass --artist.")
    collection = _clean(text["collection"] or given.collection or (kind if kind != "imitations" else ""))
    if not collection:
        raise ImindexError(
            f"{where}: imitations of which release? Fill in `collection`, or pass --collection."
        )
    return Item(
        path=inside(where, name),
        artist=artist,
        kind=kind,
        collection=collection,
        prompt=text["prompt"],
        seed=_seed(where, row.get("seed")),
        caption=text["caption"],
    )


class _Inside:
    """Paths as a manifest names them -> paths of files inside its folder; links are followed once a folder."""

    def __init__(self, manifest: Path):
        self._folder = manifest.parent
        self._real = os.path.realpath(self._folder)
        self._lies_inside: dict[str, bool] = {}

    def __call__(self, where: str, name: str) -> str:
        full = os.path.normpath(self._folder / name)
        if Path(name).is_absolute() or Path(os.path.relpath(full, self._folder)).parts[:1] == (os.pardir,):
            raise ImindexError(
                f"{where}: {name} leads out of the manifest's folder. Paths are relative to the manifest: "
                "put it beside the pictures."
            )
        if not self._inside(os.path.dirname(full)) or (os.path.islink(full) and not self._inside(full)):  # noqa: PTH114, PTH120 - many
            raise ImindexError(
                f"{where}: {name} is, or lies behind, a symbolic link out of the manifest's folder. "
                "Put the picture itself there, or give its folder instead of a manifest."
            )
        return full

    def _inside(self, path: str) -> bool:
        if path not in self._lies_inside:
            self._lies_inside[path] = Path(os.path.realpath(path)).is_relative_to(self._real)
        return self._lies_inside[path]


def _text(where: str, key: str, value: Any) -> str:
    if value is None or value != value:  # NaN: an empty cell of a Parquet file
        return ""
    if isinstance(value, (dict, list, bytes)):
        raise ImindexError(f"{where}: `{key}` is not a text. Write it as one, in quotes.")
    text = str(value)
    if "\0" in text:
        raise ImindexError(f"{where}: `{key}` holds a NUL character. Remove it.")
    if _STRAY.search(text):
        raise ImindexError(f"{where}: `{key}` holds half of a character (a lone surrogate). Remove it.")
    return text


def _seed(where: str, value: Any) -> int:
    if value is None or value == "" or value != value:
        return NO_SEED
    if isinstance(value, str):  # pandas writes 12.0 where a cell of the column is empty
        value = re.sub(r"\.0*$", "", value.strip())
    try:
        seed = int(value)
        if (not isinstance(value, str) and seed != value) or not 0 <= seed <= _SEED_MAX:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        said = repr(value)[:40]
        raise ImindexError(f"{where}: seed {said} is not a whole number from 0 to {_SEED_MAX}.") from None
    return seed
