"""How much a picture may ask for: pixels, and seconds of decoding. What asks for more is rejected."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BYTES = 2**30
"""Files larger than this are no pictures that anyone meant."""
NO_MEMORY = "memory ran out"
"""How the reason begins where the machine, and not the picture, was at fault."""
_PIXELS = re.compile(r"pixels are more than the limit of (\d+)$")
_SECONDS = re.compile(r"took longer than ([\d.]+) s to decode$")


@dataclass(frozen=True)
class Limits:
    """What a picture may ask for.

    Attributes
    ----------
    max_pixels : int
        Width x height; a larger picture is refused before it is decoded. Pillow's own limit against
        decompression bombs, unless given.
    decode_timeout : float
        Seconds.
    """

    max_pixels: int = 178_956_970
    decode_timeout: float = 60.0

    def too_large(self, pixels: int) -> str:
        """The reason to reject a picture of so many pixels."""
        return f"{pixels} pixels are more than the limit of {self.max_pixels}"

    @property
    def too_slow(self) -> str:
        """The reason to reject a picture that took too long."""
        return f"took longer than {self.decode_timeout:g} s to decode"

    def outgrown(self, reason: str) -> bool:
        """Whether a picture was rejected by a lower limit than this one, or for want of memory: it is tried again."""
        pixels, seconds = _PIXELS.search(reason), _SECONDS.search(reason)
        return bool(
            reason.startswith(NO_MEMORY)
            or (pixels and int(pixels[1]) < self.max_pixels)
            or (seconds and float(seconds[1]) < self.decode_timeout)
        )
