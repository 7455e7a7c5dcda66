"""Verification: are two works by the same artist? AUC, equal error rate and thresholds, from histograms of similarity.

Pairs are balanced by artist: each artist's pairs of own works weigh the same, and each pair of two artists, whatever
their numbers of works. Histograms keep memory bounded: 20,000 works have 200 million pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imindex.stats.set_scores import Float64


@dataclass(frozen=True)
class Verification:
    """Figures of a verification.

    Attributes
    ----------
    auc : float
        Probability that a pair by one artist is more similar than a pair by two; ties count one half.
    equal_error_rate : float
        Error rate at the threshold at which false positives and false negatives are equally frequent.
    """

    auc: float
    equal_error_rate: float


def verification(same: Float64, different: Float64) -> Verification:
    """Compute AUC and equal error rate from two histograms over the same bins of ascending similarity.

    Parameters
    ----------
    same, different : ndarray, shape (B,), float64
        Weight of pairs by one artist and by two, in each bin. They are normalised.

    Returns
    -------
    Verification

    Notes
    -----
    Pairs in one bin are ties. The ROC curve is linear between its points, and the equal error rate is where it crosses
    the line on which both errors are equal, as ``brentq`` finds it on the curve of `sklearn.metrics.roc_curve`.

    Examples
    --------
    >>> verification(np.array([0.0, 1, 1]), np.array([1.0, 1, 0]))
    Verification(auc=0.875, equal_error_rate=0.25)
    """
    positive, negative = same / same.sum(), different / different.sum()
    below = np.cumsum(negative) - negative
    auc = min(float(positive @ (below + negative / 2)), 1.0)
    # Errors at the threshold before each bin, from accepting nothing (last) to accepting everything (first).
    missed = np.concatenate([[0.0], np.cumsum(positive)])
    accepted = 1 - np.concatenate([[0.0], np.cumsum(negative)])
    difference = missed - accepted  # ascending, from -1 to 1
    right = int(np.searchsorted(difference, 0.0))
    left = max(right - 1, 0)
    step = difference[right] - difference[left]
    share = -difference[left] / step if step > 0 else 0.0
    return Verification(auc, float(missed[left] + share * (missed[right] - missed[left])))


def threshold_at(different: Float64, rate: float) -> int:
    """Return the lowest bin from which on at most `rate` of the pairs by two artists lie.

    Parameters
    ----------
    different : ndarray, shape (B,), float64
    rate : float

    Returns
    -------
    int
        A pair is accepted if its bin is at least this one. B if no bin is high enough.

    Examples
    --------
    >>> threshold_at(np.array([90.0, 5, 4, 1]), 0.05)
    2
    """
    above = np.cumsum(different[::-1])[::-1] / different.sum()
    return int(np.count_nonzero(above > rate * (1 + 1e-12)))


def share_from(histogram: Float64, threshold: int) -> float:
    """Return the share of a histogram's weight in bins from `threshold` on, from 0 to 1."""
    return min(1.0, float(histogram[threshold:].sum() / histogram.sum()))  # sums of parts round otherwise


def without_each(same: Float64, different: Float64) -> list[Verification]:
    """Compute the figures without each artist in turn.

    Parameters
    ----------
    same : ndarray, shape (A, B), float64
        Histogram of each artist's own pairs, normalised.
    different : ndarray, shape (A, B), float64
        For each artist, the sum over all other artists of the normalised histograms of their common pairs.

    Returns
    -------
    list of Verification, length A
    """
    total_same, total = same.sum(axis=0), different.sum(axis=0)
    # Each pair of artists is in the rows of both.
    return [
        verification((total_same - own).clip(0), (total - 2 * pairs).clip(0))
        for own, pairs in zip(same, different, strict=True)
    ]
