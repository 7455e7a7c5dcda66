"""Bytes -> an upright 8-bit RGB picture, by Pillow alone: what a decoder process runs, so it imports neither torch nor,
unless a picture has more than 8 bits, NumPy.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import threading
import warnings
from collections.abc import Iterator

from PIL import Image, ImageOps, UnidentifiedImageError

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode.limits import Limits

NOT_OPENED = frozenset({"EPS", "IPTC", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})
"""Formats of Pillow's that are left out: EPS is a program for Ghostscript; IPTC opens what it holds in any format, so
also EPS; WMF is drawn by Windows; the others Pillow knows but cannot decode."""

_COMMON = ("JPEG", "PNG", "GIF", "BMP", "PPM")
"""These come without loading Pillow's other plug-ins."""
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
_ORIENTATION = 0x0112
_HEADER = 2**20
"""Bytes in which a plain JPEG's header ends."""


def read(data: bytes, limits: Limits) -> Image.Image:
    """Decode a picture in any format but those in `NOT_OPENED`.

    EXIF rotation is applied, transparency laid over white, 16-bit scaled to 8, of animations the first
    frame taken.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    BadPicture
        With the reason, in words fit for the user.
    """
    with reasons(limits):
        image = identify(data, limits)
        return _to_rgb(image)


def identify(data: bytes, limits: Limits, formats: tuple[str, ...] = ()) -> Image.Image:
    """Open a picture without decoding it, and refuse one that is too large. Call it within `reasons`."""
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
    return Image.open(io.BytesIO(data), formats=[name for name in Image.ID if name not in NOT_OPENED])


def is_plain_jpeg(data: bytes) -> bool:
    """Whether a file is a JPEG of the kind that costs no more than its pixels, whatever it holds.

    That is: a short and well-formed header, Huffman coding, 8 bits, 1 or 3 channels, and all of them in the first scan,
    after which a decoder stops. Each of many scans, as of a progressive picture, costs as much as the whole picture.
    """
    if data[:2] != b"\xff\xd8":
        return False
    at, channels, n_exif = 2, 0, 0
    while at + 4 <= min(len(data), _HEADER):
        if data[at] != 0xFF or not 0xC0 <= (kind := data[at + 1]) <= 0xFE:
            return False
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if kind == 0xDA:
            return channels in (1, 3) and body[:1] == bytes([channels])
        if kind in (0xC0, 0xC1):
            if channels or len(body) < 6 or body[0] != 8:
                return False
            channels = body[5]
        n_exif += body.startswith(b"Exif")
        if length < 2 or n_exif > 1 or (0xC2 <= kind < 0xDA and kind != 0xC4):
            return False
        at += 2 + length
    return False


@contextlib.contextmanager
def reasons(limits: Limits) -> Iterator[None]:
    """Turn whatever a decoder raises on broken input into BadPicture with the reason; nothing is lost."""
    try:
        with _PILLOW.at_least(limits.max_pixels), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata; what matters raises
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
    """Pillow's own limit of pixels, which holds for parts of a file too: the highest that any thread asks for just now.

    When nobody is left, it is again what it was before: it belongs to the whole process, and others use Pillow, too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_for: list[int] = []
        self._before: int | None = None

    @contextlib.contextmanager
    def at_least(self, pixels: int) -> Iterator[None]:
        with self._lock:
            if not self._asked_for:
                self._before = Image.MAX_IMAGE_PIXELS
            self._asked_for.append(pixels)
            self._set()
        try:
            yield
        finally:
            with self._lock:
                self._asked_for.remove(pixels)
                self._set()

    def _set(self) -> None:
        highest = max(self._asked_for, default=None)
        # It refuses twice as many.
        Image.MAX_IMAGE_PIXELS = self._before if highest is None else -(-highest // 2)


_PILLOW = _PillowsLimit()


def is_upright(image: Image.Image) -> bool:
    """Whether EXIF says nothing of a rotation."""
    try:
        return bool(image.getexif().get(_ORIENTATION, 1) == 1)
    except Exception:  # broken EXIF says nothing about the rotation
        return True


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    if not is_upright(image):
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return _from_high_depth(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_high_depth(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey (and 32-bit files that hold 16 bits, or floats in [0, 1] or [0, 255]) to 8 bits."""
    import numpy as np

    values = np.asarray(image, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("F"):
        if not math.isfinite(low) or not math.isfinite(high) or low < 0 or high > 255:
            raise BadPicture("floating-point pixels outside [0, 255]: convert it to 8 or 16 bits")
        scale = 255.0 if high <= 1 else 1.0
    else:
        if low < 0 or high > 65535:
            raise BadPicture("32-bit pixels outside [0, 65535]: convert it to 8 or 16 bits")
        scale = 255.0 / 65535.0
    return Image.fromarray(np.rint(values * scale).astype(np.uint8)).convert("RGB")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
