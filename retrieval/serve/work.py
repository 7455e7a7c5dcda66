"""Where requests compute: a few threads, and a queue of limited length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from imindex.retrieval.serve.problems import over_limit
from imindex.retrieval.serve.settings import Settings

T = TypeVar("T")


class Work:
    """Threads for searching, for decoding and thumbnails, and for what takes long, each apart from the others.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._search = ThreadPoolExecutor(settings.threads, "search")
        self._decode = ThreadPoolExecutor(max(2, settings.threads), "decode")
        self._slow = ThreadPoolExecutor(1, "slow")
        self.running = 0

    async def search(self, call: Callable[[], T]) -> T:
        """Run a search. Each takes one query: an exact search of few queries is slower in a batch."""
        return await asyncio.get_running_loop().run_in_executor(self._search, call)

    async def decode(self, call: Callable[[], T]) -> T:
        """Decode a picture, or make a thumbnail."""
        return await asyncio.get_running_loop().run_in_executor(self._decode, call)

    async def slow(self, call: Callable[[], T]) -> T:
        """Run what takes seconds to minutes, one at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._slow, call)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Take a place in the queue.

        Raises
        ------
        Problem
            429 if it is full.
        """
        most = self._settings.queue
        if self.running >= most:
            raise over_limit(
                429,
                f"{most:,} requests are waiting already. Ask again in a second.",
                "queue",
                most,
                retry_after=1,
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def in_time(
        self, answer: Awaitable[T], late: str = "There was no answer within {:g} s. The service is busy."
    ) -> T:
        """Wait for an answer as long as the settings allow.

        Parameters
        ----------
        answer : awaitable
        late : str
            What to say if it takes longer; ``{:g}`` stands for the seconds.

        Raises
        ------
        Problem
            503 if it takes longer.
        """
        seconds = self._settings.timeout
        try:
            return await asyncio.wait_for(answer, seconds)
        except asyncio.TimeoutError:
            raise over_limit(
                503,
                late.format(seconds),
                "timeout",
                seconds,
                retry_after=5,
            ) from None

    def close(self) -> None:
        """End the threads; what has not begun is dropped."""
        for pool in (self._search, self._decode, self._slow):
            pool.shutdown(wait=False, cancel_futures=True)
