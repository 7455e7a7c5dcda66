"""Changes between two releases, measured against the changes of placebo names.

Releases differ in much that has nothing to do with imitation: resolution, colours, a safety filter. Such a drift moves
the pictures of every name. The unit of analysis is therefore the set, all pictures of one name, and the reference is
how the sets of placebo names, which imitate nobody, changed between the same two releases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from imindex.stats.equivalence import MarginTest, margin_test
from imindex.stats.intervals import Interval, Spread, satterthwaite, share_interval
from imindex.stats.keyed import Rng
from imindex.stats.paired import ALTERNATIVES
from imindex.stats.set_scores import Float64, Int64

TIE = 1e-9
"""Changes that differ by at most this are considered equal."""
_POWER = 8
_DRAWN = 2**28
"""Most gathered values in a permutation test; with more sets, fewer resamples are drawn."""


@dataclass(frozen=True, eq=False)
class ChangeTest:
    """Result of `change_test` for A artists.

    Attributes
    ----------
    change : ndarray, shape (A,), float64
        Change of the own set, new minus base.
    placebo_change : ndarray, shape (A,), float64
        Mean change of the comparable placebo sets. NaN without any.
    pvalue : ndarray, shape (A,), float64
        Rank of the own change among those of the placebo sets. NaN without comparable placebo sets.
    low, high : ndarray, shape (A,), float64
        Interval of the own change beyond that of the placebo sets: all shifts that the two-sided test does not reject.
        NaN if there are too few placebo sets for the level.
    n_reference : ndarray, shape (A,), int64
        Number of comparable placebo sets.
    """

    change: Float64
    placebo_change: Float64
    pvalue: Float64
    low: Float64
    high: Float64
    n_reference: Int64

    @property
    def beyond(self) -> Float64:
        """Own change minus the mean change of the placebo sets, shape (A,)."""
        return self.change - self.placebo_change

    @property
    def resolution(self) -> Float64:
        """Smallest possible p-value of each artist, 1 / (1 + n_reference). NaN without references."""
        return np.where(self.n_reference > 0, 1 / (1 + self.n_reference), np.nan)


def change_test(
    changes: npt.ArrayLike,
    own: npt.ArrayLike,
    references: npt.ArrayLike,
    *,
    alternative: str = "two-sided",
    confidence_level: float = 0.95,
) -> ChangeTest:
    """Test for each artist whether the own set changed otherwise than the placebo sets did.

    Parameters
    ----------
    changes : array_like, shape (A, N), float
        Row a, column s: change of the score of set s for artist a, new minus base.
    own : array_like, shape (A,), integers
        Column of each artist's own set.
    references : array_like, shape (A, N), bool
        The comparable placebo sets of each artist: in both releases made by the same design as the own set.
    alternative : {"two-sided", "less", "greater"}
        "greater": the new release imitates the artist more.
    confidence_level : float

    Returns
    -------
    ChangeTest

    Notes
    -----
    Assumption: if the releases differ for this artist's name only as they do for any name, the changes of the own set
    and of the placebo sets are exchangeable. Then P(p <= alpha) <= alpha under any drift. One-sided, p is the rank of
    the own change among all P + 1 changes. Two-sided, it is the rank of its distance from their mean, which treats all
    sets alike, so that the test is exact and its p can be as small as 1 / (P + 1). Ties count against the finding.

    Not covered: where a release imitates an artist, and no release changed, pictures of new seeds can vary more than
    those of placebo names do. `imindex.retrieval.compare` therefore also requires that an exchange of the artist's
    pictures between the releases is significant.

    Examples
    --------
    >>> changes = np.concatenate([[0.9], np.linspace(-0.1, 0.3, 19)])[None]
    >>> result = change_test(changes, [0], [[False] + [True] * 19])
    >>> result.pvalue.tolist(), result.beyond.round(3).tolist()
    ([0.05], [0.8])
    """
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative is {alternative!r}. Pass one of {', '.join(ALTERNATIVES)}.")
    table, columns = np.asarray(changes, np.float64), np.asarray(own, np.int64)
    usable = np.asarray(references, np.bool_)
    if table.ndim != 2 or usable.shape != table.shape or columns.shape != (len(table),):
        raise ValueError(
            f"changes, own and references: the shapes {table.shape}, {columns.shape} and {usable.shape} do not agree."
        )
    n = len(table)
    change, mean, p, low, high = (np.full(n, np.nan) for _ in range(5))
    n_reference = np.zeros(n, np.int64)
    for artist in range(n):
        change[artist] = table[artist, columns[artist]]
        used = usable[artist].copy()
        used[columns[artist]] = False
        placebos = table[artist, used]
        placebos = placebos[~np.isnan(placebos)]
        n_reference[artist] = len(placebos)
        if not len(placebos) or np.isnan(change[artist]):
            continue
        mean[artist] = placebos.mean()
        p[artist] = _rank(change[artist], placebos, alternative)
        low[artist], high[artist] = _inverted(change[artist], placebos, 1 - confidence_level)
    return ChangeTest(change, mean, p, low, high, n_reference)


def _rank(own: float, placebos: Float64, alternative: str) -> float:
    if alternative == "greater":
        reached = np.count_nonzero(placebos >= own - TIE)
    elif alternative == "less":
        reached = np.count_nonzero(placebos <= own + TIE)
    else:
        center = (own + placebos.sum()) / (1 + len(placebos))
        reached = np.count_nonzero(np.abs(placebos - center) >= abs(own - center) - TIE)
    return float((1 + reached) / (1 + len(placebos)))


def _inverted(own: float, placebos: Float64, level: float) -> tuple[float, float]:
    """Return the smallest and the largest shift of the own change that the two-sided test does not reject.

    The p-value of a shifted change x = own - shift is a step function of x. A placebo change d is as far from the mean
    of all as x is where x = d or x = (2 S - (P + 1) d) / (P - 1), with S the sum of the P placebo changes.
    """
    n, total = len(placebos), float(placebos.sum())
    if (1 + 1e-9) * level < 1 / (n + 1) or n < 2:
        return math.nan, math.nan
    steps = np.unique(np.concatenate([placebos, (2 * total - (n + 1) * placebos) / (n - 1)]))
    kept = [x for x in steps.tolist() if _rank(x, placebos, "two-sided") > level * (1 + 1e-9)]
    if not kept:
        return math.nan, math.nan
    return own - max(kept), own - min(kept)


@dataclass(frozen=True, eq=False)
class MeanChange:
    """Result of `mean_change`: the mean over artists of the own change beyond that of the placebo names.

    Attributes
    ----------
    estimate : float
    interval : Interval
        Student's t with Satterthwaite's degrees of freedom. NaN with one artist or one placebo name.
    standard_error, df : float
    pvalue : float
        (b + 1) / (B + 1) over random assignments of names to artists. NaN without placebo names.
    n_artists, n_placebos, n_resamples : int
    """

    estimate: float
    interval: Interval
    standard_error: float
    df: float
    pvalue: float
    n_artists: int
    n_placebos: int
    n_resamples: int

    def within(self, margin: float, confidence_level: float = 0.95) -> MarginTest:
        """Test whether the mean change beyond placebo names is within a margin; see `imindex.stats.equivalence`."""
        return margin_test(
            self.estimate, self.standard_error, self.df, margin, confidence_level, n=self.n_artists
        )


def mean_change(  # noqa: PLR0913
    changes: npt.ArrayLike,
    own: npt.ArrayLike,
    placebos: npt.ArrayLike,
    *,
    alternative: str = "two-sided",
    confidence_level: float = 0.95,
    prompt_variance: float = 0.0,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> MeanChange:
    """Estimate and test the mean over artists of the change beyond that of placebo names.

    Parameters
    ----------
    changes : array_like, shape (A, N), float
        Row a, column s: change of the score of set s for artist a, new minus base. No NaN in the columns of own sets
        and placebo names.
    own : array_like, shape (A,), integers
        Column of each artist's own set.
    placebos : array_like of int
        Columns of the placebo names.
    alternative : {"two-sided", "less", "greater"}
    confidence_level : float
    prompt_variance : float
        Variance that the prompts shared by all artists add to the mean, for the interval.
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    MeanChange

    Notes
    -----
    Let E[a, s] be the change less the mean of its row over own sets and placebo names, and C[s] the mean of column s
    of E. The estimate is the mean over artists of E[a, own] minus the mean over placebo names of C. Its variance is
    var(E[a, own]) / A + var(C) / P: artists and placebo names are samples. The statistic of the test is the estimate
    divided by its standard error.

    Reference distribution: the same with the A + P names assigned at random to artists and to the placebos' places.
    Assumption: if the releases differ for real names only as they do for placebo names, all names are exchangeable; the
    test is then exact under any drift. Because the statistic is studentised, the test is also right for many artists if
    the changes of real names vary more or less than those of placebo names, but have the same mean (Janssen 1997,
    doi:10.1016/S0167-7152(97)00043-6).

    Examples
    --------
    >>> drift = np.random.default_rng(1).normal(0.1, 0.05, (10, 30))
    >>> result = mean_change(drift, range(10), range(10, 30), n_resamples=999, rng=1)
    >>> abs(result.estimate) < 0.05, result.pvalue > 0.05
    (True, True)
    """
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative is {alternative!r}. Pass one of {', '.join(ALTERNATIVES)}.")
    columns, references = np.asarray(own, np.int64), np.asarray(list(placebos), np.int64)  # type: ignore[arg-type]
    table = np.asarray(changes, np.float64)[:, np.concatenate([columns, references])]
    n, k = len(columns), len(references)
    nothing = Interval(math.nan, math.nan)
    if not n or not k or np.isnan(table).any():
        return MeanChange(math.nan, nothing, math.nan, math.nan, math.nan, n, k, 0)
    centred = table - table.mean(axis=1, keepdims=True)
    mean = centred.mean(axis=0)
    artists = np.arange(n)

    def statistic(names: Int64) -> tuple[Float64, Float64, Float64]:
        """Return the estimate and its two variances, for rows of permuted names."""
        mine, others = centred[artists, names[:, :n]], mean[names[:, n:]]
        variances = (
            values.var(axis=1, ddof=1) / values.shape[1]
            if values.shape[1] > 1
            else np.full(len(values), np.nan)
            for values in (mine, others)
        )
        return mine.mean(axis=1) - others.mean(axis=1), *variances

    estimate, of_artists, of_placebos = (float(values[0]) for values in statistic(np.arange(n + k)[None]))
    error, df, interval, p, drawn = math.nan, math.nan, nothing, math.nan, 0
    if min(n, k) > 1:
        variance = of_artists + of_placebos + prompt_variance
        error = math.sqrt(variance)
        df = satterthwaite((of_artists, of_placebos), (n - 1, k - 1))
        half = float(stats.t.ppf((1 + confidence_level) / 2, df)) * error
        interval = Interval(estimate - half, estimate + half)
        random, drawn = np.random.default_rng(rng), max(99, min(n_resamples, _DRAWN // (n + k)))
        own_variance = of_artists + of_placebos
        observed = estimate / math.sqrt(own_variance) if own_variance > 0 else math.inf * np.sign(estimate)
        null = []
        step = max(1, 2**22 // (n + k))
        for start in range(0, drawn, step):
            names = np.argsort(random.random((min(step, drawn - start), n + k)), axis=1)
            found, first, second = statistic(names)
            with np.errstate(divide="ignore", invalid="ignore"):
                null.append(
                    np.nan_to_num(found / np.sqrt(first + second), nan=0.0, posinf=math.inf, neginf=-math.inf)
                )
        p = _tail(np.concatenate(null), 0.0 if math.isnan(observed) else float(observed), alternative)
    return MeanChange(estimate, interval, error, df, p, n, k, drawn)


def _tail(null: Float64, observed: float, alternative: str) -> float:
    if alternative == "two-sided":
        null, observed = np.abs(null), abs(observed)
    if alternative == "less":
        null, observed = -null, -observed
    room = TIE * max(1.0, abs(observed)) if math.isfinite(observed) else 0.0
    return float((1 + np.count_nonzero(null >= observed - room)) / (1 + len(null)))


def change_interval(values: npt.ArrayLike, spread: Spread, confidence_level: float = 0.95) -> Interval:
    """Compute a confidence interval of the mean over artists of a change of a share.

    Parameters
    ----------
    values : array_like, shape (A,), float
        Change of each artist, from -1 to 1.
    spread : Spread
        Variance of their mean.
    confidence_level : float

    Returns
    -------
    Interval
        Within [-1, 1]. Never of zero width. NaN with one artist.

    Notes
    -----
    Without ties: Student's t. If most artists did not change at all, a sample may hold none of those that did, and
    shows no spread. Rises and falls are then bounded like shares, which they are: each by
    `imindex.stats.intervals.share_interval`, combined by square and add (Newcombe 1998; MOVER, Zou & Donner 2008,
    doi:10.1002/sim.3095). The two half-widths are averaged, with x**8 as the weight of the latter, where x is the share
    of artists without any change. The power 8 is a choice: of the powers 1, 2, 4, 8 and 16, the largest (and so the
    narrowest interval) that covers in at least 94 % at a nominal 95 % in all worlds of `scripts/bench/release_changes`.

    Examples
    --------
    >>> same = change_interval(np.zeros(20), Spread(0.0, 19, 20))
    >>> round(same.low, 3), round(same.high, 3)
    (-0.168, 0.168)
    """
    changes = np.asarray(values, np.float64)
    n, estimate = len(changes), float(changes.mean())
    if n < 2 or math.isnan(spread.variance):
        return Interval(math.nan, math.nan)
    weight = float(np.mean(np.abs(changes) <= TIE)) ** _POWER
    half = float(stats.t.ppf((1 + confidence_level) / 2, spread.df)) * math.sqrt(spread.variance)
    below = above = half
    if weight:
        parts = np.maximum(changes, 0), np.maximum(-changes, 0)
        variances = [float(part.var(ddof=1)) / n for part in parts]
        own = sum(variances)
        scale = max(1.0, spread.variance / own) if own > 0 else 1.0
        rise, fall = (
            share_interval(
                float(part.mean()), Spread(scale * variance, spread.df, spread.n_units), confidence_level
            )
            for part, variance in zip(parts, variances, strict=True)
        )
        up, down = float(parts[0].mean()), float(parts[1].mean())
        below = (1 - weight) * half + weight * math.hypot(up - rise.low, fall.high - down)
        above = (1 - weight) * half + weight * math.hypot(rise.high - up, down - fall.low)
    return Interval(max(-1.0, estimate - below), min(1.0, estimate + above))
