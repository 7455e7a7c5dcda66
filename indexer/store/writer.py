"""Write a new index file next to the old one, and rename it into place (FORMAT.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import h5py
import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import (
    STREAM_ROWS,
    BlockHasher,
    ColumnHasher,
    canonical_json,
    column_digest,
    encode_text,
)
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.paths import split_rooted
from imindex.indexer.core.schema import (
    FORMAT,
    FORMAT_VERSION,
    LOG_COLUMNS,
    OPTIONAL_ENCODER,
    Columns,
    Contents,
    is_left_out,
    root_digest,
)
from imindex.indexer.store.digests import digests_of_the_rest
from imindex.indexer.store.guard import mapped
from imindex.indexer.store.raw import Written
from imindex.indexer.store.working_copy import publish
from imindex.indexer.system.atomic import check_room, path_of_open_file, put_in_place

_OVERHEAD = 2**17
"""Bytes reserved for an index besides tables, vectors and ANN data; an empty index takes less than half of them."""
_TEXT = h5py.string_dtype("utf-8")
AnnParts = tuple[Mapping[str, Any], bytes | npt.NDArray[np.uint8]]
"""Attributes and data of /ann."""
AnnFactory = Callable[[npt.NDArray[np.float16]], AnnParts]
"""Takes the vectors of the new file, mapped, and returns its /ann."""


class AnnArguments(TypedDict):
    """The arguments of `write` that make /ann."""

    ann: Mapping[str, Any]
    ann_data: bytes | npt.NDArray[np.uint8]
    carry: AnnFactory | None


def write(
    path: str | os.PathLike[str],
    contents: Contents,
    vectors: Iterable[npt.NDArray[np.float16]],
    *,
    ann: Mapping[str, Any],
    ann_data: bytes | npt.NDArray[np.uint8],
    entry: Mapping[str, str],
    carry: AnnFactory | None = None,
) -> str:
    """Write an index next to `path` and put it in place with one atomic rename.

    At the path of a working copy (`imindex.indexer.store.working_copy`), it then replaces the object.

    Parameters
    ----------
    path : path-like
        The path of the index. An existing index stays intact until the rename.
    contents : Contents
    vectors : iterable of (b, dim) float16 arrays
        In row order, `contents.n` rows in total, with unit norm.
    ann : mapping
        Attributes of /ann.
    ann_data : bytes
        The serialised FAISS index (for the exact kind, its header; FORMAT.md).
    entry : mapping of str
        The new line of /log. If it has `digest-after`, the root digest must equal it; otherwise it is filled in.
    carry : callable, optional
        Called with the mapped vectors of the new file; returns the values to write instead of `ann` and `ann_data`.

    Returns
    -------
    str
        The root digest, 64 hexadecimal digits.

    Raises
    ------
    ValueError
        If the vectors are not `contents.n` rows of `dim` columns.
    ImindexError
        If the root digest differs from the expected one, or the object of a working copy was changed by another writer.
        The old index is unchanged.
    OSError
        If the disk is full, or the folder is not writable. The old index is unchanged.
    """
    path = Path(path)
    with put_in_place(path) as temporary, _new_file(temporary, contents, len(ann_data)) as file:
        digests = _write_tables(file, contents)
        digests["vectors"], blocks = _write_vectors(file, contents, vectors)
        root = root_digest(contents.encoder, digests)
        if root != entry.get("digest-after", root):
            raise ImindexError(
                f"The new {path} would have the root digest {root}, not {entry['digest-after']}. It was not written: "
                "see `imindex verify`."
            )
        file.attrs.update(
            {
                "encoding-type": FORMAT,
                "encoding-version": FORMAT_VERSION,
                "created-by": contents.created_by,
                "created-at": contents.created_at,
                "n": contents.n,
                "root-digest": root,
            }
        )
        if roots := used_roots(contents):
            file.attrs["roots"] = canonical_json(roots)
        group = file.create_group("stamps")
        for name, stamps in zip(("items", "rejects"), contents.stamps(), strict=True):
            group.create_dataset(name, data=stamps.astype("<i8", copy=False))
        if carry is not None:
            file.flush()
            ann, ann_data = carry(mapped(file.id.get_vfd_handle(), file["vectors"]))
        group = file.create_group("ann")
        group.attrs.update(ann)
        group.create_dataset("data", data=np.frombuffer(ann_data, np.uint8))
        _write_log(file, [*contents.log, {**entry, "digest-after": root}])
        group = file.create_group("digests")
        group.attrs.update(digests | digests_of_the_rest(Written(file)))
        group.create_dataset("vectors", data=blocks)
    publish(path)
    return root


def used_roots(contents: Contents) -> dict[str, str]:
    """Return the named roots that paths of rows or rejects are in."""
    if not contents.roots:
        return {}
    rooted = (split_rooted(path) for table in (contents.items, contents.rejects) for path in table["path"])
    names = {name for name, _ in filter(None, rooted)}
    return {name: folder for name, folder in contents.roots.items() if name in names}


def _new_file(new: BinaryIO, contents: Contents, ann_bytes: int) -> h5py.File:
    tables = [*contents.items.values(), *contents.rejects.values()]
    numbers = sum(values.nbytes for values in tables)
    texts = sum(
        len(encode_text("".join(block))) + 32 * len(block)
        for values in tables
        if values.dtype == object
        for block in (values[start : start + STREAM_ROWS] for start in range(0, len(values), STREAM_ROWS))
    )
    stamps = 24 * (contents.n + len(contents.rejects["artist"]))
    log = sum(len(encode_text(value)) + 32 for line in contents.log for value in line.values())
    vectors = 2 * contents.n * contents.encoder.dim
    check_room(new, vectors + numbers + texts + stamps + log + ann_bytes + _OVERHEAD)
    # No other process knows the file, and the builders' lock protects the index: libhdf5 needs no lock of its own,
    # which some file systems do not have.
    return h5py.File(path_of_open_file(new), "w", libver=("v110", "v110"), locking=False)


def _write_tables(file: h5py.File, contents: Contents) -> dict[str, str]:
    encoder = file.create_group("encoder")
    for name, value in asdict(contents.encoder).items():
        key = name.replace("_", "-")
        if key in OPTIONAL_ENCODER and not value:
            continue
        encoder.attrs[key] = canonical_json(value) if isinstance(value, Mapping) else value
    tables: dict[str, Columns] = {
        "artists": {"name": np.array(contents.artists, dtype=object)},
        "collections": {
            "name": np.array([c.name for c in contents.collections], dtype=object),
            "kind": np.array([c.kind for c in contents.collections], dtype=object),
            "generator": np.array([canonical_json(c.generator) for c in contents.collections], dtype=object),
        },
        "items": contents.items,
        "rejects": contents.rejects,
    }
    digests = {}
    for table, columns in tables.items():
        group = file.create_group(table)
        for name, values in columns.items():
            if is_left_out(table, name, values):
                continue
            if values.dtype == object:
                hasher = ColumnHasher()
                dataset = group.create_dataset(name, shape=(len(values),), dtype=_TEXT)
                for start in range(0, len(values), STREAM_ROWS):
                    block = np.array(
                        list(map(encode_text, values[start : start + STREAM_ROWS])), dtype=object
                    )
                    dataset[start : start + len(block)] = block
                    hasher.update(block)
                digests[f"{table}/{name}"] = hasher.finish()
            else:
                group.create_dataset(name, data=values)
                digests[f"{table}/{name}"] = column_digest(values)
    return digests


def _write_vectors(
    file: h5py.File, contents: Contents, vectors: Iterable[npt.NDArray[np.float16]]
) -> tuple[str, npt.NDArray[np.uint8]]:
    shape = (contents.n, contents.encoder.dim)
    # Early allocation makes the rows contiguous from the start, so that readers can map them.
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.py_create(np.dtype("<f2"), logical=True)
    dataset = h5py.Dataset(h5py.h5d.create(file.id, b"vectors", kind, space, dcpl=properties))
    row = 0
    hasher = BlockHasher()
    for block in vectors:
        if block.dtype != np.float16 or block.ndim != 2 or block.shape[1] != shape[1]:
            raise ValueError(
                f"a block of vectors is {block.dtype} {block.shape}, expected float16 (b, {shape[1]})"
            )
        if row + len(block) > shape[0]:
            raise ValueError(f"more vectors than the {shape[0]} rows")
        if len(block):
            dataset[row : row + len(block)] = block
            hasher.update(block)
        row += len(block)
    if row != shape[0]:
        raise ValueError(f"{row} vectors for {shape[0]} rows")
    return hasher.finish()


def _write_log(file: h5py.File, lines: Sequence[Mapping[str, str]]) -> None:
    group = file.create_group("log")
    for name in LOG_COLUMNS:
        values = np.array([encode_text(line.get(name, "")) for line in lines], dtype=object)
        group.create_dataset(name, shape=(len(lines),), dtype=_TEXT, data=values)
