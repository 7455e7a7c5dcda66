"""The command `imindex serve`."""

from __future__ import annotations

import os
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imindex.indexer.core.bounds import MEGABYTES, NEIGHBOURS, PORTS, PROCESSES, REQUESTS, SECONDS
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text
from imindex.indexer.system.input_files import read_text
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
from imindex.indexer.terminal.output import echo_text, say

TOKEN = "IMINDEX_TOKEN"
"""The environment variable that may hold the token."""
_SHORTEST = 16
"""Fewest characters of a token."""


@click.command(short_help="Serve indexes and audits as pages and an HTTP API.")
@click.option("-i", "--index", "indexes", multiple=True, type=Location(), help="Index file. Repeatable.")
@click.option(
    "--audit", "audits", multiple=True, metavar="DIR", type=click.Path(path_type=Path),
    help="Folder of an audit, or one that holds audits. Repeatable.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=within(PORTS), help="Port; 0 takes a free one.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--token-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help=f"File with the token that each request must bring; or set {TOKEN}. Needed for any --host but this machine.",
)  # fmt: skip
@click.option("--no-pictures", is_flag=True, help="Serve no thumbnails and no originals.")
@click.option(
    "--pictures-from", multiple=True, metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Serve pictures in this folder too, besides those in the folder of the index, in its named roots and, for an "
    "audit, in the folder around it. Repeatable.",
)  # fmt: skip
@click.option(
    "--max-upload", type=within(MEGABYTES), default=64.0, show_default=True, metavar="MB",
    help="Largest request in megabytes.",
)  # fmt: skip
@click.option(
    "--max-pictures", type=within(REQUESTS), default=32, show_default=True,
    help="Most pictures, and most texts, in one request.",
)  # fmt: skip
@click.option(
    "--max-k", type=within(NEIGHBOURS), default=1000, show_default=True, help="Most neighbours of each kind."
)
@click.option(
    "--queue", type=within(REQUESTS), default=256, show_default=True,
    help="Most requests that wait or compute; a further one is refused.",
)  # fmt: skip
@click.option(
    "--timeout", type=within(SECONDS), default=30.0, show_default=True, metavar="SECONDS",
    help="Time after which a request is given up.",
)  # fmt: skip
@click.option("--threads", type=within(PROCESSES), help="Searches at a time; by default, one per processor.")
@click.option(
    "--access-log", is_flag=True, help="Write a line per request to stderr: route, status, seconds."
)
@model_options
@device_option
@limit_options
@root_option
@json_option
@errors_for_people
def serve(  # noqa: PLR0913 - options of a command
    indexes: tuple[Path | str, ...],
    audits: tuple[Path, ...],
    open_page: bool,
    token_file: Path | None,
    no_pictures: bool,
    max_upload: float,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Serve indexes and audits: pages to look at, and an HTTP API.

    The pages answer which works and imitations a picture is near to, show artists and audits, and draw the index as a
    map. Uploaded pictures are not kept. The service answers on this machine only, unless --host says otherwise. Files
    that are replaced while it runs are picked up by themselves.

    \b
    imindex serve -i audit.h5 --open
    imindex serve --audit plan-audit
    imindex serve --audit audits --host 0.0.0.0 --token-file token
    """
    if not indexes and not audits:
        raise click.UsageError("There is nothing to serve. Pass -i INDEX or --audit DIR.")
    try:
        from imindex.retrieval.serve.run import serve as run
        from imindex.retrieval.serve.settings import Settings
    except ModuleNotFoundError as error:
        raise ImindexError(
            f"imindex serve needs {error.name}, which is not installed. Run: pip install 'imindex[serve]'"
        ) from error
    settings = Settings(
        indexes=tuple(indexes),
        audits=tuple(audits),
        token=_token(token_file),
        pictures=not no_pictures,
        pictures_from=tuple(folder.resolve() for folder in options["pictures_from"]),
        roots=roots_of(options),
        encoder=encoder_of(options),
        limits=limits_of(options),
        max_upload=int(max_upload * 2**20),
        access_log=options["access_log"],
        host=options["host"],
        port=options["port"],
        max_pictures=options["max_pictures"],
        max_k=options["max_k"],
        queue=options["queue"],
        timeout=options["timeout"],
    )
    if threads is not None:
        settings = replace(settings, threads=threads)

    def ready(url: str) -> None:
        if as_json:
            echo_text(json_text({"url": url, "pid": os.getpid()}))  # one line, which a program waits for
        else:
            say(f"Serving on {url}. Press Ctrl-C to stop.")
        if open_page:
            webbrowser.open(url)

    run(settings, ready)


def _token(file: Path | None) -> str:
    """Return the token from the file or the environment; empty without one."""
    token = (os.environ.get(TOKEN, "") if file is None else read_text(file)).strip()
    if file is not None and not token:
        raise ImindexError(
            f"{file} is empty. Write a token into it, such as the output of: openssl rand -hex 32"
        )
    if token and (len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
        raise ImindexError(
            f"The token must have {_SHORTEST} or more characters, of ASCII and without spaces. Make one with: "
            "openssl rand -hex 32"
        )
    return token
