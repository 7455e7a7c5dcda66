"""Connections that go to the address that was checked: public addresses only, except for hosts that the user
names.

httpx's own client is not used: it would follow `.netrc`, proxies of the environment and cookies. A proxy would also
resolve names by itself, and the addresses could not be checked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Collection, Iterable
from types import TracebackType

import httpcore
import httpx

from imindex.indexer.core import addresses
from imindex.indexer.fetch.outcome import Refusal


def is_public(address: str) -> bool:
    """Return whether an address is on the public internet, also where IPv6 carries an IPv4 address.

    Examples
    --------
    >>> [is_public(a) for a in ("93.184.216.34", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "100.64.0.1")]
    [True, False, False, False, False]
    """
    return addresses.is_public(ipaddress.ip_address(address.partition("%")[0]))


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolve a name once, check its addresses, and connect to one of them.

    Parameters
    ----------
    private_hosts : collection of str
        Hosts, as URLs name them, whose addresses need not be public.
    """

    def __init__(self, private_hosts: Collection[str] = ()):
        self._private_hosts = frozenset(host.lower() for host in private_hosts)
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a host.

        Raises
        ------
        Refusal
            If one of its addresses is not public.
        httpcore.ConnectError
            If the name is unknown, or no address answers.
        """
        numbers = await self._addresses(host, port)
        error: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in numbers:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name {host} is not known ({error})") from error
        numbers = list(dict.fromkeys(str(info[4][0]) for info in found))
        private = [address for address in numbers if not is_public(address)]
        if private and host.lower() not in self._private_hosts:
            which = host if host == private[0] else f"{host} is {private[0]}, which"
            raise Refusal(f"private address: {which} is not on the public internet")
        return numbers[:4]

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: AsyncIterator[bytes]):
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


class Connection(httpx.AsyncBaseTransport):
    """Sends requests over checked connections; certificates are verified."""

    def __init__(self, *, connections: int, private_hosts: Collection[str] = ()):
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=True),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=15.0,
            network_backend=CheckedBackend(private_hosts),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        response = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response.stream),  # type: ignore[arg-type]
        )

    async def __aenter__(self) -> Connection:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._pool.__aexit__(exc_type, exc_value, traceback)
