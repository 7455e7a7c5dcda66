"""What an audit finds, and what it would take."""

from __future__ import annotations

from collections.abc import Mapping

from imindex.retrieval.results.base import Count, Number, Result, Sha256
from imindex.retrieval.results.classification import Classification
from imindex.retrieval.results.comparison import Comparison, Verdict
from imindex.retrieval.results.matching import Matching
from imindex.retrieval.results.pictures import Copies, Neighbours
from imindex.retrieval.results.records import EncoderRecord, PlanRecord, RejectedPicture, ReleaseRecord


class AuditResult(Result, kw_only=True, frozen=True):
    """All that an audit found of one release by one encoder; stored for the next run.

    Attributes
    ----------
    release, encoder : str
        Names in the plan.
    classification : Classification
        By name.
    by_works : Classification or None
        By works.
    matching : Matching
    rank_histogram : dict of str to tuple of int
        By artist; see Gallery.
    neighbours : dict of str to tuple of Neighbours
        By artist; see Gallery.
    copies : Copies
    """

    release: str
    encoder: str
    classification: Classification
    by_works: Classification | None
    matching: Matching
    rank_histogram: Mapping[str, tuple[Count, ...]]
    neighbours: Mapping[str, tuple[Neighbours, ...]]
    copies: Copies


class AuditFindings(Result, kw_only=True, frozen=True):
    """All that an audit hands to its report, except provenance.

    Attributes
    ----------
    title : str
    plan : PlanRecord
    encoders : tuple of EncoderRecord
        The first one answers.
    releases : tuple of ReleaseRecord
    results : tuple of AuditResult
        One for each encoder and release.
    comparisons : tuple of Comparison
    gate : tuple of Verdict
    rejects : tuple of RejectedPicture
    """

    title: str
    plan: PlanRecord
    encoders: tuple[EncoderRecord, ...]
    releases: tuple[ReleaseRecord, ...]
    results: tuple[AuditResult, ...]
    comparisons: tuple[Comparison, ...]
    gate: tuple[Verdict, ...]
    rejects: tuple[RejectedPicture, ...]


class ForecastStage(Result, kw_only=True, frozen=True):
    """A stage of an audit that has not run.

    Attributes
    ----------
    what : str
    total, there, to_do : int
        Pictures in all, there already, and to be made or encoded.
    seconds : float or None
        None where it was not measured.
    """

    what: str
    total: Count
    there: Count
    to_do: Count
    seconds: Number


class Forecast(Result, kw_only=True, frozen=True):
    """What an audit would make, and how long it would take; what `audit --dry-run --json` prints.

    Attributes
    ----------
    title, folder : str
    digest : str
        Of the plan.
    stages : tuple of ForecastStage
    notes : tuple of str
    """

    title: str
    folder: str
    digest: Sha256
    stages: tuple[ForecastStage, ...]
    notes: tuple[str, ...]
