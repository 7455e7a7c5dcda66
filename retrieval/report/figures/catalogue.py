"""Which figures a report shows, and in what order."""

from __future__ import annotations

from collections.abc import Sequence

from imindex.retrieval.findings import Finding
from imindex.retrieval.report.figures.axes import Figure
from imindex.retrieval.report.figures.per_artist import Report, accuracy, auc
from imindex.retrieval.report.rows import Row


def figures(identity: str, result: Report) -> list[Figure]:
    """All figures of a result that its data allow; `identity` is unique on the page."""
    from imindex.retrieval.report.figures.overall import confusion, label_curve, p_values, ranks

    rows = in_order(result["artists"])
    found = [
        accuracy(f"{identity}-acc", rows, result["summary"]),
        auc(f"{identity}-auc", rows, result["summary"]),
        ranks(f"{identity}-rank", rows),
        p_values(f"{identity}-p", rows, result["summary"]),
        label_curve(f"{identity}-label", result),
        confusion(f"{identity}-conf", rows, result["confusion"]),
    ]
    return [one for one in found if one is not None]


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The nearest first; those without figures last."""
    return sorted(rows, key=lambda row: (row["auc"] is None, -(row["auc"] or 0.0), row["artist"]))


def findings_of(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """The artists of each finding, from the strongest; findings that nobody has are left out."""
    found = [(label, [row["artist"] for row in rows if row["finding"] == label]) for label in Finding]
    return [(label, names) for label, names in found if names]
