"""Statistics of a panel of raters who choose one of two pictures: shares, tests, agreement, and power.

Choices are arrays of shape (R, T): one row per rater, one column per trial, NaN where a rater did not answer. The two
pictures of a trial are chosen once and shown to all raters, who see the same pixels and may share a taste. Answers to
one trial are therefore not independent, and no test here counts answers: the units are trials, names and artists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.equivalence import finite
from imindex.stats.intervals import Interval, Spread, share_interval
from imindex.stats.keyed import Rng
from imindex.stats.multiple import Method, adjust, called
from imindex.stats.paired import SignFlipTest, sign_flip_test
from imindex.stats.set_scores import Float64

_UNDEFINED = Interval(float("nan"), float("nan"))
_FEWEST_FOR_Z = 4
"""Artists that an interval of a rank correlation needs: its variance has n - 3 in the denominator."""


@dataclass(frozen=True, eq=False)
class ChoiceShare:
    """A share of choices, with an interval for other raters and other trials (or artists) like these.

    Attributes
    ----------
    estimate : float
        Mean over units (trials or artists), each of which is a mean over the raters who answered. NaN without answers.
    interval : Interval
        Within [0, 1]. NaN with a single rater or a single unit.
    n_answers, n_raters, n_units : int
        Numbers of answers, of raters with an answer, and of trials or artists with an answer.
    confidence_level : float
    """

    estimate: float
    interval: Interval
    n_answers: int
    n_raters: int
    n_units: int
    confidence_level: float


def share_of_choices(
    choices: npt.ArrayLike, unit: npt.ArrayLike | None = None, *, confidence_level: float = 0.95
) -> ChoiceShare:
    """Estimate a share of choices, with an interval that takes raters and units as samples.

    Parameters
    ----------
    choices : array_like, shape (R, T)
        From 0 to 1, such as 1 where the rater chose the imitation; NaN where there is no answer.
    unit : array_like, shape (T,), optional
        What each trial belongs to, such as its artist; units weigh the same. By default each trial is a unit.
    confidence_level : float

    Returns
    -------
    ChoiceShare

    Raises
    ------
    ValueError
        If `choices` is not a matrix with values in [0, 1], or `unit` does not have one label per trial.

    Notes
    -----
    Raters and units are crossed: each rater answers trials of all units. The variance is the jackknife variance over
    raters plus that over units, which counts what they contribute together twice and so is conservative (Owen 2007,
    doi:10.1214/07-AOAS122, shows the same of the two-way bootstrap). It is at least that of independent answers. The
    interval is `imindex.stats.intervals.share_interval`.

    `scripts/bench/panel` measures how often it covers the truth.

    Examples
    --------
    >>> share = share_of_choices([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 0, 1]])
    >>> share.estimate, round(share.interval.low, 3), round(share.interval.high, 3)
    (0.75, 0.085, 0.999)
    """
    values = _choices(choices)
    labels = np.arange(values.shape[1]) if unit is None else np.asarray(unit)
    if labels.shape != (values.shape[1],):
        raise ValueError(
            f"unit: expected {values.shape[1]} labels, one per trial, not the shape {labels.shape}."
        )
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    answered = ~np.isnan(values)
    n = int(answered.sum())
    kept = answered.any(axis=0)
    _, units = np.unique(labels[kept], return_inverse=True)
    values, answered = values[answered.any(axis=1)][:, kept], answered[answered.any(axis=1)][:, kept]
    n_raters, n_units = len(values), int(units.max(initial=-1)) + 1
    if not n:
        return ChoiceShare(float("nan"), _UNDEFINED, 0, 0, 0, confidence_level)
    filled = np.where(answered, values, 0.0)
    of_unit = np.eye(n_units)[units]

    def mean(rater_weight: Float64) -> Float64:
        """Return the mean of each unit for each row of weights of raters; NaN if nobody answered it."""
        sums, counts = rater_weight @ filled, rater_weight @ answered
        with np.errstate(invalid="ignore"):
            trials = sums / counts
        known = ~np.isnan(trials)
        with np.errstate(invalid="ignore"):
            out: Float64 = (np.where(known, trials, 0.0) @ of_unit) / (known @ of_unit)
        return out

    of_units = mean(np.ones((1, n_raters)))[0]
    estimate = float(of_units.mean())
    if n_raters < 2 or n_units < 2:
        return ChoiceShare(estimate, _UNDEFINED, n, n_raters, n_units, confidence_level)
    without_rater = np.nanmean(mean(1.0 - np.eye(n_raters)), axis=1)
    without_unit = (of_units.sum() - of_units) / (n_units - 1)
    spread = Spread.of([without_rater, without_unit])
    spread = replace(spread, variance=max(spread.variance, estimate * (1 - estimate) / n))
    interval = share_interval(estimate, spread, confidence_level)
    return ChoiceShare(estimate, interval, n, n_raters, n_units, confidence_level)


@dataclass(frozen=True, eq=False)
class PlaceboTest:
    """Result of `placebo_test`.

    Attributes
    ----------
    statistic : float
        Student's t.
    pvalue : float
        One-sided.
    df : int
        Number of placebo sets.
    sd : float
        Standard deviation of the share of a placebo name in the artist's place.
    """

    statistic: float
    pvalue: float
    df: int
    sd: float


def placebo_test(
    share: float,
    placebo_shares: npt.ArrayLike,
    *,
    n_opponents: int,
    set_size: int,
    n_raters: float,
) -> PlaceboTest:
    """Test whether a name's pictures are chosen more often than those of a placebo name in its place would be.

    Parameters
    ----------
    share : float
        Share of the choices in which the pictures of the name were chosen over those of placebo names: mean over
        opponents.
    placebo_shares : array_like, shape (M,)
        The same for placebo names in the place of an artist: one share per placebo set.
    n_opponents : int
        Number of placebo names that the name was compared with.
    set_size : int
        Number of placebo names that each name of a placebo set was compared with; at most `n_opponents`.
    n_raters : float
        Mean number of answers to a trial.

    Returns
    -------
    PlaceboTest

    Raises
    ------
    ValueError
        If there are no placebo sets, they are larger than that of the name, or a share is not in [0, 1].

    Notes
    -----
    Pictures of a name have a look in common, those of placebo names too, and a look can please the raters by accident
    in all trials of the name at once. So the name is the unit. Let h(X, Y) be the share of a trial less 1/2, for the
    names X and Y. If the name is drawn like placebo names, h is antisymmetric, so its mean is 0, and the mean over T
    opponents has the variance

        c + (v - c) / T,  v = Var h(X, Y),  c = Cov(h(X, Y), h(X, Z)) <= v / 2

    (Hoeffding 1948, doi:10.1214/aoms/1177730196). It falls with T, so that of smaller placebo sets is at least as
    large, and their mean square estimates it, since the mean is known. The p-value is that of Student's t with M
    degrees of freedom. The variance in use is at least that of guessing raters, 1 / (4 R size).

    The test assumes that these means are about normal. Shares are bounded, so their tails are shorter.
    `scripts/bench/panel` measures its level, also where raters agree about names.

    Examples
    --------
    >>> placebos = [0.45, 0.6, 0.5, 0.4, 0.55, 0.48, 0.52, 0.58]
    >>> result = placebo_test(0.8, placebos, n_opponents=8, set_size=5, n_raters=10)
    >>> round(result.statistic, 2), round(result.pvalue, 4), result.df
    (4.24, 0.0014, 8)
    """
    values = finite(placebo_shares, "placebo_shares")
    if not 0 <= share <= 1 or (values < 0).any() or (values > 1).any():
        raise ValueError("share, placebo_shares: a value is not in [0, 1].")
    if not 1 <= set_size <= n_opponents or not n_raters > 0:
        raise ValueError(
            f"set_size is {set_size}, n_opponents {n_opponents}, n_raters {n_raters}. All must be positive, and "
            "placebo sets at most as large as the set of the name."
        )
    variance = max(float(((values - 0.5) ** 2).mean()), 1 / (4 * n_raters * set_size))
    sd = math.sqrt(variance)
    statistic = (share - 0.5) / sd
    return PlaceboTest(statistic, float(scipy.stats.t.sf(statistic, len(values))), len(values), sd)


def half_test(
    shares: npt.ArrayLike, opponent: npt.ArrayLike | None = None, *, n_resamples: int = 9999, rng: Rng = None
) -> SignFlipTest:
    """Test whether the pictures of a name are chosen in more than half of the trials, with trials as units.

    Parameters
    ----------
    shares : array_like, shape (T,)
        Share of the raters who chose the picture of the name, for each trial.
    opponent : array_like, shape (T,), optional
        The name of the other picture. Trials against one name are averaged first, because its pictures have a look in
        common. By default all differ.
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    SignFlipTest
        Of the alternative "greater".

    Raises
    ------
    ValueError
        As `imindex.stats.paired.sign_flip_test`.

    Notes
    -----
    Null hypothesis: the two pictures of a trial are exchangeable, independently of other trials. Then exchanging them
    flips the answers of all raters at once, so the test is exact however much raters agree, whatever their taste, and
    whichever side they prefer. It does not hold if all pictures of the name have a look in common that raters like for
    another reason than the artist; `placebo_test` is for that.

    Examples
    --------
    >>> result = half_test([1.0, 0.8, 0.9, 0.7, 1.0])
    >>> result.pvalue * 2**5
    1.0
    """
    values = finite(shares, "shares") - 0.5
    if opponent is not None:
        _, place = np.unique(np.asarray(opponent), return_inverse=True)
        values = np.bincount(place, values) / np.bincount(place)
    return sign_flip_test(values, alternative="greater", n_resamples=n_resamples, rng=rng)


@dataclass(frozen=True, eq=False)
class Alpha:
    """Agreement among raters.

    Attributes
    ----------
    estimate : float
        Krippendorff's alpha: 1 if all agree, 0 if they agree as by chance. NaN if no trial has two answers, or all
        answers are the same.
    interval : Interval
        Within [-1, 1]. NaN with fewer than 3 raters or trials.
    observed : float
        Probability that two raters of a trial answer alike.
    n_raters, n_trials : int
        Of trials with two answers or more.
    confidence_level : float
    """

    estimate: float
    interval: Interval
    observed: float
    n_raters: int
    n_trials: int
    confidence_level: float


def krippendorff_alpha(values: npt.ArrayLike, *, confidence_level: float = 0.95) -> Alpha:
    """Compute Krippendorff's alpha for nominal values, with an interval.

    Parameters
    ----------
    values : array_like, shape (R, T)
        One row per rater; categories as numbers, and NaN for no answer.
    confidence_level : float

    Returns
    -------
    Alpha

    Raises
    ------
    ValueError
        If `values` is not a matrix.

    Notes
    -----
    Krippendorff 2011, Computing Krippendorff's Alpha-Reliability: 1 - (observed disagreement) / (expected
    disagreement), over pairs of answers to one trial, and of all answers. The interval is normal, with the jackknife
    variances over raters and over trials and Student's t; a bootstrap over raters would draw a rater twice, who agrees
    with himself.

    Examples
    --------
    The example of Krippendorff 2011, section C, with four observers and missing values:

    >>> nan = float("nan")
    >>> a = [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan]
    >>> b = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3]
    >>> c = [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan]
    >>> d = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan]
    >>> round(krippendorff_alpha([a, b, c, d]).estimate, 3)
    0.743
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"values: expected one row per rater, not the shape {table.shape}.")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    table = table[:, (~np.isnan(table)).sum(axis=0) >= 2]
    table = table[(~np.isnan(table)).any(axis=1)]
    n_raters, n_trials = table.shape
    categories = np.unique(table[~np.isnan(table)])
    is_category = (table[None] == categories[:, None, None]).astype(np.float64)  # (C, R, T)
    counts = is_category.sum(axis=1)
    estimate, observed = _alpha(counts)
    interval = _UNDEFINED
    if n_raters > 2 and n_trials > 2 and not math.isnan(estimate):
        without_trial = [_alpha(np.delete(counts, trial, axis=1))[0] for trial in range(n_trials)]
        without_rater = [_alpha(counts - is_category[:, rater])[0] for rater in range(n_raters)]
        if np.isfinite([*without_trial, *without_rater]).all():
            spread = Spread.of([np.array(without_rater), np.array(without_trial)])
            interval = _t_interval(estimate, spread, confidence_level, -1.0)
    return Alpha(estimate, interval, observed, n_raters, n_trials, confidence_level)


def _alpha(counts: Float64) -> tuple[float, float]:
    """Return alpha, and the observed agreement, from the numbers of answers of each category (C, T)."""
    per_trial = counts.sum(axis=0)
    counts, per_trial = counts[:, per_trial >= 2], per_trial[per_trial >= 2]
    n = per_trial.sum()
    if n == 0:
        return float("nan"), float("nan")
    alike = (counts * (counts - 1)).sum(axis=0)
    observed = float((alike / (per_trial - 1)).sum() / n)
    totals = counts.sum(axis=1)
    expected = float((totals * (totals - 1)).sum() / (n * (n - 1)))
    pairs = float((alike / (per_trial * (per_trial - 1))).mean())
    if expected >= 1:
        return float("nan"), pairs
    return 1 - (1 - observed) / (1 - expected), pairs


def _t_interval(estimate: float, spread: Spread, confidence_level: float, least: float) -> Interval:
    wide = float(scipy.stats.t.isf((1 - confidence_level) / 2, spread.df)) * math.sqrt(spread.variance)
    return Interval(max(least, estimate - wide), min(1.0, estimate + wide))


@dataclass(frozen=True, eq=False)
class RankCorrelation:
    """Spearman's correlation of two figures over artists.

    Attributes
    ----------
    estimate : float
        NaN with fewer than 3 artists, or if a figure is the same for all.
    interval : Interval
        NaN with fewer than 4 artists.
    pvalue : float
        Two-sided, by permutation of the artists.
    n : int
    confidence_level : float
    """

    estimate: float
    interval: Interval
    pvalue: float
    n: int
    confidence_level: float


def rank_correlation(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> RankCorrelation:
    """Compute Spearman's rank correlation over artists, with an interval and a permutation test.

    Parameters
    ----------
    x, y : array_like, shape (A,)
        One figure per artist each, such as the share of a panel and the AUC of an audit.
    confidence_level : float
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    RankCorrelation

    Raises
    ------
    ValueError
        If a value is not finite, or the lengths differ.

    Notes
    -----
    The interval is that of Fisher's z with the variance (1 + r**2 / 2) / (n - 3) of Bonett & Wright 2000
    (doi:10.1007/BF02294183). The p-value is (b + 1) / (B + 1); ties count against the finding.

    Examples
    --------
    >>> result = rank_correlation([0.5, 0.6, 0.7, 0.9, 0.8], [0.4, 0.6, 0.5, 0.95, 0.9], rng=0)
    >>> round(result.estimate, 3), round(result.interval.low, 3), result.pvalue < 0.1
    (0.9, -0.169, True)
    """
    first, second = finite(x, "x"), finite(y, "y")
    if len(first) != len(second):
        raise ValueError(f"x has {len(first)} values, y has {len(second)}. Pass one of each per artist.")
    n = len(first)
    if n < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        nan = float("nan")
        return RankCorrelation(nan, _UNDEFINED, nan, n, confidence_level)
    a, b = (_standardised(scipy.stats.rankdata(values)) for values in (first, second))
    estimate = float(a @ b)
    interval = _UNDEFINED
    if n >= _FEWEST_FOR_Z:
        bounded = min(max(estimate, -1 + 1e-12), 1 - 1e-12)
        wide = float(scipy.special.ndtri((1 + confidence_level) / 2)) * math.sqrt(
            (1 + estimate**2 / 2) / (n - 3)
        )
        interval = Interval(math.tanh(math.atanh(bounded) - wide), math.tanh(math.atanh(bounded) + wide))
    random = np.random.default_rng(rng)
    null = random.permuted(np.tile(b, (n_resamples, 1)), axis=1) @ a
    beyond = int(np.count_nonzero(np.abs(null) >= abs(estimate) - 1e-12))
    return RankCorrelation(estimate, interval, (beyond + 1) / (n_resamples + 1), n, confidence_level)


def _standardised(ranks: Float64) -> Float64:
    centred = ranks - ranks.mean()
    out: Float64 = centred / np.linalg.norm(centred)
    return out


@dataclass(frozen=True, eq=False)
class PanelPower:
    """How often a panel finds an artist whose pictures are chosen in a given share of the answers.

    Attributes
    ----------
    share : float
    together : float
        Share of the artists found if all artists are alike.
    alone : float
        The same for a single such artist, if nothing else is found.
    standard_error : float
        Of `together`, over simulated panels.
    """

    share: float
    together: float
    alone: float
    standard_error: float


def panel_power(  # noqa: PLR0913
    shares: Sequence[float],
    *,
    n_artists: int,
    n_trials: int,
    n_raters: int,
    n_placebo_sets: int,
    set_size: int,
    level: float = 0.05,
    method: Method = "bh",
    taste: float = 0.5,
    n_resamples: int = 1999,
    n_panels: int = 100,
    rng: Rng = None,
) -> list[PanelPower]:
    """Simulate how often the two tests of a panel find an artist, after correction over the artists.

    Parameters
    ----------
    shares : sequence of float
        Shares of answers that choose the imitation, between 0 and 1.
    n_artists, n_trials, n_raters : int
        `n_trials` is the number of trials of an artist, each answered by all raters.
    n_placebo_sets, set_size : int
        Placebo names in the place of an artist, and trials of each.
    level : float
    method : {"holm", "bh", "by"}
    taste : float
        Standard deviation, on the probit scale, of what all raters like in a picture for other reasons.
    n_resamples, n_panels : int
    rng : Generator or int, optional

    Returns
    -------
    list of PanelPower

    Notes
    -----
    A rater chooses the first picture with probability Phi(m + u), u normal with variance 2 `taste`**2, drawn once per
    trial. m is 0 for two placebo names, and for an imitation such that the mean probability is the share. An artist is
    found if both `half_test` and `placebo_test` are significant. `alone` compares their p-value with level / n_artists.

    Examples
    --------
    >>> size = dict(n_artists=4, n_trials=8, n_raters=8, n_placebo_sets=8, set_size=5)
    >>> weak, strong = panel_power([0.55, 0.95], **size, n_panels=20, rng=0)
    >>> weak.together < 0.2, strong.together > 0.9
    (True, True)
    """
    random = np.random.default_rng(rng)
    spread = math.sqrt(2) * taste
    out = []
    for share in shares:
        if not 0 < share < 1:
            raise ValueError(f"shares: {share} is not between 0 and 1.")
        m = float(scipy.special.ndtri(share)) * math.sqrt(1 + spread**2)
        found, single = [], []
        for _ in range(n_panels):
            own = _answered(random, m, spread, (n_artists, n_trials), n_raters)
            placebo = _answered(random, 0.0, spread, (n_placebo_sets, set_size), n_raters).mean(axis=1)
            p = np.array([
                max(
                    half_test(trials, n_resamples=n_resamples, rng=random).pvalue,
                    placebo_test(
                        float(trials.mean()), placebo,
                        n_opponents=n_trials, set_size=set_size, n_raters=n_raters,
                    ).pvalue,
                )
                for trials in own
            ])  # fmt: skip
            found.append(float(called(adjust(p, method=method), level=level).mean()))
            single.append(float((p <= level / n_artists).mean()))
        error = float(np.std(found)) / math.sqrt(max(1, n_panels - 1))
        out.append(PanelPower(share, float(np.mean(found)), float(np.mean(single)), error))
    return out


def _answered(
    random: np.random.Generator, m: float, spread: float, shape: tuple[int, ...], n_raters: int
) -> Float64:
    """Draw the share of the raters who choose the first picture, for each trial."""
    chance = scipy.special.ndtr(m + spread * random.standard_normal(shape))
    return np.asarray(random.binomial(n_raters, chance) / n_raters, np.float64)


def _choices(choices: npt.ArrayLike) -> Float64:
    values = np.asarray(choices, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"choices: expected one row per rater and one column per trial, not {values.shape}.")
    if ((values < 0) | (values > 1)).any():
        raise ValueError("choices: a value is not in [0, 1]. Use NaN where a rater did not answer.")
    return values
