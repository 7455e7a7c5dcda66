"""An open index -> what is in it, as plain data, and as NumPy and Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from indexer.ann_record import Record, is_approximate
from indexer.contents import KINDS, NOBODY, Columns
from indexer.errors import ImindexError
from indexer.files import put_in_place
from indexer.store import Index

_FILES = ("vectors.npy", "items.parquet", "rejects.parquet", "index.json")


def describe(index: Index) -> dict[str, Any]:
    """Return what `imindex info --json` prints: counts, encoder, collections, rejects, duplicates, log."""
    artist, collection = index.column("artist"), index.column("collection")
    rejects = index.rejects()
    kind_of = np.array([KINDS.index(c.kind) for c in index.collections], dtype=np.int64)
    per_kind = np.zeros((len(index.artists), len(KINDS)), np.int64)
    named = artist != NOBODY
    np.add.at(per_kind, (artist[named], kind_of[collection[named]]), 1)
    duplicates, summary = _duplicates(index, artist, collection)
    return {
        "index": str(index.path),
        "n": index.n,
        "root-digest": index.root_digest,
        "format": index.version,
        "created-at": index.created_at,
        "created-by": index.created_by,
        "encoder": {
            "name": index.encoder.name(),
            "model": index.encoder.model,
            "pretrained": index.encoder.pretrained,
            **index.encoder.identity(),
        },
        "ann": index.ann() | {"bytes": len(index.ann_data())},
        "collections": [
            {
                "name": c.name,
                "kind": c.kind,
                "generator": c.generator,
                "artists": len(np.unique(artist[(collection == number) & named])),
                "pictures": int(np.count_nonzero(collection == number)),
                "rejected": int(np.count_nonzero(rejects["collection"] == number)),
            }
            for number, c in enumerate(index.collections)
        ],
        "artists": [
            {"name": name, **dict(zip(KINDS, counts, strict=True))}
            for name, counts in zip(index.artists, per_kind.tolist(), strict=True)
        ],
        "rejects": _rows(index, rejects),
        "duplicates": duplicates,
        "duplicates-summary": summary,
        "log": index.log(),
    }


def search_in_words(ann: Mapping[str, Any]) -> str:
    """The attributes of /ann (and its size) -> a line: kind, measured recall, parameters, size."""
    version = f"FAISS {ann.get('faiss-version', 'of an unknown version')}"
    if not is_approximate(ann):
        return f"{ann.get('kind')} ({ann.get('metric')}), {version}"
    record = Record.read(ann)
    parameters = ", ".join(f"{name} {value}" for name, value in record.parameters.items())
    said = f"{record.words()} ({record.target:g} asked for), {parameters}, {ann['bytes'] / 1e6:.1f} MB, {version}"
    if record.rows_changed:
        said += f"; {record.rows_changed} rows changed since it was measured"
    return said


def provenance_rows(line: Mapping[str, str]) -> list[list[str]]:
    """A line of /log as names and values for people."""
    try:
        versions = ", ".join(f"{name} {value}" for name, value in json.loads(line["versions"]).items())
    except (ValueError, AttributeError):
        versions = line["versions"]
    rows = {
        "when": line["when"],
        "who": line.get("who") or "not noted",
        "command": line["command"] or "a call from Python",
        "what": line["summary"],
        "versions": versions,
        "digest before": line["digest-before"] or "none: a new index",
        "digest after": line["digest-after"],
    }
    return [[name, value] for name, value in rows.items()]


def _duplicates(
    index: Index, artist: npt.NDArray[np.int32], collection: npt.NDArray[np.int32]
) -> tuple[list[dict[str, Any]], str]:
    """List the rows that share their bytes with another, and sum them up in words."""
    digests = np.ascontiguousarray(index.column("sha256")).view("V32").ravel()
    _, group, counts = np.unique(digests, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[group] > 1)
    if not len(rows):
        return [], "none"
    rows = rows[np.argsort(group[rows], kind="stable")]
    shared = {int(g): set(artist[rows[group[rows] == g]].tolist()) for g in np.unique(group[rows])}
    across = sum(len(artists) > 1 for artists in shared.values())
    paths = index.column("path")
    listed = [
        {
            "row": int(row),
            "sha256": bytes(digests[row]).hex(),
            "artist": _name(index, int(artist[row])),
            "collection": index.collections[collection[row]].name,
            "path": paths[row],
        }
        for row in rows
    ]
    return (
        listed,
        f"{len(rows)} rows share {len(shared)} pictures, {across} of these between artists (--duplicates)",
    )


def _name(index: Index, artist: int) -> str:
    return index.artists[artist] if artist != NOBODY else ""


def _rows(index: Index, table: Columns) -> list[dict[str, Any]]:
    """Columns -> rows in words: names for numbers, digests in hexadecimal."""
    names = list(table)
    return [
        _in_words(index, dict(zip(names, values, strict=True)))
        for values in zip(*(column.tolist() for column in table.values()), strict=True)
    ]


def _in_words(index: Index, row: dict[str, Any]) -> dict[str, Any]:
    collection = index.collections[row["collection"]]
    words = {
        "artist": _name(index, row["artist"]),
        "collection": collection.name,
        "kind": collection.kind,
        "sha256": bytes(row["sha256"]).hex(),
    }
    return {**row, **words}


def export(index: Index, folder: Path, *, force: bool = False) -> list[str]:
    """Write vectors.npy (float16), items.parquet, rejects.parquet and index.json; return their paths.

    Raises
    ------
    ImindexError
        The folder holds files of an earlier export, and `force` is not set.
    """
    import pyarrow
    import pyarrow.parquet

    there = [name for name in _FILES if (folder / name).exists()]
    if there and not force:
        raise ImindexError(
            f"{folder} holds {', '.join(there)}. Pass --force to overwrite, or name another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with put_in_place(folder / "vectors.npy") as temporary:
        shape = (index.n, index.encoder.dim)
        if index.n:
            out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            row = 0
            for block in index.blocks():
                out[row : row + len(block)] = block
                row += len(block)
            out.flush()
        else:
            with temporary.open("wb") as file:
                np.save(file, np.empty(shape, np.float16))
    for name, table in (("items", index.items()), ("rejects", index.rejects())):
        columns = _parquet_columns(index, table)
        with put_in_place(folder / f"{name}.parquet") as temporary:
            pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    about = {key: value for key, value in describe(index).items() if key not in ("rejects", "duplicates")}
    with put_in_place(folder / "index.json") as temporary:
        temporary.write_text(json.dumps(about, indent=2), encoding="utf-8")
    return [str(folder / name) for name in _FILES]


def _parquet_columns(index: Index, table: Columns) -> dict[str, Any]:
    artists = np.array([*index.artists, ""], dtype=object)
    names = np.array([c.name for c in index.collections], dtype=object)
    kinds = np.array([c.kind for c in index.collections], dtype=object)
    columns: dict[str, Any] = {"row": np.arange(len(table["artist"]))}
    for name, values in table.items():
        if name == "artist":
            columns["artist"] = _strings(artists[values])  # -1, nobody, is the last
        elif name == "collection":
            columns["collection"] = _strings(names[values] if len(values) else ())
            columns["kind"] = _strings(kinds[values] if len(values) else ())
        elif name == "sha256":
            columns["sha256"] = _strings(bytes(digest).hex() for digest in values)
        elif values.dtype == object:
            columns[name] = _strings(values)
        else:
            columns[name] = values
    return columns


def _strings(texts: Iterable[str]) -> Any:
    """A column of text, also of no rows; bytes that are not UTF-8 become question marks."""
    import pyarrow

    return pyarrow.array([text.encode("utf-8", "replace").decode() for text in texts], pyarrow.string())
