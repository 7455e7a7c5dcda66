"""The commands that ask an index: query, classify, match, demo."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    device_option,
    index_option,
    json_option,
    limit_options,
    limits_of,
    model_options,
)
from imindex.indexer.terminal.output import clean, count, fail, number, percent, print_json, print_table, say
from imindex.retrieval.cli._evidence import (
    p_value,
)
from imindex.retrieval.results import (
    Attribution,
    QueryAnswer,
)


@click.command(short_help="Find the nearest pictures and artists.")
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path), metavar="PICTURE...")
@index_option
@click.option(
    "-k",
    cls=FromSignature,
    of="imindex.retrieval.search.query:ask",
    type=click.IntRange(1),
    help="Neighbours of each kind.",
)
@click.option("--text", "texts", multiple=True, help="Query by a text instead. May be repeated.")
@click.option(
    "--collection", "collections", multiple=True, help="Search this collection only. May be repeated."
)
@click.option("--artist", "artists", multiple=True, help="Search this artist only. May be repeated.")
@click.option(
    "--confidence", "confidence_level", cls=FromSignature, of="imindex.retrieval.search.query:ask",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Of the set of artists whose works the picture does not stand out among.",
)  # fmt: skip
@click.option("--exact", is_flag=True, help="Find all the nearest, also in an optimized index.")
@model_options
@device_option
@limit_options
@json_option
@errors_for_people
def query(
    pictures: tuple[Path, ...], texts: tuple[str, ...], index: Path, k: int, as_json: bool, **options: Any
) -> None:
    """Find the nearest pictures and artists, of works and imitations apart.

    The query is encoded as the index was. Scores are cosines; artists are ordered by how many of the k nearest
    pictures are theirs. Similarity is a lead, not proof that a picture was made after another.

    Of each artist with works a conformal p-value says whether the picture would stand out among them; the artists it
    does not stand out among hold the true one with the stated confidence, if it is by one of them.

    \b
    imindex query artist.png
    imindex query --text "Artwork from Ada Example" -k 5 --json
    """
    if not pictures and not texts:
        raise click.UsageError("Name a picture, or pass --text.")
    from imindex.retrieval import api

    with api.open(index) as opened:
        result = opened.query(
            *pictures,
            texts=texts,
            k=k,
            **{name: options[name] for name in ("collections", "artists", "confidence_level", "exact")},
            encoder={name: options[name] for name in ("model", "pretrained", "device")},
            limits=limits_of(options),
        )
    rough = [how.approximate for one in result.queries for how in one.kinds.values() if how.approximate]
    if rough:
        say(
            f"Neighbours are approximate ({rough[0].kind}): of the ten nearest about "
            f"{percent(rough[0].recall)} are found, measured on {rough[0].recall_queries} pictures. "
            "--exact finds all."
        )
    if as_json:
        print_json(result.to_dict())
    else:
        for answer in result.queries:
            _print_answer(answer)
        how = "approximately" if rough else "exactly"
        click.echo(
            f"Searched {clean(str(index))} for {count(len(result.queries), 'query', 'queries')}, {how}."
        )
    if result.rejects:
        said = (f"{path} cannot be used as a query: {reason}." for path, reason in result.rejects.items())
        fail("\n".join(said))


def _print_answer(answer: QueryAnswer) -> None:
    for kind, found in answer.kinds.items():
        print_table(
            f"{answer.query}: nearest {kind}",
            ["artist", "collection", "picture", "rank", "cosine"],
            [
                [
                    n.artist or "(nobody)",
                    n.collection,
                    n.path,
                    str(n.rank),
                    number(min(n.cosine, 1.0), 4),
                ]
                for n in found.pictures
            ],
            left=3,
        )
        if not found.artists:  # control pictures are nobody's
            continue
        print_table(
            f"{answer.query}: their artists",
            ["artist", "of the nearest", "best cosine"],
            [
                [a.artist, f"{a.votes} of {len(found.pictures)}", number(min(a.best, 1.0), 4)]
                for a in found.artists
            ],
        )
    if answer.attribution:
        _print_attribution(answer.query, answer.attribution)


def _print_attribution(query: str, found: Attribution) -> None:
    level = f"{100 * found.confidence_level:g} %"
    able = [a for a in found.artists if a.excludable]
    rows = [
        [a.artist, p_value(a.p), str(a.n_works), "yes" if a.in_set else "no"]
        for a in found.artists
        if a.in_set and a.excludable
    ]
    unable = len(found.artists) - len(able)
    least = math.ceil(1 / (1 - found.confidence_level) - 1e-9) - 1
    note = f"At {level} confidence, of {count(len(able), 'artist')} with enough works to be excluded."
    if unable:
        note += f" {count(unable, 'artist')} with fewer than {least} works cannot be excluded, whatever the picture."
    if found.n_itself:
        note += f" The picture is itself in the index ({count(found.n_itself, 'row')}), which was left out."
    if rows:
        title = f"{query}: does not stand out among the works of"
        print_table(title, ["artist", "p", "works", "in the set"], rows, note=note)
    elif able:
        click.echo(f"{clean(query)} looks like none of the artists. {clean(note)}\n")
    else:
        click.echo(
            f"Not attributed: at {level} confidence it takes {least} works to exclude an artist; none has as many.\n"
        )
