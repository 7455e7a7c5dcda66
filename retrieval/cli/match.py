"""The command `imindex match`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imindex.indexer.terminal.complete import complete_release
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    IndexPlace,
    command_line,
    indexes_option,
    json_option,
    root_option,
    roots_of,
    table_options,
    view_of,
)
from imindex.indexer.terminal.output import (
    View,
    count,
    number,
    print_json,
    remark,
    say,
    show_table,
)
from imindex.retrieval.cli._adjust import adjust_options
from imindex.retrieval.cli._evidence import (
    TESTING,
    UNIT_WARNING,
    report_option,
    summary,
    testing_options,
    warn_of_demonstration,
)
from imindex.retrieval.cli._tables import LISTED, match_fields, match_table, references
from imindex.retrieval.cli._workers import workers_of, workers_options
from imindex.retrieval.evidence.compared import sampling_notes
from imindex.retrieval.results import Matching, adjusted

NO_WORKS = "no works"
MATCH = "imindex.retrieval.evidence.match_release:match_release"


@click.command(short_help="Rank all imitations by every work, exactly.")
@indexes_option
@click.option(
    "--collection",
    help="The release to match. Optional if there is only one.",
    shell_complete=complete_release,
)
@adjust_options(MATCH)
@click.option(
    "--ranks", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.npz",
    help="Write the rank of every imitation by every work to this file.",
)  # fmt: skip
@testing_options
@report_option
@root_option
@click.option("--all", "show_all", is_flag=True, help="Print every artist.")
@workers_options
@json_option
@table_options
@errors_for_people
def match(index: IndexPlace, collection: str | None, show_all: bool, as_json: bool, **options: Any) -> None:
    """Rank all imitations of a release by every work, exactly, and summarize the ranks of each artist's imitations.

    AUC is the probability that an imitation of the artist is nearer to a work than an imitation of another artist;
    0.5 is chance. The gap shows whether the encoder distinguishes the artist's works at all: at or below 0, it does
    not.

    Two tests are run for each artist: are the artist's imitations nearer than those of invented names (--placebo:
    does the name matter?), and nearer than those of the other artists (is it this artist?). stats/METHODS.md explains
    every test.

    \b
    imindex match --collection sd-2.1 --placebo "placebo *"
    imindex match --csls --json
    imindex match --columns artist,auc,p_bh --all
    imindex match --csv
    imindex match --placebo "placebo *" --report match.html
    """
    from imindex.retrieval import api

    view = view_of(options, match_fields)
    testing = api.Testing(**{name: options[name] for name in TESTING})
    ranks = options["ranks"]
    with api.open(index, roots=roots_of(options)) as opened:
        for note in opened.notes:
            say(note)
        result = opened.match(
            collection,
            csls=options["csls"],
            csls_k=options["csls_k"],
            whiten=options["whiten"],
            ranks_file=ranks,
            testing=None if options["no_tests"] else testing,
            matrix=as_json,  # only JSON shows it
            background=options["background"],
            workers=workers_of(options),
        )
        if options["report"]:
            opened.write_report(result, options["report"], command=command_line())
    warn_of_demonstration(result.demonstration)
    if as_json:
        print_json({"index": opened.files, **result.to_dict()})
        return
    show_table(match_table(result, show_all), view)
    _print_unranked(result, view)
    repeated = result.n_repeated_works + result.n_repeated_imitations
    if repeated:
        say(
            f"{count(repeated, 'duplicate')} of a picture under the same name "
            f"{'was' if repeated == 1 else 'were'} excluded."
        )
    if result.evidence and result.evidence.unit == "work":
        say(f"Warning: {UNIT_WARNING}")
    if not result.evidence:
        for note in sampling_notes(result.sampled_works):
            say(note)
    if ranks:
        say(f"Wrote the ranks to {ranks}: ranks[w, m] belongs to the rows works[w] and imitations[m].")
    if options["report"]:
        say(f"Wrote the report to {options['report']}.")
    macro, how = result.macro, adjusted(result.csls_k, result.whitened)
    if not result.n_artists:
        remark(
            "No figures: no artist has works, imitations, and imitations of other artists to compare with.",
            view=view,
        )
        return
    if result.evidence:
        remark(*summary(result.evidence).split("\n"), view=view)
    remark(
        f"Ranked {result.n_imitations} imitations of {result.collection} by {result.n_works} works, "
        f"exactly{f', {how}' if how else ''}: mean AUC {number(macro.auc)} over {result.n_artists} artists (chance "
        "0.500).",
        view=view,
    )


def _print_unranked(result: Matching, view: View) -> None:
    """Say which artists have no figures, and why, in a line per reason."""
    expected = references(result)
    names: dict[str, list[str]] = {}
    for artist in result.artists:
        if artist.status != "ok" and artist.artist not in expected:
            names.setdefault(artist.status, []).append(artist.artist)
    known = result.names.n_placebos + result.names.n_rivals if result.names and not result.evidence else 0
    if known and len(names.get(NO_WORKS, ())) == known:
        del names[NO_WORKS]  # the placebo names and further real names, which nothing is compared with here
    for why, without in names.items():
        listed = ", ".join(without[:LISTED])
        more = f" and {len(without) - LISTED:,} more (--csv lists them)" if len(without) > LISTED else ""
        hint = " Pass invented names with --placebo." if why == NO_WORKS else ""
        remark(f"Without figures, {why}: {count(len(without), 'artist')}: {listed}{more}.{hint}", view=view)
