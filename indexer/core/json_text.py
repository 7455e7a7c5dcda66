"""Parse JSON that may come from anybody, and write JSON that anybody can parse."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from imindex.indexer.core.jsonable import json_ready


def parse_json(text: str | bytes | bytearray, *, finite: bool = False) -> Any:
    """Parse JSON as `json.loads` does, without repeated keys; whatever the text is, the only error is ValueError.

    Other programs take the first of two equal keys, or show both, so a file that repeats a key can say one thing to a
    reader and another to imindex.

    Parameters
    ----------
    text : str or bytes
    finite : bool
        Refuse NaN and Infinity, which are not JSON, and numbers that are too large for a float.

    Raises
    ------
    ValueError
        If it is not JSON, is nested too deeply, has a number of thousands of digits, or an object repeats a key.

    Examples
    --------
    >>> parse_json("[1, NaN]"), parse_json(b'{"a": 2}', finite=True)
    ([1, nan], {'a': 2})
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    ...
    ValueError: it is nested too deeply
    >>> parse_json("[1e999]", finite=True)
    Traceback (most recent call last):
    ...
    ValueError: 1e999 is not a finite number
    >>> parse_json('{"auc": 0.99, "auc": 0.5}')
    Traceback (most recent call last):
    ...
    ValueError: it repeats the key 'auc'
    """
    try:
        if finite:
            return json.loads(
                text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_without_repeats
            )
        return json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON in ASCII. Numbers that are not finite become null, since NaN and Infinity are not JSON.

    All JSON that imindex writes for others goes through this function.

    Examples
    --------
    >>> json_text({"auc": float("nan"), "name": "é"})
    '{"auc": null, "name": "\\\\u00e9"}'
    """
    try:  # most values are ready
        return json.dumps(value, ensure_ascii=True, indent=indent, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(json_ready(value), ensure_ascii=True, indent=indent, allow_nan=False)


def split_lines(text: str) -> list[str]:
    """Split JSON lines at line feeds only.

    `str.splitlines` also splits at U+2028 and other characters that a JSON string may contain.

    Examples
    --------
    >>> split_lines('["a\u2028b"]\\n[]\\n') == ['["a\u2028b"]', "[]"]
    True
    """
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _without_repeats(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"it repeats the key {repeated[:40]!r}")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a finite number")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:40]} is not a finite number")
    return number
