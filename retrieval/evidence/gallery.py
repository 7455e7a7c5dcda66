"""What a report shows of an artist: where the own imitations stand, and works beside their nearest imitations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
) -> dict[str, Gallery]:
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
    observed : Observed, optional
        What was seen of the release, its `neighbours` included, where it was walked before.

    Returns
    -------
    dict of str to Gallery
        By artist. Paths are relative to the folder of the index.
    """
    if observed is None:
        observed = observe(Shared(index), [Wanted(collection, neighbours=True)])[collection]
    assert observed.neighbours is not None
    works, _ = observed.shared.works
    paths, prompts, seeds = (index.column(name) for name in ("path", "prompt", "seed"))
    numbers = {name: number for number, name in enumerate(index.artists)}
    found: dict[str, Gallery] = {}
    for artist in artists:
        number = numbers.get(artist, -2)
        mine = np.flatnonzero(works.artist == number)
        if not len(mine) or not observed.columns.counts[number]:
            continue
        nearest = observed.neighbours.of(number)
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
                for row in [observed.rows[nearest.imitation[place]]]
            ),
        )
    return found
