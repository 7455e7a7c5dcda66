"""Conformal attribution against brute force, and its guarantee by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imindex.stats.conformal import conformal_attribution


def by_definition(query: list, works: list, k: int) -> tuple[int, float]:
    """Count the members of the bag that fit no better than the query; return it with the query's score."""
    n = len(query)

    def similarity(i: int, j: int) -> float:
        if n in (i, j):
            return query[min(i, j)]
        return works[i][j]

    scores = []
    for i in range(n + 1):
        others = sorted((similarity(i, j) for j in range(n + 1) if j != i), reverse=True)[:k]
        scores.append(sum(others) / len(others))
    return sum(score <= scores[n] + 1e-12 for score in scores), scores[n]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 7), levels=st.sampled_from([0, 2]))
def test_equals_brute_force(seed: int, k: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    artist = rng.permutation(np.repeat(np.arange(5), [4, 1, 0, 2, 7]))
    works, query = rng.normal(size=(14, 14)), rng.normal(size=14)
    if levels:  # many ties
        works, query = np.round(works * levels), np.round(query * levels)
    works = works + works.T
    found = conformal_attribution(query, works, artist, 5, k=k, confidence_level=0.75)
    for a in (0, 1, 3, 4):
        rows = np.flatnonzero(artist == a)
        count, score = by_definition(query[rows].tolist(), works[np.ix_(rows, rows)].tolist(), k)
        assert found.pvalue[a] == count / (len(rows) + 1)
        assert found.score[a] == pytest.approx(score, abs=1e-12)
        assert (a in found.prediction_set) == (count > 0.25 * (len(rows) + 1))
    assert np.isnan(found.pvalue[2]) and np.isnan(found.resolution[2]) and 2 not in found.prediction_set
    assert found.pvalue[1] == 1.0
    assert found.excludable.tolist() == [True, False, False, False, True]
    assert found.n_works.tolist() == [4, 1, 0, 2, 7]


@pytest.mark.parametrize(("n", "k"), [(9, 3), (19, 5), (3, 5)])
def test_p_is_super_uniform(n: int, k: int) -> None:
    rng, repeats = np.random.default_rng(n), 2000
    p = np.empty(repeats)
    for number in range(repeats):
        # Unequal spread, so that some pictures are always outliers.
        bag = rng.standard_normal((n + 1, 4)) * rng.exponential(size=(n + 1, 1)) + rng.normal(size=4)
        bag /= np.linalg.norm(bag, axis=1, keepdims=True)
        p[number] = conformal_attribution(
            bag[:n] @ bag[n], bag[:n] @ bag[:n].T, np.zeros(n, int), 1, k=k
        ).pvalue[0]
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert np.mean(p <= level + 1e-12) <= level + 2 * np.sqrt(level * (1 - level) / repeats)
    if k < n:  # without ties it is uniform on 1/(n+1), ..., 1
        assert np.mean(p <= 0.5 + 1e-12) == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / repeats))


def world(n: int, n_artists: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    artist = np.repeat(np.arange(n_artists), n)
    works = np.eye(8)[artist] + 0.2 * rng.standard_normal((len(artist), 8)) / np.sqrt(8)
    return works / np.linalg.norm(works, axis=1, keepdims=True), artist


def test_far_query_is_by_none_and_near_query_by_its_artist() -> None:
    works, artist = world(30)
    far = conformal_attribution(works @ np.eye(8)[6], works @ works.T, artist, 3)
    assert not len(far.prediction_set) and (far.pvalue == 1 / 31).all() and far.excludable.all()
    near = conformal_attribution(works @ np.eye(8)[1], works @ works.T, artist, 3)
    assert near.prediction_set.tolist() == [1]


def test_few_works_exclude_nobody() -> None:
    works, artist = world(18)
    found = conformal_attribution(works @ np.eye(8)[6], works @ works.T, artist, 3)
    assert found.prediction_set.tolist() == [0, 1, 2] and not found.excludable.any()
    works, artist = world(19)  # 1 / 20 is just enough at 95 %
    assert not len(conformal_attribution(works @ np.eye(8)[6], works @ works.T, artist, 3).prediction_set)


@pytest.mark.parametrize("confidence_level", [0.5, 0.8, 0.9, 0.95, 0.98, 0.99])
def test_level_is_met_exactly(confidence_level: float) -> None:
    n = round(1 / (1 - confidence_level)) - 1
    works = np.full((n, n), 0.9)
    found = conformal_attribution(
        np.zeros(n), works, np.zeros(n, int), 1, k=1, confidence_level=confidence_level
    )
    enough = n > 1  # with one work both fit alike
    assert found.excludable[0] and (not len(found.prediction_set)) == enough


def test_order_and_other_artists_do_not_matter() -> None:
    works, artist = world(12)
    query = works @ works[3]
    order = np.random.default_rng(2).permutation(len(artist))
    similarity = works @ works.T
    found = conformal_attribution(query, similarity, artist, 3)
    mixed = conformal_attribution(query[order], similarity[np.ix_(order, order)], artist[order], 3)
    np.testing.assert_array_equal(found.pvalue, mixed.pvalue)
    unread = np.where((artist[:, None] == artist) & ~np.eye(len(artist), dtype=bool), similarity, np.nan)
    np.testing.assert_array_equal(conformal_attribution(query, unread, artist, 3).pvalue, found.pvalue)


def test_inconsistent_arguments_are_refused() -> None:
    works, artist = np.eye(3), [0, 0, 1]
    for arguments, message in (
        (([], np.empty((0, 0)), [], 2), "no works"),
        (([[0.1]], [[1.0]], [0], 1), "one picture"),
        (([0.1, 0.2], works, artist, 2), "2 x 2"),
        (([0.1] * 3, works, [0, 0], 2), "integers"),
        (([0.1] * 3, works, [0.0, 0.0, 1.0], 2), "integers"),
        (([0.1] * 3, works, artist, 1), "between 0 and 0"),
        (([0.1, np.nan, 0.1], works, artist, 2), "not finite"),
        (([0.1] * 3, np.array([[1, np.nan, 0], [0, 1, 0], [0, 0, 1]]), artist, 2), "artist 0 is not finite"),
        (([0.1] * 3, np.array([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]), artist, 2), "not symmetric"),
    ):
        with pytest.raises(ValueError, match=message):
            conformal_attribution(*arguments)
    with pytest.raises(ValueError, match="k is 0"):
        conformal_attribution([0.1] * 3, works, artist, 2, k=0)
    with pytest.raises(ValueError, match="confidence_level"):
        conformal_attribution([0.1] * 3, works, artist, 2, confidence_level=95)
