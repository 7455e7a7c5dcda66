"""The command `imindex query`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from imindex.indexer.core.bounds import NEIGHBOURS, SHARE
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    device_option,
    encoder_of,
    index_option,
    json_option,
    limit_options,
    limits_of,
    model_options,
    within,
)
from imindex.indexer.terminal.output import (
    count,
    echo,
    fail,
    number,
    percent,
    print_json,
    print_table,
    say,
)
from imindex.retrieval.cli._evidence import (
    p_value,
)
from imindex.retrieval.results import (
    Attribution,
    QueryAnswer,
)


@click.command(short_help="Search for the nearest pictures and artists.")
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path), metavar="PICTURE...")
@index_option
@click.option(
    "-k",
    cls=FromSignature,
    of="imindex.retrieval.search.query:ask",
    type=within(NEIGHBOURS),
    help="Number of neighbours of each kind.",
)
@click.option("--text", "texts", multiple=True, help="Query by text instead. Repeatable.")
@click.option("--collection", "collections", multiple=True, help="Search only this collection. Repeatable.")
@click.option("--artist", "artists", multiple=True, help="Search only this artist. Repeatable.")
@click.option(
    "--confidence", "confidence_level", cls=FromSignature, of="imindex.retrieval.search.query:ask",
    type=within(SHARE),
    help="Confidence level of the set of artists that the picture may be by.",
)  # fmt: skip
@click.option("--exact", is_flag=True, help="Search exactly, even in an optimized index.")
@model_options
@device_option
@limit_options
@json_option
@errors_for_people
def query(
    pictures: tuple[Path, ...], texts: tuple[str, ...], index: Path, k: int, as_json: bool, **options: Any
) -> None:
    """Search for the nearest pictures and artists, separately among works and imitations.

    The query is encoded with the encoder of the index. Scores are cosines; artists are ordered by how many of the k
    nearest pictures are theirs. Similarity is a lead, not proof that a picture was made after another.

    For each artist with works, a conformal p-value shows whether the picture stands out among them. The artists among
    whose works it does not stand out include the true one with the given confidence, if it is by one of them.

    \b
    imindex query artist.png
    imindex query --text "Artwork from Ada Example" -k 5 --json
    """
    if not pictures and not texts:
        raise click.UsageError("Pass a picture, or --text.")
    from imindex.retrieval import api

    with api.open(index) as opened:
        result = opened.query(
            *pictures,
            texts=texts,
            k=k,
            **{name: options[name] for name in ("collections", "artists", "confidence_level", "exact")},
            encoder=encoder_of(options),
            limits=limits_of(options),
        )
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
    if as_json:
        print_json(result.to_dict())
    else:
        for answer in result.queries:
            _print_answer(answer)
        how = "approximately" if approximate else "exactly"
        echo(f"Searched {index} for {count(len(result.queries), 'query', 'queries')}, {how}.")
    if result.rejects:
        messages = (f"{path} cannot be used as a query: {reason}." for path, reason in result.rejects.items())
        fail("\n".join(messages))


def _print_answer(answer: QueryAnswer) -> None:
    for kind, neighbours in answer.kinds.items():
        print_table(
            f"{answer.query}: nearest {kind}",
            ["artist", "collection", "picture", "rank", "cosine"],
            [
                [
                    n.artist or "(no artist)",
                    n.collection,
                    n.path,
                    str(n.rank),
                    number(min(n.cosine, 1.0), 4),
                ]
                for n in neighbours.pictures
            ],
            left=3,
        )
        if not neighbours.artists:  # control pictures have no artist
            continue
        print_table(
            f"{answer.query}: their artists",
            ["artist", "share of neighbours", "best cosine"],
            [
                [a.artist, f"{a.votes} of {len(neighbours.pictures)}", number(min(a.best, 1.0), 4)]
                for a in neighbours.artists
            ],
        )
    if answer.attribution:
        _print_attribution(answer.query, answer.attribution)


def _print_attribution(query: str, attribution: Attribution) -> None:
    level = f"{100 * attribution.confidence_level:g} %"
    excludable = [a for a in attribution.artists if a.excludable]
    rows = [
        [a.artist, p_value(a.p), str(a.n_works), "yes" if a.in_set else "no"]
        for a in attribution.artists
        if a.in_set and a.excludable
    ]
    n_others = len(attribution.artists) - len(excludable)
    needed = math.ceil(1 / (1 - attribution.confidence_level) - 1e-9) - 1
    note = (
        f"At {level} confidence, among {count(len(excludable), 'artist')} with enough works to be excluded."
    )
    if n_others:
        note += f" {count(n_others, 'artist')} with fewer than {needed} works cannot be excluded, whatever the picture."
    if attribution.n_itself:
        note += (
            f" The picture itself is in the index ({count(attribution.n_itself, 'row')}) and was excluded."
        )
    if rows:
        title = f"{query}: artists among whose works it does not stand out"
        print_table(title, ["artist", "p", "works", "in the set"], rows, note=note)
    elif excludable:
        echo(f"{query} stands out among the works of every artist. {note}", "")
    else:
        echo(
            f"Not attributed: excluding an artist at {level} confidence requires {needed} works; "
            "no artist has that many.",
            "",
        )
