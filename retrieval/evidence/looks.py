"""Small versions of pictures, to compare their outlines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.sources.local import read_bytes
from imindex.indexer.system.cpu import processors

SIDE = 64

Pixels = npt.NDArray[np.uint8]


class Looks:
    """Cache of small versions of pictures, by path. Several pictures are read at a time.

    A picture that is missing, or can no longer be read, has no small version.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Pixels | None] = {}

    def load(self, paths: Iterable[str]) -> None:
        """Read the pictures that are not in the cache."""
        missing = [path for path in dict.fromkeys(paths) if path not in self._seen]
        if missing:
            with ThreadPoolExecutor(processors()) as pool:
                self._seen.update(zip(missing, pool.map(_read, missing), strict=True))

    def forget(self, paths: Iterable[str]) -> None:
        """Remove pictures from the cache."""
        for path in paths:
            self._seen.pop(path, None)

    def get(self, path: str) -> Pixels | None:
        """Return a small version, shape (SIDE, SIDE, 3), squeezed into a square; None if there is none."""
        self.load([path])
        return self._seen[path]


def batches(items: list[int], size: int) -> Iterator[list[int]]:
    """Yield some items at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _read(path: str) -> Pixels | None:
    from imindex.indexer.decode.pool import picture_of
    from imindex.indexer.decode.preprocess import Preprocess  # it imports torch

    look = Preprocess(size=(SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode="squash")
    try:
        pixels = picture_of(read_bytes(path), look).pixels.numpy()
    except (OSError, BadPicture):
        return None
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))
