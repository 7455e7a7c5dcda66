"""The command `imindex pull`."""

from __future__ import annotations

from pathlib import Path

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import DEFAULT_INDEX, json_option
from imindex.indexer.terminal.output import count, echo, print_json, say


@click.command(short_help="Download an index from a hub, and check it.")
@click.argument("repository", metavar="OWNER/NAME")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_INDEX, show_default=True,
              help="Where to write it.")  # fmt: skip
@click.option("--revision", default="main", show_default=True, help="Branch, tag or commit.")
@click.option("--force", is_flag=True, help="Replace the file.")
@json_option
@errors_for_people
def pull(repository: str, out: Path, revision: str, force: bool, as_json: bool) -> None:
    """Download the index of the dataset repository OWNER/NAME, check it, and compare it with what its card states.

    It is a file from somebody else: encoders that it names are loaded only with --trust-encoder, unless they have a
    published name.

    \b
    imindex pull me/audit -o audit.h5
    """
    from imindex.retrieval import api

    done = api.pull(
        repository, out, revision=revision, force=force,
        note=(lambda _: None) if as_json else (lambda what: say(f"{what} ...")),
    )  # fmt: skip
    if as_json:
        print_json({
            "repository": done.repository, "revision": done.revision, "file": str(done.file), "rows": done.rows,
            "root": done.root, "stated": done.stated,
        })  # fmt: skip
        return
    if not done.stated:
        say("The card states no root digest, so the index was checked by itself only.")
    echo(
        f"Downloaded {count(done.rows, 'row')} to {done.file}, revision {done.revision[:12]}, root {done.root[:12]}."
    )
