"""The command `imindex info`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    IndexPlace,
    indexes_option,
    json_option,
    table_options,
    view_of,
)
from imindex.indexer.terminal.output import (
    View,
    count,
    echo,
    print_json,
    print_table,
    remark,
    say,
    short_path,
    show_table,
)
from imindex.indexer.terminal.table import Column, Table

if TYPE_CHECKING:
    from imindex.indexer.maintain.summary import IndexSummary

TAKEN = "preprocess-from"


@click.command(short_help="Show what an index holds and how it was made.")
@indexes_option
@click.option("--artists", "show_artists", is_flag=True, help="List the artists with their picture counts.")
@click.option("--rejects", "show_rejects", is_flag=True, help="List the rejected pictures, with the reasons.")
@click.option("--duplicates", "show_duplicates", is_flag=True, help="List pictures with identical bytes.")
@click.option(
    "--provenance", "show_provenance", is_flag=True, help="List every change: who, what, when, and digests."
)
@json_option
@table_options
@errors_for_people
def info(
    index: IndexPlace,
    show_artists: bool,
    show_rejects: bool,
    show_duplicates: bool,
    show_provenance: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show what an index holds and how it was made; with --artists, --rejects, --duplicates or --provenance, only that.

    The author of a change is user@host at the time, or the value of $IMINDEX_WHO if it was set.

    \b
    imindex info
    imindex info -i audit.h5 --rejects
    imindex info -i audit.h5 --provenance
    imindex info -i audit.h5 --artists --csv
    """
    from imindex.indexer.core.names import alike_note
    from imindex.indexer.maintain.summary import describe, provenance_rows
    from imindex.indexer.store.opening import open_index

    view = view_of(options)
    asked_for = {
        "artists": show_artists,
        "rejects": show_rejects,
        "duplicates": show_duplicates,
        "provenance": show_provenance,
    }
    with open_index(index) as opened:
        # Of an index in an object store, the digests of all pictures are fetched only if they are asked for.
        compared = as_json or show_duplicates or opened.is_local
        about = describe(opened, duplicates=compared)
        roots, notes, shown = opened.roots, opened.notes, opened.path
    if as_json:
        print_json(about.to_dict())
        return
    tables = _tables(about, short_path(shown))
    asked = [name for name, shown in asked_for.items() if shown]
    if view.as_csv or view.columns:
        if len(asked) > 1:
            raise click.UsageError(
                "--columns and --csv are for one table. Pass one of --artists, --rejects, --duplicates, --provenance."
            )
        show_table(tables[asked[0] if asked else "collections"], view)
    elif view.for_machines:
        _show_separated(
            [
                tables[name]
                for name in asked or ("index", "collections", "arms")
                if asked or tables[name].records
            ],
            view,
        )
    else:
        for name in asked or ("index", "collections", "arms"):
            if tables[name].records and name != "provenance":
                show_table(tables[name])
        if show_provenance:
            for number, line in enumerate(about.log, 1):
                print_table(f"Change {number}", [], provenance_rows(line), left=2)
    for note in notes:
        say(note)
    for name, folder in roots.items():
        say(
            f"The pictures of //{name}/ are in {folder}, as the index says; --root {name}=FOLDER names another place."
        )
    if alike := alike_note(a.name for a in about.artists):
        say(alike)
    remark(
        f"{short_path(shown)} holds {count(about.n, 'picture')} by {count(len(about.artists), 'artist')}.",
        view=view,
    )


def _show_separated(tables: Sequence[Table], view: View) -> None:
    """Write tables for machines, with an empty line between them."""
    for number, table in enumerate(tables):
        if number:
            echo("")
        show_table(table, view)


def _tables(about: IndexSummary, title: str) -> dict[str, Table]:
    from imindex.indexer.maintain.summary import describe_search

    encoder, last = about.encoder, about.log[-1]
    n_blocked = sum(bool(reject.blocked) for reject in about.rejects)
    blocked = (
        {"blocked": f"{count(n_blocked, 'picture')}, by a safety filter (--rejects)"} if n_blocked else {}
    )
    rows = {
        "rows": f"{about.n:,}",
        "root digest": about.root_digest,
        "format": about.format,
        "encoder": f"{encoder['name']}, {encoder['dim']} dimensions",
        "weights": encoder["weights-sha256"],
        **({"package": str(encoder["package"])} if "package" in encoder else {}),
        **({"preprocessing": f"from {encoder[TAKEN]}"} if TAKEN in encoder else {}),
        "colours": about.rendering,
        "search": describe_search(about.ann),
        "created": f"{about.created_at} by {about.created_by}",
        "last change": f"{last['when']}, {last['summary']}",
        "rejects": f"{len(about.rejects) - n_blocked:,}",
        **blocked,
    }
    pairs = [
        *rows.items(),
        *(("told by builds", f"{note}: {n:,}") for note, n in about.told.items()),
        ("same bytes", about.duplicates_summary),
    ]
    artist, path = (
        Column("artist", "artist", kind="name", rank=9),
        Column("path", "path", kind="path", rank=8),
    )
    collection = Column("collection", "collection", kind="name", rank=5)

    def table(title: str, columns: Sequence[Column], rows: Sequence[object]) -> Table:
        return Table(title, columns, [_record(row) for row in rows])

    return {
        "index": Table(
            title,
            [Column("name", "", kind="prose", rank=0), Column("value", "", str, kind="prose", rank=0)],
            [{"name": name, "value": value} for name, value in pairs],
        ),
        "collections": table(
            "Collections",
            [
                Column("name", "collection", kind="name", rank=0),
                Column("kind", "kind", kind="prose", rank=9),
                Column("artists", "artists"),
                Column("pictures", "pictures", rank=8),
                Column("rejected", "rejected"),
                *([Column("blocked", "blocked")] if n_blocked else []),
            ],
            about.collections,
        ),
        "arms": table(
            "Arms, from the manifests",
            [
                Column("collection", "collection", kind="name", rank=0),
                Column("kind", "kind", kind="prose", rank=7),
                Column("arm", "arm", kind="prose", rank=9),
                Column("names", "names", rank=8),
                Column("pictures", "pictures", rank=8),
            ],
            [{"collection": c.name, "kind": c.kind, **_record(arm)} for c in about.collections for arm in c.arms],
        ),
        "artists": table(
            "Artists",
            [
                Column("name", "artist", kind="name", rank=0),
                *(Column(kind, kind) for kind in ("works", "imitations", "background")),
            ],
            about.artists,
        ),
        "rejects": table(
            "Rejected pictures",
            [Column("path", "path", kind="path", rank=0), Column("reason", "reason", str, kind="prose", rank=9)],
            about.rejects,
        ),
        "duplicates": table(
            "Pictures with the same bytes",
            [Column("sha256", "sha256", lambda digest: digest[:12], kind="prose", rank=7), artist, collection, path],
            about.duplicates,
        ),
        "provenance": Table("Changes", [Column(name, name) for name in ("when", "who", "summary")], about.log),
    }  # fmt: skip


def _record(row: object) -> dict[str, object]:
    """Return a row as its CSV has it; what is nested is in the JSON only."""
    values = msgspec.to_builtins(row)
    return {name: value for name, value in values.items() if not isinstance(value, (dict, list, tuple))}
