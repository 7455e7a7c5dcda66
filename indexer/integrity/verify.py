"""Verify an index: recompute every digest block by block, and check that its parts are consistent.

Memory use does not depend on the size of the file. The result is a list of faults. `verify_pictures` checks the
pictures themselves.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import BLOCK_ROWS, STREAM_ROWS, BlockHasher
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import (
    ITEM_DTYPES,
    LOG_COLUMNS,
    NO_SEED,
    REJECT_DTYPES,
    root_digest,
)
from imindex.indexer.core.url import Url
from imindex.indexer.store.digests import (
    THE_REST,
    covered,
    covered_columns,
    difference,
    digest_of,
    stored_digests,
)
from imindex.indexer.store.index import Index
from imindex.indexer.store.lineage import chain_faults
from imindex.indexer.store.opening import open_index
from imindex.indexer.store.structure import check_arms, optional_names

UNIT = 2e-3
"""Tolerance of the length of a unit vector in fp16."""
_DIGESTS_PER_PASS = 2**20
"""Approximate number of digests held in memory at a time to find equal ones."""
_VALUES_IN_CACHE = 2**17
_KEY = 16
"""Bytes of the digest of a row's key."""
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Fault:
    """Something that has changed since it was written, or is inconsistent: where, and what."""

    where: str
    said: str


@dataclass
class Verification:
    """Result of verifying an index.

    Attributes
    ----------
    path : Path or Url
    version : str
        Format version of the file.
    rows, blocks, n_digests : int
        Numbers of rows, of blocks of vectors, and of digests compared, including those of the blocks.
    stored_root, root : str
        The root digest stored in the file, and that of its current content; empty if it cannot be read.
    uncovered : tuple of str
        Parts without a digest in this format version.
    bytes_read : int
    faults : list of Fault
    """

    path: Path | Url
    version: str
    rows: int
    stored_root: str
    root: str = ""
    blocks: int = 0
    n_digests: int = 0
    uncovered: tuple[str, ...] = ()
    bytes_read: int = 0
    faults: list[Fault] = field(default_factory=list)

    def fault(self, where: str, said: str) -> None:
        self.faults.append(Fault(where, said))


def verify(path: str | os.PathLike[str], progress: Progress = lambda done: None) -> Verification:
    """Open an index and verify all of it.

    Raises
    ------
    ImindexError
        If it cannot be opened.
    """
    with opened(path) as index:
        return verify_index(index, progress)


def opened(path: str | os.PathLike[str]) -> Index:
    """Open an index, and report whatever h5py raises as damage of the file.

    Raises
    ------
    ImindexError
        If the file cannot be opened or is damaged.
    """
    try:
        return open_index(path)
    except (ImindexError, MemoryError):
        raise
    except Exception as error:
        raise ImindexError(
            f"{path} is damaged: {type(error).__name__}: {error}. Restore it from a backup, or build it again."
        ) from error


def verify_index(index: Index, progress: Progress = lambda done: None) -> Verification:
    """Verify an open index: digests, number ranges, column lengths, equal pictures, unit vectors, and the log.

    Parameters
    ----------
    index : Index
    progress : callable
        Called with the number of rows of vectors done so far.

    Returns
    -------
    Verification
    """
    result = Verification(index.path, index.version, index.n, index.root_digest)
    result.bytes_read = index.size
    _guarded(result, "digests", lambda: _digests(index, result, progress))
    for where, check in (
        ("structure", index.raw().visit),
        ("items", lambda: _tables(index, result)),
        ("items/sha256", lambda: _equal_pictures(index, result)),
        ("items/path", lambda: _unique(index, result)),
        ("log", lambda: _log(index, result)),
    ):
        _guarded(result, where, check)
    return result


def _guarded(result: Verification, where: str, check: Callable[[], None]) -> None:
    """Run a check, and record any exception as a fault, since h5py can raise anything on a damaged file."""
    try:
        check()
    except Exception as error:
        result.fault(where, f"cannot be read: {type(error).__name__}: {error}"[:500])


# Digests


def _digests(index: Index, result: Verification, progress: Progress) -> None:
    raw = index.raw()
    stored = stored_digests(raw)
    now: dict[str, str] = {}

    def compare(name: str, find: Callable[[], str]) -> None:
        now[name] = find()
        result.n_digests += 1
        if fault := difference(stored, name, now[name]):
            result.fault(name, fault)

    columns = covered_columns(raw)
    for name in columns:
        _guarded(result, name, lambda name=name: compare(name, lambda: digest_of(raw, name)))  # type: ignore[misc]
    _guarded(result, "vectors", lambda: compare("vectors", lambda: _vectors(index, result, progress)))
    with_digest = covered(index.version, stored)
    for name in with_digest:
        _guarded(result, name, lambda name=name: compare(name, lambda: THE_REST[name](raw)))  # type: ignore[misc]
    result.uncovered = tuple(name for name in THE_REST if name not in with_digest)
    for name in sorted(stored.keys() - {*columns, "vectors", *THE_REST}):
        result.fault(name, "has a digest in the file, but is not part of an index")
    if {*columns, "vectors"} <= now.keys():
        result.root = root_digest(index.encoder, {name: now[name] for name in (*columns, "vectors")})
        if result.root != index.root_digest:
            result.fault(
                "root-digest", f"{index.root_digest[:12]}, but that of the content is {result.root[:12]}"
            )


def _vectors(index: Index, result: Verification, progress: Progress) -> str:
    """Digest the vectors and measure their lengths in one pass; compare the digests block by block."""
    hasher, row, wrong, first = BlockHasher(), 0, 0, -1
    with ThreadPoolExecutor(1) as pool:  # SHA-256 and lengths in parallel
        for block in index.raw().blocks("vectors"):
            hashed = pool.submit(hasher.update, block)
            bad = np.flatnonzero(~(np.abs(lengths(block) - 1) < UNIT))
            if len(bad):
                wrong, first = wrong + len(bad), first if first >= 0 else row + int(bad[0])
            row += len(block)
            hashed.result()
            progress(row)
    if wrong:
        result.fault("vectors", f"{wrong} of {index.n} are not of unit length; row {first} is the first")
    digest, blocks = hasher.finish()
    result.blocks = len(blocks)
    result.n_digests += len(blocks)
    (stored,) = list(index.raw().blocks("digests/vectors")) or [np.empty((0, 32), np.uint8)]
    if stored.shape != blocks.shape or stored.dtype != blocks.dtype:
        result.fault("digests/vectors", f"{stored.shape} digests for {len(blocks)} blocks of vectors")
        return digest
    for number in np.flatnonzero((stored != blocks).any(axis=1)).tolist():
        last = min((number + 1) * BLOCK_ROWS, index.n) - 1
        result.fault(
            f"vectors/{number}",
            f"block {number} (rows {number * BLOCK_ROWS} to {last}) has changed since it was written",
        )
    return digest


def lengths(block: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    """Return the Euclidean lengths of the rows of a (b, dim) float16 array; huge or NaN where a value is not finite.

    Shifting the bits of a half-precision number gives a single-precision number scaled by 2**-112. This is faster than
    NumPy's conversion.
    """
    norms = np.empty(len(block), np.float32)
    step = max(1, _VALUES_IN_CACHE // max(1, block.shape[1]))
    for start in range(0, len(block), step):
        bits = np.ascontiguousarray(block[start : start + step]).view(np.uint16) & np.uint16(0x7FFF)
        wide = bits.astype(np.uint32)
        wide <<= np.uint32(13)
        values = wide.view(np.float32)
        values *= np.float32(2.0**112)
        norms[start : start + step] = np.sqrt(np.einsum("ij,ij->i", values, values))
    return norms


# Consistency


def _tables(index: Index, result: Verification) -> None:
    raw = index.raw()
    for table, dtypes, rows in (
        ("items", ITEM_DTYPES, index.n),
        ("rejects", REJECT_DTYPES, raw.rows("rejects/artist")),
    ):
        optional = sorted(optional_names(table, index.version) & set(raw.names(table)))
        for name in optional:
            _optional(index, result, table, name)
        for name in (*dtypes, *optional):
            if raw.rows(f"{table}/{name}") != rows:
                result.fault(f"{table}/{name}", f"has {raw.rows(f'{table}/{name}')} rows, not {rows}")
        for name, least, end in (
            ("artist", -1, len(index.artists)),
            ("collection", 0, len(index.collections)),
        ):
            _in_range(index, result, f"{table}/{name}", least, end)
        if table == "items":
            for name in ("width", "height"):
                _in_range(index, result, f"items/{name}", 0, 2**31)
        stamps = f"stamps/{table}"
        if table in raw.names("stamps") and raw.rows(stamps) != rows:
            result.fault(stamps, f"has {raw.rows(stamps)} rows, not {rows}")


def _optional(index: Index, result: Verification, table: str, name: str) -> None:
    """Check that an optional column has a value, since two files of the same content have the same columns."""
    key, has_value = f"{table}/{name}", False
    for block in index.raw().blocks(key):
        has_value |= bool((block != (b"" if block.dtype == object else NO_SEED)).any())
        if name == "arm":
            check_arms((arm.decode("utf-8", "surrogateescape") for arm in block), key)
    if not has_value:
        result.fault(key, "holds no value; a writer leaves out a column without any")


def _unique(index: Index, result: Verification) -> None:
    """Check that every picture is listed once: artist, collection and path identify a row or a reject.

    The digests of their keys are compared in several passes, as in `_equal_pictures`.
    """
    n_rejects = index.raw().rows("rejects/artist")
    passes = max(1, -(-(index.n + n_rejects) // _DIGESTS_PER_PASS))
    for number in range(passes):
        rows, keys = [np.empty(0, np.int64)], [np.empty((0, _KEY), np.uint8)]
        for first, table in ((0, "items"), (index.n, "rejects")):
            for start, block in _keys(index, table):
                mine = np.flatnonzero(block[:, -1] % passes == number)
                rows.append(first + start + mine)
                keys.append(block[mine])
        found = np.ascontiguousarray(np.concatenate(keys)).view(f"V{_KEY}").ravel()
        order = np.argsort(found, kind="stable")
        repeated = np.flatnonzero(found[order[1:]] == found[order[:-1]])
        if len(repeated):
            pair = np.concatenate(rows)[order[repeated[0] : repeated[0] + 2]].tolist()
            names = [f"row {row}" if row < index.n else f"reject {row - index.n}" for row in pair]
            result.fault("items/path", f"{names[0]} and {names[1]} have the same artist, collection and path")
            return


def _keys(index: Index, table: str) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Yield the first row of each block, and digests of artist, collection and path of its rows, (b, 16) uint8."""
    raw = index.raw()
    for start in range(0, raw.rows(f"{table}/path"), STREAM_ROWS):
        rows = slice(start, start + STREAM_ROWS)
        columns = (raw.part(f"{table}/{name}", rows) for name in ("artist", "collection", "path"))
        digests = b"".join(
            hashlib.blake2b(f"{artist} {collection} ".encode() + path, digest_size=_KEY).digest()
            for artist, collection, path in zip(*columns, strict=True)
        )
        yield start, np.frombuffer(digests, np.uint8).reshape(-1, _KEY)


def _in_range(index: Index, result: Verification, name: str, least: int, end: int) -> None:
    row = 0
    for block in index.raw().blocks(name):
        wrong = np.flatnonzero((block < least) | (block >= end))
        if len(wrong):
            bad_row = row + int(wrong[0])
            result.fault(name, f"row {bad_row} has the number {block[wrong[0]]}, but there are only {end}")
            return
        row += len(block)


def _equal_pictures(index: Index, result: Verification) -> None:
    """Check that rows with equal bytes have equal vectors.

    The digests of a large index are compared in several passes, split by their last byte.
    """
    passes = min(256, -(-index.n // _DIGESTS_PER_PASS))
    for number in range(passes):
        rows, keys = _digests_of_pass(index, number, passes)
        order = np.argsort(keys, kind="stable")
        rows, keys = rows[order], keys[order]
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        first = np.repeat(rows[starts], np.diff(np.append(starts, len(rows))))
        repeated = np.flatnonzero(rows != first)
        for start in range(0, len(repeated), STREAM_ROWS):
            chunk = repeated[start : start + STREAM_ROWS]
            vectors = np.asarray(index.vectors[rows[chunk]]).view(np.uint16)
            first_vectors = np.asarray(index.vectors[first[chunk]]).view(np.uint16)
            wrong = np.flatnonzero((vectors != first_vectors).any(axis=1))
            if len(wrong):
                pair = first[chunk[wrong[0]]], rows[chunk[wrong[0]]]
                result.fault(
                    "items/sha256", f"rows {pair[0]} and {pair[1]} have equal bytes but different vectors"
                )
                return


def _digests_of_pass(
    index: Index, number: int, passes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]:
    rows, keys, row = [np.empty(0, np.int64)], [np.empty((0, 32), np.uint8)], 0
    for block in index.raw().blocks("items/sha256"):
        mine = np.flatnonzero(block[:, -1] % passes == number)
        rows.append(row + mine)
        keys.append(block[mine])
        row += len(block)
    return np.concatenate(rows), np.ascontiguousarray(np.concatenate(keys)).view("V32").ravel()


def _log(index: Index, result: Verification) -> None:
    lines = index.log()
    missing = [name for name in LOG_COLUMNS if name not in index.raw().names("log")]
    if index.version == "1.0" and missing == ["who"]:
        missing = []
    if missing or not lines:
        result.fault("log", f"has no {', '.join(missing) or 'lines'}")
        return
    for said in chain_faults(lines):
        result.fault("log", said)
    if lines[-1]["digest-after"] != index.root_digest:
        last_digest = lines[-1]["digest-after"][:12]
        result.fault(
            "log", f"the last line ends with the root digest {last_digest}, not {index.root_digest[:12]}"
        )
