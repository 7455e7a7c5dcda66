"""The command `imindex migrate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import command_line, index_option, json_option
from imindex.indexer.terminal.output import count, echo, print_json


@click.command(short_help="Upgrade an index from an older format version.")
@index_option
@json_option
@errors_for_people
def migrate(index: Path, as_json: bool) -> None:
    """Upgrade an index from an older format version. Its root digest stays the same.

    The old file is verified first, then replaced atomically by the new one.

    \b
    imindex migrate -i audit.h5
    """
    from imindex.indexer.maintain.migrate import migrate as rewrite

    report = rewrite(index, command=command_line())
    if as_json:
        print_json({"index": index, "changed": report.changed, **asdict(report)})
    elif report.changed:
        echo(
            f"Migrated {index} from format {report.before} to {report.after}: "
            f"{count(report.rows, 'row')}, root digest {report.root_digest[:12]} as before."
        )
    else:
        echo(f"{index} is already in format {report.after}: nothing to do.")
