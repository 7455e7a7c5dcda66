"""Calls to actors of a Ray cluster: `imindex.indexer.runners.calls` over many machines."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.runners.calls import TRIES, answer, make, state_bytes

_SECONDS = 1.0  # between looks for Ctrl-C
_START_SECONDS = 120.0


class RayCalls:
    """Calls to actors, one task each at a time. The same protocol as `imindex.indexer.runners.calls.Calls`.

    Ray never restarts an actor here: the task of a dead one goes to another actor, and a new one is made in its place
    if the cluster has room for it within two minutes. So a node may leave, and a new one is used when it joins.

    Parameters
    ----------
    ray : module
        Ray, connected to a cluster (`imindex.indexer.runners.cluster.connect`). Its nodes must have imindex, and must
        see the files that tasks name under the same paths.
    factory, payload, n_workers
        See `imindex.indexer.runners.calls.ProcessCalls`.
    cpus, gpus : float
        What an actor reserves. It uses as many threads as processors.
    """

    def __init__(
        self, ray: Any, factory: str, payload: Any, n_workers: int, *, cpus: float = 1, gpus: float = 0
    ):
        if n_workers < 1:
            raise ValueError(f"n_workers is {n_workers}. At least one worker is needed.")
        self.n_workers = n_workers
        self.state_bytes = state_bytes(n_workers, max(1, int(cpus)))
        self._ray = ray
        self._arguments = factory, ray.put(payload), max(1, int(cpus))
        self._actor = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0)(_Actor)
        self._actors = [self._begin() for _ in range(n_workers)]

    def _begin(self) -> Any:
        return self._actor.remote(*self._arguments)

    @property
    def actors(self) -> list[Any]:
        """Handles of the actors that are in use now."""
        return list(self._actors)

    def map(self, method: str, tasks: Iterable[Sequence[Any]], common: Any = None) -> Iterator[Any]:
        """See `imindex.indexer.runners.calls.Calls.map`."""
        ray, shared = self._ray, self._ray.put(common)
        failures = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.ObjectLostError,
        )
        waiting: list[tuple[int, Sequence[Any], int]] = []
        running: dict[Any, tuple[Any, int, Sequence[Any], int]] = {}
        results: dict[int, bytes] = {}
        idle, source = list(self._actors), enumerate(tasks)
        n_given, exhausted = 0, False
        try:
            while True:
                while idle:
                    if not waiting:
                        if exhausted or len(results) + len(running) >= 2 * self.n_workers:
                            break
                        following = next(source, None)
                        if following is None:
                            exhausted = True
                            break
                        waiting.append((*following, 0))
                    place, task, deaths = waiting.pop(0)
                    actor = idle.pop(0)
                    running[actor.call.remote(method, shared, tuple(task))] = actor, place, task, deaths
                while n_given in results:
                    returned, value = pickle.loads(results.pop(n_given))
                    if not returned:
                        raise value
                    n_given += 1
                    yield value
                if not running:
                    if exhausted and not waiting:
                        return
                    continue
                ready, _ = ray.wait(list(running), timeout=_SECONDS)
                for reference in ready:
                    actor, place, task, deaths = running.pop(reference)
                    try:
                        results[place] = ray.get(reference)
                        idle.append(actor)
                    except failures as error:
                        if deaths + 1 >= TRIES:
                            raise ImindexError(
                                f"{TRIES} actors of the Ray cluster ended during the same work "
                                f"({type(error).__name__}). Check the memory of its nodes, or use fewer workers "
                                "(--workers)."
                            ) from error
                        waiting.insert(0, (place, task, deaths + 1))
                        idle += self._replace(actor, others=len(running) + len(idle))
        except BaseException:
            self.close()
            raise

    def _replace(self, dead: Any, others: int) -> list[Any]:
        """Make an actor in the place of a dead one, and return it once it answers; nothing if others go on alone."""
        self._actors.remove(dead)
        new = self._begin()
        wait = _SECONDS if others else _START_SECONDS
        ready, _ = self._ray.wait([new.ready.remote()], timeout=wait)
        if not ready and others:
            self._ray.kill(new)
            return []
        self._actors.append(new)
        return [new]

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []


class _Actor:
    """A worker: makes its object when it is made, and answers calls."""

    def __init__(self, factory: str, payload: Any, threads: int):
        from imindex.indexer.system.cpu import use_processors

        self._made: Any = None
        self._failed: BaseException | None = None
        try:
            use_processors(threads)
            self._made = make(factory, payload)
        except Exception as error:
            self._failed = error

    def ready(self) -> bool:
        """Return once it was made."""
        return True

    def call(self, method: str, common: Any, task: Sequence[Any]) -> bytes:
        """Call a method."""
        return answer(self._made, self._failed, method, common, task)
