"""Small versions of pictures, to compare their outlines."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode.rendering import Rendering
from imindex.indexer.sources.read import read_bytes
from imindex.indexer.system.cpu import processors

SIDE = 64

Pixels = npt.NDArray[np.uint8]


class File(NamedTuple):
    """A picture of an index.

    Attributes
    ----------
    path : str
    digest : bytes
        The SHA-256 that the file must have: a path in an index may lead to any other file.
    rendering : Rendering
        That of the index.
    """

    path: str
    digest: bytes
    rendering: Rendering = Rendering()


class Looks:
    """Cache of small versions of pictures, by path and digest. Several pictures are read at a time.

    A picture that is missing, can no longer be read, or has other bytes now, has no small version.
    """

    def __init__(self) -> None:
        self._seen: dict[File, Pixels | None] = {}

    def load(self, files: Iterable[File]) -> None:
        """Read the pictures that are not in the cache."""
        missing = [file for file in dict.fromkeys(files) if file not in self._seen]
        if missing:
            with ThreadPoolExecutor(processors()) as pool:
                self._seen.update(zip(missing, pool.map(_read, missing), strict=True))

    def forget(self, files: Iterable[File]) -> None:
        """Remove pictures from the cache."""
        for file in files:
            self._seen.pop(file, None)

    def get(self, file: File) -> Pixels | None:
        """Return a small version, shape (SIDE, SIDE, 3), squeezed into a square; None if there is none."""
        self.load([file])
        return self._seen[file]


def batches(items: list[int], size: int) -> Iterator[list[int]]:
    """Yield some items at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _read(file: File) -> Pixels | None:
    return pixels_of(file, (SIDE, SIDE))


def pixels_of(file: File, size: tuple[int, int]) -> Pixels | None:
    """Return a picture squeezed into a size, shape (height, width, 3), uint8.

    None if the file is missing, cannot be decoded, or has other bytes than the index records.
    """
    from imindex.indexer.decode.pool import picture_of
    from imindex.indexer.decode.preprocess import Preprocess  # it imports torch

    path, digest, rendering = File(*file)
    look = Preprocess(
        size=size,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        resize_mode="squash",
        color=rendering.color,
        truncated=rendering.truncated,
    )
    try:
        data = read_bytes(path)
        if hashlib.sha256(data).digest() != digest:
            return None
        pixels = picture_of(data, look).pixels.numpy()
    except (OSError, BadPicture):
        return None
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))
