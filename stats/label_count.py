"""The exact expected accuracy with fewer candidate artists, over all choices of the candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.stats.set_scores import Float64, Int64


@dataclass(frozen=True, eq=False)
class LabelCountCurve:
    """Result of `accuracy_by_label_count` for C counts and A artists.

    Attributes
    ----------
    counts : ndarray, shape (C,), int64
        Number of candidate artists, including the true one.
    accuracy : ndarray, shape (C,), float64
        Expected fraction of all pictures classified correctly.
    macro : ndarray, shape (C,), float64
        Mean over artists of their expected fractions.
    by_artist : ndarray, shape (A, C), float64
        Expected fraction of each artist; NaN without pictures.
    chance : ndarray, shape (C,), float64
        Accuracy of guessing, 1 / (counts + n_generic).
    """

    counts: Int64
    accuracy: Float64
    macro: Float64
    by_artist: Float64
    chance: Float64


def accuracy_by_label_count(
    scores: npt.ArrayLike, truth: npt.ArrayLike, *, n_generic: int = 0, counts: npt.ArrayLike | None = None
) -> LabelCountCurve:
    """Compute the exact expected accuracy with fewer candidate artists.

    Parameters
    ----------
    scores : array_like, shape (n, L)
        Score of each picture for each label, higher is closer; -inf if a label is not a candidate.
    truth : array_like, shape (n,), integers
        The label of the true artist, below L - n_generic.
    n_generic : int
        Number of generic labels, which come last and are always candidates.
    counts : array_like, shape (C,), integers, optional
        Numbers of candidate artists, at least 1. By default from 2 to all; with more than 21 artists, about 20 values
        on a logarithmic grid.

    Returns
    -------
    LabelCountCurve

    Raises
    ------
    ValueError
        If there are no pictures, fewer than 2 artists, a score is NaN, or `truth` or `counts` is out of range.

    Notes
    -----
    The other c - 1 candidates are drawn uniformly, without replacement, from the N other artists whose score is not
    -inf. If r of them score at least as high as the true artist, a draw contains none of these with probability
    C(N - r, c - 1) / C(N, c - 1) (hypergeometric), so no simulation is needed. Ties count as errors. The probability
    is 0 if a generic label scores at least as high, or if the true label is at -inf. A picture with fewer candidates
    than c keeps all of them.

    Examples
    --------
    >>> scores = [[0.9, 0.1, 0.2], [0.5, 0.4, 0.6]]
    >>> result = accuracy_by_label_count(scores, [0, 1])
    >>> result.counts.tolist(), result.accuracy.tolist()
    ([2, 3], [0.5, 0.5])
    """
    table, own_label = np.asarray(scores, dtype=np.float64), np.asarray(truth)
    if table.ndim != 2 or not len(table) or own_label.shape != table.shape[:1]:
        raise ValueError(
            f"scores and truth: expected pictures x labels, at least one picture, and one label per picture, "
            f"not the shapes {table.shape} and {own_label.shape}."
        )
    n_artists = table.shape[1] - n_generic
    if n_generic < 0 or n_artists < 2:
        raise ValueError(
            f"scores: {n_artists} artists in addition to {n_generic} generic labels. Pass at least 2 artists."
        )
    if np.isnan(table).any():
        raise ValueError("scores: a value is NaN. Set labels that are not candidates to -inf.")
    if own_label.dtype.kind not in "iu" or own_label.min() < 0 or own_label.max() >= n_artists:
        raise ValueError(f"truth: expected integers from 0 to {n_artists - 1}.")
    own = table[np.arange(len(table)), own_label]
    candidate = own > -np.inf
    n_others = (table[:, :n_artists] > -np.inf).sum(axis=1) - candidate
    above = (table[:, :n_artists] >= own[:, None]).sum(axis=1) - 1
    possible = candidate & ~(table[:, n_artists:] >= own[:, None]).any(axis=1)
    grid = _grid(counts, int(n_others.max(initial=0, where=candidate)) + 1)
    right = np.zeros((len(table), len(grid)))
    n, r = n_others[possible], above[possible]
    for column, count in enumerate(grid):
        k = np.minimum(count - 1, n)
        free = np.maximum(n - r - k, 0)
        log = (
            scipy.special.gammaln(n - r + 1)
            - scipy.special.gammaln(free + 1)
            + scipy.special.gammaln(n - k + 1)
        )
        right[possible, column] = np.where(k <= n - r, np.exp(log - scipy.special.gammaln(n + 1)), 0.0)
    np.minimum(right, 1.0, out=right)
    sums, sizes = np.zeros((n_artists, len(grid))), np.bincount(own_label, minlength=n_artists)
    np.add.at(sums, own_label, right)
    by_artist = np.full(sums.shape, np.nan)
    np.divide(sums, sizes[:, None], out=by_artist, where=sizes[:, None] > 0)
    return LabelCountCurve(
        grid, right.mean(axis=0), by_artist[sizes > 0].mean(axis=0), by_artist, 1.0 / (grid + n_generic)
    )


def _grid(counts: npt.ArrayLike | None, most: int) -> Int64:
    if counts is None:
        if most < 2:
            raise ValueError(
                "scores: no picture has 2 candidate artists, including its own. Give more artists a score above -inf."
            )
        every = np.arange(2, most + 1) if most <= 21 else np.geomspace(2, most, 20).round()
        return np.unique(every).astype(np.int64)
    grid = np.asarray(counts)
    if grid.ndim != 1 or not len(grid) or grid.dtype.kind not in "iu" or grid.min() < 1 or grid.max() > most:
        raise ValueError(f"counts: expected integers from 1 to {most}, the number of candidate artists.")
    return grid.astype(np.int64)
