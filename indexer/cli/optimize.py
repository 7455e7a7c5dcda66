"""The command `imindex optimize`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from imindex.indexer.ann.record import APPROXIMATE, NEIGHBOURS
from imindex.indexer.core.bounds import RECALL, SEED
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    Size,
    command_line,
    index_option,
    json_option,
    within,
)
from imindex.indexer.terminal.output import count, echo, file_size, print_json, say

_OPTIMIZE = "imindex.indexer.maintain.optimize:optimize"


def milliseconds(seconds: float) -> str:
    """Format a short time."""
    return f"{1000 * seconds:.3g} ms"


@click.command(short_help="Speed up queries on a large index, at a stated recall.")
@index_option
@click.option(
    "--recall", cls=FromSignature, of=_OPTIMIZE, type=within(RECALL),
    help=f"Fraction of the {NEIGHBOURS} nearest neighbours that a query must find.",
)  # fmt: skip
@click.option("--memory", type=Size(), help="Size limit, such as 2GB.  [default: the size of the vectors]")
@click.option(
    "--kind", cls=FromSignature, of=_OPTIMIZE, type=click.Choice(("auto", "exact", *APPROXIMATE)),
    help="auto keeps small indexes exact; exact removes an approximate index.",
)  # fmt: skip
@click.option(
    "--seed", cls=FromSignature, of=_OPTIMIZE, type=within(SEED), help="Seed of the held-out queries."
)
@json_option
@errors_for_people
def optimize(index: Path, memory: int | None, as_json: bool, **options: Any) -> None:
    """Speed up queries on a large index, at a stated recall.

    Trains an approximate index and stores it next to the vectors. Its recall is measured against exact search, on
    pictures excluded from training. Later builds add new pictures to it. Only `imindex query` uses it: ranks,
    attributions and p-values are always exact.

    \b
    imindex optimize
    imindex optimize --recall 0.99 --memory 500MB -i audit.h5
    imindex optimize --kind exact
    """
    from imindex.indexer.maintain.optimize import optimize as write_optimized

    report = write_optimized(index, memory=memory or 0, command=command_line(), note=say, **options)
    if as_json:
        print_json({"index": index, **asdict(report)})
        return
    if not report.n_queries:
        state = "is exact again" if report.changed else "stays exact"
        echo(f"{index} {state}: {report.reason}.")
        return
    parameters = ", ".join(f"{name} {value}" for name, value in report.parameters.items())
    echo(
        f"Optimized {index} for queries: {report.kind} ({parameters}), recall@{NEIGHBOURS} "
        f"{report.recall:.3f} on {count(report.n_queries, 'held-out query', 'held-out queries')} "
        f"(target {report.target:g}), {file_size(report.size)} in addition to the vectors, {report.seconds:.1f} s.",
        f"One search takes {milliseconds(report.search_seconds)} (exact: {milliseconds(report.exact_seconds)}). This "
        "pays for many queries at once and in a process that stays: a single `imindex query` by picture spends "
        "most of its time on loading the encoder, and is hardly quicker.",
    )
