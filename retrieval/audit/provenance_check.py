"""Check the dates and runs that a report states, which its digest does not cover."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imindex.indexer.core.json_text import parse_json, split_lines
from imindex.indexer.integrity.verify import Fault
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.audit.runs import KILLED, NAME


def provenance_faults(
    stored: Mapping[str, Any], recomputed: Mapping[str, Any], folder: Path
) -> Iterator[Fault]:
    """Yield what a stored report states about times and runs and the audit's folder does not.

    Parameters
    ----------
    stored, recomputed : mapping
        Two reports as plain JSON. The dates of registration of the second one are those of the register.
    folder : Path
        Of the audit.
    """
    for key, then, now in (
        ("registered", stored["plan"].get("registered"), recomputed["plan"].get("registered")),
        ("amendments", *([one.get("when") for one in report["plan"].get("amendments", ())]
                         for report in (stored, recomputed))),
    ):  # fmt: skip
        if then != now:
            yield Fault(f"report.plan.{key}", f"is {then} in the report, and {now} in the register")
    runs = _runs(folder / NAME)
    provenance = stored["provenance"]
    if not runs:
        if "rendering" in provenance:  # versions that did not record it kept no list of runs
            said = "is missing or lists no run, so nothing confirms the dates and the command of the report"
            yield Fault(NAME, said)
        return
    own = next((run for run in runs if run["started"] == provenance.get("started")), None)
    if own is None:
        said = f"is {provenance.get('started')}, and {NAME} lists no run that began then"
        yield Fault("report.provenance.started", said)
        return
    if own["command"] != provenance.get("command"):
        yield Fault(
            "report.provenance.command",
            f"is {provenance.get('command')!r}, not {own['command']!r} as in {NAME}",
        )
    failed = [(run["started"], run["why"]) for run in runs if run["why"]]
    listed = [(one.get("started"), one.get("why")) for one in provenance.get("unfinished", ())]
    before = sum(start < own["started"] for start, _ in failed)
    if listed != failed[: len(listed)] or len(listed) < before:
        yield Fault(
            "report.provenance.unfinished",
            f"lists {len(listed)} runs that did not finish, and {NAME} lists {before} until then, or others",
        )


def _runs(path: Path) -> Sequence[dict[str, str]]:
    """Return when each run began, its command, and why it stopped early."""
    runs: list[dict[str, str]] = []
    with contextlib.suppress(OSError):
        for line in split_lines(read_text(path)):
            with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
                event = parse_json(line)
                if "started" in event:
                    run = {"started": str(event["started"]), "command": str(event["command"]), "why": KILLED}
                    runs.append(run)
                elif runs:
                    runs[-1]["why"] = str(event.get("why", ""))
    return runs
