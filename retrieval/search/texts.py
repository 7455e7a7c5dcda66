"""Texts of some rows of an index, which many queries show."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from imindex.indexer.store.index import Index
from imindex.retrieval.vectors.blocks import Int64

SHOWN = ("path", "prompt", "arm")
"""The columns of text that an answer shows."""
_AT_ONCE = 8_192
"""Rows that are read while others wait for the file."""


class Texts:
    """Columns of text. They are read from the file row by row, or, once `load` has read them all, from memory.

    Parameters
    ----------
    index : Index
        Must stay open until the columns are loaded.
    """

    def __init__(self, index: Index):
        self._index = index
        self._loaded: dict[str, _Column] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def at(self, rows: Int64) -> dict[str, list[str]]:
        """Return the texts of some rows, by column."""
        loaded = self._loaded
        if loaded is None:
            return {name: self._index.text_at(name, rows) for name in SHOWN}
        return {name: loaded[name].at(rows) for name in SHOWN}

    def start(self) -> None:
        """Load the columns in a thread, unless that is done or under way, or the index is not on this machine.

        Rows of a file are slow to read one by one, since texts lie in heaps of some thousand, each of which is checked.
        """
        with self._lock:
            if self._thread is None and self._index.is_local:
                self._thread = threading.Thread(target=self._load_quietly, daemon=True)
                self._thread.start()

    def load(self) -> None:
        """Read all columns, a few rows at a time, so that others can read the file as well."""
        self._loaded = {name: self._read(name) for name in SHOWN}

    def _read(self, name: str) -> _Column:
        return _Column.read(
            self._index.n, lambda start, end: self._index.text_at(name, np.arange(start, end))
        )

    def _load_quietly(self) -> None:
        with contextlib.suppress(Exception):  # who needs a text that cannot be read is told then
            self.load()


class _Column:
    """A column of text: its distinct texts one after the other, and the number of the text of each row."""

    def __init__(self, content: bytes, ends: Int64, number: npt.NDArray[np.int32]):
        self._content, self._ends, self._number = content, ends, number

    @classmethod
    def read(cls, n: int, texts_of: Callable[[int, int], Sequence[str]]) -> _Column:
        """Read n texts. `texts_of` returns those from a row to before another."""
        numbers: dict[bytes, int] = {}
        number = np.empty(n, np.int32)
        for start in range(0, n, _AT_ONCE):
            end = min(n, start + _AT_ONCE)
            number[start:end] = [
                numbers.setdefault(text.encode("utf-8", "surrogateescape"), len(numbers))
                for text in texts_of(start, end)
            ]
        content = b"".join(numbers)
        return cls(content, np.cumsum([0, *map(len, numbers)]), number)

    def at(self, rows: Int64) -> list[str]:
        """Return the texts of some rows."""
        number = self._number[rows]
        return [
            self._content[start:end].decode("utf-8", "surrogateescape")
            for start, end in zip(self._ends[number].tolist(), self._ends[number + 1].tolist(), strict=True)
        ]
