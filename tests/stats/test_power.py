"""Power against quadrature and a direct simulation of scores; variance estimates against the true values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import binom, norm

from imindex.stats.multiple import adjust, called
from imindex.stats.power import (
    Design,
    Family,
    Variances,
    designs,
    placebo_steps,
    placebos_allowed,
    power,
    required,
    significant_tests,
    variance_components,
)

VARIANCES = Variances(0.03, 0.1, 0.08, 0.2)


def set_sd(v: Variances, d: Design) -> float:
    n, m = d.n_works, d.n_imitations
    return np.sqrt(v.between_sets**2 + v.within_set**2 / m + v.work_by_set**2 / n + v.residual**2 / (n * m))


def by_quadrature(effect: float, v: Variances, d: Design, level: float) -> float:
    shift = effect / set_sd(v, d)
    most = np.floor(level * (d.n_placebos + 1) + 1e-9) - 1  # placebos that may be at or above

    def integrand(x: float) -> float:
        return binom.cdf(most, d.n_placebos, norm.sf(x)) * norm.pdf(x - shift)

    return integrate.quad(integrand, shift - 9, shift + 9, limit=200)[0]


@pytest.mark.parametrize("n_placebos", [18, 19, 60, 200])
@pytest.mark.parametrize("effect", [0.0, 0.05, 0.1, 0.2])
def test_equals_quadrature(n_placebos: int, effect: float) -> None:
    design = Design(10, 12, n_placebos)
    found = power(effect, VARIANCES, design, n_resamples=40_000, rng=n_placebos)
    expected = by_quadrature(effect, VARIANCES, design, 0.05)
    assert found.power == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 40_000) + 1e-12)
    assert found.set_sd == pytest.approx(set_sd(VARIANCES, design))
    assert found.resolution == 1 / (1 + n_placebos) and found.min_placebos == 19
    assert found.standard_error == pytest.approx(np.sqrt(found.power * (1 - found.power) / 40_000), rel=1e-3)


def test_level_is_respected_without_effect() -> None:
    # With 19 or 99 placebos the level is met exactly; with 60 it is 3 / 61.
    for n_placebos, expected in ((19, 0.05), (99, 0.05), (60, 3 / 61)):
        assert by_quadrature(0.0, VARIANCES, Design(5, 5, n_placebos), 0.05) == pytest.approx(
            expected, abs=1e-8
        )


def scores(rng: np.random.Generator, v: Variances, n: int, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of n works x imitations in sets, from their components, with a main effect of works."""
    number = np.repeat(np.arange(len(sizes)), sizes)
    table = (
        rng.normal(size=(n, 1))
        + v.between_sets * rng.standard_normal(len(sizes))[number]
        + v.within_set * rng.standard_normal(len(number))
        + v.work_by_set * rng.standard_normal((n, len(sizes)))[:, number]
        + v.residual * rng.standard_normal((n, len(number)))
    )
    return table, number


def test_equals_a_simulation_of_single_scores() -> None:
    rng, repeats, n, m, n_placebos = np.random.default_rng(1), 1500, 6, 4, 19
    hits = 0
    for _ in range(repeats):
        table, number = scores(rng, VARIANCES, n, [m] * (n_placebos + 1))
        sets = np.bincount(number, table.mean(axis=0)) / m
        hits += 1 + np.count_nonzero(sets[1:] >= sets[0] + 0.2) <= 0.05 * (n_placebos + 1)
    expected = power(0.2, VARIANCES, Design(n, m, n_placebos), n_resamples=100_000, rng=2).power
    assert hits / repeats == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / repeats))


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_tests=st.integers(1, 30),
    n_placebos=st.integers(1, 700),
    correction=st.sampled_from(["none", "holm", "bh"]),
    level=st.sampled_from([0.01, 0.05, 0.1, 0.3]),
)
def test_significance_follows_the_adjusted_p(
    seed: int, n_tests: int, n_placebos: int, correction: str, level: float
) -> None:
    rng = np.random.default_rng(seed)
    above = rng.binomial(n_placebos, rng.random((5, n_tests)) ** 6)
    found = significant_tests(above, n_placebos, Family(n_tests, None, correction, level))
    for row, counts in zip(found, above, strict=True):
        p = (1 + counts) / (1 + n_placebos)
        adjusted = p if correction == "none" else adjust(p, method=correction)
        np.testing.assert_array_equal(row, called(adjusted, level=level))


def test_fewest_placebos() -> None:
    for n_tests in (1, 7, 20, 70):
        for level in (0.01, 0.05, 0.1):
            family = Family(n_tests, None, "holm", level)
            least = family.min_placebos
            strong = np.r_[0, np.full(n_tests - 1, 10_000)][None]  # one above all placebos
            assert (
                significant_tests(strong, least, family)[0, 0]
                and not significant_tests(strong, least - 1, family).any()
            )
    assert Family(70, None, "holm").min_placebos == 1399 and Family(70).min_placebos == 19
    assert Family(70, 20, "bh").min_placebos == 69 and Family(7, level=0.07).min_placebos == 14
    few = power(1.0, VARIANCES, Design(10, 12, 1398), family=Family(70, 1, "holm"), n_resamples=200, rng=1)
    assert few.power == 0.0 and few.false_calls == 0.0


def test_families() -> None:
    design, options = Design(10, 12, 400), {"n_resamples": 4000, "rng": 3}
    none, holm, bh = (
        power(0.25, VARIANCES, design, family=Family(20, 10, name), **options)
        for name in ("none", "holm", "bh")
    )
    assert holm.power < bh.power < none.power
    assert none.false_calls == pytest.approx(20 / 401, abs=0.004)
    assert holm.false_calls * 10 < 0.055 and bh.false_calls < 0.06
    assert none.power == pytest.approx(
        by_quadrature(0.25, VARIANCES, design, 0.05), abs=5 * none.standard_error
    )
    assert np.isnan(power(0.1, VARIANCES, design, n_resamples=10, rng=1).false_calls)


def test_blocks_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    design, family = Design(10, 12, 60), Family(5, 3, "bh")
    first = power(0.1, VARIANCES, design, family=family, n_resamples=500, rng=1)
    assert first == power(
        0.1, VARIANCES, design, family=family, n_resamples=500, rng=np.random.default_rng(1)
    )
    monkeypatch.setattr("imindex.stats.power._BLOCK", 100)
    blocks = power(0.1, VARIANCES, design, family=family, n_resamples=500, rng=1)
    assert blocks.power == pytest.approx(first.power, abs=6 * first.standard_error)


def test_no_spread_at_all() -> None:
    nothing, design = Variances(0, 0, 0), Design(1, 1, 19)
    assert power(1e-9, nothing, design, n_resamples=50, rng=1).power == 1.0
    assert power(0.0, nothing, design, n_resamples=50, rng=1).power == 0.0  # ties are against


def test_smallest_design() -> None:
    candidates = designs([5, 40], [2, 8], [10, 19, 100])
    found = required(0.15, VARIANCES, candidates, n_resamples=4000, rng=1)
    assert len(found.table) == 12
    pictures = [row.design.n_imitations * (1 + row.design.n_placebos) for row in found.table]
    assert pictures == sorted(pictures)
    assert found.smallest is not None and found.smallest.power >= 0.8
    assert all(row.power < 0.8 for row in found.table[: found.table.index(found.smallest)])
    assert required(0.0, VARIANCES, candidates, n_resamples=100, rng=1).smallest is None
    by_design = {row.design: row.power for row in found.table}
    assert by_design[Design(5, 8, 10)] == 0.0  # 1 / 11 is above the level
    assert by_design[Design(5, 8, 100)] < by_design[Design(40, 8, 100)]
    assert by_design[Design(40, 2, 100)] < by_design[Design(40, 8, 100)]


@pytest.mark.parametrize("sizes", [[6] * 12, [2, 3, 3, 1, 9, 12, 5, 5, 4, 8, 6, 8]])
def test_variances_are_recovered(sizes: list[int]) -> None:
    rng, truth = np.random.default_rng(2), Variances(0.5, 0.8, 0.6, 1.0)
    found = [variance_components(*scores(rng, truth, 9, sizes)) for _ in range(400)]
    for name in ("between_sets", "within_set", "work_by_set", "residual"):
        variances = np.array([getattr(one, name) for one in found]) ** 2
        error = variances.std(ddof=1) / np.sqrt(len(found))
        # Setting to 0 lifts the mean of the one that often is near 0 a little.
        slack = 0.02 if name == "between_sets" else 0.0
        assert variances.mean() == pytest.approx(getattr(truth, name) ** 2, abs=4 * error + slack), name


def test_variances_without_data_are_0() -> None:
    rng = np.random.default_rng(3)
    found = [variance_components(*scores(rng, Variances(0, 0, 0, 1), 9, [6] * 12)) for _ in range(100)]
    for name in ("between_sets", "within_set", "work_by_set"):
        values = np.array([getattr(one, name) for one in found])
        assert (values == 0).mean() > 0.25 and values.max() < 0.5
    flat = variance_components(np.full((3, 4), 0.5), list("aabb"))
    assert flat == Variances(0, 0, 0, 0)


def test_works_and_order_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    table, number = scores(rng, Variances(0.5, 0.8, 0.6, 1.0), 7, [3, 5, 4, 6])
    order = rng.permutation(len(number))
    first = variance_components(table, number)
    second = variance_components((table + 10 * rng.normal(size=(7, 1)))[:, order], number[order] + 5)
    for name, value in vars(first).items():
        assert getattr(second, name) == pytest.approx(value, rel=1e-9)


def test_meaningless_conditions_are_refused() -> None:
    design = Design(10, 12, 60)
    for build, message in (
        (lambda: Variances(-1, 0, 0), "between_sets"),
        (lambda: Variances(0, np.nan, 0), "within_set"),
        (lambda: Design(0, 1, 1), "n_works"),
        (lambda: Family(0), "n_tests"),
        (lambda: Family(5, 6), "n_imitated"),
        (lambda: Family(5, 0), "n_imitated"),
        (lambda: Family(5, correction="by"), "correction"),
        (lambda: Family(level=5), "level"),
        (lambda: power(np.nan, VARIANCES, design), "effect"),
        (lambda: power(0.1, VARIANCES, design, n_resamples=0), "n_resamples"),
        (lambda: required(0.1, VARIANCES, []), "candidates"),
        (lambda: required(0.1, VARIANCES, [design], target=80), "target"),
        (lambda: variance_components(np.ones(3), [0, 0, 1]), "works x imitations"),
        (lambda: variance_components(np.ones((2, 3)), [0, 1]), "works x imitations"),
        (lambda: variance_components(np.full((2, 3), np.nan), [0, 0, 1]), "not finite"),
        (lambda: variance_components(np.ones((1, 3)), [0, 0, 1]), "1 works"),
        (lambda: variance_components(np.ones((2, 3)), [0, 0, 0]), "1 sets"),
        (lambda: variance_components(np.ones((2, 3)), [0, 1, 2]), "one imitation"),
    ):
        with pytest.raises(ValueError, match=message):
            build()


def test_steps_are_the_numbers_at_which_p_can_change() -> None:
    for level in (0.05, 0.05 / 3, 0.05 / 26, 0.05 / 70, 0.1, 0.01, 1 / 3):
        steps = placebo_steps(level, 4)
        allowed = [placebos_allowed(n, level) for n in range(steps[-1] + 1)]
        changes = [n for n in range(1, len(allowed)) if allowed[n] != allowed[n - 1]]
        assert changes == list(steps), level
    assert placebo_steps(0.05 / 26, 2) == (519, 1039)  # 1,038 find no more than 519
