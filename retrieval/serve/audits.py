"""Audits, as their folders hold them at the moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from imindex.retrieval import api
from imindex.retrieval.audit.finished import AuditOnDisk
from imindex.retrieval.report.together import leading_results
from imindex.retrieval.results import CombinedArtist, CopyPair, RegisterEntry, Report, ReportArtist
from imindex.retrieval.results.base import Count, Result
from imindex.retrieval.serve.problems import Problem

WATCHED = ("report.json", "register.jsonl")


class ReleaseSummary(Result, kw_only=True, frozen=True):
    """A release in an audit.

    Attributes
    ----------
    name : str
    encoder : str
        Those on which the findings rest, joined by "and".
    n_artists : int
    findings : dict of str to int
        Number of artists by finding.
    answer : str
        The report's sentences about the release.
    """

    name: str
    encoder: str
    n_artists: Count
    findings: Mapping[str, int]
    answer: str


class AuditSummary(Result, kw_only=True, frozen=True):
    """An audit that is served.

    Attributes
    ----------
    id : str
        As URLs use it.
    name : str
        Name of the folder.
    state : str
        finished, unfinished, edited or unreadable. Figures are shown of finished ones only.
    reason : str
        Why it is not finished.
    title : str
    plan : str
        SHA-256 of the registered plan.
    registered, finished : str
        ISO 8601, UTC; empty if unknown.
    demonstration : bool
        Whether an encoder is for demonstration only, so that nothing is evidence.
    encoders : tuple of str
    releases : tuple of ReleaseSummary
    indexes : tuple of str
        Identifiers of its indexes.
    n_candidates, n_undecided : int
        Candidates for copies, and those of which nobody has decided.
    gate : tuple of str
        The conditions of the plan's gate with their outcomes, as sentences.
    files : tuple of str
        Files that can be downloaded.
    """

    id: str
    name: str
    state: str
    reason: str
    title: str
    plan: str
    registered: str
    finished: str
    demonstration: bool
    encoders: tuple[str, ...]
    releases: tuple[ReleaseSummary, ...]
    indexes: tuple[str, ...]
    n_candidates: Count
    n_undecided: Count
    gate: tuple[str, ...]
    files: tuple[str, ...]


class ArtistInRelease(Result, kw_only=True, frozen=True):
    """What an audit says of an artist in one release.

    Attributes
    ----------
    release : str
    encoder : str
    leading : bool
        Whether the finding of the audit is this one: that by its only encoder, or by all encoders together.
    result : ReportArtist
    together : CombinedArtist or None
        The tests by all encoders together, in the leading entry of an audit with several encoders.
    """

    release: str
    encoder: str
    leading: bool
    result: ReportArtist
    together: CombinedArtist | None = None


class ArtistInAudit(Result, kw_only=True, frozen=True):
    """What an audit says of an artist.

    Attributes
    ----------
    audit : str
    artist : str
    level : float
        Level of the tests.
    adjust : str
        Their correction.
    results : tuple of ArtistInRelease
        By release; the leading one of each first.
    """

    audit: str
    artist: str
    level: float
    adjust: str
    results: tuple[ArtistInRelease, ...]


class Candidate(Result, kw_only=True, frozen=True):
    """A pair of pictures that an audit's report lists.

    Attributes
    ----------
    release : str
    pair : CopyPair
    index : str
        Identifier of an index that holds both pictures; empty if none is served.
    imitation_row, work_row : int or None
        Their rows in it.
    history : tuple of str
        What was decided when and by whom, oldest first.
    """

    release: str
    pair: CopyPair
    index: str = ""
    imitation_row: int | None = None
    work_row: int | None = None
    history: tuple[str, ...] = ()


class Audit:
    """The folder of an audit. What is read of it is kept until a file in it changes.

    Parameters
    ----------
    id : str
    folder : Path
    """

    def __init__(self, id: str, folder: Path):
        self.id, self.folder = id, folder
        self._lock = threading.Lock()
        self._read: tuple[object, AuditOnDisk] | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    def current(self) -> AuditOnDisk:
        """Return the audit as it is on the disk now."""
        with self._lock:
            signature = tuple(_signature(self.folder / name) for name in WATCHED)
            if self._read is None or self._read[0] != signature:
                self._read = signature, api.read_audit(self.folder)
            return self._read[1]

    def report(self) -> Report:
        """Return the report.

        Raises
        ------
        Problem
            409 if the audit is unfinished, edited or unreadable.
        """
        current = self.current()
        if current.report is None:
            raise Problem(409, f"The audit {self.name} has no report to show. {current.reason}")
        return current.report


def summary(audit: Audit, indexes: tuple[str, ...]) -> AuditSummary:
    """Return what a list of audits shows of one."""
    current = audit.current()
    report, entries = current.report, current.entries
    pairs = [pair for pair in _pairs(report) if pair.candidate]
    decided = _latest(entries)
    files = tuple(
        name
        for name in ("report.html", "report.json", "artists.csv", "register.jsonl", "runs.jsonl")
        if (audit.folder / name).is_file() and (report is not None or name.endswith("jsonl"))
    )
    return AuditSummary(
        id=audit.id,
        name=audit.name,
        state=current.state,
        reason=current.reason,
        title=report.title if report else "",
        plan=entries[-1].plan if entries else "",
        registered=entries[0].when if entries else "",
        finished=report.provenance.finished if report else "",
        demonstration=bool(report and any(encoder.demonstration for encoder in report.encoders)),
        encoders=tuple(encoder.name for encoder in report.encoders) if report else (),
        releases=_releases(report) if report else (),
        indexes=indexes,
        n_candidates=len(pairs),
        n_undecided=sum((pair.imitation_sha256, pair.work_sha256) not in decided for pair in pairs),
        gate=tuple(verdict.reason for verdict in report.gate) if report else (),
        files=files,
    )


def artist_in(audit: Audit, artist: str) -> ArtistInAudit:
    """Return what an audit says of an artist, over releases and encoders.

    Raises
    ------
    Problem
        404 if the audit does not test the artist; 409 if it is not finished.
    """
    report = audit.report()
    results = leading_results(report)
    combined = {} if not isinstance(report.combined, tuple) else {one.release: one for one in report.combined}
    found: list[ArtistInRelease] = []
    for leading in results:
        together = combined.get(leading.release)
        for row in leading.artists:
            if row.artist == artist:
                found.append(
                    ArtistInRelease(
                        release=leading.release,
                        encoder=leading.encoder,
                        leading=True,
                        result=row,
                        together=next((one for one in together.artists if one.artist == artist), None)
                        if together
                        else None,
                    )
                )
        if together is not None:
            found += [
                ArtistInRelease(release=one.release, encoder=one.encoder, leading=False, result=row)
                for one in report.results
                if one.release == leading.release
                for row in one.artists
                if row.artist == artist
            ]
    if not found:
        raise Problem(404, f"The audit {audit.name} does not test {artist!r}.")
    tests = report.plan.tests
    return ArtistInAudit(
        audit=audit.id, artist=artist, level=tests.level, adjust=tests.adjust, results=tuple(found)
    )


def history(entries: tuple[RegisterEntry, ...], pair: CopyPair) -> tuple[str, ...]:
    """Return the decisions on a pair of pictures as sentences, oldest first."""
    return tuple(
        f"{entry.decision.decided} by {entry.decision.by} on {entry.when}"
        + (f": {entry.decision.note}" if entry.decision.note else "")
        for entry in entries
        if entry.decision is not None
        and (entry.decision.imitation_sha256, entry.decision.work_sha256)
        == (pair.imitation_sha256, pair.work_sha256)
    )


def _pairs(report: Report | None) -> list[CopyPair]:
    seen: dict[tuple[str, str], CopyPair] = {}
    for result in report.results if report else ():
        for pair in result.copies.pairs:
            key = (result.release, pair.imitation)
            if key not in seen or (pair.candidate and not seen[key].candidate):
                seen[key] = pair
    return list(seen.values())


def _latest(entries: tuple[RegisterEntry, ...]) -> set[tuple[str, str]]:
    return {
        (entry.decision.imitation_sha256, entry.decision.work_sha256)
        for entry in entries
        if entry.decision is not None
    }


def _releases(report: Report) -> tuple[ReleaseSummary, ...]:
    answers = dict(zip((one.name for one in report.releases), report.answer, strict=False))
    return tuple(
        ReleaseSummary(
            name=result.release,
            encoder=result.encoder,
            n_artists=len(result.artists),
            findings={str(key): count for key, count in result.summary.findings.items() if count},
            answer=answers.get(result.release, ""),
        )
        for result in leading_results(report)
    )


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
