"""The pages. Each is a frame, and its module in `static/` fetches the content from the API."""

from __future__ import annotations

import hmac
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from imindex.retrieval.serve.guard import COOKIE, session_of
from imindex.retrieval.serve.pages import page
from imindex.retrieval.serve.state import Here

router = APIRouter(include_in_schema=False)


PAGES = {
    "/": "home.html",
    "/ask": "ask.html",
    "/artists": "artists.html",
    "/artist": "artist.html",
    "/audits": "audits.html",
    "/audit": "audit.html",
    "/compare": "compare.html",
    "/map": "map.html",
}
"""The template of each page."""


def _frame(request: Request) -> HTMLResponse:
    return page(request, PAGES[request.url.path])


for _path in PAGES:
    router.add_api_route(_path, _frame)


@router.get("/sign-in")
def sign_in(request: Request, next: Annotated[str, Query(max_length=10_000)] = "/") -> HTMLResponse:
    """Ask for the token."""
    return page(request, "sign-in.html", next=next, wrong=False)


@router.post("/sign-in")
async def signed_in(here: Here, request: Request) -> Response:
    """Set the cookie of the session, if the token is right."""
    form = await request.form(max_files=0, max_fields=8)
    given, next = str(form.get("token", "")), str(form.get("next", "/"))
    if not hmac.compare_digest(given.strip().encode(), here.settings.token.encode()):
        return page(request, "sign-in.html", status=401, next=next, wrong=True)
    response = RedirectResponse(_inside(next), 303)
    response.set_cookie(
        COOKIE,
        session_of(here.settings.token),
        httponly=True,
        samesite="strict",
        path="/",
        secure=request.headers.get("origin", "").startswith("https://"),  # by a proxy that speaks HTTPS
    )
    return response


def _inside(path: str) -> str:
    """Return a path of this service: a link to another one is not followed."""
    parts = urlsplit(path)
    is_path = (
        path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    )
    return path if is_path and path.isprintable() else "/"
