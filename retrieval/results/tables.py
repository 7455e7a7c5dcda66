"""Results as tables: flat rows, CSV, Arrow and data frames."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.jsonable import json_ready

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]
"""A row of a table: plain values by column name."""
_FORMULA = ("=", "+", "-", "@", "\u2212")
_UNSEEN = re.compile(r"^[\s\x00-\x1f\x7f-\x9f\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069]*")


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


def csv_cell(value: Any) -> Any:
    """Return a value for a CSV file: lists as JSON, booleans as ``true`` or ``false``, and text never as a formula.

    Spreadsheets interpret text that begins with ``= + - @`` as a formula, also in the full-width and small forms of
    these signs, which some convert, and after characters that are not seen. Such text, and any text that begins with
    a tab, a line feed or another control character, is prefixed with an apostrophe.

    Examples
    --------
    >>> csv_cell("=1+1"), csv_cell(-0.5), csv_cell(True), csv_cell([1, 2])
    ("'=1+1", -0.5, 'true', '[1, 2]')
    >>> csv_cell("\N{FULLWIDTH EQUALS SIGN}1+1")[0], csv_cell("\N{ZERO WIDTH SPACE}@a")[0], csv_cell(" Ada")
    ("'", "'", ' Ada')
    """
    if isinstance(value, (list, tuple)):
        return json.dumps(json_ready(value), allow_nan=False)
    if isinstance(value, str) and _may_be_formula(value):
        return f"'{value}"
    if isinstance(value, bool):
        return str(value).lower()
    return value


def _may_be_formula(text: str) -> bool:
    first = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)[:1])
    return first.startswith(_FORMULA) or (text != "" and unicodedata.category(text[0]) == "Cc")


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
