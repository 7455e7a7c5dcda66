"""Cells of tables that a spreadsheet may open."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from imindex.indexer.core.jsonable import json_ready

_FORMULA = ("=", "+", "-", "@", "\u2212")
_UNSEEN = re.compile(r"^[\s\x00-\x1f\x7f-\x9f\ufeff\u200b-\u200f\u202a-\u202e\u2060-\u2069]*")


def csv_cell(value: Any) -> Any:
    """Return a value for a CSV file: lists as JSON, booleans as ``true`` or ``false``, and text never as a formula.

    Spreadsheets interpret text that begins with ``= + - @`` as a formula, also in the full-width and small forms of
    these signs, which some convert, and after characters that are not seen. Such text, and any text that begins with
    a tab, a line feed or another control character, is prefixed with an apostrophe.

    Examples
    --------
    >>> csv_cell("=1+1"), csv_cell(-0.5), csv_cell(True), csv_cell([1, 2])
    ("'=1+1", -0.5, 'true', '[1, 2]')
    >>> csv_cell("\N{FULLWIDTH EQUALS SIGN}1+1")[0], csv_cell("\N{ZERO WIDTH SPACE}@a")[0], csv_cell(" Ada")
    ("'", "'", ' Ada')
    """
    if isinstance(value, (list, tuple)):
        return json.dumps(json_ready(value), allow_nan=False)
    if isinstance(value, str) and _may_be_formula(value):
        return f"'{value}"
    if isinstance(value, bool):
        return str(value).lower()
    return value


def _may_be_formula(text: str) -> bool:
    first = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)[:1])
    return first.startswith(_FORMULA) or (text != "" and unicodedata.category(text[0]) == "Cc")
