"""Thumbnails and originals of rows. Only what an index holds now is served."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.integrity.original import NoOriginal
from imindex.retrieval.report.thumbnails import webp_of
from imindex.retrieval.serve.problems import Problem

if TYPE_CHECKING:
    from imindex.retrieval.serve.catalog import Generation, ServedIndex

SIDES = (96, 192, 320, 640)
"""Longer sides of thumbnails, in pixels."""
_CACHE = 128 * 2**20
"""Bytes of thumbnails that are kept."""
_KINDS = (
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"GIF87a", "image/gif", "gif"),
    (b"GIF89a", "image/gif", "gif"),
)


def kind_of(data: bytes) -> tuple[str, str]:
    """Return the media type and the suffix of a picture, by its first bytes.

    What a browser does not show as a picture is a download: it never runs as a page.
    """
    for head, media, suffix in _KINDS:
        if data.startswith(head):
            return media, suffix
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp", "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif", "avif"
    return "application/octet-stream", "bin"


def require_row(generation: Generation, row: int) -> str:
    """Return the SHA-256 of the file of a row.

    Raises
    ------
    Problem
        404 if there is no such row.
    """
    try:
        return generation.index.sha256_of(row)
    except ImindexError as error:
        raise Problem(404, str(error)) from error


class Pictures:
    """Thumbnails of all indexes, the latest ones in memory.

    Parameters
    ----------
    size : int
        Bytes that are kept.
    """

    def __init__(self, size: int = _CACHE):
        self._size, self._held = size, 0
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def original(self, served: ServedIndex, generation: Generation, row: int) -> bytes:
        """Return the bytes of the picture of a row.

        Raises
        ------
        Problem
            404 if there is no such row, or its file is not what was indexed.
        """
        require_row(generation, row)
        try:
            return generation.index.read_original(row, served.inside)
        except NoOriginal as error:
            raise Problem(404, str(error)) from error

    def thumbnail(self, served: ServedIndex, generation: Generation, row: int, side: int) -> bytes:
        """Return a thumbnail as WebP.

        Parameters
        ----------
        served, generation, row
            As in `original`.
        side : int
            The longer side; rounded up to one of `SIDES`.

        Raises
        ------
        Problem
            404, as in `original`, or if the picture cannot be decoded.
        """
        side = next((one for one in SIDES if one >= side), SIDES[-1])
        key = require_row(generation, row), side
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        data = self.original(served, generation, row)
        try:
            made = webp_of(data, side)
        except (BadPicture, ValueError) as error:
            raise Problem(404, f"The picture of row {row} cannot be shown: {error}.") from error
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._held += len(made)
                while self._held > self._size:
                    self._held -= len(self._kept.popitem(last=False)[1])
        return made
