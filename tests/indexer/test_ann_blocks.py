"""Search with many queries at once: matrix products match brute force."""

from __future__ import annotations

import numpy as np
import pytest

from imindex.indexer.ann import exact_blocks as ann_blocks
from imindex.indexer.ann.exact import ExactSearcher
from imindex.retrieval.search.nearest import nearest
from imindex.retrieval.vectors.similarity import similarities

RNG = np.random.default_rng(7)


def unit(n: int, dim: int) -> np.ndarray:
    drawn = RNG.standard_normal((n, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


def brute(queries: np.ndarray, table: np.ndarray, k: int, among: np.ndarray | None) -> np.ndarray:
    scores = similarities(queries, table)
    if among is not None:
        scores[:, ~among] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("rows", [1, 7, 64, 5000])
@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("share", [None, 0.5, 0.05])
def test_block_search_matches_brute_force(
    monkeypatch: pytest.MonkeyPatch, rows: int, k: int, share: float | None
) -> None:
    monkeypatch.setattr(ann_blocks, "ROWS", rows)
    monkeypatch.setattr(ann_blocks, "_SINGLE_THREADED", 24 * 10)
    table, queries = unit(900, 24), unit(30, 24)
    table[100:130] = table[:30]  # ties, further down
    among = None if share is None else RNG.random(900) < share
    scores, found = ann_blocks.search_blocks(table, queries.astype(np.float32), k, among=among)
    for threads in (1, 3):
        again = ann_blocks.search_blocks(table, queries.astype(np.float32), k, among=among, threads=threads)
        assert np.allclose(again[0], scores, atol=1e-6)
    exact = similarities(queries, table)
    assert np.allclose(scores, np.take_along_axis(exact, found, 1), atol=1e-6)
    wanted = np.take_along_axis(exact, brute(queries, table, k, among), 1)
    assert np.allclose(scores, wanted, atol=1e-6)  # near ties may swap; the scores may not differ
    assert all(len(set(row)) == k for row in found.tolist())
    assert among is None or among[found].all()


@pytest.mark.parametrize("n_queries", [ann_blocks.FROM_QUERIES - 1, ann_blocks.FROM_QUERIES, 40])
@pytest.mark.parametrize("share", [None, 0.3])
def test_nearest_rows_are_exact_and_tie_by_row_for_any_number_of_queries(
    n_queries: int, share: float | None
) -> None:
    table = unit(600, 16)
    table[300:] = table[:300]  # every row ties with another
    queries = table[RNG.integers(0, 600, n_queries)]
    among = None if share is None else RNG.random(600) < share
    found = nearest(ExactSearcher(table), table, queries, k=12, among=among)
    assert np.array_equal(found.rows, brute(queries, table, 12, among))


def test_searcher_with_few_rows_returns_all() -> None:
    table = unit(5, 8)
    found = nearest(ExactSearcher(table), table, unit(20, 8), k=10)
    assert found.rows.shape == (20, 5)


def test_an_index_without_rows_has_no_neighbours() -> None:
    scores, rows = ann_blocks.search_blocks(unit(0, 8), unit(20, 8).astype(np.float32), 0)
    assert scores.shape == rows.shape == (20, 0)


@pytest.mark.parametrize("n_queries", [1, ann_blocks.FROM_QUERIES + 2])
def test_vectors_that_are_not_finite_raise_an_error(n_queries: int) -> None:
    table = unit(40, 8)
    table[5] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        nearest(ExactSearcher(table), table, unit(n_queries, 8), k=40)


def test_every_block_is_better_than_all_before_it() -> None:
    # Each block is better than all before it, and its rows are equal: the result is the first rows of the last block.
    table = np.repeat(unit(1, 8), 20_000, axis=0)
    table[:10_000] = -table[0]
    query = table[-1:].repeat(ann_blocks.FROM_QUERIES, axis=0)
    found = nearest(ExactSearcher(table), table, query, k=5)
    assert found.rows.tolist() == [[10_000, 10_001, 10_002, 10_003, 10_004]] * len(query)
    slope = np.linspace(0, 1, 20_000)
    table = np.stack([slope, np.sqrt(1 - slope**2)], axis=1).astype(np.float16)
    query = np.array([[1, 0]] * 20, np.float16)
    found = nearest(ExactSearcher(table), table, query, k=3)
    assert np.array_equal(found.rows, brute(query, table, 3, None))


def test_more_queries_than_fit_in_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ann_blocks, "QUERIES", 7)
    monkeypatch.setattr(ann_blocks, "SCORES", 7 * 50)
    table, queries = unit(333, 16), unit(23, 16)
    found = nearest(ExactSearcher(table), table, queries, k=9)
    assert np.array_equal(found.rows, brute(queries, table, 9, None))


def test_rows_that_are_not_finite_do_not_hide_others() -> None:
    table = unit(40_000, 16)
    table[5:35] = np.nan
    for n_queries in (4, 16):
        found = nearest(ExactSearcher(table), table, table[1000 : 1000 + n_queries], k=1)
        assert np.array_equal(
            found.scores[:, 0], np.diag(similarities(*2 * [table[1000 : 1000 + n_queries]]))
        )
