"""The commands `imindex encoders compare` and `imindex encoders list`."""

from __future__ import annotations

import difflib
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imindex.indexer.core.bounds import NEIGHBOURS, RESAMPLES, SEED, SHARE
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    Location,
    batch_size_of,
    command_line,
    device_option,
    json_option,
    limit_options,
    limits_of,
    root_option,
    roots_of,
    table_options,
    view_of,
    within,
)
from imindex.indexer.terminal.output import echo, fail, print_json, remark, say, show_aside, show_table
from imindex.indexer.terminal.progress import progress_bar, quiet_option

if TYPE_CHECKING:
    from imindex.indexer.terminal.output import View
    from imindex.indexer.terminal.table import Column

COMPARE = "imindex.retrieval.api:compare_encoders"
RESULT, PAGE = "encoders.json", "encoders.html"


@click.group(
    short_help="Choose an encoder on works alone, before any imitation is seen.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def encoders() -> None:
    """Compare encoders on works alone, by one protocol, and list what can be loaded here.

    \b
    imindex encoders list
    imindex encoders compare works/ --encoders demo,ViT-B-32@openai
    """


@encoders.command(short_help="Compare encoders on works alone.")
@click.argument("works", nargs=-1, type=Location(), metavar="[WORKS]...")
@click.option(
    "--encoders", "names", metavar="NAME,...",
    help="Encoders: MODEL, MODEL@PRETRAINED, or the index of works PATH.h5. [default: those of --plan]",
)  # fmt: skip
@click.option(
    "--plan", type=click.Path(path_type=Path, dir_okay=False), metavar="PLAN.toml",
    help="Take encoders and works from this plan, where they are not given.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("encoders"), show_default=True,
    help=f"Folder for {RESULT}, {PAGE} and an index for each encoder, which is continued.",
)  # fmt: skip
@click.option(
    "--choose", multiple=True, metavar="NAME",
    help="Write this encoder into --plan, with the digest of the comparison. Repeatable.",
)  # fmt: skip
@click.option(
    "--write-plan", type=click.Path(path_type=Path, dir_okay=False), metavar="NEW.toml",
    help="Write the plan with the chosen encoder here, and leave --plan as it is.",
)  # fmt: skip
@click.option(
    "--groups", type=click.Path(path_type=Path, dir_okay=False), metavar="GROUPS.csv",
    help="Groups of artists who are not independent, such as schools: a CSV with the columns artist and group. Groups "
    "are then drawn instead of artists.",
)  # fmt: skip
@click.option("-k", "k", cls=FromSignature, of=COMPARE, type=within(NEIGHBOURS), help="Number of neighbours.")
@click.option(
    "--confidence-level", cls=FromSignature, of=COMPARE, type=within(SHARE), help="Of all intervals."
)  # fmt: skip
@click.option(
    "--level", cls=FromSignature, of=COMPARE, type=within(SHARE), help="Level of the tests of differences."
)
@click.option(
    "--resamples", "n_resamples", cls=FromSignature, of=COMPARE, type=within(RESAMPLES), help="Resamples."
)  # fmt: skip
@click.option("--seed", cls=FromSignature, of=COMPARE, type=within(SEED), help="Seed of the random numbers.")
@device_option
@click.option("--batch-size", default="auto", show_default=True, metavar="auto|N", help="Pictures per batch.")
@limit_options
@root_option
@click.option(
    "--artist-from", metavar="PATTERN",
    help="How the paths in WORKS tell the artists, as in `imindex build`.",
)  # fmt: skip
@json_option
@table_options
@quiet_option
@errors_for_people
def compare(  # noqa: PLR0913
    works: tuple[Path | str, ...],
    names: str | None,
    plan: Path | None,
    out: Path,
    choose: tuple[str, ...],
    write_plan: Path | None,
    groups: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare encoders on works alone, by artist, before any imitation is seen.

    Each encoder encodes the same works once. The figures are retrieval of held-out works (mAP, recall@1),
    verification of pairs (AUC, equal error rate, errors at a threshold learned on other artists), the share of
    artists that can be told, hubness, anisotropy and calibration, each with an interval over artists, and paired
    differences between encoders. Recommended is the encoder with the highest mAP, together with every encoder that is
    not told apart from it.

    \b
    imindex encoders compare works/ --encoders demo,demo-style
    imindex encoders compare --encoders a.h5,b.h5 --csv
    imindex encoders compare --plan plan.toml --choose demo-style
    """
    from imindex.indexer.demo.recognise import NOT_EVIDENCE
    from imindex.retrieval import api
    from imindex.retrieval.audit.chosen import save_comparison
    from imindex.retrieval.audit.encoder_choice import choose_encoders, read_groups
    from imindex.retrieval.cli._encoder_tables import (
        difference_table,
        encoder_columns,
        encoder_fields,
        encoder_table,
    )
    from imindex.retrieval.protocol.figures import SET_LEVEL
    from imindex.retrieval.report.encoders_page import told_sentence, write_encoders_page

    view = _view(options, encoder_columns(options["k"], SET_LEVEL), encoder_fields())
    if not names and plan is None:
        raise click.UsageError(
            "Name the encoders with --encoders, or pass a plan that lists them with --plan."
        )
    if choose and plan is None:
        raise click.UsageError("--choose writes into a plan. Pass it with --plan.")
    if write_plan is not None and not choose:
        raise click.UsageError(
            "--write-plan writes the plan with the encoder of --choose. Pass --choose NAME."
        )
    result = api.compare_encoders(
        works,
        names.split(",") if names else (),
        folder=out,
        plan=plan,
        groups=None if groups is None else read_groups(groups),
        k=options["k"],
        confidence_level=options["confidence_level"],
        level=options["level"],
        n_resamples=options["n_resamples"],
        seed=options["seed"],
        device=options["device"],
        batch_size=batch_size_of(options["batch_size"]),
        limits=limits_of(options),
        roots=roots_of(options),
        artist_from=options["artist_from"],
        command=command_line(),
        note=say,
        progress=lambda name: lambda total: progress_bar(total, f"Encoding by {name}"),
    )
    written = _folder(out) / RESULT
    kept = save_comparison(result, written)
    write_encoders_page(result, out / PAGE)
    if as_json:
        print_json(result.to_dict())
    else:
        show_table(encoder_table(result), view)
        if result.differences:
            show_aside(difference_table(result), view)
        remark(told_sentence(result), view=view)
        remark(result.recommendation.sentence, view=view)
    say(f"Wrote {written} and {out / PAGE}.")
    if kept is not None:
        say(
            f"The comparison that was there is kept as {kept}: a plan whose encoder was chosen by it finds it there."
        )
    if choose and plan is not None:
        for line in choose_encoders(plan, choose, written, result, target=write_plan or plan):
            say(line)
        if any(result.encoder(name).demonstration for name in choose):
            say(NOT_EVIDENCE)


def _view(options: MutableMapping[str, Any], columns: Sequence[Column], known: Sequence[str]) -> View:
    """Return what --columns and --csv ask for; a column may be named as its heading names it."""
    view = view_of(options)
    if not view.columns or view.columns == ("all",):
        return view
    headings = {column.heading.casefold(): column.name for column in columns}
    headings |= {heading.replace(" @", "@"): name for heading, name in headings.items()}
    fields = [*known, *(field for column in columns for field in column.fields.split())]
    names = []
    for name in view.columns:
        field = name if name in fields else headings.get(name.casefold(), "")
        if not field:
            near = difflib.get_close_matches(name.casefold(), [*fields, *headings], 3, 0.5)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            raise click.BadParameter(
                f"there is no column {name}.{meant} `--columns all` shows every column.",
                param_hint="--columns",
            )
        names.append(field)
    return replace(view, columns=tuple(dict.fromkeys(names)))


def _folder(out: Path) -> Path:
    from imindex.indexer.system.atomic import make_folder

    make_folder(out)
    return out


@encoders.command(name="list", short_help="List the back ends that load encoders here.")
@json_option
@table_options
@errors_for_people
def list_(as_json: bool, **options: Any) -> None:
    """List the back ends that load encoders, those of other packages included, and what each takes.

    \b
    imindex encoders list
    imindex encoders list --json
    """
    from imindex.indexer.encoders.listing import back_ends
    from imindex.indexer.terminal.table import Column, Table

    columns = [
        Column("name", "back end", kind="name", rank=0),
        Column("takes", "--model", str, kind="prose", rank=9),
        Column("description", "what it is", str, kind="prose", rank=4),
        Column("origin", "from", str, kind="prose", rank=3),
        Column("needs", "needs", str, kind="prose", rank=8),
    ]
    view = _view(options, columns, [*(column.name for column in columns), "module"])
    rows = [one.as_dict() for one in back_ends()]
    if not rows:
        fail("No back end is registered. Install imindex again.")
    if as_json:
        print_json({"backends": rows})
        return
    show_table(
        Table(
            "Back ends of encoders",
            [
                column
                for column in columns
                if view.for_machines or column.name != "needs" or any(row["needs"] for row in rows)
            ],
            rows,
        ),
        view,
    )
    if not view.for_machines:
        echo("Compare some on your works: imindex encoders compare works/ --encoders NAME,NAME")
