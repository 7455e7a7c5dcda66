"""Which attributes of an artist's works distinguish them, which of them a release comes near, and what they carry.

An attribute is a number of a picture: a measurement such as its mean lightness, or a probe of a text encoder. Four
questions, each with its own unit:

- `distinctive`: do held-out works of the artist have the artist's value, and works of other artists another? The unit
  is the cluster of works of one artist.
- `attribute_test`: do the pictures of the artist's name come nearer to the works' value than those of placebo names?
  The unit is the set of pictures of a name.
- `carried`: how much of the match by another score, such as that of an encoder, goes along with attributes?
- `known_probes`: does an encoder know what the words of a probe mean?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.keyed import Rngs, one_each
from imindex.stats.multiple import adjust, called
from imindex.stats.set_scores import Float64, Int64
from imindex.stats.set_statistics import held_out_pvalue

Within = Literal["max", "holm"]
LEVEL = 0.05
TIE = 1e-9
"""Standardised scores that differ by at most this are considered equal."""
PENALTIES = 10.0 ** np.arange(-4, 5)
"""Ridge penalties to choose from, relative to the number of pictures."""

SUPPORT = 0.98
"""Share of the placebo names' pictures among which the own set's mean must lie for a regression on them to apply."""

OK = "ok"
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Distinctive:
    """Result of `distinctive` for A artists and K attributes.

    Attributes
    ----------
    mean : ndarray, shape (A, K), float64
        Mean over the clusters of an artist's works. NaN without works.
    others : ndarray, shape (A, K), float64
        Mean of `mean` over the other artists.
    spread : ndarray, shape (K,), float64
        Standard deviation of `mean` over artists.
    auc : ndarray, shape (A, K), float64
        Probability that a held-out work of the artist is nearer to the artist's value than a work of another artist.
        NaN with fewer than 2 clusters of works, or without another artist.
    pvalue : ndarray, shape (A, K), float64
        One-sided p-value of "not above 1/2".
    n_clusters : ndarray, shape (A,), int64
    """

    mean: Float64
    others: Float64
    spread: Float64
    auc: Float64
    pvalue: Float64
    n_clusters: Int64


def distinctive(
    values: npt.ArrayLike,
    artist: npt.ArrayLike,
    n_artists: int,
    *,
    cluster: npt.ArrayLike | None = None,
    artists: npt.ArrayLike | None = None,
) -> Distinctive:
    """Test whether each attribute tells held-out works of an artist from works of others.

    Parameters
    ----------
    values : array_like, shape (W, K)
        Attributes of works, all finite.
    artist : array_like, shape (W,), integers
    n_artists : int
    cluster : array_like, shape (W,), integers, optional
        Near-duplicates, or series, that count as one work. By default each work counts.
    artists : array_like of int, optional
        Artists to test; by default all with works.

    Returns
    -------
    Distinctive

    Raises
    ------
    ValueError
        Shapes disagree, or a value is not finite.

    Notes
    -----
    Each cluster is held out in turn. The percentile of a held-out work is the share of other artists' works that lie
    farther from the mean of the remaining clusters, ties half, each other artist with the same weight. If the artist's
    works were a random choice from the works of all, the percentiles would be uniform; see
    `imindex.stats.set_statistics.held_out_pvalue` for their dependence.

    Works in series that are not given as clusters look like a style. And if works of every artist cluster, as they do,
    the works of most artists are distinctive in most attributes: that is a finding about works, not about a release.

    Examples
    --------
    >>> works = [[1.0], [1.2], [0.9], [1.1], [5.0], [2.0], [8.0], [9.0]]
    >>> result = distinctive(works, [0, 0, 0, 0, 1, 1, 1, 1], 2)
    >>> result.auc.round(2).tolist(), result.pvalue.round(3).tolist()
    ([[1.0], [0.84]], [[0.007], [0.046]])
    """
    table, label = _finite(values, "values"), np.asarray(artist, np.int64)
    if label.shape != (len(table),):
        raise ValueError(
            f"artist: expected {len(table)} numbers, one for each work, not the shape {label.shape}."
        )
    groups = np.arange(len(table)) if cluster is None else np.asarray(cluster)
    n_attributes = table.shape[1]
    mean, auc, p = (np.full((n_artists, n_attributes), np.nan) for _ in range(3))
    n_clusters = np.zeros(n_artists, np.int64)
    count = np.bincount(label, minlength=n_artists)
    centres: dict[int, tuple[Float64, Int64]] = {}
    for a in np.flatnonzero(count).tolist():
        own = np.flatnonzero(label == a)
        _, number = np.unique(groups[own], return_inverse=True)
        n = n_clusters[a] = number.max() + 1
        sums = np.zeros((n, n_attributes))
        np.add.at(sums, number, table[own])
        centres[a] = sums / np.bincount(number)[:, None], number
        mean[a] = centres[a][0].mean(axis=0)
    n_known = np.count_nonzero(count)
    others = (np.nansum(mean, axis=0) - np.nan_to_num(mean)) / max(n_known - 1, 1)
    others[np.isnan(mean) | (n_known < 2)] = np.nan
    chosen = np.flatnonzero(count) if artists is None else np.asarray(artists, np.int64)
    weight = 1 / np.maximum(count[label], 1)
    for a in chosen.tolist():
        if n_clusters[a] < 2 or n_known < 2:
            continue
        own, other = np.flatnonzero(label == a), np.flatnonzero(label != a)
        by_cluster, number = centres[a]
        total = by_cluster.sum(axis=0)
        share = weight[other] / weight[other].sum()
        percentile = np.empty((len(by_cluster), n_attributes))
        for c in range(len(by_cluster)):
            centre = (total - by_cluster[c]) / (len(by_cluster) - 1)
            mine = np.abs(table[own[number == c]] - centre)
            percentile[c] = _farther(np.abs(table[other] - centre), share, mine).mean(axis=0)
        auc[a] = percentile.mean(axis=0)
        p[a] = [held_out_pvalue(column) for column in percentile.T]
    spread = np.nanstd(mean, axis=0, ddof=1) if n_known > 1 else np.full(n_attributes, np.nan)
    return Distinctive(mean, others, np.asarray(spread), auc, p, n_clusters)


def _farther(others: Float64, share: Float64, mine: Float64) -> Float64:
    """Return the weight of others that lie farther than each of mine, ties half; shape of `mine`."""
    out = np.empty_like(mine)
    for k in range(mine.shape[1]):
        order = np.argsort(others[:, k], kind="stable")
        upto = np.concatenate([[0.0], np.cumsum(share[order])])
        left, right = (np.searchsorted(others[order, k], mine[:, k], side) for side in ("left", "right"))
        out[:, k] = 1 - (upto[left] + upto[right]) / 2
    return out


@dataclass(frozen=True, eq=False)
class AttributeTest:
    """Result of `attribute_test` for the n tested artists and K attributes.

    Attributes
    ----------
    artists : ndarray, shape (n,), int64
    own : ndarray, shape (n, K), float64
        Mean of the pictures of the artist's name.
    placebo, placebo_low, placebo_high : ndarray, shape (n, K), float64
        Mean, 5th and 95th percentile of the means of the placebo names.
    pvalue : ndarray, shape (n, K), float64
        (1 + placebo sets at least as near) / (1 + placebo sets). NaN if the attribute is not tested.
    adjusted : ndarray, shape (n, K), float64
        Adjusted for the number of attributes of the artist.
    n_reference, n_left_out : ndarray, shape (n,), int64
        Placebo sets, and those that lack a picture of some prompt that the own set has.
    status : tuple of str, length n
        "ok", or what is missing.
    within : str
        How attributes were adjusted.
    """

    artists: Int64
    own: Float64
    placebo: Float64
    placebo_low: Float64
    placebo_high: Float64
    pvalue: Float64
    adjusted: Float64
    n_reference: Int64
    n_left_out: Int64
    status: tuple[str, ...]
    within: Within


def attribute_test(  # noqa: PLR0913
    works: npt.ArrayLike,
    values: npt.ArrayLike,
    name: npt.ArrayLike,
    *,
    artists: npt.ArrayLike,
    placebos: npt.ArrayLike,
    template: npt.ArrayLike | None = None,
    tested: npt.ArrayLike | None = None,
    within: Within = "max",
    rng: Rngs = None,
) -> AttributeTest:
    """Test whether the pictures of a name come nearer to the works' attributes than those of placebo names.

    Parameters
    ----------
    works : array_like, shape (A, K)
        Value of each artist's works: `Distinctive.mean`.
    values : array_like, shape (P, K)
        Attributes of pictures, all finite.
    name : array_like, shape (P,), integers
        Number of the name that each picture was made for. Artists are 0 to A - 1; placebo names may follow.
    artists, placebos : array_like of int
        Names to test, and placebo names.
    template : array_like, shape (P,), integers, optional
        Prompt template of each picture. Sets are compared with as many pictures of each template.
    tested : array_like, shape (A, K), bool, optional
        Attributes to test of each artist, chosen without looking at pictures; by default all that works have.
    within : {"max", "holm"}
        How to adjust for the number of attributes; see Notes.
    rng : generators, one per name (of `max(name) + 1`), generator, int or None
        Which pictures are compared where a set has more than the own set.

    Returns
    -------
    AttributeTest

    Raises
    ------
    ValueError
        Shapes disagree, or a value is not finite.

    Notes
    -----
    The score of a set is minus the distance of its mean from the works' value. If the name makes no difference to the
    model, the own set is exchangeable with the placebo sets, for all attributes together, so the rank of its score
    among theirs is uniform (`imindex.stats.references.name_test`).

    "max": scores are divided by their standard deviation over all sets, the own one included. The p-value of a set
    of attributes together is the rank of the own set's largest score among those of all sets. An attribute's adjusted
    p-value is the largest over all sets of attributes that contain it (closed testing, Marcus, Peritz & Gabriel 1976),
    which the step-down algorithm of Westfall & Young (1993, section 2.8) yields. It is exact for any correlation of
    attributes, and as small as one p-value can be: 1 / (1 + placebo names), where Holm's is K times that.

    A set that overshoots, a caricature, is not nearer. Placebo names that share the artist's value leave nothing to
    find, whatever the artist's name does.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> values = rng.normal(size=(200, 3))  # 5 pictures of each of 40 names
    >>> values[:5, 0] += 3  # those of the artist have the first attribute of the works
    >>> name = np.repeat(np.arange(40), 5)
    >>> result = attribute_test([[3.0, 2.0, 0.0]], values, name, artists=[0], placebos=np.arange(1, 40))
    >>> result.adjusted[0].round(3).tolist()
    [0.025, 0.275, 0.4]
    """
    if within not in get_args(Within):
        raise ValueError(f"within is {within!r}. Choose one of {', '.join(get_args(Within))}.")
    centre, table, number = (
        np.asarray(works, np.float64),
        _finite(values, "values"),
        np.asarray(name, np.int64),
    )
    if number.shape != (len(table),) or centre.ndim != 2 or centre.shape[1] != table.shape[1]:
        raise ValueError(
            f"works, values, name: shapes {centre.shape}, {table.shape}, {number.shape} disagree."
        )
    sets = SetMeans(table, number, template, rng)
    chosen, references = np.asarray(artists, np.int64), np.asarray(placebos, np.int64)
    mask = np.isfinite(centre) if tested is None else np.asarray(tested, np.bool_) & np.isfinite(centre)
    n, n_attributes = len(chosen), table.shape[1]
    own, placebo, low, high, p, adjusted = (np.full((n, n_attributes), np.nan) for _ in range(6))
    n_reference, n_left_out = np.zeros(n, np.int64), np.zeros(n, np.int64)
    statuses = []
    for i, a in enumerate(chosen.tolist()):
        others = references[references != a]
        means = sets.like(a, others)
        n_reference[i], n_left_out[i] = len(means.references), len(others) - len(means.references)
        statuses.append(
            "no works" if np.isnan(centre[a]).all()
            else "no pictures" if not means.n
            else "no placebo names with as many pictures a prompt" if not len(means.references)
            else OK
        )  # fmt: skip
        if means.n:
            own[i] = means.own
        if len(means.references):
            placebo[i] = means.references.mean(axis=0)
            low[i], high[i] = np.quantile(means.references, [0.05, 0.95], axis=0)
        if statuses[-1] == OK and mask[a].any():
            both = np.concatenate([means.own[None], means.references])[:, mask[a]]
            p[i, mask[a]], adjusted[i, mask[a]] = _pvalues(-np.abs(both - centre[a, mask[a]]), within)
    return AttributeTest(
        chosen, own, placebo, low, high, p, adjusted, n_reference, n_left_out, tuple(statuses), within
    )


@dataclass(frozen=True, eq=False)
class Means:
    """Mean of a set, and those of the reference sets of the same design.

    Attributes
    ----------
    own : ndarray, shape (K,), float64
    references : ndarray, shape (R, K), float64
    names : ndarray, shape (R,), int64
    n : int
        Pictures in each set.
    """

    own: Float64
    references: Float64
    names: Int64
    n: int


class SetMeans:
    """Means over sets of pictures with as many pictures of each template.

    Parameters
    ----------
    values : ndarray, shape (P, K), float64
    name, template : array_like, shape (P,), integers
    rng
        As in `attribute_test`.
    """

    def __init__(
        self, values: Float64, name: npt.ArrayLike, template: npt.ArrayLike | None = None, rng: Rngs = None
    ):
        self._values = values
        number = np.asarray(name, np.int64)
        label = np.zeros(len(number), np.int64) if template is None else np.asarray(template, np.int64)
        _, label = np.unique(label, return_inverse=True)
        n_names, n_templates = int(number.max(initial=-1)) + 1, int(label.max(initial=-1)) + 1
        self._counts = np.zeros((n_names, n_templates), np.int64)
        np.add.at(self._counts, (number, label), 1)
        random = one_each(rng, n_names)
        self._rows: list[list[Int64]] = [
            [random[s].permutation(np.flatnonzero((number == s) & (label == t))) for t in range(n_templates)]
            for s in range(n_names)
        ]

    def rows(self, name: int, design: Int64) -> Int64:
        """Return the rows of a set: the first in random order of each template, sorted."""
        parts = [rows[:n] for rows, n in zip(self._rows[name], design.tolist(), strict=True)]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    def like(self, own: int, references: Int64) -> Means:
        """Return the mean of a set, and those of the reference sets that have its pictures of each template."""
        width = self._values.shape[1]
        if not 0 <= own < len(self._counts) or not self._counts[own].sum():
            return Means(np.full(width, np.nan), np.empty((0, width)), np.zeros(0, np.int64), 0)
        design = self._counts[own]
        inside = references[(references >= 0) & (references < len(self._counts))]
        usable = inside[(self._counts[inside] >= design).all(axis=1)]
        means = [self._values[self.rows(s, design)].mean(axis=0) for s in [own, *usable.tolist()]]
        return Means(means[0], np.array(means[1:]).reshape(-1, width), usable, int(design.sum()))

    def design(self, name: int) -> Int64:
        """Return the number of pictures of each template."""
        design: Int64 = self._counts[name]
        return design


def _pvalues(scores: Float64, within: Within) -> tuple[Float64, Float64]:
    """Return raw and adjusted p-values of the first row of scores, shape (1 + R, K), among all rows."""
    spread = scores.std(axis=0)
    z = (scores - scores.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    reached = z[1:] >= z[0] - TIE
    raw = (1 + np.count_nonzero(reached, axis=0)) / len(z)
    if within == "holm":
        return raw, adjust(raw, method="holm")
    order = np.argsort(-z[0], kind="stable")
    most = np.maximum.accumulate(z[:, order[::-1]], axis=1)[
        :, ::-1
    ]  # over this attribute and those with less
    together = (1 + np.count_nonzero(most[1:] >= z[0, order] - TIE, axis=0)) / len(z)
    adjusted = np.empty_like(raw)
    adjusted[order] = np.maximum.accumulate(together)
    return raw, adjusted


@dataclass(frozen=True, eq=False)
class CalledAttributes:
    """Result of `call_attributes`.

    Attributes
    ----------
    pvalue : ndarray, shape (n,), float64
        Of each artist: that no attribute is nearer.
    adjusted : ndarray, shape (n,), float64
        The same, Benjamini-Hochberg over artists.
    selected : ndarray, shape (n,), bool
    level : float
        Level of the attributes of a selected artist.
    called : ndarray, shape (n, K), bool
    """

    pvalue: Float64
    adjusted: Float64
    selected: Bool
    level: float
    called: Bool


def call_attributes(adjusted: npt.ArrayLike, *, level: float = LEVEL) -> CalledAttributes:
    """Call attributes over artists, from p-values that are adjusted within each artist.

    Parameters
    ----------
    adjusted : array_like, shape (n, K)
        `AttributeTest.adjusted`. NaN if not tested.
    level : float

    Returns
    -------
    CalledAttributes

    Notes
    -----
    Benjamini & Bogomolov 2014 (doi:10.1111/rssb.12028): an artist's p-value is the smallest adjusted one; R of n are
    selected by Benjamini-Hochberg; attributes of a selected artist are called at level R / n times `level`. This
    keeps the expected share of selected artists with any falsely called attribute at or below the level.

    Examples
    --------
    >>> result = call_attributes([[0.01, 0.03], [0.02, 0.9], [0.5, 0.6]])
    >>> result.selected.tolist(), round(result.level, 4), result.called.tolist()
    ([True, True, False], 0.0333, [[True, True], [True, False], [False, False]])
    """
    table = np.asarray(adjusted, np.float64)
    p = np.min(np.where(np.isnan(table), np.inf, table), axis=1, initial=np.inf)
    p = np.where(np.isinf(p), np.nan, p)
    over = adjust(p, method="bh")
    selected = called(over, level=level)
    n = max(int(np.count_nonzero(~np.isnan(p))), 1)
    own_level = level * int(selected.sum()) / n
    calls = np.zeros(table.shape, np.bool_)
    if selected.any():
        calls[selected] = called(table[selected].ravel(), level=own_level).reshape(-1, table.shape[1])
    return CalledAttributes(p, over, selected, own_level, calls)


@dataclass(frozen=True, eq=False)
class Carried:
    """Result of `carried` for one artist and G groups of attributes.

    Attributes
    ----------
    excess : float
        Mean score of the own set minus that of the placebo sets.
    pvalue : float
        Rank of the own set's mean score among those of the placebo sets.
    alone : ndarray, shape (G,), float64
        Part of the excess that goes along with the attributes of a group alone.
    last : ndarray, shape (G,), float64
        Part that goes along with all attributes, minus that with the attributes of the other groups.
    together : float
        Part that goes along with all attributes.
    share, share_low, share_high : ndarray, shape (G + 1,), float64
        `alone` and, last, `together` as a share of the excess, with Fieller intervals. NaN if the excess is not
        clearly above 0, so that there is nothing to share, or without support.
    supported : ndarray, shape (G + 1,), bool
        Whether the own set's mean distances in a group, or in all, lie within those of the placebo names' pictures.
    auc : float
        AUC of the own pictures against the placebo names' pictures by the score.
    auc_alone : ndarray, shape (G + 1,), float64
        The same by minus the mean distance in a group, or in all, each attribute divided by its standard deviation.
    auc_without : ndarray, shape (G + 1,), float64
        The same by the score from which a group, or all, was regressed out.
    n_reference : int
    """

    excess: float
    pvalue: float
    alone: Float64
    last: Float64
    together: float
    share: Float64
    share_low: Float64
    share_high: Float64
    supported: Bool
    auc: float
    auc_alone: Float64
    auc_without: Float64
    n_reference: int


def carried(  # noqa: PLR0913
    score: npt.ArrayLike,
    distance: npt.ArrayLike,
    group: npt.ArrayLike,
    name: npt.ArrayLike,
    *,
    artist: int,
    placebos: npt.ArrayLike,
    template: npt.ArrayLike | None = None,
    confidence_level: float = 0.95,
    rng: Rngs = None,
) -> Carried:
    """Split the match of an artist's set by a score into what goes along with attributes, and the rest.

    Parameters
    ----------
    score : array_like, shape (P,)
        Of each picture for the artist, such as the score by an encoder; higher is nearer.
    distance : array_like, shape (P, K)
        Distance of each picture's attribute from the works' value.
    group : array_like, shape (K,), integers from 0
        Group of each attribute.
    name, template, rng
        As in `attribute_test`.
    artist : int
    placebos : array_like of int
    confidence_level : float

    Returns
    -------
    Carried

    Raises
    ------
    ValueError
        There are no pictures of the name, or fewer than 4 placebo sets of its design.

    Notes
    -----
    A ridge regression of the score on the distances is fitted to the pictures of placebo names, within templates; its
    penalty is chosen by generalised cross-validation (Golub, Heath & Wahba 1979). It says how the score changes with
    the attribute where the artist's name is not in play. The part of the excess is the coefficients times the
    difference of the mean distances: the explained part of the decomposition of Oaxaca (1973) and Blinder (1973). The
    interval is Fieller's (1954) for the ratio of two means, from the covariance of placebo sets.

    What it does not show: attributes that change together share what they carry. `alone` counts it for each of them,
    so the shares do not add up to 1, and `last` counts it for none. A regression on what happened to vary among placebo
    names is no experiment, and what no attribute measures is not there. Where the own set's mean distance is outside
    the middle `SUPPORT` of the placebo names' pictures, the regression knows nothing of such pictures, and no share is
    stated: with strong imitation that is common.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> name = np.repeat(np.arange(40), 10)
    >>> distance = np.abs(rng.normal(3, 1, size=(400, 2)))
    >>> distance[:10, 0] -= 2  # the artist's pictures are nearer in the first attribute
    >>> score = -distance.sum(axis=1) + rng.normal(size=400)
    >>> score[:10] += 1  # and in something else
    >>> result = carried(score, distance, [0, 1], name, artist=0, placebos=np.arange(1, 40))
    >>> bool(0.45 < result.share[0] < 0.85), bool(result.auc > result.auc_without[0] > 0.5)
    (True, True)
    """
    y, x = np.asarray(score, np.float64), _finite(distance, "distance")
    groups, number = np.asarray(group, np.int64), np.asarray(name, np.int64)
    label = np.zeros(len(y), np.int64) if template is None else np.asarray(template, np.int64)
    sets = SetMeans(x, number, label, rng)
    means = sets.like(artist, np.asarray(placebos, np.int64))
    if not means.n or len(means.names) < 4:
        raise ValueError(
            f"artist {artist}: {means.n} pictures and {len(means.names)} placebo sets of the same design. A "
            "decomposition needs pictures and at least 4 sets: add placebo names."
        )
    design = sets.design(artist)
    rows = [sets.rows(s, design) for s in [artist, *means.names.tolist()]]
    used = np.concatenate(rows)
    own = np.arange(len(used)) < means.n
    placebo = ~own
    y, x, label = y[used], x[used], label[used]
    for t in np.unique(label).tolist():
        here = label == t
        y[here] -= y[here & placebo].mean()
        x[here] -= x[here & placebo].mean(axis=0)
    ends = np.quantile(x[placebo], [(1 - SUPPORT) / 2, (1 + SUPPORT) / 2], axis=0)
    inside = (x[own].mean(axis=0) >= ends[0] - TIE) & (x[own].mean(axis=0) <= ends[1] + TIE)
    scale = x[placebo].std(axis=0)
    x = x / np.where(scale > 0, scale, 1.0)
    n_groups = int(groups.max(initial=-1)) + 1
    parts = [groups == g for g in range(n_groups)] + [np.ones(len(groups), np.bool_)]
    supported = np.array([inside[part].all() for part in parts])
    predicted = np.stack([_fitted(x[:, part], y, placebo) for part in parts])
    without = [_fitted(x[:, groups != g], y, placebo) for g in range(n_groups)]

    def by_set(each: Float64) -> Float64:
        return np.asarray(each.reshape(*each.shape[:-1], -1, means.n).mean(axis=-1))

    total, explained = by_set(y), by_set(predicted)
    difference = explained[:, 0] - explained[:, 1:].mean(axis=1)
    excess = float(total[0] - total[1:].mean())
    rest = np.array([by_set(each)[0] - by_set(each)[1:].mean() for each in without])
    share, low, high = (np.full(n_groups + 1, np.nan) for _ in range(3))
    n = len(means.names)
    for g in range(n_groups + 1):
        covariance = np.cov(explained[g, 1:], total[1:]) * (1 + 1 / n)
        if supported[g]:
            share[g], low[g], high[g] = _fieller(
                float(difference[g]), excess, covariance, n - 1, confidence_level
            )
    return Carried(
        excess=excess,
        pvalue=(1 + np.count_nonzero(total[1:] >= total[0] - TIE * max(1.0, abs(float(total[0])))))
        / len(total),
        alone=difference[:-1],
        last=difference[-1] - rest,
        together=float(difference[-1]),
        share=share,
        share_low=low,
        share_high=high,
        supported=supported,
        auc=_auc(y[own], y[placebo]),
        auc_alone=np.array(
            [_auc(-near[own], -near[placebo]) for near in (x[:, p].mean(axis=1) for p in parts)]
        ),
        auc_without=np.array([_auc((y - each)[own], (y - each)[placebo]) for each in predicted]),
        n_reference=n,
    )


def _fitted(x: Float64, y: Float64, rows: Bool) -> Float64:
    """Return the ridge regression of y on x, fitted to some rows, for all rows; both are centred there."""
    if not x.shape[1]:
        return np.zeros(len(y))
    left, size, right = np.linalg.svd(x[rows], full_matrices=False)
    along, n = left.T @ y[rows], int(np.count_nonzero(rows))
    rest = float(y[rows] @ y[rows]) - float(along @ along)

    def criterion(penalty: float) -> float:
        kept = size**2 / (size**2 + penalty * n)
        return (rest + float((((1 - kept) * along) ** 2).sum())) / (n - float(kept.sum())) ** 2

    best = min(PENALTIES.tolist(), key=criterion)
    coefficients = right.T @ (size / (size**2 + best * n) * along)
    return np.asarray(x @ coefficients)


def _fieller(
    part: float, whole: float, covariance: Float64, df: int, confidence_level: float
) -> tuple[float, float, float]:
    """Return a ratio of two normal variables and its interval; NaN if `whole` is not clearly above 0.

    `covariance` is that of the two, estimated with `df` degrees of freedom.
    """
    q = float(scipy.stats.t.ppf((1 + confidence_level) / 2, df)) ** 2
    (v_pp, v_pw), (_, v_ww) = covariance.tolist()
    a, b, c = whole**2 - q * v_ww, part * whole - q * v_pw, part**2 - q * v_pp
    if not (a > 0 and whole > 0):
        return np.nan, np.nan, np.nan
    root = float(np.sqrt(max(b * b - a * c, 0.0)))
    return part / whole, (b - root) / a, (b + root) / a


def _auc(own: Float64, others: Float64) -> float:
    ranks = scipy.stats.rankdata(np.concatenate([own, others]))
    return float((ranks[: len(own)].mean() - (len(own) + 1) / 2) / len(others))


@dataclass(frozen=True, eq=False)
class CarriedOverall:
    """Share of the excess of all artists together; see `carried_overall`.

    Attributes
    ----------
    share, low, high : float
    n : int
        Artists.
    """

    share: float
    low: float
    high: float
    n: int


def carried_overall(
    part: npt.ArrayLike, excess: npt.ArrayLike, *, confidence_level: float = 0.95
) -> CarriedOverall:
    """Estimate the share of the match that attributes carry over artists: sum of parts divided by sum of excesses.

    Parameters
    ----------
    part, excess : array_like, shape (n,)
        Of each artist. All that were tested, since a choice by the excess would bias the share.
    confidence_level : float

    Returns
    -------
    CarriedOverall
        NaN with fewer than 3 artists, or if the sum of excesses is not clearly above 0.

    Notes
    -----
    Fieller's interval over artists.

    Examples
    --------
    >>> result = carried_overall([1.0, 2.1, 1.4, 0.6], [2.0, 4.0, 3.0, 1.5])
    >>> round(result.share, 2), round(result.low, 2), round(result.high, 2)
    (0.49, 0.29, 0.54)
    """
    p, e = np.asarray(part, np.float64), np.asarray(excess, np.float64)
    n = len(p)
    if n < 3:
        return CarriedOverall(np.nan, np.nan, np.nan, n)
    share, low, high = _fieller(float(p.mean()), float(e.mean()), np.cov(p, e) / n, n - 1, confidence_level)
    return CarriedOverall(share, low, high, n)


@dataclass(frozen=True, eq=False)
class KnownProbes:
    """Result of `known_probes` for J probes.

    Attributes
    ----------
    agreement : ndarray, shape (J,), float64
        Spearman correlation of the probe with its measured counterpart over works.
    agreement_pvalue : ndarray, shape (J,), float64
        Rank of the agreement among the absolute agreements of nonsense pairs with the same counterpart.
    reliability : ndarray, shape (J,), float64
        Mean correlation between the wordings of a probe over works.
    reliability_pvalue : ndarray, shape (J,), float64
        Rank of the reliability among those of nonsense pairs.
    known : ndarray, shape (J,), bool
        Whether both p-values are at or below the level.
    n_nonsense : int
    """

    agreement: Float64
    agreement_pvalue: Float64
    reliability: Float64
    reliability_pvalue: Float64
    known: Bool
    n_nonsense: int


def known_probes(
    probes: npt.ArrayLike,
    measured: npt.ArrayLike,
    nonsense: npt.ArrayLike,
    *,
    level: float = LEVEL,
) -> KnownProbes:
    """Test whether an encoder knows what the words of probes mean, on the works at hand.

    Parameters
    ----------
    probes : array_like, shape (W, J, R)
        Value of each work by each wording of each probe, at least 2 wordings.
    measured : array_like, shape (W, J)
        Measured counterpart of each probe.
    nonsense : array_like, shape (W, N, R)
        Values by groups of R pairs of words that mean nothing.
    level : float

    Returns
    -------
    KnownProbes

    Raises
    ------
    ValueError
        Shapes disagree, or there are too few nonsense pairs for the level.

    Notes
    -----
    If the words mean no more to the encoder than nonsense does, the probe is exchangeable with the nonsense pairs, over
    the same works, however these cluster. A probe must pass both tests (Berger 1982). It may still be carried by
    another property that the works at hand mix with the measured one.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> light = rng.normal(size=60)
    >>> probes = np.stack([light[:, None] + rng.normal(size=(60, 3)), rng.normal(size=(60, 3))], axis=1)
    >>> result = known_probes(probes, np.stack([light, light], axis=1), rng.normal(size=(60, 39, 3)))
    >>> result.known.tolist()
    [True, False]
    """
    asked, truth, other = (np.asarray(each, np.float64) for each in (probes, measured, nonsense))
    if asked.ndim != 3 or other.ndim != 3 or asked.shape[2] != other.shape[2] or asked.shape[2] < 2:
        raise ValueError(
            f"probes, nonsense: shapes {asked.shape}, {other.shape}; expected (works, pairs, wordings)."
        )
    if truth.shape != asked.shape[:2] or len(other) != len(asked):
        raise ValueError(
            f"measured: expected shape {asked.shape[:2]}, not {truth.shape}, for the same works."
        )
    n = other.shape[1]
    if 1 / (1 + n) > level:
        raise ValueError(
            f"nonsense: {n} pairs cannot reach the level {level}. Use at least {int(np.ceil(1 / level)) - 1}."
        )
    agreement = np.array([_spearman(asked[:, j].mean(axis=1), truth[:, j]) for j in range(asked.shape[1])])
    reference = np.array(
        [
            [abs(_spearman(other[:, i].mean(axis=1), truth[:, j])) for i in range(n)]
            for j in range(asked.shape[1])
        ]
    ).reshape(-1, n)
    reliability = np.array([_between(asked[:, j]) for j in range(asked.shape[1])])
    between = np.array([_between(other[:, i]) for i in range(n)])
    p_agreement = (1 + np.count_nonzero(reference >= agreement[:, None] - TIE, axis=1)) / (1 + n)
    p_reliability = (1 + np.count_nonzero(between >= reliability[:, None] - TIE, axis=1)) / (1 + n)
    known = called(np.maximum(p_agreement, p_reliability), level=level)
    return KnownProbes(agreement, p_agreement, reliability, p_reliability, known, n)


def _spearman(first: Float64, second: Float64) -> float:
    return _correlation(scipy.stats.rankdata(first), scipy.stats.rankdata(second))


def _correlation(first: Float64, second: Float64) -> float:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def _between(wordings: Float64) -> float:
    """Return the mean correlation between the columns."""
    n = wordings.shape[1]
    pairs: Sequence[float] = [
        _correlation(wordings[:, i], wordings[:, j]) for i in range(n) for j in range(i)
    ]
    return float(np.mean(pairs))


def _finite(values: npt.ArrayLike, what: str) -> Float64:
    table = np.asarray(values, np.float64)
    if table.ndim != 2:
        raise ValueError(f"{what}: expected pictures x attributes, not the shape {table.shape}.")
    if not np.isfinite(table).all():
        raise ValueError(f"{what}: a value is not finite. Leave out pictures that could not be measured.")
    return table
