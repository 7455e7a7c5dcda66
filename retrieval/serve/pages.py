"""HTML pages from templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from imindex.retrieval.report.style import DARK, LIGHT, palette
from imindex.retrieval.serve.state import state_of

HERE = Path(__file__).parent
STATIC = HERE / "static"
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
)


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Render a template as a page.

    Every template extends ``base.html`` and gets ``indexes`` and ``audits`` (of the catalogue), ``pictures`` (whether
    they are served), ``here`` (the path of the page) and ``query`` (the parameters of the URL), besides `context`.
    """
    state = state_of(request)
    signed_in = request.url.path != "/sign-in"
    html = _TEMPLATES.get_template(template).render(
        indexes=list(state.catalog.indexes.values()) if signed_in else [],
        audits=list(state.catalog.audits.values()) if signed_in else [],
        pictures=state.settings.pictures,
        here=request.url.path,
        query=request.query_params,
        **context,
    )
    return HTMLResponse(html, status)


def palette_css() -> str:
    """Return the colours, which are those of the report."""
    themes = "".join(
        f':root[data-theme="{name}"] {{\n{colours}}}\n'
        for name, colours in (("light", LIGHT), ("dark", DARK))
    )
    return palette(":root") + themes
