"""One request to an image API, and its answer: limited in time and size, and sent at most once."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import json_text
from imindex.indexer.core.provenance import program
from imindex.indexer.core.secrets import split_secrets, without_secrets
from imindex.indexer.fetch.limits import retry_after
from imindex.indexer.generate.prompts import Shot
from imindex.indexer.image_api.settings import ApiSettings, Asking
from imindex.indexer.remote.address import Address, parse
from imindex.indexer.remote.connection import connect, why
from imindex.indexer.remote.errors import RemoteError, Trouble

_CHUNK = 2**18
SEEDS = 2**31
"""Seeds are sent modulo this: many services take 31 bits."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes
    ----------
    status : int
        Of HTTP; 0 if there was no whole answer.
    body : bytes
    problem : str
        Why there was no whole answer.
    wait : float
        Seconds that the service asks to wait.
    again : bool
        Whether a further attempt may succeed where there was no whole answer.
    request_id : str
        By which the service names the request.
    moved_to : str
        Where a redirect leads, without secrets; it is not followed.
    """

    status: int
    body: bytes = b""
    problem: str = ""
    wait: float = 0.0
    again: bool = True
    request_id: str = ""
    moved_to: str = ""


def body_of(shot: Shot, settings: ApiSettings) -> bytes:
    """Return the body of the request for a picture."""
    asked: Mapping[str, str | int] = {
        "model": settings.model,
        "prompt": shot.prompt,
        "n": 1,
        **({"size": _size(settings.size)} if settings.size else {}),
        **({"response_format": settings.response_format} if settings.response_format else {}),
        **({"seed": shot.seed % SEEDS} if settings.send_seeds else {}),
    }
    return json_text(asked).encode()


def _size(size: str) -> str:
    return f"{size}x{size}" if size.isdecimal() else size


class Client:
    """Asks an API. The key is held in memory only.

    Parameters
    ----------
    settings : ApiSettings
    asking : Asking

    Raises
    ------
    ImindexError
        If the environment variable of the key is not set.
    """

    def __init__(self, settings: ApiSettings, asking: Asking):
        self._address = parse(settings.api)
        self._asking = asking
        key = settings.key()
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            **({"Authorization": f"Bearer {key}"} if key else {}),
        }

    def ask(self, body: bytes) -> Answer:
        """Send one request, once, by a connection of its own, and return what came back; never raises for a fault."""
        return self._send(self._address, "POST", self._headers, body)

    def download(self, url: str) -> Answer:
        """Download a picture from the URL of an answer, without the key.

        The host may be another one, but then it must be on the public internet and its URL https.
        """
        split = split_secrets(url)
        try:
            there = parse(split.public)
            if there.scheme not in ("http", "https"):
                raise RemoteError(split.public, "is not a URL of the web.")
            parts = urlsplit(split.public)
            there = Address(there.url, there.scheme, parts.netloc.lower(), there.key, query=split.query)
            if there.scheme == "http" and there.place != self._address.place:
                raise RemoteError(there.url, "is http, by which anybody on the way can change the picture.")
        except (ImindexError, ValueError) as error:
            return Answer(0, problem=without_secrets(str(error)), again=False)
        return self._send(there, "GET", {"Accept": "image/*,*/*;q=0.1"}, None)

    def _send(self, at: Address, method: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        target = "/" + at.key.removeprefix("/")
        if at.query:
            target = target.partition("?")[0] + "?" + at.query
        sent = {"Accept-Encoding": "identity", "User-Agent": program().replace(" ", "/", 1), **headers}
        connection: http.client.HTTPConnection | None = None
        late = threading.Event()
        deadline = time.monotonic() + self._asking.timeout
        try:
            connection = connect(at, at, self._asking.timeout)
            connection.connect()
            with _ended_at(connection.sock, deadline, late):
                connection.request(method, target, body=body, headers=sent)
                response = connection.getresponse()
                return self._read(at, response, deadline)
        except ssl.SSLCertVerificationError:
            return Answer(0, problem="the certificate of the host is not valid", again=False)
        except RemoteError as error:
            return Answer(0, problem=str(error), again=False)
        except Trouble as trouble:
            return Answer(0, problem=trouble.problem)
        except (http.client.HTTPException, OSError, ValueError) as error:
            return Answer(0, problem=_LATE if late.is_set() else why(error))
        finally:
            if connection is not None:
                connection.close()

    def _read(self, at: Address, response: http.client.HTTPResponse, deadline: float) -> Answer:
        headers = response.headers
        coding = (headers.get("Content-Encoding") or "").strip().lower()
        if coding not in ("", "identity"):
            return Answer(0, problem=f"the answer is compressed ({coding[:20]!r}), which was not asked for")
        most, parts, size = self._asking.max_bytes, [], 0
        while chunk := response.read1(min(_CHUNK, most + 1 - size)):
            parts.append(chunk)
            size += len(chunk)
            if size > most:
                return Answer(0, problem=f"the answer is larger than {most:,} bytes", again=False)
            if time.monotonic() > deadline:
                return Answer(0, problem=_LATE)
        if response.length:
            return Answer(0, problem=_LATE if time.monotonic() >= deadline else "the answer was cut")
        body = b"".join(parts)
        whole = response.length is not None or response.chunked
        if not whole and at is self._address and not body.rstrip().endswith(b"}"):
            return Answer(
                0, problem="the answer was cut"
            )  # its length is not known, but it is not the end of JSON
        now = datetime.datetime.now(datetime.timezone.utc)
        place = headers.get("Location") or ""
        return Answer(
            response.status,
            body,
            wait=retry_after(headers.get("Retry-After"), now) or 0.0,
            request_id=_plain(headers.get("X-Request-Id") or headers.get("Apim-Request-Id") or ""),
            moved_to=_plain(split_secrets(place).public) if 300 <= response.status < 400 else "",
        )


_LATE = "no whole answer in time"


def _plain(text: str) -> str:
    return without_secrets("".join(c for c in text if c.isprintable()))[:200]


@contextlib.contextmanager
def _ended_at(sock: socket.socket, deadline: float, late: threading.Event) -> Iterator[None]:
    """End a connection at a time, whatever waits for it: a server may send one byte now and then for ever."""

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
