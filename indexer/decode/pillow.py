"""Decode a file to an upright 8-bit RGB picture with Pillow alone.

Decoder processes run this module, so it does not import torch, and imports NumPy only for pictures of more than 8 bits.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode import color, depth, early, formats, jpeg, png, tiff
from imindex.indexer.decode.depth import strips
from imindex.indexer.decode.jpeg2000 import colour_bits
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.rendering import (
    DARK,
    DARK_COLOUR,
    JUNK,
    NO_END,
    PARTIAL,
    TRUNCATED,
    Rendering,
    as_bits,
    from_bits,
)

_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")
_ORIENTATION = 0x0112

Opened = Image.Image | tiff.Samples
"""A picture that was opened, and not yet decoded."""


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
    """Decode a picture in any of the formats of `imindex.indexer.decode.formats`.

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


def identify(data: bytes, limits: Limits, formats: tuple[str, ...] = ()) -> Opened:
    """Open a picture without decoding it, and refuse one that is too large. Call it inside `reasons`."""
    if not data:
        raise BadPicture("empty file")
    opened = _open(data, formats)
    width, height = opened.size
    if width * height > limits.max_pixels:
        raise BadPicture(limits.too_large(width * height))
    return opened


def _open(data: bytes, only: tuple[str, ...]) -> Opened:
    if only:
        return Image.open(io.BytesIO(data), formats=only)
    if data.startswith(_POSTSCRIPT):
        raise BadPicture("PostScript is a program, and is not run: convert it to PNG")
    if extra := formats.extra_of(data):
        formats.load_extra(extra)
        return _open_or_explain(data, [extra])
    with contextlib.suppress(UnidentifiedImageError):
        return _open_or_explain(data, formats.COMMON)
    if known := formats.unsupported(data):
        raise BadPicture(known)
    if data.startswith(tiff.MAGIC):
        return tiff.opened(data)[0]
    return _open_or_explain(data, formats.openable())


def _open_or_explain(data: bytes, kinds: Sequence[str]) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=tuple(kinds))
    except Exception as error:
        if why := early.before_opening(data):
            raise BadPicture(why) from error
        raise


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


def bytes_per_pixel(opened: Opened) -> int:
    """Return the memory that `to_rgb` takes for each pixel of an opened picture, measured and with a margin, in bytes.

    Pillow stores four bytes for each pixel of a colour picture, and converts into a second one. Some decoders hold
    the whole picture themselves as well.
    """
    if isinstance(opened, tiff.Samples):
        return opened.bytes_per_pixel
    return 32 if opened.format in HEAVY else 14


HEAVY = frozenset({"WEBP", "AVIF", "JPEG2000", "HEIF", "JXL"})
"""Formats whose decoders hold the whole picture, and may report a lack of memory as a broken file."""


def to_rgb(opened: Opened, data: bytes, rendering: Rendering) -> Decoded:
    """Decode an opened picture, turn it upright and convert it to RGB; see `read`. Call it inside `reasons`.

    Parameters
    ----------
    opened : PIL.Image.Image or Samples
        From `identify`.
    data : bytes
        The file.
    rendering : Rendering
    """
    notes: list[str] = []
    profile = None
    if opened.format == "JPEG2000" and (bits := colour_bits(data)) > 8:
        raise BadPicture(
            f"JPEG 2000 with {bits} bits per colour sample, whose bright parts Pillow turns black: convert it to TIFF "
            "or to 8 bits"
        )
    if rendering.to_srgb:
        try:
            profile = color.profile_of(opened, data)
        except color.Unusable as unusable:
            notes.append(str(unusable))
    image, missing = _loaded(opened, data, rendering, notes)
    turn = None if is_upright(image) else image.getexif().get(_ORIENTATION)
    space = image.mode
    if space.startswith(("I", "F")):
        image = _of_high_depth(image, data, notes)
    elif image.format == "PNG" and space == "L" and "transparency" in image.info:
        _scale_transparency(image, data)
    elif space in ("RGB", "RGBA", "RGBX") and _was_of_16_bits(image, data) and depth.is_dark(image):
        is_grey = image.format == "PNG" and png.is_grey(png.chunks(data))
        notes.append(DARK if is_grey else DARK_COLOUR)
    if profile:
        image, note = color.to_srgb(image, profile, space)
        notes += [note] if note else []
    image = _opaque(image)
    if missing is not None:
        image.paste(_GREY, mask=missing)
    if turn in _TURNS:
        image = image.transpose(_TURNS[turn])
    return Decoded(image, from_bits(as_bits(notes)))


_GREY = (128, 128, 128)
"""What is shown where a file ends early."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def _loaded(
    opened: Opened, data: bytes, rendering: Rendering, notes: list[str]
) -> tuple[Image.Image, Image.Image | None]:
    """Decode a picture, and return the part that is missing from it, if the file ends early and that is accepted."""
    if opened.format == "TIFF" and not isinstance(opened, tiff.Samples):
        opened = _samples_if_cut(opened, data)
    if isinstance(opened, tiff.Samples):
        image, told, missing = opened.read(rendering.accepts_truncated)
        notes += told
        notes += [PARTIAL] if missing is not None else []
        return image, missing
    if opened.format in ("JPEG", "MPO"):
        found = jpeg.structure(data)
        notes += [JUNK] if not found.in_order or (found.ends and jpeg.is_damaged(data)) else []
        if not found.ends:
            return _early_jpeg(opened, data, rendering, notes, found), None
    try:
        opened.load()
    except Exception as error:
        known = early.before_opening(data)
        if not known and not (early.ends_early(opened, data) or "truncated" in str(error).lower()):
            raise
        if opened.format in HEAVY:
            raise early.Truncated(known or str(error)) from error
        return _early(opened, data, rendering, notes, error)
    return opened, None


def _samples_if_cut(opened: Image.Image, data: bytes) -> Opened:
    """Return a reader of the strips of a TIFF that are there, if some are not."""
    main = tiff.main_picture(data)
    if main is None or (share := tiff.part_there(data, main[0])) == 1:
        return opened
    try:
        return tiff.Samples(data, main[0])
    except BadPicture as error:
        raise early.Truncated(early.reason(share, "strips are there")) from error


def _early_jpeg(
    opened: Image.Image, data: bytes, rendering: Rendering, notes: list[str], found: jpeg.Structure
) -> Image.Image:
    image, share = early.partial_jpeg(data, early.open_again(opened))
    if share == 1:
        notes.append(NO_END)
        return image
    if not rendering.accepts_truncated:
        if found.progressive:
            raise early.Truncated(f"{TRUNCATED}: in scan {found.scans} of a progressive JPEG")
        raise early.Truncated(early.reason(share))
    notes.append(PARTIAL)
    return image


def _early(
    opened: Image.Image, data: bytes, rendering: Rendering, notes: list[str], error: Exception
) -> tuple[Image.Image, Image.Image | None]:
    image, missing, share, in_lines = early.missing_part(data, early.open_again(opened))
    if not rendering.accepts_truncated or not share:
        raise early.Truncated(
            early.reason(share, "lines were read" if in_lines else "pixels were read")
        ) from error
    notes.append(PARTIAL)
    return image, missing


def _scale_transparency(image: Image.Image, data: bytes) -> None:
    """Scale the transparent grey of a PNG, which Pillow leaves in the depth of the file, as its samples are."""
    depth = png.depth(png.chunks(data))
    grey = image.info["transparency"]
    if depth in (2, 4) and isinstance(grey, int):
        image.info["transparency"] = grey * 255 // (2**depth - 1)


def _of_high_depth(image: Image.Image, data: bytes, notes: list[str]) -> Image.Image:
    declared, transparent, bits = None, None, 16
    if image.format == "PNG":
        found = png.chunks(data)
        declared = depth.of_png(found, image)
        if len(grey := found.get(b"tRNS", b"")) == 2:
            transparent = int.from_bytes(grey, "big")
    elif image.format == "TIFF" and (main := tiff.main_picture(data)):
        declared, bits = main[0].declared, main[0].bits[0]
    scaled, told = depth.grey(image, declared, transparent, bits)
    notes += told
    return scaled


def _was_of_16_bits(image: Image.Image, data: bytes) -> bool:
    """Return whether Pillow has dropped the lower 8 bits of a picture's samples."""
    if image.format == "PNG":
        return png.depth(png.chunks(data)) == 16
    main = tiff.main_picture(data) if image.format == "TIFF" else None
    return main is not None and main[0].bits[0] == 16


def _opaque(image: Image.Image) -> Image.Image:
    """Convert an 8-bit picture to RGB, over white."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _over_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    """Composite over white, strip by strip, which needs half the memory."""
    result = Image.new("RGB", image.size)
    for box in strips(image.size):
        strip = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        result.paste(Image.alpha_composite(white, strip).convert("RGB"), box)
    return result


_SOURCE = re.compile(r"(\w+, )?[\w./\\:-]*[/\\][\w./\\-]+\.\w{1,4}(:\d+)?[,:]? ?")
"""A path of the machine on which a library was built, with the line."""


def _first_line(error: BaseException) -> str:
    lines = _SOURCE.sub("", str(error)).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
