"""Read the rows of a manifest one at a time, with a size limit per row, since manifests are untrusted input.

Delimited text and JSON lines are read in this process. Parquet is read in a child process with memory and time limits:
its pages are compressed, and their size is known only after decompression.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.sources.delimited import lines_of, open_text, plain_row, table_rows
from imindex.indexer.system.child_process import Crashed, Lines, python

SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
COLUMNS = (
    "path", "artist", "kind", "collection", "prompt", "seed", "caption", "arm", "model", "blocked",
)  # fmt: skip
"""The columns that are used. Headers are compared without case and surrounding space."""
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
MAX_ROWS = 20_000_000
MAX_LINE = 2**20
"""Maximum number of characters per row."""
PARQUET_SECONDS = 60.0
"""Time limit per row, including the first one."""
Row = Mapping[str, Any]
Note = Callable[[str], None]


def rows(path: Path, note: Note = lambda _: None, *, required: str = "path") -> Iterator[tuple[str, Row]]:
    """Yield the rows of a manifest, each with a description of its position for error messages.

    Parameters
    ----------
    path : Path
        Its suffix, one of `SUFFIXES`, determines the format.
    note : callable
        Called with a message if the encoding had to be assumed.
    required : str
        The column that delimited text must have; it tells the separator.

    Raises
    ------
    ImindexError
        If the manifest cannot be read, has more than `MAX_ROWS` rows, or a row of more than `MAX_LINE` characters.
    """
    reader = {".jsonl": _jsonl, ".parquet": _parquet}.get(path.suffix.lower())
    try:
        found = reader(path, note) if reader else _delimited(path, note, required)
        for number, row in enumerate(found, 1):
            if number > MAX_ROWS:
                raise ImindexError(
                    f"{path} has more than {MAX_ROWS:,} rows. Split it into several manifests."
                )
            yield row
    except UnicodeDecodeError as error:
        raise ImindexError(
            f"{path} is not {error.encoding.upper()}, as its beginning says: {error.reason}. Save it as UTF-8."
        ) from error
    except csv.Error as error:
        raise ImindexError(f"{path} is not valid CSV: {error}. Check its quotes.") from error
    except OSError as error:
        raise ImindexError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error


def _delimited(path: Path, note: Note, required: str) -> Iterator[tuple[str, Row]]:
    known = COLUMNS if required in COLUMNS else (required, *COLUMNS)
    with open_text(path, note) as file:
        for line, row in table_rows(path, file, required, known, MAX_LINE):
            yield f"{path}, line {line}", row


def _jsonl(path: Path, note: Note) -> Iterator[tuple[str, Row]]:
    with open_text(path, assume=False) as file:
        for number, line in enumerate(lines_of(path, file, MAX_LINE), 1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except ValueError as error:
                raise ImindexError(f"{where}: not JSON: {error}. Write one object per line.") from error
            if not isinstance(row, dict):
                raise ImindexError(f"{where}: not a JSON object. Write one object per line.")
            yield where, plain_row(where, row, COLUMNS)


def _parquet(path: Path, note: Note) -> Iterator[tuple[str, Row]]:
    prefix = f"{path}: not valid Parquet: "
    with python("imindex.indexer.sources.parquet_worker:main", str(path)) as process:
        lines = Lines(process, PARQUET_SECONDS, MAX_LINE)
        try:
            for number, line in enumerate(lines, 1):
                reply = parse_json(line)
                if "error" in reply:
                    raise ImindexError(prefix + reply["error"])
                where = f"{path}, row {number}"
                yield where, plain_row(where, reply["row"], COLUMNS)
        except Crashed as crash:
            raise ImindexError(f"{prefix}{crash}. Write the file again, or convert it to CSV.") from None
