"""A sheet of a panel -> one HTML page that works offline, asks for nothing outside, and holds no key."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

from imindex.indexer.core.json_text import json_text
from imindex.retrieval.report.style import palette
from imindex.retrieval.results import PanelKey, PanelSheet

TEMPLATES = Path(__file__).parent / "templates"
VERSION = "1.0"
"""Version of the answers that a page writes."""


def page(key: PanelKey, sheet: PanelSheet, pictures: Mapping[str, bytes]) -> bytes:
    """Return the page of a rater.

    Parameters
    ----------
    key : PanelKey
    sheet : PanelSheet
    pictures : mapping of str to bytes
        WebP by the id of the picture.

    Returns
    -------
    bytes
        HTML. Which pictures are imitations follows neither from their ids, which are random, nor from their order,
        which is that of the ids.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    trials: list[dict[str, str | list[str]]] = []
    used: set[str] = set()
    for shown in sheet.shown:
        trial = key.trials[shown.trial]
        left, right = (trial.a, trial.b) if shown.left == "a" else (trial.b, trial.a)
        trials.append({"id": shown.id, "works": list(trial.works), "left": left, "right": right})
        used |= {left, right, *trial.works}
    data = {
        "version": VERSION,
        "panel": key.digest,
        "sheet": sheet.number,
        "side": key.side,
        "trials": trials,
        "pictures": {token: base64.b64encode(pictures[token]).decode() for token in sorted(used)},
    }
    script = (TEMPLATES / "panel.js").read_text(encoding="utf-8")
    style = f"{palette(':root')}{(TEMPLATES / 'panel.css').read_text(encoding='utf-8')}"
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = environment.get_template("panel.html").render(
        n=len(trials),
        n_works=max(len(one["works"]) for one in trials),
        panel=key.digest,
        sheet=sheet.number,
        style=Markup(style),
        script=Markup(script),
        script_hash=Markup(_source(script)),
        data=Markup(json_text(data).replace("<", "\\u003c")),
    )
    return text.encode()


def _source(text: str) -> str:
    """Return the hash of an inline script, for the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
