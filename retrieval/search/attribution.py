"""Among which artists' works a picture stands out (conformal prediction)."""

from __future__ import annotations

from typing import Any

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.results import (
    AttributedArtist,
    Attribution,
)
from imindex.retrieval.vectors.blocks import Float16
from imindex.retrieval.vectors.similarity import similarities
from imindex.stats.conformal import conformal_attribution


def attribute(
    index: Index, vector: Float16, digest: bytes, works: np.ndarray[Any, Any], confidence_level: float = 0.95
) -> Attribution:
    """Tell which artists a picture does not stand out among, by conformal prediction.

    Parameters
    ----------
    index : Index
    vector : ndarray, shape (d,), float16
    digest : bytes
        SHA-256 of the picture: works with these bytes are the picture itself, and left out.
    works : ndarray, shape (n,), bool
        Rows that count as works.
    confidence_level : float

    Returns
    -------
    Attribution
        `set` has the artists with p above 1 - level, the best fit first.
    """
    itself = (index.column("sha256") == np.frombuffer(digest, np.uint8)).all(axis=1)
    artist_of = index.column("artist")
    rows = np.flatnonzero(works & ~itself & (artist_of >= 0))
    found = []
    for artist in np.unique(artist_of[rows]).tolist():
        own = np.asarray(index.vectors[rows[artist_of[rows] == artist]])
        one = conformal_attribution(
            similarities(vector[None], own)[0],
            similarities(own, own),
            np.zeros(len(own), np.int64),
            1,
            confidence_level=confidence_level,
        )
        found.append(
            AttributedArtist(
                artist=index.artists[artist],
                p=one.pvalue[0],
                n_works=len(own),
                smallest_p=one.resolution[0],
                excludable=bool(one.excludable[0]),
                in_set=bool(len(one.prediction_set)),
                score=one.score[0],
            )
        )
    found.sort(key=lambda one: (-(one.p or 0.0), -(one.score or 0.0), one.artist))
    return Attribution(
        confidence_level=confidence_level,
        n_itself=int(np.count_nonzero(works & itself)),
        set=tuple(one.artist for one in found if one.in_set),
        artists=tuple(found),
    )
