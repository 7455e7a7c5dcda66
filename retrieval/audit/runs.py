"""The runs of an audit: when each began, how it ended, and from which one the figures of a report are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text, parse_json, split_lines
from imindex.indexer.core.provenance import now
from imindex.indexer.system.atomic import open_to_append
from imindex.indexer.system.input_files import read_input, read_text
from imindex.retrieval.results import FailedRun, Provenance, Report, from_json

NAME = "runs.jsonl"
KILLED = "stopped without a message"
"""Killed, or the machine went down."""


@contextlib.contextmanager
def recorded(folder: Path, started: str, command: str) -> Iterator[tuple[FailedRun, ...]]:
    """Record that a run begins, and how it ends; yield the earlier runs that did not finish.

    Parameters
    ----------
    folder : Path
        Of the audit; the caller holds its lock.
    started, command : str
    """
    path = folder / NAME
    earlier = _failed(path)
    _append(path, {"started": started, "command": command})
    try:
        yield earlier
    except BaseException as error:
        said = str(error) if isinstance(error, ImindexError) else type(error).__name__
        _append(path, {"ended": now(), "why": said})
        raise
    _append(path, {"ended": now(), "why": ""})


def _append(path: Path, line: dict[str, str]) -> None:
    with open_to_append(path) as file:
        file.seek(0)
        before = file.read()
        cut = before and not before.endswith(b"\n")  # the last writer was killed in the middle of a line
        file.write(b"\n" * bool(cut) + json_text(line).encode() + b"\n")


def _failed(path: Path) -> tuple[FailedRun, ...]:
    failed: list[FailedRun] = []
    begun = ""
    for line in split_lines(read_text(path)) if path.exists() else ():
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            event = parse_json(line)
            if "started" in event:
                if begun:
                    failed.append(FailedRun(started=begun, why=KILLED))
                begun = str(event["started"])
            elif begun:
                if event.get("why"):
                    failed.append(FailedRun(started=begun, why=str(event["why"])))
                begun = ""
    return (*failed, FailedRun(started=begun, why=KILLED)) if begun else tuple(failed)


def first_provenance(report: Report, path: Path) -> Provenance:
    """Return the provenance of the run that computed a report's figures.

    Parameters
    ----------
    report : Report
        With the provenance of this run.
    path : Path
        The report.json of the run before, if there is one.

    Returns
    -------
    Provenance
        That of the run before, unchanged if the content is the same, so that the files stay the same. If only words or
        decisions on candidates differ, with the time of this run as `rendered`. Otherwise that of this run.
    """
    try:
        before = from_json(Report, read_input(path), str(path))
    except (OSError, ImindexError):
        return report.provenance
    if before.digest == report.digest:
        return before.provenance
    if _computed_from(before) != _computed_from(report):
        return report.provenance
    return replace(
        before.provenance, rendered=report.provenance.finished, unfinished=report.provenance.unfinished
    )


def _computed_from(report: Report) -> tuple[object, ...]:
    """Return what the figures of a report follow from."""
    about = report.provenance
    return (
        report.plan.digest,
        dict(report.plan.inputs),
        report.plan.tests_used,
        [(encoder.name, encoder.root_digest) for encoder in report.encoders],
        [(release.name, release.digest) for release in report.releases],
        about.program,
        dict(about.versions),
    )
