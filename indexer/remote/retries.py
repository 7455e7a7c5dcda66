"""Attempts: exponential back-off with a bound, and what counts as progress."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.remote.errors import RemoteError, Trouble

TIMEOUT = "IMINDEX_REMOTE_TIMEOUT"
"""Environment variable: seconds without an answer, or without a byte, after which a request has failed."""
ATTEMPTS = "IMINDEX_REMOTE_ATTEMPTS"
"""Environment variable: the number of attempts per request."""
BACKOFF = "IMINDEX_REMOTE_BACKOFF"
"""Environment variable: seconds to wait before the second attempt. Each further one waits twice as long."""
_of_thread = threading.local()
_LONGEST = 20.0
_LONGEST_ASKED = 60.0
PROGRESS = 2**22
"""Bytes after which a cut connection does not count as a failed attempt."""


@dataclass(frozen=True)
class Policy:
    """Time-outs and attempts.

    Attributes
    ----------
    timeout : float
        Seconds.
    attempts : int
    backoff : float
        Seconds before the second attempt.
    """

    timeout: float = 30.0
    attempts: int = 6
    backoff: float = 0.25

    @classmethod
    def from_environment(cls) -> Policy:
        """Return the policy that the environment sets.

        Raises
        ------
        ImindexError
            If a setting is not a number in its range.
        """
        default = cls()
        return cls(
            _number(TIMEOUT, default.timeout, 0.05, 3600),
            int(_number(ATTEMPTS, default.attempts, 1, 100)),
            _number(BACKOFF, default.backoff, 0, 60),
        )


def _number(name: str, default: float, low: float, high: float) -> float:
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ImindexError(f"{name} is {text!r}. Set it to a number from {low:g} to {high:g}.")
    return value


def end_with(event: threading.Event) -> None:
    """Let the requests of this thread make no further attempts once an event is set."""
    _of_thread.ended = event


class Attempts:
    """The attempts of one request. `failed` waits before the next one, or raises an error after the last.

    Parameters
    ----------
    url : str
        For the error.
    """

    def __init__(self, url: str):
        self._url = url
        self._policy = Policy.from_environment()
        self._ended: threading.Event = getattr(_of_thread, "ended", None) or threading.Event()
        self._made = 0
        self._at = 0
        self.total = 0

    def failed(self, trouble: Trouble, done: int = 0) -> None:
        """Note a failed attempt.

        Parameters
        ----------
        trouble : Trouble
        done : int
            Bytes that were read so far. Where they are `PROGRESS` more than at the last failure, attempts are counted
            from one again.

        Raises
        ------
        RemoteError
            After the last attempt.
        """
        if done - self._at >= PROGRESS:
            self._made = 0
        self._at = done
        self._made += 1
        self.total += 1
        if self._made >= self._policy.attempts:
            times = f"{self._made} attempts" if self._made > 1 else "1 attempt"
            raise RemoteError(
                self._url,
                f"cannot be reached: {trouble.problem} ({times}). Check the network and the store, "
                "then run this again.",
            )
        wait = min(_LONGEST, self._policy.backoff * 2 ** (self._made - 1)) * random.uniform(0.5, 1.0)
        if self._ended.wait(max(wait, min(trouble.wait, _LONGEST_ASKED))):
            raise RemoteError(self._url, "was not read: the command has ended.")
