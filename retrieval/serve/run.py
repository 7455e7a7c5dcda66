"""Run the application with uvicorn."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.serve.app import make_app
from imindex.retrieval.serve.settings import Settings


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until the process is interrupted.

    Parameters
    ----------
    settings : Settings
    ready : callable
        Gets the URL once the address is bound.

    Raises
    ------
    ImindexError
        If an index or audit cannot be served, or the address cannot be bound.
    """
    app = make_app(settings)
    listener = _bound(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ImindexError(
            f"The address {host}:{port} cannot be used: {error.strerror or error}. "
            "Pass another --port, or 0 for a free one."
        ) from error
    return listener
