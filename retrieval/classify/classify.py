"""Classify pictures by artist, given the scores of the labels.

Labels are scored by name (zero-shot, from the text of the artist's name) or by works (the artist's prototype, or votes
among the nearest works). `classify` computes the same metrics from either. Scores are exact similarities or exact
ranks, see `imindex.retrieval.vectors.similarity`, so the counts derived from them are exact too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.checks import check_artists
from imindex.retrieval.vectors.exact_sums import mean

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Classification:
    """Result of `classify`: N images, A artists, L labels (the artists, then the generic labels).

    Attributes
    ----------
    labels, n_generic : tuple of str, length L; int
        The labels, and the number of generic labels at the end; A = L - n_generic.
    rank : ndarray, shape (N,), int64
        Rank of the true label: the number of labels with at least the same score. 1 is the best; ties count against it.
    predicted : ndarray, shape (N,), int64
        The label with the highest score; ties are resolved by the lowest number.
    scored : ndarray, shape (N,), bool
        False if the true label has the score -inf (an artist without works). Such an image always counts as wrong.
    tied : ndarray, shape (N,), bool
        Whether several labels share the highest score. Such an image has a prediction but is never correct for k = 1.
    topk, macro_topk : mapping from k to float
        Top-k accuracy: the fraction of images with a rank of at most k, and the mean of this fraction over the artists
        with images.
    chance, macro_chance : mapping from k to float
        The same for a uniform guess among the labels with a score above -inf: k / L, at most 1. A guess that uses the
        number of images of each artist can do better.
    mrr, macro_mrr : float
        Mean reciprocal rank of the true label (0 if not scored), over images and over artists.
    n_images, n_unscored : ndarray, shape (A,), int64
        Number of images of each artist, and number of these that are not `scored`.
    artist_topk, artist_mrr : mapping from k to ndarray, shape (A,); ndarray, shape (A,)
        The same for each artist; NaN without images.
    confusion : ndarray, shape (A, L), int64
        Number of images by true artist and predicted label. The diagonal includes `tied` predictions.
    generic_share : float
        Fraction of images whose predicted label is generic.
    """

    labels: tuple[str, ...]
    n_generic: int
    rank: Int64
    predicted: Int64
    scored: Bool
    tied: Bool
    topk: Mapping[int, float]
    macro_topk: Mapping[int, float]
    chance: Mapping[int, float]
    macro_chance: Mapping[int, float]
    mrr: float
    macro_mrr: float
    n_images: Int64
    n_unscored: Int64
    artist_topk: Mapping[int, Float64]
    artist_mrr: Float64
    confusion: Int64
    generic_share: float


def classify(
    scores: npt.ArrayLike,
    labels: Sequence[str],
    truth: npt.ArrayLike,
    *,
    n_generic: int = 0,
    ks: Sequence[int] = (1, 5),
) -> Classification:
    """Predict a label for each image, and compute top-k accuracies, reciprocal ranks and the confusion table.

    Parameters
    ----------
    scores : array_like, shape (N, L), floating
        Higher is nearer. Scores are compared only within a row. A label with -inf is not a candidate.
    labels : sequence of str, length L
        Distinct names of the labels: the artists first, then the generic labels.
    truth : array_like, shape (N,), integers
        The artist of each image, from 0 to L - n_generic - 1.
    n_generic : int
        Number of labels at the end that name no artist ("Artwork").
    ks : sequence of int
        The values of k for the top-k accuracy.

    Returns
    -------
    Classification

    Raises
    ------
    ValueError
        If there are no images, a score is NaN or +inf, a row is entirely -inf, a label is repeated, or an image has no
        true artist.

    Notes
    -----
    A tie between the true label and another counts as wrong, because the rank is the number of labels with at least the
    same score. Without ties, top-k accuracy equals scikit-learn's `top_k_accuracy_score`.

    Examples
    --------
    >>> scores = [[0.9, 0.1, 0.2], [0.3, 0.3, 0.1]]
    >>> result = classify(scores, ["Ada", "Bo", "Artwork"], [0, 1], n_generic=1, ks=(1, 2))
    >>> result.rank.tolist(), result.predicted.tolist(), result.topk
    ([1, 2], [0, 0], {1: 0.5, 2: 1.0})
    """
    table, names, true = _check_scores(scores, labels, truth, n_generic)
    ks = tuple(ks)
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {ks}. Pass at least one k, each at least 1.")
    n_artists, n_labels = len(names) - n_generic, len(names)
    own = table[np.arange(len(table)), true]
    rank: Int64 = (table >= own[:, None]).sum(axis=1)
    predicted: Int64 = table.argmax(axis=1)
    scored = np.isfinite(own)
    candidates = np.isfinite(table).sum(axis=1)
    hits = {k: ((rank <= k) & scored).astype(np.float64) for k in ks}
    guesses = {k: np.where(scored, np.minimum(k, candidates) / candidates, 0.0) for k in ks}
    reciprocal = np.where(scored, 1.0 / rank, 0.0)
    by_artist, seen = [np.flatnonzero(true == artist) for artist in range(n_artists)], np.unique(true)
    artist_topk = {k: _means(hits[k], by_artist) for k in ks}
    artist_mrr = _means(reciprocal, by_artist)
    confusion = np.bincount(true * n_labels + predicted, minlength=n_artists * n_labels)
    return Classification(
        labels=names,
        n_generic=n_generic,
        rank=rank,
        predicted=predicted,
        scored=scored,
        tied=(table == table.max(axis=1, keepdims=True)).sum(axis=1) > 1,
        topk={k: mean(hits[k]) for k in ks},
        macro_topk={k: mean(artist_topk[k][seen]) for k in ks},
        chance={k: mean(guesses[k]) for k in ks},
        macro_chance={k: mean(_means(guesses[k], by_artist)[seen]) for k in ks},
        mrr=mean(reciprocal),
        macro_mrr=mean(artist_mrr[seen]),
        n_images=np.bincount(true, minlength=n_artists),
        n_unscored=np.bincount(true[~scored], minlength=n_artists),
        artist_topk=artist_topk,
        artist_mrr=artist_mrr,
        confusion=confusion.reshape(n_artists, n_labels),
        generic_share=mean((predicted >= n_artists).astype(np.float64)),
    )


def _check_scores(
    scores: npt.ArrayLike, labels: Sequence[str], truth: npt.ArrayLike, n_generic: int
) -> tuple[Float64, tuple[str, ...], Int64]:
    table, names = np.asarray(scores), tuple(labels)
    if table.ndim != 2 or table.shape[1] != len(names) or table.dtype.kind != "f":
        expected = f"floating-point numbers of shape (images, {len(names)} labels)"
        raise ValueError(f"scores: expected {expected}, not {table.dtype} of the shape {table.shape}.")
    if not len(table):
        raise ValueError("scores: there are no images to classify.")
    if not 0 <= n_generic < len(names):
        raise ValueError(f"n_generic is {n_generic} of {len(names)} labels. At least one must be an artist.")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ValueError(f"labels: {name!r} is listed {times} times. Labels must be distinct.")
    highest = table.max(axis=1)
    bad = np.flatnonzero(~np.isfinite(highest))
    if len(bad):
        raise ValueError(f"scores: the maximum of row {bad[0]} is {highest[bad[0]]}. It must be finite.")
    true = check_artists(truth, len(table), len(names) - n_generic, "truth")
    return table.astype(np.float64, copy=False), names, true


def _means(values: Float64, groups: Sequence[Int64]) -> Float64:
    return np.array([mean(values[rows]) for rows in groups])
