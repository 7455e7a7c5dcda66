"""Figures of a classification by works, where pages draw those by name if the encoder has a text side."""

from __future__ import annotations

from msgspec.structs import replace

from imindex.retrieval.results import ReportResult


def shown_by_works(result: ReportResult) -> ReportResult:
    """Return a result whose fields by name hold what the pages draw: the figures by works where there are no names.

    Unchanged if the encoder has a text side. Report what it returns as figures by works only.
    """
    found = result.by_works
    if found is None:
        return result
    rows = tuple(
        replace(
            row,
            top1=own.top1,
            top1_low=own.top1_low,
            top1_high=own.top1_high,
            top5=own.top5,
            p_named=own.p_named,
            p_named_adjusted=own.p_named_adjusted,
            placebo_share=own.placebo_share,
            confused_with=own.confused_with,
            top1_by_works=None,
        )
        for row, own in zip(result.artists, found.artists, strict=True)
    )
    summary = replace(
        result.summary,
        n_classified=found.n_classified,
        n_labels=found.n_labels,
        accuracy=found.accuracy,
        accuracy_low=found.accuracy_low,
        accuracy_high=found.accuracy_high,
        accuracy_chance=found.accuracy_chance,
        accuracy_top5=found.accuracy_top5,
        accuracy_top5_chance=found.accuracy_top5_chance,
        accuracy_by_works=None,
        p_accuracy=found.p_accuracy,
    )
    return replace(
        result, summary=summary, artists=rows, confusion=found.confusion, label_curve=found.label_curve
    )
