"""Works are compared by a sample where there are very many: what is drawn, and what rests on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.store.index import Index
from imindex.retrieval.evidence import compared
from imindex.retrieval.evidence.compared import FEWEST, compared_works, sampling_notes
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.shared import Shared
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.stats import duplicates
from imindex.stats.keyed import generators
from imindex.stats.references import name_test
from imindex.stats.set_scores import collect, twice_midranks
from imindex.stats.set_statistics import fit, set_table, tell_apart
from tests.support.invented_index import invented_index, unit

NAMES = [f"artist {number}" for number in range(40)]


def works_of(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))


def drawn(counts: list[int], n_asked: int, background: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    artist = works_of(counts)
    asked = np.arange(len(counts)) < n_asked
    rows = compared_works(artist, asked, NAMES, background=background, seed=seed).rows
    return rows, np.bincount(artist[rows], minlength=len(counts))


def test_few_works_are_all_compared() -> None:
    found = compared_works(works_of([5, 9, 20]), np.array([True, False, False]), NAMES, background=29, seed=0)
    assert found.sampled is None and found.rows.tolist() == list(range(34))


@pytest.mark.parametrize("background", [41, 60, 150, 299])
def test_every_artist_keeps_its_share(background: int) -> None:
    counts = [30, 12, 100, 100, 50, 40, 8, 2]
    rows, kept = drawn(counts, 2, background)
    assert kept[:2].tolist() == counts[:2] and len(set(rows.tolist())) == len(rows)
    assert 0.8 * background <= kept[2:].sum() <= background
    assert all(n >= min(FEWEST, of) for n, of in zip(kept, counts, strict=True))
    share = kept[2] / counts[2]
    for n, of in zip(kept[2:].tolist(), counts[2:], strict=True):
        assert n == pytest.approx(max(min(of, FEWEST), share * of), abs=1)


def test_few_places_are_still_divided_and_more_artists_than_places_are_drawn() -> None:
    assert drawn([30] * 10, 1, 9)[1].tolist() == [30] + [1] * 9
    _, kept = drawn([30] * 10, 1, 4)
    assert kept[0] == 30 and sorted(kept[1:].tolist()) == [0] * 5 + [1] * 4


def test_works_of_asked_artists_are_drawn_only_if_there_are_very_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compared, "EACH", 25)
    assert drawn([30, 40, 10], 2, 100)[1].tolist() == [25, 25, 10]
    monkeypatch.setattr(compared, "OWN", 35)
    assert drawn([30, 40, 10], 2, 100)[1].tolist() == [17, 17, 10]


def test_a_smaller_sample_is_part_of_a_larger_one_and_depends_on_the_seed() -> None:
    counts = [30, 100, 80, 9]
    few, many = (set(drawn(counts, 1, n)[0].tolist()) for n in (40, 90))
    assert few < many
    assert set(drawn(counts, 1, 40, seed=1)[0].tolist()) != few == set(drawn(counts, 1, 40)[0].tolist())


def test_the_draws_of_an_artist_do_not_depend_on_others() -> None:
    """With the numbers of two artists exchanged, and the works in place, each keeps the same works."""
    artist = works_of([30, 100, 80])
    swapped = np.array([0, 2, 1])[artist]
    names = [NAMES[0], NAMES[2], NAMES[1]]
    asked = np.array([True, False, False])
    one = compared_works(artist, asked, NAMES, background=60, seed=3).rows
    two = compared_works(swapped, asked, names, background=60, seed=3).rows
    assert one.tolist() == two.tolist()


def test_every_work_is_drawn_about_equally_often() -> None:
    times = np.zeros(90)
    for seed in range(300):
        times[drawn([0, 30, 60], 0, 30, seed)[0]] += 1
    assert np.abs(times - 100).max() < 5 * np.sqrt(300 * 2 / 9)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an index in which no release was asked for two artists or more."""
    path = tmp_path_factory.mktemp("compared") / "i.h5"
    for seed in range(100):
        invented_index(path, seed, n_artists=40)
        with Index(path) as opened:
            shared = Shared(opened)
            if len(np.unique(shared.known.artist[~shared.asked[shared.known.artist]])) > 1:
                return path
    raise AssertionError("no seed gives such an index")


def test_ranks_and_tests_against_names_do_not_rest_on_the_sample(index: Path) -> None:
    settings = {"placebos": ["placebo *"], "n_resamples": 199}
    whole = match_release(index, "r1", testing=Testing(**settings))
    some = match_release(index, "r1", testing=Testing(**settings, background=3))
    again = match_release(index, "r1", testing=Testing(**settings, background=3))
    assert whole.sampled_works is None and some == again
    sampled = some.sampled_works
    assert (
        sampled is not None
        and sampled.n_own == sampled.of_own
        and sampled.n_background == 3 < sampled.of_background
    )
    assert some.auc_matrix == whole.auc_matrix and some.macro == whole.macro
    same = ("auc", "rank_percentile", "auc_low", "auc_high", "p_name", "p_rival", "p_work", "score", "n_distinct_works",
            "floor_control", "floor_placebo", "p_differs")  # fmt: skip
    for one, other in zip(some.artists, whole.artists, strict=True):
        for name in same:
            assert getattr(one, name) == getattr(other, name), name
    assert some.evidence is not None and whole.evidence is not None
    assert set(some.evidence.notes) - set(whole.evidence.notes) == set(sampling_notes(sampled))
    (note,) = sampling_notes(sampled)
    assert f"3 of {sampled.of_background} other works (seed 0)" in note


def test_without_tests_the_gap_is_that_of_the_tests(index: Path) -> None:
    for background in (3, 25_000):
        tested = match_release(index, "r1", testing=Testing(n_resamples=99, background=background))
        plain = match_release(index, "r1", background=background)
        assert plain.sampled_works == tested.sampled_works
        assert [(a.gap, a.gap_nearest, a.gap_status) for a in plain.artists] == [
            (a.gap, a.gap_nearest, a.gap_status) for a in tested.artists
        ]


def test_clusters_of_some_works_are_those_that_they_have_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    artist = np.sort(random.integers(0, 4, 60))
    works = random.standard_normal((60, 8))
    works[1::2] = works[::2] + 0.01 * random.standard_normal((30, 8))
    artist[1::2] = artist[::2]
    vectors = unit(works)
    whole, threshold = near_duplicates(vectors, artist)
    assert len(np.unique(whole)) == 30
    some, same = near_duplicates(vectors, artist, among=np.flatnonzero(artist == 2))
    assert same == threshold
    assert some.tolist() == np.where(artist == 2, whole, np.arange(60)).tolist()
    monkeypatch.setattr(duplicates, "_LINKS", 3)
    monkeypatch.setattr(
        "imindex.retrieval.vectors.near_duplicates.blocks", lambda n, *_: (slice(i, i + 1) for i in range(n))
    )
    assert near_duplicates(vectors, artist)[0].tolist() == whole.tolist()


def test_tests_keep_their_level_where_background_works_are_sampled() -> None:
    """Nobody is imitated: the own set is drawn as those of placebo names are, near no artist's works."""
    n_artists, n_background, n_placebos, dim = 6, 30, 19, 16
    names = [f"artist {number}" for number in range(n_artists + n_background + n_placebos)]
    asked = np.arange(len(names)) < n_artists
    artist = np.repeat(np.arange(n_artists + n_background), [8] * n_artists + [20] * n_background)
    imitated = np.repeat(np.r_[np.arange(n_artists), len(names) - n_placebos + np.arange(n_placebos)], 4)
    placebos = list(range(len(names) - n_placebos, len(names)))
    p_values, alike = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        styles = random.normal(size=(len(names), dim))
        works = styles[artist] + 2 * random.normal(size=(len(artist), dim))
        sets = random.normal(size=(len(names), dim))[imitated] + random.normal(size=(len(imitated), dim))
        rows = compared_works(artist, asked, names, background=90, seed=seed).rows
        told = tell_apart(works[rows], artist[rows], len(names), artists=np.arange(n_artists)).told
        ranks = twice_midranks(works[artist < n_artists] @ sets.T)
        scores = collect(
            [(slice(None), ranks)], artist[artist < n_artists], imitated, len(names),
            rng=generators(seed, "subsample", names),
        )  # fmt: skip
        table = set_table(fit(works, artist), sets, scores)
        p = name_test(scores, placebos, table).pvalue[:n_artists]
        p_values += p[told[:n_artists]].tolist()
        # The check itself: works that no style distinguishes.
        same = random.normal(size=works.shape)
        alike += (
            tell_apart(same[rows], artist[rows], len(names), artists=np.arange(n_artists))
            .told[:n_artists]
            .tolist()
        )
    for rejected in (np.array(p_values) <= 0.05 + 1e-9, np.array(alike)):
        assert len(rejected) > 100
        assert rejected.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(rejected))
    assert np.mean(p_values) == pytest.approx(0.525, abs=4 * 0.29 / np.sqrt(len(p_values)) * 1.5)
