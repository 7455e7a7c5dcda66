"""What makes a picture a row of an index: artist, collection and path; by number, as the index has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from imindex.indexer.core.schema import Columns

Key = tuple[int, int, str]
"""Artist, collection, path."""


@dataclass
class Names:
    """Names numbered in the order of their first appearance."""

    listed: list[Any]
    numbers: dict[Any, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = {name: number for number, name in enumerate(self.listed)}

    def number(self, name: Any) -> int:
        if name not in self.numbers:
            self.numbers[name] = len(self.listed)
            self.listed.append(name)
        return self.numbers[name]


class Paths:
    """Places by artist, collection and path: a dict for each artist and collection, as keys of three take more room."""

    def __init__(self) -> None:
        self._sets: dict[tuple[int, int], dict[str, int]] = {}

    @classmethod
    def of(cls, table: Columns) -> Paths:
        """The rows of a table of pictures."""
        paths = cls()
        keys = zip(table["artist"].tolist(), table["collection"].tolist(), table["path"], strict=True)
        for row, key in enumerate(keys):
            paths.put(key, row)
        return paths

    def put(self, key: Key, place: int) -> None:
        self._sets.setdefault(key[:2], {})[key[2]] = place

    def first(self, key: Key, place: int) -> int:
        """Put it there if nothing is, and return what is."""
        return self._sets.setdefault(key[:2], {}).setdefault(key[2], place)

    def get(self, key: Key) -> int | None:
        return self._sets.get(key[:2], {}).get(key[2])

    def __contains__(self, key: Key) -> bool:
        return self.get(key) is not None

    def __iter__(self) -> Iterator[tuple[Key, int]]:
        for (artist, collection), paths in self._sets.items():
            for path, place in paths.items():
                yield (artist, collection, path), place
