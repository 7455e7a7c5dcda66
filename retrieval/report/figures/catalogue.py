"""The figures of a report, in order."""

from __future__ import annotations

from collections.abc import Sequence

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.by_works import shown_by_works
from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.figures.overall import confusion, label_curve, p_values, ranks
from imindex.retrieval.report.figures.per_artist import accuracies, accuracy, auc
from imindex.retrieval.results import ReportArtist, ReportResult


def figures(identity: str, result: ReportResult) -> list[Figure]:
    """Draw all figures of a result for which there are data. `identity` must be unique on the page."""
    by_works = result.by_works is not None
    result = shown_by_works(result)
    artists, summary = in_order(result.artists), result.summary
    drawn = [
        accuracy(
            f"{identity}-acc", accuracies(artists), chance=summary.accuracy_chance, mean=summary.accuracy,
            by_works=by_works,
        ),
        auc(f"{identity}-auc", artists),
        ranks(f"{identity}-rank", artists),
        p_values(f"{identity}-p", artists),
        label_curve(f"{identity}-label", result.label_curve, by_works=by_works),
        confusion(f"{identity}-conf", artists, result.confusion, by_works=by_works),
    ]  # fmt: skip
    return [figure for figure in drawn if figure is not None]


def in_order(artists: Sequence[ReportArtist]) -> list[ReportArtist]:
    """Sort artists by descending AUC; artists without an AUC come last."""
    return sorted(artists, key=lambda row: (row.auc is None, -(row.auc or 0.0), row.artist))


def findings_of(artists: Sequence[ReportArtist]) -> list[tuple[Finding, list[str]]]:
    """Group artists by finding, strongest first. Findings without artists are omitted."""
    groups = [(finding, [row.artist for row in artists if row.finding == finding]) for finding in Finding]
    return [(finding, names) for finding, names in groups if names]
