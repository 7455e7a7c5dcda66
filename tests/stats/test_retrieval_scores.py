"""Retrieval scores and verification against scikit-learn, brute force and theory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.retrieval_scores import (
    average_precision,
    expected_average_precision,
    hubness,
    precision_at_k,
    query_precision,
    top_scores,
)
from imindex.stats.verification import share_from, threshold_at, verification, without_each

metrics = pytest.importorskip("sklearn.metrics")


def _ranking(
    rng: np.random.Generator, n_relevant: int, n: int, *, ties: bool
) -> tuple[np.ndarray, np.ndarray]:
    values = rng.normal(size=n_relevant + n)
    values[:n_relevant] += 0.5
    if ties:
        values = values.round(1)
    return values[:n_relevant], values[n_relevant:]


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_that_of_scikit_learn(ties: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        relevant, others = _ranking(rng, int(rng.integers(1, 9)), int(rng.integers(0, 60)), ties=ties)
        truth = np.repeat([1, 0], [len(relevant), len(others)])
        known = metrics.average_precision_score(truth, np.concatenate([relevant, others]))
        assert average_precision(relevant, others) == pytest.approx(known, abs=1e-12)


def test_what_an_artist_takes_is_the_derivative_by_its_weight() -> None:
    rng = np.random.default_rng(2)
    relevant, others = _ranking(rng, 5, 40, ties=True)
    artist = rng.integers(1, 6, 40)
    found = query_precision(relevant, others, artist, 6)
    step = 1e-6

    def weighted(number: int, weight: float) -> float:
        weights = np.where(artist == number, weight, 1.0)
        precision = []
        for value in relevant:
            own = (relevant >= value).sum()
            precision.append(own / (own + weights[others >= value].sum()))
        return float(np.mean(precision))

    for number in range(1, 6):
        slope = (weighted(number, 1 + step) - weighted(number, 1 - step)) / (2 * step)
        assert -found.taken[number] == pytest.approx(slope, abs=1e-7)
    assert found.taken[0] == 0


def test_expected_average_precision_is_the_mean_over_all_rankings() -> None:
    for n_relevant, n in [(1, 2), (2, 5), (3, 6), (1, 7), (4, 4)]:
        every = [
            average_precision(
                [n - place for place in places], [n - place for place in set(range(n)) - set(places)]
            )
            for places in itertools.combinations(range(n), n_relevant)
        ]
        assert float(expected_average_precision(n_relevant, n)) == pytest.approx(np.mean(every), abs=1e-12)


def test_precision_at_k_by_hand() -> None:
    relevant = np.array([[True, False, True, True], [False, False, False, True], [True, True, True, True]])
    assert precision_at_k(relevant, 1, [3, 1, 9]).tolist() == [1.0, 0.0, 1.0]
    assert precision_at_k(relevant, 3, [3, 1, 9]).tolist() == pytest.approx([(1 + 2 / 3) / 3, 0.0, 1.0])
    assert precision_at_k(relevant, 4, [3, 1, 4]).tolist() == pytest.approx(
        [(1 + 2 / 3 + 3 / 4) / 3, 0.25, 1.0]
    )


def test_hubness_is_skewness_and_half_the_relative_mean_deviation() -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(4, 50)
    found = hubness(counts)
    assert found.skewness == pytest.approx(scipy_stats.skew(counts))
    mean = counts.mean()
    assert found.robin_hood == pytest.approx(np.maximum(counts - mean, 0).sum() / counts.sum())
    assert found.anti_hubs == (counts == 0).mean()
    assert hubness([3, 3, 3]).skewness == 0


def _neighbours(similarity: np.ndarray, artist: np.ndarray, m: int) -> np.ndarray:
    """All others of each work, nearest first; ties: other artists first, then the number."""
    n = len(similarity)
    own = artist == artist[:, None]
    order = [
        sorted((i for i in range(n) if i != q), key=lambda i, q=q: (-similarity[q, i], own[q, i], i))
        for q in range(n)
    ]
    return np.array(order)[:, :m]


def test_scores_without_an_artist_are_those_of_the_remaining_works() -> None:
    rng = np.random.default_rng(4)
    sizes = [2, 3, 5, 4, 6, 2]
    artist = np.repeat(np.arange(6), sizes)
    points = rng.normal(size=(len(artist), 4)) + 0.8 * rng.normal(size=(6, 4))[artist]
    similarity = (points @ points.T).round(1)
    k = 4
    found = top_scores(_neighbours(similarity, artist, k + max(sizes)), artist, 6, k=k)
    for gone in range(6):
        kept = artist != gone
        rest = np.unique(artist[kept], return_inverse=True)[1]
        inside = similarity[np.ix_(kept, kept)]
        again = top_scores(_neighbours(inside, rest, kept.sum() - 1), rest, 5, k=k)
        expected = [again.map_at_k, again.recall_at_1, again.skewness, again.robin_hood, again.anti_hubs]
        assert found.without[:, gone].tolist() == pytest.approx(expected, abs=1e-12)
    nearest = _neighbours(similarity, artist, 1)[:, 0]
    hit = artist[nearest] == artist
    assert found.recall_at_1 == pytest.approx(np.mean([hit[artist == a].mean() for a in range(6)]))


def _histograms(
    rng: np.random.Generator, bins: int, n: int = 3000
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    same = rng.integers(bins // 4, bins, n)
    different = rng.integers(0, 3 * bins // 4, 2 * n)
    return (
        same,
        different,
        np.bincount(same, minlength=bins) * 1.0,
        np.bincount(different, minlength=bins) * 1.0,
    )


@pytest.mark.parametrize("bins", [12, 400])
def test_verification_is_that_of_scikit_learn(bins: int) -> None:
    rng = np.random.default_rng(bins)
    same, different, positive, negative = _histograms(rng, bins)
    found = verification(positive, negative)
    truth, score = np.repeat([1, 0], [len(same), len(different)]), np.concatenate([same, different])
    assert found.auc == pytest.approx(metrics.roc_auc_score(truth, score), abs=1e-12)
    accepted, right, _ = metrics.roc_curve(truth, score, drop_intermediate=False)
    from scipy.optimize import brentq

    crossing = brentq(lambda x: 1 - x - np.interp(x, accepted, right), 0, 1, xtol=1e-14)
    assert found.equal_error_rate == pytest.approx(crossing, abs=1e-10)


def test_extreme_verifications() -> None:
    low, high = np.array([1.0, 0, 0]), np.array([0.0, 0, 1])
    assert verification(high, low).auc == 1 and verification(high, low).equal_error_rate == 0
    assert verification(low, high).auc == 0 and verification(low, high).equal_error_rate == 1
    assert verification(low, low).auc == 0.5 and verification(low, low).equal_error_rate == 0.5


def test_weights_of_pairs_count_as_sample_weights_do() -> None:
    rng = np.random.default_rng(6)
    score, truth, weight = rng.integers(0, 30, 500), rng.integers(0, 2, 500), rng.random(500)
    positive, negative = (
        np.bincount(score[truth == label], weight[truth == label], minlength=30) for label in (1, 0)
    )
    known = metrics.roc_auc_score(truth, score, sample_weight=weight)
    assert verification(positive, negative).auc == pytest.approx(known, abs=1e-12)


def test_a_threshold_keeps_the_rate_and_the_next_lower_does_not() -> None:
    rng = np.random.default_rng(7)
    _, _, _, negative = _histograms(rng, 50)
    for rate in (0.0, 0.01, 0.05, 0.5, 1.0):
        at = threshold_at(negative, rate)
        assert negative[at:].sum() <= rate * negative.sum() * (1 + 1e-9)
        assert at == 0 or negative[at - 1 :].sum() > rate * negative.sum()
    assert share_from(negative, 0) == 1
    weights = np.random.default_rng(0).random((2000, 40))
    weights[:, :9] = 0
    assert max(share_from(one, 9) for one in weights) == 1.0


def test_verification_without_an_artist_is_that_of_the_others() -> None:
    rng = np.random.default_rng(8)
    n, bins = 5, 20
    same = rng.random((n, bins))
    pairs = rng.random((n, n, bins))
    pairs = pairs + pairs.transpose(1, 0, 2)
    pairs[np.arange(n), np.arange(n)] = 0
    found = without_each(same, pairs.sum(axis=1))
    for gone in range(n):
        kept = np.arange(n) != gone
        expected = verification(same[kept].sum(axis=0), pairs[np.ix_(kept, kept)].sum(axis=(0, 1)))
        assert found[gone].auc == pytest.approx(expected.auc, abs=1e-12)
        assert found[gone].equal_error_rate == pytest.approx(expected.equal_error_rate, abs=1e-12)
