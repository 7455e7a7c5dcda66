"""What every request passes: who may ask, from where, how much, and the headers of every answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import sys
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imindex.retrieval.serve.metrics import Metrics
from imindex.retrieval.serve.problems import Problem, over_limit
from imindex.retrieval.serve.settings import Settings

COOKIE = "imindex-session"
STRANGER = "imindex.stranger"
"""Key of the scope of a request: whether it has not the token that is needed."""
OPEN = ("/healthz", "/readyz", "/sign-in", "/static/")
"""Paths that need no token."""
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; worker-src 'self' blob:; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH")
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


def is_loopback(host: str) -> bool:
    """Return whether an address is of this machine alone."""
    if host in _LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def session_of(token: str) -> str:
    """Return the value of the cookie of the sign-in page, from which the token cannot be told."""
    return hmac.new(token.encode(), b"imindex session", hashlib.sha256).hexdigest()


class Guard:
    """The outermost layer of the application.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    metrics : Metrics
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics):
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", CSP)
                # A browser keeps files of the program, and asks each time whether they are still the same.
                kept = scope["path"].startswith("/static/") and status in (200, 304)
                headers.setdefault("Cache-Control", "no-cache" if kept else "no-store")
            await send(message)

        try:
            response = self._refusal(scope)
            if response is not None:
                await response(scope, receive, sent)
            else:
                await self._app(scope, self._counted(scope, receive), sent)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            took = time.perf_counter() - begun
            method = (
                scope["method"] if scope["method"] in _METHODS else "other"
            )  # a stranger invents any number
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(took)
            if self._settings.access_log:
                print(f"{method} {route} {status} {took:.3f}", file=sys.stderr, flush=True)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        if not self._settings.token and not is_loopback(_host_of(headers.get("host", ""))):
            error = (
                "This service answers on this machine only, and the request names another host. Open it as "
                "http://127.0.0.1, or start imindex serve with a token."
            )
            return Problem(421, error).response()
        if not self._is_own(headers, scope["method"]):
            return Problem(
                403, "The request comes from another site. Send it from a page of this service."
            ).response()
        is_stranger = bool(self._settings.token) and not self._may(headers)
        scope[STRANGER] = is_stranger
        if is_stranger and not path.startswith(OPEN):
            if "text/html" in headers.get("accept", "") and not path.startswith("/api/"):
                where = quote(
                    path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
                )
                return RedirectResponse(f"/sign-in?next={where}", 303)
            error = "A token is needed. Send the header Authorization: Bearer TOKEN, or sign in on the page."
            return Problem(401, error).response()
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._settings.max_upload:
            return self._too_large().response()
        return None

    def _may(self, headers: Mapping[str, str]) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return hmac.compare_digest(given.strip().encode(), self._settings.token.encode())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(
            cookie.value.encode(), session_of(self._settings.token).encode()
        )

    def _is_own(self, headers: Mapping[str, str], method: str) -> bool:
        """Return whether a request comes from a page of this service, or from no page.

        A link on another site may lead here. That site's pages may embed nothing of what is here, and send nothing.
        """
        site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
        reads = method in ("GET", "HEAD", "OPTIONS")
        if site:
            link = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
            return site in ("same-origin", "none") or (reads and link)
        return reads or not origin or urlsplit(origin).netloc == headers.get("host", "")

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        """Count the bytes and the seconds of a body while it comes in."""
        n, more, deadline = 0, True, time.monotonic() + self._settings.timeout

        async def counted() -> Message:
            nonlocal n, more
            try:
                message = await asyncio.wait_for(receive(), deadline - time.monotonic() if more else None)
            except asyncio.TimeoutError:
                raise self._too_slow() from None
            if message["type"] == "http.request":
                n, more = n + len(message.get("body", b"")), message.get("more_body", False)
                if n > self._settings.max_upload:
                    raise self._too_large()
            return message

        return counted

    def _too_slow(self) -> Problem:
        seconds = self._settings.timeout
        return over_limit(
            408,
            f"The request was not sent completely within {seconds:g} s. Send less at a time.",
            "timeout",
            seconds,
        )

    def _too_large(self) -> Problem:
        most = self._settings.max_upload
        return over_limit(
            413,
            f"The request is larger than {most / 2**20:g} MB. Send fewer or smaller pictures.",
            "max-upload",
            most,
        )


def _host_of(header: str) -> str:
    """Return the host of a Host header, without the port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.rpartition(":")[0] if ":" in header else header
