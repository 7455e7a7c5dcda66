"""What accuracy fewer candidate artists would have given: the expectation over all draws of them, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from imindex.stats.set_scores import Float64, Int64


@dataclass(frozen=True, eq=False)
class LabelCountCurve:
    """What `accuracy_by_label_count` found, of C counts and A artists.

    Attributes
    ----------
    counts : ndarray, shape (C,), int64
        Artists among the candidates, the true one included.
    accuracy : ndarray, shape (C,), float64
        Expected share of all pictures named rightly.
    macro : ndarray, shape (C,), float64
        Mean over artists of their expected shares.
    by_artist : ndarray, shape (A, C), float64
        NaN where an artist has no pictures.
    chance : ndarray, shape (C,), float64
        1 / (counts + n_generic), what guessing would give.
    """

    counts: Int64
    accuracy: Float64
    macro: Float64
    by_artist: Float64
    chance: Float64


def accuracy_by_label_count(
    scores: npt.ArrayLike, truth: npt.ArrayLike, *, n_generic: int = 0, counts: npt.ArrayLike | None = None
) -> LabelCountCurve:
    """Expect the accuracy that fewer candidate artists would have given, exactly.

    Parameters
    ----------
    scores : array_like, shape (n, L)
        Of each picture for each label, higher is closer; -inf where a label is no candidate.
    truth : array_like, shape (n,), integers
        The true artist's label, below L - n_generic.
    n_generic : int
        The last labels are generic, and always candidates.
    counts : array_like, shape (C,), integers, optional
        Candidate artists, 1 or more. By default 2 to all; of more than 21 artists, about 20 on a log grid.

    Returns
    -------
    LabelCountCurve

    Raises
    ------
    ValueError
        No pictures, fewer than 2 artists, a score that is NaN, or truth or counts out of range.

    Notes
    -----
    The other c - 1 candidates are drawn uniformly, without replacement, from the N other artists that are no -inf.
    With r of them that score at least as high as the true one, no draw holds any with probability
    C(N - r, c - 1) / C(N, c - 1) (hypergeometric), so no draws are made. Ties count against; a generic label that
    scores at least as high makes it 0, and so does a true label at -inf. A picture with fewer candidates than c
    keeps all of them.

    Examples
    --------
    >>> scores = [[0.9, 0.1, 0.2], [0.5, 0.4, 0.6]]
    >>> found = accuracy_by_label_count(scores, [0, 1])
    >>> found.counts.tolist(), found.accuracy.tolist()
    ([2, 3], [0.5, 0.5])
    """
    table, own_label = np.asarray(scores, dtype=np.float64), np.asarray(truth)
    if table.ndim != 2 or not len(table) or own_label.shape != table.shape[:1]:
        raise ValueError(
            f"scores and truth: expected pictures x labels and one label a picture, and at least one picture, "
            f"not the shapes {table.shape} and {own_label.shape}."
        )
    n_artists = table.shape[1] - n_generic
    if n_generic < 0 or n_artists < 2:
        raise ValueError(
            f"scores: {n_artists} artists beside {n_generic} generic labels. Pass at least 2 artists."
        )
    if np.isnan(table).any():
        raise ValueError("scores: a value is NaN. Give a label that is no candidate -inf.")
    if own_label.dtype.kind not in "iu" or own_label.min() < 0 or own_label.max() >= n_artists:
        raise ValueError(f"truth: expected whole numbers from 0 to {n_artists - 1}.")
    own = table[np.arange(len(table)), own_label]
    candidate = own > -np.inf
    n_others = (table[:, :n_artists] > -np.inf).sum(axis=1) - candidate
    above = (table[:, :n_artists] >= own[:, None]).sum(axis=1) - 1
    possible = candidate & ~(table[:, n_artists:] >= own[:, None]).any(axis=1)
    grid = _grid(counts, int(n_others.max(initial=0, where=candidate)) + 1)
    right = np.zeros((len(table), len(grid)))
    n, r = n_others[possible], above[possible]
    for place, count in enumerate(grid):
        k = np.minimum(count - 1, n)
        free = np.maximum(n - r - k, 0)
        log = special.gammaln(n - r + 1) - special.gammaln(free + 1) + special.gammaln(n - k + 1)
        right[possible, place] = np.where(k <= n - r, np.exp(log - special.gammaln(n + 1)), 0.0)
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
                "scores: no picture has 2 candidate artists, its own among them. Give more artists a score above -inf."
            )
        every = np.arange(2, most + 1) if most <= 21 else np.geomspace(2, most, 20).round()
        return np.unique(every).astype(np.int64)
    grid = np.asarray(counts)
    if grid.ndim != 1 or not len(grid) or grid.dtype.kind not in "iu" or grid.min() < 1 or grid.max() > most:
        raise ValueError(f"counts: expected whole numbers from 1 to {most}, the candidate artists there are.")
    return grid.astype(np.int64)
