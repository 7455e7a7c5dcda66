"""The command `imindex demo`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from imindex.indexer.core.bounds import DEMO_WORKS, PER_NAME, SOME_NAMES, SOME_STEPS
from imindex.indexer.system.input_files import read_input
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import FromSignature, device_option, within
from imindex.indexer.terminal.output import clean, echo
from imindex.indexer.terminal.progress import quiet, quiet_option

DEMO = "imindex.retrieval.cli.demo:run"


@click.command(short_help="Run a complete example on generated pictures.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--works", "n_works", cls=FromSignature, of=DEMO, type=within(DEMO_WORKS), help="Works per artist."
)
@click.option("--placebos", cls=FromSignature, of=DEMO, type=within(SOME_NAMES), help="Placebo names.")
@click.option("--steps", cls=FromSignature, of=DEMO, type=within(SOME_STEPS), help="Denoising steps.")
@click.option(
    "--imitations", "n_imitations", cls=FromSignature, of=DEMO, type=within(PER_NAME), help="Imitations per artist."
)  # fmt: skip
@device_option
@quiet_option
@errors_for_people
def demo(folder: Path, n_works: int, n_imitations: int, **options: Any) -> None:
    """Run a complete example with known truth: 24 invented artists, and two releases trained on the works of 16.

    Draws the works, writes a plan, and audits an early and the final checkpoint of a small diffusion model that comes
    with the package, with two small encoders: generate, encode, classify, match, test, compare, report. Takes 4 to 6
    minutes on 2 cores.

    \b
    imindex demo try-imindex
    """
    run(folder, n_works=n_works, n_imitations=n_imitations, **options)


def run(
    folder: Path, *, n_works: int = 12, n_imitations: int = 8, placebos: int = 39, steps: int = 12,
    device: str = "auto",
) -> None:  # fmt: skip
    """Draw the works, write a plan, and run the audit with the same commands as a user.

    Parameters
    ----------
    folder : Path
        Receives works/, models/, plan.toml, plan-audit/ and contact-sheet.png. Existing files are reused.
    n_works, n_imitations : int
        Per artist, for 24 artists; at most 500 works.
    placebos : int
        Number of placebo names.
    steps : int
        Denoising steps.
    device : str
    """
    from imindex.retrieval.audit import demo as world
    from imindex.retrieval.report.together import combined_of
    from imindex.retrieval.results import Report, from_json

    DEMO_WORKS.check(n_works, "--works")
    world.prepare(folder, n_works=n_works)
    plan = folder / "plan.toml"
    world.write_plan(plan, per_artist=n_imitations, placebos=placebos, steps=steps)
    echo(
        f"24 invented artists with {n_works} works each. Two releases of a small model were trained on 16 of them: "
        f"{' and '.join(world.RELEASES)}.",
        f"Each is prompted with all 24 names and with {placebos} placebo names.",
        "",
    )
    _command("audit", plan, "--device", device, *(["--quiet"] if quiet() else []))
    audit = folder / "plan-audit"
    report = from_json(Report, read_input(audit / "report.json"), str(audit / "report.json"))
    index = audit / report.encoders[0].index
    imitation = report.results[-1].artists[0].neighbours[0].imitation
    _command("query", audit / imitation, "-i", index, "-k", 5, "--device", device)
    first = [result for result in report.results if result.encoder == report.encoders[0].name]
    world.contact_sheet(first, audit, folder / "contact-sheet.png")
    for result in combined_of(report).values():
        truth = world.truth(result.release, {row.artist: row.finding for row in result.artists})
        echo(*truth.split("\n"))
    echo(
        f"Report: {audit / 'report.html'}; contact sheet, works above imitations: "
        f"{folder / 'contact-sheet.png'}. Next, write your own plan: `imindex audit init`."
    )


def _command(*words: object) -> None:
    """Print a command, then run it."""
    line = [str(word) for word in words]
    click.secho(f"$ {clean(shlex.join(['imindex', *line]))}", bold=True)
    imindex = click.get_current_context().find_root().command
    imindex.main(line, "imindex", standalone_mode=False)
    echo()
