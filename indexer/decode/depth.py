"""Scaling of samples of more than 8 bits to 8 bits: by the range that the file declares, or else the full range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode.rendering import DARK, UNUSABLE_RANGE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    Box = tuple[int, int, int, int]

_STRIP = 2**20
_SMALL_PART = 4
"""16-bit samples are told that use less than this part of the range, one in so many."""


@dataclass(frozen=True)
class Range:
    """The values that stand for black and white.

    Attributes
    ----------
    low, high : float
        NaN if a file declares them in a way that is not understood.
    holds_all : bool
        Whether no sample is said to lie outside.
    """

    low: float
    high: float
    holds_all: bool = False

    def fits(self, kind: str, bits: int, low: float, high: float) -> bool:
        """Return whether samples can have this range: see `range_of` for the parameters."""
        width = self.high - self.low
        if not math.isfinite(width) or width <= 0:
            return False
        if kind != "f":
            least = -(2 ** (bits - 1)) if kind == "i" else 0
            if self.low < least or self.high > least + 2**bits:
                return False
        if self.holds_all and high - self.low > 2 * width:  # a few samples may be a little larger
            return False
        inside = min(high, self.high) - max(low, self.low)
        return low == high or 255 * inside / width >= 0.5  # or else one level would be left


def strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the boxes of strips that cover a picture, each of at most 2^20 pixels or one row."""
    width, height = size
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        yield (0, top, width, min(height, top + rows))


def range_of(
    kind: str, bits: int, low: float, high: float, declared: Range | None
) -> tuple[Range, tuple[str, ...]]:
    """Return the range by which samples are scaled.

    Parameters
    ----------
    kind : {"u", "i", "f"}
        Unsigned, signed or floating-point samples.
    bits : int
        Bits per sample.
    low, high : float
        The least and the largest sample; NaN if one is.
    declared : Range, optional

    Returns
    -------
    Range
    tuple of str
        What is worth telling. A declared range that cannot be is told and ignored.

    Raises
    ------
    BadPicture
        The range is not known.
    """
    if kind == "f" and not (math.isfinite(low) and math.isfinite(high)):
        raise BadPicture("floating-point pixels that are not finite: convert it to 8 or 16 bits")
    if declared is None:
        return _undeclared(kind, bits, low, high)
    if declared.fits(kind, bits, low, high):
        return declared, ()
    within, notes = _undeclared(kind, bits, low, high)
    return within, (UNUSABLE_RANGE, *notes)


def _undeclared(kind: str, bits: int, low: float, high: float) -> tuple[Range, tuple[str, ...]]:
    if kind == "f":
        if low < 0 or high > 255:
            raise BadPicture("floating-point pixels outside [0, 255]: convert it to 8 or 16 bits")
        return Range(0, 1 if high <= 1 else 255), ()
    if low < 0:
        raise BadPicture(
            f"negative samples of {bits} bits, whose range is not declared: convert it to 8 or 16 bits"
        )
    if bits <= 16:
        full = 2 ** (bits - (kind == "i")) - 1
        return Range(0, full), (DARK,) if bits == 16 and 0 < high < full / _SMALL_PART else ()
    if high <= 255:
        return Range(0, 255), ()
    if 2**15 <= high < 2**16:
        return Range(0, 65535), ()
    if kind == "u" and high >= 2 ** (bits - 1):
        return Range(0, 2**bits - 1), ()
    raise BadPicture(
        f"{bits}-bit samples up to {high:.0f}, whose range is not declared: convert it to 8 or 16 bits"
    )


def to_8_bits(values: npt.NDArray[Any], within: Range) -> npt.NDArray[np.uint8]:
    """Scale samples to 0 to 255, rounded; values outside of the range are clipped."""
    import numpy as np

    scaled = np.asarray(values, np.float64)
    if within.low:
        scaled = scaled - within.low
    return np.rint(np.clip(scaled * (255.0 / (within.high - within.low)), 0, 255)).astype(np.uint8)


def grey(
    image: Image.Image, declared: Range | None, transparent: int | None = None, bits: int = 16
) -> tuple[Image.Image, tuple[str, ...]]:
    """Scale a picture of one channel, of more than 8 bits, to 8 bits.

    Parameters
    ----------
    image : PIL.Image.Image
        Of the modes I (16 bits in 32), I;16 and so on, or F.
    declared : Range, optional
    transparent : int, optional
        A sample that is transparent.
    bits : int
        Bits per sample, of whole numbers.

    Returns
    -------
    PIL.Image.Image
        Of mode L or LA.
    tuple of str
        What is worth telling.
    """
    import numpy as np
    from PIL import Image

    boxes = list(strips(image.size))
    ends = []
    for box in boxes:
        strip = np.asarray(image.crop(box))
        ends.append((float(strip.min()), float(strip.max())))  # of NaN, NaN
    low, high = float(np.min(ends)), float(np.max(ends))
    kind = "f" if image.mode.startswith("F") else "u"
    if kind == "u" and (low < 0 or high > 65535):
        raise BadPicture("32-bit pixels outside [0, 65535]: convert it to 8 or 16 bits")
    within, notes = range_of(kind, bits, low, high, declared)
    result = Image.new("L" if transparent is None else "LA", image.size)
    for box in boxes:
        strip = np.asarray(image.crop(box))
        scaled = Image.fromarray(to_8_bits(strip, within))
        if transparent is not None:
            scaled.putalpha(Image.fromarray(np.where(strip == transparent, 0, 255).astype(np.uint8)))
        result.paste(scaled, box)
    return result, notes


def is_dark(image: Image.Image) -> bool:
    """Return whether a picture that was of 16 bits uses a small part of its range, as `range_of` tells of grey.

    Parameters
    ----------
    image : PIL.Image.Image
        Of mode RGB, RGBA or RGBX: the higher 8 bits of each sample.
    """
    highest = max(int(channel.getextrema()[1]) for channel in image.split()[:3])  # type: ignore[arg-type]
    return 0 < highest < 256 // _SMALL_PART


def of_png(found: dict[bytes, bytes], image: Image.Image) -> Range | None:
    """Return the range that a 16-bit grey PNG declares by its significant bits (sBIT), if its samples were not scaled.

    By the specification, an encoder scales samples of fewer bits to 16, so that the full range is right. Some write
    them as they are. These are recognised by low bits that no scaling gives.
    """
    import numpy as np

    bits = found.get(b"sBIT", b"")[:1]
    if not bits or not 8 < bits[0] < 16:
        return None
    n = bits[0]
    scaled = True
    for box in strips(image.size):
        values = np.asarray(image.crop(box)).astype(np.int64)
        if values.max(initial=0) >= 2**n:
            return None
        padded = values & (2 ** (16 - n) - 1)
        replicated = values >> n
        scaled = scaled and bool(((padded == 0) | (padded == replicated)).all())
    return None if scaled else Range(0, 2**n - 1)
