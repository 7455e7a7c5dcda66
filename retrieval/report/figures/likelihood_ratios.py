"""Tippett plot: how often likelihood ratios exceed a value, for pictures of known origin."""

from __future__ import annotations

import math

from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.figures.overall import Plot
from imindex.retrieval.report.text import percent
from imindex.retrieval.results.questions import ValidatedRatios


def tippett_plot(identity: str, validation: ValidatedRatios) -> Figure:
    """Draw the Tippett curves of a validation.

    Parameters
    ----------
    identity : str
        Unique on the page.
    validation : ValidatedRatios

    Returns
    -------
    Figure
        Across: the likelihood ratio, on a logarithmic axis. Up: the share of pictures with a larger one.
    """
    values = [point[0] for point in validation.curve]
    low, high = min(-0.5, *values) - 0.1, max(0.5, *values) + 0.1
    plot = Plot((low, high), (0, 1))
    ticks = [(float(power), _ratio(power)) for power in range(math.ceil(low), math.floor(high) + 1)]
    if len(ticks) < 3:
        ticks = [(math.log10(value), label) for value, label in ((1 / 3, "1/3"), (1, "1"), (3, "3"))]
        ticks = [tick for tick in ticks if low <= tick[0] <= high]
    plot.axes(
        ticks, [(value / 4, f"{25 * value} %") for value in range(5)], "likelihood ratio", "pictures above it"
    )
    plot.drawing.line(plot.x(0), plot.y(0), plot.x(0), plot.y(1), "chance")
    for place, class_ in ((1, "thick"), (2, "thick-second")):
        points = [(plot.x(low), plot.y(1))]
        share = 1.0
        for point in validation.curve:
            points += [(plot.x(point[0]), plot.y(share)), (plot.x(point[0]), plot.y(point[place]))]
            share = point[place]
        points.append((plot.x(high), plot.y(share)))
        plot.drawing.path(points, class_)
    reading = (
        f"{percent(validation.misleading_same)} of the pictures asked for by the artist’s name have a likelihood ratio "
        f"below 1, and {percent(validation.misleading_different)} of those of {validation.other} one above 1: these "
        "mislead."
    )
    keys = (
        ("key-thick", "asked for by the artist’s name (H1)"),
        ("key-thick-second", f"{validation.other} (H2)"),
        ("key-chance", "neutral"),
    )
    title = f"Likelihood ratios against {validation.other}, tried on {validation.tried_on}"
    return Figure(title, plot.drawing.finish(identity, title, reading), reading, keys)


def _ratio(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"1/{10**-power:,}"
