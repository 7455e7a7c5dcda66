"""The diagnostic of exchangeability: against enumeration, its level, and its power."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from imindex.stats.exchangeability import exchangeability_test


def world(
    random: np.random.Generator, n_artists: int, n_placebos: int, n_others: int, *, dimensions: int = 16
) -> np.ndarray:
    """Sets and works in a space of styles: all rows of a set depend on each other."""
    works = random.normal(size=(n_artists, dimensions)) / np.sqrt(dimensions)
    sets = random.normal(size=(n_placebos + n_others, dimensions))
    noise = 0.3 * random.normal(size=(n_artists, n_placebos + n_others))
    return np.asarray(works @ sets.T + noise)


def test_the_p_value_is_that_of_all_assignments() -> None:
    scores = np.random.default_rng(3).normal(size=(4, 9))
    scores[:, 6:] += 0.8
    result = exchangeability_test(scores, range(6), [6, 7, 8], n_resamples=40_000, rng=1)
    normal = stats.norm.ppf((stats.rankdata(scores, axis=1) - 0.5) / 9)
    summaries = np.stack([normal.mean(axis=0), (normal**2).mean(axis=0)])
    differences = []
    for chosen in itertools.combinations(range(9), 3):
        inside = np.isin(np.arange(9), chosen)
        differences.append(summaries[:, inside].mean(axis=1) - summaries[:, ~inside].mean(axis=1))
    table = np.array(differences)
    own = table[-1]  # the last combination is 6, 7, 8
    assert (result.shift, result.spread) == pytest.approx(tuple(own))
    deviation = table.std(axis=0)
    largest = np.abs(table / deviation).max(axis=1)
    assert result.statistic == pytest.approx(largest[-1])
    for got, exact in (
        (result.pvalue, np.mean(largest >= largest[-1] - 1e-9)),
        (result.shift_pvalue, np.mean(np.abs(table[:, 0]) >= abs(own[0]) - 1e-9)),
        (result.spread_pvalue, np.mean(np.abs(table[:, 1]) >= abs(own[1]) - 1e-9)),
    ):
        assert got == pytest.approx(exact, abs=0.01)
    assert (result.n_placebos, result.n_others, result.n_artists) == (6, 3, 4)


def test_monotone_transforms_and_the_order_of_columns_change_nothing() -> None:
    scores = world(np.random.default_rng(1), 8, 20, 6)
    first = exchangeability_test(scores, range(20), range(20, 26), n_resamples=199, rng=1)
    assert exchangeability_test(np.exp(scores), range(20), range(20, 26), n_resamples=199, rng=1) == first
    order = np.random.default_rng(2).permutation(26)
    place = np.argsort(order)
    moved = exchangeability_test(scores[:, order], place[:20], place[20:], n_resamples=199, rng=1)
    assert (moved.shift, moved.spread) == (first.shift, first.spread)


def test_cells_that_are_excluded_do_not_count() -> None:
    random = np.random.default_rng(4)
    scores = world(random, 12, 30, 12)
    excluded = np.zeros(scores.shape, bool)
    excluded[np.arange(12), 30 + np.arange(12)] = True
    plain = exchangeability_test(scores, range(30), range(30, 42), excluded=excluded, n_resamples=199, rng=1)
    scores[excluded] = 1e9
    assert (
        exchangeability_test(scores, range(30), range(30, 42), excluded=excluded, n_resamples=199, rng=1)
        == plain
    )
    scores[excluded] = np.nan
    assert (
        exchangeability_test(scores, range(30), range(30, 42), excluded=excluded, n_resamples=199, rng=1)
        == plain
    )


@pytest.mark.parametrize(("n_artists", "own_excluded"), [(1, False), (20, False), (3, True), (12, True)])
def test_the_level_holds_where_rows_depend_on_each_other(n_artists: int, own_excluded: bool) -> None:
    random = np.random.default_rng(5)
    n_others = n_artists if own_excluded else 10
    below = []
    for _ in range(400):
        scores = world(random, n_artists, 40, n_others)
        excluded = np.zeros(scores.shape, bool)
        if own_excluded:
            own = np.arange(n_artists), 40 + np.arange(n_artists)
            scores[own] += 5  # all are imitated
            excluded[own] = True
        p = exchangeability_test(
            scores, range(40), range(40, 40 + n_others), excluded=excluded, n_resamples=199, rng=random
        ).pvalue
        below.append(p <= 0.05)
    assert np.mean(below) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("kind", "least"), [("shift", 0.95), ("spread", 0.9), ("origin", 0.4)])
def test_it_finds_what_makes_the_name_test_call_too_often(kind: str, least: float) -> None:
    """Rates of false calls with these worlds are in METHODS.md."""
    random = np.random.default_rng(6)
    found = []
    for _ in range(60):
        works = random.normal(size=(30, 16)) / 4
        sets = random.normal(size=(119, 16))
        if kind == "spread":
            sets[99:] *= 1.5
        if kind == "origin":
            sets[99:] += 0.6 * random.normal(size=(6, 16))[random.integers(6, size=20)]
        scores = works @ sets.T + 0.3 * random.normal(size=(30, 119))
        if kind == "shift":
            scores[:, 99:] += 0.3
        result = exchangeability_test(scores, range(99), range(99, 119), n_resamples=199, rng=random)
        found.append(result.pvalue <= 0.05)
        if kind == "shift":
            assert result.shift > 0
    assert np.mean(found) >= least


def test_there_is_no_test_of_too_few_sets() -> None:
    scores = np.random.default_rng(1).normal(size=(5, 6))
    result = exchangeability_test(scores, [0, 1], [2, 3, 4, 5])
    assert np.isnan([result.pvalue, result.shift, result.spread_pvalue]).all()
    assert np.isnan(exchangeability_test(scores, range(6), []).pvalue)
    assert np.isnan(exchangeability_test(np.full((2, 8), np.nan), range(4), range(4, 8)).pvalue)
    constant = exchangeability_test(np.ones((3, 8)), range(4), range(4, 8), n_resamples=99)
    assert constant.pvalue == constant.shift_pvalue == 1.0 and constant.statistic == 0


def test_wrong_sets_are_refused() -> None:
    scores = np.zeros((2, 4))
    with pytest.raises(ValueError, match="listed twice"):
        exchangeability_test(scores, [0, 1], [1, 2])
    with pytest.raises(ValueError, match="numbered from 0 to 3"):
        exchangeability_test(scores, [0, 1], [2, 4])
    with pytest.raises(ValueError, match="expected the shape"):
        exchangeability_test(scores, [0, 1], [2, 3], excluded=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="artists x sets"):
        exchangeability_test(scores[0], [0, 1], [2, 3])
