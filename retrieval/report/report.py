"""Write the findings of an audit as report.json, report.html and artists.csv.

`assemble` computes the content of report.json, which report.schema.json describes. `write` writes the files. The page
shows only this content.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from msgspec import UNSET
from msgspec.structs import replace

from imindex.indexer.core.digest import json_digest
from imindex.indexer.system.atomic import clear_file, make_folder, write_file
from imindex.retrieval.findings import TOGETHER
from imindex.retrieval.report.limits import limits
from imindex.retrieval.report.rows import agreement, combined_report_wide, report_result, report_wide
from imindex.retrieval.report.text import answer
from imindex.retrieval.report.together import also_alone, combined_of
from imindex.retrieval.results import (
    Agreement,
    AuditFindings,
    CombinedResult,
    Comparison,
    Provenance,
    Report,
    ReportArtist,
    ReportResult,
    WorksArtist,
    to_dict,
    to_json,
)
from imindex.retrieval.results.questions import AnyAnswer
from imindex.retrieval.results.report_digest import digest
from imindex.retrieval.results.tables import csv_cell
from imindex.retrieval.results.tables import to_csv as rows_to_csv

NOT_IN_CSV = ("rank_histogram", "neighbours")
OF_THE_SETS = ("status", "n_works", "n_distinct_works", "n_imitations")
"""Fields that artists.csv has for all encoders together too, where every encoder has the same."""
NOT_BY_WORKS_IN_CSV = ("artist", "n", "top1")
"""Fields of a `WorksArtist` that artists.csv has under other names; `top1` is `top1_by_works` for every encoder."""


def assemble(findings: AuditFindings, provenance: Provenance) -> Report:
    """Compute the content of report.json.

    Parameters
    ----------
    findings : AuditFindings
    provenance : Provenance

    Returns
    -------
    Report
        Its digest excludes times and provenance, so it is the same for two runs of a plan on the same pictures.
    """
    results = report_wide(
        [
            report_result(result, findings.plan.artists, with_paper=findings.as_paper)
            for result in findings.results
        ],
        findings.plan.tests.adjust,
    )
    releases = [release.name for release in findings.releases]
    agreements = agreement(results, releases)
    together = combined_report_wide(findings.combined, findings.plan.tests.adjust)
    combined = {one.release: one for one in together}
    report = Report(
        format="imindex-report",
        version="1.0",
        digest="",
        title=findings.title,
        answer=tuple(_answer(name, results, agreements, combined.get(name)) for name in releases),
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
        works=findings.works,
        combined=together or UNSET,
        questions=findings.questions or UNSET,
    )
    report = replace(report, limits=limits(report))
    return replace(report, digest=digest(to_dict(report)))


def _answer(
    release: str,
    results: Sequence[ReportResult],
    agreements: Sequence[Agreement] | None,
    combined: CombinedResult | None,
) -> str:
    own = [result for result in results if result.release == release]
    if not own:
        return f"{release}: there is no result."
    agreed = [agreement for agreement in agreements or () if agreement.release == release]
    return answer(release, own, agreed[0] if agreed else None, combined)


def _file_names(index: str | tuple[str, ...]) -> str | tuple[str, ...]:
    return Path(index).name if isinstance(index, str) else tuple(Path(file).name for file in index)


def _without_folders(comparison: Comparison) -> Comparison:
    """Keep only the names of the index files, because their folders are not part of the findings."""
    base, new = (replace(side, index=_file_names(side.index)) for side in (comparison.base, comparison.new))
    return replace(comparison, base=base, new=new)


def write(report: Report, folder: Path, *, base: Path, pictures: bool = True) -> list[Path]:
    """Write report.html, report.json, artists.csv and the tables of further questions, each atomically.

    Tables of questions that the report does not answer are removed: they are of an earlier report.

    Parameters
    ----------
    report : Report
    folder : Path
        Created if it does not exist.
    base : Path
        The folder to which the paths of pictures are relative.
    pictures : bool
        Whether the page includes pictures.

    Returns
    -------
    list of Path
        The files, starting with the page.
    """
    from imindex.retrieval.report.page import page

    report = replace(report, provenance=replace(report.provenance, rendering=renderer()))
    make_folder(folder, inside=folder)
    files = {
        "report.html": page(report, base if pictures else None).encode("utf-8", "backslashreplace"),
        "report.json": to_json(report, indent=1),
        "artists.csv": table(report).encode("utf-8-sig", "backslashreplace"),
    }
    for key, text in answers_tables(report).items():
        files[f"{key}.csv"] = text.encode("utf-8-sig", "backslashreplace")
    for name, data in files.items():
        write_file(folder / name, data)
    for name in set(files_of_answers(folder)) - set(files):
        clear_file(folder / name)
    return [folder / name for name in files]


@functools.cache
def renderer() -> str:
    """Return the SHA-256 of the templates and the code that write the page and the table."""
    folder = Path(__file__).parent
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".html", ".css", ".js"))
    return json_digest(
        {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    )


def table(report: Report) -> str:
    """Return the artists' rows of all releases and encoders as CSV. Spreadsheets take no cell for a formula.

    With several encoders, the rows of all encoders together come first, and two columns tell of each encoder whether it
    shows the effect alone. If an encoder has no text side, the figures of its classification by works are further
    columns, and empty for the other encoders.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    rows = list(_rows(report))
    if rows:
        writer.writerow(["release", "encoder", *rows[0][2]])
    for release, encoder, cells in rows:
        writer.writerow([csv_cell(value) for value in (release, encoder, *cells.values())])
    return out.getvalue()


def answers_tables(report: Report) -> dict[str, str]:
    """Return the tables of each further question as CSV, by the question's key with hyphens.

    Tables other than the main one have the name of their field too, as in ``likelihood-ratio-questioned``.
    """
    tables: dict[str, list[dict[str, object]]] = {}
    for one in report.questions or ():
        who: dict[str, object] = {"release": one.release, "encoder": one.encoder}
        for field, rows in one.tables().items():
            name = f"{type(one).__struct_config__.tag}-{field}".rstrip("-").replace("_", "-")
            tables.setdefault(name, []).extend(who | row for row in rows)
    return {name: rows_to_csv(rows) for name, rows in tables.items()}


def files_of_answers(folder: Path) -> list[str]:
    """Return the names of the tables of further questions in a folder, whichever report wrote them."""
    names = {f"{name}.csv" for kind in get_args(AnyAnswer) for name in kind.table_names()}
    return sorted(name for name in names if (folder / name).exists())


def _rows(report: Report) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield release, encoder and cells of each row of the table."""
    combined = combined_of(report)
    columns = [name for name in ReportArtist.__struct_fields__ if name not in NOT_IN_CSV]
    in_csv = [name for name in WorksArtist.__struct_fields__ if name not in NOT_BY_WORKS_IN_CSV]
    images_only = any(result.by_works is not None for result in report.results)
    parts = {}
    shown: dict[tuple[str, str], list[ReportArtist]] = {}
    for result in report.results:
        for artist in result.artists:
            shown.setdefault((result.release, artist.artist), []).append(artist)

    def of_works(own: WorksArtist | None) -> dict[str, object]:
        return {f"{name}_by_works": getattr(own, name, None) for name in in_csv} if images_only else {}

    for one in combined.values():
        for row in one.artists:
            cells: dict[str, object] = {name: getattr(row, name, None) for name in columns}
            for name in OF_THE_SETS:
                values = {getattr(own, name) for own in shown.get((one.release, row.artist), ())}
                cells[name] = values.pop() if len(values) == 1 else None
            last = {"p_closed": None, "alone": "; ".join(also_alone(row))}
            yield one.release, TOGETHER, cells | of_works(None) | last
            parts.update({(one.release, part.encoder, row.artist): part for part in row.encoders})
    for result in report.results:
        by_works = {own.artist: own for own in result.by_works.artists} if result.by_works else {}
        for artist in result.artists:
            cells = {name: getattr(artist, name) for name in columns} | of_works(by_works.get(artist.artist))
            if combined:
                part = parts[result.release, result.encoder, artist.artist]
                cells |= {"p_closed": part.p_closed, "alone": part.alone}
            yield result.release, result.encoder, cells
