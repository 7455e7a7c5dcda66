"""The command `imindex export`."""

from __future__ import annotations

from pathlib import Path

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    IndexPlace,
    indexes_option,
    json_option,
)
from imindex.indexer.terminal.output import count, echo, print_json, say


@click.command(short_help="Write an index as NumPy and Parquet files.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@indexes_option
@click.option("--force", is_flag=True, help="Overwrite files from an earlier export.")
@json_option
@errors_for_people
def export(folder: Path, index: IndexPlace, force: bool, as_json: bool) -> None:
    """Write an index as FOLDER/vectors.npy, items.parquet, rejects.parquet and index.json.

    Row i of vectors.npy (float16) corresponds to row i of items.parquet.

    \b
    imindex export out/ -i audit.h5
    """
    from imindex.indexer.maintain.export import export as write_files
    from imindex.indexer.store.opening import open_index

    with open_index(index) as opened:
        files = write_files(opened, folder, force=force)
        for note in opened.notes:
            say(note)
        n, shown, named = opened.n, opened.path, opened.files
    if as_json:
        print_json({"index": named, "rows": n, "files": files})
        return
    echo(f"Exported {count(n, 'row')} of {shown} to {folder}.")
