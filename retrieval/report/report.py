"""An audit's findings -> report.json, report.html and artists.csv.

`assemble` makes the content of report.json (report.schema.json describes it); `write` writes the files. The page shows
that content and nothing else.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from imindex.indexer.core.digest import json_digest
from imindex.indexer.system.atomic import put_in_place
from imindex.retrieval.report.limits import limits
from imindex.retrieval.report.rows import agreement, report_result
from imindex.retrieval.report.text import answer
from imindex.retrieval.results import (
    Agreement,
    AuditFindings,
    Comparison,
    Provenance,
    Report,
    ReportResult,
    fields_of,
    to_dict,
    to_json,
)
from imindex.retrieval.results.tables import csv_cell

_NOT_IN_CSV = ("rank_histogram", "neighbours")


def assemble(findings: AuditFindings, provenance: Provenance) -> Report:
    """Make the content of report.json.

    Parameters
    ----------
    findings : AuditFindings
    provenance : Provenance

    Returns
    -------
    Report
        Its digest covers all but times and provenance, so two runs of one plan on the same pictures have the same.
    """
    results = tuple(report_result(result, findings.plan.artists) for result in findings.results)
    releases = [release.name for release in findings.releases]
    agreements = agreement(results, releases)
    report = Report(
        format="imindex-report",
        version="1.0",
        digest="",
        title=findings.title,
        answer=tuple(_answer(name, results, agreements) for name in releases),
        plan=findings.plan,
        encoders=findings.encoders,
        releases=findings.releases,
        results=results,
        agreement=agreements,
        comparisons=tuple(_without_folders(comparison) for comparison in findings.comparisons),
        gate=findings.gate,
        rejects=findings.rejects,
        provenance=provenance,
        limits=(),
    )
    report = replace(report, limits=limits(report))
    return replace(report, digest=digest(to_dict(report)))


def _answer(release: str, results: Sequence[ReportResult], agreements: Sequence[Agreement] | None) -> str:
    own = [result for result in results if result.release == release]
    if not own:
        return f"{release}: there is no result."
    return answer(release, own, next((one for one in agreements or () if one.release == release), None))


def _without_folders(comparison: Comparison) -> Comparison:
    """Keep only the names of the index files: where they were is not part of the findings."""
    base, new = (replace(side, index=Path(side.index).name) for side in (comparison.base, comparison.new))
    return replace(comparison, base=base, new=new)


def covered(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the digest covers: all of a report.json but its digest, its times and its provenance."""
    kept = {key: value for key, value in report.items() if key not in ("digest", "provenance")}
    plan = dict(kept["plan"])
    plan.pop("registered", None)
    plan["amendments"] = [
        {key: value for key, value in amendment.items() if key != "when"}
        for amendment in plan.get("amendments", ())
    ]
    return {**kept, "plan": plan}


def digest(report: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what the digest of a report.json covers.

    It takes plain JSON, so that it is the same for a report that an older version wrote with fewer keys.
    """
    return json_digest(covered(report))


def write(report: Report, folder: Path, *, base: Path, pictures: bool = True) -> list[Path]:
    """Write report.html, report.json and artists.csv, each whole or not at all.

    Parameters
    ----------
    report : Report
    folder : Path
        Created if it does not exist.
    base : Path
        The paths of pictures are relative to it.
    pictures : bool
        Whether the page shows pictures; without, it holds none.

    Returns
    -------
    list of Path
        The files, the page first.
    """
    from imindex.retrieval.report.page import page

    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "report.html": page(report, base if pictures else None).encode("utf-8", "backslashreplace"),
        "report.json": to_json(report, indent=1),
        "artists.csv": table(report.results).encode("utf-8-sig", "backslashreplace"),
    }
    for name, data in files.items():
        with put_in_place(folder / name) as temporary:
            temporary.write_bytes(data)
    return [folder / name for name in files]


def table(results: Sequence[ReportResult]) -> str:
    """Return the artists' rows of every release and encoder as CSV; no text in it can be taken for a formula."""
    out = io.StringIO()
    lines = csv.writer(out)
    rows = [(result, artist) for result in results for artist in result.artists]
    for place, (result, artist) in enumerate(rows):
        cells = {name: value for name, value in fields_of(artist).items() if name not in _NOT_IN_CSV}
        if not place:
            lines.writerow(["release", "encoder", *cells])
        lines.writerow([csv_cell(value) for value in (result.release, result.encoder, *cells.values())])
    return out.getvalue()
