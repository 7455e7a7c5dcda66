"""Workers on a Ray cluster: decoders on every machine, encoders where the GPUs are.

Ray starts the processes, carries the pixels, and tells what died. It restarts and repeats nothing: the dispatcher does.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.pool import Decoders
from imindex.indexer.encoders.lazy import LazyEncoder
from imindex.indexer.runners.base import Place, Sources
from imindex.indexer.runners.cluster import Cluster
from imindex.indexer.runners.dispatch import (
    Call,
    Dispatcher,
    Engine,
    Patience,
    Pixels,
    PixelsLost,
    Reference,
    Seat,
    WorkerLost,
)
from imindex.indexer.runners.workers import (
    DECODE,
    ENCODE,
    DecodeWorker,
    EncodeWorker,
    Entry,
    Failure,
    decoding_probe,
    encoder_digest,
    encoding_probe,
    probe_pictures,
    versions,
)

if TYPE_CHECKING:
    from imindex.indexer.encoders.base import Encoder

_MOST_THREADS = 8
"""Of one decoder: Python code of its threads takes turns."""
_NICENESS = 10
_STORE_SHARE = 0.4
"""Of the object stores' memory, for pixels on their way. An encoder's machine holds a second copy for a moment."""
_GET_SECONDS = 60.0


@dataclass(frozen=True)
class EncoderSettings:
    """How encoders are loaded, and how many.

    Attributes
    ----------
    load : callable
        Returns the encoder; it is sent to the workers.
    preprocess : mapping
    batch_size : int
    encoders : int or None
        None stands for one for each GPU or, without GPUs, for each machine.
    gpus : float
        GPUs of each encoder; 0 for encoders on processors.
    environment : mapping of str to str
        Environment variables of the encoders.
    """

    load: Callable[[], Encoder]
    preprocess: Mapping[str, Any]
    batch_size: int
    encoders: int | None = None
    gpus: float = 0
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Machine:
    """A node of a cluster: its identifier, processors and GPUs."""

    node: str
    cpus: int
    gpus: float


def plan(machines: Sequence[Machine], encoders: int | None, gpus: float) -> list[Seat]:
    """Return the seats of decoders and encoders.

    With GPUs, there are as many encoders as GPUs allow; a machine's other processors decode. Without, encoders share
    the processors of their machine, in equal parts, and decoding has the time that they leave.

    Parameters
    ----------
    machines : sequence of Machine
    encoders : int or None
        Over all machines; by default all that fit, or without GPUs one on each machine.
    gpus : float
        For each encoder.

    Examples
    --------
    >>> [(s.role, s.node, s.threads) for s in plan([Machine("a", 4, 0), Machine("b", 2, 0)], 3, 0)]
    [('encode', 'a', 2), ('encode', 'a', 2), ('encode', 'b', 2), ('decode', 'a', 4), ('decode', 'b', 2)]
    >>> [(s.role, s.node, s.gpus, s.cpus) for s in plan([Machine("a", 10, 2), Machine("b", 4, 0)], None, 1)]
    [('encode', 'a', 1, 1), ('encode', 'a', 1, 1), ('decode', 'a', 0, 8), ('decode', 'b', 0, 4)]
    """
    usable = sorted((m for m in machines if m.cpus >= 1), key=lambda m: m.node)
    room = {m.node: int(m.gpus / gpus + 1e-9) if gpus else m.cpus for m in usable}
    wanted = encoders if encoders is not None else sum(room.values()) if gpus else len(usable)
    count = dict.fromkeys(room, 0)
    for _ in range(wanted):  # the next one where it has the most room
        free = [m for m in usable if count[m.node] < room[m.node] or not gpus]
        if not free:
            break
        best = max(free, key=lambda m: (room[m.node] / (count[m.node] + 1), -usable.index(m)))
        count[best.node] += 1
    seats = []
    for m in usable:
        n = count[m.node]
        for number in range(n):
            threads = max(1, m.cpus // n)
            reserved = (1 if m.cpus > n else 0) if gpus else m.cpus / max(n, m.cpus) * threads
            seats.append(
                Seat(ENCODE, m.node, number, threads, gpus, min(reserved, m.cpus / n), shared=not gpus)
            )
    for m in usable:
        n = count[m.node]
        shared = bool(n) and not gpus
        left = m.cpus if shared else max(1, m.cpus - (n if m.cpus > n else 0))
        for number, start in enumerate(range(0, left, _MOST_THREADS)):
            threads = min(_MOST_THREADS, left - start)
            cpus = 0 if shared or m.cpus <= n else threads
            seats.append(Seat(DECODE, m.node, number, threads, 0, cpus, shared))
    return seats


class RayEngine(Engine):
    """Runs workers as actors of Ray Core.

    Parameters
    ----------
    cluster : Cluster
    settings : EncoderSettings
    limits : Limits
        Of decoding; the same on every machine.
    """

    def __init__(self, cluster: Cluster, settings: EncoderSettings, limits: Limits):
        self._cluster = cluster
        self._ray = cluster.ray
        self._settings = settings
        self._limits = limits
        self._known: Any = None
        self._looked: Any = None
        self._names: dict[str, str] = {}
        self._started: dict[int, Any] = {}
        self._classes = {
            DECODE: _actor_class(self._ray, DecodeWorker),
            ENCODE: _actor_class(self._ray, EncodeWorker),
        }

    def begin(self, sources: Sources) -> None:
        """Send the digests of the pictures that are known, to every machine."""
        self._known, self._looked = map(self._ray.put, sources.known.listed())

    def seats(self) -> list[Seat]:
        """Return where workers may run now."""
        machines = []
        for node in self._cluster.nodes():
            self._names[node["NodeID"]] = node["NodeManagerAddress"]
            resources = node["Resources"]
            machines.append(Machine(node["NodeID"], int(resources.get("CPU", 0)), resources.get("GPU", 0)))
        return plan(machines, self._settings.encoders, self._settings.gpus)

    def name(self, node: str) -> str:
        """Return the address of a machine."""
        return self._names.get(node, node)

    def start(self, seat: Seat) -> Any:
        """Start a worker on its machine, and nowhere else."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        settings = self._settings
        arguments: tuple[object, ...]
        if seat.role == DECODE:
            arguments = (
                dict(settings.preprocess),
                self._limits,
                seat.threads,
                _NICENESS if seat.shared else 0,
            )
        else:
            arguments = (settings.load, settings.batch_size, seat.threads if seat.shared else None)
        environment = dict(settings.environment or {}) if seat.role == ENCODE else {}
        handle = (
            self._classes[seat.role]
            .options(
                num_cpus=seat.cpus,
                num_gpus=seat.gpus,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=2 if seat.role == DECODE else 1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(seat.node, soft=False),
                **({"runtime_env": {"env_vars": environment}} if environment else {}),
            )
            .remote(*arguments)
        )
        self._started[id(handle)] = handle
        return handle

    def call(self, worker: Any, method: str, *arguments: object) -> Call:
        """Call a method."""
        reference: Call = getattr(worker, method).remote(*arguments)
        return reference

    def read(self, worker: Any, entries: Sequence[Entry]) -> tuple[Call, Pixels]:
        """Let a decoder read; the pixels stay in the object store of its machine."""
        outcomes, pixels = worker.read.options(num_returns=2).remote(list(entries), self._known, self._looked)
        return outcomes, pixels

    def encode(self, worker: Any, rows: Sequence[tuple[int, int]], chunks: Sequence[Pixels]) -> Call:
        """Let an encoder encode; Ray brings the pixels to its machine first."""
        reference: Call = worker.encode.remote(list(rows), *chunks)
        return reference

    def wait(self, calls: Sequence[Call], seconds: float) -> list[Call]:
        """Return finished calls."""
        if not calls:
            _sleep(seconds)
            return []
        ready, rest = self._ray.wait(list(calls), num_returns=1, timeout=seconds)
        if ready and rest:
            ready = [*ready, *self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]]
        return list(ready)

    def result(self, call: Call) -> Any:
        """Return a result, or tell what was lost."""
        from ray import exceptions

        try:
            return self._ray.get(call, timeout=_GET_SECONDS)
        except (
            exceptions.RayActorError,
            exceptions.WorkerCrashedError,
            exceptions.OutOfMemoryError,
        ) as error:
            raise WorkerLost(_reason(error)) from error
        except (exceptions.ObjectLostError, exceptions.ObjectFetchTimedOutError) as error:
            raise PixelsLost from error
        except exceptions.RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, (exceptions.ObjectLostError, exceptions.RayActorError)):
                raise PixelsLost from error
            return Failure(
                f"{type(cause).__name__}: {cause}" if cause else str(error).strip().splitlines()[-1]
            )
        except exceptions.RayError as error:
            raise WorkerLost(f"{type(error).__name__}") from error

    def kill(self, worker: Any) -> None:
        """End a worker."""
        self._started.pop(id(worker), None)
        with contextlib.suppress(Exception):
            self._ray.kill(worker, no_restart=True)

    def close(self) -> None:
        """End all workers, and release the digests."""
        for worker in list(self._started.values()):
            self.kill(worker)
        self._known = self._looked = None


def _actor_class(ray: Any, base: type) -> Any:
    """Return an actor class whose `ping` and `end` are not queued behind its work."""
    control = {name: ray.method(concurrency_group="control")(_calls(base, name)) for name in ("ping", "end")}
    return ray.remote(concurrency_groups={"control": 2})(type(f"Imindex{base.__name__}", (base,), control))


def _calls(base: type, name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any) -> Any:
        return getattr(base, name)(self, *arguments)

    method.__name__ = name
    return method


def _reason(error: BaseException) -> str:
    """Return why a worker ended, in one line without Ray's advice."""
    text = " ".join(str(error).split())
    for mark, reason in (
        ("node has died", "its node died"), ("node is dead", "its node died"),
        ("memory", "its machine ran out of memory"),
        ("ModuleNotFoundError", "imindex is not installed there in the same version"),
    ):  # fmt: skip
        if mark in text:
            return reason
    return "its process ended"


def _sleep(seconds: float) -> None:
    import time

    time.sleep(min(seconds, 1.0))


def gpus_each(cluster: Cluster, place: Place, device: str) -> float:
    """Return the GPUs of each encoder: as asked for or, by default, 1 where the cluster has GPUs.

    Raises
    ------
    ImindexError
        The cluster has fewer GPUs, or a device is named that only one machine can have.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ImindexError(
            f"--device {device} names devices of one machine. With --on ray, use auto, cpu or cuda, and "
            "--gpus-per-encoder."
        )
    there = cluster.gpus()
    if device == "cpu":
        return 0
    wanted = (
        place.gpus_per_encoder if place.gpus_per_encoder is not None else float(there > 0 or device == "cuda")
    )
    if wanted > there:
        raise ImindexError(
            f"Each encoder needs {wanted:g} GPUs, and the cluster has {there}. Add machines with GPUs, or use "
            "--device cpu."
        )
    if wanted > 1 and wanted != int(wanted):
        raise ImindexError(f"--gpus-per-encoder {wanted:g}: more than one GPU is a whole number of them.")
    return wanted


def load_on_worker(info: Any, gpus: float, batch_size: int, digest: str) -> Encoder:
    """Load, in a worker, the encoder that the driver has loaded."""
    from imindex.indexer.encoders.load import load_as

    device = ",".join(f"cuda:{n}" for n in range(int(gpus))) if gpus > 1 else "cuda" if gpus else "cpu"
    return load_as(info, device=device, batch_size=batch_size, trust=True)


@contextlib.contextmanager
def ray_runner(  # noqa: PLR0913
    cluster: Cluster,
    place: Place,
    encoder: LazyEncoder,
    limits: Limits,
    *,
    gpus: float = 0,
    load: Callable[[], Encoder] | None = None,
    environment: Mapping[str, str] | None = None,
    patience: Patience = Patience(),  # noqa: B008 - frozen
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[Dispatcher]:
    """Yield a runner that computes on a cluster; it ends with the block.

    Parameters
    ----------
    cluster : Cluster
    place : Place
    encoder : LazyEncoder
        The driver's, on its processor. If encoders are on processors too, its vectors are those that they have to
        give; if they are on GPUs, the first one that joins defines them.
    limits : Limits
    gpus : float
        GPUs of each encoder (`gpus_each`).
    load : callable, optional
        Loads the encoder in a worker; by default, as the driver did.
    environment : mapping, optional
        Environment variables of encoders.
    patience : Patience
    note : callable
        Is told which workers were refused or lost.
    """
    everywhere = replace(limits, decode_memory=limits.memory)
    size = functools.cache(lambda: encoder.batch_size)
    info = encoder.info
    settings = EncoderSettings(
        load or functools.partial(load_on_worker, info, gpus, size(), encoder_digest(info)),
        dict(info.preprocess),
        size(),
        place.encoders,
        gpus,
        environment,
    )

    def reference() -> Reference:
        files = probe_pictures()
        loaded = encoder.get()  # refuses an index whose settings are not those of its encoder
        with Decoders(everywhere) as decoders:
            decoding = decoding_probe(files, info.preprocess, decoders)
        return Reference(
            versions(),
            encoder_digest(loaded.info),
            decoding,
            "" if gpus else encoding_probe(loaded, size()),
            files,
            place.allow_mixed,
        )

    height, width = info.preprocess["size"]
    runner = Dispatcher(
        RayEngine(cluster, settings, everywhere),
        reference,
        size,
        patience=patience,
        most_held=max(64, int(_STORE_SHARE * _store_memory(cluster) / (3 * height * width))),
        note=note,
        allow_mixed=place.allow_mixed,
    )
    try:
        yield runner
    finally:
        runner.close()


def _store_memory(cluster: Cluster) -> float:
    """Return the memory of all object stores, as if each were as small as the smallest, in bytes."""
    stores = [node["Resources"].get("object_store_memory", 0) for node in cluster.nodes()]
    stores = [store for store in stores if store]
    return float(len(stores) * min(stores, default=2**30))
