"""The table of one query, and the thumbnails beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.locations import absolute, is_url
from imindex.indexer.core.paths import PicturePaths
from imindex.indexer.terminal.output import clean, count, echo, number, say, show_escape, terminal_width
from imindex.indexer.terminal.table import Column, Record, Section, Table
from imindex.retrieval.cli._evidence import p_value
from imindex.retrieval.results import Attribution, QueryAnswer
from imindex.retrieval.results.base import to_dict

if TYPE_CHECKING:
    from imindex.indexer.terminal.pictures import Protocol
    from imindex.retrieval.api import OpenIndex

ARTISTS = 5
"""Artists of the neighbours, and names of a set, that are listed; the CSV has all."""
THUMBNAIL = (14, 7)
"""Columns and rows of a thumbnail."""
GAP = 2
NOBODY = "(no artist)"


def answer_table(answer: QueryAnswer, title: str) -> Table:
    """Return the table of one query: for each kind of pictures the nearest artists, then the nearest pictures."""
    p_of = {a.artist: a.p for a in answer.attribution.artists} if answer.attribution else {}
    every = [one for neighbours in answer.kinds.values() for one in neighbours.pictures]
    invented = {one.artist for one in every if one.arm == "placebo"}

    def label(artist: str) -> str:
        return f"{artist} *" if artist in invented else artist or NOBODY

    records: list[Record | Section] = []
    for kind, neighbours in answer.kinds.items():
        if neighbours.artists:  # control pictures have none
            n, shown = len(neighbours.pictures), neighbours.artists[:ARTISTS]
            more = (
                f", {len(shown)} of {len(neighbours.artists)}" if len(shown) < len(neighbours.artists) else ""
            )
            records.append(Section(f"artists of the {n:,} nearest {kind}{more}"))
            records += [
                {
                    "rank": rank, "artist": label(a.artist), "path": f"{a.votes} of {n}", "cosine": min(a.best, 1.0),
                    **({"p": p_of[a.artist]} if kind == "works" and a.artist in p_of else {}),
                }
                for rank, a in enumerate(shown, 1)
            ]  # fmt: skip
        records.append(Section(f"nearest {kind}{' pictures' if kind == 'control' else ''}"))
        records += [
            {
                "rank": one.rank, "artist": label(one.artist), "collection": one.collection, "path": one.path,
                "cosine": min(one.cosine, 1.0),
            }
            for one in neighbours.pictures
        ]  # fmt: skip
    columns = [
        Column("rank", "", rank=0),
        Column("artist", "artist", kind="name", rank=0),
        Column("collection", "collection", kind="name", rank=5),
        Column("path", "picture", kind="path", rank=7),
        Column("cosine", "cosine", lambda value: number(value, 4), rank=9),
        *([Column("p", "p", p_value, rank=8)] if p_of else []),
    ]
    notes = [
        f"Rank {one.rank} of the {kind} is the same file as the query, to the byte."
        for kind, neighbours in answer.kinds.items()
        for one in neighbours.pictures
        if one.same_file
    ]
    if invented:
        notes.append("* A placebo name: invented, no artist.")
    notes += attribution_notes(answer.attribution) if answer.attribution else []
    return Table(title, columns, records, notes=notes, elsewhere="see --columns, --csv or a wider terminal")


def whole_table(answers: Sequence[QueryAnswer]) -> Table:
    """Return all neighbours of all queries as one table, for machines, with what is known about their artists."""
    rows = [
        {
            "query": answer.query, "kind": kind, **to_dict(one), "cosine": min(one.cosine, 1.0),
            **_about(answer, kind, one.artist),
        }
        for answer in answers
        for kind, neighbours in answer.kinds.items()
        for one in neighbours.pictures
    ]  # fmt: skip
    columns = [
        Column("query", "query", kind="path"),
        Column("kind", "kind", kind="prose"),
        Column("rank", "rank", rank=0),
        Column("artist", "artist", kind="name", rank=0),
        Column("collection", "collection", kind="name"),
        Column("path", "path", kind="path"),
        Column("cosine", "cosine", lambda value: number(value, 4)),
    ]
    return Table("Nearest pictures", columns, rows)


def _about(answer: QueryAnswer, kind: str, artist: str) -> dict[str, object]:
    """Return what is known about the artist of a neighbour: share of the neighbours, p-value."""
    votes = {a.artist: a for a in answer.kinds[kind].artists}
    tested = {a.artist: a for a in answer.attribution.artists} if answer.attribution else {}
    return {
        "artist_votes": votes[artist].votes if artist in votes else None,
        "artist_best": min(votes[artist].best, 1.0) if artist in votes else None,
        "artist_p": tested[artist].p if artist in tested else None,
        "artist_excludable": tested[artist].excludable if artist in tested else None,
        "artist_in_set": tested[artist].in_set if artist in tested else None,
    }


FIELDS = (
    "query", "kind", "rank", "artist", "collection", "path", "cosine", "row", "prompt", "copies", "same_file", "arm",
    "artist_votes", "artist_best", "artist_p", "artist_excludable", "artist_in_set",
)  # fmt: skip
"""Names of the columns of `whole_table`."""


def attribution_notes(attribution: Attribution) -> list[str]:
    """Say by whom the picture may be, at which confidence, and what that rests on."""
    level = f"{100 * attribution.confidence_level:g} %"
    excludable = [a for a in attribution.artists if a.excludable]
    needed = math.ceil(1 / (1 - attribution.confidence_level) - 1e-9) - 1
    itself = (
        [
            f"The picture itself is in the index ({count(attribution.n_itself, 'row')}), and does not count for p."
        ]
        if attribution.n_itself
        else []
    )
    if not excludable:
        return [
            *itself,
            f"Not attributed: excluding an artist at {level} confidence requires {needed} works; "
            "no artist has that many.",
        ]
    candidates = [a.artist for a in excludable if a.in_set]
    among = (
        f"at {level} confidence, among {count(len(excludable), 'artist')} with enough works to be excluded"
    )
    if candidates:
        listed = ", ".join(candidates[:ARTISTS])
        more = len(candidates) - ARTISTS
        said = f"Does not stand out among the works of {listed}{f' and {more:,} more' if more > 0 else ''}: {among}."
    else:
        said = f"Stands out among the works of every artist: {among}."
    notes = [f"{said} p is small where the picture stands out."]
    n_others = len(attribution.artists) - len(excludable)
    if n_others:
        notes.append(
            f"{count(n_others, 'artist')} with fewer than {needed} works cannot be excluded, whatever the picture."
        )
    return [*notes, *itself]


class Thumbnails:
    """Shows each query beside its nearest works, in a terminal that shows pictures.

    Parameters
    ----------
    protocol : Protocol
    opened : OpenIndex
        The index, whose pictures are shown only if their bytes are those that it records.
    answers : sequence of QueryAnswer
    """

    def __init__(self, protocol: Protocol, opened: OpenIndex, answers: Sequence[QueryAnswer]):
        from imindex.indexer.terminal.pictures import cell_size
        from imindex.retrieval.report.thumbnails import Thumbnails as Stored

        self._protocol, self._cell = protocol, cell_size()
        self._n = max(1, (terminal_width() + GAP) // (THUMBNAIL[0] + GAP))
        paths = sorted({one.path for answer in answers for one in self._nearest(answer)})
        self._stored, self._own = (
            opened.thumbnails(paths),
            Stored(
                PicturePaths(Path.cwd(), remote=[answer.query for answer in answers if is_url(answer.query)]),
                1,
            ),
        )

    def _nearest(self, answer: QueryAnswer) -> Sequence[Any]:
        kind = "works" if "works" in answer.kinds else next(iter(answer.kinds), "")
        return answer.kinds[kind].pictures[: self._n] if kind else ()

    def show(self, answer: QueryAnswer, picture: Path | str | None) -> None:
        """Show the picture of a query, if it is one, and those nearest to it."""
        from imindex.indexer.terminal.pictures import encoded, strip

        side = (THUMBNAIL[0] * self._cell[0], THUMBNAIL[1] * self._cell[1])
        shown: list[tuple[str, Any]] = []
        if picture is not None:
            shown.append(("query", self._own.pixels(absolute(picture), max(side))))
        for one in self._nearest(answer)[: self._n - len(shown)]:
            shown.append((f"{one.rank} {one.artist or NOBODY}", self._stored.pixels(one.path, max(side))))
        missing = sum(pixels is None for _, pixels in shown)
        if len(shown) > missing:
            width = len(shown) * THUMBNAIL[0] + (len(shown) - 1) * GAP
            pixels = strip([pixels for _, pixels in shown], *THUMBNAIL, GAP, self._cell)
            show_escape(encoded(self._protocol, pixels, width, THUMBNAIL[1]))
            echo(_captions([caption for caption, _ in shown]))
        if missing:
            say(
                f"{count(missing, 'thumbnail')} not shown: the files are missing or not those that were indexed."
            )


def _captions(texts: Sequence[str]) -> str:
    from imindex.indexer.terminal.width import pad, shortened

    safe = [clean(text) for text in texts]
    forms = shortened(safe, THUMBNAIL[0])
    return (
        (" " * GAP)
        .join(pad(forms.get(text, text.split()[0]), THUMBNAIL[0], left=True) for text in safe)
        .rstrip()
    )
