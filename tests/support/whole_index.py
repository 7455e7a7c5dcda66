"""Small index files with every feature: duplicates, rejects, stamps, several log lines, either kind of /ann."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Collection, Contents, EncoderInfo, item_columns, reject_columns
from imindex.indexer.maintain.optimize import optimize
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write

DIM = 8
ENCODER = EncoderInfo("demo", "a/weights.pt", "ab" * 32, {"embed_dim": DIM}, {"size": 32}, DIM, "fp32")
ARTISTS = ("Ada Example", "Bo Sample", "Zoë")
COLLECTIONS = (
    Collection("works", "works"),
    Collection("r1", "imitations", {"steps": 50}),
    Collection("c", "control"),
)


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def unit(n: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(n, DIM))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def whole(n: int) -> tuple[Contents, np.ndarray]:
    """Rows whose last is a duplicate of the first under another artist; two rejects; stamps."""
    vectors = unit(n)
    vectors[-1] = vectors[0]
    items = [
        {
            "artist": row % 3, "collection": int(row % 5 == 4), "sha256": sha256(f"{row % (n - 1)}"),
            "path": f"art/{row}.png", "width": 640 + row, "height": 480, "prompt": "Artwork" if row % 5 == 4 else "",
            "seed": row if row % 5 == 4 else -1, "caption": f"no {row}" if row < 9 else "",
        }
        for row in range(n)
    ]  # fmt: skip
    items[1] |= {"artist": -1, "collection": 2}
    rejects = [
        {"artist": 0, "collection": 0, "sha256": bytes(32), "path": "gone.png", "reason": "cannot be read"},
        {"artist": 1, "collection": 1, "sha256": sha256("x"), "path": "empty.png", "reason": "empty file"},
    ]
    stamps = np.random.default_rng(1).integers(1, 2**60, (n + 2, 3))
    contents = Contents(
        ENCODER, ARTISTS, COLLECTIONS, item_columns(items), reject_columns(rejects),
        created_at="2026-01-01T00:00:00+00:00", created_by="imindex test",
        item_stamps=stamps[:n], reject_stamps=stamps[n:],
    )  # fmt: skip
    return contents, vectors


def save(path: Path, n: int = 12) -> str:
    """Write an index as two builds leave it, and return its root digest."""
    contents, vectors = whole(n)
    how = {"ann": ann.describe(), "ann_data": ann.exact_header(n, DIM)}
    first = entry("imindex build art/", "build: all added", "")
    root = write(path, contents, [vectors], entry=first, **how)
    with Index(path) as index:
        log = index.log()
    second = entry("imindex build art/ --rehash", "build: none added", root)
    return write(path, replace(contents, log=log), [vectors], entry=second, **how)


def write_both(folder: Path) -> dict[str, Path]:
    """One index with an exact /ann, and one of a thousand rows with an approximate one."""
    exact, approximate = folder / "exact.h5", folder / "approximate.h5"
    save(exact)
    save(approximate, 1_000)
    optimize(approximate, kind="ivf-pq", memory=10**7)
    return {"exact": exact, "approximate": approximate}
