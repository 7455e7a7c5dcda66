"""Sums over sets against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from imindex.stats.references import name_test
from imindex.stats.set_scores import Collector, Sets, collect, common_size, twice_midranks

N_ARTISTS = 6


def world(seed: int, levels: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarities, artists of works, artists of imitations, in unequal numbers; artist 4 has no works, 5 no set."""
    rng = np.random.default_rng(seed)
    works = rng.permutation(np.repeat(np.arange(N_ARTISTS), [3, 1, 4, 2, 0, 2]))
    imitations = rng.permutation(np.repeat(np.arange(N_ARTISTS), [4, 5, 5, 7, 6, 0]))
    similarity = rng.normal(size=(len(works), len(imitations)))
    return (np.round(similarity * levels) if levels else similarity), works, imitations


@pytest.mark.parametrize("levels", [0, 2])
def test_auc_equals_scikit_learn(levels: int) -> None:
    similarity, works, imitations = world(1, levels)
    scores = collect([(slice(None), twice_midranks(similarity))], works, imitations, N_ARTISTS, rng=0)
    for artist in range(4):
        expected = np.mean([roc_auc_score(imitations == artist, row) for row in similarity[works == artist]])
        assert scores.auc[artist] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(scores.auc[4:]).all()


@pytest.mark.parametrize("levels", [0, 2])
def test_own_cells_are_shares_of_others_further_away(levels: int) -> None:
    similarity, works, imitations = world(2, levels)
    scores = collect([(slice(None), twice_midranks(similarity))], works, imitations, N_ARTISTS, rng=0)
    for artist in range(4):
        others = similarity[works == artist][:, imitations != artist][:, None, :]
        own = similarity[works == artist][:, imitations == artist][:, :, None]
        expected = ((others < own) + (others == own) / 2).mean(axis=2)
        # The columns are in the order of the subsample: compare what does not depend on it.
        assert np.sort(scores.own[artist], axis=1) == pytest.approx(np.sort(expected, axis=1), abs=1e-12)


def test_sums_are_over_subsets_of_that_size() -> None:
    similarity, works, imitations = world(3)
    ranks = twice_midranks(similarity)
    scores = collect([(slice(None), ranks)], works, imitations, N_ARTISTS, rng=0)
    assert common_size(scores.n_imitations) == 4
    assert set(scores.sums) == {4}
    for artist in range(4):
        columns = ranks[works == artist].sum(axis=0)
        mine = columns[imitations == 0].sum()  # set 0 has just 4 imitations: nothing to draw
        assert scores.sums[4][artist, 0] == mine
        for other in range(1, 5):
            from itertools import combinations

            possible = {sum(chosen) for chosen in combinations(columns[imitations == other].tolist(), 4)}
            assert scores.sums[4][artist, other] in possible
    assert (scores.sums[4][4] == -1).all() and (scores.sums[4][:, 5] == -1).all()
    percentiles = scores.percentiles(4)
    assert (
        np.isnan(percentiles[4]).all() and (percentiles[0, :5] > 0).all() and (percentiles[0, :5] < 1).all()
    )


def test_artist_with_few_imitations_is_compared_at_that_size() -> None:
    rng = np.random.default_rng(4)
    imitations = np.repeat(np.arange(20), [2] + [8] * 19)
    scores = collect(
        [(slice(None), twice_midranks(rng.normal(size=(40, len(imitations)))))],
        np.repeat(np.arange(20), 2), imitations, 20, rng=0,
    )  # fmt: skip
    assert scores.sizes.tolist() == [2] + [8] * 19
    assert (scores.sums[2] >= 0).all()
    assert (scores.sums[8][:, 0] == -1).all() and (scores.sums[8][:, 1:] >= 0).all()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**16), cut=st.integers(1, 11))
def test_blocks_order_of_works_and_monotone_transforms_change_nothing(seed: int, cut: int) -> None:
    similarity, works, imitations = world(seed, levels=2)
    whole = collect([(slice(None), twice_midranks(similarity))], works, imitations, N_ARTISTS, rng=1)
    order = np.random.default_rng(seed).permutation(len(works))
    blocks = [(rows, twice_midranks(np.exp(similarity[rows]))) for rows in np.split(order, [cut])]
    cut_up = collect(blocks, works, imitations, N_ARTISTS, rng=1)
    assert (whole.sums[4] == cut_up.sums[4]).all()
    assert np.array_equal(whole.per_work, cut_up.per_work, equal_nan=True)
    assert whole.auc == pytest.approx(cut_up.auc, abs=1e-12, nan_ok=True)


def test_invalid_inputs_of_collect_are_refused() -> None:
    ranks = twice_midranks(np.eye(2))
    with pytest.raises(ValueError, match="ranks of 1 works were added, but there are 2"):
        collect([(slice(0, 1), ranks[:1])], [0, 1], [0, 1], 2)
    with pytest.raises(ValueError, match="works: none given"):
        collect([], [], [0], 1)
    with pytest.raises(ValueError, match="imitations: the artists' numbers"):
        collect([(slice(None), ranks)], [0, 1], [0, 2], 2)
    with pytest.raises(ValueError, match="NaN"):
        twice_midranks([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="works x imitations"):
        twice_midranks([1.0])


def test_auc_needs_a_second_artist() -> None:
    alone = collect([(slice(None), twice_midranks([[0.3, 0.4]]))], [0], [0, 0], 1)
    assert np.isnan(alone.auc).all() and alone.sums[2].tolist() == [[6]]
    pair = collect([(slice(None), twice_midranks([[0.3, 0.4]]))], [1], [0, 1], 2)
    assert pair.auc[1] == 1.0


def test_sets_are_subsampled_by_whole_prompts() -> None:
    imitations = np.repeat([0, 1, 2], [4, 12, 12])
    prompts = np.concatenate([np.arange(4) // 2, np.arange(12) // 2, np.arange(12) // 2])
    sets = Sets(imitations, 3, compared=[True, False, False], prompt=prompts, rng=1)
    for start in (4, 16):
        first = sets.order[start : start + 4]
        assert len(np.unique(prompts[first])) == 2
    with pytest.raises(ValueError, match="28 labels"):
        Collector([0], imitations, 3, prompt=[1])


def test_name_test_keeps_its_level_with_larger_placebo_sets_and_prompts() -> None:
    rng = np.random.default_rng(11)
    sizes = [10] + [40] * 19
    names = np.repeat(np.arange(20), sizes)
    prompts = np.concatenate([np.arange(size) // 5 for size in sizes])  # five pictures a prompt in every set
    called = []
    for _ in range(600):
        effects = rng.normal(size=(20, 8))[names, prompts]
        similarity = effects[None] + 0.3 * rng.normal(size=(5, len(names)))
        ranks = twice_midranks(similarity)
        scores = collect([(slice(None), ranks)], np.zeros(5, int), names, 20, prompt=prompts, rng=rng)
        called.append(name_test(scores, range(1, 20)).pvalue[0] <= 0.1 + 1e-12)
    assert np.mean(called) <= 0.1 + 3 * np.sqrt(0.09 / 600)  # by single pictures: about 0.2
