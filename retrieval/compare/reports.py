"""Two finished reports -> what changed, from their figures alone."""

from __future__ import annotations

from collections.abc import Sequence

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.compare.archived_report import ArchivedReport, ArchivedResult
from imindex.retrieval.compare.overall import DEFAULTS, conclude, finding
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import Alternative, ArtistChange, Comparison, LeftOut, ReleaseSide


def compare_reports(
    base: ArchivedReport,
    new: ArchivedReport,
    base_release: str | None = None,
    new_release: str | None = None,
    encoder: str | None = None,
    *,
    testing: Testing = DEFAULTS,
    alternative: Alternative = "two-sided",
) -> Comparison:
    """Compare two releases by what finished reports (report.json) say of them.

    Parameters
    ----------
    base, new : ArchivedReport
        May be the same.
    base_release, new_release : str, optional
        May be left out where a report has one release.
    encoder : str, optional
        By its name in the reports; the first that both have, unless given.
    testing : Testing
        Level, adjustment, resamples and confidence; findings are those of the reports.
    alternative : {"two-sided", "less", "greater"}

    Returns
    -------
    Comparison
        As `releases.compare`, but artists have neither intervals nor p-values: those need the index. Figures
        over all artists are complete: their unit is the artist.

    Raises
    ------
    ImindexError
        No such release or encoder, encoders that differ, or no artist in both.
    """
    names = (only_release(base, base_release), only_release(new, new_release))
    encoder = common_encoder(base, new, encoder)
    results = [_result(report, name, encoder) for report, name in zip((base, new), names, strict=True)]
    findings = results[0].findings, results[1].findings
    rows, left_out = _rows(results, names)
    if not rows:
        raise ImindexError(
            f"No artist has figures under both {names[0]} and {names[1]}. Audit both releases on the same artists."
        )
    return conclude(
        rows,
        findings,
        base=_about(base, names[0], encoder),
        new=_about(new, names[1], encoder),
        encoder=encoder,
        left_out=left_out,
        testing=testing,
        alternative=alternative,
        notes=[
            "From the reports' figures alone: changes of single artists have neither interval nor p, which need the "
            "index; findings are those of the reports."
        ],
    )


def only_release(report: ArchivedReport, name: str | None) -> str:
    """The release that was meant: the one named, or the only one of the report.

    Raises
    ------
    ImindexError
        No such release, or several and none named.
    """
    listed = [one.name for one in report.releases]
    if name in listed or (name is None and len(listed) == 1):
        return str(name or listed[0])
    said = ", ".join(listed) or "none"
    if name is None:
        raise ImindexError(f"The report has several releases: {said}. Choose one: FOLDER:RELEASE.")
    raise ImindexError(f"The report has no release {name}. It has {said}.")


def common_encoder(base: ArchivedReport, new: ArchivedReport, name: str | None = None) -> str:
    """The name of the encoder to compare by: the first that both reports have, unless named.

    Raises
    ------
    ImindexError
        None in common, or one name stands for two encoders.
    """
    sides = [{one.name: one for one in report.encoders} for report in (base, new)]
    both = [one for one in sides[0] if one in sides[1]]
    if name is None and both:
        name = both[0]
    if name is None or name not in both:
        listed = " and ".join(", ".join(side) or "none" for side in sides)
        raise ImindexError(
            f"The reports have no encoder {name or 'in common'}: they have {listed}. Audit both with the same encoder."
        )
    one, other = (side[name] for side in sides)
    for key, before, after in (
        ("weights_sha256", one.weights_sha256, other.weights_sha256),
        ("precision", one.precision, other.precision),
    ):
        if before != after:
            raise ImindexError(
                f"Encoder {name} differs between the reports: {key} {str(before)[:12]} against {str(after)[:12]}. "
                "Audit both releases with the same encoder."
            )
    return name


def _about(report: ArchivedReport, name: str, encoder: str) -> ReleaseSide:
    entry = next(one for one in report.encoders if one.name == encoder)
    return ReleaseSide(release=name, index=entry.index or "", root_digest=entry.root_digest or "")


def _result(report: ArchivedReport, name: str, encoder: str) -> ArchivedResult:
    found = report.result(name, encoder)
    if found is None:
        raise ImindexError(f"The report has no result of {name} by {encoder}. Audit that release again.")
    return found


def _rows(
    results: Sequence[ArchivedResult], names: Sequence[str]
) -> tuple[list[ArtistChange], list[LeftOut]]:
    sides = [{one.artist: one for one in result.artists} for result in results]
    findings = [result.findings for result in results]
    rows, left_out = [], []
    for artist in sorted(set(sides[0]) | set(sides[1])):
        base, new = (side.get(artist) for side in sides)
        why = [
            f"no figures in {name}"
            for name, one in zip(names, (base, new), strict=True)
            if one is None or one.auc is None
        ]
        if base is None or new is None or base.auc is None or new.auc is None:
            left_out.append(LeftOut(artist=artist, why=", ".join(why)))
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
