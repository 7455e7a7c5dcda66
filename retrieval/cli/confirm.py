"""The command `imindex audit confirm`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import command_line, json_option
from imindex.indexer.terminal.output import count, echo, print_json, remark, short_path, show_table
from imindex.indexer.terminal.table import Column, Table

if TYPE_CHECKING:
    from imindex.retrieval.audit.decisions import Listed


@click.command(short_help="Confirm or reject candidates for copies.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--copy", "copies", multiple=True, metavar="RELEASE/PICTURE", help="Confirm this picture as a copy."
)
@click.option(
    "--reject", "rejected", multiple=True, metavar="RELEASE/PICTURE", help="Say that this is no copy."
)
@click.option("--ask", is_flag=True, help="Ask about each candidate that nobody has decided.")
@click.option("--by", metavar="NAME", help="Name of the person who decides; goes into the register.")
@click.option("--note", default="", metavar="TEXT", help="Remark to the decisions.")
@json_option
@errors_for_people
def confirm(
    folder: Path,
    copies: tuple[str, ...],
    rejected: tuple[str, ...],
    ask: bool,
    by: str | None,
    note: str,
    as_json: bool,
) -> None:
    """List the candidates for copies in an audit's FOLDER, or record which of them are copies.

    Decisions are added to the audit's register, with the name, the time and the digests of both pictures, and nothing
    is removed from it. Run the audit again to have them in the report and in the gate.

    \b
    imindex audit confirm plan-audit
    imindex audit confirm plan-audit --copy final/a-0003.png --by "A. Expert"
    imindex audit confirm plan-audit --ask --by "A. Expert"
    """
    from imindex.retrieval import api
    from imindex.retrieval.audit.decisions import decide
    from imindex.retrieval.results import to_dict

    if (copies or rejected or ask) and not by:
        raise click.UsageError("A decision has a name to it. Say whose it is with --by NAME.")
    listed = api.copy_candidates(folder)
    entries = []
    if copies or rejected:
        entries += api.confirm_copies(folder, copies, rejected, by=str(by), note=note, command=command_line())
    if ask:
        for decision in _ask(api.copy_candidates(folder), folder):  # each is kept at once, for Ctrl-C
            entries += decide(folder, [decision], by=str(by), note=note, command=command_line())
    if as_json:
        now = api.copy_candidates(folder)
        print_json({
            "pairs": [{"release": one.release, **to_dict(one.pair)} for one in now if one.pair.state != "comparison"],
            "recorded": [to_dict(entry.decision) for entry in entries if entry.decision],
        })  # fmt: skip
        return
    if copies or rejected or ask:
        n = sum(entry.decision is not None and entry.decision.decided == "confirmed" for entry in entries)
        echo(
            f"Recorded {count(n, 'copy', 'copies')} and {len(entries) - n} rejected in "
            f"{folder / 'register.jsonl'}. Run the audit again to have them in the report and the gate."
        )
        return
    shown = [one for one in listed if one.pair.state != "comparison"]
    if not shown:
        echo("The report lists no candidates for copies.")
        return
    table = Table(
        f"Candidates for copies in {short_path(folder)}",
        [
            Column("picture", "picture", kind="prose", rank=0),  # whole: it is what --copy takes
            Column("work", "work", kind="path", rank=6),
            Column("by", "by", kind="name", rank=5),
            Column("outlines", "outlines", _outlines, rank=7),
            Column("cosine", "cosine", rank=8),
            Column("state", "state", kind="prose", rank=9),
        ],
        [
            {
                "picture": f"{one.release}/{one.pair.imitation.removeprefix('./')}",
                "work": one.pair.work,
                "by": one.pair.work_artist,
                "outlines": "same file" if one.pair.same_bytes else one.pair.outlines or 0.0,
                "cosine": one.pair.cosine,
                "state": f"{one.pair.state} by {one.pair.decided_by}" if one.pair.decided else one.pair.state,
            }
            for one in shown
        ],
        elsewhere="see a wider terminal or --json",
    )
    show_table(table)
    open_ones = sum(one.pair.state == "candidate" for one in shown)
    remark(
        f"{open_ones} of {count(len(shown), 'candidate')} undecided. A candidate is no copy until it is confirmed."
    )


def _outlines(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"


def _ask(listed: list[Listed], folder: Path) -> Iterator[tuple[Listed, bool]]:
    """Ask about each candidate that nobody has decided: yes, no, or skip."""
    for one in listed:
        if one.pair.state != "candidate":
            continue
        echo(f"work    {folder / one.pair.work}  ({one.pair.work_artist})")
        echo(f"picture {folder / one.pair.imitation}  ({one.pair.artist})")
        answer = click.prompt(
            "Is the picture a copy of the work?", type=click.Choice(["y", "n", "skip", "quit"])
        )
        if answer == "quit":
            break
        if answer != "skip":
            yield one, answer == "y"
