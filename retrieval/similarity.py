"""Exact cosine similarities between stored vectors.

Stored vectors are float16 and of unit norm. For such vectors a float64 dot product has no rounding
error at all, whoever computes it and in whatever order:

1. Every finite float16 is a multiple of 2**-24 with a significand of at most 11 bits. So a product of
   two is a multiple of 2**-48 with a significand of at most 22 bits: exact in float64.
2. Every partial sum of the products, over any subset of the coordinates, is a multiple of 2**-48 and,
   by Cauchy-Schwarz on the absolute values, at most ``|a| |b| <= 1.01**2 < 2`` in size.
3. float64 holds every multiple of 2**-48 up to 2**5 = 32 in size (53 bits). So no addition rounds.

Hence the result depends on neither the BLAS, nor its threads, nor fused multiply-adds, nor the blocks
in which it is computed; ranks made from it can be reproduced bit for bit anywhere; identical pictures
tie exactly. float32 gives none of this. It is the reason why this module insists on its input.

Conventions of `retrieval`: rank 1 is the nearest; a higher score is closer; where rows are listed, ties
break by row number; where a finding is counted, ties count against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Float16 = npt.NDArray[np.float16]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

LIMIT_BYTES = 256 * 2**20
"""Most bytes of one side of a product that are widened to float64 at a time."""

BLOCK_BYTES = 8 * 2**20
"""Most bytes of similarities that are held at a time, where a function works in blocks. More is slower."""

NORM_TOLERANCE = 1e-2
"""How far from 1 the norm of a stored vector may be. Rounding to float16 accounts for about 5e-4."""

_UNITS = 2.0**48  # a similarity is a whole number of 1 / _UNITS


def check_vectors(vectors: npt.ArrayLike, name: str) -> Float16:
    """Return `vectors` as they are, or refuse what would not give exact similarities.

    Parameters
    ----------
    vectors : array_like, shape (n, d), float16
        One vector a row. ``n`` may be 0.
    name : str
        What to call them in the message.

    Returns
    -------
    ndarray, shape (n, d), float16

    Raises
    ------
    ValueError
        Not a float16 matrix; a value that is not finite; a norm further than `NORM_TOLERANCE` from 1.

    Examples
    --------
    >>> import numpy as np
    >>> check_vectors(np.array([[0.6, 0.8]], np.float16), "works").shape
    (1, 2)
    >>> check_vectors(np.array([[3, 4]], np.float16), "works")
    Traceback (most recent call last):
    ...
    ValueError: works: row 0 has norm 5, not 1. Divide each vector by its norm before the cast to float16.
    """
    array = np.asarray(vectors)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected a matrix with a vector a row, not the shape {array.shape}.")
    if array.dtype != np.float16:
        raise ValueError(
            f"{name}: expected float16, not {array.dtype}: similarities are exact for float16 only. "
            "Pass the vectors as they are stored, or divide each by its norm and cast it."
        )
    norms = np.empty(len(array))
    for rows in blocks(len(array), array.shape[1]):
        wide = array[rows].astype(np.float64)
        norms[rows] = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    bad = np.flatnonzero(~(np.abs(norms - 1.0) <= NORM_TOLERANCE))
    if len(bad):
        row = int(bad[0])
        more = f" (and {len(bad) - 1} more rows)" if len(bad) > 1 else ""
        if not math.isfinite(norms[row]):
            raise ValueError(
                f"{name}: row {row}{more} holds a value that is not finite. "
                "Encode the picture again, or leave it out."
            )
        raise ValueError(
            f"{name}: row {row}{more} has norm {norms[row]:.4g}, not 1. "
            "Divide each vector by its norm before the cast to float16."
        )
    return array


def check_pair(a: npt.ArrayLike, b: npt.ArrayLike, names: tuple[str, str]) -> tuple[Float16, Float16]:
    """`check_vectors` of both, and that they have as many dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> check_pair(np.eye(2, dtype=np.float16), np.eye(3, dtype=np.float16), ("works", "imitations"))
    Traceback (most recent call last):
    ...
    ValueError: works has 2 dimensions and imitations has 3. Compare vectors of one encoder only.
    """
    left, right = check_vectors(a, names[0]), check_vectors(b, names[1])
    if left.shape[1] != right.shape[1]:
        raise ValueError(
            f"{names[0]} has {left.shape[1]} dimensions and {names[1]} has {right.shape[1]}. "
            "Compare vectors of one encoder only."
        )
    return left, right


def check_artists(artists: npt.ArrayLike, n_rows: int, n_artists: int, name: str) -> Int64:
    """Return the artist of every row as int64, or refuse numbers that name no artist.

    Parameters
    ----------
    artists : array_like, shape (n_rows,), integers
        Number of the artist of each row, from 0 to ``n_artists - 1``.
    n_rows, n_artists : int
        How many rows there must be, and how many artists there are.
    name : str
        What to call them in the message.

    Returns
    -------
    ndarray, shape (n_rows,), int64

    Raises
    ------
    ValueError
        Wrong length, not integers, or a number outside the range, -1 ("artist unknown") included.

    Examples
    --------
    >>> check_artists([0, 1, 1], 3, 2, "work_artist").tolist()
    [0, 1, 1]
    """
    if n_artists < 1:
        raise ValueError(f"{name}: n_artists is {n_artists}. There must be at least one artist.")
    array = np.asarray(artists)
    if array.ndim != 1 or len(array) != n_rows:
        raise ValueError(f"{name}: expected {n_rows} artist numbers, one a row, not the shape {array.shape}.")
    if n_rows and array.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected integers, not {array.dtype}. Pass rows of the artists' table.")
    bad = np.flatnonzero((array < 0) | (array >= n_artists))
    if len(bad):
        row = int(bad[0])
        raise ValueError(
            f"{name}: row {row} has artist {array[row]}, not one of 0 to {n_artists - 1}. "
            "Leave rows without an artist out, or give them an artist number of their own."
        )
    return array.astype(np.int64)


def blocks(n: int, m: int, limit_bytes: int = BLOCK_BYTES) -> Iterator[slice]:
    """Cut n rows into consecutive slices whose (rows, m) float64 block fits in `limit_bytes`.

    A slice has at least one row, however long that row is.

    Examples
    --------
    >>> list(blocks(5, 10, limit_bytes=160))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, limit_bytes // (8 * max(1, m)))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def similarity_blocks(
    a: npt.ArrayLike, b: npt.ArrayLike, *, limit_bytes: int = BLOCK_BYTES, names: tuple[str, str] = ("a", "b")
) -> Iterator[tuple[slice, Float64]]:
    """Exact cosine similarities, a block of rows of `a` at a time.

    Parameters
    ----------
    a : array_like, shape (n, d), float16, unit norm
    b : array_like, shape (m, d), float16, unit norm
    limit_bytes : int
        Most bytes of one block. Changes the blocks, never a bit of their content.
    names : (str, str)
        What to call `a` and `b` in messages.

    Returns
    -------
    iterator of (slice, ndarray of float64, shape (rows, m))
        The rows of `a`, and their similarities to every row of `b`. The array is the caller's to change.

    Raises
    ------
    ValueError
        As `check_vectors`; or when the dimensions differ. Raised at the call, before any block.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float16)
    >>> [(rows.start, rows.stop, block.shape) for rows, block in similarity_blocks(a, a, limit_bytes=48)]
    [(0, 2, (2, 3)), (2, 3, (1, 3))]
    """
    left, right = check_pair(a, b, names)
    return _product_blocks(left, right, limit_bytes)


def _product_blocks(left: Float16, right: Float16, limit_bytes: int) -> Iterator[tuple[slice, Float64]]:
    """Yield the blocks; widen `right` once where that is not too much, tile by tile where it does not."""
    m, d = right.shape
    tiles = list(blocks(m, d, LIMIT_BYTES))
    wide = right.astype(np.float64) if len(tiles) == 1 else None
    if wide is not None:
        for rows in blocks(len(left), m, limit_bytes):
            yield rows, left[rows].astype(np.float64) @ wide.T
        return
    # Widening takes longer than the products of a few rows: it is shared by as many as fit in LIMIT_BYTES.
    for group in blocks(len(left), m, max(limit_bytes, LIMIT_BYTES)):
        top = left[group].astype(np.float64)
        block = np.empty((len(top), m))
        for columns in tiles:
            block[:, columns] = top @ right[columns].astype(np.float64).T
        for rows in blocks(len(top), m, limit_bytes):
            yield slice(group.start + rows.start, group.start + rows.stop), block[rows]


def similarities(a: npt.ArrayLike, b: npt.ArrayLike, *, names: tuple[str, str] = ("a", "b")) -> Float64:
    """Exact cosine similarity of every row of `a` to every row of `b`.

    "Cosine" is meant as the dot product of the stored vectors: their norms are 1 up to the rounding to
    float16, and are not divided out again. The value is exact, not merely close: every product of two
    float16 numbers is a multiple of 2**-48, every partial sum is below 2 in size, and float64 holds all
    multiples of 2**-48 up to 32. So it does not depend on the order of summation, the BLAS or the
    machine (the module's docstring has the argument in full), and identical vectors tie exactly.

    Parameters
    ----------
    a : array_like, shape (n, d), float16, unit norm
    b : array_like, shape (m, d), float16, unit norm
    names : (str, str)
        What to call `a` and `b` in messages.

    Returns
    -------
    ndarray, shape (n, m), float64
        8 n m bytes; `similarity_blocks` holds less.

    Raises
    ------
    ValueError
        Not float16, not finite, not of unit norm (within 1e-2), or of different dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[1, 0], [0.6, 0.8]], np.float16)
    >>> similarities(a, a[:1]).tolist()
    [[1.0], [0.60009765625]]
    """
    parts = [block for _, block in similarity_blocks(a, b, names=names)]
    return np.concatenate(parts) if parts else np.empty((0, len(np.asarray(b))))


def exact_integers(similarity: Float64) -> Int64:
    """Similarities from this module as the whole numbers that they are, in units of 2**-48.

    Sums of such integers are exact as long as they stay below 2**63, that is for some 32,000 terms.

    Examples
    --------
    >>> import numpy as np
    >>> exact_integers(np.array([1.0, -0.5])).tolist() == [2**48, -2**47]
    True
    """
    return np.asarray(similarity * _UNITS).astype(np.int64)


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


def unit_means(sums: Float64, counts: npt.NDArray[Any], name: Callable[[int], str]) -> Float16:
    """Directions of means of unit vectors, as float16 unit vectors.

    The norm is taken with an exactly rounded sum (`math.fsum`), so that it too is the same on every machine.
    The mean of a single vector is that vector, unchanged.

    Parameters
    ----------
    sums : ndarray, shape (n, d), float64
        Sums of float16 unit vectors. They are exact: multiples of 2**-24, below 2**29.
    counts : ndarray, shape (n,), integers, at least 1
        How many vectors are in each sum.
    name : callable
        What to call a row in the message, given its number.

    Returns
    -------
    ndarray, shape (n, d), float16

    Raises
    ------
    ValueError
        The vectors of a row cancel out: their mean has no direction.

    Examples
    --------
    >>> import numpy as np
    >>> unit_means(np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([2, 1]), "artist {}".format).tolist()
    [[0.70703125, 0.70703125], [0.0, 1.0]]
    """
    norms = np.array([math.sqrt(math.fsum(row)) for row in np.square(sums)])
    zero = np.flatnonzero(norms == 0.0)
    if len(zero):
        raise ValueError(
            f"{name(int(zero[0]))}: the {counts[zero[0]]} vectors cancel out, their mean has no direction. "
            "Check that they come from this encoder."
        )
    norms[np.asarray(counts) == 1] = 1.0
    return np.asarray(sums / norms[:, None]).astype(np.float16)


def mean(values: npt.NDArray[Any]) -> float:
    """Arithmetic mean by an exactly rounded sum: the same for every order of the values.

    NaN for no values at all; equal values give that value.

    Examples
    --------
    >>> import numpy as np
    >>> mean(np.array([0.1] * 10)), mean(np.array([]))
    (0.1, nan)
    """
    if not len(values):
        return math.nan
    if (values == values[0]).all():
        return float(values[0])
    return math.fsum(values.tolist()) / len(values)
