"""The command `imindex merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import PathOrUrl, command_line, json_option, root_option, roots_of
from imindex.indexer.terminal.output import count, echo, print_json, say
from imindex.indexer.terminal.progress import progress_bar, quiet_option


@click.command(short_help="Merge several index files into one.")
@click.argument(
    "files", nargs=-1, required=True, type=PathOrUrl(path_type=Path, dir_okay=False), metavar="FILE..."
)
@click.option(
    "-o", "--out", type=PathOrUrl(path_type=Path, dir_okay=False), required=True, metavar="FILE",
    help="The new index.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an existing file.")
@root_option
@json_option
@quiet_option
@errors_for_people
def merge(files: tuple[Path, ...], out: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Merge index files into one, in their order; nothing is encoded.

    The files must have one encoder. Artists and collections keep the order in which they first appear. A picture that
    several files hold (same artist, collection, path and bytes) is one row. The log has the changes of each file and
    their root digests. Approximate indexes are not merged; run `imindex optimize` afterwards.

    Queries and tests need no merge: -i "part-*.h5" reads several files as one index.

    \b
    imindex merge part-*.h5 -o all.h5
    imindex merge works.h5 releases/*.h5 -o all.h5 --root art=/data/art
    """
    from imindex.indexer.maintain.merge import merge as write_merged
    from imindex.indexer.store.opening import open_index
    from imindex.indexer.system.index_files import index_files

    roots = roots_of(options)
    n = 0
    for file in index_files(files):
        with open_index(file) as index:
            n += index.n
    with progress_bar(n, "Merging") as advance:
        report = write_merged(
            files,
            out,
            roots=roots,
            force=force,
            command=command_line(),
            progress=lambda done: advance(done, done),
        )
    if as_json:
        print_json(report.to_dict())
        return
    for note in report.notes:
        say(note)
    echo(
        f"Merged {count(len(report.files), 'file')} into {report.path}: {count(report.rows, 'row')}, "
        f"{count(report.rejects, 'reject')}, root digest {report.root_digest[:12]}."
    )
