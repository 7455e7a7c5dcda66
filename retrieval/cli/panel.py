"""The commands `imindex panel make` and `imindex panel read`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imindex.indexer.core.bounds import CATCH, FRACTION, PANEL_TRIALS, PANEL_WORKS, RATERS, SEED, SHARE, SIDES
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import FromSignature, json_option, table_options, view_of, within
from imindex.indexer.terminal.output import (
    count,
    echo,
    number,
    percent,
    print_json,
    remark,
    say,
    show_aside,
    show_table,
)
from imindex.indexer.terminal.progress import quiet, quiet_option
from imindex.indexer.terminal.table import Column, Table

if TYPE_CHECKING:
    from imindex.indexer.terminal.output import View
    from imindex.retrieval.results import PanelEstimate, PanelFigures, PanelForecast, PanelResult

MAKE = "imindex.retrieval.api:make_panel"
_FORECAST_TAKES = (
    "release", "encoder", "artists", "n_artists", "per_artist", "raters", "works", "placebo_sets", "set_size", "catch",
    "repeats", "level", "adjust", "seed",
)  # fmt: skip


@click.group(
    short_help="Ask people which pictures are like an artist's works, blind.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def panel() -> None:
    """Make a blind panel of people from a finished audit, and evaluate their answers.

    \b
    imindex panel make plan-audit --dry-run
    imindex panel make plan-audit --out panel
    imindex panel read panel answers/
    """


@panel.command(short_help="Write a page for each rater, and a sealed key.")
@click.argument("audit", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("panel"), show_default=True,
    help="Folder for key.json, which raters must not get, and the pages, which they get.",
)  # fmt: skip
@click.option("--release", help="Release of the audit.  [default: the only one]")
@click.option("--encoder", help="Encoder that people are compared with.  [default: the first one]")
@click.option("--artist", "artists", multiple=True, metavar="NAME",
              help="Show this artist, and only those that are named. Repeatable.")  # fmt: skip
@click.option("--artists", "n_artists", cls=FromSignature, of=MAKE, type=within(PANEL_TRIALS),
              help="Number of artists, drawn at random.")  # fmt: skip
@click.option("--per-artist", cls=FromSignature, of=MAKE, type=within(PANEL_TRIALS),
              help="Trials of each artist on a page.")  # fmt: skip
@click.option("--raters", cls=FromSignature, of=MAKE, type=within(RATERS), help="Number of pages.")
@click.option("--works", cls=FromSignature, of=MAKE, type=within(PANEL_WORKS),
              help="Works of the artist that are shown with each trial.")  # fmt: skip
@click.option("--placebo-sets", cls=FromSignature, of=MAKE, type=within(PANEL_TRIALS),
              help="Placebo names that take an artist's place.")  # fmt: skip
@click.option("--set-size", cls=FromSignature, of=MAKE, type=within(PANEL_TRIALS),
              help="Trials of each placebo set.")  # fmt: skip
@click.option("--catch", cls=FromSignature, of=MAKE, type=within(CATCH), help="Catch trials on a page.")
@click.option("--repeats", cls=FromSignature, of=MAKE, type=within(CATCH),
              help="Trials that a page shows twice.")  # fmt: skip
@click.option(
    "--side", cls=FromSignature, of=MAKE, type=within(SIDES), help="Side of all pictures, in pixels."
)
@click.option("--least-catch", cls=FromSignature, of=MAKE, type=within(FRACTION),
              help="Exclude raters with a smaller share of catch trials right.")  # fmt: skip
@click.option("--level", cls=FromSignature, of=MAKE, type=within(SHARE),
              help="Level of the tests, over all artists.")  # fmt: skip
@click.option("--adjust", cls=FromSignature, of=MAKE, type=click.Choice(["holm", "bh", "by"]),
              help="Correction over artists.")  # fmt: skip
@click.option(
    "--seed", type=within(SEED), help="Seed of all draws.  [default: a secret one, kept in the key]"
)
@click.option("--dry-run", is_flag=True, help="Say how long it takes and what it can find; write nothing.")
@click.option("--force", is_flag=True, help="Replace OUT, which no rater has seen.")
@json_option
@quiet_option
@errors_for_people
def make(audit: Path, out: Path, dry_run: bool, force: bool, as_json: bool, **options: Any) -> None:
    """Make a blind panel from the folder of a finished AUDIT.

    In each trial, a rater sees works of an artist and two pictures of one template: an imitation, and a picture made
    for a placebo name. Which is more like the works? Each page has another order, and sides are balanced. Catch trials
    check attention, repeated trials self-agreement, and trials with two placebo pictures say what chance gives.

    How answers are evaluated is fixed in the key. The pages quote its digest, so that neither can be changed unnoticed.

    \b
    imindex panel make plan-audit --release final --dry-run
    imindex panel make plan-audit --release final --raters 20
    """
    from imindex.retrieval import api

    if dry_run:
        taken = {name: options[name] for name in _FORECAST_TAKES}
        result = api.forecast_panel(audit, **taken)
        if as_json:
            print_json(result.to_dict())
        else:
            _show_forecast(result)
        return
    made = api.make_panel(
        audit, out, **options, force=force, note=(lambda _: None) if as_json or quiet() else say
    )
    key = made.key
    if as_json:
        print_json({
            "panel": key.digest, "key": str(made.folder / "key.json"), "pages": [str(page) for page in made.pages],
            "artists": [one.artist for one in key.artists], "trials": len(key.sheets[0].shown),
            "notes": list(key.notes),
        })  # fmt: skip
        return
    for note in key.notes:
        say(note)
    echo(
        f"Wrote {count(len(made.pages), 'page')} with {len(key.sheets[0].shown)} trials each to "
        f"{made.folder / 'pages'}, and the key to {made.folder / 'key.json'}."
    )
    echo(
        f"Panel {key.digest}. Publish this digest before the first answer, give each rater one page, and keep the key "
        "to yourself."
    )


@panel.command(short_help="Evaluate the answers by the rule of the key.")
@click.argument("key", type=click.Path(path_type=Path))
@click.argument("answers", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the result as a page with figures, too.")  # fmt: skip
@json_option
@table_options
@errors_for_people
def read(key: Path, answers: tuple[Path, ...], html: Path | None, as_json: bool, **options: Any) -> None:
    """Evaluate ANSWERS, the files of the raters or their folder, by KEY: key.json, or the folder that holds it.

    The share of an artist is that of the answers that choose the imitation. "chosen": more often than half of the
    time, and more often than placebo names in an artist's place are; both after correction over the artists.

    \b
    imindex panel read panel answers/
    imindex panel read panel answers/ --html panel.html
    """
    view = view_of(options)
    from imindex.retrieval import api

    result = api.read_panel(key, answers)
    if html is not None:
        from imindex.retrieval.panel.result_page import write_result_page

        write_result_page(result, html)
    if as_json:
        print_json(result.to_dict())
        return
    _show(result, view)
    if html is not None:
        say(f"Wrote {html}.")


def _show_forecast(result: PanelForecast) -> None:
    minutes = result.minutes or 0.0
    for note in result.notes:
        say(note)
    table = Table(
        f"What {count(result.n_raters, 'rater')} can find, of {count(len(result.artists), 'artist')}",
        [
            Column("share", "imitation chosen in", percent, rank=0),
            Column("together", "found, if all artists are such", percent, rank=2),
            Column("alone", "found, if one artist is", percent, rank=1),
        ],
        [row.to_dict() for row in result.power],
        notes=[
            "By simulation of raters who share a taste for pictures, with the tests and the correction of the panel.",
        ],
        elsewhere="see a wider terminal or --json",
    )
    show_table(table)
    remark(
        f"{result.n_shown} trials on each page ({result.n_imitation} imitation, {result.n_placebo} placebo, "
        f"{result.n_catch} catch, {result.n_repeated} repeated): about {round(minutes)} minutes for a rater, at "
        f"{result.seconds or 0:g} seconds a trial, and {minutes * result.n_raters / 60:.1f} hours for "
        f"{count(result.n_raters, 'rater')}. The smallest p-value of an artist is {result.smallest_p:.2g}. "
        "Nothing was written."
    )


def _show(result: PanelResult, view: View) -> None:
    figures, rule = result.kept or result.everybody, result.rule
    both = result.kept is not None and result.kept.n_raters < result.everybody.n_raters
    everybody = {one.artist: one.share for one in result.everybody.artists}
    show_table(
        Table(
            f"Panel on {result.release}, {count(figures.n_raters, 'rater')}",
            [
                Column("artist", "artist", kind="name", rank=0),
                Column("share", "imitation chosen", percent, rank=0),
                Column("low high", f"{100 * rule.confidence_level:g} % interval", _interval, rank=9),
                Column("chosen", "chosen", rank=0),
                Column("p_adjusted", "p, adjusted", _p, rank=8),
                *([Column("share_everybody", "by all raters", percent, rank=7)] if both else []),
                Column("auc", "AUC of audit", rank=6),
                Column("metric", "metric chooses it", percent, rank=5),
                Column("p_half", "p, half", _p, rank=2),
                Column("p_placebo", "p, placebo names", _p, rank=3),
                Column("n_answers", "answers", rank=1),
            ],
            [
                {**one.to_dict(), **({"share_everybody": everybody[one.artist]} if both else {})}
                for one in sorted(figures.artists, key=lambda one: -(one.share or 0))
            ],
            elsewhere="see --columns, --html, --json or a wider terminal",
        ),
        view,
    )
    show_aside(_overall_table(result, figures), view)
    out = [rater for rater in result.raters if rater.excluded]
    for rater in out:
        remark(
            f"Excluded by the rule of the key: rater {rater.rater}, page {rater.sheet}: {rater.excluded}.",
            view=view,
        )
    if result.kept is None:
        remark(
            "The rule excludes every rater. The figures above are of all raters, and no result.", view=view
        )
    for note in result.notes:
        remark(note, view=view)
    n = len(figures.artists)
    missed = " “No” means not shown: this panel may be too small to show it." if figures.n_chosen < n else ""
    remark(
        f"Shown for {figures.n_chosen} of {count(n, 'artist')}: people choose the imitation in more than one half of "
        "the answers, and more often than placebo names in the artist's place, at level "
        f"{rule.level:g} after correction ({rule.adjust}).{missed}",
        view=view,
    )


def _overall_table(result: PanelResult, figures: PanelFigures) -> Table:
    def row(what: str, kept: PanelEstimate, everybody: PanelEstimate, show: Any = percent) -> dict[str, str]:
        return {
            "figure": what,
            "value": show(kept.value),
            "interval": _interval_of(kept, show),
            "all": show(everybody.value),
        }

    every = result.everybody
    rows = [
        row("imitation chosen, mean over artists", figures.overall, every.overall),
        row("agreement of raters (alpha)", figures.alpha, every.alpha, number),
        row("same answer when repeated", figures.alike, every.alike),
        row("catch trials right", figures.catch, every.catch),
        row("left picture chosen", figures.left, every.left),
        row("metric agrees, imitation trials", figures.metric.imitation, every.metric.imitation),
        row("metric agrees, placebo trials", figures.metric.placebo, every.metric.placebo),
        row(
            "share and AUC (Spearman)", figures.metric.rank_correlation, every.metric.rank_correlation, number
        ),
    ]
    people = figures.metric.people
    return Table(
        "All artists",
        [
            Column("figure", "figure", kind="prose", rank=0),
            Column("value", "value", rank=0),
            Column("interval", "interval", rank=2),
            *([Column("all", "by all raters", rank=1)] if figures is not every else []),
        ],
        rows,
        notes=[
            f"Mean share above one half: p {_p(figures.p_overall)}, over artists. Two raters agree in "
            f"{percent(people)} of imitation trials: compare the agreement with the metric with that."
        ],
    )


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{100 * low:.0f} to {100 * high:.0f} %"


def _interval_of(one: PanelEstimate, show: Any) -> str:
    if one.low is None or one.high is None:
        return "-"
    return _interval(one.low, one.high) if show is percent else f"{one.low:.2f} to {one.high:.2f}"


def _p(p: float | None) -> str:
    return "-" if p is None else f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
