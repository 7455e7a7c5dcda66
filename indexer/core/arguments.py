"""Checks of the arguments of the Python interface. The message of an error is for the person who called it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TypeVar

from imindex.indexer.core.errors import ImindexError

T = TypeVar("T")


def several(values: Iterable[T], name: str) -> tuple[T, ...]:
    """Return the items of an argument that takes several; a single text or path is refused.

    Raises
    ------
    ImindexError

    Examples
    --------
    >>> several(["red", "blue"], "texts")
    ('red', 'blue')
    >>> several("red", "texts")
    Traceback (most recent call last):
    imindex.indexer.core.errors.ImindexError: texts: expected several, not 'red' alone. Pass a list: ['red'].
    """
    if isinstance(values, (str, bytes, os.PathLike)):
        raise ImindexError(f"{name}: expected several, not {values!r} alone. Pass a list: [{values!r}].")
    try:
        return tuple(values)
    except TypeError:
        raise ImindexError(f"{name}: expected a list, not {values!r}.") from None


def one_of(value: object, choices: Sequence[str], name: str) -> None:
    """Refuse a value that is not one of the choices.

    Raises
    ------
    ImindexError
    """
    if value not in choices:
        raise ImindexError(f"{name}: expected one of {', '.join(choices)}, not {value!r}.")
