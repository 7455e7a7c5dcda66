"""The command that plans an audit: power."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import DEFAULT_INDEX, FromSignature, json_option
from imindex.indexer.terminal.output import count, fail, number, percent, print_json, print_table, say

if TYPE_CHECKING:
    from imindex.retrieval.results import PowerPlan

PLAN = "imindex.retrieval.evidence.power_plan:plan"
STATED = ("between_sets", "within_set", "work_by_set", "residual")


@click.command(short_help="Say how many works, imitations and placebo names an audit needs.")
@click.option(
    "-i", "--index", type=click.Path(path_type=Path, dir_okay=False), envvar="IMINDEX_INDEX",
    help=f"A pilot index to take variances and effect from, such as {DEFAULT_INDEX}.",
)  # fmt: skip
@click.option("--collection", help="The pilot's release; may be left out if there is only one.")
@click.option(
    "--placebo", "names", multiple=True, metavar="NAME",
    help='The pilot\'s placebo names, such as "placebo *"; unless given, all other names are compared with.',
)  # fmt: skip
@click.option(
    "--effect", type=float,
    help="How much nearer own imitations stand than placebos, as a rank percentile: AUC - 0.5, about. From the pilot, "
    "unless given.",
)  # fmt: skip
@click.option("--between-sets", type=click.FloatRange(0), help="Standard deviation between names, if stated.")
@click.option("--within-set", type=click.FloatRange(0), help="Between imitations of one name.")
@click.option("--work-by-set", type=click.FloatRange(0), help="Of a work's own liking for a name.")
@click.option("--residual", type=click.FloatRange(0), help="Of what is left.")
@click.option(
    "--works", cls=FromSignature, of=PLAN, multiple=True, type=click.IntRange(1), help="Works an artist."
)
@click.option(
    "--imitations", cls=FromSignature, of=PLAN, multiple=True, type=click.IntRange(1), help="Imitations a name."
)  # fmt: skip
@click.option(
    "--placebos", multiple=True, type=click.IntRange(1),
    help="Placebo names. Unless given: as many as the correction needs, and twice as many.",
)  # fmt: skip
@click.option(
    "--artists", cls=FromSignature, of=PLAN, type=click.IntRange(1), help="Artists tested together."
)
@click.option(
    "--level", cls=FromSignature, of=PLAN, type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Of all artists together.",
)  # fmt: skip
@click.option(
    "--correction", cls=FromSignature, of=PLAN, type=click.Choice(("none", "holm", "bh")),
    help="For testing many artists.",
)  # fmt: skip
@click.option(
    "--target", cls=FromSignature, of=PLAN, type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Power to reach.",
)  # fmt: skip
@click.option(
    "--resamples", "n_resamples", cls=FromSignature, of=PLAN, type=click.IntRange(99), help="Simulated audits."
)  # fmt: skip
@click.option("--seed", cls=FromSignature, of=PLAN, type=click.IntRange(0), help="Of the random numbers.")
@json_option
@errors_for_people
def power(
    index: Path | None,
    collection: str | None,
    names: tuple[str, ...],
    effect: float | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say how many works, imitations and placebo names make an imitation found, by simulation.

    Power is the share of imitated artists whom the placebo test finds after correction. Variances come from a pilot
    index, or are stated, as standard deviations of rank percentiles (0 to 1).

    \b
    imindex power -i pilot.h5 --placebo "placebo *" --artists 24
    imindex power --effect 0.1 --between-sets 0.05 --within-set 0.2 --work-by-set 0.1 --artists 70
    """
    from imindex.retrieval.evidence.power_plan import Pilot, from_index, plan
    from imindex.stats.power import Variances

    stated = {name: options.pop(name) for name in STATED}
    given = {name: value for name, value in stated.items() if value is not None}
    if index is not None:
        pilot = from_index(index, collection, names)
        if given:
            fail("Variances come from the pilot or are stated, not both. Leave out -i, or the variances.")
        if effect is not None:
            pilot = Pilot(pilot.variances, effect, pilot.n_artists)
    else:
        if effect is None or not {"between_sets", "within_set"} <= set(given):
            raise click.UsageError(
                "Pass a pilot with -i, or --effect, --between-sets and --within-set at least."
            )
        pilot = Pilot(Variances(**{name: given.get(name, 0.0) for name in STATED}), effect, 0)
    result = plan(pilot, **options)
    if as_json:
        print_json({"index": index, **result.to_dict()})
        return
    _print_plan(result)


def _print_plan(result: PowerPlan) -> None:
    sd = result.variances
    source = (
        f"medians over {count(result.pilot_artists, 'artist')} of the pilot"
        if result.pilot_artists
        else "as stated"
    )
    print_table(
        f"Power to find an imitated artist among {result.artists}, level {result.level:g}, "
        f"correction {result.correction}",
        ["works an artist", "imitations a name", "placebo names", "pictures to make", "smallest p", "power"],
        [
            [
                str(design.n_works),
                str(design.n_imitations),
                f"{design.n_placebos:,}",
                f"{design.pictures:,}",
                number(design.resolution, 4),
                f"{percent(design.power)} ± {200 * (design.standard_error or 0):.1f}",
            ]
            for design in result.designs
        ],
        left=0,
        note=f"Effect {number(result.effect)} of the rank percentile; standard deviations between names "
        f"{number(sd.between_sets)}, within {number(sd.within_set)}, work by name {number(sd.work_by_set)}, "
        f"residual {number(sd.residual)} ({source}). {result.n_resamples:,} simulated audits, "
        f"seed {result.seed}.",
    )
    if result.pilot_artists and not sd.between_sets:
        say(
            "Warning: the pilot shows no spread between names, which sets the limit to power. It is too small to show "
            "it: take at least 10 other names, or state --between-sets."
        )
    small = result.smallest
    if small is None:
        click.echo(
            f"None of these reaches {percent(result.target)}. Under this correction nobody can be found with fewer "
            f"than {result.references_needed:,} placebo names; beyond that, more imitations and works help as "
            "long as the spread between names does not set the limit."
        )
        return
    click.echo(
        f"{percent(result.target)} power takes {small.n_works} works an artist, {small.n_imitations} "
        f"imitations a name and {small.n_placebos:,} placebo names: {small.pictures:,} pictures to make."
    )
