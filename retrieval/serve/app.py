"""The application: settings in, an ASGI application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import program
from imindex.retrieval.serve.catalog import Catalog
from imindex.retrieval.serve.encoding import Encoders
from imindex.retrieval.serve.guard import Guard
from imindex.retrieval.serve.metrics import Metrics
from imindex.retrieval.serve.openapi import document
from imindex.retrieval.serve.pages import STATIC, palette_css
from imindex.retrieval.serve.problems import Problem
from imindex.retrieval.serve.routes import ROUTERS
from imindex.retrieval.serve.settings import Settings
from imindex.retrieval.serve.state import State, state_of
from imindex.retrieval.serve.work import Work

_TAGS = [
    {"name": "query", "description": "Nearest works and imitations, and artists."},
    {"name": "indexes", "description": "What an index holds: artists, rows and pictures."},
    {"name": "audits", "description": "Findings, reports, candidates for copies, comparisons."},
    {"name": "map", "description": "An index in two dimensions, to look at."},
    {"name": "health", "description": "Is the service up, and its figures."},
]


def make_app(settings: Settings) -> ASGIApp:
    """Return the application that serves indexes and audits.

    Raises
    ------
    ImindexError
        If an index cannot be opened, or a folder holds no audit.
    """
    metrics, work = Metrics(), Work(settings)
    state = State(
        settings, Catalog(settings), Encoders(settings.encoder, metrics.encoding_took), work, metrics
    )
    metrics.waits(lambda: float(work.running))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.start()
        yield
        state.stop()

    app = FastAPI(
        title="imindex",
        version=program().partition(" ")[2],
        description="Search an index by picture or text, and read audits.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        openapi_tags=_TAGS,
        lifespan=lifespan,
    )
    app.state.imindex = state
    _problems(app)

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        from imindex.indexer.core.json_text import json_text

        return Response(json_text(document(app)), media_type="application/json")

    @app.get("/static/palette.css", include_in_schema=False)
    async def palette() -> Response:
        return Response(palette_css(), media_type="text/css", headers={"Cache-Control": "no-cache"})

    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return Guard(app, settings, metrics)


def _problems(app: FastAPI) -> None:
    """Answer every failure in the form of a problem."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        body = replace(error.body, error=state_of(request).catalog.without_folders(error.body.error))
        return Problem(error.status, body, retry_after=error.retry_after).response()

    @app.exception_handler(ImindexError)
    async def refused(request: Request, error: ImindexError) -> Response:
        return Problem(422, state_of(request).catalog.without_folders(str(error))).response()

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: ClientDisconnect) -> Response:
        return Problem(408, "The connection ended before the request was complete.").response()

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:  # its traceback is logged, and not sent
        return Problem(500, "The service failed to answer. Its log says why.").response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return Problem(422, f"{where}: {first['msg']}.").response()

    @app.exception_handler(HTTPException)
    async def standard(_: Request, error: HTTPException) -> Response:
        made = Problem(error.status_code, f"{error.detail.rstrip('.')}.").response()
        made.headers.update(error.headers or {})
        return made
