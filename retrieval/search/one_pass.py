"""Exact neighbours of several kinds, and what attribution needs, from one pass over the vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.retrieval.search.nearest import Neighbours
from imindex.retrieval.vectors.blocks import Float16
from imindex.retrieval.vectors.checks import check_vectors
from imindex.retrieval.vectors.rough import ERROR, RoughTable

MOST_QUERIES = 7
"""With more queries at once, matrix products are faster."""
_BLOCK = 512
_MOST_CONTENDERS = 20_000
"""With more rows that may be among the nearest, such as very many copies, another search is as fast."""


def nearest_of(
    table: RoughTable,
    cosines: npt.NDArray[np.float32],
    vector: Float16,
    k: int,
    among: npt.NDArray[np.bool_],
) -> Neighbours | None:
    """Find the k nearest rows of a query, given its rough cosines to all rows.

    Parameters
    ----------
    table : RoughTable
        All n rows.
    cosines : ndarray, shape (n,), float32
        What `RoughTable.rough` returned for the query.
    vector : ndarray, shape (d,), float16
    k : int
    among : ndarray, shape (n,), bool
        Search these rows only.

    Returns
    -------
    Neighbours or None
        Those of `imindex.retrieval.search.nearest.nearest`, to the bit. None if a cosine is not a number, is not within
        the bound of rough cosines, or too many rows may be among the nearest: then another search must decide.

    Raises
    ------
    BadVectors
        If one of the nearest vectors is not a finite unit vector.
    """
    allowed = np.where(among, cosines, np.float32(-np.inf))
    n_allowed = int(np.count_nonzero(among))
    k = min(k, n_allowed)
    full = len(allowed) // _BLOCK * _BLOCK
    highest = np.append(allowed[:full].reshape(-1, _BLOCK).max(axis=1), allowed[full:])
    if np.isnan(highest).any():
        return None
    # The k highest of the blocks' maxima are k rows, so the k-th nearest row is at least as near as the last of them.
    least = np.partition(highest, len(highest) - k)[len(highest) - k] if k <= len(highest) else -np.inf
    rows = np.flatnonzero(allowed >= np.float32(least - 2.02 * ERROR))
    rows = rows[among[rows]]
    if len(rows) > _MOST_CONTENDERS:
        return None
    exact = table.exact(vector, rows)
    if not np.abs(exact - cosines[rows]).max(initial=0.0) <= ERROR:
        return None
    order = np.argsort(-exact, kind="stable")[:k]
    check_vectors(table.vectors(rows[order]), "vectors")
    return Neighbours(rows[order][None], exact[order][None])


def together(found: list[Neighbours]) -> Neighbours:
    """Return the neighbours of several queries as one."""
    return Neighbours(
        np.concatenate([one.rows for one in found]), np.concatenate([one.scores for one in found])
    )
