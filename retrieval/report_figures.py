"""The figures of one release by one encoder, as SVG, each with a sentence that says what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retrieval.report_rows import FINDINGS, Row
from retrieval.report_svg import Drawing, shown
from retrieval.report_text import count, number, percent

WIDTH = 470.0
LEFT = 142.0
RIGHT = 24.0
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A figure: markup, and what a reader needs beside it.

    Attributes
    ----------
    title : str
    svg : str
        Markup.
    reading : str
        A sentence that says what the figure shows.
    keys : tuple of (str, str)
        Class of a sample, and what it stands for.
    wide : bool
        Takes the whole width of the page.
    """

    title: str
    svg: str
    reading: str
    keys: tuple[tuple[str, str], ...] = ()
    wide: bool = False


def figures(identity: str, result: Report) -> list[Figure]:
    """All figures of a result that its data allow; `identity` is unique on the page."""
    from retrieval.report_plots import confusion, label_curve, p_values, ranks

    rows = in_order(result["artists"])
    found = [
        accuracy(f"{identity}-acc", rows, result["summary"]),
        auc(f"{identity}-auc", rows, result["summary"]),
        ranks(f"{identity}-rank", rows),
        p_values(f"{identity}-p", rows, result["summary"]),
        label_curve(f"{identity}-label", result),
        confusion(f"{identity}-conf", rows, result["confusion"]),
    ]
    return [one for one in found if one is not None]


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The nearest first; those without figures last."""
    return sorted(rows, key=lambda row: (row["auc"] is None, -(row["auc"] or 0.0), row["artist"]))


class Scale:
    """Values from `low` to `high` -> pixels."""

    def __init__(self, low: float, high: float, left: float = LEFT, right: float = WIDTH - RIGHT):
        self.low, self.high, self.left, self.right = low, high, left, right

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)


class Forest:
    """One line an artist, along one axis; names at the left."""

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
        """The middle of a line."""
        return self.top + (place + 0.5) * self.step

    def name(self, place: int, artist: str) -> None:
        """Write an artist's name."""
        self.drawing.name(LEFT - 10, self.y(place) + 3.8, artist, LEFT - 14)

    def reference(self, value: float) -> None:
        """Draw the line of chance."""
        x = self.scale(value)
        self.drawing.line(x, self.top - 3, x, self.bottom + 3, "chance")

    def interval(self, place: int, low: float | None, high: float | None) -> None:
        """Draw an interval, if there is one."""
        if low is not None and high is not None:
            y = self.y(place)
            self.drawing.line(self.scale(low), y, self.scale(high), y, "interval")


def accuracy(identity: str, rows: Sequence[Row], summary: Report) -> Figure | None:
    """Accuracy of each artist against chance."""
    known = [row for row in rows if row["top1"] is not None]
    if not known:
        return None
    forest = Forest(len(known), Scale(0, 1), [(v / 4, f"{25 * v} %") for v in range(5)])
    forest.reference(summary["accuracy_chance"])
    for place, row in enumerate(known):
        forest.name(place, row["artist"])
        forest.interval(place, row["top1_low"], row["top1_high"])
        said = f"{shown(row['artist'])}: {percent(row['top1'])} of {row['n_imitations']}; {row['finding']}"
        forest.drawing.mark(row["finding"], forest.scale(row["top1"]), forest.y(place), 4.0, said)
    above = sum(row["top1_low"] is not None and row["top1_low"] > summary["accuracy_chance"] for row in known)
    reading = (
        f"For {above} of {count(len(known), 'artist')} the whole interval lies above chance "
        f"({percent(summary['accuracy_chance'], 1)}); the mean over artists is {percent(summary['accuracy'], 1)}."
    )
    title = "Accuracy against chance"
    keys = (("key-chance", "chance"), ("key-interval", "interval"))
    return Figure(title, forest.drawing.finish(identity, title, reading), reading, keys)


def auc(identity: str, rows: Sequence[Row], summary: Report) -> Figure | None:
    """AUC of each artist, between floor and ceiling."""
    known = [row for row in rows if row["auc"] is not None]
    if not known:
        return None
    forest = Forest(len(known), Scale(0, 1), [(v / 4, f"{v / 4:.2f}") for v in range(5)])
    forest.reference(0.5)
    drawing = forest.drawing
    for place, row in enumerate(known):
        y = forest.y(place)
        forest.name(place, row["artist"])
        for key, class_ in (
            ("floor_placebo", "floor"),
            ("floor_control", "control"),
            ("ceiling_auc", "ceiling"),
        ):
            if row[key] is not None:
                x = forest.scale(row[key])
                drawing.line(x, y - 5, x, y + 5, class_)
        forest.interval(place, row["auc_low"], row["auc_high"])
        said = f"{shown(row['artist'])}: {number(row['auc'])}; {row['finding']}"
        drawing.mark(row["finding"], forest.scale(row["auc"]), y, 4.0, said)
    title = "Nearness (AUC) between floor and ceiling"
    keys = [("key-chance", "0.5, no imitation"), ("key-ceiling", "ceiling: own works")]
    if _mean(known, "floor_placebo") is not None:
        keys.append(("key-floor", "floor: invented names"))
    if _mean(known, "floor_control") is not None:
        keys.append(("key-control", "floor: controls"))
    reading = _auc_reading(known)
    return Figure(title, drawing.finish(identity, title, reading), reading, tuple(keys))


def _auc_reading(rows: Sequence[Row]) -> str:
    above = sum(row["auc_low"] is not None and row["auc_low"] > 0.5 for row in rows)
    reading = f"For {above} of {count(len(rows), 'artist')} the whole interval lies above 0.5"
    ceiling, floor = _mean(rows, "ceiling_auc"), _mean(rows, "floor_placebo")
    if ceiling is not None:
        reading += (
            f"; works of one artist find each other with {number(ceiling)} on average, the most to expect"
        )
    if floor is not None:
        reading += f", and pictures for invented names stand at {number(floor)}"
    return f"{reading}."


def _mean(rows: Sequence[Row], key: str) -> float | None:
    known = [row[key] for row in rows if row[key] is not None]
    return sum(known) / len(known) if known else None


def findings_of(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """The artists of each finding, from the strongest; findings that nobody has are left out."""
    found = [(label, [row["artist"] for row in rows if row["finding"] == label]) for label in FINDINGS]
    return [(label, names) for label, names in found if names]
