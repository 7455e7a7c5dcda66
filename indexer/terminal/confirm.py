"""Ask before something is removed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from imindex.indexer.terminal.output import count, file_size, say

if TYPE_CHECKING:
    from imindex.indexer.core.removal import Counted, Removal

_SHOWN = 10

yes_option = click.option("--yes", is_flag=True, help="Remove without asking, as scripts do.")


def confirm(removal: Removal, index: object, yes: bool) -> None:
    """Show on stderr what is to be removed from an index, and ask, unless `yes`.

    Raises
    ------
    click.UsageError
        The answer is no, or there is no terminal to ask on.
    """
    for line in lines_of(removal, index):
        say(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(
            "Nothing was removed: there is no terminal to ask for a confirmation on. Add --yes to remove these "
            "pictures without a question."
        )
    if not click.confirm("Remove them permanently?", err=True):
        raise click.UsageError("Nothing was removed.")


def lines_of(removal: Removal, index: object) -> list[str]:
    """Return the lines that describe a removal: counts by artist and collection, a few paths, and sizes."""
    lines = [
        f"To be removed from {index}: {_both(removal.pictures, removal.rejects)}; {count(removal.rows, 'row')} "
        f"will be left. The file has {file_size(removal.bytes_before)}, afterwards about "
        f"{file_size(removal.bytes_after)}."
    ]
    for what, counted in (("artist", removal.artists), ("collection", removal.collections)):
        lines += [f"  {what} {one.name}: {_both(one.pictures, one.rejects)}" for one in counted[:_SHOWN]]
        if len(counted) > _SHOWN:
            lines.append(f"  and {len(counted) - _SHOWN:,} more {what}s: {_rest(counted[_SHOWN:])}")
    lines += [f"  {path}" for path in removal.paths]
    if (more := removal.pictures + removal.rejects - len(removal.paths)) > 0:
        lines.append(f"  and {count(more, 'more file')}")
    return lines


def _rest(counted: tuple[Counted, ...]) -> str:
    return _both(sum(one.pictures for one in counted), sum(one.rejects for one in counted))


def _both(pictures: int, rejects: int) -> str:
    text = count(pictures, "picture")
    return f"{text} and {count(rejects, 'reject')}" if rejects else text
