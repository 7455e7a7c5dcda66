"""Print to stdout and stderr: sentences, tables, numbers and JSON."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.secrets import without_secrets
from imindex.indexer.terminal.width import wrap

if TYPE_CHECKING:
    from imindex.indexer.terminal.table import Table

_UNLIMITED = 10**6
"""Width of what is not a terminal."""


def fail(message: str) -> NoReturn:
    """Exit with an error message and exit code 1."""
    raise ImindexError(message)


def say(message: str) -> None:
    """Write a note to stderr, made safe by `clean` and without credentials; a terminal breaks it at spaces."""
    text = clean(without_secrets(message))
    click.echo("\n".join(wrap(text, terminal_width())) if sys.stderr.isatty() else text, err=True)


def error_text(text: str, first: int) -> str:
    """Return a safe text for stderr as a terminal shows it: its lines broken at spaces.

    `first` columns of the first line are taken already.
    """
    if not sys.stderr.isatty():
        return text
    width, lines = terminal_width(), text.split("\n")
    parts = [wrap(line, width, first=0 if number else first) for number, line in enumerate(lines)]
    return "\n".join(line for part in parts for line in part)


def echo(*lines: str, hanging: int = 0) -> None:
    """Write lines to stdout, each made safe by `clean`. Commands write text through this function only.

    A line feed inside a line is escaped like any control character, so that no name can begin a line of its own. A
    terminal breaks long lines at spaces, and indents what follows by `hanging` columns.
    """
    texts = [clean(line) for line in lines]
    if is_terminal():
        width = terminal_width()
        texts = [part for text in texts for part in wrap(text, width, hanging=hanging)]
    click.echo("\n".join(texts))


def echo_text(text: str) -> None:
    """Write a text of imindex itself to stdout as it is; it may have several lines."""
    click.echo(text)


def show_escape(sequence: str) -> None:
    """Write an escape sequence of imindex itself, such as a picture, to a terminal; anything else gets nothing."""
    if is_terminal():
        click.echo(sequence)


def print_json(value: Mapping[str, Any]) -> None:
    """Print a result to stdout as JSON; NaN becomes null."""
    click.echo(json_text(value, indent=2))


def clean(text: str, keep: str = "") -> str:
    """Make a text safe for a terminal: control characters, marks of direction and stray bytes are escaped.

    Examples
    --------
    >>> clean("[link=x]\\x1b[2J\\n")
    '[link=x]\\\\x1b[2J\\\\x0a'
    """
    return "".join(c if c.isprintable() or c in keep else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 2**8 else f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"


def number(value: float | None, digits: int = 3) -> str:
    """Format a number for a table; None and NaN become a dash."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """Format a fraction as a percentage; None and NaN become a dash."""
    return "-" if value is None or value != value else f"{100 * value:.1f} %"


@dataclass(frozen=True)
class View:
    """How a command shows its table: the columns chosen by --columns, and whether it is CSV (--csv)."""

    columns: tuple[str, ...] = ()
    as_csv: bool = False

    @property
    def for_machines(self) -> bool:
        """Whether the table is written as separated values: with --csv, and where stdout is not a terminal."""
        return self.as_csv or not is_terminal()


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def terminal_width() -> int:
    """Return the number of columns of the terminal."""
    return max(20, shutil.get_terminal_size((80, 24)).columns)


def show_table(table: Table, view: View = View()) -> None:
    """Write the table of a command to stdout.

    A terminal gets the columns that it has room for, and a line about those it has not; the table's title and notes are
    around it. Anything else gets every row and field: a header, and values separated by tabs, or by commas with
    --csv. The notes are then written to stderr.
    """
    from imindex.indexer.terminal import table as tables

    if view.for_machines:
        whole = tables.chosen(table, view.columns or ["all"])
        click.echo(tables.separated(whole, as_csv=view.as_csv, safe=clean), nl=False)
        for note in table.notes:
            if note:
                say(note)
        return
    selected = tables.chosen(table, view.columns) if view.columns else table
    _draw(selected, blocks=bool(view.columns))


def show_aside(table: Table, view: View = View()) -> None:
    """Write a further table of a command: to a terminal on stdout, otherwise to stderr, in the form for people."""
    _draw(table, err=view.for_machines)


def remark(*lines: str, view: View = View()) -> None:
    """Write sentences about a table: to a terminal on stdout, otherwise to stderr."""
    if view.for_machines:
        for line in lines:
            say(line)
    else:
        echo(*lines)


def _draw(table: Table, *, blocks: bool = False, err: bool = False) -> None:
    from imindex.indexer.terminal import table as tables

    stream = sys.stderr if err else sys.stdout
    width = terminal_width() if stream.isatty() else _UNLIMITED
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    lines = []
    for line in tables.drawn(table, width, blocks=blocks, safe=clean):
        text = _encodable(line.text, stream)
        if not plain and line.style != "plain" and text:
            text = click.style(text, bold=line.style == "bold" or None, dim=line.style == "dim" or None)
        lines.append(text)
    click.echo("\n".join([*lines, ""]), err=err)


def _encodable(text: str, stream: TextIO) -> str:
    """Replace the rule and the ellipsis where the encoding of a terminal lacks them."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    for character, instead in (("\u2500", "-"), ("\u2026", "~"), ("\u00b1", "+-")):
        if character in text:
            try:
                character.encode(encoding)
            except UnicodeEncodeError:
                text = text.replace(character, instead)
    return text


def print_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    note: str | Sequence[str] = "",
    aside: bool = False,
    elsewhere: str = "see a wider terminal or a pipe",
) -> None:
    """Write a table of texts, as `show_table` does, or as `show_aside` does if `aside`.

    The first `left` columns are aligned left, the others right. An empty header gives a table of names and values.
    """
    show = show_aside if aside else show_table
    show(text_table(title, header, rows, left=left, note=note, elsewhere=elsewhere))


def text_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    note: str | Sequence[str] = "",
    elsewhere: str = "see a wider terminal or a pipe",
) -> Table:
    """Return a table of texts; its first `left` columns are aligned left, and broken at spaces if they must be."""
    from imindex.indexer.terminal.table import Column, Table

    names = list(header) or ["name", "value", *map(str, range(2, len(rows[0]) if rows else 2))]
    fields = [re.sub(r"\W+", "_", name) or "name" for name in names]
    return Table(
        title,
        [
            Column(
                field,
                name if header else "",
                str,
                kind="number" if i >= left else "prose",
                rank=0 if i == 0 or not header else len(names) - i,
            )
            for i, (field, name) in enumerate(zip(fields, names, strict=True))
        ],
        [dict(zip(fields, row, strict=True)) for row in rows],
        notes=[note] if isinstance(note, str) else list(note),
        elsewhere=elsewhere,
    )


def count(n: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: `1 picture`, `2,000 pictures`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def short_path(path: str | os.PathLike[str]) -> str:
    """Return a path as a heading shows it: relative to the current folder, or from `~`, if it is in one of them.

    Examples
    --------
    >>> short_path(Path.cwd() / "audit.h5"), short_path(Path.home().parent / "audit.h5")[:1]
    ('audit.h5', '/')
    """
    if is_url(os.fspath(path)):
        return os.fspath(path)
    full = Path(path).absolute()
    for base, prefix in ((Path.cwd(), ""), (Path.home(), "~")):
        if full.is_relative_to(base):
            inside = full.relative_to(base).as_posix()
            return f"{prefix}/{inside}" if prefix else inside
    return str(path)


def file_size(size: int) -> str:
    """Format a number of bytes, such as `72.3 MB`."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
