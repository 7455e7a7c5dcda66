"""The command `imindex migrate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import command_line, index_option, json_option
from imindex.indexer.terminal.output import clean, count, print_json


@click.command(short_help="Bring an index of an older format version up to date.")
@index_option
@json_option
@errors_for_people
def migrate(index: Path, as_json: bool) -> None:
    """Bring an index of an older format version up to date. Its root digest stays the same.

    The old file is verified first, and replaced by the new one as a whole.

    \b
    imindex migrate -i audit.h5
    """
    from imindex.indexer.maintain.migrate import migrate as write_anew

    report = write_anew(index, command=command_line())
    if as_json:
        print_json({"index": index, "changed": report.changed, **asdict(report)})
    elif report.changed:
        click.echo(
            f"Migrated {clean(str(index))} from format {report.before} to {report.after}: "
            f"{count(report.rows, 'row')}, root digest {report.root_digest[:12]} as before."
        )
    else:
        click.echo(f"{clean(str(index))} is in format {report.after} already: there is nothing to do.")
