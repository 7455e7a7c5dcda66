"""Results of `compare`, and the verdicts of a gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from msgspec import field

from imindex.retrieval.findings import Finding
from imindex.retrieval.results.base import Adjust, Alternative, Count, FigureName, Number, P, Result, Share
from imindex.retrieval.results.matching import NameTestCalls
from imindex.retrieval.results.testing import HowTested


class ReleaseSide(Result, kw_only=True, frozen=True):
    """One of the two compared releases.

    Attributes
    ----------
    release : str
    index : str, or tuple of str
        The index file; the files, if several are one index.
    root_digest : str
        Root digest of the index; empty if unknown. Of several files, the digest that chains theirs (FORMAT.md).
    """

    release: str
    index: str | tuple[str, ...]
    root_digest: str


class LeftOut(Result, kw_only=True, frozen=True):
    """An artist that was not compared.

    Attributes
    ----------
    artist : str
    why : str
    """

    artist: str
    why: str


class FigureChange(Result, kw_only=True, frozen=True):
    """Mean of a figure over artists for both releases, and its paired change; the unit is the artist.

    Attributes
    ----------
    base, base_low, base_high : float or None
        Mean for the base release, and its interval.
    new, new_low, new_high : float or None
        Mean for the new release, and its interval.
    change, low, high : float or None
        New minus base, and its interval, drift of all names included.
    p : float or None
        p-value of `beyond`: names are assigned to artists at random. None without placebo names that both releases
        were asked for, and always for the accuracy, which placebo names do not have.
    n_artists : int
        Number of artists with this figure for both releases.
    placebo_change : float or None
        Mean change of the placebo names between the same releases, for the same works.
    beyond, beyond_low, beyond_high : float or None
        Change beyond placebo names: `change` of the artists tested, minus `placebo_change`; and its interval.
    n_beyond, n_placebos : int
        Number of artists that are compared with placebo names, and number of these names.
    """

    base: Share
    base_low: Share
    base_high: Share
    new: Share
    new_low: Share
    new_high: Share
    change: Number
    low: Number
    high: Number
    p: P
    n_artists: Count
    placebo_change: Number = None
    beyond: Number = None
    beyond_low: Number = None
    beyond_high: Number = None
    n_beyond: Count = 0
    n_placebos: Count = 0

    @property
    def beyond_p(self) -> float | None:
        """The p-value of `beyond`, if there is any."""
        return None if self.beyond is None else self.p


class FigureChanges(Result, kw_only=True, frozen=True):
    """Changes of the means over all artists.

    Attributes
    ----------
    auc : FigureChange
    accuracy : FigureChange
    """

    auc: FigureChange
    accuracy: FigureChange


class SideCounts(Result, kw_only=True, frozen=True):
    """A count for each release.

    Attributes
    ----------
    base, new : int
    """

    base: Count
    new: Count


class SideFindings(Result, kw_only=True, frozen=True):
    """Number of artists with each finding, for each release.

    Attributes
    ----------
    base, new : dict of Finding to int
        Findings that no artist has are omitted.
    """

    base: Mapping[Finding, Count]
    new: Mapping[Finding, Count]


class FindingChange(Result, kw_only=True, frozen=True):
    """An artist whose finding differs between the releases.

    Attributes
    ----------
    artist : str
    before : Finding
        Finding for the base release; `from` in JSON.
    to : Finding
        Finding for the new release.
    """

    artist: str
    before: Finding = field(name="from")
    to: Finding


class ReleaseFindings(Result, kw_only=True, frozen=True):
    """Findings over all artists of one release, compared or not.

    Attributes
    ----------
    n : int
        Number of artists tested.
    significant : int
        Number of artists with a significant finding at the level.
    findings : dict of Finding to int
    n_placebos : int or None
        Number of placebo names of the release; None if it is not known.
    fewest_findable : int or None
        The smallest number of artists that the tests of the release can find; None if it is not known.
    finds_nobody : bool
        Whether the tests cannot find any artist, whatever the pictures.
    name_test_calls : str
        "too often" or "too seldom" if the check of the placebo names failed, so that they are not a fair reference;
        otherwise empty.
    """

    n: Count
    significant: Count
    findings: Mapping[Finding, Count]
    n_placebos: Count | None = None
    fewest_findable: Count | None = None
    finds_nobody: bool = False
    name_test_calls: NameTestCalls = ""


class SideReleaseFindings(Result, kw_only=True, frozen=True):
    """Findings over all artists of each release.

    Attributes
    ----------
    base, new : ReleaseFindings
    """

    base: ReleaseFindings
    new: ReleaseFindings


class FindingCounts(Result, kw_only=True, frozen=True):
    """Number of artists with each finding.

    Attributes
    ----------
    significant : SideCounts
        Number of compared artists with a significant finding at the level.
    findings : SideFindings
        Findings of the compared artists.
    changed : tuple of FindingChange
        Artists whose finding changed.
    not_compared : tuple of str
        Artists tested for the new release only.
    all : SideReleaseFindings
        Findings over all artists of each release.
    """

    significant: SideCounts
    findings: SideFindings
    changed: tuple[FindingChange, ...]
    not_compared: tuple[str, ...]
    all: SideReleaseFindings


class Shifts(Result, kw_only=True, frozen=True):
    """Artists whose AUC changed beyond that of placebo names, significantly at the level, after correction.

    Attributes
    ----------
    risen, fallen : tuple of str
    n_tested : int
        Number of artists whose change was tested.
    fewest_findable : int or None
        The smallest number of artists that can be found with these placebo names; None if none can be.
    """

    risen: tuple[str, ...]
    fallen: tuple[str, ...]
    n_tested: Count = 0
    fewest_findable: Count | None = None


class MarginResult(Result, kw_only=True, frozen=True):
    """Whether the mean change of the AUC beyond placebo names is within a margin.

    Attributes
    ----------
    margin : float
    p_not_more, p_not_less : float or None
        p-values of "the new release imitates more, or less, by at least the margin"; None without placebo names.
    p_equivalent : float or None
        The larger of the two.
    sentence : str
    """

    margin: float
    p_not_more: P
    p_not_less: P
    p_equivalent: P
    sentence: str


class ArtistFigure(NamedTuple):
    """One figure of an artist for both releases, and its change: the fields of `ArtistChange` for that figure."""

    base: float | None
    new: float | None
    change: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    p_bh: float | None
    p_by: float | None

    def p_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p` after the given correction over artists."""
        return {"holm": self.p_holm, "bh": self.p_bh, "by": self.p_by}[adjust]


class ArtistChange(Result, kw_only=True, frozen=True):
    """One artist, compared between both releases.

    Attributes
    ----------
    artist : str
    n_works, n_base, n_new : int or None
        Numbers of works and of imitations per release; None if only reports are compared.
    auc_shared_change : float or None
        Change (new minus base) of the mean score among the same other imitations, those of both releases.
    auc_base, auc_new, auc_change : float or None
        AUC among the other imitations of each release, and the change (new minus base).
    auc_low, auc_high : float or None
        Confidence interval of the change.
    auc_placebo_change : float or None
        Median change of the placebo names' sets for this artist's works.
    auc_beyond, auc_beyond_low, auc_beyond_high : float or None
        Change beyond placebo names: `auc_change` minus `auc_placebo_change`, and its interval.
    n_placebos : int
        Number of placebo names that the change is compared with.
    p_auc, p_auc_holm, p_auc_bh, p_auc_by : float or None
        p-value of the rank of `auc_change` among the changes of the placebo names, uncorrected and corrected over
        artists. None without such names.
    p_auc_if_exchangeable, p_accuracy_if_exchangeable : float or None
        A description, not a test of imitation: the p-value that would hold if the pictures of both releases were
        exchangeable but for imitation. Any drift between releases breaks that.
    accuracy_base, accuracy_new, accuracy_change : float or None
        Share of imitations named as the artist, and the change (new minus base).
    accuracy_low, accuracy_high : float or None
        Confidence interval of the change.
    p_accuracy, p_accuracy_holm, p_accuracy_bh, p_accuracy_by : float or None
        None: placebo names have no label of their own, so that there is no reference for this change. Reports of
        earlier versions have the p-value of an exchange of pictures here.
    finding_base, finding_new : Finding
    design : str
        How the pictures of both releases correspond: pairs, pictures within prompts, prompts or pictures.
    prompts_held_fixed : bool
        Whether prompts repeat and are too few to resample.
    approximate : bool
        Whether the exchanged prompts have different numbers of pictures.
    """

    artist: str
    n_works: Count | None = None
    n_base: Count | None = None
    n_new: Count | None = None
    auc_shared_change: Number = None
    auc_base: Share
    auc_new: Share
    auc_change: Number
    auc_low: Number = None
    auc_high: Number = None
    p_auc: P = None
    accuracy_base: Share
    accuracy_new: Share
    accuracy_change: Number
    accuracy_low: Number = None
    accuracy_high: Number = None
    p_accuracy: P = None
    finding_base: Finding
    finding_new: Finding
    design: str
    prompts_held_fixed: bool = False
    approximate: bool = False
    p_auc_holm: P = None
    p_auc_bh: P = None
    p_auc_by: P = None
    p_accuracy_holm: P = None
    p_accuracy_bh: P = None
    p_accuracy_by: P = None
    auc_placebo_change: Number = None
    auc_beyond: Number = None
    auc_beyond_low: Number = None
    auc_beyond_high: Number = None
    n_placebos: Count = 0
    p_auc_if_exchangeable: P = None
    p_accuracy_if_exchangeable: P = None

    @property
    def auc(self) -> ArtistFigure:
        """The AUC for both releases."""
        return ArtistFigure(
            self.auc_base, self.auc_new, self.auc_change, self.auc_low, self.auc_high,
            self.p_auc, self.p_auc_holm, self.p_auc_bh, self.p_auc_by,
        )  # fmt: skip

    @property
    def accuracy(self) -> ArtistFigure:
        """The accuracy for both releases."""
        return ArtistFigure(
            self.accuracy_base, self.accuracy_new, self.accuracy_change, self.accuracy_low, self.accuracy_high,
            self.p_accuracy, self.p_accuracy_holm, self.p_accuracy_bh, self.p_accuracy_by,
        )  # fmt: skip

    def p_adjusted(self, adjust: Adjust) -> float | None:
        """Return `p_auc` after the given correction over artists."""
        return self.auc.p_adjusted(adjust)

    def figure(self, name: FigureName) -> ArtistFigure:
        """Return `auc` or `accuracy` by its name."""
        return self.auc if name == "auc" else self.accuracy


class Comparison(Result, kw_only=True, frozen=True):
    """Change between two releases.

    Attributes
    ----------
    base, new : ReleaseSide
    encoder : str
    left_out : tuple of LeftOut
        Artists that were not compared.
    n_artists : int
        Number of artists compared.
    figures : FigureChanges
    counts : FindingCounts
    shifts : Shifts
    artists : tuple of ArtistChange
    testing : HowTested
    alternative : str
        Alternative hypothesis; "greater": the new release imitates more.
    notes : tuple of str
        Sentences on the basis of the figures.
    placebos : tuple of str
        Placebo names that both releases were asked for.
    margin : MarginResult or None
        If a margin was asked for.
    demonstration : bool
        Whether an encoder of the sides is the demonstration encoder of imindex, which is not for evidence.
    """

    base: ReleaseSide
    new: ReleaseSide
    encoder: str
    left_out: tuple[LeftOut, ...]
    n_artists: Count
    figures: FigureChanges
    counts: FindingCounts
    shifts: Shifts
    artists: tuple[ArtistChange, ...]
    testing: HowTested
    alternative: Alternative
    notes: tuple[str, ...]
    placebos: tuple[str, ...] = ()
    margin: MarginResult | None = None
    demonstration: bool = False


class Verdict(Result, kw_only=True, frozen=True):
    """Outcome of a gate condition: a release passes if the condition is false, fails if it is true.

    Attributes
    ----------
    condition : str
        Text of the condition.
    value, limit : float or None
    failed : bool or None
        Whether the condition is true; None if it is undecided. Reports of earlier versions have true there.
    reason : str
        One sentence.
    release, encoder : str
        Release and encoder that the condition was evaluated for.
    outcome : str
        "passed", "failed" or "undecided"; empty in reports of earlier versions, which counted undecided as failed.
    """

    condition: str
    value: Number
    limit: Number
    failed: bool | None
    reason: str
    release: str = ""
    encoder: str = ""
    outcome: Literal["passed", "failed", "undecided", ""] = ""


class GatedComparison(Comparison, kw_only=True, frozen=True):
    """A comparison with the outcomes of its gate conditions; printed by `compare --json`.

    Attributes
    ----------
    gate : tuple of Verdict
    """

    gate: tuple[Verdict, ...]
