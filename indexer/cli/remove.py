"""The command `imindex remove`."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path

import click

from imindex.indexer.terminal.complete import complete_artists, complete_collections
from imindex.indexer.terminal.confirm import confirm, lines_of, yes_option
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    index_option,
    json_option,
)
from imindex.indexer.terminal.output import count, echo, print_json, say


@click.command(short_help="Remove pictures from an index permanently.")
@index_option
@click.option(
    "--artist",
    "artists",
    multiple=True,
    help="Remove all pictures of this artist. Repeatable.",
    shell_complete=complete_artists,
)
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="Remove this collection. Repeatable.",
    shell_complete=complete_collections,
)
@click.option(
    "--sha256",
    "digests",
    multiple=True,
    help="Remove pictures with this SHA-256 (64 hexadecimal digits). Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, without changing the index.")
@json_option
@yes_option
@errors_for_people
def remove(
    index: Path,
    artists: tuple[str, ...],
    collections: tuple[str, ...],
    digests: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Remove pictures from an index permanently: vectors, rows, rejects and names.

    A picture is removed if it matches every kind of option given; at least one option is required. The picture files
    stay where they are; a later build that includes them adds them again. What will be removed is shown, and must be
    confirmed: in a terminal, or by --yes.

    \b
    imindex remove --artist "Ada Example"
    imindex remove --collection sd-1.5 --dry-run
    imindex remove --collection sd-1.5 --yes
    """
    if not artists and not collections and not digests:
        raise click.UsageError("Specify what to remove: --artist, --collection or --sha256.")
    from imindex.indexer.maintain.remove import remove as remove_rows

    removing = functools.partial(
        remove_rows, index, artists=artists, collections=collections, digests=digests
    )
    report = removing(dry_run=True)
    if report.removal is not None and report.removed + report.rejects:
        if dry_run:
            for line in lines_of(report.removal, index):
                say(line)
        else:
            confirm(report.removal, index, yes)
            report = removing(expected=report.root_digest)
    if as_json:
        print_json({"index": index, "dry-run": dry_run, **asdict(report)})
        return
    for line in report.notes:
        say(line)
    verb = "Would remove" if dry_run else "Removed"
    echo(
        f"{verb} {count(report.removed, 'picture')} and {count(report.rejects, 'reject')} "
        f"from {index}: {count(report.rows, 'row')} {'would be' if dry_run else 'are'} left."
    )
