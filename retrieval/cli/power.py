"""The command `imindex power`, which plans the size of an audit."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from imindex.indexer.core.bounds import DEVIATION, EFFECT, PER_NAME, RESAMPLES, SEED, SHARE, SOME_NAMES
from imindex.indexer.terminal.complete import complete_release
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    DEFAULT_INDEX,
    FromSignature,
    IndexPlace,
    index_option_of,
    json_option,
    table_options,
    view_of,
    within,
)
from imindex.indexer.terminal.output import (
    View,
    count,
    number,
    percent,
    print_json,
    remark,
    say,
    show_table,
)
from imindex.indexer.terminal.table import Column, Table
from imindex.retrieval.cli._adjust import ADJUST, adjust_options

if TYPE_CHECKING:
    from imindex.retrieval.results import DesignPower, GivenCounts, PowerPlan

PLAN = "imindex.retrieval.evidence.power_plan:plan"
CORRECTIONS = {"holm": "holm", "bh": "bh", "by": "bh"}
"""The correction that is simulated for each one of a plan; Benjamini-Yekutieli needs more than that."""
ENOUGH_NAMES = 10
"""Fewest names that an estimate of the spread between names rests on."""
STATED = ("between_sets", "within_set", "work_by_set", "residual")


@click.command(short_help="Compute how many works, imitations and placebo names an audit needs.")
@index_option_of(
    several=True, default=None,
    help=f"A pilot index to estimate variances and effect from, such as {DEFAULT_INDEX}.",
)  # fmt: skip
@click.option(
    "--collection",
    help="The pilot's release. Optional if there is only one.",
    shell_complete=complete_release,
)
@click.option(
    "--placebo", "names", multiple=True, metavar="NAME",
    help='Placebo name of the pilot, or a pattern such as "placebo *". Repeatable. [default: those of the manifest, or '
    "all other names]",
)  # fmt: skip
@click.option(
    "--effect", type=within(EFFECT),
    help="How much nearer own imitations are than placebos, as a difference of rank percentiles: about AUC - 0.5. "
    "[default: from the pilot]",
)  # fmt: skip
@click.option("--between-sets", type=within(DEVIATION), help="Standard deviation between names.")
@click.option(
    "--within-set", type=within(DEVIATION), help="Standard deviation between imitations of the same name."
)
@click.option(
    "--work-by-set", type=within(DEVIATION), help="Standard deviation of the work-by-name interaction."
)
@click.option("--residual", type=within(DEVIATION), help="Residual standard deviation.")
@click.option(
    "--works",
    multiple=True,
    type=within(PER_NAME),
    help="Works per artist. Repeatable. [default: as in the plan or pilot, or 20]",
)
@click.option(
    "--imitations", multiple=True, type=within(PER_NAME),
    help="Imitations per name. Repeatable. [default: as in the plan or pilot, and 10, 20 and 50]",
)  # fmt: skip
@click.option(
    "--placebos", multiple=True, type=within(SOME_NAMES),
    help="Placebo names. Repeatable. [default: the first two numbers at which p can change]",
)  # fmt: skip
@click.option(
    "--artists",
    type=within(SOME_NAMES),
    help="Artists tested together. [default: as in the plan or pilot, or 1]",
)
@click.option(
    "--level", cls=FromSignature, of=PLAN, type=within(SHARE),
    help="Significance level for all artists together.",
)  # fmt: skip
@click.option(
    "--correction", cls=FromSignature, of=PLAN, type=click.Choice(("none", "holm", "bh")),
    help="Multiple-testing correction.",
)  # fmt: skip
@click.option(
    "--target", cls=FromSignature, of=PLAN, type=within(SHARE),
    help="Target power.",
)  # fmt: skip
@click.option(
    "--resamples", "n_resamples", cls=FromSignature, of=PLAN, type=within(RESAMPLES), help="Simulated audits."
)  # fmt: skip
@click.option("--seed", cls=FromSignature, of=PLAN, type=within(SEED), help="Seed of the random numbers.")
@adjust_options("imindex.retrieval.evidence.match_release:match_release", only="With -i: ")
@json_option
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path, dir_okay=False), metavar="PLAN.toml",
    help="Count artists, works, imitations and placebo names of this plan, and use its level and correction.",
)  # fmt: skip
@table_options
@errors_for_people
def power(
    index: IndexPlace | None,
    collection: str | None,
    names: tuple[str, ...],
    effect: float | None,
    as_json: bool,
    plan_file: Path | None,
    **options: Any,
) -> None:
    """Compute by simulation how many works, imitations and placebo names are needed to detect an imitation.

    Power is the share of imitated artists that the placebo test finds after correction. Variances are estimated from
    a pilot index or passed as options, as standard deviations of rank percentiles (0 to 1). What the pilot, or a plan,
    already has is counted: artists, works, imitations and placebo names.

    \b
    imindex power -i pilot.h5 --placebo "placebo *" --artists 24
    imindex power --effect 0.1 --between-sets 0.05 --within-set 0.2 \\
        --work-by-set 0.1 --artists 70
    imindex power -i pilot.h5 --plan plan.toml
    """
    from imindex.retrieval.evidence.power_plan import Pilot, from_index, plan
    from imindex.stats.power import Variances

    view = view_of(options)
    stated = {name: options.pop(name) for name in STATED}
    csls, csls_k, whiten = (options.pop(name) for name in ADJUST)
    passed = {name: value for name, value in stated.items() if value is not None}
    if index is not None:
        if passed:
            raise click.UsageError(
                "Variances come either from the pilot or from options, not both. Drop -i, or the variances."
            )
        pilot = from_index(index, collection, names, csls_k=csls_k if csls else None, whiten=whiten)
        if effect is not None:
            pilot = replace(pilot, effect=effect)
    else:
        if effect is None or not {"between_sets", "within_set"} <= set(passed):
            raise click.UsageError(
                "Pass a pilot with -i, or at least --effect, --between-sets and --within-set."
            )
        pilot = Pilot(Variances(**{name: passed.get(name, 0.0) for name in STATED}), effect, 0)
    if plan_file is not None:
        from imindex.retrieval.audit.given import given_of

        of_plan, given = given_of(plan_file, say)
        pilot = replace(pilot, given=given)
        context = click.get_current_context()
        for name, value in (
            ("level", of_plan.tests.level),
            ("correction", CORRECTIONS[of_plan.tests.adjust]),
        ):
            if context.get_parameter_source(name) is ParameterSource.DEFAULT:
                options[name] = value
    result = plan(pilot, **options)
    if as_json:
        from imindex.indexer.system.index_files import named_files

        print_json({"index": None if index is None else named_files(index), **result.to_dict()})
        return
    _print_plan(result, view)


def _say_given(given: GivenCounts, result: PowerPlan) -> None:
    def span(median: int, fewest: int, most: int, noun: str) -> str:
        return count(median, noun) + (f" ({fewest:,} to {most:,})" if fewest != most else "")

    power = result.as_given
    reach = (
        f": power {percent(power.power)}, smallest p {number(power.resolution, 4)}"
        if power
        else ", so its power is not known"
    )
    say(
        f"{given.source} has {count(given.artists, 'artist')}, per artist "
        f"{span(given.works, given.works_fewest, given.works_most, 'work')} and "
        f"{span(given.imitations, given.imitations_fewest, given.imitations_most, 'imitation')}, and "
        f"{count(given.placebos, 'placebo name')}{reach}."
    )


def _power(power: float | None, error: float | None) -> str:
    return f"{percent(power)} ± {200 * (error or 0):.1f}"


def _why_no_spread(result: PowerPlan) -> str:
    """Say why a pilot has an estimate of 0."""
    n = result.given.placebos if result.given else 0
    if n >= ENOUGH_NAMES:
        return (
            f"The {n:,} placebo names do not differ by more than their pictures do, as where the ranks reach their end "
            "(an AUC near 1)."
        )
    return f"The pilot has too few other names to estimate it: use at least {ENOUGH_NAMES}."


def _more(small: DesignPower, result: PowerPlan) -> str:
    """Say how many pictures are left to make, if the pilot or plan has some."""
    given = result.given
    if given is None or not given.imitations_fewest:
        return f"{small.pictures:,} pictures to make"
    there = min(given.imitations_fewest, small.n_imitations) * min(given.artists, result.artists)
    there += min(given.imitations_fewest, small.n_imitations) * min(given.placebos, small.n_placebos)
    return f"about {max(0, small.pictures - there):,} more pictures to make ({small.pictures:,} in all)"


def _print_plan(result: PowerPlan, view: View) -> None:
    sd = result.variances
    source = (
        f"medians over {count(result.pilot_artists, 'artist')} in the pilot"
        if result.pilot_artists
        else "from options"
    )
    table = Table(
        f"Power to find an imitated artist among {result.artists}, level {result.level:g}, "
        f"correction {result.correction}",
        [
            Column("n_works", "works per artist", rank=0),
            Column("n_imitations", "imitations per name", rank=0),
            Column("n_placebos", "placebo names", rank=0),
            Column("pictures", "pictures in all", rank=8),
            Column("resolution", "smallest p", functools.partial(number, digits=4), rank=7),
            Column("power standard_error", "power", _power, rank=9),
        ],
        result.records(),
        notes=[
            f"Effect {number(result.effect)} of the rank percentile; standard deviations between names "
            f"{number(sd.between_sets)}, within {number(sd.within_set)}, work by name {number(sd.work_by_set)}, "
            f"residual {number(sd.residual)} ({source}). {result.n_resamples:,} simulated audits, "
            f"seed {result.seed}."
        ],
    )
    if result.given is not None:
        _say_given(result.given, result)
    show_table(table, view)
    for one in result.between:
        if one.below is None:
            say(f"With {one.n_placebos:,} placebo names, no p can be small enough: use {one.above:,}.")
        else:
            say(
                f"With {one.n_placebos:,} placebo names, p can be small enough no more often than with {one.below:,}: "
                f"use {one.below:,}, or {one.above:,}."
            )
    if result.pilot_artists and not sd.between_sets:
        say(
            "Warning: the estimated spread between names is 0, so that the power is too high. "
            f"{_why_no_spread(result)} "
            "Pass the standard deviations instead of -i: --effect, --between-sets, --within-set."
        )
    small = result.smallest
    if small is None:
        remark(
            f"No design reaches {percent(result.target)}. With this correction, no artist can be found with fewer "
            f"than {result.references_needed:,} placebo names; beyond that, more imitations and works help until "
            "the spread between names becomes the limit.",
            view=view,
        )
        return
    remark(
        f"{percent(result.target)} power requires {small.n_works} works per artist, {small.n_imitations} "
        f"imitations per name and {small.n_placebos:,} placebo names: {_more(small, result)}.",
        view=view,
    )
