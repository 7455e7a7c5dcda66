"""Flip single bits of an index file, one at a time: each flip is detected, or changes nothing that can be read.

    python -m tests.support.flipping FILE SEED FIRST END

tries the flips numbered FIRST to END in this process and prints a line of JSON before and after each one. `tried` runs
it in workers, so a flip that crashes or hangs a process is a result and does not end the test.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.integrity.verify import verify
from imindex.indexer.store.index import Index
from tests.support.places import child_environment

REFUSED, FAULT, NOTHING = "refused", "fault", "nothing to read changed"
MISSED, RAISED, CRASHED, HUNG = "missed", "raised", "crashed", "hung"
FOUND = (REFUSED, FAULT)
SECONDS = 60
MEMORY = 4 * 2**30


def everything(path: Path) -> dict[str, Any]:
    """Everything that plain h5py and imindex read from a file: names, kinds, attributes and values."""
    found: dict[str, Any] = {}

    def note(name: str, thing: Any) -> None:
        attributes = {key: (type(value).__name__, repr(value)) for key, value in thing.attrs.items()}
        found[name] = [type(thing).__name__, attributes]
        if isinstance(thing, h5py.Dataset):
            values = thing[:]
            text = values.tolist() if values.dtype == object else [values.tobytes().hex()]
            digest = hashlib.sha256(repr(text).encode()).hexdigest()
            string = h5py.check_string_dtype(thing.dtype)
            found[name] += [str(thing.dtype), string and string.encoding, thing.shape, digest]

    with h5py.File(path, "r", locking=False) as file:
        note("/", file)
        file.visititems(note)
    with Index(path) as index:
        found["mapped"] = hashlib.sha256(index.vectors.tobytes() + index.ann_data().tobytes()).hexdigest()
        found["log"], found["ann"] = index.log(), repr(index.ann())
        found["contents"] = repr(
            [index.encoder, index.artists, index.collections, index.created_at, index.created_by]
        )
    return found


def places(size: int, seed: int, count: int) -> list[tuple[int, int]]:
    """Byte and bit of each flip, without repetition."""
    drawn = np.random.default_rng(seed).choice(8 * size, min(count, 8 * size), replace=False)
    return [(int(bit) // 8, int(bit) % 8) for bit in drawn]


def turn(path: Path, byte: int, bit: int) -> None:
    """Flip one bit of a file in place."""
    with path.open("r+b") as file:
        file.seek(byte)
        (value,) = file.read(1)
        file.seek(byte)
        file.write(bytes([value ^ 1 << bit]))


def outcome(path: Path, before: dict[str, Any]) -> tuple[str, str]:
    """The outcome of reading a file with a flipped bit."""
    try:
        faults = verify(path).faults
    except ImindexError as error:
        return REFUSED, str(error)
    except Exception as error:
        return RAISED, repr(error)
    if faults:
        return FAULT, f"{faults[0].where}: {faults[0].said}"
    try:
        after = everything(path)
    except Exception as error:
        return MISSED, f"can no longer be read, {error!r}"
    differing = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    return (MISSED, ", ".join(differing)) if differing else (NOTHING, "")


def work(path: Path, flips: list[tuple[int, int]], first: int, end: int) -> None:
    """Try some of the flips, in a worker."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    before = everything(path)
    for number in range(first, end):
        print(json.dumps([number]), flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        turn(path, *flips[number])
        try:
            status, said = outcome(path, before)
        finally:
            turn(path, *flips[number])
            faulthandler.cancel_dump_traceback_later()
        print(json.dumps([number, status, said]), flush=True)


def tried(path: Path, seed: int, first: int, end: int) -> Iterator[dict[str, Any]]:
    """Try flips of a copy of a file in workers, and yield the outcome of each."""
    flips, whole = places(path.stat().st_size, seed, end), path.read_bytes()
    end = min(end, len(flips))
    copy = path.with_name(f"{path.stem}-{first}.flipped.h5")
    try:
        while first < end:
            copy.write_bytes(whole)
            started = time.monotonic()
            words = [sys.executable, "-m", "tests.support.flipping", copy, seed, first, end]
            done = subprocess.run(
                [str(word) for word in words], capture_output=True, text=True, env=child_environment()
            )
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            for number, status, said in (line for line in lines if len(line) == 3):
                yield _result(flips, number, status, said)
            if done.returncode == 0:
                return
            if not lines or len(lines[-1]) == 3:
                raise RuntimeError(f"the worker failed outside a flip:\n{done.stderr[-2000:]}")
            number = lines[-1][0]
            hung = "Timeout" in done.stderr and time.monotonic() - started >= SECONDS
            yield _result(
                flips, number, HUNG if hung else CRASHED, f"{done.returncode}: {done.stderr[-500:]}"
            )
            first = number + 1
    finally:
        copy.unlink(missing_ok=True)


def _result(flips: list[tuple[int, int]], number: int, status: str, said: str) -> dict[str, Any]:
    byte, bit = flips[number]
    return {"number": number, "byte": byte, "bit": bit, "status": status, "said": said}


def main() -> None:
    path, (seed, first, end) = Path(sys.argv[1]), map(int, sys.argv[2:5])
    work(path, places(path.stat().st_size, seed, end), first, end)


if __name__ == "__main__":
    main()
