"""What the preprocessing settings of an encoder may be, whether they come from a model or from an index."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_SIDE = 2048
"""The largest input of an encoder, in pixels per side. A batch of 32 such pictures takes 400 MB."""
INTERPOLATIONS = ("bicubic", "bilinear")
RESIZE_MODES = ("shortest", "longest", "squash")
SRGB, AS_ENCODED = "srgb", "as-encoded"
COLORS = (SRGB, AS_ENCODED)
"""Pictures are converted to sRGB by their colour profiles, or the profiles are ignored."""
REJECT, ACCEPT = "reject", "accept"
TRUNCATED = (REJECT, ACCEPT)
"""What becomes of a picture whose file ends early: it is rejected, or the missing part is grey."""
_LARGEST = 1e6
"""The largest absolute mean and standard deviation; the smallest standard deviation is its inverse."""


def preprocess_fault(settings: Mapping[str, Any], *, partial: bool = False) -> str:
    """Return what is wrong with preprocessing settings; empty if nothing is.

    Parameters
    ----------
    settings : mapping
        `size`, `mean`, `std`, `interpolation`, `resize_mode`, `fill_color`, as in
        `imindex.indexer.decode.preprocess.Preprocess`. The last three have defaults, and so have `color` and
        `truncated`, which files of older formats do not have, and `resize_to` and `crop_floor`, which are stated
        where they are set.
    partial : bool
        Whether settings may be missing: an index can be opened without, but no picture can be prepared.

    Examples
    --------
    >>> preprocess_fault({"size": [224, 224], "mean": [0.5] * 3, "std": [0.5] * 3})
    ''
    >>> preprocess_fault({"size": 9000, "mean": [0.5] * 3, "std": [0.5] * 3})
    'has the size 9000, not one or two whole numbers from 1 to 2048'
    """
    for name, valid, expected in (
        ("size", _is_size, f"one or two whole numbers from 1 to {MAX_SIDE}"),
        ("mean", _are_means, f"three numbers from -{_LARGEST:g} to {_LARGEST:g}"),
        ("std", _are_deviations, f"three numbers from {1 / _LARGEST:g} to {_LARGEST:g}"),
        ("interpolation", _one_of(INTERPOLATIONS), " or ".join(INTERPOLATIONS)),
        ("resize_mode", _one_of(RESIZE_MODES), " or ".join(RESIZE_MODES)),
        ("fill_color", _is_grey, "a whole number from 0 to 255"),
        ("color", _one_of(COLORS), " or ".join(COLORS)),
        ("truncated", _one_of(TRUNCATED), " or ".join(TRUNCATED)),
        (
            "resize_to",
            _is_edge(settings),
            f"a whole number from the longer side of size to {MAX_SIDE}, or one for each side, with no padding",
        ),
        ("crop_floor", _is_choice, "true or false"),
    ):
        value = settings.get(name)
        if partial and name not in settings:
            continue
        if not valid(value):
            text = repr(value)
            return f"has the {name} {text if len(text) <= 80 else text[:77] + '...'}, not {expected}"
    return ""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    sides = [value] if _is_whole(value) else value
    if not isinstance(sides, (list, tuple)) or not 1 <= len(sides) <= 2:
        return False
    return all(_is_whole(side) and 1 <= side <= MAX_SIDE for side in sides)


def _are_numbers(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in value)
        and all(math.isfinite(x) and abs(x) <= _LARGEST for x in value)
    )


def _are_means(value: Any) -> bool:
    return _are_numbers(value)


def _are_deviations(value: Any) -> bool:
    return _are_numbers(value) and all(x >= 1 / _LARGEST for x in value)


def _one_of(known: tuple[str, ...]) -> Any:
    return lambda value: value is None or value == "" or (isinstance(value, str) and value in known)


def _is_edge(settings: Mapping[str, Any]) -> Any:
    """Return whether a picture can be resized to an edge before it is cropped to the size."""
    size = settings.get("size")
    sides: list[Any] = list(size) if isinstance(size, (list, tuple)) else [size]
    sides = [side for side in sides if _is_whole(side)] or [1]

    def valid(value: Any) -> bool:
        if value is None:
            return True
        if settings.get("resize_mode") == "longest":
            return False
        if _is_whole(value):
            return bool(max(sides) <= value <= MAX_SIDE)
        return _is_size(value) and len(value) == 2 and value[0] >= sides[0] and value[1] >= sides[-1]

    return valid


def _is_choice(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_grey(value: Any) -> bool:
    return value is None or (_is_whole(value) and 0 <= value <= 255)
