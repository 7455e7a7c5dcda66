"""The section on classes of prompts."""

from __future__ import annotations

from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.figures.svg import Drawing, escape, fit, shown, tag
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import (
    ADJUSTED,
    DASH,
    count,
    number,
    p_value,
    percent,
    signed,
    span,
)
from imindex.retrieval.results.questions import ByPromptClass, PromptClassesAnswer, PromptClassResult
from imindex.stats.multiple import is_called

CELL, HEIGHT, LEFT, TOP = 58.0, 20.0, 158.0, 118.0


def section(identity: str, answer: PromptClassesAnswer) -> Section:
    """Return the section of an answer."""
    classes = [one.name for one in answer.classes]
    rows = {(row.artist, row.prompt_class): row for row in answer.artists}
    drawn = any(row.auc is not None for row in answer.artists)
    artists = _in_order(answer)
    return Section(
        question="Does the finding depend on how the model is asked?",
        statement=answer.statement,
        figures=(_figure(identity, answer, artists, rows),) if drawn else (),
        tables=(
            Table(
                title=f"Classes of prompts, means over artists; p corrected by {ADJUSTED[answer.adjust]}",
                head=(
                    "class", "prompts", "source", "typicality", "found", "AUC", "interval", "change", "interval", "p",
                ),
                rows=tuple(_of_class(one) for one in answer.classes),
            ),
            Table(
                title="Each artist: AUC against invented names, and corrected p, in each class",
                head=("artist", *(f"{name}{what}" for name in classes for what in ("", " p"))),
                rows=tuple(
                    (artist, *(cell for name in classes for cell in _cells(rows.get((artist, name)))))
                    for artist in artists
                ),
                folded=True,
            ),
        ),
        shows=(
            "Every class asks for the artists and for invented names by the same prompts and seeds. The AUC is how "
            "often a "
            "picture of the artist’s name is nearer to the artist’s works, by the score for the artist, than one of an "
            "invented name. Where the name is in the negative prompt, a low AUC means that the name pushes pictures "
            "away."
        ),
        shows_not=(
            "Prompts that nobody tried may do more or less. A caption that is the same for all names cannot show that "
            "a "
            "model has memorised the caption of one work. Typicality is what the plan states, and no result."
        ),
        notes=answer.notes,
    )  # fmt: skip


def _in_order(answer: PromptClassesAnswer) -> list[str]:
    first = answer.classes[0].name
    rows = [row for row in answer.artists if row.prompt_class == first]
    return [
        row.artist for row in sorted(rows, key=lambda row: (row.auc is None, -(row.auc or 0.0), row.artist))
    ]


def _of_class(one: PromptClassResult) -> tuple[str, ...]:
    prompts = "; ".join(f"“{template}”" for template in one.templates)
    return (
        one.name,
        prompts + (f", negative “{one.negative}”" if one.negative else ""),
        one.source or DASH,
        percent(one.typicality),
        f"{one.n_found} of {one.n_judged}",
        number(one.auc),
        span(one.auc_low, one.auc_high),
        DASH if one.change is None else signed(one.change, 2),
        span(one.change_low, one.change_high),
        p_value(one.p_change),
    )


def _cells(row: ByPromptClass | None) -> tuple[str, str]:
    return (DASH, DASH) if row is None else (number(row.auc), p_value(row.p_adjusted))


def _figure(
    identity: str, answer: PromptClassesAnswer, artists: list[str], rows: dict[tuple[str, str], ByPromptClass]
) -> Figure:
    drawing = Drawing(LEFT + CELL * len(answer.classes) + 60, TOP + HEIGHT * len(artists) + 8)
    for place, one in enumerate(answer.classes):
        x = LEFT + (place + 0.5) * CELL
        inside = escape(fit(shown(one.name), TOP - 8)) + tag("title", escape(one.name))
        drawing.add(
            "text", inside, transform=f"translate({x + 4:.1f},{TOP - 6:.1f}) rotate(-60)", class_="label"
        )
    for line, artist in enumerate(artists):
        y = TOP + line * HEIGHT
        drawing.name(LEFT - 8, y + HEIGHT / 2 + 3.8, artist, LEFT - 12)
        for place, one in enumerate(answer.classes):
            row = rows.get((artist, one.name))
            if row is None or row.auc is None:
                continue
            _cell(drawing, LEFT + place * CELL, y, row, answer.level)
    heading = "AUC against invented names, by class of prompts"
    reading = "; ".join(
        f"{one.name}: {one.n_found} of {count(one.n_judged, 'artist')} found, mean AUC {number(one.auc)}"
        for one in answer.classes
    )
    keys = (
        ("key-cell", "further from 0.5, darker"),
        ("key-found", "found: corrected p at or below the level"),
    )
    return Figure(
        heading, drawing.finish(identity, heading, reading, fixed=True), f"{reading}.", keys, wide=True
    )


def _cell(drawing: Drawing, x: float, y: float, row: ByPromptClass, level: float) -> None:
    assert row.auc is not None
    found = is_called(row.p_adjusted, level=level)
    strength = min(1.0, 2 * abs(row.auc - 0.5))
    tooltip = f"{shown(row.artist)}, {shown(row.prompt_class)}: AUC {number(row.auc)}"
    tooltip += f", corrected p {p_value(row.p_adjusted)}" if row.p_adjusted is not None else ", not judged"
    drawing.add(
        "rect", tag("title", escape(tooltip)), x=x + 1, y=y + 1, width=CELL - 2, height=HEIGHT - 2,
        class_="cell found" if found else "cell", fill_opacity=f"{0.06 + 0.94 * strength:.2f}",
    )  # fmt: skip
    class_ = "count strong" if strength > 0.5 else "count"
    drawing.text(x + CELL / 2, y + HEIGHT / 2 + 3.6, number(row.auc), class_, "middle")
