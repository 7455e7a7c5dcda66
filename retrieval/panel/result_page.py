"""The result of a panel -> one HTML page that needs nothing else, in the style of the report of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imindex.indexer.system.atomic import make_folder, write_file
from imindex.retrieval.findings import Finding
from imindex.retrieval.panel.page import TEMPLATES
from imindex.retrieval.report import text as report_text
from imindex.retrieval.report.environment import page_environment
from imindex.retrieval.report.figures.axes import Figure, Forest, Scale
from imindex.retrieval.report.figures.overall import Plot
from imindex.retrieval.report.figures.svg import shown
from imindex.retrieval.report.style import page_style
from imindex.retrieval.report.text import count, number, p_value, percent
from imindex.retrieval.results import PanelEstimate, PanelFigures, PanelledArtist, PanelResult

_TICKS = [(value / 4, f"{25 * value} %") for value in range(5)]


def write_result_page(result: PanelResult, file: Path) -> None:
    """Write the page of a result; the file is replaced if it exists."""
    make_folder(file.absolute().parent)
    write_file(file, result_page(result).encode("utf-8", "backslashreplace"))


def result_page(result: PanelResult) -> str:
    """Return the page of a result. It has no scripts, and makes no request."""
    from markupsafe import Markup

    environment = page_environment(
        TEMPLATES,
        count=count,
        percent=percent,
        number=number,
        p=p_value,
        span=_span,
    )
    figures = result.kept or result.everybody
    return environment.get_template("result.html").render(
        result=result,
        figures=figures,
        answer=answer_sentence(result),
        everybody={one.artist: one for one in result.everybody.artists},
        both=result.kept is not None and result.kept.n_raters < result.everybody.n_raters,
        artists=_in_order(figures.artists),
        drawings=[
            one
            for one in (_shares(figures, answer_sentence(result)), _against_auc(figures))
            if one is not None
        ],
        rows=_rows(figures, result.everybody),
        adjust=report_text.ADJUSTED[result.rule.adjust],
        style=Markup(page_style()),
    )


def answer_sentence(result: PanelResult) -> str:
    """Say what the panel found; answers that the rule excludes are no finding."""
    if result.kept is None:
        return "There is no answer, because the rule that was fixed before the panel excludes every rater."
    return _found(result.kept)


def _found(figures: PanelFigures) -> str:
    n, untested = len(figures.artists), sum(one.p is None for one in figures.artists)
    if untested == n:
        return "Whether people chose the pictures as more like the artists' works cannot be tested with these answers."
    if not figures.n_chosen:
        return (
            f"For none of {count(n, 'artist')} is it shown that people find the pictures made for the artist more like "
            "the artist's works than pictures made for placebo names. That is not a finding that they do not."
        )
    return (
        f"People chose the pictures made for {figures.n_chosen} of {count(n, 'artist')} as more like the artist's "
        "works, more often than pictures made for placebo names."
    )


def _in_order(artists: Sequence[PanelledArtist]) -> list[PanelledArtist]:
    return sorted(artists, key=lambda one: (-(one.share or 0.0), one.artist))


def _shares(figures: PanelFigures, answer: str) -> Figure | None:
    rows = [(one, one.share) for one in _in_order(figures.artists) if one.share is not None]
    if not rows:
        return None
    placebos = [share for share in figures.placebo_shares if share is not None]
    forest = Forest(len(rows) + bool(placebos), Scale(0, 1), _TICKS)
    forest.reference(0.5)
    for place, (one, share) in enumerate(rows):
        forest.name(place, one.artist)
        forest.interval(place, one.low, one.high)
        finding = Finding.IMITATED if one.chosen else Finding.NOT_SHOWN
        what = f"{shown(one.artist)}: {percent(share)} of {count(one.n_answers, 'answer')}"
        forest.drawing.mark(finding, forest.scale(share), forest.y(place), 4.0, what)
    if placebos:
        forest.name(len(rows), "placebo names")
        y = forest.y(len(rows))
        for share in placebos:
            forest.drawing.line(forest.scale(share), y - 5, forest.scale(share), y + 5, "floor")
    title = "How often people chose the imitation"
    reading = f"{answer} Each orange line is a placebo name that took an artist's place."
    keys = (
        ("key-chance", "one half"),
        ("key-interval", "interval over raters and trials"),
        ("key-floor", "placebo name in an artist's place"),
    )
    return Figure(title, forest.drawing.finish("panel-shares", title, reading), reading, keys)


def _against_auc(figures: PanelFigures) -> Figure | None:
    points = [
        (one, one.auc, one.share) for one in figures.artists if one.auc is not None and one.share is not None
    ]
    if len(points) < 3:
        return None
    plot = Plot((0, 1), (0, 1))
    plot.axes(
        [(value / 4, f"{value / 4:.2f}") for value in range(5)],
        _TICKS,
        "AUC of the audit",
        "imitation chosen",
    )
    plot.drawing.line(plot.x(0), plot.y(0.5), plot.x(1), plot.y(0.5), "chance")
    for one, auc, share in points:
        finding = Finding.IMITATED if one.chosen else Finding.NOT_SHOWN
        what = f"{shown(one.artist)}: AUC {number(auc)}, {percent(share)}"
        plot.drawing.mark(finding, plot.x(auc), plot.y(share), 4.5, what)
    correlation = figures.metric.rank_correlation
    reading = (
        f"Spearman's correlation over {count(correlation.n_units, 'artist')} is {number(correlation.value)}"
        f"{_with_span(correlation)}. The metric makes the same choice as people in "
        f"{percent(figures.metric.imitation.value)} of the answers to imitation trials; two people do in "
        f"{percent(figures.metric.people)}."
    )
    title = "People and the metric"
    return Figure(
        title, plot.drawing.finish("panel-auc", title, reading), reading, (("key-chance", "one half"),)
    )


def _with_span(one: PanelEstimate) -> str:
    return (
        "" if one.low is None or one.high is None else f" (interval {number(one.low)} to {number(one.high)})"
    )


def _span(one: PanelEstimate | PanelledArtist) -> str:
    if one.low is None or one.high is None:
        return ""
    return f"{100 * one.low:.0f} to {100 * one.high:.0f}"


def _rows(kept: PanelFigures, everybody: PanelFigures) -> list[tuple[str, str, str, str, str]]:
    """Return the rows of the table of figures: name, meaning, value, interval, value with all raters."""

    def row(
        title: str, meaning: str, one: PanelEstimate, other: PanelEstimate, share: bool = True
    ) -> tuple[str, str, str, str, str]:
        show = percent if share else number
        span = "" if one.low is None or one.high is None else f"{show(one.low)} to {show(one.high)}"
        return title, meaning, show(one.value), span, show(other.value)

    a, b = kept, everybody
    return [
        row("imitation chosen", "mean over artists; over artists and raters", a.overall, b.overall),
        row("agreement of raters", "Krippendorff's alpha; 0 is chance", a.alpha, b.alpha, False),
        row("same answer again", "trials that came twice; over raters", a.alike, b.alike),
        row("catch trials right", "over raters", a.catch, b.catch),
        row("left picture chosen", "over raters", a.left, b.left),
        row(
            "metric agrees with people", "answers to imitation trials", a.metric.imitation, b.metric.imitation
        ),
        row("metric agrees with people", "answers to placebo trials", a.metric.placebo, b.metric.placebo),
        row(
            "share and AUC",
            "Spearman; over artists",
            a.metric.rank_correlation,
            b.metric.rank_correlation,
            False,
        ),
    ]
