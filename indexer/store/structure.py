"""Is a file from a stranger built as FORMAT.md says? Asked of its metadata, before anything is mapped or read in bulk.

What lies beside the named groups, columns and attributes is not looked at.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t

from imindex.indexer.core.schema import FORMAT_VERSION, ITEM_DTYPES, KINDS, LOG_COLUMNS, REJECT_DTYPES
from imindex.indexer.store.guard import DESCRIPTOR, LONGEST_TEXT, Damage, GuardedFile

MOST_DIM = 1 << 16
MOST_ROWS = 2**31 - 1
_MOST_ATTRIBUTES = 256
_DEEPEST = 64
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBERS = {
    "<i4": (h5t.STD_I32LE, 4),
    "<i8": (h5t.STD_I64LE, 8),
    "u1": (h5t.STD_U8LE, 1),
    "<f2": (h5t.IEEE_F16LE, 2),
}
_TEXT = "text"
_SINGLE = {"vectors": "<f2", "ann/data": "u1", "digests/vectors": "u1"}
Attribute = str | int | float | bool


@dataclass(frozen=True)
class Counts:
    """Rows of the tables of a file."""

    artists: int
    collections: int
    items: int
    rejects: int


def log_columns(version: str) -> tuple[str, ...]:
    """The columns of /log in a format."""
    return tuple(name for name in LOG_COLUMNS if name != "who" or version != "1.0")


def dtype_of(name: str) -> str:
    """What a dataset must hold: `text`, or a NumPy dtype.

    Raises
    ------
    Damage
        No index has a dataset of that name.
    """
    group, _, column = name.rpartition("/")
    if name in _SINGLE:
        return _SINGLE[name]
    if group in ("artists", "collections", "log"):
        return _TEXT
    if group == "stamps":
        return "<i8"
    found = {"items": ITEM_DTYPES, "rejects": REJECT_DTYPES}.get(group, {}).get(column)
    if found is None:
        raise Damage(f"/{name} is nothing that an index has")
    return _TEXT if found is object else str(found)


def check_structure(
    file: h5py.File, guard: GuardedFile, n: int, dim: int, *, version: str = FORMAT_VERSION
) -> Counts:
    """Refuse a file whose groups and columns are not those of the format.

    Parameters
    ----------
    file : h5py.File
    guard : GuardedFile
    n, dim : int
        Rows and numbers of a vector, as its attributes say.
    version : str
        Of the format.

    Raises
    ------
    Damage
        Naming what is wrong.
    """
    if not 0 <= n <= MOST_ROWS or not 1 <= dim <= MOST_DIM:
        raise Damage(f"it says to have {n:,} rows of {dim:,} numbers")
    root = file.id

    def table(name: str, columns: Mapping[str, Any], rows: int | None = None) -> int:
        group = member_group(root, name)
        for column, dtype in columns.items():
            key = f"{name}/{column}"
            width = (32,) if column == "sha256" else ()
            shape = check_dataset(group, column, _TEXT if dtype is object else dtype, guard, key)
            rows = shape[0] if rows is None and shape else rows
            if shape != (rows, *width):
                raise Damage(f"/{key} has the shape {shape}, where {(rows, *width)} was expected")
        return rows or 0

    counts = Counts(
        artists=table("artists", {"name": object}),
        collections=table("collections", dict.fromkeys(("name", "kind", "generator"), object)),
        items=table("items", ITEM_DTYPES, n),
        rejects=table("rejects", REJECT_DTYPES),
    )
    table("log", dict.fromkeys(log_columns(version), object))
    shape = check_dataset(root, "vectors", "<f2", guard, "vectors")
    if shape != (n, dim):
        raise Damage(f"/vectors has the shape {shape}, where {(n, dim)} was expected")
    shape = check_dataset(member_group(root, "ann"), "data", "u1", guard, "ann/data")
    if len(shape) != 1:
        raise Damage(f"/ann/data has {len(shape)} dimensions")
    return counts


def member_group(group: h5g.GroupID, name: str) -> h5g.GroupID:
    """Open a group inside another, by a hard link."""
    found = _member(group, name, name)
    if not isinstance(found, h5g.GroupID):
        raise Damage(f"/{name} is not a group")
    return found


def names_in(root: h5g.GroupID, name: str) -> list[str]:
    """What a group holds; nothing if it is not there."""
    if name.encode() not in root:
        return []
    return [raw.decode("utf-8", "backslashreplace") for raw in member_group(root, name)]


def _member(group: h5g.GroupID, name: str, key: str) -> Any:
    raw = name.encode()
    if raw not in group:
        raise Damage(f"/{key} is missing")
    kind = group.links.get_info(raw).type
    if kind != h5l.TYPE_HARD:
        said = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}.get(kind, "a link")
        raise Damage(f"/{key} is {said}, and not in the file itself")
    return h5o.open(group, raw)


def check_dataset(group: h5g.GroupID, name: str, dtype: str, guard: GuardedFile, key: str) -> tuple[int, ...]:
    """Refuse what is not one plain piece of the file; return its shape."""
    dataset = _member(group, name, key)
    if not isinstance(dataset, h5d.DatasetID):
        raise Damage(f"/{key} is not a dataset")
    how = dataset.get_create_plist()
    if how.get_layout() == h5d.VIRTUAL:
        raise Damage(f"/{key} is a virtual dataset, made of others")
    if how.get_external_count():
        raise Damage(f"/{key} lies in another file")
    if how.get_nfilters():
        raise Damage(f"/{key} goes through a filter (compression or the like)")
    if how.get_layout() != h5d.CONTIGUOUS:
        raise Damage(f"/{key} is not contiguous")
    kind = dataset.get_type()
    if dtype == _TEXT:
        itemsize, right = DESCRIPTOR.itemsize, _is_text(kind)
    else:
        expected, itemsize = _NUMBERS[dtype]
        right = not kind.committed() and bool(kind.equal(expected))
    if not right:
        raise Damage(f"/{key} does not hold {'text' if dtype == _TEXT else np.dtype(dtype).name}")
    space = dataset.get_space()
    if space.get_simple_extent_type() != h5s.SIMPLE:
        raise Damage(f"/{key} is not an array")
    shape = tuple(int(length) for length in space.get_simple_extent_dims())
    wanted = math.prod(shape) * itemsize
    if wanted:
        offset, stored = dataset.get_offset(), dataset.get_storage_size()
        if offset is None or stored != wanted or not 0 < offset <= guard.size - wanted:
            raise Damage(
                f"/{key} of {shape} takes {wanted:,} bytes, which the file of {guard.size:,} bytes does not hold"
            )
    return shape


def _is_text(kind: h5t.TypeID) -> bool:
    return (
        isinstance(kind, h5t.TypeStringID)
        and bool(kind.is_variable_str())
        and kind.get_cset() == h5t.CSET_UTF8
        and not kind.committed()
    )


def read_attributes(group: h5g.GroupID, guard: GuardedFile, key: str) -> dict[str, Attribute]:
    """Return the plain attributes of a group: single texts, numbers and truth values. Others are not looked at.

    Raises
    ------
    Damage
        There are very many, or a text is not where it is said to lie.
    """
    if h5a.get_num_attrs(group) > _MOST_ATTRIBUTES:
        raise Damage(f"/{key} has more than {_MOST_ATTRIBUTES} attributes")
    names: list[bytes] = []
    h5a.iterate(group, lambda name, *_: names.append(name))
    found: dict[str, Attribute] = {}
    value: Any
    for raw in names:
        attribute = h5a.open(group, raw)
        kind, space = attribute.get_type(), attribute.get_space()
        if space.get_simple_extent_type() != h5s.SCALAR or kind.committed():
            continue
        name = raw.decode("utf-8", "backslashreplace")
        if _is_text(kind):
            _check_text_of(guard, raw, f"{key}/{name}" if key else name)
            value = np.empty((), attribute.dtype)
            attribute.read(value)
            text = value[()]
            found[name] = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
        elif isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID)) and kind.get_size() <= 8:
            value = np.empty((), kind.dtype)
            attribute.read(value)
            found[name] = value.item()
        elif isinstance(kind, h5t.TypeEnumID) and kind.get_size() == 1 and kind.dtype == np.bool_:
            value = np.empty((), np.bool_)
            attribute.read(value)
            found[name] = bool(value)
    return found


def _check_text_of(guard: GuardedFile, name: bytes, key: str) -> None:
    """Before libhdf5 follows the text of an attribute: every message of that name refers to a sound text.

    libhdf5 does not tell where a text lies, but the messages it has read are among the guard's blocks: a header, the
    name, its type and shape, and last length, place and number.
    """
    marked = name + b"\0"
    seen = False
    for block in guard.blocks.values():
        at = block.find(marked)
        while at >= 0:
            for version, header in ((3, 9), (2, 8), (1, 8)):
                if at < header or block[at - header] != version:  # part of something else
                    continue
                sizes = [int.from_bytes(block[at - header + 2 + 2 * i :][:2], "little") for i in range(3)]
                if sizes[0] != len(marked):
                    continue
                place = at + sum(-(-size // 8) * 8 if version == 1 else size for size in sizes)
                if place + 16 <= len(block):
                    seen = True
                    _check_descriptor(guard, block[place : place + 16], key)
            at = block.find(marked, at + 1)
    if not seen:
        raise Damage(f"the attribute {key} is not written as imindex writes it")


def _check_descriptor(guard: GuardedFile, raw: bytes, key: str) -> None:
    one = np.frombuffer(raw, DESCRIPTOR)[0]
    length, place, number = int(one["length"]), int(one["address"]), int(one["number"])
    if length > LONGEST_TEXT:
        raise Damage(f"the attribute {key} is said to hold {length:,} bytes")
    if (length or place or number) and guard.heap(place)[1].get(number, (0, -1))[1] != length:
        raise Damage(f"the attribute {key} is not where it is said to lie")


def json_object(text: Any, what: str) -> dict[str, Any]:
    """Read a JSON object from a file, not too deep.

    Raises
    ------
    Damage
    """
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise Damage(f"{what} is not a text")
    depth = deepest = 0
    for c in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (c in "[{") - (c in "]}")
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        raise Damage(f"{what} is nested {deepest} deep")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damage(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Damage(f"{what} is not a JSON object")
    return value


def text_of(attributes: Mapping[str, Attribute], name: str, *, digest: bool = False) -> str:
    """An attribute that must be a text."""
    value = attributes.get(name)
    if not isinstance(value, str):
        raise Damage(f"the attribute {name} is {'missing' if value is None else 'not a text'}")
    if digest and not _DIGEST.fullmatch(value):
        raise Damage(f"the attribute {name} is not a SHA-256 in hexadecimal digits")
    return value


def number_of(attributes: Mapping[str, Attribute], name: str) -> int:
    """An attribute that must be a whole number."""
    value = attributes.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Damage(f"the attribute {name} is {'missing' if value is None else 'not a whole number'}")
    return value


def check_kind(kind: str) -> str:
    """The kind of a collection."""
    if kind not in KINDS:
        raise Damage(f"a collection is of the kind {kind[:40]!r}, which is none of {', '.join(KINDS)}")
    return kind


def check_range(values: Any, first: int, end: int, key: str) -> None:
    """Refuse numbers of artists and collections that there are not."""
    if len(values) and not (values.min() >= first and values.max() < end):
        raise Damage(f"/{key} holds numbers from {values.min()} to {values.max()}, of {end}")
