"""Exact cosine similarities between stored vectors.

Stored vectors are float16 with unit norm. For such vectors a float64 dot product has no rounding error, in any order of
summation:

1. Every finite float16 is a multiple of 2**-24 with a significand of at most 11 bits. The product of two is a multiple
   of 2**-48 with a significand of at most 22 bits, which is exact in float64.
2. Every partial sum of the products, over any subset of the coordinates, is a multiple of 2**-48. By the Cauchy-Schwarz
   inequality on the absolute values, its magnitude is at most ``|a| |b| <= 1.01**2 < 2``.
3. float64 represents all multiples of 2**-48 up to a magnitude of 2**5 = 32 (53 bits), so no addition rounds.

Results therefore do not depend on the BLAS, its threads, fused multiply-adds or the block size. Ranks derived from them
are reproducible bit for bit on any machine, and identical pictures tie exactly. None of this holds for float32, so this
module accepts only float16.

Conventions of `imindex.retrieval`: rank 1 is the nearest; a higher score is nearer; in lists, ties are ordered by row
number; in tests and metrics, ties count against the finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from imindex.indexer.system.cpu import processors
from imindex.retrieval.vectors.blocks import BLOCK_BYTES, LIMIT_BYTES, Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.checks import check_pair

_UNITS = 2.0**48  # a similarity is an integer multiple of 1 / _UNITS


def similarity_blocks(
    a: npt.ArrayLike, b: npt.ArrayLike, *, limit_bytes: int = BLOCK_BYTES, names: tuple[str, str] = ("a", "b")
) -> Iterator[tuple[slice, Float64]]:
    """Compute exact cosine similarities, one block of rows of `a` at a time.

    Parameters
    ----------
    a : array_like, shape (n, d), float16, unit norm
    b : array_like, shape (m, d), float16, unit norm
    limit_bytes : int
        Maximum size of a block. The similarities do not depend on it.
    names : (str, str)
        Names of `a` and `b`, for error messages.

    Returns
    -------
    iterator of (slice, ndarray of float64, shape (rows, m))
        The rows of `a`, and their similarities to all rows of `b`. The caller may modify the array.

    Raises
    ------
    ValueError
        See `check_pair`. Raised by the call itself, before the first block.

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
    """Yield the blocks. `right` is converted to float64 once if it fits in `LIMIT_BYTES`, else tile by tile."""
    m = len(right)
    wide = Widened(right, LIMIT_BYTES)
    # Converting a tile takes longer than multiplying a few rows, so as many rows as fit in LIMIT_BYTES share it.
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
        right = self.vectors[columns]
        block = np.empty((len(left), len(right)))
        n = 1 if pool is None else min(len(left), processors())
        shares = [slice(len(left) * i // n, len(left) * (i + 1) // n) for i in range(n)]
        m, d = right.shape
        tiles = blocks(m, d, self._limit_bytes) if self._wide is None else [slice(None)]
        for tile in tiles:
            wide = self._widen(right[tile], pool) if self._wide is None else self._wide[columns]

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
    """Compute the exact cosine similarity of every row of `a` to every row of `b`.

    The cosine is the dot product of the stored vectors. Their norms are 1 up to the rounding to float16, and are not
    divided out again. The value is exact: every product of two float16 numbers is a multiple of 2**-48, every partial
    sum is below 2 in magnitude, and float64 represents all multiples of 2**-48 up to 32. It therefore does not depend
    on the order of summation, the BLAS or the machine, and identical vectors tie exactly. The module's docstring has
    the full argument.

    Parameters
    ----------
    a : array_like, shape (n, d), float16, unit norm
    b : array_like, shape (m, d), float16, unit norm
    names : (str, str)
        Names of `a` and `b`, for error messages.

    Returns
    -------
    ndarray, shape (n, m), float64
        It takes 8 n m bytes; `similarity_blocks` takes less.

    Raises
    ------
    ValueError
        If the vectors are not float16, not finite, not of unit norm (within 1e-2), or of different dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.array([[1, 0], [0.6, 0.8]], np.float16)
    >>> similarities(a, a[:1]).tolist()
    [[1.0], [0.60009765625]]
    """
    parts = similarity_blocks(a, b, names=names)
    out = np.empty((len(np.asarray(a)), len(np.asarray(b))))
    for rows, block in parts:
        out[rows] = block
    return out


def exact_integers(similarity: Float64) -> Int64:
    """Convert similarities from this module to integers, in units of 2**-48. The conversion is exact.

    Sums of such integers are exact below 2**63, that is for about 32,000 terms.

    Examples
    --------
    >>> import numpy as np
    >>> exact_integers(np.array([1.0, -0.5])).tolist() == [2**48, -2**47]
    True
    """
    return np.asarray(similarity * _UNITS).astype(np.int64)
