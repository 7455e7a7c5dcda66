"""Single objects over https, by the standard library, so that every hop of a request is checked.

Certificates are verified. A redirect leads to https only, and takes no credentials to another host. The address of a
host is checked before it is connected to: link-local addresses, where clouds answer with credentials of their machines,
are never contacted, and private ones only if the user named the host.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from imindex.indexer.core import addresses
from imindex.indexer.remote.address import Address, parse
from imindex.indexer.remote.base import Backend, Body, Condition
from imindex.indexer.remote.errors import Changed, Denied, Missing, RemoteError, Trouble
from imindex.indexer.remote.info import UNKNOWN, Info
from imindex.indexer.remote.retries import Policy

_CHUNK = 2**18
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LOOK_AGAIN = "was changed while it was read. Run this again."
_connections = threading.local()


class Web(Backend):
    """Pictures, manifests and other files of web servers. Folders cannot be listed, and nothing is written."""

    def head(self, address: Address) -> Info:
        answer = _request(address, "HEAD", {})
        with contextlib.closing(answer):
            return _info(address, answer, None)

    def request(self, address: Address, start: int, stop: int | None, expected: Info | None) -> Body:
        headers = {}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        if expected is not None and expected.etag and not expected.etag.startswith("W/"):
            headers["If-Match"] = expected.etag
        answer = _request(address, "GET", headers)
        try:
            info = _info(address, answer, "Range" in headers or None)
            if expected is not None and not info.is_same(expected):
                raise Changed(address.url, _LOOK_AGAIN)
            skipped, wanted = _to_skip(address, answer, start, stop)
        except BaseException:
            answer.close()
            raise
        return _WebBody(info, answer, skipped, wanted)

    def listing(self, address: Address) -> Iterator[Info]:
        raise RemoteError(
            address.url,
            "is a folder, and https has no listing of folders. Name its pictures in a manifest, one URL per row.",
        )

    def put(self, address: Address, source: bytes | Path, condition: Condition, token: str) -> str:
        raise RemoteError(address.url, "cannot be written over https. Write to s3, gs or az, or to a file.")


class _Answer:
    """The answer to a request, and the connection that it came by."""

    def __init__(
        self, response: http.client.HTTPResponse, connection: http.client.HTTPConnection, key: object
    ):
        self.response, self._connection, self._key = response, connection, key

    def header(self, name: str) -> str:
        return self.response.headers.get(name) or ""

    def close(self) -> None:
        """Keep the connection for the next request if the body was read to its end, and end it otherwise."""
        if self.response.isclosed() and not self.response.will_close:
            return
        _idle().pop(self._key, None)
        self._connection.close()


class _WebBody(Body):
    def __init__(self, info: Info, answer: _Answer, skipped: int, wanted: int | None):
        self.info = info
        self._answer, self._skipped, self._wanted = answer, skipped, wanted

    def __iter__(self) -> Iterator[bytes]:
        left, skip = self._wanted, self._skipped
        deadline = time.monotonic() + max(600.0, Policy.from_environment().timeout)
        while left is None or left > 0:
            if time.monotonic() > deadline:
                raise Trouble("no end of the answer in time")
            try:
                chunk = self._answer.response.read1(_CHUNK)
            except (http.client.HTTPException, OSError, ValueError) as error:
                problem = "no answer in time" if isinstance(error, TimeoutError) else "the connection was cut"
                break_off: Trouble | None = Trouble(problem)
            else:
                break_off = None
            if break_off is not None:
                raise break_off
            if not chunk:
                return
            if skip:
                dropped = min(skip, len(chunk))
                skip -= dropped
                chunk = chunk[dropped:]
            if left is not None:
                chunk = chunk[:left]
                left -= len(chunk)
            if chunk:
                yield chunk

    def close(self) -> None:
        self._answer.close()


def _to_skip(address: Address, answer: _Answer, start: int, stop: int | None) -> tuple[int, int | None]:
    """Return how many bytes of an answer come before the wanted ones, and how many are wanted (None: all)."""
    wanted = None if stop is None else stop - start
    if answer.response.status != 206:
        return start, wanted  # the server ignores ranges, and sends the whole object
    first = answer.header("Content-Range").removeprefix("bytes ").partition("-")[0]
    if first != str(start):
        raise Trouble("the server answered with another range")
    return 0, wanted


def _info(address: Address, answer: _Answer, ranged: bool | None) -> Info:
    """Return what the headers of an answer say of the whole object."""
    if (coding := answer.header("Content-Encoding").lower()) not in ("", "identity"):
        raise RemoteError(
            address.url,
            f"is sent compressed ({coding[:20]!r}) although that was not asked for. Use another URL.",
        )
    text = answer.header("Content-Length")
    if ranged and answer.response.status == 206:
        text = answer.header("Content-Range").rpartition("/")[2]
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else UNKNOWN
    chunked = "chunked" in answer.header("Transfer-Encoding").lower()
    if (
        size == UNKNOWN
        and not chunked
        and answer.response.status == 200
        and ranged is None
        and answer.response.length != 0
    ):
        raise RemoteError(
            address.url, "comes without its length, so that a cut would not be seen. Use another server."
        )
    try:
        modified = int(parsedate_to_datetime(answer.header("Last-Modified")).timestamp()) * 10**9
    except (TypeError, ValueError, OverflowError):
        modified = 0
    return Info(address.url, size, modified if 0 < modified < 2**63 else 0, answer.header("ETag"))


def _request(address: Address, method: str, headers: dict[str, str]) -> _Answer:
    """Send a request, follow redirects, and return an answer that is a success."""
    at, hops = address, 0
    while True:
        answer = _once(at, address, method, headers)
        status = answer.response.status
        if status in (200, 206):
            return answer
        place, wait = answer.header("Location"), _retry_after(answer.header("Retry-After"))
        answer.close()
        if status in _REDIRECTS and place:
            hops += 1
            if hops > _MOST_REDIRECTS:
                raise RemoteError(
                    address.url, f"redirects more than {_MOST_REDIRECTS} times. Use the last URL."
                )
            at = _redirected(address, at, place)
            continue
        raise _failure(address, status, wait)


def _redirected(address: Address, at: Address, place: str) -> Address:
    target = urljoin(at.url, place)
    parts = urlsplit(target)
    if parts.scheme == "http" and at.scheme == "http" and parts.hostname in _LOOPBACK:
        pass
    elif parts.scheme != "https":
        raise RemoteError(
            address.url, f"redirects to {parts.scheme or 'no'} instead of https. Use another URL."
        )
    there = parse(target)
    same = (there.scheme, there.place) == (at.scheme, at.place)
    # The server chose this query, so it is used for this request only; credentials of the user stay with their host.
    secret_query = parts.query if parse(target).url != target else ""
    return Address(
        there.url, there.scheme, there.place, there.key,
        at.user if same else "", at.password if same else "", secret_query or (at.query if same else ""),
    )  # fmt: skip


def _failure(address: Address, status: int, wait: float) -> Exception:
    if status in (401, 403, 407):
        return Denied(
            address.url, f"cannot be read: the server refuses access (HTTP {status}). Check the credentials."
        )
    if status in (404, 410):
        return Missing(address.url, f"does not exist (HTTP {status}). Check the URL.")
    if status == 412:
        return Changed(address.url, _LOOK_AGAIN)
    if status in _PASSING:
        return Trouble(f"HTTP {status}", wait)
    if status == 416:
        return RemoteError(address.url, "is shorter than the range that was to be read. Copy it again.")
    return RemoteError(address.url, f"cannot be read: HTTP {status}. Check the URL.")


def _retry_after(text: str) -> float:
    """Return the seconds of a header Retry-After; 0 if there is none."""
    if text.strip().isdecimal():
        return float(min(int(text.strip()[:9]), 10**6))
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else 0.0
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _once(at: Address, address: Address, method: str, headers: dict[str, str]) -> _Answer:
    """Send one request, by an idle connection if there is one."""
    target = "/" + at.key.removeprefix("/")
    if at.query:
        target = target.partition("?")[0] + "?" + at.query
    sent = {"Accept-Encoding": "identity", "User-Agent": "imindex", "Accept": "*/*", **headers}
    if at.user or at.password:
        sent["Authorization"] = "Basic " + base64.b64encode(f"{at.user}:{at.password}".encode()).decode()
    key = at.scheme, at.place, at.named
    for reused in (True, False):
        connection = _idle().pop(key, None)
        if connection is None:
            connection, reused = _connection(at, address), False
        failure: Exception
        try:
            connection.request(method, target, headers=sent)
            response = connection.getresponse()
        except ssl.SSLCertVerificationError:
            failure = RemoteError(
                address.url, "cannot be read: the certificate of its host is not valid. Check the URL."
            )
        except (http.client.HTTPException, OSError, ValueError) as error:
            connection.close()
            if reused:  # the server ended the idle connection
                continue
            failure = error if isinstance(error, RemoteError) else Trouble(_why(error))
        else:
            _idle()[key] = connection
            return _Answer(response, connection, key)
        break
    raise failure


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "its host is not known"
    if isinstance(error, ConnectionRefusedError):
        return "no connection"
    return "the connection was cut"


def _idle() -> dict[object, http.client.HTTPConnection]:
    """Return the connections of this thread that wait for their next request."""
    if not hasattr(_connections, "idle") or len(_connections.idle) > 32:
        _connections.idle = {}
    idle: dict[object, http.client.HTTPConnection] = _connections.idle
    return idle


def _connection(at: Address, address: Address) -> http.client.HTTPConnection:
    parts = urlsplit(f"{at.scheme}://{at.place}")
    host = parts.hostname or ""
    try:
        port = parts.port or (443 if at.scheme == "https" else 80)
    except ValueError:
        port = 0
    if not host or not port:
        raise RemoteError(address.url, "has no valid host. Check the URL.")
    if at.scheme == "http" and host not in _LOOPBACK:
        raise RemoteError(
            address.url, "is http, by which anybody on the way can change the picture. Write https."
        )
    timeout = Policy.from_environment().timeout
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
