"""The section on erased artists."""

from __future__ import annotations

from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.scales import nice_ticks
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.questions.section import Section, Table
from imindex.retrieval.report.text import count, number, p_value, percent, signed, span
from imindex.retrieval.results.questions import ErasedArtist, ErasureAnswer, KeptArtist


def section(identity: str, answer: ErasureAnswer) -> Section:
    """Return the section of an answer."""
    erased = dict.fromkeys(row.artist for row in answer.artists)
    figures = [_gone(f"{identity}-gone{place}", answer, name) for place, name in enumerate(erased)]
    figures.append(_kept(f"{identity}-kept", answer))
    mean = (
        f" The mean change is {signed(answer.kept_mean, 3)} ({span(answer.kept_low, answer.kept_high, 3)}), "
        f"p {p_value(answer.p_kept)} for a mean within ±{answer.kept_margin:g}."
        if answer.kept_mean is not None
        else ""
    )
    return Section(
        question=f"Compared with {answer.base}: are the erased artists gone, and the others kept?",
        statement=answer.statement + mean,
        figures=tuple(figure for figure in figures if figure is not None),
        tables=(
            Table(
                title="Erased artists, by way of asking",
                head=("artist", "asked by", "AUC before", "AUC", "interval", "p of the name", "pictures", "verdict"),
                rows=tuple(_erased_cells(row) for row in answer.artists),
                strong=tuple(n for n, row in enumerate(answer.artists) if row.verdict == "remains"),
            ),
            Table(
                title="Artists to keep, from the nearest to an erased artist to the furthest",
                head=("artist", "nearest erased", "nearness", "AUC before", "AUC", "change", "interval", "verdict"),
                rows=tuple(_kept_cells(row) for row in answer.kept),
                strong=tuple(n for n, row in enumerate(answer.kept) if row.verdict == "lost"),
                folded=len(answer.kept) > 12,
            ),
        ),
        shows=(
            f"“Gone” means more than that no effect was found: the AUC is shown to be below "
            f"{0.5 + answer.margin:.2f}, where 0.5 "
            f"is an invented name. “Kept” means that a loss of {answer.kept_margin:.2f} or more is excluded. Each is "
            "a test at level "
            f"{percent(answer.level)}; an artist is gone only if every way of asking says so."
        ),
        shows_not=(
            "It does not show that the works have no influence on the model, nor that no other prompt, adapter or "
            "fine-tuning "
            "brings the artist back. What was not asked was not tested."
        ),
        notes=answer.notes,
    )  # fmt: skip


def _erased_cells(row: ErasedArtist) -> tuple[str, ...]:
    return (
        row.artist,
        row.asked,
        number(row.base_auc),
        number(row.auc),
        span(row.auc_low, row.auc_high),
        p_value(row.p),
        str(row.n_pictures),
        row.verdict,
    )


def _kept_cells(row: KeptArtist) -> tuple[str, ...]:
    return (
        row.artist,
        row.nearest_erased,
        number(row.nearness),
        number(row.base_auc),
        number(row.auc),
        signed(row.change, 2) if row.change is not None else number(None),
        span(row.change_low, row.change_high),
        row.verdict,
    )


def _gone(identity: str, answer: ErasureAnswer, artist: str) -> Figure | None:
    rows = [row for row in answer.artists if row.auc is not None and row.artist == artist]
    if not rows:
        return None
    forest = Forest(len(rows), Scale(0, 1), [(v / 4, f"{v / 4:.2f}") for v in range(5)])
    forest.reference(0.5 + answer.margin)
    for place, row in enumerate(rows):
        assert row.auc is not None
        y, x = forest.y(place), forest.scale
        forest.name(place, row.asked)
        forest.interval(place, row.auc_low, row.auc_high)
        if row.base_auc is not None:
            forest.drawing.add("circle", cx=x(row.base_auc), cy=y, r=3.4, class_="mark empty")
        title = f"{shown(row.artist)} by {shown(row.asked)}: AUC {number(row.auc)}, {row.verdict}"
        forest.drawing.mark(None, x(row.auc), y, 5.0, title)
    said = {
        verdict: sum(row.verdict == verdict for row in rows) for verdict in ("gone", "remains", "undecided")
    }
    heading = f"What is left of {shown(artist)}"
    reading = (
        f"Of {count(len(rows), 'way')} of asking, {said['gone']} say “gone”, {said['remains']} “remains” and "
        f"{said['undecided']} “undecided”. Gone: the whole interval is left of the line."
    )
    keys = (
        ("key-empty", answer.base),
        ("key-dot", answer.release),
        ("key-interval", "interval"),
        ("key-chance", f"0.5 + margin, {0.5 + answer.margin:g}"),
    )
    return Figure(heading, forest.drawing.finish(identity, heading, reading), reading, keys)


def _kept(identity: str, answer: ErasureAnswer) -> Figure | None:
    rows = [
        row for row in answer.kept if row.change is not None and row.verdict in ("kept", "lost", "undecided")
    ]
    if not rows:
        return None
    values = [
        value for row in rows for value in (row.change, row.change_low, row.change_high) if value is not None
    ]
    ticks = nice_ticks(min(-2 * answer.kept_margin, *values), max(answer.kept_margin, *values))
    forest = Forest(len(rows), Scale(ticks[0], ticks[-1]), [(value, signed(value, 2)) for value in ticks])
    forest.reference(-answer.kept_margin)
    for place, row in enumerate(rows):
        assert row.change is not None
        forest.name(place, row.artist)
        forest.interval(place, row.change_low, row.change_high)
        title = f"{shown(row.artist)}: change of AUC {signed(row.change, 2)}, {row.verdict}"
        forest.drawing.mark(None, forest.scale(row.change), forest.y(place), 5.0, title)
    heading = "Artists to keep: change of AUC"
    n_kept = sum(row.verdict == "kept" for row in rows)
    reading = (
        f"{n_kept} of {count(len(rows), 'artist')} are kept: the whole interval is right of the line. The artist "
        "nearest to an "
        "erased one comes first."
    )
    keys = (
        ("key-interval", "interval"),
        ("key-chance", f"largest loss that counts as nothing, {answer.kept_margin:g}"),
    )
    return Figure(heading, forest.drawing.finish(identity, heading, reading), reading, keys)
