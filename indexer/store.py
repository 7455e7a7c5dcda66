"""The index file: one HDF5 file, written whole, renamed into place, never changed (FORMAT.md).

This and `store_raw.py` are the only modules that import h5py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from indexer.contents import (
    FORMAT,
    FORMAT_VERSION,
    FORMATS_READ,
    ITEM_DTYPES,
    LOG_COLUMNS,
    REJECT_DTYPES,
    STREAM_ROWS,
    BlockHasher,
    Collection,
    Columns,
    Contents,
    EncoderInfo,
    Stamps,
    canonical_json,
    column_digest,
    encode_text,
    root_digest,
    stamps_or_zeros,
)
from indexer.digests import column_digests, digests_of_the_rest
from indexer.errors import ImindexError
from indexer.files import check_room, put_in_place
from indexer.store_raw import Raw

_OVERHEAD = 2**17
"""Bytes of an index beside its tables, vectors and ANN data: an empty one has less than half of it."""
_TEXT = h5py.string_dtype("utf-8")
AnnParts = tuple[Mapping[str, Any], bytes | npt.NDArray[np.uint8]]
"""Attributes and data of /ann."""


class Index:
    """An index file opened for reading. Columns are read when asked for; vectors are mapped in place.

    Use as a context manager. A reader keeps the file it opened, also when a build replaces it meanwhile.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    ImindexError
        No such file, not an index, or an unknown format version.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.exists():
            raise ImindexError(
                f"{self.path} does not exist. Build it with `imindex build SOURCE... -i {self.path}`, "
                "or name another index with -i or $IMINDEX_INDEX."
            )
        try:
            self._file = h5py.File(self.path, "r", locking=False)
        except OSError as error:
            raise ImindexError(
                f"{self.path} cannot be opened as an HDF5 file: {error}. "
                "Name another index with -i, restore it from a copy, or build it anew."
            ) from error
        try:
            self._check_version()
            attributes = self._file.attrs
            self.version = str(attributes["encoding-version"])
            self.n = int(attributes["n"])
            self.root_digest = str(attributes["root-digest"])
            self.created_at = str(attributes["created-at"])
            self.created_by = str(attributes["created-by"])
            self.encoder = _read_encoder(self._file["encoder"].attrs)
            self.artists = tuple(self._text("artists/name"))
            self.collections = tuple(
                Collection(name, kind, json.loads(generator))
                for name, kind, generator in zip(
                    self._text("collections/name"),
                    self._text("collections/kind"),
                    self._text("collections/generator"),
                    strict=True,
                )
            )
            self.vectors = self._map_vectors()
        except (KeyError, ValueError) as error:
            self._file.close()
            raise ImindexError(
                f"{self.path} is damaged: {error}. Restore it from a copy, or build it anew."
            ) from error
        except BaseException:
            self._file.close()
            raise

    def _check_version(self) -> None:
        kind = self._file.attrs.get("encoding-type")
        version = self._file.attrs.get("encoding-version")
        if kind != FORMAT:
            raise ImindexError(
                f"{self.path} is an HDF5 file but not an imindex index. Name another with -i or $IMINDEX_INDEX."
            )
        if version not in FORMATS_READ:
            raise ImindexError(
                f"{self.path} has format version {version}; this imindex reads {' and '.join(FORMATS_READ)}. "
                "Install the imindex that wrote it (attribute created-by), or build a new index."
            )

    def _map_vectors(self) -> npt.NDArray[np.float16]:
        dataset = self._file["vectors"]
        shape = (self.n, self.encoder.dim)
        if dataset.shape != shape or dataset.dtype != np.dtype("<f2"):
            raise ImindexError(
                f"{self.path}: /vectors is {dataset.dtype} {dataset.shape}, expected float16 {shape}. "
                "The file is damaged: restore it from a copy, or build it anew."
            )
        offset = dataset.id.get_offset()
        if not self.n:
            return np.empty(shape, np.float16)
        if offset is None:
            raise ImindexError(f"{self.path}: /vectors is not contiguous. Build the index anew.")
        return _map(self._file, dataset)

    def _text(self, name: str) -> list[str]:
        return [raw.decode("utf-8", "surrogateescape") for raw in self._file[name][:]]

    def column(self, name: str, group: str = "items") -> npt.NDArray[Any]:
        """Return one column of /items (or another group); text as an object array of str."""
        dataset = self._file[f"{group}/{name}"]
        if h5py.check_string_dtype(dataset.dtype):
            return np.array(self._text(f"{group}/{name}"), dtype=object)
        values: npt.NDArray[Any] = dataset[:]
        return values

    def text_at(self, name: str, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return a text column of /items at some rows, in their order; the others are not read."""
        wanted, places = np.unique(rows, return_inverse=True)
        if not len(wanted):
            return []
        raw = self._file[f"items/{name}"][wanted]
        return [raw[place].decode("utf-8", "surrogateescape") for place in places]

    def items(self) -> Columns:
        """Return all columns of /items."""
        return {name: self.column(name) for name in ITEM_DTYPES}

    def rejects(self) -> Columns:
        """Return all columns of /rejects: pictures that could not be read, each with its reason."""
        return {name: self.column(name, "rejects") for name in REJECT_DTYPES}

    def stamps(self) -> tuple[Stamps, Stamps]:
        """Return the stamps of the files of /items and /rejects, (n, 3) int64 each; zeros where unknown."""
        n_rejects = len(self._file["rejects/artist"])
        return self._stamps("stamps/items", self.n), self._stamps("stamps/rejects", n_rejects)

    def _stamps(self, name: str, n: int) -> Stamps:
        dataset = self._file.get(name)
        if dataset is None or dataset.shape != (n, 3) or dataset.dtype != np.dtype("<i8"):
            return stamps_or_zeros(None, n)
        return np.asarray(dataset[:])

    def log(self) -> list[dict[str, str]]:
        """Return the changes made to this index, oldest first."""
        names = list(self._file["log"])
        return [
            dict(zip(names, row, strict=True))
            for row in zip(*(self._text(f"log/{name}") for name in names), strict=True)
        ]

    def ann(self) -> dict[str, Any]:
        """Return the attributes of /ann: the kind of FAISS index and how it was made."""
        return {name: _plain(value) for name, value in self._file["ann"].attrs.items()}

    def ann_data(self) -> npt.NDArray[np.uint8]:
        """Return /ann/data, (bytes,) uint8, mapped in place."""
        dataset = self._file["ann/data"]
        if dataset.dtype != np.uint8 or dataset.ndim != 1 or dataset.id.get_offset() is None:
            raise ImindexError(
                f"{self.path}: /ann/data is not one piece of bytes. Write it anew with `imindex optimize`."
            )
        return _map(self._file, dataset)

    def raw(self) -> Raw:
        """Return the file as it lies on the disk, to be read a block at a time."""
        return Raw(self._file)

    def contents(self) -> Contents:
        """Return everything but the vectors, ready for `write`."""
        item_stamps, reject_stamps = self.stamps()
        return Contents(
            encoder=self.encoder,
            artists=self.artists,
            collections=self.collections,
            items=self.items(),
            rejects=self.rejects(),
            log=self.log(),
            created_at=self.created_at,
            created_by=self.created_by,
            item_stamps=item_stamps,
            reject_stamps=reject_stamps,
        )

    def blocks(self, rows: npt.NDArray[np.intp] | None = None) -> Iterator[npt.NDArray[np.float16]]:
        """Yield the vectors (of the given rows) in blocks."""
        chosen = np.arange(self.n) if rows is None else rows
        for start in range(0, len(chosen), STREAM_ROWS):
            yield np.asarray(self.vectors[chosen[start : start + STREAM_ROWS]])

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def write(
    path: str | os.PathLike[str],
    contents: Contents,
    vectors: Iterable[npt.NDArray[np.float16]],
    *,
    ann: Mapping[str, Any],
    ann_data: bytes | npt.NDArray[np.uint8],
    entry: Mapping[str, str],
    carry: Callable[[npt.NDArray[np.float16]], AnnParts] | None = None,
) -> str:
    """Write an index next to `path` and put it in place with one atomic rename.

    Parameters
    ----------
    path : path-like
        Where the index is to lie. An index already there stays whole until the rename.
    contents : Contents
    vectors : iterable of (b, dim) float16 arrays
        In row order, `contents.n` rows in all, unit norm.
    ann : mapping
        Attributes of /ann.
    ann_data : bytes
        The FAISS index (for the exact kind its header; FORMAT.md).
    entry : mapping of str
        The new line of /log. If it has `digest-after`, the root digest must come to that; else it is filled in here.
    carry : callable, optional
        Is given the vectors of the new file, mapped, and returns what to write instead of `ann` and `ann_data`.

    Returns
    -------
    str
        The root digest, 64 hexadecimal digits.

    Raises
    ------
    ValueError
        The vectors are not `contents.n` rows of `dim` columns.
    ImindexError
        Another root digest than the one that was expected; the old index is untouched.
    OSError
        The disk is full, or the folder cannot be written; the old index is untouched.
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
        group = file.create_group("stamps")
        for name, stamps in zip(("items", "rejects"), contents.stamps(), strict=True):
            group.create_dataset(name, data=stamps.astype("<i8", copy=False))
        if carry is not None:
            file.flush()
            ann, ann_data = carry(_map(file, file["vectors"]))
        group = file.create_group("ann")
        group.attrs.update(ann)
        group.create_dataset("data", data=np.frombuffer(ann_data, np.uint8))
        _write_log(file, [*contents.log, {**entry, "digest-after": root}])
        group = file.create_group("digests")
        group.attrs.update(digests | digests_of_the_rest(Raw(file)))
        group.create_dataset("vectors", data=blocks)
    return root


def _new_file(path: Path, contents: Contents, ann_bytes: int) -> h5py.File:
    tables = [*contents.items.values(), *contents.rejects.values()]
    numbers = sum(values.nbytes for values in tables)
    texts = sum(
        len(encode_text(value)) + 32 for values in tables if values.dtype == object for value in values
    )
    stamps = 24 * (contents.n + len(contents.rejects["artist"]))
    log = sum(len(encode_text(value)) + 32 for line in contents.log for value in line.values())
    vectors = 2 * contents.n * contents.encoder.dim
    check_room(path, vectors + numbers + texts + stamps + log + ann_bytes + _OVERHEAD)
    return h5py.File(path, "w", libver=("v110", "v110"))


def _map(file: h5py.File, dataset: h5py.Dataset) -> npt.NDArray[Any]:
    """A contiguous dataset where it lies in the file. Of no rows there is nothing to map."""
    if not dataset.size:
        return np.empty(dataset.shape, dataset.dtype)
    # By descriptor, not by name: a build may have put another file under the name meanwhile.
    with os.fdopen(os.dup(file.id.get_vfd_handle()), "rb") as same_file:
        return np.memmap(
            same_file, dtype=dataset.dtype, mode="r", offset=dataset.id.get_offset(), shape=dataset.shape
        )


def _write_tables(file: h5py.File, contents: Contents) -> dict[str, str]:
    encoder = file.create_group("encoder")
    for name, value in asdict(contents.encoder).items():
        key = name.replace("_", "-")
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
    for table, its_columns in tables.items():
        group = file.create_group(table)
        for name, values in its_columns.items():
            if values.dtype == object:
                raw = np.array([encode_text(value) for value in values], dtype=object)
                group.create_dataset(name, shape=(len(raw),), dtype=_TEXT, data=raw if len(raw) else None)
            else:
                group.create_dataset(name, data=values)
            digests[f"{table}/{name}"] = column_digest(values)
    return digests


def _write_vectors(
    file: h5py.File, contents: Contents, vectors: Iterable[npt.NDArray[np.float16]]
) -> tuple[str, npt.NDArray[np.uint8]]:
    shape = (contents.n, contents.encoder.dim)
    # Early allocation puts the rows in one piece from the start, so that readers can map them.
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


def recompute_root_digest(index: Index) -> str:
    """Read every column and vector of an open index and return the root digest they have now."""
    hasher = BlockHasher()
    for block in index.raw().blocks("vectors"):
        hasher.update(block)
    return root_digest(index.encoder, {**column_digests(index.raw()), "vectors": hasher.finish()[0]})


def _read_encoder(attributes: h5py.AttributeManager) -> EncoderInfo:
    return EncoderInfo(
        model=str(attributes["model"]),
        pretrained=str(attributes["pretrained"]),
        weights_sha256=str(attributes["weights-sha256"]),
        config=json.loads(attributes["config"]),
        preprocess=json.loads(attributes["preprocess"]),
        dim=int(attributes["dim"]),
        precision=str(attributes["precision"]),
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
