"""What an audit found -> report.json, report.html and artists.csv.

`assemble` makes the content of report.json (report.schema.json describes it), `write` makes the files. The page shows
that content and nothing else.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.jsonable import json_ready
from imindex.indexer.system.atomic import put_in_place
from imindex.retrieval.report.limits import limits
from imindex.retrieval.report.rows import agreement, result_of
from imindex.retrieval.report.text import answer

FORMAT, VERSION = "imindex-report", "1.0"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NOT_IN_CSV = ("rank_histogram", "neighbours")
Report = Mapping[str, Any]


def assemble(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Make the content of report.json of what an audit hands over.

    Parameters
    ----------
    raw : mapping
        title, plan, encoders, releases, results (one a release and encoder), comparisons, gate, rejects, provenance.

    Returns
    -------
    dict
        As report.schema.json has it. NaN is None. `digest` is the same for two runs of one plan on the same pictures:
        it covers all but times and provenance.
    """
    raw = json_ready(raw)
    results = [result_of(one, raw["plan"]["artists"]) for one in raw["results"]]
    releases = [one["name"] for one in raw["releases"]]
    agreed = agreement(results, releases)
    report = {
        "format": FORMAT,
        "version": VERSION,
        "digest": "",
        "title": raw["title"],
        "answer": [_answer(name, results, agreed) for name in releases],
        "plan": raw["plan"],
        "encoders": raw["encoders"],
        "releases": raw["releases"],
        "results": results,
        "agreement": agreed,
        "comparisons": [_comparison(one) for one in raw["comparisons"]],
        "gate": raw["gate"],
        "rejects": raw["rejects"],
        "provenance": raw["provenance"],
    }
    report["limits"] = limits(report)
    report["digest"] = digest(report)
    return report


def _answer(release: str, results: Sequence[Report], agreed: Sequence[Report] | None) -> str:
    own = [one for one in results if one["release"] == release]
    if not own:
        return f"{release}: there is no result."
    return answer(release, own, next((one for one in agreed or () if one["release"] == release), None))


def _comparison(found: Report) -> dict[str, Any]:
    """Of an index's path its name alone: where it lay is no part of what was found."""
    sides = {
        side: {**found[side], "index": Path(found[side].get("index") or "").name} for side in ("base", "new")
    }
    return {**found, **sides}


def covered(report: Report) -> dict[str, Any]:
    """What was asked and found: all of a report but its digest, its times and its provenance."""
    kept = {key: value for key, value in report.items() if key not in ("digest", "provenance")}
    plan = dict(kept["plan"])
    plan.pop("registered", None)
    plan["amendments"] = [
        {key: value for key, value in one.items() if key != "when"} for one in plan.get("amendments", ())
    ]
    return {**kept, "plan": plan}


def digest(report: Report) -> str:
    """SHA-256 of what a report covers."""
    return json_digest(covered(report))


def write(report: Report, folder: Path, *, base: Path, pictures: bool = True) -> list[Path]:
    """Write report.html, report.json and artists.csv, each whole or not at all.

    Parameters
    ----------
    report : mapping
        What `assemble` made.
    folder : Path
        Is made if it is not there.
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
        "report.json": json.dumps(report, ensure_ascii=True, indent=1, allow_nan=False).encode(),
        "artists.csv": table(report).encode("utf-8-sig", "backslashreplace"),
    }
    for name, data in files.items():
        with put_in_place(folder / name) as temporary:
            temporary.write_bytes(data)
    return [folder / name for name in files]


def table(report: Report) -> str:
    """The artists' rows of every release and encoder as CSV; no text in it can be taken for a formula."""
    out = io.StringIO()
    lines = csv.writer(out)
    for place, (release, encoder, row) in enumerate(
        (result["release"], result["encoder"], row)
        for result in report["results"]
        for row in result["artists"]
    ):
        cells = {key: value for key, value in row.items() if key not in _NOT_IN_CSV}
        if not place:
            lines.writerow(["release", "encoder", *cells])
        lines.writerow([_cell(value) for value in (release, encoder, *cells.values())])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    if isinstance(value, bool):
        return str(value).lower()
    return value
