"""Find the rows of an index with the bytes of a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Int64


class Digests:
    """The digests of n files, of which a few are looked up at a time.

    Parameters
    ----------
    sha256 : ndarray, shape (n, 32), uint8
    """

    def __init__(self, sha256: npt.NDArray[np.uint8]):
        self._sha256 = sha256
        self._beginnings = np.ascontiguousarray(sha256[:, :8]).view(np.uint64).ravel()

    def rows(self, digest: bytes) -> Int64:
        """Return the rows with a digest, ascending; none if it is empty."""
        if not digest:
            return np.zeros(0, np.int64)
        rows = np.flatnonzero(self._beginnings == np.frombuffer(digest[:8], np.uint64)[0])
        is_same = (self._sha256[rows] == np.frombuffer(digest, np.uint8)).all(axis=1)
        return np.asarray(rows[is_same])
