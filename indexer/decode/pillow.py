"""Decode a file to an upright 8-bit RGB picture with Pillow alone.

Decoder processes run this module, so it does not import torch, and imports NumPy only for pictures of more than 8 bits.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import color
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.rendering import Rendering

NOT_OPENED = frozenset({"EPS", "IPTC", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})
"""Formats of Pillow that are never opened: EPS is a program for Ghostscript; IPTC can contain any format, including
EPS; WMF is rendered by Windows; the others are identified by Pillow, but it cannot decode them."""

_COMMON = ("JPEG", "PNG", "GIF", "BMP", "PPM")
"""Formats available without loading Pillow's other plug-ins."""
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
_ORIENTATION = 0x0112
_STRIP = 2**20
_HEADER = 2**20
"""Maximum size in bytes of the header of a plain JPEG."""


@dataclass(frozen=True)
class Decoded:
    """A decoded picture.

    Attributes
    ----------
    image : PIL.Image.Image
        Of mode RGB.
    notes : tuple of str
        What is worth telling, of `imindex.indexer.decode.rendering.NOTES`.
    """

    image: Image.Image
    notes: tuple[str, ...] = ()


def read(data: bytes, limits: Limits, rendering: Rendering = Rendering()) -> Image.Image:  # noqa: B008 - frozen
    """Decode a picture in any format except those in `NOT_OPENED`.

    EXIF rotation is applied, transparency is composited over white, 16-bit values are scaled to 8 bits, and only the
    first frame of an animation is decoded.

    Returns
    -------
    PIL.Image.Image
        A picture of mode RGB.

    Raises
    ------
    BadPicture
        With the reason for the user.
    """
    return read_noted(data, limits, rendering).image


def read_noted(data: bytes, limits: Limits, rendering: Rendering) -> Decoded:
    """Decode a picture as `read` does, with what is worth telling about it."""
    with reasons(limits):
        return to_rgb(identify(data, limits), data, rendering)


def identify(data: bytes, limits: Limits, formats: tuple[str, ...] = ()) -> Image.Image:
    """Open a picture without decoding it, and refuse one that is too large. Call it inside `reasons`."""
    if not data:
        raise BadPicture("empty file")
    image = _open(data, formats)
    width, height = image.size
    if width * height > limits.max_pixels:
        raise BadPicture(limits.too_large(width * height))
    return image


def _open(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    if formats:
        return Image.open(io.BytesIO(data), formats=formats)
    if data.startswith(_POSTSCRIPT):
        raise BadPicture("PostScript is a program, and is not run: convert it to PNG")
    with contextlib.suppress(UnidentifiedImageError):
        return Image.open(io.BytesIO(data), formats=_COMMON)
    Image.init()
    if (avif := sys.modules.get("PIL.AvifImagePlugin")) is not None:
        vars(avif)["DEFAULT_MAX_THREADS"] = 1  # each decoder has one processor
    return Image.open(io.BytesIO(data), formats=[name for name in Image.ID if name not in NOT_OPENED])


def is_plain_jpeg(data: bytes) -> bool:
    """Return whether a file is a JPEG whose decoding cost is bounded by its number of pixels, whatever its content.

    Such a file has a short and well-formed header, Huffman coding, 8 bits, and 1 or 3 channels that are all in the
    first scan, after which the decoder stops. In a progressive picture, each of many scans costs as much as the whole
    picture.
    """
    if data[:2] != b"\xff\xd8":
        return False
    offset, channels, n_exif = 2, 0, 0
    while offset + 4 <= min(len(data), _HEADER):
        if data[offset] != 0xFF or not 0xC0 <= (marker := data[offset + 1]) <= 0xFE:
            return False
        length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        body = data[offset + 4 : offset + 2 + length]
        if marker == 0xDA:
            return channels in (1, 3) and body[:1] == bytes([channels])
        if marker in (0xC0, 0xC1):
            if channels or len(body) < 6 or body[0] != 8:
                return False
            channels = body[5]
        n_exif += body.startswith(b"Exif")
        if length < 2 or n_exif > 1 or (0xC2 <= marker < 0xDA and marker != 0xC4):
            return False
        offset += 2 + length
    return False


@contextlib.contextmanager
def reasons(limits: Limits) -> Iterator[None]:
    """Convert any exception that a decoder raises on broken input into BadPicture with the reason."""
    try:
        with _PILLOW.at_least(limits.max_pixels), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata; real problems raise
            yield
    except BadPicture:
        raise
    except UnidentifiedImageError as error:
        raise BadPicture("not a picture in any format that Pillow opens") from error
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels\)", str(error))
        raise BadPicture(limits.too_large(int(pixels[1]) if pixels else 2 * limits.max_pixels)) from error
    except MemoryError as error:
        raise BadPicture(f"too large to decode: {_first_line(error)}") from error
    except Exception as error:
        raise BadPicture(f"cannot be decoded: {_first_line(error)}") from error


class _PillowsLimit:
    """Sets Pillow's own pixel limit, which also applies to parts of a file, to the highest limit of any active thread.

    The limit is global to the process, so the previous value is restored after the last thread has finished.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: list[int] = []
        self._previous: int | None = None

    @contextlib.contextmanager
    def at_least(self, pixels: int) -> Iterator[None]:
        with self._lock:
            if not self._limits:
                self._previous = Image.MAX_IMAGE_PIXELS
            self._limits.append(pixels)
            self._set()
        try:
            yield
        finally:
            with self._lock:
                self._limits.remove(pixels)
                self._set()

    def _set(self) -> None:
        highest = max(self._limits, default=None)
        # Pillow raises an error at twice its threshold.
        Image.MAX_IMAGE_PIXELS = self._previous if highest is None else -(-highest // 2)


_PILLOW = _PillowsLimit()


def is_upright(image: Image.Image) -> bool:
    """Return whether EXIF specifies no rotation."""
    try:
        return bool(image.getexif().get(_ORIENTATION, 1) == 1)
    except Exception:  # broken EXIF specifies no rotation
        return True


def bytes_per_pixel(image: Image.Image) -> int:
    """Return the memory that `to_rgb` takes for each pixel of an opened picture, measured and with a margin, in bytes.

    Pillow stores four bytes for each pixel of a colour picture, and converts into a second one. Some decoders hold
    the whole picture themselves as well.
    """
    return 32 if image.format in HEAVY else 14


HEAVY = frozenset({"WEBP", "AVIF", "JPEG2000"})
"""Formats whose decoders hold the whole picture, and may report a lack of memory as a broken file."""


def to_rgb(image: Image.Image, data: bytes, rendering: Rendering) -> Decoded:
    """Decode an opened picture, turn it upright and convert it to RGB; see `read`. Call it inside `reasons`.

    Parameters
    ----------
    image : PIL.Image.Image
        From `identify`.
    data : bytes
        The file.
    rendering : Rendering
    """
    notes = []
    profile = None
    if rendering.to_srgb:
        try:
            profile = color.profile_of(image, data)
        except color.Unusable as unusable:
            notes.append(str(unusable))
    image.load()
    if not is_upright(image):
        image = ImageOps.exif_transpose(image)
    space = image.mode
    if space.startswith(("I", "F")):
        image = _from_high_depth(image)
    if profile:
        image, note = color.to_srgb(image, profile, space)
        notes += [note] if note else []
    return Decoded(_opaque(image), tuple(notes))


def _opaque(image: Image.Image) -> Image.Image:
    """Convert an 8-bit picture to RGB, over white."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _over_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Yield the boxes of strips that cover a picture, each of at most 2^20 pixels or one row."""
    width, height = image.size
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        yield (0, top, width, min(height, top + rows))


def _over_white(image: Image.Image) -> Image.Image:
    """Composite over white, strip by strip, which needs half the memory."""
    result = Image.new("RGB", image.size)
    for box in strips(image):
        strip = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        result.paste(Image.alpha_composite(white, strip).convert("RGB"), box)
    return result


def _from_high_depth(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey (and 32-bit files that hold 16 bits, or floats in [0, 1] or [0, 255]) to 8 bits."""
    import numpy as np

    def values() -> Iterator[tuple[tuple[int, int, int, int], Any]]:
        return ((box, np.asarray(image.crop(box), dtype=np.float64)) for box in strips(image))

    ends = [(strip.min(), strip.max()) for _, strip in values()]  # of NaN, NaN
    low, high = float(np.min(ends)), float(np.max(ends))
    if image.mode.startswith("F"):
        if not math.isfinite(low) or not math.isfinite(high) or low < 0 or high > 255:
            raise BadPicture("floating-point pixels outside [0, 255]: convert it to 8 or 16 bits")
        scale = 255.0 if high <= 1 else 1.0
    else:
        if low < 0 or high > 65535:
            raise BadPicture("32-bit pixels outside [0, 65535]: convert it to 8 or 16 bits")
        scale = 255.0 / 65535.0
    result = Image.new("RGB", image.size)
    for box, strip in values():
        result.paste(Image.fromarray(np.rint(strip * scale).astype(np.uint8)).convert("RGB"), box)
    return result


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
