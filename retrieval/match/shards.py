"""Ranks of the own imitations, with the imitations divided into pieces that different workers count.

The figures of a work depend on two numbers for each of its own imitations: how many imitations have a lower score, and
how many the same (`imindex.retrieval.match.counting`). Both are sums over the imitations. So ranks over many pieces
take two rounds, for one batch of works after another:

1. each piece gives the scores of its own imitations for each work, and the driver sorts those of all pieces;
2. each piece counts its imitations below and equal to all of these, and the driver adds the counts.

Scores are exact and counts are integers. So the result does not depend on how the imitations are divided, on the order
of the pieces, or on who counts: it is that of one file, to the bit.

A driver holds the scores and counts of one batch of works, and some numbers for each imitation. A worker holds one
piece, and what `Counter` needs. Neither holds vectors of all imitations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imindex.retrieval.match.counting import STATE_BYTES, Counter, batches, parts_of
from imindex.retrieval.match.counting_on_device import count_on_device
from imindex.retrieval.match.match import Match, Ranking
from imindex.retrieval.match.ranking import Sides, csls_penalties
from imindex.retrieval.vectors.blocks import Float16, Int32, Int64

PIECE_ROWS = 2**17
"""Maximum number of imitations in a piece."""
LIMIT_BYTES = 2**26
"""Size of the similarities that a worker computes at a time, for each of its threads."""


@dataclass(frozen=True, eq=False)
class Works:
    """What all pieces are ranked for: W works of A artists.

    Attributes
    ----------
    vectors : ndarray, shape (W, d), float16, unit norm
    artist : ndarray, shape (W,), int64
    n_artists : int
    csls_k : int or None
        Number of neighbours in the hubness correction, at most W; None without one.
    """

    vectors: Float16
    artist: Int64
    n_artists: int
    csls_k: int | None

    def at(self, rows: Int64) -> Works:
        """Return some of the works, numbered from 0."""
        return replace(self, vectors=self.vectors[rows], artist=self.artist[rows])


@dataclass(frozen=True, eq=False)
class Own:
    """The own scores of some works, in all pieces.

    Attributes
    ----------
    lengths : ndarray, shape (r,), int64
    scores : ndarray, shape (sum of lengths,)
        Work by work, ascending.
    """

    lengths: Int64
    scores: npt.NDArray[Any]

    def each(self) -> list[npt.NDArray[Any]]:
        """Return the scores of each work."""
        return _split(self.scores, self.lengths)

    @classmethod
    def of(cls, scores: Sequence[npt.NDArray[Any]]) -> Own:
        """Join the scores of each work."""
        return cls(np.array([len(line) for line in scores], np.int64), np.concatenate(scores))

    @classmethod
    def merged(cls, parts: Sequence[Own]) -> Own:
        """Merge the scores of several pieces, of the same works."""
        lines = zip(*(part.each() for part in parts), strict=True)
        return cls.of([np.sort(np.concatenate(line)) for line in lines])


class Counts(NamedTuple):
    """Numbers of imitations of a piece below each own score, and equal to it, in the order of `Own.scores`."""

    below: Int32
    equal: Int32


class Piece:
    """The imitations of one piece, in a worker.

    Parameters
    ----------
    works : Works
    vectors : ndarray, shape (m, d), float16, unit norm
    artist : ndarray, shape (m,), int64
    penalties : ndarray, shape (m,), int64, optional
        The result of `penalties`, which CSLS needs.
    threads : int
    device : str
        Where to count: ``cpu`` is counted by NumPy, others (``cuda``) by PyTorch.
    """

    def __init__(
        self,
        works: Works,
        vectors: Float16,
        artist: Int64,
        penalties: Int64 | None = None,
        *,
        threads: int = 1,
        device: str = "cpu",
    ):
        if penalties is None:
            penalties = np.zeros(len(artist), np.int64)
        self._sides = Sides(
            works.vectors, works.artist, vectors, artist, works.n_artists, works.csls_k, penalties
        )
        self._device = device
        self._counter = Counter(self._sides, limit_bytes=threads * LIMIT_BYTES, threads=threads)

    def penalties(self) -> Int64:
        """Return the sum of the cosines of each imitation to its nearest works, in units of 2**-48."""
        sides = self._sides
        return csls_penalties(sides.works, sides.imitations, sides.csls_k)[1]

    def own(self, rows: Int64) -> Own:
        """Return the scores of the own imitations in this piece, for some works sorted by artist."""
        return Own.of(self._counter.own_scores(rows))

    def count(self, rows: Int64, own: Own) -> Counts:
        """Count the imitations of this piece below each own score of some works, and those equal to it."""
        if self._device == "cpu":
            below, equal = self._counter.count(rows, own.each())
        else:
            below, equal = count_on_device(self._sides, rows, own.each(), self._device)
        return Counts(np.concatenate(below).astype(np.int32), np.concatenate(equal).astype(np.int32))


def match_in_pieces(
    works: Works,
    imitation_artist: Int64,
    own: Callable[[Int64], Iterable[Own]],
    count: Callable[[Int64, Own], Iterable[Counts]],
    *,
    recall_at: Sequence[int] = (1, 5, 10, 50),
    state_bytes: int = STATE_BYTES,
    progress: Callable[[int], None] = lambda _: None,
) -> Match:
    """Compute `imindex.retrieval.match.match.match`, without the matrix, over pieces.

    Parameters
    ----------
    works : Works
    imitation_artist : ndarray, shape (M,), int64
        Of all pieces, in any order.
    own : callable
        Returns `Piece.own` of each piece, for some works.
    count : callable
        Returns `Piece.count` of each piece.
    recall_at : sequence of int
    state_bytes : int
        Size of the counts that a worker holds at a time (`imindex.retrieval.match.counting.batches`). The imitations
        are read once for each batch of works.
    progress : callable
        Called with the number of works that are done.

    Returns
    -------
    Match
        The same for any division into pieces.

    Examples
    --------
    >>> import numpy as np
    >>> works = Works(np.array([[1, 0], [0, 1]], np.float16), np.array([0, 1]), 2, None)
    >>> imitations, artist = np.array([[0.8, 0.6], [0.6, 0.8], [0, 1]], np.float16), np.array([0, 1, 1])
    >>> pieces = [Piece(works, imitations[:2], artist[:2]), Piece(works, imitations[2:], artist[2:])]
    >>> result = match_in_pieces(
    ...     works,
    ...     artist,
    ...     lambda rows: [piece.own(rows) for piece in pieces],
    ...     lambda rows, own: [piece.count(rows, own) for piece in pieces],
    ... )
    >>> result.artists.auc.tolist()
    [1.0, 1.0]
    """
    ranking = Ranking(
        works.artist,
        imitation_artist,
        works.n_artists,
        csls_k=works.csls_k,
        recall_at=recall_at,
        matrix=False,
    )
    n = np.bincount(imitation_artist, minlength=works.n_artists)
    n_done = 0
    for rows in batches(works.artist, n, csls=works.csls_k is not None, state_bytes=state_bytes):
        together = Own.merged(list(own(rows)))
        below, equal = np.zeros((2, len(together.scores)), np.int64)
        for piece_below, piece_equal in count(rows, together):
            below += piece_below
            equal += piece_equal
        for part in parts_of(
            works.artist,
            rows,
            together.each(),
            _split(below, together.lengths),
            _split(equal, together.lengths),
            len(imitation_artist),
        ):
            ranking.add_part(part)
        n_done += len(rows)
        progress(n_done)
    return ranking.finish()


def _split(values: npt.NDArray[Any], lengths: Int64) -> list[npt.NDArray[Any]]:
    return np.split(values, np.cumsum(lengths)[:-1])


def cut(n: int, n_workers: int, *, piece_rows: int = PIECE_ROWS) -> Iterator[slice]:
    """Divide the rows of a part into pieces: at least four for each worker if they are worth it.

    Examples
    --------
    >>> list(cut(10, 1, piece_rows=6))
    [slice(0, 5, None), slice(5, 10, None)]
    """
    if not n:
        return
    n_pieces = max(-(-n // piece_rows), min(4 * n_workers if n_workers > 1 else 1, n // 2**13))
    for number in range(max(1, n_pieces)):
        yield slice(n * number // max(1, n_pieces), n * (number + 1) // max(1, n_pieces))
