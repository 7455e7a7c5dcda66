"""Blocks of HDF5's metadata that libhdf5 believes more than it should: looked at before it sees them.

A fractal heap and a B-tree hold the attributes or links of a group that has more than a few. Their headers say how
large what they refer to is; libhdf5 divides by it, or allocates as much, or crashes. All that imindex and h5py write
has the parameters that are compiled into libhdf5, so nothing else is let through. Layout: HDF5 file format
specification 3.0, III.A.2 and III.G.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

_UNDEFINED = 2**64 - 1
_FRACTAL_HEAP = struct.Struct("<4xBHHBIQQQQQQQQQQQQHQQHHQH")
_B_TREE = struct.Struct("<4xBBIHHBBQHQ")
_RECORDS = {1: 24, 2: 36, 3: 16, 4: 28, 5: 11, 6: 15, 8: 17, 9: 13}
"""Bytes of a record by the type of B-tree: huge objects, links and attributes, by name and by order of creation."""
_DIRECT = 2**16
"""Bytes of the largest block that a heap's objects lie in."""
_MOST_ROWS = 64
_DEEPEST = 8


def wrong_with(block: bytes, size: int) -> str:
    """What is wrong with a block of metadata in a file of so many bytes; empty if nothing is that is looked at."""
    check = _CHECKS.get(block[:4])
    return check(block, size) if check else ""


def _inside(address: int, size: int) -> bool:
    return address == _UNDEFINED or 0 < address < size


def _fractal_heap(block: bytes, size: int) -> str:
    if len(block) < _FRACTAL_HEAP.size:
        return "a heap of attributes is cut off"
    (
        version, id_length, filters, flags, _, next_huge, huge_tree, free, free_at, managed, allocated, iterator,
        objects, *counts, width, first, largest, bits, start_rows, root, rows,
    ) = _FRACTAL_HEAP.unpack_from(block)  # fmt: skip
    sound = (
        (version, filters, width, largest, start_rows) == (0, 0, 4, _DIRECT, 1)
        and 7 <= id_length <= 64
        and flags < 4
        and first in (512, 1024)
        and bits in (32, 40)
        and rows <= _MOST_ROWS
        and all(_inside(address, size) for address in (huge_tree, free_at, root))
        and allocated <= size
        and max(managed, iterator, free) <= 8 * size + 2 * _DIRECT
        and max(objects, next_huge, *counts) <= size
    )
    return "" if sound else "a heap of attributes is not as libhdf5 makes one"


def _b_tree(block: bytes, size: int) -> str:
    if len(block) < _B_TREE.size:
        return "a tree of attributes is cut off"
    version, kind, node, record, depth, split, merge, root, in_root, in_all = _B_TREE.unpack_from(block)
    sound = (
        (version, split, merge) == (0, 100, 40)
        and _RECORDS.get(kind) == record
        and 64 <= node <= _DIRECT
        and depth <= _DEEPEST
        and _inside(root, size)
        and in_root * record < node
        and in_root <= in_all <= size
    )
    return "" if sound else "a tree of attributes is not as libhdf5 makes one"


_CHECKS: Mapping[bytes, Callable[[bytes, int], str]] = {b"FRHP": _fractal_heap, b"BTHD": _b_tree}
