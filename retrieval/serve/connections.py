"""Connections: how many at a time, and how long one may take to say what it wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from imindex.indexer.core.json_text import json_text

MOST = 1024
"""Most connections at a time, if the process may open as many files."""
HEAD_SECONDS = 15.0
"""Seconds for the head of a request, from the first connection on."""
STALL_SECONDS = 60.0
"""Seconds that a client may read nothing of an answer."""
_SPARE = 256
"""Files that are left for indexes, pictures and decoders."""


def most_connections() -> int:
    """Return how many connections this process may have; it asks the system for as many files as they need."""
    try:
        import resource
    except ImportError:  # not Unix
        return MOST
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
        return max(16, min(MOST, soft - _SPARE, soft // 2))
    return MOST


class Protocol(H11Protocol):
    """HTTP/1.1 on a connection that is closed if it is one too many, or does not send the head of a request in time.

    A connection that waits for its next request is closed by uvicorn itself (``timeout_keep_alive``).
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            self._refuse()
            return
        self._late = self.loop.call_later(HEAD_SECONDS, self._close)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        super().data_received(data)
        if not self._must_end() or self.transport.is_closing():
            self._in_time()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._in_time()
        super().connection_lost(exc)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _must_end(self) -> bool:
        """Return whether the head of a request has not ended, or a body that was answered already."""
        answered = self.cycle is not None and self.cycle.response_complete
        state = self.conn.their_state
        return state is h11.IDLE or (state is h11.SEND_BODY and answered)

    def _close(self) -> None:
        self._late = None
        if self._must_end():
            self.transport.close()

    def _refuse(self) -> None:
        error = f"There are {self.limit_concurrency} connections already. Close some, or ask again in some seconds."
        body = json_text({"error": error}).encode()
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
            f"Cache-Control: no-store\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def limit_stalls(listener: socket.socket) -> None:
    """Let the system end connections whose clients stop reading; Linux does, and others wait for them."""
    with contextlib.suppress(AttributeError, OSError):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * STALL_SECONDS))


def of_uvicorn() -> Mapping[str, Any]:
    """Return the settings of uvicorn for connections."""
    return {
        "http": Protocol,
        "ws": "none",
        "limit_concurrency": most_connections(),
        "timeout_keep_alive": 15,
        "timeout_graceful_shutdown": 10,
        "h11_max_incomplete_event_size": 512 * 1024,
    }
