"""The structure of JPEG files: whether one is plain, whether it ends, and whether its parts are in order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from imindex.indexer.system.c_stderr import c_stderr

_HEADER = 2**20
"""Maximum size in bytes of the header of a plain JPEG."""
_SOI, _EOI, _SOS, _DRI, _DNL = 0xD8, 0xD9, 0xDA, 0xDD, 0xDC
_BETWEEN_SCANS = frozenset((0xC4, 0xCC, _SOS, 0xDB, _DNL, _DRI, 0xDE, 0xDF, 0xFE, *range(0xE0, 0xF0)))
_MOST = 100_000
_DAMAGE = (
    b"Corrupt JPEG data",
    b"Premature end of JPEG file",
    b"Inconsistent progression",
    b"Invalid SOS parameters",
)


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
        if marker == _SOS:
            return channels in (1, 3) and body[:1] == bytes([channels])
        if marker in (0xC0, 0xC1):
            if channels or len(body) < 6 or body[0] != 8:
                return False
            channels = body[5]
        n_exif += body.startswith(b"Exif")
        if length < 2 or n_exif > 1 or (0xC2 <= marker < _SOS and marker != 0xC4):
            return False
        offset += 2 + length
    return False


def is_damage(warnings: bytes) -> bool:
    """Return whether one of libjpeg's warnings is about the data of a picture, and not about its header."""
    return any(known in warnings for known in _DAMAGE)


def is_damaged(data: bytes) -> bool:
    """Return whether libjpeg warns of damage when it decodes a JPEG of any kind.

    Pillow suppresses the warnings of its libjpeg, so that OpenCV's decodes the picture once more, at an eighth of its
    size, which costs little more than reading the data. A file that OpenCV cannot decode is not called damaged.
    """
    import cv2
    import numpy as np

    flags = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
    with c_stderr() as warnings, contextlib.suppress(cv2.error, MemoryError):
        cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return is_damage(b"".join(warnings))


@dataclass(frozen=True)
class Structure:
    """What the markers of a JPEG tell.

    Attributes
    ----------
    scans : int
        Scans that begin.
    progressive : bool
        Whether a picture is spread over many scans.
    ends : bool
        Whether there is an end marker.
    in_order : bool
        Whether there is nothing between the parts, and no marker where none can be.
    """

    scans: int
    progressive: bool
    ends: bool
    in_order: bool


def structure(data: bytes) -> Structure:
    """Return what the markers of a JPEG tell, up to its end marker. Damage within the pixels' data has none."""
    scans, progressive, in_order, restarts = 0, False, True, False
    offset = 2
    for _ in range(_MOST):
        marker_at = data.find(b"\xff", offset)
        if marker_at < 0:
            break
        in_order &= marker_at == offset
        offset = marker_at
        while data[offset : offset + 1] == b"\xff":  # fill bytes
            offset += 1
        if offset >= len(data):
            break
        marker = data[offset]
        offset += 1
        if marker == _EOI:
            return Structure(scans, progressive, True, in_order)
        if marker == 0 or marker == _SOI or 0xD0 <= marker <= 0xD7:
            in_order = False
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            in_order &= not scans
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
        elif marker not in _BETWEEN_SCANS:
            in_order = False
            continue
        length = int.from_bytes(data[offset : offset + 2], "big")
        if length < 2:
            in_order = False
            continue
        if marker == _DRI:
            restarts = data[offset + 2 : offset + 4] != b"\0\0"
        offset += length
        if marker == _SOS:
            scans += 1
            offset, whole = _after_scan(data, offset, restarts)
            in_order &= whole
    return Structure(scans, progressive, False, in_order)


def _after_scan(data: bytes, offset: int, restarts: bool) -> tuple[int, bool]:
    """Return where the next marker is, and whether the restart markers before it are in order."""
    following, whole = 0, True
    while True:
        at = data.find(b"\xff", offset)
        if at < 0 or at + 1 >= len(data):
            return len(data), whole
        code = data[at + 1]
        if code == 0:
            offset = at + 2
        elif code == 0xFF:
            offset = at + 1
        elif 0xD0 <= code <= 0xD7:
            whole &= restarts and code == 0xD0 + following
            following = (code - 0xCF) % 8
            offset = at + 2
        else:
            return at, whole
