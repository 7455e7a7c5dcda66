"""The table that every target takes its columns from: a row per picture, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.compute as pc

from imindex.indexer.core.bounds import NEIGHBOURS
from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.integrity.original import NoOriginal, read_original
from imindex.indexer.maintain.export import item_table
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_unchanged
from imindex.retrieval.report.thumbnails import webp_of
from imindex.retrieval.search.prepared import Prepared
from imindex.retrieval.vectors.select import artist_mask

if TYPE_CHECKING:
    from pathlib import Path

BATCH = 1024
"""Rows at a time."""


@dataclass(frozen=True)
class Parts:
    """What to export.

    Attributes
    ----------
    vectors, projection, thumbnails : bool
    neighbours : int
        Number of neighbours of each row, among the rows that are exported; 0 for none.
    side : int
        Longer side of thumbnails, in pixels.
    collections, artists : tuple of str
        Only these.
    """

    vectors: bool = True
    projection: bool = True
    thumbnails: bool = True
    neighbours: int = 10
    side: int = 192
    collections: tuple[str, ...] = ()
    artists: tuple[str, ...] = ()


class Table:
    """The rows and columns to export.

    Parameters
    ----------
    index : Index
    parts : Parts
    inside : sequence of Path
        Folders that pictures may be in, besides that of the index and its named roots.
    note : callable
        Called with what is being done.

    Attributes
    ----------
    rows : ndarray, shape (m,), int64
        Rows of the index, in order.
    schema : pyarrow.Schema
    n_without_thumbnail : int
        Pictures that could not be read; counted while batches are made.

    Raises
    ------
    ImindexError
        If the index is damaged, a collection or artist does not exist, or no row is left.
    """

    def __init__(
        self,
        index: Index,
        parts: Parts,
        *,
        inside: Sequence[Path] = (),
        note: Callable[[str], None] = lambda _: None,
    ):
        if parts.neighbours:
            NEIGHBOURS.check(parts.neighbours, "neighbours")
        require_unchanged(index)
        self.index, self.parts, self._inside, self._note = index, parts, tuple(inside), note
        self._items = item_table(index)
        self.rows = self._selected()
        self._xy = self._projection() if parts.projection else None
        self._prepared = Prepared(index) if parts.neighbours else None
        self.n_without_thumbnail = 0
        self.schema = self._schema()

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """Yield the rows, `BATCH` at a time."""
        for start in range(0, len(self.rows), BATCH):
            yield self._batch(self.rows[start : start + BATCH])

    def _selected(self) -> npt.NDArray[np.int64]:
        index, parts = self.index, self.parts
        chosen = np.ones(index.n, np.bool_)
        if parts.collections:
            names = [one.name for one in index.collections]
            unknown = [name for name in parts.collections if name not in names]
            if unknown:
                known = ", ".join(dict.fromkeys(names))
                raise ImindexError(f"{index.path} has no collection {unknown[0]}. It has {known}.")
            wanted = np.array([name in parts.collections for name in names], np.bool_)
            chosen &= wanted[index.column("collection")]
        if parts.artists:
            chosen &= artist_mask(index, parts.artists)
        rows = np.flatnonzero(chosen)
        if not len(rows):
            raise ImindexError(f"{index.path} has no pictures of this choice. Drop --collection or --artist.")
        return rows

    def _projection(self) -> npt.NDArray[np.float32]:
        from imindex.retrieval.projection.stored import projection

        return projection(self.index, note=lambda what: self._note(f"map: {what}")).xy

    def _schema(self) -> pyarrow.Schema:
        fields = list(self._items.schema)
        if self._xy is not None:
            fields += [pyarrow.field("x", pyarrow.float32()), pyarrow.field("y", pyarrow.float32())]
        if self._prepared is not None:
            pair = pyarrow.struct([
                ("ids", pyarrow.list_(pyarrow.int64())), ("distances", pyarrow.list_(pyarrow.float32())),
            ])  # fmt: skip
            fields.append(pyarrow.field("neighbors", pair))
        if self.parts.thumbnails:
            fields.append(
                pyarrow.field(
                    "image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
                )
            )
        if self.parts.vectors:
            fields.append(pyarrow.field("vector", pyarrow.list_(pyarrow.float32())))
        about = {"imindex.root": self.index.root_digest, "imindex.encoder": self.index.encoder.name()}
        return pyarrow.schema(fields, metadata=about)

    def _batch(self, rows: npt.NDArray[np.int64]) -> pyarrow.RecordBatch:
        items = self._items.take(pyarrow.array(rows)).combine_chunks()
        columns = [items.column(name) for name in items.column_names]
        columns = [one.combine_chunks() if isinstance(one, pyarrow.ChunkedArray) else one for one in columns]
        vectors = np.asarray(self.index.vectors[rows])
        if self._xy is not None:
            columns += [pyarrow.array(self._xy[rows, axis]) for axis in range(2)]
        if self._prepared is not None:
            columns.append(self._neighbours(rows, vectors))
        if self.parts.thumbnails:
            columns.append(self._thumbnails(rows))
        if self.parts.vectors:
            flat = pyarrow.array(vectors.astype(np.float32).ravel())
            starts = pyarrow.array(np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32))
            columns.append(pyarrow.ListArray.from_arrays(starts, flat))
        return pyarrow.RecordBatch.from_arrays(columns, schema=self.schema)

    def _neighbours(
        self, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float16]
    ) -> pyarrow.StructArray:
        """Return the nearest exported rows of each row, without itself; ids count the exported rows, from 0."""
        from imindex.retrieval.search.nearest import nearest

        assert self._prepared is not None
        among = np.zeros(self.index.n, np.bool_)
        among[self.rows] = True
        k = min(self.parts.neighbours + 1, len(self.rows))
        found = nearest(self._prepared.exact_searcher(), self.index.vectors, vectors, k=k, among=among)
        own = found.rows == rows[:, None]
        own[~own.any(axis=1), -1] = True  # more than k copies of one picture
        ids = np.searchsorted(self.rows, found.rows[~own].reshape(len(rows), k - 1))
        distances = (1 - found.scores[~own].reshape(len(rows), k - 1)).astype(np.float32)
        offsets = pyarrow.array(np.arange(0, ids.size + 1, max(k - 1, 1), dtype=np.int32)[: len(rows) + 1])
        if k == 1:
            offsets = pyarrow.array(np.zeros(len(rows) + 1, np.int32))
        return pyarrow.StructArray.from_arrays(
            [
                pyarrow.ListArray.from_arrays(offsets, pyarrow.array(ids.ravel().astype(np.int64))),
                pyarrow.ListArray.from_arrays(offsets, pyarrow.array(np.maximum(distances, 0).ravel())),
            ],
            ["ids", "distances"],
        )

    def _thumbnails(self, rows: npt.NDArray[np.int64]) -> pyarrow.Array:
        made: list[dict[str, object] | None] = []
        paths = self.index.text_at("path", rows)
        for row, path in zip(rows.tolist(), paths, strict=True):
            data = self.thumbnail(row)
            made.append(None if data is None else {"bytes": data, "path": path})
            self.n_without_thumbnail += data is None
        return pyarrow.array(made, self.schema.field("image").type)

    def thumbnail(self, row: int) -> bytes | None:
        """Return the thumbnail of a row as WebP; None if its file is not there, or not what was indexed."""
        try:
            return webp_of(read_original(self.index, row, self._inside), self.parts.side)
        except (NoOriginal, BadPicture, ValueError, OSError):
            return None


def without_lists(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Return a batch whose lists and structs are JSON texts, for formats that have none. Pictures are left out."""
    from imindex.indexer.core.json_text import json_text

    names = [name for name in batch.schema.names if name != "image"]
    columns = []
    for name in names:
        column = batch.column(name)
        if pyarrow.types.is_nested(column.type):
            column = pyarrow.array([json_text(value) for value in column.to_pylist()], pyarrow.string())
        columns.append(column)
    return pyarrow.RecordBatch.from_arrays(columns, names)


def safe_texts(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Return a batch for spreadsheets: a text that begins like a formula gets an apostrophe."""
    from imindex.indexer.core.spreadsheet import csv_cell

    columns = [
        pyarrow.array([csv_cell(value) for value in column.to_pylist()], pyarrow.string())
        if pyarrow.types.is_string(column.type)
        else pc.cast(column, column.type)
        for column in batch.columns
    ]
    return pyarrow.RecordBatch.from_arrays(columns, batch.schema.names)
