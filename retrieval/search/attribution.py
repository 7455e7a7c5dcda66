"""Attribution of a picture to artists by conformal prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.results import (
    AttributedArtist,
    Attribution,
)
from imindex.retrieval.vectors.blocks import Float16
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.retrieval.vectors.select import Pictures, distinct
from imindex.retrieval.vectors.similarity import similarities
from imindex.stats.conformal import conformal_attribution


def attribute(
    index: Index, vector: Float16, digest: bytes, works: np.ndarray[Any, Any], confidence_level: float = 0.95
) -> Attribution:
    """Compute the set of artists among whose works a picture does not stand out, by conformal prediction.

    Parameters
    ----------
    index : Index
    vector : ndarray, shape (d,), float16
    digest : bytes
        SHA-256 of the picture. Works with these bytes are the picture itself and are excluded. Empty if unknown.
    works : ndarray, shape (n,), bool
        Rows that count as works.
    confidence_level : float

    Returns
    -------
    Attribution
        `set` contains the artists with p above 1 - level, best fit first. Copies of a picture under one artist count
        as one work.
    """
    is_query = np.zeros(index.n, np.bool_)
    if digest:
        is_query = (index.column("sha256") == np.frombuffer(digest, np.uint8)).all(axis=1)
    artist_of = index.column("artist")
    rows = np.flatnonzero(works & ~is_query & (artist_of >= 0))
    known, _ = distinct(Pictures(rows, np.asarray(index.vectors[rows]), artist_of[rows].astype(np.int64)))
    clusters = np.zeros(0, np.int64)
    if len(known.rows):
        clusters = near_duplicates(known.vectors, known.artist)[0]
    attributed = []
    for artist in np.unique(known.artist).tolist():
        mine = known.artist == artist
        own = known.vectors[mine]
        prediction = conformal_attribution(
            similarities(vector[None], own)[0],
            similarities(own, own),
            np.zeros(len(own), np.int64),
            1,
            cluster=clusters[mine],
            confidence_level=confidence_level,
        )
        attributed.append(
            AttributedArtist(
                artist=index.artists[artist],
                p=prediction.pvalue[0],
                n_works=len(own),
                n_distinct_works=int(prediction.n_distinct[0]),
                smallest_p=prediction.resolution[0],
                excludable=bool(prediction.excludable[0]),
                in_set=bool(len(prediction.prediction_set)),
                score=prediction.score[0],
            )
        )
    attributed.sort(key=lambda a: (-(a.p or 0.0), -(a.score or 0.0), a.artist))
    return Attribution(
        confidence_level=confidence_level,
        n_itself=int(np.count_nonzero(works & is_query)),
        set=tuple(a.artist for a in attributed if a.in_set),
        artists=tuple(attributed),
    )
