"""The command `imindex query`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imindex.indexer.core.bounds import NEIGHBOURS, SHARE
from imindex.indexer.terminal.complete import complete_artists, complete_collections
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    IndexPlace,
    Location,
    device_option,
    encoder_of,
    indexes_option,
    json_option,
    limit_options,
    limits_of,
    model_options,
    root_option,
    roots_of,
    table_options,
    view_of,
    within,
)
from imindex.indexer.terminal.output import (
    View,
    count,
    fail,
    percent,
    print_json,
    remark,
    say,
    short_path,
    show_table,
)
from imindex.retrieval.cli._adjust import ADJUST, adjust_options
from imindex.retrieval.cli._query_tables import FIELDS, Thumbnails, answer_table, whole_table
from imindex.retrieval.cli._workers import workers_of, workers_options
from imindex.retrieval.results import QueryAnswer, adjusted

if TYPE_CHECKING:
    from imindex.retrieval.api import OpenIndex


thumbnails_option = click.option(
    "--thumbnails", type=click.Choice(("none", "auto", "kitty", "iterm", "sixel")), default="none", show_default=True,
    help="Show the query beside its nearest works in a terminal that shows pictures, by this protocol; `auto` asks the "
    "terminal for one.",
)  # fmt: skip


@click.command(short_help="Search for the nearest pictures and artists.")
@click.argument("pictures", nargs=-1, type=Location(), metavar="PICTURE...")
@indexes_option
@click.option(
    "-k",
    cls=FromSignature,
    of="imindex.retrieval.search.query:ask",
    type=within(NEIGHBOURS),
    help="Number of neighbours of each kind.",
)
@click.option("--text", "texts", multiple=True, help="Query by text instead. Repeatable.")
@click.option(
    "--collection",
    "collections",
    multiple=True,
    help="Search only this collection. Repeatable.",
    shell_complete=complete_collections,
)
@click.option(
    "--artist",
    "artists",
    multiple=True,
    help="Search only this artist. Repeatable.",
    shell_complete=complete_artists,
)
@click.option(
    "--confidence", "confidence_level", cls=FromSignature, of="imindex.retrieval.search.query:ask",
    type=within(SHARE),
    help="Confidence level of the set of artists that the picture may be by.",
)  # fmt: skip
@click.option("--exact", is_flag=True, help="Search exactly, even in an optimized index.")
@adjust_options("imindex.retrieval.search.query:ask")
@model_options
@device_option
@limit_options
@workers_options
@json_option
@table_options
@thumbnails_option
@root_option
@errors_for_people
def query(
    pictures: tuple[Path | str, ...],
    texts: tuple[str, ...],
    index: IndexPlace,
    k: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Search for the nearest pictures and artists, separately among works and imitations.

    The query is encoded with the encoder of the index. Scores are cosines; artists are ordered by how many of the k
    nearest pictures are theirs. Similarity is a lead, not proof that a picture was made after another.

    For each artist with works, a conformal p-value shows whether the picture stands out among them. The artists among
    whose works it does not stand out include the true one with the given confidence, if it is by one of them.

    \b
    imindex query artist.png
    imindex query artist.png --thumbnails auto
    imindex query *.png --csv
    imindex query --text "Artwork from Ada Example" -k 5 --json
    """
    if not pictures and not texts:
        raise click.UsageError("Pass a picture, or --text.")
    from imindex.retrieval import api

    view = view_of(options, lambda: FIELDS)
    with api.open(index, roots=roots_of(options)) as opened:
        for note in opened.notes:
            say(note)
        result = opened.query(
            *pictures,
            texts=texts,
            k=k,
            **{
                name: options[name]
                for name in (*ADJUST, "collections", "artists", "confidence_level", "exact")
            },
            encoder=encoder_of(options),
            limits=limits_of(options),
            workers=workers_of(options),
        )
        thumbnails = None if as_json else _thumbnails(options["thumbnails"], view, opened, result.queries)
    approximate = [
        kind.approximate for answer in result.queries for kind in answer.kinds.values() if kind.approximate
    ]
    if approximate:
        say(
            f"Neighbours are approximate ({approximate[0].kind}): about {percent(approximate[0].recall)} of the ten "
            f"nearest are found, measured on {approximate[0].recall_queries} pictures. Pass --exact to find all."
        )
    copied = {
        picture.row: picture.copies
        for answer in result.queries
        for kind in answer.kinds.values()
        for picture in kind.pictures
        if picture.copies
    }
    if copied:
        verb = "is" if len(copied) == 1 else "are"
        say(
            f"{count(len(copied), 'neighbour')} {verb} in the index more than once under the same artist. They are "
            "listed and counted once."
        )
    for answer in result.queries:
        if answer.tokens:
            say(
                f"{answer.query} has {answer.tokens} tokens, and the encoder reads {answer.tokens_read} of them: what "
                "follows is not searched for."
            )
    if as_json:
        print_json(result.to_dict())
    else:
        if view.for_machines or view.columns:
            show_table(whole_table(result.queries), view)
        for answer in result.queries:
            _print_answer(answer, view, pictures, thumbnails)
        how = ", ".join(
            part
            for part in (
                "approximately" if approximate else "exactly",
                adjusted(result.csls_k, result.whitened),
            )
            if part
        )
        remark(
            f"Searched {short_path(opened.path)} for {count(len(result.queries), 'query', 'queries')}, {how}.",
            view=view,
        )
    if result.rejects:
        messages = (f"{path} cannot be used as a query: {reason}." for path, reason in result.rejects.items())
        fail("\n".join(messages))


def _print_answer(
    answer: QueryAnswer, view: View, pictures: Sequence[Path | str], thumbnails: Thumbnails | None
) -> None:
    picture = next((path for path in pictures if str(path) == answer.query), None)
    title = answer.query if picture is None else short_path(picture)
    if thumbnails is not None:
        thumbnails.show(answer, picture)
    table = answer_table(answer, title)
    if view.for_machines or view.columns:
        for note in table.notes:
            remark(f"{title}: {note}", view=view)
    else:
        show_table(table, view)


def _thumbnails(
    choice: str, view: View, opened: OpenIndex, answers: Sequence[QueryAnswer]
) -> Thumbnails | None:
    """Return what shows thumbnails; None if none are asked for, or there is no terminal that shows them."""
    if choice == "none":
        return None
    if view.for_machines:
        say("Thumbnails are shown in a terminal only; the output is not one.")
        return None
    from imindex.indexer.terminal.pictures import PROTOCOLS, protocol_of

    protocol = protocol_of(choice)
    if protocol is None:
        say(
            "This terminal does not say that it shows pictures. If it does, name the protocol: --thumbnails "
            f"{', '.join(PROTOCOLS[:-1])} or {PROTOCOLS[-1]}."
        )
        return None
    return Thumbnails(protocol, opened, answers)
