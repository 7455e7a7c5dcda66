"""Tests of attributes: against brute force, against scikit-learn, and their level and power in simulated worlds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from imindex.stats.attributes import (
    attribute_test,
    call_attributes,
    carried,
    carried_overall,
    distinctive,
    known_probes,
)
from imindex.stats.keyed import generators
from imindex.stats.multiple import adjust
from scripts.bench import question_worlds_attributes as bench


def world(seed: int, n_names: int = 25, n: int = 4, k: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(k, k))
    return rng.normal(size=(n_names * n, k)) @ mixing, np.repeat(np.arange(n_names), n)


# Distinctive


def test_distinctive_agrees_with_brute_force() -> None:
    rng = np.random.default_rng(1)
    artist = np.array([0] * 6 + [1] * 3 + [2] * 5)
    cluster = np.array([0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    values = rng.normal(size=(14, 2)).round(1)  # with ties
    found = distinctive(values, artist, 4, cluster=cluster)
    for k in range(2):
        percentiles = []
        means = [values[(artist == 0) & (cluster == c), k].mean() for c in range(4)]
        for c in range(4):
            centre = np.mean([means[d] for d in range(4) if d != c])
            each = []
            for mine in values[(artist == 0) & (cluster == c), k]:
                shares = []
                for b in (1, 2):
                    other = np.abs(values[artist == b, k] - centre)
                    own = abs(mine - centre)
                    shares.append((other > own).mean() + (other == own).mean() / 2)
                each.append(np.mean(shares))
            percentiles.append(np.mean(each))
        assert found.auc[0, k] == pytest.approx(np.mean(percentiles))
        expected = scipy_stats.norm.sf((sum(percentiles) - 2) / np.sqrt(4 / 6))
        assert found.pvalue[0, k] == pytest.approx(expected)
        assert found.mean[0, k] == pytest.approx(np.mean(means))
    assert found.n_clusters.tolist() == [4, 3, 5, 0]
    assert np.isnan(found.auc[3]).all() and np.isnan(found.mean[3]).all() and np.isnan(found.others[3]).all()
    assert found.others[0] == pytest.approx((found.mean[1] + found.mean[2]) / 2)


def test_one_cluster_or_one_artist_is_no_test() -> None:
    values = np.random.default_rng(2).normal(size=(6, 1))
    assert np.isnan(distinctive(values, [0] * 6, 1).auc).all()
    found = distinctive(values, [0] * 3 + [1] * 3, 2, cluster=[0, 0, 0, 1, 2, 3])
    assert np.isnan(found.auc[0]).all() and np.isfinite(found.auc[1]).all()


def test_some_artists_only() -> None:
    values, artist = world(3, 6)
    every, some = distinctive(values, artist, 6), distinctive(values, artist, 6, artists=[4])
    assert some.auc[4].tolist() == every.auc[4].tolist() and np.isnan(some.auc[:4]).all()


# Nearer than placebo names


def closed(scores: np.ndarray) -> np.ndarray:
    """Adjusted p-values by the definition of closed testing, over all sets of attributes."""
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    k = scores.shape[1]
    out = np.zeros(k)
    for size in range(1, k + 1):
        for subset in itertools.combinations(range(k), size):
            most = z[:, list(subset)].max(axis=1)
            p = (1 + (most[1:] >= most[0] - 1e-9).sum()) / len(z)
            out[list(subset)] = np.maximum(out[list(subset)], p)
    return out


@pytest.mark.parametrize("seed", range(5))
def test_step_down_is_closed_testing(seed: int) -> None:
    values, name = world(seed, k=5)
    works = np.random.default_rng(seed).normal(size=(1, 5)) * 2
    found = attribute_test(works, values, name, artists=[0], placebos=np.arange(1, 25))
    means = np.array([values[name == s].mean(axis=0) for s in range(25)])
    scores = -np.abs(means - works)
    assert found.adjusted[0] == pytest.approx(closed(scores))
    assert found.pvalue[0] == pytest.approx((1 + (scores[1:] >= scores[0]).sum(axis=0)) / 25)
    assert (found.adjusted >= found.pvalue).all()
    assert found.own[0] == pytest.approx(means[0]) and found.placebo[0] == pytest.approx(
        means[1:].mean(axis=0)
    )
    holm = attribute_test(works, values, name, artists=[0], placebos=np.arange(1, 25), within="holm")
    assert holm.adjusted[0] == pytest.approx(adjust(found.pvalue[0]))


def test_attributes_that_are_not_tested_do_not_count() -> None:
    values, name = world(6)
    works = np.full((1, 4), 1.0)
    one = attribute_test(works[:, :1], values[:, :1], name, artists=[0], placebos=np.arange(1, 25))
    masked = attribute_test(
        works, values, name, artists=[0], placebos=np.arange(1, 25), tested=[[True, False, False, False]]
    )
    assert masked.adjusted[0, 0] == one.adjusted[0, 0] and np.isnan(masked.pvalue[0, 1:]).all()


def test_equal_sets_count_against_the_finding() -> None:
    name = np.repeat(np.arange(20), 3)
    found = attribute_test([[1.0]], np.ones((60, 1)), name, artists=[0], placebos=np.arange(1, 20))
    assert found.pvalue.tolist() == found.adjusted.tolist() == [[1.0]]


def test_sets_are_compared_with_as_many_pictures_of_each_template() -> None:
    values, name = world(7, n_names=10, n=4)
    template = np.tile([0, 0, 1, 1], 10)
    keep = np.ones(40, bool)
    keep[[1, 3]] = False  # the artist lacks one picture of each template
    keep[[4, 5]] = False  # a placebo name lacks a template
    arguments = {"artists": [0], "placebos": np.arange(1, 10)}
    rngs = generators(5, "test of attributes", [f"Name {s}" for s in range(10)])
    found = attribute_test(
        [[0.0] * 4], values[keep], name[keep], template=template[keep], rng=rngs, **arguments
    )
    assert found.n_reference[0] == 8 and found.n_left_out[0] == 1
    whole = attribute_test([[0.0] * 4], values[keep], name[keep], rng=0, **arguments)
    assert whole.n_reference[0] == 9  # templates are not told apart
    again = attribute_test(
        [[0.0] * 4], values[keep], name[keep], template=template[keep],
        rng=generators(5, "test of attributes", [f"Name {s}" for s in range(10)]), **arguments,
    )  # fmt: skip
    assert again.placebo.tolist() == found.placebo.tolist()


def test_what_is_missing_is_stated() -> None:
    values, name = world(8, n_names=3)
    works = [[np.nan] * 4, [1.0] * 4, [1.0] * 4, [1.0] * 4]
    found = attribute_test(works, values, name, artists=[0, 1, 3], placebos=[2])
    assert found.status == ("no works", "ok", "no pictures")
    alone = attribute_test(works, values, name, artists=[1], placebos=[])
    assert (
        alone.status == ("no placebo names with as many pictures a prompt",) and np.isnan(alone.pvalue).all()
    )


def test_bad_arguments_are_refused() -> None:
    values, name = world(9)
    with pytest.raises(ValueError, match="Leave out pictures"):
        attribute_test([[1.0]], [[np.nan]], [0], artists=[0], placebos=[1])
    with pytest.raises(ValueError, match="disagree"):
        attribute_test([[1.0]], values, name, artists=[0], placebos=[1])
    with pytest.raises(ValueError, match="Choose one of max, holm"):
        attribute_test([[1.0] * 4], values, name, artists=[0], placebos=[1], within="bh")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one for each work"):
        distinctive(values, name[:-1], 25)


def test_calls_over_artists_follow_benjamini_and_bogomolov() -> None:
    rng = np.random.default_rng(10)
    table = rng.uniform(size=(20, 5))
    table[:6, 0] = 0.001
    table[3] = np.nan
    found = call_attributes(table)
    p = np.nanmin(np.where(np.isnan(table), 2, table), axis=1)
    p[3] = np.nan
    selected = adjust(p, method="bh") <= 0.05
    assert found.selected.tolist() == selected.tolist() and not found.called[3].any()
    level = 0.05 * selected.sum() / 19
    assert found.level == pytest.approx(level)
    assert found.called.tolist() == (selected[:, None] & (np.nan_to_num(table, nan=1) <= level)).tolist()
    nothing = call_attributes(np.ones((3, 2)))
    assert not nothing.called.any() and nothing.called.shape == (3, 2)


# The share that attributes carry


def test_carried_agrees_with_a_regression_by_scikit_learn() -> None:
    rng = np.random.default_rng(11)
    name = np.repeat(np.arange(30), 8)
    distance = np.abs(rng.normal(2, 1, (240, 3)))
    distance[:8] *= 0.4
    score = -distance @ [1.0, 0.5, 0.0] + 0.3 * rng.normal(size=240)
    group = np.array([0, 0, 1])
    found = carried(score, distance, group, name, artist=0, placebos=np.arange(1, 30))
    placebo = name > 0
    x = (distance - distance[placebo].mean(axis=0)) / distance[placebo].std(axis=0)
    y = score - score[placebo].mean()
    candidates = []
    for penalty in 10.0 ** np.arange(-4, 5):
        model = Ridge(alpha=penalty * placebo.sum(), fit_intercept=False).fit(x[placebo], y[placebo])
        candidates.append(model.predict(x))
    parts = np.array([each[~placebo].mean() - each[placebo].mean() for each in candidates])
    assert np.abs(parts - found.together).min() < 1e-9
    assert found.excess == pytest.approx(y[~placebo].mean() - y[placebo].mean())
    best = candidates[int(np.abs(parts - found.together).argmin())]
    assert found.auc == pytest.approx(roc_auc_score(~placebo, y))
    assert found.auc_without[-1] == pytest.approx(roc_auc_score(~placebo, y - best))
    assert found.share[0] == pytest.approx(found.alone[0] / found.excess)
    near = -(distance[:, :2] / distance[placebo][:, :2].std(axis=0)).mean(axis=1)
    assert found.auc_alone[0] == pytest.approx(roc_auc_score(~placebo, near))
    assert found.share_low[0] < found.share[0] < found.share_high[0]


def test_one_group_of_all_attributes_is_all_of_them() -> None:
    rng = np.random.default_rng(12)
    name, distance = np.repeat(np.arange(12), 5), np.abs(rng.normal(size=(60, 2)))
    found = carried(rng.normal(size=60), distance, [0, 0], name, artist=0, placebos=np.arange(1, 12))
    assert found.alone[0] == pytest.approx(found.together) and found.last[0] == pytest.approx(found.together)


def test_without_an_excess_there_is_no_share() -> None:
    rng = np.random.default_rng(13)
    name = np.repeat(np.arange(20), 5)
    score = rng.normal(size=100)
    score[:5] = -3
    found = carried(score, np.abs(rng.normal(size=(100, 1))), [0], name, artist=0, placebos=np.arange(1, 20))
    assert np.isnan(found.share).all() and np.isfinite(found.alone).all()


def test_a_set_unlike_all_placebo_pictures_has_no_share() -> None:
    rng = np.random.default_rng(16)
    name = np.repeat(np.arange(30), 6)
    distance = np.abs(rng.normal(5, 0.5, (180, 2)))
    distance[:6, 0] = 0  # no placebo picture is anywhere near
    score = -distance.sum(axis=1) + 0.1 * rng.normal(size=180)
    found = carried(score, distance, [0, 1], name, artist=0, placebos=np.arange(1, 30))
    assert found.supported.tolist() == [False, True, False]
    assert np.isnan(found.share).tolist() == [True, False, True]


def test_too_few_placebo_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="add placebo names"):
        carried(np.ones(8), np.ones((8, 1)), [0], np.repeat([0, 1], 4), artist=0, placebos=[1])


def test_fieller_covers_the_ratio_over_artists() -> None:
    rng = np.random.default_rng(14)
    covered = []
    for _ in range(400):
        excess = rng.normal(2, 1, 15)
        part = 0.4 * excess + rng.normal(0, 0.5, 15)
        found = carried_overall(part, excess)
        covered.append(found.low <= 0.4 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.isnan(carried_overall([1.0, 2.0], [1.0, 2.0]).share)


# Probes


def test_probes_of_an_encoder_that_knows_them() -> None:
    rng = np.random.default_rng(15)
    light = rng.normal(size=80)
    known = light[:, None] + 0.5 * rng.normal(size=(80, 3))
    reversed_words, noise = -known, rng.normal(size=(80, 3))
    found = known_probes(
        np.stack([known, reversed_words, noise], axis=1), np.stack([light] * 3, axis=1),
        rng.normal(size=(80, 39, 3)),
    )  # fmt: skip
    assert found.known.tolist() == [True, False, False]
    assert found.agreement[0] == pytest.approx(scipy_stats.spearmanr(known.mean(axis=1), light).statistic)
    assert found.agreement_pvalue[0] == pytest.approx(1 / 40) and found.agreement_pvalue[1] == 1
    pairs = [np.corrcoef(known[:, i], known[:, j])[0, 1] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.reliability[0] == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="Use at least 19"):
        known_probes(known[:, None], light[:, None], rng.normal(size=(80, 10, 3)))


# Level and power


def rates_of(label: str, n_worlds: int) -> dict[str, float]:
    (world,) = [world for world in bench.WORLDS if world.label == label]
    return dict(bench.measure_world(world, n_worlds, 1)["rates"])


def test_level_where_nothing_is_imitated() -> None:
    rates = rates_of("nothing is imitated", 25)
    assert rates["raw p <= 5 %, not imitated"] < 0.07
    for method in ("max", "Holm", "max, distinctive"):
        assert rates[f"{method}: any false in an artist"] < 0.09
    assert rates["distinctive, no style"] < 0.08 < 0.4 < rates["distinctive, style"]


def test_power_where_the_palette_is_imitated() -> None:
    rates = rates_of("only palette", 15)
    assert rates["max: found"] > 0.2 and rates["Holm: found"] == 0  # 39 placebo names are too few for Holm
    assert rates["max: any false in an artist"] < 0.1
    assert rates["carried, palette: share alone"] == pytest.approx(
        rates["carried, palette: true share"], abs=0.12
    )
    assert rates["carried, texture: share alone"] < 0.2


def test_names_that_differ_in_kind_break_the_level() -> None:
    rates = rates_of("real names differ in palette from placebo names (assumption fails)", 10)
    assert rates["max: any false in an artist"] > 0.12
