"""Comparison of one artist's imitations in two releases: against scipy, enumeration and simulation."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from msgspec import structs
from scipy import stats as scipy_stats

from imindex.retrieval.compare.overall import adjusted, shifts
from imindex.retrieval.compare.sets import (
    PAIRS,
    PICTURES,
    PROMPTS,
    WITHIN,
    ReleaseSet,
    compare_sets,
    design_of,
    square_and_add,
)
from imindex.retrieval.evidence import match_tests as evidence
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import ArtistChange, Shifts
from imindex.stats.intervals import Interval, clopper_pearson
from imindex.stats.paired import exchange_test


def made(scores: Any, prompt: Any, seed: Any, right: Any = None, works: int = 5) -> ReleaseSet:
    scores = np.asarray(scores, dtype=np.float64)
    own = scores + np.linspace(-0.05, 0.05, works)[:, None]
    right = None if right is None else np.asarray(right, np.bool_)
    return ReleaseSet(own, own.mean(axis=0), np.asarray(prompt), np.asarray(seed), right)


@pytest.mark.parametrize(
    ("base", "new", "name", "fixed"),
    [
        (([0, 0, 0], [1, 2, 3]), ([0, 0, 0], [3, 1, 2]), PAIRS, True),
        (([0, 1, 2], [1, 2, 3]), ([2, 0, 1], [3, 1, 2]), PAIRS, False),
        (([0, 1, 2], [-1, -1, -1]), ([2, 0, 1], [-1, -1, -1]), PAIRS, False),  # one picture a prompt
        (([0, 1, 2], [1, 2, 3]), ([2, 0, 1], [7, 8, 9]), PAIRS, False),
        (([0, 0, 1], [1, 2, 3]), ([0, 0, 1], [1, 2, 4]), WITHIN, True),
        (
            ([0, 0, 1], [-1, -1, -1]),
            ([0, 0, 1], [-1, -1, -1]),
            WITHIN,
            True,
        ),  # unknown seeds are not the same
        (([0, 0, 1], [1, 1, 3]), ([0, 0, 1], [1, 1, 3]), WITHIN, True),  # a seed twice is no pair
        (([0, 0, 1], [-1, 1, 3]), ([0, 0, 1], [-1, 1, 3]), WITHIN, True),
        (([0, 0, 1], [1, 2, 3]), ([0, 1], [1, 3]), WITHIN, True),
        (([0, 0, 1], [1, 2, 3]), ([0, 0, 2], [1, 2, 3]), PROMPTS, True),
        (([0, 1, 2], [1, 2, 3]), ([3, 4, 5], [1, 2, 3]), PICTURES, False),
        (([*range(5)] * 2, [*range(10)]), ([*range(5)] * 2, [*range(10)]), PAIRS, False),
    ],
)
def test_designs(base: Any, new: Any, name: str, fixed: bool) -> None:
    sets = [made(np.zeros(len(prompt)), prompt, seed) for prompt, seed in (base, new)]
    found = design_of(*sets)
    assert (found.name, found.prompts_held_fixed) == (name, fixed)
    if name == PAIRS:
        assert (sets[0].prompt[found.base_order] == sets[1].prompt[found.new_order]).all()


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_pairs_and_pictures_equal_scipy(alternative: str) -> None:
    random = np.random.default_rng(3)
    base, new = random.normal(0.5, 0.1, 8).round(2), random.normal(0.6, 0.1, 8).round(2)
    order = random.permutation(8)
    paired = compare_sets(
        made(base, [0] * 8, range(8)), made(new[order], [0] * 8, order), alternative=alternative, rng=1
    )
    theirs = scipy_stats.permutation_test(
        (new, base), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", vectorized=True,
        alternative=alternative,
    )  # fmt: skip
    assert paired.design.name == PAIRS and paired.auc.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)
    assert paired.shared_change == pytest.approx((new - base).mean())
    apart = compare_sets(
        made(base[:5], range(5), range(5)),
        made(new[:4], range(5, 9), range(4)),
        alternative=alternative,
        rng=1,
    )
    theirs = scipy_stats.permutation_test(
        (new[:4], base[:5]), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), vectorized=True,
        alternative=alternative,
    )  # fmt: skip
    assert apart.design.name == PICTURES and apart.auc.pvalue == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_exchange_within_prompts_approaches_all_exchanges(alternative: str) -> None:
    random = np.random.default_rng(7)
    base, new = random.normal(0.5, 0.1, 6).round(2), random.normal(0.57, 0.1, 5).round(2)
    prompt = (np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1]))
    base, new = (
        base + 0.4 * prompt[0],
        new + 0.4 * prompt[1],
    )  # far apart: what is exchanged across them shows
    found = compare_sets(
        made(base, prompt[0], [-1] * 6), made(new, prompt[1], [-1] * 5), alternative=alternative, rng=1
    )
    sums = []
    for chosen in itertools.product(itertools.combinations(range(5), 2), itertools.combinations(range(6), 3)):
        pools = [np.concatenate([base[prompt[0] == p], new[prompt[1] == p]]) for p in (0, 1)]
        sums.append(sum(pool[list(some)].sum() for pool, some in zip(pools, chosen, strict=True)))
    greater = np.mean(np.array(sums) >= new.sum() - 1e-9)
    less = np.mean(np.array(sums) <= new.sum() + 1e-9)
    wanted = {"greater": greater, "less": less, "two-sided": min(1.0, 2 * min(greater, less))}[alternative]
    assert found.design.name == WITHIN
    assert found.auc.pvalue == pytest.approx(wanted, abs=0.02)


def test_averages_over_prompts_first() -> None:
    random = np.random.default_rng(2)
    base, new = random.normal(0.5, 0.1, (5, 3)), random.normal(0.7, 0.1, (4, 3))
    found = compare_sets(
        made(base.ravel(), np.repeat(range(5), 3), range(15)), made(new.ravel(), np.repeat(range(5, 9), 3), range(12)),
        rng=1,
    )  # fmt: skip
    assert found.design.name == PROMPTS and not found.design.uneven
    assert found.auc.pvalue == exchange_test(base.mean(axis=1), new.mean(axis=1)).pvalue
    uneven = design_of(made([0] * 3, [0, 0, 1], [1, 2, 3]), made([0] * 2, [2, 2], [1, 2]))
    assert uneven.uneven


def test_swapping_the_releases_negates_the_change() -> None:
    random = np.random.default_rng(4)
    one = made(random.normal(0.5, 0.1, 9), [0] * 9, range(9), random.random(9) < 0.4)
    other = made(random.normal(0.6, 0.1, 9), [0] * 9, range(9), random.random(9) < 0.7)
    forth, back = compare_sets(one, other, rng=1), compare_sets(other, one, rng=1)
    assert forth.accuracy and back.accuracy
    for a, b in ((forth.auc, back.auc), (forth.accuracy, back.accuracy)):
        assert a.change == -b.change and a.pvalue == b.pvalue
        assert (a.low, a.high) == pytest.approx((-b.high, -b.low), abs=1e-9)
    same = compare_sets(one, one, rng=1)
    assert same.auc.pvalue == 1 and same.auc.change == 0 and same.auc.low == same.auc.high == 0


def test_no_spread_is_not_certainty() -> None:
    all_near = made([0.95] * 8, [0] * 8, range(8), [True] * 8)
    all_near.own[:], all_near.shared[:] = 1.0, 1.0
    found = compare_sets(all_near, all_near, rng=1)
    assert found.accuracy
    least = clopper_pearson(5, 5, 0.95).low  # 5 works
    assert (found.auc.low, found.auc.high) == pytest.approx((least - 1, 1 - least))
    least = clopper_pearson(8, 8, 0.95).low
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((least - 1, 1 - least))


def test_newcombe_published_example() -> None:
    """Newcombe 1998, table II (a): 56/70 and 48/80, by Wilson's intervals: 0.0524 to 0.3339."""

    def wilson(right: int, n: int) -> Interval:
        found = scipy_stats.binomtest(right, n).proportion_ci(method="wilson")
        return Interval(found.low, found.high)

    found = square_and_add(48 / 80, wilson(48, 80), 56 / 70, wilson(56, 70))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_one_work_or_one_picture_has_no_interval() -> None:
    one = made([0.4], [0], [1], [True])
    found = compare_sets(one, made([0.6], [0], [1], [False]), rng=1)
    assert np.isnan([found.auc.low, found.auc.high]).all() and found.auc.pvalue == 1
    with pytest.raises(ValueError, match="the same works"):
        compare_sets(one, made([0.6], [0], [1], works=4))


def world(
    random: np.random.Generator, design: str, delta: float, n_prompts: int, n_seeds: int
) -> tuple[ReleaseSet, ReleaseSet]:
    """Two releases of one generator; the new one is nearer by delta, and named correctly more often by as much."""
    n_works, m = 10, n_prompts * n_seeds
    works, shared_prompts = random.normal(0, 0.1, n_works), random.normal(0, 0.08, n_prompts)
    shared_seeds, out = random.normal(0, 0.07, m), []
    for side in (0, 1):
        prompts = shared_prompts if design in (PAIRS, WITHIN) else random.normal(0, 0.08, n_prompts)
        scores = np.repeat(prompts, n_seeds) + random.normal(0, 0.07, m)
        scores += shared_seeds if design == PAIRS else random.normal(0, 0.07, m)
        own = 0.5 + side * delta + works[:, None] + scores + random.normal(0, 0.1, (n_works, m))
        right = random.random(m) < np.clip(0.5 + side * delta + scores, 0, 1)
        prompt = np.repeat(np.arange(n_prompts), n_seeds) + side * 1000 * (design in (PROMPTS, PICTURES))
        seed = np.arange(m) if design == PAIRS else np.full(m, -1)
        out.append(ReleaseSet(own, own.mean(axis=0), prompt, seed, right))
    return out[0], out[1]


@pytest.mark.parametrize(
    ("design", "n_prompts", "n_seeds"),
    [(PAIRS, 1, 10), (PAIRS, 6, 2), (WITHIN, 1, 10), (WITHIN, 6, 3), (PROMPTS, 6, 3), (PICTURES, 12, 1)],
)
def test_level_power_and_coverage(design: str, n_prompts: int, n_seeds: int) -> None:
    random, n = np.random.default_rng(11), 300
    found = {
        delta: [
            compare_sets(*world(random, design, delta, n_prompts, n_seeds), n_resamples=199, rng=random)
            for _ in range(n)
        ]
        for delta in (0.0, 0.15)
    }
    assert {one.design.name for some in found.values() for one in some} == {design}
    slack = 3 * np.sqrt(0.05 * 0.95 / n)
    called = {delta: np.mean([one.auc.pvalue <= 0.05 for one in some]) for delta, some in found.items()}
    assert called[0.0] <= 0.05 + slack and called[0.15] >= 0.4
    right = [one.accuracy for one in found[0.0] if one.accuracy]
    assert np.mean([one.pvalue <= 0.05 for one in right]) <= 0.05 + slack
    for delta, some in found.items():
        assert np.mean([one.auc.low <= delta <= one.auc.high for one in some]) >= 0.95 - slack
        shares = [one.accuracy for one in some if one.accuracy]
        assert np.mean([one.low - 1e-9 <= delta <= one.high + 1e-9 for one in shares]) >= 0.95 - slack
    assert np.median([one.auc.high - one.auc.low for one in found[0.15]]) < 0.4


def test_risen_and_fallen_artists() -> None:
    changes = {
        "up": (0.3, 0.001),
        "down": (-0.3, 0.001),
        "unsure": (0.3, 0.04),
        "same": (0.0, 1.0),
        "bare": (0.3, np.nan),
    }
    rows = adjusted(
        [
            ArtistChange(
                artist=name,
                auc_beyond=change,
                p_auc=p,
                n_placebos=0 if np.isnan(p) else 999,
                auc_base=0.5,
                auc_new=0.5,
                auc_change=0.0,
                accuracy_base=None,
                accuracy_new=None,
                accuracy_change=None,
                design=PAIRS,
                finding_base=Finding.NOT_SHOWN,
                finding_new=Finding.NOT_SHOWN,
            )
            for name, (change, p) in changes.items()
        ]
    )
    assert [row.p_auc_holm for row in rows] == pytest.approx([0.004, 0.004, 0.08, 1, None])
    assert shifts(rows, evidence.Testing()) == Shifts(
        risen=("up",), fallen=("down",), n_tested=4, fewest_findable=1
    )
    found = shifts(rows, evidence.Testing(level=0.1))
    assert found == Shifts(risen=("up", "unsure"), fallen=("down",), n_tested=4, fewest_findable=1)
    few = [structs.replace(row, n_placebos=19) for row in rows]
    assert shifts(few, evidence.Testing()).fewest_findable is None
