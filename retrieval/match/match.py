"""Rank imitations for each work, and compute figures from the ranks of the artist's own imitations.

The imitations of all artists are ranked by their exact similarity to each work
(`imindex.retrieval.vectors.similarity`). If an artist's name has no effect, the own imitations are spread evenly over
this ranking. "Own" means made from the name of the work's artist.
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
    """Retrieval metrics of the own imitations: arrays with a value for each work or artist, or scalars.

    NaN if the artist has no works or no imitations, or if no other artist has imitations.

    Attributes
    ----------
    auc : ndarray of float64
        Probability that an own imitation is nearer than another artist's, ties counting one half. Chance is 0.5.
    rank_percentile : ndarray of float64
        Mean over the own imitations of (rank - 1) / (M - 1), with mean ranks for ties: 0 is the nearest, 1 the
        furthest. Chance is 0.5, also with ties.
    reciprocal_rank : ndarray of float64
        1 / rank of the nearest own imitation. In a tie, imitations of other artists rank first.
    average_precision : ndarray of float64
        Mean over the own imitations of the fraction of own imitations among all that are at least as near
        (scikit-learn's `average_precision_score`). Chance is about the fraction of own imitations.
    recall : mapping from k to ndarray of float64
        Fraction of the own imitations that are among the first k; at most k / n_own. Chance is k / M. In a tie,
        imitations of other artists rank first.
    hit : mapping from k to ndarray of float64
        1 if any own imitation is among the first k, else 0 (Recall@k in metric learning).
    """

    auc: Float64
    rank_percentile: Float64
    reciprocal_rank: Float64
    average_precision: Float64
    recall: Mapping[int, Float64]
    hit: Mapping[int, Float64]


@dataclass(frozen=True, eq=False)
class Match:
    """Result of `match`: W works, M imitations, A artists.

    Attributes
    ----------
    works : Figures, shape (W,)
    artists : Figures, shape (A,)
        Means over the artist's works.
    macro : Figures, shape ()
        Means over the artists with status "ok".
    n_works, n_imitations : ndarray, shape (A,), int64
    status : tuple of str, length A
        "ok", or the reason why the artist has no figures: "no works", "no imitations", "no works, no imitations",
        "no imitations by others".
    auc_matrix : ndarray, shape (A, A), float64
        Row a, column b: AUC of the imitations of b against all other imitations, mean over the works of a. The diagonal
        is ``artists.auc``. NaN in rows without works, in columns with no imitations or all imitations, and off the
        diagonal if the matrix was not requested.
    csls_k : int or None
        Number of neighbours in the hubness correction; None without a correction.
    ranks : ndarray, shape (W, M), int32, or None
        Rank of each imitation for each work: the number of imitations with at least the same score. 1 is the nearest.
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
    """Rank all imitations for each work, exactly, and compute figures from the ranks of the own imitations.

    Parameters
    ----------
    works : array_like, shape (W, d), float16, unit norm
    work_artist : array_like, shape (W,), integers
    imitations : array_like, shape (M, d), float16, unit norm
    imitation_artist : array_like, shape (M,), integers
        The artist whose name was in the prompt.
    n_artists : int
        Artists without works or imitations are allowed; their `status` says so.
    csls_k : int, optional
        Correct for hubs, imitations that are near all works: rank by ``2 cos(x, y) - r_k(x) - r_k(y)`` instead of
        cos(x, y), see Notes. 15 is usual.
    recall_at : sequence of int
        The values of k for recall and hit.
    matrix : bool
        Whether to fill `auc_matrix`. If False, only its diagonal is computed and the rest is NaN. Nothing else changes,
        and it is faster: own imitations are counted instead of sorted, in a fraction of the time of the product.
    keep_ranks : bool
        Whether to keep the rank of each imitation for each work: 4 W M bytes.
    observe : callable, optional
        Called for each block with the rows of its works, and twice the midranks from below of all imitations for each
        of them, shape (rows, M), as `imindex.stats.set_scores.Collector.add` takes them.

    Returns
    -------
    Match

    Raises
    ------
    ValueError
        If there are no works or no imitations, the vectors are not float16 unit vectors, or an artist number is out of
        range.

    Notes
    -----
    CSLS (Conneau et al. 2018, arXiv:1710.04087): r_k(y) is the mean cosine of imitation y to its k nearest works, or to
    all works if there are fewer; r_k(x) is the mean cosine of work x to its k nearest imitations. r_k(x) is constant
    for all imitations ranked for x, so it does not affect the ranks and is not computed. Imitations are ranked by
    ``2 k cos(x, y) - k r_k(y)`` in integer multiples of 2**-48, without rounding.

    Counts, ranks and sums of ranks are integers, and means are exactly rounded sums. Results therefore do not depend on
    the order of the rows, the block size or the machine.

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
        raise ValueError(f"There are no {missing}, so there is nothing to match. Add {missing} to the index.")
    artist_of_work = check_artists(work_artist, len(left), n_artists, "work_artist")
    artist_of_imitation = check_artists(imitation_artist, len(right), n_artists, "imitation_artist")
    csls_k, penalties = csls_penalties(left, right, csls_k)
    ranking = Ranking(
        artist_of_work,
        artist_of_imitation,
        n_artists,
        csls_k=csls_k,
        recall_at=recall_at,
        matrix=matrix,
        keep_ranks=keep_ranks,
    )
    sides = Sides(left, artist_of_work, right, artist_of_imitation, n_artists, csls_k, penalties)
    need_all_ranks = keep_ranks or observe is not None
    for part in every_rank(sides, ranking.ranks, observe) if need_all_ranks else _fastest(sides, matrix):
        ranking.add_part(part)
    return ranking.finish()


class Ranking:
    """Observer of `imindex.retrieval.match.similarity_pass` that computes figures from the ranks of own imitations.

    Parameters
    ----------
    work_artist : ndarray, shape (W,), int64
    imitation_artist : ndarray, shape (M,), int64
    n_artists : int
    csls_k : int, optional
        As in the blocks that it receives.
    recall_at, matrix, keep_ranks
        See `match`.

    Raises
    ------
    ValueError
        If a k of `recall_at` is below 1.

    Notes
    -----
    Memory: about 8 (4 + 2 k) W + 8 A**2 bytes for k values in `recall_at`, and 4 W M bytes for the ranks if they are
    kept.
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
        """Receive some works."""
        (block,) = seen
        if self.ranks is not None:
            self.ranks[rows[:, None], block.columns.order] = block.rank
        for part in every_part(rows, block):
            self.add_part(part)

    def add_part(self, part: Part) -> None:
        """Add the ranks of some works of one artist."""
        if self._matrix and part.every_u is not None:
            self._wins[part.artist] += part.every_u.sum(axis=0)
        else:
            self._wins[part.artist, part.artist] += part.u.sum()
        if 0 < part.own.shape[1] < self._m:
            _fill(self._per_work, part.rows, part.own, part.u, self._m)

    def received(self) -> tuple[Figures, Int64]:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`. Ranks are not kept."""
        return self._per_work, self._wins

    def absorb(self, received: tuple[Figures, Int64]) -> None:
        """See `imindex.retrieval.match.similarity_pass.Mergeable`."""
        figures, wins = received
        self._wins += wins
        here = ~np.isnan(figures.auc)
        for own, other in zip(_arrays(self._per_work), _arrays(figures), strict=True):
            own[here] = other[here]

    def finish(self) -> Match:
        """Return the figures of all works received."""
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


def _fastest(sides: Sides, matrix: bool) -> Iterator[Part]:
    """Rank own imitations, and with `matrix` sum the ranks of all artists' imitations, by the fastest method."""
    most = int(sides.n_imitations.max())
    if not matrix and most <= 8192 and 16 * most <= len(sides.imitations):
        return counted_ranks(sides)
    return every_rank(sides) if label_bits(sides) is None else sorted_ranks(sides)


def _unfilled(n: int, ks: Sequence[int]) -> Figures:
    def nan() -> Float64:
        return np.full(n, np.nan)

    return Figures(nan(), nan(), nan(), nan(), {k: nan() for k in ks}, {k: nan() for k in ks})


def _arrays(figures: Figures) -> list[Float64]:
    named = figures.auc, figures.rank_percentile, figures.reciprocal_rank, figures.average_precision
    return [*named, *figures.recall.values(), *figures.hit.values()]


def _fill(figures: Figures, rows: Int64, own_rank: Int32, own_u: Int64, m: int) -> None:
    """Write the figures of some works of one artist, given the ranks of the own imitations (rows, n)."""
    n = own_rank.shape[1]
    rank = np.sort(own_rank, axis=1).astype(np.int64)
    # Number of own imitations that are at least as near as each: the position where its tie ends.
    upto = np.broadcast_to(np.arange(1, n + 1), rank.shape).copy()
    upto[:, :-1][rank[:, :-1] == rank[:, 1:]] = n
    backwards = upto[:, ::-1]
    np.minimum.accumulate(backwards, axis=1, out=backwards)
    # Rank of each in the worst order of the ties, with imitations of other artists first.
    worst = rank - upto + np.arange(1, n + 1)
    figures.auc[rows] = _ratio(own_u, np.array(2 * n * (m - n)))
    figures.rank_percentile[rows] = _ratio(2 * n * m - n * (n + 1) - own_u, np.array(2 * n * (m - 1)))
    figures.reciprocal_rank[rows] = 1.0 / worst[:, 0]
    figures.average_precision[rows] = [mean(row) for row in upto / rank]
    for k in figures.recall:
        n_retrieved = (worst <= k).sum(axis=1)
        figures.recall[k][rows] = n_retrieved / n
        figures.hit[k][rows] = n_retrieved > 0


def _ratio(numerator: Int64, denominator: Int64) -> Float64:
    """Divide integers; NaN where the denominator is 0."""
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
