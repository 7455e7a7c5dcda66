"""Validate vectors and artist numbers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadVectors
from imindex.retrieval.vectors.blocks import Float16, Int64, blocks

NORM_TOLERANCE = 1e-2
"""Maximum deviation from 1 of the norm of a stored vector. Rounding to float16 accounts for about 5e-4."""


def check_vectors(vectors: npt.ArrayLike, name: str) -> Float16:
    """Validate vectors, and return them unchanged. Only float16 unit vectors give exact similarities.

    Parameters
    ----------
    vectors : array_like, shape (n, d), float16
        One vector per row. ``n`` may be 0.
    name : str
        Name of the argument, for error messages.

    Returns
    -------
    ndarray, shape (n, d), float16

    Raises
    ------
    ValueError
        If the array is not a float16 matrix.
    BadVectors
        If a value is not finite, or a norm differs from 1 by more than `NORM_TOLERANCE`. It is a ValueError.

    Examples
    --------
    >>> import numpy as np
    >>> check_vectors(np.array([[0.6, 0.8]], np.float16), "works").shape
    (1, 2)
    >>> check_vectors(np.array([[3, 4]], np.float16), "works")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    imindex.indexer.core.errors.BadVectors: works: row 0 has norm 5, not 1. Divide each vector by its norm before ...
    """
    array = np.asarray(vectors)
    if array.ndim != 2:
        raise ValueError(f"{name}: expected a matrix with one vector per row, not the shape {array.shape}.")
    if array.dtype != np.float16:
        raise ValueError(
            f"{name}: expected float16, not {array.dtype}: similarities are exact only for float16. "
            "Pass the vectors as stored, or divide each by its norm and cast it to float16."
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
            raise BadVectors(
                f"{name}: row {row}{more} has a value that is not finite. "
                "Encode the picture again, or exclude it."
            )
        raise BadVectors(
            f"{name}: row {row}{more} has norm {norms[row]:.4g}, not 1. "
            "Divide each vector by its norm before the cast to float16."
        )
    return array


def check_pair(a: npt.ArrayLike, b: npt.ArrayLike, names: tuple[str, str]) -> tuple[Float16, Float16]:
    """Validate both arrays with `check_vectors`, and that they have the same dimension.

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
    """Validate the artist number of each row, and return the numbers as int64.

    Parameters
    ----------
    artists : array_like, shape (n_rows,), integers
        Number of the artist of each row, from 0 to ``n_artists - 1``.
    n_rows, n_artists : int
        Expected number of rows, and number of artists.
    name : str
        Name of the argument, for error messages.

    Returns
    -------
    ndarray, shape (n_rows,), int64

    Raises
    ------
    ValueError
        If the length is wrong, the values are not integers, or a number is out of range. -1 ("artist unknown") is out
        of range.

    Examples
    --------
    >>> check_artists([0, 1, 1], 3, 2, "work_artist").tolist()
    [0, 1, 1]
    """
    if n_artists < 1:
        raise ValueError(f"{name}: n_artists is {n_artists}. There must be at least one artist.")
    array = np.asarray(artists)
    if array.ndim != 1 or len(array) != n_rows:
        raise ValueError(
            f"{name}: expected {n_rows} artist numbers, one per row, not the shape {array.shape}."
        )
    if n_rows and array.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected integers, not {array.dtype}. Pass positions in the list of artists."
        )
    bad = np.flatnonzero((array < 0) | (array >= n_artists))
    if len(bad):
        row = int(bad[0])
        raise ValueError(
            f"{name}: row {row} has artist {array[row]}, not one of 0 to {n_artists - 1}. "
            "Exclude rows without an artist, or give them a separate artist number."
        )
    return array.astype(np.int64)
