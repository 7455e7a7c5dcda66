"""The section on unprompted leakage."""

from __future__ import annotations

import math

from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.scales import nice_ticks
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import ADJUSTED, count, number, p_value, percent, percent_span
from imindex.retrieval.results.questions import KindsDiffer, LeakageAnswer, LeakedArtist
from imindex.stats.multiple import is_called

MOST_PICTURES = 5
"""Artists whose nearest pictures are listed on the page; all are in report.json."""


def section(identity: str, answer: LeakageAnswer) -> Section:
    """Return the section of an answer."""
    rows = sorted(answer.artists, key=_order)
    found = tuple(place for place, row in enumerate(rows) if _is_found(answer, row))
    drawn = [row for row in rows if row.statistic is not None]
    return Section(
        question="Does an artist resurface in pictures whose prompts name nobody?",
        statement=answer.statement,
        figures=(_figure(identity, answer, drawn),) if drawn else (),
        tables=(
            Table(
                title=(
                    f"Each artist among {count(answer.n_absent, 'absent artist')}; p corrected by "
                    f"{ADJUSTED[answer.adjust]}, over the artists of this question only"
                ),
                head=("artist", "works", "gap, in deviations", "absent artists at least as far", "p", "p corrected",
                      *((f"p by {answer.clean}", "p of the change") if answer.clean else ()),
                      "pictures like the artist", "beyond absent artists", "interval"),
                rows=tuple(_cells(answer, row) for row in rows),
                strong=found,
                folded=len(rows) > 12,
            ),
            *_kinds(answer.kinds),
            *_pictures(answer, rows),
        ),
        shows=(
            "A release is nearer to some artists than to others whether it has seen their works or not. So each artist "
            "is ranked among artists who are stated to be absent from its training data, by how far the nearest tenth "
            "of the pictures stands out from the median picture. If the works of tested and absent artists are of the "
            "same kind, an artist who does not resurface has p ≤ 5 % in one case of twenty at most."
        ),
        shows_not=(
            "Pictures that look like an artist need not come from the artist’s works: pupils, contemporaries and the "
            "same subjects look alike. That the absent artists are absent is an assumption of the plan. An artist who "
            "appears in more than half of the pictures, or in very few, is found less often, and not finding an artist "
            "does not show that the works were not used."
        ),
        notes=answer.notes,
    )  # fmt: skip


def _order(row: LeakedArtist) -> tuple[float, float, str]:
    return (2.0 if row.p is None else row.p, -(row.statistic or 0.0), row.artist)


def _is_found(answer: LeakageAnswer, row: LeakedArtist) -> bool:
    return is_called(row.p_adjusted, level=answer.level)


def _cells(answer: LeakageAnswer, row: LeakedArtist) -> tuple[str, ...]:
    return (
        row.artist,
        f"{row.n_works:,}",
        number(row.statistic, 1),
        f"{row.n_at_least} of {answer.n_absent}" if row.p is not None else "too few works",
        p_value(row.p),
        p_value(row.p_adjusted),
        *((p_value(row.p_clean), p_value(row.p_change)) if answer.clean else ()),
        percent(row.share),
        percent(row.excess),
        percent_span(row.excess_low, row.excess_high),
    )


def _kinds(kinds: KindsDiffer) -> tuple[Table, ...]:
    """Return the table of the comparison of tested with absent artists; nothing if there was none."""
    if kinds.p is None:
        return ()
    rows = [
        ("how near an artist’s works are to those of others", p_value(kinds.p_typical)),
        ("how alike an artist’s works are", p_value(kinds.p_alike)),
        ("where the artists’ works are in the encoder’s space", p_value(kinds.p_place)),
    ]
    if kinds.p_nearness is not None:
        rows.append(("the gap by the clean release", p_value(kinds.p_nearness)))
    return (
        Table(
            title=f"Do tested and absent artists differ in kind? p = {p_value(kinds.p)} for all together",
            head=("difference in", "p"),
            rows=tuple(rows),
            folded=True,
        ),
    )


def _pictures(answer: LeakageAnswer, rows: list[LeakedArtist]) -> tuple[Table, ...]:
    """Return the table of the nearest pictures of the artists found, or else of the first artist."""
    names = [row.artist for row in rows if _is_found(answer, row)] or [row.artist for row in rows[:1]]
    listed = [one for name in names[:MOST_PICTURES] for one in answer.nearest if one.artist == name]
    if not listed:
        return ()
    return (
        Table(
            title="The nearest pictures, each with the artist’s nearest work",
            head=("artist", "picture", "prompt", "work", "log odds", "cosine"),
            rows=tuple(
                (one.artist, one.picture, one.prompt, one.work, number(one.odds, 1), number(one.cosine))
                for one in listed
            ),
            folded=True,
        ),
    )


def _figure(identity: str, answer: LeakageAnswer, rows: list[LeakedArtist]) -> Figure:
    absent = sorted(one.statistic for one in answer.absent if one.statistic is not None)
    values = [row.statistic for row in rows if row.statistic is not None]
    ticks = nice_ticks(0.0, max(*values, *absent))
    forest = Forest(len(rows) + 1, Scale(ticks[0], ticks[-1]), [(value, f"{value:g}") for value in ticks])
    drawing, x = forest.drawing, forest.scale
    limit = _limit(absent, answer.level)
    if limit is not None:
        forest.reference(limit)
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        y = forest.y(place)
        forest.name(place, row.artist)
        title = f"{shown(row.artist)}: {number(value, 1)}, p {p_value(row.p)}"
        if _is_found(answer, row):
            drawing.mark(None, x(value), y, 5.0, title)
        else:
            drawing.add("circle", cx=x(value), cy=y, r=3.4, class_="mark empty")
    y = forest.y(len(rows))
    forest.name(len(rows), "absent artists")
    for value in absent:
        drawing.line(x(value), y - 5, x(value), y + 5, "floor")
    heading = "How far the nearest tenth of the nameless pictures stands out, by artist"
    beyond = sum(limit is not None and value > limit for value in values)
    reading = (
        f"Mean log odds of the nearest tenth of {count(answer.n_pictures, 'picture')} minus the median, in standard "
        "deviations. "
        f"{count(beyond, 'tested artist')} of {len(rows)} {'is' if beyond == 1 else 'are'} beyond the line, which "
        f"{percent(answer.level)} of absent artists pass at most."
        if limit is not None
        else f"Mean log odds of the nearest tenth of {count(answer.n_pictures, 'picture')} minus the median, in "
        "standard deviations. There are too few absent artists for a finding."
    )
    keys = (
        ("key-dot", "found"),
        ("key-empty", "not found"),
        ("key-floor", "absent artists"),
    )
    return Figure(heading, drawing.finish(identity, heading, reading), reading, keys)


def _limit(absent: list[float], level: float) -> float | None:
    """Return the value beyond which p is at most the level; None if no value is."""
    allowed = math.floor(level * (1 + len(absent)) + 1e-9) - 1
    return absent[len(absent) - 1 - allowed] if 0 <= allowed < len(absent) else None
