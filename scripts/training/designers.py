"""The real designers' works that `scripts/replicate_70` trains on: 50 of 70 designers, by name and title."""

from __future__ import annotations

import json
import multiprocessing
import re
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from training.model import SIZE

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "runs" / "replicate-70"
DESIGNERS = ROOT / "data" / "designers"
N_LEARNED = 50


@cache
def manifest() -> list[dict[str, str]]:
    path = DESIGNERS / "manifest.jsonl"
    if not path.exists():
        sys.exit(f"{path} is missing. Run scripts/fetch-designers first.")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@cache
def designers() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the 50 learned and of the 20 held-out designers. The draw is fixed."""
    names = sorted({row["artist"] for row in manifest()})
    order = np.random.default_rng(70).permutation(len(names))
    learned, held_out = np.sort(order[:N_LEARNED]), np.sort(order[N_LEARNED:])
    return tuple(names[i] for i in learned), tuple(names[i] for i in held_out)


@dataclass(frozen=True)
class Works:
    """Training data: (n, 64, 64, 3) uint8, and for each picture the number of the designer and the title."""

    pixels: np.ndarray
    makers: np.ndarray
    titles: list[str]


def small(path: Path) -> np.ndarray:
    """Read a picture at the size of the model: (64, 64, 3) uint8."""
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def works() -> Works:
    """Return the train split of the 50, without anything that the encoder or the audit holds out."""
    learned = designers()[0]
    rows = [row for row in manifest() if row["split"] == "train" and row["artist"] in learned]
    cache_file = RUN / "pixels.npy"
    if not cache_file.exists():
        with multiprocessing.Pool() as pool:
            pixels = pool.map(small, [DESIGNERS / row["path"] for row in rows], chunksize=256)
        part = cache_file.with_suffix(".part.npy")
        np.save(part, np.stack(pixels))
        part.replace(cache_file)
    return Works(
        np.load(cache_file),
        np.array([learned.index(row["artist"]) for row in rows]),
        [row["title"] for row in rows],
    )


class Draw:
    """Draws rows, each designer with the same probability, although some have twelve works and some 456."""

    def __init__(self, makers: np.ndarray) -> None:
        self.rows = [np.flatnonzero(makers == number) for number in range(N_LEARNED)]

    def __call__(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.array([rng.choice(self.rows[maker]) for maker in rng.integers(0, N_LEARNED, n)])


def common_words(titles: list[str], n: int = 300) -> dict[str, int]:
    """Number the most common words of titles."""
    counts = Counter(word for title in titles for word in set(words_in(title)))
    return {word: number for number, (word, _) in enumerate(counts.most_common(n))}


def words_in(text: str) -> list[str]:
    return re.findall("[a-z]{3,}", text.lower())
