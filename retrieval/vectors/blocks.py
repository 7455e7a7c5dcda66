"""Array types, and blocks of rows of bounded size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Float16 = npt.NDArray[np.float16]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
LIMIT_BYTES = 256 * 2**20
"""Maximum size of the vectors on one side of a product that are converted to float64 at a time."""
BLOCK_BYTES = 8 * 2**20
"""Maximum size of the similarities held at a time by functions that work in blocks. Larger blocks are slower."""


def blocks(n: int, m: int, limit_bytes: int = BLOCK_BYTES) -> Iterator[slice]:
    """Divide n rows into consecutive slices whose (rows, m) float64 block fits in `limit_bytes`.

    A slice has at least one row, even if that row alone exceeds the limit.

    Examples
    --------
    >>> list(blocks(5, 10, limit_bytes=160))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, limit_bytes // (8 * max(1, m)))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))
