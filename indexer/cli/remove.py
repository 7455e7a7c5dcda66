"""`imindex remove`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    index_option,
    json_option,
)
from imindex.indexer.terminal.output import clean, count, print_json, say


@click.command(short_help="Take pictures out of an index for good.")
@index_option
@click.option("--artist", "artists", multiple=True, help="All pictures of this artist. May be repeated.")
@click.option("--collection", "collections", multiple=True, help="A whole collection. May be repeated.")
@click.option(
    "--sha256", "digests", multiple=True, help="The pictures with these bytes (64 hexadecimal digits)."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave the index as it is.")
@json_option
@errors_for_people
def remove(
    index: Path,
    artists: tuple[str, ...],
    collections: tuple[str, ...],
    digests: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take pictures out of an index for good: vectors, rows, rejects and names.

    Several kinds of condition must all hold; without one nothing is removed. The pictures themselves are left
    where they are, and come back with the next build that is given them.

    \b
    imindex remove --artist "Ada Example"
    imindex remove --collection sd-1.5 --dry-run
    """
    if not artists and not collections and not digests:
        raise click.UsageError("Say what to remove: --artist, --collection or --sha256.")
    from imindex.indexer.maintain.remove import remove as remove_rows

    report = remove_rows(index, artists=artists, collections=collections, digests=digests, dry_run=dry_run)
    if as_json:
        print_json({"index": index, "dry-run": dry_run, **asdict(report)})
        return
    for line in report.notes:
        say(line)
    verb = "Would remove" if dry_run else "Removed"
    click.echo(
        f"{verb} {count(report.removed, 'picture')} and {count(report.rejects, 'reject')} "
        f"from {clean(str(index))}: {count(report.rows, 'row')} {'would be' if dry_run else 'are'} left."
    )
