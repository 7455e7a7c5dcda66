"""Galleries for the report: a histogram of the ranks of own imitations, and works with their nearest imitations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imindex.indexer.core.cosine import shown_cosine
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.release_walk import Observed, Wanted, observe
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.match.own_neighbours import BINS as BINS
from imindex.retrieval.match.own_neighbours import nearest_own as nearest_own
from imindex.retrieval.results import Gallery, Neighbours


def gallery(
    index: Index,
    collection: str,
    artists: Sequence[str],
    n_works: int = 6,
    *,
    observed: Observed | None = None,
    csls_k: int | None = None,
) -> dict[str, Gallery]:
    """Return, for each artist, a histogram of ranks and some works with their nearest own imitation.

    Parameters
    ----------
    index : Index
    collection : str
        The release.
    artists : sequence of str
        Artists without works or imitations are omitted.
    n_works : int
        Number of works to show. Works are sorted by the rank of their nearest own imitation and sampled at even
        intervals, so that the choice is not arbitrary.
    observed : Observed, optional
        The release, if it was observed before, with `neighbours`.
    csls_k : int, optional
        Rank by CSLS with this many neighbours, if the release was not observed before.

    Returns
    -------
    dict of str to Gallery
        Keyed by artist. Paths are relative to the folder of the index.
    """
    if observed is None:
        observed = observe(Shared(index), [Wanted(collection, csls_k=csls_k, neighbours=True)])[collection]
    assert observed.neighbours is not None
    works, _ = observed.shared.works
    paths, prompts, seeds = (index.column(name) for name in ("path", "prompt", "seed"))
    numbers = {name: number for number, name in enumerate(index.artists)}
    galleries: dict[str, Gallery] = {}
    for artist in artists:
        number = numbers.get(artist, -2)
        artist_works = np.flatnonzero(works.artist == number)
        if not len(artist_works) or not observed.columns.counts[number]:
            continue
        nearest = observed.neighbours.of(number)
        order = np.lexsort((artist_works, -nearest.cosine, nearest.rank))
        sampled = np.unique(np.linspace(0, len(order) - 1, min(n_works, len(order))).round().astype(int))
        galleries[artist] = Gallery(
            rank_histogram=tuple(nearest.histogram.tolist()),
            neighbours=tuple(
                Neighbours(
                    work=paths[works.rows[artist_works[position]]],
                    imitation=paths[row],
                    prompt=prompts[row],
                    seed=int(seeds[row]),
                    rank=int(nearest.rank[position]),
                    cosine=shown_cosine(nearest.cosine[position]),
                )
                for position in order[sampled]
                for row in [observed.rows[nearest.imitation[position]]]
            ),
        )
    return galleries
