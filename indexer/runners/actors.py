"""Workers of one kind as actors of Ray: where they run, how they are called, and what was lost.

Ray starts processes and carries arguments and results. It restarts and repeats nothing: who uses this does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.runners.cluster import Cluster

Call = Any
"""A result that is not there yet."""
Handle = Any
"""A worker."""


class WorkerLost(Exception):
    """A worker has ended, or its machine has."""


class WorkerFailed(Exception):
    """A worker raised an exception that it should have handled."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for a worker.

    Attributes
    ----------
    node : str
        Identifier of the machine.
    number : int
        Counts the workers of a machine.
    threads : int
        Processors that the worker may use.
    gpus : float
    """

    node: str
    number: int
    threads: int
    gpus: float


def seats_on(nodes: Sequence[Mapping[str, Any]], workers: int | None, gpus: float) -> list[Seat]:
    """Return the seats of workers on the machines of a cluster, in the order of the machines' identifiers.

    Parameters
    ----------
    nodes : sequence of mapping
        As `Cluster.nodes` returns them.
    workers : int or None
        Over all machines; None is one for each GPU (or as many as fit) or, without GPUs, one for each machine.
    gpus : float
        For each worker.

    Examples
    --------
    >>> nodes = [{"NodeID": name, "Resources": {"CPU": 4, "GPU": n}} for name, n in (("a", 2), ("b", 0))]
    >>> [(seat.node, seat.threads, seat.gpus) for seat in seats_on(nodes, None, 1)]
    [('a', 2, 1), ('a', 2, 1)]
    >>> [(seat.node, seat.threads, seat.gpus) for seat in seats_on(nodes, 3, 0)]
    [('a', 2, 0), ('a', 2, 0), ('b', 4, 0)]
    """
    cpus = {str(node["NodeID"]): int(node["Resources"].get("CPU", 0)) for node in nodes}
    there = {str(node["NodeID"]): float(node["Resources"].get("GPU", 0)) for node in nodes}
    usable = sorted(name for name, n in cpus.items() if n >= 1)
    room = {name: int(there[name] / gpus + 1e-9) if gpus else cpus[name] for name in usable}
    wanted = workers if workers is not None else sum(room.values()) if gpus else len(usable)
    count = dict.fromkeys(usable, 0)
    for _ in range(wanted):
        free = [name for name in usable if count[name] < room[name]]
        if not free:
            break
        best = max(free, key=lambda name: (room[name] / (count[name] + 1), -usable.index(name)))
        count[best] += 1
    return [
        Seat(name, number, max(1, cpus[name] // n), gpus) for name, n in count.items() for number in range(n)
    ]


def gpus_for_each(cluster: Cluster, wanted: float | None, device: str) -> float:
    """Return the GPUs of each worker: as wanted or, by default, 1 where the cluster has GPUs.

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
    if device == "cpu":
        return 0
    there = cluster.gpus()
    each = wanted if wanted is not None else float(there > 0 or device == "cuda")
    if each > there:
        raise ImindexError(
            f"Each worker needs {each:g} GPUs, and the cluster has {there}. Add machines with GPUs, or use "
            "--device cpu."
        )
    if each > 1:
        raise ImindexError(f"--gpus-per-encoder {each:g}: a pipeline takes at most one GPU.")
    return each


class Actors:
    """Starts, calls and ends workers of one class, each on a machine that is named.

    Parameters
    ----------
    cluster : Cluster
    base : type
        A plain class. Its method `ping` is answered while it works.
    """

    def __init__(self, cluster: Cluster, base: type):
        self._cluster, self._ray = cluster, cluster.ray
        control = {"ping": self._ray.method(concurrency_group="control")(_calling(base, "ping"))}
        kind = type(f"Imindex{base.__name__}", (base,), control)
        self._class = self._ray.remote(concurrency_groups={"control": 1})(kind)
        self._alive: dict[int, Handle] = {}
        self._names: dict[str, str] = {}

    def seats(self, workers: int | None, gpus: float) -> list[Seat]:
        """Return where workers may run now."""
        nodes = self._cluster.nodes()
        self._names.update({node["NodeID"]: node["NodeManagerAddress"] for node in nodes})
        return seats_on(nodes, workers, gpus)

    def name(self, node: str) -> str:
        """Return the address of a machine."""
        return self._names.get(node, node)

    def start(self, seat: Seat, *arguments: object) -> Handle:
        """Start a worker in a seat, and nowhere else."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        handle = self._class.options(
            num_cpus=seat.threads if not seat.gpus else 1,
            num_gpus=seat.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(seat.node, soft=False),
        ).remote(*arguments)
        self._alive[id(handle)] = handle
        return handle

    def call(self, worker: Handle, method: str, *arguments: object) -> Call:
        """Call a method of a worker."""
        reference: Call = getattr(worker, method).remote(*arguments)
        return reference

    def wait(self, calls: Sequence[Call], seconds: float) -> list[Call]:
        """Return the calls that have ended; wait for the first one."""
        ready, rest = self._ray.wait(list(calls), num_returns=1, timeout=seconds)
        if ready and rest:
            ready = [*ready, *self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]]
        return list(ready)

    def result(self, call: Call) -> Any:
        """Return the result of a call that has ended.

        Raises
        ------
        WorkerLost
            If the worker has ended, or its result is lost.
        WorkerFailed
            If it raised an exception.
        """
        from ray import exceptions

        try:
            return self._ray.get(call, timeout=60)
        except exceptions.RayTaskError as error:
            cause = getattr(error, "cause", None)
            text = f"{type(cause).__name__}: {cause}" if cause else str(error).strip().splitlines()[-1]
            raise WorkerFailed(text) from error
        except exceptions.RayError as error:
            text = " ".join(str(error).split())
            raise WorkerLost(
                "its node died" if "node" in text and "di" in text else "its process ended"
            ) from error

    def kill(self, worker: Handle) -> None:
        """End a worker."""
        self._alive.pop(id(worker), None)
        with contextlib.suppress(Exception):
            self._ray.kill(worker, no_restart=True)

    def close(self) -> None:
        """End all workers."""
        for worker in list(self._alive.values()):
            self.kill(worker)


def _calling(base: type, name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any) -> Any:
        return getattr(base, name)(self, *arguments)

    method.__name__ = name
    return method
