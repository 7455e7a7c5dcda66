"""Check imindex.retrieval.vectors.similarity against exact rational arithmetic, scipy and its documentation."""

import math
import struct
from decimal import Decimal, getcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from imindex.retrieval.vectors import similarity as sim
from imindex.retrieval.vectors.checks import check_artists, check_vectors
from imindex.retrieval.vectors.exact_sums import mean, unit_means
from imindex.retrieval.vectors.row_ranks import nearest_in_rows, ranks_in_rows

SEEDS = st.integers(0, 2**32 - 1)
relaxed = settings(deadline=None, max_examples=40)


def unit(rng, n, d, spread=0.0):
    """Draw float16 unit vectors. With `spread`, coordinates range over many orders of magnitude."""
    x = rng.standard_normal((n, d)) * np.exp(-spread * rng.random((n, d)))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


def dot(a, b):
    return sum((Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True)), Fraction(0))


@relaxed
@given(SEEDS, st.integers(1, 60), st.sampled_from([0.0, 5.0, 16.0]))
def test_similarities_equal_rational_dot_products(seed, d, spread):
    rng = np.random.default_rng(seed)
    a, b = unit(rng, 3, d, spread), unit(rng, 2, d, spread)
    got = sim.similarities(a, b)
    assert [[Fraction(x) for x in row] for row in got.tolist()] == [[dot(x, y) for y in b] for x in a]


def test_similarities_are_exact_in_many_dimensions():
    rng = np.random.default_rng(1)
    a, b = unit(rng, 40, 1024, 10.0), unit(rng, 30, 1024, 10.0)
    assert (np.abs(a[a != 0]) < 2.0**-14).any()  # includes subnormal numbers
    expected = [[math.fsum(x * y) for y in b.astype(float)] for x in a.astype(float)]
    assert sim.similarities(a, b).tolist() == expected


def test_the_largest_norms_allowed_are_still_exact():
    # Norm 1.009, and all coordinates with full significands and the same sign, for the largest partial sums.
    x = np.full((1, 1000), np.float16(1.009 / math.sqrt(1000)))
    assert Fraction(float(sim.similarities(x, x)[0, 0])) == dot(x[0], x[0])


@relaxed
@given(SEEDS, st.integers(1, 700))
def test_results_do_not_depend_on_the_order_of_the_coordinates(seed, d):
    rng = np.random.default_rng(seed)
    a, b = unit(rng, 5, d), unit(rng, 7, d)
    order = rng.permutation(d)
    assert (sim.similarities(a, b) == sim.similarities(a[:, order], b[:, order])).all()
    assert (sim.similarities(a, b) == sim.similarities(b, a).T).all()


@relaxed
@given(SEEDS, st.integers(1, 3000), st.integers(1, 3000))
def test_results_do_not_depend_on_blocks_and_tiles(seed, limit, tile):
    rng = np.random.default_rng(seed)
    a, b = unit(rng, 13, 32), unit(rng, 17, 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim, "LIMIT_BYTES", tile)
        parts = list(sim.similarity_blocks(a, b, limit_bytes=limit))
    assert [row for rows, _ in parts for row in range(rows.start, rows.stop)] == list(range(13))
    assert (np.concatenate([block for _, block in parts]) == sim.similarities(a, b)).all()


def test_identical_vectors_tie_exactly_at_any_position():
    rng = np.random.default_rng(2)
    b = unit(rng, 2001, 768)
    b[[0, 999, 2000]] = b[5]
    got = sim.similarities(unit(rng, 9, 768), b)
    assert (got[:, [0, 999, 2000]] == got[:, [5]]).all()


def test_no_rows():
    empty, vectors = np.empty((0, 4), np.float16), np.eye(4, dtype=np.float16)
    assert sim.similarities(empty, vectors).shape == (0, 4)
    assert sim.similarities(vectors, empty).shape == (4, 0)
    assert sim.similarities(empty, empty).shape == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.astype(np.float32), r"works: expected float16, not float32: .*cast it to float16\."),
        (lambda x: x[0], r"works: expected a matrix with one vector per row, not the shape \(4,\)\."),
        (lambda x: x * np.float16(0.5), r"works: row 0 \(and 2 more rows\) has norm 0\.5, not 1\. Divide"),
        (lambda x: x * np.array([[1], [1], [1.03]], np.float16), r"works: row 2 has norm 1\.03, not 1"),
        (lambda x: np.where(np.eye(3, 4) == 1, np.nan, x).astype(np.float16), "row 0 .* not finite.*Encode"),
        (lambda x: x[:, :0], "row 0 .* has norm 0, not 1"),
    ],
)
def test_errors_name_the_argument_the_row_and_the_remedy(change, message):
    x = np.eye(3, 4, dtype=np.float16)
    with pytest.raises(ValueError, match=message):
        sim.similarities(change(x), x, names=("works", "b"))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_values_that_are_not_finite_are_rejected(value):
    x = np.eye(5, dtype=np.float16)
    x[3, 3] = value
    with pytest.raises(ValueError, match="b: row 3 has a value that is not finite"):
        sim.similarities(np.eye(5, dtype=np.float16), x)


def test_norms_are_checked_within_a_hundredth():
    for norm, valid in ((0.9912, True), (1.0088, True), (0.989, False), (1.011, False)):
        x = np.array([[norm, 0]], np.float16)
        if valid:
            check_vectors(x, "x")
        else:
            with pytest.raises(ValueError, match="x: row 0 has norm"):
                check_vectors(x, "x")


def test_vectors_of_two_encoders_are_rejected():
    with pytest.raises(ValueError, match=r"a has 2 dimensions and b has 3\. Compare vectors of one encoder"):
        sim.similarities(np.eye(2, dtype=np.float16), np.eye(3, dtype=np.float16))


@pytest.mark.parametrize(
    ("artists", "n_artists", "message"),
    [
        ([0, 1], 2, r"expected 3 artist numbers, one per row, not the shape \(2,\)"),
        ([[0, 1, 1]], 2, "one per row"),
        ([0.0, 1.0, 1.0], 2, "expected integers, not float64"),
        ([False, True, True], 2, "expected integers, not bool"),
        ([0, 2, 1], 2, "row 1 has artist 2, not one of 0 to 1"),
        ([0, 1, -1], 2, "row 2 has artist -1, .*Exclude rows without an artist"),
        ([0, 0, 0], 0, "at least one artist"),
    ],
)
def test_artist_numbers_are_checked(artists, n_artists, message):
    with pytest.raises(ValueError, match=message):
        check_artists(artists, 3, n_artists, "work_artist")


@relaxed
@given(st.integers(0, 200), st.integers(0, 50), st.integers(0, 2000))
def test_blocks_cover_all_rows_once_within_the_limit(n, m, limit):
    parts = list(sim.blocks(n, m, limit))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(n))
    assert all((part.stop - part.start) * m * 8 <= limit or part.stop - part.start == 1 for part in parts)


def test_exact_integers_are_similarities_in_units_of_2_to_the_minus_48():
    rng = np.random.default_rng(3)
    got = sim.similarities(unit(rng, 20, 300, 12.0), unit(rng, 20, 300, 12.0))
    assert [Fraction(i, 2**48) for i in sim.exact_integers(got).ravel().tolist()] == [
        Fraction(x) for x in got.ravel().tolist()
    ]


def test_unit_means_are_the_nearest_float16_of_the_true_direction():
    getcontext().prec = 50
    rng = np.random.default_rng(4)
    vectors = unit(rng, 7, 200, 6.0).astype(float)
    got = unit_means(vectors.sum(axis=0, keepdims=True), np.array([7]), str)
    sums = [sum((Decimal(x) for x in column), Decimal(0)) for column in vectors.T.tolist()]
    norm = sum((x * x for x in sums), Decimal(0)).sqrt()
    # struct rounds to float16 independently. No value here is within 1e-16 of a tie between two float16 numbers.
    expected = [struct.unpack("e", struct.pack("e", float(x / norm)))[0] for x in sums]
    assert got[0].tolist() == expected


def test_the_mean_of_one_vector_is_that_vector():
    x = unit(np.random.default_rng(5), 50, 64) * np.float16(1.005)  # must not be normalised again
    assert (unit_means(x.astype(float), np.ones(50, int), str) == x).all()


def test_vectors_that_cancel_out_have_no_mean():
    with pytest.raises(ValueError, match=r"artist 1: the 2 vectors cancel out.*this encoder"):
        unit_means(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([2, 2]), "artist {}".format)


@relaxed
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), SEEDS)
def test_mean_is_accurate_and_does_not_depend_on_the_order(values, seed):
    array = np.array(values)
    exact = sum(map(Fraction, values), Fraction(0)) / len(values)
    assert mean(array) == pytest.approx(float(exact), rel=1e-15, abs=1e-300)
    assert mean(np.random.default_rng(seed).permutation(array)) == mean(array)


@relaxed
@given(
    SEEDS, st.integers(1, 6), st.integers(1, 30), st.integers(1, 40), st.sampled_from([np.float64, np.int64])
)
def test_ranks_match_scipy(seed, n, m, values, dtype):
    scores = np.random.default_rng(seed).integers(-values, values, (n, m)).astype(dtype)
    rank, midrank = ranks_in_rows(scores)
    assert (rank == rankdata(-scores, "max", axis=1)).all()
    assert (midrank == 2 * rankdata(scores, "average", axis=1)).all()


def test_ranks_without_ties_and_with_minus_infinity():
    scores = np.random.default_rng(6).permuted(np.arange(300.0).reshape(3, 100), axis=1)
    assert (ranks_in_rows(scores)[0] == rankdata(-scores, axis=1)).all()
    assert ranks_in_rows(np.array([[-np.inf, 0.0, -np.inf, -0.0]]))[0].tolist() == [[4, 2, 4, 2]]


@relaxed
@given(SEEDS, st.integers(1, 20), st.integers(1, 20))
def test_nearest_match_a_stable_sort(seed, m, k):
    scores = np.random.default_rng(seed).integers(0, 5, (4, m)).astype(float)
    scores[scores == 0] = -np.inf
    k = min(k, m)
    for row, marked in zip(scores.tolist(), nearest_in_rows(scores, k), strict=True):
        first = sorted(range(m), key=lambda i, row=row: -row[i])[:k]
        assert np.flatnonzero(marked).tolist() == sorted(i for i in first if row[i] > -math.inf)
