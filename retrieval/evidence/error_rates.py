"""Measure the error rates of a release's tests with placebo sets in the artists' places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import ErrorRates
from imindex.stats.error_card import error_card
from imindex.stats.keyed import generator
from imindex.stats.set_scores import SetScores
from imindex.stats.set_statistics import SetTable


def error_rates(
    index: Index,
    scores: SetScores,
    placebos: Sequence[int],
    judged: npt.NDArray[np.bool_],
    testing: Testing,
    learned: SetTable | None,
) -> ErrorRates | None:
    """Return the error rates; None without placebo names or judged artists, or if the unit is the work.

    Only sets of the size and design that most judged artists have are used.
    """
    artists = np.flatnonzero(judged & (scores.sizes > 0))
    if testing.unit != "artist" or not len(placebos) or not len(artists):
        return None
    sizes, counts = np.unique(scores.sizes[artists], return_counts=True)
    size = int(sizes[np.argmax(counts)])
    designs = scores.designs[size]
    values, counts = np.unique(designs[artists], return_counts=True)
    usable = designs == values[np.argmax(counts)]
    names = index.artists

    def ordered(numbers: Sequence[int]) -> list[int]:
        return sorted((n for n in numbers if usable[n]), key=lambda n: names[n])  # not the order of the index

    rivals = [n for n in np.flatnonzero(scores.n_imitations > 0).tolist() if n not in set(placebos)]
    card = error_card(
        scores.percentiles(size) if learned is None else learned.values[size],
        ordered([n for n in artists.tolist() if scores.sizes[n] == size]),
        ordered(placebos),
        ordered(rivals),
        level=testing.level,
        method=testing.adjust,
        rng=generator(testing.seed, "error rates"),
    )
    return None if card is None else ErrorRates(**asdict(card))
