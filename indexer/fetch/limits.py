"""How fast, how long and how much: per host, per picture, and together."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from imindex.indexer.fetch.outcome import Transient

BACKOFF = 60.0
"""The longest wait that is not asked for by the host, in seconds."""
MOST_FAULTS = 10
"""Requests in a row without an answer, after which a host is left to a later run."""


@dataclass(frozen=True)
class FetchSettings:
    """The limits of a run, and who asks whom.

    Attributes
    ----------
    rate : float
        Requests per second to one host, robots.txt and retries included.
    per_host : int
        Connections to one host.
    connections : int
        Connections altogether.
    retries : int
        Further attempts after a fault that may pass.
    timeout : float
        Seconds for one request, from the connection to the last byte.
    max_size : int
        Bytes of one picture. At most `connections` pictures are in memory at a time.
    longest_wait : float
        Seconds. A host that asks for a longer pause (Retry-After, Crawl-delay) is left to a later run.
    max_redirects : int
    contact : str
        An e-mail address or URL of the user, for the User-Agent.
    private_hosts : tuple of str
        Hosts whose addresses need not be on the public internet.
    """

    rate: float = 1.0
    per_host: int = 2
    connections: int = 16
    retries: int = 3
    timeout: float = 120.0
    max_size: int = 64 * 2**20
    longest_wait: float = 120.0
    max_redirects: int = 10
    contact: str = ""
    private_hosts: tuple[str, ...] = ()


class Turns:
    """The turns of requests to one host: at least `interval` seconds between the starts of two of them.

    Parameters
    ----------
    interval : float
        Seconds. It may grow: the host may ask for more in its robots.txt.
    per_host : int
        Requests at a time.
    together : asyncio.Semaphore
        The requests to all hosts.
    clock, sleep : callable
        For tests.

    Attributes
    ----------
    closed : str
        Why nothing more is asked of the host in this run; empty if it is asked.
    """

    def __init__(
        self,
        interval: float,
        per_host: int,
        together: asyncio.Semaphore,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ):
        self.interval, self.closed = interval, ""
        self._slots, self._together = asyncio.Semaphore(per_host), together
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self._faults = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold one of the connections during the block.

        Raises
        ------
        Transient
            If nothing more is asked of the host.
        """
        async with self._slots:
            while True:
                if self.closed:
                    raise Transient(self.closed, again=False)
                if (wait := self._next - self._clock()) > 0:
                    await self._sleep(wait)
                    continue
                async with self._together:
                    if self._next > self._clock() or self.closed:
                        continue
                    self._next = self._clock() + self.interval
                    yield
                    return

    def pause(self, seconds: float) -> None:
        """Ask nothing of the host for a while."""
        self._next = max(self._next, self._clock() + seconds)

    def note(self, *, answered: bool) -> None:
        """Note whether the host answered; after `MOST_FAULTS` faults in a row, it is asked no more in this run."""
        self._faults = 0 if answered else self._faults + 1
        if self._faults >= MOST_FAULTS:
            self.closed = f"the host did not answer {MOST_FAULTS} times in a row"


def retry_after(value: str | None, now: datetime.datetime) -> float | None:
    """Return the seconds that a header `Retry-After` asks for; None if it is missing or cannot be read.

    Examples
    --------
    >>> now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    >>> retry_after("7", now), retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now), retry_after("soon", now)
    (7.0, 60.0, None)
    """
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal() and value.isascii():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, (date - now).total_seconds())


def backoff(attempt: int) -> float:
    """Return the seconds to wait before attempt 1, 2, ... after the first."""
    return min(BACKOFF, 2.0 ** (attempt - 1))
