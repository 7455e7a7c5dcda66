"""Read pictures of an index, and measure their style attributes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from imindex.indexer.decode.rendering import Rendering
from imindex.indexer.store.index import Index
from imindex.indexer.system.cpu import processors
from imindex.retrieval.attributes.measure import measure, working_side, working_size
from imindex.retrieval.evidence.looks import File, pixels_of
from imindex.retrieval.vectors.blocks import Float64, Int64

CACHED = 20_000
"""Pictures whose attributes are kept, for the next encoder of an audit."""


@dataclass(frozen=True, eq=False)
class PictureAttributes:
    """Attributes of pictures of an index.

    Attributes
    ----------
    places : ndarray, shape (n,), int64
        Positions of those that could be read among the rows asked for, ascending.
    values : ndarray, shape (n, K), float64
    unread : tuple of str
        Paths of the others, in order.
    side : int
        Working size: the pictures were brought to the area of a square of this edge.
    """

    places: Int64
    values: Float64
    unread: tuple[str, ...]
    side: int


def picture_attributes(index: Index, rows: Int64) -> PictureAttributes:
    """Measure pictures of an index, all at the largest working size at which none is enlarged.

    A picture that is missing, can no longer be read, or has other bytes now, is listed as unread.

    Parameters
    ----------
    index : Index
    rows : ndarray, shape (N,), int64
    """
    names = ("path", "sha256", "width", "height")
    path, digest, width, height = (index.column(name) for name in names)
    side = working_side(width[rows], height[rows])
    places, rendering = index.places(), Rendering(index.encoder.color, index.encoder.truncated)
    files = [
        File(places.full(path[row]) or path[row], bytes(digest[row]), rendering) for row in rows.tolist()
    ]
    sizes = [working_size(int(width[row]), int(height[row]), side) for row in rows.tolist()]
    values = _measured(files, sizes)
    read = [place for place, one in enumerate(values) if one is not None]
    return PictureAttributes(
        np.array(read, np.int64),
        np.array([values[place] for place in read]).reshape(len(read), -1),
        tuple(str(path[rows[place]]) for place, one in enumerate(values) if one is None),
        side,
    )


def forget() -> None:
    """Forget the pictures that were measured."""
    _of_file.cache_clear()


def _measured(files: Sequence[File], sizes: Sequence[tuple[int, int]]) -> list[Float64 | None]:
    with ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(_of_file, files, sizes))


@functools.lru_cache(maxsize=CACHED)
def _of_file(file: File, size: tuple[int, int]) -> Float64 | None:
    pixels = pixels_of(file, size)
    return None if pixels is None else measure(pixels)
