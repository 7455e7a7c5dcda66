"""What a report shows of an artist: where the own imitations stand, and works beside their nearest imitations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.results import Gallery, Neighbours
from imindex.retrieval.vectors.blocks import Float16, Int64
from imindex.retrieval.vectors.select import distinct, pictures
from imindex.retrieval.vectors.similarity import similarities

BINS = 20


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest own imitation of each work of one artist: w works.

    Attributes
    ----------
    imitation : ndarray, shape (w,), int64
        Position among the imitations; of equal ones the first.
    rank : ndarray, shape (w,), int64
        How many imitations of the release, by anybody, are at least as near; of equal ones that are own, itself only.
    cosine : ndarray, shape (w,), float64
    histogram : ndarray, shape (BINS,), int64
        Of all pairs of a work and an own imitation: the share of others' imitations that are nearer (ties one half),
        in equal bins from 0 to 1. Without imitation it is about flat.
    """

    imitation: Int64
    rank: Int64
    cosine: np.ndarray[Any, np.dtype[np.float64]]
    histogram: Int64


def nearest_own(works: Float16, imitations: Float16, own: np.ndarray[Any, np.dtype[np.bool_]]) -> Nearest:
    """Find them, exactly.

    Parameters
    ----------
    works : ndarray, shape (w, d), float16, unit norm
        Of one artist; held against all imitations at once.
    imitations : ndarray, shape (m, d), float16, unit norm
    own : ndarray, shape (m,), bool
        Made in the artist's name; at least one.

    Examples
    --------
    >>> works = np.array([[1, 0]], np.float16)
    >>> made = np.array([[0, 1], [0.6, 0.8], [0.8, 0.6]], np.float16)
    >>> found = nearest_own(works, made, np.array([False, True, False]))
    >>> found.imitation.tolist(), found.rank.tolist(), found.histogram.nonzero()[0].tolist()
    ([1], [2], [10])
    """
    table = similarities(works, imitations, names=("works", "imitations"))
    mine, others = np.flatnonzero(own), np.sort(table[:, ~own], axis=1)
    best = mine[table[:, mine].argmax(axis=1)]
    cosine = table[np.arange(len(table)), best]
    nearer = (table[:, ~own] >= cosine[:, None]).sum(axis=1)
    counts = np.zeros(BINS, np.int64)
    n = others.shape[1]
    if n:
        for row, line in zip(table[:, mine], others, strict=True):
            twice = 2 * n - np.searchsorted(line, row, "left") - np.searchsorted(line, row, "right")
            counts += np.bincount(np.minimum(twice * BINS // (2 * n), BINS - 1), minlength=BINS)
    return Nearest(best.astype(np.int64), nearer + 1, cosine, counts)


def gallery(index: Index, collection: str, artists: Sequence[str], n_works: int = 6) -> dict[str, Gallery]:
    """Of each artist the histogram, and works beside their nearest own imitation.

    Parameters
    ----------
    index : Index
    collection : str
        The release.
    artists : sequence of str
        Those without works or imitations are left out.
    n_works : int
        Works shown. They are spread evenly from the work whose nearest own imitation stands best to the one whose
        stands worst, so that nobody picked them.

    Returns
    -------
    dict of str to Gallery
        By artist. Paths are relative to the folder of the index.
    """
    works, _ = distinct(pictures(index, "works"))
    made, _ = distinct(pictures(index, "imitations", collections=[collection]))
    paths, prompts, seeds = (index.column(name) for name in ("path", "prompt", "seed"))
    numbers = {name: number for number, name in enumerate(index.artists)}
    found: dict[str, Gallery] = {}
    for artist in artists:
        number = numbers.get(artist, -2)
        mine, own = np.flatnonzero(works.artist == number), made.artist == number
        if not len(mine) or not own.any():
            continue
        nearest = nearest_own(works.vectors[mine], made.vectors, own)
        order = np.lexsort((mine, -nearest.cosine, nearest.rank))
        places = np.unique(np.linspace(0, len(order) - 1, min(n_works, len(order))).round().astype(int))
        found[artist] = Gallery(
            rank_histogram=tuple(nearest.histogram.tolist()),
            neighbours=tuple(
                Neighbours(
                    work=paths[works.rows[mine[place]]],
                    imitation=paths[row],
                    prompt=prompts[row],
                    seed=int(seeds[row]),
                    rank=int(nearest.rank[place]),
                    cosine=min(float(nearest.cosine[place]), 1.0),
                )
                for place in order[places]
                for row in [made.rows[nearest.imitation[place]]]
            ),
        )
    return found
