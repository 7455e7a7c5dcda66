"""Read what an audit left in its folder: the report, the register, and whether they are as they were written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.audit.register import read_register
from imindex.retrieval.results import RegisterEntry, Report, from_dict
from imindex.retrieval.results.report_digest import digest

State = Literal["finished", "unfinished", "edited", "unreadable"]


@dataclass(frozen=True, eq=False)
class AuditOnDisk:
    """An audit as its folder holds it.

    Attributes
    ----------
    folder : Path
    state : {"finished", "unfinished", "edited", "unreadable"}
        "edited": the digest of the report is not that of its content. "unreadable": the report or the register is
        damaged, or of a version that this program does not read.
    reason : str
        Why the audit is not finished, in a sentence; else empty.
    report : Report or None
        None unless the audit is finished.
    entries : tuple of RegisterEntry
        The register, oldest first; empty if it is unreadable.
    """

    folder: Path
    state: State
    reason: str
    report: Report | None
    entries: tuple[RegisterEntry, ...]


def read_audit(folder: Path) -> AuditOnDisk:
    """Return what is in the folder of an audit. Damage is a state, not an error.

    Parameters
    ----------
    folder : Path
    """
    try:
        entries = tuple(read_register(folder))
    except ImindexError as error:
        return AuditOnDisk(folder, "unreadable", str(error), None, ())
    path = folder / "report.json"
    try:
        value = parse_json(read_text(path))
        edited = not isinstance(value, dict) or digest(value) != value.get("digest")
        report = from_dict(Report, value, str(path))
    except FileNotFoundError:
        reason = "The audit is not finished: there is no report.json yet. Run it again to resume it."
        return AuditOnDisk(folder, "unfinished", reason, None, entries)
    except (ImindexError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return AuditOnDisk(folder, "unreadable", f"report.json cannot be read: {error}", None, entries)
    if edited:
        reason = (
            "report.json was edited since it was written: its digest is wrong. Its figures are not shown."
        )
        return AuditOnDisk(folder, "edited", reason, None, entries)
    return AuditOnDisk(folder, "finished", "", report, entries)
