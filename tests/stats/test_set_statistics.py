"""Statistics of sets that are learned from works, against scikit-learn, brute force, refits and simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from imindex.stats.references import name_test, nearest_pvalue, rival_test
from imindex.stats.set_scores import SetScores, collect, twice_midranks
from imindex.stats.set_statistics import (
    STATISTICS,
    Statistic,
    fit,
    held_out_pvalue,
    pooled,
    set_table,
    shrunken_covariance,
    tell_apart,
)

DIM = 12


def world(
    seed: int, n_artists: int = 6, n_works: int = 8, style: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of works that cluster by artist, and their artists."""
    rng = np.random.default_rng(seed)
    artist = np.repeat(np.arange(n_artists), n_works)
    works = style * rng.normal(size=(n_artists, DIM))[artist] + rng.normal(size=(len(artist), DIM))
    return works / np.linalg.norm(works, axis=1, keepdims=True), artist


def test_log_odds_are_those_of_the_discriminant_posterior() -> None:
    works, artist = world(1)
    pictures, _ = world(2)
    scorer = fit(works, artist)
    means = np.array([works[artist == a].mean(axis=0) for a in range(6)])
    covariance, _ = shrunken_covariance(works - means[artist], len(works) - 6)
    density = np.array([stats.multivariate_normal(mean, covariance).logpdf(pictures) for mean in means]).T
    posterior = special.softmax(density, axis=1)
    expected = np.log(posterior) - np.log1p(-posterior)
    usual = np.abs(expected) < 20  # 1 - posterior loses its digits beyond
    assert usual.mean() > 0.5
    assert np.allclose(scorer.score(pictures)[usual], expected[usual], rtol=1e-6, atol=1e-6)


def test_discriminants_equal_scikit_learns() -> None:
    module = pytest.importorskip("sklearn.discriminant_analysis")
    works, artist = world(13)
    pictures, _ = world(14)
    covariance, _ = shrunken_covariance(works - _means_of(works, artist)[artist], len(works) - 6)

    class Fixed:
        covariance_ = covariance

        def fit(self, _: np.ndarray) -> None: ...

    theirs = module.LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Fixed()).fit(works, artist)
    odds = fit(works, artist).score(pictures)
    expected = special.logit(theirs.predict_proba(pictures))
    usual = np.abs(expected) < 20
    assert np.allclose(odds[usual], expected[usual], rtol=1e-6, atol=1e-6)
    # Up to a constant per artist, `linear` is the artist's discriminant less the mean of the others'.
    scores = theirs.decision_function(pictures)
    contrast = scores - (scores.sum(axis=1, keepdims=True) - scores) / 5
    difference = fit(works, artist, "linear").score(pictures) - contrast
    assert np.allclose(difference, difference[0], atol=1e-8)


def _means_of(works: np.ndarray, artist: np.ndarray) -> np.ndarray:
    return np.array([works[artist == a].mean(axis=0) for a in np.unique(artist)])


@pytest.mark.parametrize("with_pictures", [False, True])
def test_linear_is_the_discriminant_between_two_means(with_pictures: bool) -> None:
    works, artist = world(15)
    pictures, _ = world(16)
    means = _means_of(works, artist)
    covariance, shrinkage = shrunken_covariance(works - means[artist], len(works) - 6)
    if with_pictures:
        theirs, _ = shrunken_covariance(pictures - pictures.mean(axis=0), len(pictures) - 1)
        covariance = (covariance + theirs) / 2
    scorer = fit(works, artist, "linear", pictures=pictures if with_pictures else None)
    assert scorer.shrinkage == shrinkage
    for a in range(6):
        others = np.delete(means, a, axis=0).mean(axis=0)
        weights = np.linalg.inv(covariance) @ (means[a] - others)
        assert np.allclose(scorer.score(pictures)[:, a], (pictures - (means[a] + others) / 2) @ weights)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_artists_and_works_may_come_in_any_order(statistic: Statistic) -> None:
    works, artist = world(17, n_artists=24)
    pictures, _ = world(18)
    rng = np.random.default_rng(1)
    order, number = rng.permutation(len(works)), rng.permutation(24)
    one = fit(works, artist, statistic, pictures=pictures)
    two = fit(works[order], number[artist][order], statistic, pictures=pictures[::-1])
    assert np.allclose(one.score(pictures), two.score(pictures)[:, number], rtol=1e-9, atol=1e-9)
    # Clusters are held out in the order of the works, so only artists are permuted here.
    told = tell_apart(works, artist, 24, statistic=statistic)
    again = tell_apart(works, number[artist], 24, statistic=statistic)
    assert np.allclose(told.auc, again.auc[number])


def test_log_odds_do_not_saturate() -> None:
    works = np.eye(3)[[0, 0, 1, 1, 2, 2]] + 1e-3 * np.random.default_rng(1).normal(size=(6, 3))
    scorer = fit(works, [0, 0, 1, 1, 2, 2])
    near, nearer = scorer.score([[0.9, 0.1, 0.0], [1.0, 0.0, 0.0]])[:, 0]
    assert 100 < near < nearer < np.inf


def test_shrinkage_equals_scikit_learns() -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    rng = np.random.default_rng(3)
    for n in (8, 40, 4000):
        values = rng.normal(size=(n, DIM)) * np.arange(1, DIM + 1)
        expected = covariance.LedoitWolf(assume_centered=True).fit(values)
        ours, shrinkage = shrunken_covariance(values, n)
        assert shrinkage == pytest.approx(max(1e-3, expected.shrinkage_), rel=1e-9)
        assert np.allclose(ours, expected.covariance_, rtol=1e-2 if n == 4000 else 1e-9)


def test_the_other_statistics_are_what_they_say() -> None:
    works, artist = world(4)
    pictures, _ = world(5)
    unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)  # noqa: E731
    means = np.array([works[artist == a].mean(axis=0) for a in range(6)])
    cosine = pictures @ unit(means).T
    assert np.allclose(fit(works, artist, "rank").score(pictures), cosine)
    assert np.allclose(fit(works, artist, "softmax").score(pictures), special.softmax(cosine / 0.02, axis=1))
    others = np.array([np.delete(means, a, axis=0).mean(axis=0) for a in range(6)])
    assert np.allclose(fit(works, artist, "direction").score(pictures), pictures @ unit(means - others).T)


def test_unusual_works_give_finite_scores() -> None:
    works, artist = world(6, n_artists=3, n_works=2)
    works[1] = works[0]  # identical works, more dimensions than works, an artist with one work
    for statistic in STATISTICS:
        assert np.isfinite(fit(works[:5], artist[:5], statistic).score(works)).all()
    same = np.repeat(works[[0, 2]], 3, axis=0)  # no artist has two different works
    assert np.isfinite(fit(same, np.repeat([0, 1], 3)).score(works)).all()
    with pytest.raises(ValueError, match="two artists"):
        fit(works[:2], [0, 0])
    with pytest.raises(ValueError, match="not finite"):
        fit(np.where(np.eye(6, DIM) > 0, np.nan, works), artist)
    with pytest.raises(ValueError, match="pictures: a value is not finite"):
        fit(works, artist).score([[np.nan] * DIM])
    with pytest.raises(ValueError, match="pictures: a value is not finite"):
        fit(works, artist, "linear", pictures=np.full((3, DIM), np.inf))
    with pytest.raises(ValueError, match="at least two vectors of 12 values"):
        fit(works, artist, "linear", pictures=works[:1])
    with pytest.raises(ValueError, match="statistic"):
        fit(works, artist, "median")  # type: ignore[arg-type]


def release(
    seed: int, n_placebos: int = 19
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, SetScores]:
    """Six artists, and a release whose pictures cluster by name and imitate nobody."""
    rng = np.random.default_rng([seed, 1])
    works, artist = world(seed)
    sizes = rng.integers(4, 7, 6 + n_placebos)
    names = rng.permutation(np.repeat(np.arange(6 + n_placebos), sizes))
    pictures = rng.normal(size=(6 + n_placebos, DIM))[names] + rng.normal(size=(len(names), DIM))
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    ranks = twice_midranks(works @ pictures.T)
    scores = collect([(slice(None), ranks)], artist, names, 6 + n_placebos, rng=rng)
    return works, artist, pictures, names, scores


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_table_holds_the_means_over_the_subsample(
    statistic: Statistic, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, artist, pictures, names, scores = release(7)
    scorer = fit(works, artist, statistic)
    table = set_table(scorer, pictures, scores)
    values = scorer.score(pictures)
    for size, cells in table.values.items():
        for s in range(25):
            own = [i for i in scores.order.tolist() if names[i] == s][:size]
            if len(own) < size:
                assert np.isnan(cells[:, s]).all()
            else:
                assert np.allclose(cells[:6, s], values[own].mean(axis=0))
        assert np.isnan(cells[6:]).all()
    monkeypatch.setattr("imindex.stats.set_statistics._BLOCK", 30)
    blocked = set_table(scorer, pictures, scores)
    for size, cells in table.values.items():
        assert np.allclose(cells, blocked.values[size], equal_nan=True)


def test_the_pool_holds_as_many_pictures_of_every_set() -> None:
    _, _, _, names, scores = release(7)
    rows, size = pooled(scores), min(scores.sums)
    assert len(set(rows.tolist())) == len(rows)
    sets, counts = np.unique(names[rows], return_counts=True)
    assert sets.tolist() == np.flatnonzero(scores.n_imitations >= size).tolist()
    assert (counts == size).all()


def test_sets_that_exchange_their_pictures_exchange_their_scores() -> None:
    """The reason why the name test is exact although the covariance is learned from pictures."""
    works, artist, pictures, names, _ = release(19)
    sizes = np.bincount(names)
    own = 0
    placebo = 6 + int(np.flatnonzero(sizes[6:] == sizes[own])[0])
    exchanged = pictures.copy()
    exchanged[names == own], exchanged[names == placebo] = pictures[names == placebo], pictures[names == own]
    tables = []
    for vectors in (pictures, exchanged):
        scores = collect([(slice(None), twice_midranks(works @ vectors.T))], artist, names, 25, rng=2)
        # The same pictures of a set are compared, whichever name it has.
        order = scores.order.copy()
        ends = np.cumsum(scores.n_imitations)
        for s in (own, placebo):
            order[ends[s] - sizes[s] : ends[s]] = np.flatnonzero(names == s)
        scores = replace(scores, order=order)
        scorer = fit(works, artist, "linear", pictures=vectors[pooled(scores)])
        tables.append(set_table(scorer, vectors, scores).values[min(scores.sums)][:6])
    swap = np.arange(25)
    swap[[own, placebo]] = placebo, own
    assert np.allclose(tables[0], tables[1][:, swap], equal_nan=True)
    assert not np.allclose(tables[0], tables[1], equal_nan=True)


def test_a_shift_of_the_release_adds_a_constant_to_linear_scores() -> None:
    works, artist, pictures, _, scores = release(20)
    tables = []
    for vectors in (pictures, pictures + np.linspace(0, 3, DIM)):
        scorer = fit(works, artist, "linear", pictures=vectors[pooled(scores)])
        tables.append(set_table(scorer, vectors, scores).values[min(scores.sums)][:6])
    difference = tables[1] - tables[0]
    known = np.isfinite(difference[0])
    assert np.allclose(difference[:, known], difference[:, known][:, :1])


@pytest.mark.parametrize("with_pictures", [False, True])
@pytest.mark.parametrize("statistic", ["lda", "linear", "direction", "softmax"])
def test_the_name_test_keeps_its_level_with_any_statistic(statistic: Statistic, with_pictures: bool) -> None:
    p = []
    for seed in range(120):
        works, artist, pictures, _, scores = release(seed)
        pool = pictures[pooled(scores)] if with_pictures else None
        table = set_table(fit(works, artist, statistic, pictures=pool), pictures, scores)
        p += name_test(scores, np.arange(6, 25), table).pvalue[:6].tolist()
    for level in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= level + 1e-9) <= level + 3 * np.sqrt(level * (1 - level) / 300)
    assert np.mean(np.array(p) <= 0.5) > 0.4


def test_p_values_count_sets_that_score_as_high() -> None:
    works, artist, pictures, _, scores = release(8)
    table = set_table(fit(works, artist), pictures, scores)
    name, rival = name_test(scores, np.arange(6, 25), table), rival_test(scores, np.arange(6, 25), table)
    for a in range(6):
        cells = table.values[int(scores.sizes[a])][a]
        placebos, rivals = cells[6:], np.delete(cells[:6], a)
        placebos, rivals = placebos[~np.isnan(placebos)], rivals[~np.isnan(rivals)]
        assert name.pvalue[a] == (1 + (placebos >= cells[a]).sum()) / (1 + len(placebos))
        assert rival.pvalue[a] == (1 + (rivals >= cells[a]).sum()) / (1 + len(rivals))


def test_the_nearest_set_is_the_own_one_or_a_rivals() -> None:
    works, artist, pictures, _, scores = release(8)
    for table in (None, set_table(fit(works, artist), pictures, scores)):
        nearest = nearest_pvalue(scores, np.arange(6, 25), table)
        for a in range(6):
            size = int(scores.sizes[a])
            cells = (scores.sums[size] if table is None else table.values[size])[a].astype(float)
            cells = np.where(scores.n_imitations >= size, cells, np.nan)
            placebos = cells[6:][~np.isnan(cells[6:])]
            assert nearest[a] == (1 + (placebos >= np.nanmax(cells[:6])).sum()) / (1 + len(placebos))
        assert (nearest[:6] <= name_test(scores, np.arange(6, 25), table).pvalue[:6]).all()
        assert np.isnan(nearest[6:]).all()


def test_equal_sets_tie_against_the_finding() -> None:
    works, artist = world(9)
    one = works[artist == 0][:3]
    pictures = np.concatenate([one, one[::-1], works[artist == 1][:3]])
    names = np.repeat([0, 6, 7], 3)
    scores = collect([(slice(None), twice_midranks(works @ pictures.T))], artist, names, 8, rng=1)
    table = set_table(fit(works, artist), pictures, scores)
    assert name_test(scores, [6, 7], table).pvalue[0] == pytest.approx(2 / 3)


def test_held_out_works_are_scored_by_a_fit_without_them() -> None:
    works, artist = world(10, n_works=7)
    result = tell_apart(works, artist, 6)
    held_out = np.empty((len(works), 6))
    for fold in range(7):
        rows = np.arange(fold, len(works), 7)
        kept = np.setdiff1d(np.arange(len(works)), rows)
        held_out[rows] = fit(works[kept], artist[kept]).score(works[rows])
    for a in range(6):
        own, others = held_out[artist == a, a], held_out[artist != a, a]
        expected = (own[:, None] > others).mean() + (own[:, None] == others).mean() / 2
        assert result.auc[a] == pytest.approx(expected)
        assert result.low[a] <= expected <= result.high[a]


def test_held_out_works_are_compared_with_those_of_the_same_fold() -> None:
    works, artist = world(21, n_artists=30, n_works=4)
    fold = np.arange(len(works)) % 4
    percentiles: dict[int, list[float]] = {a: [] for a in range(30)}
    for f in range(4):
        scores = fit(works[fold != f], artist[fold != f], "linear").score(works[fold == f])
        for a in range(30):
            others = np.delete(scores[:, a], a)  # one work of each artist
            percentiles[a].append(float((scores[a, a] > others).mean() + (scores[a, a] == others).mean() / 2))
    result = tell_apart(works, artist, 30, statistic="linear")
    assert np.allclose(result.auc, [np.mean(percentiles[a]) for a in range(30)])
    assert np.allclose(result.pvalue, [held_out_pvalue(percentiles[a]) for a in range(30)])


def test_few_works_among_many_are_judged_at_the_level() -> None:
    rng = np.random.default_rng(22)
    auc, told = [], []
    counts = np.where(np.arange(24) < 6, 4, 20)
    artist = np.repeat(np.arange(24), counts)
    for _ in range(60):
        works = rng.normal(size=(len(artist), DIM)) + 2
        result = tell_apart(
            works / np.linalg.norm(works, axis=1, keepdims=True), artist, 24, statistic="linear"
        )
        auc += result.auc[:6].tolist()
        told += result.told[:6].tolist()
    error = np.std(auc) / np.sqrt(len(auc))
    assert abs(np.mean(auc) - 0.5) < 3.5 * error
    assert np.mean(told) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(told))


def test_artists_that_are_alike_are_told_apart_at_the_level() -> None:
    alike, distinct = [], []
    for seed in range(100):
        alike += tell_apart(*world(seed, n_works=5, style=0.0), 6).told.tolist()
        distinct += tell_apart(*world(seed, n_works=5, style=2.0), 6).told.tolist()
    assert np.mean(alike) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)
    assert np.mean(distinct) > 0.9


def test_near_duplicates_count_once() -> None:
    works, artist = world(11, n_works=10, style=0.0)
    copies = works.copy()
    copies[1:9] = works[0]
    cluster = np.arange(len(works))
    cluster[1:9] = 0
    single = tell_apart(copies, artist, 6)
    clustered = tell_apart(copies, artist, 6, cluster=cluster)
    assert single.told[0] and not clustered.told[0]
    assert (single.n_clusters[0], clustered.n_clusters[0], clustered.n_works[0]) == (10, 2, 10)


def test_artists_who_cannot_be_held_out_have_no_result() -> None:
    works, artist = world(12)
    kept = (artist != 2) | (np.arange(len(artist)) % 8 == 0)  # one work of artist 2, and artist 6 has none
    result = tell_apart(works[kept], artist[kept], 7)
    assert np.isnan(result.auc[[2, 6]]).all() and not result.told[[2, 6]].any()
    assert np.isfinite(result.auc[[0, 1, 3, 4, 5]]).all()


def test_chance_resemblance_counts_twice_in_held_out_percentiles() -> None:
    assert held_out_pvalue([1.0, 1.0]) == pytest.approx(stats.norm.sf(1 / np.sqrt(1 / 3)))
    assert held_out_pvalue([0.0] * 20) == pytest.approx(1)
