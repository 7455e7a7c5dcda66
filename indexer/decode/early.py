"""Pictures whose file ends early: how much of one was read, and the part that was read."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable

from PIL import Image, UnidentifiedImageError

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import jpeg
from imindex.indexer.decode.depth import strips
from imindex.indexer.decode.png import SIGNATURE
from imindex.indexer.decode.rendering import TRUNCATED

_JPEG = ("JPEG", "MPO")
_ZEROS = 16
"""So many zero bytes at the end are taken for a part that was never written."""
_END = b"\xff\xd9"
_FILLER = bytes(range(1, 255)) * 16
_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)


class Truncated(BadPicture):
    """The file ends before the picture does."""


def reason(share: float, of: str = "lines were read") -> str:
    """Return the reason for rejecting a picture of which a share was read."""
    return f"{TRUNCATED}: {int(100 * share)} % of the {of}"


def ends_early(image: Image.Image, data: bytes) -> bool:
    """Return whether the file of an opened picture lacks its end, where the format has a mark for it."""
    if image.format in _JPEG:
        return not jpeg.structure(data).ends
    return image.format == "PNG" and not _png_ends(data)


def before_opening(data: bytes) -> str:
    """Return the reason for rejecting a file that could not be opened, if it ends early; empty otherwise."""
    if data.startswith(b"\xff\xd8") and not jpeg.structure(data).scans:
        return f"{TRUNCATED}: before its pixels"
    if data.startswith(SIGNATURE) and not _png_ends(data):
        return f"{TRUNCATED}: before its pixels"
    declared = declared_length(data)
    return reason(len(data) / declared, "bytes are there") if declared > len(data) else ""


def declared_length(data: bytes) -> int:
    """Return the length that a file of boxes or chunks states; 0 if it states none."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return 8 + int.from_bytes(data[4:8], "little")
    if data[4:8] not in (b"ftyp", b"jP  ", b"JXL "):
        return 0
    offset = 0
    while offset + 8 <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        if length == 1:
            length = int.from_bytes(data[offset + 8 : offset + 16], "big")
        if length < 8:  # up to the end
            return 0
        offset += length
    return offset


def _png_ends(data: bytes) -> bool:
    offset = len(SIGNATURE)
    while offset + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, offset)
        if name == b"IEND":
            return True
        offset += 12 + length
    return False


def missing_part(
    data: bytes, opened: Callable[[bytes], Image.Image]
) -> tuple[Image.Image, Image.Image, float, bool]:
    """Decode as much of a picture as there is.

    A picture is decoded over black and over white: what differs was not written.

    Parameters
    ----------
    data : bytes
        The file.
    opened : callable
        Opens it.

    Returns
    -------
    PIL.Image.Image
        The picture, black where it was not written.
    PIL.Image.Image
        The missing part, of mode L: 255 where it was not written.
    float
        The share that was written.
    bool
        Whether whole lines were written, one after another.
    """
    import numpy as np

    over_black, over_white = (_over(opened(data), white) for white in (False, True))
    missing = Image.new("L", over_black.size)
    written, whole, empty = 0, [], []
    for box in strips(over_black.size):
        differs = np.asarray(over_black.crop(box)) != np.asarray(over_white.crop(box))
        if differs.ndim == 3:
            differs = differs.any(2)
        missing.paste(Image.fromarray(np.where(differs, 255, 0).astype(np.uint8)), box)
        whole += (~differs.any(1)).tolist()
        empty += differs.all(1).tolist()
        written += int((~differs).sum())
    width, height = over_black.size
    if not whole[0]:  # from below, as BMP is
        whole.reverse()
        empty.reverse()
    lines = whole.index(False) if False in whole else height
    in_lines = all(empty[lines + 1 :])  # the next one may have been begun
    return over_black, missing, lines / height if in_lines else written / (height * width), in_lines


def _over(image: Image.Image, white: bool) -> Image.Image:
    highest = {"I;16": 65535, "I;16B": 65535, "I": -1, "F": -1.0, "1": 255}.get(image.mode)
    if highest is None:
        bands = len(image.getbands())
        highest = 255 if bands == 1 else (255,) * bands  # type: ignore[assignment]
    image.im = Image.new(image.mode, image.size, highest if white else 0).im
    with contextlib.suppress(*_ERRORS):
        image.load()
    read = image._new(image.im)  # which does not try to read on
    read.format = image.format
    return read


def partial_jpeg(data: bytes, opened: Callable[[bytes], Image.Image]) -> tuple[Image.Image, float]:
    """Decode a JPEG that ends early, and return the share of its lines that its data determine.

    With an end marker, the decoder fills the rest with grey, as browsers do. With other data before the marker, the
    rest becomes something else: the lines above do not depend on it.

    Parameters
    ----------
    data : bytes
        The file.
    opened : callable
        Opens it.
    """
    import numpy as np

    data = without_zeros(data).rstrip(b"\xff")
    image, other = (opened(data + more + _END) for more in (b"", _FILLER))
    image.load()
    other.load()
    height = image.size[1]
    for box in strips(image.size):
        differs = np.asarray(image.crop(box)) != np.asarray(other.crop(box))
        rows = differs.reshape(len(differs), -1).any(1)
        if rows.any():
            return image, (box[1] + int(rows.argmax())) / height
    return image, 1.0


def without_zeros(data: bytes) -> bytes:
    """Return a file without the zero bytes at its end, which an interrupted download leaves."""
    return data.rstrip(b"\0") if data.endswith(bytes(_ZEROS)) else data


def open_again(image: Image.Image) -> Callable[[bytes], Image.Image]:
    """Return a function that opens a file in the format of a picture."""
    kind = "JPEG" if image.format in _JPEG else str(image.format)

    def opened(data: bytes) -> Image.Image:
        try:
            return Image.open(io.BytesIO(data), formats=[kind])
        except UnidentifiedImageError as error:
            raise BadPicture(f"{TRUNCATED}: before its pixels") from error

    return opened
