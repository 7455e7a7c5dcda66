"""Intervals and differences over artists, calibration and anisotropy, against theory and other formulas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from imindex.stats.anisotropy import anisotropy
from imindex.stats.calibration import BINS, calibration, cross_fitted_confidence, inverse_temperature
from imindex.stats.over_artists import Contributions, by_group, difference, interval
from imindex.stats.paired import paired_difference


def test_contributions_of_a_mean_are_its_values() -> None:
    values = np.array([0.1, 0.4, 0.3, 0.8])
    without = (values.sum() - values) / 3
    assert Contributions.from_jackknife(values.mean(), without).each == pytest.approx(values)
    assert Contributions.from_influence(0.4, values - 0.4).each == pytest.approx(values)


def test_the_interval_of_a_number_is_that_of_the_bootstrap_of_scipy() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(1).gamma(2.0, size=40)
    found = interval(Contributions(values.mean(), values, is_share=False), n_resamples=20_000, rng=2)
    known = bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=3, confidence_level=0.95)
    low, high = known.confidence_interval
    width = high - low
    # Ours is widened for 40 artists as Student's t is, by about 4 %.
    assert abs(found.low - low) < 0.08 * width and abs(found.high - high) < 0.08 * width
    assert found.high - found.low > width


def test_groups_of_one_are_artists_and_equal_groups_are_their_means() -> None:
    rng = np.random.default_rng(4)
    values = rng.random(24)
    figure = Contributions(float(values.mean()), values)
    alone = interval(figure, rng=1)
    single = interval(figure, group=np.arange(24), rng=1)
    assert (single.low, single.high) == pytest.approx((alone.low, alone.high))
    group = np.repeat(np.arange(8), 3)
    of_groups = interval(figure, group=group, rng=1)
    means = values.reshape(8, 3).mean(axis=1)
    expected = interval(Contributions(float(means.mean()), means), rng=1)
    assert (of_groups.low, of_groups.high) == pytest.approx((expected.low, expected.high))
    sums, sizes = by_group(values, group)
    assert sums == pytest.approx(means * 3) and sizes.tolist() == [3.0] * 8


def test_few_artists_have_no_interval() -> None:
    assert np.isnan(interval(Contributions(0.5, np.array([0.4, 0.6]))).low)
    assert np.isnan(interval(Contributions(0.5, np.full(9, np.nan))).high)


def test_the_difference_is_the_paired_one_over_artists_or_groups() -> None:
    rng = np.random.default_rng(5)
    base, new = rng.random(12), rng.random(12) + 0.2
    one, two = Contributions(base.mean(), base), Contributions(new.mean(), new)
    found = difference(one, two, rng=1)
    expected = paired_difference(base, new, rng=1)
    assert found.estimate == pytest.approx(expected.estimate)
    assert found.pvalue == expected.pvalue
    assert found.interval.low == pytest.approx(expected.interval.low)
    grouped = difference(one, two, group=np.repeat(np.arange(4), 3), rng=1)
    assert grouped.estimate == pytest.approx(expected.estimate) and grouped.n_artists == 4
    assert difference(one, one, rng=1).pvalue == 1


def test_the_temperature_maximises_the_likelihood() -> None:
    rng = np.random.default_rng(6)
    scores = rng.normal(size=(4000, 5))
    chance = scipy.special.softmax(3.0 * scores, axis=1)
    truth = (rng.random(len(scores))[:, None] > chance.cumsum(axis=1)).sum(axis=1)
    factor = inverse_temperature(scores, truth, np.ones(len(scores)))
    assert factor == pytest.approx(3.0, rel=0.06)

    def loss(value: float) -> float:
        return float(-scipy.special.log_softmax(value * scores, axis=1)[np.arange(len(scores)), truth].sum())

    assert loss(factor) <= min(loss(factor * 1.01), loss(factor / 1.01))
    confidence, right = cross_fitted_confidence(scores, truth, np.arange(len(scores)) % 2)
    assert right.mean() == pytest.approx((scores.argmax(axis=1) == truth).mean())
    found = calibration(confidence, right, truth, 5, rng=1)
    assert found.error < 3 * found.if_calibrated
    assert found.of_artist.mean() == pytest.approx(found.error)
    too_sure = calibration(confidence**0.25, right, truth, 5, rng=1)
    assert too_sure.error > 5 * found.if_calibrated


def test_a_tie_for_the_first_place_is_not_right() -> None:
    scores = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.2, 0.9]])
    truth = np.array([0, 0, 1, 1])
    assert cross_fitted_confidence(scores, truth, np.array([0, 1, 0, 1]))[1].tolist() == [
        False,
        True,
        True,
        True,
    ]


def test_calibration_error_by_hand() -> None:
    confidence = np.tile(np.linspace(0.1, 1.0, BINS), 4)
    artist = np.repeat([0, 1], 2 * BINS)
    right = np.tile([True, False], 2 * BINS)
    found = calibration(confidence, right, artist, 2, rng=1)
    expected = np.mean([abs(right[confidence == c].mean() - c) for c in np.unique(confidence)])
    assert found.error == pytest.approx(expected)
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.confidence == pytest.approx(np.linspace(0.1, 1.0, BINS))


def test_effective_rank_of_known_spectra() -> None:
    rng = np.random.default_rng(7)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    points = np.concatenate([axes[:3], -axes[:3]])
    found = anisotropy(points, np.arange(6), 6)
    assert found.effective_rank == pytest.approx(3.0)
    assert found.mean_cosine == pytest.approx(-1 / 5)  # each has one opposite among 5 others


def test_anisotropy_without_an_artist_and_by_the_definition() -> None:
    rng = np.random.default_rng(8)
    sizes = [2, 5, 3, 4]
    artist = np.repeat(np.arange(4), sizes)
    points = rng.normal(size=(len(artist), 8)) + 1
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = anisotropy(points, artist, 4)

    def mean_cosine(kept: list[int]) -> float:
        return float(
            np.mean(
                [(points[artist == a] @ points[artist == b].T).mean() for a in kept for b in kept if a != b]
            )
        )

    assert found.mean_cosine == pytest.approx(mean_cosine([0, 1, 2, 3]))
    for gone in range(4):
        rest = [a for a in range(4) if a != gone]
        assert found.mean_cosine_without[gone] == pytest.approx(mean_cosine(rest))


def test_the_influence_on_the_effective_rank_is_its_derivative() -> None:
    rng = np.random.default_rng(9)
    artist = np.repeat(np.arange(5), 4)
    points = rng.normal(size=(20, 6)) * np.array([3, 2, 1, 1, 0.5, 0.2])

    def rank(weights: np.ndarray) -> float:
        w = weights[artist] / weights[artist].sum()
        centre = w @ points
        values = np.linalg.eigvalsh((w[:, None] * (points - centre)).T @ (points - centre))
        share = np.sqrt(values) / np.sqrt(values).sum()
        return float(np.exp(-(share * np.log(share)).sum()))

    found = anisotropy(points, artist, 5)
    assert found.effective_rank == pytest.approx(rank(np.ones(5)))
    slopes = []
    for a in range(5):
        step = np.zeros(5)
        step[a] = 1e-5
        slopes.append((rank(np.ones(5) + step) - rank(np.ones(5) - step)) / 2e-5 * 5)
    assert found.rank_influence == pytest.approx(slopes, rel=1e-4, abs=1e-6)
