"""Changes between releases against those of placebo names: exactness under drift, intervals, margins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from imindex.stats.changes import change_interval, change_test, mean_change
from imindex.stats.equivalence import tost
from imindex.stats.intervals import Spread

N_ARTISTS, N_PLACEBOS = 8, 39
N = N_ARTISTS + N_PLACEBOS
OWN = np.arange(N_ARTISTS)
PLACEBOS = np.arange(N_ARTISTS, N)
REFERENCES = np.tile(np.arange(N) >= N_ARTISTS, (N_ARTISTS, 1))


def drifted(rng: np.random.Generator, drift: float, spread: float = 0.05) -> np.ndarray:
    """Changes where nothing changed but by a drift, whose strength differs between artists and between names."""
    return drift + drift * rng.normal(0, 0.5, (N_ARTISTS, 1)) + rng.normal(0, spread, (1, N)) + rng.normal(0, 0.02,
    (N_ARTISTS, N))  # fmt: skip


def p_by_hand(own: float, placebos: np.ndarray, alternative: str) -> float:
    everything = np.array([own, *placebos])
    score = {"greater": everything, "less": -everything}.get(
        alternative, np.abs(everything - everything.mean())
    )
    return float((score >= score[0] - 1e-9).mean())


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_p_is_the_rank_among_all_changes(alternative: str) -> None:
    rng = np.random.default_rng(5)
    changes = np.round(drifted(rng, 0.1), 2)  # with ties
    result = change_test(changes, OWN, REFERENCES, alternative=alternative)
    for artist in OWN:
        assert result.pvalue[artist] == pytest.approx(
            p_by_hand(changes[artist, artist], changes[artist, PLACEBOS], alternative)
        )
    assert result.beyond == pytest.approx(np.diag(changes) - changes[:, PLACEBOS].mean(axis=1))


def test_interval_holds_the_shifts_that_are_not_rejected() -> None:
    rng = np.random.default_rng(6)
    changes = drifted(rng, 0.1)
    result = change_test(changes, OWN, REFERENCES)
    for artist in OWN:
        for shift in np.linspace(-0.5, 0.5, 401):
            p = p_by_hand(changes[artist, artist] - shift, changes[artist, PLACEBOS], "two-sided")
            if p > 0.05 + 1e-9:
                assert result.low[artist] - 1e-9 <= shift <= result.high[artist] + 1e-9


def test_too_few_placebo_names_give_no_interval() -> None:
    few = REFERENCES & (np.arange(N) < N_ARTISTS + 10)
    result = change_test(drifted(np.random.default_rng(1), 0.1), OWN, few)
    assert np.isnan(result.low).all() and np.isfinite(result.pvalue).all()
    none = change_test(np.zeros((1, 2)), [0], [[False, False]])
    assert np.isnan(none.pvalue[0]) and np.isnan(none.resolution[0])


@pytest.mark.parametrize("drift", [0.0, 0.05, 0.3])
def test_level_holds_under_drift(drift: float) -> None:
    rng, one, mean, covered = np.random.default_rng(11), [], [], []
    for _ in range(300):
        changes = drifted(rng, drift)
        one.append((change_test(changes, OWN, REFERENCES).pvalue <= 0.05).mean())
        result = mean_change(changes, OWN, PLACEBOS, n_resamples=199, rng=rng)
        mean.append(result.pvalue <= 0.05)
        covered.append(result.interval.low <= 0 <= result.interval.high)
    for found in (one, mean):
        assert np.mean(found) <= 0.05 + 3 * np.std(found) / len(found) ** 0.5
    assert np.mean(covered) >= 0.95 - 3 * (0.05 * 0.95 / len(covered)) ** 0.5


def test_artist_that_rises_is_found() -> None:
    changes = drifted(np.random.default_rng(3), 0.2)
    changes[2, 2] += 0.4
    result = change_test(changes, OWN, REFERENCES)
    assert result.pvalue[2] == result.resolution[2] == 1 / (1 + N_PLACEBOS)
    assert result.low[2] > 0


def test_p_of_the_mean_is_that_of_all_assignments() -> None:
    rng = np.random.default_rng(2)
    changes = rng.normal(size=(2, 6))
    found = mean_change(changes, [0, 1], range(2, 6), n_resamples=20_000, rng=1)
    centred = changes - changes.mean(axis=1, keepdims=True)
    columns = centred.mean(axis=0)

    def t(order: tuple[int, ...]) -> float:
        own, others = centred[[0, 1], list(order[:2])], columns[list(order[2:])]
        return (own.mean() - others.mean()) / np.sqrt(own.var(ddof=1) / 2 + others.var(ddof=1) / 4)

    null = np.array([abs(t(order)) for order in itertools.permutations(range(6))])
    assert found.pvalue == pytest.approx((null >= abs(t(tuple(range(6)))) - 1e-9).mean(), abs=0.012)


def test_margin() -> None:
    rng = np.random.default_rng(8)
    result = mean_change(drifted(rng, 0.1, 0.01), OWN, PLACEBOS, rng=1)
    assert result.within(0.1).pvalue < 0.05 < result.within(0.001).pvalue
    values = rng.normal(0, 0.02, 30)
    plain = tost(values, margin=0.02)
    assert plain.pvalue_upper != plain.pvalue_lower


def test_without_placebo_names_there_is_no_test() -> None:
    result = mean_change(np.zeros((3, 3)), [0, 1, 2], [])
    assert np.isnan(result.pvalue) and np.isnan(result.estimate)


@pytest.mark.parametrize(
    ("n", "changed", "size"),
    [(70, 0.05, 0.3), (70, 0.1, 0.3), (24, 0.1, 0.5), (70, 1.0, 0.1), (24, 0.5, 0.2)],
)
def test_interval_of_the_mean_covers_where_most_artists_did_not_change(
    n: int, changed: float, size: float
) -> None:
    rng, covered = np.random.default_rng(9), []
    for _ in range(1000):
        values = np.where(rng.random(n) < changed, rng.uniform(0, 2 * size, n), 0.0)
        spread = Spread(values.var(ddof=1) / n, n - 1, n)
        interval = change_interval(values, spread)
        assert interval.low < interval.high
        covered.append(interval.low <= changed * size <= interval.high)
    assert np.mean(covered) >= 0.94
