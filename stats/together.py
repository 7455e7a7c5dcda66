"""Several names in one prompt: how much of a name's own part remains, and whom the pictures are said to imitate.

`imindex.stats.named_sets.compare_names` tests whether a name makes a difference beside another: it compares the
pictures of "A and B" with those of "P and B" for placebo names P. This module adds the test of both names of a pair,
the share of a name's effect that remains beside another name, and answers that are sets of names, with thresholds that
pictures of placebo names calibrate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.intervals import Interval, Spread, satterthwaite, share_interval
from imindex.stats.over_artists import Contributions, interval
from imindex.stats.set_scores import Float64, Int64

Bool = npt.NDArray[np.bool_]
_ROUNDING = 1e-12
_NOWHERE = Interval(np.nan, np.nan)


def both_present(p: npt.ArrayLike) -> Float64:
    """Test that both names of each pair are present: the larger of their p-values.

    Parameters
    ----------
    p : array_like, shape (P, 2)
        p-values of the two names of each pair; NaN where there is no test.

    Returns
    -------
    ndarray, shape (P,), float64
        NaN where either is.

    Notes
    -----
    The null hypothesis is that at least one of the names makes no difference. The larger p-value has level alpha if
    both do, whatever their dependence: an intersection-union test (Berger 1982, doi:10.1080/00401706.1982.10487790).

    Examples
    --------
    >>> both_present([[0.025, 0.1], [0.025, 0.025]]).tolist()
    [0.1, 0.025]
    """
    values = np.asarray(p, np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"p: expected two p-values for each pair, not the shape {values.shape}.")
    larger: Float64 = values.max(axis=1, initial=0.0)
    return larger


@dataclass(frozen=True, eq=False)
class Kept:
    """Result of `kept_share`.

    Attributes
    ----------
    alone, company : float
        Own score minus the mean of the placebo names, by prompts with one name and with two.
    share : float
        company / alone; NaN if `alone` is not above 0.
    interval : Interval
        Fieller's interval of the share. NaN if it is not bounded: the effect alone is then not clearly above 0.
    df : float
    """

    alone: float
    company: float
    share: float
    interval: Interval
    df: float


def kept_share(
    alone: tuple[npt.ArrayLike, npt.ArrayLike],
    company: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    confidence_level: float = 0.95,
) -> Kept:
    """Estimate which share of a name's own part remains beside another name.

    Parameters
    ----------
    alone : pair of array_like, shapes (C,) and (R, C)
        Scores for the artist of the pictures with this name alone, and with each of R placebo names alone, by cell: a
        template and a number. Without NaN.
    company : pair of array_like, shapes (D,) and (R, D)
        The same of the pictures that also name another artist; the placebo names are in the same order.
    confidence_level : float

    Returns
    -------
    Kept

    Raises
    ------
    ValueError
        Shapes disagree, or a value is not finite.

    Notes
    -----
    The own part is own - mean over placebo names. Fieller's interval (1954, doi:10.1111/j.2517-6161.1954.tb00159.x)
    holds the shares s for which company - s * alone is within t standard errors of 0. Its variance adds that over the
    cells of both kinds of prompts, and that over placebo names of their own company - s * alone, since they are the
    same names in both. Student's t with the degrees of freedom of Satterthwaite (1946) at the estimated share. Use a
    score that is linear in the vectors: the log odds of `lda` against the other artist have no scale on which half an
    artist is a half.

    Examples
    --------
    >>> alone = [4.0, 4.2, 3.8], [[0.1, 0.0, -0.1], [0.0, 0.1, 0.0], [-0.1, 0.0, 0.1]]
    >>> company = [2.0, 2.1, 1.9], [[0.0, 0.0, 0.1], [0.1, 0.0, 0.0], [0.0, -0.1, 0.0]]
    >>> kept = kept_share(alone, company)
    >>> round(kept.share, 2), round(kept.interval.low, 2), round(kept.interval.high, 2)
    (0.5, 0.43, 0.57)
    """
    (own, others), (own2, others2) = _checked(alone, "alone"), _checked(company, "company")
    if len(others) != len(others2):
        raise ValueError(
            f"alone, company: {len(others)} and {len(others2)} placebo names. Pass the same names for both."
        )
    if not len(others) or not len(own) or not len(own2):
        return Kept(np.nan, np.nan, np.nan, _NOWHERE, np.nan)
    cells, cells2 = own - others.mean(axis=0), own2 - others2.mean(axis=0)
    first, second = float(cells.mean()), float(cells2.mean())
    share = second / first if first > 0 else np.nan
    sizes = [len(cells), len(cells2), len(others)]
    if np.isnan(share) or min(sizes) < 2:
        return Kept(first, second, share, _NOWHERE, np.nan)
    names = np.cov(others.mean(axis=1), others2.mean(axis=1)) / sizes[2]
    over = [float(cells.var(ddof=1)) / sizes[0], float(cells2.var(ddof=1)) / sizes[1]]
    parts = [
        share**2 * over[0],
        over[1],
        max(0.0, float(share**2 * names[0, 0] - 2 * share * names[0, 1] + names[1, 1])),
    ]
    df = satterthwaite(parts, [n - 1 for n in sizes])
    squared = float(scipy.stats.t.ppf((1 + confidence_level) / 2, df)) ** 2
    a = first**2 - squared * (over[0] + names[0, 0])
    b = first * second - squared * names[0, 1]
    c = second**2 - squared * (over[1] + names[1, 1])
    if a <= 0:
        return Kept(first, second, share, _NOWHERE, df)
    root = float(np.sqrt(max(0.0, b**2 - a * c)))
    return Kept(first, second, share, Interval(float((b - root) / a), float((b + root) / a)), df)


def _checked(scores: tuple[npt.ArrayLike, npt.ArrayLike], what: str) -> tuple[Float64, Float64]:
    own, others = (np.asarray(values, np.float64) for values in scores)
    others = others.reshape(0, len(own)) if others.ndim == 1 and not others.size else others
    if own.ndim != 1 or others.ndim != 2 or others.shape[1] != len(own):
        raise ValueError(f"{what}: the shapes {own.shape} and {others.shape} do not match.")
    if not (np.isfinite(own).all() and np.isfinite(others).all()):
        raise ValueError(f"{what}: a score is not finite. Leave out cells that are not complete.")
    return own, others


# Answers that are sets of names


def in_sets(scores: npt.ArrayLike, group: npt.ArrayLike, size: int) -> tuple[Float64, Int64]:
    """Return the mean scores of sets of pictures of one group.

    Parameters
    ----------
    scores : array_like, shape (N, A)
    group : array_like of int, shape (N,)
        Of each picture, such as its prompt's names.
    size : int
        Pictures per set. Consecutive pictures of a group form a set; what remains at its end is not used.

    Returns
    -------
    scores : ndarray, shape (M, A), float64
    group : ndarray, shape (M,), int64
        Of each set, ascending.

    Examples
    --------
    >>> means, groups = in_sets([[1.0], [5.0], [3.0], [9.0]], [0, 1, 0, 0], 2)
    >>> means.tolist(), groups.tolist()
    ([[2.0]], [0])
    """
    values, groups = np.asarray(scores, np.float64), np.asarray(group, np.int64)
    if size < 1:
        raise ValueError(f"size is {size}. It must be at least 1.")
    if values.ndim != 2 or groups.shape != values.shape[:1]:
        raise ValueError(f"scores, group: the shapes {values.shape} and {groups.shape} do not match.")
    order = np.argsort(groups, kind="stable")
    kept: list[Int64] = []
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        whole = len(rows) // size
        kept += list(rows[: whole * size].reshape(whole, size))
    if not kept:
        return np.empty((0, values.shape[1])), np.empty(0, np.int64)
    sets = np.array(kept)
    return values[sets].mean(axis=1), groups[sets[:, 0]]


def inclusion_thresholds(scores: npt.ArrayLike, group: npt.ArrayLike, *, rate: float) -> Float64:
    """Compute the score above which an artist is said to be in a picture, from pictures that do not name the artist.

    Parameters
    ----------
    scores : array_like, shape (N, A)
        Scores of N pictures (or sets of pictures) for A artists.
    group : array_like of int, shape (N,)
        The unit that each picture belongs to, such as its pair of placebo names.
    rate : float
        Largest probability that a picture of a further such pair is above the threshold, for each artist.

    Returns
    -------
    ndarray, shape (A,), float64
        An artist is included if its score is above the threshold. Infinite if there are fewer than 1 / rate - 1 groups.

    Raises
    ------
    ValueError
        Shapes disagree, a value is not finite, or the rate is not between 0 and 1.

    Notes
    -----
    Pictures of one prompt resemble each other, so the group is the unit: every group has the weight 1 / (G + 1), its
    pictures share it, and the same weight is at infinity. The threshold is the (1 - rate) quantile of these weights. If
    a further group is exchangeable with the G groups, the probability that a picture of it is above the threshold is at
    most `rate` (Lee, Barber & Willett 2023, arXiv:2306.06342, theorem 1). Real names whose pictures differ in kind from
    those of placebo names are not exchangeable with them: measure their false inclusions, as `set_answers` does.

    Examples
    --------
    >>> inclusion_thresholds([[1.0], [2.0], [3.0], [4.0]], [0, 1, 2, 3], rate=0.4).tolist()
    [3.0]
    >>> inclusion_thresholds([[1.0], [2.0], [3.0], [4.0]], [0, 1, 2, 3], rate=0.1).tolist()
    [inf]
    """
    values, groups = np.asarray(scores, np.float64), np.asarray(group, np.int64)
    if values.ndim != 2 or groups.shape != values.shape[:1]:
        raise ValueError(f"scores, group: the shapes {values.shape} and {groups.shape} do not match.")
    if not np.isfinite(values).all():
        raise ValueError("scores: a value is not finite. Encode the picture again, or exclude it.")
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}. It must be between 0 and 1.")
    names, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1 / ((len(names) + 1) * sizes[place])
    out = np.full(values.shape[1], np.inf)
    if 1 / (len(names) + 1) > rate + _ROUNDING:
        return out
    for artist, column in enumerate(values.T):
        order = np.argsort(column, kind="stable")
        up_to = np.cumsum(weight[order])
        # Equal scores count together: only the last of them holds their whole weight, and is the first not below.
        enough = np.flatnonzero(up_to >= 1 - rate - _ROUNDING)
        out[artist] = column[order[enough[0]]]
    return out


def company_thresholds(
    scores: npt.ArrayLike, named: npt.ArrayLike, *, rate: float, without: npt.ArrayLike = ()
) -> Float64:
    """Compute thresholds from pictures that name one artist, for the other artists.

    Parameters
    ----------
    scores : array_like, shape (N, A)
        Scores of N pictures (or sets of pictures) for A artists.
    named : array_like of int, shape (N,)
        The artist that each picture names, beside a placebo name: its column of `scores`, or a number from A on for
        artists without a column.
    rate : float
        Share of pictures above the threshold, for each artist.
    without : array_like of int
        Named artists whose pictures are not used, such as those of the prompt that is judged.

    Returns
    -------
    ndarray, shape (A,), float64
        -inf if no picture names another artist.

    Notes
    -----
    A picture that shows one artist can resemble a second one who is not named, which placebo names cannot tell. The
    threshold of artist a is the (1 - rate) quantile over the pictures that name others, where every named artist has
    the same weight. There are as many independent units as named artists, usually too few for a guarantee such as that
    of `inclusion_thresholds`; use the larger of both thresholds, and leave out the artists of the prompt that is
    judged, so that the measured false inclusions are those of artists who did not set the threshold.

    Examples
    --------
    >>> company_thresholds([[9.0, 1.0], [1.0, 9.0], [2.0, 8.0]], [0, 1, 1], rate=0.1).tolist()
    [2.0, 1.0]
    >>> company_thresholds([[9.0, 1.0], [1.0, 9.0], [2.0, 8.0]], [0, 1, 1], rate=0.1, without=[1]).tolist()
    [-inf, 1.0]
    """
    values, artists = np.asarray(scores, np.float64), np.asarray(named, np.int64)
    if values.ndim != 2 or artists.shape != values.shape[:1]:
        raise ValueError(f"scores, named: the shapes {values.shape} and {artists.shape} do not match.")
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}. It must be between 0 and 1.")
    out = np.full(values.shape[1], -np.inf)
    usable = ~np.isin(artists, np.asarray(without, np.int64))
    for artist in range(values.shape[1]):
        rows = np.flatnonzero(usable & (artists != artist))
        if not len(rows):
            continue
        names, place, sizes = np.unique(artists[rows], return_inverse=True, return_counts=True)
        order = np.argsort(values[rows, artist], kind="stable")
        up_to = np.cumsum(1 / (len(names) * sizes[place[order]]))
        enough = int(np.flatnonzero(up_to >= 1 - rate - _ROUNDING)[0])
        out[artist] = values[rows[order[enough]], artist]
    return out


@dataclass(frozen=True, eq=False)
class SetAnswers:
    """Result of `set_answers`.

    Attributes
    ----------
    recall, false_inclusion, exact : float
        Mean over names of prompts of the share of their sets that include them; mean over prompts and artists who are
        not named of the share of sets that include them; mean over prompts of the share of sets that are exactly right.
    recall_interval, false_interval, exact_interval : Interval
        The unit is the group of prompts that share artists, and for false inclusions the artist too. NaN with fewer
        than 3 groups.
    recall_chance, exact_chance : float
        The same shares when each prompt's pictures are credited to another prompt without a common artist. NaN if
        there is none.
    included : ndarray, shape (P, A), float64
        Share of each prompt's sets that include each artist.
    exact_of : ndarray, shape (P,), float64
    n_sets, n_groups : int
    """

    recall: float
    recall_interval: Interval
    recall_chance: float
    false_inclusion: float
    false_interval: Interval
    exact: float
    exact_interval: Interval
    exact_chance: float
    included: Float64
    exact_of: Float64
    n_sets: int
    n_groups: int


def set_answers(
    included: npt.ArrayLike,
    prompt: npt.ArrayLike,
    named: npt.ArrayLike,
    *,
    confidence_level: float = 0.95,
) -> SetAnswers:
    """Compare sets of artists with the artists that prompts name.

    Parameters
    ----------
    included : array_like of bool, shape (N, A)
        The artists that each picture, or set of pictures, is said to imitate.
    prompt : array_like of int, shape (N,)
        Number of the names in its prompt, such as its pair, from 0 to P - 1. Each has at least one.
    named : array_like of bool, shape (P, A)
        Which of the artists each prompt names: none, one or several.
    confidence_level : float

    Returns
    -------
    SetAnswers

    Raises
    ------
    ValueError
        Shapes disagree, or a prompt has no pictures.

    Notes
    -----
    Every prompt counts alike, whatever the number of its pictures. Prompts that share an artist, also over others, form
    one group, and groups are the independent units of recall and exact answers (`imindex.stats.over_artists.interval`).
    False inclusions depend on who is named and on who is included: the jackknife variances over groups and over artists
    are added (`imindex.stats.intervals.Spread`).

    Examples
    --------
    >>> named = np.eye(4, dtype=bool)[:3] | np.eye(4, k=1, dtype=bool)[:3]
    >>> result = set_answers(named, [0, 1, 2], named)
    >>> result.recall, result.false_inclusion, result.exact, result.n_groups
    (1.0, 0.0, 1.0, 1)
    """
    sets, number, truth = (
        np.asarray(included, np.bool_),
        np.asarray(prompt, np.int64),
        np.asarray(named, np.bool_),
    )
    if sets.ndim != 2 or truth.ndim != 2 or sets.shape[1] != truth.shape[1] or number.shape != sets.shape[:1]:
        raise ValueError(
            f"included, prompt, named: the shapes {sets.shape}, {number.shape} and {truth.shape} do not match."
        )
    sizes = np.bincount(number, minlength=len(truth))
    if len(sizes) > len(truth) or not len(truth) or not sizes.all():
        raise ValueError("prompt: expected the numbers of the rows of named, each at least once.")
    rates = np.zeros(truth.shape)
    np.add.at(rates, number, sets)
    rates /= sizes[:, None]
    right: Float64 = np.bincount(number, weights=np.all(sets == truth[number], axis=1)) / sizes
    group = shared_groups(truth)
    row, artist = np.nonzero(truth)
    own = rates[row, artist]
    counts = truth.astype(np.int64)
    some = truth.any(axis=1)
    apart = np.equal(counts @ counts.T, 0) & np.outer(some, some)
    elsewhere = np.array(
        [rates[~truth[:, a], a].mean() if (~truth[:, a]).any() else np.nan for a in artist.tolist()]
    )
    swapped = [
        float(np.mean([np.array_equal(answer, truth[q]) for answer in sets[number == p]]))
        for p, q in np.argwhere(apart).tolist()
    ]
    recall, recall_ends = _over_groups(own, group[row], confidence_level)
    exact, exact_ends = _over_groups(right, group, confidence_level)
    false, false_ends = _false_inclusions(rates, truth, group, confidence_level)
    return SetAnswers(
        recall=recall,
        recall_interval=recall_ends,
        recall_chance=float(elsewhere.mean()) if len(elsewhere) else np.nan,
        false_inclusion=false,
        false_interval=false_ends,
        exact=exact,
        exact_interval=exact_ends,
        exact_chance=float(np.mean(swapped)) if swapped else np.nan,
        included=rates,
        exact_of=right,
        n_sets=len(sets),
        n_groups=int(group.max()) + 1,
    )


def shared_groups(named: npt.ArrayLike) -> Int64:
    """Return the group of each prompt, shape (P,): prompts that share an artist, also over others, are in one group.

    Examples
    --------
    >>> shared_groups([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0]]).tolist()
    [0, 1, 0]
    """
    truth = np.asarray(named, np.int64)
    _, group = scipy.sparse.csgraph.connected_components(truth @ truth.T, directed=False)
    return np.asarray(group, np.int64)


def _over_groups(each: Float64, group: Int64, confidence_level: float) -> tuple[float, Interval]:
    if not len(each):
        return np.nan, _NOWHERE
    mean = float(each.mean())
    return mean, interval(
        Contributions(mean, each, is_share=True), group=group, confidence_level=confidence_level
    )


def _false_inclusions(
    rates: Float64, truth: Bool, group: Int64, confidence_level: float
) -> tuple[float, Interval]:
    counted = ~truth
    if not counted.any():
        return np.nan, _NOWHERE
    values = np.where(counted, rates, 0.0)
    total, n = float(values.sum()), int(counted.sum())
    jackknives = []
    for axis, units in ((1, group), (0, np.arange(truth.shape[1]))):
        sums = np.bincount(units, weights=values.sum(axis=axis))
        sizes = np.bincount(units, weights=counted.sum(axis=axis))
        used = (sizes > 0) & (sizes < n)
        jackknives.append((total - sums[used]) / (n - sizes[used]))
    if len(jackknives[0]) < 3 or len(jackknives[1]) < 2:
        return total / n, _NOWHERE
    return total / n, share_interval(total / n, Spread.of(jackknives), confidence_level)


def ratio_over_groups(
    company: npt.ArrayLike,
    alone: npt.ArrayLike,
    group: npt.ArrayLike,
    *,
    confidence_level: float = 0.95,
    n_resamples: int = 9999,
    rng: np.random.Generator | int | None = None,
) -> tuple[float, Interval]:
    """Estimate the share of names' own parts that remains in company, over all names.

    Parameters
    ----------
    company, alone : array_like, shape (n,)
        Own parts of each name beside another name and alone, on a scale that is common to all names.
    group : array_like of int, shape (n,)
        The independent unit of each: its pair, or pairs that share artists.
    confidence_level, n_resamples, rng
        Of the bootstrap over groups, `imindex.stats.over_artists.interval`.

    Returns
    -------
    share : float
        sum of company / sum of alone; NaN if the latter is not above 0.
    interval : Interval
        NaN with fewer than 3 groups.

    Examples
    --------
    >>> share, _ = ratio_over_groups([1.0, 2.0, 0.0, 1.0], [2.0, 3.0, 1.0, 2.0], [0, 0, 1, 2])
    >>> share
    0.5
    """
    top, bottom = np.asarray(company, np.float64), np.asarray(alone, np.float64)
    groups = np.unique(np.asarray(group, np.int64), return_inverse=True)[1].astype(np.int64)
    if not len(bottom) or not bottom.mean() > 0:
        return np.nan, _NOWHERE
    share = float(top.sum() / bottom.sum())
    influence = (top - share * bottom) / bottom.mean()
    figure = Contributions.from_influence(share, influence, is_share=False)
    return share, interval(
        figure, group=groups, confidence_level=confidence_level, n_resamples=n_resamples, rng=rng
    )
