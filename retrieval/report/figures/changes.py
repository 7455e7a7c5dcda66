"""The figures of a comparison of two releases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.text import DASH, count, number, p_value, span
from imindex.retrieval.results import ArtistChange, Comparison


def change_figures(identity: str, comparison: Comparison) -> list[Figure]:
    """Draw the AUC of each artist under both releases, and its change; the largest increase first."""
    changes = [
        Change(artist, artist.auc_base, artist.auc_new, artist.auc_change)
        for artist in comparison.artists
        if artist.auc_base is not None and artist.auc_new is not None and artist.auc_change is not None
    ]
    changes.sort(key=lambda row: (-row.change, row.artist.artist))
    if not changes:
        return []
    return [
        _both(f"{identity}-both", changes, comparison),
        _change(f"{identity}-change", changes, comparison),
    ]


class Change(NamedTuple):
    """An artist with an AUC under both releases."""

    artist: ArtistChange
    base: float
    new: float
    change: float


def _both(identity: str, rows: Sequence[Change], comparison: Comparison) -> Figure:
    forest = Forest(len(rows), Scale(0, 1), [(v / 4, f"{v / 4:.2f}") for v in range(5)])
    forest.reference(0.5)
    drawing, scale = forest.drawing, forest.scale
    for place, row in enumerate(rows):
        y, name = forest.y(place), row.artist.artist
        forest.name(place, name)
        drawing.line(scale(row.base), y, scale(row.new), y, "shift")
        description = f"{shown(name)}: {number(row.base)}, then {number(row.new)}"
        drawing.mark(Finding.NOT_SHOWN, scale(row.base), y, 3.6, description)
        drawing.mark(Finding.IMITATED, scale(row.new), y, 3.6, description)
    base, new = shown(comparison.base.release), shown(comparison.new.release)
    risen = sum(row.change > 0 for row in rows)
    reading = f"The AUC of {risen} of {count(len(rows), 'artist')} is higher under {new} than under {base}."
    keys = (("key-base", base), ("key-new", new), ("key-chance", "0.5, no imitation"))
    title = "Nearness (AUC) under both releases"
    return Figure(title, drawing.finish(identity, title, reading), reading, keys)


def _change(identity: str, rows: Sequence[Change], comparison: Comparison) -> Figure:
    ends = [end for row in rows for end in (row.change, row.artist.auc_low, row.artist.auc_high)]
    most = max(0.1, *(abs(end) for end in ends if end is not None))
    step = next(s for s in (0.05, 0.1, 0.25, 0.5, 1.0) if s * 2.01 >= most)
    ticks = [value * step for value in range(-2, 3)]
    forest = Forest(
        len(rows),
        Scale(-2 * step, 2 * step),
        [(v, "0" if not v else f"{v:+.2g}".replace("-", "−")) for v in ticks],
    )
    forest.reference(0)
    testing = comparison.testing
    for place, row in enumerate(rows):
        artist, p = row.artist, row.artist.auc.p_adjusted(testing.adjust)
        called = p is not None and p <= testing.level
        forest.name(place, artist.artist)
        forest.interval(place, artist.auc_low, artist.auc_high)
        description = f"{shown(artist.artist)}: {number(row.change)}, adjusted p {p_value(p)}"
        finding = Finding.IMITATED if called else Finding.NOT_SHOWN
        forest.drawing.mark(finding, forest.scale(row.change), forest.y(place), 3.6, description)
    overall = comparison.figures.auc
    between = span(overall.low, overall.high)
    reading = f"On average over artists the AUC changes by {number(overall.change)}"
    reading += "" if between == DASH else f" ({between})"
    if overall.beyond is not None:
        reading += f", and beyond placebo names by {number(overall.beyond)} (p {p_value(overall.p)})"
    keys = (("key-new", "changed at the level, after correction"), ("key-base", "change not shown"))
    title = "Change of the AUC"
    return Figure(title, forest.drawing.finish(identity, title, f"{reading}."), f"{reading}.", keys)
