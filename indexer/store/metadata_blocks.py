"""Check blocks of HDF5 metadata that libhdf5 trusts too much, before libhdf5 reads them.

A group with more than a few attributes or links stores them in a fractal heap and a B-tree. The headers of these
contain sizes that libhdf5 divides by or allocates without checking, and can crash on. All files written by imindex
and h5py use the parameters compiled into libhdf5, so no others are accepted. The layout is described in the HDF5 file
format specification 3.0, III.A.2 and III.G.
"""

from __future__ import annotations

import struct

_UNDEFINED = 2**64 - 1
_FRACTAL_HEAP = struct.Struct("<4xBHHBIQQQQQQQQQQQQHQQHHQH")
_B_TREE = struct.Struct("<4xBBIHHBBQHQ")
_RECORDS = {1: 24, 2: 36, 3: 16, 4: 28, 5: 11, 6: 15, 8: 17, 9: 13}
"""Size in bytes of a record, by type of B-tree: huge objects, links and attributes, by name and by creation order."""
_DIRECT = 2**16
"""Size in bytes of the largest direct block of a heap."""
_MAX_ROWS = 64
_ATTRIBUTES = (8, 9)
"""The types of B-trees of attributes. Their records begin with an 8-byte identifier and the flags of the message."""
_FLAGS, _SHARED = 8, 2
_MAX_DEPTH = 8


class Blocks:
    """Checks the metadata blocks of a file of `size` bytes."""

    def __init__(self, size: int):
        self._size = size
        self._in_root: dict[int, int] = {}
        """The number of records in the root node of each tree, by address."""

    def wrong_with(self, address: int, block: bytes) -> str:
        """Return what is wrong with the metadata block at an address; empty if no problem is found."""
        kind = block[:4]
        if kind == b"FRHP":
            return (
                ""
                if self._is_valid_heap(block)
                else "a heap of attributes has other parameters than libhdf5 uses"
            )
        if kind == b"BTHD":
            return (
                ""
                if self._is_valid_tree(block)
                else "a tree of attributes has other parameters than libhdf5 uses"
            )
        if kind in (b"BTLF", b"BTIN") and block[5:6] and block[5] in _ATTRIBUTES:
            return self._wrong_with_node(address, block)
        return ""

    def _is_valid_heap(self, block: bytes) -> bool:
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
            and rows <= _MAX_ROWS
            and all(self._inside(address) for address in (huge_tree, free_at, root))
            and allocated <= self._size
            and max(managed, iterator, free) <= 8 * self._size + 2 * _DIRECT
            and max(objects, next_huge, *counts) <= self._size
        )

    def _is_valid_tree(self, block: bytes) -> bool:
        if len(block) < _B_TREE.size:
            return False
        version, kind, node, record, depth, split, merge, root, in_root, in_all = _B_TREE.unpack_from(block)
        self._in_root[root] = in_root
        return bool(
            (version, split, merge) == (0, 100, 40)
            and _RECORDS.get(kind) == record
            and 64 <= node <= _DIRECT
            and depth <= _MAX_DEPTH
            and self._inside(root)
            and in_root * record < node
            and in_root <= in_all <= self._size
        )

    def _wrong_with_node(self, address: int, block: bytes) -> str:
        """Find attributes that are marked as shared, for which libhdf5 would read a heap that does not exist.

        In a leaf, the last record is followed by a checksum of four bytes and zeros. In an inner node it is followed by
        pointers, so the number of records must be known.
        """
        length = _RECORDS[block[5]]
        n = (len(block) - 6) // length
        if block[:4] == b"BTIN":
            if address not in self._in_root:
                return "a tree of attributes is deeper than imindex supports"
            n = min(n, self._in_root[address])
        shared = any(block[6 + length * i + _FLAGS] & _SHARED for i in range(n))
        return "an attribute is shared with another object" if shared else ""

    def _inside(self, address: int) -> bool:
        return address == _UNDEFINED or 0 < address < self._size
