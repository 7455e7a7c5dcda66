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

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from imindex.indexer.system.cpu import processors
from imindex.retrieval.vectors.blocks import BLOCK_BYTES, LIMIT_BYTES, Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.checks import check_pair

_UNITS = 2.0**48  # a similarity is a whole number of 1 / _UNITS


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
    m = len(right)
    wide = Widened(right, LIMIT_BYTES)
    # Widening a tile takes longer than the product of a few rows: it is shared by as many as fit in LIMIT_BYTES.
    together = limit_bytes if wide.kept else max(limit_bytes, LIMIT_BYTES)
    for group in blocks(len(left), m, together):
        block = wide.product(left[group].astype(np.float64))
        for rows in blocks(len(block), m, limit_bytes):
            yield slice(group.start + rows.start, group.start + rows.stop), block[rows]


class Widened:
    """Vectors that others are multiplied with, converted to float64 once if they fit in memory, else tile by tile.

    Parameters
    ----------
    vectors : ndarray, shape (m, d), float16, unit norm
    limit_bytes : int
        Size of the float64 vectors that are held at a time.
    keep : bool, optional
        Whether to convert them once; by default if they fit.
    """

    def __init__(self, vectors: Float16, limit_bytes: int = LIMIT_BYTES, *, keep: bool | None = None):
        self.vectors = vectors
        self._limit_bytes = limit_bytes
        self.kept = 8 * vectors.size <= limit_bytes if keep is None else keep
        self._wide = vectors.astype(np.float64) if self.kept else None
        self._room: Float64 | None = None

    def product(
        self, left: Float64, columns: slice = slice(None), *, pool: ThreadPoolExecutor | None = None
    ) -> Float64:
        """Compute the exact similarities of other vectors to these.

        Parameters
        ----------
        left : ndarray, shape (n, d), float64
            Float16 unit vectors, converted to float64.
        columns : slice
            Which of these vectors; by default all.
        pool : ThreadPoolExecutor, optional
            Its threads share the rows. BLAS should then be limited to one thread per product
            (`imindex.indexer.system.cpu.products_alone`).

        Returns
        -------
        ndarray, shape (n, columns), float64
        """
        wanted = self.vectors[columns]
        block = np.empty((len(left), len(wanted)))
        n = 1 if pool is None else min(len(left), processors())
        shares = [slice(len(left) * i // n, len(left) * (i + 1) // n) for i in range(n)]
        m, d = wanted.shape
        tiles = blocks(m, d, self._limit_bytes) if self._wide is None else [slice(None)]
        for tile in tiles:
            wide = self._widen(wanted[tile], pool) if self._wide is None else self._wide[columns]

            def multiply(rows: slice, tile: slice = tile, wide: Float64 = wide) -> None:
                np.matmul(left[rows], wide.T, out=block[rows, tile])

            if pool is None:
                multiply(slice(None))
            else:
                for _ in pool.map(multiply, shares):
                    pass
        return block

    def _widen(self, vectors: Float16, pool: ThreadPoolExecutor | None) -> Float64:
        """Convert a tile, in memory that is reused for the next one."""
        if self._room is None or len(self._room) < len(vectors):
            self._room = np.empty(vectors.shape)
        wide = self._room[: len(vectors)]
        if pool is None:
            np.copyto(wide, vectors)
        else:
            cuts = [slice(start, start + 1024) for start in range(0, len(vectors), 1024)]
            for _ in pool.map(lambda rows: np.copyto(wide[rows], vectors[rows]), cuts):
                pass
        return wide


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
    parts = similarity_blocks(a, b, names=names)
    found = np.empty((len(np.asarray(a)), len(np.asarray(b))))
    for rows, block in parts:
        found[rows] = block
    return found


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
