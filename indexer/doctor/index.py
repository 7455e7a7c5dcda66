"""Is an index fit for use? Its room, its content, and its search against all products."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.doctor.machine import FAULT, GIB, OK, WARNING, Check, tried

_MOST_ROWS = 200_000
_MOST_BYTES_DIGESTED = 2 * GIB


def room(folder: Path, index: Path) -> Check:
    """Whether the disk has room for the new index that a change writes beside the old one."""
    size = index.stat().st_size if index.exists() else 0
    free = shutil.disk_usage(folder).free
    needed = 2 * size + GIB
    figures = {"free": free, "index": size}
    said = f"{free / GIB:.1f} GiB are free beside the index of {size / GIB:.2f} GiB."
    if free >= needed:
        return Check("disk", OK, said, figures=figures)
    remedy = f"Free {(needed - free) / GIB:.1f} GiB more: a change writes a new index beside the old one."
    return Check("disk", WARNING, said, remedy, figures)


def examine_index(path: Path) -> Iterator[Check]:
    """Whether an index opens, is what it says, and is searched exactly."""
    from imindex.indexer.integrity.verify import opened

    try:
        index = opened(path)
    except ImindexError as error:
        yield Check("index", FAULT, str(error))
        return
    with index:
        yield tried("index", lambda: _content(index))
        if index.n:
            yield tried("search", lambda: search(index.vectors[:_MOST_ROWS]))


def _content(index: Any) -> Check:
    from imindex.indexer.integrity.verify import verify_index

    size = index.path.stat().st_size
    said = f"{index.path} holds {index.n:,} rows of {index.encoder.name()}"
    figures = {"rows": index.n, "bytes": size}
    if size > _MOST_BYTES_DIGESTED:
        said += f"; it is too large to be read through here: see `imindex verify -i {index.path}`."
        return Check("index", OK, said, figures=figures)
    faults = verify_index(index).faults
    if faults:
        first = f"{faults[0].where}: {faults[0].said}"
        more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
        remedy = f"See `imindex verify -i {index.path}`. Restore it from a copy, or build it anew."
        return Check("index", FAULT, f"{said}, but {first}{more}.", remedy, figures)
    return Check("index", OK, f"{said}, and its content is that of its root digest.", figures=figures)


def search(vectors: npt.NDArray[np.float16], device: str = "cpu") -> Check:
    """FAISS against all products, for a few rows as queries."""
    from imindex.indexer.ann.exact import ExactSearcher

    rows = np.linspace(0, len(vectors) - 1, min(len(vectors), 16)).astype(np.intp)
    queries = np.asarray(vectors[rows], np.float32)
    k = min(10, len(vectors))
    _, found = ExactSearcher(vectors, device).search(queries, k)
    missed = neighbours_missed(vectors, queries, found)
    figures = {"rows": len(vectors), "queries": len(rows), "missed": missed}
    where = "" if device == "cpu" else f" on {device}"
    if missed:
        return Check(
            "search",
            FAULT,
            f"FAISS{where} misses {missed} of {found.size} neighbours that all products find.",
            "Install faiss again (see `faiss` above), and report it if it stays.",
            figures,
        )
    said = f"FAISS{where} finds the {k} nearest of {len(vectors):,} rows, as all products do ({len(rows)} queries)."
    return Check("search", OK, said, figures=figures)


def neighbours_missed(
    vectors: npt.NDArray[np.float16],
    queries: npt.NDArray[np.float32],
    found: npt.NDArray[np.int64],
    tolerance: float = 1e-3,
) -> int:
    """How many of the rows found (Q, k) are repeated, or further than the true k-th by more than the tolerance."""
    k = found.shape[1]
    best = np.full((len(queries), k), -np.inf, np.float32)
    for start in range(0, len(vectors), 16_384):
        products = queries @ np.asarray(vectors[start : start + 16_384], np.float32).T
        best = np.sort(np.concatenate([best, products], axis=1), axis=1)[:, -k:]
    scores = np.einsum("qd,qkd->qk", queries, np.asarray(vectors[found], np.float32))
    repeated = k - np.array([len(set(rows)) for rows in found.tolist()])
    return int((scores < best[:, :1] - tolerance).sum() + repeated.sum())
