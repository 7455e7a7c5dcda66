"""Validate vectors and artist numbers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float16, Int64, blocks

NORM_TOLERANCE = 1e-2
"""How far from 1 the norm of a stored vector may be. Rounding to float16 accounts for about 5e-4."""


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
