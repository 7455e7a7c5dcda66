"""ICC profiles of version 2 made by hand, and PNG files with any chunks."""

from __future__ import annotations

import struct
import zlib

import numpy as np

# Colorants (XYZ, adapted to D50), as published by Lindbloom.
ADOBE = (
    (0.6097559, 0.3111242, 0.0194811),
    (0.2052401, 0.6256560, 0.0608902),
    (0.1492240, 0.0632197, 0.7448387),
)
PROPHOTO = ((0.7976749, 0.2880402, 0.0), (0.1351917, 0.7118741, 0.0), (0.0313534, 0.0000857, 0.8252100))
P3 = (
    (0.5150957, 0.2411969, -0.0010505),
    (0.2919800, 0.6922455, 0.0418854),
    (0.1571637, 0.0665764, 0.7842102),
)
SRGB = (
    (0.4360747, 0.2225045, 0.0139322),
    (0.3850649, 0.7168786, 0.0971045),
    (0.1430804, 0.0606169, 0.7141733),
)
D50 = (0.9642, 1.0, 0.8249)


def srgb_table(n: int = 1024) -> list[int]:
    x = np.linspace(0, 1, n)
    y = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return np.rint(65535 * y).astype(int).tolist()


def curve(gamma: float | list[int]) -> bytes:
    """The tag of a transfer function: a gamma, or a table of 16-bit values."""
    values = gamma if isinstance(gamma, list) else [round(256 * gamma)]
    return b"curv\0\0\0\0" + struct.pack(f">I{len(values)}H", len(values), *values)


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in values))


def profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"t\0" + bytes(78)
    tags = {b"desc": text, b"wtpt": xyz(D50), b"cprt": b"text\0\0\0\0none\0", **tags}
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, offset + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", offset + len(body), b"none", 0x02100000, kind, space, pcs, bytes(12), b"acsp"
    )
    head = head.ljust(68, b"\0") + struct.pack(">3i", *(round(65536 * value) for value in D50))
    return head.ljust(128, b"\0") + table + body


def rgb(colorants: tuple[tuple[float, ...], ...], gamma: float | list[int]) -> bytes:
    tags = {name: xyz(values) for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)}
    return profile(b"RGB ", {**tags, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma))})


def grey(gamma: float | list[int]) -> bytes:
    return profile(b"GRAY", {b"kTRC": curve(gamma)})


def cmyk(strength: float = 0.8) -> bytes:
    """A printer whose inks absorb `strength` of their light: a table of 3 x 3 x 3 x 3 points to Lab."""
    points = np.stack(np.meshgrid(*[np.linspace(0, 1, 3)] * 4, indexing="ij"), -1).reshape(-1, 4)
    light = (1 - strength * points[:, :3]) * (1 - strength * points[:, 3:])
    lightness = 100 * light.mean(1)
    lab = np.stack([lightness, 60 * (light[:, 0] - light[:, 1]), 60 * (light[:, 1] - light[:, 2])], 1)
    table = np.rint(np.stack([lab[:, 0] * 652.8, (lab[:, 1] + 128) * 256, (lab[:, 2] + 128) * 256], 1))
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    tag = b"mft2\0\0\0\0" + bytes([4, 3, 3, 0]) + unit + struct.pack(">HH", 2, 2)
    tag += struct.pack(">8H", *[0, 65535] * 4) + table.clip(0, 65535).astype(">u2").tobytes()
    tag += struct.pack(">6H", *[0, 65535] * 3)
    return profile(b"CMYK", {b"A2B0": tag}, pcs=b"Lab ", kind=b"prtr")


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    rows: list[bytes], size: tuple[int, int], bits: int, colour: int, *chunks: tuple[bytes, bytes]
) -> bytes:
    """A PNG of packed rows, with chunks before the pixels."""
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0)
    raw = b"".join(b"\0" + row for row in rows)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(name, data)
        for name, data in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    )
