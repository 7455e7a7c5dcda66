"""Single objects over https, by the standard library, so that every hop of a request is checked.

Certificates are verified. A redirect leads to https only, and takes no credentials to another host. The address of a
host is checked before it is connected to: link-local addresses, where clouds answer with credentials of their machines,
are never contacted, and private ones only if the user named the host.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from imindex.indexer.remote.address import Address, parse
from imindex.indexer.remote.base import Backend, Body, Condition
from imindex.indexer.remote.connection import LOOPBACK, connect, why
from imindex.indexer.remote.errors import Changed, Denied, Missing, RemoteError, Trouble
from imindex.indexer.remote.info import UNKNOWN, Info
from imindex.indexer.remote.retries import Policy

_CHUNK = 2**18
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
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
    if parts.scheme == "http" and at.scheme == "http" and parts.hostname in LOOPBACK:
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
            connection, reused = connect(at, address, Policy.from_environment().timeout), False
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
            failure = error if isinstance(error, RemoteError) else Trouble(why(error))
        else:
            _idle()[key] = connection
            return _Answer(response, connection, key)
        break
    raise failure


def _idle() -> dict[object, http.client.HTTPConnection]:
    """Return the connections of this thread that wait for their next request."""
    if not hasattr(_connections, "idle") or len(_connections.idle) > 32:
        _connections.idle = {}
    idle: dict[object, http.client.HTTPConnection] = _connections.idle
    return idle
