"""The two reference tests: definition, exactness, invariances, missing data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from imindex.stats.accuracy import chance_test
from imindex.stats.equivalence import tost
from imindex.stats.references import ReferenceTest, imitated, name_test, references_needed, rival_test
from imindex.stats.set_scores import SetScores, collect, twice_midranks


def scores_of(similarity: np.ndarray, works: np.ndarray, imitations: np.ndarray, n: int) -> SetScores:
    return collect([(slice(None), twice_midranks(similarity))], works, imitations, n, rng=0)


def clustered(
    rng: np.random.Generator, n_artists: int, n_placebos: int, n_works: int = 4, m: int = 5
) -> SetScores:
    """A world without imitation, where works cluster by artist and sets by name."""
    styles, sets = rng.normal(size=(n_artists, 3)), rng.normal(size=(n_artists + n_placebos, 3))
    works = np.repeat(styles, n_works, 0) + 0.5 * rng.normal(size=(n_artists * n_works, 3))
    pictures = np.repeat(sets, m, 0) + 0.5 * rng.normal(size=(len(sets) * m, 3))
    similarity = -np.linalg.norm(works[:, None] - pictures[None], axis=2)
    return scores_of(
        similarity, np.repeat(np.arange(n_artists), n_works), np.repeat(np.arange(len(sets)), m), len(sets)
    )


def test_name_test_counts_placebo_sets_at_least_as_near() -> None:
    rng = np.random.default_rng(1)
    works, imitations = np.repeat(np.arange(3), 4), np.repeat(np.arange(8), 5)
    similarity = rng.normal(size=(12, 40)) + 0.8 * (works[:, None] == imitations[None])
    found = name_test(scores_of(similarity, works, imitations, 8), [3, 4, 5, 6, 7])
    ranks = scipy_stats.rankdata(similarity, axis=1)
    for artist in range(3):
        mean = [ranks[works == artist][:, imitations == s].mean() for s in range(8)]
        reached = sum(value >= mean[artist] for value in mean[3:])
        assert found.pvalue[artist] == pytest.approx((1 + reached) / 6)
        assert found.n_reference[artist] == 5 and found.set_size[artist] == 5
        z, p = found.z[artist], found.pvalue_t[artist]
        reference = np.array(mean[3:])
        assert z == pytest.approx((mean[artist] - reference.mean()) / (reference.std(ddof=1) * np.sqrt(1.2)))
        assert p == pytest.approx(scipy_stats.t.sf(z, 4))
    assert found.status[3:] == ("no works",) * 5
    assert np.isnan(found.pvalue[3:]).all()


def test_rival_test_corrects_for_hub_sets() -> None:
    rng = np.random.default_rng(2)
    works, imitations = np.repeat(np.arange(5), 3), np.repeat(np.arange(7), 4)
    similarity = rng.normal(size=(15, 28)) + 2.0 * (imitations[None] == 1)  # set 1 is near to everything
    found = rival_test(scores_of(similarity, works, imitations, 7), placebos=[6])
    ranks = (scipy_stats.rankdata(similarity, axis=1) - 0.5) / 28
    table = np.array([[ranks[works == a][:, imitations == s].mean() for s in range(7)] for a in range(5)])
    for artist in range(5):
        corrected = {}
        for s in range(6):
            centre = [table[i, s] for i in range(5) if i not in (artist, s)]
            corrected[s] = table[artist, s] - np.mean(centre)
        reached = sum(value >= corrected[artist] for s, value in corrected.items() if s != artist)
        assert found.pvalue[artist] == pytest.approx((1 + reached) / 6)
        assert found.statistic[artist] == pytest.approx(corrected[artist])
    plain = rival_test(scores_of(similarity, works, imitations, 7), placebos=[6], hub_corrected=False)
    assert plain.pvalue[1] == pytest.approx(1 / 6)  # the hub looks imitated when nothing is taken off
    assert plain.statistic[1] > 0.5


def test_name_test_is_exact_when_works_and_sets_cluster() -> None:
    rng = np.random.default_rng(3)
    p = np.concatenate([name_test(clustered(rng, 6, 19), range(6, 25)).pvalue[:6] for _ in range(300)])
    for level in (0.05, 0.1, 0.25):
        # Artists of one world share placebos: the error is that of 300 worlds, not of 1,800 artists.
        per_world = (p.reshape(-1, 6) <= level).mean(axis=1)
        assert per_world.mean() <= level + 3 * per_world.std() / np.sqrt(len(per_world))
        assert per_world.mean() >= level / 2  # and not for want of power


def test_all_ties_count_against_the_finding() -> None:
    found = name_test(scores_of(np.zeros((2, 8)), np.array([0, 1]), np.repeat(np.arange(4), 2), 4), [2, 3])
    assert found.pvalue[:2].tolist() == [1.0, 1.0]
    assert np.isnan(found.z[:2]).all()
    rivals = rival_test(scores_of(np.zeros((2, 8)), np.array([0, 1]), np.repeat(np.arange(4), 2), 4), [2, 3])
    assert rivals.pvalue[:2].tolist() == [1.0, 1.0]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**16))
def test_p_is_never_0_and_ignores_monotone_transforms_and_placebo_names(seed: int) -> None:
    rng = np.random.default_rng(seed)
    works, imitations = np.repeat(np.arange(3), 2), np.repeat(np.arange(7), 3)
    similarity = rng.normal(size=(6, 21)).round(1)
    found = name_test(scores_of(similarity, works, imitations, 7), range(3, 7))
    assert (found.pvalue[:3] >= found.resolution[:3]).all() and (found.pvalue[:3] <= 1).all()
    again = name_test(scores_of(np.exp(3 * similarity), works, imitations, 7), range(3, 7))
    assert np.array_equal(found.pvalue, again.pvalue, equal_nan=True)
    renamed = np.array([0, 1, 2, 5, 6, 3, 4])[imitations]
    swapped = name_test(scores_of(similarity, works, renamed, 7), range(3, 7))
    assert np.array_equal(found.pvalue, swapped.pvalue, equal_nan=True)


def test_missing_parts_have_a_status() -> None:
    rng = np.random.default_rng(5)
    scores = scores_of(rng.normal(size=(4, 6)), np.array([0, 0, 1, 3]), np.repeat([0, 1, 2], 2), 4)
    found = name_test(scores, [])
    assert found.status == ("no placebo names", "no placebo names", "no works", "no imitations")
    assert np.isnan(found.pvalue).all() and np.isnan(found.resolution).all()
    both = imitated(name_test(scores, [2]), rival_test(scores, [2]))
    assert both[0] == max(name_test(scores, [2]).pvalue[0], rival_test(scores, [2]).pvalue[0])
    assert np.isnan(both[2:]).all()


def test_small_reference_sets_are_excluded_and_counted() -> None:
    rng = np.random.default_rng(6)
    imitations = np.repeat(np.arange(20), [6] * 19 + [2])
    scores = scores_of(rng.normal(size=(3, len(imitations))), np.zeros(3, int), imitations, 20)
    found = name_test(scores, range(1, 20))
    assert (found.n_reference[0], found.n_left_out[0], found.set_size[0]) == (18, 1, 6)


def test_references_needed() -> None:
    assert references_needed(0.05) == 19
    assert 1 / (1 + references_needed(0.01, 24)) <= 0.01 / 24
    assert 1 / references_needed(0.01, 24) > 0.01 / 24
    with pytest.raises(ValueError, match="level"):
        references_needed(0.0)


def test_rival_test_has_no_correction_with_two_artists() -> None:
    rng = np.random.default_rng(7)
    works, imitations = np.repeat(np.arange(2), 4), np.repeat(np.arange(12), 5)
    similarity = rng.normal(size=(8, 60)) + 3.0 * (works[:, None] == imitations[None])
    found = rival_test(scores_of(similarity, works, imitations, 12))
    assert found.pvalue[:2].tolist() == [1 / 12, 1 / 12]


def test_sets_with_different_pictures_per_prompt_are_not_references() -> None:
    rng = np.random.default_rng(8)
    names = np.repeat(np.arange(20), 20)
    four, twenty = np.arange(20) // 5, np.arange(20)  # 4 prompts x 5, 20 prompts x 1
    ranks = twice_midranks(rng.normal(size=(5, 400)))

    def test(*prompts: np.ndarray) -> ReferenceTest:
        labels = np.concatenate(prompts)
        scores = collect([(slice(None), ranks)], np.zeros(5, int), names, 20, prompt=labels, rng=1)
        return name_test(scores, range(1, 20))

    unlike = test(four, *[twenty] * 19)
    assert np.isnan(unlike.pvalue[0]) and (unlike.n_reference[0], unlike.n_left_out[0]) == (0, 19)
    assert unlike.status[0] == "no placebo names of this size and as many pictures a prompt"
    assert test(four, *[four] * 12, *[twenty] * 7).n_reference[0] == 12
    assert test(four, *[four] * 19).n_reference[0] == 19


def test_p_is_never_0_where_a_formula_would_round_to_it() -> None:
    assert 0 < chance_test([200], [200], [1 / 70]).pvalue[0] < 1e-300
    assert tost([0.0, 0.0, 0.0], margin=0.1).pvalue > 0
