"""An approximate index follows its rows: kept, added and removed ones, without training anew until drift says so."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from imindex.indexer.ann import exact, faiss_kinds
from imindex.indexer.ann.record import HNSW, IVF_PQ, LEAST_ROWS, NEIGHBOURS, Record, is_approximate
from imindex.indexer.ann.tuning import Queries, Tuned, queries, tune
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import AnnParts

faiss: Any = _faiss
"""Its stubs do not know half of what is used here."""
Float16 = npt.NDArray[np.float16]

MAX_QUERIES = 2_000
_MEASURE_AGAIN = 0.01
"""Share of rows that may change before the recall is measured again."""
_GROWTH = 4
"""Times as many rows as there were in training, or times the work: then it is trained anew."""


@dataclass(frozen=True, eq=False)
class Made:
    """A trained and filled index, and what is known of it."""

    record: Record
    data: npt.NDArray[np.uint8]


def make(kind: str, vectors: Float16, target: float, *, seed: int, memory: int = 0) -> Made | None:
    """Train, fill and tune an index; None if it cannot reach the target, or not within the budget.

    Parameters
    ----------
    kind : str
    vectors : ndarray, shape (n, dim), float16, unit norm
    target : float
        Recall@10.
    seed : int
        Draws the held-out queries and the rows to train with.
    memory : int
        The budget in bytes; 0 for the vectors' own size.
    """
    n = len(vectors)
    floats = faiss_kinds.floats_within(kind, n, vectors.shape[1], memory)
    if floats is None:
        return None
    drawn = np.random.default_rng(seed).permutation(n)
    held = min(MAX_QUERIES, n // 10)
    index = faiss_kinds.train(kind, vectors, np.sort(drawn[held:]), seed=seed, floats=floats)
    faiss_kinds.add(index, vectors)
    tuned = tune(index, kind, vectors, queries(vectors, np.sort(drawn[:held])), target, floats=floats)
    if tuned is None:
        return None
    record = Record(
        kind=kind,
        target=target,
        recall=tuned.recall,
        recall_among=tuned.recall_among,
        n_queries=tuned.n_queries,
        held_out=True,
        parameters=tuned.parameters,
        work=tuned.work,
        rows_trained=n,
        rows_changed=0,
        seed=seed,
        memory=memory,
        trained_sha256=faiss_kinds.trained_sha256(index),
        faiss_version=faiss.__version__,
    )
    return Made(record, faiss_kinds.to_bytes(index))


@dataclass
class Carry:
    """Makes /ann for the rows that a change leaves; `imindex.indexer.store.writer.write` calls it with the vectors.

    Parameters
    ----------
    old : Index
        Open, with an approximate index.
    old_rows : (k,) int
        The rows that are kept; the new file begins with them.

    Attributes
    ----------
    notes : list of str
        What the user should know: trained anew, or exact again.
    """

    old: Index
    old_rows: npt.NDArray[np.intp]
    notes: list[str] = field(default_factory=list)

    def __call__(self, vectors: Float16) -> AnnParts:
        """Return attributes and data of /ann over the new vectors, (n, dim) float16."""
        try:
            made = self._made(vectors)
        except ImindexError as error:
            self.notes.append(str(error))
            made = None
        if made is None:
            return exact.describe(), exact.exact_header(*vectors.shape)
        return made.record.attributes(), made.data

    def _made(self, vectors: Float16) -> Made | None:
        record, n, n_old = Record.read(self.old.ann()), len(vectors), self.old.n
        kept = np.zeros(n_old, np.bool_)
        kept[self.old_rows] = True
        if n < LEAST_ROWS:
            self.notes.append(f"{n} rows are too few for an approximate index: searches are exact.")
            return None
        if kept.all() and n == n_old and (self.old_rows == np.arange(n)).all():
            return Made(record, self.old.ann_data())
        if n > _GROWTH * record.rows_trained:
            return self._anew(record, vectors, f"it was trained on {record.rows_trained} rows, of {n} now")
        if record.kind == HNSW and not kept.all():
            return self._anew(record, vectors, "rows were removed, which a graph cannot do")
        data = self.old.ann_data()
        old_index = faiss_kinds.read(record.kind, data, self.old.vectors)
        index = _moved(record.kind, old_index, self.old_rows, n_old, vectors)
        faiss_kinds.add(index, vectors, len(self.old_rows))
        changed = record.rows_changed + int((~kept).sum()) + n - len(self.old_rows)
        record = replace(
            record,
            rows_changed=changed,
            trained_sha256=faiss_kinds.trained_sha256(index),
            faiss_version=faiss.__version__,
        )
        if changed <= _MEASURE_AGAIN * n:
            return Made(record, faiss_kinds.to_bytes(index))
        floats = vectors.shape[1] // index.pq.M if record.kind == IVF_PQ else 1
        tuned = tune(
            index, record.kind, vectors, _drawn(vectors, record.seed + n), record.target, floats=floats
        )
        if tuned is None or tuned.work > _GROWTH * record.work:
            reason = f"recall@{NEIGHBOURS} {record.target:g} takes more than {_GROWTH} times the work"
            return self._anew(record, vectors, reason)
        return Made(_measured(record, tuned), faiss_kinds.to_bytes(index))

    def _anew(self, record: Record, vectors: Float16, reason: str) -> Made | None:
        self.notes.append(f"The approximate index ({record.kind}) is trained anew: {reason}.")
        made = make(record.kind, vectors, record.target, seed=record.seed, memory=record.memory)
        if made is None:
            self.notes.append(
                f"Recall@{NEIGHBOURS} {record.target:g} cannot be reached by it within its budget: searches are exact."
            )
        return made


def carry(old: Index | None, old_rows: npt.NDArray[np.intp]) -> Carry | None:
    """What makes /ann of the next file from this one's; None where the exact kind will do."""
    if old is None or not is_approximate(old.ann()):
        return None
    return Carry(old, old_rows)


def ann_after(
    old: Index | None, old_rows: npt.NDArray[np.intp], n: int, dim: int
) -> tuple[dict[str, Any], list[str]]:
    """Return what `imindex.indexer.store.writer.write` is to write to /ann of a changed index, and notes.

    The notes fill while it writes: what the user should know of an approximate index.

    Parameters
    ----------
    old : Index, optional
        The index as it was, open until the new one is written; None for a first one.
    old_rows : (k,) int
        Its rows that are kept; the new file begins with them.
    n, dim : int
        Rows of the new file, and numbers of a vector.
    """
    carried = carry(old, old_rows)
    how = {"ann": exact.describe(), "ann_data": exact.exact_header(n, dim), "carry": carried}
    return how, carried.notes if carried else []


def _drawn(vectors: Float16, seed: int) -> Queries:
    n = len(vectors)
    drawn = np.random.default_rng(seed).choice(n, min(MAX_QUERIES // 2, n // 10), replace=False)
    return queries(vectors, np.sort(drawn))


def _measured(record: Record, tuned: Tuned) -> Record:
    """After growth: the work of the training stays, so that slow drift adds up."""
    return replace(
        record,
        recall=tuned.recall,
        recall_among=tuned.recall_among,
        n_queries=tuned.n_queries,
        held_out=False,
        parameters=tuned.parameters,
        rows_changed=0,
    )


def _moved(kind: str, index: Any, old_rows: npt.NDArray[np.intp], n_old: int, vectors: Float16) -> Any:
    """The index over the kept rows under their new numbers; nothing is left of those that are not kept."""
    if kind == HNSW:
        return faiss_kinds.growing(index, vectors[: len(old_rows)])
    new_rows = np.full(n_old, -1, np.int64)
    new_rows[old_rows] = np.arange(len(old_rows))
    centroids = faiss_kinds.centroids_of(index)
    lists = []
    for number, (rows, codes) in enumerate(faiss_kinds.take_apart(index)):
        there = new_rows[rows] >= 0
        lists.append((new_rows[rows][there], codes[there]))
        if not there.all():
            centroids[number] = _middle(vectors, lists[-1][0], centroids.shape[1])
    return faiss_kinds.put_together(index, centroids, lists)


def _middle(vectors: Float16, rows: npt.NDArray[np.int64], dim: int) -> npt.NDArray[np.float32]:
    """The centroid of a list without those who left it; of an empty list none, and zeros.

    A centroid of few rows is close to each of them: it must not outlive a row that was removed.
    """
    if not len(rows):
        return np.zeros(dim, np.float32)
    total = np.asarray(vectors[np.sort(rows)], np.float32).sum(axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32)
