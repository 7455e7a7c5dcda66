"""Zero-shot scores: pictures against the embedded names of artists."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imindex.retrieval.vectors.blocks import Float16, Float64
from imindex.retrieval.vectors.checks import check_vectors
from imindex.retrieval.vectors.exact_sums import unit_means
from imindex.retrieval.vectors.similarity import similarities


def average_templates(text_vectors: npt.ArrayLike) -> Float16:
    """Average the text vectors of several templates into one vector per label.

    The mean of the unit vectors, normalised again in float64 and cast to float16, so that the scores made
    with it are exact. A single template is used unchanged; templates that cancel out raise an error. Source:
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
