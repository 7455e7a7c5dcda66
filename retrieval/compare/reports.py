"""Two finished reports -> what changed, from their figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.compare.overall import DEFAULTS, NOT_KNOWN, Row, common_notes, conclude, finding
from imindex.retrieval.evidence.testing import Testing

Report = Mapping[str, Any]


def compare_reports(
    base: Report,
    new: Report,
    base_release: str | None = None,
    new_release: str | None = None,
    encoder: str | None = None,
    *,
    testing: Testing = DEFAULTS,
    alternative: str = "two-sided",
) -> dict[str, Any]:
    """Compare two releases by what finished reports (report.json) say of them.

    Parameters
    ----------
    base, new : mapping
        Reports; may be the same.
    base_release, new_release : str, optional
        May be left out where a report has one release.
    encoder : str, optional
        By its name in the reports; the first that both have, unless given.
    testing : Testing
        Level, adjustment, resamples and confidence; findings are those of the reports.
    alternative : {"two-sided", "less", "greater"}

    Returns
    -------
    dict
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
    rows, left_out = _rows(results, names)
    if not rows:
        raise ImindexError(
            f"No artist has figures under both {names[0]} and {names[1]}. Audit both releases on the same artists."
        )
    findings = [{a["artist"]: _said(a) for a in one["artists"] if _said(a)} for one in results]
    for row in rows:
        row["finding_base"], row["finding_new"] = (finding(found, row["artist"]) for found in findings)
    found = conclude(rows, base=findings[0], new=findings[1], testing=testing, alternative=alternative)
    return {
        "base": _about(base, names[0], encoder),
        "new": _about(new, names[1], encoder),
        "encoder": encoder,
        "left_out": left_out,
        **found,
        "notes": [
            "From the reports' figures alone: changes of single artists have neither interval nor p, which need the "
            "index; findings are those of the reports.",
            *common_notes(found),
        ],
    }


def only_release(report: Report, name: str | None) -> str:
    """The release that was meant: the one named, or the only one of the report.

    Raises
    ------
    ImindexError
        No such release, or several and none named.
    """
    listed = [one["name"] for one in report["releases"]]
    if name in listed or (name is None and len(listed) == 1):
        return str(name or listed[0])
    said = ", ".join(listed) or "none"
    if name is None:
        raise ImindexError(f"The report has several releases: {said}. Choose one: FOLDER:RELEASE.")
    raise ImindexError(f"The report has no release {name}. It has {said}.")


def common_encoder(base: Report, new: Report, name: str | None = None) -> str:
    """The name of the encoder to compare by: the first that both reports have, unless named.

    Raises
    ------
    ImindexError
        None in common, or one name stands for two encoders.
    """
    sides = [{one["name"]: one for one in report["encoders"]} for report in (base, new)]
    both = [one for one in sides[0] if one in sides[1]]
    if name is None and both:
        name = both[0]
    if name is None or name not in both:
        listed = " and ".join(", ".join(side) or "none" for side in sides)
        raise ImindexError(
            f"The reports have no encoder {name or 'in common'}: they have {listed}. Audit both with the same encoder."
        )
    for key in ("weights_sha256", "precision"):
        values = [side[name].get(key) for side in sides]
        if values[0] != values[1]:
            raise ImindexError(
                f"Encoder {name} differs between the reports: {key} {str(values[0])[:12]} against "
                f"{str(values[1])[:12]}. Audit both releases with the same encoder."
            )
    return name


def _about(report: Report, name: str, encoder: str) -> dict[str, Any]:
    entry = next(one for one in report["encoders"] if one["name"] == encoder)
    return {
        "release": name,
        "index": str(entry.get("index", "")),
        "root_digest": entry.get("root_digest", ""),
    }


def _result(report: Report, name: str, encoder: str) -> Report:
    for one in report["results"]:
        if one["release"] == name and one["encoder"] == encoder:
            return dict(one)
    raise ImindexError(f"The report has no result of {name} by {encoder}. Audit that release again.")


def _said(artist: Mapping[str, Any]) -> str:
    return str(artist.get("finding") or "")


def _number(value: Any) -> float:
    return NOT_KNOWN if value is None else float(value)


def _rows(results: Sequence[Report], names: Sequence[str]) -> tuple[list[Row], list[dict[str, str]]]:
    by_name = [{a["artist"]: a for a in one["artists"]} for one in results]
    rows, left_out = [], []
    for artist in sorted(set(by_name[0]) | set(by_name[1])):
        known = [side.get(artist, {}) for side in by_name]
        auc = [_number(one.get("auc")) for one in known]
        why = [f"no figures in {n}" for n, value in zip(names, auc, strict=True) if value != value]
        if why:
            left_out.append({"artist": artist, "why": ", ".join(why)})
            continue
        row: Row = {"artist": artist, "auc_shared_change": NOT_KNOWN, "design": "needs the index"}
        accuracy = [_number(one.get("top1")) for one in known]
        for figure, (before, after) in (("auc", auc), ("accuracy", accuracy)):
            row[f"{figure}_base"], row[f"{figure}_new"] = before, after
            row[f"{figure}_change"] = after - before
            row |= {f"{figure}_low": NOT_KNOWN, f"{figure}_high": NOT_KNOWN, f"p_{figure}": NOT_KNOWN}
        rows.append({**row, "prompts_held_fixed": False, "approximate": False})
    return rows, left_out
