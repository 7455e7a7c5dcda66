"""The pictures that the demo's releases learn from, drawn once and kept as files."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from training.model import SIZE

from imindex.indexer.demo import artists

FIRST_TRAINING_SEED = 2_000_000
"""The demo and its encoder use lower seeds."""


@dataclass(frozen=True)
class Pictures:
    """All pictures: (n, 64, 64, 3) uint8, each with its artist (None for the nameless technique) and subject."""

    pixels: np.ndarray
    artists: list[str | None]
    subjects: list[str]


def keep_drawings(folder: Path, artist: str | None, seeds: range) -> Path:
    """Return the file of one artist's pictures, (n, 64, 64, 3) uint8. Draws them if it does not exist."""
    path = folder / f"{artist or 'nobody'}-{seeds[0]}-{len(seeds)}.npy".replace(" ", "_")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = np.stack([np.asarray(artists.draw(artist, seed=seed, size=SIZE)) for seed in seeds])
        part = path.with_suffix(".part.npy")
        np.save(part, drawn)
        part.replace(path)
    return path


def pictures(folder: Path, seeds_of: Mapping[str | None, range], n_processes: int | None = None) -> Pictures:
    """Return the pictures of each artist (None for the nameless technique) in the order given."""
    with multiprocessing.Pool(n_processes) as pool:
        arguments = [(folder, artist, seeds) for artist, seeds in seeds_of.items()]
        files = pool.starmap(keep_drawings, arguments, chunksize=1)
    makers = [artist for artist, seeds in seeds_of.items() for _ in seeds]
    subjects = [artists.sitting(artist, seed).subject for artist, seeds in seeds_of.items() for seed in seeds]
    return Pictures(np.concatenate([np.load(file) for file in files]), makers, subjects)
