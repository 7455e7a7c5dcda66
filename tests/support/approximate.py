"""Clustered vectors, index files of every approximate kind over them, and a brute-force reference."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from imindex import main
from imindex.indexer.ann import exact as ann
from imindex.indexer.ann.approximate import ApproximateSearcher
from imindex.indexer.ann.record import APPROXIMATE, Record
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Collection, Contents, EncoderInfo, item_columns, reject_columns
from imindex.indexer.maintain.optimize import optimize
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write

N, DIM = 5_000, 32
INFO = EncoderInfo("demo", "", "ab" * 32, {"embed_dim": DIM}, {"size": 32}, DIM, "fp32")
ARTISTS = tuple(f"artist {number}" for number in range(10))


def clustered(n: int, seed: int = 0, centres: int = 200, spread: float = 0.8) -> np.ndarray:
    """Unit vectors around centres that are the same for every seed."""
    middle = np.random.default_rng(99).normal(size=(centres, DIM))
    rng = np.random.default_rng(seed)
    values = middle[rng.integers(0, centres, n)] + spread * rng.normal(size=(n, DIM))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def contents(n: int, info: EncoderInfo = INFO, imitations: int = 0) -> Contents:
    """Rows by ten artists in turn; the last `imitations` rows are imitations."""
    items = [
        {
            "artist": number % len(ARTISTS), "collection": int(number >= n - imitations),
            "sha256": hashlib.sha256(f"{number}".encode()).digest(), "path": f"{number}.png",
            "width": 1, "height": 1, "prompt": "", "seed": -1, "caption": "",
        }
        for number in range(n)
    ]  # fmt: skip
    collections = (Collection("works", "works"), Collection("r1", "imitations"))[: 1 + bool(imitations)]
    return Contents(info, ARTISTS, collections, item_columns(items), reject_columns([]))


def save(path: Path, table: np.ndarray, what: Contents | None = None) -> Path:
    write(
        path, what or contents(len(table)), [table], ann=ann.describe(),
        ann_data=ann.exact_header(*table.shape), entry=entry("", "build", ""),
    )  # fmt: skip
    return path


def truth(table: np.ndarray, queries: np.ndarray, k: int = 10) -> np.ndarray:
    """Brute force in float64, ties by row."""
    return np.argsort(-(queries.astype(np.float64) @ table.T.astype(np.float64)), axis=1, kind="stable")[
        :, :k
    ]


def shared(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), wanted.tolist(), strict=True)])
    )


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def searcher(index: Index, **options: Any) -> ApproximateSearcher:
    return ApproximateSearcher(index.vectors, Record.read(index.ann()), index.ann_data(), **options)


def one_of_each(folder: Path) -> dict[str, Path]:
    """Write one file of each kind over the same vectors."""
    table = clustered(N)
    for kind in ("exact", *APPROXIMATE):
        path = save(folder / f"{kind}.h5", table)
        if kind != "exact":
            optimize(path, kind=kind, memory=10**9)
    return {kind: folder / f"{kind}.h5" for kind in ("exact", *APPROXIMATE)}


def copy(path: Path, folder: Path) -> Path:
    (folder / path.name).write_bytes(path.read_bytes())
    return folder / path.name
