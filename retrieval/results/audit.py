"""Results and forecast of an audit."""

from __future__ import annotations

from collections.abc import Mapping

from imindex.retrieval.results.base import Count, Number, Result, Sha256
from imindex.retrieval.results.classification import Classification
from imindex.retrieval.results.combined import CombinedResult, ReleaseSetScores
from imindex.retrieval.results.comparison import Comparison, Verdict
from imindex.retrieval.results.matching import Matching
from imindex.retrieval.results.pictures import Copies, Neighbours
from imindex.retrieval.results.questions import AnyAnswer
from imindex.retrieval.results.records import (
    EncoderRecord,
    PlanRecord,
    RejectedPicture,
    ReleaseRecord,
    WorkRecord,
)


class AuditResult(Result, kw_only=True, frozen=True):
    """All results of an audit for one release and one encoder; stored for the next run.

    Attributes
    ----------
    release, encoder : str
        Their names in the plan.
    classification : Classification or None
        Classification by name; None if the encoder has no text side.
    by_works : Classification or None
        Classification by works.
    matching : Matching
    rank_histogram : dict of str to tuple of int
        Histogram of each artist; see Gallery.
    neighbours : dict of str to tuple of Neighbours
        Nearest imitations of each artist; see Gallery.
    copies : Copies
    sets : ReleaseSetScores or None
        None if the plan has one encoder.
    """

    release: str
    encoder: str
    classification: Classification | None
    by_works: Classification | None
    matching: Matching
    rank_histogram: Mapping[str, tuple[Count, ...]]
    neighbours: Mapping[str, tuple[Neighbours, ...]]
    copies: Copies
    sets: ReleaseSetScores | None = None


class AuditFindings(Result, kw_only=True, frozen=True):
    """Everything an audit passes to its report, except provenance.

    Attributes
    ----------
    title : str
    plan : PlanRecord
    encoders : tuple of EncoderRecord
        The answer rests on all of them together.
    releases : tuple of ReleaseRecord
    results : tuple of AuditResult
        One per encoder and release.
    comparisons : tuple of Comparison
    gate : tuple of Verdict
    rejects : tuple of RejectedPicture
    works : tuple of WorkRecord
        The works of the tested artists.
    as_paper : bool
        Whether the report also has the tests of Casper et al. 2023.
    combined : tuple of CombinedResult
        One per release; empty with one encoder.
    questions : tuple of answers
        Answers to the further questions of the plan.
    """

    title: str
    plan: PlanRecord
    encoders: tuple[EncoderRecord, ...]
    releases: tuple[ReleaseRecord, ...]
    results: tuple[AuditResult, ...]
    comparisons: tuple[Comparison, ...]
    gate: tuple[Verdict, ...]
    rejects: tuple[RejectedPicture, ...]
    works: tuple[WorkRecord, ...] = ()
    as_paper: bool = False
    combined: tuple[CombinedResult, ...] = ()
    questions: tuple[AnyAnswer, ...] = ()


class ForecastStage(Result, kw_only=True, frozen=True):
    """A stage of an audit that has not run yet.

    Attributes
    ----------
    what : str
    total, there, to_do : int
        Number of pictures in total, already done, and still to be generated or encoded.
    seconds : float or None
        Estimated time; None if it was not measured.
    """

    what: str
    total: Count
    there: Count
    to_do: Count
    seconds: Number


class Forecast(Result, kw_only=True, frozen=True):
    """What an audit would produce, and how long it would take; printed by `audit --dry-run --json`.

    Attributes
    ----------
    title, folder : str
    digest : str
        Digest of the plan.
    stages : tuple of ForecastStage
    notes : tuple of str
    """

    title: str
    folder: str
    digest: Sha256
    stages: tuple[ForecastStage, ...]
    notes: tuple[str, ...]
