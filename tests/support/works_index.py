"""Indexes of works with given vectors, as encoders that differ would make them of the same pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Collection, Contents, EncoderInfo, item_columns, reject_columns
from imindex.indexer.store.writer import write
from tests.support.example_index import ENCODER, digest, row


def unit(points: np.ndarray) -> np.ndarray:
    """Normalise rows to unit vectors in float16."""
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)


def world(n_artists: int, n_works: int, dim: int = 16, apart: float = 1.0, seed: int = 0) -> np.ndarray:
    """Draw works of artists around their centres; shape (n_artists * n_works, dim), unit vectors in float16."""
    rng = np.random.default_rng(seed)
    centres = apart * rng.normal(size=(n_artists, 1, dim))
    return unit((centres + rng.normal(size=(n_artists, n_works, dim))).reshape(-1, dim))


def save_works(
    path: Path,
    vectors: np.ndarray,
    artists: Sequence[str],
    *,
    numbers: Sequence[int] | None = None,
    n_imitations: int = 0,
    model: str = "demo",
    encoder: EncoderInfo = ENCODER,
) -> None:
    """Write an index of one work per vector; work i has the bytes of picture `numbers[i]`."""
    names = tuple(dict.fromkeys(artists))
    numbers = range(len(vectors)) if numbers is None else numbers
    rows = [row(number, names.index(artist), 0) for number, artist in zip(numbers, artists, strict=True)]
    collections = [Collection("works", "works")]
    if n_imitations:
        collections.append(Collection("r1", "imitations"))
        rows += [row(10**6 + i, 0, 1) for i in range(n_imitations)]
        vectors = np.concatenate([vectors, vectors[:n_imitations]])
    rows = [{**one, "path": f"{place}.png", "sha256": one["sha256"]} for place, one in enumerate(rows)]
    dim = vectors.shape[1]
    what = Contents(
        replace(encoder, model=model, pretrained="", weights_sha256=digest(dim).hex(), dim=dim),
        names,
        tuple(collections),
        item_columns(rows),
        reject_columns([]),
        log=[entry("imindex build works/", "build", "")],
        created_at="2026-01-01T00:00:00+00:00",
        created_by="imindex test",
    )
    write(
        path, what, [vectors], ann=ann.describe(), ann_data=ann.exact_header(what.n, dim),
        entry=entry("imindex build works/", "build", ""),
    )  # fmt: skip
