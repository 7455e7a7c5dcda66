"""The command `imindex demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import FromSignature, device_option

DEMO = "imindex.retrieval.audit.demo:run"


@click.command(short_help="Try it all on pictures that this command draws.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--works", "n_works", cls=FromSignature, of=DEMO, type=click.IntRange(2), help="Works an artist."
)
@click.option("--placebos", cls=FromSignature, of=DEMO, type=click.IntRange(1), help="Names that nobody has.")
@click.option("--steps", cls=FromSignature, of=DEMO, type=click.IntRange(1), help="Of denoising.")
@click.option(
    "--imitations", "n_imitations", cls=FromSignature, of=DEMO, type=click.IntRange(1), help="Imitations an artist."
)  # fmt: skip
@device_option
@errors_for_people
def demo(folder: Path, n_works: int, n_imitations: int, **options: Any) -> None:
    """Try it all where the truth is known: 24 invented artists, and two releases that learned the works of 16.

    Draws the works, writes a plan, and audits an early checkpoint and the final one of a small diffusion model that
    comes with the package: generate, encode, classify, match, test, compare, report. About 5 minutes on 2 cores.

    \b
    imindex demo try-imindex
    """
    from imindex.retrieval.audit.demo import run

    run(folder, n_works=n_works, n_imitations=n_imitations, **options)
