"""Several names in one prompt: both names of a pair, the share that remains, thresholds and sets of names."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy

from imindex.stats.together import (
    both_present,
    company_thresholds,
    in_sets,
    inclusion_thresholds,
    kept_share,
    ratio_over_groups,
    set_answers,
    shared_groups,
)


def brute_threshold(scores: np.ndarray, group: np.ndarray, rate: Fraction) -> float:
    """Return the smallest score with at most `rate` of the weight above it, in exact arithmetic."""
    groups = np.unique(group)
    for candidate in sorted(scores):
        above = sum(
            Fraction(int((scores[group == g] > candidate).sum()), int((group == g).sum())) for g in groups
        )
        if (above + 1) / (len(groups) + 1) <= rate:
            return float(candidate)
    return np.inf


class TestThresholds:
    @pytest.mark.parametrize("seed", range(20))
    def test_is_the_weighted_quantile(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        group = rng.permutation(np.repeat(np.arange(9), rng.integers(1, 5, 9)))
        scores = rng.integers(0, 12, (len(group), 3)).astype(float)  # with ties
        rate = Fraction(int(rng.integers(1, 8)), 20)
        found = inclusion_thresholds(scores, group, rate=float(rate))
        assert found.tolist() == [brute_threshold(column, group, rate) for column in scores.T]

    def test_needs_enough_groups(self) -> None:
        scores = np.arange(19.0)[:, None]
        assert inclusion_thresholds(scores, np.arange(19), rate=0.05).tolist() == [18.0]
        assert np.isinf(inclusion_thresholds(scores[:18], np.arange(18), rate=0.05)).all()

    @pytest.mark.parametrize("between", [0.0, 1.0, 5.0])
    def test_holds_its_rate_for_a_new_group_however_alike_pictures_of_a_group_are(
        self, between: float
    ) -> None:
        rng = np.random.default_rng(int(between) + 5)
        n, groups, size, rate = 4000, 29, 4, 0.1
        scores = between * rng.normal(size=(n, groups + 1, 1)) + rng.normal(size=(n, groups + 1, size))
        inside = [
            (
                one[-1]
                > inclusion_thresholds(one[:-1].reshape(-1, 1), np.repeat(np.arange(groups), size), rate=rate)
            ).mean()
            for one in scores
        ]
        error = np.std(inside) / np.sqrt(n)
        assert np.mean(inside) <= rate + 3 * error
        assert np.mean(inside) >= rate - 0.04  # it is not idle

    def test_pictures_as_units_would_not(self) -> None:
        rng = np.random.default_rng(3)
        inside = []
        for _ in range(1500):
            pictures = 30 * rng.normal(size=(10, 1)) + rng.normal(size=(10, 4))
            threshold = inclusion_thresholds(pictures[:-1].reshape(-1, 1), np.arange(36), rate=0.05)
            inside.append((pictures[-1] > threshold).mean())
        assert np.mean(inside) > 0.07

    @pytest.mark.parametrize(
        ("scores", "group", "rate"),
        [([[1.0]], [0, 1], 0.1), ([[np.nan]], [0], 0.1), ([[1.0]], [0], 0.0), ([1.0], [0], 0.1)],
    )
    def test_refuses(self, scores: list, group: list, rate: float) -> None:
        with pytest.raises(ValueError, match=r"scores|rate"):
            inclusion_thresholds(scores, group, rate=rate)


class TestCompany:
    @pytest.mark.parametrize("seed", range(10))
    def test_is_the_quantile_over_others_with_equal_weights(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        named = rng.permutation(
            np.repeat(np.arange(6), rng.integers(1, 5, 6))
        )  # artists 4 and 5 have no column
        scores = rng.integers(0, 9, (len(named), 4)).astype(float)
        rate = Fraction(int(rng.integers(1, 8)), 20)
        found = company_thresholds(scores, named, rate=float(rate), without=[1])
        for artist in range(4):
            others = [one for one in range(6) if one not in (artist, 1)]
            lowest = min(
                candidate
                for candidate in scores[np.isin(named, others), artist]
                if sum(
                    Fraction(int((scores[named == one, artist] > candidate).sum()), int((named == one).sum()))
                    for one in others
                )
                <= rate * len(others)
            )
            assert found[artist] == lowest

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match="do not match"):
            company_thresholds([[1.0]], [0, 1], rate=0.1)
        with pytest.raises(ValueError, match="rate"):
            company_thresholds([[1.0]], [0], rate=1.0)


class TestSets:
    def test_means_of_consecutive_pictures_of_a_group(self) -> None:
        scores, group = np.arange(14.0).reshape(7, 2), np.array([1, 0, 1, 1, 0, 1, 1])
        means, groups = in_sets(scores, group, 2)
        assert groups.tolist() == [0, 1, 1]
        assert means.tolist() == [[5.0, 6.0], [2.0, 3.0], [8.0, 9.0]]
        assert in_sets(scores, group, 1)[0].tolist() == scores[np.argsort(group, kind="stable")].tolist()
        assert len(in_sets(scores, group, 6)[0]) == 0
        with pytest.raises(ValueError, match="size"):
            in_sets(scores, group, 0)

    @pytest.mark.parametrize("seed", range(8))
    def test_figures_by_plain_counting(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n_artists, pairs = 7, [(0, 1), (2, 3), (1, 4), (5, 6)]
        named = np.zeros((4, n_artists), bool)
        for row, pair in enumerate(pairs):
            named[row, list(pair)] = True
        prompt = rng.permutation([0, 0, 0, 1, 1, 2, 3, 3, 3, 3])
        sets = rng.random((10, n_artists)) < 0.4
        sets[0] = named[prompt[0]]
        result = set_answers(sets, prompt, named)
        rate = {
            (p, a): np.mean([sets[i, a] for i in range(10) if prompt[i] == p])
            for p in range(4)
            for a in range(n_artists)
        }
        own = [rate[p, a] for p, pair in enumerate(pairs) for a in pair]
        assert result.recall == pytest.approx(np.mean(own))
        others = [rate[p, a] for p, pair in enumerate(pairs) for a in range(n_artists) if a not in pair]
        assert result.false_inclusion == pytest.approx(np.mean(others))
        chance = [
            np.mean([rate[q, a] for q in range(4) if a not in pairs[q]]) for pair in pairs for a in pair
        ]
        assert result.recall_chance == pytest.approx(np.mean(chance))
        right = [
            np.mean([set(np.flatnonzero(sets[i])) == set(pairs[p]) for i in range(10) if prompt[i] == p])
            for p in range(4)
        ]
        assert result.exact == pytest.approx(np.mean(right))
        assert result.exact_of.tolist() == pytest.approx(right)
        swapped = [
            np.mean([set(np.flatnonzero(sets[i])) == set(pairs[q]) for i in range(10) if prompt[i] == p])
            for p in range(4)
            for q in range(4)
            if not set(pairs[p]) & set(pairs[q])
        ]
        assert result.exact_chance == pytest.approx(np.mean(swapped))
        assert result.n_groups == 3
        assert result.n_sets == 10
        for value, ends in (
            (result.recall, result.recall_interval),
            (result.false_inclusion, result.false_interval),
            (result.exact, result.exact_interval),
        ):
            assert 0 <= ends.low <= value <= ends.high <= 1

    def test_agrees_with_scikit_learn(self) -> None:
        metrics = pytest.importorskip("sklearn.metrics")
        rng = np.random.default_rng(1)
        named = np.zeros((5, 10), bool)
        named[np.repeat(np.arange(5), 2), np.arange(10)] = True
        prompt = np.repeat(np.arange(5), 6)
        sets = named[prompt] ^ (rng.random((30, 10)) < 0.1)
        result = set_answers(sets, prompt, named)
        assert result.exact == pytest.approx(metrics.accuracy_score(named[prompt], sets))
        assert result.recall == pytest.approx(metrics.recall_score(named[prompt], sets, average="micro"))
        assert result.recall == pytest.approx(metrics.recall_score(named[prompt], sets, average="samples"))

    def test_groups_join_over_others(self) -> None:
        named = np.zeros((4, 6), bool)
        for row, pair in enumerate([(0, 1), (2, 3), (3, 4), (4, 0)]):
            named[row, list(pair)] = True
        assert shared_groups(named).tolist() == [0, 0, 0, 0]
        assert len(set(shared_groups(named[[0, 1]]).tolist())) == 2

    def test_intervals_cover_when_pairs_differ(self) -> None:
        rng = np.random.default_rng(6)
        named = np.zeros((10, 20), bool)
        named[np.repeat(np.arange(10), 2), np.arange(20)] = True
        prompt, covered, n = np.repeat(np.arange(10), 8), 0, 300
        for _ in range(n):
            each = rng.beta(2, 1, 10)  # the recall of a pair; its mean is 2/3
            sets = (rng.random((80, 20)) < each[prompt][:, None]) & named[prompt]
            ends = set_answers(sets, prompt, named).recall_interval
            covered += ends.low <= 2 / 3 <= ends.high
        assert covered / n >= 0.92

    def test_refuses_prompts_without_pictures(self) -> None:
        with pytest.raises(ValueError, match="at least once"):
            set_answers([[True, False]], [0], [[True, False], [False, True]])


class TestBoth:
    def test_larger_p_is_valid_when_one_name_is_absent(self) -> None:
        rng = np.random.default_rng(2)
        p = np.stack([np.full(4000, 0.025), rng.integers(1, 41, 4000) / 40], axis=1)
        assert (both_present(p) <= 0.05).mean() == pytest.approx(0.05, abs=0.012)
        assert np.isnan(both_present([[np.nan, 0.5], [0.5, np.nan]])).all()
        with pytest.raises(ValueError, match="two p-values"):
            both_present([0.5, 0.5])


def drawn(
    rng: np.random.Generator, true_share: float, alone: float = 4.0, cells: int = 8, names: int = 19
) -> tuple:
    """Return scores in which placebo names have a manner that both kinds of prompts share."""
    manner = 0.5 * rng.normal(size=(names + 1, 1))
    own_manner = manner[:1]
    first = rng.normal(size=(names + 1, cells)) + manner
    second = rng.normal(size=(names + 1, cells)) + manner
    # The own name's effect is what it adds to the mean of placebo names.
    first[0] += alone - own_manner[0]
    second[0] += true_share * alone - own_manner[0]
    return (first[0], first[1:]), (second[0], second[1:])


class TestKept:
    @pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
    def test_interval_covers(self, share: float) -> None:
        rng = np.random.default_rng(4)
        ends = [kept_share(*drawn(rng, share)).interval for _ in range(600)]
        covered = np.mean([one.low <= share <= one.high for one in ends])
        assert 0.93 <= covered <= 0.99

    def test_ends_are_where_the_contrast_is_t_errors_from_0(self) -> None:
        rng = np.random.default_rng(8)
        alone, company = drawn(rng, 0.6)
        kept = kept_share(alone, company)
        t = scipy.stats.t.ppf(0.975, kept.df)
        cells, cells2 = (own - others.mean(axis=0) for own, others in (alone, company))
        for s in (kept.interval.low, kept.interval.high):
            names = (company[1].mean(axis=1) - s * alone[1].mean(axis=1)).var(ddof=1) / 19
            variance = s**2 * cells.var(ddof=1) / 8 + cells2.var(ddof=1) / 8 + names
            assert abs(kept.company - s * kept.alone) == pytest.approx(t * np.sqrt(variance), rel=1e-9)

    def test_has_no_interval_where_nothing_is_there_alone(self) -> None:
        rng = np.random.default_rng(9)
        kept = [kept_share(*drawn(rng, 1.0, alone=0.0)) for _ in range(200)]
        assert np.mean([np.isnan(one.interval.low) for one in kept]) > 0.9

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match="same names"):
            kept_share(([1.0], [[0.0]]), ([1.0], [[0.0], [0.0]]))
        with pytest.raises(ValueError, match="not finite"):
            kept_share(([1.0], [[np.nan]]), ([1.0], [[0.0]]))
        with pytest.raises(ValueError, match="do not match"):
            kept_share(([1.0, 2.0], [[0.0]]), ([1.0], [[0.0]]))
        assert np.isnan(kept_share(([1.0], []), ([1.0], [])).share)
        assert np.isnan(kept_share(([1.0], [[0.0]]), (np.empty(0), np.empty((1, 0)))).share)


class TestRatio:
    def test_covers_the_ratio_of_means(self) -> None:
        rng = np.random.default_rng(5)
        group, covered, n = np.repeat(np.arange(10), 2), 0, 200
        for number in range(n):
            alone = 2 + np.repeat(rng.normal(size=10), 2) * 0.5 + 0.3 * rng.normal(size=20)
            company = 0.6 * alone + np.repeat(rng.normal(size=10), 2) * 0.3 + 0.2 * rng.normal(size=20)
            _, ends = ratio_over_groups(company, alone, group, rng=number, n_resamples=999)
            covered += ends.low <= 0.6 <= ends.high
        assert covered / n >= 0.9

    def test_is_undefined_without_an_effect_alone(self) -> None:
        share, ends = ratio_over_groups([1.0, 1.0], [-1.0, 0.5], [0, 1])
        assert np.isnan(share)
        assert np.isnan(ends.low)
