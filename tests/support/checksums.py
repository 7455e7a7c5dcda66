"""Checksums of HDF5 metadata in newer layouts: find them and correct them.

A forged file has valid checksums, so mutants with invalid ones test little more than the checksum.
From the HDF5 file format specification, version 3; the checksum is Bob Jenkins' lookup3.
"""

from __future__ import annotations

from collections.abc import Iterator

Block = tuple[int, int]
"""Start and end of the bytes that a checksum covers; its four bytes follow."""
_SUPERBLOCK = b"\x89HDF\r\n\x1a\n"
_CONTINUATION = 0x10
_FIXED = {b"FRHP": 142, b"BTHD": 34}
"""Bytes before the checksum of a fractal heap's header and a B-tree's, with offsets and lengths of 8 bytes."""
_RECORDS = (17, 13, 11)
"""Bytes of a record of a B-tree of attributes or links: by name, by order of creation."""
_MASK = 0xFFFFFFFF


def lookup3(data: bytes) -> int:
    """Jenkins' lookup3 (hashlittle) with an initial value of 0."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    for at in range(0, max(0, len(data) - 1) // 12 * 12, 12):
        a = (a + int.from_bytes(data[at : at + 4], "little")) & _MASK
        b = (b + int.from_bytes(data[at + 4 : at + 8], "little")) & _MASK
        c = (c + int.from_bytes(data[at + 8 : at + 12], "little")) & _MASK
        for turn in (4, 6, 8, 16, 19, 4):
            a = ((a - c) & _MASK) ^ _turned(c, turn)
            c = (c + b) & _MASK
            a, b, c = b, c, a
    rest = data[max(0, len(data) - 1) // 12 * 12 :].ljust(12, b"\0")
    if not data:
        return c
    a = (a + int.from_bytes(rest[:4], "little")) & _MASK
    b = (b + int.from_bytes(rest[4:8], "little")) & _MASK
    c = (c + int.from_bytes(rest[8:], "little")) & _MASK
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turned(b, turn)) & _MASK
        a, b, c = b, c, a
    return b


def _turned(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _MASK


def blocks(data: bytes) -> list[Block]:
    """Blocks of a file with valid checksums: superblock, object headers, heaps and trees of many attributes.

    Older layouts have none.
    """
    found = [(0, 44)] if data.startswith(_SUPERBLOCK) and data[8] in (2, 3) else []
    for at in _places(data, b"OHDR"):
        found += _header(data, at)
    for signature, length in _FIXED.items():
        found += [(at, at + length) for at in _places(data, signature)]
    for at in _places(data, b"BTLF"):
        found += [(at, at + 6 + n * record) for record in _RECORDS for n in range(1, 33)]
    return [block for block in found if right(data, block)]


def _places(data: bytes, signature: bytes) -> Iterator[int]:
    at = data.find(signature)
    while at >= 0:
        yield at
        at = data.find(signature, at + 1)


def right(data: bytes, block: Block) -> bool:
    """Return whether a block has a valid checksum."""
    start, end = block
    return int.from_bytes(data[end : end + 4], "little") == lookup3(data[start:end])


def mend(data: bytearray, block: Block) -> None:
    """Correct the checksum of a block."""
    start, end = block
    data[end : end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")


def _header(data: bytes, at: int) -> Iterator[Block]:
    flags = data[at + 5]
    start = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    first = start + width
    chunks = [(at, first, first + int.from_bytes(data[start:first], "little"))]
    while chunks:
        begin, message, end = chunks.pop()
        if end + 4 > len(data):
            return
        yield begin, end
        while message + 4 <= end:
            kind, size = data[message], int.from_bytes(data[message + 1 : message + 3], "little")
            message += 6 if flags & 4 else 4
            if kind == _CONTINUATION and size >= 16:
                place, length = (
                    int.from_bytes(data[message + 8 * i : message + 8 * i + 8], "little") for i in (0, 1)
                )
                if data[place : place + 4] == b"OCHK":
                    chunks.append((place, place + 4, place + length - 4))
            message += size
