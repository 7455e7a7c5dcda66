"""Ranks and nearest neighbours within each row of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float64, Int32, Int64


def ranks_in_rows(scores: npt.NDArray[Any]) -> tuple[Int32, Int32]:
    """Rank the scores within each row. Scores must not be NaN.

    Returns
    -------
    rank : ndarray of int32, of the shape of the scores
        Number of scores in the row that are at least as high: 1 is the highest, and ties have their last rank.
    midrank : ndarray of int32, of the shape of the scores
        Twice the rank from below, with mean ranks for ties.

    Examples
    --------
    >>> import numpy as np
    >>> rank, midrank = ranks_in_rows(np.array([[0.1, 0.7, 0.7, 0.9]]))
    >>> rank.tolist(), (midrank / 2).tolist()
    ([[4, 3, 3, 1]], [[1.0, 2.5, 2.5, 4.0]])
    """
    return ranks_of_sorted(*sorted_rows(scores))


def sorted_rows(scores: npt.NDArray[Any]) -> tuple[Int64, npt.NDArray[Any]]:
    """Sort each row of scores in ascending order. Scores must not be NaN.

    Returns
    -------
    order : ndarray of int64, of the shape of the scores
        Columns in ascending order of their scores.
    ordered : ndarray, of the shape of the scores
        The scores in that order.
    """
    order = scores.argsort(axis=1)
    ordered = np.empty_like(scores)
    for line, places, out in zip(scores, order, ordered, strict=True):
        line.take(
            places, out=out, mode="clip"
        )  # all places are in range; this is faster than take_along_axis
    return order, ordered


def ranks_of_sorted(order: Int64, ordered: npt.NDArray[Any]) -> tuple[Int32, Int32]:
    """Compute `ranks_in_rows` from the result of `sorted_rows`."""
    n, m = ordered.shape
    tied = ordered[:, 1:] == ordered[:, :-1]
    first = np.empty(ordered.shape, np.int32)
    np.put_along_axis(first, order, np.broadcast_to(np.arange(m, dtype=np.int32), (n, m)), axis=1)
    rank, midrank = m - first, 2 * first + 2
    if tied.any():
        at, begins, ends = ties(tied)
        row, column = at // m, order.ravel()[at]
        rank[row, column] = m - begins
        midrank[row, column] = begins + ends + 2
    return rank, midrank


def ties(tied: npt.NDArray[np.bool_]) -> tuple[Int64, Int64, Int64]:
    """Find the ties in sorted rows.

    Parameters
    ----------
    tied : ndarray of bool, shape (n, m - 1)
        Whether each position has the same score as the next one in its row.

    Returns
    -------
    at : ndarray of int64
        Positions in the flattened (n, m) scores that tie with a neighbour, ascending.
    begins, ends : ndarray of int64
        First and last column of the tie at each of these positions.

    Examples
    --------
    >>> [part.tolist() for part in ties(np.array([[False, True, True], [True, False, False]]))]
    [[1, 2, 3, 4, 5], [1, 1, 1, 0, 0], [3, 3, 3, 1, 1]]
    """
    n, m = tied.shape[0], tied.shape[1] + 1
    edge = np.zeros((n, m + 1), np.int8)
    edge[:, 1:-1] = tied
    change = np.diff(edge, axis=1).ravel()  # 1 where a tie begins, -1 where it ends
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    length = stops - starts + 1
    at = np.arange(length.sum()) + np.repeat(starts - (np.cumsum(length) - length), length)
    return at, np.repeat(starts % m, length), np.repeat(stops % m, length)


def nearest_in_rows(scores: Float64, k: int) -> npt.NDArray[np.bool_]:
    """Mark the k highest scores of each row; ties are resolved by the lowest column, and -inf is never marked.

    Examples
    --------
    >>> import numpy as np
    >>> nearest_in_rows(np.array([[0.1, 0.7, 0.9, 0.7]]), 2).tolist()
    [[False, True, True, False]]
    """
    threshold = np.partition(scores, scores.shape[1] - k, axis=1)[:, [scores.shape[1] - k]]
    above, level = scores > threshold, scores == threshold
    room = k - above.sum(axis=1, keepdims=True)
    chosen = above | (level & (level.cumsum(axis=1) <= room))
    return np.asarray(chosen & (scores > -np.inf))
