"""How near an artist's imitations come to that artist's works.

For each work all imitations, of every artist, are ranked by exact similarity (`imindex.retrieval.vectors.similarity`).
An artist whose name made no difference would find the own imitations anywhere in that ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from imindex.retrieval.match.counting import counted_ranks
from imindex.retrieval.match.ranking import (
    Part,
    Sides,
    csls_penalties,
    every_part,
    every_rank,
    label_bits,
    sorted_ranks,
)
from imindex.retrieval.match.similarity_pass import Block
from imindex.retrieval.vectors.blocks import Float64, Int32, Int64
from imindex.retrieval.vectors.checks import check_artists, check_pair
from imindex.retrieval.vectors.exact_sums import mean

OK = "ok"


@dataclass(frozen=True, eq=False)
class Figures:
    """How well works find the own imitations: an array each, a value for each work or artist, or one.

    NaN where the artist has no works or no imitations, or where nobody else has imitations.

    Attributes
    ----------
    auc : ndarray of float64
        Probability that an own imitation is nearer than another artist's, ties counted one half. Chance 0.5.
    rank_percentile : ndarray of float64
        Mean over the own imitations of (rank - 1) / (M - 1), ties at their mean rank: 0 is the nearest,
        1 the furthest. Chance 0.5, with ties too.
    reciprocal_rank : ndarray of float64
        1 / rank of the nearest own imitation, all that tie with it and are not own before it.
    average_precision : ndarray of float64
        Mean over the own imitations of the share of own ones among all that are at least as near
        (scikit-learn's `average_precision_score`). Chance is about the share of own imitations.
    recall : mapping from k to ndarray of float64
        Share of the own imitations that are within the first k; at most k / n_own. Chance k / M.
        Within a tie those not own come first.
    hit : mapping from k to ndarray of float64
        1 where any own imitation is within the first k, else 0 (metric learning calls this Recall@k).
    """

    auc: Float64
    rank_percentile: Float64
    reciprocal_rank: Float64
    average_precision: Float64
    recall: Mapping[int, Float64]
    hit: Mapping[int, Float64]


@dataclass(frozen=True, eq=False)
class Match:
    """What `match` found: W works, M imitations, A artists.

    Attributes
    ----------
    works : Figures, shape (W,)
    artists : Figures, shape (A,)
        Means over the artist's works.
    macro : Figures, shape ()
        Means over the artists whose status is "ok".
    n_works, n_imitations : ndarray, shape (A,), int64
    status : tuple of str, length A
        "ok", or why the artist has no figures: "no works", "no imitations", "no works, no imitations",
        "no imitations by others".
    auc_matrix : ndarray, shape (A, A), float64
        Row a, column b: AUC of the imitations of b against all other imitations, mean over the works of a.
        Its diagonal is ``artists.auc``. NaN in rows without works, and in columns without imitations or
        with all of them; off the diagonal also where it was not asked for.
    csls_k : int or None
        How many works a hubness correction was taken over; None where there was none.
    ranks : ndarray, shape (W, M), int32, or None
        Rank of every imitation for every work, 1 the nearest: how many score at least as high.
    """

    works: Figures
    artists: Figures
    macro: Figures
    n_works: Int64
    n_imitations: Int64
    status: tuple[str, ...]
    auc_matrix: Float64
    csls_k: int | None
    ranks: Int32 | None


def match(  # noqa: PLR0913
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    imitations: npt.ArrayLike,
    imitation_artist: npt.ArrayLike,
    n_artists: int,
    *,
    csls_k: int | None = None,
    recall_at: Sequence[int] = (1, 5, 10, 50),
    matrix: bool = True,
    keep_ranks: bool = False,
    observe: Callable[[Int64, Int32], None] | None = None,
) -> Match:
    """Rank all imitations for each work, exactly, and sum up where the own ones stand.

    Parameters
    ----------
    works : array_like, shape (W, d), float16, unit norm
    work_artist : array_like, shape (W,), integers
    imitations : array_like, shape (M, d), float16, unit norm
    imitation_artist : array_like, shape (M,), integers
        The artist whose name was in the prompt.
    n_artists : int
        Artists without works or without imitations are allowed, and get a status.
    csls_k : int, optional
        Correct for hubs, imitations that are near to everything: order by ``2 cos(x, y) - r_k(x) - r_k(y)``
        in place of cos(x, y), see Notes. 15 is usual.
    recall_at : sequence of int
        The k of recall and hit.
    matrix : bool
        Whether to fill `auc_matrix`. Without it only its diagonal is found, the rest is NaN, and nothing else
        changes: own imitations are then counted, not sorted, for a fraction of the time of the product.
    keep_ranks : bool
        Keep the rank of every imitation for every work: 4 W M bytes.
    observe : callable, optional
        Called block by block with the rows of works, and twice the midrank from below of every imitation for
        each (rows, M), as `imindex.stats.set_scores.Collector.add` takes them.

    Returns
    -------
    Match

    Raises
    ------
    ValueError
        No works or no imitations at all; not float16 unit vectors; artist numbers out of range.

    Notes
    -----
    CSLS (Lample et al. 2018, arXiv:1710.04087): r_k(y) is the mean cosine of imitation y to its k nearest
    works, r_k(x) that of work x to its k nearest imitations; with fewer than k works, all of them.
    r_k(x) is the same for all imitations that a work ranks, so it can change no rank and is not computed.
    The order is that of ``2 k cos(x, y) - k r_k(y)`` in whole numbers of 2**-48, without rounding.

    Counts, ranks and sums of ranks are whole numbers, means are exactly rounded sums: nothing depends on
    the order of the rows, on the blocks or on the machine.

    Examples
    --------
    >>> import numpy as np
    >>> works = np.array([[1, 0], [0, 1]], np.float16)
    >>> imitations = np.array([[0.8, 0.6], [0.6, 0.8], [0, 1]], np.float16)
    >>> result = match(works, [0, 1], imitations, [0, 1, 1], 2, recall_at=[1], keep_ranks=True)
    >>> result.ranks.tolist(), result.artists.auc.tolist(), result.artists.recall[1].tolist()
    ([[1, 2, 3], [3, 2, 1]], [1.0, 1.0], [1.0, 0.5])
    """
    left, right = check_pair(works, imitations, ("works", "imitations"))
    if not len(left) or not len(right):
        missing = "works" if not len(left) else "imitations"
        raise ValueError(f"{missing}: none given, so there is nothing to match. Add {missing} to the index.")
    artist_of = check_artists(work_artist, len(left), n_artists, "work_artist")
    imitated = check_artists(imitation_artist, len(right), n_artists, "imitation_artist")
    csls_k, penalties = csls_penalties(left, right, csls_k)
    ranking = Ranking(
        artist_of,
        imitated,
        n_artists,
        csls_k=csls_k,
        recall_at=recall_at,
        matrix=matrix,
        keep_ranks=keep_ranks,
    )
    sides = Sides(left, artist_of, right, imitated, n_artists, csls_k, penalties)
    whole = keep_ranks or observe is not None
    for part in every_rank(sides, ranking.ranks, observe) if whole else _quickest(sides, matrix):
        ranking.add_part(part)
    return ranking.finish()


class Ranking:
    """Sums up where the own imitations stand, work by work: an observer of `imindex.retrieval.match.similarity_pass`.

    Parameters
    ----------
    work_artist : ndarray, shape (W,), int64
    imitation_artist : ndarray, shape (M,), int64
    n_artists : int
    csls_k : int, optional
        As the blocks have it.
    recall_at, matrix, keep_ranks
        As for `match`. Memory: some 8 (4 + 2 k) W + 8 A**2 bytes, and 4 W M more for the ranks.

    Raises
    ------
    ValueError
        A k of `recall_at` that is below 1.
    """

    def __init__(
        self,
        work_artist: Int64,
        imitation_artist: Int64,
        n_artists: int,
        *,
        csls_k: int | None = None,
        recall_at: Sequence[int] = (1, 5, 10, 50),
        matrix: bool = True,
        keep_ranks: bool = False,
    ):
        recall_at = tuple(recall_at)
        if recall_at and min(recall_at) < 1:
            raise ValueError(f"recall_at is {recall_at}. Each k must be at least 1.")
        self._artist_of, self._n_artists = work_artist, n_artists
        self._csls_k, self._matrix = csls_k, matrix
        self._n_works, self._n_imitations = (
            np.bincount(artist, minlength=n_artists) for artist in (work_artist, imitation_artist)
        )
        self._m = len(imitation_artist)
        self._per_work = _unfilled(len(work_artist), recall_at)
        # Twice the Mann-Whitney U, summed over works.
        self._wins = np.zeros((n_artists, n_artists), np.int64)
        self.ranks = np.empty((len(work_artist), self._m), np.int32) if keep_ranks else None

    def add(self, rows: Int64, *seen: Block) -> None:
        """See the ranks of some works."""
        (block,) = seen
        if self.ranks is not None:
            self.ranks[rows[:, None], block.columns.order] = block.rank
        for part in every_part(rows, block):
            self.add_part(part)

    def add_part(self, part: Part) -> None:
        """Add some works of one artist, all of them ranked."""
        if self._matrix and part.every_u is not None:
            self._wins[part.artist] += part.every_u.sum(axis=0)
        else:
            self._wins[part.artist, part.artist] += part.u.sum()
        if 0 < part.own.shape[1] < self._m:
            _fill(self._per_work, part.rows, part.own, part.u, self._m)

    def finish(self) -> Match:
        """Return the figures of all works that were added."""
        n_works, n_imitations, m = self._n_works, self._n_imitations, self._m
        pairs = n_imitations * (m - n_imitations)
        auc_matrix = _ratio(self._wins, 2 * pairs[None, :] * n_works[:, None])
        if not self._matrix:
            auc_matrix[~np.eye(self._n_artists, dtype=np.bool_)] = np.nan
        by_artist = [np.flatnonzero(self._artist_of == artist) for artist in range(self._n_artists)]
        artists = _each(self._per_work, lambda values: np.array([mean(values[rows]) for rows in by_artist]))
        artists = replace(artists, auc=np.diagonal(auc_matrix).copy())
        ok = np.flatnonzero((n_works > 0) & (pairs > 0))
        return Match(
            works=self._per_work,
            artists=artists,
            macro=_each(artists, lambda values: np.array(mean(values[ok]))),
            n_works=n_works,
            n_imitations=n_imitations,
            status=tuple(
                _status(w, i, m) for w, i in zip(n_works.tolist(), n_imitations.tolist(), strict=True)
            ),
            auc_matrix=auc_matrix,
            csls_k=self._csls_k,
            ranks=self.ranks,
        )


def _quickest(sides: Sides, matrix: bool) -> Iterator[Part]:
    """Where the own imitations stand, and with the matrix those of all artists, by the quickest way that can tell."""
    most = int(sides.n_imitations.max())
    if not matrix and most <= 8192 and 16 * most <= len(sides.imitations):
        return counted_ranks(sides)
    return every_rank(sides) if label_bits(sides) is None else sorted_ranks(sides)


def _unfilled(n: int, ks: Sequence[int]) -> Figures:
    def nan() -> Float64:
        return np.full(n, np.nan)

    return Figures(nan(), nan(), nan(), nan(), {k: nan() for k in ks}, {k: nan() for k in ks})


def _fill(figures: Figures, rows: Int64, own_rank: Int32, own_u: Int64, m: int) -> None:
    """Write the figures of some works of one artist, given the ranks of the own imitations (rows, n)."""
    n = own_rank.shape[1]
    rank = np.sort(own_rank, axis=1).astype(np.int64)
    # How many own imitations are at least as near as each: the place where its tie ends.
    upto = np.broadcast_to(np.arange(1, n + 1), rank.shape).copy()
    upto[:, :-1][rank[:, :-1] == rank[:, 1:]] = n
    backwards = upto[:, ::-1]
    np.minimum.accumulate(backwards, axis=1, out=backwards)
    # The place of each in the worst order of the ties: those not own come first.
    worst = rank - upto + np.arange(1, n + 1)
    figures.auc[rows] = _ratio(own_u, np.array(2 * n * (m - n)))
    figures.rank_percentile[rows] = _ratio(2 * n * m - n * (n + 1) - own_u, np.array(2 * n * (m - 1)))
    figures.reciprocal_rank[rows] = 1.0 / worst[:, 0]
    figures.average_precision[rows] = [mean(row) for row in upto / rank]
    for k in figures.recall:
        found = (worst <= k).sum(axis=1)
        figures.recall[k][rows] = found / n
        figures.hit[k][rows] = found > 0


def _ratio(numerator: Int64, denominator: Int64) -> Float64:
    """Divide whole numbers; NaN where the denominator is 0."""
    out: Float64 = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _each(figures: Figures, function: Callable[[Float64], Float64]) -> Figures:
    return Figures(
        auc=function(figures.auc),
        rank_percentile=function(figures.rank_percentile),
        reciprocal_rank=function(figures.reciprocal_rank),
        average_precision=function(figures.average_precision),
        recall={k: function(values) for k, values in figures.recall.items()},
        hit={k: function(values) for k, values in figures.hit.items()},
    )


def _status(n_works: int, n_imitations: int, m: int) -> str:
    missing = [name for name, n in (("no works", n_works), ("no imitations", n_imitations)) if n == 0]
    if not missing and n_imitations == m:
        missing = ["no imitations by others"]
    return ", ".join(missing) or OK
