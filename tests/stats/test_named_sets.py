"""Sets of a name against sets of reference names, by brute force and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from imindex.stats.erasure import gone, gone_among_references, kept
from imindex.stats.name_change import movement
from imindex.stats.named_sets import change_of_auc, compare_names, in_cells, placements, rank_pvalue


def test_the_figures_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(3)
    own, names = rng.integers(0, 5, 6).astype(float), rng.integers(0, 5, (7, 6)).astype(float)
    found = compare_names(own, names)
    pairs = [(a > b) + 0.5 * (a == b) for a in own for row in names for b in row]
    assert found.auc == pytest.approx(np.mean(pairs))
    u = stats.mannwhitneyu(own, names.ravel()).statistic
    assert found.auc == pytest.approx(u / (own.size * names.size))
    means = [row.mean() for row in names]
    assert found.pvalue == (1 + sum(mean >= own.mean() - 1e-12 for mean in means)) / 8
    assert (
        compare_names(own, names, alternative="less").pvalue
        == (1 + sum(mean <= own.mean() + 1e-12 for mean in means)) / 8
    )
    assert found.difference == pytest.approx(own.mean() - np.mean(means))
    each = own - names.mean(axis=0)
    variance = each.var(ddof=1) / 6 + np.var(means, ddof=1) / 7
    assert found.standard_error == pytest.approx(np.sqrt(variance))
    assert placements(own, names).shape == (7, 6)


def test_missing_pictures_make_the_sets_equal() -> None:
    own = [1.0, np.nan, 3.0]
    names = [[0.0, 9.0, 1.0], [np.nan, 0.0, 0.0], [0.0, np.nan, 5.0]]
    found = compare_names(own, names)
    assert (found.n_pictures, found.n_references, found.n_left_out) == (2, 2, 1)
    same = compare_names([1.0, 3.0], [[0.0, 1.0], [0.0, 5.0]])
    assert (found.auc, found.pvalue, found.difference) == (same.auc, same.pvalue, same.difference)


def test_without_references_nothing_is_said() -> None:
    found = compare_names([1.0, 2.0], [])
    assert np.isnan(found.pvalue) and np.isnan(found.auc) and found.own == 1.5
    assert np.isnan(rank_pvalue(np.nan, [1.0]))
    with pytest.raises(ValueError, match="do not match"):
        compare_names([1.0], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="same name and cell"):
        in_cells([0, 0], [0, 0], [1.0, 2.0], 1, 1)


def test_the_p_value_is_uniform_where_names_are_exchangeable_and_the_interval_covers() -> None:
    rng = np.random.default_rng(11)
    p, covered = [], []
    for _ in range(600):
        seeds = rng.normal(size=6)
        effects = 0.6 * rng.normal(size=20)
        table = effects[:, None] + seeds + rng.normal(size=(20, 6))
        found = compare_names(table[0], table[1:])
        p.append(found.pvalue)
        covered.append(found.interval.low <= effects[0] <= found.interval.high)
    assert stats.kstest(np.array(p) - 0.05 * rng.random(600), "uniform").pvalue > 0.001
    assert np.mean(covered) > 0.92


def test_a_change_is_that_of_the_two_aucs() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(size=5) + 2, rng.normal(size=(9, 5))
    new = rng.normal(size=5), rng.normal(size=(9, 5))
    change = change_of_auc(base, new)
    assert change.change == pytest.approx(compare_names(*new).auc - compare_names(*base).auc)
    assert change.interval.low < change.change < change.interval.high
    many = 1 + rng.normal(size=50), rng.normal(size=(30, 50))
    same, apart = (
        change_of_auc(many, other).interval for other in (many, (1 + rng.normal(size=50), many[1]))
    )
    assert same.low < 0 < same.high and same.high - same.low < 0.5 * (apart.high - apart.low)  # paired
    one = change_of_auc((base[0][:1], base[1][:, :1]), (new[0][:1], new[1][:, :1]))
    assert np.isnan([one.interval.low, one.standard_error]).all() and not np.isnan(one.change)
    with pytest.raises(ValueError, match="differ"):
        change_of_auc(base, (new[0][:4], new[1][:, :4]))


def test_gone_is_rarely_said_of_what_is_left_at_the_margin() -> None:
    rng = np.random.default_rng(5)
    effect = stats.norm.ppf(0.6) * np.sqrt(2)
    said = [
        gone(
            compare_names(effect + rng.normal(size=40), rng.normal(size=(19, 40)), confidence_level=0.9),
            margin=0.1,
        )
        for _ in range(500)
    ]
    assert 0.02 < np.mean([one == "gone" for one in said]) < 0.08
    assert 0.3 < gone_among_references(rng.normal(size=(19, 60)), margin=0.1, confidence_level=0.9) <= 1
    few = compare_names(rng.normal(size=4), rng.normal(size=(19, 4)), confidence_level=0.9)
    assert gone(few, margin=0.1) == "undecided"


@pytest.mark.parametrize("n", [2, 8, 30])
def test_kept_is_rarely_said_of_a_loss_of_the_margin(n: int) -> None:
    rng = np.random.default_rng(6)
    said = []
    for _ in range(300):
        # The base release always imitates, so that its AUC is 1; one picture in five of the new one does not.
        base = 8 + rng.normal(size=n), rng.normal(size=(19, n))
        new = rng.normal(size=n) + 8 * (rng.random(n) >= 0.2), rng.normal(size=(19, n))
        said.append(kept(change_of_auc(base, new, confidence_level=0.9), margin=0.1))
    assert np.mean([one == "kept" for one in said]) <= 0.05
    same = 8 + rng.normal(size=60), rng.normal(size=(19, 60))
    assert kept(change_of_auc(same, same, confidence_level=0.9), margin=0.1) == "kept"


def test_lost_is_said_of_what_is_lost() -> None:
    rng = np.random.default_rng(7)
    base = 3 + rng.normal(size=20), rng.normal(size=(19, 20))
    none = rng.normal(size=20), rng.normal(size=(19, 20))
    assert kept(change_of_auc(base, none, confidence_level=0.9), margin=0.1) == "lost"
    with pytest.raises(ValueError, match="margin"):
        kept(change_of_auc(base, none), margin=0.0)


def test_the_shared_part_of_a_movement_is_found() -> None:
    rng = np.random.default_rng(1)
    nameless = rng.normal(size=(40, 16))
    common, own = np.eye(16)[0], np.eye(16)[1]
    noise = rng.normal(size=(30, 40, 16)) * 0.3
    moved = nameless + common + noise
    for strength, shared in ((0.0, 1.0), (1.0, 0.5), (2.0, 0.2)):
        found = movement(moved[0] + strength * own, moved[1:], nameless)
        assert found.shared == pytest.approx(shared, abs=0.06)
        assert found.interval.low - 0.02 <= shared <= found.interval.high + 0.02
        assert (found.pvalue <= 0.05) == (strength > 0)
    # Without any movement there is nothing to share.
    still = movement(nameless + noise[0] * 0, nameless + 0 * noise[1:], nameless)
    assert np.isnan(still.shared) and still.pvalue == 1.0


def test_the_products_are_those_of_pairs_of_different_cells() -> None:
    from imindex.stats import name_change

    rng = np.random.default_rng(0)
    moved = rng.normal(size=(3, 4, 2))
    brute = np.zeros((3, 3))
    for n in range(3):
        for m in range(3):
            values = [moved[n, i] @ moved[m, j] for i in range(4) for j in range(4) if i != j]
            brute[n, m] = np.mean(values)
    found = movement(moved[0], moved[1:], np.zeros((4, 2)))
    assert found.length == pytest.approx(np.sqrt(max(0.0, brute[0, 0])))
    common = (brute[1, 2] + brute[2, 1]) / 2
    if common > 0 and brute[0, 0] > 0:
        assert found.shared == pytest.approx(min(1, brute[0, 1:].mean() ** 2 / common / brute[0, 0]))
    assert name_change.__doc__


def test_the_rank_of_a_movement_is_uniform_among_like_names() -> None:
    rng = np.random.default_rng(4)
    p = []
    for _ in range(300):
        effects = 0.5 * rng.normal(size=(20, 1, 6))
        moved = np.ones(6) + effects + rng.normal(size=(20, 5, 6))
        p.append(movement(moved[0], moved[1:], np.zeros((5, 6))).pvalue)
    assert np.mean(np.array(p) <= 0.05) < 0.1
    assert stats.kstest(np.array(p) - 0.05 * rng.random(300), "uniform").pvalue > 0.001
