"""The command `imindex push`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import IndexPlace, index_option, json_option, root_option, roots_of
from imindex.indexer.terminal.output import echo, file_size, print_json, say


@click.command(short_help="Upload an index to a dataset repository of a hub.")
@click.argument("repository", metavar="OWNER/NAME")
@index_option
@click.option(
    "--license", required=True, metavar="ID", help="Licence of vectors and names: cc-by-4.0, other, ..."
)
@click.option("--title", default="", help="Title of the card; by default the name of the file.")
@click.option("--private/--public", default=True, show_default=True, help="Of a repository that is created.")
@click.option("--revision", default="main", show_default=True, help="Branch.")
@click.option(
    "--table/--no-table", default=True, help="Also upload the rows as Parquet, which the hub shows."
)
@click.option("--with-thumbnails", is_flag=True, help="Put thumbnails of the pictures into the table.")
@click.option("--pictures-from", multiple=True, metavar="DIR",
              type=click.Path(path_type=Path, file_okay=False, exists=True), help=(
    "Read pictures in this folder too. Repeatable."
))  # fmt: skip
@click.option("--message", default="", help="Message of the commit.")
@click.option("--dry-run", is_flag=True, help="Show what would be uploaded, and upload nothing.")
@root_option
@json_option
@errors_for_people
def push(
    repository: str, index: IndexPlace, license: str, as_json: bool, dry_run: bool, **options: Any
) -> None:
    """Upload an index to the dataset repository OWNER/NAME, with a card that is generated from it.

    The index travels as it is; pictures do not, unless --with-thumbnails is given. Sign in first with
    `hf auth login`, or set HF_TOKEN.

    \b
    imindex push me/audit -i audit.h5 --license other --dry-run
    imindex push me/audit -i audit.h5 --license cc-by-4.0
    """
    from imindex.retrieval import api

    if options["with_thumbnails"] and not options["table"]:
        raise click.UsageError("Thumbnails are in the table. Drop --no-table or --with-thumbnails.")
    with api.open(index, roots=roots_of(options)) as opened:
        done = opened.push(
            repository,
            license=license,
            title=options["title"],
            private=options["private"],
            revision=options["revision"],
            table=options["table"],
            thumbnails=options["with_thumbnails"],
            pictures_from=options["pictures_from"],
            message=options["message"],
            dry_run=dry_run,
            note=(lambda _: None) if as_json else (lambda what: say(f"{what} ...")),
        )
    if as_json:
        print_json({
            "repository": done.repository, "url": done.url, "revision": done.revision, "root": done.root,
            "files": done.files, "private": done.private, "uploaded": not dry_run,
        })  # fmt: skip
        return
    files = ", ".join(f"{name} ({file_size(size)})" for name, size in done.files.items())
    if dry_run:
        kind = "private" if done.private else "public"
        echo(f"Would upload {files} to {done.url} ({kind}, if it is created). Nothing was uploaded.")
    else:
        echo(f"Uploaded {files} to {done.url}.")
