"""The runner of a cluster: hand out chunks of pictures and whole batches, and redo what is lost.

The order of the items, the cut of the batches and the commits are the build's. Here, each chunk of pictures is read by
some decoder and each batch is encoded by some encoder, in any order and as often as it takes: a worker that dies, stops
answering or takes too long is replaced, its work is handed out again, and its late answer finds no one who waits.

Everything happens in the thread of the build, between two calls of its generator. What is specific to an engine, such
as Ray, is behind `Engine`.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.schema import Stamp
from imindex.indexer.runners.base import NO_DIGEST, DecodedPicture, Encoding, Read, Runner, Sources
from imindex.indexer.runners.workers import (
    DECODE,
    ENCODE,
    Description,
    Entry,
    Failure,
    Outcome,
    end_process,
    probe_pictures,
)
from imindex.indexer.sources.item import Item
from imindex.indexer.sources.read import read_location
from imindex.indexer.sources.urls import IN_FLIGHT

_MOST_CHUNK = 64
_READS_EACH = 3
"""Chunks that a decoder is given at the same time: one or two are computed, the next is ready."""
_BATCHES_EACH = 2
"""Batches that an encoder is given at the same time: the pixels of the second arrive while the first is encoded."""
_MOST_TRIES = 5
"""How often a chunk or a batch may fail before the build does."""
_MOST_REREADS = 20
"""How often the pixels of a batch may be lost before the build fails: each time, a machine or its memory was lost."""
_MOST_STARTS = 6
"""How often in a row a worker may fail to start at a place before that place is given up."""
_PATH_REASON = "cannot be read"


class WorkerLost(Exception):
    """The process of a worker has ended, or its machine is gone."""


class PixelsLost(Exception):
    """Pixels that a batch needs are gone, with the machine that held them."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for a worker.

    Attributes
    ----------
    role : str
        `DECODE` or `ENCODE`.
    node : str
        Identifier of the machine.
    number : int
        Of the seats of this role on this machine.
    threads : int
    gpus : float
    cpus : float
        Processors that the engine reserves.
    shared : bool
        Whether the machine's processors both decode and encode.
    """

    role: str
    node: str
    number: int = 0
    threads: int = 1
    gpus: float = 0
    cpus: float = 0
    shared: bool = False


Call = Hashable
Pixels = object


class Engine(Protocol):
    """Runs workers in processes, on any of several machines. No method waits, except `wait`.

    A call of a worker that is gone is finished with an error; it never stays open because the worker died, except while
    the engine has not noticed.
    """

    def seats(self) -> Sequence[Seat]:
        """Return where workers may run now: machines come and go."""

    def name(self, node: str) -> str:
        """Return the name of a machine for people."""

    def start(self, seat: Seat) -> Any:
        """Start a worker, and return its handle."""

    def call(self, worker: Any, method: str, *arguments: object) -> Call:
        """Call a method of a worker: `describe`, `ping` or `end`; the last two are not queued behind others."""

    def read(self, worker: Any, entries: Sequence[Entry]) -> tuple[Call, Pixels]:
        """Let a decoder read; return a call for the outcomes, and the pixels, which stay where they are."""

    def encode(self, worker: Any, rows: Sequence[tuple[int, int]], chunks: Sequence[Pixels]) -> Call:
        """Let an encoder encode a batch."""

    def wait(self, calls: Sequence[Call], seconds: float) -> Sequence[Call]:
        """Return the calls that are finished, after one of them is or the time is over."""

    def result(self, call: Call) -> Any:
        """Return the result of a finished call.

        Raises
        ------
        WorkerLost
        PixelsLost
        """

    def kill(self, worker: Any) -> None:
        """End a worker."""

    def begin(self, sources: Sources) -> None:
        """Begin, before the first worker."""

    def close(self) -> None:
        """End all workers."""


@dataclass(frozen=True)
class Patience:
    """Time limits in seconds.

    Attributes
    ----------
    beat : float
        Between two looks at the workers and machines.
    silence : float
        A worker that does not answer for so long is lost: it was stopped, or cut off.
    start : float
        For a worker to start, load its encoder and encode a probe.
    chunk : float
        For reading a chunk, besides the time limit of each of its pictures.
    batch : float
        For encoding a batch.
    empty : float
        To wait for a new worker if there is none of a role.
    """

    beat: float = 1.0
    silence: float = 30.0
    start: float = 600.0
    chunk: float = 120.0
    batch: float = 600.0
    empty: float = 300.0


class Chunk:
    """Consecutive pictures that are read together."""

    __slots__ = ("avoid", "entries", "held", "outcomes", "pixels", "running", "seat", "tries", "wanted")

    def __init__(self, entries: list[Entry], avoid: frozenset[str] = frozenset()):
        self.entries = entries
        self.avoid = avoid
        """Machines that cannot see the files."""
        self.outcomes: list[Outcome] | None = None
        self.pixels: Pixels = None
        self.running = False
        self.seat: Seat | None = None
        """Who read it."""
        self.tries = 0
        self.wanted: dict[int, bytes] = {}
        """Digest of each picture whose pixels are needed, by its position, once it was read."""
        self.held = len(entries)
        """Pictures that count as read ahead."""


class RemotePicture(DecodedPicture):
    """A decoded picture whose pixels are on another machine. They are released with it."""

    __slots__ = ("_black", "_height", "_notes", "_release", "_width", "chunk", "position")

    def __init__(self, chunk: Chunk, position: int, release: Callable[[Chunk, int], None]):
        assert chunk.outcomes is not None
        outcome = chunk.outcomes[position]
        self.chunk, self.position = chunk, position
        self._width, self._height, self._black, self._notes = (
            outcome.width, outcome.height, outcome.black, outcome.notes,
        )  # fmt: skip
        self._release: Callable[[Chunk, int], None] | None = release

    @property
    def width(self) -> int:
        """Width of the original in pixels."""
        return self._width

    @property
    def height(self) -> int:
        """Height of the original in pixels."""
        return self._height

    @property
    def black(self) -> bool:
        """Whether all pixels are black."""
        return self._black

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth telling."""
        return self._notes

    def release(self) -> None:
        """Let go of the pixels."""
        if self._release is not None:
            self._release(self.chunk, self.position)
            self._release = None

    def __del__(self) -> None:  # the build drops pictures that turn out to be known
        self.release()


class Batch(Encoding):
    """A batch that is encoded somewhere."""

    def __init__(self, pictures: Sequence[RemotePicture], pump: Callable[[], None]):
        self.pictures = pictures
        self.result: npt.NDArray[np.float16] | None = None
        self.running = False
        self.tries = self.rereads = 0
        self._pump = pump

    def ready(self) -> bool:
        """Return whether the vectors are there."""
        return self.result is not None

    def vectors(self) -> npt.NDArray[np.float16]:
        """Wait for the vectors, and return them."""
        while self.result is None:
            self._pump()
        return self.result


@dataclass
class _Worker:
    seat: Seat
    handle: Any
    since: float
    description: Description | None = None
    heard: float = 0.0
    progress: float = 0.0
    jobs: list[Chunk | Batch] = field(default_factory=list)
    pinging: bool = False

    @property
    def ready(self) -> bool:
        return self.description is not None


@dataclass(frozen=True)
class _Attempt:
    worker: _Worker
    job: Chunk | Batch | str
    """What is computed, or the name of a method: describe, ping, end."""
    pixels: Pixels = None


@dataclass
class Reference:
    """What a worker must be and compute to join.

    Attributes
    ----------
    versions : tuple of str
    encoder : str
        `imindex.indexer.runners.workers.encoder_digest`.
    decoding : str
        The probe of decoders.
    encoding : str
        The probe of encoders; empty until the first encoder is admitted, whose it then is.
    files : tuple of bytes
        Pictures of the probe.
    allow_mixed : bool
        Whether a worker with another probe joins all the same.
    """

    versions: tuple[str, ...]
    encoder: str
    decoding: str
    encoding: str
    files: tuple[bytes, ...]
    allow_mixed: bool = False


class Dispatcher(Runner):
    """Reads and encodes with the workers of an engine.

    Parameters
    ----------
    engine : Engine
    reference : callable
        Returns what workers must be; called before the first one joins.
    batch_size : callable
        Returns the number of pictures in a batch.
    patience : Patience
    most_held : int
        Pictures that may be in memory of the cluster at the same time, decoded or being decoded, whatever is idle.
    note : callable
        Is told which workers were refused or lost.
    allow_mixed : bool
        Whether to add to vectors of another kind of processor.
    now : callable
        The clock.
    """

    def __init__(  # noqa: PLR0913
        self,
        engine: Engine,
        reference: Callable[[], Reference],
        batch_size: Callable[[], int],
        *,
        patience: Patience = Patience(),
        most_held: int = 4096,
        note: Callable[[str], None] = lambda _: None,
        allow_mixed: bool = False,
        now: Callable[[], float] = time.monotonic,
    ):
        self._engine = engine
        self._make_reference = reference
        self._reference: Reference | None = None
        self._make_batch_size = batch_size
        self._batch_size = 0
        self._patience = patience
        self._most_held = most_held
        self._note = note
        self._allow_mixed = allow_mixed
        self._now = now
        self._workers: dict[Seat, _Worker] = {}
        self._calls: dict[Call, _Attempt] = {}
        self._chunks: deque[Chunk] = deque()
        """Waiting to be read."""
        self._batches: deque[Batch] = deque()
        """Waiting to be encoded."""
        self._given_up: dict[Seat, str] = {}
        self._failed_starts: Counter[Seat] = Counter()
        self._blind: set[str] = set()
        self._graves: list[Description] = []
        self._missing_since: dict[str, float] = {}
        self._beat_at: float | None = None
        self._held = 0
        self._kinds: dict[str, None] = {}
        self._sources: Sources | None = None
        self.most_seen = 0
        """The most pictures that were held at any time."""
        self.redone = 0
        """Chunks and batches that were handed out again."""
        self.lost = 0
        """Workers that were lost."""

    # Reading

    def reads(self, sources: Sources) -> Generator[Read]:
        """Yield the pictures in order; see `Runner.reads`."""
        self._sources = sources
        waiting: deque[Read | tuple[Chunk, int]] = deque()
        items = _looked_up(sources)
        listed: list[Entry] = []  # of the next chunk
        chunk = Chunk(listed)
        more = True

        def send() -> None:
            nonlocal listed, chunk
            if listed:
                chunk.held = len(listed)
                self._hold(len(listed))
                self._chunks.append(chunk)
                listed = []
                chunk = Chunk(listed)

        while True:
            while more and len(waiting) < 2 * self._most_held and self._held < self._window():
                item, known_file = next(items, (None, None))
                if item is None:
                    more = False
                elif known_file is not None:
                    digest, stamp, is_row = known_file
                    waiting.append(Read(item, digest, stamp=stamp, unchanged_row=is_row))
                else:
                    self._open()
                    waiting.append((chunk, len(listed)))
                    listed.append(Entry(item))
                    if len(listed) >= self._chunk_size():
                        send()
            if not more or (waiting and not isinstance(waiting[0], Read) and waiting[0][0] is chunk):
                send()
            if not waiting:
                if not more:
                    return
                self._pump()
                continue
            head = waiting[0]
            if isinstance(head, Read):
                waiting.popleft()
                yield head
                continue
            first, position = head
            if first.outcomes is None:
                self._pump()
                continue
            read = self._read_of(first, position)
            if isinstance(read, Chunk):
                waiting[0] = (read, 0)
                continue
            waiting.popleft()
            if not position:  # once for each chunk
                self._pump(0.0)
            yield read
            del read, head, first

    def _read_of(self, chunk: Chunk, position: int) -> Read | Chunk:
        """Return what was read; or, if that cannot be believed, a chunk in which the picture is read again."""
        assert chunk.outcomes is not None and self._sources is not None and chunk.seat is not None
        outcome, entry = chunk.outcomes[position], chunk.entries[position]
        item = entry.item
        if (
            outcome.digest == NO_DIGEST
            and outcome.reason.startswith(_PATH_REASON)
            and _is_readable(item.path)
        ):
            return self._again(chunk, position, self._not_visible(chunk, item))
        picture = None
        if outcome.row >= 0:
            picture = RemotePicture(chunk, position, self._release)
            chunk.wanted[position] = outcome.digest
        elif not (outcome.reason or item.blocked or entry.force or outcome.digest in self._sources.known):
            return self._again(
                chunk, position, chunk.avoid, force=True
            )  # only the first bytes of its digest were known
        else:
            self._release(chunk, position)
        return Read(item, outcome.digest, picture, outcome.reason, outcome.stamp)

    def _again(self, chunk: Chunk, position: int, avoid: frozenset[str], force: bool = False) -> Chunk:
        entry = chunk.entries[position]
        self._release(chunk, position)
        again = Chunk([Entry(entry.item, force=force or entry.force)], avoid)
        self._hold(1)
        self._chunks.appendleft(again)
        return again

    def _not_visible(self, chunk: Chunk, item: Item) -> frozenset[str]:
        """Note that a machine cannot see a file, and return the machines that cannot."""
        assert chunk.seat is not None
        node = chunk.seat.node
        message = (
            f"{item.path} is not visible on node {self._engine.name(node)}, though it is here. Put the pictures on "
            "shared storage that every node mounts at the same path, or name them by URL."
        )
        avoid = chunk.avoid | {node}
        if not {seat.node for seat in self._engine.seats() if seat.role == DECODE} - avoid:
            raise ImindexError(message)
        if node not in self._blind:
            self._blind.add(node)
            self._note(f"{message} That node decodes no more.")
            for worker in [
                w for w in self._workers.values() if w.seat.role == DECODE and w.seat.node == node
            ]:
                self._lose(worker, "")
        return avoid

    def _window(self) -> int:
        """Return how many pictures may be held: what keeps everybody busy, within the bounds."""
        if self._reference is None:
            return 1
        roles = Counter(worker.seat.role for worker in self._workers.values())
        busy = 3 * self._batch_size * max(1, roles[ENCODE]) + 4 * self._chunk_size() * max(1, roles[DECODE])
        least = 2 * (self._batch_size + self._chunk_size())
        return max(least, min(self._most_held, busy))

    def _chunk_size(self) -> int:
        return max(1, min(_MOST_CHUNK, self._batch_size // 4))

    def _hold(self, n: int) -> None:
        self._held += n
        self.most_seen = max(self.most_seen, self._held)

    def _release(self, chunk: Chunk, position: int) -> None:
        chunk.wanted.pop(position, None)
        chunk.held -= 1
        self._held -= 1
        if not chunk.held:
            chunk.pixels = None

    # Encoding

    def encode(self, pictures: Sequence[DecodedPicture]) -> Batch:
        """Hand out a batch; see `Runner.encode`."""
        remote = [picture for picture in pictures if isinstance(picture, RemotePicture)]
        assert len(remote) == len(pictures)
        batch = Batch(remote, self._pump)
        self._batches.append(batch)
        self._dispatch()
        return batch

    @property
    def allow_mixed(self) -> bool:
        """Whether to add to vectors of another kind of processor."""
        return self._allow_mixed

    def computed_by(self) -> tuple[str, ...]:
        """Return the kinds of processors that joined as encoders."""
        return tuple(self._kinds)

    def close(self) -> None:
        """End all workers."""
        self._calls.clear()
        self._workers.clear()
        self._engine.close()

    # The event loop

    def _open(self) -> None:
        if self._reference is None:
            assert self._sources is not None
            self._batch_size = self._make_batch_size()
            self._engine.begin(self._sources)
            self._look_after()
            self._reference = self._make_reference()  # while the first workers start

    def _pump(self, seconds: float | None = None) -> None:
        """Hand out work, and take what is finished; wait for it at most until the next beat."""
        now = self._now()
        if self._beat_at is None or now - self._beat_at >= self._patience.beat:
            self._look_after()
        assert self._beat_at is not None
        self._dispatch()
        if not self._calls and seconds == 0:
            return
        pause = max(0.0, self._beat_at + self._patience.beat - now) if seconds is None else seconds
        for call in self._engine.wait(list(self._calls), pause):
            attempt = self._calls.pop(call, None)
            if attempt is not None:  # else it is the late answer of a lost worker
                self._finish(call, attempt)
        self._dispatch()

    def _finish(self, call: Call, attempt: _Attempt) -> None:
        worker, job = attempt.worker, attempt.job
        if not isinstance(job, str):
            worker.jobs.remove(job)
            job.running = False
        worker.progress = worker.heard = self._now()
        try:
            result = self._engine.result(call)
        except WorkerLost as error:
            self._lose(worker, str(error) or "its process ended", also=job)
            return
        except PixelsLost:
            if isinstance(job, Batch):
                self._reread(job)
            else:  # the answer itself was in memory that is gone
                self._lose(worker, "its answer was lost", also=job)
            return
        if job == "describe":
            self._admit(worker, result)
        elif job == "ping":
            worker.pinging = False
        elif isinstance(job, Chunk):
            self._take_chunk(worker, job, result, attempt.pixels)
        elif isinstance(job, Batch):
            self._take_batch(worker, job, result)

    def _take_chunk(self, worker: _Worker, chunk: Chunk, result: Any, pixels: Pixels) -> None:
        if isinstance(result, Failure):
            self._retry(worker, chunk, result)
            return
        if chunk.outcomes is not None:  # read again, because pixels were lost
            for position, digest in chunk.wanted.items():
                outcome = result[position]
                if outcome.digest != digest or outcome.row < 0:
                    raise ImindexError(
                        f"{chunk.entries[position].item.path} changed while the build was running. Run the same "
                        "command again; what was encoded is kept."
                    )
        chunk.outcomes, chunk.seat = result, worker.seat
        if chunk.held and any(outcome.row >= 0 for outcome in result):
            chunk.pixels = pixels

    def _take_batch(self, worker: _Worker, batch: Batch, result: Any) -> None:
        if isinstance(result, Failure):
            self._retry(worker, batch, result)
            return
        batch.result = result
        for picture in batch.pictures:
            picture.release()
        batch.pictures = ()

    def _retry(self, worker: _Worker, job: Chunk | Batch, failure: Failure) -> None:
        job.tries += 1
        where = self._engine.name(worker.seat.node)
        if failure.fatal or job.tries >= _MOST_TRIES:
            raise ImindexError(f"On node {where}: {failure.message}")
        self._again_later(job)
        self._lose(worker, failure.message)  # it may be in a bad state

    def _again_later(self, job: Chunk | Batch) -> None:
        self.redone += 1
        job.running = False
        if isinstance(job, Chunk):
            self._chunks.appendleft(job)
        else:
            self._batches.appendleft(job)

    def _reread(self, batch: Batch) -> None:
        """Read the pictures of a batch again, whose pixels are lost, and then encode it."""
        batch.rereads += 1
        if batch.rereads >= _MOST_REREADS:
            raise ImindexError(
                "The pixels of a batch were lost again and again on their way to an encoder. Check the network and "
                "the memory of the object store; run the same command again to go on."
            )
        for chunk in dict.fromkeys(picture.chunk for picture in batch.pictures):
            self._lose_pixels(chunk)
        self._again_later(batch)

    def _lose_pixels(self, chunk: Chunk) -> None:
        if chunk.pixels is not None and not chunk.running and chunk not in self._chunks:
            chunk.pixels = None
            self._again_later(chunk)

    # Handing out

    def _dispatch(self) -> None:
        if self._reference is None:
            return
        if self._chunks:
            self._hand_out_chunks()
        if self._batches:
            self._hand_out_batches()

    def _hand_out_chunks(self) -> None:
        kept: list[Chunk] = []
        while self._chunks:
            chunk = self._chunks.popleft()
            worker = self._freest(DECODE, _READS_EACH, chunk.avoid)
            if worker is None:
                kept.append(chunk)
                if not chunk.avoid:
                    break
                continue
            call, pixels = self._engine.read(worker.handle, chunk.entries)
            self._given(worker, chunk, call, pixels)
        self._chunks.extendleft(reversed(kept))

    def _hand_out_batches(self) -> None:
        kept: list[Batch] = []
        while self._batches:
            batch = self._batches.popleft()
            chunks = list(dict.fromkeys(picture.chunk for picture in batch.pictures))
            if any(chunk.pixels is None for chunk in chunks):  # being read again
                kept.append(batch)
                continue
            worker = self._freest(ENCODE, _BATCHES_EACH)
            if worker is None:
                kept.append(batch)
                break
            number = {chunk: n for n, chunk in enumerate(chunks)}
            rows = [
                (number[picture.chunk], (picture.chunk.outcomes or [])[picture.position].row)
                for picture in batch.pictures
            ]
            call = self._engine.encode(worker.handle, rows, [chunk.pixels for chunk in chunks])
            self._given(worker, batch, call)
        self._batches.extendleft(reversed(kept))

    def _given(self, worker: _Worker, job: Chunk | Batch, call: Call, pixels: Pixels = None) -> None:
        if not worker.jobs:
            worker.progress = self._now()
        worker.jobs.append(job)
        job.running = True
        self._calls[call] = _Attempt(worker, job, pixels)

    def _freest(self, role: str, most: int, avoid: frozenset[str] = frozenset()) -> _Worker | None:
        free = [
            worker
            for worker in self._workers.values()
            if worker.seat.role == role and worker.ready and len(worker.jobs) < most
            and worker.seat.node not in avoid
        ]  # fmt: skip
        return min(free, key=lambda worker: (len(worker.jobs), worker.progress), default=None)

    # Workers

    def _look_after(self) -> None:
        """Start, ping and give up workers."""
        now = self._now()
        if self._beat_at is not None:
            self._excuse(now - self._beat_at - 2 * self._patience.beat)
        self._beat_at = now
        seats = self._engine.seats()
        nodes = {seat.node for seat in seats}
        for worker in list(self._workers.values()):
            if worker.seat.node not in nodes:
                self._lose(worker, "its node is gone", node_gone=True)
            elif not worker.ready and now - worker.since > self._patience.start:
                self._lose(worker, f"it did not start within {self._patience.start:g} s")
            elif worker.ready and now - worker.heard > self._patience.silence:
                self._lose(worker, f"it did not answer for {self._patience.silence:g} s")
            elif worker.jobs and now - worker.progress > self._limit(worker):
                self._overdue(worker)
        for seat in seats:
            if seat not in self._workers and seat not in self._given_up and not self._is_blind(seat):
                self._start(seat, now)
        for worker in self._workers.values():
            if worker.ready and not worker.pinging:
                worker.pinging = True
                self._calls[self._engine.call(worker.handle, "ping")] = _Attempt(worker, "ping")
        self._bury()
        for role in (DECODE, ENCODE):
            self._require(role, seats, now)

    def _excuse(self, pause: float) -> None:
        """Do not count a time in which this process itself was stopped or busy, and took no answers."""
        if pause > 0:
            for worker in self._workers.values():
                worker.since += pause
                worker.heard += pause
                worker.progress += pause
            for role in self._missing_since:
                self._missing_since[role] += pause

    def _is_blind(self, seat: Seat) -> bool:
        return seat.role == DECODE and seat.node in self._blind

    def _limit(self, worker: _Worker) -> float:
        if worker.seat.role == ENCODE:
            return self._patience.batch
        assert self._sources is not None
        n = max(len(job.entries) for job in worker.jobs if isinstance(job, Chunk))
        return self._patience.chunk + 2 * n * self._sources.limits.decode_timeout

    def _overdue(self, worker: _Worker) -> None:
        """Replace a worker that answers, but does not get on; the pixels that it waits for may be out of reach."""
        batches = [job for job in worker.jobs if isinstance(job, Batch)]
        self._lose(worker, f"it took longer than {self._limit(worker):g} s")
        for batch in batches:
            for chunk in dict.fromkeys(picture.chunk for picture in batch.pictures):
                self._lose_pixels(chunk)

    def _start(self, seat: Seat, now: float) -> None:
        files = (self._reference.files if self._reference else ()) or _probe_files()
        worker = _Worker(seat, self._engine.start(seat), since=now)
        self._workers[seat] = worker
        call = self._engine.call(worker.handle, "describe", files if seat.role == DECODE else ())
        self._calls[call] = _Attempt(worker, "describe")

    def _admit(self, worker: _Worker, description: Description | Failure) -> None:
        """Let a worker join if it is what it has to be, and computes the same bits."""
        if self._reference is None:
            raise AssertionError("a worker was asked before the reference was made")
        seat, reference = worker.seat, self._reference
        if isinstance(description, Failure):
            self._refuse(worker, description.message)
            return
        if description.versions != reference.versions:
            differ = [
                f"{theirs}, not {ours}"
                for theirs, ours in zip(description.versions, reference.versions, strict=False)
                if theirs != ours
            ]
            if not reference.allow_mixed or differ[0].startswith("imindex"):
                self._refuse(worker, f"it has {'; '.join(differ)}")
                return
        if seat.role == ENCODE and description.encoder != reference.encoder:
            self._refuse(worker, "its encoder has other weights or settings")
            return
        expected = reference.encoding if seat.role == ENCODE else reference.decoding
        if expected and description.probe != expected and not reference.allow_mixed:
            what = "encodes" if seat.role == ENCODE else "decodes"
            kind = f" ({description.computes_on})" if description.computes_on else ""
            self._refuse(worker, f"it{kind} {what} fixed pictures to other bits than the build's. Use machines of one "
                         "kind, or --allow-mixed")  # fmt: skip
            return
        if seat.role == ENCODE:
            reference.encoding = reference.encoding or description.probe
            self._kinds[description.computes_on] = None
        worker.description = description
        worker.heard = worker.progress = self._now()
        self._failed_starts.pop(seat, None)
        self._missing_since.pop(seat.role, None)

    def _refuse(self, worker: _Worker, reason: str) -> None:
        seat = worker.seat
        what = "encoder" if seat.role == ENCODE else "decoder"
        self._given_up[seat] = f"The {what} on node {self._engine.name(seat.node)} was refused: {reason}."
        self._note(self._given_up[seat])
        self._workers.pop(seat, None)
        self._engine.kill(worker.handle)

    def _lose(self, worker: _Worker, reason: str, *, also: object = None, node_gone: bool = False) -> None:
        """Forget a worker, end it, and hand out again what it was computing."""
        seat = worker.seat
        if self._workers.get(seat) is not worker:
            jobs = [also] if isinstance(also, (Chunk, Batch)) else []
        else:
            del self._workers[seat]
            self.lost += 1
            jobs = [*worker.jobs, *([also] if isinstance(also, (Chunk, Batch)) else [])]
            self._engine.kill(worker.handle)
            if worker.description is None:
                self._failed_starts[seat] += 1
                if self._failed_starts[seat] >= _MOST_STARTS and not node_gone:
                    self._given_up[seat] = (
                        f"The {seat.role}r on node {self._engine.name(seat.node)} did not start: {reason}."
                    )
                    self._note(self._given_up[seat])
            else:  # also if its node is gone: a stopped process does not notice
                self._graves.append(worker.description)
            if reason and worker.ready:
                what = "encoder" if seat.role == ENCODE else "decoder"
                self._note(
                    f"The {what} on node {self._engine.name(seat.node)} was lost: {reason}. Its work is done again."
                )
        for call in [call for call, attempt in self._calls.items() if attempt.worker is worker]:
            del self._calls[call]
        worker.jobs = []
        for job in reversed(jobs):
            self._again_later(job)
        if node_gone:
            self._lose_pixels_on(seat.node)

    def _lose_pixels_on(self, node: str) -> None:
        """Read again what was decoded on a machine that is gone, and is not encoded yet."""
        needed = [picture.chunk for batch in self._batches for picture in batch.pictures]
        for chunk in dict.fromkeys(needed):
            if chunk.seat is not None and chunk.seat.node == node:
                self._lose_pixels(chunk)

    def _bury(self) -> None:
        """Make sure that lost workers have ended: a stopped process ignores everything but the kill of its machine."""
        left = []
        for grave in self._graves:
            if end_process(grave.pid, grave.identity):
                continue
            machine = grave.identity.split("/")[0]
            for worker in self._workers.values():
                if worker.description and worker.description.identity.split("/")[0] == machine:
                    call = self._engine.call(worker.handle, "end", grave.pid, grave.identity)
                    self._calls[call] = _Attempt(worker, "end")
                    break
            else:
                left.append(grave)
        self._graves = left

    def _require(self, role: str, seats: Iterable[Seat], now: float) -> None:
        """End the build if there is no worker of a role, and none can be expected.

        Raises
        ------
        ImindexError
        """
        if any(worker.seat.role == role and worker.ready for worker in self._workers.values()):
            self._missing_since.pop(role, None)
            return
        what = "encoder" if role == ENCODE else "decoder"
        mine = [seat for seat in seats if seat.role == role and not self._is_blind(seat)]
        refused = [self._given_up[seat] for seat in mine if seat in self._given_up]
        if mine and len(refused) == len(mine):
            reasons = " ".join(dict.fromkeys(refused))
            raise ImindexError(f"No {what} is left. {reasons} What was encoded is kept.")
        if role not in self._missing_since:
            self._missing_since[role] = now
            if self.lost:
                self._note(f"No {what} is left: waiting up to {self._patience.empty:g} s for a new one.")
        starting = any(worker.seat.role == role for worker in self._workers.values())
        limit = self._patience.empty + (self._patience.start if starting else 0.0)
        if now - self._missing_since[role] > limit:
            raise ImindexError(
                f"No {what} joined for {limit:g} s. What was encoded is kept: run the same command again when the "
                "cluster has free processors or GPUs."
            )


@functools.cache
def _probe_files() -> tuple[bytes, ...]:
    return probe_pictures()


def _looked_up(sources: Sources) -> Iterator[tuple[Item | None, tuple[bytes, Stamp, bool] | None]]:
    """Yield each item with what is known of its file if that is unchanged; several requests to stores at a time."""
    waiting: deque[tuple[Item, Future[tuple[bytes, Stamp, bool] | None]]] = deque()
    with contextlib.ExitStack() as stack:
        pool: ThreadPoolExecutor | None = None
        for item in sources.items:
            if is_url(item.path):
                if pool is None:
                    pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="look-up")
                    stack.callback(pool.shutdown, wait=False, cancel_futures=True)
                waiting.append((item, pool.submit(sources.unchanged, item)))
                if len(waiting) < 2 * IN_FLIGHT:
                    continue
                first, found = waiting.popleft()
                yield first, found.result()
                continue
            while waiting:
                first, found = waiting.popleft()
                yield first, found.result()
            yield item, sources.unchanged(item)
        while waiting:
            first, found = waiting.popleft()
            yield first, found.result()


def _is_readable(location: str) -> bool:
    """Return whether this machine can read a picture of a file system; URLs are the same everywhere."""
    if is_url(location):
        return False
    try:
        read_location(location)
    except (OSError, BadPicture, ImindexError, ValueError, MemoryError):
        return False
    return True
