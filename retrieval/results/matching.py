"""Results of `match`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import field

from imindex.retrieval.findings import Finding
from imindex.retrieval.results.base import Adjust, Count, Interval, Level, Number, P, Result, Seed, Share
from imindex.retrieval.results.release_names import ReleaseNames
from imindex.retrieval.results.testing import WhitenedBy


class ArtistTests(Result, kw_only=True, frozen=True):
    """Tests of one artist. All fields but `artist` are None if nothing was tested.

    `name` is the test against placebo names (does the name matter?), `rival` the test against other artists (is it
    this artist rather than another?).

    Attributes
    ----------
    artist : str
    finding : Finding or None
    auc_low, auc_high : float or None
        Confidence interval of the AUC: Clopper-Pearson on the fractional count.
    auc_bca, auc_basic : pair of float, or None
        BCa and basic bootstrap intervals of the AUC, for comparison; too narrow next to 0 and 1.
    auc_standard_error : float or None
        Of the bootstrap.
    n_distinct_works : int or None
        Number of works, with near-duplicates counted as one.
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
        p-value of the first step: p_name with placebo names, otherwise p_rival; p_work if the unit is the work.
    p_holm, p_bh, p_by : float or None
        p after correction over the artists that can be judged.
    p_rival_selected : float or None
        p_rival after correction over the artists for which the first step is significant, by the correction of the
        tests; None for the others, and without placebo names.
    specificity_testable : bool or None
        Whether p_rival could be small enough, given the number of other names. None without placebo names.
    score : float or None
        Score of the own set for the artist by the statistic of the tests.
    told_auc, told_low, told_high : float or None
        Probability that a held-out work of the artist scores higher for the artist than works of others do, and a
        conservative interval.
    p_told : float or None
        p-value under the null hypothesis that this probability is 1/2. At 5 % or below, the artist can be judged.
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
    n_distinct_works: Count | None = None
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
    p_rival_selected: P = None
    specificity_testable: bool | None = None
    score: Number = None
    told_auc: Share = None
    told_low: Share = None
    told_high: Share = None
    p_told: P = None
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
        Mean over artists, and its confidence interval: for the mean over artists like these, and prompts like these.
    auc_bca : pair of float, or None
        BCa bootstrap interval of the mean, for comparison.
    n_shared_prompts : int or None
        Number of prompts of which some are shared by artists, and which are drawn for all artists at once; with few
        templates, of templates and seeds. 0 if no prompt is shared.
    p_assignment : float or None
        p-value of the AUCs under random assignment of sets to artists.
    n_artists : int
        Number of artists with an AUC.
    n_tested : int
        Number of artists in the correction of p.
    findings : dict of Finding to int
        Number of artists with each finding.
    fewest_findable : int or None
        Smallest number of artists that the first step can find: if fewer are imitated, no p-value can be small enough
        after correction. None if it can find none, whatever the imitation.
    detectable_auc : float or None
        AUC at which one more artist would be found with 80 % power, if the other findings stay as they are; the median
        over the artists not found. Computed from the spread of the placebo sets. None if no further artist could be
        found, whatever the AUC, or if it is not known.
    """

    auc: Share
    auc_low: Share
    auc_high: Share
    auc_bca: Interval
    p_assignment: P
    n_artists: Count
    n_shared_prompts: Count | None = None
    n_tested: Count
    findings: Mapping[Finding, Count]
    fewest_findable: Count | None
    detectable_auc: Share = None


class ErrorRates(Result, kw_only=True, frozen=True):
    """Error rates of the tests of a release, measured with placebo sets in the artists' places: every finding is false.

    Attributes
    ----------
    levels : tuple of float
        Uncorrected levels of `name` and `rival`.
    name, rival : tuple of float or None
        Share of pairs of an artist and a placebo name whose p-value is at or below each level. Those of `name` are at
        most the levels by construction. A share of `rival` above its level means that real names' pictures are further
        from the works than placebo names' pictures are.
    any_name_effect, any_imitated : float or None
        Share of repetitions with at least one false finding after correction: of a name effect, and of "imitated".
    mean_name_effects, mean_imitated : float or None
        Mean number of false findings per repetition.
    n_artists, n_placebos, n_rivals, n_repeats : int
    """

    levels: tuple[Level, ...]
    name: tuple[Share, ...]
    rival: tuple[Share, ...]
    any_name_effect: Share
    any_imitated: Share
    mean_name_effects: Number
    mean_imitated: Number
    n_artists: Count
    n_placebos: Count
    n_rivals: Count
    n_repeats: Count


class MatchEvidence(Result, kw_only=True, frozen=True):
    """Settings of the tests of a release, and the tests over all artists.

    Attributes
    ----------
    placebos : tuple of str
        Placebo names.
    question : str
        Question that the tests answer, in words.
    unit : str
        Unit randomized under the null hypothesis: artist or work.
    statistic : str
        Measure of how near a set is to an artist: lda, direction, softmax or rank.
    approximate : bool
        Whether findings rest on the studentised p-values.
    level : float
    adjust : str
        holm, bh or by.
    family : int
        Number of artists in the correction of p: those that can be judged.
    references_needed : int
        Number of references needed to find a single artist after Holm's correction.
    seed, n_resamples : int
    confidence_level : float
    overall : OverallTests
    error_rates : ErrorRates or None
        None without placebo names or judged artists, and if the unit is the work.
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
    statistic: str
    approximate: bool
    level: Level
    adjust: Adjust
    family: Count
    references_needed: Count
    seed: Seed
    n_resamples: Count
    confidence_level: Level
    overall: OverallTests
    error_rates: ErrorRates | None = None
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

    def failed(self, level: float | None) -> bool:
        """Whether the sets differ at this level, so that placebo names are not a fair reference."""
        return self.p is not None and level is not None and self.p <= level

    def calls_too_often(self, level: float) -> bool:
        """Whether the difference makes the name test call too often; otherwise it calls too seldom."""
        shifted = self.p_shift is not None and self.p_shift <= level
        spread = self.p_spread is not None and self.p_spread <= level
        if shifted or spread:
            return (shifted and (self.shift or 0) > 0) or (spread and (self.spread or 0) > 0)
        return True  # the two together differ; which way is not known


NameTestCalls = Literal["too often", "too seldom", ""]
"""How the name test errs because placebo names are not a fair reference; empty if nothing shows that it does."""


def name_test_calls(checks: Sequence[Exchangeability], level: float | None) -> NameTestCalls:
    """Return how the name test errs at this level, by the diagnostics of a release."""
    failed = [one for one in checks if one.failed(level)]
    if not failed or level is None:
        return ""
    return "too often" if any(one.calls_too_often(level) for one in failed) else "too seldom"


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


class SampledWorks(Result, kw_only=True, frozen=True):
    """The works that works are compared with, where these are a sample; see stats/METHODS.md.

    Attributes
    ----------
    n_own, of_own : int
        Number of compared works, and of all works, by artists whose names some release was asked for.
    n_background, of_background : int
        The same of all other artists.
    seed : int
        Seed of the draws.
    """

    n_own: Count
    of_own: Count
    n_background: Count
    of_background: Count
    seed: Seed


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
    demonstration : bool
        Whether the encoder is the demonstration encoder of imindex, which is not for evidence.
    names : ReleaseNames or None
        What the manifest of the release says of its names and pictures; None if nothing is known.
    sampled_works : SampledWorks or None
        The works on which gaps, ceilings and the check of an artist's own works rest; None if these are all works.
    whitened : WhitenedBy or None
        How vectors were whitened; None if they are as stored.
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
    demonstration: bool = False
    names: ReleaseNames | None = None
    sampled_works: SampledWorks | None = None
    whitened: WhitenedBy | None = None
