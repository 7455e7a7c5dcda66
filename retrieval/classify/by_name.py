"""Zero-shot scores: similarities of pictures to the text vectors of artists' names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float16, Float64
from imindex.retrieval.vectors.checks import check_vectors
from imindex.retrieval.vectors.exact_sums import unit_means
from imindex.retrieval.vectors.similarity import similarities


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
