"""Pictures as a panel shows them: decoded, cropped to squares of one size, and encoded again without metadata."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence

import numpy as np

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.paths import PicturePaths
from imindex.indexer.sources.read import read_bytes
from imindex.retrieval.report.thumbnails import pixels_of
from imindex.retrieval.results import PanelPicture

QUALITY = 85


def encoded(places: PicturePaths, pictures: Sequence[PanelPicture], side: int) -> Iterator[tuple[str, bytes]]:
    """Yield the id of each picture, and its pixels as WebP.

    Parameters
    ----------
    places : PicturePaths
    pictures : sequence of PanelPicture
    side : int
        Width and height in pixels.

    Raises
    ------
    ImindexError
        If a file is missing, cannot be decoded, or is not the one that the audit indexed.
    """
    for picture in pictures:
        path = places.full(picture.path)
        if path is None:
            raise ImindexError(
                f"{picture.path} is in no folder that the audit names, so it cannot be shown. Run the audit again."
            )
        try:
            data = read_bytes(path)
            if hashlib.sha256(data).hexdigest() != picture.sha256:
                raise ImindexError(
                    f"{path} is not the picture that the audit indexed: it has changed. Run the audit again."
                )
            yield picture.id, square_webp(data, side)
        except (OSError, BadPicture) as error:
            raise ImindexError(f"{path} cannot be read: {error}. Put the picture back.") from error


def square_webp(data: bytes, side: int) -> bytes:
    """Return the central square of a picture, resized to side x side pixels, as WebP without metadata.

    Raises
    ------
    BadPicture
        If it cannot be decoded.
    """
    from PIL import Image

    pixels = pixels_of(data, 4 * side)
    height, width = pixels.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = np.ascontiguousarray(pixels[top : top + edge, left : left + edge])
    resized = Image.fromarray(square).resize((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    resized.save(out, "WEBP", quality=QUALITY, method=4, exif=b"", icc_profile=b"", xmp=b"")
    return out.getvalue()
