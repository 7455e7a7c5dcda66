"""Sets made with other templates are no references, and references can be chosen for each artist."""

from __future__ import annotations

import numpy as np
import pytest

from imindex.stats.references import OTHER_TEMPLATES, UNLIKE, name_test, rival_test
from imindex.stats.set_scores import Collector, SetScores, collect, twice_midranks


def scores_of(templates: list[list[int]], prompts: list[list[int]] | None = None, seed: int = 1) -> SetScores:
    """One artist with works, whose set is the first; the others are placebos."""
    sizes = [len(one) for one in templates]
    imitations = np.repeat(np.arange(len(templates)), sizes)
    similarity = np.random.default_rng(seed).normal(size=(5, len(imitations)))
    labels = templates if prompts is None else prompts
    return collect(
        [(slice(None), twice_midranks(similarity))], np.zeros(5, int), imitations, len(templates),
        prompt=np.concatenate([100 * place + np.array(one) for place, one in enumerate(labels)]),
        template=np.concatenate(templates), rng=1,
    )  # fmt: skip


def test_only_sets_of_the_same_templates_are_references() -> None:
    same, other, swapped = [0, 0, 1, 1], [0, 0, 2, 2], [0, 1, 1, 1]
    result = name_test(scores_of([same, same, other, same, [-1] * 4]), range(1, 5))
    assert (result.n_reference[0], result.n_left_out[0]) == (2, 2)
    result = name_test(scores_of([same, other, other]), [1, 2])
    assert result.status[0] == f"no placebo names {OTHER_TEMPLATES}" and np.isnan(result.pvalue[0])
    result = name_test(scores_of([same, swapped]), [1])
    assert result.status[0] == f"no placebo names {UNLIKE}"
    # As many pictures of each prompt, but the shares of the templates are swapped.
    result = name_test(scores_of([[0, 1, 1, 1], [0, 0, 0, 1]]), [1])
    assert result.status[0] == f"no placebo names {OTHER_TEMPLATES}"
    assert rival_test(scores_of([same, other]), []).status[0] == f"no other artists {OTHER_TEMPLATES}"


def test_unknown_templates_are_compared_with_unknown_ones() -> None:
    result = name_test(scores_of([[-1] * 4] * 4), range(1, 4))
    assert (result.n_reference[0], result.n_left_out[0]) == (3, 0)


def test_of_larger_sets_only_the_templates_count_that_they_have() -> None:
    """A random part of them is compared, which may have any of their templates."""
    large = [0] * 4 + [1] * 4
    result = name_test(scores_of([[0, 0, 0, 0], large, [0] * 8, *[[0] * 8] * 9]), range(1, 12))
    assert (result.n_reference[0], result.n_left_out[0]) == (10, 1)


def test_without_templates_all_is_as_before() -> None:
    prompts = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    names = np.repeat([0, 1], 4)
    ranks = twice_midranks(np.random.default_rng(2).normal(size=(3, 8)))
    scores = collect([(slice(None), ranks)], [0, 0, 0], names, 2, prompt=prompts, rng=1)
    assert scores.designs[4].tolist() == scores.counts[4].tolist() == [0, 0]
    with pytest.raises(ValueError, match="template: expected 8 labels"):
        Collector([0], names, 2, template=[1])


def test_references_can_be_chosen_for_each_artist() -> None:
    rng = np.random.default_rng(7)
    works, imitations = np.repeat([0, 1, 2], 4), np.repeat(np.arange(9), 3)
    similarity = rng.normal(size=(12, 27))
    scores = collect([(slice(None), twice_midranks(similarity))], works, imitations, 9, rng=1)
    whole = name_test(scores, range(3, 9))
    some = name_test(scores, range(3, 9), only={0: [3, 4], 1: [1, 5, 6, 7]})
    own = scores.sums[3]
    assert some.n_reference[:3].tolist() == [2, 3, 6] and whole.n_reference[:3].tolist() == [6, 6, 6]
    for artist, references in ((0, [3, 4]), (1, [5, 6, 7]), (2, range(3, 9))):  # set 1 is no placebo
        at_least = sum(own[artist, one] >= own[artist, artist] for one in references)
        assert some.pvalue[artist] == (1 + at_least) / (1 + len(references))


def test_the_level_holds_with_a_choice_by_origin() -> None:
    """Names of the artist's origin move towards such works, whoever is named; a choice by origin keeps the level."""
    rng = np.random.default_rng(8)
    below = []
    for _ in range(400):
        works = rng.normal(size=8) / np.sqrt(8)
        sets = rng.normal(size=(80, 8))
        sets[:20] += works  # the artist, and 19 placebos of the same origin; 60 are of another
        similarity = np.repeat((works + 0.3 * rng.normal(size=(3, 8))) @ sets.T, 2, axis=1)
        similarity += 0.3 * rng.normal(size=similarity.shape)
        scores = collect(
            [(slice(None), twice_midranks(similarity))],
            np.zeros(3, int),
            np.repeat(np.arange(80), 2),
            80,
            rng=1,
        )
        chosen = name_test(scores, range(1, 80), only={0: range(1, 20)}).pvalue[0]
        below.append((chosen <= 0.05, name_test(scores, range(1, 80)).pvalue[0] <= 0.05))
    matched, everybody = np.mean(below, axis=0)
    assert matched <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400)
    assert everybody > 0.1
