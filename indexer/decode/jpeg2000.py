"""The bit depth of a JPEG 2000 picture, from its codestream."""

from __future__ import annotations

_START = b"\xff\x4f\xff\x51"
"""The markers SOC and SIZ, with which a codestream begins (ISO/IEC 15444-1, annex A)."""
_COMPONENTS = 40
"""Position of the number of components, from the start of the codestream."""


def colour_bits(data: bytes) -> int:
    """Return the bits per sample of a picture of several components; 0 for grey, or if the file does not say.

    Examples
    --------
    >>> colour_bits(b"no picture")
    0
    """
    start = data.find(_START)
    place = start + _COMPONENTS + 2
    if start < 0 or len(data) < place:
        return 0
    n = int.from_bytes(data[place - 2 : place], "big")
    depths = [(data[at] & 0x7F) + 1 for at in range(place, min(place + 3 * n, len(data)), 3)]
    return max(depths, default=0) if n >= 3 else 0
