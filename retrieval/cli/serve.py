"""The command `imindex serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imindex.indexer.core.bounds import PORTS
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    Location,
    device_option,
    encoder_of,
    json_option,
    limit_options,
    limits_of,
    model_options,
    root_option,
    roots_of,
    within,
)
from imindex.indexer.terminal.output import print_json, say


@click.command(short_help="Serve indexes and audits as pages and an HTTP API.")
@click.option("-i", "--index", "indexes", multiple=True, type=Location(), help="Index file. Repeatable.")
@click.option(
    "--audit", "audits", multiple=True, metavar="DIR", type=click.Path(path_type=Path),
    help="Folder of an audit, or one that holds audits. Repeatable.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=within(PORTS), help="Port; 0 takes a free one.")
@click.option("--no-pictures", is_flag=True, help="Serve no thumbnails and no originals.")
@model_options
@device_option
@limit_options
@root_option
@json_option
@errors_for_people
def serve(
    indexes: tuple[Path | str, ...],
    audits: tuple[Path, ...],
    host: str,
    port: int,
    no_pictures: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Serve indexes and audits on this machine: pages to look at, and an HTTP API.

    \b
    imindex serve -i audit.h5
    imindex serve --audit plan-audit
    """
    try:
        from imindex.retrieval.serve.run import serve as run
        from imindex.retrieval.serve.settings import Settings
    except ModuleNotFoundError as error:
        raise ImindexError(
            f"imindex serve needs {error.name}, which is not installed. Run: pip install 'imindex[serve]'"
        ) from error
    if not indexes and not audits:
        raise click.UsageError("Nothing to serve. Pass -i INDEX, --audit DIR, or several of them.")
    settings = Settings(
        indexes=tuple(indexes),
        audits=tuple(audits),
        host=host,
        port=port,
        pictures=not no_pictures,
        roots=roots_of(options),
        encoder=encoder_of(options),
        limits=limits_of(options),
    )

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url})
        else:
            say(f"Serving on {url}. Press Ctrl-C to stop.")

    run(settings, ready)
