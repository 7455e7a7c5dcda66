"""Export an open index as NumPy, Parquet and JSON files."""

from __future__ import annotations

import contextlib
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
from imindex.indexer.system.atomic import check_room, make_folder, put_in_place

if TYPE_CHECKING:
    import pyarrow

_FILES = ("vectors.npy", "items.parquet", "rejects.parquet", "index.json")
_HEADER = 128
"""The bytes before the vectors in an NPY file, at most."""
_FOOTER = 65_536
"""Room in bytes for what Parquet adds to a table; what is not used is given back."""


def export(index: Index, folder: Path, *, force: bool = False) -> list[str]:
    """Write vectors.npy (float16), items.parquet, rejects.parquet and index.json; return their paths.

    The room of all files is taken before anything is written, so on a full disk none is left behind.

    Raises
    ------
    ImindexError
        If the index is damaged, or the folder holds files from an earlier export and `force` is not set.
    OSError
        If the disk is full, or a file size limit is exceeded.
    """
    import pyarrow.parquet

    existing = [name for name in _FILES if (folder / name).exists()]
    if existing and not force:
        raise ImindexError(
            f"{folder} already holds {', '.join(existing)}. Pass --force to overwrite, or name another folder."
        )
    require_unchanged(index)
    make_folder(folder)
    about = {
        key: value for key, value in describe(index).to_dict().items() if key not in ("rejects", "duplicates")
    }
    text = json_text(about, indent=2).encode()
    tables = item_table(index), _arrow(index, index.rejects())
    with contextlib.ExitStack() as stack:  # the files get their names after all of them are written
        vectors, items, rejects, description = (
            stack.enter_context(put_in_place(folder / name)) for name in _FILES
        )
        check_room(vectors, _HEADER + index.n * index.encoder.dim * 2)
        for table, file in zip(tables, (items, rejects), strict=True):
            check_room(file, table.nbytes + _FOOTER)
        check_room(description, len(text))
        header = {"descr": "<f2", "fortran_order": False, "shape": (index.n, index.encoder.dim)}
        np.lib.format.write_array_header_1_0(vectors, header)
        for block in unchanged_blocks(index):
            vectors.write(np.ascontiguousarray(block, "<f2").data)
        for table, file in zip(tables, (items, rejects), strict=True):
            pyarrow.parquet.write_table(table, file)
        description.write(text)
        for file in (vectors, items, rejects, description):
            file.truncate(file.tell())
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
