"""Update an approximate index when rows are added or removed, and retrain it only when it has drifted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from imindex.indexer.ann import exact, faiss_kinds
from imindex.indexer.ann.record import HNSW, IVF_PQ, LEAST_ROWS, NEIGHBOURS, Record, is_approximate
from imindex.indexer.ann.tuning import Queries, Tuned, measured_again, queries, tune
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import AnnArguments, AnnParts

faiss: Any = _faiss
"""Typed as Any, since FAISS's stubs lack much of what is used here."""
Float16 = npt.NDArray[np.float16]

MAX_QUERIES = 2_000
_MEASURE_AGAIN = 0.01
"""Fraction of rows that may change before the recall is measured again."""
_GROWTH = 4
"""The index is retrained when its rows or the work of a search exceed those at training by this factor."""


@dataclass(frozen=True, eq=False)
class ApproximateIndex:
    """A trained and filled index: its attributes and its serialised data."""

    record: Record
    data: npt.NDArray[np.uint8]


def make(
    kind: str, vectors: Float16, target: float, *, seed: int, memory: int = 0
) -> ApproximateIndex | None:
    """Train, fill and tune an index; return None if it cannot reach the target within the budget.

    Parameters
    ----------
    kind : str
    vectors : ndarray, shape (n, dim), float16, unit norm
    target : float
        Recall@10.
    seed : int
        Seed for drawing the held-out queries and the training rows.
    memory : int
        The budget in bytes; 0 for the size of the vectors.
    """
    n = len(vectors)
    floats = faiss_kinds.floats_within(kind, n, vectors.shape[1], memory)
    if floats is None:
        return None
    permutation = np.random.default_rng(seed).permutation(n)
    n_held_out = min(MAX_QUERIES, n // 10)
    index = faiss_kinds.train(kind, vectors, np.sort(permutation[n_held_out:]), seed=seed, floats=floats)
    faiss_kinds.add(index, vectors)
    held_out = queries(vectors, np.sort(permutation[:n_held_out]))
    tuned = tune(index, kind, vectors, held_out, target, floats=floats)
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
    return ApproximateIndex(record, faiss_kinds.to_bytes(index))


@dataclass
class Carry:
    """Creates /ann for the rows after a change; `imindex.indexer.store.writer.write` calls it with the new vectors.

    Parameters
    ----------
    old : Index
        The open old index, which has an approximate index.
    old_rows : (k,) int
        The rows that are kept; the new file begins with them.

    Attributes
    ----------
    notes : list of str
        Notes for the user if the index was retrained or replaced by the exact kind.
    """

    old: Index
    old_rows: npt.NDArray[np.intp]
    notes: list[str] = field(default_factory=list)

    def __call__(self, vectors: Float16) -> AnnParts:
        """Return attributes and data of /ann over the new vectors, (n, dim) float16."""
        try:
            updated = self._update(vectors)
        except ImindexError as error:
            self.notes.append(str(error))
            updated = None
        if updated is None:
            return exact.describe(), exact.exact_header(*vectors.shape)
        return updated.record.attributes(), updated.data

    def _update(self, vectors: Float16) -> ApproximateIndex | None:
        record, n, n_old = Record.read(self.old.ann()), len(vectors), self.old.n
        kept = np.zeros(n_old, np.bool_)
        kept[self.old_rows] = True
        if n < LEAST_ROWS:
            self.notes.append(f"{n} rows are too few for an approximate index: searches are exact.")
            return None
        if kept.all() and n == n_old and (self.old_rows == np.arange(n)).all():
            return ApproximateIndex(record, self.old.ann_data())
        if n > _GROWTH * record.rows_trained:
            return self._retrain(
                record, vectors, f"it was trained on {record.rows_trained} rows and there are {n} now"
            )
        if record.kind == HNSW and not kept.all():
            return self._retrain(record, vectors, "rows cannot be removed from a graph")
        data = self.old.ann_data()
        old_index = faiss_kinds.read(record.kind, data, self.old.vectors)
        index = renumbered(record.kind, old_index, self.old_rows, n_old, vectors)
        faiss_kinds.add(index, vectors, len(self.old_rows))
        changed = record.rows_changed + int((~kept).sum()) + n - len(self.old_rows)
        record = replace(
            record,
            rows_changed=changed,
            trained_sha256=faiss_kinds.trained_sha256(index),
            faiss_version=faiss.__version__,
        )
        if changed <= _MEASURE_AGAIN * n:
            return ApproximateIndex(record, faiss_kinds.to_bytes(index))
        floats = vectors.shape[1] // index.pq.M if record.kind == IVF_PQ else 1
        drawn = _drawn(vectors, record.seed + n)
        arguments = index, record.kind, vectors, drawn, record.target
        tuned = measured_again(*arguments, record.parameters, floats=floats)
        if tuned is None:
            tuned = tune(*arguments, floats=floats)
        if tuned is None or tuned.work > _GROWTH * record.work:
            reason = f"recall@{NEIGHBOURS} {record.target:g} takes more than {_GROWTH} times the work"
            return self._retrain(record, vectors, reason)
        return ApproximateIndex(_measured(record, tuned), faiss_kinds.to_bytes(index))

    def _retrain(self, record: Record, vectors: Float16, reason: str) -> ApproximateIndex | None:
        self.notes.append(f"The approximate index ({record.kind}) is retrained: {reason}.")
        retrained = make(record.kind, vectors, record.target, seed=record.seed, memory=record.memory)
        if retrained is None:
            self.notes.append(
                f"It cannot reach recall@{NEIGHBOURS} {record.target:g} within its size limit: searches are exact."
            )
        return retrained


def carry(old: Index | None, old_rows: npt.NDArray[np.intp]) -> Carry | None:
    """Return the `Carry` for a changed index; None if it has no approximate index."""
    if old is None or not is_approximate(old.ann()):
        return None
    return Carry(old, old_rows)


def ann_after(
    old: Index | None, old_rows: npt.NDArray[np.intp], n: int, dim: int
) -> tuple[AnnArguments, list[str]]:
    """Return the /ann arguments of `imindex.indexer.store.writer.write` for a changed index, and a list of notes.

    The arguments are `ann`, `ann_data` and `carry`. Notes about an approximate index are added to the list during the
    write.

    Parameters
    ----------
    old : Index, optional
        The old index, which must stay open until the new one is written; None for a new index.
    old_rows : (k,) int
        The rows of `old` that are kept; the new file begins with them.
    n, dim : int
        Number of rows and of dimensions of the new file.
    """
    carried = carry(old, old_rows)
    arguments: AnnArguments = {
        "ann": exact.describe(),
        "ann_data": exact.exact_header(n, dim),
        "carry": carried,
    }
    return arguments, carried.notes if carried else []


def _drawn(vectors: Float16, seed: int) -> Queries:
    n = len(vectors)
    rows = np.random.default_rng(seed).choice(n, min(MAX_QUERIES // 2, n // 10), replace=False)
    return queries(vectors, np.sort(rows))


def _measured(record: Record, tuned: Tuned) -> Record:
    """Update a record with a new measurement. The work at training is kept, so that slow drift accumulates."""
    return replace(
        record,
        recall=tuned.recall,
        recall_among=tuned.recall_among,
        n_queries=tuned.n_queries,
        held_out=False,
        parameters=tuned.parameters,
        rows_changed=0,
    )


def renumbered(kind: str, index: Any, old_rows: npt.NDArray[np.intp], n_old: int, vectors: Float16) -> Any:
    """Return the index over the kept rows, with their new numbers and without any trace of the other rows."""
    if kind == HNSW:
        return faiss_kinds.growable_copy(index, vectors[: len(old_rows)])
    new_rows = np.full(n_old, -1, np.int64)
    new_rows[old_rows] = np.arange(len(old_rows))
    centroids = faiss_kinds.centroids_of(index)
    lists = []
    for number, (rows, codes) in enumerate(faiss_kinds.split_lists(index)):
        kept = new_rows[rows] >= 0
        lists.append((new_rows[rows][kept], codes[kept]))
        if not kept.all():
            centroids[number] = _centroid(vectors, lists[-1][0], centroids.shape[1])
    return faiss_kinds.from_lists(index, centroids, lists)


def _centroid(vectors: Float16, rows: npt.NDArray[np.int64], dim: int) -> npt.NDArray[np.float32]:
    """Recompute the centroid of a list from its remaining rows; zeros for an empty list.

    The centroid of a few rows is close to each of them, so it must not survive the removal of a row.
    """
    if not len(rows):
        return np.zeros(dim, np.float32)
    total = np.asarray(vectors[np.sort(rows)], np.float32).sum(axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-12), np.float32)
