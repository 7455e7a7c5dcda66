"""Validate the structure of an untrusted index file against FORMAT.md, before anything is mapped or read in bulk.

Only metadata is read. Groups, columns and attributes that the format does not define are ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t

from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.schema import (
    ARMS,
    FORMAT_VERSION,
    ITEM_DTYPES,
    KINDS,
    LOG_COLUMNS,
    OPTIONAL_DTYPES,
    REJECT_DTYPES,
    Attribute,
)
from imindex.indexer.store.guard import DESCRIPTOR, LONGEST_TEXT, Damage, GuardedFile, Rewritten

MAX_DIM = 1 << 16
MAX_ROWS = 2**31 - 1
_MAX_ATTRIBUTES = 256
_MAX_DEPTH = 64
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBERS = {
    "<i4": (h5t.STD_I32LE, 4),
    "<i8": (h5t.STD_I64LE, 8),
    "u1": (h5t.STD_U8LE, 1),
    "<f2": (h5t.IEEE_F16LE, 2),
}
_TEXT = "text"
_OWN_TEXTS = {
    "": ("encoding-type", "encoding-version", "root-digest", "created-at", "created-by"),
    "encoder": ("model", "pretrained", "weights-sha256", "config", "preprocess", "precision"),
    "ann": ("kind", "metric", "faiss-version"),
}
"""Attributes of text, by group, that every index has."""
_SINGLE = {"vectors": "<f2", "ann/data": "u1", "digests/vectors": "u1"}


@dataclass(frozen=True)
class Counts:
    """Numbers of rows of the tables of a file."""

    artists: int
    collections: int
    items: int
    rejects: int


def log_columns(version: str) -> tuple[str, ...]:
    """Return the columns of /log in a format version."""
    return tuple(name for name in LOG_COLUMNS if name != "who" or version != "1.0")


def has_optional(version: str) -> bool:
    """Return whether files of a format version can have optional columns."""
    return version not in ("1.0", "1.1", "1.2")


def optional_names(table: str, version: str) -> frozenset[str]:
    """Return the names of the optional columns that a table can have in a format version."""
    names = frozenset(OPTIONAL_DTYPES.get(table, ()) if has_optional(version) else ())
    return names - {"origin"} if version == "1.3" else names


def optional_columns(root: h5g.GroupID, table: str, version: str) -> Mapping[str, npt.DTypeLike]:
    """Return the optional columns that a table of a file has, with their dtypes."""
    present = optional_names(table, version) & set(names_in(root, table))
    return {name: dtype for name, dtype in OPTIONAL_DTYPES[table].items() if name in present}


def dtype_of(name: str) -> str:
    """Return the required type of a dataset: `text`, or a NumPy dtype.

    Raises
    ------
    Damage
        If the format has no dataset of that name.
    """
    group, _, column = name.rpartition("/")
    if name in _SINGLE:
        return _SINGLE[name]
    if group in ("artists", "collections", "log"):
        return _TEXT
    if group == "stamps":
        return "<i8"
    dtypes = {"items": ITEM_DTYPES, "rejects": REJECT_DTYPES}.get(group, {})
    dtype = {**dtypes, **OPTIONAL_DTYPES.get(group, {})}.get(column)
    if dtype is None:
        raise Damage(f"/{name} is not part of an index")
    return _TEXT if dtype is object else str(dtype)


def check_structure(
    file: h5py.File, guard: GuardedFile, n: int, dim: int, *, version: str = FORMAT_VERSION
) -> Counts:
    """Refuse a file whose groups and columns do not conform to the format.

    Parameters
    ----------
    file : h5py.File
    guard : GuardedFile
    n, dim : int
        Numbers of rows and of dimensions, according to the attributes of the file.
    version : str
        Format version.

    Raises
    ------
    Damage
        With a description of the problem.
    """
    if not 0 <= n <= MAX_ROWS or not 1 <= dim <= MAX_DIM:
        raise Damage(f"it claims to have {n:,} rows of {dim:,} numbers")
    root = file.id

    def table(name: str, columns: Mapping[str, Any], rows: int | None = None) -> int:
        group = member_group(root, name)
        for column, dtype in columns.items():
            key = f"{name}/{column}"
            width = (32,) if column == "sha256" else ()
            shape = check_dataset(group, column, _TEXT if dtype is object else dtype, guard, key)
            rows = shape[0] if rows is None and shape else rows
            if shape != (rows, *width):
                raise Damage(f"/{key} has the shape {shape}, not {(rows, *width)}")
        return rows or 0

    counts = Counts(
        artists=table("artists", {"name": object}),
        collections=table("collections", dict.fromkeys(("name", "kind", "generator"), object)),
        items=table("items", {**ITEM_DTYPES, **optional_columns(root, "items", version)}, n),
        rejects=table("rejects", {**REJECT_DTYPES, **optional_columns(root, "rejects", version)}),
    )
    table("log", dict.fromkeys(log_columns(version), object))
    shape = check_dataset(root, "vectors", "<f2", guard, "vectors")
    if shape != (n, dim):
        raise Damage(f"/vectors has the shape {shape}, not {(n, dim)}")
    shape = check_dataset(member_group(root, "ann"), "data", "u1", guard, "ann/data")
    if len(shape) != 1:
        raise Damage(f"/ann/data has {len(shape)} dimensions")
    return counts


def member_group(group: h5g.GroupID, name: str) -> h5g.GroupID:
    """Open a group inside another group, through a hard link."""
    member = _member(group, name, name)
    if not isinstance(member, h5g.GroupID):
        raise Damage(f"/{name} is not a group")
    return member


def names_in(root: h5g.GroupID, name: str) -> list[str]:
    """Return the names in a group; empty if the group does not exist."""
    if name.encode() not in root:
        return []
    return [raw.decode("utf-8", "backslashreplace") for raw in member_group(root, name)]


def _member(group: h5g.GroupID, name: str, key: str) -> Any:
    raw = name.encode()
    if raw not in group:
        raise Damage(f"/{key} is missing")
    kind = group.links.get_info(raw).type
    if kind != h5l.TYPE_HARD:
        link = {h5l.TYPE_SOFT: "a soft link", h5l.TYPE_EXTERNAL: "a link to another file"}.get(kind, "a link")
        raise Damage(f"/{key} is {link}, not part of the file itself")
    return h5o.open(group, raw)


def check_dataset(group: h5g.GroupID, name: str, dtype: str, guard: GuardedFile, key: str) -> tuple[int, ...]:
    """Refuse a dataset that is not one contiguous piece of the file; return its shape."""
    dataset = _member(group, name, key)
    if not isinstance(dataset, h5d.DatasetID):
        raise Damage(f"/{key} is not a dataset")
    properties = dataset.get_create_plist()
    if properties.get_layout() == h5d.VIRTUAL:
        raise Damage(f"/{key} is a virtual dataset, composed of others")
    if properties.get_external_count():
        raise Damage(f"/{key} is stored in another file")
    if properties.get_nfilters():
        raise Rewritten(f"/{key} uses a filter, such as compression", by_layout=True)
    if properties.get_layout() != h5d.CONTIGUOUS:
        raise Rewritten(f"/{key} is not contiguous", by_layout=True)
    kind = dataset.get_type()
    if dtype == _TEXT:
        itemsize, type_matches = DESCRIPTOR.itemsize, _is_text(kind)
    else:
        expected, itemsize = _NUMBERS[dtype]
        type_matches = not kind.committed() and bool(kind.equal(expected))
    if not type_matches:
        fault = f"/{key} does not hold {'text' if dtype == _TEXT else np.dtype(dtype).name}"
        if isinstance(kind, h5t.TypeStringID if dtype == _TEXT else (h5t.TypeIntegerID, h5t.TypeFloatID)):
            raise Rewritten(f"{fault} as imindex writes it")
        raise Damage(fault)
    space = dataset.get_space()
    if space.get_simple_extent_type() != h5s.SIMPLE:
        raise Damage(f"/{key} is not an array")
    shape = tuple(int(length) for length in space.get_simple_extent_dims())
    size = math.prod(shape) * itemsize
    if size:
        offset, stored = dataset.get_offset(), dataset.get_storage_size()
        if offset is None or stored != size or not 0 < offset <= guard.size - size:
            raise Damage(
                f"/{key} of {shape} takes {size:,} bytes, which the file of {guard.size:,} bytes does not hold"
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
    """Return the scalar attributes of a group: texts, numbers and booleans. Other attributes are ignored.

    Raises
    ------
    Damage
        If there are too many attributes, or a text is not where its descriptor says.
    """
    if h5a.get_num_attrs(group) > _MAX_ATTRIBUTES:
        raise Damage(f"/{key} has more than {_MAX_ATTRIBUTES} attributes")
    names: list[bytes] = []
    h5a.iterate(group, lambda name, *_: names.append(name))
    values: dict[str, Attribute] = {}
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
            values[name] = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
        elif isinstance(kind, h5t.TypeStringID) and name in _OWN_TEXTS.get(key, ()):
            raise Rewritten(f"the attribute {key}/{name} is text of another kind (such as of fixed length)")
        elif isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID)) and kind.get_size() <= 8:
            value = np.empty((), kind.dtype)
            attribute.read(value)
            values[name] = value.item()
        elif isinstance(kind, h5t.TypeEnumID) and kind.get_size() == 1 and kind.dtype == np.bool_:
            value = np.empty((), np.bool_)
            attribute.read(value)
            values[name] = bool(value)
    return values


def _check_text_of(guard: GuardedFile, name: bytes, key: str) -> None:
    """Check that every message of an attribute refers to a valid text, before libhdf5 follows the reference.

    libhdf5 does not report where a text is stored, but the messages it has read are among the guard's blocks. A message
    consists of a header, the name, type and shape, and finally the length, address and number of the text.
    """
    terminated = name + b"\0"
    checked = False
    for block in _joined(guard.blocks):
        start = block.find(terminated)
        while start >= 0:
            for version, header in ((3, 9), (2, 8), (1, 8)):
                if start < header or block[start - header] != version:  # not an attribute message
                    continue
                sizes = [int.from_bytes(block[start - header + 2 + 2 * i :][:2], "little") for i in range(3)]
                if sizes[0] != len(terminated):
                    continue
                end = start + sum(-(-size // 8) * 8 if version == 1 else size for size in sizes)
                if end + 16 <= len(block):
                    checked = True
                    _check_descriptor(guard, block[end : end + 16], key)
            start = block.find(terminated, start + 1)
    if not checked:
        raise Damage(f"the attribute {key} is not stored the way imindex stores it")


def _joined(blocks: Mapping[int, bytes]) -> Iterator[bytes]:
    """Yield the blocks, those that touch as one: libhdf5 reads a long header in two pieces, through any attribute."""
    run, end = b"", -1
    for address, block in sorted(blocks.items()):
        if address > end or end < 0:
            if run:
                yield run
            run = block
        else:
            run += block[max(0, end - address) :]
        end = max(end, address + len(block))
    if run:
        yield run


def _check_descriptor(guard: GuardedFile, raw: bytes, key: str) -> None:
    descriptor = np.frombuffer(raw, DESCRIPTOR)[0]
    length, address, number = (int(descriptor[field]) for field in ("length", "address", "number"))
    if length > LONGEST_TEXT:
        raise Damage(f"the attribute {key} claims to hold {length:,} bytes")
    if (length or address or number) and guard.heap(address)[1].get(number, (0, -1))[1] != length:
        raise Damage(f"the attribute {key} is not where its descriptor says")


def json_object(text: Any, what: str) -> dict[str, Any]:
    """Parse a JSON object from a file, with limits on its size and depth.

    Raises
    ------
    Damage
        If it is not a JSON object, or exceeds a limit.
    """
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise Damage(f"{what} is not text, or is too long")
    depth = deepest = 0
    for c in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (c in "[{") - (c in "]}")
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH:
        raise Damage(f"{what} is nested {deepest} levels deep")
    try:
        value = parse_json(text, finite=True)
    except ValueError as error:
        raise Damage(f"{what} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Damage(f"{what} is not a JSON object")
    return value


def text_of(attributes: Mapping[str, Attribute], name: str, *, digest: bool = False) -> str:
    """Return an attribute that must be text."""
    value = attributes.get(name)
    if not isinstance(value, str):
        raise Damage(f"the attribute {name} is {'missing' if value is None else 'not text'}")
    if digest and not _DIGEST.fullmatch(value):
        raise Damage(f"the attribute {name} is not a hexadecimal SHA-256")
    return value


def number_of(attributes: Mapping[str, Attribute], name: str) -> int:
    """Return an attribute that must be an integer."""
    value = attributes.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Damage(f"the attribute {name} is {'missing' if value is None else 'not an integer'}")
    return value


def check_kind(kind: str) -> str:
    """Return the kind of a collection, if it is valid."""
    if kind not in KINDS:
        raise Damage(f"a collection is of the kind {kind[:40]!r}, which is not one of {', '.join(KINDS)}")
    return kind


def check_arms(values: Iterable[str], key: str) -> None:
    """Refuse arms that the format does not have."""
    unknown = set(values) - {"", *ARMS}
    if unknown:
        raise Damage(f"/{key} holds {min(unknown)[:40]!r}, which is not one of {', '.join(ARMS)}")


def check_range(values: Any, first: int, end: int, key: str) -> None:
    """Refuse numbers of artists or collections that are out of range."""
    if len(values) and not (values.min() >= first and values.max() < end):
        raise Damage(f"/{key} holds numbers from {values.min()} to {values.max()}, but there are only {end}")
