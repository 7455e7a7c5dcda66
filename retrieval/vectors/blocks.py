"""Cut rows into blocks of bounded memory; the array types in use."""

from __future__ import annotations

from collections.abc import Iterator

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
