"""The section on what a name adds."""

from __future__ import annotations

from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.scales import nice_ticks
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import ADJUSTED, DASH, p_value, percent, percent_span
from imindex.retrieval.results.questions import AddedByName, NameAddsAnswer
from imindex.stats.multiple import is_called


def section(identity: str, answer: NameAddsAnswer) -> Section:
    """Return the section of an answer."""
    rows = sorted(answer.artists, key=lambda row: (row.own is None, -(row.own or 0.0), row.artist))
    found = tuple(place for place, row in enumerate(rows) if is_called(row.p_adjusted, level=answer.level))
    drawn = [row for row in rows if _places(row) is not None]
    return Section(
        question="What does the artist’s name add to a prompt, beyond what any name adds?",
        statement=answer.statement,
        figures=(_figure(identity, answer, drawn),) if drawn else (),
        tables=(
            Table(
                title=(
                    "Each artist: share of the way from no name to the artist’s own works; p corrected by "
                    f"{ADJUSTED[answer.adjust]}"
                ),
                head=("artist", "any name adds", "interval", "this name adds", "interval", "p", "p corrected",
                      "movement shared", "interval"),
                rows=tuple(_cells(row) for row in rows),
                strong=found,
                folded=len(rows) > 12,
            ),
        ),
        shows=(
            "Every picture of an artist’s name is compared with the picture of the same seed without a name, and with "
            "those of invented names. What invented names add is no imitation: any name makes a picture look more like "
            "an artist’s work. Only the rest is this name’s own."
        ),
        shows_not=(
            "It does not say whether the artist’s works were in the training data, nor that an artist without an own "
            "part is unknown to the model: the pictures may be too few to show it. The shared movement is a direction "
            "in the encoder’s space, not a share of the picture."
        ),
        notes=answer.notes,
    )  # fmt: skip


def _cells(row: AddedByName) -> tuple[str, ...]:
    return (
        row.artist,
        _way(row, row.shared),
        _ways(row, row.shared_low, row.shared_high),
        _way(row, row.own),
        _ways(row, row.own_low, row.own_high),
        p_value(row.p) if row.judged else "not judged",
        p_value(row.p_adjusted),
        percent(row.moved_shared),
        percent_span(row.moved_low, row.moved_high),
    )


def _way(row: AddedByName, difference: float | None) -> str:
    """Format a difference of scores as a share of the way."""
    value = _scaled(row, difference)
    return DASH if value is None else f"{round(100 * value) + 0} %".replace("-", "−")


def _ways(row: AddedByName, low: float | None, high: float | None) -> str:
    ends = _way(row, low), _way(row, high)
    return DASH if DASH in ends else f"{ends[0].removesuffix(' %')} to {ends[1]}"


def _scaled(row: AddedByName, difference: float | None) -> float | None:
    """Return a difference of scores as a share of the way from no name to the artist's own works."""
    if difference is None or row.works is None or row.nameless is None or row.works <= row.nameless:
        return None
    return difference / (row.works - row.nameless)


def _figure(identity: str, answer: NameAddsAnswer, rows: list[AddedByName]) -> Figure:
    drawn = [(row, *places) for row in rows if (places := _places(row)) is not None]
    values = [value for _, *places in drawn for value in places if value is not None]
    ticks = nice_ticks(min(0.0, *values), max(1.0, *values))
    forest = Forest(len(drawn), Scale(ticks[0], ticks[-1]), [(value, percent(value)) for value in ticks])
    for place, (row, invented, named, low, high) in enumerate(drawn):
        y, drawing, x = forest.y(place), forest.drawing, forest.scale
        forest.name(place, row.artist)
        forest.interval(place, low, high)
        drawing.add("circle", cx=x(0.0), cy=y, r=3.4, class_="mark empty")
        drawing.line(x(invented), y - 5, x(invented), y + 5, "floor")
        title = (
            f"{shown(row.artist)}: invented names {percent(invented)}, this name {percent(named)} of the way"
        )
        drawing.mark(None, x(named), y, 5.0, title)
    heading = "From no name to an invented name to the artist’s name"
    reading = (
        "0 % are the pictures without a name, and 100 % the artist’s own works, by the score for the artist. An "
        "interval that leaves out the invented names shows that this name differs from their mean; the p-value says "
        "whether it differs more than they do from each other."
    )
    keys = (
        ("key-empty", "no name"),
        ("key-floor", "invented names"),
        ("key-dot", "the artist’s name"),
        ("key-interval", f"{100 * answer.confidence_level:g} % interval of what this name adds"),
    )
    return Figure(heading, forest.drawing.finish(identity, heading, reading), reading, keys)


def _places(row: AddedByName) -> tuple[float, float, float | None, float | None] | None:
    """Return where invented names, the artist's name, and the ends of its interval are on the way to the works."""
    invented, own = _scaled(row, row.shared), _scaled(row, row.own)
    if invented is None or own is None:
        return None
    ends = (_scaled(row, row.own_low), _scaled(row, row.own_high))
    low, high = (None if end is None else invented + end for end in ends)
    return invented, invented + own, low, high
