"""The leading result of a release: that of its only encoder, or that of all encoders together."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace

from imindex.retrieval.results import CombinedArtist, CombinedResult, Report, ReportArtist, ReportResult


def combined_of(report: Report) -> dict[str, CombinedResult]:
    """Return the results by all encoders together, by release; empty with one encoder."""
    return {} if report.combined is UNSET else {one.release: one for one in report.combined}


def leading(results: Sequence[ReportResult], combined: CombinedResult | None) -> ReportResult:
    """Return the result that the answer for a release rests on.

    Parameters
    ----------
    results : sequence of ReportResult
        Of the release, one per encoder.
    combined : CombinedResult or None
        None with one encoder.

    Returns
    -------
    ReportResult
        The first result. With several encoders, its findings, tests, error rates and counts are those by all encoders
        together, its diagnostics are those of all encoders, and its figures (accuracy, AUC) remain those of the first.
    """
    first = results[0]
    if combined is None:
        return first
    rows = {row.artist: row for row in combined.artists}
    return replace(
        first,
        encoder=" and ".join(combined.encoders),
        summary=replace(
            first.summary,
            findings=combined.findings,
            family=combined.family,
            n_tested=combined.family,
            fewest_findable=combined.fewest_findable,
            detectable_auc=combined.detectable_auc,
            n_placebo_names=combined.n_placebo_names,
        ),
        artists=tuple(_row(row, rows[row.artist]) for row in first.artists),
        exchangeability=tuple(check for result in results for check in result.exchangeability),
        notes=tuple(dict.fromkeys(note for result in results for note in result.notes)),
        error_rates=combined.error_rates,
    )


def leading_results(report: Report) -> list[ReportResult]:
    """Return the leading result of each release that has one, in the order of the releases."""
    combined = combined_of(report)
    releases = dict.fromkeys(result.release for result in report.results)
    return [
        leading([one for one in report.results if one.release == release], combined.get(release))
        for release in releases
    ]


def _row(row: ReportArtist, combined: CombinedArtist) -> ReportArtist:
    return replace(
        row,
        finding=combined.finding,
        p_name=combined.p_name,
        p_rival=combined.p_rival,
        p=combined.p,
        p_adjusted=combined.p_adjusted,
        p_rival_selected=combined.p_rival_selected,
        specificity_testable=combined.specificity_testable,
        n_name_references=combined.n_name_references,
        n_rival_references=combined.n_rival_references,
        resolution_name=combined.resolution_name,
        resolution_rival=combined.resolution_rival,
        p_adjusted_report=None,
    )


def also_alone(row: CombinedArtist) -> list[str]:
    """Return the encoders by which alone the effect is shown as well."""
    return [part.encoder for part in row.encoders if part.alone]
