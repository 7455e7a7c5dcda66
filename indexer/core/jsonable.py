"""Convert arrays, NaN, paths and enumerations to values that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def json_ready(value: Any) -> Any:
    """Convert a value to JSON types; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy
        return json_ready(value.tolist())
    if isinstance(value, float) and not (float("-inf") < value < float("inf")):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
