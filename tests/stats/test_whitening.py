"""Whitening against scikit-learn, integers of any size, and a permutation test by enumeration."""

import itertools
import math

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from imindex.stats.whitening import learn


def _unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def _works(seed, n=60, d=8, offset=2.0, smallest=0.1):
    """Anisotropic vectors: a common offset, and unequal variances."""
    rng = np.random.default_rng(seed)
    return _unit(rng.normal(size=(n, d)) * np.geomspace(1, smallest, d) + offset)


def _cosines(vectors):
    wide = vectors.astype(np.float64)
    return wide @ wide.T


@pytest.mark.parametrize("seed", range(3))
def test_one_work_of_each_artist_gives_the_shrinkage_of_scikit_learn(seed):
    works = _works(seed, n=30)
    expected = LedoitWolf(assume_centered=True).fit(works.astype(np.float64) - learn(works, range(30)).mean)
    assert learn(works, range(30)).shrinkage == pytest.approx(max(1 / 30, expected.shrinkage_), rel=1e-9)


def test_many_works_are_whitened_as_by_pca():
    works = _works(1, n=5000, smallest=0.5)
    whitening = learn(works, np.arange(len(works)))
    assert whitening.shrinkage < 0.01
    pca = PCA().fit(works.astype(np.float64))
    values, w = pca.explained_variance_, whitening.shrinkage
    white = pca.transform(works[:50].astype(np.float64)) / np.sqrt((1 - w) * values + w * values.mean())
    expected = _cosines(_unit(white))
    np.testing.assert_allclose(_cosines(whitening.apply(works[:50])), expected, atol=5e-3)


def test_whitened_vectors_have_no_common_direction_and_equal_variances():
    works = _works(2, n=2000)
    whitening = learn(works, np.arange(len(works)))
    moved = (works.astype(np.float64) - whitening.mean) @ whitening.matrix
    values = np.linalg.eigvalsh(np.cov(moved.T))
    assert values.max() / values.min() == pytest.approx(1, abs=0.1)
    white, n = _cosines(whitening.apply(works)), len(works)
    assert abs((white.sum() - n) / (n * (n - 1))) < 0.01 < 0.9 < _cosines(works).mean()


@pytest.mark.parametrize("seed", range(3))
def test_products_are_exact(seed):
    works = _works(seed, d=16)
    whitening = learn(works, np.arange(60) // 3)
    white = whitening.apply(works)
    mean = [int(value) for value in whitening.mean * 2**24]
    matrix = [[int(value) for value in row] for row in (whitening.matrix * 2**16).tolist()]
    assert np.array_equal(np.array(mean) / 2**24, whitening.mean)
    assert np.array_equal(np.array(matrix) / 2**16, whitening.matrix)
    for vector, got in zip(works, white, strict=True):
        away = [int(float(x) * 2**24) - m for x, m in zip(vector, mean, strict=True)]
        exact = [sum(m * x for m, x in zip(row, away, strict=True)) for row in matrix]
        norm = math.sqrt(math.fsum((value / 2**40) ** 2 for value in exact))
        assert [np.float16(value / 2**40 / norm) for value in exact] == got.tolist()


@pytest.mark.parametrize("size", [1, 7, 60])
def test_rows_do_not_depend_on_what_is_whitened_together(size, monkeypatch):
    works = _works(4, d=32)
    whitening = learn(works, np.arange(60) // 3)
    whole = whitening.apply(works)
    parts = [whitening.apply(works[start : start + size]) for start in range(0, 60, size)]
    assert np.array_equal(np.concatenate(parts), whole)
    monkeypatch.setattr("imindex.stats.whitening._BLOCK_VALUES", 32 * size)
    assert np.array_equal(whitening.apply(works), whole)


def test_order_of_works_and_numbers_of_artists_do_not_matter():
    works, artist = _works(5, n=90, d=24), np.repeat(np.arange(30), 3)
    works[:3] = works[3:6]  # two artists with the same works
    first = learn(works, artist)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        order, names = rng.permutation(90), rng.permutation(1000)[:30]
        again = learn(works[order], names[artist[order]])
        assert again.sha256 == first.sha256
        assert again.shrinkage == first.shrinkage


def test_an_artist_counts_alike_whatever_the_number_of_works():
    works, artist = _works(6), np.arange(60) // 3
    twice = np.concatenate([works, *[works[:3]] * 4])
    again = learn(twice, np.concatenate([artist, np.zeros(12, int)]))
    np.testing.assert_allclose(again.matrix, learn(works, artist).matrix, atol=2**-15)


def test_few_artists_are_whitened_by_half_at_most_but_centred():
    works = _works(7)
    whitening = learn(works, np.arange(60) // 30)
    assert whitening.shrinkage >= 0.5
    assert learn(works, np.arange(60) // 3).shrinkage < 0.5
    assert abs(whitening.apply(works).astype(float).mean()) < 0.1 < works.astype(float).mean()


def test_the_variance_of_the_covariance_is_that_over_artists():
    """The shrinkage is the error of S over its distance from a multiple of the identity, by a direct sum."""
    works, artist = _works(8, n=80, d=5), np.arange(80) // 2
    whitening = learn(works, artist)
    away = works.astype(np.float64) - whitening.mean
    parts = np.array([away[artist == a].T @ away[artist == a] / 2 for a in range(40)])
    whole = parts.mean(axis=0)
    error = np.square(parts - whole).sum() / 40**2
    distance = np.square(whole - np.trace(whole) / 5 * np.eye(5)).sum()
    assert whitening.shrinkage == pytest.approx(error / distance, rel=1e-6)


def test_sets_of_placebo_names_stay_exchangeable():
    """Over all assignments of sets to names, the p-value is uniform: the map is learnt on works only."""
    works, artist = _works(9, n=12, d=4), np.arange(12) // 4
    whitening = learn(works, artist)
    sets = _works(10, n=12, d=4, offset=1.5).reshape(4, 3, 4)
    own = whitening.apply(works[:4]).astype(np.float64)
    pvalues = []
    for order in itertools.permutations(range(4)):  # the artist's own set, and three of placebo names
        scores = [(own @ whitening.apply(sets[s]).T.astype(np.float64)).mean() for s in order]
        pvalues.append(np.mean([score >= scores[0] for score in scores]))
    assert np.unique(pvalues, return_counts=True)[1].tolist() == [6] * 4


@pytest.mark.parametrize(
    ("works", "artist", "message"),
    [
        (np.eye(3, dtype=np.float16), [0, 0, 0], "at least two artists"),
        (np.eye(3), [0, 1, 2], "expected float16"),
        (np.eye(3, dtype=np.float16), [0, 1], "expected float16 vectors and a number for each"),
        (np.ones((3, 1), np.float16), [0, 1, 2], "the same vector"),
        (np.full((2, 2), np.nan, np.float16), [0, 1], "not finite"),
        (np.zeros((0, 2), np.float16), [], "at least two artists"),
    ],
)
def test_works_that_cannot_be_learnt_from_are_refused(works, artist, message):
    with pytest.raises(ValueError, match=message):
        learn(works, np.array(artist, int))


def test_vectors_that_cannot_be_whitened_are_refused():
    whitening = learn(np.array([[1, 0], [0, 1]], np.float16), [0, 1])
    with pytest.raises(ValueError, match="row 0 is the mean of the works"):
        whitening.apply(np.full((1, 2), 0.5, np.float16))
    for wrong in (np.eye(3, dtype=np.float16), np.eye(2)):
        with pytest.raises(ValueError, match="expected float16"):
            whitening.apply(wrong)
