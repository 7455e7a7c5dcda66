"""Hubness and anisotropy against SciPy, all pairs, and what random neighbours give."""

import numpy as np
import pytest
import scipy
from sklearn.neighbors import NearestNeighbors

from imindex.stats.hubness import anisotropy, hubness


def _drawn(seed, n=60, d=8):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("seed", range(4))
def test_occurrences_skewness_and_gini_match_scipy_and_all_pairs(seed):
    vectors = _drawn(seed) + seed
    near = NearestNeighbors(n_neighbors=5).fit(vectors).kneighbors(return_distance=False)
    got = hubness(near)
    counts = np.array([sum(item in row for row in near.tolist()) for item in range(len(vectors))])
    assert got.k == 5
    assert got.occurrence.tolist() == counts.tolist()
    assert got.skewness == pytest.approx(scipy.stats.skew(counts))
    assert got.gini == pytest.approx(
        np.abs(counts[:, None] - counts).sum() / (2 * len(counts) ** 2 * counts.mean())
    )
    assert got.anti_hubs == np.mean(counts == 0)
    assert got.largest == counts.max()


def test_random_neighbours_have_the_skewness_of_poisson():
    rng = np.random.default_rng(3)
    near = np.array([rng.choice(4000, 10, replace=False) for _ in range(4000)])
    assert hubness(near).skewness == pytest.approx(1 / np.sqrt(10), abs=0.1)


def test_a_hub_among_all_and_missing_neighbours():
    got = hubness(np.array([[0, 1], [0, -1], [0, 2], [0, 3]]), 6)
    assert got.occurrence.tolist() == [4, 1, 1, 1, 0, 0]
    assert got.anti_hubs == pytest.approx(1 / 3)
    assert got.largest == 4
    assert hubness(np.array([[1], [2], [0]])).skewness == 0.0
    assert hubness(np.array([[1], [2], [0]])).gini == pytest.approx(0.0)


def test_hubs_grow_with_the_dimension():
    skewness = []
    for d in (3, 100):
        near = NearestNeighbors(n_neighbors=10).fit(_drawn(1, 1500, d)).kneighbors(return_distance=False)
        skewness.append(hubness(near).skewness)
    assert skewness[0] < 0.5 < 2 < skewness[1]  # Radovanović et al. 2010, figure 1


@pytest.mark.parametrize(
    ("near", "n", "message"),
    [([0, 1], 2, "expected integers"), ([[0.5]], 1, "expected integers"), ([[0, 7]], 4, "query 0 has neighbour 7"),
     ([[0, -2]], 4, "has neighbour -2")],
)  # fmt: skip
def test_wrong_neighbours_are_refused(near, n, message):
    with pytest.raises(ValueError, match=message):
        hubness(near, n)


@pytest.mark.parametrize(("seed", "n", "d"), [(0, 40, 6), (1, 6, 40), (2, 30, 30)])
def test_mean_cosine_and_effective_rank_match_all_pairs_and_singular_values(seed, n, d):
    vectors = _drawn(seed, n, d) + 0.5
    got = anisotropy(vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert got.mean_cosine == pytest.approx(cosines[~np.eye(n, dtype=bool)].mean())
    values = scipy.linalg.svdvals(unit - unit.mean(axis=0)) ** 2
    assert got.effective_rank == pytest.approx(np.exp(scipy.stats.entropy(values / values.sum())))
    assert got.top_share == pytest.approx(values.max() / values.sum())
    assert anisotropy(7 * vectors).mean_cosine == pytest.approx(got.mean_cosine)


def test_an_offset_makes_vectors_anisotropic_and_equal_variances_give_their_number():
    vectors = _drawn(5, 4000, 10)
    plain, moved = anisotropy(vectors), anisotropy(vectors + 20)
    assert abs(plain.mean_cosine) < 0.01 < 0.9 < moved.mean_cosine
    assert plain.effective_rank == pytest.approx(10, abs=0.1)
    assert np.isnan(anisotropy(np.ones((3, 4))).effective_rank)


@pytest.mark.parametrize("vectors", [np.ones((1, 3)), [[0.0, 0.0], [1.0, 0.0]], [[np.nan, 0.0], [1.0, 0.0]]])
def test_vectors_without_a_direction_are_refused(vectors):
    with pytest.raises(ValueError, match="vectors"):
        anisotropy(vectors)
