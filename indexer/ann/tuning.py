"""The recall of an approximate index on held-out queries, and the least work that reaches the one asked for.

Truth is an exact search without the query itself. One half of the queries chooses the search parameters, the other half
tells the recall, so that what is stored is not the best of many tries.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.ann import faiss_kinds
from imindex.indexer.ann.approximate import ApproximateSearcher
from imindex.indexer.ann.exact import ExactSearcher
from imindex.indexer.ann.record import AMONG, HNSW, IVF, IVF_PQ, NEIGHBOURS, SHARE, effort_of

Float16 = npt.NDArray[np.float16]
Chosen = npt.NDArray[np.bool_]
Parameters = dict[str, int]

_ROUNDING = 2e-6
"""How far two fp32 sums of the same products may be apart."""
_SURE = 1.645
"""Standard errors above the target: a recall that reaches it by luck does so once in twenty times."""
_REFINE = (2, 4, 8, 16, 32, 64)
_RANDOM_ROW = 40
"""A re-ranked row is read from anywhere in the file: as dear as the scan of so many codes of 32 bytes."""
_HOP = 60
"""Rows that HNSW looks at for each entry of its list."""


@dataclass(frozen=True, eq=False)
class Queries:
    """Rows to measure with, and what their nearest are.

    Attributes
    ----------
    rows : ndarray, shape (q,), int64
    vectors : ndarray, shape (q, dim), float32
    least : ndarray, shape (q,), float32
        Cosine of the tenth-nearest other row: a row at least as near is one of the ten.
    among : ndarray, shape (n,), bool, optional
        The rows that are searched; all, if None.
    """

    rows: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    least: npt.NDArray[np.float32]
    among: Chosen | None = None

    def half(self, which: int) -> Queries:
        """Every second one, from the first (0) or the second (1) on."""
        return Queries(self.rows[which::2], self.vectors[which::2], self.least[which::2], self.among)


def queries(vectors: Float16, rows: npt.NDArray[np.int64], among: Chosen | None = None) -> Queries:
    """Search rows exactly, each without itself.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim), float16; n above 10
    rows : ndarray, shape (q,), int
    among : ndarray, shape (n,), bool, optional
        Search these rows only.
    """
    asked = np.asarray(vectors[rows], np.float32)
    scores, found = ExactSearcher(vectors).search(asked, NEIGHBOURS + 1, among=among)
    itself = found == rows[:, None]
    itself[~itself.any(axis=1), -1] = True  # so many rows are the same that it is not among them
    least = scores[~itself].reshape(-1, NEIGHBOURS).min(axis=1)
    return Queries(np.asarray(rows, np.int64), asked, least, among)


def recalls(searcher: ApproximateSearcher, vectors: Float16, asked: Queries) -> npt.NDArray[np.float64]:
    """The share of each query's ten nearest that a search finds, (q,)."""
    rows = searcher.search(asked.vectors, NEIGHBOURS + 1, among=asked.among)[1]
    others = rows != asked.rows[:, None]
    counted = others & (np.cumsum(others, axis=1) <= NEIGHBOURS)
    cosines = np.einsum("qd,qkd->qk", asked.vectors, np.asarray(vectors[rows], np.float32))
    near = cosines >= asked.least[:, None] - _ROUNDING
    hits: npt.NDArray[np.float64] = np.count_nonzero(counted & near, axis=1) / NEIGHBOURS
    return hits


def work(
    kind: str, parameters: Parameters, n: int, dim: int, lists: int, floats: int = faiss_kinds.FLOATS[0]
) -> int:
    """What a search costs, in codes of 32 bytes scanned; an exact one costs `exact_work`."""
    if kind == HNSW:
        return parameters["ef-search"] * _HOP * _RANDOM_ROW
    size = 2 * dim if kind == IVF else faiss_kinds.n_codes(dim, floats) / 2
    scanned = parameters["nprobe"] * n / lists * max(size / 32, 0.1) + lists * dim * 4 / 32 / 8
    again = parameters["refine"] * NEIGHBOURS * _RANDOM_ROW if kind == IVF_PQ else 0
    return int(scanned + again)


def exact_work(n: int, dim: int) -> int:
    """What an exact search costs, in codes of 32 bytes."""
    return n * dim * 2 // 32


def reaches(found: npt.NDArray[np.float64], target: float) -> bool:
    """Whether recalls of single queries show that the mean is at least the target, beyond luck."""
    error = float(found.std()) / max(len(found) - 1, 1) ** 0.5
    return bool(found.mean() - _SURE * error >= target - 1e-9)


@dataclass(frozen=True)
class Tuned:
    """Search parameters, their work, and the recalls on queries that did not choose them."""

    parameters: Parameters
    work: int
    recall: float
    recall_among: float
    n_queries: int


def tune(
    index: Any,
    kind: str,
    vectors: Float16,
    asked: Queries,
    target: float,
    *,
    floats: int = faiss_kinds.FLOATS[0],
) -> Tuned | None:
    """Find the parameters of least work whose recall reaches the target; None if none does.

    Parameters
    ----------
    index : FAISS index over `vectors`
    kind : str
    vectors : ndarray, shape (n, dim), float16
    asked : Queries
        Every second one chooses, the others tell the recall. Should it turn out below the target with these, the next
        parameters are taken: more work, never less.
    target : float
    floats : int
        As in `faiss_kinds.train`.
    """
    n, dim = vectors.shape
    tenth = np.zeros(n, np.bool_)
    tenth[np.random.default_rng(n).choice(n, int(np.ceil(n * SHARE)), replace=False)] = True
    choosing, telling = asked.half(0), asked.half(1)
    choosing_among, telling_among = (queries(vectors, some.rows, tenth) for some in (choosing, telling))
    effort = effort_of(kind)
    lists = 0 if kind == HNSW else int(index.nlist)
    searcher = ApproximateSearcher.over(index, kind, vectors, {})

    def measured(parameters: Parameters, some: Queries) -> npt.NDArray[np.float64]:
        searcher.parameters = {effort + AMONG: parameters[effort]} | parameters
        return recalls(searcher, vectors, some)

    def enough(parameters: Parameters, some: Queries = choosing) -> bool:
        return reaches(measured(parameters, some), target)

    def among_tenth(plan: Parameters) -> Parameters | None:
        """The plan, and the least effort that reaches the target among a tenth of the rows."""
        wholes = [plan | {effort + AMONG: value} for value in efforts if value >= plan[effort]]
        first = bisect.bisect_left(wholes, True, key=lambda whole: enough(whole, choosing_among))
        return wholes[first] if first < len(wholes) else None

    plans = _plans(kind, lists)
    efforts = sorted({plan[effort] for plan in plans})
    if kind != HNSW:  # lists that do not hold the neighbours: no re-ranking helps
        probes = sorted({plan["nprobe"] for plan in plans})
        most = max(plan["refine"] for plan in plans)
        first = bisect.bisect_left(probes, True, key=lambda p: enough({"nprobe": p, "refine": most}))
        plans = [plan for plan in plans if plan["nprobe"] in probes[first:]]
    cost = {id(plan): work(kind, plan, n, dim, lists, floats) for plan in plans}
    for plan in sorted(plans, key=lambda plan: cost[id(plan)]):
        if enough(plan):
            told = float(measured(plan, telling).mean())
            if told >= target and (whole := among_tenth(plan)) is not None:
                told_among = float(measured(whole, telling_among).mean())
                return Tuned(whole, cost[id(plan)], told, told_among, len(telling.rows))
    return None


def _plans(kind: str, lists: int) -> list[Parameters]:
    """Candidates; among all the rows the effort for a tenth of them has no say."""
    if kind == HNSW:
        return [{"ef-search": 2**power} for power in range(4, 13)]
    probes = sorted({min(int(2 ** (half / 2)), lists) for half in range(2 * lists.bit_length() + 1)})
    return [{"nprobe": p, "refine": r} for p in probes for r in (_REFINE if kind == IVF_PQ else (1,))]
