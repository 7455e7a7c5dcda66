"""The loss of the style encoder, and how well works tell the artist."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

N_BOOTSTRAP = 10_000


def contrastive(vectors: torch.Tensor, makers: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the supervised contrastive loss: mean over works, and over each work's positives, of -log p.

    Parameters
    ----------
    vectors : torch.Tensor, shape (n, dim)
        Unit vectors.
    makers : torch.Tensor, shape (n,)
        The number of each work's artist. Each occurs at least twice.
    temperature : float
        Divides the cosines.

    Returns
    -------
    torch.Tensor, scalar

    References
    ----------
    Khosla et al., "Supervised Contrastive Learning", 2020, equation 2.
    """
    logits = vectors @ vectors.T / temperature
    itself = torch.eye(len(vectors), dtype=torch.bool)
    log_p = functional.log_softmax(logits.masked_fill(itself, -torch.inf), dim=1)
    positive = (makers[:, None] == makers[None, :]) & ~itself
    return -(log_p.masked_fill(~positive, 0).sum(1) / positive.sum(1)).mean()


@torch.no_grad()
def told(vectors: torch.Tensor, makers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure how well works tell the artist: each work is a query among all others, relevant are the same artist's.

    Parameters
    ----------
    vectors : torch.Tensor, shape (n, dim)
        Unit vectors.
    makers : ndarray, shape (n,), int
        The number of each work's artist. Each occurs at least twice.

    Returns
    -------
    average_precision, auc : ndarray, shape (artists,)
        The mean over each artist's queries. A random order gives about the artist's share of works, and 0.5.
    """
    likeness = (vectors @ vectors.T).numpy().astype(np.float64)
    np.fill_diagonal(likeness, -np.inf)
    precisions, aucs = np.empty(len(makers)), np.empty(len(makers))
    for row, maker in enumerate(makers):
        relevant = (makers == maker)[np.argsort(-likeness[row], kind="stable")[:-1]]
        ranks = np.flatnonzero(relevant) + 1
        n, others = len(ranks), len(relevant) - len(ranks)
        precisions[row] = np.mean(np.arange(1, n + 1) / ranks)
        aucs[row] = 1 - np.sum(ranks - np.arange(1, n + 1)) / (n * others)
    rows = [np.flatnonzero(makers == maker) for maker in np.unique(makers)]
    return np.array([precisions[own].mean() for own in rows]), np.array([aucs[own].mean() for own in rows])


def interval(figures: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of artists' figures by a percentile bootstrap over artists."""
    rng = np.random.default_rng(20)
    means = figures[rng.integers(0, len(figures), (N_BOOTSTRAP, len(figures)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
