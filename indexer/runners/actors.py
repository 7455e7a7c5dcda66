"""Workers of one kind as actors of Ray: where they run, how they are called, and what was lost.

Ray starts processes and carries arguments and results. It restarts and repeats nothing: who uses this does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imindex.indexer.runners.cluster import Cluster
from imindex.indexer.runners.dispatch import Seat, WorkerLost
from imindex.indexer.runners.ray import Machine, plan
from imindex.indexer.runners.workers import ENCODE

Call = Any
"""A result that is not there yet."""
Handle = Any
"""A worker."""


_LOOK_SECONDS = 120.0


class WorkerFailed(Exception):
    """A worker raised an exception that it should have handled."""


def all_see(cluster: Cluster, path: Path) -> bool:
    """Return whether every machine of a cluster that has processors sees the file that this process sees at a path."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = cluster.ray.remote(num_cpus=0, max_retries=0)(_inode)
    nodes = [node["NodeID"] for node in cluster.nodes() if node["Resources"].get("CPU", 0) >= 1]
    calls = [
        look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(str(path))
        for node in nodes
    ]
    try:
        found = cluster.ray.get(calls, timeout=_LOOK_SECONDS)
    except Exception:  # a machine that went away, or cannot run imindex
        return False
    return bool(found) and set(found) == {_inode(str(path))}


def _inode(path: str) -> tuple[int, int]:
    """Return the size and time of a file; (-1, -1) if it is not there."""
    try:
        status = Path(path).stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


class Actors:
    """Starts, calls and ends workers of one class, each on a machine that is named.

    Parameters
    ----------
    cluster : Cluster
    base : type
        A plain class. Its methods `ping` and `end` are answered while it works.
    """

    def __init__(self, cluster: Cluster, base: type):
        self._cluster, self._ray = cluster, cluster.ray
        names = ("ping", "end")
        control = {
            name: self._ray.method(concurrency_group="control")(_calling(base, name)) for name in names
        }
        kind = type(f"Imindex{base.__name__}", (base,), control)
        self._class = self._ray.remote(concurrency_groups={"control": 2})(kind)
        self._alive: dict[int, Handle] = {}
        self._names: dict[str, str] = {}

    def seats(self, workers: int | None, gpus: float) -> list[Seat]:
        """Return where workers may run now: as encoders do (`imindex.indexer.runners.ray.plan`).

        Parameters
        ----------
        workers : int or None
            Over all machines; None is one for each GPU or, without GPUs, for each machine.
        gpus : float
            For each worker.
        """
        machines = []
        for node in self._cluster.nodes():
            self._names[node["NodeID"]] = node["NodeManagerAddress"]
            resources = node["Resources"]
            machines.append(Machine(node["NodeID"], int(resources.get("CPU", 0)), resources.get("GPU", 0)))
        return [seat for seat in plan(machines, workers, gpus) if seat.role == ENCODE]

    def name(self, node: str) -> str:
        """Return the address of a machine."""
        return self._names.get(node, node)

    def start(self, seat: Seat, *arguments: object) -> Handle:
        """Start a worker in a seat, and nowhere else."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        handle = self._class.options(
            num_cpus=seat.cpus,
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
