"""The command `imindex export`."""

from __future__ import annotations

from pathlib import Path

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    index_option,
    json_option,
)
from imindex.indexer.terminal.output import count, echo, print_json


@click.command(short_help="Write an index as NumPy and Parquet files.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@index_option
@click.option("--force", is_flag=True, help="Overwrite files from an earlier export.")
@json_option
@errors_for_people
def export(folder: Path, index: Path, force: bool, as_json: bool) -> None:
    """Write an index as FOLDER/vectors.npy, items.parquet, rejects.parquet and index.json.

    Row i of vectors.npy (float16) corresponds to row i of items.parquet.

    \b
    imindex export out/ -i audit.h5
    """
    from imindex.indexer.maintain.export import export as write_files
    from imindex.indexer.store.index import Index

    with Index(index) as opened:
        files = write_files(opened, folder, force=force)
        n = opened.n
    if as_json:
        print_json({"index": index, "rows": n, "files": files})
        return
    echo(f"Exported {count(n, 'row')} of {index} to {folder}.")
