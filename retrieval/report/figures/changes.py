"""The figures of a comparison of two releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.rows import Row
from imindex.retrieval.report.text import DASH, count, number, p_value, span

Report = Mapping[str, Any]


def change_figures(identity: str, comparison: Report) -> list[Figure]:
    """AUC under both releases, and its change, artist by artist; the largest rise first."""
    rows = [row for row in comparison["artists"] if row["auc_change"] is not None]
    rows.sort(key=lambda row: (-row["auc_change"], row["artist"]))
    if not rows:
        return []
    return [_both(f"{identity}-both", rows, comparison), _change(f"{identity}-change", rows, comparison)]


def _both(identity: str, rows: Sequence[Row], comparison: Report) -> Figure:
    forest = Forest(len(rows), Scale(0, 1), [(v / 4, f"{v / 4:.2f}") for v in range(5)])
    forest.reference(0.5)
    drawing, scale = forest.drawing, forest.scale
    for place, row in enumerate(rows):
        y, before, after = forest.y(place), row["auc_base"], row["auc_new"]
        forest.name(place, row["artist"])
        drawing.line(scale(before), y, scale(after), y, "shift")
        said = f"{shown(row['artist'])}: {number(before)}, then {number(after)}"
        drawing.mark(Finding.NOT_SHOWN, scale(before), y, 3.6, said)
        drawing.mark(Finding.IMITATED, scale(after), y, 3.6, said)
    base, new = shown(comparison["base"]["release"]), shown(comparison["new"]["release"])
    risen = sum(row["auc_change"] > 0 for row in rows)
    reading = f"The AUC of {risen} of {count(len(rows), 'artist')} is higher under {new} than under {base}."
    keys = (("key-base", base), ("key-new", new), ("key-chance", "0.5, no imitation"))
    title = "Nearness (AUC) under both releases"
    return Figure(title, drawing.finish(identity, title, reading), reading, keys)


def _change(identity: str, rows: Sequence[Row], comparison: Report) -> Figure:
    ends = [row[key] for row in rows for key in ("auc_change", "auc_low", "auc_high") if row[key] is not None]
    most = max(0.1, *(abs(value) for value in ends))
    step = next(s for s in (0.05, 0.1, 0.25, 0.5, 1.0) if s * 2.01 >= most)
    ticks = [value * step for value in range(-2, 3)]
    forest = Forest(
        len(rows),
        Scale(-2 * step, 2 * step),
        [(v, "0" if not v else f"{v:+.2g}".replace("-", "−")) for v in ticks],
    )
    forest.reference(0)
    method = comparison["testing"]["adjust"]
    level = comparison["testing"]["level"]
    for place, row in enumerate(rows):
        p = row[f"p_auc_{method}"]
        called = p is not None and p <= level
        forest.name(place, row["artist"])
        forest.interval(place, row["auc_low"], row["auc_high"])
        said = f"{shown(row['artist'])}: {number(row['auc_change'])}, adjusted p {p_value(p)}"
        finding = Finding.IMITATED if called else Finding.NOT_SHOWN
        forest.drawing.mark(finding, forest.scale(row["auc_change"]), forest.y(place), 3.6, said)
    overall = comparison["figures"]["auc"]
    between = span(overall["low"], overall["high"])
    reading = f"On average over artists the AUC changes by {number(overall['change'])}"
    reading += "" if between == DASH else f" ({between}; p {p_value(overall['p'])})"
    keys = (("key-new", "changed at the level, after correction"), ("key-base", "change not shown"))
    title = "Change of the AUC"
    return Figure(title, forest.drawing.finish(identity, title, f"{reading}."), f"{reading}.", keys)
