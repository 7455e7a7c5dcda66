"""Single-threaded products, and restoring the number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

from imindex.indexer.ann import exact_blocks as ann_blocks
from imindex.indexer.system.cpu import processors, products_alone
from imindex.retrieval.match.counting import counted_ranks
from imindex.retrieval.match.ranking import Sides


def of_blas() -> list[int]:
    """Thread counts of NumPy's BLAS; other libraries, such as SciPy's, may load after the first limit."""
    return [
        one["num_threads"]
        for one in threadpoolctl.threadpool_info()
        if one["user_api"] == "blas" and "numpy" in one["filepath"]
    ]


pytestmark = pytest.mark.skipif(
    not of_blas() or max(of_blas()) == 1, reason="one processor, or a BLAS that did not come with NumPy"
)


def test_products_run_single_threaded_in_the_context() -> None:
    before = of_blas()
    with pytest.raises(ZeroDivisionError), products_alone():
        assert set(of_blas()) == {1}
        raise ZeroDivisionError
    assert of_blas() == before


def test_the_last_block_to_end_restores_the_original_limit() -> None:
    before = of_blas()
    first, second = products_alone(), products_alone()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(of_blas()) == {1}
    second.__exit__(None, None, None)
    assert of_blas() == before


def test_searches_and_ranks_in_many_threads_restore_the_limit() -> None:
    before = of_blas()
    table = np.eye(64, dtype=np.float16)
    half = np.arange(64) % 2

    def work(_: int) -> None:
        ann_blocks.search_blocks(table, table[:20].astype(np.float32), 3, threads=processors())
        parts = counted_ranks(Sides(table[:8], half[:8], table, half, 2, None, np.zeros(64, np.int64)))
        next(parts)  # one that is never finished

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(work, range(40)))) == 40
    assert of_blas() == before
