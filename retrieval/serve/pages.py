"""HTML pages from templates. A page is a frame; its module in `static/` fetches the content from the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from imindex.retrieval.report.style import palette

HERE = Path(__file__).parent
STATIC = HERE / "static"
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
)


def page(request: Request, template: str, **context: Any) -> HTMLResponse:
    """Render a template as a page.

    Every template extends ``base.html`` and gets ``indexes``, ``audits``, ``pictures`` (whether they are served) and
    ``here`` (the path of the page), besides `context`.
    """
    catalog, settings = request.app.state.catalog, request.app.state.settings
    html = _TEMPLATES.get_template(template).render(
        indexes=list(catalog.indexes.values()),
        audits=list(catalog.audits.values()),
        pictures=settings.pictures,
        here=request.url.path,
        **context,
    )
    return HTMLResponse(html)


def palette_css() -> str:
    """Return the colours, which are those of the report."""
    return palette(":root")
