"""Repeated pictures of an index, checked against a comparison of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.retrieval.vectors.select import Pictures, distinct, same_pictures


def brute_force(chosen: Pictures) -> list[int]:
    bits = [(int(a), v.tobytes()) for a, v in zip(chosen.artist, chosen.vectors, strict=True)]
    return [bits.index(content) for content in bits]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_repetitions_match_a_comparison_of_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, values = rng.integers(0, 40), rng.integers(1, 5)
    vectors = (rng.integers(-values, values + 1, (n, 3)) / 4).astype(np.float16)  # with both 0.0 and -0.0
    vectors[rng.random((n, 3)) < 0.1] *= -1
    chosen = Pictures(np.arange(n) * 3, vectors, rng.integers(-1, 3, n))
    group = brute_force(chosen)
    assert same_pictures(chosen).tolist() == group
    kept, n_repeated = distinct(chosen)
    first = sorted(set(group))
    assert n_repeated == n - len(first)
    assert kept.rows.tolist() == chosen.rows[first].tolist()
    assert kept.artist.tolist() == chosen.artist[first].tolist()
    assert kept.vectors.tobytes() == vectors[first].tobytes()


def test_pictures_with_equal_keys_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if all keys are equal, only repetitions are excluded."""

    class Zeros:
        def integers(self, low: int, high: int, size: int, dtype: type) -> np.ndarray:
            # Equal multipliers make every key a multiple of the sum.
            return np.full(size, 2**63 - 1, dtype)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Zeros())
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [0.5, 0.5]], np.float16)
    chosen = Pictures(np.arange(5), vectors, np.zeros(5, np.int64))
    assert same_pictures(chosen).tolist() == [0, 1, 0, 1, 4]
