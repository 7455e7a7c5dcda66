"""Compute the digests of the content of an index file block by block (FORMAT.md, "Digests")."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import ColumnHasher, json_digest
from imindex.indexer.core.schema import ITEM_DTYPES, OPTIONAL_DTYPES, REJECT_DTYPES, Attribute
from imindex.indexer.store.structure import optional_names

COLUMNS = (
    "artists/name",
    *(f"collections/{name}" for name in ("name", "kind", "generator")),
    *(f"items/{name}" for name in ITEM_DTYPES),
    *(f"rejects/{name}" for name in REJECT_DTYPES),
)
"""The columns of every index, which the root digest covers in addition to the encoder and the vectors."""


class Source(Protocol):
    """A file whose parts are read by name: `imindex.indexer.store.raw.Raw` or `Written`."""

    def names(self, group: str) -> list[str]: ...

    def attributes(self, group: str) -> dict[str, Attribute]: ...

    def blocks(self, name: str) -> Iterator[npt.NDArray[Any]]: ...


def digest_of(source: Source, name: str) -> str:
    """Return the digest of one column."""
    hasher = ColumnHasher()
    for block in source.blocks(name):
        hasher.update(block)
    return hasher.finish()


def covered_columns(source: Source) -> tuple[str, ...]:
    """Return the names of all columns covered by the root digest: `COLUMNS`, and the optional ones that there are."""
    version = str(source.attributes("/").get("encoding-version"))
    optional = (
        f"{table}/{name}"
        for table in OPTIONAL_DTYPES
        for name in sorted(optional_names(table, version) & set(source.names(table)))
    )
    return (*COLUMNS, *optional)


def column_digests(source: Source) -> dict[str, str]:
    """Return the digests of all columns covered by the root digest, by name."""
    return {name: digest_of(source, name) for name in covered_columns(source)}


def tagged(value: Any) -> list[Any]:
    """Return the value of an attribute with its type, so that values of different types never give the same JSON.

    Raises
    ------
    ValueError
        If no attribute of an index has this type.
    """
    if isinstance(value, (bool, np.bool_)):
        return ["boolean", bool(value)]
    if isinstance(value, (int, np.integer)):
        return ["integer", int(value)]
    if isinstance(value, (float, np.floating)):
        return ["number", struct.pack(">d", float(value)).hex()]
    if isinstance(value, str):
        return ["text", value]
    raise ValueError(f"an attribute is a {type(value).__name__}")


def _attributes(source: Source, group: str, without: str = "") -> dict[str, list[Any]]:
    return {name: tagged(value) for name, value in source.attributes(group).items() if name != without}


def _of_attributes(source: Source) -> str:
    groups: Mapping[str, Any] = {
        "/": _attributes(source, "/", without="root-digest"),
        "/encoder": _attributes(source, "encoder"),
    }
    return json_digest(groups)


def _of_ann(source: Source) -> str:
    data = hashlib.sha256()
    for block in source.blocks("ann/data"):
        data.update(block.tobytes())
    return json_digest({"attributes": _attributes(source, "ann"), "data": data.hexdigest()})


def _of_columns(group: str) -> Callable[[Source], str]:
    return lambda source: json_digest(
        {name: digest_of(source, f"{group}/{name}") for name in source.names(group)}
    )


THE_REST: Mapping[str, Callable[[Source], str]] = {
    "attributes": _of_attributes,
    "ann": _of_ann,
    "stamps": _of_columns("stamps"),
    "log": _of_columns("log"),
}
"""The parts not covered by the root digest, with the function that computes the digest of each."""


def stored_digests(source: Source) -> dict[str, str]:
    """Return the digests that the file itself contains, by name."""
    return {name: str(value) for name, value in source.attributes("digests").items()}


def covered(version: str, stored: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in `THE_REST` that have a digest: all of them, except in a file of format 1.0."""
    return tuple(name for name in THE_REST if version != "1.0" or name in stored)


def difference(stored: Mapping[str, str], name: str, digest: str) -> str:
    """Compare a digest with the stored one.

    Returns
    -------
    str
        What is wrong, to follow the name in a sentence; empty if they are equal.
    """
    if name not in stored:
        return "has no digest in the file"
    if stored[name] != digest:
        return f"has changed since it was written: digest {digest[:12]}, not {stored[name][:12]}"
    return ""


def digests_of_the_rest(source: Source) -> dict[str, str]:
    """Return the digests of `THE_REST`, by name."""
    return {name: compute(source) for name, compute in THE_REST.items()}
