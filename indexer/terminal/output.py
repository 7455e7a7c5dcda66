"""Print to stdout and stderr: sentences, tables, numbers and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.jsonable import json_ready


def fail(message: str) -> NoReturn:
    """Exit with an error message and exit code 1."""
    raise ImindexError(message)


def say(message: str) -> None:
    """Write a note to stderr."""
    click.echo(clean(message), err=True)


def print_json(value: Mapping[str, Any]) -> None:
    """Print a result to stdout as JSON; NaN becomes null."""
    click.echo(json.dumps(json_ready(value), ensure_ascii=True, indent=2, allow_nan=False))


def clean(text: str, keep: str = "") -> str:
    """Make a name safe for a terminal: control characters and stray bytes are escaped."""
    return "".join(
        c if c.isprintable() or c in keep else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}"
        for c in text
    )


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

    The first `left` columns are aligned left, the others right. An empty header gives a table of names and values.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=bool(header), show_edge=False)
    for position, name in enumerate(header or [""] * len(rows[0])):
        table.add_column(Text(name), justify="left" if position < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console = _stdout()
    console.print(Text(clean(title), "bold"))
    console.print(table)
    for line in [note] if isinstance(note, str) else note:
        if line:
            console.print(Text(clean(line), "dim"))
    console.print()


def _stdout() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def count(n: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: `1 picture`, `2,000 pictures`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
