"""Parts that several figures use: scale, margins and forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imindex.retrieval.report.figures.svg import Drawing

WIDTH = 470.0
LEFT = 142.0
RIGHT = 24.0


@dataclass(frozen=True)
class Figure:
    """A figure with its title, caption and legend.

    Attributes
    ----------
    title : str
    svg : str
        Markup.
    reading : str
        A sentence that states what the figure shows.
    keys : tuple of (str, str)
        Legend: the class of each sample, and its meaning.
    wide : bool
        Whether the figure takes the full width of the page.
    """

    title: str
    svg: str
    reading: str
    keys: tuple[tuple[str, str], ...] = ()
    wide: bool = False


class Scale:
    """Maps values from `low` to `high` to pixels from `left` to `right`. Values outside are clipped."""

    def __init__(self, low: float, high: float, left: float = LEFT, right: float = WIDTH - RIGHT):
        self.low, self.high, self.left, self.right = low, high, left, right

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)


class Forest:
    """A forest plot: one line per artist along a common axis, with names at the left."""

    def __init__(self, n: int, scale: Scale, ticks: Sequence[tuple[float, str]]):
        self.step = 18.0 if n <= 36 else 14.0
        self.top, self.scale = 22.0, scale
        self.bottom = self.top + n * self.step
        self.drawing = Drawing(WIDTH, self.bottom + 22)
        for value, label in ticks:
            x = scale(value)
            self.drawing.line(x, self.top - 3, x, self.bottom + 3, "grid")
            for y in (self.top - 9, self.bottom + 16):
                self.drawing.text(x, y, label, "tick", "middle")

    def y(self, place: int) -> float:
        """Return the vertical centre of a line."""
        return self.top + (place + 0.5) * self.step

    def name(self, place: int, artist: str) -> None:
        """Write an artist's name."""
        self.drawing.name(LEFT - 10, self.y(place) + 3.8, artist, LEFT - 14)

    def reference(self, value: float) -> None:
        """Draw the reference line, such as chance."""
        x = self.scale(value)
        self.drawing.line(x, self.top - 3, x, self.bottom + 3, "chance")

    def interval(self, place: int, low: float | None, high: float | None) -> None:
        """Draw an interval, if there is one."""
        if low is not None and high is not None:
            y = self.y(place)
            self.drawing.line(self.scale(low), y, self.scale(high), y, "interval")
