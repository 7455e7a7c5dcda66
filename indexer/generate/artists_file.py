"""Read the names of artists from a text, CSV or JSONL file."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError


def names_of(names: Iterable[str]) -> list[str]:
    """Bring names to one spelling (NFC, no space around) and refuse what cannot be asked for.

    Raises
    ------
    ImindexError
        Empty, twice, or with control characters, line breaks or lone surrogates.
    """
    spelled = [_spelled(name, "name") for name in names]
    _refuse_twice(spelled, "name")
    return spelled


def _spelled(text: str, what: str) -> str:
    spelled = unicodedata.normalize("NFC", text.strip())
    if not spelled:
        raise ImindexError(f"A {what} is empty. Fill it in, or leave it out.")
    strange = next((c for c in spelled if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), "")
    if strange:
        kind = "half of a character" if unicodedata.category(strange) == "Cs" else "a control character"
        raise ImindexError(f"The {what} {spelled!a} holds {kind} (U+{ord(strange):04X}). Remove it.")
    return spelled


def _refuse_twice(texts: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for text in texts:
        if text in seen:
            raise ImindexError(f"The {what} {text!r} stands there twice. Leave one out.")
        seen.add(text)


def read_artists(path: Path) -> list[str]:
    """Read names from a file.

    Parameters
    ----------
    path : Path
        CSV with a column `artist`, or with one name a line; JSONL of objects with `artist`, or of strings; any other
        file has one name a line. UTF-8, with or without a byte order mark; lines with nothing on them are passed over.

    Returns
    -------
    list of str
        In NFC and without space around, in the file's order.

    Raises
    ------
    ImindexError
        No such file, not UTF-8, no name in it, or a name that is empty, stands there twice or cannot be asked for.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Give a file with one artist a line.") from None
    except UnicodeDecodeError as error:
        raise ImindexError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error
    reader = {".csv": _csv_names, ".jsonl": _jsonl_names}.get(path.suffix.lower(), _lines)
    first: dict[str, int] = {}
    for line, name in reader(path, text):
        try:
            spelled = _spelled(name, "name")
        except ImindexError as error:
            raise ImindexError(f"{path}, line {line}: {error}") from error
        if spelled in first:
            raise ImindexError(
                f"{path}, line {line}: {spelled!r} stands in line {first[spelled]} already. Leave one out."
            )
        first[spelled] = line
    if not first:
        raise ImindexError(f"{path} names nobody. Write one artist a line.")
    return list(first)


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
                    f"{path}, line {reader.line_num}: {len(row)} cells, and no column is called `artist`. Name "
                    "it so in the first line, or put names with commas in quotes."
                )
            yield reader.line_num, row[max(column, 0)] if max(column, 0) < len(row) else ""
    except csv.Error as error:
        raise ImindexError(f"{path}, line {reader.line_num}: {error}. Check its quotes.") from error


def _jsonl_names(path: Path, text: str) -> Iterator[tuple[int, str]]:
    for number, line in _lines(path, text):
        try:
            said: Any = json.loads(line)
        except ValueError as error:
            raise ImindexError(
                f"{path}, line {number}: not JSON: {error}. Write one object a line."
            ) from error
        name = said.get("artist") if isinstance(said, dict) else said
        if not isinstance(name, str):
            raise ImindexError(
                f'{path}, line {number}: no name. Write {{"artist": "Ada Example"}} or "Ada Example".'
            )
        yield number, name
