"""The section on refused and blocked pictures."""

from __future__ import annotations

from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import ADJUSTED, count, number, p_value, percent, percent_span, span
from imindex.retrieval.results.questions import RefusalsAnswer, RefusedName
from imindex.stats.multiple import is_called


def section(identity: str, answer: RefusalsAnswer) -> Section:
    """Return the section of an answer."""
    rows = sorted(answer.artists, key=lambda row: (row.share is None, -(row.share or 0.0), row.artist))
    bounded = [row for row in rows if row.auc_low is not None and row.n_refused + row.n_blocked]
    drawn = [row for row in rows if row.share is not None]
    drift = (
        f" Early against late pictures of {count(answer.n_drift_names, 'invented name')}: p {p_value(answer.p_drift)}."
        if answer.p_drift is not None
        else ""
    )
    corrected = ADJUSTED[answer.adjust]
    return Section(
        question="Which names does the service refuse, and what could the withheld pictures change?",
        statement=answer.statement + drift,
        figures=(_figure(identity, answer, drawn),) if drawn else (),
        tables=(
            Table(
                title=f"Requests by artist; p corrected by {corrected}",
                head=("artist", "asked", "pictures", "refused", "blocked", "no picture", "errors", "withheld",
                      "interval", "invented names", "p", "p corrected"),
                rows=tuple(_cells(row) for row in rows),
                strong=tuple(
                    n for n, row in enumerate(rows) if is_called(row.p_adjusted, level=answer.level)
                ),
                folded=len(rows) > 12,
            ),
            *(
                (
                    Table(
                        title=f"If the withheld pictures had been made; p corrected by {corrected}",
                        head=("artist", "withheld", "AUC", "like invented names", "bounds", "p, like those made",
                              "p, like invented names", "p, best case", "p, worst case"),
                        rows=tuple(_bound_cells(row) for row in bounded),
                        folded=len(bounded) > 12,
                    ),
                )
                if bounded
                else ()
            ),
        ),
        shows=(
            "Every request is counted: a refusal is an answer. An artist’s name is refused more often than invented "
            "ones if few of these have as high a share. The bounds say what the tests on pictures could show if none "
            "had been withheld."
        ),
        shows_not=(
            "It does not say why a service refuses: a name may be on a list, or a filter may judge the prompt or the "
            "picture. A name that is refused is no sign that the model cannot imitate the artist, nor that it can. "
            "Other prompts, and the same prompt another day, may be answered otherwise."
        ),
        notes=answer.notes,
    )  # fmt: skip


def _cells(row: RefusedName) -> tuple[str, ...]:
    return (
        row.artist,
        str(row.n_asked),
        str(row.n_pictures),
        str(row.n_refused),
        str(row.n_blocked),
        str(row.n_no_picture),
        str(row.n_errors),
        percent(row.share),
        percent_span(row.low, row.high),
        percent(row.placebo_share),
        p_value(row.p),
        p_value(row.p_adjusted),
    )


def _bound_cells(row: RefusedName) -> tuple[str, ...]:
    return (
        row.artist,
        str(row.n_refused + row.n_blocked),
        number(row.auc),
        number(row.auc_as_placebos),
        span(row.auc_low, row.auc_high),
        p_value(row.p_as_answered),
        p_value(row.p_as_placebos),
        p_value(row.p_best),
        p_value(row.p_worst),
    )


def _figure(identity: str, answer: RefusalsAnswer, rows: list[RefusedName]) -> Figure:
    forest = Forest(len(rows), Scale(0, 1), [(v / 4, percent(v / 4)) for v in range(5)])
    for place, row in enumerate(rows):
        assert row.share is not None
        y, x = forest.y(place), forest.scale
        forest.name(place, row.artist)
        forest.interval(place, row.low, row.high)
        if row.placebo_share is not None:
            at = x(row.placebo_share)
            forest.drawing.line(at, y - 5, at, y + 5, "floor")
        title = f"{shown(row.artist)}: {percent(row.share)} of {row.n_asked} withheld"
        forest.drawing.mark(None, x(row.share), y, 5.0, title)
    above = sum(
        row.low is not None and row.placebo_share is not None and row.low > row.placebo_share for row in rows
    )
    heading = "Share of the pictures that were withheld"
    reading = (
        f"For {above} of {count(len(rows), 'artist')}, the whole interval is above the mean share of invented names. "
        "Whether that is more than chance is what p says."
    )
    keys = (
        ("key-floor", "mean of invented names"),
        ("key-dot", "the artist’s name"),
        ("key-interval", f"{100 * answer.confidence_level:g} % interval"),
    )
    return Figure(heading, forest.drawing.finish(identity, heading, reading), reading, keys)
