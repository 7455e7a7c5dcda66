"""Choosing, training and storing an approximate index in an index file, or taking it back.

The vectors stay as they are, and so do the root digest and everything computed from exact ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imindex.indexer.ann import exact as ann
from imindex.indexer.ann.faiss_kinds import FLOATS, expected_bytes, floats_within
from imindex.indexer.ann.record import EXACT_ROWS, IVF_PQ, LEAST_ROWS, NEIGHBOURS, Record, is_approximate
from imindex.indexer.ann.tuning import exact_work
from imindex.indexer.ann.upkeep import Made, make
from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, real_file

_WORTH = 4
"""An approximate search that is not so many times quicker than an exact one is not worth its errors."""


@dataclass(frozen=True)
class OptimizeReport:
    """What was chosen, and what it reaches.

    Attributes
    ----------
    kind : str
        `exact-fp16`, `ivf-pq`, `ivf` or `hnsw`.
    reason : str
        Why this kind, in a sentence.
    changed : bool
        Whether a new file was written.
    rows : int
    target, recall : float
        Recall@10 asked for, and measured; 1 where the search is exact.
    n_queries : int
        Held-out queries that `recall` was measured on.
    parameters : dict
        Of the search.
    size : int
        Bytes of the index, beside the vectors.
    seconds : float
        Wall-clock time.
    root_digest : str
        As before.
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
    """Write the index anew with an approximate index that reaches a recall.

    Parameters
    ----------
    path : Path
        The index.
    recall : float
        Recall@10 that searches are to reach, above 0 and at most 1.
    memory : int
        Bytes that the approximate index may take; 0 for no more than the vectors themselves.
    kind : str
        `auto`, `exact` (take it back), `ivf-pq`, `ivf` or `hnsw`.
    seed : int
        Draws the held-out queries and the rows to train with.
    command : str
        The command line, for the log.
    note : callable
        Is told what is being done.

    Returns
    -------
    OptimizeReport

    Raises
    ------
    ImindexError
        A kind that was named does not fit the budget, has too few rows or does not reach the recall; another builder
        is at work. The index is as it was.
    """
    if not 0 < recall <= 1:
        raise ImindexError(f"A recall of {recall:g} is not above 0 and at most 1. Ask for 0.95, for example.")
    started = time.monotonic()
    path = real_file(path)
    with Index(path) as index:
        encoder = index.encoder
    with Parts(path, encoder, command) as parts, Index(path) as index:
        for line in parts.notes:
            note(line)
        made, reason = _choose(index, recall, memory, kind, seed, note)
        done: dict[str, Any] = {"target": recall, "rows": index.n, "reason": reason}
        if made is None and not is_approximate(index.ann()):
            return OptimizeReport(
                ann.EXACT, changed=False, root_digest=index.root_digest,
                seconds=time.monotonic() - started, **done,
            )  # fmt: skip
        clear_leftovers(path)
        record = made.record if made else None
        root = write(
            path,
            index.contents(),
            index.blocks(),
            ann=record.attributes() if record else ann.describe(),
            ann_data=made.data if made else ann.exact_header(index.n, encoder.dim),
            entry=entry(command, f"optimize: {record.words() if record else ann.EXACT}", index.root_digest),
        )
    if made is None or record is None:
        return OptimizeReport(
            ann.EXACT, changed=True, root_digest=root, seconds=time.monotonic() - started, **done
        )
    return OptimizeReport(
        record.kind,
        changed=True,
        root_digest=root,
        recall=record.recall,
        n_queries=record.n_queries,
        parameters=dict(record.parameters),
        size=len(made.data),
        seconds=time.monotonic() - started,
        **done,
    )


def _choose(
    index: Index, recall: float, memory: int, kind: str, seed: int, note: Callable[[str], None]
) -> tuple[Made | None, str]:
    """The index and why; None for the exact kind."""
    if kind == "exact":
        return None, "exact searches were asked for"
    if index.n < (EXACT_ROWS if kind == "auto" else LEAST_ROWS):
        if kind != "auto":
            raise ImindexError(
                f"{index.path} has {index.n} rows; {kind} needs {LEAST_ROWS}. Leave it exact: that is quicker."
            )
        return None, f"an exact search of fewer than {EXACT_ROWS:,} rows takes milliseconds"
    budget = memory or index.n * index.encoder.dim * 2
    named = kind if kind != "auto" else IVF_PQ
    if floats_within(named, index.n, index.encoder.dim, memory) is None:
        least = expected_bytes(named, index.n, index.encoder.dim, FLOATS[-1])
        what = f"{named} of {index.n} rows takes about {least:,} bytes, more than the {budget:,} allowed"
        if kind != "auto":
            raise ImindexError(f"{what}. Allow more with --memory, or choose another --kind.")
        return None, what
    note(f"Training {named} on {index.n} rows, and measuring it on held-out queries.")
    made = make(named, index.vectors, recall, seed=seed, memory=memory)
    if made is not None and kind == "auto" and not _worth(made.record, index):
        return None, f"{named} reaches recall@{NEIGHBOURS} {recall:g} hardly quicker than an exact search"
    if made is None:
        what = f"{named} does not reach recall@{NEIGHBOURS} {recall:g} on held-out queries of {index.path}"
        if kind != "auto":
            raise ImindexError(f"{what}. Ask for less with --recall, or leave it exact. Nothing was changed.")
        return None, what
    if len(made.data) > budget:
        raise ImindexError(
            f"{named} takes {len(made.data):,} bytes, more than the {budget:,} allowed. "
            "Allow more with --memory, or choose another --kind. Nothing was changed."
        )
    why = "it was asked for" if kind != "auto" else "the quickest at that recall that fits the budget"
    return made, why


def _worth(record: Record, index: Index) -> bool:
    return record.work * _WORTH <= exact_work(index.n, index.encoder.dim)
