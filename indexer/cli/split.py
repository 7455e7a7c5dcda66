"""The command `imindex split`."""

from __future__ import annotations

from pathlib import Path

import click

from imindex.indexer.core.bounds import ROWS
from imindex.indexer.core.url import Url
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import PathOrUrl, command_line, json_option, within
from imindex.indexer.terminal.output import count, echo, print_json, say
from imindex.indexer.terminal.progress import progress_bar, quiet_option


@click.command(short_help="Split an index into several files.")
@click.argument("index", type=PathOrUrl(path_type=Path, dir_okay=False), metavar="INDEX")
@click.option("--rows", type=within(ROWS), metavar="N", help="Files of at most N rows, in their order.")
@click.option("--by", type=click.Choice(("artist",)), help="A file for each artist.")
@click.option(
    "-o", "--out", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Where to write the files.  [default: the folder of the index]",
)  # fmt: skip
@json_option
@quiet_option
@errors_for_people
def split(index: Path | Url, rows: int | None, by: str | None, folder: Path | None, as_json: bool) -> None:
    """Split an index into files of at most N rows, or into a file for each artist; nothing is encoded.

    The files are NAME-0000.h5, NAME-0001.h5 and so on; the index itself stays. With --rows, all rejects are in the
    first file. `imindex merge` of the files into the folder of the index has its root digest, if the order of the rows
    is kept: always with --rows. After an interruption, run the same command again: it keeps the files that are written.

    \b
    imindex split all.h5 --rows 1000000 -o parts/
    imindex split all.h5 --by artist -o artists/
    imindex query picture.png -i "parts/all-*.h5"
    """
    if (rows is None) == (by is None):
        raise click.UsageError("Pass either --rows N or --by artist.")
    from imindex.indexer.maintain.split import split as write_parts
    from imindex.indexer.store.opening import open_index

    with open_index(index) as opened:
        n = opened.n
    with progress_bar(n, "Splitting") as advance:
        report = write_parts(
            index,
            folder,
            rows=rows,
            by_artist=by is not None,
            command=command_line(),
            progress=lambda done: advance(done, done),
        )
    if as_json:
        print_json({"index": index, **report.to_dict()})
        return
    for note in report.notes:
        say(note)
    if report.kept:
        say(f"{count(report.kept, 'file')} of an earlier run {'was' if report.kept == 1 else 'were'} kept.")
    if not report.keeps_order:
        say(
            "The files have the rows in another order than the index, so a merge of them has another root digest."
        )
    echo(
        f"Split {index} into {count(len(report.files), 'file')} in {report.files[0].parent}: "
        f"{report.files[0].name} to {report.files[-1].name}."
    )
