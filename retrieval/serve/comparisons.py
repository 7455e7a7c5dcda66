"""Comparisons of releases, which take longer than a request may: each is computed once, and its answer is kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

from imindex.retrieval.serve.problems import Problem

KEPT = 8
"""Answers that are kept, and most comparisons that are computed or wait at a time."""
_AFTER = 5
"""Seconds after which a client may ask again for one that there was no place for."""


class Comparisons:
    """The answers by what decides them. A request that gives up does not end the computation."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, asyncio.Task[bytes]] = OrderedDict()

    def of(self, key: Hashable, compute: Callable[[], Coroutine[Any, Any, bytes]]) -> asyncio.Task[bytes]:
        """Return the task that computes an answer, or has computed it; it is started if there is none.

        Parameters
        ----------
        key : hashable
            Everything on which the answer depends.
        compute : callable
            Returns a coroutine, which is awaited only if there is no such task.

        Raises
        ------
        Problem
            429 if too many are being computed already.
        """
        task = self._made.get(key)
        if task is not None and not _failed(task):
            self._made.move_to_end(key)
            return task
        running = [other for other, task in self._made.items() if not task.done()]
        if len(running) >= KEPT:
            raise Problem(
                429,
                f"{len(running)} comparisons are being computed already. Ask again in some seconds.",
                retry_after=_AFTER,
            )
        self._made[key] = task = asyncio.ensure_future(compute())
        task.add_done_callback(_failed)  # so that nobody is told of an error that nobody waits for
        self._made.move_to_end(key)
        done = [other for other, one in self._made.items() if one.done()]
        for other in done[: max(0, len(self._made) - KEPT)]:
            del self._made[other]
        return task


def _failed(task: asyncio.Task[bytes]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
