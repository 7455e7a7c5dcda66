"""Tables: as many columns as a terminal has room for, or all of them as tab-separated or comma-separated values."""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.jsonable import json_ready
from imindex.indexer.core.spreadsheet import csv_cell
from imindex.indexer.terminal import width as w

Record = Mapping[str, Any]
"""A row: plain values by the name of their field."""
Kind = Literal["number", "name", "path", "prose"]

GAP = 2
_LEAST_NAME = 8
_LEAST_PROSE = 12
_ONE_LINE = 76
"""A terminal of this width has room for the remark on what is left out."""


def plain(*values: Any) -> str:
    """Format values as a table does that knows nothing about them: three digits, and a dash for what is missing."""
    return " to ".join(_plain(value) for value in values)


def _plain(value: Any) -> str:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if value == 0 or 0.0005 <= abs(value) < 1e6 else f"{value:.2g}"
    if isinstance(value, (list, tuple)):
        return " to ".join(map(_plain, value)) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    fields : str
        Names of the fields that it shows, separated by spaces. The first one is the name of the column.
    heading : str
    show : callable, optional
        Takes the values of the fields and returns the text of a cell.
    kind : str, optional
        number: aligned right, never broken or cut. name, path: aligned left; cut with an ellipsis where there is no
        room, so that different names stay different. prose: aligned left and broken at spaces.
    rank : int, optional
        Columns of rank 0 are always shown. Where there is no room for all others, those of a low rank go first.
    """

    fields: str
    heading: str
    show: Callable[..., str] = plain
    kind: Kind = "number"
    rank: int = 1

    @property
    def name(self) -> str:
        return self.fields.split()[0]

    def cell(self, record: Record) -> str:
        if not any(field in record for field in self.fields.split()):
            return ""
        return self.show(*(record.get(field) for field in self.fields.split()))


@dataclass(frozen=True)
class Section:
    """A line across a table, above the rows that it names."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table.

    Parameters
    ----------
    title : str
    columns : sequence of Column
        What a terminal with enough room shows, in this order.
    records : sequence of Record or Section
        All rows. Sections and rows of a footer are not rows of data: only a terminal shows them.
    footer : sequence of Record, optional
    notes : sequence of str, optional
        Sentences below the table.
    most : int or None, optional
        Number of rows that a terminal shows; None for all.
    elsewhere : str, optional
        Where the rest of the table is, for the remark on columns that a terminal has no room for.
    data : sequence of Record, optional
        What is written for machines, if it is not `records`.
    """

    title: str
    columns: Sequence[Column]
    records: Sequence[Record | Section]
    footer: Sequence[Record] = ()
    notes: Sequence[str] = ()
    most: int | None = None
    elsewhere: str = "see --columns, --csv or a wider terminal"
    data: Sequence[Record] | None = None

    @property
    def rows(self) -> list[Record]:
        """The rows of data."""
        return (
            [one for one in self.records if not isinstance(one, Section)]
            if self.data is None
            else list(self.data)
        )

    @property
    def fields(self) -> list[str]:
        """Names of all fields, those of columns first."""
        shown = [field for column in self.columns for field in column.fields.split()]
        there = dict.fromkeys(field for row in self.rows for field in row)
        return [field for field in dict.fromkeys([*shown, *there]) if field in there or not self.rows]


def chosen(table: Table, names: Sequence[str]) -> Table:
    """Return a table with the columns of the given names, in that order; `all` stands for every column.

    Raises
    ------
    ImindexError
        There is no such column; the message lists those that exist.
    """
    by_name = {column.name: column for column in table.columns}
    for column in table.columns:
        for field in column.fields.split():
            by_name.setdefault(field, Column(field, field))
    for field in table.fields:
        by_name.setdefault(field, Column(field, field, kind=_kind(table.rows, field)))
    if list(names) == ["all"]:
        covered = {field for column in table.columns for field in column.fields.split()}
        names = [column.name for column in table.columns]
        names += [field for field in table.fields if field not in covered]
    check_names(names, list(by_name))
    return replace(table, columns=[by_name[name] for name in dict.fromkeys(names)])


def _kind(rows: Sequence[Record], field: str) -> Kind:
    return "name" if any(isinstance(row.get(field), str) for row in rows) else "number"


def check_names(names: Iterable[str], known: Sequence[str]) -> None:
    """Check that the names of columns are known.

    Raises
    ------
    ImindexError
    """
    for name in names:
        if name in known:
            continue
        known = [one for one in known if not one.endswith("@K")]  # K stands for a number: these are not names
        near = difflib.get_close_matches(name, known, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise ImindexError(
            f"There is no column {name}.{meant} Columns: {', '.join(known)}. Or pass `--columns all`."
        )


# For machines


def separated(table: Table, *, as_csv: bool, safe: Callable[[str], str]) -> str:
    """Return all rows of a table as text: a header of field names, and values in full precision.

    Parameters
    ----------
    table : Table
    as_csv : bool
        RFC 4180: separated by commas, quoted where needed, CRLF at the ends of lines; text is never a formula
        (`imindex.indexer.core.spreadsheet.csv_cell`). Otherwise separated by tabs, without quotes.
    safe : callable
        Escapes the control characters in a text, tabs included.
    """
    shown = [field for column in table.columns for field in column.fields.split()]
    names = list(dict.fromkeys(shown))
    out = io.StringIO()
    if as_csv:
        writer = csv.writer(out)
        writer.writerow(map(safe, names))
        for row in table.rows:
            cells = (csv_cell(_safe_value(row.get(name), safe)) for name in names)
            writer.writerow(["" if cell is None else cell for cell in cells])
        return out.getvalue()
    out.write("\t".join(map(safe, names)) + "\n")
    for row in table.rows:
        out.write("\t".join(_value(row.get(name), safe) for name in names) + "\n")
    return out.getvalue()


def _safe_value(value: Any, safe: Callable[[str], str]) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return safe(value) if isinstance(value, str) else value


def _value(value: Any, safe: Callable[[str], str]) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return json.dumps(json_ready(value), allow_nan=False)
    return safe(str(value))


# For a terminal


@dataclass(frozen=True)
class Line:
    """A line of a drawn table, and how it is emphasised: bold, dim or plain."""

    text: str
    style: str = "plain"


def drawn(
    table: Table, width: int, *, blocks: bool = False, safe: Callable[[str], str], rule: str = "\u2500"
) -> list[Line]:
    """Return the lines of a table that fit a terminal.

    Parameters
    ----------
    table : Table
    width : int
        Columns of the terminal. No line is wider, unless a single number is.
    blocks : bool
        Show every column: those without room are continued below, with the first column repeated. Otherwise they are
        left out, and a line says so.
    safe : callable
        Escapes the control characters in a text.
    rule : str
        The character under the headings.
    """
    rows = [one for one in table.records if not isinstance(one, Section)]
    most = len(rows) if table.most is None else table.most
    title = f"{table.title} ({most:,} of {len(rows):,}; see --all)" if most < len(rows) else table.title
    lines = [Line(line, "bold") for line in w.wrap(safe(title), width)] if title else []
    visible = _visible(table.records, most)
    body = [
        None if isinstance(one, Section) else [safe(c.cell(one)) for c in table.columns] for one in visible
    ]
    cells = [row for row in body if row is not None]
    footer = [[safe(column.cell(row)) for column in table.columns] for row in table.footer]
    layout = _Layout(cells, footer, table.columns, width)
    cut = False
    left_out: list[int] = []
    for number, chosen_columns in enumerate(layout.blocks() if blocks else [layout.fitting()]):
        if number:
            lines.append(Line(""))
        widths = layout.widths(chosen_columns)
        forms = layout.forms(chosen_columns, widths)
        lines += _heading(table.columns, chosen_columns, widths, rule)
        for one, row in zip(visible, body, strict=True):
            if row is not None:
                lines += _row(table.columns, row, chosen_columns, widths, forms)
            elif isinstance(one, Section):
                lines += [Line(line, "dim") for line in w.wrap(safe(one.text), width)]
        for row in footer:
            if any(row[i] for i in chosen_columns[1:]):
                lines += _row(table.columns, row, chosen_columns, widths, {}, "dim")
        cut = cut or any(text != form for column in forms.values() for text, form in column.items())
        left_out = [] if blocks else [i for i in range(len(table.columns)) if i not in chosen_columns]
    names = [safe(table.columns[i].heading).replace(" @", "@") for i in left_out]
    lines += [Line(line, "dim") for line in _remark(names, cut, table.elsewhere, width)]
    notes = [note for note in table.notes if note]
    if len(notes) > 1:
        lines.append(Line(""))
    for note in notes:
        lines += [Line(line, "dim") for line in w.wrap(safe(note), width, hanging=2)]
    return lines


def _visible(records: Sequence[Record | Section], most: int) -> list[Record | Section]:
    visible: list[Record | Section] = []
    n = 0
    for one in records:
        if not isinstance(one, Section):
            n += 1
            if n > most:
                break
        visible.append(one)
    while visible and isinstance(visible[-1], Section):
        visible.pop()
    return visible


class _Layout:
    """Widths of the columns of a table."""

    def __init__(
        self,
        cells: Sequence[Sequence[str]],
        footer: Sequence[Sequence[str]],
        columns: Sequence[Column],
        width: int,
    ):
        self._cells, self._columns, self._width = cells, columns, width
        self._natural, self._least, self._heading = [], [], []
        for i, column in enumerate(columns):
            widest = max((w.width_of(row[i]) for row in cells), default=0)
            heading = _two_lines(column.heading)
            least = widest
            if column.kind in ("name", "path"):
                least = min(widest, max(_LEAST_NAME, width // 4))
            elif column.kind == "prose":
                unbroken = max((w.least_width(row[i]) for row in cells), default=0)
                least = min(
                    widest, max(_LEAST_PROSE, min(unbroken, width // 2), min(widest // 3, width // 3))
                )
            below = max((w.width_of(row[i]) for row in footer), default=0)  # a footer is never cut
            self._natural.append(max(widest, below, heading))
            self._least.append(max(least, below, heading))
            self._heading.append(max(widest, below, w.width_of(column.heading)))

    def fitting(self) -> list[int]:
        """Return the columns that fit side by side, in order."""
        order = sorted(
            range(len(self._columns)), key=lambda i: (self._columns[i].rank != 0, -self._columns[i].rank)
        )
        kept: list[int] = []
        for i in order:
            if not kept or self._total([*kept, i]) <= self._width:
                kept.append(i)
        return sorted(kept)

    def blocks(self) -> list[list[int]]:
        """Share all columns among blocks that fit, each with the first column."""
        blocks = [[0]]
        for i in range(1, len(self._columns)):
            if self._total([*blocks[-1], i]) > self._width and len(blocks[-1]) > 1:
                blocks.append([0])
            blocks[-1].append(i)
        return blocks

    def _total(self, chosen: Sequence[int]) -> int:
        return sum(self._least[i] for i in chosen) + GAP * (len(chosen) - 1)

    def widths(self, chosen: Sequence[int]) -> dict[int, int]:
        """Return the width of each column: names get what is left, then headings."""
        room = self._width - GAP * (len(chosen) - 1)
        first = w.spread(room, [(self._least[i], self._natural[i]) for i in chosen])
        wide = [max(width, self._heading[i]) for i, width in zip(chosen, first, strict=True)]
        final = dict(zip(chosen, w.spread(room, list(zip(first, wide, strict=True))), strict=True))
        texts = [i for i in chosen if self._columns[i].kind != "number"]
        while texts and (excess := sum(final.values()) - room) > 0:  # a terminal that is too narrow
            widest = max(texts, key=lambda i: final[i])
            if final[widest] <= 1:
                break
            final[widest] = max(1, final[widest] - excess)
        return final

    def forms(self, chosen: Sequence[int], widths: Mapping[int, int]) -> dict[int, dict[str, str]]:
        """Return the texts of each column of names as they are shown."""
        return {
            i: w.shortened((row[i] for row in self._cells), widths[i], ends=self._columns[i].kind == "path")
            for i in chosen
            if self._columns[i].kind in ("name", "path")
        }


def _two_lines(heading: str) -> int:
    """Return the least width at which a heading takes at most two lines."""
    least = w.least_width(heading)
    while len(w.wrap(heading, least)) > 2:
        least += 1
    return least


def _heading(
    columns: Sequence[Column], chosen: Sequence[int], widths: Mapping[int, int], rule: str
) -> list[Line]:
    if not any(columns[i].heading for i in chosen):
        return []
    parts = {i: w.wrap(columns[i].heading, widths[i]) for i in chosen}
    height = max(map(len, parts.values()))
    padded = {i: [""] * (height - len(lines)) + lines for i, lines in parts.items()}
    lines = [_joined(columns, {i: padded[i][k] for i in chosen}, widths) for k in range(height)]
    total = sum(widths[i] for i in chosen) + GAP * (len(chosen) - 1)
    return [*(Line(line, "bold") for line in lines), Line(rule * total, "dim")]


def _row(
    columns: Sequence[Column],
    row: Sequence[str],
    chosen: Sequence[int],
    widths: Mapping[int, int],
    forms: Mapping[int, Mapping[str, str]],
    style: str = "plain",
) -> list[Line]:
    parts: dict[int, list[str]] = {}
    for i in chosen:
        text = forms[i].get(row[i], row[i]) if i in forms else row[i]
        fits = columns[i].kind == "number" or w.width_of(text) <= widths[i]
        parts[i] = [text] if fits else w.fold(text, widths[i])
    height = max(map(len, parts.values()))
    filled = {i: lines + [""] * (height - len(lines)) for i, lines in parts.items()}
    return [Line(_joined(columns, {i: filled[i][k] for i in chosen}, widths), style) for k in range(height)]


def _joined(columns: Sequence[Column], cells: Mapping[int, str], widths: Mapping[int, int]) -> str:
    padded = (w.pad(text, widths[i], left=columns[i].kind != "number") for i, text in cells.items())
    return (" " * GAP).join(padded).rstrip()


def _remark(left_out: Sequence[str], cut: bool, elsewhere: str, width: int) -> list[str]:
    """Say in a line what a terminal had no room for, and how to see it; a narrow terminal breaks the line once."""
    if not left_out:
        return w.wrap(f"Names are cut to fit; {elsewhere}.", width) if cut else []
    most = 1 if width >= _ONE_LINE else 2
    for n in range(len(left_out), -1, -1):
        more = len(left_out) - n
        names = ", ".join([*left_out[:n], *([f"{more} more" if n else f"{more} columns"] if more else [])])
        lines = w.wrap(f"Left out: {names}. {elsewhere[:1].upper()}{elsewhere[1:]}.", width)
        if len(lines) <= most:
            break
    return lines
