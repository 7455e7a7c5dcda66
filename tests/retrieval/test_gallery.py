"""Galleries and histograms of ranks, compared with brute force."""

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


def test_nearest_ranks_and_histogram_match_brute_force() -> None:
    rng = np.random.default_rng(1)
    works, imitations, own = unit(rng, 7), unit(rng, 40), rng.random(40) < 0.3
    imitations[5] = imitations[6]  # a tie
    nearest = nearest_own(works, imitations, own)
    table = works.astype(np.float64) @ imitations.astype(np.float64).T
    counts = np.zeros(BINS)
    for w, row in enumerate(table):
        best = np.flatnonzero(own)[row[own].argmax()]
        assert nearest.imitation[w] == best and nearest.cosine[w] == row[best]
        assert nearest.rank[w] == 1 + (row[~own] >= row[best]).sum()
        for value in row[own]:  # position among the others: 0 is the nearest, ties count one half
            below = rankdata([value, *row[~own]])[0] - 1
            counts[min(int((1 - below / (~own).sum()) * BINS + 1e-9), BINS - 1)] += 1
    assert nearest.histogram.tolist() == counts.tolist()
    assert nearest.histogram.sum() == len(works) * own.sum()


def test_the_histogram_agrees_with_the_auc() -> None:
    rng = np.random.default_rng(2)
    works, imitations = unit(rng, 5), unit(rng, 300)
    artist = np.array([0] * 20 + [1] * 280)
    nearest = nearest_own(works, imitations, artist == 0)
    scores = collect(
        [(slice(None), twice_midranks(works.astype(np.float64) @ imitations.astype(np.float64).T))],
        np.zeros(5, int), artist, 2, rng=0,
    )  # fmt: skip
    middle = (np.arange(BINS) + 0.5) / BINS
    assert abs((nearest.histogram * middle).sum() / nearest.histogram.sum() - (1 - scores.auc[0])) < 1 / BINS


def test_works_are_sorted_from_the_best_to_the_worst_and_paths_can_be_opened(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    root = works({"works/ada": 9, "works/bo": 2, "imitations/r1/ada": 3, "imitations/r1/x": 4})
    build(list(find([root])), tmp_path / "i.h5", Counting(tiny_encoder))
    with Index(tmp_path / "i.h5") as index:
        galleries = gallery(index, "r1", ["ada", "bo", "nobody"], n_works=4)
    assert list(galleries) == ["ada"]  # bo has no imitations
    pairs = galleries["ada"].neighbours
    assert len({pair.work for pair in pairs}) == 4
    assert [pair.rank for pair in pairs] == sorted(pair.rank for pair in pairs)
    for pair in pairs:
        assert (tmp_path / pair.work).is_file() and (tmp_path / pair.imitation).is_file()
        assert "r1/ada/" in pair.imitation and 1 <= pair.rank <= 1 + 4
