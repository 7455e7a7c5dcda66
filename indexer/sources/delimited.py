"""Read delimited text as spreadsheets write it: manifests and lists of artists.

The encoding is told by a byte order mark (UTF-8, UTF-16, UTF-32) or is UTF-8; text that is not is read as Windows-1252,
which is stated. The separator is a comma, a semicolon or a tab, whichever makes the header right; a first line `sep=;`,
as Excel writes it, decides. Headers are compared without case and surrounding space.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.system.input_files import open_input

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
MAX_LINE = 2**20
"""Maximum number of characters per line."""
_CHUNK = 2**20
_SNIFFED = 64
"""Lines in which the header is looked for."""
_MOST_COLUMNS = 12
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<separator>.)"?[\s,;]*', re.IGNORECASE)
MEANT = {
    "path": ("file", "filename", "file name", "file path", "filepath", "image", "image path", "img", "picture", "photo",
             "url", "uri", "location", "src", "source", "pfad", "datei", "fichier", "chemin"),
    "artist": ("artists", "artist name", "name", "names", "painter", "author", "creator", "maker", "by", "künstler",
               "artiste"),
    "kind": ("type", "class", "category", "set", "split"),
    "collection": ("release", "model", "version", "dataset", "source"),
    "prompt": ("text", "input"),
    "caption": ("title", "description", "label"),
    "url": ("uri", "link", "image url", "image", "src", "source", "address", "path"),
}  # fmt: skip
"""Other words for the columns of a manifest. They are suggested, never assumed."""
Note = Callable[[str], None]


def _no_note(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Encoding:
    """The encoding of a text file.

    Attributes
    ----------
    name : str
        As Python names it.
    example : str
        A piece of the text around the first byte that is not UTF-8, if the encoding had to be assumed; else empty.
    """

    name: str
    example: str = ""

    @property
    def assumed(self) -> bool:
        return bool(self.example)


@contextmanager
def open_text(path: Path, note: Note = _no_note, *, assume: bool = True) -> Iterator[TextIO]:
    """Open a text file of any encoding that its byte order mark tells, or in UTF-8, with its line ends as they are.

    Parameters
    ----------
    path : Path
    note : callable
        Called with a message if the encoding had to be assumed.
    assume : bool
        Whether text that is not UTF-8 may be Windows-1252.

    Raises
    ------
    ImindexError
        If it is not text, such as an Excel workbook, or its encoding is unknown.
    """
    with open_input(path) as file:
        encoding = encoding_of(path, file, assume=assume)
        if encoding.assumed:
            note(
                f"{path} is not UTF-8 and was read as Windows-1252 (cp1252), where it says {encoding.example!r}. If "
                'that is wrong, save it as UTF-8 (in Excel: "CSV UTF-8").'
            )
        with io.TextIOWrapper(file, encoding.name, newline="") as text:
            yield text


def encoding_of(path: Path, file: BinaryIO, *, assume: bool = True) -> Encoding:
    """Find the encoding of an open file, which is then at its beginning again."""
    start = file.read(4096)
    file.seek(0)
    for mark, name in _MARKS:
        if start.startswith(mark):
            return Encoding(name)
    if start.startswith(b"PK\x03\x04"):
        raise ImindexError(
            f"{path} is a ZIP archive, as workbooks of Excel (.xlsx), Numbers and LibreOffice are, not text. Save the "
            'sheet as "CSV UTF-8".'
        )
    if b"\0" in start:
        raise ImindexError(
            f"{path} contains zero bytes: it is UTF-16 without a byte order mark, or not text. Save it as UTF-8."
        )
    wrong = _first_undecodable(file, "utf-8")
    if wrong is None:
        return Encoding("utf-8")
    if not assume or (unknown := _first_undecodable(file, "cp1252")) is not None:
        place = wrong if not assume else unknown
        raise ImindexError(
            f"{path} is not UTF-8{' or Windows-1252' if assume else ''} (byte {place:,}). Save it as UTF-8."
        )
    if _has_utf8(file):
        raise ImindexError(
            f"{path} is partly UTF-8, and partly not (from byte {wrong:,}), as after joining files of several "
            "encodings, or cutting one off. Save it as UTF-8."
        )
    file.seek(start_of_piece := max(0, wrong - 12))
    before, after = file.read(wrong - start_of_piece), file.read(12)
    file.seek(0)
    example = before.rpartition(b"\n")[2] + after.partition(b"\n")[0]
    return Encoding("cp1252", example.decode("cp1252").strip())


def _first_undecodable(file: BinaryIO, encoding: str) -> int | None:
    """Return the position of the first byte that is not in an encoding; the file is then at its beginning again."""
    decoder, done = codecs.getincrementaldecoder(encoding)(), 0
    try:
        while chunk := file.read(_CHUNK):
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return done - waiting + error.start
            done += len(chunk)
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return done - len(decoder.getstate()[0])
    finally:
        file.seek(0)
    return None


def _has_utf8(file: BinaryIO) -> bool:
    """Return whether a file that is not UTF-8 throughout has characters that are; it is then at its beginning again."""
    decoder = codecs.getincrementaldecoder("utf-8")("ignore")
    try:
        while chunk := file.read(_CHUNK):
            if not decoder.decode(chunk).isascii():
                return True
    finally:
        file.seek(0)
    return False


def lines_of(path: Path, file: TextIO, longest: int = MAX_LINE) -> Iterator[str]:
    """Yield the lines of a text file, reading at most `longest` characters at a time.

    Raises
    ------
    ImindexError
        If a line is longer.
    """
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        if len(line) > longest:
            raise ImindexError(
                f"{path}, line {number}: longer than {longest:,} characters. Check that this is a manifest with one "
                "row per line."
            )
        yield line


@lru_cache(maxsize=4096)
def plain_column(name: str) -> str:
    """Return the name of a column as it is compared: without case, surrounding space and invisible characters."""
    return clean_name(name).casefold()


def separator_line(line: str) -> str:
    """Return the separator that a line `sep=;` states; empty for any other line."""
    match = _SEPARATOR_LINE.fullmatch(line.strip("\r\n \ufeff"))
    return match["separator"] if match else ""


def first_record(lines: Iterable[str], separator: str) -> list[str]:
    """Return the cells of the first record that is not blank; none if there is none or its quotes are wrong."""
    try:
        return next(
            (row for row in csv.reader(iter(lines), delimiter=separator) if any(map(str.strip, row))), []
        )
    except csv.Error:
        return []


def table_rows(
    path: Path, file: TextIO, required: str, known: Sequence[str], longest: int = MAX_LINE
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yield the rows of a table with a header, each with the number of its last line.

    Parameters
    ----------
    path : Path
        For messages.
    file : TextIO
        Opened with `open_text`.
    required : str
        The column that the table must have; it tells the separator.
    known : sequence of str
        The columns that are used. Each may be there once.
    longest : int
        Maximum number of characters per line.

    Yields
    ------
    (int, dict)
        Cells by the plain name of their column (`plain_column`); None for a cell that is missing. A column without a
        name is there, as "", where it has content.

    Raises
    ------
    ImindexError
        If there is no such column, a column is there twice, or a row has more cells than the header.
    csv.Error
        If a quote is not closed, or is followed by other text: it would swallow the rows up to the next one.
    """
    lines = lines_of(path, file, longest)
    sniffed = list(itertools.islice(lines, _SNIFFED))
    stated = separator_line(sniffed[0]) if sniffed else ""
    skipped = 1 if stated else 0
    separator, header = _header(path, sniffed[skipped:], required, stated, skipped)
    _refuse_twice(path, header, known)
    spaced = any(cell.startswith(" ") for cell in header[1:])  # as in `path, artist`
    reader = csv.reader(
        itertools.chain(sniffed[skipped:], lines), delimiter=separator, skipinitialspace=spaced, strict=True
    )
    names = [plain_column(name) for name in header]
    unnamed = {place for place, name in enumerate(names) if not name}
    is_header = True
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if is_header:
            is_header = False
            continue
        line = reader.line_num + skipped
        if any(cell.strip() for cell in cells[len(names) :]):
            raise ImindexError(
                f"{path}, line {line}: more cells than columns. Quote cells that contain "
                f"{SEPARATORS.get(separator, 'the separator')}."
            )
        row: dict[str, str | None] = dict.fromkeys(names)
        row.update(zip(names, cells, strict=False))
        if "" in row and not any(cells[place].strip() for place in unnamed if place < len(cells)):
            del row[""]
        yield line, row


def _header(
    path: Path, lines: Sequence[str], required: str, stated: str, skipped: int
) -> tuple[str, list[str]]:
    """Return the separator and the cells of the header."""
    candidates = [stated] if stated else list(SEPARATORS)
    headers = {separator: first_record(lines, separator) for separator in candidates}
    fitting = [s for s in candidates if required in map(plain_column, headers[s])]
    widest = max(fitting or candidates, key=lambda separator: len(headers[separator]))
    header = headers[widest]
    if fitting:
        return widest, header
    if not header:
        raise ImindexError(
            f"{path}: no column `{required}`: the file is empty. Add a header line that names the columns."
        )
    later = next(
        (
            number + skipped
            for number, line in enumerate(lines, 1)
            if any(required in map(plain_column, first_record([line], s)) for s in candidates)
        ),
        0,
    )
    separated = f" (separated by {SEPARATORS.get(widest, repr(widest))})" if len(header) > 1 else ""
    found = f"{path}: no column `{required}`: the first line has {shown_columns(header)}{separated}."
    if later:
        raise ImindexError(f"{found} The header is in line {later}: remove what is above it.")
    hint = did_you_mean(required, header)
    raise ImindexError(f"{found} {hint or 'Add a header line that names the columns.'}")


def shown_columns(names: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    shown = [clean_name(name)[:40] or "(no name)" for name in names]
    listed = ", ".join(f"`{name}`" for name in shown[:_MOST_COLUMNS])
    more = f" and {len(shown) - _MOST_COLUMNS} more" if len(shown) > _MOST_COLUMNS else ""
    return f"the column{'s' if len(shown) != 1 else ''} {listed}{more}"


def did_you_mean(wanted: str, columns: Iterable[str]) -> str:
    """Return a sentence that suggests the column that is meant; empty if none is near."""
    names = {plain_column(name).replace("_", " ").replace("-", " "): clean_name(name) for name in columns}
    near = [names[word] for word in MEANT.get(wanted, ()) if word in names]
    near = near or [names[word] for word in difflib.get_close_matches(wanted, list(names), 1, 0.7)]
    return f"Did you mean `{near[0]}`? Rename it to `{wanted}`." if near else ""


def _refuse_twice(path: Path, header: Sequence[str], known: Iterable[str]) -> None:
    names = [plain_column(name) for name in header]
    for name in known:
        if names.count(name) > 1:
            written = [f"`{clean_name(one)}`" for one in header if plain_column(one) == name]
            raise ImindexError(
                f"{path}: {len(written)} columns are named `{name}` ({', '.join(written)}). Rename or delete all but "
                "one."
            )


def plain_row(where: str, row: Mapping[str, Any], known: Iterable[str]) -> Mapping[str, Any]:
    """Return a row of JSON or Parquet by the plain names of its columns.

    Raises
    ------
    ImindexError
        If two of its columns have the same plain name, and it is among `known`.
    """
    plain = {plain_column(name): value for name, value in row.items()}
    if len(plain) < len(row):
        names = [plain_column(name) for name in row]
        for name in known:
            if names.count(name) > 1:
                raise ImindexError(f"{where}: several columns are named `{name}`. Rename all but one.")
    return plain
