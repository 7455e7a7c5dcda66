"""The content of report.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from imindex.retrieval.findings import Finding
from imindex.retrieval.results.base import Adjust, Count, Digest, Level, Number, P, Result, Share
from imindex.retrieval.results.classification import CutTexts, LabelCurve
from imindex.retrieval.results.combined import CombinedResult
from imindex.retrieval.results.comparison import Comparison, Verdict
from imindex.retrieval.results.matching import ErrorRates, Exchangeability
from imindex.retrieval.results.pictures import Copies, Neighbours
from imindex.retrieval.results.questions import AnyAnswer
from imindex.retrieval.results.records import (
    EncoderRecord,
    PlanRecord,
    Provenance,
    RejectedPicture,
    ReleaseRecord,
    WorkRecord,
)


class Summary(Result, kw_only=True, frozen=True):
    """Summary over the artists of one release for one encoder; every mean weights artists equally.

    Attributes
    ----------
    n_artists : int
    n_tested : int or None
        Number of artists in the correction of p.
    n_works : int
    n_ranked : int
        Number of imitations ranked by every work, including those of placebo names.
    n_repeated : int
        Number of excluded duplicates of a picture under the same name.
    n_classified : int
    n_labels : int
        Number of candidates, including generic labels.
    n_placebo_names : int
    findings : dict of Finding to int
    accuracy, accuracy_low, accuracy_high : float or None
        Mean over artists of the share of imitations named as the artist, by name, and its interval.
    accuracy_chance : float or None
        Expected accuracy of guessing.
    accuracy_top5, accuracy_top5_chance : float or None
        Share with the artist among the five best labels, and its expected value for guessing.
    accuracy_by_works : float or None
        Accuracy by prototypes of works instead of names.
    generic_share : float or None
        Share of the imitations that are nearest to a generic label.
    p_accuracy : float or None
        p-value of the accuracy under random assignment of sets to artists.
    auc, auc_low, auc_high : float or None
        Mean over artists, and its interval; 0.5 without imitation.
    p_auc : float or None
        p-value of the AUC under random assignment of sets to artists.
    templates_top1 : dict of str to float
        Accuracy with each prompt template alone, if there are several.
    level : float or None
    adjust : str or None
    confidence_level : float or None
    statistic : str or None
        Measure of how near a set is to an artist: lda, direction, softmax or rank.
    family : int or None
        Number of artists in the correction of p.
    fewest_findable : int or None
        Smallest number of artists that can be found with so many references: if fewer are imitated, no p-value can be
        small enough. None if none can be found.
    references_needed : int or None
        Number of references needed to find a single artist after Holm's correction.
    n_copies : int
        Number of copies that a person has confirmed.
    n_candidates : int
        Number of candidates for copies that nobody has rejected, including confirmed copies.
    detectable_auc : float or None
        AUC at which one more artist would be found with 80 % power, if the other findings stay as they are; the median
        over the artists not found. Computed from the spread of the placebo sets. None if no further artist could be
        found, whatever the AUC, or if it is not known.
    """

    n_artists: Count
    n_tested: Count | None
    n_works: Count
    n_ranked: Count
    n_repeated: Count = 0
    n_classified: Count
    n_labels: Count
    n_placebo_names: Count
    findings: Mapping[Finding, Count]
    accuracy: Share
    accuracy_low: Share
    accuracy_high: Share
    accuracy_chance: Share
    accuracy_top5: Share
    accuracy_top5_chance: Share
    accuracy_by_works: Share
    generic_share: Share
    p_accuracy: P
    auc: Share
    auc_low: Share
    auc_high: Share
    p_auc: P
    templates_top1: Mapping[str, Share]
    level: Share
    adjust: Adjust | None
    confidence_level: Share
    statistic: str | None
    family: Count | None
    fewest_findable: Count | None
    references_needed: Count | None
    n_copies: Count
    n_candidates: Count = 0
    detectable_auc: Share = None


class ReportArtist(Result, kw_only=True, frozen=True):
    """One artist of the plan, for one release and one encoder.

    Attributes
    ----------
    artist : str
    finding : Finding
    status : str
        "ok", or the reason why there are no figures.
    n_works, n_imitations : int
    n_distinct_works : int or None
        Number of works, with near-duplicates counted as one.
    top1, top1_low, top1_high : float or None
        Accuracy, the share of the imitations named as the artist, and its interval.
    top5 : float or None
        Share with the artist among the five best labels.
    p_named : float or None
        p-value of the test whether the imitations are named as the artist more often than placebo sets are.
    p_named_adjusted : float or None
        p_named after correction over the artists.
    placebo_share : float or None
        Share of the placebo names' pictures that are named as this artist: the bias of the label.
    p_chance_if_independent, p_generic_if_independent : float or None
        p-values of the accuracy against guessing and against the generic labels, if pictures were independent.
    confused_with : str or None
        The label that is most often best in place of the artist; empty if there is none.
    top1_by_works : float or None
        Accuracy by prototypes of works instead of names.
    auc, auc_low, auc_high : float or None
        Mean over works of the probability that an own imitation is nearer than one of another name, and its interval.
    p_name : float or None
        p-value of the test against placebo names: does the name matter?
    p_rival : float or None
        p-value of the test against the other artists: is it this artist rather than another?
    p : float or None
        p-value of the first step of the finding: p_name with placebo names, otherwise p_rival.
    n_name_references, n_rival_references : int or None
        Number of references of the same design.
    resolution_name, resolution_rival : float or None
        Smallest possible p-value.
    gap, gap_low, gap_high : float or None
        How much nearer the artist's works are to each other than to those of the nearest other artist, with interval.
    gap_class : str or None
        Class of the gap: "robust positive", "ambiguous", "robust negative", or why there is no class. For information:
        no finding depends on it.
    ceiling_auc : float or None
        AUC of the artist's own works among all works.
    floor_placebo : float or None
        Mean rank percentile of the imitations of placebo names.
    floor_control : float or None
        Mean rank percentile of control pictures.
    p_differs : float or None
        p-value under the null hypothesis that works and imitations have the same distribution (MMD).
    prompts_held_fixed : bool or None
        Whether intervals apply to these prompts only.
    p_adjusted : float or None
        p after correction over the artists; null if the artist cannot be judged.
    p_rival_selected : float or None
        p_rival after correction over the artists with a significant p_adjusted; null for the others.
    specificity_testable : bool or None
        Whether p_rival could be small enough, given the number of other names; null without placebo names.
    told_auc, told_low, told_high : float or None
        Probability that a held-out work of the artist scores higher for the artist than works of others do, and a
        conservative interval. 0.5 if the statistic does not tell the artist's works from those of others.
    p_told : float or None
        p-value under the null hypothesis that this probability is 1/2. At 5 % or below, the artist can be judged.
    copies, candidates : int
        Number of confirmed copies, and of candidates for copies that nobody has rejected, among the imitations of this
        artist.
    rank_histogram : tuple of int, or None
        Number of pairs of a work and an own imitation by rank percentile, in bins of equal width, nearest first.
    neighbours : tuple of Neighbours
        Works with their nearest own imitation, from the best rank to the worst.
    placebo_reference : str or None
        Placebo names that the artist is compared with: "same origin" or "all"; null if the audit does not choose.
    p_adjusted_report : float or None
        p after correction over all artists, releases and encoders of the report; null with one release and encoder, and
        if the artist cannot be judged. No finding rests on it.
    """

    artist: str
    finding: Finding
    status: str
    n_works: Count
    n_distinct_works: Count | None = None
    n_imitations: Count
    top1: Share
    top1_low: Share
    top1_high: Share
    top5: Share
    p_named: P = None
    p_named_adjusted: P = None
    placebo_share: Share = None
    p_chance_if_independent: P = None
    p_generic_if_independent: P = None
    confused_with: str | None
    top1_by_works: Share
    auc: Share
    auc_low: Share
    auc_high: Share
    p_name: P
    p_rival: P
    p: P
    n_name_references: Count | None
    n_rival_references: Count | None
    resolution_name: P
    resolution_rival: P
    gap: Number
    gap_low: Number
    gap_high: Number
    gap_class: str | None
    ceiling_auc: Share
    floor_placebo: Share
    floor_control: Share
    p_differs: P
    prompts_held_fixed: bool | None
    p_adjusted: P
    p_rival_selected: P
    specificity_testable: bool | None
    told_auc: Share
    told_low: Share
    told_high: Share
    p_told: P
    copies: Count
    candidates: Count = 0
    rank_histogram: tuple[Count, ...] | None
    neighbours: tuple[Neighbours, ...]
    placebo_reference: str | None = None
    p_adjusted_report: P = None


class Confusion(Result, kw_only=True, frozen=True):
    """Confusion matrix of the labels named for the imitations.

    Attributes
    ----------
    rows : tuple of str
        Artists named in the prompts.
    columns : tuple of str
        Labels: the artists of the rows in the same order, other labels that were named, then generic labels.
    n_generic : int
        Number of generic labels, which are the last columns.
    counts : tuple of tuple of int
        One row per artist, one column per label.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    n_generic: Count
    counts: tuple[tuple[Count, ...], ...]


class AsPaperArtist(Result, kw_only=True, frozen=True):
    """One artist by the tests of the paper, beside those of this report.

    Attributes
    ----------
    artist : str
    accuracy : float or None
        Share of the imitations that are named as the artist.
    confidence : float or None
        Mean softmax confidence of the artist's label.
    p_bootstrap : float or None
        p-value under the null hypothesis of an AUC of 0.5, by a bootstrap of the artist's works and imitations. Not
        corrected. Assumes that works of an artist resemble each other no more than works of different artists.
    p_named_adjusted, p_adjusted : float or None
        p-values of this report, against placebo names and corrected over artists: of the naming and of the match.
    finding : Finding
    """

    artist: str
    accuracy: Share
    confidence: Share
    p_bootstrap: P
    p_named_adjusted: P
    p_adjusted: P
    finding: Finding


class AsPaper(Result, kw_only=True, frozen=True):
    """The tests of Casper et al. 2023 (arXiv:2307.04028), reconstructed, beside those of this report.

    Attributes
    ----------
    accuracy, confidence : float or None
        Means over the artists.
    level : float
    n_matched : int
        Number of artists with p_bootstrap at or below the level, without correction.
    n_named, n_found : int
        Number of artists with p_named_adjusted at or below the level; with the finding "imitated".
    assumes : tuple of str
        What each figure of the paper assumes, in sentences.
    artists : tuple of AsPaperArtist
    """

    accuracy: Share
    confidence: Share
    level: Level
    n_matched: Count
    n_named: Count
    n_found: Count
    assumes: tuple[str, ...]
    artists: tuple[AsPaperArtist, ...]


class WorksArtist(Result, kw_only=True, frozen=True):
    """One artist in a classification by works. A picture is given to the artist whose prototype is nearest to it.

    Attributes
    ----------
    artist : str
    n : int
        Number of imitations classified.
    top1, top1_low, top1_high : float or None
        Share of the imitations that are given to the artist, and its interval.
    top5 : float or None
        Share with the artist among the five nearest.
    p_named : float or None
        p-value of the test whether more of the imitations are given to the artist than of the placebo sets.
    p_named_adjusted : float or None
        p_named after correction over the artists.
    placebo_share : float or None
        Share of the placebo names' pictures that are given to this artist: the bias of the prototype.
    p_chance_if_independent : float or None
        p-value of the accuracy against guessing, if pictures were independent.
    confused_with : str or None
        The other artist to whom the imitations are most often given; empty if there is none.
    """

    artist: str
    n: Count
    top1: Share = None
    top1_low: Share = None
    top1_high: Share = None
    top5: Share = None
    p_named: P = None
    p_named_adjusted: P = None
    placebo_share: Share = None
    p_chance_if_independent: P = None
    confused_with: str | None = None


class WorksClassification(Result, kw_only=True, frozen=True):
    """Classification of the imitations by the artists' works, by an encoder without a text side.

    Each imitation is compared with the prototype of each artist (the mean of the works), and not with names. These are
    other figures than those of a classification by name, and the two are not comparable.

    Attributes
    ----------
    method : str
        Description of the method.
    n_classified : int
    n_labels : int
        Number of candidates: artists with works.
    n_unscored : int
        Number of imitations whose artist has no works; they count as wrong.
    accuracy, accuracy_low, accuracy_high : float or None
        Mean over artists of the share of imitations that are nearest to the artist's prototype, and its interval.
    accuracy_chance : float or None
        Expected accuracy of guessing.
    accuracy_top5, accuracy_top5_chance : float or None
        Share with the artist among the five nearest prototypes, and its expected value for guessing.
    p_accuracy : float or None
        p-value of the accuracy under random assignment of sets to artists.
    artists : tuple of WorksArtist
        One per artist of the plan, in its order.
    confusion : Confusion
    label_curve : LabelCurve or None
        Accuracy with fewer candidate artists.
    """

    method: str
    n_classified: Count
    n_labels: Count
    n_unscored: Count
    accuracy: Share
    accuracy_low: Share
    accuracy_high: Share
    accuracy_chance: Share
    accuracy_top5: Share
    accuracy_top5_chance: Share
    p_accuracy: P
    artists: tuple[WorksArtist, ...]
    confusion: Confusion
    label_curve: LabelCurve | None


class ReportResult(Result, omit_defaults=True, kw_only=True, frozen=True):
    """Results for one release and one encoder.

    Attributes
    ----------
    release, encoder : str
        Their names in the plan.
    summary : Summary
    artists : tuple of ReportArtist
        One per artist of the plan, in its order.
    confusion : Confusion
    label_curve : LabelCurve or None
        Accuracy with fewer candidate artists.
    copies : Copies
    exchangeability : tuple of Exchangeability
        Diagnostics of whether placebo names are a fair reference.
    n_without_prompt : int
        Number of imitations without a recorded prompt.
    notes : tuple of str
        What limits the tests of this release, in sentences.
    error_rates : ErrorRates or None
        How often the tests of this release call a placebo name.
    as_paper : AsPaper or None
        Present if the plan, or the command, asks for the tests of the paper.
    cut_texts : CutTexts or None
        Texts of labels of which the encoder does not read the end.
    by_works : WorksClassification or None
        Present if the encoder has no text side. All figures by name are then null, and no picture counts as classified
        in `summary`.
    adjusted : str
        How similarities were adjusted for hubs and anisotropy, as part of a sentence; absent if they were not.
    """

    release: str
    encoder: str
    summary: Summary
    artists: tuple[ReportArtist, ...]
    confusion: Confusion
    label_curve: LabelCurve | None
    copies: Copies
    exchangeability: tuple[Exchangeability, ...] = ()
    n_without_prompt: Count = 0
    notes: tuple[str, ...] = ()
    error_rates: ErrorRates | None = None
    as_paper: AsPaper | None = None
    cut_texts: CutTexts | None = None
    by_works: WorksClassification | None = None
    adjusted: str = ""


class AgreementArtist(Result, kw_only=True, frozen=True):
    """Findings of all encoders for one artist.

    Attributes
    ----------
    artist : str
    findings : tuple of Finding
        Findings in the order of the encoders.
    agree : bool or None
        Whether the findings are equal; null if an encoder could not judge.
    """

    artist: str
    findings: tuple[Finding, ...]
    agree: bool | None


class Agreement(Result, kw_only=True, frozen=True):
    """Agreement of the encoders on one release.

    Attributes
    ----------
    release : str
    encoders : tuple of str
        Names of two or more encoders.
    n_judged : int
        Number of artists that every encoder could judge.
    n_agree : int
        Number of these with the same finding by all encoders.
    share : float or None
        n_agree / n_judged.
    artists : tuple of AgreementArtist
    """

    release: str
    encoders: Annotated[tuple[str, ...], Meta(min_length=2)]
    n_judged: Count
    n_agree: Count
    share: Share
    artists: tuple[AgreementArtist, ...]


class Limit(Result, kw_only=True, frozen=True):
    """A limitation of the findings.

    Attributes
    ----------
    title : str
    text : str
        Explanation that a reader can act on.
    """

    title: str
    text: str


class Report(Result, kw_only=True, frozen=True):
    """The content of report.json, version 1.0: plan, results and basis of an audit. Unknown values are null.

    Attributes
    ----------
    format : str
    version : str
        Version of the format. A reader of 1.0 can read every 1.x: keys are added, never removed.
    digest : str
        SHA-256 of the canonical JSON of everything except digest, provenance and the times of the plan. Two runs of
        the same plan on the same pictures have the same digest.
    title : str
    answer : tuple of str
        Two sentences per release, in the order of releases.
    plan : PlanRecord
    encoders : tuple of EncoderRecord
        The answer rests on all of them together, or on the only one.
    releases : tuple of ReleaseRecord
    results : tuple of ReportResult
        One per release and encoder.
    agreement : tuple of Agreement, or None
        Agreement of the encoders, one entry per release; null with one encoder.
    comparisons : tuple of Comparison
        Changes from the base release to each other release, for each encoder.
    gate : tuple of Verdict
        Outcomes of the plan's gate conditions. A release fails if a condition is true or cannot be evaluated.
    rejects : tuple of RejectedPicture
        Pictures that could not be read or encoded and are excluded from all figures.
    provenance : Provenance
    limits : tuple of Limit
        Limitations of the findings.
    works : tuple of WorkRecord
        The works of the tested artists.
    combined : tuple of CombinedResult
        The findings by all encoders together, one entry per release; missing with one encoder.
    questions : tuple of answers
        Answers to the further questions of the plan, one per question, release and encoder that it concerns; missing
        if none is asked. Each has its own correction over artists, and the answer does not rest on them.
    """

    format: Literal["imindex-report"]
    version: Annotated[str, Meta(pattern="^1\\.[0-9]+$")]
    digest: Digest
    title: str
    answer: tuple[str, ...]
    plan: PlanRecord
    encoders: tuple[EncoderRecord, ...]
    releases: tuple[ReleaseRecord, ...]
    results: tuple[ReportResult, ...]
    agreement: tuple[Agreement, ...] | None
    comparisons: tuple[Comparison, ...]
    gate: tuple[Verdict, ...]
    rejects: tuple[RejectedPicture, ...]
    provenance: Provenance
    limits: tuple[Limit, ...]
    works: tuple[WorkRecord, ...] = ()
    combined: tuple[CombinedResult, ...] | UnsetType = UNSET
    questions: tuple[AnyAnswer, ...] | UnsetType = UNSET
