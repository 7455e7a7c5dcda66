"""The content of report.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from imindex.retrieval.findings import Finding
from imindex.retrieval.results.base import Adjust, Count, Digest, Number, P, Result, Share
from imindex.retrieval.results.classification import LabelCurve
from imindex.retrieval.results.comparison import Comparison, Verdict
from imindex.retrieval.results.pictures import Copies, Neighbours
from imindex.retrieval.results.records import (
    EncoderRecord,
    PlanRecord,
    Provenance,
    RejectedPicture,
    ReleaseRecord,
)


class Summary(Result, kw_only=True, frozen=True):
    """Over the artists of one release by one encoder; every mean is over artists, whatever their numbers of pictures.

    Attributes
    ----------
    n_artists : int
    n_tested : int or None
        Artists over whom p is adjusted.
    n_works : int
    n_ranked : int
        Imitations that every work ranks, those of placebo names included.
    n_repeated : int
        Repetitions of a picture under one name, left out.
    n_classified : int
    n_labels : int
        Candidates, generic labels included.
    n_placebo_names : int
    findings : dict of Finding to int
    accuracy, accuracy_low, accuracy_high : float or None
        Mean over artists of the share of imitations named as the artist, by name; and its interval.
    accuracy_chance : float or None
        The same for guessing.
    accuracy_top5, accuracy_top5_chance : float or None
        The same among the five best labels.
    accuracy_by_works : float or None
        The same by prototypes of works instead of names.
    generic_share : float or None
        Share of the imitations that are nearest to a generic label.
    p_accuracy : float or None
        Of the accuracy over random assignments of sets to artists.
    auc, auc_low, auc_high : float or None
        Mean over artists and its interval; 0.5 without imitation.
    p_auc : float or None
        Of the AUC over random assignments of sets to artists.
    templates_top1 : dict of str to float
        Accuracy by each prompt template alone, where there are several.
    level : float or None
    adjust : str or None
    confidence_level : float or None
    family : int or None
        Artists over whom p is corrected.
    references_needed : int or None
        References with which one artist alone could be called after Holm.
    n_copies : int
        Near-copies.
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
    family: Count | None
    references_needed: Count | None
    n_copies: Count


class ReportArtist(Result, kw_only=True, frozen=True):
    """One artist of the plan, under one release by one encoder.

    Attributes
    ----------
    artist : str
    finding : Finding
    status : str
        "ok", or why there are no figures.
    n_works, n_imitations : int
    top1, top1_low, top1_high : float or None
        Accuracy: share of the imitations named as the artist; and its interval.
    top5 : float or None
        Share with the artist among the five best labels.
    p_chance : float or None
        Of the accuracy against guessing; takes pictures for independent.
    p_generic : float or None
        Of the artist's name against the generic labels.
    confused_with : str or None
        The label named most often in place of the artist; empty if none was.
    p_chance_adjusted : float or None
        p_chance after correction over the artists.
    top1_by_works : float or None
        Accuracy by prototypes of works instead of names.
    auc, auc_low, auc_high : float or None
        Mean over works of the probability that an own imitation is nearer than another name's; and its interval.
    p_name : float or None
        Does the name matter: against placebo names.
    p_rival : float or None
        Is it this artist rather than another: against the other artists.
    p : float or None
        What the finding rests on: with placebo names the larger of p_name and p_rival, else p_rival.
    n_name_references, n_rival_references : int or None
        References of the same design.
    resolution_name, resolution_rival : float or None
        The smallest p that was possible.
    gap, gap_low, gap_high : float or None
        How much nearer the artist's works are to each other than to those of the nearest other artist; its interval.
    gap_class : str or None
        Validity: "robust positive", "ambiguous", "robust negative", or why there is no class.
    ceiling_auc : float or None
        The AUC of the artist's own works among all works.
    floor_placebo : float or None
        Where pictures for placebo names stand.
    floor_control : float or None
        Where control pictures stand.
    p_differs : float or None
        Of works and imitations having one distribution (MMD).
    prompts_held_fixed : bool or None
        Whether intervals are for these prompts only.
    p_name_adjusted : float or None
        p_name after correction over the artists.
    p_adjusted : float or None
        p after correction over the artists; null where the encoder cannot tell.
    copies : int
        Near-copies among the imitations in this artist's name.
    rank_histogram : tuple of int, or None
        Pairs of a work and an own imitation by rank percentile, in equal bins, the nearest first.
    neighbours : tuple of Neighbours
        Works beside their nearest own imitation, from the work with the best rank to the one with the worst.
    """

    artist: str
    finding: Finding
    status: str
    n_works: Count
    n_imitations: Count
    top1: Share
    top1_low: Share
    top1_high: Share
    top5: Share
    p_chance: P
    p_generic: P
    confused_with: str | None
    p_chance_adjusted: P
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
    p_name_adjusted: P
    p_adjusted: P
    copies: Count
    rank_histogram: tuple[Count, ...] | None
    neighbours: tuple[Neighbours, ...]


class Confusion(Result, kw_only=True, frozen=True):
    """Who was named for whose imitations.

    Attributes
    ----------
    rows : tuple of str
        Artists asked for.
    columns : tuple of str
        Labels named: those of the rows in their order, others that were named, generic ones.
    n_generic : int
        How many of the last columns are generic.
    counts : tuple of tuple of int
        A row for each artist, a column for each label.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    n_generic: Count
    counts: tuple[tuple[Count, ...], ...]


class ReportResult(Result, kw_only=True, frozen=True):
    """One release by one encoder.

    Attributes
    ----------
    release, encoder : str
        Names in the plan.
    summary : Summary
    artists : tuple of ReportArtist
        One for each artist of the plan, in its order.
    confusion : Confusion
    label_curve : LabelCurve or None
        What accuracy fewer candidate artists would have given.
    copies : Copies
    """

    release: str
    encoder: str
    summary: Summary
    artists: tuple[ReportArtist, ...]
    confusion: Confusion
    label_curve: LabelCurve | None
    copies: Copies


class AgreementArtist(Result, kw_only=True, frozen=True):
    """The findings of all encoders on one artist.

    Attributes
    ----------
    artist : str
    findings : tuple of Finding
        In the order of the encoders.
    agree : bool or None
        null where an encoder could not judge.
    """

    artist: str
    findings: tuple[Finding, ...]
    agree: bool | None


class Agreement(Result, kw_only=True, frozen=True):
    """How far the encoders agree on one release.

    Attributes
    ----------
    release : str
    encoders : tuple of str
        Two or more.
    n_judged : int
        Artists whom every encoder could judge.
    n_agree : int
        Of these, with one finding by all.
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
    """Something that limits the findings.

    Attributes
    ----------
    title : str
    text : str
        Sentences that a reader can act on.
    """

    title: str
    text: str


class Report(Result, kw_only=True, frozen=True):
    """The content of report.json, version 1.0: what an audit asked, found and rests on. What is not known is null.

    Attributes
    ----------
    format : str
    version : str
        A reader of 1.0 can read every 1.x: keys are added, never taken away.
    digest : str
        SHA-256 of the canonical JSON of all but digest, provenance and the times of the plan: two runs of one plan on
        the same pictures have the same.
    title : str
    answer : tuple of str
        Two sentences a release, in the order of releases.
    plan : PlanRecord
    encoders : tuple of EncoderRecord
        The first one answers; the others are for agreement.
    releases : tuple of ReleaseRecord
    results : tuple of ReportResult
        One for each release and encoder.
    agreement : tuple of Agreement, or None
        How far encoders agree, release by release; null with one encoder.
    comparisons : tuple of Comparison
        What changed from the base release to each other one, by each encoder.
    gate : tuple of Verdict
        The conditions of the plan: true fails the release, and so does one that cannot be checked.
    rejects : tuple of RejectedPicture
        Pictures that could not be read and are in no figure.
    provenance : Provenance
    limits : tuple of Limit
        What limits the findings, in sentences.
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
