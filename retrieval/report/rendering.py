"""Render the page and the table of a stored report again, and compare them with its files.

Everything that a page shows follows from report.json and the pictures: the times too are those of the stored report. A
page that differs from both the stored and the recomputed report was edited, or was written by other templates.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.integrity.verify import Fault
from imindex.indexer.system.input_files import read_input
from imindex.retrieval.findings import TOGETHER
from imindex.retrieval.report.page import n_pictures, page, places, recorded
from imindex.retrieval.report.report import NOT_IN_CSV, answers_tables, files_of_answers, renderer, table
from imindex.retrieval.report.thumbnails import Thumbnails
from imindex.retrieval.results import Report, from_dict
from imindex.retrieval.results.tables import csv_cell

PAGE, TABLE = "report.html", "artists.csv"
LOOKS_THE_SAME = 40
"""Largest difference, in grey levels, between two encodings of the same thumbnail: processors round differently."""
ON_AVERAGE = 1.0
"""Largest mean difference, in grey levels: rounding changes single pixels, an inscription changes many."""
_URL = "data:image/webp;base64,"
_PICTURE = re.compile(rf"{re.escape(_URL)}([A-Za-z0-9+/=]*)")
_LISTED = 20


@dataclass(frozen=True)
class Rendered:
    """Result of comparing the files of a report with a new rendering.

    Attributes
    ----------
    same : tuple of str
        Files that are as this version of imindex writes them, from the stored report or from the recomputed one.
    faults : tuple of Fault
    notes : tuple of str
        What was compared, and what could not be compared, in sentences.
    uncompared : tuple of str
        Files that may have been edited, because they could not be compared word for word.
    """

    same: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    uncompared: tuple[str, ...] = ()


def check_rendered(folder: Path, stored: Mapping[str, Any], again: Report | None = None) -> Rendered:
    """Compare the page and the table in a folder with a new rendering.

    Parameters
    ----------
    folder : Path
        Of the audit; pictures are relative to it.
    stored : mapping
        The content of its report.json, possibly of an earlier version, or edited.
    again : Report, optional
        The recomputed report, with the provenance of the stored one. A file that agrees with it was not edited,
        whatever report.json says.

    Returns
    -------
    Rendered
        A report by another version of imindex is never called edited because its page is laid out differently: what
        could be compared is stated.
    """
    about = stored["provenance"]
    own = about.get("rendering") == renderer()
    writer = str(about.get("program") or "an earlier imindex")
    try:
        reports = [from_dict(Report, stored)]
    except ImindexError:
        reports = []
    if again is not None:
        reports.append(again)
    comparison = _Comparison(folder, stored, reports, own, writer)
    comparison.page()
    comparison.table()
    comparison.answers()
    return Rendered(
        tuple(comparison.same),
        tuple(comparison.faults),
        tuple(comparison.notes),
        tuple(comparison.uncompared),
    )


class _Comparison:
    def __init__(
        self, folder: Path, stored: Mapping[str, Any], reports: Sequence[Report], own: bool, writer: str
    ):
        self._folder, self._stored, self._reports = folder, stored, reports
        self._own, self._writer = own, writer
        self.same: list[str] = []
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.uncompared: list[str] = []

    def _read(self, name: str) -> str | None:
        try:
            return read_input(self._folder / name).decode("utf-8-sig")
        except FileNotFoundError:
            self.faults.append(Fault(name, "is missing"))
        except (OSError, ImindexError, UnicodeDecodeError) as error:
            self.faults.append(Fault(name, f"cannot be read: {error}"))
        return None

    # The page

    def page(self) -> None:
        text = self._read(PAGE)
        if text is None:
            return
        found = [_match(report, self._folder, text) for report in self._reports]
        best = max(found, key=lambda one: (one.different is None, one.reached), default=None)
        if best is not None and best.different is None:
            self.same.append(PAGE)
            self.faults += [
                Fault(PAGE, f"shows another picture than {path}") for path in best.other_pictures[:_LISTED]
            ]
            self.notes.append(f"{PAGE} was rendered again and agrees{best.pictures()}.")
            if best.unreadable:
                self.notes.append(
                    f"{PAGE}: {_count(len(best.unreadable), 'picture')} could not be compared, because the files "
                    f"cannot be read, such as {best.unreadable[0]}. The rest of the page was compared."
                )
        elif self._own and best is not None and best.different is not None:
            line, shown, rendered = best.different
            self.faults.append(Fault(PAGE, f"line {line} is {shown}; rendered again, it is {rendered}"))
            self.notes.append(f"{PAGE}: nothing after line {line} was compared, and no picture.")
        else:
            self._other_page(text)

    def _other_page(self, text: str) -> None:
        """State how far a page by other templates could be compared."""
        self.uncompared.append(PAGE)
        said = _flat(html.unescape(re.sub(r"<[^>]*>", " ", _PICTURE.sub("", text))))
        wanted = [str(self._stored.get("title", "")), str(self._stored["digest"])]
        n_found = sum(bool(words) and _flat(words) in said for words in wanted)
        pictures = {match[1] for match in _PICTURE.finditer(text)}
        n_same = 0
        if pictures and self._reports:
            thumbnails = _Marked(self._folder, self._reports[0], None)
            page(self._reports[0], None, thumbnails=thumbnails)
            own = {one[0].removeprefix(_URL) for one in thumbnails.own.values() if one}
            n_same = len(pictures & own)
        self.notes.append(
            f"{PAGE} says that {self._writer} wrote it with other templates, so its text could not be compared "
            f"word for word. It has {n_found} of 2 of the title and the digest of report.json, and {n_same} of its "
            f"{_count(len(pictures), 'picture')} {'is' if n_same == 1 else 'are'} as they are made now. Only a seal "
            "shows whether it was edited."
        )

    # The table

    def table(self) -> None:
        text = self._read(TABLE)
        if text is None:
            return
        written = [table(report).encode("utf-8", "backslashreplace").decode() for report in self._reports]
        if text in written:
            self.same.append(TABLE)
            self.notes.append(f"{TABLE} was written again and agrees.")
            return
        differing, n_compared, unknown, missing = _cells(
            text, self._stored["results"], self._stored.get("combined") or ()
        )
        if not differing and not self._own:
            if unknown or missing:
                self.uncompared.append(TABLE)
            self.notes.append(
                f"{TABLE} was written by {self._writer}, with other columns or another layout: {n_compared:,} cells "
                "agree with report.json"
                + (f"; not compared: {', '.join(unknown)}" if unknown else "")
                + (f"; missing: {', '.join(missing)}" if missing else "")
                + "."
            )
            return
        self.faults += [Fault(f"{TABLE}: {where}", said) for where, said in differing[:_LISTED]]
        if len(differing) > _LISTED:
            self.faults.append(Fault(TABLE, f"{len(differing) - _LISTED} more cells differ from report.json"))
        if not differing:
            self.faults.append(Fault(TABLE, "has other rows, columns or characters than report.json gives"))

    # The tables of further questions

    def answers(self) -> None:
        """Compare the tables of questions, as they are written."""
        wanted = [
            {f"{key}.csv": text.encode("utf-8", "backslashreplace").decode() for key, text in tables.items()}
            for tables in map(answers_tables, self._reports)
        ]
        names = list(dict.fromkeys(name for tables in wanted for name in tables))
        same = []
        for name in names:
            if not self._own and not (self._folder / name).exists():
                continue
            text = self._read(name)
            if text is None:
                continue
            if text in [tables.get(name) for tables in wanted]:
                same.append(name)
            elif self._own:
                self.faults.append(
                    Fault(name, "has other rows, columns or characters than report.json gives")
                )
            else:
                self.uncompared.append(name)
                self.notes.append(f"{name} was written by {self._writer}, and could not be compared.")
        self.same += same
        if same:
            written = "was" if len(same) == 1 else "were"
            self.notes.append(
                f"{_count(len(same), 'table')} of questions {written} written again and agree"
                f"{'s' if len(same) == 1 else ''}."
            )
        for name in files_of_answers(self._folder):
            if name not in names and self._own:
                self.faults.append(
                    Fault(name, "is a table that report.json does not have: it is of an earlier report")
                )


# Pages


@dataclass(frozen=True)
class _Match:
    """How a page compares with one rendering.

    `different` is None, or the line, what it is and what it would be. `reached` is the length up to there.
    """

    different: tuple[int, str, str] | None
    reached: int
    n_identical: int = 0
    n_alike: int = 0
    other_pictures: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def pictures(self) -> str:
        """Say how many pictures were compared."""
        if not self.n_identical + self.n_alike:
            return ", without pictures"
        alike = f" ({self.n_alike} of them encoded to other bytes)" if self.n_alike else ""
        return f", with {_count(self.n_identical + self.n_alike, 'picture')}{alike}"


class _Marked(Thumbnails):
    """Thumbnails that leave a mark in the page in their place.

    Parameters
    ----------
    folder : Path
    report : Report
    known : _Marked or None
        Thumbnails that are already made.
    absent : set of str
        Pictures that could not be read when the page was written, and cannot be read now.
    """

    def __init__(
        self, folder: Path, report: Report, known: _Marked | None, absent: frozenset[str] = frozenset()
    ):
        super().__init__(
            places(report, folder), n_pictures(report), known.digests if known else recorded(report, folder)
        )
        self.own: dict[str, tuple[str, int, int] | None] = {} if known is None else known.own
        self._numbers = {path: number for number, path in enumerate(self.own)}
        self._absent = absent
        # No text of a report can contain a number that is drawn after it was written.
        self._nonce = f"{secrets.randbelow(10**24):024}"
        self.token = re.compile(
            rf"{re.escape(_URL)}imindex{self._nonce}n([0-9]+)x|9{self._nonce}([0-9]{{6}})[12]"
        )

    def path(self, mark: re.Match[str]) -> str:
        """Return the path that a mark in the page stands for."""
        return list(self.own)[int(mark[1] or mark[2])]

    def get(self, path: str) -> tuple[str, int, int] | None:
        if path not in self.own:
            self.own[path] = super().get(path)
            self._numbers[path] = len(self._numbers)
        if path in self._absent:
            return None
        number, own = self._numbers[path], self.own[path]
        mark = f"{_URL}imindex{self._nonce}n{number}x"
        # The size of a picture that cannot be read is unknown: it is marked too.
        if own:
            return mark, *own[1:]
        width, height = (int(f"9{self._nonce}{number:06}{edge}") for edge in (1, 2))
        return mark, width, height


def _match(report: Report, folder: Path, text: str) -> _Match:
    """Render a report, with pictures where the page has any, and compare."""
    if not _PICTURE.search(text):
        without = _walk(page(report, None), text)
        if without.different is None:
            return without
    marked = _Marked(folder, report, None)
    match = _compare(report, folder, marked, frozenset(), text)
    unreadable = frozenset(path for path, own in marked.own.items() if own is None)
    absent: frozenset[str] = frozenset()
    while match.different is not None and absent < unreadable:
        # Pictures that cannot be read now may not have been readable then, each of them.
        before, stuck = match, match.unreadable[-1:]
        if not stuck or stuck[0] in absent:
            break
        absent |= {*stuck}
        match = _compare(report, folder, _Marked(folder, report, marked, absent), absent, text)
        if match.reached <= before.reached:
            return before
    return match


def _compare(report: Report, folder: Path, marked: _Marked, absent: frozenset[str], text: str) -> _Match:
    return _walk(page(report, folder, thumbnails=marked), text, marked, absent)


def _walk(
    rendered: str, text: str, marked: _Marked | None = None, absent: frozenset[str] = frozenset()
) -> _Match:
    """Compare a page with a rendering that has marks for pictures.

    If they differ, `unreadable` of the result ends with the picture that comes next, if it cannot be read.
    """
    rendered = rendered.encode("utf-8", "backslashreplace").decode()
    place, at = 0, 0
    shown: dict[str, list[str]] = {}
    marks = [*marked.token.finditer(rendered), None] if marked else [None]
    for mark in marks:
        literal = rendered[place : mark.start() if mark else len(rendered)]
        if not text.startswith(literal, at) or (mark is None and len(text) != at + len(literal)):
            common = _common(literal, text[at : at + len(literal) + 1])
            after = () if mark is None or marked is None else (marked.path(mark),)
            unreadable = tuple(path for path in after if marked is not None and marked.own[path] is None)
            return _Match(
                _difference(rendered, place + common, text, at + common), at + common, unreadable=unreadable
            )
        at += len(literal)
        if mark is None or marked is None:
            break
        place = mark.end()
        if mark[1] is not None:
            picture = _PICTURE.match(text, at)
            value = picture[1] if picture else ""
            shown.setdefault(marked.path(mark), []).append(value)
            at += len(_URL) + len(value) if picture else 0
        else:
            size = re.compile("[0-9]{1,5}").match(text, at)
            at += len(size[0]) if size else 0
    return _pictures(shown, marked, absent, len(text))


def _pictures(
    shown: Mapping[str, Sequence[str]], marked: _Marked | None, absent: frozenset[str], reached: int
) -> _Match:
    n_identical, n_alike, other, unreadable = 0, 0, [], sorted(absent)
    for path, values in shown.items():
        own = marked.own[path] if marked else None
        if own is None:
            unreadable.append(path)
        elif all(value == own[0].removeprefix(_URL) for value in values):
            n_identical += 1
        elif all(_alike(value, own[0].removeprefix(_URL)) for value in values):
            n_alike += 1
        else:
            other.append(path)
    return _Match(None, reached, n_identical, n_alike, tuple(other), tuple(unreadable))


def _alike(one: str, other: str) -> bool:
    """Whether two thumbnails are the same picture, as far as rounding and its encoding allow."""
    pixels = [_pixels(one), _pixels(other)]
    if any(array is None for array in pixels) or pixels[0].shape != pixels[1].shape:
        return False
    difference = np.abs(pixels[0] - pixels[1])
    return bool(difference.max() <= LOOKS_THE_SAME and difference.mean() <= ON_AVERAGE)


def _pixels(encoded: str) -> Any:
    from PIL import Image

    try:
        data = base64.b64decode(encoded, validate=True)
        if not _one_lossy_frame(data):
            return None
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as picture:
            if max(picture.size) > 1024:
                return None
            return np.asarray(picture.convert("RGB"), np.int16)
    except (OSError, ValueError, SyntaxError):
        return None


def _one_lossy_frame(data: bytes) -> bool:
    """Whether a WebP file is as thumbnails are written: one lossy frame, and no animation, profile or metadata."""
    length = int.from_bytes(data[16:20], "little")
    return (
        data[:4] == b"RIFF"
        and data[8:16] == b"WEBPVP8 "
        and int.from_bytes(data[4:8], "little") == len(data) - 8
        and len(data) == 20 + length + length % 2
    )


def _common(one: str, other: str) -> int:
    """Return the length of the common beginning of two texts."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _difference(rendered: str, place: int, text: str, at: int) -> tuple[int, str, str]:
    """Return the line where a page differs, and both texts there."""
    return text.count("\n", 0, at) + 1, _around(text, at), _around(rendered, place)


def _around(text: str, at: int) -> str:
    start = max(text.rfind("\n", 0, at) + 1, at - 30)
    end = text.find("\n", at)
    words = text[start : min(len(text) if end < 0 else end, at + 40)]
    return repr(words.strip()) if words.strip() else "empty"


# Tables


def _cells(
    text: str, results: Sequence[Mapping[str, Any]], combined: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[tuple[str, str]], int, list[str], list[str]]:
    """Compare the cells of a table with the rows of report.json, by release, encoder and artist.

    In a row of all encoders together, the columns that report.json does not have in `combined` are not compared.

    Returns
    -------
    differing : list of (str, str)
        Where, and what.
    n_compared : int
    unknown : list of str
        Columns that report.json does not have.
    missing : list of str
        Columns that the table lacks.
    """
    expected = {
        (str(result["release"]), str(result["encoder"]), str(row["artist"])): row
        for result in results
        for row in result["artists"]
    }
    known = {name for row in expected.values() for name in row}
    expected |= {
        (str(one["release"]), TOGETHER, str(row["artist"])): row for one in combined for row in one["artists"]
    }
    names = {tuple(str(csv_cell(part)) for part in key): key for key in expected}
    reader = csv.DictReader(io.StringIO(text))
    columns = [name for name in reader.fieldnames or () if name not in ("release", "encoder")]
    unknown = [name for name in columns if name not in known]
    missing = sorted(known - {*columns, *NOT_IN_CSV})
    differing, n_compared, seen = [], 0, set()
    for number, cells in enumerate(reader, 1):
        key = names.get(tuple(str(cells.get(name) or "") for name in ("release", "encoder", "artist")))
        if key is None or key in seen:
            differing.append((f"row {number}", "report.json has no such row"))
            continue
        seen.add(key)
        for name in columns:
            if name in unknown or (key[1] == TOGETHER and name not in expected[key]):
                continue
            n_compared += 1
            wanted = _written(expected[key].get(name))
            if cells[name] != wanted:
                said = f"is {cells[name] or 'empty'}, {wanted or 'empty'} in report.json"
                differing.append((f"{', '.join(key)}: {name}", said))
    differing += [(", ".join(key), "the row is missing") for key in expected if key not in seen]
    return differing, n_compared, unknown, missing


def _written(value: Any) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([csv_cell(value), ""])
    return next(csv.reader([out.getvalue()]))[0]


def _flat(text: str) -> str:
    return " ".join(text.split())


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun if n == 1 else noun + 's'}"
