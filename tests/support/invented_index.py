"""Index files of random vectors, without pictures: two releases, background, controls, duplicates and ties."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.schema import Collection, Contents, EncoderInfo, item_columns, reject_columns
from imindex.indexer.store.writer import write

RELEASES = ("r1", "r2")
COLLECTIONS = (
    Collection("works", "works"),
    Collection("bg", "background"),
    Collection("r1", "imitations"),
    Collection("r2", "imitations"),
    Collection("ctl", "control"),
    Collection("r2", "control"),
)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def few(random: np.random.Generator, n: int) -> np.ndarray:
    """Vectors of only 16 kinds: many cosines tie."""
    return random.choice([-0.5, 0.5], (n, 4)).astype(np.float16)


def invented_index(
    path: Path, seed: int, *, ties: bool = False, repeats: bool = True, n_artists: int = 6
) -> list[str]:
    """Write an index, and return the names of the artists with works.

    Sets differ in size, and some artists have no imitations. With `repeats`, one row in eight has the vector of another
    row of any kind, and some of these also its bytes.
    """
    random = np.random.default_rng(seed)
    names = [f"artist {number}" for number in range(n_artists)] + [f"placebo {number}" for number in range(5)]
    names = [names[place] for place in random.permutation(len(names))]
    artists = [number for number, name in enumerate(names) if name.startswith("artist")]
    rows: list[tuple[int, int, str, int]] = []
    for artist in artists:
        rows += [(artist, 0, "", -1)] * int(random.integers(2, 12))
        rows += [(artist, 1, "", -1)] * int(random.integers(0, 4))
    for collection in (2, 3):
        for artist, name in enumerate(names):
            if artist in artists[1:] and random.random() < 0.15:
                continue
            n = 6 if random.random() < 0.8 else int(random.integers(1, 12))
            rows += [(artist, collection, f"prompt {k // 2} of {name}" if k else "", k) for k in range(n)]
    rows += [(-1, collection, "", k) for collection in (4, 5) for k in range(3)]
    rows = [rows[place] for place in random.permutation(len(rows))]
    n = len(rows)
    centres = random.standard_normal((len(names) + 1, 8))
    vectors = unit(0.7 * centres[[row[0] for row in rows]] + random.standard_normal((n, 8)))
    if ties:
        vectors = few(random, n)
        vectors[:4] = 0.5  # so that no mean of an artist's works is 0
    digests = [random.bytes(32) for _ in rows]
    for a, b in random.integers(0, n, (n // 8 if repeats else 0, 2)):
        vectors[b] = vectors[a]
        if random.random() < 0.5:
            digests[b] = digests[a]
    items = [
        {
            "artist": artist, "collection": collection, "sha256": digest, "path": f"{number}.png", "width": 8,
            "height": 8, "prompt": prompt, "seed": seed_, "caption": "",
        }
        for number, ((artist, collection, prompt, seed_), digest) in enumerate(zip(rows, digests, strict=True))
    ]  # fmt: skip
    dim = vectors.shape[1]
    contents = Contents(
        EncoderInfo("invented", "", "ab" * 32, {"embed_dim": dim}, {"size": 32}, dim, "fp32"),
        names, COLLECTIONS, item_columns(items), reject_columns([]),
        created_at="2026-01-01T00:00:00+00:00", created_by="imindex test",
    )  # fmt: skip
    write(path, contents, iter([vectors]), ann=ann.describe(), ann_data=ann.exact_header(n, dim), entry={})
    return [names[artist] for artist in artists]
