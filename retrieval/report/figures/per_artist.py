"""Figures with one line per artist, for the artists of a report, a `Classification` or a `Matching`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.text import count, number, percent
from imindex.retrieval.results import ClassifiedArtist, MatchedArtist, ReportArtist


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of one artist.

    Attributes
    ----------
    artist : str
    finding : Finding or None
        Determines the mark; None draws a dot.
    n : int
        Number of pictures classified.
    top1 : float
    low, high : float or None
        Interval of `top1`.
    """

    artist: str
    finding: Finding | None
    n: int
    top1: float
    low: float | None
    high: float | None


def accuracies(artists: Iterable[ReportArtist | ClassifiedArtist]) -> list[Accuracy]:
    """Return the accuracy of each artist that has one."""
    return [
        Accuracy(
            artist=artist.artist,
            finding=artist.finding if isinstance(artist, ReportArtist) else None,
            n=artist.n_imitations if isinstance(artist, ReportArtist) else artist.n,
            top1=artist.top1,
            low=artist.top1_low,
            high=artist.top1_high,
        )
        for artist in artists
        if artist.top1 is not None
    ]


def accuracy(
    identity: str,
    rows: Sequence[Accuracy],
    *,
    chance: float | None,
    mean: float | None,
    by_works: bool = False,
) -> Figure | None:
    """Draw the accuracy of each artist against chance.

    Parameters
    ----------
    identity : str
        Unique on the page.
    rows : sequence of Accuracy
    chance, mean : float or None
        Mean over artists of the chance accuracy, and of the accuracy.
    by_works : bool
        Whether the accuracy is that of a classification by works.

    Returns
    -------
    Figure or None
        None if there are no rows.
    """
    if not rows:
        return None
    least = chance or 0.0
    forest = Forest(len(rows), Scale(0, 1), [(v / 4, f"{25 * v} %") for v in range(5)])
    forest.reference(least)
    for place, row in enumerate(rows):
        forest.name(place, row.artist)
        forest.interval(place, row.low, row.high)
        description = f"{shown(row.artist)}: {percent(row.top1)} of {row.n}{_and(row.finding)}"
        forest.drawing.mark(row.finding, forest.scale(row.top1), forest.y(place), 4.0, description)
    above = sum(row.low is not None and row.low > least for row in rows)
    reading = (
        f"For {above} of {count(len(rows), 'artist')}, the whole interval is above chance "
        f"({percent(chance, 1)}); the mean over artists is {percent(mean, 1)}."
    )
    title = f"Accuracy{' by works' if by_works else ''} against chance"
    keys = (("key-chance", "chance"), ("key-interval", "interval"))
    return Figure(title, forest.drawing.finish(identity, title, reading), reading, keys)


def auc(identity: str, artists: Sequence[ReportArtist | MatchedArtist]) -> Figure | None:
    """Draw the AUC of each artist with its floor and ceiling. Return None if no artist has an AUC.

    `identity` must be unique on the page.
    """
    known = [(artist, artist.auc) for artist in artists if artist.auc is not None]
    if not known:
        return None
    forest = Forest(len(known), Scale(0, 1), [(v / 4, f"{v / 4:.2f}") for v in range(5)])
    forest.reference(0.5)
    drawing = forest.drawing
    for place, (artist, value) in enumerate(known):
        y = forest.y(place)
        forest.name(place, artist.artist)
        for bound, class_ in (
            (artist.floor_placebo, "floor"),
            (artist.floor_control, "control"),
            (artist.ceiling_auc, "ceiling"),
        ):
            if bound is not None:
                drawing.line(forest.scale(bound), y - 5, forest.scale(bound), y + 5, class_)
        forest.interval(place, artist.auc_low, artist.auc_high)
        description = f"{shown(artist.artist)}: {number(value)}{_and(artist.finding)}"
        drawing.mark(artist.finding, forest.scale(value), y, 4.0, description)
    drawn = [artist for artist, _ in known]
    ceiling, floor, control = (
        _mean(bounds)
        for bounds in (
            [artist.ceiling_auc for artist in drawn],
            [artist.floor_placebo for artist in drawn],
            [artist.floor_control for artist in drawn],
        )
    )
    title = "Nearness (AUC) between floor and ceiling"
    keys = [("key-chance", "0.5, no imitation"), ("key-ceiling", "ceiling: own works")]
    if floor is not None:
        keys.append(("key-floor", "floor: invented names"))
    if control is not None:
        keys.append(("key-control", "floor: controls"))
    above = sum(artist.auc_low is not None and artist.auc_low > 0.5 for artist in drawn)
    reading = f"For {above} of {count(len(drawn), 'artist')}, the whole interval is above 0.5"
    if ceiling is not None:
        reading += f"; the average AUC of works of the same artist, the most to expect, is {number(ceiling)}"
    if floor is not None:
        reading += f", and that of pictures for invented names {number(floor)}"
    reading += "."
    return Figure(title, drawing.finish(identity, title, reading), reading, tuple(keys))


def _and(finding: Finding | None) -> str:
    return "" if finding is None else f"; {finding}"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
