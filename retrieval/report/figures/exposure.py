"""Imitation against the number of works in the training data, on a logarithmic axis."""

from __future__ import annotations

import math

from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.figures.overall import Plot
from imindex.retrieval.report.figures.scales import nice_ticks
from imindex.retrieval.report.figures.svg import escape, tag
from imindex.retrieval.report.text import count, number
from imindex.retrieval.results.questions import TrainingCountsAnswer


def counts_plot(identity: str, answer: TrainingCountsAnswer) -> Figure | None:
    """Draw the measure of each artist against the count, the curve that never falls, and the threshold.

    Parameters
    ----------
    identity : str
        Unique on the page.
    answer : TrainingCountsAnswer

    Returns
    -------
    Figure or None
        None if fewer than 2 artists have a count and a value.
    """
    rows = [
        (row.artist, row.training_images, row.value)
        for row in answer.artists
        if row.fitted is not None and row.training_images is not None and row.value is not None
    ]
    if len(rows) < 2:
        return None
    across = [_place(images) for _, images, _ in rows]
    ticks = nice_ticks(min(value for *_, value in rows), max(value for *_, value in rows))
    left, right = min(across) - 0.1, max(across) + 0.1
    plot = Plot((left, right), (ticks[0], ticks[-1]))
    powers = [0, *(10**power for power in range(13))]
    marks = [(_place(value), f"{value:,}") for value in powers if left <= _place(value) <= right]
    label = "nearness (AUC)" if answer.measure == "auc" else "own part of the score"
    plot.axes(marks, [(value, f"{value:g}") for value in ticks], "works in the training data", label)
    if answer.measure == "auc" and ticks[0] <= 0.5 <= ticks[-1]:
        plot.drawing.line(plot.x(left), plot.y(0.5), plot.x(right), plot.y(0.5), "chance")
    if answer.threshold_low is not None and answer.threshold_high is not None:
        first = left if answer.open_low else _place(answer.threshold_low)
        last = right if answer.open_high else _place(answer.threshold_high)
        plot.drawing.add(
            "rect", x=plot.x(first), y=plot.y(ticks[-1]), width=max(1.0, plot.x(last) - plot.x(first)),
            height=plot.y(ticks[0]) - plot.y(ticks[-1]), class_="band",
        )  # fmt: skip
    points: list[tuple[float, float]] = []
    for images, value in answer.curve:
        x = plot.x(_place(images))
        points += [(x, points[-1][1])] if points else []
        points.append((x, plot.y(value)))
    plot.drawing.path(points, "thick")
    for (artist, images, value), x in zip(rows, across, strict=True):
        title = tag("title", escape(f"{artist}: {count(images, 'work')}, {number(value)}"))
        plot.drawing.add("circle", title, cx=plot.x(x), cy=plot.y(value), r=4.0, class_="mark empty")
    reading = f"Each ring is one of {count(len(rows), 'artist')}; the line is the best fit that never falls."
    if answer.rho is not None:
        reading += f" The rank correlation is {number(answer.rho)}."
    keys = [("key-thick", "best fit that never falls")]
    if answer.measure == "auc":
        keys.append(("key-chance", "0.5, no imitation"))
    if answer.threshold_low is not None:
        keys.append(("key-band", "where imitation begins, interval"))
    title = "Imitation by number of works in the training data"
    return Figure(title, plot.drawing.finish(identity, title, reading), reading, tuple(keys))


def _place(images: float) -> float:
    """Return the place on the logarithmic axis, on which 0 has one, too."""
    return math.log10(1 + images)
