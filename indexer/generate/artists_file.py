"""Read the names of artists from a text, CSV or JSONL file."""

from __future__ import annotations

import csv
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imindex.indexer.core.bounds import MAX_NAME, MAX_TEXT
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.names import clean_name
from imindex.indexer.sources.delimited import (
    SEPARATORS,
    did_you_mean,
    first_record,
    lines_of,
    open_text,
    plain_column,
    plain_row,
    separator_line,
    shown_columns,
)

NAME_COLUMNS = (
    "artist", "artist name", "artistname", "artist_name", "artists", "artist names", "name of artist", "painter",
    "painters", "name", "names", "full name",
)  # fmt: skip
"""Headers of the column of names, the first that is there. A first line that is one of them is no name."""
_LIST_MARK = re.compile(r"(?:[-*\u2022\u00b7#]|\d+[.)])\s*\w")
Note = Callable[[str], None]


def names_of(names: Iterable[str]) -> list[str]:
    """Bring names into their clean spelling (`clean_name`), and refuse invalid ones.

    Raises
    ------
    ImindexError
        If a name is empty, listed twice, or contains control characters, line breaks or lone surrogates.
    """
    listed = [normalized(name, "name") for name in names]
    refuse_duplicates(listed, "name")
    return listed


def normalized(text: str, what: str) -> str:
    """Strip a text, normalise it to NFC, and refuse it if it is empty or contains control characters.

    A name is brought into its clean spelling (`clean_name`).
    """
    written = unicodedata.normalize("NFC", text.strip())
    text = clean_name(written) if what == "name" else written
    if not text:
        raise ImindexError(f"A {what} is empty. Fill it in, or remove it.")
    most = MAX_NAME if what == "name" else MAX_TEXT
    if len(text) > most:
        raise ImindexError(
            f"The {what} {text[:40]!a}... has {len(text):,} characters, more than {most:,}. Shorten it."
        )
    invalid = next((c for c in written if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), "")
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


def read_artists(path: Path, note: Note = lambda _: None) -> list[str]:
    """Read names from a file.

    Parameters
    ----------
    path : Path
        A file with one name per line; a table (comma, semicolon or tab) with a column of `NAME_COLUMNS`, or of one
        column; or a JSONL file of objects with the key `artist`, or of strings. The encoding is told by a byte order
        mark, or is UTF-8; other text is read as Windows-1252. Blank lines are ignored, and so is a first line that is
        one of `NAME_COLUMNS`. In a file that is not called .csv or .tsv, commas are part of the names unless the header
        says otherwise.
    note : callable
        Called with a message about what was assumed or left out.

    Returns
    -------
    list of str
        The names in their clean spelling, in the order of the file. A name that is listed again with other spaces or
        invisible characters is listed once.

    Raises
    ------
    ImindexError
        If the file does not exist, is not text or lists no name, or if a name is empty, listed twice or invalid.
    """
    first_line: dict[str, int] = {}
    written: dict[str, str] = {}
    marked: list[str] = []
    for row in _rows(path, note):
        name = unicodedata.normalize("NFC", row.name.strip())
        try:
            artist = normalized(name, "name")
        except ImindexError as error:
            raise ImindexError(f"{path}, line {row.line}: {error}") from error
        if artist in first_line:
            if written[artist] == name:
                raise ImindexError(
                    f"{path}, line {row.line}: {artist!r} is already listed in line {first_line[artist]}. Remove one "
                    "of them."
                )
            note(
                f"{path}, line {row.line}: {artist!r} is already listed in line {first_line[artist]}, with other "
                "spaces or invisible characters: listed once."
            )
            continue
        if _LIST_MARK.match(artist):
            marked.append(f"{artist!r} (line {row.line})")
        first_line[artist], written[artist] = row.line, name
    if not first_line:
        raise ImindexError(f"{path} lists no artists. Write one artist per line.")
    if marked:
        listed = ", ".join(marked[:3]) + (f" and {len(marked) - 3} more" if len(marked) > 3 else "")
        note(f"{path}: names are taken as written, marks of a list and comments too: {listed}.")
    return list(first_line)


def read_origins(path: Path) -> dict[str, str]:
    """Read the origins of artists from a file that `read_artists` accepts.

    Parameters
    ----------
    path : Path
        A table with a column of names and the column `origin`, or a JSONL file of objects with the keys `artist` and
        `origin`.

    Returns
    -------
    dict of str to str
        By artist; only those with an origin. Empty if the file has no origins.
    """
    return {
        normalized(row.name, "name"): row.origin
        for row in _rows(path, lambda _: None)
        if row.name.strip() and row.origin
    }


def read_training_images(path: Path) -> dict[str, int]:
    """Read how many works of each artist the training data hold, from a file that `read_artists` accepts.

    Parameters
    ----------
    path : Path
        A table with a column of names and the column `training_images`, or a JSONL file of objects with the keys
        `artist` and `training_images`.

    Returns
    -------
    dict of str to int
        By artist; only those with a number. Empty if the file has none.

    Raises
    ------
    ImindexError
        A number is not a whole number of 0 or more.
    """
    counts = {}
    for row in _rows(path, lambda _: None):
        if not row.name.strip() or not row.training_images:
            continue
        if not re.fullmatch(r"[0-9]{1,12}", row.training_images):
            raise ImindexError(
                f"{path}, line {row.line}: training_images is {row.training_images!r}. Write a whole number of "
                "pictures, 0 or more, or leave it empty where it is not known."
            )
        counts[normalized(row.name, "name")] = int(row.training_images)
    return counts


@dataclass(frozen=True)
class _Row:
    line: int
    name: str
    origin: str = ""
    training_images: str = ""


def _rows(path: Path, note: Note) -> Iterator[_Row]:
    suffix = path.suffix.lower()
    try:
        with open_text(path, note, assume=suffix != ".jsonl") as file:
            lines = list(lines_of(path, file))
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Pass a file with one artist per line.") from None
    except UnicodeDecodeError as error:
        raise ImindexError(
            f"{path} is not {error.encoding.upper()}, as its beginning says: {error.reason}. Save it as UTF-8."
        ) from error
    if suffix == ".jsonl":
        return _jsonl_rows(path, lines)
    return _listed_rows(path, lines, note, commas=suffix in (".csv", ".tsv"))


def _listed_rows(path: Path, lines: Sequence[str], note: Note, *, commas: bool) -> Iterator[_Row]:
    """Read a list of names, or a table with a column of names.

    Parameters
    ----------
    path : Path
    lines : sequence of str
    note : callable
    commas : bool
        Whether a comma separates cells in a list without a header, and quotes enclose them.
    """
    start = next((place for place, line in enumerate(lines) if line.strip()), len(lines))
    stated = separator_line(lines[start]) if start < len(lines) else ""
    start += bool(stated)
    separators = [stated] if stated else list(SEPARATORS)
    listed = [line for line in lines[start:] if line.strip()]
    for separator in separators:
        if not (commas or stated or all(separator in line for line in listed)):
            continue  # a comma in a list of names is part of a name
        header = [plain_column(cell) for cell in first_record(lines[start:], separator)]
        if len(header) > 1 and (column := _column_of_names(path, header)) is not None:
            if header[column] != "artist":
                note(f"{path}: the names are those of the column `{header[column]}`.")
            yield from _table_rows(path, lines, start, separator, header, column)
            return
    first = next((place for place in range(start, len(lines)) if lines[place].strip()), len(lines))
    if first < len(lines):
        header_line = lines[first].strip().strip("\"',;").rstrip(":")
        if plain_column(header_line) in NAME_COLUMNS:
            if plain_column(header_line) != "artist":
                note(f"{path}: the first line, {clean_name(header_line)!r}, is a header and not a name.")
            start = first + 1
    body = [line for line in lines[start:] if line.strip()]
    used = next(
        (s for s in separators if (s != "," or commas) and body and all(s in line for line in body)), ""
    )
    separator = stated or used or ("," if commas else "")
    if not separator:
        for number, line in enumerate(lines[start:], start + 1):
            if line.strip():
                yield _Row(number, line)
        return
    yield from _table_rows(path, lines, start, separator, None, 0)


def _column_of_names(path: Path, header: Sequence[str]) -> int | None:
    name = next((name for name in NAME_COLUMNS if name in header), None)
    if name is None:
        return None
    if header.count(name) > 1:
        raise ImindexError(f"{path}: several columns are named `{name}`. Rename or delete all but one.")
    return header.index(name)


def _table_rows(
    path: Path, lines: Sequence[str], start: int, separator: str, header: Sequence[str] | None, column: int
) -> Iterator[_Row]:
    """Yield the rows of a table; without a header each must have one cell."""
    reader = csv.reader(itertools.islice(lines, start, None), delimiter=separator, strict=True)
    origin, images = (
        header.index(name) if header is not None and name in header else -1
        for name in ("origin", "training_images")
    )
    is_header = header is not None
    try:
        for cells in reader:
            line = reader.line_num + start
            if not any(cell.strip() for cell in cells):
                continue
            if is_header:
                is_header = False
                continue
            while (
                header is None and len(cells) > 1 and not cells[-1].strip()
            ):  # separators at the end of the line
                cells.pop()
            if header is None and len(cells) > 1:
                raise ImindexError(
                    f"{path}, line {line}: {len(cells)} cells separated by {SEPARATORS.get(separator, separator)}, but "
                    f"no column is named `artist`; the first line has {shown_columns(first_record(lines, separator))}. "
                    f"{did_you_mean('artist', first_record(lines, separator))} Name the column in the first line, or "
                    f"quote names that contain {SEPARATORS.get(separator, 'the separator')}.".replace(
                        "  ", " "
                    )
                )
            yield _Row(
                line,
                cells[column] if column < len(cells) else "",
                cells[origin].strip() if 0 <= origin < len(cells) else "",
                cells[images].strip() if 0 <= images < len(cells) else "",
            )
    except csv.Error as error:
        raise ImindexError(f"{path}, line {reader.line_num + start}: {error}. Check its quotes.") from error


def _jsonl_rows(path: Path, lines: Sequence[str]) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value: Any = parse_json(line)
        except ValueError as error:
            raise ImindexError(
                f"{path}, line {number}: not JSON: {error}. Write one object per line."
            ) from error
        row = (
            plain_row(f"{path}, line {number}", value, ("artist", "origin", "training_images"))
            if isinstance(value, dict)
            else {}
        )
        name = row.get("artist") if isinstance(value, dict) else value
        if not isinstance(name, str):
            hint = f" {did_you_mean('artist', row)}" if row and "artist" not in row else ""
            raise ImindexError(
                f'{path}, line {number}: no name. Write {{"artist": "Ada Example"}} or "Ada Example".{hint}'.rstrip()
            )
        images = row.get("training_images")
        yield _Row(
            number,
            name,
            str(row.get("origin") or "").strip(),
            "" if images is None else str(images).strip(),
        )
