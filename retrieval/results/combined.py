"""Results of several encoders together."""

from __future__ import annotations

from collections.abc import Mapping

from imindex.retrieval.findings import Finding
from imindex.retrieval.results.base import Adjust, Count, Level, Number, P, Result, Share
from imindex.retrieval.results.matching import ErrorRates


class MovedSets(Result, kw_only=True, frozen=True):
    """Scores of placebo sets that are moved towards an artist's works, step by step, by one encoder.

    Attributes
    ----------
    sets : tuple of str
        The placebo names.
    auc : tuple of float
        Mean AUC of the moved sets at each step, averaged on the probit scale.
    scores : tuple of tuple of float
        One row per step, one column per set.
    """

    sets: tuple[str, ...]
    auc: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]


class ArtistSetScores(Result, kw_only=True, frozen=True):
    """Scores of all sets of a release for one artist, by one encoder.

    Attributes
    ----------
    artist : str
    told : bool or None
        Whether the encoder tells held-out works of the artist from those of others; None with too few works.
    same_design : tuple of bool
        Whether each set has the design of the artist's own set.
    scores : tuple of float or None
        Score of each set.
    rival_scores : tuple of float or None, or None
        The scores that the rival test compares, if they are others.
    moved : MovedSets or None
        For some artists.
    """

    artist: str
    told: bool | None
    same_design: tuple[bool, ...]
    scores: tuple[Number, ...]
    rival_scores: tuple[Number, ...] | None = None
    moved: MovedSets | None = None


class ReleaseSetScores(Result, kw_only=True, frozen=True):
    """Scores of all sets of a release by one encoder: what encoders are combined from.

    Attributes
    ----------
    statistic : str
        lda, linear, direction, softmax or rank.
    sets : tuple of str
        The names with imitations.
    artists : tuple of ArtistSetScores
        Those with works and imitations.
    """

    statistic: str
    sets: tuple[str, ...]
    artists: tuple[ArtistSetScores, ...]


class EncoderPart(Result, kw_only=True, frozen=True):
    """One encoder's part in the combined finding of an artist.

    Attributes
    ----------
    encoder : str
    weight : float
        1 if the encoder tells held-out works of the artist from those of others, otherwise 0.
    finding : Finding
        Finding by this encoder alone, corrected over artists and not over encoders.
    auc : float or None
    p : float or None
        p-value of the first step by this encoder alone, against the references of the combined test.
    p_closed : float or None
        The same after closed testing over the encoders of the artist.
    alone : bool or None
        Whether the effect is also shown by this encoder alone: p_closed is at most `CombinedResult.encoder_level`. None
        if the artist has no finding or the encoder has no weight.
    """

    encoder: str
    weight: float
    finding: Finding
    auc: Share
    p: P
    p_closed: P
    alone: bool | None


class CombinedArtist(Result, kw_only=True, frozen=True):
    """Finding for one artist by all encoders together.

    Attributes
    ----------
    artist : str
    finding : Finding
    p_name : float or None
        p-value of the combined test against placebo names.
    p_rival : float or None
        p-value of the combined test against the other artists.
    p : float or None
        p-value of the first step: p_name with placebo names, otherwise p_rival.
    p_adjusted : float or None
        p after correction over the artists.
    p_rival_selected : float or None
        p_rival after correction over the artists at risk; null for artists without a significant p_adjusted.
    specificity_testable : bool or None
        Whether p_rival could be small enough; null without placebo names.
    n_name_references, n_rival_references : int
        Number of reference sets that every encoder with weight has.
    resolution_name, resolution_rival : float or None
        Smallest possible p-value.
    placebo_reference : str or None
        "same origin" or "all"; null if the audit does not choose.
    encoders : tuple of EncoderPart
        One per encoder of the plan.
    p_adjusted_report : float or None
        p after correction over all artists and releases; null with one release, and if the artist cannot be judged. No
        finding rests on it.
    """

    artist: str
    finding: Finding
    p_name: P
    p_rival: P
    p: P
    p_adjusted: P
    p_rival_selected: P
    specificity_testable: bool | None
    n_name_references: Count
    n_rival_references: Count
    resolution_name: P
    resolution_rival: P
    placebo_reference: str | None
    encoders: tuple[EncoderPart, ...]
    p_adjusted_report: P = None


class CombinedResult(Result, kw_only=True, frozen=True):
    """The findings for one release by all encoders together.

    Attributes
    ----------
    release : str
    encoders : tuple of str
        Their names in the plan.
    combination : str
        How scores are combined; see `imindex.stats.combination`.
    statistics : tuple of str
        Measure of how near a set is to an artist, by encoder.
    level : float
    adjust : str
        Correction over the artists.
    n_artists : int
        Number of artists of the plan.
    n_placebo_names : int
    family : int
        Number of artists in the correction: those that at least one encoder can judge.
    findings : dict of Finding to int
        Number of artists of the plan with each finding.
    fewest_findable : int or None
        As in OverallTests.
    detectable_auc : float or None
        AUC by every encoder at which one more artist would be found with 80 % power; see OverallTests.
    encoder_level : float
        Level of `EncoderPart.alone`; 0 if nobody is found.
    error_rates : ErrorRates or None
        How often the combined tests call a placebo name.
    artists : tuple of CombinedArtist
        One per artist of the plan, in its order.
    """

    release: str
    encoders: tuple[str, ...]
    combination: str
    statistics: tuple[str, ...]
    level: Level
    adjust: Adjust
    n_artists: Count
    n_placebo_names: Count
    family: Count
    findings: Mapping[Finding, Count]
    fewest_findable: Count | None
    detectable_auc: Share
    encoder_level: float
    error_rates: ErrorRates | None
    artists: tuple[CombinedArtist, ...]
