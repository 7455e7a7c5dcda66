"""Blocks of HDF5's metadata that libhdf5 believes more than it should: looked at before it sees them.

A fractal heap and a B-tree hold the attributes or links of a group that has more than a few. Their headers say how
large what they refer to is; libhdf5 divides by it, or allocates as much, or crashes. All that imindex and h5py write
has the parameters that are compiled into libhdf5, so nothing else is let through. Layout: HDF5 file format
specification 3.0, III.A.2 and III.G.
"""

from __future__ import annotations

import struct

_UNDEFINED = 2**64 - 1
_FRACTAL_HEAP = struct.Struct("<4xBHHBIQQQQQQQQQQQQHQQHHQH")
_B_TREE = struct.Struct("<4xBBIHHBBQHQ")
_RECORDS = {1: 24, 2: 36, 3: 16, 4: 28, 5: 11, 6: 15, 8: 17, 9: 13}
"""Bytes of a record by the type of B-tree: huge objects, links and attributes, by name and by order of creation."""
_DIRECT = 2**16
"""Bytes of the largest block that a heap's objects lie in."""
_MOST_ROWS = 64
_ATTRIBUTES = (8, 9)
"""The types of trees of attributes. A record begins with an identifier of 8 bytes, and the flags of the message."""
_FLAGS, _SHARED = 8, 2
_DEEPEST = 8


class Blocks:
    """What was seen of the blocks of a file of `size` bytes."""

    def __init__(self, size: int):
        self._size = size
        self._in_root: dict[int, int] = {}
        """The number of records in the roots of trees, by their place."""

    def wrong_with(self, place: int, block: bytes) -> str:
        """What is wrong with a block of metadata at a place; empty if nothing is that is looked at."""
        kind = block[:4]
        if kind == b"FRHP":
            return "" if self._sound_heap(block) else "a heap of attributes is not as libhdf5 makes one"
        if kind == b"BTHD":
            return "" if self._sound_tree(block) else "a tree of attributes is not as libhdf5 makes one"
        if kind in (b"BTLF", b"BTIN") and block[5:6] and block[5] in _ATTRIBUTES:
            return self._wrong_with_node(place, block)
        return ""

    def _sound_heap(self, block: bytes) -> bool:
        if len(block) < _FRACTAL_HEAP.size:
            return False
        (
            version, id_length, filters, flags, _, next_huge, huge_tree, free, free_at, managed, allocated, iterator,
            objects, *counts, width, first, largest, bits, start_rows, root, rows,
        ) = _FRACTAL_HEAP.unpack_from(block)  # fmt: skip
        return bool(
            (version, filters, width, largest, start_rows) == (0, 0, 4, _DIRECT, 1)
            and 7 <= id_length <= 64
            and flags < 4
            and first in (512, 1024)
            and bits in (32, 40)
            and rows <= _MOST_ROWS
            and all(self._inside(address) for address in (huge_tree, free_at, root))
            and allocated <= self._size
            and max(managed, iterator, free) <= 8 * self._size + 2 * _DIRECT
            and max(objects, next_huge, *counts) <= self._size
        )

    def _sound_tree(self, block: bytes) -> bool:
        if len(block) < _B_TREE.size:
            return False
        version, kind, node, record, depth, split, merge, root, in_root, in_all = _B_TREE.unpack_from(block)
        self._in_root[root] = in_root
        return bool(
            (version, split, merge) == (0, 100, 40)
            and _RECORDS.get(kind) == record
            and 64 <= node <= _DIRECT
            and depth <= _DEEPEST
            and self._inside(root)
            and in_root * record < node
            and in_root <= in_all <= self._size
        )

    def _wrong_with_node(self, place: int, block: bytes) -> str:
        """Whether an attribute is said to lie in another object: libhdf5 then looks into a heap that is not there.

        In a leaf the bytes after the last record are a checksum, of four bytes, and zeros; in an inner node they are
        pointers, so that the number of records has to be known.
        """
        length = _RECORDS[block[5]]
        n = (len(block) - 6) // length
        if block[:4] == b"BTIN":
            if place not in self._in_root:
                return "a tree of attributes is deeper than any that imindex reads"
            n = min(n, self._in_root[place])
        shared = any(block[6 + length * i + _FLAGS] & _SHARED for i in range(n))
        return "an attribute is said to lie in another object" if shared else ""

    def _inside(self, address: int) -> bool:
        return address == _UNDEFINED or 0 < address < self._size
