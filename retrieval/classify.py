"""Attribution: which artist a picture looks like.

Two ways to score the labels for a picture, by name (zero-shot, by the text of the artist's name) and by
works (the artist's prototype, or votes among the nearest works), and one way to count (`classify`). All
scores are exact or exact ranks, see `retrieval.similarity`; so are the counts made from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval.similarity import (
    BLOCK_BYTES,
    Float16,
    Float64,
    Int64,
    blocks,
    check_artists,
    check_pair,
    check_vectors,
    mean,
    nearest_in_rows,
    ranks_in_rows,
    similarities,
    similarity_blocks,
    unit_means,
)

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Classification:
    """What `classify` found: N images, A artists, L labels (the artists, then the generic labels).

    Attributes
    ----------
    labels, n_generic : tuple of str, length L; int
        The labels, and how many at the end are generic; A = L - n_generic.
    rank : ndarray, shape (N,), int64
        Rank of the true label, 1 the best; ties against it: how many labels score at least as high.
    predicted : ndarray, shape (N,), int64
        The label that scores highest; of several, the lowest row.
    scored : ndarray, shape (N,), bool
        False where the true label scored -inf (an artist without works): always counted as wrong.
    tied : ndarray, shape (N,), bool
        The highest score is shared. Such an image has a prediction but never counts as correct at 1.
    topk, macro_topk : mapping from k to float
        Share of the images, and mean over the artists that have images, with a rank of at most k.
    chance, macro_chance : mapping from k to float
        The same for a guess uniform over the labels that scored above -inf: k / L, at most 1. A guess
        that knows which artists have how many images can do better.
    mrr, macro_mrr : float
        Mean reciprocal rank of the true label (0 where not scored), over images and over artists.
    n_images, n_unscored : ndarray, shape (A,), int64
        Images of each artist, and how many of them are not `scored`.
    artist_topk, artist_mrr : mapping from k to ndarray, shape (A,); ndarray, shape (A,)
        The same for each artist; NaN without images.
    confusion : ndarray, shape (A, L), int64
        Images by true artist and predicted label. Its diagonal includes `tied` predictions.
    generic_share : float
        Share of the images whose predicted label is generic.
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
    """Count how often the true label is among the k that score highest.

    Parameters
    ----------
    scores : array_like, shape (N, L), floating
        Higher is closer; compared within a row only. -inf: this label cannot be chosen.
    labels : sequence of str, length L
        Names of the labels: the artists first, then the generic labels. All different.
    truth : array_like, shape (N,), integers
        The artist of each image, from 0 to L - n_generic - 1.
    n_generic : int
        How many labels at the end name no artist ("Artwork").
    ks : sequence of int
        The k of top-k.

    Returns
    -------
    Classification

    Raises
    ------
    ValueError
        No images; a score that is NaN or +inf; a row all -inf; a label twice; an image without a true artist.

    Notes
    -----
    A tie between the true label and another is counted as wrong: the rank is the number of labels whose
    score is at least the true one's. Without ties, top-k is scikit-learn's `top_k_accuracy_score`.

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
        wanted = f"floating-point numbers (images, {len(names)} labels)"
        raise ValueError(f"scores: expected {wanted}, not {table.dtype} of the shape {table.shape}.")
    if not len(table):
        raise ValueError("scores: no images to classify.")
    if not 0 <= n_generic < len(names):
        raise ValueError(f"n_generic is {n_generic} of {len(names)} labels. At least one must be an artist.")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ValueError(f"labels: {name!r} stands there {times} times. Names must differ.")
    highest = table.max(axis=1)
    bad = np.flatnonzero(~np.isfinite(highest))
    if len(bad):
        raise ValueError(f"scores: the highest of row {bad[0]} is {highest[bad[0]]}. It must be finite.")
    true = check_artists(truth, len(table), len(names) - n_generic, "truth")
    return table.astype(np.float64), names, true


def _means(values: Float64, groups: Sequence[Int64]) -> Float64:
    return np.array([mean(values[rows]) for rows in groups])


def average_templates(text_vectors: npt.ArrayLike) -> Float16:
    """One vector for each label from its texts in several templates.

    The mean of the unit vectors, normalised again in float64 and cast to float16, so that the scores made
    with it are exact. A single template is taken as it is; templates that cancel out are refused. Source:
    prompt ensembling, Radford et al. 2021 (arXiv:2103.00020), section 3.1.4.

    Parameters
    ----------
    text_vectors : array_like, shape (T, L, d), float16, unit norm
        T templates ("a painting by {}", ...) of L labels.

    Returns
    -------
    ndarray, shape (L, d), float16

    Examples
    --------
    >>> import numpy as np
    >>> average_templates(np.array([[[1, 0]], [[0, 1]]], np.float16)).tolist()
    [[0.70703125, 0.70703125]]
    """
    array = np.asarray(text_vectors)
    if array.ndim != 3 or not len(array):
        raise ValueError(f"text vectors: expected (templates, labels, dimensions), not {array.shape}.")
    checked = [check_vectors(template, f"text vectors, template {t}") for t, template in enumerate(array)]
    sums = np.zeros(array.shape[1:])
    for template in checked:
        sums += template
    return unit_means(sums, np.full(array.shape[1], len(array)), "label {}".format)


def label_scores_by_name(image_vectors: npt.ArrayLike, text_vectors: npt.ArrayLike) -> Float64:
    """Zero-shot scores (N, L), float64: the exact similarity of each image to the text of each label.

    Parameters
    ----------
    image_vectors : array_like, shape (N, d), float16, unit norm
    text_vectors : array_like, shape (L, d) or (T, L, d), float16, unit norm
        T templates are averaged, see `average_templates`.

    Examples
    --------
    >>> import numpy as np
    >>> label_scores_by_name(np.array([[1, 0]], np.float16), np.array([[0, 1], [1, 0]], np.float16)).tolist()
    [[0.0, 1.0]]
    """
    texts = np.asarray(text_vectors)
    if texts.ndim == 3:
        texts = average_templates(texts)
    return similarities(image_vectors, texts, names=("images", "text vectors"))


def prototype_scores(
    images: npt.ArrayLike,
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    exclude: npt.ArrayLike | None = None,
) -> Float64:
    """Scores by prototype: the cosine of each image to the mean direction of each artist's works.

    The prototype is the mean of the artist's unit vectors, normalised and cast to float16 (a single work
    is taken as it is). Source: nearest class mean, Mensink et al. 2013 (doi:10.1109/TPAMI.2013.83).

    Parameters
    ----------
    images : array_like, shape (N, d), float16, unit norm
    works : array_like, shape (W, d), float16, unit norm
    work_artist : array_like, shape (W,), integers
    n_artists : int
    exclude : array_like, shape (N,) integers or (N, W) bool, optional
        Works to leave out for each image: the row of one (-1: none), or True for each. Needed where the
        images are among the works, lest each find itself.

    Returns
    -------
    ndarray, shape (N, n_artists), float64
        -inf for an artist without works, or without any left.

    Raises
    ------
    ValueError
        As `similarities`; no works at all; an artist's works cancel out.

    Examples
    --------
    >>> import numpy as np
    >>> works = np.array([[1, 0], [0, 1], [0, 1]], np.float16)
    >>> prototype_scores(works[:1], works, [0, 0, 1], 3).tolist()
    [[0.70703125, 0.0, -inf]]
    >>> prototype_scores(works[:1], works, [0, 0, 1], 3, exclude=[0]).tolist()
    [[0.0, 0.0, -inf]]
    """
    pictures, references, artist = _check_works(images, works, work_artist, n_artists)
    rows, left_out = _excluded_pairs(exclude, len(pictures), len(references))
    counts = np.bincount(artist, minlength=n_artists)
    sums = np.zeros((n_artists, references.shape[1]))
    for some in blocks(len(references), references.shape[1]):
        np.add.at(sums, artist[some], references[some].astype(np.float64))
    present = np.flatnonzero(counts)
    scores = np.full((len(pictures), n_artists), -np.inf)
    prototypes = unit_means(sums[present], counts[present], lambda row: f"artist {present[row]}")
    scores[:, present] = similarities(pictures, prototypes, names=("images", "prototypes"))

    # Where an image leaves out works of an artist, that pair has a prototype of its own: the sums are
    # exact, and so they are still after a subtraction.
    for author in np.unique(artist[left_out]).tolist():
        affected = artist[left_out] == author
        image, slot = np.unique(rows[affected], return_inverse=True)
        reduced = np.repeat(sums[[author]], len(image), axis=0)
        np.subtract.at(reduced, slot, references[left_out[affected]].astype(np.float64))
        remaining = counts[author] - np.bincount(slot)
        scores[image, author] = -np.inf
        image, reduced, remaining = image[remaining > 0], reduced[remaining > 0], remaining[remaining > 0]
        own = unit_means(reduced, remaining, f"artist {author} less the works left out, {{}}".format)
        wide = pictures[image].astype(np.float64)
        scores[image, author] = np.einsum("ij,ij->i", wide, own.astype(np.float64))
    return scores


def knn_scores(
    images: npt.ArrayLike,
    works: npt.ArrayLike,
    work_artist: npt.ArrayLike,
    n_artists: int,
    *,
    k: int = 15,
    exclude: npt.ArrayLike | None = None,
) -> Float64:
    """Scores by vote: how many of an image's k nearest works are by each artist.

    Artists are ordered by votes, then by the cosine of their nearest work; those without votes follow by
    that cosine. The score says this order without loss: ``votes * n_artists + place``, where `place`
    (0 to n_artists - 1) counts the artists whose nearest work is strictly further. It is a whole number:
    ``score // n_artists`` are the votes, and scores are equal exactly where votes and cosines are.

    Parameters
    ----------
    images, works, work_artist, n_artists, exclude
        As for `prototype_scores`.
    k : int
        How many works vote, at least 1; fewer where fewer are left. Of equally near ones the first vote.

    Returns
    -------
    ndarray, shape (N, n_artists), float64
        -inf for an artist without works, or without any left. Errors too are as for `prototype_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> works = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], np.float16)
    >>> scores = knn_scores(works[:1], works, [0, 1, 1, 2], 4, k=3)
    >>> scores.tolist(), (scores[:, :3] // 4).tolist()
    ([[6.0, 9.0, 0.0, -inf]], [[1.0, 2.0, 0.0]])
    """
    pictures, references, artist = _check_works(images, works, work_artist, n_artists)
    if k < 1:
        raise ValueError(f"k is {k}. At least one work must vote.")
    rows, left_out = _excluded_pairs(exclude, len(pictures), len(references))
    k = min(k, len(references))
    by_artist = np.argsort(artist, kind="stable")
    present, starts = np.unique(artist[by_artist], return_index=True)
    scores = np.full((len(pictures), n_artists), -np.inf)
    for some, block in similarity_blocks(pictures, references, limit_bytes=BLOCK_BYTES):
        here = (rows >= some.start) & (rows < some.stop)
        block[rows[here] - some.start, left_out[here]] = -np.inf
        image, neighbour = np.nonzero(nearest_in_rows(block, k))
        size = len(block) * n_artists
        votes = np.bincount(image * n_artists + artist[neighbour], minlength=size).reshape(-1, n_artists)
        best = np.maximum.reduceat(block[:, by_artist], starts, axis=1)
        place = len(present) - ranks_in_rows(best)[0]
        scores[some, present] = np.where(np.isneginf(best), -np.inf, votes[:, present] * n_artists + place)
    return scores


def _check_works(
    images: npt.ArrayLike, works: npt.ArrayLike, work_artist: npt.ArrayLike, n_artists: int
) -> tuple[Float16, Float16, Int64]:
    pictures, references = check_pair(images, works, ("images", "works"))
    if not len(references):
        raise ValueError("works: none given, so none can be nearest. Add works, or classify by name.")
    return pictures, references, check_artists(work_artist, len(references), n_artists, "work_artist")


def _excluded_pairs(exclude: npt.ArrayLike | None, n_images: int, n_works: int) -> tuple[Int64, Int64]:
    """Rows of images, and of the works that each is to leave out, as pairs."""
    array = np.asarray(np.full(n_images, -1) if exclude is None else exclude)
    if array.dtype == np.bool_ and array.shape == (n_images, n_works):
        image, work = np.nonzero(array)
        return image, work
    if array.shape != (n_images,) or (n_images and array.dtype.kind not in "iu"):
        wanted = f"({n_images},) rows of works or ({n_images}, {n_works}) bool"
        raise ValueError(f"exclude: expected {wanted}, not {array.dtype} of the shape {array.shape}.")
    bad = np.flatnonzero((array < -1) | (array >= n_works))
    if len(bad):
        raise ValueError(f"exclude: image {bad[0]} names work {array[bad[0]]} of {n_works}; -1 is for none.")
    image = np.flatnonzero(array >= 0)
    return image, array[image].astype(np.int64)
