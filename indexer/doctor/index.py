"""Check an index: disk space, content, and search results against brute force."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.doctor.machine import FAULT, GIB, OK, WARNING, Check, tried

_MAX_ROWS_SEARCHED = 200_000
_MAX_BYTES_DIGESTED = 2 * GIB


def disk_space(folder: Path, index: Path) -> Check:
    """Check that the disk has room for a second copy of the index, which every change writes."""
    size = index.stat().st_size if index.exists() else 0
    free = shutil.disk_usage(folder).free
    needed = 2 * size + GIB
    figures = {"free": free, "index": size}
    message = f"{free / GIB:.1f} GiB free; the index takes {size / GIB:.2f} GiB."
    if free >= needed:
        return Check("disk", OK, message, figures=figures)
    remedy = f"Free another {(needed - free) / GIB:.1f} GiB: every change writes a new copy of the index."
    return Check("disk", WARNING, message, remedy, figures)


def examine_index(path: Path) -> Iterator[Check]:
    """Check that an index opens, that its content matches its digests, and that its search is exact."""
    from imindex.indexer.integrity.verify import opened

    try:
        index = opened(path)
    except ImindexError as error:
        yield Check("index", FAULT, str(error))
        return
    with index:
        yield tried("index", lambda: _content(index))
        if index.n:
            yield tried("search", lambda: search(index.vectors[:_MAX_ROWS_SEARCHED]))


def _content(index: Any) -> Check:
    from imindex.indexer.integrity.verify import verify_index

    size = index.size
    message = f"{index.path} holds {index.n:,} rows of {index.encoder.name()}"
    figures = {"rows": index.n, "bytes": size}
    if size > _MAX_BYTES_DIGESTED:
        message += f"; too large to verify here: run `imindex verify -i {index.path}`."
        return Check("index", OK, message, figures=figures)
    faults = verify_index(index).faults
    if faults:
        first = f"{faults[0].where}: {faults[0].said}"
        more = f" ({len(faults)} faults in total)" if len(faults) > 1 else ""
        remedy = f"See `imindex verify -i {index.path}`. Restore it from a backup, or build it again."
        return Check("index", FAULT, f"{message}, but {first}{more}.", remedy, figures)
    return Check("index", OK, f"{message}, and its content matches its root digest.", figures=figures)


def search(vectors: npt.NDArray[np.float16], device: str = "cpu") -> Check:
    """Compare FAISS with brute force, using a few rows as queries."""
    from imindex.indexer.ann.exact import ExactSearcher

    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), 16)).astype(np.intp)
    queries = np.asarray(vectors[rows], np.float32)
    k = min(10, len(vectors))
    _, neighbours = ExactSearcher(vectors, device).search(queries, k)
    missed = neighbours_missed(vectors, queries, neighbours)
    figures = {"rows": len(vectors), "queries": len(rows), "missed": missed}
    where = "" if device == "cpu" else f" on {device}"
    if missed:
        return Check(
            "search",
            FAULT,
            f"FAISS{where} misses {missed} of {neighbours.size} neighbours found by brute force.",
            "Reinstall FAISS (see `faiss` above), and report the problem if it persists.",
            figures,
        )
    message = f"FAISS{where} finds the same {k} nearest of {len(vectors):,} rows as brute force ({len(rows)} queries)."
    return Check("search", OK, message, figures=figures)


def neighbours_missed(
    vectors: npt.NDArray[np.float16],
    queries: npt.NDArray[np.float32],
    neighbours: npt.NDArray[np.int64],
    tolerance: float = 1e-3,
) -> int:
    """Count the neighbours (Q, k) that are repeated, or score below the true k-th by more than the tolerance."""
    k = neighbours.shape[1]
    best = np.full((len(queries), k), -np.inf, np.float32)
    for start in range(0, len(vectors), 16_384):
        products = queries @ np.asarray(vectors[start : start + 16_384], np.float32).T
        best = np.sort(np.concatenate([best, products], axis=1), axis=1)[:, -k:]
    scores = np.einsum("qd,qkd->qk", queries, np.asarray(vectors[neighbours], np.float32))
    repeated = k - np.array([len(set(rows)) for rows in neighbours.tolist()])
    return int((scores < best[:, :1] - tolerance).sum() + repeated.sum())
