"""Connections to web servers whose addresses were checked, by the standard library.

Certificates are verified. Link-local addresses, where clouds answer with credentials of their machines, are never
contacted, and private ones only if the user named the host.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import socket
import ssl
from functools import lru_cache
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from imindex.indexer.core import addresses
from imindex.indexer.remote.address import Address
from imindex.indexer.remote.errors import RemoteError, Trouble

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that may be contacted by http."""


def connect(at: Address, address: Address, timeout: float) -> http.client.HTTPConnection:
    """Return a connection to the host of a URL, which is made at the first request.

    Parameters
    ----------
    at : Address
        Where the request goes: the URL, or a redirect of it.
    address : Address
        The URL that the user or a manifest names, for messages.
    timeout : float
        Seconds without an answer, or without a byte.

    Raises
    ------
    RemoteError
        If the host must not be contacted, or the URL is http and not of this machine.
    Trouble
        If the host is not known.
    """
    parts = urlsplit(f"{at.scheme}://{at.place}")
    host = parts.hostname or ""
    try:
        port = parts.port or (443 if at.scheme == "https" else 80)
    except ValueError:
        port = 0
    if not host or not port:
        raise RemoteError(address.url, "has no valid host. Check the URL.")
    if at.scheme == "http" and host not in LOOPBACK:
        raise RemoteError(
            address.url, "is http, by which anybody on the way can change the picture. Write https."
        )
    proxy = urlsplit(getproxies().get(at.scheme, "")) if not proxy_bypass(host) else None
    if proxy is not None and proxy.hostname:
        _refuse_literal(at, address, host)
        return _through_proxy(
            at, host, port, proxy.hostname, proxy.port or 80, (proxy.username, proxy.password), timeout
        )
    number = _checked_address(at, address, host, port)
    if at.scheme == "http":
        return _Plain(host, port, number, timeout)
    return _Secure(host, port, number, timeout)


def _through_proxy(
    at: Address,
    host: str,
    port: int,
    proxy: str,
    proxy_port: int,
    login: tuple[str | None, str | None],
    timeout: float,
) -> http.client.HTTPConnection:
    """Return a connection through the proxy that the environment names. The proxy resolves the host."""
    headers = {}
    if login[0]:
        text = f"{unquote(login[0])}:{unquote(login[1] or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(text.encode()).decode()
    connection: http.client.HTTPConnection
    if at.scheme == "https":
        connection = http.client.HTTPSConnection(proxy, proxy_port, timeout=timeout, context=_tls())
    else:
        connection = http.client.HTTPConnection(proxy, proxy_port, timeout=timeout)
    connection.set_tunnel(host, port, headers)
    return connection


def _refuse_literal(at: Address, address: Address, host: str) -> None:
    """Refuse a host that a proxy would take for an address of its own network: a number in any form, or `localhost`."""
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        host = "127.0.0.1"
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    for entry in found:
        _refuse(at, address, ipaddress.ip_address(str(entry[4][0]).partition("%")[0]))


def _checked_address(at: Address, address: Address, host: str, port: int) -> str:
    """Return an address of a host after a check of all of them, so that no other one is connected to."""
    failure: Trouble
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        failure = Trouble("its host is not known")
    else:
        numbers = [str(entry[4][0]) for entry in found]
        for number in numbers:
            _refuse(at, address, ipaddress.ip_address(number.partition("%")[0]))
        return numbers[0]
    raise failure


def _refuse(at: Address, address: Address, number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Refuse addresses that a manifest must not make this machine contact."""
    is_public, number = addresses.is_public(number), addresses.reached(number)
    metadata = {ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")}
    if number.is_link_local or number.is_multicast or number.is_unspecified or number in metadata:
        raise RemoteError(
            address.url,
            "leads to a link-local address, where clouds hand out credentials of their machines. It is not read.",
        )
    if not is_public and not at.named:
        raise RemoteError(
            address.url,
            f"leads to {at.place}, which is in a private network. If you trust it, name it: --root NAME={at.scheme}://{at.place}/",
        )


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Plain(http.client.HTTPConnection):
    """A connection to an address that was checked."""

    def __init__(self, host: str, port: int, number: str, timeout: float):
        super().__init__(host, port, timeout=timeout)
        self._number = number

    def connect(self) -> None:
        self.sock = socket.create_connection((self._number, self.port), self.timeout)


class _Secure(http.client.HTTPSConnection):
    """A connection to an address that was checked; the certificate is checked for the name of the host."""

    def __init__(self, host: str, port: int, number: str, timeout: float):
        super().__init__(host, port, timeout=timeout, context=_tls())
        self._number = number

    def connect(self) -> None:
        plain = socket.create_connection((self._number, self.port), self.timeout)
        try:
            self.sock = _tls().wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def why(error: Exception) -> str:
    """Say in words of imindex what ended a connection."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "its host is not known"
    if isinstance(error, ConnectionRefusedError):
        return "no connection"
    return "the connection was cut"
