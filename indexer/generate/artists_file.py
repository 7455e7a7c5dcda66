"""Read the names of artists from a text, CSV or JSONL file."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from imindex.indexer.core.bounds import MAX_NAME, MAX_TEXT
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.system.input_files import read_text


def names_of(names: Iterable[str]) -> list[str]:
    """Strip names, normalise them to NFC, and refuse invalid ones.

    Raises
    ------
    ImindexError
        If a name is empty, listed twice, or contains control characters, line breaks or lone surrogates.
    """
    listed = [normalized(name, "name") for name in names]
    refuse_duplicates(listed, "name")
    return listed


def normalized(text: str, what: str) -> str:
    """Strip a text, normalise it to NFC, and refuse it if it is empty or contains control characters."""
    text = unicodedata.normalize("NFC", text.strip())
    if not text:
        raise ImindexError(f"A {what} is empty. Fill it in, or remove it.")
    most = MAX_NAME if what == "name" else MAX_TEXT
    if len(text) > most:
        raise ImindexError(
            f"The {what} {text[:40]!a}... has {len(text):,} characters, more than {most:,}. Shorten it."
        )
    invalid = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), "")
    if invalid:
        kind = "a lone surrogate" if unicodedata.category(invalid) == "Cs" else "a control character"
        raise ImindexError(f"The {what} {text!a} contains {kind} (U+{ord(invalid):04X}). Remove it.")
    return text


def refuse_duplicates(texts: Sequence[str], what: str) -> None:
    """Raise an error if a text is listed twice."""
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            raise ImindexError(f"The {what} {text!r} is listed twice. Remove one of them.")
        seen.add(text)


def read_artists(path: Path) -> list[str]:
    """Read names from a file.

    Parameters
    ----------
    path : Path
        A CSV file with a column `artist` or with one name per line; a JSONL file of objects with the key `artist`, or
        of strings; or any other file with one name per line. The encoding is UTF-8, with or without a byte order mark.
        Blank lines are ignored.

    Returns
    -------
    list of str
        The names in NFC, stripped, in the order of the file.

    Raises
    ------
    ImindexError
        If the file does not exist, is not UTF-8 or lists no name, or if a name is empty, listed twice or invalid.
    """
    try:
        text = read_text(path, "utf-8-sig")
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Pass a file with one artist per line.") from None
    except UnicodeDecodeError as error:
        raise ImindexError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    reader = {".csv": _csv_names, ".jsonl": _jsonl_names}.get(path.suffix.lower(), _lines)
    first_line: dict[str, int] = {}
    for line, name in reader(path, text):
        try:
            artist = normalized(name, "name")
        except ImindexError as error:
            raise ImindexError(f"{path}, line {line}: {error}") from error
        if artist in first_line:
            raise ImindexError(
                f"{path}, line {line}: {artist!r} is already listed in line {first_line[artist]}. Remove one of them."
            )
        first_line[artist] = line
    if not first_line:
        raise ImindexError(f"{path} lists no artists. Write one artist per line.")
    return list(first_line)


def read_origins(path: Path) -> dict[str, str]:
    """Read the origins of artists from a file that `read_artists` accepts.

    Parameters
    ----------
    path : Path
        A CSV file with the columns `artist` and `origin`, or a JSONL file of objects with these keys.

    Returns
    -------
    dict of str to str
        By artist; only those with an origin. Empty if the file has no origins.
    """
    text = read_text(path, "utf-8-sig")
    rows: Iterable[Any] = ()
    if path.suffix.lower() == ".csv":
        reader = csv.reader(io.StringIO(text, newline=""))
        cells = [row for row in reader if any(cell.strip() for cell in row)]
        header = [cell.strip().casefold() for cell in cells[0]] if cells else []
        rows = [dict(zip(header, row, strict=False)) for row in cells[1:]]
    elif path.suffix.lower() == ".jsonl":
        rows = [parse_json(line) for _, line in _lines(path, text)]
    return {
        normalized(str(row["artist"]), "name"): str(row["origin"]).strip()
        for row in rows
        if isinstance(row, dict) and row.get("artist") and str(row.get("origin") or "").strip()
    }


def _lines(path: Path, text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _csv_names(path: Path, text: str) -> Iterator[tuple[int, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    column: int | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if column is None:
                header = [cell.strip().casefold() for cell in row]
                column = header.index("artist") if "artist" in header else -1
                if column >= 0:
                    continue
            if column < 0 and len(row) > 1:
                raise ImindexError(
                    f"{path}, line {reader.line_num}: {len(row)} cells, but no column is named `artist`. Name the "
                    "column in the first line, or quote names that contain commas."
                )
            yield reader.line_num, row[max(column, 0)] if max(column, 0) < len(row) else ""
    except csv.Error as error:
        raise ImindexError(f"{path}, line {reader.line_num}: {error}. Check its quotes.") from error


def _jsonl_names(path: Path, text: str) -> Iterator[tuple[int, str]]:
    for number, line in _lines(path, text):
        try:
            value: Any = parse_json(line)
        except ValueError as error:
            raise ImindexError(
                f"{path}, line {number}: not JSON: {error}. Write one object per line."
            ) from error
        name = value.get("artist") if isinstance(value, dict) else value
        if not isinstance(name, str):
            raise ImindexError(
                f'{path}, line {number}: no name. Write {{"artist": "Ada Example"}} or "Ada Example".'
            )
        yield number, name
