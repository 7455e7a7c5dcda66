"""The commands that ask an index: query, classify, match, demo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from indexer.console import (
    FromSignature,
    clean,
    count,
    device_option,
    errors_for_people,
    fail,
    index_option,
    json_option,
    limit_options,
    limits_of,
    model_options,
    number,
    percent,
    print_json,
    print_table,
    say,
)
from retrieval.evidence_cli import (
    ACCURACY,
    TESTING,
    accuracy_cells,
    accuracy_header,
    accuracy_note,
    accuracy_options,
    p_value,
    print_evidence,
    summary,
    testing_options,
)

CLASSIFY = "retrieval.attribution:classify_release"
MATCH = "retrieval.attribution:match_release"
TOP = 20
"""Rows of a table on the screen; --all prints the rest, --json has everything."""


@click.command(short_help="Find the nearest pictures and artists.")
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path), metavar="PICTURE...")
@index_option
@click.option(
    "-k", cls=FromSignature, of="retrieval.query:ask", type=click.IntRange(1), help="Neighbours of each kind."
)
@click.option("--text", "texts", multiple=True, help="Query by a text instead. May be repeated.")
@click.option(
    "--collection", "collections", multiple=True, help="Search this collection only. May be repeated."
)
@click.option("--artist", "artists", multiple=True, help="Search this artist only. May be repeated.")
@click.option(
    "--confidence", "confidence_level", cls=FromSignature, of="retrieval.query:ask",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Of the set of artists whose works the picture does not stand out among.",
)  # fmt: skip
@click.option("--exact", is_flag=True, help="Find all the nearest, also in an optimized index.")
@model_options
@device_option
@limit_options
@json_option
@errors_for_people
def query(
    pictures: tuple[Path, ...], texts: tuple[str, ...], index: Path, k: int, as_json: bool, **options: Any
) -> None:
    """Find the nearest pictures and artists, of works and imitations apart.

    The query is encoded as the index was. Scores are cosines; artists are ordered by how many of the k nearest
    pictures are theirs. Similarity is a lead, not proof that a picture was made after another.

    Of each artist with works a conformal p-value says whether the picture would stand out among them; the artists it
    does not stand out among hold the true one with the stated confidence, if it is by one of them.

    \b
    imindex query artist.png
    imindex query --text "Artwork from Ada Example" -k 5 --json
    """
    if not pictures and not texts:
        raise click.UsageError("Name a picture, or pass --text.")
    from retrieval.query import ask

    answers, rejected = ask(
        index,
        pictures,
        texts,
        k=k,
        collections=options["collections"],
        artists=options["artists"],
        confidence_level=options["confidence_level"],
        encoder={name: options[name] for name in ("model", "pretrained", "device")},
        exact=options["exact"],
        limits=limits_of(options),
    )
    rough = [found["approximate"] for a in answers for found in a["kinds"].values() if "approximate" in found]
    if rough:
        say(
            f"Neighbours are approximate ({rough[0]['kind']}): of the ten nearest about "
            f"{percent(rough[0]['recall'])} are found, measured on {rough[0]['recall_queries']} pictures. "
            "--exact finds all."
        )
    if as_json:
        print_json({"index": index, "k": k, "queries": answers, "rejects": rejected})
    else:
        for answer in answers:
            _print_answer(answer)
        how = "approximately" if rough else "exactly"
        click.echo(f"Searched {clean(str(index))} for {count(len(answers), 'query', 'queries')}, {how}.")
    if rejected:
        fail("\n".join(f"{path} cannot be used as a query: {reason}." for path, reason in rejected.items()))


def _print_answer(answer: dict[str, Any]) -> None:
    for kind, found in answer["kinds"].items():
        print_table(
            f"{answer['query']}: nearest {kind}",
            ["artist", "collection", "picture", "rank", "cosine"],
            [
                [
                    n["artist"] or "(nobody)",
                    n["collection"],
                    n["path"],
                    str(n["rank"]),
                    number(min(n["cosine"], 1.0), 4),
                ]
                for n in found["pictures"]
            ],
            left=3,
        )
        if not found["artists"]:  # control pictures are nobody's
            continue
        print_table(
            f"{answer['query']}: their artists",
            ["artist", "of the nearest", "best cosine"],
            [
                [a["artist"], f"{a['votes']} of {len(found['pictures'])}", number(min(a["best"], 1.0), 4)]
                for a in found["artists"]
            ],
        )
    if "attribution" in answer:
        _print_attribution(answer["query"], answer["attribution"])


def _print_attribution(query: str, found: dict[str, Any]) -> None:
    level = f"{100 * found['confidence_level']:g} %"
    able = [a for a in found["artists"] if a["excludable"]]
    rows = [
        [a["artist"], p_value(a["p"]), str(a["n_works"]), "yes" if a["in_set"] else "no"]
        for a in found["artists"]
        if a["in_set"] and a["excludable"]
    ]
    unable = len(found["artists"]) - len(able)
    least = math.ceil(1 / (1 - found["confidence_level"]) - 1e-9) - 1
    note = f"At {level} confidence, of {count(len(able), 'artist')} with enough works to be excluded."
    if unable:
        note += f" {count(unable, 'artist')} with fewer than {least} works cannot be excluded, whatever the picture."
    if found["n_itself"]:
        note += (
            f" The picture is itself in the index ({count(found['n_itself'], 'row')}), which was left out."
        )
    if rows:
        title = f"{query}: does not stand out among the works of"
        print_table(title, ["artist", "p", "works", "in the set"], rows, note=note)
    elif able:
        click.echo(f"{clean(query)} looks like none of the artists. {clean(note)}\n")
    else:
        click.echo(
            f"Not attributed: at {level} confidence it takes {least} works to exclude an artist; none has as many.\n"
        )


@click.command(short_help="Name the artist of each imitation, zero-shot.")
@index_option
@click.option("--collection", help="The release to classify; may be left out if there is only one.")
@click.option(
    "--by", cls=FromSignature, of=CLASSIFY, type=click.Choice(("name", "works")),
    help="Compare with the text of each artist's name, or with each artist's works.",
)  # fmt: skip
@click.option("--label", "labels", cls=FromSignature, of=CLASSIFY, multiple=True, help="Generic labels.")
@click.option(
    "--template", "templates", cls=FromSignature, of=CLASSIFY, multiple=True, help="Prompt templates."
)
@click.option("--knn", "k", cls=FromSignature, of=CLASSIFY, type=click.IntRange(1), help="Works that vote.")
@accuracy_options
@click.option("--all", "show_all", is_flag=True, help="Print every artist.")
@model_options
@device_option
@json_option
@errors_for_people
def classify(index: Path, as_json: bool, show_all: bool, **options: Any) -> None:
    """Name the artist of each imitation, zero-shot, among all artists of the index and some generic labels.

    By name, each picture is compared with the texts "Artwork from ARTIST" and the generic labels; by works, with
    each artist's prototype (mean of the works) and by a vote of the nearest works.

    \b
    imindex classify --collection sd-2.1
    imindex classify --by works --json
    """
    from retrieval.attribution import classify_release
    from retrieval.evidence import Testing

    testing = Testing(**{name: options[name] for name in ACCURACY})
    results = classify_release(
        index,
        options["collection"],
        by=options["by"],
        labels=options["labels"],
        templates=options["templates"],
        k=options["k"],
        encoder={name: options[name] for name in ("model", "pretrained", "device")},
        testing=None if options["no_tests"] else testing,
    )
    if as_json:
        print_json({"index": index, **results})
        return
    for method in results["methods"]:
        _print_classification(results, method, show_all)
    best = results["methods"][0]
    click.echo(
        f"Classified {results['n']} pictures of {clean(results['collection'])} among {best['n_labels']} labels: "
        f"the artist is named in {percent(best['top1'])} (chance {percent(best['chance_top1'])})."
    )


def _print_classification(results: dict[str, Any], method: dict[str, Any], show_all: bool) -> None:
    print_table(
        f"{results['collection']}, {method['method']}",
        ["", "top-1", "top-5"],
        [
            ["all pictures", percent(method["top1"]), percent(method["top5"])],
            ["mean over artists", percent(method["macro_top1"]), percent(method["macro_top5"])],
            *_chance_rows(method),
        ],
        note=_classification_note(results, method),
    )
    artists = sorted(method["artists"], key=lambda a: (a["top1"], a["artist"]))
    shown = artists if show_all else artists[:TOP]
    header = accuracy_header(results)
    print_table(
        "By artist, the least recognised first" + _of(shown, artists),
        ["artist", "most often taken for", "n", "top-1", *header, "top-5", "mean reciprocal rank"],
        [
            [
                a["artist"],
                a["confused_with"] or "-",
                str(a["n"]),
                percent(a["top1"]),
                *accuracy_cells(results, a),
                percent(a["top5"]),
                number(a["mrr"]),
            ]
            for a in shown
        ],
        left=2,
        note=accuracy_note(results, method),
    )


def _chance_rows(method: dict[str, Any]) -> list[list[str]]:
    over_pictures = ["chance", percent(method["chance_top1"]), percent(method["chance_top5"])]
    over_artists = ["chance", percent(method["macro_chance_top1"]), percent(method["macro_chance_top5"])]
    if over_pictures == over_artists:
        return [over_pictures]
    over_pictures[0], over_artists[0] = "chance, all pictures", "chance, mean over artists"
    return [over_pictures, over_artists]


def _classification_note(results: dict[str, Any], method: dict[str, Any]) -> str:
    notes = [f"{results['n']} pictures, {method['n_labels']} labels, encoder {results['encoder']}"]
    if method["n_generic"]:
        notes.append(f"{percent(method['generic_share'])} named generic")
    if method["n_unscored"]:
        notes.append(
            f"{method['n_unscored']} pictures whose artist has no other works to compare with count as wrong"
        )
    return "; ".join(notes)


@click.command(short_help="Rank the imitations by every work, exactly.")
@index_option
@click.option("--collection", help="The release to match; may be left out if there is only one.")
@click.option("--csls", is_flag=True, help="Correct for hubs: order by CSLS instead of the cosine.")
@click.option(
    "--csls-k", cls=FromSignature, of=MATCH, type=click.IntRange(1, 10_000), help="Neighbours in CSLS."
)
@click.option(
    "--ranks", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.npz",
    help="Write the rank of every imitation for every work.",
)  # fmt: skip
@testing_options
@click.option("--all", "show_all", is_flag=True, help="Print every artist.")
@json_option
@errors_for_people
def match(index: Path, collection: str | None, show_all: bool, as_json: bool, **options: Any) -> None:
    """Rank all imitations of a release by every work, exactly, and sum up where the artist's own stand.

    AUC is the probability that an own imitation is nearer to a work than another artist's: 0.5 is chance. The
    gap says whether this encoder tells the artist's works apart at all: at or below 0 it does not.

    Each artist is tested: are the own imitations nearer than those of invented names (--placebo: does the name
    matter?) and than those of the other artists (is it this one?). stats/METHODS.md explains every test.

    \b
    imindex match --collection sd-2.1 --placebo "placebo *"
    imindex match --csls --json
    """
    from retrieval.attribution import match_release
    from retrieval.evidence import Testing

    testing = Testing(**{name: options[name] for name in TESTING})
    ranks = options["ranks"]
    result = match_release(
        index,
        collection,
        csls=options["csls"],
        csls_k=options["csls_k"],
        ranks_file=ranks,
        testing=None if options["no_tests"] else testing,
        matrix=as_json,  # nobody sees it otherwise
    )
    if as_json:
        print_json({"index": index, **result})
        return
    _print_match(result, show_all)
    repeated = result["n_repeated_works"] + result["n_repeated_imitations"]
    if repeated:
        say(
            f"{count(repeated, 'repetition')} of a picture under one name {'is' if repeated == 1 else 'are'} left out."
        )
    if result["evidence"]:
        print_evidence(result, show_all)
    if ranks:
        say(f"Ranks are in {ranks}: ranks[w, m] of the rows works[w] and imitations[m].")
    macro = result["macro"]
    if not result["n_artists"]:
        click.echo(
            "No figures: no artist has works, own imitations, and imitations of others to be told from."
        )
        return
    if result["evidence"]:
        click.echo(summary(result))
    click.echo(
        f"Ranked {result['n_imitations']} imitations of {clean(result['collection'])} by {result['n_works']} works, "
        f"exactly: mean AUC {number(macro['auc'])} over {result['n_artists']} artists (chance 0.500)."
    )


def _print_match(result: dict[str, Any], show_all: bool) -> None:
    recall = list(result["recall_at"])
    header = ["artist", "works", "imitations", "AUC", "rank percentile", "MRR", "mAP"]
    header += [f"recall@{k}" for k in recall] + ["gap"]

    def cells(figures: dict[str, Any]) -> list[str]:
        some = [
            number(figures[key]) for key in ("auc", "rank_percentile", "reciprocal_rank", "average_precision")
        ]
        return some + [number(figures["recall"][k]) for k in recall]

    ranked = sorted(
        (a for a in result["artists"] if a["status"] == "ok"), key=lambda a: (-a["auc"], a["artist"])
    )
    shown = ranked if show_all else ranked[:TOP]
    rows = [
        [a["artist"], str(a["n_works"]), str(a["n_imitations"]), *cells(a), number(a["gap"])] for a in shown
    ]
    rows.append(["mean over artists", "", "", *cells(result["macro"]), ""])
    order = f"CSLS, k = {result['csls_k']}" if result["csls_k"] else "cosine"
    print_table(
        f"{result['collection']}, ranked by {order}" + _of(shown, ranked),
        header,
        rows,
        note=f"Encoder {result['encoder']}. A gap at or below 0: this encoder cannot tell the artist apart.",
    )
    placebos = set(result["evidence"]["placebos"]) if result["evidence"] else set()
    left_out = [
        [a["artist"], a["status"]]
        for a in result["artists"]
        if a["status"] != "ok" and a["artist"] not in placebos
    ]
    if left_out:
        print_table("Artists without figures", ["artist", "why"], left_out, left=2)


def _of(shown: Sequence[Any], everything: Sequence[Any]) -> str:
    return (
        f" ({len(shown)} of {len(everything)}; --all prints the rest)" if len(shown) < len(everything) else ""
    )
