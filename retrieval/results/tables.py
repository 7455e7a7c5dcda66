"""Results as tables: flat rows, CSV, Arrow and data frames."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec.inspect

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.spreadsheet import csv_cell as csv_cell

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]
"""A row of a table: plain values by column name."""


def flat(value: Mapping[str, Any], prefix: str = "") -> Row:
    """Flatten a result's dict into a row; keys of nested figures are joined, as in ``recall@5`` and ``macro.auc``."""
    row: Row = {}
    for key, item in value.items():
        name = f"{prefix[:-1]}@{key}" if prefix and key.isdigit() else prefix + key
        if isinstance(item, dict):
            row.update(flat(item, f"{name}."))
        else:
            row[name] = item
    return row


def field_names(type: type[msgspec.Struct]) -> list[str]:
    """Return the names of the fields of a result type; those of nested figures end in ``@K``, as in ``recall@K``."""
    return [
        f"{one.encode_name}@K" if isinstance(one.type, msgspec.inspect.DictType) else one.encode_name
        for one in msgspec.inspect.type_info(type).fields  # type: ignore[attr-defined]
    ]


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the names of all columns, in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def to_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV; `csv_cell` formats the values."""
    out = io.StringIO()
    names = columns_of(rows)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([csv_cell(row.get(name)) for name in names])
    return out.getvalue()


def to_table(rows: Sequence[Row]) -> pyarrow.Table:
    """Return rows as an Arrow table."""
    import pyarrow

    return pyarrow.table({name: [_utf8(row.get(name)) for row in rows] for name in columns_of(rows)})


def to_frame(table: pyarrow.Table, library: str) -> Any:
    """Convert an Arrow table to a pandas or polars data frame.

    Raises
    ------
    ImindexError
        The library is not installed.
    """
    try:
        if library == "pandas":
            return table.to_pandas()
        return importlib.import_module("polars").from_arrow(table)
    except ImportError as error:
        raise ImindexError(
            f"{library} is not installed. Run `pip install {library}`, or use to_arrow()."
        ) from error


def _utf8(value: Any) -> Any:
    """Escape bytes of file names that are not UTF-8, as in ``\\udcff``: Arrow holds UTF-8 only."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
