"""The walk over all works and the figures of an encoder, against brute force and scikit-learn."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from imindex.retrieval.protocol import walk as walking
from imindex.retrieval.protocol.figures import NUMBERS, SHARES, figures, splits
from imindex.retrieval.protocol.walk import NEIGHBOURS, walk
from imindex.retrieval.vectors.similarity import similarities
from imindex.stats.conformal import conformal_attribution
from imindex.stats.keyed import generators
from imindex.stats.validity import gap_bootstrap
from tests.support.works_index import unit

metrics = pytest.importorskip("sklearn.metrics")
SIZES = np.array([2, 7, 3, 5, 12, 4, 6])
whose = np.repeat(np.arange(len(SIZES)), SIZES)
NAMES = tuple(f"Artist {i}" for i in range(len(SIZES)))
HALF = splits(len(SIZES), 0, NAMES)


@pytest.fixture(scope="module")
def works() -> np.ndarray:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(len(whose), 12)) + 0.9 * rng.normal(size=(len(SIZES), 12))[whose]
    points[5] = points[20]  # the same picture, listed under two artists
    return unit(points)


@pytest.fixture(scope="module")
def table(works: np.ndarray) -> np.ndarray:
    return similarities(works, works)


@pytest.fixture(scope="module", params=["one block", "many blocks"])
def walked(request: pytest.FixtureRequest, works: np.ndarray) -> walking.Walked:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many blocks":
            patch.setattr(walking, "BLOCK_BYTES", 3 * 8 * len(works))  # three rows at a time
        return walk(works, SIZES, HALF, k=4)


def test_average_precision_of_each_artist_is_that_of_scikit_learn(
    walked: walking.Walked, table: np.ndarray
) -> None:
    each = []
    for query in range(len(table)):
        gallery = np.arange(len(table)) != query
        each.append(metrics.average_precision_score(whose[gallery] == whose[query], table[query, gallery]))
    expected = np.bincount(whose, each) / SIZES
    assert walked.average_precision == pytest.approx(expected, abs=1e-12)


def test_what_artists_take_sums_over_queries(walked: walking.Walked, table: np.ndarray) -> None:
    """Doubling the weight of an artist's works in the gallery changes precision by what it takes, to first order."""
    step = 1e-6
    for artist in range(len(SIZES)):
        change = 0.0
        for query in np.flatnonzero(whose != artist):
            own = (whose == whose[query]) & (np.arange(len(table)) != query)
            others = whose != whose[query]
            values = []
            for sign in (1, -1):
                weight = np.where(whose == artist, 1 + sign * step, 1.0)
                precision = []
                for value in table[query, own]:
                    p = (table[query, own] >= value).sum()
                    precision.append(p / (p + weight[others & (table[query] >= value)].sum()))
                values.append(np.mean(precision))
            change += (values[0] - values[1]) / (2 * step) / SIZES[whose[query]]
        assert -walked.taken[artist] == pytest.approx(change, abs=1e-6)


def test_neighbours_are_the_nearest_and_ties_count_against(walked: walking.Walked, table: np.ndarray) -> None:
    m = walked.neighbour.shape[1]
    for query in range(len(table)):
        others = [i for i in range(len(table)) if i != query]
        others.sort(key=lambda i, q=query: (-table[q, i], whose[i] == whose[q], i))
        assert walked.neighbour[query].tolist() == others[:m]


def test_histograms_give_the_auc_of_all_pairs_balanced_by_artist(
    walked: walking.Walked, works: np.ndarray, table: np.ndarray
) -> None:
    i, j = np.triu_indices(len(table), k=1)
    same = whose[i] == whose[j]
    n = SIZES
    weight = np.where(same, 1 / (n[whose[i]] * (n[whose[i]] - 1)), 1 / (n[whose[i]] * n[whose[j]]))
    found = figures(works, whose, NAMES, k=4, n_resamples=99)
    known = metrics.roc_auc_score(same, table[i, j], sample_weight=weight)
    assert found.values["auc"].estimate == pytest.approx(known, abs=2e-5)
    accepted, right, _ = metrics.roc_curve(same, table[i, j], sample_weight=weight, drop_intermediate=False)
    both = np.abs(1 - right - accepted).argmin()
    low, high = sorted((1 - right[both], accepted[both]))
    rate = found.values["equal_error_rate"].estimate
    assert low - 0.03 <= rate <= high + 0.03
    assert walked.all_same.sum() == pytest.approx(len(SIZES))
    assert walked.all_different.sum() == pytest.approx(len(SIZES) * (len(SIZES) - 1))


def test_halves_hold_the_pairs_within_them_only(walked: walking.Walked) -> None:
    for split, members in enumerate(HALF):
        for half in (0, 1):
            inside = int((members == bool(half)).sum())
            assert inside >= 2
            assert walked.half_same[split, half].sum() == pytest.approx(inside)
            assert walked.half_different[split, half].sum() == pytest.approx(inside * (inside - 1))


def test_scores_are_means_of_the_nearest_works_of_each_artist(
    walked: walking.Walked, table: np.ndarray
) -> None:
    for query in range(len(table)):
        for artist in range(len(SIZES)):
            there = table[query, (whose == artist) & (np.arange(len(table)) != query)]
            assert walked.score[query, artist] == pytest.approx(np.sort(there)[-NEIGHBOURS:].mean(), abs=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_conformal_sets_are_those_of_each_work_against_all_others(
    works: np.ndarray, table: np.ndarray, level: float
) -> None:
    found = walk(works, SIZES, HALF, k=4, confidence_level=level)
    entered = np.zeros(len(SIZES))
    for query in range(len(table)):
        rest = np.arange(len(table)) != query
        expected = conformal_attribution(
            table[query, rest], table[np.ix_(rest, rest)], whose[rest], len(SIZES),
            k=NEIGHBOURS, confidence_level=level,
        )  # fmt: skip
        assert bool(found.covered[query]) == (whose[query] in expected.prediction_set), query
        assert found.set_size[query] == len(expected.prediction_set), query
        entered[expected.prediction_set] += 1 / SIZES[whose[query]] / len(SIZES)
    assert found.entered == pytest.approx(entered)


def test_every_figure_is_there_and_its_contributions_have_it_as_their_mean(works: np.ndarray) -> None:
    found = figures(works, whose, NAMES, k=4, n_resamples=99)
    assert set(found.values) == {*SHARES, *NUMBERS}
    for name, figure in found.values.items():
        assert figure.is_share == (name in SHARES)
        assert figure.each.mean() == pytest.approx(figure.estimate, abs=1e-9), name
        assert figure.each.shape == (len(SIZES),)
    gaps = gap_bootstrap(
        similarities(works, works).astype(np.float32), whose, len(SIZES), n_resamples=99,
        rng=generators(0, "encoders told", NAMES),
    )  # fmt: skip
    assert found.gaps.status == gaps.status
    assert found.gaps.gap == pytest.approx(gaps.gap, abs=1e-6)


def test_figures_do_not_depend_on_the_block_size(works: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = figures(works, whose, NAMES, k=4, n_resamples=99)
    monkeypatch.setattr(walking, "BLOCK_BYTES", 8 * len(works))
    again = figures(works, whose, NAMES, k=4, n_resamples=99)
    for name, figure in whole.values.items():
        assert again.values[name].estimate == pytest.approx(figure.estimate, abs=1e-12), name


def test_artists_in_different_directions_are_found_at_once() -> None:
    """Every figure is at its end."""
    points = np.repeat(np.eye(6)[:5], 4, axis=0) + 1e-3 * np.random.default_rng(2).normal(size=(20, 6))
    found = figures(unit(points), np.repeat(np.arange(5), 4), NAMES[:5], n_resamples=99)
    estimate = {name: figure.estimate for name, figure in found.values.items()}
    assert estimate["map"] == estimate["recall_at_1"] == 1
    assert estimate["auc"] == pytest.approx(1)
    assert estimate["equal_error_rate"] == pytest.approx(0) and estimate[
        "false_negative_rate"
    ] == pytest.approx(0)


def test_random_vectors_are_at_chance() -> None:
    rng = np.random.default_rng(3)
    artist = np.repeat(np.arange(40), 6)
    found = figures(unit(rng.normal(size=(240, 32))), artist, tuple(map(str, range(40))), n_resamples=99)
    values = found.values
    assert values["map"].estimate == pytest.approx(found.chance["map"], abs=0.01)
    assert values["recall_at_1"].estimate == pytest.approx(found.chance["recall_at_1"], abs=0.03)
    assert values["auc"].estimate == pytest.approx(0.5, abs=0.03)
    assert values["equal_error_rate"].estimate == pytest.approx(0.5, abs=0.03)
    assert values["told"].estimate < 0.1
    assert values["false_positive_rate"].estimate == pytest.approx(0.05, abs=0.01)
    assert values["false_negative_rate"].estimate == pytest.approx(0.95, abs=0.03)


def test_no_table_of_all_pairs_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "BLOCK_BYTES", 2**20)
    rng = np.random.default_rng(4)
    works, sizes = unit(rng.normal(size=(2400, 8))), np.full(60, 40)
    half = splits(60, 0, tuple(map(str, range(60))))[:2]
    tracemalloc.start()
    walk(works, sizes, half)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(works) ** 2 / 2  # 23 MB; the table alone would take 46 MB


def test_works_must_be_sorted_and_several_of_each_artist(works: np.ndarray) -> None:
    for artist, names in ((whose[::-1], NAMES), (whose, NAMES[1:]), (np.arange(len(whose)), NAMES)):
        with pytest.raises(ValueError, match="sorted by artist"):
            figures(works, artist, names)


def test_splits_depend_on_names_and_are_halves() -> None:
    names = tuple("abcdefg")
    found = splits(7, 1, names)
    assert (found.sum(axis=1) == 3).all()
    turned = splits(7, 1, names[::-1])
    assert (turned[:, ::-1] == found).all()
    assert (splits(7, 2, names) != found).any()
