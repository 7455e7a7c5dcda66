"""Compare an index with its digests before it is copied, or before anything is concluded from it.

A writer computes new digests of what it writes. If it copied damaged values, they would get valid digests, and nothing
could detect the damage any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import BLOCK_ROWS, STREAM_ROWS
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import root_digest
from imindex.indexer.store.digests import (
    THE_REST,
    covered,
    covered_columns,
    difference,
    digest_of,
    stored_digests,
)
from imindex.indexer.store.index import Index
from imindex.indexer.store.joined import Joined


def require_unchanged(index: Index) -> None:
    """Check that everything except the vectors has the digests stored in the file, or in each of several files.

    Parameters
    ----------
    index : Index

    Raises
    ------
    ImindexError
        If a column, an attribute, the log, the stamps, the approximate index or the root digest has changed since the
        file was written.
    """
    for part in index.parts:
        _require_unchanged(part)


def _require_unchanged(index: Index) -> None:
    raw = index.raw()
    raw.visit()
    stored = stored_digests(raw)
    columns = covered_columns(raw)
    for name in columns:
        _require(index, name, difference(stored, name, digest_of(raw, name)))
    for name in covered(index.version, stored):
        _require(index, name, difference(stored, name, THE_REST[name](raw)))
    names = (*columns, "vectors")
    if names_missing := [name for name in names if name not in stored]:
        _require(index, names_missing[0], "has no digest in the file")
    if root_digest(index.encoder, {name: stored[name] for name in names}) != index.root_digest:
        _require(index, "root-digest", "is not that of the content")


def unchanged_blocks(
    index: Index, rows: npt.NDArray[np.intp] | None = None
) -> Iterator[npt.NDArray[np.float16]]:
    """Yield vectors in blocks of at most `STREAM_ROWS` rows, and compare all vectors of the file with their digests.

    A block of the file is compared after it was yielded. So use the result only when the iterator is exhausted. Several
    files follow each other, without the rows that an earlier one has.

    Parameters
    ----------
    index : Index
    rows : (k,) int, optional
        Ascending numbers of the rows to yield; by default all. The other rows are compared as well.

    Raises
    ------
    ImindexError
        If a block has changed since the file was written.
    """
    if not isinstance(index, Joined):
        yield from _unchanged_blocks(index, rows)
        return
    start = 0
    for part in index.joins:
        end = start + part.n
        wanted = part.rows
        if rows is not None:
            first, last = np.searchsorted(rows, [start, end])
            wanted = rows[first:last] - start
            wanted = wanted if part.rows is None else part.rows[wanted]
        yield from _unchanged_blocks(part.index, wanted)
        start = end


def _unchanged_blocks(index: Index, rows: npt.NDArray[np.intp] | None) -> Iterator[npt.NDArray[np.float16]]:
    raw, digest = index.raw(), hashlib.sha256()
    stored = list(raw.blocks("digests/vectors"))
    expected = np.concatenate(stored) if stored else np.empty((0, 32), np.uint8)
    n_blocks = -(-index.n // BLOCK_ROWS)
    if expected.shape != (n_blocks, 32):
        _require(index, "digests/vectors", f"has {len(expected)} digests for {n_blocks} blocks of vectors")
    with ThreadPoolExecutor(1) as pool:  # digest a piece while the caller writes it
        for block in range(n_blocks):
            start, end = block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, index.n)
            hasher = hashlib.sha256()
            for first in range(start, end, STREAM_ROWS):
                last = min(first + STREAM_ROWS, end)
                copied = np.array(index.vectors[first:last])
                hashed = pool.submit(hasher.update, np.ascontiguousarray(copied, dtype="<f2").data)
                if rows is None:
                    yield copied
                else:
                    chosen = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)] - first
                    if len(chosen):
                        yield copied if len(chosen) == len(copied) else copied[chosen]
                hashed.result()
            if hasher.digest() != expected[block].tobytes():
                _require(
                    index, f"vectors/{block}", f"(rows {start} to {end - 1}) has changed since it was written"
                )
            digest.update(hasher.digest())
    if digest.hexdigest() != stored_digests(raw).get("vectors"):
        _require(index, "vectors", "has another digest than its blocks")


def require_intact(index: Index) -> None:
    """Compare everything in an index with its digests, before anything is concluded from it.

    Raises
    ------
    ImindexError
        If anything has changed since the file was written.
    """
    require_unchanged(index)
    for _ in unchanged_blocks(index, np.empty(0, np.intp)):
        pass


def _require(index: Index, name: str, difference: str) -> None:
    if difference:
        raise ImindexError(
            f"{index.path} is damaged: {name} {difference}. Nothing was written or computed from it. "
            f"`imindex verify -i {index.path}` lists what has changed. Restore the file from a backup, and run this "
            "command again."
        )
