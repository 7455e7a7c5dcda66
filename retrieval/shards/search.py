"""Nearest rows of many queries, with the files of an index searched by workers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from imindex.indexer.runners.calls import Calls
from imindex.indexer.store.index import Index
from imindex.retrieval.search.nearest import Neighbours, merged
from imindex.retrieval.shards.ranks import file_rows
from imindex.retrieval.shards.worker import Range
from imindex.retrieval.vectors.blocks import Float16

RANGE_ROWS = 2**20
"""Maximum number of rows that a worker searches at a time."""


def nearest_by_workers(
    calls: Calls, index: Index, queries: Float16, k: int, among: npt.NDArray[np.bool_]
) -> Neighbours:
    """Find the k nearest rows of each query, as `imindex.retrieval.search.nearest.nearest` does.

    Parameters
    ----------
    calls : Calls
        Workers made from `imindex.retrieval.shards.worker.Worker`, with the files of the index.
    index : Index
    queries : ndarray, shape (Q, d), float16, unit norm
    k : int
        At least 1.
    among : ndarray, shape (n,), bool
        Search only these rows.

    Returns
    -------
    Neighbours
        Each worker returns the k nearest of its rows; of these the k nearest remain. The scores are exact, so the
        result is that of a single process, to the bit.
    """
    ranges, numbers = [], []
    for one, rows in _ranges(index, among):
        ranges.append(one)
        numbers.append(rows)
    found = calls.map("nearest", ((one, k) for one in ranges), queries)
    parts = [Neighbours(rows[part.rows], part.scores) for part, rows in zip(found, numbers, strict=True)]
    return merged(parts, len(queries), k)


def _ranges(index: Index, among: npt.NDArray[np.bool_]) -> Iterator[tuple[Range, npt.NDArray[np.int64]]]:
    """Yield ranges of rows of each file, and the number in the index of each row of the range (-1: none)."""
    for file, (start, n, kept) in enumerate(file_rows(index)):
        local = np.arange(n) if kept is None else kept
        for first in range(0, index.parts[file].n, RANGE_ROWS):
            stop = min(index.parts[file].n, first + RANGE_ROWS)
            here = slice(*np.searchsorted(local, [first, stop]).tolist())
            wanted = np.zeros(stop - first, np.bool_)
            wanted[local[here] - first] = among[start:][here]
            if wanted.any():
                numbers = np.full(stop - first, -1)
                numbers[local[here] - first] = start + np.arange(here.start, here.stop)
                yield Range(file, first, stop, np.packbits(wanted)), numbers
