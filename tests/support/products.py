"""Counts which pairs of pictures are multiplied, by watching the only function that computes similarities."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.vectors.similarity import Widened


class Products:
    """Pairs of vectors that were multiplied, in either order, by the collections they belong to.

    Attributes
    ----------
    pairs : Counter
        Counts by ordered pair of labels such as "works" and "imitations of r1". Vectors in several collections count
        for the first one in the index.
    sizes : Counter
        Different vectors of each label, repetitions by one artist counted once.
    for_near_duplicates : float
        How often the product of works and works is computed, as a whole, to find near-duplicates: a sample (here all
        works) with all, and twice the works of each artist among themselves.
    """

    def __init__(self, index: Index):
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.sizes: Counter[str] = Counter()
        self._label: dict[bytes, str] = {}
        self._lock = threading.Lock()
        seen = set()
        by_artist: Counter[int] = Counter()
        collections = [self._called(one.kind, one.name) for one in index.collections]
        columns = zip(
            index.column("artist").tolist(),
            index.column("collection").tolist(),
            np.asarray(index.vectors),
            strict=True,
        )
        for artist, collection, vector in columns:
            label, bits = collections[collection], vector.tobytes()
            self._label.setdefault(bits, label)
            if (artist, label, bits) not in seen:
                seen.add((artist, label, bits))
                self.sizes[label] += 1
                by_artist[artist] += label == "works"
        within = sum(n**2 for n in by_artist.values() if n > 1)
        self.for_near_duplicates = 1 + 2 * within / max(1, self.sizes["works"]) ** 2

    @staticmethod
    def _called(kind: str, name: str) -> str:
        return "works" if kind in ("works", "background") else f"{kind} of {name}"

    def times(self, left: str, right: str) -> float:
        """Return how often the full product of two groups of pictures was computed."""
        return self.pairs[min(left, right), max(left, right)] / (self.sizes[left] * self.sizes[right])

    def count(self, left: np.ndarray, right: np.ndarray) -> None:
        labels = [
            Counter(self._label.get(np.asarray(vector, np.float16).tobytes(), "others") for vector in side)
            for side in (left, right)
        ]
        with self._lock:
            for one, n in labels[0].items():
                for other, m in labels[1].items():
                    self.pairs[min(one, other), max(one, other)] += n * m

    @contextmanager
    def counting(self) -> Iterator[Products]:
        """Count inside this context."""
        product = Widened.product

        def counted(widened: Widened, left: np.ndarray, *how: Any, **named: Any) -> np.ndarray:
            columns = how[0] if how else named.get("columns", slice(None))
            self.count(left, widened.vectors[columns])
            return product(widened, left, *how, **named)

        Widened.product = counted  # type: ignore[method-assign, assignment]
        try:
            yield self
        finally:
            Widened.product = product  # type: ignore[method-assign]
