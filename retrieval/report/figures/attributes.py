"""Style attributes of artists: works, pictures of the name and placebo names on a common axis per attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imindex.retrieval.attributes.catalogue import Attribute
from imindex.retrieval.report.figures.axes import LEFT, RIGHT, WIDTH, Figure, Forest, Scale
from imindex.retrieval.report.figures.scales import nice_ticks
from imindex.retrieval.report.figures.svg import escape, shown, tag
from imindex.retrieval.report.text import count

KEYS = (
    ("key-ceiling", "the artist’s works"),
    ("key-dot", "pictures of the name"),
    ("key-interval", "invented names, 90 % of them"),
    ("key-floor", "invented names, mean"),
)


@dataclass(frozen=True)
class Strip:
    """One artist on the axis of an attribute.

    Attributes
    ----------
    artist : str
    works, own, placebo, low, high : float
        Means of works, of pictures of the name, and of placebo names with their 5th and 95th percentile.
    found : bool
        Whether the pictures are nearer to the works.
    """

    artist: str
    works: float
    own: float
    placebo: float
    low: float
    high: float
    found: bool


def end_word(text: str) -> str:
    """Return the word at the end of an axis, from the words of the catalogue.

    Examples
    --------
    >>> end_word("is darker"), end_word("keeps to fewer hues"), end_word("is softer: it has less detail")
    ('darker', 'fewer hues', 'softer')
    """
    return text.partition(":")[0].partition(" ")[2].removeprefix("to ").removeprefix("its ")


def strips(
    identity: str, attribute: Attribute, rows: Sequence[Strip], *, by_words: bool = False
) -> Figure | None:
    """Draw one line per artist on the axis of an attribute.

    Parameters
    ----------
    identity : str
        Unique on the page.
    attribute : Attribute
    rows : sequence of Strip
        The order is that of the figure: by the works' value.
    by_words : bool
        Whether the values are differences of cosines with words, and not measured.

    Returns
    -------
    Figure or None
        None if there are no rows.
    """
    if not rows:
        return None
    ordered = sorted(rows, key=lambda row: (row.works, row.artist))
    values = [value for row in ordered for value in (row.works, row.own, row.low, row.high)]
    ticks = nice_ticks(min(values), max(values))
    forest = Forest(len(ordered), Scale(ticks[0], ticks[-1]), [(value, f"{value:g}") for value in ticks])
    drawing, scale = forest.drawing, forest.scale
    drawing.height += 16
    base = forest.bottom + 32
    drawing.text(LEFT, base, f"← {end_word(attribute.low)}", "tick")
    drawing.text(WIDTH - RIGHT, base, f"{end_word(attribute.high)} →", "tick", "end")
    for place, row in enumerate(ordered):
        y = forest.y(place)
        forest.name(place, row.artist)
        forest.interval(place, row.low, row.high)
        drawing.line(scale(row.placebo), y - 5, scale(row.placebo), y + 5, "floor")
        drawing.line(scale(row.works), y - 6, scale(row.works), y + 6, "ceiling")
        title = f"{shown(row.artist)}: works {row.works:.3g}, pictures {row.own:.3g}, invented names {row.placebo:.3g}"
        drawing.add(
            "circle",
            tag("title", escape(title)),
            cx=scale(row.own),
            cy=y,
            r=4.0,
            class_="mark full" if row.found else "mark empty",
        )
    n = sum(row.found for row in ordered)
    unit = "difference of cosines with words" if by_words else attribute.unit or "no unit"
    heading = f"{attribute.title}{', by words' if by_words else ''} ({unit})"
    reading = (
        f"For {n} of {count(len(ordered), 'artist')} whose works this tells, the pictures come nearer to the works "
        "than those of invented names (filled marks)."
    )
    return Figure(heading, drawing.finish(identity, heading, reading), reading, KEYS)
