"""The command `imindex match`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    command_line,
    index_option,
    json_option,
)
from imindex.indexer.terminal.output import count, echo, number, print_json, print_table, say
from imindex.retrieval.cli._evidence import (
    TESTING,
    TOP,
    print_evidence,
    report_option,
    shown_of,
    summary,
    testing_options,
    warn_of_demonstration,
)
from imindex.retrieval.evidence.compared import sampling_notes
from imindex.retrieval.results import (
    MatchedArtist,
    Matching,
    RankFigures,
)

MATCH = "imindex.retrieval.evidence.match_release:match_release"


@click.command(short_help="Rank all imitations by every work, exactly.")
@index_option
@click.option("--collection", help="The release to match. Optional if there is only one.")
@click.option("--csls", is_flag=True, help="Rank by CSLS, which corrects for hubs, instead of by cosine.")
@click.option(
    "--csls-k",
    cls=FromSignature,
    of=MATCH,
    type=click.IntRange(1, 10_000),
    help="Number of neighbours in CSLS.",
)
@click.option(
    "--ranks", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.npz",
    help="Write the rank of every imitation by every work to this file.",
)  # fmt: skip
@testing_options
@report_option
@click.option("--all", "show_all", is_flag=True, help="Print every artist.")
@json_option
@errors_for_people
def match(index: Path, collection: str | None, show_all: bool, as_json: bool, **options: Any) -> None:
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
    imindex match --placebo "placebo *" --report match.html
    """
    from imindex.retrieval import api

    testing = api.Testing(**{name: options[name] for name in TESTING})
    ranks = options["ranks"]
    with api.open(index) as opened:
        result = opened.match(
            collection,
            csls=options["csls"],
            csls_k=options["csls_k"],
            ranks_file=ranks,
            testing=None if options["no_tests"] else testing,
            matrix=as_json,  # only JSON shows it
            background=options["background"],
        )
        if options["report"]:
            opened.write_report(result, options["report"], command=command_line())
    warn_of_demonstration(result.demonstration)
    if as_json:
        print_json({"index": index, **result.to_dict()})
        return
    _print_match(result, show_all)
    repeated = result.n_repeated_works + result.n_repeated_imitations
    if repeated:
        say(
            f"{count(repeated, 'duplicate')} of a picture under the same name "
            f"{'was' if repeated == 1 else 'were'} excluded."
        )
    if result.evidence:
        print_evidence(result, show_all)
    else:
        for note in sampling_notes(result.sampled_works):
            say(note)
    if ranks:
        say(f"Wrote the ranks to {ranks}: ranks[w, m] belongs to the rows works[w] and imitations[m].")
    if options["report"]:
        say(f"Wrote the report to {options['report']}.")
    macro = result.macro
    if not result.n_artists:
        echo("No figures: no artist has works, imitations, and imitations of other artists to compare with.")
        return
    if result.evidence:
        echo(*summary(result.evidence).split("\n"))
    echo(
        f"Ranked {result.n_imitations} imitations of {result.collection} by {result.n_works} works, "
        f"exactly: mean AUC {number(macro.auc)} over {result.n_artists} artists (chance 0.500)."
    )


def _print_match(result: Matching, show_all: bool) -> None:
    recall = list(result.recall_at)
    header = ["artist", "works", "imitations", "AUC", "rank percentile", "MRR", "mAP"]
    header += [f"recall@{k}" for k in recall] + ["gap"]

    def cells(figures: MatchedArtist | RankFigures) -> list[str]:
        means = [figures.auc, figures.rank_percentile, figures.reciprocal_rank, figures.average_precision]
        return [number(value) for value in [*means, *(figures.recall[k] for k in recall)]]

    ranked = sorted(
        (a for a in result.artists if a.status == "ok"), key=lambda a: (-(a.auc or 0.0), a.artist)
    )
    shown = ranked if show_all else ranked[:TOP]
    rows = [[a.artist, str(a.n_works), str(a.n_imitations), *cells(a), number(a.gap)] for a in shown]
    rows.append(["mean over artists", "", "", *cells(result.macro), ""])
    order = f"CSLS, k = {result.csls_k}" if result.csls_k else "cosine"
    print_table(
        f"{result.collection}, ranked by {order}" + shown_of(shown, ranked),
        header,
        rows,
        note=f"Encoder {result.encoder}. At a gap of 0 or below, this encoder cannot distinguish the artist.",
    )
    expected = {*result.evidence.placebos, *result.evidence.rivals} if result.evidence else set()
    left_out = [[a.artist, a.status] for a in result.artists if a.status != "ok" and a.artist not in expected]
    if left_out:
        print_table("Artists without figures", ["artist", "why"], left_out, left=2)
