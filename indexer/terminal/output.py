"""Print to stdout and stderr: sentences, tables, numbers and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text


def fail(message: str) -> NoReturn:
    """Exit with an error message and exit code 1."""
    raise ImindexError(message)


def say(message: str) -> None:
    """Write a note to stderr, made safe by `clean`."""
    click.echo(clean(message), err=True)


def echo(*lines: str) -> None:
    """Write lines to stdout, each made safe by `clean`. Commands write text through this function only.

    A line feed inside a line is escaped like any control character, so that no name can begin a line of its own.
    """
    click.echo("\n".join(map(clean, lines)))


def echo_text(text: str) -> None:
    """Write a text of imindex itself to stdout as it is; it may have several lines."""
    click.echo(text)


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


def print_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    note: str | Sequence[str] = "",
) -> None:
    """Print a table to stdout.

    The first `left` columns are aligned left, the others right. An empty header gives a table of names and values. On a
    terminal that is too narrow for the table, each row is a paragraph, so that no number is broken across lines.
    """
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=bool(header), show_edge=False)
    for position, name in enumerate(header or [""] * len(rows[0])):
        text = position < left
        table.add_column(
            Text(clean(name)),
            justify="left" if text else "right",
            overflow="fold",
            no_wrap=bool(header) and not text,
        )
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console = _stdout()
    console.print(Text(clean(title), "bold"))
    if header and console.is_terminal and _least_width(header, rows, left) > console.width:
        for row in rows:
            console.print(Text("  ".join(clean(cell) for cell in row[:left] if cell), "bold"))
            pairs = [(name, cell) for name, cell in zip(header[left:], row[left:], strict=True) if cell]
            words = ["\u00a0".join(clean(f"{name} {cell}").split()) for name, cell in pairs]
            console.print(Padding(Text(", ".join(words)), (0, 0, 0, 2)))
    else:
        console.print(table)
    for line in [note] if isinstance(note, str) else note:
        if line:
            console.print(Text(clean(line), "dim"))
    console.print()


def _least_width(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> int:
    """Return the width of a table whose left columns are broken into lines and whose numbers are not."""
    widths = [max(len(clean(line[column])) for line in (header, *rows)) for column in range(len(header))]
    return sum(min(width, 10) if column < left else width for column, width in enumerate(widths)) + 3 * len(
        widths
    )


def _stdout() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def count(n: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: `1 picture`, `2,000 pictures`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def file_size(size: int) -> str:
    """Format a number of bytes, such as `72.3 MB`."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
