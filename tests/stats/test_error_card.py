"""The error card: against the tests of references, and in worlds where the rates are known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from imindex.stats.error_card import error_card
from imindex.stats.references import name_test, rival_test
from imindex.stats.set_scores import collect, twice_midranks
from imindex.stats.set_statistics import fit, set_table


def test_rates_are_those_of_the_tests_with_a_placebo_in_the_artists_place() -> None:
    rng = np.random.default_rng(1)
    works = rng.normal(size=(20, 6)) + np.repeat(2 * rng.normal(size=(4, 6)), 5, axis=0)
    artist = np.repeat(np.arange(4), 5)
    names = np.repeat(np.arange(16), 3)
    pictures = rng.normal(size=(48, 6))
    placebos = np.arange(4, 16)
    scorer = fit(works, artist)
    scores = collect([(slice(None), twice_midranks(works @ pictures.T))], artist, names, 16, rng=1)
    table = set_table(scorer, pictures, scores)
    card = error_card(table.values[3], range(4), placebos, range(4), rng=1)
    p_name, p_rival = [], []
    for a in range(4):
        for p in placebos:
            swapped = names.copy()  # the placebo's pictures bear the artist's name, and the own set is gone
            swapped[names == p] = a
            kept = names != a
            replaced = collect(
                [(slice(None), twice_midranks(works @ pictures[kept].T))], artist, swapped[kept], 16, rng=1
            )
            own = set_table(scorer, pictures[kept], replaced)
            p_name.append(name_test(replaced, placebos[placebos != p], own).pvalue[a])
            p_rival.append(rival_test(replaced, placebos[placebos != p], own).pvalue[a])
    assert card is not None
    for level, name, rival in zip(card.levels, card.name, card.rival, strict=True):
        assert name == pytest.approx(np.mean(np.array(p_name) <= level + 1e-9))
        assert rival == pytest.approx(np.mean(np.array(p_rival) <= level + 1e-9))


def test_corrected_findings_are_as_rare_as_the_level_says() -> None:
    shares = []
    for seed in range(40):
        scores = np.random.default_rng(seed).normal(size=(129, 129))
        card = error_card(scores, range(30), range(30, 129), range(30), n_repeats=100, rng=seed)
        assert card is not None
        shares.append((card.any_name_effect, card.any_imitated))
    name, imitated = np.mean(shares, axis=0)
    assert imitated <= name <= 0.05 + 3 * np.std(shares, axis=0)[0] / np.sqrt(40)


def test_real_names_that_differ_in_kind_show_in_the_rival_rates() -> None:
    scores = np.random.default_rng(3).normal(size=(100, 100))
    scores[:, :30] -= 1.0  # real names' pictures are further from everybody's works
    card = error_card(scores, range(30), range(30, 100), range(30), rng=1)
    assert card is not None and card.rival[1] > 0.15 and card.name[1] <= 0.05


def test_it_takes_seconds_for_70_artists_and_is_none_without_placebos() -> None:
    scores = np.random.default_rng(4).normal(size=(169, 169))
    started = time.monotonic()
    card = error_card(scores, range(70), range(70, 169), range(70), rng=1)
    assert time.monotonic() - started < 10
    assert card is not None and (card.n_artists, card.n_placebos, card.n_rivals) == (70, 99, 69)
    assert error_card(scores, range(70), [], range(70)) is None
    assert error_card(scores, [], range(70, 169), range(70)) is None
    alone = error_card(scores, [0], range(70, 169), [0], rng=1)
    assert alone is not None and np.isnan(alone.rival).all() and alone.any_imitated == 0
