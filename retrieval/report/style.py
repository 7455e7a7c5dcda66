"""Style sheets of the report and of notebook fragments: light and dark colours, and the classes of figures."""

from __future__ import annotations

import re
from pathlib import Path

TEMPLATES = Path(__file__).parent / "templates"
LIGHT = """\
--paper: #fdfcfa; --raised: #f5f3ef; --ink: #1c2126; --soft: #59616b; --rule: #dcd9d2; --faint: #ece9e3;
--accent: #0b5f8a; --accent-soft: #9cc3d8; --on-accent: #ffffff; --second: #a84a06; --second-soft: #fbeee0;
--good: #2b6b4f;
"""
DARK = """\
--paper: #14171b; --raised: #1c2026; --ink: #e4e6e8; --soft: #9aa3ad; --rule: #343a42; --faint: #262b32;
--accent: #74bde6; --accent-soft: #33617c; --on-accent: #0c1720; --second: #eda262; --second-soft: #2b2119;
--good: #7cc6a2;
"""
_LIGHT_THEMES = ('[data-jp-theme-light="true"]', ".vscode-light", 'html[theme="light"]')
_DARK_THEMES = ('[data-jp-theme-light="false"]', ".vscode-dark", 'html[theme="dark"]')
"""Selectors of the theme in JupyterLab, Visual Studio Code and Colab, which overrides the preference of the system."""
_RULE = re.compile(r"^([^{}\n]+)\{", re.MULTILINE)


def page_style() -> str:
    """Return the style sheet of the report's page."""
    return palette(":root") + _read("figures.css") + _read("report.css")


def fragment_style(scope: str) -> str:
    """Return the style sheet of the report's figures for a fragment in another page.

    Parameters
    ----------
    scope : str
        Selector of the fragment, such as ``.imindex``. No rule applies outside it.
    """
    themes = "".join(
        f"{', '.join(f'{theme} {scope}' for theme in selectors)} {{\n{colours}}}\n"
        for selectors, colours in ((_LIGHT_THEMES, LIGHT), (_DARK_THEMES, DARK))
    )
    # Text and empty marks take the colours of the surrounding page.
    inherited = f"{scope}{scope} {{ --ink: currentColor; --paper: var(--jp-layout-color0, transparent); }}\n"
    figures = _RULE.sub(lambda rule: f"{_within(scope, rule[1])} {{", _read("figures.css"))
    return f"{palette(scope)}{themes}{inherited}{figures}"


def palette(selector: str) -> str:
    """Return the colours as custom properties of what a selector names, for light and dark."""
    dark = f"@media (prefers-color-scheme: dark) {{\n{selector} {{\n{DARK}}}\n}}\n"
    return f"{selector} {{\n{LIGHT}}}\n{dark}"


def _within(scope: str, selectors: str) -> str:
    return ", ".join(f"{scope} {selector.strip()}" for selector in selectors.split(","))


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
