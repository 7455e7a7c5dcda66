"""The parts of a stored report.json, of any version, that `compare` reads.

These types are tolerant: unknown keys are ignored, and everything that early or handwritten reports may lack is
optional. `imindex.retrieval.results.Report` is the strict type of the reports that this version writes.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from imindex.indexer.core.bounds import CSLS_NEIGHBOURS, RESAMPLES, SHARE
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.compare.overall import Resolution
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import Adjust, Exchangeability, from_dict
from imindex.retrieval.results.base import Count, Number, P, Seed, Share
from imindex.retrieval.results.report_digest import digest

REPORT = "report.json"
Level = Annotated[float, msgspec.Meta(ge=SHARE.least, le=SHARE.most)]
Resamples = Annotated[int, msgspec.Meta(ge=1, le=RESAMPLES.most)]
Neighbours = Annotated[int, msgspec.Meta(ge=CSLS_NEIGHBOURS.least, le=CSLS_NEIGHBOURS.most)]


class _Archived(msgspec.Struct, frozen=True, kw_only=True):
    """Base class of these types; ignores unknown keys."""


class ArchivedArtist(_Archived, frozen=True, kw_only=True):
    """An artist's figures: AUC, and accuracy by name."""

    artist: str
    finding: Finding | None = None
    auc: Share = None
    top1: Share = None


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

    fewest_findable: Count | msgspec.UnsetType | None = msgspec.UNSET
    level: Level | None = None


class ArchivedCheck(_Archived, frozen=True, kw_only=True):
    """A diagnostic of whether placebo names are a fair reference."""

    compares: str = ""
    p: P = None
    shift: Number = None
    p_shift: P = None
    spread: Number = None
    p_spread: P = None

    @property
    def check(self) -> Exchangeability:
        """The diagnostic, without the numbers of sets."""
        return Exchangeability(
            compares=self.compares, statistic=None, p=self.p, shift=self.shift, p_shift=self.p_shift,
            spread=self.spread, p_spread=self.p_spread, n_placebos=0, n_others=0, n_artists=0,
        )  # fmt: skip


class ArchivedByWorks(_Archived, frozen=True, kw_only=True):
    """A classification by works, which a result has if its encoder has no text side."""

    accuracy: Share = None


class ArchivedResult(_Archived, frozen=True, kw_only=True):
    """Results for one release and one encoder."""

    release: str
    encoder: str
    artists: tuple[ArchivedArtist, ...] = ()
    summary: ArchivedSummary | None = None
    copies: ArchivedCopies | tuple[ArchivedPair, ...] | None = None
    exchangeability: tuple[ArchivedCheck, ...] = ()
    by_works: ArchivedByWorks | None = None

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
    n_placebo_names: Count | None = None


class ArchivedTests(_Archived, frozen=True, kw_only=True):
    """Settings of the tests in the plan."""

    level: Level | None = None
    adjust: Adjust | None = None
    n_resamples: Resamples | None = None
    confidence_level: Level | None = None
    seed: Seed | None = None
    csls_k: Neighbours | None = None
    whiten: bool = False


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
    checks = tuple(one.check for one in result.exchangeability) if result else ()
    level = summary.level if summary else None
    if isinstance(fewest, msgspec.UnsetType):
        return Resolution(n_placebos, checks=checks, level=level)
    return Resolution(n_placebos, math.inf if fewest is None else float(fewest), checks, level)


def unjudged(report: ArchivedReport) -> ArchivedReport:
    """Return a report in which every artist that has a finding is not tested."""
    results = tuple(
        replace(
            result,
            artists=tuple(
                row if row.finding is None else replace(row, finding=Finding.NOT_TESTED)
                for row in result.artists
            ),
        )
        for result in report.results
    )
    return replace(report, results=results)


def read_archived(file: Path) -> ArchivedReport:
    """Read a stored report.

    Raises
    ------
    ImindexError
        If the file is not JSON or not a report, if it was edited, or if a key has an invalid value. The message names
        the key.
    """
    try:
        value = parse_json(read_text(file), finite=True)
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
    _refuse_duplicates(archived, file)
    stated = value.get("digest")
    try:
        actual = digest(value)
    except (RecursionError, UnicodeError, ValueError) as error:
        said = (
            "it is nested too deeply"
            if isinstance(error, RecursionError)
            else f"a text is not valid: {error}"
        )
        raise ImindexError(f"{file} is not the report of an audit: {said}. Run the audit again.") from error
    if stated != actual:
        said = f"it states the digest {str(stated)[:12]}" if stated else "it has no digest"
        raise ImindexError(
            f"{file} was edited since imindex wrote it: {said}, and its content has {actual[:12]}. Restore it "
            "from a backup, or run the audit again."
        )
    return archived


def _refuse_duplicates(report: ArchivedReport, file: Path) -> None:
    """Refuse a report that says something twice, of which a reader would believe one."""
    lists: list[tuple[str, list[object]]] = [
        ("encoders", [encoder.name for encoder in report.encoders]),
        ("releases", [release.name for release in report.releases]),
        ("results", [(result.release, result.encoder) for result in report.results]),
    ]
    lists += [
        (f"results[{number}].artists", [row.artist for row in result.artists])
        for number, result in enumerate(report.results)
    ]
    for where, names in lists:
        name, n = Counter(names).most_common(1)[0] if names else ("", 0)
        if n > 1:
            raise ImindexError(f"{file}: {where}: {name!r} is listed {n} times. Run the audit again.")
