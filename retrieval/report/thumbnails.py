"""Pictures -> small ones that a page can carry inside itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.decode.pool import picture_of
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.sources.local import read_bytes

SIDES = ((0, 144), (1500, 112), (4000, 80))
"""From this many pictures on, the longer side in pixels: a page of any audit stays below about 15 MB."""
QUALITY = 70


class Thumbnails:
    """Small versions of the pictures below a folder, each made once.

    Parameters
    ----------
    base : Path
        Paths are relative to it.
    n : int
        About how many there will be; of very many each is smaller.
    """

    def __init__(self, base: Path, n: int):
        self._base = base
        self._side = next(side for least, side in reversed(SIDES) if n >= least)
        self._made: dict[str, tuple[str, int, int] | None] = {}
        self.n_unreadable = 0

    def get(self, path: str) -> tuple[str, int, int] | None:
        """A `data:` address, width and height; None if the picture cannot be read any more."""
        if path not in self._made:
            self._made[path] = self._make(path)
            self.n_unreadable += self._made[path] is None
        return self._made[path]

    def _make(self, path: str) -> tuple[str, int, int] | None:
        from PIL import Image

        side = self._side
        look = Preprocess((side, side), (0.0,) * 3, (1.0,) * 3, resize_mode="longest", fill_color=255)
        try:
            found = picture_of(read_bytes(str(self._base / path)), look)
        except (OSError, BadPicture, ImindexError, ValueError):
            return None
        scale = side / max(found.width, found.height)
        width, height = (max(1, round(edge * scale)) for edge in (found.width, found.height))
        left, top = (side - width) // 2, (side - height) // 2
        pixels = found.pixels[:, top : top + height, left : left + width].permute(1, 2, 0).numpy()
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "WEBP", quality=QUALITY, method=4)
        return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}", width, height
