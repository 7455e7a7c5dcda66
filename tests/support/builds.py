"""Helpers for tests that build an index: a tree of pictures, a counting encoder, a verified digest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.store.index import Index, recompute_root_digest

TREE = {"works/ada": 7, "works/bo": 5, "imitations/r1/ada": 6, "imitations/r1/bo": 6, "control": 3}


class Counting(LazyEncoder):
    """Wraps an encoder, alternating with the decoding, and counts the pictures it encodes."""

    takes_all_processors = True
    has_text = False

    def __init__(self, encoder: Encoder, batch_size: int = 4):
        super().__init__(lambda: self, batch_size, encoder.info)  # type: ignore[arg-type,return-value]
        self._real = encoder
        self.count = 0

    def get(self) -> Counting:  # type: ignore[override]
        return self

    def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
        self.count += int(pixels.flatten(1).any(1).sum())  # a batch is filled up with black pictures
        return self._real.encode_images(pixels)


def digest(path: Path) -> str:
    with Index(path) as index:
        assert recompute_root_digest(index) == index.root_digest
        return index.root_digest
