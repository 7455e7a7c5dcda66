"""What `match` returns."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from imindex.retrieval.findings import Finding
from imindex.retrieval.results.base import Adjust, Count, Interval, Level, Number, P, Result, Share


class ArtistTests(Result, kw_only=True, frozen=True):
    """The tests of one artist; all but `artist` is None where nothing was tested.

    `name` is the test against placebo names (does the name matter), `rival` the one against other artists (is it this
    artist rather than another).

    Attributes
    ----------
    artist : str
    finding : Finding or None
    auc_low, auc_high : float or None
        Percentile interval of the AUC.
    auc_bca, auc_basic : pair of float, or None
        BCa and basic intervals.
    auc_standard_error : float or None
    p_bootstrap : float or None
        Of an AUC of 0.5.
    n_prompts_or_imitations : int or None
        What was drawn besides works.
    prompts_held_fixed : bool or None
        Whether prompts repeat and are too few to be drawn: the interval is for these prompts.
    p_name, p_rival : float or None
        Of the own set against the references.
    p_name_approximate, p_rival_approximate : float or None
        The same by studentised scores, if these are normal.
    z_name, z_rival : float or None
        The studentised scores, in standard deviations of the references.
    n_name_references, n_rival_references : int or None
        References of the same design.
    n_name_at_least_as_near, n_rival_at_least_as_near : int or None
        Of these, as near as the own set or nearer.
    n_name_left_out, n_rival_left_out : int or None
        References of another design.
    resolution_name, resolution_rival : float or None
        The smallest p that was possible.
    status_name, status_rival : str or None
        ok, or why there is no p.
    set_size : int or None
        Imitations in a set.
    p_work : float or None
        Of the work-level test.
    p : float or None
        What the finding rests on: with placebo names the larger of p_name and p_rival, else p_rival; p_work by works.
    p_holm, p_bh, p_by : float or None
        p after correction over the artists that the encoder can tell.
    p_name_holm, p_name_bh, p_name_by : float or None
        p_name after the same corrections.
    gap_class : str or None
        Validity: robust positive, ambiguous, robust negative, or why there is no class.
    gap_low, gap_high : float or None
        Interval of the gap, a difference of cosines.
    ceiling_auc : float or None
        The AUC of the artist's own works among all works.
    floor_placebo, floor_control : float or None
        Mean rank percentile of placebo names' imitations and of control pictures; 0.5 is chance, 1 the nearest.
    p_differs : float or None
        Of works and imitations having one distribution (MMD).
    """

    artist: str
    finding: Finding | None = None
    auc_low: Share = None
    auc_high: Share = None
    auc_bca: Interval = None
    auc_basic: Interval = None
    auc_standard_error: Number = None
    p_bootstrap: P = None
    n_prompts_or_imitations: Count | None = None
    prompts_held_fixed: bool | None = None
    p_name: P = None
    p_name_approximate: P = None
    z_name: Number = None
    n_name_references: Count | None = None
    n_name_at_least_as_near: Count | None = None
    n_name_left_out: Count | None = None
    resolution_name: P = None
    status_name: str | None = None
    p_rival: P = None
    p_rival_approximate: P = None
    z_rival: Number = None
    n_rival_references: Count | None = None
    n_rival_at_least_as_near: Count | None = None
    n_rival_left_out: Count | None = None
    resolution_rival: P = None
    status_rival: str | None = None
    set_size: Count | None = None
    p_work: P = None
    p: P = None
    p_holm: P = None
    p_bh: P = None
    p_by: P = None
    p_name_holm: P = None
    p_name_bh: P = None
    p_name_by: P = None
    gap_class: str | None = None
    gap_low: Number = None
    gap_high: Number = None
    ceiling_auc: Share = None
    floor_placebo: Share = None
    floor_control: Share = None
    p_differs: P = None

    def p_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p` after a correction over artists."""
        return {"holm": self.p_holm, "bh": self.p_bh, "by": self.p_by}[adjust]

    def p_name_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p_name` after a correction over artists."""
        return {"holm": self.p_name_holm, "bh": self.p_name_bh, "by": self.p_name_by}[adjust]


class RankFigures(Result, kw_only=True, frozen=True):
    """How well works find the own imitations, as means; None without works, own imitations or those of others.

    Attributes
    ----------
    auc : float or None
        Probability that an own imitation is nearer than another name's. Chance is 0.5.
    rank_percentile : float or None
        Mean of (rank - 1) / (M - 1): 0 is the nearest, 1 the furthest. Chance is 0.5.
    reciprocal_rank : float or None
        1 / rank of the nearest own imitation.
    average_precision : float or None
        Mean over own imitations of the share of own ones at least as near.
    recall : dict of int to float
        Share of the own imitations within the first k.
    hit : dict of int to float
        Share of works with any own imitation within the first k.
    """

    auc: Share
    rank_percentile: Share
    reciprocal_rank: Share
    average_precision: Share
    recall: Mapping[int, Share]
    hit: Mapping[int, Share]


class MatchedArtist(ArtistTests, kw_only=True, frozen=True):
    """Where the own imitations of one artist stand in the ranking by each work, and the tests of that.

    Attributes
    ----------
    n_works, n_imitations : int
    status : str
        ok, or why there are no figures.
    auc, rank_percentile, reciprocal_rank, average_precision : float or None
        See RankFigures; means over the artist's works.
    recall, hit : dict of int to float
        See RankFigures.
    gap : float or None
        How much nearer the works are to each other than to those of the nearest other artist, a difference of cosines.
    gap_nearest : str
        That other artist; empty if there is none.
    gap_status : str
        ok, or why there is no gap.
    """

    n_works: Count
    n_imitations: Count
    status: str
    auc: Share
    rank_percentile: Share
    reciprocal_rank: Share
    average_precision: Share
    recall: Mapping[int, Share]
    hit: Mapping[int, Share]
    gap: Number
    gap_nearest: str
    gap_status: str


class OverallTests(Result, kw_only=True, frozen=True):
    """The tests over all artists of a release.

    Attributes
    ----------
    auc, auc_low, auc_high : float or None
        Mean over artists and its percentile interval.
    auc_bca : pair of float, or None
        Its BCa interval.
    p_assignment : float or None
        Of the AUCs over random assignments of sets to artists.
    n_artists : int
        Artists with an AUC.
    n_tested : int
        Artists over whom p is corrected.
    findings : dict of Finding to int
        How many artists have each finding.
    n_name_matters_and_rival_below_level : int
        Of those whose name matters, how many have p_rival at or below the level, uncorrected.
    """

    auc: Share
    auc_low: Share
    auc_high: Share
    auc_bca: Interval
    p_assignment: P
    n_artists: Count
    n_tested: Count
    findings: Mapping[Finding, Count]
    n_name_matters_and_rival_below_level: Count


class MatchEvidence(Result, kw_only=True, frozen=True):
    """How a release was tested, and the tests over all artists.

    Attributes
    ----------
    placebos : tuple of str
        Placebo names.
    question : str
        What the tests ask, in words.
    unit : str
        What is drawn at random under the null: artist or work.
    approximate : bool
        Whether findings rest on the studentised p-values.
    level : float
    adjust : str
        holm, bh or by.
    family : int
        Artists over whom p is corrected.
    references_needed : int
        References with which one artist alone could be called after Holm.
    seed, n_resamples : int
    confidence_level : float
    overall : OverallTests
    """

    placebos: tuple[str, ...]
    question: str
    unit: str
    approximate: bool
    level: Level
    adjust: Adjust
    family: Count
    references_needed: Count
    seed: int
    n_resamples: Count
    confidence_level: Level
    overall: OverallTests


class AucMatrix(Result, kw_only=True, frozen=True):
    """The AUC of each artist's imitations (column) for each artist's works (row).

    Attributes
    ----------
    artists : tuple of str
        Of rows and columns.
    values : tuple of tuple of float or None
    """

    artists: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]


class Matching(Result, kw_only=True, frozen=True):
    """What `match` found in a release.

    Attributes
    ----------
    collection : str
        The release.
    root_digest : str
        Of the index.
    encoder : str
        Model, weights and precision of the index.
    csls_k : int or None
        Neighbours in CSLS; None where imitations are ranked by cosine.
    recall_at : tuple of int
    n_works, n_imitations : int
        Ranked, repetitions left out.
    n_repeated_works, n_repeated_imitations : int
        Repetitions of a picture under one name, which were left out.
    n_artists : int
        Artists with figures.
    macro : RankFigures
        Means over these artists.
    artists : tuple of MatchedArtist
        All with works or imitations, placebo names included.
    evidence : MatchEvidence or None
        None where nothing was tested.
    auc_matrix : AucMatrix or None
        None where it was not asked for.
    """

    collection: str
    root_digest: str = field(name="root-digest")
    encoder: str
    csls_k: int | None
    recall_at: tuple[int, ...]
    n_works: Count
    n_imitations: Count
    n_repeated_works: Count
    n_repeated_imitations: Count
    n_artists: Count
    macro: RankFigures
    artists: tuple[MatchedArtist, ...]
    evidence: MatchEvidence | None
    auc_matrix: AucMatrix | None
