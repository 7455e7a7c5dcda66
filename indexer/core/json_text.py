"""Parse JSON that may come from anybody."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes | bytearray, *, finite: bool = False) -> Any:
    """Parse JSON as `json.loads` does; whatever the text is, the only error is ValueError.

    Parameters
    ----------
    text : str or bytes
    finite : bool
        Refuse NaN and Infinity, which are not JSON, and numbers that are too large for a float.

    Raises
    ------
    ValueError
        If it is not JSON, is nested too deeply, or has a number of thousands of digits.

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
    """
    try:
        if finite:
            return json.loads(text, parse_constant=_refuse, parse_float=_finite)
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a finite number")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:40]} is not a finite number")
    return number
