"""Compare the imitations of one artist in two releases: changes of the figures with intervals and p-values.

The interval resamples works and imitations; both releases use the same works. The p-value exchanges imitations between
the releases, each scored among the same other imitations. `design_of` chooses the exchange from prompts and seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.accuracy import accuracy_interval
from imindex.stats.equivalence import TIE
from imindex.stats.intervals import TIE as NO_SPREAD
from imindex.stats.intervals import Interval, clopper_pearson, tail_level
from imindex.stats.keyed import Rng
from imindex.stats.paired import exchange_test
from imindex.stats.resampling import draw_weights
from imindex.stats.set_scores import Float64, Int64

PAIRS = "pairs"
WITHIN = "pictures within prompts"
PROMPTS = "prompts"
PICTURES = "pictures"
MIN_PROMPTS = 5
"""Fewer prompts than this are held fixed in intervals, as in `imindex.retrieval.evidence.match_tests`."""
NOTHING = Interval(np.nan, np.nan)
_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class ReleaseSet:
    """The imitations of one artist in one release: m imitations, ranked by W works.

    Attributes
    ----------
    own : ndarray, shape (W, m), float64
        For each work and imitation: the share of this release's imitations of other names that are farther from the
        work.
    shared : ndarray, shape (m,), float64
        The same share among both releases' imitations of other names, averaged over works.
    prompt : ndarray, shape (m,), int64
        Number of the prompt, shared by both releases; a picture without a prompt has a number of its own.
    seed : ndarray, shape (m,), int64
        -1 if unknown.
    right : ndarray, shape (m,), bool, or None
        Whether the picture is named as the artist.
    """

    own: Float64
    shared: Float64
    prompt: Int64
    seed: Int64
    right: npt.NDArray[np.bool_] | None = None

    def at(self, order: Int64) -> ReleaseSet:
        """Return the imitations in another order."""
        right = None if self.right is None else self.right[order]
        return ReleaseSet(self.own[:, order], self.shared[order], self.prompt[order], self.seed[order], right)


@dataclass(frozen=True, eq=False)
class Design:
    """Units exchanged in the test, and units resampled for the interval.

    Attributes
    ----------
    name : str
        `pairs`: each imitation is paired with one of the other release by prompt and seed, or by prompt if each
        prompt has one picture; pictures are exchanged within pairs. `pictures within prompts`: both releases have the
        same prompts; pictures are exchanged within each prompt. `prompts`: prompts differ and have several pictures;
        means over prompts are exchanged. `pictures`: prompts differ or are unknown; pictures are exchanged.
    base_order, new_order : ndarray, shape (m,), int64
        Order of imitations that aligns pairs.
    base_unit, new_unit : ndarray, shape (m,), int64
        Number of the resampled unit in that order: a prompt, a pair or a picture.
    joint : bool
        Whether units with the same number are drawn together in both releases.
    prompts_held_fixed : bool
        Whether prompts repeat but are too few to resample.
    uneven : bool
        Whether the exchanged prompts have different numbers of pictures, so that the test is approximate.
    """

    name: str
    base_order: Int64
    new_order: Int64
    base_unit: Int64
    new_unit: Int64
    joint: bool
    prompts_held_fixed: bool
    uneven: bool


@dataclass(frozen=True)
class Change:
    """A figure in both releases: `base`, `new`, `change`, its interval `low` to `high`, and `pvalue` of no change."""

    base: float
    new: float
    change: float
    low: float
    high: float
    pvalue: float


@dataclass(frozen=True, eq=False)
class SetComparison:
    """Result of `compare_sets`.

    Attributes
    ----------
    auc : Change
        Change of the AUC, computed for each release among its own other imitations. The p-value tests
        `shared_change`.
    accuracy : Change or None
        None if a release was not classified.
    shared_change : float
        Change (new minus base) of the mean score among the same other imitations.
    design : Design
    """

    auc: Change
    accuracy: Change | None
    shared_change: float
    design: Design


def design_of(base: ReleaseSet, new: ReleaseSet) -> Design:
    """Choose the exchange design for the prompts and seeds of two sets; see `Design`.

    Examples
    --------
    >>> def release(prompt, seed):
    ...     n = len(prompt)
    ...     return ReleaseSet(np.zeros((1, n)), np.zeros(n), np.array(prompt), np.array(seed))
    >>> design_of(release([0, 0], [7, 8]), release([0, 0], [8, 7])).name
    'pairs'
    >>> design_of(release([0, 0], [7, 8]), release([0, 0], [8, 9])).name
    'pictures within prompts'
    """
    b, n = np.lexsort((base.seed, base.prompt)), np.lexsort((new.seed, new.prompt))
    prompts, others = base.prompt[b], new.prompt[n]
    here, there = np.unique(prompts), np.unique(others)
    common = np.array_equal(here, there)
    repeated = len(here) < len(b) or len(there) < len(n)
    enough = min(len(here), len(there)) >= MIN_PROMPTS
    uneven = False
    if (
        len(b) == len(n)
        and np.array_equal(prompts, others)
        and (not repeated or _same_seeds(base, new, b, n))
    ):
        unit = other_unit = prompts if repeated and enough else np.arange(len(b))
        name, joint = PAIRS, True
    elif common:
        name, joint = WITHIN, enough
        unit, other_unit = (prompts, others) if enough else (np.arange(len(b)), np.arange(len(n)))
    else:
        name, joint = PROMPTS if repeated else PICTURES, False
        unit, other_unit = (prompts, others) if enough else (np.arange(len(b)), np.arange(len(n)))
        uneven = repeated and len(set(np.concatenate([_counts(prompts), _counts(others)]).tolist())) > 1
    return Design(name, b, n, unit, other_unit, joint, repeated and not enough, uneven)


def _same_seeds(base: ReleaseSet, new: ReleaseSet, b: Int64, n: Int64) -> bool:
    """Return whether sorted pictures of the same prompts match one to one by seed."""
    seeds, prompts = base.seed[b], base.prompt[b]
    twice = (np.diff(seeds) == 0) & (np.diff(prompts) == 0)
    return bool((seeds >= 0).all() and not twice.any() and np.array_equal(seeds, new.seed[n]))


def _counts(labels: Int64) -> Int64:
    return np.unique(labels, return_counts=True)[1].astype(np.int64)


def compare_sets(
    base: ReleaseSet,
    new: ReleaseSet,
    *,
    alternative: str = "two-sided",
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> SetComparison:
    """Compare the imitations of one artist in two releases.

    Parameters
    ----------
    base, new : ReleaseSet
        Both ranked by the same works in the same order.
    alternative : {"two-sided", "less", "greater"}
        "greater": the new release imitates this artist more. Intervals are always two-sided.
    confidence_level : float
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    SetComparison

    Raises
    ------
    ValueError
        If the numbers of works differ, there are no imitations, or a value is not finite.

    Notes
    -----
    The null hypothesis of the p-value is that the releases do not differ for this name and these prompts, so each
    picture is equally likely in either release (`stats.paired.exchange_test`). Within prompts the test is stratified,
    with p = (b + 1) / (B + 1) over random labels.

    The interval of the change in AUC draws works and imitations independently (pigeonhole bootstrap, Owen 2007,
    doi:10.1214/07-AOAS122). Both releases use the same draw of works, and the same draw of pairs or of common prompts.
    It is a percentile interval, widened for the smaller number of works and units (`stats.intervals.tail_level`). The
    other imitations are held fixed.

    If a release has no spread, and for the accuracy, the interval combines the intervals of the two releases by square
    and add (Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I), with the correlation
    of the paired units, corrected for continuity as in method 10 of his paper on pairs (17:2635).

    Examples
    --------
    >>> def release(scores):
    ...     scores = np.array(scores)
    ...     return ReleaseSet(np.tile(scores, (4, 1)), scores, np.zeros(4, int), np.arange(4))
    >>> base, new = release([0.5, 0.6, 0.5, 0.4]), release([0.7, 0.9, 0.8, 0.7])
    >>> comparison = compare_sets(base, new, rng=1)
    >>> round(comparison.auc.change, 3), comparison.design.name, comparison.auc.pvalue
    (0.275, 'pairs', 0.125)
    """
    if base.own.shape[0] != new.own.shape[0] or not base.own.size or not new.own.size:
        raise ValueError(
            f"base and new: expected the same works and at least one imitation each, not the shapes {base.own.shape} "
            f"and {new.own.shape}."
        )
    design = design_of(base, new)
    base, new = base.at(design.base_order), new.at(design.new_order)
    # One random stream per part, so that no part depends on how many numbers another draws.
    auc_test, auc_interval, accuracy_test, shares = (
        _Options(alternative, confidence_level, n_resamples, random)
        for random in np.random.default_rng(rng).spawn(4)
    )
    p = _exchange(base.shared, new.shared, base.prompt, new.prompt, design, auc_test)
    before, after = float(base.own.mean()), float(new.own.mean())
    interval = _auc_interval(base, new, design, auc_interval)
    accuracy = None
    if base.right is not None and new.right is not None:
        accuracy = _accuracy(base, new, design, accuracy_test, shares)
    return SetComparison(
        Change(before, after, after - before, interval.low, interval.high, p),
        accuracy,
        float(new.shared.mean() - base.shared.mean()),
        design,
    )


@dataclass(frozen=True)
class _Options:
    alternative: str
    confidence_level: float
    n_resamples: int
    random: np.random.Generator


def _exchange(
    base: Float64, new: Float64, base_prompt: Int64, new_prompt: Int64, design: Design, options: _Options
) -> float:
    """Return the p-value of the exchange test of the design; values are in the order of the design."""
    keywords = {
        "alternative": options.alternative,
        "n_resamples": options.n_resamples,
        "rng": options.random,
    }
    if design.name == WITHIN and len(np.unique(base_prompt)) > 1:
        return _exchange_within(base, new, base_prompt, new_prompt, options)
    if design.name == PROMPTS:
        base, new = _means(base, base_prompt), _means(new, new_prompt)
    return exchange_test(base, new, pairs=design.name == PAIRS, **keywords).pvalue  # type: ignore[arg-type]


def _means(values: Float64, labels: Int64) -> Float64:
    _, number = np.unique(labels, return_inverse=True)
    return np.asarray(np.bincount(number, values) / np.bincount(number))


def _exchange_within(
    base: Float64, new: Float64, base_prompt: Int64, new_prompt: Int64, options: _Options
) -> float:
    """Exchange pictures between the releases at random within each prompt."""
    prompt = np.concatenate([base_prompt, new_prompt])
    order = np.argsort(prompt, kind="stable")
    stratum = np.unique(prompt[order], return_inverse=True)[1].astype(np.float64)
    values = np.concatenate([base, new])[order]
    center = values.mean()
    values = values - center
    is_new = np.repeat([0.0, 1.0], [len(base), len(new)])[order]
    observed, sums = float(is_new @ values), np.empty(options.n_resamples)
    step = max(1, _BLOCK // len(values))
    for start in range(0, options.n_resamples, step):
        n_draws = min(step, options.n_resamples - start)
        places = np.argsort(stratum + options.random.random((n_draws, len(values))), axis=1)
        sums[start : start + n_draws] = is_new[places] @ values
    tie = TIE * max(float(np.abs(base).max()), float(np.abs(new).max())) * len(values)
    greater = int(np.count_nonzero(sums >= observed - tie))
    less = int(np.count_nonzero(sums <= observed + tie))
    if options.alternative == "two-sided":
        return min(1.0, 2 * (min(greater, less) + 1) / (options.n_resamples + 1))
    return ((greater if options.alternative == "greater" else less) + 1) / (options.n_resamples + 1)


def _auc_interval(base: ReleaseSet, new: ReleaseSet, design: Design, options: _Options) -> Interval:
    n_works, n_units = len(base.own), _n_units(design)
    if min(n_works, n_units) < 2:
        return NOTHING
    rows = draw_weights(n_works, options.n_resamples, options.random)
    columns = _columns(design, options)
    before, after = (
        np.einsum("bm,bm->b", rows @ release.own, drawn) / (n_works * drawn.sum(axis=1))
        for release, drawn in zip((base, new), columns, strict=True)
    )
    tail = tail_level(options.confidence_level, min(n_works, n_units), options.n_resamples)
    if min(np.ptp(before), np.ptp(after)) > NO_SPREAD:
        return _quantiles(after - before, tail)
    estimates = float(base.own.mean()), float(new.own.mean())
    ends = [
        _quantiles(drawn, tail)
        if np.ptp(drawn) > NO_SPREAD
        else clopper_pearson(estimate * n, n, options.confidence_level)
        for drawn, estimate, n in zip(
            (before, after),
            estimates,
            (min(n_works, len(np.unique(unit))) for unit in (design.base_unit, design.new_unit)),
            strict=True,
        )
    ]
    return square_and_add(estimates[0], ends[0], estimates[1], ends[1])


def _n_units(design: Design) -> int:
    return min(len(np.unique(design.base_unit)), len(np.unique(design.new_unit)))


def _columns(design: Design, options: _Options) -> tuple[Float64, Float64]:
    """Return how often each imitation of both releases is drawn."""
    numbers = [np.unique(unit, return_inverse=True)[1] for unit in (design.base_unit, design.new_unit)]
    first = draw_weights(int(numbers[0].max()) + 1, options.n_resamples, options.random)
    second = (
        first
        if design.joint
        else draw_weights(int(numbers[1].max()) + 1, options.n_resamples, options.random)
    )
    return first[:, numbers[0]], second[:, numbers[1]]


def _quantiles(distribution: Float64, tail: float) -> Interval:
    low, high = np.quantile(distribution, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _accuracy(base: ReleaseSet, new: ReleaseSet, design: Design, test: _Options, options: _Options) -> Change:
    assert base.right is not None and new.right is not None
    old, changed = base.right.astype(np.float64), new.right.astype(np.float64)
    p = _exchange(old, changed, base.prompt, new.prompt, design, test)
    accuracies = [
        accuracy_interval(
            right,
            cluster=unit,
            confidence_level=options.confidence_level,
        )
        for right, unit in ((base.right, design.base_unit), (new.right, design.new_unit))
    ]
    correlation = _correlation(old, changed, design) if design.joint else 0.0
    before, after = accuracies[0].estimate, accuracies[1].estimate
    interval = square_and_add(before, accuracies[0].interval, after, accuracies[1].interval, correlation)
    return Change(before, after, after - before, interval.low, interval.high, p)


def _correlation(base: Float64, new: Float64, design: Design) -> float:
    """Return the correlation over jointly drawn units, corrected for continuity if it is positive."""
    a, b = _means(base, design.base_unit), _means(new, design.new_unit)
    n, spread = len(a), float(a.std() * b.std())
    if spread <= NO_SPREAD:
        return 0.0
    covariance = float(((a - a.mean()) * (b - b.mean())).mean())
    if covariance > 0:
        covariance = max(0.0, covariance - 1 / (2 * n))
    return max(-1.0, min(1.0, covariance / spread))


def square_and_add(
    base: float, base_interval: Interval, new: float, new_interval: Interval, correlation: float = 0.0
) -> Interval:
    """Compute the confidence interval of the difference of two proportions from their intervals.

    Source: Newcombe 1998, method 10 of both papers (Statistics in Medicine 17:873 and, for pairs, 17:2635).

    Examples
    --------
    >>> interval = square_and_add(0.5, Interval(0.3, 0.7), 0.8, Interval(0.5, 1.0))
    >>> round(interval.low, 4), round(interval.high, 4)
    (-0.0606, 0.5828)
    """

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a + b * b - 2 * correlation * a * b))

    if math.isnan(base_interval.low + new_interval.low):
        return NOTHING
    low = new - base - reach(new - new_interval.low, base_interval.high - base)
    high = new - base + reach(new_interval.high - new, base - base_interval.low)
    return Interval(max(-1.0, low), min(1.0, high))
