"""Limits on the size of a picture, its decoding time and its memory. Pictures beyond them are rejected."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imindex.indexer.core.bounds import MAX_PIXELS, MEMORY, SECONDS
from imindex.indexer.system.memory import total_memory

MAX_BYTES = 2**30
"""Larger files are rejected without being read."""
NO_MEMORY = "memory ran out"
"""Start of the reason if the machine, not the picture, caused the rejection."""
_PIXELS = re.compile(r"pixels are more than the limit of (\d+)$")
_MEGABYTES = re.compile(r"^needs (\d+) MB to (read|decode), more than the limit of \d+ MB")
_MB = 10**6
_UNKNOWN = 8 * 2**30
"""Memory in bytes that is assumed of a system that does not say."""
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
    decode_memory : int
        Memory in bytes for all pictures that are decoded at the same time, in this process and its decoders together;
        0 stands for a quarter of the machine's memory, or of the control group's if that is less. A picture waits
        until what it needs is free, and is rejected if it needs more than there is. A quarter is for the bytes of
        files, of which there are two copies; the rest is for pixels.
    """

    max_pixels: int = 178_956_970
    decode_timeout: float = 60.0
    decode_memory: int = 0

    def __post_init__(self) -> None:
        MAX_PIXELS.check(self.max_pixels, "max_pixels")
        SECONDS.check(self.decode_timeout, "decode_timeout")
        if self.decode_memory != 0:
            MEMORY.check(self.decode_memory, "decode_memory")

    def too_large(self, pixels: int) -> str:
        """Return the reason for rejecting a picture with this many pixels."""
        return f"{pixels} pixels are more than the limit of {self.max_pixels}"

    @property
    def too_slow(self) -> str:
        """The reason for rejecting a picture that took too long."""
        return f"took longer than {self.decode_timeout:g} s to decode"

    @property
    def memory(self) -> int:
        """`decode_memory` in bytes, with its default."""
        return self.decode_memory or (total_memory() or _UNKNOWN) // 4

    @property
    def file_memory(self) -> int:
        """The part of the memory for the bytes of files."""
        return self.memory // 4

    @property
    def pixel_memory(self) -> int:
        """The part of the memory for pixels."""
        return self.memory - self.file_memory

    @staticmethod
    def too_costly(what: str, needed: int, limit: int) -> str:
        """Return the reason for rejecting a file that alone does not fit into the memory; `what`: read or decode."""
        needed, limit = -(-needed // _MB), limit // _MB
        return f"needs {needed} MB to {what}, more than the limit of {limit} MB: raise --decode-memory"

    def outgrown(self, reason: str) -> bool:
        """Return whether to retry a rejected picture: it exceeded a lower limit than this one, or memory ran out."""
        pixels, seconds, megabytes = (known.search(reason) for known in (_PIXELS, _SECONDS, _MEGABYTES))
        share = self.file_memory if megabytes and megabytes[2] == "read" else self.pixel_memory
        return bool(
            reason.startswith(NO_MEMORY)
            or (pixels and int(pixels[1]) < self.max_pixels)
            or (megabytes and int(megabytes[1]) * _MB <= share)
            or (seconds and float(seconds[1]) < self.decode_timeout)
        )
