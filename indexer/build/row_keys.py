"""The key of a row: artist number, collection number and path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from imindex.indexer.core.names import clean_name
from imindex.indexer.core.schema import Columns

Key = tuple[int, int, str]
"""Artist, collection, path."""


def numbers_by_spelling(names: Sequence[Any]) -> dict[Any, int]:
    """Return the position of each name, by the name itself and by its clean spelling.

    Parameters
    ----------
    names : sequence of str, or of (str, str)
        Names, or names with the kind of a collection.
    """
    numbers = {name: number for number, name in enumerate(names)}
    for number, name in enumerate(names):
        clean = clean_name(name) if isinstance(name, str) else (clean_name(name[0]), *name[1:])
        numbers.setdefault(clean, number)
    return numbers


@dataclass
class Names:
    """Names, numbered in order of first appearance.

    A stored name is also found by its clean spelling (`clean_name`), so that adding to an index follows its spelling.
    """

    names: list[Any]
    numbers: dict[Any, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = numbers_by_spelling(self.names)

    def number(self, name: Any) -> int:
        if name not in self.numbers:
            self.numbers[name] = len(self.names)
            self.names.append(name)
        return self.numbers[name]


class Paths:
    """A mapping from row keys to positions.

    It has one dict of paths per artist and collection, which takes less memory than a dict with tuples as keys.
    """

    def __init__(self) -> None:
        self._sets: dict[tuple[int, int], dict[str, int]] = {}

    @classmethod
    def of(cls, table: Columns) -> Paths:
        """Return the row numbers of a table of pictures."""
        paths = cls()
        keys = zip(table["artist"].tolist(), table["collection"].tolist(), table["path"], strict=True)
        for row, key in enumerate(keys):
            paths.put(key, row)
        return paths

    def put(self, key: Key, position: int) -> None:
        self._sets.setdefault(key[:2], {})[key[2]] = position

    def setdefault(self, key: Key, position: int) -> int:
        """Return the position of a key; set it if the key is new."""
        return self._sets.setdefault(key[:2], {}).setdefault(key[2], position)

    def get(self, key: Key) -> int | None:
        return self._sets.get(key[:2], {}).get(key[2])

    def __contains__(self, key: Key) -> bool:
        return self.get(key) is not None

    def __iter__(self) -> Iterator[tuple[Key, int]]:
        for (artist, collection), paths in self._sets.items():
            for path, position in paths.items():
                yield (artist, collection, path), position
