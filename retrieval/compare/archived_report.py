"""What `compare` reads of a stored report.json, of this version or another.

These types are tolerant: keys that are unknown are ignored, and all that early or hand-made reports may lack is
optional. `imindex.retrieval.results.Report` is the strict type of the reports that this version writes.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import from_dict

REPORT = "report.json"


class _Archived(msgspec.Struct, frozen=True, kw_only=True):
    """Base of these types; ignores unknown keys."""


class ArchivedArtist(_Archived, frozen=True, kw_only=True):
    """An artist's figures: AUC, and accuracy by name."""

    artist: str
    finding: Finding | None = None
    auc: float | None = None
    top1: float | None = None


class ArchivedPair(_Archived, frozen=True, kw_only=True):
    """A candidate near-copy; early reports listed near-copies only."""

    copy: bool = True


class ArchivedCopies(_Archived, frozen=True, kw_only=True):
    """The candidates of a release."""

    pairs: tuple[ArchivedPair, ...] | None = None


class ArchivedResult(_Archived, frozen=True, kw_only=True):
    """One release by one encoder."""

    release: str
    encoder: str
    artists: tuple[ArchivedArtist, ...] = ()
    copies: ArchivedCopies | tuple[ArchivedPair, ...] | None = None

    @property
    def findings(self) -> dict[str, Finding]:
        """The finding of each artist who has one."""
        return {one.artist: one.finding for one in self.artists if one.finding is not None}

    @property
    def n_copies(self) -> int | None:
        """Near-copies listed; None where the report does not say."""
        pairs = self.copies.pairs if isinstance(self.copies, ArchivedCopies) else self.copies
        return None if pairs is None else sum(pair.copy for pair in pairs)


class ArchivedEncoder(_Archived, frozen=True, kw_only=True):
    """An encoder, and its index file beside the report."""

    name: str
    index: str | None = None
    root_digest: str | None = None
    weights_sha256: str | None = None
    precision: str | None = None


class ArchivedRelease(_Archived, frozen=True, kw_only=True):
    """A release."""

    name: str


class ArchivedTests(_Archived, frozen=True, kw_only=True):
    """How the plan said to test."""

    level: float | None = None
    adjust: str | None = None
    n_resamples: int | None = None
    confidence_level: float | None = None
    seed: int | None = None


class ArchivedPlan(_Archived, frozen=True, kw_only=True):
    """What the plan said of artists, labels, templates and tests."""

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
        """The result of a release by an encoder."""
        found = (one for one in self.results if (one.release, one.encoder) == (release, encoder))
        return next(found, None)


def read_archived(file: Path) -> ArchivedReport:
    """Read a stored report.

    Raises
    ------
    ImindexError
        Not JSON, no report, or a key with a wrong value: the message names it.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ImindexError(f"{file} cannot be read as JSON: {error}. Run the audit again.") from error
    missing = [
        key for key in ("encoders", "releases", "results") if not isinstance(value, dict) or key not in value
    ]
    if missing:
        raise ImindexError(
            f"{file} is no report of an audit: it has no {missing[0]}. Name an audit's {REPORT}."
        )
    return from_dict(ArchivedReport, value, str(file))
