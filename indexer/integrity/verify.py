"""Is an index what was written? Every digest anew, a block at a time, and whether its parts agree with each other.

Memory does not grow with the file. The result is a list of faults. `verify_pictures` reads the pictures themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import BLOCK_ROWS, STREAM_ROWS, BlockHasher
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import ITEM_DTYPES, LOG_COLUMNS, REJECT_DTYPES, root_digest
from imindex.indexer.store.digests import COLUMNS, THE_REST, digest_of
from imindex.indexer.store.index import Index

UNIT = 2e-3
"""The length of a unit vector in fp16 is 1 up to this."""
_AT_ONCE = 2**20
"""Rows whose digests are held at a time to find equal ones."""
_IN_CACHE = 2**17
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written, or does not agree with the rest: where, and what."""

    where: str
    said: str


@dataclass
class Verification:
    """What a check of an index came to.

    Attributes
    ----------
    path : Path
    version : str
        Of the file's format.
    rows, blocks, n_digests : int
        Rows, blocks of vectors, and digests compared, those of the blocks among them.
    stored_root, root : str
        The root digest in the file, and that of its content now; empty if it cannot be read.
    uncovered : tuple of str
        What has no digest in a file of this format.
    bytes_read : int
    faults : list of Fault
    """

    path: Path
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
    """Open an index and check all of it.

    Raises
    ------
    ImindexError
        It cannot be opened.
    """
    with opened(path) as index:
        return verify_index(index, progress)


def opened(path: str | os.PathLike[str]) -> Index:
    """Open an index; whatever a damaged file makes h5py raise is said to be that.

    Raises
    ------
    ImindexError
    """
    try:
        return Index(path)
    except (ImindexError, MemoryError):
        raise
    except Exception as error:
        raise ImindexError(
            f"{path} is damaged: {type(error).__name__}: {error}. Restore it from a copy, or build it anew."
        ) from error


def verify_index(index: Index, progress: Progress = lambda done: None) -> Verification:
    """Check an open index: digests, numbers in range, lengths, equal pictures, unit vectors, and the log.

    Parameters
    ----------
    index : Index
    progress : callable
        Is told how many rows of vectors are done.

    Returns
    -------
    Verification
    """
    found = Verification(index.path, index.version, index.n, index.root_digest)
    found.bytes_read = index.path.stat().st_size
    _guarded(found, "digests", lambda: _digests(index, found, progress))
    for where, check in (
        ("structure", index.raw().visit),
        ("items", lambda: _tables(index, found)),
        ("items/sha256", lambda: _equal_pictures(index, found)),
        ("log", lambda: _log(index, found)),
    ):
        _guarded(found, where, check)
    return found


def _guarded(found: Verification, where: str, check: Callable[[], None]) -> None:
    """Run a check; of a damaged file h5py may raise anything, and that is a finding."""
    try:
        check()
    except Exception as error:
        found.fault(where, f"cannot be read: {type(error).__name__}: {error}"[:500])


# Digests


def _digests(index: Index, found: Verification, progress: Progress) -> None:
    raw = index.raw()
    stored = {name: str(value) for name, value in raw.attributes("digests").items()}
    now: dict[str, str] = {}

    def compare(name: str, find: Callable[[], str]) -> None:
        now[name] = find()
        found.n_digests += 1
        if name not in stored:
            found.fault(name, "has no digest in the file")
        elif stored[name] != now[name]:
            found.fault(name, f"is not what was written: digest {now[name][:12]}, not {stored[name][:12]}")

    for name in COLUMNS:
        _guarded(found, name, lambda name=name: compare(name, lambda: digest_of(raw, name)))  # type: ignore[misc]
    _guarded(found, "vectors", lambda: compare("vectors", lambda: _vectors(index, found, progress)))
    covered = [name for name in THE_REST if index.version != "1.0" or name in stored]
    for name in covered:
        _guarded(found, name, lambda name=name: compare(name, lambda: THE_REST[name](raw)))  # type: ignore[misc]
    found.uncovered = tuple(name for name in THE_REST if name not in covered)
    for name in sorted(stored.keys() - {*COLUMNS, "vectors", *THE_REST}):
        found.fault(name, "has a digest in the file, and is nothing that an index has")
    if {*COLUMNS, "vectors"} <= now.keys():
        found.root = root_digest(index.encoder, {name: now[name] for name in (*COLUMNS, "vectors")})
        if found.root != index.root_digest:
            said = f"{index.root_digest[:12]} is not that of the content, which is {found.root[:12]}"
            found.fault("root-digest", said)


def _vectors(index: Index, found: Verification, progress: Progress) -> str:
    """Digest the vectors and measure their lengths in one pass; compare block by block."""
    hasher, row, wrong, first = BlockHasher(), 0, 0, -1
    with ThreadPoolExecutor(1) as pool:  # SHA-256 and lengths side by side
        for block in index.raw().blocks("vectors"):
            hashed = pool.submit(hasher.update, block)
            bad = np.flatnonzero(~(np.abs(lengths(block) - 1) < UNIT))
            if len(bad):
                wrong, first = wrong + len(bad), first if first >= 0 else row + int(bad[0])
            row += len(block)
            hashed.result()
            progress(row)
    if wrong:
        found.fault("vectors", f"{wrong} of {index.n} are not of unit length, row {first} the first")
    digest, blocks = hasher.finish()
    found.blocks = len(blocks)
    found.n_digests += len(blocks)
    (stored,) = list(index.raw().blocks("digests/vectors")) or [np.empty((0, 32), np.uint8)]
    if stored.shape != blocks.shape or stored.dtype != blocks.dtype:
        found.fault("digests/vectors", f"{stored.shape} digests for {len(blocks)} blocks of vectors")
        return digest
    for number in np.flatnonzero((stored != blocks).any(axis=1)).tolist():
        last = min((number + 1) * BLOCK_ROWS, index.n) - 1
        found.fault(
            f"vectors/{number}",
            f"block {number} (rows {number * BLOCK_ROWS} to {last}) is not what was written",
        )
    return digest


def lengths(block: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    """Euclidean lengths of the rows of a (b, dim) float16 array; large, and no number, where a value is not finite.

    The bits of a half are those of a float of an exponent too small by 112: that is quicker than NumPy's conversion.
    """
    found = np.empty(len(block), np.float32)
    step = max(1, _IN_CACHE // max(1, block.shape[1]))
    for start in range(0, len(block), step):
        bits = np.ascontiguousarray(block[start : start + step]).view(np.uint16) & np.uint16(0x7FFF)
        wide = bits.astype(np.uint32)
        wide <<= np.uint32(13)
        values = wide.view(np.float32)
        values *= np.float32(2.0**112)
        found[start : start + step] = np.sqrt(np.einsum("ij,ij->i", values, values))
    return found


# Whether the parts agree


def _tables(index: Index, found: Verification) -> None:
    raw = index.raw()
    for table, dtypes, rows in (
        ("items", ITEM_DTYPES, index.n),
        ("rejects", REJECT_DTYPES, raw.rows("rejects/artist")),
    ):
        for name in dtypes:
            if raw.rows(f"{table}/{name}") != rows:
                found.fault(f"{table}/{name}", f"has {raw.rows(f'{table}/{name}')} rows, not {rows}")
        for name, least, end in (
            ("artist", -1, len(index.artists)),
            ("collection", 0, len(index.collections)),
        ):
            _in_range(index, found, f"{table}/{name}", least, end)
        stamps = f"stamps/{table}"
        if table in raw.names("stamps") and raw.rows(stamps) != rows:
            found.fault(stamps, f"has {raw.rows(stamps)} rows, not {rows}")


def _in_range(index: Index, found: Verification, name: str, least: int, end: int) -> None:
    row = 0
    for block in index.raw().blocks(name):
        wrong = np.flatnonzero((block < least) | (block >= end))
        if len(wrong):
            at = row + int(wrong[0])
            found.fault(name, f"row {at} has the number {block[wrong[0]]}, of {end} that there are")
            return
        row += len(block)


def _equal_pictures(index: Index, found: Verification) -> None:
    """Rows with the same bytes hold the same vector. Of a large index some digests at a time, by their last byte."""
    passes = min(256, -(-index.n // _AT_ONCE))
    for number in range(passes):
        rows, keys = _digests_of_pass(index, number, passes)
        order = np.argsort(keys, kind="stable")
        rows, keys = rows[order], keys[order]
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        first = np.repeat(rows[starts], np.diff(np.append(starts, len(rows))))
        again = np.flatnonzero(rows != first)
        for start in range(0, len(again), STREAM_ROWS):
            some = again[start : start + STREAM_ROWS]
            mine = np.asarray(index.vectors[rows[some]]).view(np.uint16)
            others = np.asarray(index.vectors[first[some]]).view(np.uint16)
            wrong = np.flatnonzero((mine != others).any(axis=1))
            if len(wrong):
                pair = first[some[wrong[0]]], rows[some[wrong[0]]]
                said = f"rows {pair[0]} and {pair[1]} have the same bytes and not the same vector"
                found.fault("items/sha256", said)
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


def _log(index: Index, found: Verification) -> None:
    lines = index.log()
    missing = [name for name in LOG_COLUMNS if name not in index.raw().names("log")]
    if index.version == "1.0" and missing == ["who"]:
        missing = []
    if missing or not lines:
        found.fault("log", f"has no {', '.join(missing) or 'lines'}")
        return
    for number, (digest, line) in enumerate(_chain(lines), 1):
        if line["digest-before"] != digest:
            found.fault(
                "log",
                f"line {number} begins with the root digest {line['digest-before'][:12] or 'of nothing'}, "
                f"not with {digest[:12] or 'nothing'}, with which the line before it ended",
            )
    if lines[-1]["digest-after"] != index.root_digest:
        said = f"its last line ends with the root digest {lines[-1]['digest-after'][:12]}, not {index.root_digest[:12]}"
        found.fault("log", said)


def _chain(lines: list[dict[str, str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each line with the root digest that the one before it left; the first one with none."""
    before = ""
    for line in lines:
        yield before, line
        before = line["digest-after"]
