"""Figures over all artists: ranks, p-values, accuracy by number of labels, and confusion table."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imindex.retrieval.report.figures.axes import Figure, Scale
from imindex.retrieval.report.figures.svg import Drawing, escape, fit, shorten, shown, tag
from imindex.retrieval.report.text import count, percent
from imindex.retrieval.results import Confusion, LabelCurve, ReportArtist

WIDTH, HEIGHT = 470.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 24.0, 14.0, 44.0


class Plot:
    """Two axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]):
        self.drawing = Drawing(WIDTH, HEIGHT)
        self.x = Scale(*x, LEFT, WIDTH - RIGHT)
        self.y = Scale(*y, HEIGHT - BOTTOM, TOP)

    def axes(
        self, x: Sequence[tuple[float, str]], y: Sequence[tuple[float, str]], x_label: str, y_label: str
    ) -> None:
        """Draw ticks and axis labels."""
        for value, label in y:
            self.drawing.line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value), "grid")
            self.drawing.text(LEFT - 8, self.y(value) + 3.8, label, "tick", "end")
        self.drawing.line(LEFT, self.y(self.y.low), WIDTH - RIGHT, self.y(self.y.low), "axis")
        for value, label in x:
            self.drawing.line(self.x(value), HEIGHT - BOTTOM, self.x(value), HEIGHT - BOTTOM + 4, "axis")
            self.drawing.text(self.x(value), HEIGHT - BOTTOM + 17, label, "tick", "middle")
        self.drawing.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "tick", "middle")
        middle = coordinate_pair(12, (TOP + HEIGHT - BOTTOM) / 2)
        self.drawing.parts.append(
            tag(
                "text",
                shown(y_label),
                transform=f"translate({middle}) rotate(-90)",
                class_="tick",
                text_anchor="middle",
            )
        )


def coordinate_pair(x: float, y: float) -> str:
    """Format a point for `translate`."""
    return f"{x:.1f},{y:.1f}"


def ranks(identity: str, artists: Sequence[ReportArtist]) -> Figure | None:
    """Draw, for each artist, the cumulative distribution of the own imitations over the ranking."""
    known = [
        (artist.artist, _cumulative(artist.rank_histogram))
        for artist in artists
        if artist.rank_histogram and sum(artist.rank_histogram)
    ]
    if not known:
        return None
    plot = Plot((0, 1), (0, 1))
    shares = [(value / 4, f"{25 * value} %") for value in range(5)]
    plot.axes(shares, shares, "nearest share of all imitations, as ranked by a work", "own imitations in it")
    plot.drawing.line(plot.x(0), plot.y(0), plot.x(1), plot.y(1), "chance")
    for artist, curve in known:
        points = [(plot.x(place / (len(curve) - 1)), plot.y(value)) for place, value in enumerate(curve)]
        moves = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        inside = tag("title", escape(artist))
        plot.drawing.parts.append(tag("polyline", inside, points=moves, class_="thin"))
    mean = [sum(values) / len(values) for values in zip(*(curve for _, curve in known), strict=True)]
    plot.drawing.path(
        [(plot.x(place / (len(mean) - 1)), plot.y(value)) for place, value in enumerate(mean)], "thick"
    )
    tenth = mean[round((len(mean) - 1) / 10)]
    reading = (
        f"On average, the nearest tenth of the ranking contains {percent(tenth)} of an artist's own imitations, and "
        "10 % without imitation."
    )
    keys = (("key-thick", "mean over artists"), ("key-thin", "one artist"), ("key-chance", "no imitation"))
    title = "Ranks of own imitations"
    return Figure(title, plot.drawing.finish(identity, title, reading), reading, keys)


def _cumulative(counts: Sequence[int]) -> list[float]:
    total, running, out = sum(counts), 0, [0.0]
    for value in counts:
        running += value
        out.append(running / total)
    return out


def p_values(identity: str, artists: Sequence[ReportArtist]) -> Figure | None:
    """Draw a histogram of the unadjusted p-values of the name test, or else of the rival test.

    It is approximately uniform without imitation.
    """
    test, known = "name", [(row.p_name, row.resolution_name) for row in artists if row.p_name is not None]
    if not known:
        test, known = (
            "rival",
            [(row.p_rival, row.resolution_rival) for row in artists if row.p_rival is not None],
        )
    p = [value for value, _ in known if value is not None]
    if not p:
        return None
    bins = 20
    counts = [0] * bins
    for value in p:
        counts[min(math.ceil(value * bins - 1e-9), bins) - 1 if value > 0 else 0] += 1
    most = max(*counts, 2)
    plot = Plot((0, 1), (0, most))
    step = max(1, math.ceil(most / 4))
    plot.axes(
        [(value / 5, f"{value / 5:g}") for value in range(6)],
        [(value, str(value)) for value in range(0, most + 1, step)],
        f"p of the {test} test, not adjusted",
        "artists",
    )
    for place, value in enumerate(counts):
        if value:
            left, right = plot.x(place / bins), plot.x((place + 1) / bins)
            tooltip = f"p from {place / bins:.2f} to {(place + 1) / bins:.2f}: {value}"
            plot.drawing.add(
                "rect", tag("title", escape(tooltip)), x=left + 0.75, y=plot.y(value), width=right - left - 1.5,
                height=plot.y(0) - plot.y(value), class_="bar",
            )  # fmt: skip
    plot.drawing.line(plot.x(0), plot.y(len(p) / bins), plot.x(1), plot.y(len(p) / bins), "chance")
    reading = (
        f"{counts[0]} of {count(len(p), 'p-value')} {'is' if counts[0] == 1 else 'are'} at most 0.05, where "
        f"{len(p) / bins:.1f} would be expected if nobody were imitated."
    )
    least = min(resolution or 1.0 for _, resolution in known)
    reading += f" None can be below {least:.2g}, because there are so few names to compare with."
    title = "Distribution of the p-values"
    return Figure(
        title,
        plot.drawing.finish(identity, title, reading),
        reading,
        (("key-chance", "if nobody were imitated"),),
    )


def label_curve(identity: str, curve: LabelCurve | None, *, by_works: bool = False) -> Figure | None:
    """Draw the accuracy against the number of candidate artists."""
    if curve is None or len(curve.counts) < 2:
        return None
    counts, right = curve.counts, "given to the right artist" if by_works else "named correctly"
    values, chance = ([share or 0.0 for share in shares] for shares in (curve.macro_top1, curve.chance))
    plot = Plot((math.log(counts[0]), math.log(counts[-1])), (0, 1))
    chosen = _spread(counts)
    plot.axes(
        [(math.log(value), str(value)) for value in chosen],
        [(value / 4, f"{25 * value} %") for value in range(5)],
        "candidate artists (logarithmic)",
        right,
    )
    plot.drawing.path(
        [(plot.x(math.log(n)), plot.y(v)) for n, v in zip(counts, chance, strict=True)], "chance"
    )
    plot.drawing.path(
        [(plot.x(math.log(n)), plot.y(v)) for n, v in zip(counts, values, strict=True)], "thick"
    )
    for n, value in zip(counts, values, strict=True):
        inside = tag("title", f"{n}: {percent(value, 1)}")
        plot.drawing.add(
            "circle", inside, cx=plot.x(math.log(n)), cy=plot.y(value), r=2.6, class_="mark full"
        )
    reading = (
        f"With {counts[0]} candidate artists, {percent(values[0])} of the imitations would be {right}, and "
        f"with all {counts[-1]}, {percent(values[-1])}. Accuracies with different numbers of candidates are not "
        f"comparable."
    )
    title = f"Accuracy{' by works,' if by_works else ''} by number of candidates"
    keys = (("key-thick", "mean over artists"), ("key-chance", "guessing"))
    return Figure(title, plot.drawing.finish(identity, title, reading), reading, keys)


def _spread(counts: Sequence[int]) -> list[int]:
    """Select numbers for ticks on a logarithmic axis, far enough apart for their labels."""
    kept = [counts[0]]
    for value in counts[1:]:
        if value / kept[-1] >= (counts[-1] / counts[0]) ** 0.12:
            kept.append(value)
    if kept[-1] != counts[-1]:
        kept[-1] = counts[-1]
    return kept


def confusion(
    identity: str, artists: Sequence[ReportArtist], table: Confusion, *, by_works: bool = False
) -> Figure | None:
    """Draw the confusion table. The darker a cell, the larger its fraction of the row."""
    order = [artist.artist for artist in artists if artist.artist in set(table.rows)]
    if not order:
        return None
    place = {name: number for number, name in enumerate(table.rows)}
    n_rows = len(table.rows)
    columns = [*(place[name] for name in order), *range(n_rows, len(table.columns))]
    cell = min(22.0, max(9.0, 760 / len(columns)))
    left, top = 158.0, 118.0
    size = min(11.0, cell * 0.98)
    gap = 8.0 if table.n_generic else 0.0
    first_generic = len(columns) - table.n_generic
    drawing = Drawing(left + cell * len(columns) + gap + 40, top + cell * len(order) + 8)
    letters = {"style": f"font-size:{size:.1f}px"}
    verb = "given to" if by_works else "named as"

    def x(number: int) -> float:
        return left + number * cell + (gap if number >= first_generic else 0.0)

    for number, column in enumerate(columns):
        name = table.columns[column]
        angle = -60 if cell >= 14 else -90
        turned = f"translate({x(number) + cell / 2 + size * 0.35:.1f},{top - 6:.1f}) rotate({angle})"
        inside = escape(fit(shown(name), top - 8, size)) + tag("title", escape(name))
        drawing.add("text", inside, transform=turned, class_="label", **letters)
    for line, name in enumerate(order):
        y = top + line * cell
        inside = escape(fit(shown(name), left - 12, size)) + tag("title", escape(name))
        drawing.add(
            "text",
            inside,
            x=left - 8,
            y=y + cell / 2 + size * 0.35,
            class_="label",
            text_anchor="end",
            **letters,
        )
        counts = table.counts[place[name]]
        total = max(sum(counts), 1)
        for number, column in enumerate(columns):
            if counts[column] or number == line:
                named = (name, table.columns[column], verb)
                _cell(drawing, x(number), y, cell, counts[column], total, named)
    title = (
        "Artists whose works are nearest to each artist’s pictures"
        if by_works
        else "Names given to each artist’s pictures"
    )
    reading = _confusion_reading(table, n_rows, verb)
    return Figure(title, drawing.finish(identity, title, reading, fixed=True), reading, wide=True)


def _cell(
    drawing: Drawing, x: float, y: float, size: float, n: int, total: int, names: tuple[str, str, str]
) -> None:
    share = n / total
    tooltip = f"{shown(names[0])} {names[2]} {shown(names[1])}: {n} of {total}"
    drawing.add(
        "rect", tag("title", escape(tooltip)), x=x + 0.5, y=y + 0.5, width=size - 1, height=size - 1,
        class_="cell own" if names[0] == names[1] else "cell",
        fill_opacity=f"{0.1 + 0.9 * share:.2f}" if n else "0",
    )  # fmt: skip
    if n and size >= 15:
        class_ = "count strong" if share > 0.5 else "count"
        drawing.text(x + size / 2, y + size / 2 + 3.4, n, class_, "middle")


def _confusion_reading(table: Confusion, n_rows: int, verb: str) -> str:
    pairs = sorted(
        (
            (-counts[column], table.rows[row], table.columns[column])
            for row, counts in enumerate(table.counts)
            for column in range(len(counts))
            if column != row and counts[column]
        ),
    )
    total = sum(map(sum, table.counts))
    right = sum(counts[row] for row, counts in enumerate(table.counts))
    generic = sum(sum(counts[len(counts) - table.n_generic :]) for counts in table.counts if table.n_generic)
    reading = f"{right} of {count(total, 'imitation')} are on the diagonal, "
    reading += f"{verb} the artist asked for"
    if generic:
        reading += f"; {generic} are nearest to a generic label"
    if pairs:
        n, (row, column) = pairs[0][0], (shorten(shown(name), 40) for name in pairs[0][1:])
        reading += f"; most often {row} was {verb.removesuffix(' as')} {column} ({-n})"
    return f"{reading}."
