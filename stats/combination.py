"""Tests by several encoders at once: nonparametric combination of the scores of sets.

All encoders look at the same pictures. If the artist's own set is exchangeable with the reference sets as pictures,
then the vectors of its scores by all encoders are exchangeable with those of the reference sets. The scores of each
encoder are brought to a common scale by a function that is symmetric in these sets, and are added up to one value per
set. The rank of the own set's value is then the p-value. It is exact whatever the dependence between encoders, and
encoders share one set of references, so the smallest possible p-value is that of a single encoder.

Pesarin & Salmaso (2010), Permutation Tests for Complex Data, chapter 4. With reference sets in place of permutations,
every arrangement is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.error_card import ErrorCard, card_of
from imindex.stats.keyed import Rng
from imindex.stats.multiple import Method
from imindex.stats.references import TIE
from imindex.stats.set_scores import Float64, Int64

COMBINATION = "normal-tail sum"
"""Name of the function that combines encoders, as it is registered."""
MOST_ENCODERS = 10
"""Closed testing covers all subsets of the encoders; with more encoders there are too many."""
_BLOCK = 2**22
_STAND_INS = 2**27
"""Most values that `combined_error_card` computes; with more, fewer placebo sets stand in for artists."""


@dataclass(frozen=True, eq=False)
class CombinedTest:
    """Result of `combined_test` for A artists and E encoders.

    Attributes
    ----------
    pvalue : ndarray, shape (A,), float64
        (1 + reference sets whose combined value is at least that of the own set) / (1 + reference sets). NaN without
        a test.
    n_reference, n_at_least : ndarray, shape (A,), int64
        Number of reference sets, and of those at least as near as the own set.
    by_encoder : ndarray, shape (A, E), float64
        p-value of each encoder alone, against the same reference sets. NaN for encoders without weight.
    closed : ndarray, shape (A, E), float64
        p-value of each encoder after closed testing over the encoders; NaN for encoders without weight.
    """

    pvalue: Float64
    n_reference: Int64
    n_at_least: Int64
    by_encoder: Float64
    closed: Float64

    @property
    def resolution(self) -> Float64:
        """Smallest possible p-value of each artist, 1 / (1 + n_reference). NaN without references."""
        return np.where(self.n_reference > 0, 1 / (1 + self.n_reference), np.nan)


def combine(scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Float64:
    """Combine the scores of sets by several encoders into one value per set.

    Parameters
    ----------
    scores : array_like, shape (..., E, n)
        Score of each of n sets by each encoder; higher is nearer.
    weights : array_like, shape (E,), optional
        Not negative; by default 1. They must not depend on the sets.

    Returns
    -------
    ndarray, shape (..., n), float64
        The weighted sum over encoders of -log(1 - Phi(z)), with z the score minus the encoder's mean over the sets,
        divided by its standard deviation over the sets, and Phi the normal distribution function. A constant for an
        encoder that gives all sets the same score.

    Raises
    ------
    ValueError
        A score is not finite, or the weights do not fit.

    Notes
    -----
    This is Fisher's combination of normal p-values. No normal distribution is assumed: the values are only ranked, and
    every set is treated alike, so sets with exchangeable scores have exchangeable values.

    An effect that several encoders see adds up, almost as in the sum of z, which is the best combination for equal
    effects. An effect that one encoder sees is not averaged away by encoders that do not see it, as it is in the sum of
    z. `scripts/bench/calibration --only encoders` compares the combinations.

    Examples
    --------
    >>> combine([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]).argmax().item()
    2
    """
    values, weight = _checked(scores, weights)
    return np.asarray(np.einsum("e,...en->...n", weight, _scaled(values)))


def combined_pvalue(
    own: npt.ArrayLike, references: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Return the p-value of one own set against reference sets, by several encoders together.

    Parameters
    ----------
    own : array_like, shape (E,)
        Scores of the own set.
    references : array_like, shape (E, K)
        Scores of the reference sets.
    weights : array_like, shape (E,), optional
        As in `combine`.

    Returns
    -------
    float
        (1 + references whose combined value is at least that of the own set) / (1 + K). With one encoder of positive
        weight, it is the p-value of that encoder. NaN without references, or if all weights are 0.

    Examples
    --------
    >>> combined_pvalue([2.0, 2.0], [[2.5, 0.1, 0.2, -1.0], [0.3, 2.5, -0.1, 0.0]])
    0.2
    """
    values = np.column_stack([np.asarray(own, np.float64), np.asarray(references, np.float64)])
    values, weight = _checked(values, weights)
    n = values.shape[1] - 1
    if not n or not weight.any():
        return np.nan
    return float((1 + _at_least(_contributions(values, weight), weight[weight > 0][None])[0]) / (1 + n))


def combined_pvalues(
    sets: npt.ArrayLike, references: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> Float64:
    """Return the p-value of each of R sets, each compared with the reference sets alone.

    Parameters
    ----------
    sets : array_like, shape (E, R)
    references : array_like, shape (E, K)
    weights : array_like, shape (E,), optional
        As in `combine`.

    Returns
    -------
    ndarray, shape (R,), float64
        As `combined_pvalue` of each set. NaN without references, or if all weights are 0.

    Examples
    --------
    >>> combined_pvalues([[2.0, 0.0], [2.0, 0.0]], [[2.5, 0.1, 0.2, -1.0], [0.3, 2.5, -0.1, 0.0]]).tolist()
    [0.2, 0.8]
    """
    compared, weight = _checked(sets, weights)
    among, weight = _checked(references, weight)
    if not among.shape[1] or not weight.any():
        return np.full(compared.shape[1], np.nan)
    kept = weight > 0
    return _pvalues(compared[kept], among[kept], weight[kept])


def combined_test(
    tables: Sequence[npt.ArrayLike],
    usable: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    own: npt.ArrayLike | None = None,
) -> CombinedTest:
    """Compare each artist's own set with reference sets, by several encoders together.

    Parameters
    ----------
    tables : sequence of E array_like, each of shape (A, S)
        By encoder: score of each set for each artist. NaN where the encoder has none.
    usable : array_like of bool, shape (A, S)
        The reference sets of each artist: those that are exchangeable with the own set if the null hypothesis is true.
    weights : array_like, shape (A, E), optional
        Weight of each encoder for each artist; by default 1. They may depend on works, and not on imitations.
    own : array_like of int, shape (A,), optional
        Column of each artist's own set; by default the artist's row.

    Returns
    -------
    CombinedTest

    Notes
    -----
    *Combined.* The null hypothesis is about pictures: the own set and the reference sets are exchangeable. Then so are
    their vectors of scores by all encoders, and P(p <= alpha) <= alpha, whatever the encoders are and however much they
    depend on each other. If only one encoder has weight, its scores are ranked as they are, so p equals that of
    `imindex.stats.references.name_test`. Reference sets that some encoder with weight has no score for are left out.

    *Closed testing* (Marcus, Peritz & Gabriel 1976). The hypothesis of a set of encoders is that the scores by these
    encoders together are exchangeable; it is tested by the same combination of them. An encoder's p-value is the
    largest over all sets that contain it. If the hypotheses of some encoders are true together, the probability that
    `closed` is at most alpha for any of them is at most alpha.

    Examples
    --------
    >>> tables = np.random.default_rng(4).normal(size=(2, 3, 43))
    >>> tables[:, 0, 0] += 2
    >>> usable = np.zeros((3, 43), bool)
    >>> usable[:, 3:] = True
    >>> result = combined_test(list(tables), usable)
    >>> result.pvalue[0].round(3).item(), result.by_encoder[0].round(3).tolist()
    (0.024, [0.098, 0.049])
    """
    scores = np.array([np.asarray(table, np.float64) for table in tables])
    if scores.ndim != 3:
        raise ValueError("tables: expected at least one table of artists x sets, all of one shape.")
    n_encoders, n_artists, _ = scores.shape
    reference = np.asarray(usable, np.bool_)
    weight = np.ones((n_artists, n_encoders)) if weights is None else np.asarray(weights, np.float64)
    column = np.arange(n_artists) if own is None else np.asarray(own, np.int64)
    if reference.shape != scores.shape[1:] or weight.shape != (n_artists, n_encoders):
        raise ValueError(
            f"usable, weights: the shapes {reference.shape} and {weight.shape} do not fit tables of {scores.shape[1:]}."
        )
    if column.shape != (n_artists,):
        raise ValueError(f"own: expected one column for each artist, not the shape {column.shape}.")
    p = np.full(n_artists, np.nan)
    by_encoder, closed = np.full((2, n_artists, n_encoders), np.nan)
    n_reference, n_at_least = np.zeros((2, n_artists), np.int64)
    for artist in range(n_artists):
        with_weight = np.flatnonzero(weight[artist] > 0)
        values = scores[with_weight, artist]
        among = reference[artist] & np.isfinite(values).all(axis=0)
        among[column[artist]] = False
        n_reference[artist] = n = int(among.sum()) if len(with_weight) else 0
        mine = values[:, column[artist]]
        if not n or not np.isfinite(mine).all():
            continue
        _, part = _checked(np.column_stack([mine, values[:, among]]), weight[artist, with_weight])
        parts = _contributions(np.column_stack([mine, values[:, among]]), part)
        subsets = _subsets(len(with_weight))
        at_least = _at_least(parts, subsets * part)
        p_of = (1 + at_least) / (1 + n)
        everything = subsets.all(axis=1)
        n_at_least[artist] = at_least[everything][0]
        p[artist] = p_of[everything][0]
        for place, encoder in enumerate(with_weight.tolist()):
            contains = subsets[:, place]
            by_encoder[artist, encoder] = p_of[contains & (subsets.sum(axis=1) == 1)][0]
            if len(with_weight) <= MOST_ENCODERS:
                closed[artist, encoder] = p_of[contains].max()
    return CombinedTest(p, n_reference, n_at_least, by_encoder, closed)


def nearest_combined(
    real: npt.ArrayLike, placebos: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Return the smallest `combined_pvalue` against placebo sets that any real name's set would have.

    Parameters
    ----------
    real : array_like, shape (E, R)
        Scores of the sets of real names, the own set included. NaN for sets that are not compared.
    placebos : array_like, shape (E, K)
        Scores of the placebo sets.
    weights : array_like, shape (E,), optional

    Returns
    -------
    float
        It does not depend on which of the sets is the own one; see `imindex.stats.hierarchical.two_steps`. NaN without
        sets.

    Examples
    --------
    >>> nearest_combined([[0.1, 0.9], [0.2, 0.8]], [[0.2, 0.3], [0.1, 0.7]]).__round__(4)
    0.3333
    """
    sets, references = np.asarray(real, np.float64), np.asarray(placebos, np.float64)
    _, weight = _checked(references, weights)
    sets, references, weight = sets[weight > 0], references[weight > 0], weight[weight > 0]
    sets = sets[:, np.isfinite(sets).all(axis=0)]
    if not sets.size or not references.shape[1]:
        return np.nan
    return float(_pvalues(sets, references, weight).min())


def combined_error_card(  # noqa: PLR0913
    tables: Sequence[npt.ArrayLike],
    weights: npt.ArrayLike,
    placebos: npt.ArrayLike,
    rivals: Sequence[npt.ArrayLike],
    *,
    rival_tables: Sequence[npt.ArrayLike] | None = None,
    level: float = 0.05,
    method: Method = "bh",
    n_repeats: int = 1000,
    rng: Rng = None,
) -> ErrorCard | None:
    """Put placebo sets in the artists' places, and count what all encoders together find.

    Parameters
    ----------
    tables : sequence of E array_like, each of shape (A, S)
        By encoder: score of each set for each artist that is judged.
    weights : array_like, shape (A, E)
        As in `combined_test`; at least one encoder has weight for each artist.
    placebos : array_like of int
        Columns of the placebo sets.
    rivals : sequence of A array_like of int
        Columns of the sets of other real names, for each artist.
    rival_tables : sequence of E array_like, optional
        Scores of the rival test, if they are others than those of the name test.
    level, method, n_repeats, rng
        As in `imindex.stats.error_card.error_card`.

    Returns
    -------
    ErrorCard or None
        None without artists, or with fewer than two placebo sets.

    Examples
    --------
    >>> scores = np.random.default_rng(1).normal(size=(2, 5, 60))
    >>> card = combined_error_card(list(scores), np.ones((5, 2)), range(20, 60), [range(5, 20)] * 5, rng=1)
    >>> card.name, card.n_placebos
    ((0.0, 0.05, 0.1), 40)
    """
    scores = np.array([np.asarray(table, np.float64) for table in tables])
    against = scores if rival_tables is None else np.array([np.asarray(t, np.float64) for t in rival_tables])
    weight = np.asarray(weights, np.float64)
    placebo: Int64 = np.asarray(list(placebos), np.int64)  # type: ignore[arg-type]
    real = [np.asarray(list(columns), np.int64) for columns in rivals]  # type: ignore[arg-type]
    n_artists = scores.shape[1]
    if not n_artists or len(placebo) < 2:
        return None
    cost = sum(len(columns) + 1 for columns in real) * scores.shape[0] * len(placebo)
    n = min(len(placebo), max(2, _STAND_INS // max(1, cost)))
    stand_ins = np.unique(np.linspace(0, len(placebo) - 1, n).round().astype(np.int64))
    p_name, p_rival, p_nearest = np.full((3, n_artists, len(stand_ins)), np.nan)
    for artist in range(n_artists):
        kept = weight[artist] > 0
        own, part = scores[kept, artist], weight[artist, kept]
        _checked(own[:, placebo], part)
        among = _values(own[None][:, :, placebo], part)[0]
        room = TIE * np.maximum(1.0, np.abs(among))
        at_least = len(placebo) - np.searchsorted(np.sort(among), among - room)
        p_name[artist] = at_least[stand_ins] / len(placebo)
        others, nearer = against[kept, artist][:, real[artist]], own[:, real[artist]]
        others, nearer = (sets[:, np.isfinite(sets).all(axis=0)] for sets in (others, nearer))
        if others.shape[1]:
            p_rival[artist] = _pvalues(against[kept, artist][:, placebo[stand_ins]], others, part)
        for place, stand_in in enumerate(stand_ins.tolist()):
            rest = np.delete(placebo, stand_in)
            sets = np.column_stack([own[:, placebo[stand_in]], nearer])
            p_nearest[artist, place] = _pvalues(sets, own[:, rest], part).min()
    counts = np.array([len(columns) for columns in real], np.int64)
    return card_of(
        p_name, p_rival, p_nearest, counts, level=level, method=method, n_repeats=n_repeats, rng=rng
    )


def encoder_level(n_called: int, n_tests: int, *, level: float = 0.05, method: Method = "bh") -> float:
    """Return the level of statements about single encoders, for the artists that the combined test calls.

    Parameters
    ----------
    n_called, n_tests : int
        Number of artists that the combined test calls after correction, and of artists that it tests.
    level : float
    method : {"holm", "bh", "by"}
        Correction over the artists.

    Returns
    -------
    float
        For a called artist, "also by this encoder alone" is stated if `CombinedTest.closed` is at most this. 0 if
        nobody is called.

    Notes
    -----
    bh, by: level n_called / n_tests, for `by` divided by 1 + 1/2 + ... + 1/n_tests (Benjamini & Bogomolov 2014,
    doi:10.1111/rssb.12028). Closed testing bounds, for one artist, the probability of any false statement about
    encoders; the expected mean of this error over the called artists is at most the level, under the conditions of the
    method. holm: level / n_tests, so that the probability of any false statement about any artist is at most the level.

    Examples
    --------
    >>> encoder_level(12, 24).__round__(5), encoder_level(12, 24, method="holm").__round__(5)
    (0.025, 0.00208)
    """
    if n_tests < 0 or not 0 <= n_called <= n_tests:
        raise ValueError(f"n_called is {n_called}. It must be between 0 and n_tests, {n_tests}.")
    if not n_called:
        return 0.0
    if method == "holm":
        return level / n_tests
    share = level * (n_called / n_tests)
    return share if method == "bh" else share / sum(1 / k for k in range(1, n_tests + 1))


def harmonic_mean_pvalue(p: npt.ArrayLike) -> float:
    """Combine p-values by their harmonic mean, calibrated for independent p-values (Wilson 2019).

    Parameters
    ----------
    p : array_like, shape (n,)

    Returns
    -------
    float
        Probability that the mean of n inverse p-values is at least the observed one, by the asymptotic Landau
        distribution. Approximate; for comparison only.

    Notes
    -----
    Wilson (2019, doi:10.1073/pnas.1814092116). The tail beyond x of Landau's distribution is the integral
    of exp(-t log t - x t) sin(pi t) / (pi t) over t > 0, and its location is log n + 1 + psi(1), with psi the digamma
    function.

    Examples
    --------
    >>> harmonic_mean_pvalue([0.01, 0.5]).__round__(3)
    0.021
    """
    values = np.asarray(p, np.float64)
    n = len(values)
    if n == 1:
        return float(values[0])
    x = (1 / values).mean() - np.log(n) - 1 - scipy.special.digamma(1)

    def integrand(t: float) -> float:
        return float(np.exp(-t * (np.log(t) + x)) * np.sin(np.pi * t) / (np.pi * t))

    tail, _ = scipy.integrate.quad(integrand, 0, 60 / max(1.0, x), limit=400)
    return float(np.clip(tail, 0, 1))


def cauchy_combination(p: npt.ArrayLike) -> float:
    """Combine p-values by the mean of their Cauchy quantiles (Liu & Xie 2020, doi:10.1080/01621459.2018.1554485).

    Approximate under dependence, for small p-values; for comparison only. A p-value of 1 gives 1.

    Examples
    --------
    >>> cauchy_combination([0.01, 0.5]).__round__(3)
    0.02
    """
    values = np.asarray(p, np.float64)
    if (values >= 1).any():
        return 1.0
    statistic = np.tan((0.5 - values) * np.pi).mean()
    return float(scipy.stats.cauchy.sf(statistic))


def _checked(scores: npt.ArrayLike, weights: npt.ArrayLike | None) -> tuple[Float64, Float64]:
    values = np.asarray(scores, np.float64)
    if values.ndim < 2:
        raise ValueError(f"scores: expected encoders x sets, not the shape {values.shape}.")
    weight = np.ones(values.shape[-2]) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != values.shape[-2:-1]:
        raise ValueError(
            f"weights: expected one for each of {values.shape[-2]} encoders, not {weight.shape}."
        )
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("weights: a weight is negative or not finite. Use 0 to leave an encoder out.")
    if not np.isfinite(values[..., weight > 0, :]).all():
        raise ValueError("scores: a value is not finite. Leave the set out.")
    return values, weight


def _scaled(values: Float64) -> Float64:
    """Return -log of the normal tail of scores standardised over the last axis."""
    centred = values - values.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True))
    # Differences that are rounding errors of the mean are none.
    real = spread > TIE * np.maximum(1.0, np.abs(values).max(axis=-1, keepdims=True))
    z = np.where(real, centred / np.where(real, spread, 1.0), 0.0)
    return np.asarray(-scipy.special.log_ndtr(-z))


def _contributions(values: Float64, weight: Float64) -> Float64:
    """Return what each encoder with weight contributes, shape (E, n); a single encoder's scores as they are."""
    kept = values[weight > 0]
    return kept if len(kept) == 1 else _scaled(kept)


def _values(values: Float64, weight: Float64) -> Float64:
    """Return the combined value of each set, shape (..., n), of scores by encoders with weight, shape (..., E, n)."""
    if len(weight) == 1:
        return np.asarray(values[..., 0, :])
    return np.asarray(np.einsum("e,...en->...n", weight, _scaled(values)))


def _pvalues(sets: Float64, references: Float64, weight: Float64) -> Float64:
    """Return the p-value of each set against the references alone, shape (R,); scores have shape (E, R) and (E, K)."""
    n, out = references.shape[1], np.empty(sets.shape[1])
    step = max(1, _BLOCK // (n + 1))
    for start in range(0, sets.shape[1], step):
        some = sets[:, start : start + step]
        values = np.empty((some.shape[1], len(weight), n + 1))
        values[:, :, 0], values[:, :, 1:] = some.T, references
        combined = _values(values, weight)
        room = TIE * np.maximum(1.0, np.abs(combined[:, :1]))
        at_least = np.count_nonzero(combined[:, 1:] >= combined[:, :1] - room, axis=1)
        out[start : start + step] = (1 + at_least) / (1 + n)
    return out


def _at_least(parts: Float64, weights: Float64) -> Int64:
    """For each row of weights, return how many sets have at least the combined value of the first, ties included."""
    combined = weights @ parts
    room = TIE * np.maximum(1.0, np.abs(combined[:, :1]))
    return np.asarray(np.count_nonzero(combined[:, 1:] >= combined[:, :1] - room, axis=1), np.int64)


def _subsets(n: int) -> npt.NDArray[np.bool_]:
    """Return all non-empty subsets of n encoders, or of more than `MOST_ENCODERS` the single ones and all."""
    if n > MOST_ENCODERS:
        return np.vstack([np.eye(n, dtype=np.bool_), np.ones((1, n), np.bool_)])
    numbers = np.arange(1, 2**n)
    return np.asarray((numbers[:, None] >> np.arange(n)) & 1, np.bool_)
