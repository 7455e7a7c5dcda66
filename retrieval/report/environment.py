"""The Jinja environment of pages that need nothing else: everything is escaped, and a missing value is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imindex.retrieval.report.figures.svg import shown

if TYPE_CHECKING:
    from jinja2 import Environment


def page_environment(templates: Path, **filters: Callable[..., Any]) -> Environment:
    """Return an environment for the templates of a folder.

    Parameters
    ----------
    templates : Path
    **filters
        Filters beside `shown` (which escapes invisible characters), `name` (which also isolates the writing direction)
        and `svg` (which marks a text as markup).
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        shown=shown, name=lambda text: Markup("<bdi>{}</bdi>").format(shown(text)), svg=Markup, **filters
    )
    return environment
