"""Combination of encoders: exact level by enumeration, under any dependence, closed testing, and the error card."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from imindex.stats.combination import (
    cauchy_combination,
    combine,
    combined_error_card,
    combined_pvalue,
    combined_test,
    encoder_level,
    harmonic_mean_pvalue,
    nearest_combined,
)
from imindex.stats.error_card import error_card
from imindex.stats.references import name_test, nearest_pvalue, rival_test
from imindex.stats.set_scores import SetScores, collect, twice_midranks
from imindex.stats.set_statistics import SetTable, fit, set_table


def by_hand(own: np.ndarray, references: np.ndarray, weights: np.ndarray) -> float:
    """The definition, set by set."""
    values = np.column_stack([own, references])
    z = [(row - np.mean(row)) / np.std(row) for row in values]
    combined = [
        sum(w * -np.log(scipy_stats.norm.sf(row[s])) for w, row in zip(weights, z, strict=True))
        for s in range(values.shape[1])
    ]
    return float(np.mean([value >= combined[0] - 1e-9 for value in combined]))


def test_p_value_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    for n_encoders, n in itertools.product((1, 2, 3), (1, 4, 19)):
        own, references = rng.normal(0.5, 1, n_encoders), rng.normal(size=(n_encoders, n))
        weights = rng.uniform(0.2, 2, n_encoders)
        assert combined_pvalue(own, references, weights) == pytest.approx(by_hand(own, references, weights))


@pytest.mark.parametrize("ties", [False, True])
def test_level_is_exact_over_all_orders_of_the_sets(ties: bool) -> None:
    """Each of K + 1 sets is equally likely to be the own one: p <= k / (K + 1) for at most k of them."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        sets = rng.normal(size=(3, 7))
        sets[1] = 0.9 * sets[0] + 0.1 * sets[1]
        if ties:
            sets = np.round(sets)
        p = np.array([combined_pvalue(sets[:, s], np.delete(sets, s, axis=1)) for s in range(7)])
        for k in range(1, 8):
            assert (p <= k / 7 + 1e-12).sum() <= k
        if not ties:
            assert sorted(p) == pytest.approx(np.arange(1, 8) / 7)


@pytest.mark.parametrize(
    "dependence", ["independent", "correlated", "opposed", "same size", "heavy and useless"]
)
def test_level_whatever_the_dependence(dependence: str) -> None:
    rng = np.random.default_rng(3)
    n = 4000
    first, second = rng.normal(size=(2, n, 20))
    second = {
        "independent": second,
        "correlated": 0.9 * first + np.sqrt(1 - 0.81) * second,
        "opposed": -first,
        "same size": np.abs(first) * np.sign(second),
        "heavy and useless": 1e6 * np.tan(second),
    }[dependence]
    tables = [first, second]
    usable = np.ones((n, 20), bool)
    p = combined_test(tables, usable, own=np.zeros(n, int)).pvalue
    for level in (0.05, 0.1, 0.5):
        assert abs((p <= level + 1e-9).mean() - level) < 4 * np.sqrt(level * (1 - level) / n)


def test_identical_encoders_are_one_encoder() -> None:
    rng = np.random.default_rng(4)
    table = rng.normal(size=(30, 50))
    usable = rng.random((30, 50)) < 0.7
    alone = combined_test([table], usable)
    for tables in ([table, table], [table, 3 * table - 7, table]):
        together = combined_test(tables, usable)
        assert together.pvalue.tolist() == alone.pvalue.tolist()
        assert together.closed == pytest.approx(np.repeat(alone.pvalue[:, None], len(tables), axis=1))


def sets_of(rng: np.random.Generator) -> tuple[SetScores, SetTable]:
    works, artist = rng.normal(size=(30, 6)), np.repeat(np.arange(6), 5)
    works += np.repeat(rng.normal(size=(6, 6)), 5, axis=0)
    names = np.repeat(np.arange(21), 4)
    pictures = np.round(rng.normal(size=(84, 6)), 1)
    scores = collect([(slice(None), twice_midranks(works @ pictures.T))], artist, names, 21, rng=1)
    return scores, set_table(fit(works, artist), pictures, scores)


def test_one_encoder_with_weight_gives_its_own_p_value_to_the_bit() -> None:
    scores, table = sets_of(np.random.default_rng(5))
    placebos = np.arange(6, 21)
    values = table.values[4][:6]
    usable = np.zeros((6, 21), bool)
    usable[:, 6:] = True
    other = np.random.default_rng(6).normal(size=(6, 21))
    other[:, 3] = np.nan  # does not matter: the encoder has no weight
    weights = np.tile([1.0, 0.0], (6, 1))
    found = combined_test([values, other], usable, weights)
    name = name_test(scores, placebos, table)
    assert found.pvalue.tolist() == name.pvalue[:6].tolist() == found.by_encoder[:, 0].tolist()
    assert found.n_reference.tolist() == name.n_reference[:6].tolist()
    assert found.resolution.tolist() == name.resolution[:6].tolist()
    assert np.isnan(found.by_encoder[:, 1]).all() and np.isnan(found.closed[:, 1]).all()
    rivals = np.zeros((6, 21), bool)
    rivals[:, :6] = True
    assert (
        combined_test([values], rivals).pvalue.tolist()
        == rival_test(scores, placebos, table).pvalue[:6].tolist()
    )
    nearest = nearest_pvalue(scores, placebos, table)
    for a in range(6):
        assert nearest_combined(values[a : a + 1, :6], values[a : a + 1, 6:]) == nearest[a]


def test_artists_without_weight_sets_or_scores_have_no_test() -> None:
    rng = np.random.default_rng(7)
    tables = rng.normal(size=(2, 4, 12))
    usable = np.ones((4, 12), bool)
    weights = np.ones((4, 2))
    weights[0] = 0
    usable[1] = False
    tables[1, 2, 2] = np.nan  # the own set
    tables[1, 3, 5:7] = np.nan  # two references
    found = combined_test(list(tables), usable, weights)
    assert np.isnan(found.pvalue[:3]).all() and np.isnan(found.closed[:3]).all()
    assert found.n_reference[3] == 9 and found.pvalue[3] == combined_pvalue(
        tables[:, 3, 3], np.delete(tables[:, 3], [3, 5, 6], axis=1)
    )
    assert found.n_reference[[0, 1]].tolist() == [0, 0] and np.isnan(found.resolution[:2]).all()


def test_nearest_is_the_best_that_any_real_set_would_have() -> None:
    rng = np.random.default_rng(8)
    real, placebos = rng.normal(0.5, 1, (2, 9)), rng.normal(size=(2, 19))
    each = [combined_pvalue(real[:, r], placebos) for r in range(9)]
    assert nearest_combined(real, placebos) == min(each)
    real[0, int(np.argmin(each))] = np.nan
    assert nearest_combined(real, placebos) == sorted(each)[1]


def test_closed_p_value_is_the_largest_over_the_sets_that_contain_the_encoder() -> None:
    rng = np.random.default_rng(9)
    tables = rng.normal(size=(3, 5, 41))
    tables[:2, np.arange(5), np.arange(5)] += 2
    usable = np.zeros((5, 41), bool)
    usable[:, 5:] = True
    found = combined_test(list(tables), usable)
    for a in range(5):
        for encoder in range(3):
            p = [
                combined_pvalue(tables[list(subset), a, a], tables[list(subset), a, 5:])
                for n in (1, 2, 3)
                for subset in itertools.combinations(range(3), n)
                if encoder in subset
            ]
            assert found.closed[a, encoder] == pytest.approx(max(p))
            assert found.by_encoder[a, encoder] == pytest.approx(p[0])
            assert found.closed[a, encoder] >= found.pvalue[a] - 1e-12


def test_closed_testing_keeps_the_familywise_level_while_one_encoder_sees_an_effect() -> None:
    rng = np.random.default_rng(10)
    n, false = 3000, 0
    sets = rng.normal(size=(3, n, 40))
    sets[2] = 0.5 * sets[1] + np.sqrt(0.75) * sets[2]
    sets[0, :, 0] += 3
    found = combined_test(list(sets), np.ones((n, 40), bool), own=np.zeros(n, int))
    true, false = found.closed[:, 0] <= 0.05, (found.closed[:, 1:] <= 0.05).any(axis=1)
    assert false.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)
    assert true.mean() > 0.3
    # Without closed testing, statements about the encoders without an effect are too frequent.
    assert (found.by_encoder[:, 1:] <= 0.05).any(axis=1).mean() > 0.07


def test_two_encoders_find_more_than_either() -> None:
    rng = np.random.default_rng(11)
    n = 1500
    sets = rng.normal(size=(2, n, 100))
    sets[:, :, 0] += 2.2
    found = combined_test(list(sets), np.ones((n, 100), bool), own=np.zeros(n, int))
    alone = (found.by_encoder <= 0.01 + 1e-12).mean(axis=0)
    assert (found.pvalue <= 0.01 + 1e-12).mean() > alone.max() + 0.15


def test_an_encoder_that_gives_every_set_the_same_score_says_nothing() -> None:
    rng = np.random.default_rng(12)
    own, references = rng.normal(size=(2, 1)), rng.normal(size=(2, 15))
    alone = combined_pvalue(own[0], references[:1])
    assert combined_pvalue([own[0, 0], 0.3], [references[0], np.full(15, 0.3)]) == alone
    assert combined_pvalue([0.1, 0.3], np.full((2, 15), [[0.1], [0.3]])) == 1.0


def test_the_error_card_of_one_encoder_is_that_of_its_own_test() -> None:
    scores = np.random.default_rng(13).normal(size=(40, 40))
    artists, placebos, rivals = range(6), range(15, 40), range(15)
    own = error_card(scores, artists, placebos, rivals, n_repeats=200, rng=3)
    others = [[r for r in rivals if r != a] for a in artists]
    noise = np.random.default_rng(14).normal(size=(6, 40))
    weights = np.tile([1.0, 0.0], (6, 1))
    card = combined_error_card([scores[:6], noise], weights, placebos, others, n_repeats=200, rng=3)
    assert card == own


def test_the_error_card_puts_placebo_sets_in_the_artists_places() -> None:
    rng = np.random.default_rng(15)
    scores = rng.normal(size=(2, 3, 30))
    scores[1] = 0.6 * scores[0] + 0.8 * scores[1]
    placebos, rivals = np.arange(10, 30), [[1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 3, 4]]
    card = combined_error_card(list(scores), np.ones((3, 2)), placebos, rivals, n_repeats=50, rng=1)
    assert card is not None and card.n_rivals == 4
    p_name = [
        combined_pvalue(scores[:, a, p], scores[:, a, placebos[placebos != p]])
        for a in range(3)
        for p in placebos
    ]
    p_rival = [combined_pvalue(scores[:, a, p], scores[:, a, rivals[a]]) for a in range(3) for p in placebos]
    for level, name, rival in zip(card.levels, card.name, card.rival, strict=True):
        assert name == pytest.approx(np.mean(np.array(p_name) <= level + 1e-9))
        assert rival == pytest.approx(np.mean(np.array(p_rival) <= level + 1e-9))
    assert combined_error_card(list(scores), np.ones((3, 2)), [10], rivals) is None


def test_corrected_combined_findings_are_as_rare_as_the_level_says() -> None:
    shares = []
    for seed in range(12):
        scores = np.random.default_rng(seed).normal(size=(2, 12, 72))
        rivals = [[r for r in range(12) if r != a] for a in range(12)]
        card = combined_error_card(
            list(scores), np.ones((12, 2)), range(12, 72), rivals, n_repeats=100, rng=seed
        )
        assert card is not None
        shares.append((card.any_name_effect, card.any_imitated))
    name, imitated = np.mean(shares, axis=0)
    assert imitated <= name <= 0.05 + 3 * np.std(shares, axis=0)[0] / np.sqrt(12)


def test_level_of_statements_about_encoders() -> None:
    assert encoder_level(0, 24) == 0
    assert encoder_level(24, 24) == 0.05
    assert encoder_level(6, 24) == pytest.approx(0.0125)
    assert encoder_level(6, 3 * 24, method="holm", level=0.1) == pytest.approx(0.1 / 72)
    assert encoder_level(2, 2, method="by") == pytest.approx(0.05 / 1.5)
    with pytest.raises(ValueError, match="n_called is 3"):
        encoder_level(3, 2)


def test_combined_p_values_for_comparison() -> None:
    rng = np.random.default_rng(16)
    assert cauchy_combination([0.03, 0.03]) == pytest.approx(0.03)
    assert cauchy_combination([0.5, 1.0]) == 1.0
    assert harmonic_mean_pvalue([0.2]) == 0.2
    p = rng.random((3000, 3))
    for combination in (harmonic_mean_pvalue, cauchy_combination):
        share = np.mean([combination(row) <= 0.05 for row in p])
        assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 3000)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0], "one for each of 2"), ([1.0, -1.0], "negative"), ([1.0, np.nan], "not finite")],
)
def test_weights_that_do_not_fit_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        combine(np.ones((2, 5)), weights)


def test_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="encoders x sets"):
        combine(np.ones(5))
    with pytest.raises(ValueError, match="not finite"):
        combine([[1.0, np.nan], [1.0, 2.0]])
    with pytest.raises(ValueError, match="do not fit tables"):
        combined_test([np.ones((2, 5))], np.ones((3, 5)))
    with pytest.raises(ValueError, match="one column"):
        combined_test([np.ones((2, 5))], np.ones((2, 5)), own=[0])
    with pytest.raises(ValueError, match="at least one table"):
        combined_test([], np.ones((2, 5)))
