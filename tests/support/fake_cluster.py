"""An engine without processes: workers fail, stop, delay, reorder, double and come late, by a seed, on a made-up clock.

The encoder's vectors depend on the whole batch, so that a batch that is cut otherwise cannot go unnoticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.encoders.padding import encode_padded
from imindex.indexer.runners.base import Sources
from imindex.indexer.runners.dispatch import Engine, PixelsLost, Reference, Seat, WorkerLost
from imindex.indexer.runners.workers import DECODE, ENCODE, DecodeWorker, Description, Entry, Failure, Outcome

READ: dict[object, tuple[list[Outcome], np.ndarray]] = {}
"""What each file gave."""
REFERENCE = Reference(("v1",), "weights", "decodes so", "encodes so", (b"",))


class OfBatch(Encoder):
    """Vectors that depend on the pictures, their order and number: the strictest of encoders."""

    device = torch.device("cpu")
    has_text = False

    def __init__(self, info: EncoderInfo, batch_size: int):
        self.info = info
        self.batch_size = batch_size
        self.batches: list[int] = []

    def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
        self.batches.append(len(pixels))
        seed = hashlib.sha256(pixels.numpy().tobytes() + bytes([len(pixels)])).digest()
        draw = np.random.default_rng(int.from_bytes(seed[:8], "big"))
        vectors = draw.normal(size=(len(pixels), self.info.dim))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)

    def lazy(self) -> LazyEncoder:
        return LazyEncoder(lambda: self, self.batch_size, self.info)


@dataclass
class Worker:
    seat: Seat
    dead: bool = False
    stopped: bool = False
    odd: bool = False


@dataclass
class Stored:
    node: str
    pixels: np.ndarray
    lost: bool = False


@dataclass(eq=False)
class Pending:
    worker: Worker
    method: str
    arguments: tuple[Any, ...]
    due: float
    error: str = ""
    pixels: Stored | None = None
    result: Any = None


@dataclass
class Faults:
    """How often, of each thing that happens; and how many at most."""

    lost: float = 0.04
    stopped: float = 0.03
    failed: float = 0.03
    pixels: float = 0.02
    answer: float = 0.01
    node: float = 0.02
    odd: float = 0.1
    interrupt: float = 0.0
    most: int = 25


class FakeEngine(Engine):
    def __init__(self, seed: int, encoder: OfBatch, decoder: DecodeWorker, faults: Faults, n_nodes: int = 2):
        self.draw = np.random.default_rng(seed)
        self.encoder, self.decoder, self.faults = encoder, decoder, faults
        self.time = 0.0
        self.nodes = [f"n{k}" for k in range(n_nodes)]
        self.n_nodes = n_nodes
        self.workers: list[Worker] = []
        self.pending: list[Pending] = []
        self.answered: list[Pending] = []
        self.stored: list[Stored] = []
        self.n_faults: dict[str, int] = {}
        self.known: Any = None
        self.closed = False
        self.most_pixels = 0

    def now(self) -> float:
        return self.time

    def happens(self, what: str) -> bool:
        probability = getattr(self.faults, what)
        if sum(self.n_faults.values()) >= self.faults.most or self.draw.random() >= probability:
            return False
        self.n_faults[what] = self.n_faults.get(what, 0) + 1
        return True

    # What an engine does

    def begin(self, sources: Sources) -> None:
        self.known = sources.known.listed()

    def seats(self) -> list[Seat]:
        return [Seat(role, node) for node in self.nodes for role in (DECODE, ENCODE)]

    def name(self, node: str) -> str:
        return node

    def start(self, seat: Seat) -> Worker:
        assert not self.closed
        # The first machine stays of the build's kind, so that the build can go on
        worker = Worker(seat, odd=seat.node != self.nodes[0] and self.happens("odd"))
        self.workers.append(worker)
        return worker

    def call(self, worker: Worker, method: str, *arguments: object) -> Pending:
        return self._new(worker, method, arguments)

    def read(self, worker: Worker, entries: Sequence[Entry]) -> tuple[Pending, Stored]:
        pixels = Stored(worker.seat.node, np.empty(0))
        return self._new(worker, "read", (entries,), pixels), pixels

    def encode(self, worker: Worker, rows: Any, chunks: Sequence[Stored]) -> Pending:
        return self._new(worker, "encode", (rows, chunks))

    def _new(self, worker: Worker, method: str, arguments: tuple[Any, ...], pixels: Any = None) -> Pending:
        pending = Pending(worker, method, arguments, self.time + self.draw.exponential(1.5), pixels=pixels)
        self.pending.append(pending)
        if method in ("read", "encode"):
            if self.happens("lost"):
                worker.dead = True
            elif self.happens("stopped"):
                worker.stopped = True
            elif self.happens("failed"):
                pending.error = "failed"
            elif method == "read" and self.happens("answer"):
                pending.error = "answer"
        return pending

    def wait(self, calls: Sequence[Any], seconds: float) -> list[Any]:
        """Return what is due, and now and then an answer that was given before, or that nobody waits for."""
        if self.happens("interrupt"):
            raise KeyboardInterrupt
        self._of_nodes()
        self.time += max(0.05, seconds) * self.draw.uniform(0.2, 1.0)
        ready = []
        for pending in list(self.pending):
            if pending.worker.dead or (pending.due <= self.time and not pending.worker.stopped):
                self.pending.remove(pending)
                self._compute(pending)
                ready.append(pending)
        self.draw.shuffle(ready)  # type: ignore[arg-type]
        self.answered += ready
        again = [pending for pending in self.answered[-20:] if self.draw.random() < 0.05]
        return [*again, *ready, *again]

    def _of_nodes(self) -> None:
        if len(self.nodes) > 1 and self.happens("node"):
            gone = self.nodes[int(self.draw.integers(1, len(self.nodes)))]
            self.nodes.remove(gone)
            for worker in self.workers:
                worker.dead |= worker.seat.node == gone
            for stored in self.stored:
                stored.lost |= stored.node == gone
        elif len(self.nodes) < self.n_nodes and self.draw.random() < 0.05:
            self.nodes.append(f"n{100 + len(self.workers)}")
        if self.stored and self.happens("pixels"):
            self.stored[int(self.draw.integers(len(self.stored)))].lost = True

    def _compute(self, pending: Pending) -> None:
        worker = pending.worker
        if worker.dead:
            pending.error = "dead"
        elif pending.error == "failed":
            pending.result = Failure("something went wrong")
        elif pending.method == "describe":
            encoding = worker.seat.role == ENCODE
            probe = "encodes so" if encoding else "decodes so"
            pending.result = Description(
                len(self.workers), f"{worker.seat.node}/{len(self.workers)}/0", ("v1",), "weights" if encoding else "",
                "abacus" if encoding else "", "otherwise" if worker.odd else probe,
            )  # fmt: skip
        elif pending.method == "read":
            pending.result, pixels = self._read(pending.arguments[0])
            assert pending.pixels is not None
            pending.pixels.pixels = pixels if not worker.odd else 255 - pixels
            self.stored.append(pending.pixels)
            self.most_pixels = max(self.most_pixels, sum(len(s.pixels) for s in self.stored if not s.lost))
        elif pending.method == "encode":
            rows, chunks = pending.arguments
            if any(chunk.lost for chunk in chunks):
                pending.error = "pixels"
                return
            pixels = np.stack([chunks[chunk].pixels[row] for chunk, row in rows])
            vectors = encode_padded(self.encoder, torch.from_numpy(pixels), self.encoder.batch_size)
            pending.result = -vectors if worker.odd else vectors
        else:
            pending.result = True

    def _read(self, entries: Sequence[Entry]) -> tuple[list[Outcome], np.ndarray]:
        """Read as a decoder does, and remember what each file gave."""
        outcomes, pixels = [], [np.empty((0, *self.encoder.preprocess.size), np.uint8)[:, None].repeat(3, 1)]
        for entry in entries:
            path = Path(entry.item.path)
            changed = path.stat().st_mtime_ns if path.exists() else 0
            key = (entry, changed, *(prefixes.tobytes() for prefixes in self.known))
            if key not in READ:
                READ[key] = self.decoder.read([entry], *self.known)
            [outcome], values = READ[key]
            if outcome.row >= 0:
                outcome = replace(outcome, row=len(pixels) - 1)
                pixels.append(values)
            outcomes.append(outcome)
        return outcomes, np.concatenate(pixels)

    def result(self, call: Pending) -> Any:
        if call.error == "dead":
            raise WorkerLost
        if call.error in ("pixels", "answer"):
            raise PixelsLost
        return call.result

    def kill(self, worker: Worker) -> None:
        """End a worker; one that is stopped may answer late all the same."""
        if self.draw.random() < 0.5:
            worker.dead = True
        worker.stopped = False

    def close(self) -> None:
        self.closed = True
