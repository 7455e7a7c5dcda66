"""Run the application with uvicorn."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.serve.app import make_app
from imindex.retrieval.serve.connections import limit_stalls, of_uvicorn
from imindex.retrieval.serve.guard import is_loopback
from imindex.retrieval.serve.settings import Settings


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until the process is interrupted.

    Parameters
    ----------
    settings : Settings
    ready : callable
        Gets the URL once requests are answered.

    Raises
    ------
    ImindexError
        If an index or audit cannot be served, the address cannot be bound, or it needs a token.
    """
    if not is_loopback(settings.host) and not settings.token:
        raise ImindexError(
            f"{settings.host} can be reached from other machines, so a token is needed. Pass --token-file FILE, or set "
            "IMINDEX_TOKEN."
        )
    listener = _bound(settings.host, settings.port)
    try:
        app = make_app(settings)
        host, port = listener.getsockname()[:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            **of_uvicorn(),
        )
        _Server(config, lambda: ready(url)).run(sockets=[listener])
    finally:
        listener.close()


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        limit_stalls(listener)
        listener.bind(address)
    except OSError as error:
        raise ImindexError(
            f"The address {host}:{port} cannot be used: {error.strerror or error}. "
            "Pass another --port, or 0 for a free one."
        ) from error
    return listener
