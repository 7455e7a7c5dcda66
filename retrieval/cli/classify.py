"""The command `imindex classify`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import click

from imindex.indexer.core.bounds import NEIGHBOURS
from imindex.indexer.terminal.complete import complete_release
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    IndexPlace,
    command_line,
    device_option,
    encoder_of,
    indexes_option,
    json_option,
    model_options,
    root_option,
    roots_of,
    table_options,
    view_of,
    within,
)
from imindex.indexer.terminal.output import (
    View,
    percent,
    print_json,
    remark,
    say,
    show_aside,
    show_table,
    text_table,
)
from imindex.indexer.terminal.table import Column
from imindex.retrieval.cli._adjust import ADJUST, adjust_options
from imindex.retrieval.cli._evidence import (
    ACCURACY,
    accuracy_options,
    report_option,
    warn_of_demonstration,
)
from imindex.retrieval.cli._tables import classify_table, known_fields
from imindex.retrieval.cli._workers import workers_of, workers_options
from imindex.retrieval.results import (
    Classification,
    ClassificationMethod,
    ClassifiedArtist,
    adjusted,
)

CLASSIFY = "imindex.retrieval.evidence.classify_release:classify_release"


@click.command(short_help="Name the artist of each imitation, zero-shot.")
@indexes_option
@click.option(
    "--collection",
    help="The release to classify. Optional if there is only one.",
    shell_complete=complete_release,
)
@click.option(
    "--by", cls=FromSignature, of=CLASSIFY, type=click.Choice(("auto", "name", "works")),
    help="Compare pictures with the text of each artist's name, or with each artist's works; auto: with the names, or "
    "with the works if the encoder has no text side.",
)  # fmt: skip
@click.option(
    "--label", "labels", cls=FromSignature, of=CLASSIFY, multiple=True, help="Generic label. Repeatable."
)
@click.option(
    "--template",
    "templates",
    cls=FromSignature,
    of=CLASSIFY,
    multiple=True,
    help="Prompt template. Repeatable.",
)
@click.option(
    "--knn",
    "k",
    cls=FromSignature,
    of=CLASSIFY,
    type=within(NEIGHBOURS),
    help="Number of nearest works that vote.",
)
@adjust_options(CLASSIFY, only="By works: ")
@accuracy_options
@report_option
@root_option
@click.option("--all", "show_all", is_flag=True, help="Print every artist.")
@model_options
@device_option
@workers_options
@json_option
@table_options
@errors_for_people
def classify(index: IndexPlace, as_json: bool, show_all: bool, **options: Any) -> None:
    """Name the artist of each imitation, zero-shot, among all artists of the index and the generic labels.

    By name, each picture is compared with the text "Artwork from ARTIST" for each artist and with the generic labels.
    By works, it is compared with each artist's prototype (the mean of the works), and the nearest works vote.

    \b
    imindex classify --collection sd-2.1
    imindex classify --by works --json
    imindex classify --report names.html
    imindex classify --csv
    """
    from imindex.retrieval import api

    view = view_of(options, functools.partial(known_fields, ClassifiedArtist, more=["method"]))
    testing = api.Testing(**{name: options[name] for name in ACCURACY})
    with api.open(index, roots=roots_of(options)) as opened:
        for note in opened.notes:
            say(note)
        results = opened.classify(
            options["collection"],
            **{name: options[name] for name in (*ADJUST, "by", "labels", "templates", "k")},
            encoder=encoder_of(options),
            testing=None if options["no_tests"] else testing,
            workers=workers_of(options),
        )
        if options["report"]:
            opened.write_report(results, options["report"], command=command_line())
    warn_of_demonstration(results.demonstration)
    if results.by != options["by"] and results.by == "works":
        say(
            f"The encoder {results.encoder} has no text side: pictures are compared with works, not with names."
        )
    if as_json:
        print_json({"index": opened.files, **results.to_dict()})
        return
    noted: set[str] = set()
    for method in results.methods:
        _print_classification(results, method, show_all, view, noted)
    if view.for_machines:
        _show_all_methods(results, view)
    if options["report"]:
        say(f"Wrote the report to {options['report']}.")
    best = results.methods[0]
    remark(
        f"Classified {results.n} pictures of {results.collection} among {best.n_labels} labels: "
        f"the artist is named correctly for {percent(best.top1)} of them (chance {percent(best.chance_top1)}).",
        view=view,
    )


def _print_classification(
    results: Classification, method: ClassificationMethod, show_all: bool, view: View, noted: set[str]
) -> None:
    """Print the figures by one method, without the notes that are printed already."""
    names = results.names.sentences(results.placebos) if results.names else []
    overall = text_table(
        f"{results.collection}, {method.method}",
        ["", "top-1", "top-5"],
        [
            ["all pictures", percent(method.top1), percent(method.top5)],
            ["mean over artists", percent(method.macro_top1), percent(method.macro_top5)],
            *_chance_rows(method),
        ],
        note=[_classification_note(results, method), *(note for note in names if note not in noted)],
    )
    show_aside(overall, view)
    noted.update(names)
    if not view.for_machines:
        table = classify_table(results, method, show_all)
        show_table(
            dataclasses.replace(table, notes=[note for note in table.notes if note not in noted]), view
        )
        noted.update(table.notes)


def _show_all_methods(results: Classification, view: View) -> None:
    """Write the artists of all methods as one table."""
    tables = [classify_table(results, method, True) for method in results.methods]
    records = [row for one in tables for row in one.records]
    notes = list(dict.fromkeys(note for one in tables for note in one.notes))
    whole = dataclasses.replace(tables[0], columns=[Column("method", "method", kind="prose"), *tables[0].columns],
                                records=records, notes=notes)  # fmt: skip
    show_table(whole, view)


def _chance_rows(method: ClassificationMethod) -> list[list[str]]:
    over_pictures = ["chance", percent(method.chance_top1), percent(method.chance_top5)]
    over_artists = ["chance", percent(method.macro_chance_top1), percent(method.macro_chance_top5)]
    if over_pictures == over_artists:
        return [over_pictures]
    over_pictures[0], over_artists[0] = "chance, all pictures", "chance, mean over artists"
    return [over_pictures, over_artists]


def _classification_note(results: Classification, method: ClassificationMethod) -> str:
    notes = [f"{results.n} pictures, {method.n_labels} labels, encoder {results.encoder}"]
    if how := adjusted(results.csls_k, results.whitened):
        notes.append(how)
    if method.n_generic:
        notes.append(f"{percent(method.generic_share)} nearest to a generic label")
    if results.cut_texts:
        notes.append(results.cut_texts.sentence("the encoder").rstrip("."))
    if method.n_unscored:
        notes.append(
            f"{method.n_unscored} pictures whose artist has no other works to compare with count as wrong"
        )
    return "; ".join(notes)
