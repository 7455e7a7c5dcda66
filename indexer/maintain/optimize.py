"""Choose, train and store an approximate index in an index file, or remove it.

The vectors, the root digest and all results based on exact ranks stay the same.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imindex.indexer.ann import exact
from imindex.indexer.ann.approximate import stored
from imindex.indexer.ann.faiss_kinds import FLOATS, expected_bytes, floats_within
from imindex.indexer.ann.record import EXACT_ROWS, IVF_PQ, LEAST_ROWS, NEIGHBOURS, Record, is_approximate
from imindex.indexer.ann.tuning import exact_work
from imindex.indexer.ann.upkeep import ApproximateIndex, make
from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_unchanged, unchanged_blocks
from imindex.indexer.store.working_copy import on_working_copy
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, real_file

_TIMED = 5
"""Number of queries whose search is timed."""
_MIN_SPEEDUP = 4
"""An approximate index is kept only if its search is at least this many times faster than an exact one."""


@dataclass(frozen=True)
class OptimizeReport:
    """The chosen index and its measured recall.

    Attributes
    ----------
    kind : str
        `exact-fp16`, `ivf-pq`, `ivf` or `hnsw`.
    reason : str
        Why this kind was chosen.
    changed : bool
        Whether a new file was written.
    rows : int
    target, recall : float
        Requested and measured recall@10; 1 if the search is exact.
    n_queries : int
        Number of held-out queries that `recall` was measured on.
    parameters : dict
        Search parameters.
    size : int
        Size of the approximate index in bytes, without the vectors.
    seconds : float
        Wall-clock time.
    root_digest : str
        The root digest, which does not change.
    search_seconds, exact_seconds : float
        Time of the search of a single query, measured on the new file: approximate, and exact. 0 if the index is exact.
    """

    kind: str
    reason: str
    changed: bool
    rows: int
    target: float
    root_digest: str
    recall: float = 1.0
    n_queries: int = 0
    parameters: dict[str, int] = field(default_factory=dict)
    size: int = 0
    seconds: float = 0.0
    search_seconds: float = 0.0
    exact_seconds: float = 0.0


@on_working_copy("path")
def optimize(
    path: Path,
    *,
    recall: float = 0.95,
    memory: int = 0,
    kind: str = "auto",
    seed: int = 0,
    command: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> OptimizeReport:
    """Rewrite the index with an approximate index that reaches the requested recall.

    Parameters
    ----------
    path : Path
        The index; or its `Url` in an object store, whose object is then replaced as a whole.
    recall : float
        Recall@10 that searches must reach, in (0, 1].
    memory : int
        Size limit of the approximate index in bytes; 0 for the size of the vectors.
    kind : str
        `auto`, `exact` (removes the approximate index), `ivf-pq`, `ivf` or `hnsw`.
    seed : int
        Seed for drawing the held-out queries and the training rows.
    command : str
        The command line, for the log.
    note : callable
        Called with progress messages.

    Returns
    -------
    OptimizeReport

    Raises
    ------
    ImindexError
        If an explicitly chosen kind exceeds the memory budget, has too few rows or does not reach the recall, if the
        index is damaged, or if another builder is running. The index is unchanged.
    """
    if not 0 < recall <= 1:
        raise ImindexError(f"A recall of {recall:g} is not above 0 and at most 1. Pass 0.95, for example.")
    started = time.monotonic()
    path = real_file(path)
    with Index(path) as index:
        encoder = index.encoder
    with Parts(path, encoder, command) as parts, Index(path) as index:
        for line in parts.notes:
            note(line)
        require_unchanged(index)
        approximate, reason = _choose(index, recall, memory, kind, seed, note)
        report = functools.partial(OptimizeReport, target=recall, rows=index.n, reason=reason)
        if approximate is None and not is_approximate(index.ann()):
            return report(
                exact.EXACT, changed=False, root_digest=index.root_digest, seconds=time.monotonic() - started
            )
        clear_leftovers(path)
        record = approximate.record if approximate else None
        root = write(
            path,
            index.contents(),
            unchanged_blocks(index),
            ann=record.attributes() if record else exact.describe(),
            ann_data=approximate.data if approximate else exact.exact_header(index.n, encoder.dim),
            entry=entry(command, f"optimize: {record.words() if record else exact.EXACT}", index.root_digest),
        )
    if approximate is None or record is None:
        return report(exact.EXACT, changed=True, root_digest=root, seconds=time.monotonic() - started)
    quick, slow = _search_times(path)
    return report(
        record.kind,
        search_seconds=quick,
        exact_seconds=slow,
        changed=True,
        root_digest=root,
        recall=record.recall,
        n_queries=record.n_queries,
        parameters=dict(record.parameters),
        size=len(approximate.data),
        seconds=time.monotonic() - started,
    )


def _search_times(path: Path) -> tuple[float, float]:
    """Return the seconds of an approximate and of an exact search of a single query, the quickest of a few."""
    with Index(path) as index:
        found = stored(index)
        assert found is not None
        queries = np.asarray(index.vectors[:: max(1, index.n // _TIMED)][:_TIMED], np.float32)
        times = []
        for searcher in (found[0], exact.ExactSearcher(index.vectors)):
            seconds = []
            for query in queries:
                started = time.perf_counter()
                searcher.search(query[None], min(NEIGHBOURS, index.n))
                seconds.append(time.perf_counter() - started)
            times.append(min(seconds))
    return times[0], times[1]


def _choose(
    index: Index, recall: float, memory: int, kind: str, seed: int, note: Callable[[str], None]
) -> tuple[ApproximateIndex | None, str]:
    """Return the approximate index (None for the exact kind) and the reason for the choice."""
    if kind == "exact":
        return None, "exact search was requested"
    if index.n < (EXACT_ROWS if kind == "auto" else LEAST_ROWS):
        if kind != "auto":
            raise ImindexError(
                f"{index.path} has {index.n} rows; {kind} needs at least {LEAST_ROWS}. Keep the index exact, which is "
                "faster."
            )
        return None, f"an exact search of fewer than {EXACT_ROWS:,} rows takes milliseconds"
    budget = memory or index.n * index.encoder.dim * 2
    chosen = kind if kind != "auto" else IVF_PQ
    if floats_within(chosen, index.n, index.encoder.dim, memory) is None:
        smallest = expected_bytes(chosen, index.n, index.encoder.dim, FLOATS[-1])
        reason = (
            f"{chosen} of {index.n} rows takes about {smallest:,} bytes, more than the limit of {budget:,}"
        )
        if kind != "auto":
            raise ImindexError(f"{reason}. Raise the limit with --memory, or choose another --kind.")
        return None, reason
    note(f"Training {chosen} on {index.n} rows, and measuring its recall on held-out queries.")
    approximate = make(chosen, index.vectors, recall, seed=seed, memory=memory)
    if approximate is not None and kind == "auto" and not _is_worthwhile(approximate.record, index):
        return None, f"at recall@{NEIGHBOURS} {recall:g}, {chosen} is hardly faster than an exact search"
    if approximate is None:
        reason = f"{chosen} does not reach recall@{NEIGHBOURS} {recall:g} on held-out queries of {index.path}"
        if kind != "auto":
            raise ImindexError(f"{reason}. Lower --recall, or keep the index exact. The index is unchanged.")
        return None, reason
    if len(approximate.data) > budget:
        raise ImindexError(
            f"{chosen} takes {len(approximate.data):,} bytes, more than the limit of {budget:,}. "
            "Raise the limit with --memory, or choose another --kind. The index is unchanged."
        )
    reason = (
        "it was requested" if kind != "auto" else "the fastest kind that reaches the recall within the limit"
    )
    return approximate, reason


def _is_worthwhile(record: Record, index: Index) -> bool:
    return record.work * _MIN_SPEEDUP <= exact_work(index.n, index.encoder.dim)
