"""Export an open index as NumPy, Parquet and JSON files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text
from imindex.indexer.core.schema import Columns
from imindex.indexer.maintain.summary import describe
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_unchanged, unchanged_blocks
from imindex.indexer.system.atomic import make_folder, put_in_place, write_file

if TYPE_CHECKING:
    import pyarrow

_FILES = ("vectors.npy", "items.parquet", "rejects.parquet", "index.json")


def export(index: Index, folder: Path, *, force: bool = False) -> list[str]:
    """Write vectors.npy (float16), items.parquet, rejects.parquet and index.json; return their paths.

    Raises
    ------
    ImindexError
        If the index is damaged, or the folder holds files from an earlier export and `force` is not set.
    """
    import pyarrow.parquet

    existing = [name for name in _FILES if (folder / name).exists()]
    if existing and not force:
        raise ImindexError(
            f"{folder} already holds {', '.join(existing)}. Pass --force to overwrite, or name another folder."
        )
    require_unchanged(index)
    make_folder(folder)
    with put_in_place(folder / "vectors.npy") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (index.n, index.encoder.dim)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in unchanged_blocks(index):
            file.write(np.ascontiguousarray(block, "<f2").data)
    for name, table in (("items", item_table(index)), ("rejects", _arrow(index, index.rejects()))):
        with put_in_place(folder / f"{name}.parquet") as file:
            pyarrow.parquet.write_table(table, file)
    about = {
        key: value for key, value in describe(index).to_dict().items() if key not in ("rejects", "duplicates")
    }
    write_file(folder / "index.json", json_text(about, indent=2).encode())
    return [str(folder / name) for name in _FILES]


def item_table(index: Index) -> pyarrow.Table:
    """Return the pictures of an index as an Arrow table, one row per picture, in the order of its vectors.

    The columns are row, artist, kind, collection, sha256 (of the file), path, width, height, prompt, seed, caption,
    arm and model.
    Bytes of text that are not UTF-8 become question marks.
    """
    return _arrow(index, index.items())


def _arrow(index: Index, table: Columns) -> pyarrow.Table:
    import pyarrow

    artists = np.array([*index.artists, ""], dtype=object)
    names = np.array([c.name for c in index.collections], dtype=object)
    kinds = np.array([c.kind for c in index.collections], dtype=object)
    columns = {"row": np.arange(len(table["artist"]))}
    for name, values in table.items():
        if name == "artist":
            columns["artist"] = _strings(artists[values])  # -1 (no artist) selects the last one, ""
        elif name == "collection":
            columns["collection"] = _strings(names[values] if len(values) else ())
            columns["kind"] = _strings(kinds[values] if len(values) else ())
        elif name == "sha256":
            columns["sha256"] = _strings(bytes(digest).hex() for digest in values)
        elif values.dtype == object:
            columns[name] = _strings(values)
        else:
            columns[name] = values
    return pyarrow.table(columns)


def _strings(texts: Iterable[str]) -> Any:
    """Return a column of text, possibly empty; bytes that are not UTF-8 become question marks."""
    import pyarrow

    return pyarrow.array([text.encode("utf-8", "replace").decode() for text in texts], pyarrow.string())
