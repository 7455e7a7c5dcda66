"""Mutated index files, each read in its own process, which must not crash, hang or use much memory.

    python -m tests.support.hostile FOLDER --first 0 --count 300 [--seconds 60] [--keep FOLDER]

FOLDER holds valid index files. Mutant number i is a pure function of i, so any failure can be reproduced.
The command prints one line of JSON: the number of mutants by outcome, and the failures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import checksums

LIMIT = 10
"""Time limit for one file, in seconds."""
MEMORY = 512 << 20
"""Address space in bytes beyond that of the process at the start."""
READ, REFUSED, OTHER = 0, 3, 4
_EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 10**12, 2**63 - 1, 2**64 - 1)
_WIDTHS = (1, 2, 4, 8)


def mutate(data: bytes, number: int, start: int = 0) -> bytes:
    """Return mutant `number`: flipped bits, extreme fields, removed and moved pieces, all at or after `start`.

    Small files are mostly structure; in larger ones, half of the changes are in the first 4 KiB.
    """
    rng = np.random.default_rng(number)
    made = bytearray(data)

    def place() -> int:
        room = len(made) - start
        return start + int(rng.integers(min(room, 4096) if rng.random() < 0.5 else room))

    for _ in range(1 + int(rng.geometric(0.5))):
        if len(made) <= start:
            break
        at, what = place(), rng.random()
        if what < 0.45:
            made[at] ^= 1 << int(rng.integers(8))
        elif what < 0.60:
            made[at] = int(rng.integers(256))
        elif what < 0.80:
            width = int(rng.choice(_WIDTHS))
            extreme = int(rng.choice(np.array(_EXTREMES, object))) % (1 << 8 * width)
            made[at : at + width] = extreme.to_bytes(width, "little")
        elif what < 0.88:
            to, length = place(), int(rng.integers(1, 65))
            piece = made[at : at + length]
            made[to : to + len(piece)] = piece
        elif what < 0.94:
            del made[at : at + int(rng.integers(1, 65))]
        elif what < 0.97:
            made[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 65)), np.uint8))
        else:
            del made[at:]
    return bytes(made)


def read_all(path: Path) -> None:
    """Read everything in an index file, search it, and verify it."""
    from imindex.indexer.ann.approximate import stored
    from imindex.indexer.ann.exact import ExactSearcher
    from imindex.indexer.integrity.verify import verify
    from imindex.indexer.maintain.summary import describe, describe_search
    from imindex.indexer.store.index import Index

    with Index(path) as index:
        index.contents()
        about = describe(index)
        json.dumps(about.to_dict())
        describe_search(about.ann)
        for _ in index.blocks():
            pass
        rows = np.arange(min(index.n, 3))
        index.text_at("path", rows)
        query = np.zeros((1, index.encoder.dim), np.float32)
        query[0, 0] = 1
        k = min(index.n, 12)
        if k:
            sound(ExactSearcher(index.vectors).search(query, k), index.n)
        made = stored(index)
        if made is not None:
            sound(made[0].search(query, k), index.n)
    verify(path)


def sound(found: tuple[np.ndarray, np.ndarray], n: int) -> None:
    rows = found[1]
    if rows.size and not (rows.min() >= 0 and rows.max() < n):
        raise AssertionError(f"rows {rows} of {n}")


def outcome(path: Path) -> tuple[str, str]:
    """Outcome of reading a file in a child process: read, refused, or the failure and its location."""
    tell, told = os.pipe()
    child = os.fork()
    if not child:
        os.close(tell)
        _in_child(path, told)
    os.close(told)
    with os.fdopen(tell, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return ("hang" if number == signal.SIGALRM else "signal"), signal.Signals(number).name
    return {READ: "read", REFUSED: "refused"}.get(os.WEXITSTATUS(status), "other"), said


def _in_child(path: Path, told: int) -> None:
    from imindex.indexer.core.errors import ImindexError

    code, said = OTHER, "?"
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        signal.alarm(LIMIT)
        read_all(path)
        code, said = READ, ""
    except ImindexError as error:
        code, said = REFUSED, str(error)
    except BaseException:
        said = traceback.format_exc()[-1500:]
    finally:
        os.write(told, said.encode("utf-8", "replace")[:60_000])
        os._exit(code)


def sound_files(folder: Path) -> list[Path]:
    """Write small valid index files: of each kind of /ann, and in older HDF5 layouts, which have no checksums."""
    import h5py

    from imindex.indexer.ann.record import APPROXIMATE
    from imindex.indexer.maintain.optimize import optimize
    from imindex.indexer.store import writer as store_write
    from tests.support import whole_index
    from tests.support.approximate import clustered, contents, save

    whole_index.save(folder / "exact.h5")
    table = clustered(1_100)
    for kind in APPROXIMATE:
        optimize(save(folder / f"{kind}.h5", table, contents(1_100)), kind=kind, memory=10**9)
    new_file = store_write._new_file
    store_write._new_file = lambda path, *_: h5py.File(path, "w", libver="earliest")  # type: ignore[assignment]
    try:
        whole_index.save(folder / "old-exact.h5")
        save(folder / "old-more.h5", table, contents(1_100))
    finally:
        store_write._new_file = new_file
    return sorted(folder.glob("*.h5"))


def ann_of(path: Path) -> tuple[int, int]:
    """Start and end of an approximate /ann/data in the file; an empty range for an exact one."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        data = file["ann/data"]
        start = data.id.get_offset()
        return (start, start + data.size) if file["ann"].attrs["kind"] != "exact-fp16" else (0, 0)


def mutant(data: bytes, ann: tuple[int, int], metadata: list[checksums.Block], number: int) -> bytes:
    """Mutant `number` of a file.

    If the layout has checksums, a third of the mutants change only metadata, with valid checksums. For an approximate
    index, every other one of the rest changes only the FAISS data.
    """
    start, end = ann
    if metadata and number % 3 == 2:
        return forged(data, metadata, number)
    if start == end or number % 2:
        return mutate(data, number)
    piece = mutate(data[start:end], number)[: end - start].ljust(end - start, b"\0")
    return data[:start] + piece + data[end:]


def forged(data: bytes, metadata: list[checksums.Block], number: int) -> bytes:
    """Change one to three blocks of metadata, and correct their checksums."""
    rng, made = np.random.default_rng(number), bytearray(data)
    for place in rng.choice(len(metadata), min(len(metadata), int(rng.integers(1, 4))), replace=False):
        start, end = metadata[place]
        piece = mutate(data[start:end], number + 1, 4)[: end - start]  # the signature stays
        made[start : start + len(piece)] = piece
        checksums.mend(made, (start, end))
    return bytes(made)


def fuzz(
    files: list[Path], numbers: Iterator[int], keep: Path | None, seconds: float
) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Read mutants of the files in turn until the numbers or the time are used up."""
    for module in ("ann.exact", "ann.approximate", "maintain.summary", "store.index", "integrity.verify"):
        importlib.import_module(f"imindex.indexer.{module}")  # before the forks

    began, counts, finds = time.monotonic(), Counter[str](), []
    data = [(whole := file.read_bytes(), ann_of(file), checksums.blocks(whole)) for file in files]
    scratch = Path(os.environ.get("TMPDIR", "/tmp")) / f"imindex-mutant-{os.getpid()}.h5"
    try:
        for number in numbers:
            if time.monotonic() - began > seconds:
                break
            made = mutant(*data[number // 2 % len(data)], number)
            scratch.write_bytes(made)
            how, said = outcome(scratch)
            counts[how] += 1
            if how not in ("read", "refused"):
                finds.append(
                    {"number": number, "file": files[number // 2 % len(data)].name, "how": how, "said": said}
                )
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{number}.h5").write_bytes(made)
    finally:
        scratch.unlink(missing_ok=True)
    return counts, finds


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("folder", type=Path)
    parse.add_argument("--first", type=int, default=0)
    parse.add_argument("--count", type=int, default=300)
    parse.add_argument("--seconds", type=float, default=1e9)
    parse.add_argument("--keep", type=Path)
    said = parse.parse_args()
    files = sorted(said.folder.glob("*.h5"))
    numbers = iter(range(said.first, said.first + said.count))
    counts, finds = fuzz(files, numbers, said.keep, said.seconds)
    print(json.dumps({"counts": counts, "finds": finds}))


if __name__ == "__main__":
    main()
