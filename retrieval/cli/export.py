"""The command `imindex export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imindex.indexer.core.bounds import NEIGHBOURS, SIDES
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.terminal.complete import complete_artists, complete_collections
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    IndexPlace,
    indexes_option,
    json_option,
    root_option,
    roots_of,
    within,
)
from imindex.indexer.terminal.output import count, echo, print_json, say

NUMPY = "numpy"
SUFFIXES = {
    "parquet": ".parquet",
    "embedding-atlas": ".parquet",
    "csv": ".csv",
    "lance": ".lance",
    "fiftyone": "",
}
NEXT = {
    "embedding-atlas": "Open it: embedding-atlas {out} --vector vector --image image --x x --y y --neighbors neighbors",
    "fiftyone": 'Open it: fiftyone.Dataset.from_dir("{out}", fiftyone.types.FiftyOneImageClassificationDataset)',
}


@click.command(short_help="Write an index as files of other programs.")
@click.argument("out", type=click.Path(path_type=Path))
@indexes_option
@click.option(
    "--to", "target", type=click.Choice((NUMPY, *SUFFIXES)), default=NUMPY, show_default=True,
    help="numpy: vectors.npy, items.parquet, rejects.parquet and index.json in the folder OUT. The others are one file "
    "or folder OUT with metadata, vectors, map, neighbours and thumbnails.",
)  # fmt: skip
@click.option("--vectors/--no-vectors", default=True, help="Include the vectors.")
@click.option(
    "--projection/--no-projection", default=True, help="Include the map (x, y), computing it if needed."
)
@click.option("--neighbours", type=click.IntRange(0, int(NEIGHBOURS.most)), default=10, show_default=True,
              help="Nearest neighbours of each row; 0 for none.")  # fmt: skip
@click.option(
    "--thumbnails/--no-thumbnails", default=True, help="Include thumbnails of pictures that are still there."
)
@click.option("--side", type=within(SIDES), default=192, show_default=True, help="Longer side of thumbnails.")
@click.option("--collection", "collections", multiple=True, help="Only this collection. Repeatable.",
              shell_complete=complete_collections)  # fmt: skip
@click.option(
    "--artist",
    "artists",
    multiple=True,
    help="Only this artist. Repeatable.",
    shell_complete=complete_artists,
)
@click.option("--pictures-from", multiple=True, metavar="DIR",
              type=click.Path(path_type=Path, file_okay=False, exists=True), help=(
    "Read pictures in this folder too, besides those in the folder of the index and in its named "
              "roots. Repeatable."
))  # fmt: skip
@click.option("--force", is_flag=True, help="Replace what is there.")
@root_option
@json_option
@errors_for_people
def export(out: Path, index: IndexPlace, target: Any, force: bool, as_json: bool, **options: Any) -> None:
    """Write an index as OUT, for other programs.

    A thumbnail is made only of a file whose bytes are those that were indexed.

    \b
    imindex export out/ -i audit.h5
    imindex export audit.parquet -i audit.h5 --to embedding-atlas
    imindex export audit.csv -i audit.h5 --to csv --no-vectors
    """
    if target == NUMPY:
        _numpy(out, index, force, as_json, options)
        return
    from imindex.retrieval import api

    if SUFFIXES[target] and out.suffix != SUFFIXES[target]:
        raise ImindexError(f"{out} does not end in {SUFFIXES[target]}, as {target} needs. Name another file.")
    with api.open(index, roots=roots_of(options)) as opened:
        for note in opened.notes:
            say(note)
        report = opened.export(
            out,
            target,
            vectors=options["vectors"],
            projection=options["projection"],
            neighbours=options["neighbours"],
            thumbnails=options["thumbnails"],
            side=options["side"],
            collections=options["collections"],
            artists=options["artists"],
            pictures_from=options["pictures_from"],
            force=force,
            note=(lambda _: None) if as_json else (lambda what: say(f"{what} ...")),
        )
    if as_json:
        print_json({
            "index": report.index, "target": target, "rows": report.rows,
            "without_thumbnail": report.n_without_thumbnail, "files": [str(path) for path in report.files],
        })  # fmt: skip
        return
    if report.n_without_thumbnail:
        say(
            f"{count(report.n_without_thumbnail, 'picture')} without a thumbnail: the file is not there, is not "
            "what was indexed, or is in a folder that --pictures-from does not name."
        )
    echo(f"Exported {count(report.rows, 'row')} to {out}.")
    if target in NEXT:
        say(NEXT[target].format(out=out))


def _numpy(out: Path, index: IndexPlace, force: bool, as_json: bool, options: dict[str, object]) -> None:
    from imindex.indexer.maintain.export import export as write_files
    from imindex.indexer.store.opening import open_index

    if options["collections"] or options["artists"]:
        raise click.UsageError(
            "--to numpy writes all rows. Drop --collection and --artist, or choose another --to."
        )
    with open_index(index) as opened:
        files = write_files(opened, out, force=force)
        for note in opened.notes:
            say(note)
        n, shown, named = opened.n, opened.path, opened.files
    if as_json:
        print_json({"index": named, "rows": n, "files": files})
        return
    echo(f"Exported {count(n, 'row')} of {shown} to {out}.")
