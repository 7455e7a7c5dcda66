"""The AUC stated beside "not shown" is found in about 80 % of cases: simulation of sets with exactly that AUC."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from imindex.retrieval.evidence.detectable import POWER, Scored, detectable_auc
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.multiple import adjust, called, level_of_next
from imindex.stats.power import Design, Family, Variances, detectable_shift, placebos_allowed, power
from imindex.stats.set_scores import Collector, SetScores, twice_midranks
from imindex.stats.set_statistics import DEFAULT, fit, set_table

D = 24
N_ARTISTS, N_WORKS, N_PICTURES, N_PLACEBOS = 12, 10, 8, 39


@pytest.mark.parametrize(("n_placebos", "level"), [(19, 0.05), (39, 0.05), (39, 0.036), (99, 0.01)])
def test_detectable_shift_has_the_power_that_is_simulated(n_placebos: int, level: float) -> None:
    shift = detectable_shift(n_placebos, level)
    assert shift is not None
    found = power(
        shift,
        Variances(1, 0, 0),
        Design(1, 1, n_placebos),
        family=Family(level=level),
        n_resamples=40_000,
        rng=1,
    )
    assert found.power == pytest.approx(0.8, abs=4 * found.standard_error + 1e-3)


def test_detectable_shift_at_the_edges() -> None:
    assert detectable_shift(18, 0.05) is None and placebos_allowed(18, 0.05) == -1
    assert detectable_shift(19, 0.05) is not None
    wide, narrow = detectable_shift(99, 0.05), detectable_shift(99, 0.01)
    assert wide is not None and narrow is not None and wide < narrow
    with pytest.raises(ValueError, match="target"):
        detectable_shift(39, 0.05, 1.0)


@pytest.mark.parametrize("method", ["holm", "bh", "by"])
@pytest.mark.parametrize("n_found", [0, 3, 7])
def test_level_of_next_is_where_one_more_becomes_significant(method: str, n_found: int) -> None:
    n = 8
    limit = level_of_next(n, n_found, method=method)  # type: ignore[arg-type]
    for p, expected in ((limit, True), (limit * 1.01, False)):
        family = [1e-9] * n_found + [p] + [1.0] * (n - n_found - 1)
        significant = called(adjust(family, method=method))  # type: ignore[arg-type]
        assert significant[n_found] == expected
        assert significant[:n_found].all()


class World:
    """Works of some artists, placebo sets, and sets of the first artist's name with an effect."""

    def __init__(self, seed: int, between: float):
        random = np.random.default_rng(seed)
        self.between = between
        self.directions = random.normal(size=(N_ARTISTS, D)) / np.sqrt(D)
        artist = np.repeat(np.arange(N_ARTISTS), N_WORKS)
        self.works = _unit(2 * self.directions[artist] + 0.35 * random.normal(size=(len(artist), D)))
        self.work_artist = artist
        self.placebos = self.sets(random, N_PLACEBOS)

    def sets(self, random: np.random.Generator, n: int, effect: float = 0.0) -> np.ndarray:
        """Return n sets of pictures, shape (n, N_PICTURES, D)."""
        name = self.between * random.normal(size=(n, 1, D))
        picture = 0.35 * random.normal(size=(n, N_PICTURES, D))
        return _unit(name + picture + effect * self.directions[0])

    def scores(self, own: np.ndarray) -> tuple[SetScores, Pictures]:
        """Score the own set, of artist 0, and the placebo sets, numbered after the artists."""
        pictures = np.concatenate([own, self.placebos.reshape(-1, D)])
        name = np.concatenate(
            [np.zeros(N_PICTURES, int), np.repeat(np.arange(N_PLACEBOS) + N_ARTISTS, N_PICTURES)]
        )
        collector = Collector(self.work_artist, name, N_ARTISTS + N_PLACEBOS, rng=1)
        collector.add(slice(None), twice_midranks(self.works @ pictures.T))
        return collector.finish(), Pictures(np.arange(len(name)), pictures, name)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _auc(world: World, sets: np.ndarray) -> np.ndarray:
    """The AUC of sets against the placebo pictures, for the works of artist 0."""
    works = world.works[world.work_artist == 0]
    others = np.sort(works @ world.placebos.reshape(-1, D).T, axis=1)
    own = np.einsum("wd,nkd->wnk", works, sets)
    below = np.stack([np.searchsorted(row, values) for row, values in zip(others, own, strict=True)])
    return np.asarray(below.mean(axis=(0, 2)) / others.shape[1])


def _rate(statistic: str, level: float, between: float, n_worlds: int, n_sets: int) -> tuple[float, float]:
    """How often an artist is found whose sets have the stated AUC as their middle, and the mean of what is stated."""
    n = N_ARTISTS + N_PLACEBOS
    names = [f"name {number:02d}" for number in range(n)]
    judged, found = np.arange(n) == 0, np.zeros(n, bool)
    rates, stated = [], []
    for seed in range(n_worlds):
        world = World(seed, between)
        scores, imitations = world.scores(world.sets(np.random.default_rng((seed, 1)), 1)[0])
        scorer = None if statistic == "rank" else fit(world.works, world.work_artist, DEFAULT)
        scored = Scored(
            Pictures(np.arange(len(world.works)), world.works, world.work_artist),
            imitations,
            scores,
            scorer,
            None if scorer is None else set_table(scorer, imitations.vectors, scores),
        )
        auc = detectable_auc(scored, names, range(N_ARTISTS, n), judged, found, Testing(level=level))
        assert auc is not None
        stated.append(auc)

        def sets(effect: float, world: World = world, seed: int = seed) -> np.ndarray:
            return world.sets(np.random.default_rng((seed, 2)), n_sets, effect)

        def miss(effect: float, world: World = world, wanted: float = auc) -> float:
            probit = special.ndtri(np.clip(_auc(world, sets(effect)), 1e-4, 1 - 1e-4))
            return float(probit.mean() - special.ndtri(wanted))

        own = sets(optimize.brentq(miss, -5.0, 30.0, xtol=1e-3))
        if scorer is None:
            value, reference = _auc(world, own), _auc(world, world.placebos)
        else:
            value, reference = (
                scorer.score(each.reshape(-1, D))[:, 0].reshape(-1, N_PICTURES).mean(axis=1)
                for each in (own, world.placebos)
            )
        at_least = (reference[None, :] >= value[:, None]).sum(axis=1)
        rates.append((at_least <= placebos_allowed(N_PLACEBOS, level)).mean())
    return float(np.mean(rates)), float(np.mean(stated))


@pytest.mark.parametrize("statistic", ["rank", "default"])
@pytest.mark.parametrize("between", [0.1, 0.4])
@pytest.mark.parametrize("level", [0.05, 0.026])
def test_an_artist_with_the_stated_auc_is_found_in_about_80_percent(
    level: float, between: float, statistic: str
) -> None:
    rate, stated = _rate(statistic, level, between, 30, 200)
    assert 0.5 < stated < 1
    assert rate == pytest.approx(POWER, abs=0.04)
