"""Check what a back end returns, before it reaches an index."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo

TOLERANCE = 1e-2
"""How far from 1 a norm may be. Rounding to float16 accounts for about 5e-4."""


def check_vectors(vectors: object, n: int, info: EncoderInfo, *, black: int = 0) -> npt.NDArray[np.float16]:
    """Return the vectors of n pictures, or refuse them.

    Parameters
    ----------
    vectors : object
        What `encode_images` returned.
    n : int
        How many pictures it was given.
    info : EncoderInfo
    black : int
        How many of them are black and only fill the batch up, for the message.

    Returns
    -------
    ndarray, shape (n, dim), float16
        Unit vectors; rows of NaN have no direction.

    Raises
    ------
    ImindexError
        Not a float16 array of that shape; a row is neither a unit vector nor NaN.

    Examples
    --------
    >>> import numpy as np
    >>> info = EncoderInfo("colours", "", "0" * 64, {}, {}, 2, "fp32")
    >>> check_vectors(np.array([[0.6, 0.8]], np.float16), 1, info).shape
    (1, 2)
    >>> check_vectors(np.zeros((1, 2), np.float16), 1, info)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    imindex...ImindexError: The encoder ... returned a vector of norm 0 for picture 0 of 1, ...
    """
    remedy = "Fix its encode_images (indexer/encoders/ENCODERS.md, `unit_vectors`); nothing of this batch was stored."
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float16 or vectors.shape != (n, info.dim):
        what = (
            f"{vectors.dtype} of shape {vectors.shape}"
            if isinstance(vectors, np.ndarray)
            else type(vectors).__name__
        )
        raise ImindexError(
            f"The encoder {info.name()} returned {what} for {n} pictures"
            f"{f' ({black} of them black, to fill the batch up)' if black else ''}, not a float16 array of shape "
            f"({n}, {info.dim}). {remedy}"
        )
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    wrong = np.flatnonzero(np.isfinite(norms) & (np.abs(norms - 1) > TOLERANCE))
    if len(wrong):
        raise ImindexError(
            f"The encoder {info.name()} returned a vector of norm {norms[wrong[0]]:.4g} for picture {wrong[0]} of {n}, "
            f"not a unit vector, or NaN for a picture without direction. {remedy}"
        )
    return vectors
