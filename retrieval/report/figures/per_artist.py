"""The figures of one release by one encoder, as SVG, each with a sentence that says what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.rows import Row
from imindex.retrieval.report.text import count, number, percent

Report = Mapping[str, Any]


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
