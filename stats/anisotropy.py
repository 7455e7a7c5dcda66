"""How vectors fill their space: mean cosine between artists, and effective rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.stats.set_scores import Float64, Int64

_ROWS = 4096
_LEAST = 1e-10
"""Eigenvalues below this share of the largest are 0: they are rounding errors."""


@dataclass(frozen=True, eq=False)
class Anisotropy:
    """Result of `anisotropy`.

    Attributes
    ----------
    mean_cosine : float
        Mean cosine of works by two artists, each pair of artists weighing the same. 0 for vectors in all directions.
    effective_rank : float
        exp(H), H being the entropy of the singular values of the centred vectors, normalised to sum 1.
    mean_cosine_without : ndarray, shape (A,), float64
        `mean_cosine` without each artist in turn.
    rank_influence : ndarray, shape (A,), float64
        First-order effect of each artist on `effective_rank`; the mean is 0.
    """

    mean_cosine: float
    effective_rank: float
    mean_cosine_without: Float64
    rank_influence: Float64


def anisotropy(vectors: npt.NDArray[np.floating], artist: Int64, n_artists: int) -> Anisotropy:
    """Compute the anisotropy of vectors, each artist weighing the same.

    Parameters
    ----------
    vectors : ndarray, shape (W, d), unit norm
    artist : ndarray, shape (W,), int64
        Each artist has at least one work.
    n_artists : int
        At least 3.

    Returns
    -------
    Anisotropy

    Notes
    -----
    Mean cosine: Ethayarajh 2019, arXiv:1909.00512. Effective rank: Roy & Vetterli 2007, EUSIPCO; it is at most the
    smaller of W - 1 and d, and grows with the number of works, so compare it on the same works only. Memory:
    8 d (d + A) bytes.

    Examples
    --------
    >>> result = anisotropy(np.eye(4)[[0, 1, 2, 3]], np.arange(4), 4)
    >>> result.mean_cosine, round(result.effective_rank, 6)
    (0.0, 3.0)
    """
    weight = 1 / (n_artists * np.bincount(artist, minlength=n_artists)[artist])
    dim = vectors.shape[1]
    means, second = np.zeros((n_artists, dim)), np.zeros((dim, dim))
    blocks = [slice(start, start + _ROWS) for start in range(0, len(vectors), _ROWS)]
    for rows in blocks:
        wide = vectors[rows].astype(np.float64)
        np.add.at(means, artist[rows], n_artists * weight[rows, None] * wide)
        second += (weight[rows, None] * wide).T @ wide
    gram = means @ means.T
    row = gram.sum(axis=1) - np.diagonal(gram)
    n = n_artists
    centre = means.mean(axis=0)
    values, axes = np.linalg.eigh(second - np.outer(centre, centre))
    kept = values > _LEAST * max(values[-1], 0.0)
    if not kept.any() or values[-1] <= 0:
        rank, influence = 1.0, np.zeros(n)
    else:
        values, axes = values[kept], axes[:, kept]
        singular = np.sqrt(values)
        share = singular / singular.sum()
        entropy = float(-(share * np.log(share)).sum())
        rank = float(np.exp(entropy))
        # d rank = -rank / sum(s) * sum_k (log share_k + H) ds_k; ds_k = (mean squared projection - value) / (2 s_k)
        factor = -rank / singular.sum() * (np.log(share) + entropy) / (2 * singular)
        influence = np.zeros(n)
        for rows in blocks:
            squared = ((vectors[rows].astype(np.float64) - centre) @ axes) ** 2
            np.add.at(influence, artist[rows], n * weight[rows] * ((squared - values) @ factor))
        influence -= influence.mean()
    return Anisotropy(
        float(row.sum() / (n * (n - 1))),
        rank,
        (row.sum() - 2 * row) / ((n - 1) * (n - 2)),
        influence,
    )
