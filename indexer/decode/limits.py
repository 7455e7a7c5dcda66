"""Limits on the size of a picture and on its decoding time. Pictures beyond them are rejected."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BYTES = 2**30
"""Larger files are rejected without being read."""
NO_MEMORY = "memory ran out"
"""Start of the reason if the machine, not the picture, caused the rejection."""
_PIXELS = re.compile(r"pixels are more than the limit of (\d+)$")
_SECONDS = re.compile(r"took longer than ([\d.]+) s to decode$")


@dataclass(frozen=True)
class Limits:
    """Limits per picture.

    Attributes
    ----------
    max_pixels : int
        Maximum of width x height; a larger picture is rejected before it is decoded. The default is Pillow's own
        limit for decompression bombs.
    decode_timeout : float
        Maximum decoding time in seconds.
    """

    max_pixels: int = 178_956_970
    decode_timeout: float = 60.0

    def too_large(self, pixels: int) -> str:
        """Return the reason for rejecting a picture with this many pixels."""
        return f"{pixels} pixels are more than the limit of {self.max_pixels}"

    @property
    def too_slow(self) -> str:
        """The reason for rejecting a picture that took too long."""
        return f"took longer than {self.decode_timeout:g} s to decode"

    def outgrown(self, reason: str) -> bool:
        """Return whether to retry a rejected picture: it exceeded a lower limit than this one, or memory ran out."""
        pixels, seconds = _PIXELS.search(reason), _SECONDS.search(reason)
        return bool(
            reason.startswith(NO_MEMORY)
            or (pixels and int(pixels[1]) < self.max_pixels)
            or (seconds and float(seconds[1]) < self.decode_timeout)
        )
