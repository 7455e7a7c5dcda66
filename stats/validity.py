"""Can an encoder distinguish an artist at all? If not, its tests of imitation say nothing about that artist."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.keyed import Rngs, one_each
from imindex.stats.resampling import draw_weights
from imindex.stats.set_scores import Float64, Int64

POSITIVE, NEGATIVE, AMBIGUOUS = "robust positive", "robust negative", "ambiguous"
TOO_FEW = "too few works"

FEWEST = 5
"""With fewer works, the gap is not classified. In a simulation of artists that an encoder cannot distinguish at all,
35 % of those with 3 works were classified as "robust negative"; with 5 works 12 %, with 20 works 8 %."""

_BLOCK = 2**17  # values; two such float32 arrays fit in the cache
_SPAN = 128  # sorted values among which a weighted median is searched one by one
_ASYMMETRY = 1e-5

AnyFloat = npt.NDArray[np.floating]
Counts = npt.NDArray[np.float32] | Float64
Weights = npt.NDArray[np.unsignedinteger]
"""Number of times that each work (row) is drawn in each resample (column)."""
AnyWeights = Weights | Float64


@dataclass(frozen=True, eq=False)
class GapBootstrap:
    """Result of `gap_bootstrap` for A artists.

    Attributes
    ----------
    gap : ndarray, shape (A,), float64
        Median cosine within the artist, minus the largest median cosine to another artist. NaN if either is missing.
    low, high : ndarray, shape (A,), float64
        Ends of the percentile interval. NaN if there is no gap.
    nearest : ndarray, shape (A,), int64
        The other artist with the largest median, ties resolved by the lowest number; -1 if there is none.
    n_works, n_distinct : ndarray, shape (A,), int64
        Number of works, and of distinct ones: of clusters, if there are any.
    status : tuple of str, length A
        "robust positive" (low > 0): the encoder distinguishes this artist. "robust negative" (high < 0): it does not.
        "ambiguous": neither. "too few works": fewer distinct ones than `FEWEST`. Otherwise the reason for a missing
        gap: "no works", "one work" (distinct) or "no other artist".
    confidence_level : float
    """

    gap: Float64
    low: Float64
    high: Float64
    nearest: Int64
    n_works: Int64
    n_distinct: Int64
    status: tuple[str, ...]
    confidence_level: float


def gap_bootstrap(  # noqa: PLR0913
    work_similarity: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    cluster: npt.ArrayLike | None = None,
    n_rivals: int = 5,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    rng: Rngs = None,
) -> GapBootstrap:
    """Bootstrap how well an encoder distinguishes each artist's works from those of other artists.

    Parameters
    ----------
    work_similarity : array_like, shape (W, W), float
        Cosine similarities of all works, symmetric. The diagonal is not used.
    work_artist : array_like, shape (W,), integers
    n_artists : int
        Artists without works are allowed, and get a status.
    cluster : array_like, shape (W,), optional
        The cluster of each work, such as its near-duplicates (`imindex.stats.duplicates`). Works of one cluster are by
        one artist; they are drawn together, and are not compared with each other. By default each work is its own.
    n_rivals : int
        Number of other artists to resample, those with the largest median cosines.
    confidence_level : float
    n_resamples : int
    rng : sequence of n_artists generators, generator or int, optional
        The works of artist ``a`` are drawn by ``rng[a]``; a single generator or seed is spawned per artist. A gap
        therefore depends only on the draws of the artist and of its rivals.

    Returns
    -------
    GapBootstrap

    Raises
    ------
    ValueError
        If there are no works, the similarities are not square, symmetric and finite, or artist numbers are out of
        range.

    Notes
    -----
    `gap` equals `imindex.retrieval.match.discrimination.discrimination_gap`. A resample draws the works of the artist
    and of its rivals with replacement. Two copies of the same work do not count as a pair within the artist (their
    cosine is 1), and resamples of a single work are excluded. The interval is the percentile interval (Efron &
    Tibshirani 1993, chapter 13). The maximum of several medians is biased upwards, so the gaps of resamples are
    slightly too small; the error is towards "not distinguished".

    Medians are weighted: similarities are sorted once, and the weight of a pair is the product of how often each of its
    works was drawn. The draws of an artist are shared by all gaps that involve it.

    Examples
    --------
    >>> similarity = np.kron(np.eye(2), np.full((5, 5), 0.5)) + 0.25
    >>> result = gap_bootstrap(similarity, np.repeat([0, 1], 5), 2, rng=1)
    >>> result.gap.tolist(), result.status
    ([0.5, 0.5], ('robust positive', 'robust positive'))
    """
    table, artist_of = _check(work_similarity, work_artist, n_artists)
    collector = GapCollector(
        artist_of,
        n_artists,
        cluster=cluster,
        n_rivals=n_rivals,
        confidence_level=confidence_level,
        n_resamples=n_resamples,
        rng=rng,
    )
    rows = [np.flatnonzero(artist_of == a) for a in range(n_artists)]
    medians = _medians(table, rows, clusters_of(cluster, len(table)))

    def block(a: int, b: int) -> AnyFloat:
        return table[np.ix_(rows[a], rows[b])]

    for a in np.unique(artist_of).tolist():
        collector.add(a, medians[a], functools.partial(block, a))
    return collector.finish()


class GapCollector:
    """Bootstrap gaps one artist at a time; `gap_bootstrap` does this for a complete table of similarities.

    Parameters
    ----------
    work_artist : array_like, shape (W,), integers below n_artists
    n_artists : int
    cluster, n_rivals, confidence_level, n_resamples, rng
        As in `gap_bootstrap`.

    Raises
    ------
    ValueError
        If an option is out of range.

    Notes
    -----
    Memory: up to ``2 W n_resamples`` bytes for the draws, and ``8 n_resamples`` bytes for each pair of an artist and a
    rival; some 80 MB for 20,000 works of 1,000 artists with 1,000 resamples. Several threads may add artists.
    """

    def __init__(
        self,
        work_artist: npt.ArrayLike,
        n_artists: int,
        *,
        cluster: npt.ArrayLike | None = None,
        n_rivals: int = 5,
        confidence_level: float = 0.95,
        n_resamples: int = 1000,
        rng: Rngs = None,
    ) -> None:
        if n_rivals < 1 or n_resamples < 1:
            raise ValueError(
                f"n_rivals is {n_rivals} and n_resamples {n_resamples}. Pass at least 1 of each."
            )
        if not 0 < confidence_level < 1:
            raise ValueError(f"confidence_level is {confidence_level}. It must be between 0 and 1.")
        self._n_rivals, self._confidence_level, self._n_resamples = n_rivals, confidence_level, n_resamples
        artist_of = np.asarray(work_artist)
        self._n_works = np.bincount(artist_of, minlength=n_artists).astype(np.int64)
        labels = clusters_of(cluster, len(artist_of))
        self._clusters = [labels[artist_of == artist] for artist in range(n_artists)]
        self._n_distinct = np.array([len(np.unique(own)) for own in self._clusters], np.int64)
        self._weights = [
            _narrow(draw_weights(len(own), n_resamples, random, cluster=own if n < len(own) else None).T)
            if n
            else np.empty((0, 0), np.uint16)
            for own, n, random in zip(
                self._clusters, self._n_distinct.tolist(), one_each(rng, n_artists), strict=True
            )
        ]
        self._gap, self._low, self._high = np.full((3, n_artists), np.nan)
        self._nearest = np.full(n_artists, -1)
        self._between: dict[tuple[int, int], Float64] = {}

    def rivals(self, artist: int, medians: Float64) -> list[int]:
        """Return the other artists with the largest medians, in that order; ties are resolved by the lowest number.

        Parameters
        ----------
        artist : int
        medians : ndarray, shape (A,), float64
            As in `add`.
        """
        others = _others(artist, medians)
        chosen = np.argsort(-others, kind="stable")[: self._n_rivals]
        return chosen[others[chosen] > -np.inf].tolist()  # type: ignore[no-any-return]

    def add(self, artist: int, medians: Float64, block: Callable[[int], AnyFloat]) -> None:
        """Bootstrap the gap of one artist.

        Parameters
        ----------
        artist : int
            An artist with works. Each is added once.
        medians : ndarray, shape (A,), float64
            Median similarity of the artist's works to those of each artist; for the artist itself, over the pairs of
            works of different clusters. NaN if there is no pair.
        block : callable
            Takes the number of an artist (this one, or one of its `rivals`), and returns the similarities of this
            artist's works to the works of that artist, shape (n, m), both in ascending order.
        """
        rivals = self.rivals(artist, medians)
        if not rivals:
            return
        self._nearest[artist] = rivals[0]
        self._gap[artist] = gap = medians[artist] - medians[rivals[0]]
        if not np.isfinite(gap):
            return
        highest = np.full(self._n_resamples, -np.inf)
        for rival in rivals:
            pair = (min(artist, rival), max(artist, rival))
            if pair not in self._between:
                self._between[pair] = medians_between(
                    block(rival), self._weights[artist], self._weights[rival]
                )
            np.maximum(highest, self._between[pair], out=highest)
        gaps = medians_within(block(artist), self._weights[artist], self._clusters[artist]) - highest
        gaps = gaps[np.isfinite(gaps)]
        if len(gaps):
            tail = (1 - self._confidence_level) / 2
            self._low[artist], self._high[artist] = np.quantile(gaps, [tail, 1 - tail])

    def finish(self) -> GapBootstrap:
        """Return the gaps of the artists that were added."""
        return GapBootstrap(
            gap=self._gap,
            low=self._low,
            high=self._high,
            nearest=self._nearest,
            n_works=self._n_works,
            n_distinct=self._n_distinct,
            status=tuple(
                _missing(n, nearest < 0) or _class(n, low, high)
                for n, nearest, low, high in zip(
                    self._n_distinct.tolist(),
                    self._nearest.tolist(),
                    self._low.tolist(),
                    self._high.tolist(),
                    strict=True,
                )
            ),
            confidence_level=self._confidence_level,
        )


@dataclass(frozen=True, eq=False)
class Ceiling:
    """Result of `ceiling` for W works and A artists.

    Attributes
    ----------
    auc : ndarray, shape (A,), float64
        Mean over the artist's works; 0.5 is chance. NaN if the artist has fewer than 2 works, or no other artist has
        any.
    work_auc : ndarray, shape (W,), float64
    macro : float
        Mean over the artists with an AUC. NaN without any.
    n_works : ndarray, shape (A,), int64
    status : tuple of str, length A
        "ok", or the reason for a missing AUC: "no works", "one work" or "no other artist".
    """

    auc: Float64
    work_auc: Float64
    macro: float
    n_works: Int64
    status: tuple[str, ...]


def ceiling(
    work_similarity: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    cluster: npt.ArrayLike | None = None,
) -> Ceiling:
    """Compute the AUC of an imitation that is as near to the artist's works as these are to each other.

    Parameters
    ----------
    work_similarity : array_like, shape (W, W), float
        Cosine similarities of all works, symmetric. The diagonal is not used.
    work_artist : array_like, shape (W,), integers
    n_artists : int
    cluster : array_like, shape (W,), optional
        As in `gap_bootstrap`. A work does not rank the other works of its cluster.

    Returns
    -------
    Ceiling

    Raises
    ------
    ValueError
        As in `gap_bootstrap`.

    Notes
    -----
    Leave-one-out: each work ranks all other works, and its AUC is the probability that a work of the same artist is
    nearer than one of another artist, with ties counting one half (Mann & Whitney 1947). Since the ranked pictures are
    works and not imitations, an AUC among imitations can exceed it. Near-duplicates that are not in `cluster` raise it.

    Examples
    --------
    >>> similarity = np.kron(np.eye(2), np.full((3, 3), 0.5)) + 0.25
    >>> ceiling(similarity, [0, 0, 0, 1, 1, 1], 2).auc.tolist()
    [1.0, 1.0]
    """
    table, artist_of = _check(work_similarity, work_artist, n_artists)
    collector = CeilingCollector(artist_of, n_artists, cluster=cluster)
    for artist in np.unique(artist_of).tolist():
        own = artist_of == artist
        collector.add(artist, table[np.ix_(own, own)], table[np.ix_(own, ~own)])
    return collector.finish()


class CeilingCollector:
    """Compute the ceiling one artist at a time; `ceiling` does this for a complete table of similarities.

    Parameters
    ----------
    work_artist : array_like, shape (W,), integers below n_artists
    n_artists : int
    cluster : array_like, shape (W,), optional
        As in `ceiling`.

    Notes
    -----
    Several threads may add artists.
    """

    def __init__(
        self, work_artist: npt.ArrayLike, n_artists: int, *, cluster: npt.ArrayLike | None = None
    ) -> None:
        self._artist_of = np.asarray(work_artist)
        self._cluster = clusters_of(cluster, len(self._artist_of))
        self._n_works = np.bincount(self._artist_of, minlength=n_artists).astype(np.int64)
        self._twice = np.zeros(len(self._artist_of), np.int64)
        self._added = np.zeros(n_artists, np.bool_)

    def add(self, artist: int, own: AnyFloat, others: AnyFloat) -> None:
        """Rank an artist's own works among works of other artists.

        Parameters
        ----------
        artist : int
        own : ndarray, shape (n, n)
            Similarities between the artist's works, in ascending order of the works.
        others : ndarray, shape (n, m)
            Similarities to works of other artists. They may be added in several calls, each work once.
        """
        self._added[artist] = True
        if len(own) < 2 or not others.shape[1]:
            return
        rows, ordered = np.flatnonzero(self._artist_of == artist), np.sort(others, axis=1)
        for work, (line, same) in enumerate(zip(ordered, own, strict=True)):
            same = same[self._cluster[rows] != self._cluster[rows[work]]]
            twice = line.searchsorted(same, "left").sum() + line.searchsorted(same, "right").sum()
            self._twice[rows[work]] += twice

    def finish(self) -> Ceiling:
        """Return the AUCs of the works that were added; NaN for those of other artists."""
        n, n_works = len(self._artist_of), self._n_works
        work_auc, auc = np.full(n, np.nan), np.full(len(n_works), np.nan)
        number, size = np.unique(self._cluster, return_inverse=True, return_counts=True)[1:]
        n_distinct = np.array([len(np.unique(number[self._artist_of == a])) for a in range(len(n_works))])
        for artist in np.flatnonzero(self._added & (n_distinct > 1) & (n_works < n)).tolist():
            own = self._artist_of == artist
            pairs = (n - int(n_works[artist])) * (n_works[artist] - size[number[own]])
            work_auc[own] = self._twice[own] / (2 * pairs)
            auc[artist] = work_auc[own].mean()
        ok = np.isfinite(auc)
        return Ceiling(
            auc=auc,
            work_auc=work_auc,
            macro=float(auc[ok].mean()) if ok.any() else np.nan,
            n_works=n_works,
            status=tuple(
                _missing(k, whole == n) or "ok"
                for k, whole in zip(n_distinct.tolist(), n_works.tolist(), strict=True)
            ),
        )


def _check(
    work_similarity: npt.ArrayLike, work_artist: npt.ArrayLike, n_artists: int
) -> tuple[AnyFloat, Int64]:
    table, artist_of = np.asarray(work_similarity), np.asarray(work_artist)
    if table.dtype.kind != "f":
        table = table.astype(np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"work_similarity: expected works x works, not the shape {table.shape}.")
    if not len(table):
        raise ValueError(
            "work_similarity: no works, so there is nothing to distinguish. Add works to the index."
        )
    if not np.isfinite(table).all():
        raise ValueError("work_similarity: a value is NaN or infinite. Leave out works without a vector.")
    if max(np.abs(row - column).max() for row, column in zip(table, table.T, strict=True)) > _ASYMMETRY:
        raise ValueError("work_similarity: not symmetric. Pass the similarities between all pairs of works.")
    if artist_of.shape != (len(table),) or artist_of.dtype.kind not in "iu":
        raise ValueError(f"work_artist: expected {len(table)} integers, one per work.")
    if artist_of.min() < 0 or artist_of.max() >= n_artists:
        raise ValueError(f"work_artist: a number is not within 0 to {n_artists - 1}.")
    return table, artist_of.astype(np.int64)


def _others(artist: int, medians: Float64) -> Float64:
    """Return the medians to other artists, with -inf for missing ones and for the artist itself."""
    others = np.where(np.isnan(medians), -np.inf, medians)
    others[artist] = -np.inf
    return others


def _narrow(weights: Float64) -> Weights:
    """Convert counts to the smallest unsigned integers that hold them."""
    return np.ascontiguousarray(weights, np.min_scalar_type(int(weights.max())))


def _missing(n_works: int, alone: bool) -> str:
    return "no works" if n_works == 0 else "one work" if n_works == 1 else "no other artist" if alone else ""


def _class(n_works: int, low: float, high: float) -> str:
    if n_works < FEWEST:
        return TOO_FEW
    return POSITIVE if low > 0 else NEGATIVE if high < 0 else AMBIGUOUS


def clusters_of(cluster: npt.ArrayLike | None, n: int) -> Int64:
    """Return a number for the cluster of each of n works; without clusters, each work has its own.

    Raises
    ------
    ValueError
        If there is not one label per work.
    """
    if cluster is None:
        return np.arange(n)
    labels = np.asarray(cluster)
    if labels.shape != (n,):
        raise ValueError(f"cluster: expected {n} labels, one per work, not the shape {labels.shape}.")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _medians(table: AnyFloat, rows: list[Int64], cluster: Int64) -> Float64:
    """Return the median similarity of each pair of artists (within one artist, of different clusters), or NaN."""
    n_artists = len(rows)
    medians = np.full((n_artists, n_artists), np.nan)
    for a, own in enumerate(rows):
        own_rows = table[own]
        pairs = own_rows[:, own][different(cluster[own])]
        if len(pairs):
            medians[a, a] = np.median(pairs.astype(np.float64))
        for b in range(a + 1, n_artists):
            if len(own) and len(rows[b]):
                medians[a, b] = medians[b, a] = np.median(own_rows[:, rows[b]].astype(np.float64))
    return medians


def different(cluster: Int64) -> npt.NDArray[np.bool_]:
    """Return which pairs of works below the diagonal belong to different clusters, shape (n, n)."""
    pairs: npt.NDArray[np.bool_] = np.tri(len(cluster), k=-1, dtype=np.bool_)
    pairs &= cluster[:, None] != cluster[None]
    return pairs


def medians_between(block: AnyFloat, left: AnyWeights, right: AnyWeights) -> Float64:
    """Return the median of a block in each of B resamples of its rows and columns.

    Parameters
    ----------
    block : ndarray, shape (n, m)
    left, right : ndarray, shapes (n, B) and (m, B), integer or float64
        How often each resample draws each row, and each column.

    Returns
    -------
    ndarray, shape (B,), float64
    """
    i, j = np.indices(block.shape).reshape(2, -1)
    return _weighted_medians(block.ravel(), (left, i), (right, j))


def medians_within(block: AnyFloat, weights: AnyWeights, cluster: Int64 | None = None) -> Float64:
    """Return the median over pairs of different works, or works of different clusters, in each of B resamples.

    Parameters
    ----------
    block : ndarray, shape (n, n)
        Symmetric.
    weights : ndarray, shape (n, B), integer or float64
        How often each resample draws each work.
    cluster : ndarray, shape (n,), int64, optional

    Returns
    -------
    ndarray, shape (B,), float64
        NaN in resamples of a single work or cluster.
    """
    i, j = np.nonzero(different(np.arange(len(block)) if cluster is None else cluster))
    return _weighted_medians(block[i, j], (weights, i), (weights, j))


def _weighted_medians(
    values: AnyFloat, left: tuple[AnyWeights, Int64], right: tuple[AnyWeights, Int64]
) -> Float64:
    """Return the median in each of B resamples of values with weights ``left[0][left[1]] * right[0][right[1]]``."""
    order = np.argsort(values, kind="stable")
    ordered = np.append(values[order], np.nan).astype(np.float64)
    n_resamples = left[0].shape[1]
    # Counts are integers, which float32 represents exactly as long as their sum is below 2**24.
    small = len(left[0]) * len(right[0]) < 2**24
    a, b = (weights.astype(np.float32 if small else np.float64) for weights, _ in (left, right))
    i, j = left[1][order], right[1][order]
    out = np.empty(n_resamples)
    for span in _spans((a, i), (b, j)):
        rows, columns = i[span.start : span.stop], j[span.start : span.stop]
        step = max(1, _BLOCK // len(rows))
        for first in range(0, len(span.resamples), step):
            chosen = span.resamples[first : first + step]
            cumulative: Counts = a[:, chosen][rows]
            cumulative *= b[:, chosen][columns]
            np.cumsum(cumulative, axis=0, out=cumulative)
            cumulative += span.below[first : first + step]
            total = cumulative[-1] if span.total is None else span.total[first : first + step]
            # The two middle values out of `total`, counted from 0.
            low = span.start + (cumulative <= np.floor((total - 1) / 2)).sum(axis=0)
            high = span.start + (cumulative <= np.floor(total / 2)).sum(axis=0)
            out[chosen] = (ordered[low] + ordered[high]) / 2
    return out


@dataclass(frozen=True, eq=False)
class _Span:
    """Resamples whose two middle values lie in the same range of the sorted values.

    Attributes
    ----------
    start, stop : int
        The range.
    resamples : ndarray, shape (b,), int64
    below : ndarray, shape (b,)
        Number of values of each resample before the range.
    total : ndarray, shape (b,), or None
        Number of values of each resample. None if the range comprises all values.
    """

    start: int
    stop: int
    resamples: Int64
    below: Counts
    total: Counts | None


def _spans(left: tuple[Counts, Int64], right: tuple[Counts, Int64]) -> Iterator[_Span]:
    """Narrow down by bisection where the middle values of each resample lie.

    The number of values of a resample before a position in the sorted order is a sum over pairs of works,
    ``sum_ij a_i [position of (i, j) is smaller] b_j``: for many resamples at once, a product of matrices.
    """
    (a, i), (b, j) = left, right
    n = len(i)
    everybody = np.arange(a.shape[1])
    if n <= _SPAN:
        yield _Span(0, n, everybody, np.zeros(len(everybody), a.dtype), None)
        return
    position = np.full((len(a), len(b)), n, np.int64)  # pairs without a value come last
    position[i, j] = np.arange(n)

    def before(stop: int, resamples: Int64) -> Counts:
        counts: Counts = np.matmul((position < stop).astype(a.dtype), b[:, resamples])
        counts *= a[:, resamples]
        return counts.sum(axis=0)  # type: ignore[no-any-return]

    todo = [_Span(0, n, everybody, np.zeros(len(everybody), a.dtype), before(n, everybody))]
    while todo:
        span = todo.pop()
        if span.stop - span.start <= _SPAN:
            yield span
            continue
        assert span.total is not None
        middle = (span.start + span.stop) // 2
        counts = before(middle, span.resamples)
        later = counts <= np.floor((span.total - 1) / 2)
        earlier = counts > np.floor(span.total / 2)
        for start, stop, here in ((span.start, middle, earlier), (middle, span.stop, later)):
            if here.any():
                below = counts[here] if start == middle else span.below[here]
                todo.append(_Span(start, stop, span.resamples[here], below, span.total[here]))
        here = ~(later | earlier)  # the two middle values are on either side
        if here.any():
            yield _Span(span.start, span.stop, span.resamples[here], span.below[here], span.total[here])
