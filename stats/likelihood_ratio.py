"""Likelihood ratios from scores: calibration, the largest values that the data support, and validation.

A likelihood ratio compares two propositions about the origin of a picture, or of a set of pictures from one source: it
was made by asking for this artist (H1), or by asking for another name (H2). It is the probability density of the
observed score under H1 divided by that under H2. It is a statement about the score given each proposition, and never
the probability of a proposition. It says nothing about what a model was trained on.

`Trials` holds the scores of pictures whose origin is known. `calibrate` learns the function from score to likelihood
ratio. `cross_calibrated` does so for each artist from the other artists only, and `validate` measures how well these
likelihood ratios do. `likelihood_ratio` evaluates a questioned score, with an interval.

All likelihood ratios are logarithms to the base 10 in this module: 0 is neutral, 1 is a likelihood ratio of 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import Spread, share_interval
from imindex.stats.set_scores import Float64, Int64

PENALTY = 0.1
"""Precision of the normal prior of the slope, per standard deviation of the score and counted in artists.

A choice: of 0.01, 0.1, 0.3 and 1, the largest at which likelihood ratios of 24 and of 8 artists are hardly shrunk.
"""
TIE = 1e-9
"""Costs that differ by less are equal."""
LEAST_ARTISTS = 5
"""Fewest artists from whose pictures a likelihood ratio is calibrated."""
_STEPS = 100
_CONVERGED = 1e-10

ENFSI = (
    (2.0, "no support for either proposition"),
    (10.0, "weak support"),
    (100.0, "moderate support"),
    (1_000.0, "moderately strong support"),
    (10_000.0, "strong support"),
    (1_000_000.0, "very strong support"),
    (math.inf, "extremely strong support"),
)
"""Verbal scale of ENFSI (2015, Guideline for Evaluative Reporting in Forensic Science): likelihood ratios below."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Scores of pictures whose origin is known, each for one artist.

    Attributes
    ----------
    score : ndarray, shape (n,), float64
        Score of a picture, or mean score of a group of pictures from one source. Higher is more like the artist.
    artist : ndarray, shape (n,), int64
        Number of the artist whose works were compared.
    source : ndarray, shape (n,), int64
        Number of the name that was asked for: an artist's own number, or another number for any other name. H1 holds
        where it equals `artist`.
    """

    score: Float64
    artist: Int64
    source: Int64

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        """Where H1 holds: the picture was made by asking for this artist."""
        return np.asarray(self.artist == self.source)

    @property
    def artists(self) -> Int64:
        """Numbers of the artists with trials under H1, ascending."""
        return np.unique(self.artist[self.same])

    @property
    def others(self) -> Int64:
        """Numbers of the names asked for in trials under H2, ascending."""
        return np.unique(self.source[~self.same])

    def part(self, rows: npt.NDArray[np.generic]) -> Trials:
        """Return some of the trials, by a mask or by their numbers."""
        return Trials(self.score[rows], self.artist[rows], self.source[rows])

    def without(self, artist: int) -> Trials:
        """Return the trials in which an artist takes no part: neither the works, nor the pictures asked for by name."""
        return self.part((self.artist != artist) & (self.source != artist))


def trials(score: npt.ArrayLike, artist: npt.ArrayLike, source: npt.ArrayLike) -> Trials:
    """Check trials.

    Parameters
    ----------
    score : array_like, shape (n,)
    artist, source : array_like, shape (n,), integers
        See `Trials`.

    Returns
    -------
    Trials

    Raises
    ------
    ValueError
        Shapes disagree, a score is not finite, or one of the hypotheses has no trial.

    Examples
    --------
    >>> trials([2.0, 0.5, -1.0], [0, 0, 0], [0, 1, 2]).same.tolist()
    [True, False, False]
    """
    values = np.asarray(score, np.float64)
    of, asked = np.asarray(artist, np.int64), np.asarray(source, np.int64)
    if values.ndim != 1 or not values.shape == of.shape == asked.shape:
        raise ValueError(
            f"score, artist, source: shapes {values.shape}, {of.shape} and {asked.shape} differ."
        )
    if not np.isfinite(values).all():
        raise ValueError("score: a value is not finite. Leave out pictures without a vector.")
    checked = Trials(values, of, asked)
    if not checked.same.any() or checked.same.all():
        missing = (
            "H2 (pictures of other names)" if len(values) and checked.same.all() else "H1 (own pictures)"
        )
        raise ValueError(f"trials: none under {missing}. Both propositions need pictures of known origin.")
    return checked


def weights(known: Trials, artist: Float64 | None = None, source: Float64 | None = None) -> Float64:
    """Return the weight of each trial: 1 in total for H1 and for H2, and the same for each artist in both.

    Parameters
    ----------
    known : Trials
    artist, source : ndarray, shape (largest number + 1,), float64, optional
        Weights of artists and of names, by number; 0 leaves one out. By default all are 1.

    Returns
    -------
    ndarray, shape (n,), float64
        Within an artist, each name weighs the same, and within a name each trial. NaN if nothing is left of H1 or H2.

    Examples
    --------
    >>> weights(trials([1, 2, 0, 0, 0.0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 2])).tolist()
    [0.5, 0.5, 0.25, 0.25, 0.5]
    """
    size = int(max(known.artist.max(), known.source.max())) + 1
    of_artist = np.ones(size) if artist is None else artist
    of_source = np.ones(size) if source is None else source
    same = known.same
    pair = known.artist * size + known.source
    within = np.where(same, 1.0, of_source[known.source]) / np.bincount(pair)[pair]
    out = np.empty(len(within))
    for rows in (same, ~same):
        total = np.bincount(known.artist[rows], within[rows], minlength=size)
        share = np.divide(of_artist, total, out=np.zeros(size), where=total > 0)
        part = within[rows] * share[known.artist[rows]]
        out[rows] = part / part.sum() if part.sum() > 0 else np.nan
    return out


def _without_each(known: Trials) -> tuple[list[Float64], list[Float64]]:
    """Return the weights without each artist in turn, and without each name that is no artist's."""
    size = int(max(known.artist.max(), known.source.max())) + 1
    artists = np.unique(known.artist)
    names = np.setdiff1d(known.source, artists)
    by_artist: list[Float64] = []
    by_name: list[Float64] = []
    for units, out in ((artists, by_artist), (names, by_name)):
        for unit in units.tolist():
            kept = np.ones(size)
            kept[unit] = 0
            out.append(weights(known, kept, kept))
    return by_artist, by_name


# Measures


def cllr(
    same: npt.ArrayLike,
    different: npt.ArrayLike,
    weight_same: npt.ArrayLike | None = None,
    weight_different: npt.ArrayLike | None = None,
) -> float:
    """Compute the log-likelihood-ratio cost: 0 is perfect, and 1 is what a likelihood ratio of 1 always costs.

    Parameters
    ----------
    same, different : array_like, shape (n,), (m,)
        log10 likelihood ratios of trials under H1 and under H2.
    weight_same, weight_different : array_like, optional
        Weights, each normalised to a sum of 1.

    Returns
    -------
    float
        In bits.

    Notes
    -----
    Source: Brümmer & du Preez 2006, doi:10.1016/j.csl.2005.08.001. The mean of log2(1 + 1/LR) under H1 and of
    log2(1 + LR) under H2, halved and added. A system that misleads costs more than 1.

    Examples
    --------
    >>> cllr([0.0], [0.0]), round(cllr([1.0], [-1.0]), 4)
    (1.0, 0.1375)
    """
    one, two = (np.asarray(values, np.float64) * np.log(10) for values in (same, different))
    if not len(one) or not len(two):
        raise ValueError("cllr: there must be trials under both propositions.")
    costs = np.logaddexp(0, -one), np.logaddexp(0, two)
    means = [
        float(np.average(cost, weights=None if weight is None else np.asarray(weight, np.float64)))
        for cost, weight in zip(costs, (weight_same, weight_different), strict=True)
    ]
    return sum(means) / 2 / math.log(2)


def pav(score: npt.ArrayLike, same: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> Float64:
    """Return the log10 likelihood ratios that fit trials best among those that never fall with the score.

    Parameters
    ----------
    score : array_like, shape (n,)
    same : array_like, shape (n,), bool
    weight : array_like, shape (n,), optional
        Normalised to a sum of 1 for each proposition.

    Returns
    -------
    ndarray, shape (n,), float64
        Infinite where only one proposition has trials. Ties of the score share one value.

    Notes
    -----
    Pool adjacent violators (Zadrozny & Elkan 2002; Brümmer & du Preez 2006). The result is optimal for the trials that
    it is fitted to: it serves to draw, and to split a cost, and is not used for questioned pictures.

    Examples
    --------
    >>> pav([1, 2, 3, 4.0], [False, True, False, True]).tolist()
    [-inf, 0.0, 0.0, inf]
    """
    truth = np.asarray(same, np.bool_)
    mass = np.ones(len(truth)) if weight is None else np.asarray(weight, np.float64)
    _, place = np.unique(np.asarray(score, np.float64), return_inverse=True)
    fitted = _pooled(place, truth, mass)[2]
    with np.errstate(divide="ignore"):
        ratio = np.log10(fitted) - np.log10(1 - fitted)
    return np.asarray(ratio[place])


def _pooled(place: Int64, truth: npt.NDArray[np.bool_], mass: Float64) -> tuple[Float64, Float64, Float64]:
    """Return the shares of trials under H1 and under H2 at each place, and the isotonic probability of H1."""
    size = int(place.max()) + 1
    one, two = (np.bincount(place, mass * rows, minlength=size) for rows in (truth, ~truth))
    one, two = one / one.sum(), two / two.sum()
    used = one + two > 0
    fitted = np.full(size, np.nan)
    fitted[used] = scipy.optimize.isotonic_regression(
        one[used] / (one + two)[used], weights=(one + two)[used]
    ).x.clip(0, 1)
    fitted[np.abs(fitted - 1) < 1e-12] = 1
    fitted[fitted < 1e-12] = 0
    return one, two, fitted


def cllr_min(score: npt.ArrayLike, same: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
    """Compute the cost that is left after the best monotone calibration: what discrimination alone costs.

    Parameters
    ----------
    score, same, weight
        As for `pav`. Scores or log10 likelihood ratios give the same result.

    Returns
    -------
    float
        At most 1. `cllr` minus this is the calibration loss.

    Examples
    --------
    >>> cllr_min([1, 2, 3, 4.0], [False, True, False, True])
    0.5
    >>> cllr_min([1, 2, 3, 4.0], [False, False, True, True])
    0.0
    """
    truth = np.asarray(same, np.bool_)
    mass = np.ones(len(truth)) if weight is None else np.asarray(weight, np.float64)
    return _least_cost(np.unique(np.asarray(score, np.float64), return_inverse=True)[1], truth, mass)


def _least_cost(place: Int64, truth: npt.NDArray[np.bool_], mass: Float64) -> float:
    one, two, fitted = _pooled(place, truth, mass)
    used = ~np.isnan(fitted)
    bits = scipy.special.xlogy(one[used], fitted[used]) + scipy.special.xlogy(two[used], 1 - fitted[used])
    return max(0.0, -float(bits.sum()) / 2 / math.log(2))


def equal_error_rate(score: npt.ArrayLike, same: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
    """Compute the error rate of the threshold at which both errors are equally frequent, on the convex hull of the ROC.

    Parameters
    ----------
    score, same, weight
        As for `pav`.

    Examples
    --------
    >>> equal_error_rate([1, 2, 3, 4.0], [False, True, False, True])
    0.25
    """
    truth = np.asarray(same, np.bool_)
    mass = np.ones(len(truth)) if weight is None else np.asarray(weight, np.float64)
    ratio = pav(score, truth, mass)
    one, two = mass * truth / mass[truth].sum(), mass * ~truth / mass[~truth].sum()
    _, place = np.unique(ratio, return_inverse=True)
    missed = np.concatenate([[0.0], np.cumsum(np.bincount(place, one))])
    accepted = 1 - np.concatenate([[0.0], np.cumsum(np.bincount(place, two))])
    right = int(np.argmax(missed >= accepted))
    gap = missed - accepted
    share = -gap[right - 1] / (gap[right] - gap[right - 1])
    return float(missed[right - 1] + share * (missed[right] - missed[right - 1]))


@dataclass(frozen=True, eq=False)
class Tippett:
    """Curves of Tippett et al. 1968: how often a likelihood ratio exceeds a value.

    Attributes
    ----------
    log10_lr : ndarray, shape (k,), float64
        Ascending.
    same, different : ndarray, shape (k,), float64
        Share of trials under H1 and under H2 with a likelihood ratio above the value.
    """

    log10_lr: Float64
    same: Float64
    different: Float64


def tippett(
    same: npt.ArrayLike,
    different: npt.ArrayLike,
    weight_same: npt.ArrayLike | None = None,
    weight_different: npt.ArrayLike | None = None,
) -> Tippett:
    """Compute Tippett curves.

    Parameters
    ----------
    same, different, weight_same, weight_different
        As for `cllr`.

    Returns
    -------
    Tippett
        At each value that occurs. Between two of them, the curves do not change.

    Examples
    --------
    >>> curves = tippett([0.5, 1.0], [-1.0, 0.5])
    >>> curves.log10_lr.tolist(), curves.same.tolist(), curves.different.tolist()
    ([-1.0, 0.5, 1.0], [1.0, 0.5, 0.0], [0.5, 0.0, 0.0])
    """
    one, two = np.asarray(same, np.float64), np.asarray(different, np.float64)
    values, place = np.unique(np.concatenate([one, two]), return_inverse=True)
    shares: list[Float64] = []
    for rows, weight in ((place[: len(one)], weight_same), (place[len(one) :], weight_different)):
        mass = np.ones(len(rows)) if weight is None else np.asarray(weight, np.float64)
        below = np.cumsum(np.bincount(rows, mass / mass.sum(), minlength=len(values)))
        shares.append(np.clip(1.0 - below, 0.0, 1.0).astype(np.float64))
    shares = [np.where(share < 1e-12, 0.0, share) for share in shares]
    return Tippett(values, shares[0], shares[1])


# Calibration


@dataclass(frozen=True)
class Calibration:
    """A function from score to log10 likelihood ratio: `intercept` + `slope` x score, within bounds.

    Attributes
    ----------
    intercept, slope : float
        The slope is at least 0.
    low, high : float
        Bounds: at most 0, and at least 0.
    n_artists, n_others : int
        Number of artists under H1, and of other names under H2, that it is calibrated with.
    """

    intercept: float
    slope: float
    low: float
    high: float
    n_artists: int
    n_others: int

    def log10_lr(self, score: npt.ArrayLike) -> Float64:
        """Return the log10 likelihood ratio of scores, within the bounds."""
        return np.clip(self.unbounded(score), self.low, self.high)

    def unbounded(self, score: npt.ArrayLike) -> Float64:
        """Return the log10 likelihood ratio of scores without the bounds."""
        return np.asarray(self.intercept + self.slope * np.asarray(score, np.float64))


def calibrate(known: Trials, *, penalty: float = PENALTY) -> Calibration:
    """Learn the likelihood ratio of a score from trials.

    Parameters
    ----------
    known : Trials
        Of at least `LEAST_ARTISTS` artists, and as many other names.
    penalty : float
        Precision of the prior of the slope. 0 does not regularise, and has no finite solution where scores separate the
        propositions.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        There are too few artists or names, or the penalty is negative.

    Notes
    -----
    Logistic regression with both propositions weighing the same, so that the log odds are log likelihood ratios
    (Brümmer & du Preez 2006; Morrison 2013, doi:10.1080/00450618.2012.733025). Each artist weighs the same, however
    many pictures there are. The penalty is `penalty` / 2 times the square of the slope per standard deviation of the
    score, beside a likelihood in which each artist counts once under each proposition: little data shrink likelihood
    ratios towards 1 (Morrison & Poh 2018, doi:10.1016/j.scijus.2017.12.005). A slope below 0 is set to 0: such scores
    are no evidence.

    The bounds are those of `elub` for the trials, with the artists as the units under H1, and under H2 the artists or
    the other names, whichever are fewer: two trials of one artist or of one name are not independent.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> artist = np.repeat(np.arange(40), 2)
    >>> source = np.where(np.arange(80) % 2, artist, 100 + artist)
    >>> score = random.normal(np.where(artist == source, 2.0, 0.0))
    >>> learned = calibrate(trials(score, artist, source))
    >>> learned.log10_lr([-1.0, 1.0, 3.0, 9.0]).round(1).tolist()
    [-1.2, 0.1, 1.0, 1.0]
    """
    return _calibrate(known, weights(known), len(known.artists), len(known.others), penalty)


def _calibrate(known: Trials, weight: Float64, n_artists: int, n_others: int, penalty: float) -> Calibration:
    for n, what in ((n_artists, "artists with pictures of their own name"), (n_others, "other names")):
        if n < LEAST_ARTISTS:
            raise ValueError(
                f"trials: {n} {what}, and {LEAST_ARTISTS} are needed to calibrate. Add pictures of further names."
            )
    if not penalty >= 0:
        raise ValueError(f"penalty is {penalty}. It must be at least 0; {PENALTY:g} is usual.")
    same = known.same
    intercept, slope = _fit(known.score, same, weight, n_artists, penalty)
    ratio = (intercept + slope * known.score) / math.log(10)
    low, high = elub(
        ratio[same], ratio[~same], weight[same], weight[~same],
        n_same=n_artists, n_different=min(n_artists, n_others),
    )  # fmt: skip
    return Calibration(intercept / math.log(10), slope / math.log(10), low, high, n_artists, n_others)


def _fit(
    score: Float64,
    same: npt.NDArray[np.bool_],
    weight: Float64,
    n_artists: int,
    penalty: float,
) -> tuple[float, float]:
    """Return intercept and slope of the weighted, penalised logistic regression, by Newton's method."""
    centre, scale = _centre_and_scale(score, weight)
    if not scale > 1e-12 * max(1.0, abs(centre)):
        return 0.0, 0.0
    x, sign = (score - centre) / scale, np.where(same, 1.0, -1.0)
    mass = n_artists * weight
    theta = np.zeros(2)

    def loss(at: Float64) -> float:
        return float(mass @ np.logaddexp(0, -sign * (at[0] + at[1] * x))) + penalty / 2 * float(at[1]) ** 2

    value = loss(theta)
    for _ in range(_STEPS):
        p = scipy.special.expit(theta[0] + theta[1] * x)
        residual, curvature = mass * (p - same), mass * p * (1 - p)
        gradient = np.array([residual.sum(), residual @ x + penalty * theta[1]])
        off = float(curvature @ x)
        hessian = np.array([[curvature.sum(), off], [off, curvature @ x**2 + penalty]])
        hessian[np.diag_indices(2)] += 1e-12
        step = np.linalg.solve(hessian, gradient)
        decrement = float(gradient @ step)
        size = 1.0
        while (new := loss(theta - size * step)) > value - 1e-4 * size * decrement and size > 1e-8:
            size /= 2
        if size > 1e-8:
            theta, value = theta - size * step, new
        if decrement < _CONVERGED or size <= 1e-8:
            break
    if theta[1] <= 0:
        return 0.0, 0.0
    slope = float(theta[1]) / scale
    return float(theta[0]) - slope * centre, slope


def _centre_and_scale(score: Float64, weight: Float64) -> tuple[float, float]:
    centre = float(weight @ score) / 2
    return centre, math.sqrt(float(weight @ (score - centre) ** 2) / 2)


def elub(
    same: npt.ArrayLike,
    different: npt.ArrayLike,
    weight_same: npt.ArrayLike | None = None,
    weight_different: npt.ArrayLike | None = None,
    *,
    n_same: int | None = None,
    n_different: int | None = None,
) -> tuple[float, float]:
    """Compute the empirical lower and upper bound of likelihood ratios.

    Parameters
    ----------
    same, different, weight_same, weight_different
        As for `cllr`.
    n_same, n_different : int, optional
        Number of independent units under H1 and H2. By default each trial is one.

    Returns
    -------
    low, high : float
        log10 likelihood ratios; low is at most 0, and high at least 0.

    Notes
    -----
    Vergeer, van Es, de Jongh, Alberink & Stoel 2016, doi:10.1016/j.scijus.2016.06.003. A likelihood ratio is used to
    decide: H1 is accepted if it exceeds the threshold t, which costs P(LR <= t | H1) + t P(LR > t | H2). Without
    evidence the cost is min(1, t). The bounds enclose the range of thresholds around 1 in which the evidence costs no
    more than that, even if one more unit under each proposition had misled. Without an error among n units the upper
    bound is n, and the lower one 1 / n: no likelihood ratio exceeds what n units can support.

    Examples
    --------
    >>> low, high = elub([3.0] * 20, [-3.0] * 20)
    >>> round(10**high, 6), round(10**-low, 6)
    (20.0, 20.0)
    """
    one, two = np.asarray(same, np.float64), np.asarray(different, np.float64)
    w1 = np.ones(len(one)) if weight_same is None else np.asarray(weight_same, np.float64)
    w2 = np.ones(len(two)) if weight_different is None else np.asarray(weight_different, np.float64)
    n1, n2 = len(one) if n_same is None else n_same, len(two) if n_different is None else n_different
    w1, w2 = w1 / w1.sum(), w2 / w2.sum()
    return -_upper_bound(-two, -one, w2, w1, n2, n1), _upper_bound(one, two, w1, w2, n1, n2)


def _upper_bound(one: Float64, two: Float64, w1: Float64, w2: Float64, n1: int, n2: int) -> float:
    """Return the first threshold above 1 at which evidence with one more error costs more than no evidence."""
    edges, place = np.unique(np.maximum(np.concatenate([one, two]), 0.0), return_inverse=True)
    missed = np.cumsum(np.bincount(place[: len(one)], w1, minlength=len(edges)))
    false = 1 - np.cumsum(np.bincount(place[len(one) :], w2, minlength=len(edges)))
    if edges[0] > 0:
        edges = np.concatenate([[0.0], edges])
        missed, false = np.concatenate([[0.0], missed]), np.concatenate([[1.0], false])
    p1, p2 = (n1 * missed + 1) / (n1 + 1), (n2 * np.maximum(false, 0.0) + 1) / (n2 + 1)
    with np.errstate(divide="ignore"):
        limit = np.log10(np.maximum(1 - p1, 0.0) / p2)
    begins = np.maximum(edges, limit)
    violated = begins < np.append(edges[1:], np.inf)
    return float(max(0.0, begins[violated].min()))


# Validation


@dataclass(frozen=True, eq=False)
class CrossCalibrated:
    """Likelihood ratios of trials, each from a calibration in which its artist takes no part.

    Attributes
    ----------
    trials : Trials
        Those of artists that have trials under H1.
    log10_lr : ndarray, shape (n,), float64
    by_artist : dict from int to Calibration
    """

    trials: Trials
    log10_lr: Float64
    by_artist: dict[int, Calibration]


def cross_calibrated(known: Trials, *, penalty: float = PENALTY) -> CrossCalibrated:
    """Compute the likelihood ratio of each trial from a calibration on the other artists.

    Parameters
    ----------
    known : Trials
        Of more than `LEAST_ARTISTS` artists.
    penalty : float
        As for `calibrate`.

    Returns
    -------
    CrossCalibrated

    Notes
    -----
    For an artist, all trials are left out in which the artist's works or the artist's own pictures occur. What is left
    depends on other artists and names only. Pictures of a name under H2 occur for several artists, so the calibration
    knows them, if not their scores for this artist.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> artist, source = np.repeat(np.arange(30), 10), np.tile(np.arange(40, 50), 30)
    >>> source[::10] = artist[::10]
    >>> result = cross_calibrated(trials(random.normal(2.0 * (artist == source)), artist, source))
    >>> len(result.by_artist), result.by_artist[0].n_artists
    (30, 29)
    """
    used = known.part(np.isin(known.artist, known.artists))
    ratio = np.full(len(used.score), np.nan)
    learned = {}
    for a in used.artists.tolist():
        learned[a] = calibrate(used.without(a), penalty=penalty)
        rows = used.artist == a
        ratio[rows] = learned[a].log10_lr(used.score[rows])
    return CrossCalibrated(used, ratio, learned)


@dataclass(frozen=True)
class Measured:
    """A measure with its interval over artists and names; the ends are NaN if they cannot be estimated."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Validation:
    """How well likelihood ratios of trials with known origin do; returned by `validate`.

    The performance characteristics are those of Meuwly, Ramos & Haraksim 2017.

    Attributes
    ----------
    cllr : Measured
        Accuracy: the log-likelihood-ratio cost, 1 for no information.
    cllr_min : Measured
        Discriminating power: the cost after the best monotone calibration.
    calibration_loss : Measured
        `cllr` - `cllr_min`.
    equal_error_rate : float
    misleading_same : Measured
        Share of trials under H1 with a likelihood ratio below 1.
    misleading_different : Measured
        Share of trials under H2 with a likelihood ratio above 1.
    tippett : Tippett
    n_artists, n_others, n_same, n_different : int
        Number of artists, of other names, and of trials under each proposition.
    confidence_level : float
    """

    cllr: Measured
    cllr_min: Measured
    calibration_loss: Measured
    equal_error_rate: float
    misleading_same: Measured
    misleading_different: Measured
    tippett: Tippett
    n_artists: int
    n_others: int
    n_same: int
    n_different: int
    confidence_level: float

    @property
    def informative(self) -> bool:
        """Whether the whole interval of `cllr` is below 1: on new artists, better than no likelihood ratio."""
        return self.cllr.high < 1 - TIE


def validate(known: Trials, log10_lr: npt.ArrayLike, *, confidence_level: float = 0.95) -> Validation:
    """Measure how well likelihood ratios do on trials of known origin.

    Parameters
    ----------
    known : Trials
        Of at least 3 artists.
    log10_lr : array_like, shape (n,)
        Likelihood ratios that were learned from other artists (`cross_calibrated`), or on another release.
    confidence_level : float

    Returns
    -------
    Validation

    Raises
    ------
    ValueError
        Shapes disagree, a likelihood ratio is NaN, or there are too few artists.

    Notes
    -----
    Intervals: each artist is left out in turn, with the pictures asked for by the artist's name, and then each other
    name. The two jackknife variances are added, and the interval is that of Student's t with the degrees of freedom of
    `imindex.stats.intervals.Spread`; of a share it is `imindex.stats.intervals.share_interval`. So the trials of one
    artist, or of one name, are not taken for independent. The calibrations stay as they are: each left its artist out.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> artist, source = np.repeat(np.arange(30), 10), np.tile(np.arange(40, 50), 30)
    >>> source[::10] = artist[::10]
    >>> score = random.normal(2.0 * (artist == source))
    >>> result = validate(trials(score, artist, source), (2 * score - 2) / np.log(10))
    >>> round(result.cllr.value, 2), result.informative
    (0.34, True)
    """
    ratio = np.asarray(log10_lr, np.float64)
    if ratio.shape != known.score.shape:
        raise ValueError(f"log10_lr: expected {len(known.score)} values, one per trial, not {ratio.shape}.")
    if np.isnan(ratio).any():
        raise ValueError("log10_lr: a value is NaN. Leave out the trial.")
    n = len(known.artists)
    if n < 3:
        raise ValueError(f"trials: {n} artists. At least 3 are needed to say how they vary.")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    same = known.same
    place = np.unique(ratio, return_inverse=True)[1]
    costs = np.logaddexp(0, np.where(same, -ratio, ratio) * math.log(10)) / 2 / math.log(2)
    misled = np.where(same, ratio < 0, ratio > 0).astype(np.float64)

    def measures(weight: Float64) -> Float64:
        cost, least = float(weight @ costs), _least_cost(place, same, weight)
        return np.array(
            [cost, least, cost - least, weight[same] @ misled[same], weight[~same] @ misled[~same]]
        )

    weight = weights(known)
    estimate = measures(weight)
    jackknives = [
        np.array([measures(each) for each in level if not np.isnan(each).any()])
        for level in _without_each(known)
    ]
    parts = []
    for number, value in enumerate(estimate.tolist()):
        spread = Spread.of([level[:, number] for level in jackknives if len(level) > 1])
        if number < 3:
            parts.append(Measured(value, *_t_interval(value, spread, confidence_level)))
        else:
            ends = share_interval(min(max(value, 0.0), 1.0), spread, confidence_level)
            parts.append(Measured(value, ends.low, ends.high))
    return Validation(
        cllr=parts[0],
        cllr_min=parts[1],
        calibration_loss=parts[2],
        equal_error_rate=equal_error_rate(ratio, same, weight),
        misleading_same=parts[3],
        misleading_different=parts[4],
        tippett=tippett(ratio[same], ratio[~same], weight[same], weight[~same]),
        n_artists=n,
        n_others=len(known.others),
        n_same=int(same.sum()),
        n_different=int((~same).sum()),
        confidence_level=confidence_level,
    )


def _t_interval(value: float, spread: Spread, confidence_level: float) -> tuple[float, float]:
    half = float(scipy.stats.t.isf((1 - confidence_level) / 2, spread.df)) * math.sqrt(spread.variance)
    return value - half, value + half


@dataclass(frozen=True)
class LikelihoodRatio:
    """The likelihood ratio of a questioned score.

    Attributes
    ----------
    score : float
    log10_lr : float
        Within the bounds.
    low, high : float
        Interval over the artists and names of the calibration, within the bounds.
    unbounded : float
        What the calibration gives without bounds.
    """

    score: float
    log10_lr: float
    low: float
    high: float
    unbounded: float

    @property
    def at_bound(self) -> bool:
        """Whether the bounds limit the value: the data do not support a more extreme one."""
        return self.unbounded != self.log10_lr


def likelihood_ratio(
    scores: npt.ArrayLike, known: Trials, *, penalty: float = PENALTY, confidence_level: float = 0.95
) -> tuple[list[LikelihoodRatio], Calibration]:
    """Compute the likelihood ratio of questioned scores for one artist, with intervals.

    Parameters
    ----------
    scores : array_like, shape (q,)
        Scores for the artist, of pictures or of groups as large as those of the trials.
    known : Trials
        Without the artist: `Trials.without`.
    penalty, confidence_level
        As for `calibrate` and `validate`.

    Returns
    -------
    ratios : list of LikelihoodRatio
    calibration : Calibration

    Notes
    -----
    The interval says how much the likelihood ratio depends on which artists and names it was calibrated with: it is
    calibrated again without each of them, by one step of Newton's method, and the interval is that of `validate`. It
    does not cover what all calibrations share: that the artist is like the others, and that the questioned pictures
    were made as those of the trials were.

    Examples
    --------
    >>> random = np.random.default_rng(1)
    >>> artist, source = np.repeat(np.arange(30), 10), np.tile(np.arange(40, 50), 30)
    >>> source[::10] = artist[::10]
    >>> known = trials(random.normal(2.0 * (artist == source)), artist, source)
    >>> (one,), _ = likelihood_ratio([1.5], known)
    >>> one.low < one.log10_lr < one.high
    True
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError("scores: expected finite values. Encode the picture again, or exclude it.")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
    learned = calibrate(known, penalty=penalty)
    jackknives = [_refitted(known, learned, level, penalty) for level in _without_each(known)]
    out = []
    for score in values.tolist():
        value = float(learned.unbounded(score))
        spread = Spread.of([level[:, 0] + level[:, 1] * score for level in jackknives if len(level) > 1])
        ends = _t_interval(value, spread, confidence_level)
        bounded = [float(np.clip(x, learned.low, learned.high)) for x in (value, *ends)]
        out.append(LikelihoodRatio(score, bounded[0], bounded[1], bounded[2], value))
    return out, learned


def _refitted(known: Trials, learned: Calibration, level: list[Float64], penalty: float) -> Float64:
    """Return intercept and slope with each of several weights, shape (k, 2), by one Newton step from the full fit."""
    if learned.slope <= 0:
        return np.zeros((len(level), 2))
    centre, scale = _centre_and_scale(known.score, weights(known))
    x = (known.score - centre) / scale
    slope = learned.slope * math.log(10) * scale
    p = scipy.special.expit(learned.intercept * math.log(10) + slope / scale * centre + slope * x)
    terms = np.stack([p - known.same, (p - known.same) * x, p * (1 - p), p * (1 - p) * x, p * (1 - p) * x**2])
    out = np.empty((len(level), 2))
    for row, weight in zip(out, level, strict=True):
        g0, g1, h00, h01, h11 = terms @ weight
        shrink = penalty / (learned.n_artists - 1)
        step = np.linalg.solve([[h00, h01], [h01, h11 + shrink]], [g0, g1 + shrink * slope])
        row[1] = (slope - step[1]) / scale
        row[0] = (
            learned.intercept * math.log(10)
            + learned.slope * math.log(10) * centre
            - step[0]
            - row[1] * centre
        )
    return out / math.log(10)


def verbal(log10_lr: float) -> str:
    """Return the term of the ENFSI scale for a likelihood ratio, and the proposition that it is for.

    Notes
    -----
    Source: `ENFSI`. The term is shorthand for the number, which is always stated with it.

    Examples
    --------
    >>> verbal(1.3), verbal(-0.5), verbal(0.1)
    ('moderate support for H1', 'weak support for H2', 'no support for either proposition')
    """
    size = 10 ** abs(log10_lr)
    term = next(term for limit, term in ENFSI if size < limit or limit == math.inf)
    if size < ENFSI[0][0]:
        return term
    return f"{term} for {'H1' if log10_lr > 0 else 'H2'}"
