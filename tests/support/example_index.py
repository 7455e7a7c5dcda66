"""A small index file with hostile names, two collections and rejects."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Collection, Contents, EncoderInfo, item_columns, reject_columns
from imindex.indexer.store.writer import write

DIM = 8


ENCODER = EncoderInfo(
    model="demo",
    pretrained="/somewhere/weights.pt",
    weights_sha256="ab" * 32,
    config={"embed_dim": DIM, "quick_gelu": False},
    preprocess={"size": 32, "mean": [0.5, 0.5, 0.5]},
    dim=DIM,
    precision="fp32",
)


ARTISTS = ("Ada Lovelace", "Bo O'Brien", "Zoë")


COLLECTIONS = (Collection("works", "works"), Collection("r1", "imitations", {"steps": 50, "name": "é"}))


STRAY = os.fsdecode(b"art/caf\xe9/\xff.png")  # a file name that is not UTF-8


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def row(number: int, artist: int, collection: int, **said: Any) -> dict[str, Any]:
    plain = {
        "artist": artist, "collection": collection, "sha256": digest(number), "path": f"{number}.png",
        "width": 640, "height": 2**31 - 1, "prompt": "", "seed": -1, "caption": "",
    }  # fmt: skip
    return plain | said


def example(**changes: Any) -> Contents:
    items = [
        row(1, 0, 0, path=STRAY, caption='quotes " and\nlines\t', seed=2**63 - 1),
        row(2, 1, 0, prompt="日本語 🎨 e\u0301"),
        row(3, 0, 1, prompt="Artwork from somebody", seed=0),
        row(4, -1, 1),
        row(5, 2, 1),
        row(6, 1, 0),
    ]
    rejects = [
        {"artist": 0, "collection": 0, "sha256": bytes(32), "path": "gone.png", "reason": "cannot be read"},
        {"artist": 1, "collection": 1, "sha256": digest(9), "path": STRAY, "reason": "empty file"},
    ]
    whole = Contents(
        ENCODER, ARTISTS, COLLECTIONS, item_columns(items), reject_columns(rejects),
        log=[entry(f"imindex build '{ARTISTS[0]}/' -i a.h5", "build: 6 added", "")],
        created_at="2026-01-01T00:00:00+00:00", created_by="imindex test",
    )  # fmt: skip
    return replace(whole, **changes)


def vectors(n: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(n, DIM))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def save(path: Path, what: Contents | None = None, table: np.ndarray | None = None) -> str:
    what = what or example()
    table = vectors(what.n) if table is None else table
    return write(
        path, what, [table], ann=ann.describe(), ann_data=ann.exact_header(what.n, DIM),
        entry=entry("imindex build art/", "build", ""),
    )  # fmt: skip


def beside(path: Path) -> list[str]:
    """The other entries in the folder of a file."""
    return [other.name for other in path.parent.iterdir() if other != path]
