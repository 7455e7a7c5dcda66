"""Near-duplicates: the links against brute force, and what counts a cluster as one work."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.retrieval.match.discrimination import discrimination_gap
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.stats.conformal import conformal_attribution
from imindex.stats.duplicates import duplicate_threshold, link, nearest_other
from imindex.stats.validity import ceiling, gap_bootstrap


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 12), threshold=st.floats(0.3, 1.2))
def test_links_equal_brute_force(seed: int, n: int, threshold: float) -> None:
    table = np.random.default_rng(seed).random((n, n))
    table = (table + table.T) / 2
    cluster = list(range(n))
    for _ in range(n):
        for i in range(n):
            for j in range(n):
                if i != j and table[i, j] > threshold:
                    cluster[i] = cluster[j] = min(cluster[i], cluster[j])
    assert link(table, threshold).tolist() == cluster


def test_threshold() -> None:
    assert duplicate_threshold([], []) == 1.0
    assert duplicate_threshold([], [0.5]) == pytest.approx(0.95)
    assert duplicate_threshold([0.97] * 100, [0.5]) == pytest.approx(0.97)
    twice = [0.4] * 999 + [1.0]  # a picture listed under two artists does not switch the rule off
    assert duplicate_threshold(twice, [0.5]) == pytest.approx(0.95)
    assert nearest_other(np.ones((2, 2)), [0, 0], [0, 0]).size == 0


def world(n_artists: int = 8, n: int = 12, dim: int = 24, noise: float = 0.5, seed: int = 0) -> tuple:
    rng = np.random.default_rng(seed)
    artist = np.repeat(np.arange(n_artists), n)
    works = rng.normal(size=(n_artists, dim))[artist] + noise * rng.normal(size=(n_artists * n, dim))
    return works, artist


def unit(works: np.ndarray) -> np.ndarray:
    return (works / np.linalg.norm(works, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_only_near_duplicates_are_linked(noise: float) -> None:
    works, artist = world(noise=noise)
    assert near_duplicates(unit(works), artist)[0].tolist() == list(
        range(len(works))
    )  # however alike a style is
    works[1:8] = works[0] + 0.05 * noise * np.random.default_rng(1).normal(size=(7, 24))
    expected = np.arange(len(works))
    expected[1:8] = 0
    found, threshold = near_duplicates(unit(works), artist)
    assert found.tolist() == expected.tolist() and threshold < 1
    order = np.random.default_rng(2).permutation(len(works))
    mixed = near_duplicates(unit(works)[order], artist[order])[0]
    assert len(np.unique(mixed)) == len(works) - 7


def test_gap_and_ceiling_leave_out_the_own_cluster() -> None:
    works, artist = world(noise=1.5)
    works[1:8] = works[0] + 0.01
    vectors = unit(works)
    table = vectors.astype(float) @ vectors.astype(float).T
    cluster = np.arange(len(works))
    cluster[1:8] = 0
    medians = [
        np.median([table[i, j] for i in range(12) for j in range(i) if cluster[i] != cluster[j]]),
        max(np.median(table[:12][:, artist == b]) for b in range(1, 8)),
    ]
    exact = discrimination_gap(vectors, artist, 8, cluster=cluster)
    drawn = gap_bootstrap(table, artist, 8, cluster=cluster, n_resamples=50, rng=1)
    plain = gap_bootstrap(table, artist, 8, n_resamples=50, rng=1)
    assert exact.gap[0] == drawn.gap[0] == pytest.approx(medians[0] - medians[1])
    assert plain.gap[0] > drawn.gap[0] + 0.05
    np.testing.assert_array_equal(plain.gap[1:], drawn.gap[1:])
    assert drawn.n_distinct.tolist() == [5] + [12] * 7 and drawn.n_works.tolist() == [12] * 8
    best = ceiling(table, artist, 8, cluster=cluster)
    aucs = []
    for i in range(12):
        own = [table[i, j] for j in range(12) if cluster[i] != cluster[j]]
        others = table[i, artist != 0]
        aucs.append(np.mean([np.mean((others < s) + (others == s) / 2) for s in own]))
    assert best.auc[0] == pytest.approx(np.mean(aucs)) and ceiling(table, artist, 8).auc[0] > best.auc[0]


def test_one_series_is_one_work() -> None:
    table = np.ones((6, 6))
    artist, cluster = np.repeat([0, 1], 3), np.array([0, 0, 0, 3, 4, 5])
    assert gap_bootstrap(table, artist, 2, cluster=cluster, n_resamples=9, rng=1).status[0] == "one work"
    assert ceiling(table, artist, 2, cluster=cluster).status == ("one work", "ok")
    with pytest.raises(ValueError, match="6 labels"):
        ceiling(table, artist, 2, cluster=[0, 1])


def test_conformal_sets_count_a_series_once() -> None:
    rng = np.random.default_rng(3)
    series = np.repeat(np.arange(19), rng.integers(1, 8, 19))
    works = rng.normal(size=(19, 6))[series] + 0.01 * rng.normal(size=(len(series), 6))
    near, query = works @ works.T, works @ rng.normal(size=6)
    found = conformal_attribution(query, near, np.zeros(len(series), int), 1, cluster=series)
    first = np.unique(series, return_index=True)[1]
    alone = conformal_attribution(query[first], near[np.ix_(first, first)], np.zeros(19, int), 1)
    assert found.pvalue[0] == alone.pvalue[0] and found.resolution[0] == 1 / 20
    assert found.n_works[0] == len(series) and found.n_distinct[0] == 19
    with pytest.raises(ValueError, match="cluster"):
        conformal_attribution(query, near, np.zeros(len(series), int), 1, cluster=[0])


def test_conformal_sets_keep_new_works_of_an_artist_who_works_in_series() -> None:
    rng, kept = np.random.default_rng(4), []
    for _ in range(400):
        series = np.repeat(np.arange(19), rng.integers(1, 10, 19))
        bag = np.exp(rng.normal(size=(20, 1))) * rng.normal(size=(20, 6))
        works = bag[series] + 0.02 * rng.normal(size=(len(series), 6))
        near = -np.linalg.norm(works[:, None] - works[None], axis=2)
        query = -np.linalg.norm(works - bag[-1], axis=1)
        each = [
            conformal_attribution(query, near, np.zeros(len(series), int), 1, cluster=c, confidence_level=0.9)
            for c in (series, None)
        ]
        kept.append([len(one.prediction_set) for one in each])
    with_clusters, without = np.mean(kept, axis=0)
    assert with_clusters >= 0.9 - 2 * np.sqrt(0.09 / 400) and without < 0.8
