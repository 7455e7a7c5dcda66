"""Zero-shot scores: similarities of pictures to the text vectors of artists' names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float16, Float64, Int64, blocks
from imindex.retrieval.vectors.checks import check_vectors
from imindex.retrieval.vectors.exact_sums import mean, unit_means
from imindex.retrieval.vectors.similarity import similarities

LOGIT_SCALE = 100.0
"""CLIP multiplies cosines by this before the softmax: the bound at which its learned scale is clipped (Radford et al.
2021, arXiv:2103.00020, section 2.5)."""


def average_templates(text_vectors: npt.ArrayLike) -> Float16:
    """Average the text vectors of several templates into one vector per label.

    The mean of the unit vectors is normalised in float64 and cast to float16, so that scores computed from it are
    exact. A single template is returned unchanged. Templates that cancel out raise an error. This is prompt ensembling
    (Radford et al. 2021, arXiv:2103.00020, section 3.1.4).

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
        raise ValueError(
            f"text vectors: expected (templates, labels, dimensions), not the shape {array.shape}."
        )
    templates = [check_vectors(template, f"text vectors, template {t}") for t, template in enumerate(array)]
    sums = np.zeros(array.shape[1:])
    for template in templates:
        sums += template
    return unit_means(sums, np.full(array.shape[1], len(array)), "label {}".format)


def label_scores_by_name(image_vectors: npt.ArrayLike, text_vectors: npt.ArrayLike) -> Float64:
    """Compute zero-shot scores: the exact similarity of each image to the text of each label.

    Parameters
    ----------
    image_vectors : array_like, shape (N, d), float16, unit norm
    text_vectors : array_like, shape (L, d) or (T, L, d), float16, unit norm
        T templates are averaged, see `average_templates`.

    Returns
    -------
    ndarray, shape (N, L), float64

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


def confidences(scores: Float64, truth: Int64) -> dict[int, float]:
    """Compute each artist's mean softmax confidence: the share of the true label, over the pictures of the artist.

    Parameters
    ----------
    scores : ndarray, shape (N, L), float64
        Cosines, -inf where a label is not a candidate.
    truth : ndarray, shape (N,), int64
        The label of each picture's artist.

    Returns
    -------
    dict of int to float
        By label. Does not depend on the order of pictures or labels.

    Examples
    --------
    >>> import numpy as np
    >>> confidences(np.array([[0.3, 0.3], [0.9, 0.1]]), np.array([0, 0]))
    {0: 0.75}
    """
    own = np.empty(len(scores))
    for rows in blocks(*scores.shape):
        part = shares(scores[rows])
        own[rows] = part[np.arange(len(part)), truth[rows]]
    return {label: mean(own[truth == label]) for label in np.unique(truth).tolist()}


def shares(scores: Float64) -> Float64:
    """Compute the softmax over the labels of each picture, with `LOGIT_SCALE`.

    Parameters
    ----------
    scores : ndarray, shape (N, L), float64
        Cosines, -inf where a label is not a candidate.

    Returns
    -------
    ndarray, shape (N, L), float64
        Does not depend on the order of the labels.
    """
    part = np.exp(LOGIT_SCALE * (scores - scores.max(axis=1, keepdims=True)))
    return np.asarray(part / np.sort(part, axis=1).sum(axis=1)[:, None])
