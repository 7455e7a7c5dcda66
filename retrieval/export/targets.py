"""Write the table for a target."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text
from imindex.indexer.system.atomic import make_folder, put_folder_in_place, put_in_place, write_file
from imindex.retrieval.export.table import Table, safe_texts, without_lists

Target = Literal["parquet", "embedding-atlas", "fiftyone", "csv", "lance"]
TARGETS: tuple[Target, ...] = get_args(Target)
Progress = Callable[[int], None]
_FOLDERS = {
    "fiftyone": ("data", "labels.json", "fields.parquet", "vectors.npy"),
    "lance": ("data", "_versions", "_transactions", "_indices", "_deletions"),
}
"""What an export that is a folder may hold."""
_GROUP = 8192
"""Rows per row group of a Parquet file."""


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes
    ----------
    index : str, or tuple of str
    rows : int
    n_without_thumbnail : int
    files : tuple of Path
    """

    index: str | tuple[str, ...]
    rows: int
    n_without_thumbnail: int
    files: tuple[Path, ...]


def write_target(
    table: Table, target: Target, out: Path, *, force: bool = False, progress: Progress = lambda _: None
) -> list[Path]:
    """Write a table for a target.

    Parameters
    ----------
    table : Table
    target : str
        One of `TARGETS`.
    out : Path
        A file; for ``fiftyone`` and ``lance`` a folder.
    force : bool
        Replace what is there.
    progress : callable
        Called with the number of rows written since the last call.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ImindexError
        If something is there already, or a package is missing.
    """
    if out.exists() and not force:
        raise ImindexError(f"{out} is there already. Pass --force to replace it, or name another place.")
    if out.is_dir() and target not in ("fiftyone", "lance"):
        raise ImindexError(f"{out} is a folder, and {target} is one file. Name a file.")
    write, known = _WRITERS[target], _FOLDERS.get(target)
    if known is None:
        return write(table, out, progress)
    # Rows that were removed since the last export must not stay in its folder.
    with put_folder_in_place(out, known) as new:
        return [out / path.relative_to(new) for path in write(table, new, progress)]


def _parquet(table: Table, out: Path, progress: Progress) -> list[Path]:
    import pyarrow.parquet

    with (
        put_in_place(out) as file,
        pyarrow.parquet.ParquetWriter(file, table.schema, compression="zstd") as writer,
    ):
        held: list[pyarrow.RecordBatch] = []
        for batch in table.batches():
            held.append(batch)
            if sum(one.num_rows for one in held) >= _GROUP:
                writer.write_table(pyarrow.Table.from_batches(held))
                held = []
            progress(batch.num_rows)
        if held:
            writer.write_table(pyarrow.Table.from_batches(held))
    return [out]


def _csv(table: Table, out: Path, progress: Progress) -> list[Path]:
    import pyarrow.csv

    with put_in_place(out) as file:
        writer = None
        for batch in table.batches():
            plain = safe_texts(without_lists(batch))
            writer = writer or pyarrow.csv.CSVWriter(file, plain.schema)
            writer.write_batch(plain)
            progress(batch.num_rows)
        if writer is not None:
            writer.close()
    return [out]


def _lance(table: Table, out: Path, progress: Progress) -> list[Path]:
    try:
        lance = importlib.import_module("lance")
    except ModuleNotFoundError as error:
        raise ImindexError("pylance is not installed. Run: pip install 'imindex[lance]'") from error
    dim = table.index.encoder.dim
    fixed = pyarrow.schema(
        [
            pyarrow.field("vector", pyarrow.list_(pyarrow.float32(), dim))
            if field.name == "vector"
            else field
            for field in table.schema
        ],
        metadata=table.schema.metadata,
    )

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for batch in table.batches():
            columns = [
                pyarrow.FixedSizeListArray.from_arrays(column.flatten(), dim) if name == "vector" else column
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            ]
            yield pyarrow.RecordBatch.from_arrays(columns, schema=fixed)
            progress(batch.num_rows)

    lance.write_dataset(pyarrow.RecordBatchReader.from_batches(fixed, batches()), str(out), mode="create")
    return [out]


def _fiftyone(table: Table, out: Path, progress: Progress) -> list[Path]:
    """Write a FiftyOneImageClassificationDataset: pictures in data/, artists as labels in labels.json.

    What that format has no place for lies beside it: fields.parquet by name of the picture, and vectors.npy.
    """
    import pyarrow.parquet

    if not table.parts.thumbnails:
        raise ImindexError("fiftyone needs pictures. Drop --no-thumbnails.")
    make_folder(out / "data")
    labels: dict[str, str | None] = {}
    kept: list[pyarrow.RecordBatch] = []
    vectors: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []
    for batch in table.batches():
        rows = batch.column("row").to_pylist()
        images = batch.column("image").to_pylist()
        artists = batch.column("artist").to_pylist()
        mask = [image is not None for image in images]
        for row, image, artist in zip(rows, images, artists, strict=True):
            if image is not None:
                write_file(out / "data" / f"{row:09d}.webp", image["bytes"])
                labels[f"{row:09d}"] = artist or None
        some = batch.filter(pyarrow.array(mask))
        if "vector" in some.schema.names:
            vectors.append(some.column("vector").flatten().to_numpy().reshape(some.num_rows, -1))
        kept.append(some.select([name for name in some.schema.names if name not in ("image", "vector")]))
        progress(batch.num_rows)
    # With a field `classes`, labels would have to be numbers of classes.
    write_file(out / "labels.json", json_text({"labels": labels}, indent=1).encode())
    fields = pyarrow.Table.from_batches(kept)
    names = pyarrow.array([f"{row:09d}" for row in fields.column("row").to_pylist()])
    with put_in_place(out / "fields.parquet") as file:
        pyarrow.parquet.write_table(fields.append_column("name", names), file)
    written = [out / "data", out / "labels.json", out / "fields.parquet"]
    if vectors:
        with put_in_place(out / "vectors.npy") as file:
            np.save(file, np.concatenate(vectors), allow_pickle=False)
        written.append(out / "vectors.npy")
    return written


_WRITERS: dict[Target, Callable[[Table, Path, Progress], list[Path]]] = {
    "parquet": _parquet,
    "embedding-atlas": _parquet,
    "fiftyone": _fiftyone,
    "csv": _csv,
    "lance": _lance,
}
