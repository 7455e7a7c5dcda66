"""The command `imindex map`."""

from __future__ import annotations

from typing import Any

import click

from imindex.indexer.core.bounds import SEED
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    IndexPlace,
    index_option,
    json_option,
    root_option,
    roots_of,
    within,
)
from imindex.indexer.terminal.output import count, echo, print_json, say, short_path


@click.command("map", short_help="Lay an index out in two dimensions, for imindex serve.")
@index_option
@click.option(
    "--method", type=click.Choice(("umap", "pca")),
    help="UMAP keeps neighbours together; PCA needs no further package. By default umap where it is installed.",
)  # fmt: skip
@click.option("--seed", type=within(SEED), default=0, show_default=True, help="Seed of the layout.")
@click.option("--force", is_flag=True, help="Compute it even if it is kept.")
@root_option
@json_option
@errors_for_people
def map(index: IndexPlace, method: Any, seed: int, force: bool, as_json: bool, **options: Any) -> None:
    """Lay an index out in two dimensions and keep the result beside it, where `imindex serve` looks for it.

    The map is for looking only. Distances in it are no measure of imitation, and no finding is computed from it.

    \b
    imindex map -i audit.h5
    imindex map -i audit.h5 --method pca
    """
    from imindex.retrieval import api

    with api.open(index, roots=roots_of(options)) as opened:
        made = opened.projection(
            method=method,
            seed=seed,
            force=force,
            note=(lambda _: None) if as_json else lambda what: say(f"{what} ..."),
        )
        where = None if made.file is None else str(made.file)
        if as_json:
            print_json({
                "root": made.root, "method": made.method, "seed": str(made.seed), "library": made.library,
                "rows": len(made.xy), "file": where,
            })  # fmt: skip
            return
        kept = (
            f"kept in {short_path(made.file)}"
            if made.file
            else "not kept, because there is no place beside the index"
        )
        echo(f"Laid out {count(len(made.xy), 'picture')} by {made.library}, {kept}.")
