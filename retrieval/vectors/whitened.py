"""An index whose vectors are whitened as they are read; see `imindex.stats.whitening`."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.indexer.system.cpu import products_alone
from imindex.retrieval.results import WhitenedBy
from imindex.retrieval.vectors.blocks import Float16
from imindex.retrieval.vectors.select import distinct, pictures
from imindex.stats.whitening import Whitening, learn

ALONE = (
    "whiten (--whiten, tests.whiten) works in this process alone: workers read the files as they are. Drop the workers "
    "(--workers, --on), or do not whiten."
)
"""The message for a release that workers should walk over with whitened vectors."""


class WhitenedVectors:
    """Vectors that are whitened when they are indexed. It has what readers use of an array, without being one.

    Parameters
    ----------
    vectors : array_like, shape (n, d), float16
        An array, or several files' or a remote file's vectors.
    whitening : Whitening
    """

    ndim = 2
    dtype = np.dtype(np.float16)

    def __init__(self, vectors: Float16, whitening: Whitening):
        self._vectors, self.whitening = vectors, whitening
        self.shape = vectors.shape

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Size of the values."""
        return 2 * self.size

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: Any) -> Float16:
        rows = np.asarray(self._vectors[key])
        return self.whitening.apply(rows) if rows.ndim == 2 else self.whitening.apply(rows[None])[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("whitened vectors are in one array only as a copy")
        return np.asarray(self[:], dtype)


def whitened(index: Index, whitening: Whitening | None = None) -> Index:
    """Return an open index with its vectors whitened. Its text vectors, if any, are not those of its pictures anymore.

    Parameters
    ----------
    index : Index
        Must stay open. An index that is whitened already is returned as it is.
    whitening : Whitening, optional
        By default learnt on the distinct works of the index, with the background.

    Returns
    -------
    Index
        It shares the file of `index`, and is closed with it.

    Raises
    ------
    ImindexError
        If there are works of fewer than two artists to learn from.
    """
    if whitening_of(index) is not None:
        return index
    whitening = whitening or learnt(index)
    view = copy.copy(index)
    view.vectors = cast("npt.NDArray[np.float16]", WhitenedVectors(index.vectors, whitening))
    view.__dict__["_read_from"] = index  # keeps the file open as long as the view is used
    return view


def as_stored(index: Index) -> Index:
    """Return an open index with the vectors of its file."""
    stored: Index = index.__dict__.get("_read_from", index)
    return stored


def learnt(index: Index) -> Whitening:
    """Learn a whitening from the distinct works of an index, with the background.

    Raises
    ------
    ImindexError
        If there are works of fewer than two artists.
    """
    works, _ = distinct(pictures(index, "works", "background"))
    with products_alone():  # one thread, so that sums do not depend on their number
        try:
            return learn(works.vectors, works.artist)
        except ValueError as error:
            raise ImindexError(f"{index.path} cannot be whitened: {error}") from error


def whitening_of(index: Index) -> Whitening | None:
    """Return how the vectors of an index are whitened; None if they are as stored."""
    return getattr(index.vectors, "whitening", None)


def whitened_by(index: Index) -> WhitenedBy | None:
    """Return how the vectors of an index are whitened, as a result; None if they are as stored."""
    whitening = whitening_of(index)
    return None if whitening is None else described(whitening)


def described(whitening: Whitening) -> WhitenedBy:
    """Return a whitening as a result."""
    return WhitenedBy(
        n_works=whitening.n_works,
        n_artists=whitening.n_artists,
        shrinkage=whitening.shrinkage,
        sha256=whitening.sha256,
    )
