"""Index files that are parts of another, made row by row without the functions that split and join files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Columns, Contents, item_columns, reject_columns
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from tests.support.invented_index import invented_index


def save(path: Path, contents: Contents, vectors: np.ndarray) -> str:
    """Write an index file that was built at once, and return its root digest."""
    contents = replace(contents, log=())
    header = ann.exact_header(len(vectors), vectors.shape[1])
    line = entry("imindex build", "build", "")
    return write(path, contents, iter([vectors]), ann=ann.describe(), ann_data=header, entry=line)


def read(path: Path) -> tuple[Contents, np.ndarray]:
    with Index(path) as index:
        return index.contents(), np.array(index.vectors)


def rich_index(path: Path, seed: int, *, ties: bool = False, n_artists: int = 6) -> None:
    """Write an index of two releases with arms, models, seeds, rejects of every kind, and stamps."""
    random = np.random.default_rng(1000 + seed)
    invented_index(path, seed, ties=ties, n_artists=n_artists)
    contents, vectors = read(path)
    n, artists = contents.n, contents.artists
    first: dict[bytes, int] = {}
    for number, digest in enumerate(map(bytes, contents.items["sha256"])):  # equal bytes have equal vectors
        vectors[number] = vectors[first.setdefault(digest, number)]
    releases = [number for number, c in enumerate(contents.collections) if c.kind == "imitations"]
    is_release = np.isin(contents.items["collection"], releases)
    arms = [
        ("placebo" if artists[artist].startswith("placebo") else "own") if imitation else ""
        for artist, imitation in zip(contents.items["artist"], is_release, strict=True)
    ]
    items = {
        **contents.items,
        "arm": np.array(arms, dtype=object),
        "model": np.array(
            ["a model" if c == releases[0] else "" for c in contents.items["collection"]], dtype=object
        ),
    }
    rejects = [
        {
            "artist": int(random.integers(-1, len(artists))) if number % 3 else -1,
            "collection": int(random.integers(0, len(contents.collections))),
            "sha256": random.bytes(32) if number % 2 else bytes(32),
            "path": f"broken/{number}.png",
            "reason": ("cannot be read", "blocked: all black")[number % 2],
            "blocked": "filter" if number % 2 else "",
            "prompt": "a prompt" if number % 2 else "",
            "seed": number,
        }
        for number in range(int(random.integers(0, 7)))
    ]  # fmt: skip
    changed = replace(
        contents,
        items=items,
        rejects=reject_columns(rejects),
        item_stamps=random.integers(0, 2**62, (n, 3)),
        reject_stamps=random.integers(0, 2**62, (len(rejects), 3)),
    )
    path.unlink()
    save(path, changed, vectors)


def rows_of(contents: Contents, table: Columns, chosen: Sequence[int]) -> list[dict[str, Any]]:
    """Some rows as dicts, with the names of artist and collection in place of their numbers."""
    rows = []
    for number in chosen:
        row = {name: values[number] for name, values in table.items()}
        row["sha256"] = bytes(row["sha256"])
        row["artist"] = contents.artists[row["artist"]] if row["artist"] >= 0 else None
        row["collection"] = contents.collections[row["collection"]]
        rows.append(row)
    return rows


def assembled(
    like: Contents, rows: list[dict[str, Any]], rejects: list[dict[str, Any]], artists: Sequence[str] = ()
) -> Contents:
    """Contents of such rows: artists and collections are numbered in order of first appearance, after `artists`."""
    names, collections = list(artists), []
    for row in [*rows, *rejects]:
        if row["artist"] is not None and row["artist"] not in names:
            names.append(row["artist"])
        if row["collection"] not in collections:
            collections.append(row["collection"])

    def numbered(row: dict[str, Any]) -> dict[str, Any]:
        artist = -1 if row["artist"] is None else names.index(row["artist"])
        return row | {"artist": artist, "collection": collections.index(row["collection"])}

    return replace(
        like, artists=names, collections=collections, items=item_columns(map(numbered, rows)),
        rejects=reject_columns(map(numbered, rejects)), item_stamps=None, reject_stamps=None,
    )  # fmt: skip


def pieces(path: Path, folder: Path, seed: int, n: int) -> list[Path]:
    """Write n files with the rows and rejects of an index, cut at random places; some may have no rows."""
    random = np.random.default_rng(seed)
    contents, vectors = read(path)
    cuts, reject_cuts = (
        [0, *sorted(random.integers(0, size + 1, n - 1).tolist()), size]
        for size in (contents.n, len(contents.rejects["artist"]))
    )
    files = []
    for number in range(n):
        rows = range(cuts[number], cuts[number + 1])
        rejects = range(reject_cuts[number], reject_cuts[number + 1])
        part = assembled(
            contents,
            rows_of(contents, contents.items, rows),
            rows_of(contents, contents.rejects, rejects),
        )
        files.append(folder / f"part-{number}.h5")
        save(files[-1], part, vectors[rows.start : rows.stop])
    return files


def union(files: Sequence[Path], path: Path) -> str:
    """Write the rows of several files after each other to one file, row by row, and return its root digest."""
    rows, rejects, vectors, artists = [], [], [], []
    collections: list[Any] = []
    for file in files:
        contents, own = read(file)
        rows += rows_of(contents, contents.items, range(contents.n))
        rejects += rows_of(contents, contents.rejects, range(len(contents.rejects["artist"])))
        artists += [name for name in contents.artists if name not in artists]
        collections += [c for c in contents.collections if c not in collections]
        vectors.append(own)
    whole = assembled(contents, rows, rejects, artists)
    order = [whole.collections.index(c) for c in collections]
    for table in (whole.items, whole.rejects):
        table["collection"] = np.array([order.index(c) for c in table["collection"]], np.int32)
    return save(path, replace(whole, collections=collections), np.concatenate(vectors))
