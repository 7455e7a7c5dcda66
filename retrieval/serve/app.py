"""The application: settings in, an ASGI application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import program
from imindex.retrieval.serve.catalog import Catalog, Unknown
from imindex.retrieval.serve.pages import STATIC, palette_css
from imindex.retrieval.serve.routes import ROUTERS
from imindex.retrieval.serve.settings import Settings


def make_app(settings: Settings) -> FastAPI:
    """Return the application that serves indexes and audits.

    Raises
    ------
    ImindexError
        If an index cannot be opened, or a folder holds no audit.
    """
    catalog = Catalog(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        catalog.close()

    app = FastAPI(
        title="imindex",
        version=program().partition(" ")[2],
        description="Search an index by picture or text, and read audits.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings, app.state.catalog = settings, catalog

    @app.exception_handler(Unknown)
    async def unknown(_: Request, error: Unknown) -> Response:
        return JSONResponse({"error": str(error)}, 404)

    @app.exception_handler(ImindexError)
    async def refused(_: Request, error: ImindexError) -> Response:
        return JSONResponse({"error": str(error)}, 422)

    @app.get("/static/palette.css", include_in_schema=False)
    async def palette() -> Response:
        return Response(palette_css(), media_type="text/css")

    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
