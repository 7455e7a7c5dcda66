"""CSLS with terms learnt on works, and classification by it, against all pairs computed with numpy."""

import numpy as np
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.classify.by_works import knn_scores, prototype_scores
from imindex.retrieval.match.own_neighbours import OwnNeighbours
from imindex.retrieval.match.paired_cells import PairedCells
from imindex.retrieval.match.ranking import csls_penalties
from imindex.retrieval.match.similarity_pass import Columns, Watch, walk
from imindex.retrieval.search.adjusted import nearest_adjusted
from imindex.retrieval.vectors.hubs import hub_terms


def _drawn(seed, n, d=6, artists=5):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d)) + 1
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16), rng.integers(
        0, artists, n
    )


def _term(cosines, k):
    """The mean of the k highest cosines."""
    return np.sort(cosines)[::-1][:k].mean() if len(cosines) else 0.0


def _wide(a, b):
    return a.astype(np.float64) @ b.T.astype(np.float64)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 4, 1000])
def test_terms_are_mean_cosines_to_the_nearest_works_of_others(seed, k):
    items, mine = _drawn(seed, 20)
    works, theirs = _drawn(seed + 50, 31)
    everyone, others = hub_terms(items, works, k), hub_terms(items, works, k, artists=(mine, theirs))
    for i, cosines in enumerate(_wide(items, works)):
        assert 2 * everyone.half[i] == pytest.approx(_term(cosines, k), abs=1e-12)
        assert 2 * others.half[i] == pytest.approx(_term(cosines[theirs != mine[i]], k), abs=1e-12)
    assert np.array_equal(np.round(others.half * 2**48), others.half * 2**48)


def test_terms_without_some_works_are_those_of_the_others():
    works, artist = _drawn(3, 40)
    terms = hub_terms(works, works, 5, artists=(artist, artist), spare=2)
    left_out = np.array([7, 12])
    kept = np.setdiff1d(np.arange(40), left_out)
    half = terms.half.copy()
    items, changed = terms.without(left_out)
    half[items] = changed
    expected = hub_terms(works, works[kept], 5, artists=(artist, artist[kept])).half
    assert np.array_equal(half, expected)
    assert 0 < len(items) < 40


def test_without_works_nothing_is_taken_off():
    items, mine = _drawn(1, 4, artists=1)
    assert hub_terms(items, items, 3, artists=(mine, mine)).half.tolist() == [0.0] * 4
    assert hub_terms(items, items[:0], 3).half.tolist() == [0.0] * 4


@pytest.mark.parametrize("k", [0, 10_001])
def test_numbers_of_neighbours_out_of_range_are_refused(k):
    items, _ = _drawn(1, 4)
    with pytest.raises(ImindexError, match="csls_k"):
        hub_terms(items, items, k)


@pytest.mark.parametrize("rows", [7, 100])
@pytest.mark.parametrize("k", [1, 6, 50])
def test_nearest_by_terms_are_those_of_all_pairs(rows, k, monkeypatch):
    monkeypatch.setattr("imindex.retrieval.search.adjusted.ROWS", rows)
    table, _ = _drawn(8, 60)
    table[10:14] = table[20]  # ties
    queries, _ = _drawn(9, 5)
    works, _ = _drawn(10, 25)
    chosen = np.arange(3, 60, 2)
    found, half = nearest_adjusted(table, chosen, queries, k, lambda near, _: hub_terms(near, works, 4).half)
    terms = np.array([_term(cosines, 4) for cosines in _wide(table, works)])
    cosines = _wide(queries, table)
    scores = cosines - terms / 2
    for q in range(5):
        order = sorted(chosen.tolist(), key=lambda row: (-round(scores[q, row], 11), row))[:k]
        assert found.rows[q].tolist() == order
        np.testing.assert_allclose(found.scores[q], scores[q, order], atol=1e-12)
        np.testing.assert_allclose(found.scores[q] + half[q], cosines[q, order], atol=1e-12)


def test_a_picture_does_not_depend_on_the_others_that_are_asked_for():
    table, _ = _drawn(8, 60)
    queries, _ = _drawn(9, 5)
    term = lambda near, _: hub_terms(near, table[:20], 4).half  # noqa: E731
    together, _ = nearest_adjusted(table, np.arange(60), queries, 7, term)
    alone, _ = nearest_adjusted(table, np.arange(60), queries[2:3], 7, term)
    assert np.array_equal(alone.rows[0], together.rows[2])
    assert np.array_equal(alone.scores[0], together.scores[2])


def _prototype(vectors):
    mean = vectors.astype(np.float64).sum(axis=0)
    return (vectors[0] if len(vectors) == 1 else mean / np.linalg.norm(mean)).astype(np.float16)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("itself", [False, True])
def test_scores_by_prototype_match_a_loop_over_pictures_and_artists(seed, itself):
    works, artist = _drawn(seed, 24, artists=4)
    images = works if itself else _drawn(seed + 9, 8)[0]
    exclude = np.arange(24) if itself else np.full(8, -1)
    got = prototype_scores(images, works, artist, 4, exclude=exclude, csls_k=3)
    for i, image in enumerate(images):
        kept = np.arange(24) != exclude[i]
        for a in range(4):
            own = kept & (artist == a)
            if not own.any():
                assert got[i, a] == -np.inf
                continue
            prototype = _prototype(works[own])[None]
            others = works[kept & (artist != a)]
            expected = _wide(image[None], prototype)[0, 0] - _term(_wide(prototype, others)[0], 3) / 2
            assert got[i, a] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("itself", [False, True])
def test_votes_match_a_loop_over_pictures(seed, itself):
    works, artist = _drawn(seed, 24, artists=4)
    images = works if itself else _drawn(seed + 9, 8)[0]
    exclude = np.eye(24, dtype=bool) if itself else np.zeros((8, 24), bool)
    exclude[0, :3] = True  # several works
    got = knn_scores(images, works, artist, 4, k=5, exclude=exclude, csls_k=3)
    for i, image in enumerate(images):
        kept = np.flatnonzero(~exclude[i])
        scores = {}
        for w in kept.tolist():
            others = kept[artist[kept] != artist[w]]
            term = _term(_wide(works[w : w + 1], works[others])[0], 3)
            scores[w] = _wide(image[None], works[w : w + 1])[0, 0] - term / 2
        nearest = sorted(scores, key=lambda w: (-round(scores[w], 12), w))[:5]
        votes = np.bincount(artist[nearest], minlength=4)
        present = np.unique(artist[kept])
        assert (got[i, present] // 4).tolist() == votes[present].tolist()
        best = [max(scores[w] for w in kept.tolist() if artist[w] == a) for a in present]
        assert (got[i, present] % 4).tolist() == [sum(b < a - 1e-12 for b in best) for a in best]


@pytest.mark.parametrize("k", [None, 3])
def test_both_releases_are_ranked_together_by_the_same_scores(k):
    works, artist = _drawn(4, 12, artists=3)
    order = np.argsort(artist, kind="stable")
    works, artist = works[order], artist[order]
    releases = [_drawn(seed, 15, artists=3) for seed in (5, 6)]
    columns, scores, made = [], [], np.concatenate([asked for _, asked in releases])
    for vectors, asked in releases:
        effective, penalties = csls_penalties(works, vectors, k)
        columns.append(Columns.of(vectors, asked, 3, csls_k=effective, penalties=penalties))
        cosines = _wide(works, vectors)
        terms = [0.0 if k is None else _term(line, k) / 2 for line in cosines.T]
        scores.append(np.round(cosines - terms, 12))
    cells = PairedCells()
    walk(works, artist, columns, [Watch(cells, (0, 1), np.arange(12))])
    together = np.concatenate(scores, axis=1)
    for a in range(3):
        for line, got in zip(together[artist == a], cells.of(a).both, strict=True):
            others = line[made != a]
            in_columns = np.concatenate(
                [np.flatnonzero(asked == a) + 15 * r for r, (_, asked) in enumerate(releases)]
            )
            expected = [
                ((others < s).sum() + (others == s).sum() / 2) / len(others) for s in line[in_columns]
            ]
            np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize("k", [None, 3])
def test_the_nearest_own_imitation_is_that_of_the_highest_score(k):
    works, artist = _drawn(4, 12, artists=3)
    vectors, asked = _drawn(5, 30, artists=3)
    effective, penalties = csls_penalties(works, vectors, k)
    columns = Columns.of(vectors, asked, 3, csls_k=effective, penalties=penalties)
    nearest = OwnNeighbours(artist, 3)
    walk(works, artist, [columns], [Watch(nearest, (0,), np.arange(12))])
    cosines = _wide(works, vectors)
    terms = np.array([0.0 if k is None else _term(line, k) / 2 for line in cosines.T])
    for a in range(3):
        got = nearest.of(a)
        for place, w in enumerate(np.flatnonzero(artist == a).tolist()):
            score = np.round(cosines[w] - terms, 12)
            best = max(np.flatnonzero(asked == a).tolist(), key=lambda y: (score[y], -y))
            assert got.imitation[place] == best
            assert got.cosine[place] == pytest.approx(cosines[w, best])
            assert got.rank[place] == (score >= score[best]).sum()


def test_a_hub_wins_by_cosine_and_loses_by_its_term():
    d = 6
    works = np.zeros((d + 1, d), np.float16)
    works[:d] = np.eye(d)
    works[d] = 1 / np.sqrt(d)  # near every work, and nobody's kin
    images = np.full((d, d), 0.3)
    images[np.arange(d), np.arange(d)] = 0.9
    images = (images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float16)
    artist = np.arange(d + 1)
    plain = prototype_scores(images, works, artist, d + 1).argmax(axis=1)
    adjusted = prototype_scores(images, works, artist, d + 1, csls_k=2).argmax(axis=1)
    assert plain.tolist() == [d] * d
    assert adjusted.tolist() == list(range(d))
