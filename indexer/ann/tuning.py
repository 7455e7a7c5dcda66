"""Measure the recall of an approximate index on held-out queries, and find the cheapest parameters that reach a target.

The ground truth is an exact search that excludes the query itself. One half of the queries selects the search
parameters, and the other half measures the recall, so that the stored recall is not biased by the selection.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.ann import faiss_kinds
from imindex.indexer.ann.approximate import ApproximateSearcher
from imindex.indexer.ann.exact import ExactSearcher
from imindex.indexer.ann.record import AMONG, HNSW, IVF, IVF_PQ, NEIGHBOURS, SHARE, effort_of

Float16 = npt.NDArray[np.float16]
Mask = npt.NDArray[np.bool_]
Parameters = dict[str, int]

_ROUNDING = 2e-6
"""Maximum difference between two fp32 sums of the same products."""
_STANDARD_ERRORS = 1.645
"""The mean recall must exceed the target by this many standard errors (one-sided test at 5 %)."""
_REFINE = (2, 4, 8, 16, 32, 64)
_RANDOM_ROW = 40
"""Cost of reading one re-ranked row from a random position of the file, in scanned codes of 32 bytes."""
_HOP = 60
"""Number of rows that HNSW visits per entry of its candidate list."""


@dataclass(frozen=True, eq=False)
class Queries:
    """Rows used as queries, with their ground truth.

    Attributes
    ----------
    rows : ndarray, shape (q,), int64
    vectors : ndarray, shape (q, dim), float32
    least : ndarray, shape (q,), float32
        Cosine of the tenth-nearest other row. A row is one of the ten nearest if its cosine is at least this.
    among : ndarray, shape (n,), bool, optional
        The rows that are searched; all of them if None.
    """

    rows: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    least: npt.NDArray[np.float32]
    among: Mask | None = None

    def half(self, which: int) -> Queries:
        """Return every second query, starting with the first (0) or the second (1)."""
        return Queries(self.rows[which::2], self.vectors[which::2], self.least[which::2], self.among)


def queries(vectors: Float16, rows: npt.NDArray[np.int64], among: Mask | None = None) -> Queries:
    """Search for the nearest rows of given rows exactly, excluding each row itself.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim), float16; n above 10
    rows : ndarray, shape (q,), int
    among : ndarray, shape (n,), bool, optional
        Search these rows only.
    """
    query_vectors = np.asarray(vectors[rows], np.float32)
    scores, neighbours = ExactSearcher(vectors).search(query_vectors, NEIGHBOURS + 1, among=among)
    is_self = neighbours == rows[:, None]
    is_self[~is_self.any(axis=1), -1] = (
        True  # if too many rows are identical, the row itself may not be returned
    )
    least = scores[~is_self].reshape(-1, NEIGHBOURS).min(axis=1)
    return Queries(np.asarray(rows, np.int64), query_vectors, least, among)


def recalls(searcher: ApproximateSearcher, vectors: Float16, held_out: Queries) -> npt.NDArray[np.float64]:
    """Return the fraction of each query's ten nearest rows that a search finds, (q,)."""
    rows = searcher.search(held_out.vectors, NEIGHBOURS + 1, among=held_out.among)[1]
    others = rows != held_out.rows[:, None]
    counted = others & (np.cumsum(others, axis=1) <= NEIGHBOURS)
    cosines = np.einsum("qd,qkd->qk", held_out.vectors, np.asarray(vectors[rows], np.float32))
    near = cosines >= held_out.least[:, None] - _ROUNDING
    hits: npt.NDArray[np.float64] = np.count_nonzero(counted & near, axis=1) / NEIGHBOURS
    return hits


def work(
    kind: str,
    parameters: Mapping[str, int],
    n: int,
    dim: int,
    lists: int,
    floats: int = faiss_kinds.FLOATS[0],
) -> int:
    """Estimate the cost of a search, in scanned codes of 32 bytes; that of an exact search is `exact_work`."""
    if kind == HNSW:
        return parameters["ef-search"] * _HOP * _RANDOM_ROW
    size = 2 * dim if kind == IVF else faiss_kinds.n_codes(dim, floats) / 2
    scanned = parameters["nprobe"] * n / lists * max(size / 32, 0.1) + lists * dim * 4 / 32 / 8
    refined = parameters["refine"] * NEIGHBOURS * _RANDOM_ROW if kind == IVF_PQ else 0
    return int(scanned + refined)


def exact_work(n: int, dim: int) -> int:
    """Estimate the cost of an exact search, in scanned codes of 32 bytes."""
    return n * dim * 2 // 32


def reaches(recall: npt.NDArray[np.float64], target: float) -> bool:
    """Return whether the mean of the recalls of single queries is significantly at or above the target."""
    error = float(recall.std()) / max(len(recall) - 1, 1) ** 0.5
    return bool(recall.mean() - _STANDARD_ERRORS * error >= target - 1e-9)


@dataclass(frozen=True)
class Tuned:
    """Search parameters, their cost, and the recalls on queries that were not used to choose them."""

    parameters: Parameters
    work: int
    recall: float
    recall_among: float
    n_queries: int


def tune(
    index: Any,
    kind: str,
    vectors: Float16,
    held_out: Queries,
    target: float,
    *,
    floats: int = faiss_kinds.FLOATS[0],
) -> Tuned | None:
    """Find the cheapest parameters whose recall reaches the target; None if there are none.

    Parameters
    ----------
    index : FAISS index over `vectors`
    kind : str
    vectors : ndarray, shape (n, dim), float16
    held_out : Queries
        Every second query is used to choose the parameters, the others to measure the recall. If the measured recall
        is below the target, the next more expensive parameters are tried.
    target : float
    floats : int
        As in `faiss_kinds.train`.
    """
    n, dim = vectors.shape
    tenth = _tenth(n)
    selection, validation = held_out.half(0), held_out.half(1)
    selection_among, validation_among = (
        queries(vectors, half.rows, tenth) for half in (selection, validation)
    )
    effort = effort_of(kind)
    lists = 0 if kind == HNSW else int(index.nlist)
    searcher = ApproximateSearcher.over(index, kind, vectors, {})

    def measure(parameters: Parameters, sample: Queries) -> npt.NDArray[np.float64]:
        searcher.parameters = {effort + AMONG: parameters[effort]} | parameters
        return recalls(searcher, vectors, sample)

    def is_enough(parameters: Parameters, sample: Queries = selection) -> bool:
        return reaches(measure(parameters, sample), target)

    def add_among(candidate: Parameters) -> Parameters | None:
        """Add the smallest effort that reaches the target among a tenth of the rows."""
        extended = [candidate | {effort + AMONG: value} for value in efforts if value >= candidate[effort]]
        first = bisect.bisect_left(
            extended, True, key=lambda parameters: is_enough(parameters, selection_among)
        )
        return extended[first] if first < len(extended) else None

    candidates = _candidates(kind, lists)
    efforts = sorted({candidate[effort] for candidate in candidates})
    if kind != HNSW:  # if the probed lists do not contain the neighbours, re-ranking cannot help
        probes = sorted({candidate["nprobe"] for candidate in candidates})
        max_refine = max(candidate["refine"] for candidate in candidates)
        first = bisect.bisect_left(probes, True, key=lambda p: is_enough({"nprobe": p, "refine": max_refine}))
        candidates = [candidate for candidate in candidates if candidate["nprobe"] in probes[first:]]
    cost = {id(candidate): work(kind, candidate, n, dim, lists, floats) for candidate in candidates}
    for candidate in sorted(candidates, key=lambda candidate: cost[id(candidate)]):
        if is_enough(candidate):
            recall = float(measure(candidate, validation).mean())
            if recall >= target and (parameters := add_among(candidate)) is not None:
                recall_among = float(measure(parameters, validation_among).mean())
                return Tuned(parameters, cost[id(candidate)], recall, recall_among, len(validation.rows))
    return None


def measured_again(
    index: Any,
    kind: str,
    vectors: Float16,
    held_out: Queries,
    target: float,
    parameters: Mapping[str, int],
    *,
    floats: int = faiss_kinds.FLOATS[0],
) -> Tuned | None:
    """Measure the recall of known parameters; return None if it is below the target.

    The queries had no part in the choice of the parameters, so all of them measure the recall. This takes two searches,
    where `tune` takes about 50.

    Parameters
    ----------
    index, kind, vectors, held_out, target, floats
        As in `tune`.
    parameters : mapping of str to int
        The search parameters, including that for searches among a tenth of the rows.
    """
    n, dim = vectors.shape
    searcher = ApproximateSearcher.over(index, kind, vectors, parameters)
    recall = float(recalls(searcher, vectors, held_out).mean())
    if recall < target:
        return None
    among = queries(vectors, held_out.rows, _tenth(n))
    recall_among = float(recalls(searcher, vectors, among).mean())
    if recall_among < target:
        return None
    lists = 0 if kind == HNSW else int(index.nlist)
    cost = work(kind, parameters, n, dim, lists, floats)
    return Tuned(dict(parameters), cost, recall, recall_among, len(held_out.rows))


def _tenth(n: int) -> Mask:
    """Draw a tenth of the rows."""
    tenth = np.zeros(n, np.bool_)
    tenth[np.random.default_rng(n).choice(n, int(np.ceil(n * SHARE)), replace=False)] = True
    return tenth


def _candidates(kind: str, lists: int) -> list[Parameters]:
    """Return the candidate parameters for searches among all rows."""
    if kind == HNSW:
        return [{"ef-search": 2**power} for power in range(4, 13)]
    probes = sorted({min(int(2 ** (half / 2)), lists) for half in range(2 * lists.bit_length() + 1)})
    return [{"nprobe": p, "refine": r} for p in probes for r in (_REFINE if kind == IVF_PQ else (1,))]
