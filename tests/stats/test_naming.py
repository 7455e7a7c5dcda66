"""The naming test: exact under uneven labels, against brute force, and its level in simulated worlds."""

from __future__ import annotations

import numpy as np
import pytest

from imindex.stats.naming import best_labels, naming_test
from imindex.stats.set_scores import Sets

N_ARTISTS, N_PLACEBOS, N_PICTURES = 6, 19, 8
N_SETS = N_ARTISTS + N_PLACEBOS
OWNER = np.repeat(np.arange(N_SETS), N_PICTURES)
PLACEBOS = np.arange(N_ARTISTS, N_SETS)
TESTED = np.arange(N_SETS) < N_ARTISTS


def table(rng: np.random.Generator, *, bias: float = 0.0, cluster: float = 0.0) -> np.ndarray:
    """Scores of labels: the first label attracts pictures, and the pictures of a set resemble each other."""
    scores = rng.normal(size=(len(OWNER), N_ARTISTS))
    scores += cluster * rng.normal(size=(N_SETS, N_ARTISTS))[OWNER]
    scores[:, 0] += bias
    return scores


def test_equals_brute_force_with_ties() -> None:
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 3, (len(OWNER), N_ARTISTS)).astype(float)
    result = naming_test(Sets(OWNER, N_SETS, compared=TESTED, rng=1), OWNER, *best_labels(scores), PLACEBOS)
    best = scores == scores.max(axis=1, keepdims=True)
    for artist in range(N_ARTISTS):
        alone = best[:, artist] & (best.sum(axis=1) == 1)
        own = alone[artist == OWNER].sum()
        others = [best[placebo == OWNER, artist].sum() for placebo in PLACEBOS]
        assert result.pvalue[artist] == (1 + sum(n >= own for n in others)) / (1 + N_PLACEBOS)
        assert result.share[artist] == own / N_PICTURES
        bias = (best / best.sum(axis=1, keepdims=True))[OWNER >= N_ARTISTS, artist].mean()
        assert result.placebo_share[artist] == pytest.approx(bias)


def test_label_that_attracts_every_picture_shows_nothing() -> None:
    scores = table(np.random.default_rng(1), bias=20)
    result = naming_test(Sets(OWNER, N_SETS, compared=TESTED, rng=1), OWNER, *best_labels(scores), PLACEBOS)
    assert result.share[0] == result.placebo_share[0] == 1
    assert result.pvalue[0] == 1


@pytest.mark.parametrize(("bias", "cluster"), [(0, 0), (2, 0), (0, 2), (2, 2)])
def test_level_holds_with_uneven_labels_and_sets_that_cluster(bias: float, cluster: float) -> None:
    rng, called = np.random.default_rng(7), []
    for _ in range(400):
        scores = table(rng, bias=bias, cluster=cluster)
        sets = Sets(OWNER, N_SETS, compared=TESTED, rng=rng)
        called.append(
            (naming_test(sets, OWNER, *best_labels(scores), PLACEBOS).pvalue[:N_ARTISTS] <= 0.05).mean()
        )
    assert np.mean(called) <= 0.05 + 3 * np.std(called) / len(called) ** 0.5


def test_named_artist_is_found() -> None:
    scores = table(np.random.default_rng(2), cluster=0.5)
    scores[OWNER == 1, 1] += 3
    result = naming_test(Sets(OWNER, N_SETS, compared=TESTED, rng=1), OWNER, *best_labels(scores), PLACEBOS)
    assert result.pvalue[1] == result.resolution[1] == 0.05


def test_only_sets_of_the_same_design_and_the_chosen_names_are_references() -> None:
    owner = np.concatenate([OWNER, [PLACEBOS[0]]])
    prompt = np.concatenate([np.tile(np.arange(4), len(OWNER) // 4), [0]])
    prompt[owner == PLACEBOS[1]] = 0  # all pictures of this name are from one prompt
    scores = np.random.default_rng(1).normal(size=(len(owner), N_ARTISTS))
    sets = Sets(owner, N_SETS, compared=TESTED, prompt=prompt, rng=1)
    few = PLACEBOS[2:5].tolist()
    result = naming_test(sets, owner, *best_labels(scores), PLACEBOS, only={2: few})
    assert result.n_left_out[0] >= 1
    assert result.n_reference[2] <= len(few)


def test_without_placebos_there_is_no_test() -> None:
    scores = table(np.random.default_rng(1))
    result = naming_test(Sets(OWNER, N_SETS, compared=TESTED, rng=1), OWNER, *best_labels(scores), [])
    assert np.isnan(result.pvalue).all()
    assert np.isnan(result.placebo_share).all()
    assert np.isfinite(result.share[:N_ARTISTS]).all()


def test_best_labels_are_the_same_in_blocks() -> None:
    scores = np.random.default_rng(1).integers(0, 4, (9000, 3)).astype(float)
    picture, label = best_labels(scores)
    expected = np.nonzero(scores == scores.max(axis=1, keepdims=True))
    np.testing.assert_array_equal(picture, expected[0])
    np.testing.assert_array_equal(label, expected[1])
