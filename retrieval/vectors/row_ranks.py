"""Ranks and nearest neighbours within each row of scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float64, Int32


def ranks_in_rows(scores: npt.NDArray[Any]) -> tuple[Int32, Int32]:
    """Ranks within each row of scores without NaN.

    Returns
    -------
    rank : ndarray of int32, as the scores
        From above, ties last: how many of the row are at least as high. 1 is the highest.
    midrank : ndarray of int32, as the scores
        Twice the rank from below, ties at their mean rank.

    Examples
    --------
    >>> import numpy as np
    >>> rank, midrank = ranks_in_rows(np.array([[0.1, 0.7, 0.7, 0.9]]))
    >>> rank.tolist(), (midrank / 2).tolist()
    ([[4, 3, 3, 1]], [[1.0, 2.5, 2.5, 4.0]])
    """
    m = scores.shape[1]
    order = scores.argsort(axis=1)
    ordered = np.take_along_axis(scores, order, axis=1)
    differs = ordered[:, 1:] != ordered[:, :-1]
    places = np.arange(m, dtype=np.int32)
    first = last = np.broadcast_to(places, scores.shape)  # where the tie at each place begins and ends
    if not differs.all():
        first, last = np.zeros(scores.shape, np.int32), np.full(scores.shape, m - 1, np.int32)
        np.multiply(differs, places[1:], out=first[:, 1:])
        np.maximum.accumulate(first, axis=1, out=first)
        np.copyto(last[:, :-1], places[:-1], where=differs)
        np.minimum.accumulate(last[:, ::-1], axis=1, out=last[:, ::-1])
    rank, midrank = np.empty(scores.shape, np.int32), np.empty(scores.shape, np.int32)
    np.put_along_axis(rank, order, m - first, axis=1)
    np.put_along_axis(midrank, order, first + last + 2, axis=1)
    return rank, midrank


def nearest_in_rows(scores: Float64, k: int) -> npt.NDArray[np.bool_]:
    """Mark the k highest of each row, of equal ones the first; -inf is never marked.

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
