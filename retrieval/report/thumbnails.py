"""Thumbnails of pictures, to embed in a page."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Collection, Container, Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.credentials import named_by_user
from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.paths import PicturePaths
from imindex.indexer.core.preprocess_bounds import ACCEPT, SRGB
from imindex.indexer.decode.pool import picture_of
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.sources.read import read_bytes
from imindex.indexer.store.index import Index

SIDES = ((0, 320), (600, 224), (1000, 144), (1500, 112), (4000, 80))
"""Minimum number of pictures, and the longer side in pixels. The page of any audit stays below about 15 MB."""
QUALITY = 70


def recorded_digests(index: Index, paths: Collection[str]) -> dict[str, set[bytes]]:
    """Return the SHA-256 of the pictures with the given paths, as an index records them."""
    stored, digests, wanted = index.column("path"), index.column("sha256"), set(paths)
    found: dict[str, set[bytes]] = {}
    for row, path in enumerate(stored):
        if path in wanted:
            found.setdefault(path, set()).add(bytes(digests[row]))
    return found


def digests_of_audit(folder: Path, indexes: Iterable[str], paths: Collection[str]) -> dict[str, set[bytes]]:
    """Return the SHA-256 of pictures as the indexes of an audit record them. An index that is missing has none.

    Parameters
    ----------
    folder : Path
        Of the audit.
    indexes : iterable of str
        File names.
    paths : collection of str
    """
    found: dict[str, set[bytes]] = {}
    for name in dict.fromkeys(indexes):
        try:
            with Index(folder / Path(name).name) as index:
                for path, digests in recorded_digests(index, paths).items():
                    found.setdefault(path, set()).update(digests)
        except ImindexError:
            continue
    return found


def places_of_audit(folder: Path, indexes: Iterable[str]) -> PicturePaths:
    """Return the files that the paths in the indexes of an audit mean; parameters as of `digests_of_audit`."""
    roots: dict[str, str] = {}
    for name in dict.fromkeys(indexes):
        try:
            with Index(folder / Path(name).name) as index:
                roots = {**index.roots, **roots}
        except ImindexError:
            continue
    return PicturePaths(folder, roots, named_by_user())


class Thumbnails:
    """Thumbnails of the pictures in a folder. Each is computed once.

    Parameters
    ----------
    base : Path or PicturePaths
        The folder to which paths are relative; with the named roots, if paths may be in one.
    n : int
        Approximate number of pictures. If there are many, thumbnails are smaller.
    digests : mapping of str to container of bytes, optional
        The SHA-256 that the file at a path may have. A file with another one is not shown. Paths in an index from
        somebody else can point to any file of this machine; their digests cannot be known from outside.
    """

    def __init__(
        self, base: Path | PicturePaths, n: int, digests: Mapping[str, Container[bytes]] | None = None
    ):
        self._places = base if isinstance(base, PicturePaths) else PicturePaths(base)
        self.digests = digests
        self._side = next(side for least, side in reversed(SIDES) if n >= least)
        self._thumbnails: dict[str, tuple[str, int, int] | None] = {}
        self.n_unreadable = 0

    def get(self, path: str) -> tuple[str, int, int] | None:
        """Return the `data:` URL, the width and the height of a thumbnail; None if the picture cannot be read."""
        if path not in self._thumbnails:
            self._thumbnails[path] = self._make(path)
            self.n_unreadable += self._thumbnails[path] is None
        return self._thumbnails[path]

    def pixels(self, path: str, side: int) -> npt.NDArray[np.uint8] | None:
        """Return the pixels of a thumbnail, whose longer side is at most `side`; None if the picture cannot be read.

        Returns
        -------
        (height, width, 3) uint8 or None
        """
        try:
            full = self._places.full(path)
            if full is None:
                return None
            data = read_bytes(full)
            if self.digests is not None and hashlib.sha256(data).digest() not in self.digests.get(path, ()):
                return None
            return pixels_of(data, side)
        except (OSError, BadPicture, ImindexError, ValueError):
            return None

    def _make(self, path: str) -> tuple[str, int, int] | None:
        from PIL import Image

        pixels = self.pixels(path, self._side)
        if pixels is None:
            return None
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "WEBP", quality=QUALITY, method=4)
        height, width = pixels.shape[:2]
        return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}", width, height


def pixels_of(data: bytes, side: int) -> npt.NDArray[np.uint8]:
    """Return the pixels of a thumbnail of a picture, whose longer side is at most `side`.

    Returns
    -------
    (height, width, 3) uint8

    Raises
    ------
    BadPicture
        If it cannot be decoded.
    """
    picture = picture_of(data, _look(side))
    if (own := max(picture.width, picture.height)) < side:  # never larger than the picture
        side = own
        picture = picture_of(data, _look(side))
    scale = side / max(picture.width, picture.height)
    width, height = (max(1, round(edge * scale)) for edge in (picture.width, picture.height))
    left, top = (side - width) // 2, (side - height) // 2
    pixels = picture.pixels[:, top : top + height, left : left + width].permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels)


def webp_of(data: bytes, side: int) -> bytes:
    """Return a thumbnail of a picture as WebP, in the colours that a viewer shows.

    Raises
    ------
    BadPicture
        If it cannot be decoded.
    """
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels_of(data, side)).save(out, "WEBP", quality=QUALITY, method=2)
    return out.getvalue()


def _look(side: int) -> Preprocess:
    """Return how a picture is shown: in its true colours, whatever the encoder of the index is given."""
    return Preprocess(
        (side, side),
        (0.0,) * 3,
        (1.0,) * 3,
        resize_mode="longest",
        fill_color=255,
        color=SRGB,
        truncated=ACCEPT,
    )
