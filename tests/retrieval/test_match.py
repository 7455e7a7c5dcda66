"""Check imindex.retrieval.match.match against scikit-learn, scipy, all orders of tied pictures, and exact fractions."""

import itertools
import math
import statistics
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from imindex.retrieval.match import ranking as module
from imindex.retrieval.match.discrimination import discrimination_gap
from imindex.retrieval.match.match import Figures, match

SEEDS = st.integers(0, 2**32 - 1)
relaxed = settings(deadline=None, max_examples=40)
FIGURES = ("auc", "rank_percentile", "reciprocal_rank", "average_precision")


def unit(rng, n, d=48):
    x = rng.standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


def few(rng, n):
    """Draw from only 16 unit vectors, whose cosines are -1, -0.5, 0, 0.5 and 1, so that there are many ties."""
    return rng.choice([-0.5, 0.5], (n, 4)).astype(np.float16)


def fractions(a, b):
    """Return all cosines as fractions, as a list of rows."""
    a, b = [[list(map(Fraction, row)) for row in x.tolist()] for x in (a, b)]
    return [[sum(p * q for p, q in zip(x, y, strict=True)) for y in b] for x in a]


def arrays(figures):
    """Return all arrays of a Figures, by name."""
    named = {name: getattr(figures, name) for name in FIGURES}
    return named | {f"{n}@{k}": v for n in ("recall", "hit") for k, v in getattr(figures, n).items()}


def same(first, second, index=...):
    """Whether all figures are bit-identical, including NaN."""
    return all(np.array_equal(a[index], arrays(second)[n], equal_nan=True) for n, a in arrays(first).items())


def case(rng, n_works, n_imitations, n_artists, draw=unit):
    return (
        draw(rng, n_works),
        rng.integers(0, n_artists, n_works),
        draw(rng, n_imitations),
        rng.integers(0, n_artists, n_imitations),
        n_artists,
    )


def check_against_oracles(got, cosines, data, recall_at):
    """Check figures of works against scikit-learn and scipy, and means and the AUC matrix against NumPy."""
    _, work_artist, imitations, imitation_artist, n_artists = data
    m = len(imitations)
    expected = {name: [] for name in FIGURES}
    for scores, artist in zip(cosines, work_artist, strict=True):
        own = imitation_artist == artist
        if not 0 < own.sum() < m:
            for name in FIGURES:
                expected[name].append(math.nan)
            continue
        expected["auc"].append(roc_auc_score(own, scores))
        expected["average_precision"].append(average_precision_score(own, scores))
        expected["rank_percentile"].append(((rankdata([-s for s in scores])[own] - 1) / (m - 1)).mean())
        better = sum(not o and s >= max(np.array(scores)[own]) for o, s in zip(own, scores, strict=True))
        expected["reciprocal_rank"].append(1 / (1 + better))
    for name in FIGURES:
        assert getattr(got.works, name) == pytest.approx(np.array(expected[name]), abs=1e-12, nan_ok=True)
    for name, values in arrays(got.works).items():
        for artist in range(n_artists):
            rows = values[work_artist == artist]
            mean = rows.mean() if len(rows) else math.nan
            assert arrays(got.artists)[name][artist] == pytest.approx(mean, abs=1e-12, nan_ok=True)
        known = arrays(got.artists)[name][[status == "ok" for status in got.status]]
        assert arrays(got.macro)[name] == pytest.approx(known.mean() if len(known) else math.nan, nan_ok=True)
        assert not np.isnan(known).any()
    for a, b in itertools.product(range(n_artists), repeat=2):
        own, rows = imitation_artist == b, np.flatnonzero(work_artist == a)
        aucs = [roc_auc_score(own, cosines[w]) for w in rows] if 0 < own.sum() < m else []
        mean = np.mean(aucs) if aucs else math.nan
        assert got.auc_matrix[a, b] == pytest.approx(mean, abs=1e-12, nan_ok=True)
    assert set(got.works.recall) == set(got.works.hit) == set(recall_at)


def test_figures_match_scikit_learn():
    rng = np.random.default_rng(1)
    data = case(rng, 40, 300, 6)
    got = match(*data)
    check_against_oracles(got, data[0].astype(float) @ data[2].astype(float).T, data, (1, 5, 10, 50))
    assert got.n_works.sum() == 40
    assert got.n_imitations.sum() == 300


@relaxed
@given(SEEDS, st.integers(1, 6), st.integers(1, 12), st.integers(1, 4))
def test_figures_match_scikit_learn_with_ties_and_gaps(seed, n_works, n_imitations, n_artists):
    data = case(np.random.default_rng(seed), n_works, n_imitations, n_artists, few)
    cosines = [[float(x) for x in row] for row in fractions(data[0], data[2])]
    check_against_oracles(match(*data, recall_at=(1, 3)), cosines, data, (1, 3))


@relaxed
@given(SEEDS, st.integers(2, 6))
def test_ranked_figures_are_the_worst_over_all_orders_of_the_ties(seed, m):
    rng = np.random.default_rng(seed)
    works, imitations, artist = few(rng, 1), few(rng, m), rng.integers(0, 2, m)
    artist[:2] = 0, 1
    got = match(works, [0], imitations, artist, 2, recall_at=range(1, m + 2), keep_ranks=True)
    scores = fractions(works, imitations)[0]
    assert got.ranks[0].tolist() == [sum(other >= score for other in scores) for score in scores]
    orders = [
        [artist[i] == 0 for i in order]
        for order in itertools.permutations(range(m))
        if all(scores[i] >= scores[j] for i, j in itertools.pairwise(order))
    ]
    assert got.works.reciprocal_rank[0] == min(1 / (1 + order.index(True)) for order in orders)
    for k in range(1, m + 2):
        assert got.works.recall[k][0] == min(sum(order[:k]) / sum(order) for order in orders)
        assert got.works.hit[k][0] == min(any(order[:k]) for order in orders)


def test_ranks_match_scipy():
    works, work_artist, imitations, imitation_artist, n = case(np.random.default_rng(2), 30, 200, 5)
    imitations[50:60] = imitations[0]
    got = match(works, work_artist, imitations, imitation_artist, n, keep_ranks=True)
    expected = rankdata(-(works.astype(float) @ imitations.astype(float).T), "max", axis=1)
    assert got.ranks.dtype == np.int32
    assert (got.ranks == expected).all()
    assert match(works, work_artist, imitations, imitation_artist, n).ranks is None


def test_identical_imitations_tie_exactly():
    rng = np.random.default_rng(3)
    works, imitations = unit(rng, 50, 512), unit(rng, 300, 512)
    imitations[150:] = imitations[:150]  # the same pictures under both names
    got = match(works, np.arange(50) % 2, imitations, np.repeat([0, 1], 150), 2, keep_ranks=True)
    assert (got.ranks[:, :150] == got.ranks[:, 150:]).all()
    assert (got.works.auc == 0.5).all()
    assert (got.works.rank_percentile == 0.5).all()
    assert (got.auc_matrix == 0.5).all()
    assert (got.works.reciprocal_rank == 0.5).all()  # the duplicate of each own imitation ranks before it
    assert (got.works.average_precision == 0.5).all()


def test_all_ties_count_against_the_finding():
    same_vector = np.tile(np.eye(1, 4, dtype=np.float16), (6, 1))
    labels = [0, 0, 0, 1, 1, 1]
    got = match(same_vector[:2], [0, 1], same_vector, labels, 2, recall_at=(3, 4, 6), keep_ranks=True)
    assert (got.ranks == 6).all()
    assert got.works.auc.tolist() == [0.5, 0.5]
    assert got.works.rank_percentile.tolist() == [0.5, 0.5]
    assert got.works.reciprocal_rank.tolist() == [0.25, 0.25]
    assert [got.macro.recall[k].item() for k in (3, 4, 6)] == [0.0, pytest.approx(1 / 3), 1.0]
    assert [got.macro.hit[k].item() for k in (3, 4, 6)] == [0.0, 1.0, 1.0]


@relaxed
@given(SEEDS, st.sampled_from([None, 1, 15]), st.sampled_from([unit, few]))
def test_results_do_not_depend_on_the_order_of_the_rows(seed, csls_k, draw):
    rng = np.random.default_rng(seed)
    works, work_artist, imitations, imitation_artist, n = case(rng, 20, 30, 4, draw)
    w, i = rng.permutation(20), rng.permutation(30)
    options = {"csls_k": csls_k, "keep_ranks": True, "recall_at": (1, 3)}
    first = match(works, work_artist, imitations, imitation_artist, n, **options)
    second = match(works[w], work_artist[w], imitations[i], imitation_artist[i], n, **options)
    assert same(first.works, second.works, w)
    assert same(first.artists, second.artists)
    assert same(first.macro, second.macro)
    assert np.array_equal(first.auc_matrix, second.auc_matrix, equal_nan=True)
    assert (first.ranks[np.ix_(w, i)] == second.ranks).all()


@relaxed
@given(SEEDS, st.integers(1, 4000), st.sampled_from([None, 3]), st.sampled_from([unit, few]))
def test_results_do_not_depend_on_the_blocks(seed, limit, csls_k, draw):
    data = case(np.random.default_rng(seed), 17, 23, 4, draw)
    first = match(*data, csls_k=csls_k, keep_ranks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", limit)
        second = match(*data, csls_k=csls_k, keep_ranks=True)
    assert same(first.works, second.works)
    assert same(first.artists, second.artists)
    assert same(first.macro, second.macro)
    assert np.array_equal(first.auc_matrix, second.auc_matrix, equal_nan=True)
    assert (first.ranks == second.ranks).all()


@relaxed
@given(SEEDS, st.integers(1, 24), st.integers(1, 12), st.integers(1, 26), st.sampled_from([unit, few]))
def test_csls_matches_the_formula_of_the_paper(seed, n_works, n_imitations, k, draw):
    data = case(np.random.default_rng(seed), n_works, n_imitations, 3, draw)
    got = match(*data, csls_k=k, recall_at=(1,), keep_ranks=True)
    cosines = fractions(data[0], data[2])

    def r(values):
        nearest = sorted(values, reverse=True)[:k]
        return sum(nearest) / len(nearest)

    r_x, r_y = [r(row) for row in cosines], [r(column) for column in zip(*cosines, strict=True)]
    scores = [
        [2 * c - x - y for c, y in zip(row, r_y, strict=True)] for row, x in zip(cosines, r_x, strict=True)
    ]
    assert got.csls_k == min(k, n_works)
    assert got.ranks.tolist() == [[sum(o >= s for o in row) for s in row] for row in scores]
    places = [
        [sorted(set(row)).index(s) for s in row] for row in scores
    ]  # floats with the same order and ties
    check_against_oracles(got, places, data, (1,))


def test_csls_is_exact_where_float64_would_round():
    # Both imitations have the cosine 1 to the first work, and the sums of their 15 cosines, -13, differ by
    # 2**-48. The scores are 30 + 13 and 30 + 13 - 2**-48, which are equal in float64.
    tiny = 2.0**-24
    works = np.full((15, 5), -0.5, np.float16)
    works[0], works[:, 4], works[1, 4] = 0.5, 0.0, tiny
    imitations = np.array([[0.5, 0.5, 0.5, 0.5, tiny], [0.5, 0.5, 0.5, 0.5, 0.0]], np.float16)
    got = match(works, [0] * 15, imitations, [0, 1], 2, csls_k=15, keep_ranks=True)
    assert got.ranks[0].tolist() == [2, 1]
    assert match(works, [0] * 15, imitations, [0, 1], 2, keep_ranks=True).ranks[0].tolist() == [2, 2]


def test_csls_demotes_a_hub():
    # The hub is at least as near to each work as the own imitation. With CSLS, the own imitation ranks first.
    works = np.eye(3, 4, dtype=np.float16)
    hub = np.full((1, 4), 0.5, np.float16)
    own = (0.45 * np.eye(3, 4) + [0, 0, 0, math.sqrt(1 - 0.45**2)]).astype(np.float16)
    data = (works, [0, 1, 2], np.vstack([own, hub]), [0, 1, 2, 3], 4)
    assert match(*data, recall_at=(1,)).macro.hit[1] == 0.0
    assert match(*data, recall_at=(1,), csls_k=3).macro.hit[1] == 1.0


def test_incomplete_artists_have_a_status_and_are_excluded_from_the_macro_mean():
    rng = np.random.default_rng(4)
    works, imitations = unit(rng, 6), unit(rng, 7)
    got = match(works, [0, 0, 0, 1, 1, 4], imitations, [0, 0, 2, 2, 2, 4, 4], 5)
    assert got.status == ("ok", "no imitations", "no works", "no works, no imitations", "ok")
    assert np.isnan(got.works.auc).tolist() == [False, False, False, True, True, False]
    for values in arrays(got.artists).values():
        assert np.isnan(values).tolist() == [False, True, True, True, False]
    assert got.macro.auc == pytest.approx((got.artists.auc[0] + got.artists.auc[4]) / 2)
    expected = np.ones((5, 5), bool)
    expected[np.ix_([0, 1, 4], [0, 2, 4])] = False
    assert (np.isnan(got.auc_matrix) == expected).all()
    assert (got.n_works.tolist(), got.n_imitations.tolist()) == ([3, 2, 0, 0, 1], [2, 0, 3, 0, 2])


@pytest.mark.parametrize("n_imitations", [1, 4])
def test_without_imitations_by_others_there_are_no_figures(n_imitations):
    rng = np.random.default_rng(5)
    got = match(unit(rng, 3), [0, 0, 0], unit(rng, n_imitations), [0] * n_imitations, 1, keep_ranks=True)
    assert got.status == ("no imitations by others",)
    for figures in (got.works, got.artists, got.macro):
        assert all(np.isnan(values).all() for values in arrays(figures).values())
    assert np.isnan(got.auc_matrix).all()
    assert np.sort(got.ranks, axis=1).tolist() == [list(range(1, n_imitations + 1))] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"works": np.empty((0, 3), np.float16), "work_artist": []}, "There are no works.*Add works"),
        ({"imitations": np.empty((0, 3), np.float16), "imitation_artist": []}, "There are no imitations"),
        ({"works": np.eye(3)}, "works: expected float16, not float64"),
        ({"imitations": np.full((3, 3), np.nan, np.float16)}, "imitations: row 0 .* not finite"),
        ({"imitations": np.eye(3, 4, dtype=np.float16)}, "works has 3 dimensions and imitations has 4"),
        ({"work_artist": [0, 1, 2]}, "work_artist: row 2 has artist 2, not one of 0 to 1"),
        ({"imitation_artist": [0, -1, 1]}, "imitation_artist: row 1 has artist -1"),
        ({"csls_k": 0}, "csls_k is 0"),
        ({"csls_k": 10_001}, "csls_k is 10001"),
        ({"recall_at": (1, 0)}, "Each k must be at least 1"),
    ],
)
def test_match_rejects_invalid_arguments(change, message):
    eye = np.eye(3, dtype=np.float16)
    valid = {"works": eye, "work_artist": [0, 1, 1], "imitations": eye, "imitation_artist": [0, 1, 1]}
    with pytest.raises(ValueError, match=message):
        match(**(valid | {"n_artists": 2} | change))


def test_the_tests_cover_all_fields_of_figures():
    assert {field.name for field in fields(Figures)} == {*FIGURES, "recall", "hit"}


# Discrimination gap


@relaxed
@given(SEEDS, st.integers(1, 25), st.integers(1, 5), st.sampled_from([unit, few]))
def test_gap_matches_medians_of_fractions(seed, n, n_artists, draw):
    rng = np.random.default_rng(seed)
    works, artist = draw(rng, n), rng.integers(0, n_artists, n)
    got = discrimination_gap(works, artist, n_artists)
    cosines = fractions(works, works)
    rows = [[i for i in range(n) if artist[i] == a] for a in range(n_artists)]
    for a in range(n_artists):
        pairs = [cosines[i][j] for i, j in itertools.combinations(rows[a], 2)]
        within = statistics.median(pairs) if pairs else None
        others = {
            b: statistics.median(cosines[i][j] for i in rows[a] for j in rows[b])
            for b in range(n_artists)
            if b != a and rows[a] and rows[b]
        }
        for b, median in others.items():
            assert Fraction(got.medians[a, b]) == median
        assert math.isnan(got.medians[a, a]) if within is None else Fraction(got.medians[a, a]) == within
        nearest = max(others, key=lambda b, others=others: (others[b], -b), default=-1)
        assert got.nearest[a] == nearest
        if within is None or not others:
            assert math.isnan(got.gap[a])
        else:
            assert got.gap[a] == float(within - others[nearest])
        assert (got.status[a] == "ok") == (within is not None and bool(others))
    assert got.n_works.tolist() == [len(r) for r in rows]


def test_status_gives_the_reason_for_a_missing_gap():
    works = np.eye(4, dtype=np.float16)
    assert discrimination_gap(works, [0, 0, 1, 2], 4).status == ("ok", "one work", "one work", "no works")
    assert discrimination_gap(works, [1, 1, 1, 1], 2).status == ("no works", "no other artist")
    assert discrimination_gap(works, [1, 1, 1, 1], 2).nearest.tolist() == [-1, -1]
    with pytest.raises(ValueError, match="There are no works"):
        discrimination_gap(works[:0], [], 2)
    with pytest.raises(ValueError, match="work_artist: row 0 has artist 5"):
        discrimination_gap(works, [5, 0, 0, 0], 2)
