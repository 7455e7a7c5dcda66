"""What `scripts/train_demo_style` learns from and measures with: pictures, each with the number of its artist."""

from __future__ import annotations

import json
import multiprocessing
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from imindex.indexer.demo import artists

SIDE = 128  # pictures are kept at this size and augmented from it
FIRST_TRAINING_SEED = 1_000_000  # the demo uses small seeds only
N_DRAWN, N_HELD_OUT = 120, 40


@dataclass(frozen=True)
class Works:
    """Works of several artists.

    Attributes
    ----------
    pixels : ndarray, shape (n, 128, 128, 3), uint8
    makers : ndarray, shape (n,), int
        The number of the artist in `names`.
    names : tuple of str
    """

    pixels: np.ndarray
    makers: np.ndarray
    names: tuple[str, ...]

    def of(self, chosen: np.ndarray) -> Works:
        """Return the works at these rows, with the artists that occur among them."""
        numbers, makers = np.unique(self.makers[chosen], return_inverse=True)
        return Works(self.pixels[chosen], makers, tuple(self.names[number] for number in numbers))


def joined(parts: list[Works]) -> Works:
    """Put sets of works together, whose artists are different persons."""
    shifts = np.cumsum([0, *(len(part.names) for part in parts)])
    makers = [part.makers + shift for part, shift in zip(parts, shifts, strict=False)]
    names = tuple(name for part in parts for name in part.names)
    return Works(np.concatenate([part.pixels for part in parts]), np.concatenate(makers), names)


def small(picture: Image.Image) -> np.ndarray:
    """Resize a square picture to (128, 128, 3) uint8."""
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return small(picture)


def fetched(folder: Path, split: str, cache: Path) -> Works:
    """Read the works of one split of what `scripts/fetch-designers` wrote; `cache` keeps the pixels."""
    manifest = folder / "manifest.jsonl"
    if not manifest.exists():
        sys.exit(f"{manifest} is missing. Run scripts/fetch-designers first (see --help).")
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["split"] == split]
    names = tuple(sorted({row["artist"] for row in rows}))
    kept = cache / f"{folder.name}-{split}-{len(rows)}.npy"
    if not kept.exists() or kept.stat().st_mtime < manifest.stat().st_mtime:
        keep(kept, [read(folder / row["path"]) for row in rows])
    return Works(np.load(kept), np.array([names.index(row["artist"]) for row in rows]), names)


def keep(path: Path, pixels: list[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npy")
    np.save(part, np.stack(pixels))
    part.replace(path)


def draw(name: str, seed: int) -> np.ndarray:
    return small(artists.draw(name, seed=seed, size=256))


def drawn(seeds: range, cache: Path) -> Works:
    """Draw works of the demo's invented artists from the given seeds."""
    kept = cache / f"drawn-{seeds[0]}-{len(seeds)}.npy"
    if not kept.exists():
        with multiprocessing.Pool() as pool:
            keep(kept, pool.starmap(draw, [(name, seed) for name in artists.NAMES for seed in seeds]))
    return Works(np.load(kept), np.repeat(np.arange(len(artists.NAMES)), len(seeds)), tuple(artists.NAMES))
