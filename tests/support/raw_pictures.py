"""Pictures of unusual kinds, and what they are converted to by hand."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

from tests.support.profiles import png_chunk


def by_hand(image: Image.Image, profile: bytes) -> np.ndarray:
    """Convert as a user of ImageCms would."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    flags = ImageCms.Flags.NOOPTIMIZE if image.mode == "L" else ImageCms.Flags.NONE
    made = ImageCms.profileToProfile(
        image, source, ImageCms.createProfile("sRGB"), outputMode="RGB", flags=flags
    )
    assert made is not None
    return np.asarray(made).astype(int)


def written(values: np.ndarray, **how: Any) -> bytes:
    """A TIFF by tifffile."""
    out = io.BytesIO()
    tifffile.imwrite(out, values, **how)
    return out.getvalue()


def grey_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.asarray(values).astype(int)[..., None], 3, -1)


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of samples of any number of bits, the highest bit first, each row padded to a whole byte."""
    rows = values.reshape(len(values), -1)
    text = ["".join(f"{int(value):0{bits}b}" for value in row) for row in rows]
    return b"".join(
        int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8), "big") for row in text
    )


def interlaced(rgb: np.ndarray) -> bytes:
    """A PNG by Adam7, which Pillow does not write."""
    height, width = rgb.shape[:2]
    raw = b""
    for left, top, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ):  # fmt: skip
        raw += b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in rgb[top::down, left::across])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
