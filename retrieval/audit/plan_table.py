"""A table of a plan: hands out checked values, names keys in its errors, refuses keys that nobody asked for."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imindex.indexer.core.errors import ImindexError


class Table:
    """A table of the plan that knows its name, hands out checked values and refuses keys that nobody asked for."""

    def __init__(self, path: Path, name: str, said: Mapping[str, Any]):
        self.path, self.name = path, name
        self._said = said
        self._asked: set[str] = set()
        self._children: list[Table] = []

    def get(self, key: str) -> Any:
        """The value as it stands there, or None."""
        self._asked.add(key)
        return self._said.get(key)

    def given(self, key: str) -> bool:
        return key in self._said

    def where(self, key: str) -> str:
        """How messages name a key."""
        return f"{self.path}: {self.name}.{key}" if self.name else f"{self.path}: {key}"

    def table(self, key: str) -> Table:
        """A table within; empty if it is not there."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            raise ImindexError(f"{self.where(key)} is not a table. Write [{key}] and its keys below.")
        child = Table(self.path, f"{self.name}.{key}".lstrip("."), value or {})
        self._children.append(child)
        return child

    def tables(self, key: str) -> list[Table]:
        """An array of tables within."""
        value = self.get(key) or []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise ImindexError(f"{self.where(key)} is not a list of tables. Begin each with [[{key}]].")
        children = [Table(self.path, f"{key}[{place}]", one) for place, one in enumerate(value, 1)]
        self._children += children
        return children

    def text(self, key: str, *, default: str | None = None) -> str:
        value = self._or_default(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise ImindexError(f"{self.where(key)} is {value!r}. Write a text in quotes.")
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise ImindexError(f"{self.where(key)} holds a control character. Remove it.")
        return value

    def texts(self, key: str, *, default: Sequence[str]) -> tuple[str, ...]:
        value = self._or_default(key, list(default))
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            raise ImindexError(f'{self.where(key)} is {value!r}. Write a list of texts: ["one", "two"].')
        return tuple(value)

    def whole(self, key: str, *, default: int, least: int) -> int:
        value = self._or_default(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or (self.given(key) and value < least):
            raise ImindexError(f"{self.where(key)} is {value!r}. Write a whole number from {least} on.")
        return value

    def number(self, key: str, *, default: float | None) -> float | None:
        value = self._or_default(key, default, may_be_none=True)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value)
        ):
            raise ImindexError(f"{self.where(key)} is {value!r}. Write a number.")
        return value

    def share(self, key: str, *, default: float) -> float:
        value = self.number(key, default=default)
        if value is None or not 0 < value < 1:
            raise ImindexError(f"{self.where(key)} is {value!r}. Write a number between 0 and 1.")
        return float(value)

    def choice(self, key: str, among: Sequence[str], *, default: str) -> str:
        value = self._or_default(key, default)
        if value not in among:
            raise ImindexError(f"{self.where(key)} is {value!r}. Write one of {', '.join(among)}.")
        return str(value)

    def _or_default(self, key: str, default: Any, *, may_be_none: bool = False) -> Any:
        value = self.get(key)
        if value is not None:
            return value
        if default is None and not may_be_none:
            raise ImindexError(f"{self.where(key)} is missing. See `imindex audit init` for every key.")
        return default

    def finish(self) -> None:
        """Refuse keys that nobody asked for, here and in the tables within."""
        for key in self._said:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, 1)
                hint = (
                    f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(self._asked))}."
                )
                raise ImindexError(f"{self.where(key)} is no key of a plan. {hint}")
        for child in self._children:
            child.finish()
