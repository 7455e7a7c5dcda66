"""The parts of a stored report.json, of any version, that `compare` reads.

These types are tolerant: unknown keys are ignored, and everything that early or handwritten reports may lack is
optional. `imindex.retrieval.results.Report` is the strict type of the reports that this version writes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.compare.overall import Resolution
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import from_dict
from imindex.retrieval.results.report_digest import digest

REPORT = "report.json"


class _Archived(msgspec.Struct, frozen=True, kw_only=True):
    """Base class of these types; ignores unknown keys."""


class ArchivedArtist(_Archived, frozen=True, kw_only=True):
    """An artist's figures: AUC, and accuracy by name."""

    artist: str
    finding: Finding | None = None
    auc: float | None = None
    top1: float | None = None


class ArchivedPair(_Archived, frozen=True, kw_only=True):
    """A pair of picture and work. Early reports have `copy` (or list near-copies only), which nobody confirmed."""

    copy: bool = True
    candidate: bool | None = None
    decided: str = ""


class ArchivedCopies(_Archived, frozen=True, kw_only=True):
    """The pairs that are listed of a release."""

    pairs: tuple[ArchivedPair, ...] | None = None


class ArchivedSummary(_Archived, frozen=True, kw_only=True):
    """What the tests of the release can find; unset in early reports."""

    fewest_findable: int | msgspec.UnsetType | None = msgspec.UNSET


class ArchivedResult(_Archived, frozen=True, kw_only=True):
    """Results for one release and one encoder."""

    release: str
    encoder: str
    artists: tuple[ArchivedArtist, ...] = ()
    summary: ArchivedSummary | None = None
    copies: ArchivedCopies | tuple[ArchivedPair, ...] | None = None

    @property
    def findings(self) -> dict[str, Finding]:
        """The findings, by artist."""
        return {row.artist: row.finding for row in self.artists if row.finding is not None}

    @property
    def n_copies(self) -> int | None:
        """Number of confirmed copies; None if the report does not list them, or is from before they were confirmed."""
        pairs = self._pairs
        if pairs is None or any(pair.candidate is None for pair in pairs):
            return None
        return sum(pair.decided == "confirmed" for pair in pairs)

    @property
    def n_candidates(self) -> int | None:
        """Number of candidates that nobody has rejected, with confirmed copies; None if they are not listed."""
        pairs = self._pairs
        if pairs is None:
            return None
        called = [pair.copy if pair.candidate is None else pair.candidate for pair in pairs]
        return sum(
            pair.decided == "confirmed" or (candidate and not pair.decided)
            for pair, candidate in zip(pairs, called, strict=True)
        )

    @property
    def _pairs(self) -> tuple[ArchivedPair, ...] | None:
        return self.copies.pairs if isinstance(self.copies, ArchivedCopies) else self.copies


class ArchivedEncoder(_Archived, frozen=True, kw_only=True):
    """An encoder, and its index file beside the report."""

    name: str
    index: str | None = None
    root_digest: str | None = None
    weights_sha256: str | None = None
    precision: str | None = None


class ArchivedRelease(_Archived, frozen=True, kw_only=True):
    """A release, with its further real names."""

    name: str
    rivals: tuple[str, ...] = ()
    n_placebo_names: int | None = None


class ArchivedTests(_Archived, frozen=True, kw_only=True):
    """Settings of the tests in the plan."""

    level: float | None = None
    adjust: str | None = None
    n_resamples: int | None = None
    confidence_level: float | None = None
    seed: int | None = None


class ArchivedPlan(_Archived, frozen=True, kw_only=True):
    """Artists, labels, templates and tests of the plan."""

    artists: tuple[str, ...] | None = None
    background: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    templates: tuple[str, ...] | None = None
    label_templates: tuple[str, ...] | None = None
    tests: ArchivedTests | None = None


class ArchivedReport(_Archived, frozen=True, kw_only=True):
    """A stored report."""

    encoders: tuple[ArchivedEncoder, ...]
    releases: tuple[ArchivedRelease, ...]
    results: tuple[ArchivedResult, ...]
    plan: ArchivedPlan | None = None

    def result(self, release: str, encoder: str) -> ArchivedResult | None:
        """Return the result for a release and an encoder; None if there is none."""
        matches = (
            result for result in self.results if (result.release, result.encoder) == (release, encoder)
        )
        return next(matches, None)


def archived_resolution(report: ArchivedReport, release: str, encoder: str) -> Resolution:
    """Return what the tests of a release in a report can find."""
    result = report.result(release, encoder)
    summary = result.summary if result else None
    fewest = msgspec.UNSET if summary is None else summary.fewest_findable
    n_placebos = next((one.n_placebo_names for one in report.releases if one.name == release), None)
    if isinstance(fewest, msgspec.UnsetType):
        return Resolution(n_placebos)
    return Resolution(n_placebos, math.inf if fewest is None else float(fewest))


def read_archived(file: Path) -> ArchivedReport:
    """Read a stored report.

    Raises
    ------
    ImindexError
        If the file is not JSON or not a report, if it was edited, or if a key has an invalid value. The message names
        the key.
    """
    try:
        value = json.loads(read_text(file))
    except ValueError as error:
        raise ImindexError(f"{file} cannot be read as JSON: {error}. Run the audit again.") from error
    missing = [
        key for key in ("encoders", "releases", "results") if not isinstance(value, dict) or key not in value
    ]
    if missing:
        raise ImindexError(
            f"{file} is not the report of an audit: it has no {missing[0]}. Pass an audit's {REPORT}."
        )
    archived = from_dict(ArchivedReport, value, str(file))
    stated = value.get("digest")
    if stated != digest(value):
        said = f"it states the digest {str(stated)[:12]}" if stated else "it has no digest"
        raise ImindexError(
            f"{file} was edited since imindex wrote it: {said}, and its content has {digest(value)[:12]}. Restore it "
            "from a backup, or run the audit again."
        )
    return archived
