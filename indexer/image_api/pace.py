"""How fast requests follow each other."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from imindex.indexer.image_api.settings import LONGEST_WAIT


class Pace:
    """The turns of requests, shared by the threads that send them.

    Parameters
    ----------
    per_minute : float
    clock : callable
        For tests.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic):
        self._interval, self._clock = 60.0 / per_minute, clock
        self._next = clock()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether no further request is sent."""
        return self._ended.is_set()

    def turn(self) -> bool:
        """Wait for the next turn; return whether there is one."""
        while not self._ended.is_set():
            with self._lock:
                wait = self._next - self._clock()
                if wait <= 0:
                    self._next = self._clock() + self._interval
                    return True
            self._ended.wait(min(wait, 1.0))
        return False

    def pause(self, seconds: float) -> None:
        """Send nothing for a while: the service asks for it."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)

    def wait(self, seconds: float) -> bool:
        """Wait before a further attempt; return whether it is to be made."""
        return not self._ended.wait(seconds)

    def end(self) -> None:
        """Send no further request."""
        self._ended.set()


def backoff(first: float, attempt: int) -> float:
    """Return the seconds to wait after attempt 1, 2, ...: twice as long each time, by chance up to half less."""
    return min(LONGEST_WAIT, first * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)
