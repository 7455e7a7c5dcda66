"""The pictures and ranks of an artist in a report, against brute force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from imindex.indexer.build.build import build
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.gallery import BINS, gallery, nearest_own
from imindex.stats.set_scores import collect, twice_midranks
from tests.support.builds import Counting


def unit(rng: np.random.Generator, n: int, d: int = 6) -> np.ndarray:
    vectors = rng.normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def test_nearest_ranks_and_histogram_equal_brute_force() -> None:
    rng = np.random.default_rng(1)
    works, made, own = unit(rng, 7), unit(rng, 40), rng.random(40) < 0.3
    made[5] = made[6]  # a tie
    found = nearest_own(works, made, own)
    table = works.astype(np.float64) @ made.astype(np.float64).T
    counts = np.zeros(BINS)
    for w, row in enumerate(table):
        best = np.flatnonzero(own)[row[own].argmax()]
        assert found.imitation[w] == best and found.cosine[w] == row[best]
        assert found.rank[w] == 1 + (row[~own] >= row[best]).sum()
        for value in row[own]:  # place among the others, 0 the nearest, ties one half
            below = rankdata([value, *row[~own]])[0] - 1
            counts[min(int((1 - below / (~own).sum()) * BINS + 1e-9), BINS - 1)] += 1
    assert found.histogram.tolist() == counts.tolist()
    assert found.histogram.sum() == len(works) * own.sum()


def test_the_histogram_agrees_with_the_auc() -> None:
    rng = np.random.default_rng(2)
    works, made = unit(rng, 5), unit(rng, 300)
    artist = np.array([0] * 20 + [1] * 280)
    found = nearest_own(works, made, artist == 0)
    scores = collect(
        [(slice(None), twice_midranks(works.astype(np.float64) @ made.astype(np.float64).T))],
        np.zeros(5, int), artist, 2, rng=0,
    )  # fmt: skip
    middle = (np.arange(BINS) + 0.5) / BINS
    assert abs((found.histogram * middle).sum() / found.histogram.sum() - (1 - scores.auc[0])) < 1 / BINS


def test_works_are_shown_best_first_with_valid_paths(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 9, "works/bo": 2, "imitations/r1/ada": 3, "imitations/r1/x": 4})
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    with Index(tmp_path / "i.h5") as index:
        found = gallery(index, "r1", ["ada", "bo", "nobody"], n_works=4)
    assert list(found) == ["ada"]  # bo has no imitations
    shown = found["ada"].neighbours
    assert len({one.work for one in shown}) == 4
    assert [one.rank for one in shown] == sorted(one.rank for one in shown)
    for one in shown:
        assert (tmp_path / one.work).is_file() and (tmp_path / one.imitation).is_file()
        assert "r1/ada/" in one.imitation and 1 <= one.rank <= 1 + 4
