"""A report -> one HTML page that needs nothing else: no request leaves it, and no name in it becomes markup."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imindex.indexer.core.paths import PicturePaths
from imindex.retrieval.findings import Finding
from imindex.retrieval.report import text as report_text
from imindex.retrieval.report.by_works import shown_by_works
from imindex.retrieval.report.environment import page_environment
from imindex.retrieval.report.figures.axes import Figure, Scale
from imindex.retrieval.report.figures.catalogue import figures, findings_of
from imindex.retrieval.report.figures.changes import change_figures
from imindex.retrieval.report.figures.svg import Drawing, icon, shown
from imindex.retrieval.report.propositions import ALTERNATIVE, CLAIM, bearings
from imindex.retrieval.report.questions.catalogue import answered
from imindex.retrieval.report.record_keeping import exclusions, prompt_origin, review
from imindex.retrieval.report.style import TEMPLATES, page_style
from imindex.retrieval.report.thumbnails import Thumbnails, digests_of_audit, places_of_audit
from imindex.retrieval.report.timing import timing
from imindex.retrieval.report.together import also_alone, combined_of, leading, leading_results
from imindex.retrieval.report.trust import trust
from imindex.retrieval.results import (
    Agreement,
    AsPaper,
    CombinedArtist,
    CombinedResult,
    Copies,
    CopyPair,
    ReleaseRecord,
    Report,
    ReportArtist,
    ReportResult,
    Summary,
)

COPIES_SHOWN = 48
"""Candidates for copies that the page shows as pictures; the others are in report.json."""


@dataclass(frozen=True)
class ResultView:
    """One release by one encoder, as the page shows it; `id` is unique on the page.

    `matched`, `named` and `tested` tell whether works and pictures were matched, artists were named, and the match was
    tested; `intervals` and `compared`, whether the accuracy has intervals, and is compared with placebo names. If
    `by_works`, the encoder has no text side, and the figures of the classification are those by works. `rivals` says
    what the rival test compares with; `chance_by_works` is the accuracy by works of guessing, if it is known.
    """

    id: str
    encoder: str
    summary: Summary
    rows: Sequence[ReportArtist]
    findings: Sequence[tuple[Finding, Sequence[str]]]
    figures: Sequence[Figure]
    matched: bool
    named: bool
    tested: bool
    paper: AsPaper | None
    intervals: bool
    compared: bool
    by_works: bool
    rivals: str
    chance_by_works: float | None


@dataclass(frozen=True)
class CopiesView:
    """Candidates for copies, those among them that are shown as pictures, and the pairs listed for comparison."""

    found: Copies
    candidates: Sequence[CopyPair]
    pictured: Sequence[CopyPair]
    others: Sequence[CopyPair]


@dataclass(frozen=True)
class ReleaseView:
    """A release and its results, the first encoder's first.

    `lead` is what the answer rests on: the only result, or that by all encoders together, `combined`. `places` has the
    number of each artist's gallery.
    """

    id: str
    about: ReleaseRecord
    statement: report_text.Statement
    prompts: str
    settings: Sequence[tuple[str, Any]]
    results: Sequence[ResultView]
    lead: ResultView | None
    combined: CombinedResult | None
    parts: Mapping[str, CombinedArtist]
    places: Mapping[str, int]
    agreement: Agreement | None
    copies: CopiesView | None


def page(
    report: Report, base: Path | None, *, thumbnails: Thumbnails | None = None, left_out: str = ""
) -> str:
    """Render a report as HTML.

    Parameters
    ----------
    report : Report
        If its plan has no digest, it is of an index alone, and the parts that need an audit are left out.
    base : Path or None
        The paths of pictures are relative to it; None leaves all pictures out.
    thumbnails : Thumbnails, optional
        Show these, whatever `base` is.
    left_out : str
        For a report of an index: which parts are left out.

    Returns
    -------
    str
        The whole page. Scripts but its own are forbidden by its content policy, and so is every request.
    """
    from markupsafe import Markup

    environment = page_environment(
        TEMPLATES,
        shown_lines=lambda text: "\n".join(shown(line) for line in text.splitlines()),
        percent=report_text.percent,
        number=report_text.number,
        signed=report_text.signed,
        points=report_text.points,
        p=report_text.p_value,
        count=report_text.count,
        icon=lambda finding: Markup(icon(finding)),
        capitalise=lambda text: text[:1].upper() + text[1:],
        sortable=_sortable,
        when=_when,
        chosen=report_text.chosen,
    )
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    if thumbnails is None and base is not None:
        thumbnails = Thumbnails(places(report, base), n_pictures(report), recorded(report, base))
    releases = [_release(place, one, report) for place, one in enumerate(report.releases)]
    trusted = [one for one in releases if one.lead and one.lead.tested]
    leads = leading_results(report)
    first = {result.release: result for result in leads}
    audit = bool(report.plan.digest)
    tested = any(one.tested for release in releases for one in release.results)
    view = {
        "report": report,
        "audit": audit,
        "left_out": left_out,
        "demonstration": list(
            dict.fromkeys(encoder.name for encoder in report.encoders if encoder.demonstration)
        ),
        "images_only": {result.encoder for result in report.results if result.by_works is not None and audit},
        "releases": releases,
        "trusted": trusted,
        "trust": trust([first[one.about.name] for one in trusted]) if trusted else (),
        "rivals": _rivals(report),
        "report_wide": report_text.report_wide(report),
        "timing": timing(report) if audit else None,
        "claim": CLAIM,
        "alternative": ALTERNATIVE,
        "bearings": bearings(report) if tested else (),
        "doubtful": report_text.listed(
            sorted({result.release for result in report.results if report_text.too_often(result)})
        ),
        "exclusions": exclusions(report),
        "review": review(report),
        "missed": report_text.missed,
        "also_alone": also_alone,
        "changes": report_text.change,
        "comparisons": [
            {"id": f"c{place}", "found": one, "figures": change_figures(f"c{place}", one)}
            for place, one in enumerate(report.comparisons)
        ],
        "meaning": [
            (finding, report_text.meaning(finding, together=len(report.encoders) > 1))
            for finding in Finding
            if tested and _occurs([*leads, *report.results], finding)
        ],
        "asked_further": answered(report.questions or ()),
        "adjusted": report_text.ADJUSTED,
        "span": report_text.span,
        "percent_span": report_text.percent_span,
        "interval_bar": lambda row: Markup(_interval_bar(row)),
        "bars": lambda counts: Markup(_bars(counts)),
        "rank_of": {finding: place for place, finding in enumerate(Finding)},
        "thumbnail": thumbnails.get if thumbnails else None,
        "style": Markup(page_style()),
        "script": Markup(script),
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment.get_template("report.html").render(view)


def _release(place: int, release: ReleaseRecord, report: Report) -> ReleaseView:
    own = [result for result in report.results if result.release == release.name]
    agreement = next((one for one in report.agreement or () if one.release == release.name), None)
    combined = combined_of(report).get(release.name)
    results = [_result(f"r{place}e{number}", result, report, release) for number, result in enumerate(own)]
    lead = results[0] if results else None
    if combined and own:
        lead = _result(f"r{place}", leading(own, combined), report, release, figures_too=False)
    return ReleaseView(
        id=f"r{place}",
        about=release,
        statement=report_text.statement(own, agreement, combined) if own else report_text.NO_RESULT,
        prompts=prompt_origin(release, report),
        settings=[(key, value) for key, value in release.settings.items() if value not in ("", None)],
        results=results,
        lead=lead,
        combined=combined,
        parts={row.artist: row for row in combined.artists} if combined else {},
        places={row.artist: number for number, row in enumerate(lead.rows)} if lead else {},
        agreement=agreement,
        copies=_copies(own[0].copies) if own and own[0].copies.n_compared else None,
    )


def _result(
    identity: str, result: ReportResult, report: Report, release: ReleaseRecord, *, figures_too: bool = True
) -> ResultView:
    shown_result = shown_by_works(result)
    return ResultView(
        id=identity,
        encoder=result.encoder,
        summary=shown_result.summary,
        rows=sorted(shown_result.artists, key=_strongest_first),
        findings=findings_of(result.artists),
        figures=figures(identity, result) if figures_too else (),
        matched=result.summary.n_ranked > 0,
        named=shown_result.summary.n_classified > 0,
        tested=result.summary.level is not None,
        paper=result.as_paper,
        intervals=any(row.top1_low is not None for row in shown_result.artists),
        compared=any(row.placebo_share is not None for row in shown_result.artists),
        by_works=result.by_works is not None,
        rivals=report_text.rivals(result.artists, len(report.plan.artists), len(release.rivals)),
        chance_by_works=_chance_by_works(result, report),
    )


def _chance_by_works(result: ReportResult, report: Report) -> float | None:
    """Return the accuracy by works of guessing among the artists with works; None if they are not known."""
    if result.by_works is not None:
        return result.by_works.accuracy_chance
    known = [one.by_works for one in report.results if one.release == result.release and one.by_works]
    if known:
        return known[0].accuracy_chance
    n = len({work.artist for work in report.works}) + len(report.plan.background)
    return 1 / n if report.works else None


def _rivals(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    """Return the releases that were asked for the same further names, and these names."""
    asked: dict[tuple[str, ...], list[str]] = {}
    for release in report.releases:
        if release.rivals:
            asked.setdefault(release.rivals, []).append(release.name)
    return [(report_text.listed(names), rivals) for rivals, names in asked.items()]


def _strongest_first(row: ReportArtist) -> tuple[int, bool, float]:
    return list(Finding).index(row.finding), row.auc is None, -(row.auc or 0.0)


def _copies(copies: Copies) -> CopiesView:
    candidates = (*copies.of("confirmed"), *copies.of("candidate"), *copies.of("rejected"))
    return CopiesView(copies, candidates, candidates[:COPIES_SHOWN], copies.of("comparison"))


def recorded(report: Report, folder: Path) -> dict[str, set[bytes]]:
    """Return the SHA-256 that each picture of a report may have, as the indexes in the audit's folder record them."""
    paths: set[str] = set()
    for result in report.results:
        for row in result.artists:
            paths.update(path for pair in row.neighbours for path in (pair.work, pair.imitation))
        paths.update(path for pair in result.copies.pairs for path in (pair.work, pair.imitation))
    return digests_of_audit(folder, [encoder.index for encoder in report.encoders], paths)


def places(report: Report, folder: Path) -> PicturePaths:
    """Return the files that the paths of a report mean, which are those of the indexes in the audit's folder."""
    return places_of_audit(folder, [encoder.index for encoder in report.encoders])


def n_pictures(report: Report) -> int:
    """Return how many pictures the galleries show: those of the first encoder of each release."""
    first = {result.release: result for result in reversed(report.results)}
    pairs = [pair for result in first.values() for row in result.artists for pair in row.neighbours]
    return len({pair.work for pair in pairs} | {pair.imitation for pair in pairs})


def _occurs(results: Sequence[ReportResult], finding: Finding) -> bool:
    return any(row.finding == finding for result in results for row in result.artists)


def _sortable(value: Any) -> str:
    """What a column is sorted by; empty where there is nothing, which comes last."""
    return "" if value is None else f"{value:.17g}" if isinstance(value, float) else str(value)


def _when(text: str) -> str:
    """A time for people."""
    return text.replace("T", " ").replace("+00:00", " UTC")


def _interval_bar(row: ReportArtist) -> str:
    """The AUC and its interval on a line from 0 to 1, with a stroke at 0.5."""
    drawing, scale = Drawing(68, 14), Scale(0, 1, 2, 66)
    drawing.line(2, 12.5, 66, 12.5, "grid")
    drawing.line(34, 1, 34, 13, "chance")
    if row.auc is not None:
        if row.auc_low is not None and row.auc_high is not None:
            drawing.line(scale(row.auc_low), 7, scale(row.auc_high), 7, "interval")
        drawing.mark(row.finding, scale(row.auc), 7, 3.4)
    return _inline(drawing, "bar-interval")


def _bars(counts: Sequence[int] | None) -> str:
    """The ranks of an artist's own imitations as 20 bars, the nearest at the left."""
    if not counts or not sum(counts):
        return ""
    total, most = sum(counts), max(counts)
    drawing = Drawing(200, 56)
    step = 200 / len(counts)
    level = 50 - 46 * (total / len(counts)) / most
    for place, value in enumerate(counts):
        height = 46 * value / most
        drawing.add(
            "rect", x=place * step + 0.75, y=50 - height, width=step - 1.5, height=height, class_="bar"
        )
    drawing.line(0, 50, 200, 50, "axis")
    drawing.line(0, level, 200, level, "chance")
    return _inline(drawing, "bars")


def _inline(drawing: Drawing, class_: str) -> str:
    from imindex.retrieval.report.figures.svg import coordinate, tag

    return tag(
        "svg",
        "".join(drawing.parts),
        viewBox=f"0 0 {coordinate(drawing.width)} {coordinate(drawing.height)}",
        width=float(drawing.width),
        height=float(drawing.height),
        class_=class_,
        aria_hidden="true",
    )
