"""Read the items listed in a manifest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.core.schema import KINDS, NO_SEED
from imindex.indexer.sources import manifest_rows
from imindex.indexer.sources.arms import arm_of, blocked_of, kind_of_arm, refuse_other_kind
from imindex.indexer.sources.delimited import did_you_mean, shown_columns
from imindex.indexer.sources.item import Item, SourceOptions
from imindex.indexer.sources.manifest_paths import PathResolver
from imindex.indexer.sources.remote_folder import Folder, RemoteFolder
from imindex.indexer.sources.remote_manifest import UrlResolver, rows_of_url
from imindex.indexer.sources.unfinished import FETCHED_JOURNAL, MARK, warning

_TEXT_KEYS = ("artist", "kind", "collection", "prompt", "caption", "arm", "model")
_PANDAS_INDEX = "__index_level_0__"
"""The column in which pandas writes the row numbers of a data frame to Parquet."""
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?e\+\d+", re.IGNORECASE)
_SEED_MAX = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")


def items_of_manifest(path: Folder, options: SourceOptions, note: Callable[[str], None]) -> Iterator[Item]:
    unknown: set[str] = set()
    n_blocked = n_without_path = 0
    resolve: PathResolver | UrlResolver
    if isinstance(path, RemoteFolder):
        resolve, rows = UrlResolver(path.path, options.roots), rows_of_url(path.path, note)
        if (path.parent / MARK).is_file():
            note(f"Warning: {path.parent} is unfinished: `imindex generate` had not made all its pictures.")
    else:
        resolve, rows = PathResolver(path, options.roots), manifest_rows.rows(path, note)
        if unfinished := warning(path.parent):
            note(f"Warning: {unfinished}")
    for where, row in rows:
        unknown |= set(row) - set(manifest_rows.COLUMNS)
        blocked = blocked_of(row.get("blocked"))
        n_blocked += bool(blocked)
        if blocked and not row.get("path"):
            n_without_path += 1
        else:
            yield replace(item_of_row(resolve, where, row, options), blocked=blocked)
    if resolve.misspelt:
        written, there = resolve.misspelt[0]
        n = len(resolve.misspelt)
        differ = "1 path differs" if n == 1 else f"{n:,} paths differ"
        note(
            f"{path}: {differ} from the name of a file in case only: there is no {written}, but {there}. "
            "Correct the column `path`, or rename the folder or file."
        )
    if n_blocked:
        note(
            f"{path}: {n_blocked} pictures are marked as blocked. They are recorded, and left out of every search and "
            "test."
        )
    if n_without_path:
        note(f"{path}: {n_without_path} of them have no path, and are counted here only.")
    # A manifest written by `imindex generate` or `imindex fetch` has more columns than are used here.
    own = any((path.parent / name).exists() for name in ("release.json", FETCHED_JOURNAL))
    if unknown - {_PANDAS_INDEX} and not own:
        listed = [name or "(no name)" for name in sorted(unknown - {_PANDAS_INDEX})]
        note(f"{path}: the columns {', '.join(listed)} are not used.")


def item_of_row(
    resolve: Callable[[str, str], str], where: str, row: Mapping[str, Any], options: SourceOptions
) -> Item:
    """Return the picture of a row of a manifest; `resolve` takes the position of the row and its path.

    Raises
    ------
    ImindexError
        If the row has a value that its column cannot have, or lacks one that it must have.
    """
    name = row.get("path")
    if not isinstance(name, str) or not _text(where, "path", name):
        hint = (
            f" The row has {shown_columns(list(row))}. {did_you_mean('path', row)}"
            if "path" not in row
            else ""
        )
        raise ImindexError(
            f"{where}: no path. Every row must name its picture in the column `path`.{hint}".rstrip()
        )
    text = {key: _text(where, key, row.get(key)) for key in _TEXT_KEYS}
    arm = arm_of(where, text["arm"])
    of_arm = kind_of_arm(arm)
    written = text["kind"].strip().lower()  # spreadsheets capitalise the first letter
    kind = written or (of_arm if of_arm == "control" else "") or options.kind or of_arm
    artist = clean_name(text["artist"]) or clean_name(options.artist or "")
    default = kind if kind != "imitations" else ""
    collection = clean_name(text["collection"]) or clean_name(options.collection or default)
    problems = []
    if kind not in KINDS:
        problem = f"kind {text['kind']!r} is unknown" if kind else "no kind"
        problems.append(f"{problem}. Write one of {', '.join(KINDS)}, or pass --kind.{_hint('kind', row)}")
    else:
        refuse_other_kind(where, kind, arm)
    if kind == "control":
        artist = ""
    elif not artist:
        problems.append(f"no artist. Fill in the column `artist`, or pass --artist.{_hint('artist', row)}")
    if not collection and kind == "imitations":
        problems.append(
            "no release for these imitations. Fill in the column `collection`, or pass --collection."
            f"{_hint('collection', row)}"
        )
    if problems:
        raise ImindexError(f"{where}: {' Also, '.join(problems)}")
    return Item(
        path=resolve(where, name),
        artist=artist,
        kind=kind,
        collection=collection,
        prompt=text["prompt"],
        seed=_seed(where, row.get("seed")),
        caption=text["caption"],
        arm=arm,
        no_arm=not arm and "arm" in row,
        model=text["model"],
    )


def _hint(wanted: str, row: Mapping[str, Any]) -> str:
    """Return a sentence that suggests the column that is meant by a column that is missing."""
    unused = [name for name in row if name not in manifest_rows.COLUMNS]
    hint = "" if wanted in row else did_you_mean(wanted, unused)
    return f" {hint}" if hint else ""


def _text(where: str, key: str, value: Any) -> str:
    if value is None or value != value:  # NaN: an empty cell of a Parquet file
        return ""
    if isinstance(value, (dict, list, bytes)):
        raise ImindexError(f"{where}: `{key}` is not text. Write it as a string, in quotes.")
    text = str(value)
    if "\0" in text:
        raise ImindexError(f"{where}: `{key}` contains a NUL character. Remove it.")
    if _SURROGATE.search(text):
        raise ImindexError(f"{where}: `{key}` contains a lone surrogate (half of a character). Remove it.")
    return text


def _seed(where: str, value: Any) -> int:
    if value is None or value == "" or value != value:
        return NO_SEED
    if isinstance(
        value, str
    ):  # pandas writes 12.0 if another cell of the column is empty; 12,000 is twelve thousand
        value = re.sub(r"[.,]0?$", "", value.strip())
    try:
        seed = int(value)
        if (not isinstance(value, str) and seed != value) or not 0 <= seed <= _SEED_MAX:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        shown = repr(value)[:40]
        if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
            raise ImindexError(
                f"{where}: seed {shown} was rounded by a spreadsheet. Format the column as text, and fill it in again."
            ) from None
        raise ImindexError(f"{where}: seed {shown} is not an integer from 0 to {_SEED_MAX}.") from None
    return seed
