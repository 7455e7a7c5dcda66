"""Read the rows of a manifest one at a time, with a size limit per row, since manifests are untrusted input.

CSV and JSON lines are read in this process. Parquet is read in a child process with memory and time limits: its pages
are compressed, and their size is known only after decompression.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.system.child_process import Crashed, Lines, python
from imindex.indexer.system.input_files import open_input

SUFFIXES = (".csv", ".jsonl", ".parquet")
MAX_ROWS = 20_000_000
MAX_LINE = 2**20
"""Maximum number of characters per row."""
PARQUET_SECONDS = 60.0
"""Time limit per row, including the first one."""
Row = Mapping[str, Any]


def rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a manifest, each with a description of its position for error messages.

    Parameters
    ----------
    path : Path
        Its suffix, one of `SUFFIXES`, determines the format.

    Raises
    ------
    ImindexError
        If the manifest cannot be read, has more than `MAX_ROWS` rows, or a row of more than `MAX_LINE` characters.
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
        raise ImindexError(f"{path} is not valid CSV: {error}. Check its quotes.") from error
    except OSError as error:
        raise ImindexError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    with io.TextIOWrapper(open_input(path), "utf-8-sig", newline="") as file:
        reader = csv.DictReader(_lines(path, file))
        if "path" not in (reader.fieldnames or ()):
            raise ImindexError(f"{path}: no column `path` in the first line. Add a header line.")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if row.pop(None, None) is not None:
                raise ImindexError(f"{where}: more cells than columns. Quote cells that contain commas.")
            yield where, row


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    with io.TextIOWrapper(open_input(path), "utf-8-sig") as file:
        for number, line in enumerate(_lines(path, file), 1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except ValueError as error:
                raise ImindexError(f"{where}: not JSON: {error}. Write one object per line.") from error
            if not isinstance(row, dict):
                raise ImindexError(f"{where}: not a JSON object. Write one object per line.")
            yield where, row


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield the lines of a text file, reading at most `MAX_LINE` characters at a time."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise ImindexError(
                f"{path}, line {number}: longer than {MAX_LINE:,} characters. Check that this is a manifest with one "
                "row per line."
            )
        yield line


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    prefix = f"{path}: not valid Parquet: "
    with python("imindex.indexer.sources.parquet_worker:main", str(path)) as process:
        lines = Lines(process, PARQUET_SECONDS, MAX_LINE)
        try:
            for number, line in enumerate(lines, 1):
                reply = parse_json(line)
                if "error" in reply:
                    raise ImindexError(prefix + reply["error"])
                yield f"{path}, row {number}", reply["row"]
        except Crashed as crash:
            raise ImindexError(f"{prefix}{crash}. Write the file again, or convert it to CSV.") from None
