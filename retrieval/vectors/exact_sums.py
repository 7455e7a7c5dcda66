"""Means that do not depend on the order of the values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float16, Float64


def unit_means(sums: Float64, counts: npt.NDArray[Any], name: Callable[[int], str]) -> Float16:
    """Normalise sums of unit vectors to float16 unit vectors, the directions of their means.

    Norms are computed with exactly rounded sums (`math.fsum`), so they are also the same on every machine. The mean of
    a single vector is that vector, unchanged.

    Parameters
    ----------
    sums : ndarray, shape (n, d), float64
        Sums of float16 unit vectors. They are exact: multiples of 2**-24, below 2**29.
    counts : ndarray, shape (n,), integers, at least 1
        Number of vectors in each sum.
    name : callable
        Returns the name of a row, given its number, for error messages.

    Returns
    -------
    ndarray, shape (n, d), float16

    Raises
    ------
    ValueError
        If the vectors of a row cancel out, so that their mean has no direction.

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
            f"{name(int(zero[0]))}: the {counts[zero[0]]} vectors cancel out, so their mean has no direction. "
            "Check that this encoder computed them."
        )
    norms[np.asarray(counts) == 1] = 1.0
    return np.asarray(sums / norms[:, None]).astype(np.float16)


def mean(values: npt.NDArray[Any]) -> float:
    """Compute the arithmetic mean from an exactly rounded sum, so it does not depend on the order of the values.

    The mean of no values is NaN, and the mean of equal values is that value.

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
