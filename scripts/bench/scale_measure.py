"""Measure the figures of the scale model that take seconds: each in its own process, in processor seconds."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

D = 512
NAMES = ("sha256", "decode", "write", "query", "ranks", "driver", "merge_topk")
"""The measurements, in the order in which they run. Each gives one or more figures."""


def measure(names: Sequence[str]) -> dict[str, float]:
    """Run measurements, each in a process of its own, and return their figures by key."""
    figures: dict[str, float] = {}
    for name in names:
        command = [sys.executable, __file__, name]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"measuring {name} failed:\n{done.stderr[-2000:]}")
        figures |= json.loads(done.stdout.splitlines()[-1])
    return figures


def rate(amount: float, do: Callable[[], object], rounds: int = 3) -> float:
    """Return an amount per processor second of this process, the best of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        do()
        best = min(best, time.process_time() - started)
    return amount / best


def sha256() -> dict[str, float]:
    data = os.urandom(2**26)
    return {"sha256": rate(len(data) / 1e6, lambda: hashlib.sha256(data).digest())}


def decode() -> dict[str, float]:
    """Read, digest and decode 512 px JPEGs, for an encoder of 224 px: per processor second, which is per core."""
    import torch
    from shared import draw

    from imindex.indexer.decode.preprocess import Preprocess, decode
    from imindex.indexer.sources.local import read_file

    torch.set_num_threads(1)
    settings = Preprocess.from_dict(
        {"size": [224, 224], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic",
         "resize_mode": "shortest", "fill_color": 0, "mode": "RGB"}
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), 200)
        paths = sorted(Path(folder).iterdir())

        def run() -> None:
            for path in paths:
                data, _ = read_file(str(path))
                hashlib.sha256(data).digest()
                decode(data, settings)

        run()
        return {"decode": rate(len(paths), run)}


def write() -> dict[str, float]:
    """Write an index (wall time, as disks are waited for), and say how many bytes a row has besides its vector."""
    from shared import write_index

    n = 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.h5"
        write_index(path, 1_000, D)
        path.unlink()
        seconds = write_index(path, n, D)
        size = path.stat().st_size
    return {"write": size / 1e6 / seconds, "column_bytes": size / n - 2 * D}


def query() -> dict[str, float]:
    """Search exactly, one query at a time and a thousand at once."""
    from shared import clustered

    from imindex.indexer.ann.exact_blocks import search_blocks

    n = 200_000
    table = np.concatenate(list(clustered(n, D)))
    many = np.concatenate(list(clustered(1_000, D, seed=1))).astype(np.float32)
    search_blocks(table, many[:1], 10)
    one = rate(10 * n, lambda: [search_blocks(table, many[i : i + 1], 10) for i in range(10)])
    batch = rate(1_000 * n, lambda: search_blocks(table, many, 10), rounds=2)
    return {"query_one": one, "query_many": batch}


def ranks() -> dict[str, float]:
    """Count exact ranks of works among imitations: pairs per processor second."""
    from shared import clustered

    from imindex.retrieval.match.counting import counted_ranks
    from imindex.retrieval.match.ranking import Sides

    n_works, n, artists = 3_000, 60_000, 100
    works = np.concatenate(list(clustered(n_works, D)))
    imitations = np.concatenate(list(clustered(n, D, seed=2)))
    sides = Sides(
        works, np.arange(n_works) % artists, imitations, np.arange(n) % artists, artists, None, np.zeros(n, np.int64)
    )  # fmt: skip
    return {
        "ranks": rate(n_works * n, lambda: sum(len(part.rows) for part in counted_ranks(sides)), rounds=2)
    }


def merge_topk() -> dict[str, float]:
    """Merge the 10 nearest of each of 50 indexes: candidates per processor second."""
    rng = np.random.default_rng(0)
    scores = rng.random((1_000, 50 * 10), np.float32)
    rows = np.arange(scores.shape[1])

    def run() -> None:
        for line in scores:
            np.lexsort((rows, -line))[:10]

    return {"merge_topk": rate(scores.size, run)}


class Fake:
    """A runner that reads and encodes nothing, so that what remains is the driver's own work."""

    def __init__(self, digests: bytes):
        self._digests = digests
        self.ended = 0.0

    def reads(self, sources: Any) -> Generator[Any]:
        from imindex.indexer.runners.base import Read

        for number, item in enumerate(sources.items):
            digest = self._digests[32 * number : 32 * number + 32]
            yield Read(item, digest, Decoded(), stamp=(40_000, 1_700_000_000_000_000_000 + number, number))
        self.ended = time.process_time()

    def encode(self, pictures: Sequence[Any]) -> Encoded:
        return Encoded(len(pictures))

    def computed_by(self) -> str:
        return "nothing"

    def close(self) -> None:
        pass


class Decoded:
    __slots__ = ()
    width = height = 512
    black = False
    notes = ()


class Encoded:
    vector = np.full(D, D**-0.5, np.float16)

    def __init__(self, n: int):
        self._n = n

    def ready(self) -> bool:
        return True

    def vectors(self) -> np.ndarray:
        return np.tile(self.vector, (self._n, 1))


def driver() -> dict[str, float]:
    """Processor time and memory of a build's driver for each picture: while pictures are read, and afterwards."""
    small, large = (json.loads(_in_process("driver_of", n)) for n in (50_000, 250_000))
    n = large["n"] - small["n"]
    return {
        "driver_while": n / (large["while"] - small["while"]),
        "driver_after": n / (large["after"] - small["after"]),
        "driver_bytes": (large["peak"] - small["peak"]) * 2**20 / n,
        "item_bytes": (large["items"] - small["items"]) * 2**20 / n,
    }


def _in_process(name: str, n: int) -> str:
    command = [sys.executable, __file__, name, str(n)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return done.stdout.splitlines()[-1]


def driver_of(n: int) -> dict[str, float]:
    from shared import peak_mib

    from imindex.indexer.build.build import build
    from imindex.indexer.core.schema import EncoderInfo
    from imindex.indexer.encoders.lazy import LazyEncoder
    from imindex.indexer.sources.item import Item

    info = EncoderInfo("stub", "", "0" * 64, {"embed_dim": D}, {}, D, "fp32")

    class Stub:
        batch_size = 256
        takes_all_processors = False
        has_text = False

        def __init__(self) -> None:
            self.info = info

    gc.collect()
    before = peak_mib()
    items = [
        Item(f"/data/shards/{i // 10_000:05d}.tar::{i:09d}.jpg", f"artist {i % 1000:04d}", "works", "works")
        for i in range(n)
    ]
    listed = peak_mib() - before
    digests = np.random.default_rng(0).bytes(32 * n)
    runner = Fake(digests)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        report = build(items, Path(folder) / "index.h5", LazyEncoder(Stub, 256, info), runner=runner)  # type: ignore[arg-type]
        ended = time.process_time()
    assert report.rows == n
    return {
        "n": n,
        "while": runner.ended - started,
        "after": ended - runner.ended,
        "peak": peak_mib(),
        "items": listed,
    }


if __name__ == "__main__":
    function = globals()[sys.argv[1]]
    print(json.dumps(function(*map(int, sys.argv[2:]))))
