"""Check imindex.retrieval.classify against scikit-learn, loops in plain Python and exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from imindex.retrieval.classify import by_works
from imindex.retrieval.classify.by_name import average_templates, label_scores_by_name
from imindex.retrieval.classify.by_works import knn_scores, prototype_scores
from imindex.retrieval.classify.classify import classify

SEEDS = st.integers(0, 2**32 - 1)
relaxed = settings(deadline=None, max_examples=40)


def unit(rng, n, d):
    x = rng.standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float16)


def few(rng, n):
    """Draw from only 16 unit vectors, whose cosines are -1, -0.5, 0, 0.5 and 1, so that there are many ties."""
    return rng.choice([-0.5, 0.5], (n, 4)).astype(np.float16)


def names(n):
    return [f"label {i}" for i in range(n)]


def clusters(rng, n, n_artists, d=48, noise=0.8):
    """Draw vectors around one direction per artist, and return them with the artist of each."""
    artist = rng.integers(0, n_artists, n)
    x = unit(np.random.default_rng(0), n_artists, d)[artist] + noise * unit(rng, n, d).astype(float)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16), artist


# Counting


@relaxed
@given(SEEDS, st.integers(1, 30), st.integers(1, 6), st.integers(0, 3), st.integers(1, 8))
def test_counts_match_loops(seed, n, n_artists, n_generic, values):
    rng = np.random.default_rng(seed)
    n_labels = n_artists + n_generic
    scores = rng.integers(0, values, (n, n_labels)).astype(float)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    scores[np.arange(n), rng.integers(0, n_labels, n)] = 0.0
    truth = rng.integers(0, n_artists, n)
    got = classify(scores, names(n_labels), truth, n_generic=n_generic, ks=(1, 2, 5))

    confusion = [[0] * n_labels for _ in range(n_artists)]
    hits = {k: [Fraction(0)] * n for k in (1, 2, 5)}
    guesses = {k: [Fraction(0)] * n for k in (1, 2, 5)}
    reciprocal = [Fraction(0)] * n
    for i, (row, t) in enumerate(zip(scores.tolist(), truth.tolist(), strict=True)):
        rank = sum(x >= row[t] for x in row)
        guess = row.index(max(row))
        confusion[t][guess] += 1
        assert got.rank[i] == rank
        assert got.predicted[i] == guess
        assert got.tied[i] == (row.count(max(row)) > 1)
        assert got.scored[i] == (row[t] > -math.inf)
        if row[t] > -math.inf:
            candidates = sum(x > -math.inf for x in row)
            reciprocal[i] = Fraction(1, rank)
            for k in hits:
                hits[k][i] = Fraction(rank <= k)
                guesses[k][i] = Fraction(min(k, candidates), candidates)
    assert got.confusion.tolist() == confusion
    assert got.n_images.tolist() == [truth.tolist().count(a) for a in range(n_artists)]
    assert got.n_unscored.tolist() == [int((truth[~got.scored] == a).sum()) for a in range(n_artists)]
    assert got.generic_share == pytest.approx(sum(p >= n_artists for p in got.predicted.tolist()) / n)

    def micro(values):
        return float(sum(values) / n)

    def per_artist(values):
        groups = [
            [v for v, t in zip(values, truth.tolist(), strict=True) if t == a] for a in range(n_artists)
        ]
        return [float(sum(group) / len(group)) if group else math.nan for group in groups]

    def macro(values):
        known = [x for x in per_artist(values) if not math.isnan(x)]
        return sum(known) / len(known)

    same = {"rel": 1e-14, "nan_ok": True}
    for k in hits:
        assert got.topk[k] == pytest.approx(micro(hits[k]), **same)
        assert got.chance[k] == pytest.approx(micro(guesses[k]), **same)
        assert got.artist_topk[k].tolist() == pytest.approx(per_artist(hits[k]), **same)
        assert got.macro_topk[k] == pytest.approx(macro(hits[k]), **same)
        assert got.macro_chance[k] == pytest.approx(macro(guesses[k]), **same)
    assert got.mrr == pytest.approx(micro(reciprocal), **same)
    assert got.macro_mrr == pytest.approx(macro(reciprocal), **same)
    assert got.artist_mrr.tolist() == pytest.approx(per_artist(reciprocal), **same)


def test_accuracy_and_confusion_match_scikit_learn():
    rng = np.random.default_rng(1)
    scores, truth = rng.standard_normal((400, 12)), rng.integers(0, 9, 400)
    scores[np.arange(400), truth] += 1.0
    got = classify(scores, names(12), truth, n_generic=3)
    for k in (1, 5):
        assert got.topk[k] == pytest.approx(
            top_k_accuracy_score(truth, scores, k=k, labels=range(12)), abs=1e-12
        )
        assert got.chance[k] == k / 12
    expected = confusion_matrix(truth, scores.argmax(axis=1), labels=range(12))
    assert (got.confusion == expected[:9]).all()
    recall = expected.diagonal()[:9] / expected[:9].sum(axis=1)
    assert got.artist_topk[1] == pytest.approx(recall)
    assert got.macro_topk[1] == pytest.approx(recall.mean())
    assert not got.tied.any()


@relaxed
@given(SEEDS)
def test_results_do_not_depend_on_the_order_of_the_images(seed):
    rng = np.random.default_rng(seed)
    scores, truth, order = rng.integers(0, 9, (50, 7)) / 7, rng.integers(0, 7, 50), rng.permutation(50)
    a, b = classify(scores, names(7), truth), classify(scores[order], names(7), truth[order])
    assert (a.rank[order] == b.rank).all()
    assert a.topk == b.topk
    assert a.macro_topk == b.macro_topk
    assert (a.mrr, a.macro_mrr, a.generic_share) == (b.mrr, b.macro_mrr, b.generic_share)
    assert a.artist_mrr.tolist() == pytest.approx(b.artist_mrr.tolist(), rel=0, abs=0, nan_ok=True)
    assert (a.confusion == b.confusion).all()


def test_a_tie_is_never_correct():
    got = classify([[0.5, 0.5]], ["a", "b"], [0], ks=(1, 2))
    assert (got.predicted[0], got.rank[0], got.topk, got.confusion.tolist()) == (
        0,
        2,
        {1: 0.0, 2: 1.0},
        [[1, 0], [0, 0]],
    )
    assert got.tied.tolist() == [True]


def test_an_artist_without_a_score_is_never_correct_for_any_k():
    got = classify([[0.5, -np.inf, 0.1]], ["a", "b", "c"], [1])
    assert got.topk == {1: 0.0, 5: 0.0}
    assert got.chance == {1: 0.0, 5: 0.0}
    assert got.mrr == 0.0
    assert got.n_unscored.tolist() == [0, 1, 0]


def test_artists_without_images_are_nan_and_excluded_from_the_macro_mean():
    got = classify([[0.5, 0.1, 0.2]], ["a", "b", "c"], [0])
    assert got.artist_topk[1].tolist() == pytest.approx([1.0, math.nan, math.nan], nan_ok=True)
    assert got.macro_topk[1] == 1.0


@pytest.mark.parametrize(
    ("scores", "labels", "truth", "options", "message"),
    [
        (np.empty((0, 2)), ["a", "b"], [], {}, "no images"),
        ([[1, 2]], ["a", "b"], [0], {}, "floating-point"),
        ([[1.0, 2.0]], ["a"], [0], {}, "1 labels"),
        ([[1.0, math.nan]], ["a", "b"], [0], {}, "row 0 is nan"),
        ([[1.0, 2.0], [1.0, math.inf]], ["a", "b"], [0, 0], {}, "row 1 is inf"),
        ([[-math.inf, -math.inf]], ["a", "b"], [0], {}, "row 0 is -inf"),
        ([[1.0, 2.0]], ["a", "a"], [0], {}, "'a' is listed 2 times"),
        ([[1.0, 2.0]], ["a", "b"], [-1], {}, "truth: row 0 has artist -1"),
        ([[1.0, 2.0]], ["a", "b"], [1], {"n_generic": 1}, "truth: row 0 has artist 1"),
        ([[1.0, 2.0]], ["a", "b"], [0], {"n_generic": 2}, "At least one must be an artist"),
        ([[1.0, 2.0]], ["a", "b"], [0], {"n_generic": -1}, "n_generic is -1"),
        ([[1.0, 2.0]], ["a", "b"], [0], {"ks": ()}, "at least one k"),
        ([[1.0, 2.0]], ["a", "b"], [0], {"ks": (0,)}, "each at least 1"),
        (np.empty((1, 0)), [], [0], {}, "0 labels"),
    ],
)
def test_classify_rejects_invalid_arguments(scores, labels, truth, options, message):
    with pytest.raises(ValueError, match=message):
        classify(scores, labels, truth, **options)


# By name


def test_templates_are_averaged_and_normalised():
    texts = unit(np.random.default_rng(2), 21, 64).reshape(3, 7, 64)
    wide = texts.astype(float).mean(axis=0)
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    got = average_templates(texts)
    assert got.dtype == np.float16
    assert np.abs(got - expected).max() <= 2.0**-12  # half a unit in the last place of numbers below 1
    assert (got == average_templates(texts[::-1])).all()


def test_a_single_template_is_unchanged():
    texts = unit(np.random.default_rng(3), 5, 64)
    assert (average_templates(texts[None]) == texts).all()
    images = unit(np.random.default_rng(4), 6, 64)
    assert (label_scores_by_name(images, texts) == label_scores_by_name(images, texts[None])).all()


def test_scores_by_name_are_cosines():
    rng = np.random.default_rng(5)
    images, texts = unit(rng, 6, 64), unit(rng, 15, 64).reshape(3, 5, 64)
    expected = images.astype(float) @ average_templates(texts).astype(float).T
    assert (label_scores_by_name(images, texts) == expected).all()


def test_invalid_templates_are_rejected():
    template = np.array([[1, 0]], np.float16)
    with pytest.raises(ValueError, match="label 0: the 2 vectors cancel out"):
        average_templates(np.stack([template, -template]))
    with pytest.raises(ValueError, match="text vectors, template 1: row 0 has norm"):
        average_templates(np.stack([template, template / 2]).astype(np.float16))
    with pytest.raises(
        ValueError, match=r"expected \(templates, labels, dimensions\), not the shape \(1, 2\)"
    ):
        average_templates(template)
    with pytest.raises(ValueError, match="text vectors: expected float16, not float32"):
        label_scores_by_name(template, template.astype(np.float32))


# By works: prototypes


def test_prototypes_predict_like_scikit_learn_with_normalised_means():
    rng = np.random.default_rng(6)
    works, artist = clusters(rng, 200, 8)
    images, _ = clusters(rng, 300, 8)
    means = np.stack([works[artist == a].astype(float).mean(axis=0) for a in range(8)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    got = prototype_scores(images, works, artist, 8)
    assert got == pytest.approx(images.astype(float) @ means.T, abs=2e-3)
    top = np.sort(got, axis=1)[:, -2:]
    clear = top[:, 1] - top[:, 0] > 4e-3  # larger than the rounding of prototypes to float16
    assert clear.sum() > 250
    around = 0.01 * rng.standard_normal(means.shape)
    oracle = NearestCentroid().fit(np.vstack([means - around, means + around]), np.tile(np.arange(8), 2))
    # Among unit vectors, the nearest has the highest cosine.
    assert (oracle.predict(images.astype(float)) == got.argmax(axis=1))[clear].all()


@relaxed
@given(SEEDS, st.booleans())
def test_a_prototype_with_excluded_works_is_the_prototype_of_the_others(seed, matrix):
    rng = np.random.default_rng(seed)
    works, artist = clusters(rng, 14, 4)
    images = unit(rng, 9, 48)
    if matrix:
        out = rng.random((9, 14)) < rng.choice([0.1, 0.5, 0.9], (9, 1))
        out[np.arange(9), rng.integers(0, 14, 9)] = False
        exclude = out
    else:
        exclude = rng.integers(-1, 14, 9)
        out = exclude[:, None] == np.arange(14)
    got = prototype_scores(images, works, artist, 4, exclude=exclude)
    for i, excluded in enumerate(out):
        rest = ~excluded
        assert got[i].tolist() == prototype_scores(images[[i]], works[rest], artist[rest], 4)[0].tolist()


@relaxed
@given(SEEDS)
def test_results_do_not_depend_on_the_order_of_the_works(seed):
    rng = np.random.default_rng(seed)
    works, artist = clusters(rng, 40, 5)
    images, order = unit(rng, 9, 48), rng.permutation(40)
    for scores in (prototype_scores, knn_scores):
        assert (scores(images, works, artist, 5) == scores(images, works[order], artist[order], 5)).all()


def test_an_image_among_the_works_does_not_match_itself():
    works, artist = np.eye(3, dtype=np.float16), [0, 1, 1]
    with_itself = prototype_scores(works, works, artist, 2)
    without = prototype_scores(works, works, artist, 2, exclude=np.arange(3))
    assert with_itself[0, 0] == 1.0
    assert without[0, 0] == -np.inf  # its artist has no other work
    assert without[1].tolist() == [0.0, 0.0]
    assert knn_scores(works, works, artist, 2, k=1, exclude=np.arange(3))[0, 0] == -np.inf
    with pytest.raises(ValueError, match="k is 0"):
        knn_scores(works, works, artist, 2, k=0)


def test_errors_for_works_that_cancel_out_name_the_artist():
    works = np.array([[1, 0], [1, 0], [-1, 0], [0, 1]], np.float16)
    with pytest.raises(ValueError, match="artist 3: the 2 vectors cancel out"):
        prototype_scores(works, works, [1, 3, 3, 1], 4)
    with pytest.raises(ValueError, match="artist 1 without the excluded works, 0: the 2 vectors"):
        prototype_scores(works[:1], works, [0, 1, 1, 1], 2, exclude=[3])


# By works: votes


def test_votes_match_scikit_learn():
    rng = np.random.default_rng(7)
    works, artist = clusters(rng, 150, 6)
    images, _ = clusters(rng, 100, 6)
    for k in (1, 7, 15):
        votes = knn_scores(images, works, artist, 6, k=k) // 6
        oracle = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(works.astype(float), artist)
        assert votes == pytest.approx(k * oracle.predict_proba(images.astype(float)), abs=1e-9)


@settings(deadline=None, max_examples=150)
@given(SEEDS, st.integers(1, 25), st.integers(1, 5), st.integers(1, 30))
def test_votes_and_their_order_match_loops_with_ties(seed, n_works, n_artists, k):
    rng = np.random.default_rng(seed)
    works, images, artist = few(rng, n_works), few(rng, 4), rng.integers(0, n_artists, n_works)
    out = rng.random((4, n_works)) < 0.2
    got = knn_scores(images, works, artist, n_artists, k=k, exclude=out)
    for image, excluded, scores in zip(images.tolist(), out, got.tolist(), strict=True):
        cosines = {
            w: sum(Fraction(x) * Fraction(y) for x, y in zip(image, works[w].tolist(), strict=True))
            for w in range(n_works)
            if not excluded[w]
        }
        nearest = sorted(cosines, key=lambda w, cosines=cosines: (-cosines[w], w))[:k]
        keys = {}
        for a in range(n_artists):
            own = [cosines[w] for w in cosines if artist[w] == a]
            if own:
                keys[a] = (sum(artist[w] == a for w in nearest), max(own))
            else:
                assert scores[a] == -math.inf
        for a, key in keys.items():
            assert scores[a] // n_artists == key[0]
            for b, other in keys.items():
                assert (scores[a] < scores[b]) == (key < other)
                assert (scores[a] == scores[b]) == (key == other)


def test_cosines_that_differ_only_in_the_last_bit_break_ties():
    # Each work has one vote, and their cosines to the image differ by 2**-48.
    tiny = 2.0**-24
    image = np.array([[0.5, 0.5, 0.5, 0.5, tiny]], np.float16)
    works = np.array([[0.5, 0.5, 0.5, 0.5, tiny], [0.5, 0.5, 0.5, 0.5, 0]], np.float16)
    for order in ([0, 1], [1, 0]):
        got = knn_scores(image, works[order], [0, 1], 2, k=2)[0]
        assert got[order.index(0)] > got[order.index(1)]


@relaxed
@given(SEEDS, st.integers(1, 2000))
def test_results_do_not_depend_on_the_blocks(seed, limit):
    rng = np.random.default_rng(seed)
    works, images, artist, exclude = (
        few(rng, 30),
        few(rng, 20),
        rng.integers(0, 4, 30),
        rng.integers(-1, 30, 20),
    )
    expected = knn_scores(images, works, artist, 4, exclude=exclude)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_works, "BLOCK_BYTES", limit)
        assert (knn_scores(images, works, artist, 4, exclude=exclude) == expected).all()


@pytest.mark.parametrize("scores", [prototype_scores, knn_scores])
def test_artists_without_works_are_never_predicted_and_count_as_unscored(scores):
    works = np.eye(4, dtype=np.float16)
    table = scores(works, works, [0, 0, 2, 2], 4)
    assert np.isneginf(table[:, [1, 3]]).all()
    assert np.isfinite(table[:, [0, 2]]).all()
    got = classify(table, names(4), [0, 1, 2, 3])
    assert not np.isin(got.predicted, [1, 3]).any()
    assert got.n_unscored.tolist() == [0, 1, 0, 1]
    assert got.chance[1] == 0.25  # half of the images have a chance of 1/2, the others of 0
    assert scores(works[:0], works, [0, 0, 2, 2], 4, exclude=[]).shape == (0, 4)


@pytest.mark.parametrize("scores", [prototype_scores, knn_scores])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"works": np.empty((0, 3), np.float16), "work_artist": []}, "There are no works.*classify by name"),
        ({"works": np.eye(4, dtype=np.float16)}, "images has 3 dimensions and works has 4"),
        ({"images": np.eye(3)}, "images: expected float16, not float64"),
        ({"work_artist": [0, 1]}, "work_artist: expected 3 artist numbers"),
        ({"exclude": [0, 3, 1]}, "image 1 excludes work 3, but there are 3 works"),
        ({"exclude": [0, -2, 1]}, "image 1 excludes work -2"),
        (
            {"exclude": [True, False, True]},
            r"exclude: expected integers of shape \(3,\) or bool of shape \(3, 3\), not bool",
        ),
        ({"exclude": [[0, 1]]}, r"not int64 of the shape \(1, 2\)"),
    ],
)
def test_scores_by_works_reject_invalid_arguments(scores, change, message):
    valid = {
        "images": np.eye(3, dtype=np.float16),
        "works": np.eye(3, dtype=np.float16),
        "work_artist": [0, 1, 1],
    }
    with pytest.raises(ValueError, match=message):
        scores(**(valid | {"n_artists": 2} | change))
