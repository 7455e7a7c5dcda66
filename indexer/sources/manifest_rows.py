"""Manifests -> rows, one at a time and none larger than a row can be: they may come from strangers.

CSV and JSON lines are read here. Parquet is read by a process of its own with limits of memory and time, for its pages
are compressed, and what a few bytes claim to hold is known only when it is there.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.child_process import Crashed, Lines, python

SUFFIXES = (".csv", ".jsonl", ".parquet")
MAX_ROWS = 20_000_000
MAX_LINE = 2**20
"""Characters of one row, with all that is said of its picture."""
PARQUET_SECONDS = 60.0
"""For a row, the first included."""
Row = Mapping[str, Any]


def rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a manifest, each with the place it has there, in words.

    Parameters
    ----------
    path : Path
        Its suffix, one of `SUFFIXES`, says what it is.

    Raises
    ------
    ImindexError
        It cannot be read, or holds more than `MAX_ROWS` rows or one of more than `MAX_LINE` characters.
    """
    reader = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}[path.suffix.lower()]
    try:
        for number, row in enumerate(reader(path), 1):
            if number > MAX_ROWS:
                raise ImindexError(
                    f"{path} has more than {MAX_ROWS:,} rows. Split it into several manifests."
                )
            yield row
    except UnicodeDecodeError as error:
        raise ImindexError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    except csv.Error as error:
        raise ImindexError(f"{path} is not readable as CSV: {error}. Check its quotes.") from error
    except OSError as error:
        raise ImindexError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(_lines(path, file))
        if "path" not in (reader.fieldnames or ()):
            raise ImindexError(f"{path}: no column `path` in its first line. Add a header line.")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if row.pop(None, None) is not None:
                raise ImindexError(f"{where}: more cells than columns. Quote cells that hold commas.")
            yield where, row


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(_lines(path, file), 1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ImindexError(f"{where}: not JSON: {error}. Write one object a line.") from error
            if not isinstance(row, dict):
                raise ImindexError(f"{where}: not a JSON object. Write one object a line.")
            yield where, row


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """The lines of a text file, never more of it than `MAX_LINE` characters at a time."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise ImindexError(
                f"{path}, line {number}: longer than {MAX_LINE:,} characters. Is it a manifest? One row a line."
            )
        yield line


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    unreadable = f"{path}: not readable as Parquet: "
    with python("imindex.indexer.sources.parquet_worker:main", str(path)) as process:
        lines = Lines(process, PARQUET_SECONDS, MAX_LINE)
        try:
            for number, line in enumerate(lines, 1):
                said = json.loads(line)
                if "error" in said:
                    raise ImindexError(unreadable + said["error"])
                yield f"{path}, row {number}", said["row"]
        except Crashed as crash:
            raise ImindexError(f"{unreadable}{crash}. Write it anew, or give it as CSV.") from None
