"""Results of `match`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from imindex.retrieval.findings import Finding
from imindex.retrieval.results.base import Adjust, Count, Interval, Level, Number, P, Result, Share


class ArtistTests(Result, kw_only=True, frozen=True):
    """Tests of one artist. All fields but `artist` are None if nothing was tested.

    `name` is the test against placebo names (does the name matter?), `rival` the test against other artists (is it
    this artist rather than another?).

    Attributes
    ----------
    artist : str
    finding : Finding or None
    auc_low, auc_high : float or None
        Percentile bootstrap interval of the AUC.
    auc_bca, auc_basic : pair of float, or None
        BCa and basic bootstrap intervals of the AUC.
    auc_standard_error : float or None
    p_bootstrap : float or None
        p-value under the null hypothesis of an AUC of 0.5.
    n_prompts_or_imitations : int or None
        Number of prompts or imitations resampled, besides works.
    prompts_held_fixed : bool or None
        Whether prompts repeat and are too few to resample: the interval then applies to these prompts only.
    p_name, p_rival : float or None
        p-value of the artist's own set against the references.
    p_name_approximate, p_rival_approximate : float or None
        Approximate p-value from studentised scores; valid if these are normal.
    z_name, z_rival : float or None
        Studentised scores, in standard deviations of the references.
    n_name_references, n_rival_references : int or None
        Number of references of the same design.
    n_name_at_least_as_near, n_rival_at_least_as_near : int or None
        Number of these that are as near as the own set, or nearer.
    n_name_left_out, n_rival_left_out : int or None
        Number of excluded references, which have another design.
    resolution_name, resolution_rival : float or None
        Smallest possible p-value.
    status_name, status_rival : str or None
        ok, or the reason why there is no p-value.
    set_size : int or None
        Number of imitations in a set.
    p_work : float or None
        p-value of the work-level test.
    p : float or None
        p-value of the finding: the larger of p_name and p_rival with placebo names, otherwise p_rival; p_work if
        the unit is the work.
    p_holm, p_bh, p_by : float or None
        p after correction over the artists that the encoder can distinguish.
    p_name_holm, p_name_bh, p_name_by : float or None
        p_name after the same corrections.
    gap_class : str or None
        Validity of the encoder for this artist: robust positive, ambiguous, robust negative, or the reason why there
        is no class.
    gap_low, gap_high : float or None
        Confidence interval of the gap, a difference of cosines.
    ceiling_auc : float or None
        AUC of the artist's own works among all works.
    floor_placebo, floor_control : float or None
        Mean rank percentile of the imitations of placebo names, and of control pictures; 0.5 is chance, 1 the nearest.
    p_differs : float or None
        p-value under the null hypothesis that works and imitations have the same distribution (MMD).
    placebo_reference : str or None
        Placebo names that the artist is compared with: "same origin" or "all"; None if the audit does not choose.
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
    placebo_reference: str | None = None

    def p_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p` after the given correction over artists."""
        return {"holm": self.p_holm, "bh": self.p_bh, "by": self.p_by}[adjust]

    def p_name_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p_name` after the given correction over artists."""
        return {"holm": self.p_name_holm, "bh": self.p_name_bh, "by": self.p_name_by}[adjust]


class RankFigures(Result, kw_only=True, frozen=True):
    """Mean retrieval figures of own imitations by works; None without works, own imitations or those of others.

    Attributes
    ----------
    auc : float or None
        Probability that an own imitation is nearer than an imitation of another name. Chance is 0.5.
    rank_percentile : float or None
        Mean of (rank - 1) / (M - 1), where M is the number of imitations: 0 is nearest, 1 farthest. Chance is 0.5.
    reciprocal_rank : float or None
        Mean of 1 / rank of the nearest own imitation.
    average_precision : float or None
        Mean over own imitations of the share of own imitations among those at least as near.
    recall : dict of int to float
        Share of the own imitations among the first k.
    hit : dict of int to float
        Share of works with any own imitation among the first k.
    """

    auc: Share
    rank_percentile: Share
    reciprocal_rank: Share
    average_precision: Share
    recall: Mapping[int, Share]
    hit: Mapping[int, Share]


class MatchedArtist(ArtistTests, kw_only=True, frozen=True):
    """Ranks of one artist's own imitations by the artist's works, and their tests.

    Attributes
    ----------
    n_works, n_imitations : int
    status : str
        ok, or the reason why there are no figures.
    auc, rank_percentile, reciprocal_rank, average_precision : float or None
        Means over the artist's works; see RankFigures.
    recall, hit : dict of int to float
        See RankFigures.
    gap : float or None
        How much nearer the works are to each other than to those of the nearest other artist; a difference of cosines.
    gap_nearest : str
        The nearest other artist; empty if there is none.
    gap_status : str
        ok, or the reason why there is no gap.
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
    """Tests over all artists of a release.

    Attributes
    ----------
    auc, auc_low, auc_high : float or None
        Mean over artists, and its percentile bootstrap interval.
    auc_bca : pair of float, or None
        BCa bootstrap interval of the mean.
    p_assignment : float or None
        p-value of the AUCs under random assignment of sets to artists.
    n_artists : int
        Number of artists with an AUC.
    n_tested : int
        Number of artists in the correction of p.
    findings : dict of Finding to int
        Number of artists with each finding.
    n_name_matters_and_rival_below_level : int
        Number of artists whose name matters and whose uncorrected p_rival is at or below the level.
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


class MatchEvidence(Result, omit_defaults=True, kw_only=True, frozen=True):
    """Settings of the tests of a release, and the tests over all artists.

    Attributes
    ----------
    placebos : tuple of str
        Placebo names.
    question : str
        Question that the tests answer, in words.
    unit : str
        Unit randomized under the null hypothesis: artist or work.
    approximate : bool
        Whether findings rest on the studentised p-values.
    level : float
    adjust : str
        holm, bh or by.
    family : int
        Number of artists in the correction of p.
    references_needed : int
        Number of references needed to find a single artist after Holm's correction.
    seed, n_resamples : int
    confidence_level : float
    overall : OverallTests
    rivals : tuple of str
        Further real names, which are references of the rival test only.
    exchangeability : tuple of Exchangeability
        Diagnostics of whether placebo sets are like sets of real names; empty if there are too few sets.
    n_without_prompt : int
        Number of imitations without a recorded prompt. Their templates are not known.
    notes : tuple of str
        What limits the tests of this release, in sentences.
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
    rivals: tuple[str, ...] = ()
    exchangeability: tuple[Exchangeability, ...] = ()
    n_without_prompt: Count = 0
    notes: tuple[str, ...] = ()


class Exchangeability(Result, kw_only=True, frozen=True):
    """Diagnostic of the assumption of the name test; see `imindex.stats.exchangeability`.

    Attributes
    ----------
    compares : str
        Sets that are compared with the placebo sets, in words.
    statistic : float or None
        The larger of the standardised shift and spread.
    p : float or None
        p-value under the null hypothesis that the sets are exchangeable with the placebo sets.
    shift : float or None
        How much nearer to works the sets are than the placebo sets, in standard deviations between sets.
    p_shift : float or None
    spread : float or None
        How much more they scatter: difference of mean squared normal scores, 0 if they scatter alike.
    p_spread : float or None
    n_placebos, n_others : int
        Number of placebo sets and of other sets of the same design.
    n_artists : int
        Number of artists whose works are used.
    """

    compares: str
    statistic: Number
    p: P
    shift: Number
    p_shift: P
    spread: Number
    p_spread: P
    n_placebos: Count
    n_others: Count
    n_artists: Count


class AucMatrix(Result, kw_only=True, frozen=True):
    """AUC of each artist's imitations (column) by each artist's works (row).

    Attributes
    ----------
    artists : tuple of str
        Artists of the rows and columns.
    values : tuple of tuple of float or None
    """

    artists: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]


class Matching(Result, kw_only=True, frozen=True):
    """Result of `match` for a release.

    Attributes
    ----------
    collection : str
        The release.
    root_digest : str
        Root digest of the index.
    encoder : str
        Model, weights and precision of the index.
    csls_k : int or None
        Number of neighbours in CSLS; None if imitations are ranked by cosine.
    recall_at : tuple of int
    n_works, n_imitations : int
        Numbers of ranked works and imitations, without duplicates.
    n_repeated_works, n_repeated_imitations : int
        Numbers of excluded duplicates of a picture under the same name.
    n_artists : int
        Number of artists with figures.
    macro : RankFigures
        Means over these artists.
    artists : tuple of MatchedArtist
        All artists with works or imitations, including placebo names.
    evidence : MatchEvidence or None
        None if nothing was tested.
    auc_matrix : AucMatrix or None
        None if it was not requested.
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
