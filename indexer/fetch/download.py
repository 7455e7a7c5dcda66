"""Download one picture: ask robots.txt, wait for a turn, follow redirects, heed headers, check what came."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin

import anyio
import httpcore
import httpx

from imindex.indexer.core.provenance import now
from imindex.indexer.fetch import robots
from imindex.indexer.fetch.connection import Connection
from imindex.indexer.fetch.limits import FetchSettings, Turns, backoff, retry_after
from imindex.indexer.fetch.opt_outs import (
    TDM_FILE,
    Reservations,
    read_reservations,
    refused_by_tag,
    reserved_by_header,
)
from imindex.indexer.fetch.outcome import FAILED, FETCHED, REFUSED, Outcome, Refusal, Transient
from imindex.indexer.fetch.signatures import HEAD, no_picture, suffix_of
from imindex.indexer.fetch.url_list import requested_url, without_secrets

TOKEN = "imindex"
"""The product token, by which robots.txt and X-Robots-Tag address this robot."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})
"""Client errors that may pass."""
_RULES_SECONDS = 24 * 3600.0
"""How long the rules of a site are used."""
_CONNECT, _IDLE = 20.0, 60.0
_PORTS = {"http": 80, "https": 443}
_LONGEST = 200
"""Characters of a header in the manifest."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its body is there for status 200 only."""

    status: int
    headers: httpx.Headers
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Site:
    """What a site (scheme, host and port) allows.

    Attributes
    ----------
    robots : Robots
    about : str
        What its robots.txt is, for the manifest.
    reservations : Reservations
    at : float
        When it was asked, in seconds of `time.monotonic`.
    """

    robots: robots.Robots
    about: str
    reservations: Reservations
    at: float


@dataclass
class Downloader:
    """Downloads pictures, each host at its pace.

    Parameters
    ----------
    connection : Connection
    limits : FetchSettings
    user_agent : str
    """

    connection: Connection
    limits: FetchSettings
    user_agent: str
    _turns: dict[str, Turns] = field(default_factory=dict)
    _sites: dict[str, Site | Transient] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._together = asyncio.Semaphore(self.limits.connections)

    async def download(self, url: str) -> tuple[Outcome, bytes]:
        """Download a picture; never raises an error of the network.

        Parameters
        ----------
        url : str
            As `requested_url` returns it.

        Returns
        -------
        outcome : Outcome
        data : bytes
            What came, unchanged; empty unless it was fetched.
        """
        attempt = 0
        while True:
            try:
                outcome, data = await self._follow(url)
            except Refusal as refusal:
                return Outcome(REFUSED, str(refusal), refusal.http_status, at=now()), b""
            except Transient as fault:
                wait = max(backoff(attempt + 1), fault.wait or 0.0)
                if attempt >= self.limits.retries or not fault.again or wait > self.limits.longest_wait:
                    return Outcome(FAILED, str(fault), fault.http_status, at=now()), b""
                attempt += 1
                await asyncio.sleep(wait)
            else:
                return outcome, data

    async def _follow(self, url: str) -> tuple[Outcome, bytes]:
        """Request a URL and follow its redirects; each hop is checked as the first."""
        seen: list[str] = []
        said = ""
        while True:
            checked = _checked(url)
            site = await self._site(checked)
            verdict = site.robots.verdict(_target(checked))
            if not verdict.allowed:
                raise Refusal(f"robots.txt of {_host(checked)}: {verdict.why}")
            said = said or f"{site.about}: {verdict.why}"
            answer = await self._request(checked, "image/*,*/*;q=0.1", site)
            if answer.status not in _REDIRECTS:
                final = without_secrets(url) if seen else ""
                return self._accepted(answer, final, said)
            seen.append(url)
            url = _next(url, answer)
            if url in seen:
                raise Refusal(f"redirects in a loop, back to {without_secrets(url)}", answer.status)
            if len(seen) > self.limits.max_redirects:
                raise Refusal(f"more than {self.limits.max_redirects} redirects", answer.status)

    def _heed(self, response: httpx.Response, site: Site, url: httpx.URL) -> None:
        """Raise what the owner or the host says against the picture, before its body is read."""
        status, headers = response.status_code, response.headers
        utc = datetime.datetime.now(datetime.timezone.utc)
        if tag := refused_by_tag(headers.get_list("x-robots-tag"), TOKEN, utc):
            raise Refusal(f"X-Robots-Tag: {tag}", status)
        reserved = reserved_by_header(headers.get("tdm-reservation"))
        policy = headers.get("tdm-policy", "")[:_LONGEST]
        if reserved:
            raise Refusal("tdm-reservation: 1" + (f", tdm-policy: {policy}" if policy else ""), status)
        if reserved is None and (location := site.reservations.reserved(_target(url))):
            raise Refusal(f"{TDM_FILE} of {_host(url)} reserves {location[:_LONGEST]}", status)
        if status in _PASSING or status >= 500:
            wait = retry_after(headers.get("retry-after"), utc)
            if wait is not None:
                self._pause(url, wait)
            raise Transient(f"HTTP {status}", status, wait=wait)
        if status not in _REDIRECTS and status not in (200, 203):
            raise Refusal(f"HTTP {status}", status)

    def _pause(self, url: httpx.URL, seconds: float) -> None:
        turns = self._turns_of(url)
        if seconds > self.limits.longest_wait:
            turns.closed = f"the host asks to wait {seconds:,.0f} seconds (Retry-After)"
        else:
            turns.pause(seconds)

    def _accepted(self, answer: Answer, final_url: str, said: str) -> tuple[Outcome, bytes]:
        headers = {
            name: answer.headers.get(name, "")[:_LONGEST]
            for name in ("content-type", "etag", "last-modified")
        }
        encoding = answer.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise Refusal(
                f"sent with Content-Encoding {encoding[:40]}, though it was asked for as it is", answer.status
            )
        head = answer.body[:HEAD]
        suffix = suffix_of(head)
        if not suffix:
            raise Refusal(no_picture(answer.body[:4096], headers["content-type"]), answer.status)
        outcome = Outcome(
            FETCHED,
            http_status=answer.status,
            sha256=hashlib.sha256(answer.body).hexdigest(),
            suffix=suffix,
            size=len(answer.body),
            at=now(),
            etag=headers["etag"],
            last_modified=headers["last-modified"],
            content_type=headers["content-type"],
            final_url=final_url,
            robots=said,
        )
        return outcome, answer.body

    async def _request(self, url: httpx.URL, accept: str, site: Site | None = None) -> Answer:
        """Send one request in the host's turn.

        Parameters
        ----------
        url : httpx.URL
        accept : str
        site : Site, optional
            The rules that the response is checked by; None for a file of rules.

        Raises
        ------
        Refusal
                If the owner or the host refuses it, the body is too large, or its address is private.
        Transient
            If the connection fails, the body is cut, or it takes too long.
        """
        turns = self._turns_of(url)
        request = httpx.Request(
            "GET",
            url,
            headers={"User-Agent": self.user_agent, "Accept": accept, "Accept-Encoding": "identity"},
            extensions={"timeout": self._timeouts()},
        )
        async with turns.turn():
            try:
                with anyio.fail_after(self.limits.timeout):
                    response = await self.connection.handle_async_request(request)
                    try:
                        turns.note(answered=True)
                        if site is not None:
                            self._heed(response, site, url)
                        most = robots.MAX_BYTES if site is None else self.limits.max_size
                        body = b""
                        if response.status_code in (200, 203) or (site is None and response.is_success):
                            body = await _read(response, most, picture=site is not None)
                        return Answer(response.status_code, response.headers, body)
                    finally:
                        with anyio.CancelScope(shield=True):
                            await response.aclose()
            except TimeoutError:
                turns.note(answered=False)
                raise Transient(f"not complete within {self.limits.timeout:g} seconds") from None
            except httpcore.TimeoutException as error:
                turns.note(answered=False)
                raise Transient(f"no answer in time ({type(error).__name__})") from error
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
                turns.note(answered=False)
                raise _fault(error) from error

    def _timeouts(self) -> Mapping[str, float | None]:
        most = self.limits.timeout
        return {
            "connect": min(_CONNECT, most),
            "read": min(_IDLE, most),
            "write": min(_IDLE, most),
            "pool": None,
        }

    def _turns_of(self, url: httpx.URL) -> Turns:
        host = _host(url)
        if host not in self._turns:
            self._turns[host] = Turns(1 / self.limits.rate, self.limits.per_host, self._together)
        return self._turns[host]

    async def _site(self, url: httpx.URL) -> Site:
        """Return the rules of the site of a URL; asked once, and again after a day."""
        origin = f"{url.scheme}://{_host(url)}"
        async with self._locks.setdefault(origin, asyncio.Lock()):
            site = self._sites.get(origin)
            if isinstance(site, Transient):
                raise Transient(str(site), site.http_status, again=False)
            if site is None or time.monotonic() - site.at > _RULES_SECONDS:
                try:
                    site = await self._ask_site(origin, url)
                except Transient as fault:
                    self._sites[origin] = fault
                    raise Transient(str(fault), fault.http_status, again=False) from fault
                self._sites[origin] = site
            return site

    async def _ask_site(self, origin: str, url: httpx.URL) -> Site:
        answer = await self._rules(f"{origin}/robots.txt")
        rules, about = robots.Robots(), f"no robots.txt ({answer.status})"
        if answer.status == 200:
            rules = robots.parse(answer.body, TOKEN)
            about = f"robots.txt (sha256 {hashlib.sha256(answer.body).hexdigest()[:16]})"
        if rules.delay:
            turns = self._turns_of(url)
            turns.interval = max(turns.interval, rules.delay)
            if rules.delay > self.limits.longest_wait:
                turns.closed = f"robots.txt asks for {rules.delay:,g} seconds between requests (Crawl-delay)"
        reserved = await self._rules(origin + TDM_FILE)
        if (
            reserved.status == 200 and len(reserved.body) >= robots.MAX_BYTES
        ):  # half of a JSON file says nothing
            raise Transient(
                f"{TDM_FILE} of {_host(url)} is too large to be read, so nothing may be asked of this host"
            )
        reservations = read_reservations(reserved.body) if reserved.status == 200 else Reservations()
        return Site(rules, about, reservations, time.monotonic())

    async def _rules(self, url: str) -> Answer:
        """Request a file of rules: 200 with its first bytes, or a client error, which means that there is none.

        Raises
        ------
        Transient
            If the server fails or cannot be reached, also after retries: then nothing may be asked of the site.
        """
        attempt = 0
        first = url
        while True:
            try:
                for _ in range(6):
                    checked = _checked(url)
                    answer = await self._request(checked, "*/*")
                    if answer.status not in _REDIRECTS:
                        break
                    url = _next(url, answer)
                else:
                    return replace(answer, status=404)
                if answer.status == 429 or answer.status >= 500:
                    utc = datetime.datetime.now(datetime.timezone.utc)
                    wait = retry_after(answer.headers.get("retry-after"), utc)
                    raise Transient(f"HTTP {answer.status}", answer.status, wait=wait)
                if 200 <= answer.status < 300:  # any success, such as 203 of a proxy that changed the answer
                    return replace(answer, status=200, body=_decoded(answer))
                return answer
            except Transient as fault:
                wait = max(backoff(attempt + 1), fault.wait or 0.0)
                if attempt >= self.limits.retries or not fault.again or wait > self.limits.longest_wait:
                    raise Transient(
                        f"{without_secrets(first)} cannot be read ({fault}), so nothing may be asked of this host",
                        fault.http_status,
                    ) from fault
                attempt, url = attempt + 1, first
                await asyncio.sleep(wait)


def _decoded(answer: Answer) -> bytes:
    """Return the body of a file of rules, of which some servers send a compressed copy without being asked.

    Raises
    ------
    Transient
        If it cannot be read: what it forbids is then unknown.
    """
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity") and not answer.body.startswith(b"\x1f\x8b"):
        return answer.body
    if encoding in ("", "identity", "gzip", "x-gzip", "deflate"):
        for bits in (
            zlib.MAX_WBITS | 32,
            -zlib.MAX_WBITS,
        ):  # gzip and zlib by their headers, and bare deflate
            try:
                return zlib.decompressobj(bits).decompress(answer.body, robots.MAX_BYTES)
            except zlib.error:
                continue
    raise Transient(
        f"sent with Content-Encoding {encoding[:40]}, though it was asked for as it is",
        answer.status,
        again=False,
    )


async def _read(response: httpx.Response, most: int, *, picture: bool) -> bytes:
    """Read a body as it comes; stop early where its beginning is no picture. Rules are cut at `most`."""
    encoded = response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    length = response.headers.get("content-length", "")
    if picture and length.isdecimal() and int(length[:18]) > most:
        raise Refusal(_too_large(most), response.status_code)
    body = bytearray()
    looked = not picture
    async for part in response.stream:  # type: ignore[union-attr]
        body += part
        if len(body) > most:
            if picture:
                raise Refusal(_too_large(most), response.status_code)
            break
        if not looked and len(body) >= 4096:
            looked = True
            if encoded or not suffix_of(bytes(body[:HEAD])):
                break
    return bytes(body[:most])


def _too_large(most: int) -> str:
    return f"larger than {most:,} bytes (--max-size)"


def _fault(error: Exception) -> Transient:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Transient(f"its certificate is not valid: {cause.verify_message}", again=False)
        cause = cause.__cause__ or cause.__context__
    unknown = "is not known" in str(error)
    return Transient(
        f"{type(error).__name__}: {str(error)[:_LONGEST] or 'the connection ended'}", again=not unknown
    )


def _checked(url: str) -> httpx.URL:
    """Return a URL that may be requested.

    Raises
    ------
    Refusal
        If it is not http or https, carries a user name, or is no URL.
    """
    try:
        checked = httpx.URL(url)
        host = checked.host
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise Refusal(f"not a URL: {str(error)[:_LONGEST]}") from error
    if checked.scheme not in ("http", "https") or not host:
        raise Refusal("not a URL of http or https")
    if checked.userinfo:
        raise Refusal("the URL carries a user name or password, which is not sent")
    return checked


def _next(url: str, answer: Answer) -> str:
    """Return where a redirect leads."""
    location = answer.headers.get("location", "")
    if not location:
        raise Refusal(f"HTTP {answer.status} without a place to go to", answer.status)
    try:
        target = requested_url(urljoin(url, location))
    except ValueError as error:
        raise Refusal(f"redirects to no URL: {location[:80]!r}", answer.status) from error
    if url.startswith("https:") and target.startswith("http:"):
        raise Refusal(f"redirects from https to http: {without_secrets(target)}", answer.status)
    return target


def _target(url: httpx.URL) -> str:
    return url.raw_path.decode("ascii", "replace")


def _host(url: httpx.URL) -> str:
    """Return host and port, without the port that the scheme implies."""
    port = url.port
    name = f"[{url.host}]" if ":" in url.host else url.raw_host.decode("ascii").lower()
    return name if port in (None, _PORTS[url.scheme]) else f"{name}:{port}"


def host_of(url: str) -> str:
    """Return the host of a URL, by which requests are spread; empty if it is no URL."""
    try:
        return _host(_checked(url))
    except Refusal:
        return ""
