"""Changes between two releases, calibrated by the changes of placebo names.

The unit of analysis is the set: all pictures that a release generated from one name. D[a, s] is the change of the AUC
of set s for the works of artist a, new release minus base release. Two releases differ in much that has nothing to do
with imitation (sampler, training, filters), and that moves every set. What a name adds to this drift is seen by
comparing the artist's own change, D[a, a], with the changes of placebo names between the same releases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import LEAST, Interval, clopper_pearson, satterthwaite
from imindex.stats.keyed import Rng
from imindex.stats.set_scores import Float64

Flags = npt.NDArray[np.bool_]

TIE = 1e-9
"""Changes that differ by at most this count as equal."""
FEW = 5
"""With fewer artists or placebo names than this, intervals use the smallest degrees of freedom."""
FEWEST_DIFFERENT = 10
"""With fewer values that differ from the most frequent one, the variance of the values is not relied on."""
_BLOCK = 2**21


@dataclass(frozen=True, eq=False)
class ChangeTest:
    """Result of `change_test` for one artist.

    Attributes
    ----------
    change : float
        Change of the own set.
    placebo_change : float
        Median change of the placebo names: the middle that the test uses.
    beyond : float
        Change beyond placebo names: `change` minus `placebo_change`.
    interval : Interval
        Interval of the change beyond placebo names: the shifts of the own change that the two-sided test does not
        reject. NaN with fewer than 1 / (1 - confidence_level) - 1 placebo names.
    pvalue : float
        NaN without placebo names.
    n_placebos : int
    resolution : float
        Smallest possible p-value, 1 / (1 + n_placebos).
    """

    change: float
    placebo_change: float
    beyond: float
    interval: Interval
    pvalue: float
    n_placebos: int
    resolution: float


def change_test(
    own: float,
    placebos: npt.ArrayLike,
    *,
    alternative: str = "two-sided",
    confidence_level: float = 0.95,
) -> ChangeTest:
    """Test whether an artist's change exceeds the changes of placebo names between the same releases.

    Parameters
    ----------
    own : float
        Change of the own set for the artist's works.
    placebos : array_like, shape (P,)
        Changes of the placebo names' sets for the same works.
    alternative : {"two-sided", "greater", "less"}
        "greater": the new release imitates the artist more.
    confidence_level : float

    Returns
    -------
    ChangeTest

    Notes
    -----
    Assumption: if nothing about this name changes between the releases beyond what changes for any name, the own change
    and those of the placebo names are exchangeable. Whatever drift all names share is then harmless, and the rank of
    the own change is uniform: p = (1 + placebo names at least as extreme) / (1 + P), with ties counted against the
    finding.

    The two-sided test orders all 1 + P changes by their distance from the median of all of them, own change included.
    This median does not depend on which of them is the own one, so that the test is exact, and its smallest p-value is
    1 / (1 + P). Twice the smaller one-sided p-value is valid as well, but cannot be below 2 / (1 + P): it would need
    twice as many placebo names for the same finding.

    The interval inverts the two-sided test.

    Examples
    --------
    >>> result = change_test(0.3, np.linspace(-0.1, 0.1, 39))
    >>> result.pvalue, round(result.beyond, 3), round(result.interval.low, 3), round(result.interval.high, 3)
    (0.025, 0.3, 0.2, 0.4)
    """
    others = np.asarray(placebos, np.float64)
    n = len(others)
    if not n or not math.isfinite(own):
        return ChangeTest(own, np.nan, np.nan, Interval(np.nan, np.nan), np.nan, 0, np.nan)
    middle = float(np.median(np.append(others, own)))
    if alternative == "two-sided":
        reached = np.abs(others - middle) >= abs(own - middle) - TIE
    else:
        reached = others >= own - TIE if alternative == "greater" else others <= own + TIE
    placebo_change = float(np.median(others))
    return ChangeTest(
        change=own,
        placebo_change=placebo_change,
        beyond=own - placebo_change,
        interval=_inverted(own, others, confidence_level),
        pvalue=(1 + int(np.count_nonzero(reached))) / (1 + n),
        n_placebos=n,
        resolution=1 / (1 + n),
    )


def _inverted(own: float, others: Float64, confidence_level: float) -> Interval:
    """Return the shifts of the own change that the two-sided test does not reject."""
    n = len(others)
    kept = math.floor((1 - confidence_level) * (n + 1) + 1e-9)
    if kept < 1:
        return Interval(np.nan, np.nan)
    ends = []
    for side in (1.0, -1.0):
        middle = float(np.median(np.append(others, side * np.inf)))
        ends.append(middle + side * float(np.sort(np.abs(others - middle))[-kept]))
    return Interval(own - ends[0], own - ends[1])


@dataclass(frozen=True, eq=False)
class MeanChange:
    """Result of `mean_change`, for A artists.

    Attributes
    ----------
    change : float
        Mean change of the artists' own sets.
    placebo_change : float
        Mean over artists of the mean change of their placebo names.
    beyond : float
        Change beyond placebo names: the difference.
    interval : Interval
        NaN with a single artist or a single placebo name.
    pvalue : float
        p-value of the random assignment of names to artists.
    n_artists, n_placebos : int
    at : callable
        Returns the interval for a confidence level.
    """

    change: float
    placebo_change: float
    beyond: float
    interval: Interval
    pvalue: float
    n_artists: int
    n_placebos: int
    at: Callable[[float], Interval]


def mean_change(  # noqa: PLR0913
    changes: npt.ArrayLike,
    own: npt.ArrayLike,
    placebos: Sequence[Sequence[int]],
    *,
    prompts: npt.ArrayLike | None = None,
    alternative: str = "two-sided",
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> MeanChange:
    """Estimate and test the mean change of the artists beyond that of placebo names.

    Parameters
    ----------
    changes : array_like, shape (A, S)
        D[a, s]: change of the AUC of set s for the works of artist a.
    own : array_like of int, shape (A,)
        Column of each artist's own set.
    placebos : sequence of A sequences of int
        Columns of the placebo names that each artist is compared with, at least one each.
    prompts : array_like, shape (L, A, S), optional
        How much of each change the pictures of each shared prompt explain: their sum of (value - mean of the set) /
        size of the set in the new release, minus the same in the base release.
    alternative : {"two-sided", "greater", "less"}
    confidence_level : float
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    MeanChange

    Notes
    -----
    The p-value assigns distinct names at random to artists and to the places of placebo names, (b + 1) / (B + 1), and
    two-sided by the absolute value. Placebo names that the same artists use form one group, and an artist's own name
    joins the largest group of the artist's placebo names; names are exchanged within a group only. Assumption: within a
    group, all names' changes are exchangeable if nothing about the artists' names changed beyond what changed for any
    name.

    The interval adds up three variances. Artists: that of the changes beyond placebo names, over A. Placebo names: that
    of each name's mean change over the artists, over their number, since all artists share these names. Prompts that
    names share: the variance of a prompt's effect on the whole figure, less what artists and placebo names have shown
    of it already. Each has its own degrees of freedom (Satterthwaite), and the interval is Student's t.

    If most values are equal, as with pictures that did not change, their variance says nothing of rare changes: see
    `mean_interval`, which is used in its place.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> changes = 0.1 + 0.02 * random.standard_normal((8, 40))  # a drift of all names
    >>> changes[np.arange(8), np.arange(8)] += 0.05
    >>> result = mean_change(changes, np.arange(8), [list(range(8, 40))] * 8, rng=1)
    >>> round(result.beyond, 2), result.pvalue < 0.01, result.interval.low > 0.02
    (0.05, True, True)
    """
    table, columns = np.asarray(changes, np.float64), np.asarray(own, np.int64)
    n = len(table)
    weights = np.zeros_like(table)
    for artist, names in enumerate(placebos):
        weights[artist, list(names)] = 1 / len(names)
    rows = np.arange(n)
    own_changes, references = table[rows, columns], (weights * table).sum(axis=1)
    used = np.flatnonzero(weights.any(axis=0))
    # Each placebo name's share of the mean over artists: its influence is its deviation from each artist's mean.
    deviations = np.where(weights > 0, table - references[:, None], 0.0)
    by_name = (weights * deviations).sum(axis=0)[used] / n * len(used)
    beyond = float((own_changes - references).mean())
    joint, joint_df = _joint(prompts, rows, columns, weights, used)

    def at(level: float) -> Interval:
        if n < 2 or len(used) < 2:
            return Interval(np.nan, np.nan)
        artists = mean_interval(own_changes - references, confidence_level=level)
        names = mean_interval(by_name, confidence_level=level)
        return _combined(beyond, artists, names, joint, joint_df, level)

    return MeanChange(
        change=float(own_changes.mean()),
        placebo_change=float(references.mean()),
        beyond=beyond,
        interval=at(confidence_level),
        pvalue=_assignment(table, columns, placebos, weights, alternative, n_resamples, rng),
        n_artists=n,
        n_placebos=len(used),
        at=at,
    )


@dataclass(frozen=True)
class MeanInterval:
    """The interval of a mean, with the variance and degrees of freedom behind it; they are NaN if it is bounded."""

    estimate: float
    interval: Interval
    variance: float
    df: float


def mean_interval(values: npt.ArrayLike, *, confidence_level: float = 0.95) -> MeanInterval:
    """Compute the interval of the mean of values in [-1, 1], one per unit.

    Parameters
    ----------
    values : array_like, shape (n,), n > 1
    confidence_level : float

    Returns
    -------
    MeanInterval

    Notes
    -----
    Student's t. If at least half of the values are equal and fewer than `FEWEST_DIFFERENT` differ from them, it is too
    narrow, and of zero width if all are equal: ten artists that did not change do not show that no artist changes. The
    deviations from the most frequent value are then split into what is above and what is below it. Each part has values
    in [0, 1], whose mean has the Clopper-Pearson interval of a fractional count of n units: no distribution of values
    in [0, 1] varies more than one of zeros and ones. The two are combined by square and add (Newcombe 1998).

    Examples
    --------
    >>> interval = mean_interval(np.zeros(20)).interval
    >>> round(interval.low, 3), round(interval.high, 3)
    (-0.168, 0.168)
    """
    numbers = np.asarray(values, np.float64)
    n, mean = len(numbers), float(numbers.mean())
    ordered = np.sort(numbers)
    first = np.concatenate([[True], np.diff(ordered) > TIE])
    starts = np.flatnonzero(first)
    counts = np.diff(np.append(starts, n))
    mode, tied = float(ordered[starts[counts.argmax()]]), int(counts.max())
    if tied >= 2 and 2 * tied >= n and n - tied < FEWEST_DIFFERENT:
        parts = [np.clip(sign * (numbers - mode), 0, 1) for sign in (1, -1)]
        up, down = (clopper_pearson(float(part.sum()), n, confidence_level) for part in parts)
        above, below = (float(part.mean()) for part in parts)
        low = mean - math.hypot(above - up.low, down.high - below)
        high = mean + math.hypot(up.high - above, below - down.low)
        return MeanInterval(mean, Interval(max(-1.0, low), min(1.0, high)), np.nan, np.nan)
    variance = float(numbers.var(ddof=1)) / n
    half = float(scipy.stats.t.ppf((1 + confidence_level) / 2, n - 1)) * math.sqrt(variance)
    return MeanInterval(mean, Interval(max(-1.0, mean - half), min(1.0, mean + half)), variance, n - 1)


def _combined(
    estimate: float, artists: MeanInterval, names: MeanInterval, joint: float, joint_df: float, level: float
) -> Interval:
    """Combine the intervals of artists and placebo names with the variance of shared prompts."""
    if not math.isnan(artists.variance + names.variance):
        parts, dfs = [artists.variance, names.variance, joint], [artists.df, names.df, joint_df]
        # With few artists, a variance that is small by chance would be given the degrees of freedom of the others.
        df = satterthwaite(parts, dfs) if min(dfs) >= FEW - 1 else min(dfs)
        half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * math.sqrt(sum(parts))
        return Interval(max(-2.0, estimate - half), min(2.0, estimate + half))
    more = float(scipy.special.ndtri((1 + level) / 2)) * math.sqrt(joint)
    low = math.hypot(artists.estimate - artists.interval.low, names.interval.high - names.estimate, more)
    high = math.hypot(artists.interval.high - artists.estimate, names.estimate - names.interval.low, more)
    return Interval(max(-2.0, estimate - low), min(2.0, estimate + high))


def _joint(
    prompts: npt.ArrayLike | None,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    weights: Float64,
    used: npt.NDArray[np.int64],
) -> tuple[float, float]:
    """Return the variance that shared prompts add, and its degrees of freedom."""
    if prompts is None:
        return 0.0, np.inf
    influence = np.asarray(prompts, np.float64)
    n_prompts, n = len(influence), len(rows)
    if n_prompts < 2 or n < 2:
        return 0.0, np.inf
    own = influence[:, rows, columns]
    references = (weights * influence).sum(axis=2)
    whole = own.mean(axis=1) - references.mean(axis=1)
    more = n_prompts / (n_prompts - 1)
    # What these prompts contribute to the variances over artists and over placebo names.
    of_artists = (own - references).var(axis=1, ddof=1).sum() / n
    by_name = (weights * influence).sum(axis=1)[:, used] / n * len(used)
    of_names = by_name.var(axis=1, ddof=1).sum() / len(used) if len(used) > 1 else 0.0
    extra = more * float((whole**2).sum() - of_artists - of_names)
    return max(0.0, extra), n_prompts - 1.0


def _assignment(
    table: Float64,
    own: npt.NDArray[np.int64],
    placebos: Sequence[Sequence[int]],
    weights: Float64,
    alternative: str,
    n_resamples: int,
    rng: Rng,
) -> float:
    """Return the p-value of random assignments of names to artists and to placebo names."""
    n, n_names = table.shape
    group = _groups(own, placebos, n_names)
    kinds: dict[tuple[int, ...], list[int]] = {}
    for artist, names in enumerate(placebos):
        kinds.setdefault(tuple(sorted(names)), []).append(artist)
    sums = [(np.array(names), table[artists].sum(axis=0) / len(names)) for names, artists in kinds.items()]
    pools = [np.flatnonzero(group == g) for g in np.unique(group[group >= 0])]
    random = np.random.default_rng(rng)
    observed = float((table[np.arange(n), own] - (weights * table).sum(axis=1)).mean())
    null = np.empty(n_resamples)
    step = max(1, _BLOCK // n_names)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        names = np.broadcast_to(np.arange(n_names), (size, n_names)).copy()
        for pool in pools:
            names[:, pool] = random.permuted(np.broadcast_to(pool, (size, len(pool))), axis=1)
        total = table[np.arange(n), names[:, own]].sum(axis=1)
        for used, by_name in sums:
            total -= by_name[names[:, used]].sum(axis=1)
        null[start : start + size] = total / n
    if alternative == "two-sided":
        reached = np.abs(null) >= abs(observed) - TIE
    else:
        reached = null >= observed - TIE if alternative == "greater" else null <= observed + TIE
    return (1 + int(np.count_nonzero(reached))) / (1 + n_resamples)


def _groups(
    own: npt.NDArray[np.int64], placebos: Sequence[Sequence[int]], n_names: int
) -> npt.NDArray[np.int64]:
    """Return the group of each name; -1 for names that no artist uses.

    Placebo names are in one group if the same artists use them. An artist's own name joins the largest group of the
    artist's placebo names: names of another origin, which other artists use, are not exchanged with it.
    """
    users: list[tuple[int, ...]] = [()] * n_names
    for artist, names in enumerate(placebos):
        for name in names:
            users[name] += (artist,)
    numbers: dict[tuple[int, ...], int] = {}
    group = np.array([numbers.setdefault(one, len(numbers)) if one else -1 for one in users])
    for artist, names in enumerate(placebos):
        if len(names):
            group[own[artist]] = np.bincount(group[list(names)]).argmax()
    return group


@dataclass(frozen=True)
class WithinMargin:
    """Result of `within_margin`: p-values of equivalence and of non-inferiority.

    Attributes
    ----------
    margin : float
    p_not_more : float
        p-value of "rises by at least the margin": small if the new release imitates at most that much more.
    p_not_less : float
        p-value of "falls by at least the margin".
    p_equivalent : float
        The larger of the two (two one-sided tests, Schuirmann 1987, doi:10.1007/BF01068419).
    """

    margin: float
    p_not_more: float
    p_not_less: float
    p_equivalent: float


def within_margin(at: Callable[[float], Interval], margin: float) -> WithinMargin:
    """Test whether a mean change is within a margin, by inverting its interval.

    Parameters
    ----------
    at : callable
        Returns the two-sided interval of the change at a confidence level, such as `MeanChange.at`.
    margin : float
        The largest irrelevant change, above 0. Choose it before seeing the data.

    Returns
    -------
    WithinMargin
        NaN without an interval.

    Notes
    -----
    A one-sided p-value is the smallest level p at which the interval of level 1 - 2 p ends before the margin; above
    one half, it is one half or more and is given as 1. For an interval by Student's t this is `tost` of
    `imindex.stats.equivalence`, with the standard error of all three parts.

    Examples
    --------
    >>> values = np.array([0.01, -0.02, 0.0, 0.01, -0.01])
    >>> result = within_margin(lambda level: mean_interval(values, confidence_level=level).interval, 0.05)
    >>> round(result.p_equivalent, 4)
    0.0006
    """
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin is {margin}. Pass the largest irrelevant change, above 0.")
    if math.isnan(at(0.5).low):
        return WithinMargin(margin, np.nan, np.nan, np.nan)
    more = _smallest(lambda level: at(level).high < margin)
    less = _smallest(lambda level: at(level).low > -margin)
    return WithinMargin(margin, more, less, max(more, less))


def _smallest(inside: Callable[[float], bool]) -> float:
    """Return the smallest p for which the interval of level 1 - 2 p is inside, by bisection of its logarithm."""
    low, high = math.log(LEAST), math.log(0.5 - 1e-9)
    if not inside(1 - 2 * math.exp(high)):
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if inside(1 - 2 * math.exp(middle)) else (middle, high)
    return math.exp(high)
