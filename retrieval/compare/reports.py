"""Compare two finished reports by their figures alone."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace as set_fields

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.demo.recognise import is_demonstration
from imindex.retrieval.compare.archived_report import ArchivedReport, ArchivedResult, archived_resolution
from imindex.retrieval.compare.overall import DEFAULTS, conclude, finding
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import Alternative, ArtistChange, Comparison, LeftOut, ReleaseSide

NO_NAMES = (
    "The encoder has no text side, so there is no accuracy by name to compare. The AUC compares pictures with works, "
    "and needs no text."
)


def compare_reports(  # noqa: PLR0913
    base: ArchivedReport,
    new: ArchivedReport,
    base_release: str | None = None,
    new_release: str | None = None,
    encoder: str | None = None,
    *,
    testing: Testing = DEFAULTS,
    alternative: Alternative = "two-sided",
    margin: float | None = None,
) -> Comparison:
    """Compare two releases by the figures in finished reports (report.json).

    Parameters
    ----------
    base, new : ArchivedReport
        They may be the same report.
    base_release, new_release : str, optional
        May be omitted if the report has a single release.
    encoder : str, optional
        Name in the reports; by default the first encoder in common.
    testing : Testing
        Level, adjustment, resamples and confidence; findings are those of the reports.
    alternative : {"two-sided", "less", "greater"}
    margin : float, optional
        It cannot be tested by figures alone, and the result says so.

    Returns
    -------
    Comparison
        As from `releases.compare`, but without p-values and changes beyond placebo names, which need the index. The
        means over artists, their change and its interval are complete, because their unit is the artist.

    Raises
    ------
    ImindexError
        If a release or encoder does not exist, the encoders differ, or no artist is in both reports.
    """
    names = (only_release(base, base_release), only_release(new, new_release))
    encoder = common_encoder(base, new, encoder)
    results = [_result(report, name, encoder) for report, name in zip((base, new), names, strict=True)]
    findings = results[0].findings, results[1].findings
    rows, left_out = _rows(results, names)
    if not rows:
        raise ImindexError(
            f"No artist has figures in both {names[0]} and {names[1]}. Audit both releases on the same artists."
        )
    comparison = conclude(
        rows,
        findings,
        base=_side(base, names[0], encoder),
        new=_side(new, names[1], encoder),
        encoder=encoder,
        left_out=left_out,
        testing=testing,
        alternative=alternative,
        notes=[
            "From the reports' figures alone: no change is tested against placebo names, which needs the index; "
            "findings are those of the reports.",
            *([NO_NAMES] if any(result.by_works is not None for result in results) else []),
        ],
        margin=margin,
        resolutions=(
            archived_resolution(base, names[0], encoder),
            archived_resolution(new, names[1], encoder),
        ),
    )
    demonstration = any(
        is_demonstration(record.weights_sha256 or "") for record in base.encoders if record.name == encoder
    )
    return set_fields(comparison, demonstration=demonstration)


def only_release(report: ArchivedReport, name: str | None) -> str:
    """Return the named release, or the only one of the report.

    Raises
    ------
    ImindexError
        If the release does not exist, or no name is given and there are several.
    """
    listed = [release.name for release in report.releases]
    if name in listed or (name is None and len(listed) == 1):
        return str(name or listed[0])
    names = ", ".join(listed) or "none"
    if name is None:
        raise ImindexError(f"The report has several releases: {names}. Choose one: FOLDER:RELEASE.")
    raise ImindexError(f"The report has no release {name}. It has {names}.")


def common_encoder(base: ArchivedReport, new: ArchivedReport, name: str | None = None) -> str:
    """Return the name of the encoder to compare by; by default the first one in common.

    Raises
    ------
    ImindexError
        If there is no encoder in common, or the same name refers to different encoders.
    """
    sides = [{encoder.name: encoder for encoder in report.encoders} for report in (base, new)]
    common = [encoder for encoder in sides[0] if encoder in sides[1]]
    if name is None and common:
        name = common[0]
    if name is None or name not in common:
        listed = " and ".join(", ".join(side) or "none" for side in sides)
        raise ImindexError(
            f"The reports have no encoder {name or 'in common'}: they have {listed}. Audit both with the same encoder."
        )
    first, second = (side[name] for side in sides)
    for key, before, after in (
        ("weights_sha256", first.weights_sha256, second.weights_sha256),
        ("precision", first.precision, second.precision),
    ):
        if before != after:
            raise ImindexError(
                f"Encoder {name} differs between the reports: {key} {str(before)[:12]} against {str(after)[:12]}. "
                "Audit both releases with the same encoder."
            )
    return name


def _side(report: ArchivedReport, name: str, encoder: str) -> ReleaseSide:
    entry = next(record for record in report.encoders if record.name == encoder)
    return ReleaseSide(release=name, index=entry.index or "", root_digest=entry.root_digest or "")


def _result(report: ArchivedReport, name: str, encoder: str) -> ArchivedResult:
    result = report.result(name, encoder)
    if result is None:
        raise ImindexError(f"The report has no result of {name} with {encoder}. Audit that release again.")
    return result


def _rows(
    results: Sequence[ArchivedResult], names: Sequence[str]
) -> tuple[list[ArtistChange], list[LeftOut]]:
    sides = [{row.artist: row for row in result.artists} for result in results]
    findings = [result.findings for result in results]
    rows, left_out = [], []
    for artist in sorted(set(sides[0]) | set(sides[1])):
        base, new = (side.get(artist) for side in sides)
        missing = [
            f"no figures in {name}"
            for name, row in zip(names, (base, new), strict=True)
            if row is None or row.auc is None
        ]
        if base is None or new is None or base.auc is None or new.auc is None:
            left_out.append(LeftOut(artist=artist, why=", ".join(missing)))
            continue
        rows.append(
            ArtistChange(
                artist=artist,
                auc_base=base.auc,
                auc_new=new.auc,
                auc_change=new.auc - base.auc,
                accuracy_base=base.top1,
                accuracy_new=new.top1,
                accuracy_change=None if base.top1 is None or new.top1 is None else new.top1 - base.top1,
                finding_base=finding(findings[0], artist),
                finding_new=finding(findings[1], artist),
                design="needs the index",
            )
        )
    return rows, left_out
