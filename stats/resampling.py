"""Bootstrap of mean AUCs, computed by small matrix products.

The AUC of an artist is the mean of a matrix (works x own imitations) of rank percentiles. Drawing works and
imitations with replacement weights its rows and columns by how often each was drawn, so B resamples are ``((R @ X) *
C).sum(1) / (R.sum(1) * C.sum(1))`` with R (B x works) and C (B x imitations). Each artist has its own random
generator (`imindex.stats.keyed`).

The other artists' imitations, among which the percentiles are taken, are held fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.intervals import Bootstrap, Spread, finish, satterthwaite
from imindex.stats.keyed import Rng, Rngs, one_each
from imindex.stats.set_scores import Float64, Int64, SetScores

_BLOCK = 2**22
_CACHE = 2**17  # numbers drawn at a time, so that they fit in the cache
_GATHER = 2**15  # numbers gathered from a table at a time, likewise


def draw_weights(
    n: int, n_resamples: int, rng: Rng = None, *, cluster: npt.ArrayLike | None = None
) -> Float64:
    """Draw how often each of n units occurs in each resample.

    Parameters
    ----------
    n : int
    n_resamples : int
    rng : Generator or int, optional
    cluster : array_like, shape (n,), optional
        Draw clusters (prompts) with replacement, then from each cluster drawn as many members (seeds) as it has.

    Returns
    -------
    ndarray, shape (n_resamples, n), float64
        Rows sum to n, or approximately to n with clusters of unequal size.

    Examples
    --------
    >>> draw_weights(3, 2, rng=1).sum(axis=1).tolist()
    [3.0, 3.0]
    """
    if n < 1:
        raise ValueError("There is nothing to draw from.")
    random = np.random.default_rng(rng)
    out = np.empty((n_resamples, n))
    members = None if cluster is None else _members(cluster, n)
    step = max(1, _CACHE // n)
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        if members is None:
            out[start : start + size] = _counts(_integers(random, n, (size, n)), n)
            continue
        k = len(members)
        drawn = _counts(_integers(random, k, (size, k)), k)
        for number, rows in enumerate(members):
            n_draws = drawn[:, number] * len(rows)  # members to draw from this cluster in each resample
            resample = np.repeat(np.arange(size), n_draws)
            picked = resample * len(rows) + _integers(random, len(rows), (len(resample),))
            out[start : start + size, rows] = np.bincount(picked, minlength=size * len(rows)).reshape(
                size, -1
            )
    return out


def _narrow_integers(
    random: np.random.Generator, n: int, shape: tuple[int, ...]
) -> npt.NDArray[np.uint16] | Int64:
    """Draw integers below n, with 16 bits if possible, which takes a quarter of the time and memory."""
    if n <= 2**16:
        narrow: npt.NDArray[np.uint16] = random.integers(0, n, shape, dtype=np.uint16)
        return narrow
    wide: Int64 = random.integers(0, n, shape)
    return wide


def _integers(random: np.random.Generator, n: int, shape: tuple[int, ...]) -> Int64:
    drawn: Int64 = _narrow_integers(random, n, shape).astype(np.int64)
    return drawn


def _counts(drawn: npt.NDArray[np.uint16] | Int64, n: int) -> Int64:
    flat = (drawn + n * np.arange(len(drawn))[:, None]).ravel()
    return np.bincount(flat, minlength=n * len(drawn)).reshape(len(drawn), n)


def _members(cluster: npt.ArrayLike, n: int) -> list[Int64]:
    labels = np.asarray(cluster)
    if labels.shape != (n,):
        raise ValueError(f"cluster: expected {n} labels, one per unit, not the shape {labels.shape}.")
    _, number = np.unique(labels, return_inverse=True)
    return [np.flatnonzero(number == label) for label in range(number.max() + 1)]


def crossed_bootstrap(  # noqa: PLR0913
    values: npt.ArrayLike,
    *,
    cluster: npt.ArrayLike | None = None,
    row_cluster: npt.ArrayLike | None = None,
    null: float = 0.5,
    confidence_level: float = 0.95,
    small_sample: bool = False,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> Bootstrap:
    """Bootstrap the mean of a matrix over its rows and columns.

    Parameters
    ----------
    values : array_like, shape (n, m)
        Works x imitations, such as a cell of `SetScores.own`, from 0 to 1.
    cluster : array_like, shape (m,), optional
        The prompt of each imitation. Prompts are drawn, then imitations within prompts.
    row_cluster : array_like, shape (n,), optional
        The cluster of each work, such as its near-duplicates (`imindex.stats.duplicates`). Likewise.
    null : float
        Value under the null hypothesis, for the p-value.
    confidence_level : float
    small_sample : bool
        Whether to widen the bootstrap intervals as Student's t widens the normal, see Notes. `interval` always is.
    n_resamples : int
    rng : Generator or int, optional

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        If `values` is not a matrix, is empty, or has a value that is not finite or not from 0 to 1.

    Notes
    -----
    The interval to report is `interval` (`imindex.stats.intervals.share_interval`). It takes its variance from the
    jackknife over clusters of works and over prompts, so it has no Monte-Carlo error.

    The bootstrap, which is for comparison, draws rows and columns independently (pigeonhole bootstrap, Owen 2007,
    doi:10.1214/07-AOAS122). Intervals: Efron & Tibshirani 1993, chapters 13 and 14; the acceleration of BCa is that of
    several samples, as in `scipy.stats.bootstrap`. With `small_sample`, the tail level is Phi(sqrt(n / (n - 1))
    t_{n-1}), where n is the smaller of the numbers of works and prompts (Hesterberg 2015,
    doi:10.1080/00031305.2015.1089789, "expanded percentile").

    Assumption: works are sampled from all works of the artist, imitations from all that the release could generate. The
    p-value refers to that artist's mean AUC under this sampling; it does not consider other names.

    Examples
    --------
    >>> result = crossed_bootstrap(np.linspace(0.4, 0.9, 200).reshape(10, 20), rng=1)
    >>> round(result.estimate, 3), result.percentile.low < 0.65 < result.percentile.high
    (0.65, True)
    """
    cell = _check(values)
    n, m = cell.shape
    random = np.random.default_rng(rng)
    if cluster is None and row_cluster is None:
        distribution = _crossed_means(cell, n_resamples, random)
    else:
        rows = draw_weights(n, n_resamples, random, cluster=row_cluster)
        distribution = _weighted_means(cell, rows, draw_weights(m, n_resamples, random, cluster=cluster))
    return finish(
        float(cell.mean()),
        distribution,
        (_without(cell.mean(axis=1), row_cluster), _without(cell.mean(axis=0), cluster)),
        null,
        confidence_level,
        small_sample,
    )


def bootstrap_artists(  # noqa: PLR0913
    cells: Sequence[Float64],
    *,
    clusters: Sequence[npt.ArrayLike] | None = None,
    row_clusters: Sequence[npt.ArrayLike] | None = None,
    null: float = 0.5,
    confidence_level: float = 0.95,
    small_sample: bool = True,
    n_resamples: int = 9999,
    rng: Rngs = None,
) -> tuple[Bootstrap | None, ...]:
    """Apply `crossed_bootstrap` to every artist; None for an empty cell.

    Each artist has its own generator, so its figures do not depend on the other artists.

    Parameters
    ----------
    cells : sequence of ndarray, shape (n, m)
        Such as `SetScores.own`.
    clusters : sequence of array_like, optional
        The prompts of each artist's imitations. If each imitation has its own prompt, imitations are drawn.
    row_clusters : sequence of array_like, optional
        The clusters of each artist's works, likewise.
    null, confidence_level, small_sample, n_resamples
        As in `crossed_bootstrap`.
    rng : sequence of generators (one per cell), generator or int, optional
        A single generator or seed is spawned per cell.
    """
    results: list[Bootstrap | None] = []
    for number, (values, random) in enumerate(zip(cells, one_each(rng, len(cells)), strict=True)):
        if not values.size:
            results.append(None)
            continue
        results.append(
            crossed_bootstrap(
                values,
                cluster=None if clusters is None else _unless_single(clusters[number], values.shape[1]),
                row_cluster=None
                if row_clusters is None
                else _unless_single(row_clusters[number], len(values)),
                null=null,
                confidence_level=confidence_level,
                small_sample=small_sample,
                n_resamples=n_resamples,
                rng=random,
            )
        )
    return tuple(results)


def macro_bootstrap(
    cells: Sequence[Float64],
    *,
    clusters: Sequence[npt.ArrayLike] | None = None,
    null: float = 0.5,
    confidence_level: float = 0.95,
    small_sample: bool = True,
    n_resamples: int = 9999,
    rng: Rng = None,
) -> Bootstrap:
    """Bootstrap the mean over artists of the means of their cells.

    Parameters
    ----------
    cells : sequence of ndarray, shape (n, m)
        Works x imitations, as in `bootstrap_artists`. Empty ones are left out.
    clusters : sequence of array_like, optional
        The prompts of each artist's imitations. Artists whose imitations have the same label share a prompt, which is
        drawn for all of them at once. By default nothing is shared.
    null, confidence_level, small_sample, n_resamples, rng
        As in `crossed_bootstrap`. One generator draws all artists, in their order: adding an artist changes the
        statistic itself, and also the draws.

    Returns
    -------
    Bootstrap
        `n` has the number of artists and, if artists share prompts, of prompts.

    Raises
    ------
    ValueError
        If all cells are empty.

    Notes
    -----
    The artists are a sample: the interval is for the mean over artists like these, not only over these. See
    `over_artists` for the resampling and the variance.

    Examples
    --------
    >>> cells = [np.full((3, 4), share) for share in (0.4, 0.6, 0.8)]
    >>> round(macro_bootstrap(cells, n_resamples=99, rng=1).estimate, 3)
    0.6
    """
    known = [number for number, cell in enumerate(cells) if cell.size]
    if not known:
        raise ValueError(
            "No artist has works, imitations and others' imitations, so there is no mean over artists."
        )
    values = np.concatenate([_check(cells[number]).mean(axis=0) for number in known])
    artist = np.repeat(np.arange(len(known)), [cells[number].shape[1] for number in known])
    cluster = None if clusters is None else np.concatenate([np.asarray(clusters[number]) for number in known])
    found = over_artists(values, artist, cluster)
    return finish(
        found.estimate,
        found.draw(n_resamples, np.random.default_rng(rng)),
        found.jackknives,
        null,
        confidence_level,
        small_sample,
        found.spread,
    )


@dataclass(frozen=True, eq=False)
class OverArtists:
    """The mean over artists of their mean values, and what it varies with; see `over_artists`.

    Attributes
    ----------
    estimate : float
    means : ndarray, shape (A,), float64
        Mean of each artist.
    moves : ndarray, shape (P,), float64
        How much each prompt moves the estimate; the sum is 0. Empty if no two artists share a prompt.
    spread : Spread
        Of the estimate.
    own_share : float
        What remains of the spread of `means`, as a ratio of standard deviations, without what shared prompts add to it.
    """

    estimate: float
    means: Float64
    moves: Float64
    spread: Spread
    own_share: float

    @property
    def jackknives(self) -> tuple[Float64, ...]:
        """The estimate without each artist and, if prompts are shared, without each prompt (linearised)."""
        n = len(self.moves)
        if not n:
            return (_without(self.means),)
        without_prompts = self.estimate - self.moves * n / (n - 1) if n > 1 else np.empty(0)
        return _without(self.means), without_prompts

    def draw(self, n_resamples: int, random: np.random.Generator) -> Float64:
        """Draw resamples of the estimate: of artists and, independently, of prompts, with one weight for all artists.

        Returns
        -------
        ndarray, shape (n_resamples,), float64
            From 0 to 1.
        """
        means = self.estimate + self.own_share * (self.means - self.estimate)
        out = np.empty(n_resamples)
        step = max(1, _CACHE // max(len(means), len(self.moves)))
        for start in range(0, n_resamples, step):
            size = min(step, n_resamples - start)
            drawn = means[_narrow_integers(random, len(means), (size, len(means)))].mean(axis=1)
            if len(self.moves):
                drawn += self.moves[_narrow_integers(random, len(self.moves), (size, len(self.moves)))].sum(
                    axis=1
                )
            out[start : start + size] = drawn
        return out.clip(0.0, 1.0)


def over_artists(
    values: npt.ArrayLike, artist: npt.ArrayLike, prompt: npt.ArrayLike | None = None
) -> OverArtists:
    """Estimate the mean over artists of their mean values, and its variance where artists share prompts.

    Parameters
    ----------
    values : array_like, shape (n,), float
        One value per picture, from 0 to 1.
    artist : array_like, shape (n,)
        The artist of each picture.
    prompt : array_like, shape (n,), optional
        The prompt of each picture. Pictures of several artists may have the same. By default nothing is shared.

    Returns
    -------
    OverArtists

    Notes
    -----
    The artists are a sample of artists like these, and the prompts a sample of prompts. If every artist has its own
    prompts, the spread of the artists' means contains everything that varies, and the variance is s2 / A, with s2 the
    variance of the A means. If artists share prompts, both are crossed random effects. Drawing both (pigeonhole
    bootstrap, Owen 2007) would count their interaction three times, because the means already vary with the prompts
    that were drawn. What prompts add to the spread of the means is therefore subtracted, and prompts then move the mean
    over *all* artists, with one weight for all of them:

        variance = max(0, s2 - w) / A + P / (P - 1) * (sum over prompts of the squared move of the estimate)

    The influence of a prompt on the mean of an artist is the deviation of its pictures from that mean, summed, divided
    by the artist's number of pictures. Its move is the mean influence over artists. w is the sum over prompts of the
    variance over artists of the influence, also times P / (P - 1). A prompt that moves all artists alike adds nothing
    to s2, and moves the estimate in full. Works, and seeds within a prompt, are part of s2 and of the influences.
    Degrees of freedom: Satterthwaite.

    Examples
    --------
    >>> found = over_artists([0.2, 0.8, 0.4, 1.0], [0, 0, 1, 1], [0, 1, 0, 1])
    >>> round(found.estimate, 3), found.moves.round(3).tolist()
    (0.6, [-0.15, 0.15])
    >>> alone = over_artists([0.2, 0.8, 0.4, 1.0], [0, 0, 1, 1])
    >>> round(found.spread.variance, 3), round(alone.spread.variance, 3)
    (0.1, 0.01)
    """
    flat = np.asarray(values, np.float64)
    who = np.unique(np.asarray(artist), return_inverse=True)[1]
    sizes = np.bincount(who)
    n_artists, means = len(sizes), np.bincount(who, flat) / sizes
    estimate = float(means.mean())
    total = float(means.var(ddof=1)) if n_artists > 1 else np.nan
    alone = Spread(total / n_artists, n_artists - 1, n_artists)
    if prompt is None:
        return OverArtists(estimate, means, np.empty(0), alone, 1.0)
    label = np.unique(np.asarray(prompt), return_inverse=True)[1]
    cells, cell = np.unique(label * n_artists + who, return_inverse=True)
    n_prompts = int(label.max()) + 1
    if len(cells) == n_prompts or n_artists == 1:
        return OverArtists(estimate, means, np.empty(0), alone, 1.0)
    influence = np.bincount(cell, (flat - means[who]) / sizes[who])
    moves = np.bincount(cells // n_artists, influence) / n_artists
    # P prompts drawn with replacement vary less than prompts do, by (P - 1) / P.
    correction = n_prompts / max(1, n_prompts - 1)
    shared = correction * float(moves @ moves)
    added = (correction * float(influence @ influence) - n_artists * shared) / (n_artists - 1)
    own = max(0.0, total - added)
    df = satterthwaite(
        (total / n_artists, -added / n_artists, shared),
        (n_artists - 1, (n_artists - 1) * max(1, n_prompts - 1), max(1, n_prompts - 1)),
    )
    spread = Spread(own / n_artists + shared, df, min(n_artists, n_prompts))
    return OverArtists(estimate, means, moves, spread, float(np.sqrt(own / total)) if total > 0 else 1.0)


@dataclass(frozen=True, eq=False)
class WorkTest:
    """Result of `work_test`: one-sided p-value of each artist, shape (A,), NaN if undefined."""

    statistic: Float64
    pvalue: Float64
    n_resamples: int


def work_test(scores: SetScores, *, n_resamples: int = 9999, rng: Rngs = None) -> WorkTest:
    """Test with the work as the unit of analysis: are the artist's works nearer to the set than random works are?

    Parameters
    ----------
    scores : SetScores
    n_resamples : int
    rng : sequence of A generators, generator or int, optional
        A single generator or seed is spawned per artist.

    Returns
    -------
    WorkTest

    Notes
    -----
    **Anti-conservative for real works.** The null draws each of the artist's n works from the pooled works of all
    artists, as if works by one artist were no more alike than works by different artists. In reality they are more
    alike, so a set that is near to one of them by chance is near to all: at a nominal 5 %, about 20 % of artists that
    are not imitated are detected. The test is provided because published studies use it; report `references.name_test`.
    """
    rngs = one_each(rng, len(scores.sizes))
    statistic, p = np.full(len(scores.sizes), np.nan), np.full(len(scores.sizes), np.nan)
    total = len(scores.work_artist)
    for artist in np.flatnonzero(scores.sizes > 0).tolist():
        near = scores.near(artist)
        statistic[artist] = near[scores.work_artist == artist].mean()
        drawn = _integers(rngs[artist], total, (n_resamples, int(scores.n_works[artist])))
        null = np.sort(near)[drawn].mean(axis=1)  # sorted, so that the order of the works does not matter
        p[artist] = (1 + np.count_nonzero(null >= statistic[artist] - 1e-12)) / (1 + n_resamples)
    return WorkTest(statistic, p, n_resamples)


def _check(values: npt.ArrayLike) -> Float64:
    cell = np.asarray(values, dtype=np.float64)
    if cell.ndim != 2 or not cell.size:
        raise ValueError(
            f"values: expected a non-empty matrix of works x imitations, not the shape {cell.shape}."
        )
    if not np.isfinite(cell).all():
        raise ValueError("values: a value is not finite. Leave out works and imitations without ranks.")
    if cell.min() < 0 or cell.max() > 1:
        raise ValueError("values: expected fractions from 0 to 1, such as the cells of `SetScores.own`.")
    return cell


def _crossed_means(cell: Float64, n_resamples: int, random: np.random.Generator) -> Float64:
    """Return the means of resamples of rows and columns. All rows are drawn first, then all columns."""
    drawn = [_narrow_integers(random, k, (n_resamples, k)) for k in cell.shape]
    if cell.shape[0] > cell.shape[1]:
        cell, drawn = cell.T, drawn[::-1]
    n, m = cell.shape
    out, step = np.empty(n_resamples), max(1, _GATHER // m)
    starts = m * np.arange(step)[:, None]
    for start in range(0, n_resamples, step):
        few, many = (indices[start : start + step] for indices in drawn)
        # Sum over the short side with counts as weights, then gather the drawn entries of the long side.
        sums = (_counts(few, n).astype(np.float64) @ cell).ravel()
        out[start : start + step] = sums[many + starts[: len(many)]].sum(axis=1)
    out /= n * m
    return out


def _weighted_means(cell: Float64, rows: Float64, columns: Float64) -> Float64:
    """Return the means of a matrix with weighted rows and columns, for each resample."""
    # Sum over the longer side in the matrix product, where it costs least.
    sums = (
        np.einsum("bn,bn->b", columns @ cell.T, rows)
        if len(cell) < cell.shape[1]
        else np.einsum("bm,bm->b", rows @ cell, columns)
    )
    return np.asarray(sums / (rows.sum(axis=1) * columns.sum(axis=1)))


def _unless_single(labels: npt.ArrayLike, n: int) -> npt.ArrayLike | None:
    """Return the labels of n units, or None if each has its own."""
    return None if len(np.unique(labels)) == n == len(np.asarray(labels)) else labels


def _without(means: Float64, labels: npt.ArrayLike | None = None) -> Float64:
    """Return the mean without each value, or each cluster of values, in turn; empty for a single one."""
    n = len(means)
    groups = None if labels is None else _members(labels, n)
    if groups is None or len(groups) == n:
        return (means.sum() - means) / (n - 1) if n > 1 else np.empty(0)
    if len(groups) < 2:
        return np.empty(0)
    return np.array([(means.sum() - means[rows].sum()) / (n - len(rows)) for rows in groups])
