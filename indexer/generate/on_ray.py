"""Pipelines on a Ray cluster: one in each seat, whole batches to whichever is free, lost batches again.

Every picture follows from its own seed, and every batch has the same shape, so it does not matter which pipeline makes
a batch, how often one is lost, or in which order they come back. A pipeline joins if its model has the same digests and
settings, and if it makes a fixed picture to the same bits. Pictures come back as files through the object store, at
most `_AHEAD` batches from each pipeline, and this process writes them: the folder needs no shared storage.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.model_description import ModelDescription
from imindex.indexer.generate.model_settings import ModelSettings
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.generate.release_folder import PictureFile
from imindex.indexer.generate.worker import About, Failure, Loaded, PipelineWorker, on_device
from imindex.indexer.runners.actors import Actors, Call, Handle, WorkerFailed
from imindex.indexer.runners.base import Place
from imindex.indexer.runners.cluster import Cluster, connect
from imindex.indexer.runners.dispatch import Seat, WorkerLost
from imindex.indexer.runners.ray import gpus_each
from imindex.indexer.runners.workers import end_process

_AHEAD = 2
"""Batches that a pipeline is given at a time, so that it need not wait for this process."""
_MOST_STARTS = 3


@dataclass(frozen=True)
class Waits:
    """How long to wait, in seconds.

    Attributes
    ----------
    look : float
        Between two looks at the machines of the cluster.
    start : float
        For a pipeline to say what it is, to load and to make its first picture.
    silence : float
        For a sign of life.
    batch : float
        For a batch.
    empty : float
        For a machine, where there is none.
    """

    look: float = 2.0
    start: float = 1800.0
    silence: float = 120.0
    batch: float = 3600.0
    empty: float = 300.0


@dataclass
class _Worker:
    seat: Seat
    handle: Handle
    since: float
    heard: float
    stage: str = "starting"
    about: About | None = None
    pinging: bool = False
    jobs: deque[tuple[Shot, ...]] = field(default_factory=deque)
    progress: float = 0.0


@dataclass(frozen=True)
class _Attempt:
    worker: _Worker
    what: str
    job: tuple[Shot, ...] = ()


class RayPipelines:
    """The pipelines of a cluster, for one model.

    Parameters
    ----------
    cluster : Cluster
    model : ModelSettings
    place : Place
        How many pipelines, with how many GPUs, and whether those may join that make the fixed picture to other bits.
    note : callable
        Is told which pipelines were refused or lost.
    waits : Waits

    Attributes
    ----------
    batch_size, width, height : int
        0 until a pipeline is loaded.
    lost : int
        Pipelines that were lost.
    """

    def __init__(
        self,
        cluster: Cluster,
        model: ModelSettings,
        place: Place,
        note: Callable[[str], None] = lambda _: None,
        waits: Waits = Waits(),
    ):
        self._actors = Actors(cluster, PipelineWorker)
        self._wanted, self._gpus = place.encoders, gpus_each(cluster, place, model.device)
        if self._gpus > 1:
            raise ImindexError(f"--gpus-per-encoder {self._gpus:g}: a pipeline takes at most one GPU.")
        self._model = on_device(model, self._gpus)
        self._allow_mixed, self._note, self._waits = place.allow_mixed, note, waits
        self._workers: dict[Seat, _Worker] = {}
        self._calls: dict[Call, _Attempt] = {}
        self._refused: dict[Seat, str] = {}
        self._failed_starts: Counter[Seat] = Counter()
        self._queue: deque[tuple[Shot, ...]] = deque()
        self._about: About | None = None
        self._loaded: Loaded | None = None
        self._asked_size: int | None = None
        self._is_open = False
        self._looked = self._alone_since = 0.0
        self._seats: list[Seat] = []
        self.batch_size = self.width = self.height = self.lost = 0

    def describe(self) -> ModelDescription:
        """Return what the first pipeline says of its model. The others must say the same.

        Raises
        ------
        ImindexError
            If no pipeline can be started, or the model cannot be used.
        """
        while self._about is None:
            for _ in self._step():
                pass
        return self._about.description

    def load(self, shots: Sequence[Shot], batch_size: int | None) -> str:
        """Load the model in every pipeline; return a note on long prompts once the first one is there.

        Raises
        ------
        ImindexError
            As `describe`, and if there is not enough memory for a batch, or a prompt is too long.
        """
        self.describe()
        self._asked_size, self._is_open = batch_size, True
        for worker in self._workers.values():
            if worker.stage == "described":
                self._load(worker)
        ready: list[_Worker] = []
        while not ready:
            for _ in self._step():
                pass
            ready = [worker for worker in self._workers.values() if worker.stage == "ready"]
        said = self._result(self._actors.call(ready[0].handle, "prompts", list(shots)))
        if isinstance(said, Failure):
            raise ImindexError(said.message)
        return str(said)

    def generate(self, shots: Sequence[Shot]) -> Iterator[tuple[Shot, PictureFile, str | None]]:
        """Make pictures; yield each as it comes back, in any order, with the reason if it is blocked.

        Raises
        ------
        ImindexError
            If a pipeline fails at a batch, or there is no pipeline left and none joins.
        """
        size = self.batch_size
        self._queue.extend(tuple(shots[i : i + size]) for i in range(0, len(shots), size))
        left = len(self._queue)
        while left:
            for job, pictures in self._step():
                left -= 1
                for shot, picture in zip(job, pictures, strict=True):
                    yield shot, picture.file, picture.blocked

    def close(self) -> None:
        """End all pipelines."""
        self._calls.clear()
        self._workers.clear()
        self._actors.close()

    def _step(self) -> Iterator[tuple[tuple[Shot, ...], list[Any]]]:
        """Look after the pipelines, hand out batches, and yield those that came back."""
        now = time.monotonic()
        if now - self._looked >= self._waits.look:
            self._looked = now
            self._look_after(now)
        self._hand_out()
        if not self._calls:
            time.sleep(min(0.2, self._waits.look))
            return
        for call in self._actors.wait(list(self._calls), min(1.0, self._waits.look)):
            attempt = self._calls.pop(call, None)
            if attempt is None:  # of a pipeline that was lost since
                continue
            worker = attempt.worker
            try:
                result = self._actors.result(call)
            except WorkerLost as lost:
                self._lose(worker, str(lost), attempt.job)
                continue
            except WorkerFailed as failed:
                raise ImindexError(
                    f"The pipeline on node {self._actors.name(worker.seat.node)} failed: {failed}. Pictures that were "
                    "finished before are kept."
                ) from failed
            worker.heard = time.monotonic()
            if attempt.what == "ping":
                worker.pinging = False
            elif attempt.what == "end":
                continue
            elif attempt.what == "about":
                self._described(worker, result)
            elif attempt.what == "load":
                self._admit(worker, result)
            else:
                worker.jobs.remove(attempt.job)
                worker.progress = worker.heard
                if isinstance(result, Failure):
                    raise ImindexError(result.message)
                yield attempt.job, result

    def _result(self, call: Call) -> Any:
        self._actors.wait([call], self._waits.start)
        try:
            return self._actors.result(call)
        except (WorkerLost, WorkerFailed) as error:
            raise ImindexError(f"A pipeline was lost: {error}. Run the same command again.") from error

    def _hand_out(self) -> None:
        while self._queue:
            free = [w for w in self._workers.values() if w.stage == "ready" and len(w.jobs) < _AHEAD]
            if not free:
                return
            worker = min(free, key=lambda w: (len(w.jobs), w.progress))
            job = self._queue.popleft()
            if not worker.jobs:
                worker.progress = time.monotonic()
            worker.jobs.append(job)
            self._call(worker, "make", list(job), job=job)

    def _call(self, worker: _Worker, what: str, *arguments: object, job: tuple[Shot, ...] = ()) -> None:
        self._calls[self._actors.call(worker.handle, what, *arguments)] = _Attempt(worker, what, job)

    # Pipelines

    def _look_after(self, now: float) -> None:
        """Start pipelines where there is room, ask for signs of life, and give up those that give none."""
        self._seats = self._actors.seats(self._wanted, self._gpus)
        for worker in list(self._workers.values()):
            if worker.seat not in self._seats:
                self._lose(worker, "its node is gone")
            elif worker.stage != "ready" and now - worker.since > self._waits.start:
                self._lose(worker, f"it was not ready within {self._waits.start:g} s")
            elif worker.stage == "ready" and now - worker.heard > self._waits.silence:
                self._lose(worker, f"it gave no sign of life for {self._waits.silence:g} s")
            elif worker.jobs and now - worker.progress > self._waits.batch:
                self._lose(worker, f"a batch took longer than {self._waits.batch:g} s")
        for seat in self._seats:
            if seat not in self._workers and seat not in self._refused:
                handle = self._actors.start(seat, self._model, seat.threads)
                worker = _Worker(seat, handle, now, now)
                self._workers[seat] = worker
                self._call(worker, "about")
        for worker in self._workers.values():
            if worker.stage == "ready" and not worker.pinging:
                worker.pinging = True
                self._call(worker, "ping")
        self._require_one(now)

    def _require_one(self, now: float) -> None:
        if self._workers:
            self._alone_since = 0.0
            return
        if self._seats and all(seat in self._refused for seat in self._seats):
            reasons = " ".join(dict.fromkeys(self._refused[seat] for seat in self._seats))
            raise ImindexError(f"No pipeline is left. {reasons} Finished pictures are kept.")
        self._alone_since = self._alone_since or now
        if now - self._alone_since > self._waits.empty:
            raise ImindexError(
                f"The cluster had no room for a pipeline for {self._waits.empty:g} s. Finished pictures are kept: run "
                "the same command again when it has free processors or GPUs."
            )

    def _described(self, worker: _Worker, about: About | Failure) -> None:
        if isinstance(about, Failure):
            self._refuse(worker, about.message)
            return
        if self._about is None:
            self._about = about
        elif differ := _differences(self._about, about):
            self._refuse(worker, f"it differs from the first pipeline: {'; '.join(differ)}")
            return
        worker.stage, worker.about = "described", about
        if self._is_open:
            self._load(worker)

    def _load(self, worker: _Worker) -> None:
        assert self._about is not None
        worker.stage = "loading"
        size = self._loaded.batch_size if self._loaded else self._asked_size
        self._call(worker, "load", size, self._about.description.manifest_fields())

    def _admit(self, worker: _Worker, loaded: Loaded | Failure) -> None:
        if isinstance(loaded, Failure):
            self._refuse(worker, loaded.message)
            return
        first = self._loaded
        if first is None:
            self._loaded = loaded
            self.batch_size, self.width, self.height = loaded.batch_size, loaded.width, loaded.height
        elif (loaded.batch_size, loaded.width, loaded.height) != (
            first.batch_size, first.width, first.height,
        ):  # fmt: skip
            self._refuse(worker, f"it makes {loaded.batch_size} pictures at a time, not {first.batch_size}")
            return
        elif loaded.probe != first.probe and not self._allow_mixed:
            self._refuse(
                worker,
                "it makes a fixed picture to other bits than the first pipeline. Use machines of one kind, or "
                "--allow-mixed",
            )
            return
        worker.stage = "ready"
        worker.heard = worker.progress = time.monotonic()
        self._failed_starts.pop(worker.seat, None)

    def _refuse(self, worker: _Worker, reason: str) -> None:
        text = (
            f"The pipeline on node {self._actors.name(worker.seat.node)} was refused: {reason.rstrip('.')}."
        )
        self._refused[worker.seat] = text
        self._note(text)
        self._forget(worker)

    def _lose(self, worker: _Worker, reason: str, job: tuple[Shot, ...] = ()) -> None:
        """Forget a pipeline, end it, and hand out again what it was making."""
        if self._workers.get(worker.seat) is not worker:
            return
        self.lost += 1
        self._note(
            f"The pipeline on node {self._actors.name(worker.seat.node)} was lost: {reason}. Its pictures are made "
            "again."
        )
        self._queue.extendleft(reversed(worker.jobs))
        if worker.stage != "ready":
            self._failed_starts[worker.seat] += 1
            if self._failed_starts[worker.seat] >= _MOST_STARTS:
                self._refused[worker.seat] = (
                    f"The pipeline on node {self._actors.name(worker.seat.node)} did not start: {reason}."
                )
        self._forget(worker)
        self._bury(worker)

    def _bury(self, lost: _Worker) -> None:
        """Make sure that a lost pipeline has ended: a stopped process ignores all but the kill of its own machine."""
        if lost.about is None or end_process(lost.about.pid, lost.about.identity):
            return
        for worker in self._workers.values():
            if worker.seat.node == lost.seat.node and worker.stage == "ready":
                self._call(worker, "end", lost.about.pid, lost.about.identity)
                return

    def _forget(self, worker: _Worker) -> None:
        self._workers.pop(worker.seat, None)
        for call in [call for call, attempt in self._calls.items() if attempt.worker is worker]:
            del self._calls[call]
        self._actors.kill(worker.handle)


@contextmanager
def pipelines_on_ray(
    place: Place, model: ModelSettings, note: Callable[[str], None] = lambda _: None
) -> Iterator[RayPipelines]:
    """Connect to a cluster, or start a private one, for the duration of a block, and yield its pipelines.

    Raises
    ------
    ImindexError
        As `imindex.indexer.runners.cluster.connect`, and if the cluster has too few GPUs.
    """
    with connect(place.address) as cluster:
        pipelines = RayPipelines(cluster, model, place, note)
        try:
            yield pipelines
        finally:
            pipelines.close()


def _differences(first: About, other: About) -> list[str]:
    """Return in what a pipeline differs from the first one."""
    pairs = [*zip(first.versions, other.versions, strict=True)]
    ours, theirs = first.description.to_dict(), other.description.to_dict()
    pairs += [(f"{key} {ours[key]}", f"{key} {theirs[key]}") for key in ours]
    return [f"{b[:120]}, not {a[:120]}" for a, b in pairs if a != b]
