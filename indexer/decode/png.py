"""Chunks of PNG files that Pillow does not read, or reads without their depth."""

from __future__ import annotations

import struct

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST = 10_000


def chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks before the pixels of a PNG, by name; of several with the same name, the first."""
    found: dict[bytes, bytes] = {}
    offset = len(SIGNATURE)
    for _ in range(_MOST):
        if offset + 8 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, offset)
        if name in (b"IDAT", b"IEND"):
            break
        found.setdefault(name, data[offset + 8 : offset + 8 + length])
        offset += 12 + length
    return found


def depth(found: dict[bytes, bytes]) -> int:
    """Return the bits per sample that the header of a PNG states; 0 without a header."""
    header = found.get(b"IHDR", b"")
    return header[8] if len(header) >= 13 else 0


def is_grey(found: dict[bytes, bytes]) -> bool:
    """Return whether the header of a PNG states grey, with or without transparency."""
    return found.get(b"IHDR", b"")[9:10] in (b"\0", b"\4")
