"""The command `imindex info`."""

from __future__ import annotations

from pathlib import Path

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    index_option,
    json_option,
)
from imindex.indexer.terminal.output import count, echo, print_json, print_table, say


@click.command(short_help="Show what an index holds and how it was made.")
@index_option
@click.option("--artists", "show_artists", is_flag=True, help="List the artists with their picture counts.")
@click.option("--rejects", "show_rejects", is_flag=True, help="List the rejected pictures, with the reasons.")
@click.option("--duplicates", "show_duplicates", is_flag=True, help="List pictures with identical bytes.")
@click.option(
    "--provenance", "show_provenance", is_flag=True, help="List every change: who, what, when, and digests."
)
@json_option
@errors_for_people
def info(
    index: Path,
    show_artists: bool,
    show_rejects: bool,
    show_duplicates: bool,
    show_provenance: bool,
    as_json: bool,
) -> None:
    """Show what an index holds and how it was made.

    The author of a change is user@host at the time, or the value of $IMINDEX_WHO if it was set.

    \b
    imindex info
    imindex info -i audit.h5 --rejects
    imindex info -i audit.h5 --provenance
    """
    from imindex.indexer.core.names import alike_note
    from imindex.indexer.maintain.summary import describe, describe_search, provenance_rows
    from imindex.indexer.store.index import Index

    with Index(index) as opened:
        about = describe(opened)
    if as_json:
        print_json(about.to_dict())
        return
    encoder = about.encoder
    n_blocked = sum(bool(reject.blocked) for reject in about.rejects)
    rows = [
        ["rows", str(about.n)],
        ["root digest", about.root_digest],
        ["format", about.format],
        ["encoder", f"{encoder['name']}, {encoder['dim']} dimensions"],
        ["weights", encoder["weights-sha256"]],
        ["colours", about.rendering],
        ["search", describe_search(about.ann)],
        ["created", f"{about.created_at} by {about.created_by}"],
        ["last change", about.log[-1]["when"] + ", " + about.log[-1]["summary"]],
        ["rejects", str(len(about.rejects) - n_blocked)],
        *(
            [["blocked", f"{count(n_blocked, 'picture')}, by a safety filter (--rejects)"]]
            if n_blocked
            else []
        ),
        *(["told by builds", f"{note}: {n:,}"] for note, n in about.told.items()),
        ["same bytes", about.duplicates_summary],
    ]
    print_table(str(index), [], rows, left=2)
    print_table(
        "Collections",
        ["collection", "kind", "artists", "pictures", "rejected", *(["blocked"] if n_blocked else [])],
        [
            [c.name, c.kind, str(c.artists), str(c.pictures), str(c.rejected)]
            + ([str(c.blocked)] if n_blocked else [])
            for c in about.collections
        ],
        left=2,
    )
    arms = [
        [c.name, c.kind, arm.arm, str(arm.names), str(arm.pictures)]
        for c in about.collections
        for arm in c.arms
    ]
    if arms:
        print_table(
            "Arms, from the manifests", ["collection", "kind", "arm", "names", "pictures"], arms, left=3
        )
    if show_artists:
        print_table(
            "Artists",
            ["artist", "works", "imitations", "background"],
            [[a.name, str(a.works), str(a.imitations), str(a.background)] for a in about.artists],
        )
    if show_rejects and about.rejects:
        rejected = [[r.path, r.reason] for r in about.rejects]
        print_table("Rejected pictures", ["path", "reason"], rejected, left=2)
    if show_duplicates and about.duplicates:
        same_bytes = [[d.sha256[:12], d.artist, d.collection, d.path] for d in about.duplicates]
        print_table(
            "Pictures with the same bytes", ["sha256", "artist", "collection", "path"], same_bytes, left=4
        )
    if show_provenance:
        for number, line in enumerate(about.log, 1):
            print_table(f"Change {number}", [], provenance_rows(line), left=2)
    if alike := alike_note(a.name for a in about.artists):
        say(alike)
    echo(f"{index} holds {count(about.n, 'picture')} by {count(len(about.artists), 'artist')}.")
