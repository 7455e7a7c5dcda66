"""Describe an index, for `imindex info`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.ann.record import Record, is_approximate
from imindex.indexer.core.schema import KINDS, NOBODY, Columns
from imindex.indexer.store.index import Index


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


def describe_search(ann: Mapping[str, Any]) -> str:
    """Describe the attributes of /ann and its size in one line: kind, measured recall, parameters, size."""
    version = f"FAISS {ann.get('faiss-version', 'of an unknown version')}"
    if not is_approximate(ann):
        return f"{ann.get('kind')} ({ann.get('metric')}), {version}"
    record = Record.read(ann)
    parameters = ", ".join(f"{name} {value}" for name, value in record.parameters.items())
    text = (
        f"{record.words()} (target {record.target:g}), {parameters}, {ann['bytes'] / 1e6:.1f} MB, {version}"
    )
    if record.rows_changed:
        text += f"; {record.rows_changed} rows changed since the measurement"
    return text


def provenance_rows(line: Mapping[str, str]) -> list[list[str]]:
    """Return a line of /log as rows of name and value, for display."""
    try:
        versions = ", ".join(f"{name} {value}" for name, value in json.loads(line["versions"]).items())
    except (ValueError, AttributeError):
        versions = line["versions"]
    rows = {
        "when": line["when"],
        "who": line.get("who") or "not recorded",
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
    """List the rows that share their bytes with another row, and summarise them in a sentence."""
    digests = np.ascontiguousarray(index.column("sha256")).view("V32").ravel()
    _, group, counts = np.unique(digests, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[group] > 1)
    if not len(rows):
        return [], "none"
    rows = rows[np.argsort(group[rows], kind="stable")]
    shared = {int(g): set(artist[rows[group[rows] == g]].tolist()) for g in np.unique(group[rows])}
    across = sum(len(artists) > 1 for artists in shared.values())
    paths = index.column("path")
    duplicates = [
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
        duplicates,
        f"{len(rows)} rows share {len(shared)} pictures, {across} of them across artists (--duplicates)",
    )


def _name(index: Index, artist: int) -> str:
    return index.artists[artist] if artist != NOBODY else ""


def _rows(index: Index, table: Columns) -> list[dict[str, Any]]:
    """Convert columns to rows, with names for numbers and digests in hexadecimal."""
    names = list(table)
    return [
        _readable(index, dict(zip(names, values, strict=True)))
        for values in zip(*(column.tolist() for column in table.values()), strict=True)
    ]


def _readable(index: Index, row: dict[str, Any]) -> dict[str, Any]:
    collection = index.collections[row["collection"]]
    readable = {
        "artist": _name(index, row["artist"]),
        "collection": collection.name,
        "kind": collection.kind,
        "sha256": bytes(row["sha256"]).hex(),
    }
    return {**row, **readable}
