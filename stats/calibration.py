"""Calibration of the prediction of an artist: softmax probabilities with a fitted temperature, and conformal sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from imindex.stats.keyed import Rng
from imindex.stats.set_scores import Float64, Int64

BINS = 10
_RANGE = (-4.0, 9.0)
"""Natural logarithms of the lowest and highest inverse temperature."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Reliability of a softmax prediction.

    Attributes
    ----------
    error : float
        Expected calibration error: mean over bins of confidence, by their weight, of the distance of accuracy and
        confidence.
    if_calibrated : float
        Mean of the same under perfect calibration: with outcomes drawn from the confidences. The error is never 0 in
        a finite sample.
    confidence, accuracy, weight : ndarray, shape (BINS,), float64
        Of each bin; NaN and 0 for one that is empty.
    of_artist : ndarray, shape (A,), float64
        Contribution of each artist to `error`; their mean is `error`.
    """

    error: float
    if_calibrated: float
    confidence: Float64
    accuracy: Float64
    weight: Float64
    of_artist: Float64


def inverse_temperature(scores: npt.NDArray[np.floating], truth: Int64, weight: Float64) -> float:
    """Fit the factor of scores that maximises the weighted likelihood of the truth under a softmax.

    Parameters
    ----------
    scores : ndarray, shape (n, A)
    truth : ndarray, shape (n,), int64
    weight : ndarray, shape (n,), float64

    Notes
    -----
    Temperature scaling: Guo et al. 2017, arXiv:1706.04599. The likelihood is log-concave in the factor.
    """
    rows = np.arange(len(scores))

    def loss(log_factor: float) -> float:
        scaled = np.exp(log_factor) * scores
        return float(-(weight * (scaled[rows, truth] - scipy.special.logsumexp(scaled, axis=1))).sum())

    return float(np.exp(scipy.optimize.minimize_scalar(loss, bounds=_RANGE, method="bounded").x))


def cross_fitted_confidence(
    scores: npt.NDArray[np.floating], truth: Int64, fold: Int64
) -> tuple[Float64, npt.NDArray[np.bool_]]:
    """Return the confidence in the most likely artist of each work, and whether it is the right one.

    Parameters
    ----------
    scores : ndarray, shape (n, A)
        Similarity of each work to each artist, computed without the work itself.
    truth : ndarray, shape (n,), int64
    fold : ndarray, shape (n,), int64
        0 or 1. The temperature of a fold is fitted on the other one, each artist weighing the same.

    Returns
    -------
    confidence : ndarray, shape (n,), float64
    right : ndarray, shape (n,), bool
        A tie for the first place is not right.
    """
    confidence = np.empty(len(scores))
    for held_out in (0, 1):
        here = fold == held_out
        rest = ~here if (~here).any() else here
        weight = 1 / np.bincount(truth[rest], minlength=scores.shape[1])[truth[rest]]
        factor = inverse_temperature(scores[rest], truth[rest], weight)
        if here.any():
            confidence[here] = scipy.special.softmax(factor * scores[here], axis=1).max(axis=1)
    own = scores[np.arange(len(scores)), truth]
    return confidence, np.asarray((scores >= own[:, None]).sum(axis=1) == 1)


def calibration(
    confidence: Float64,
    right: npt.NDArray[np.bool_],
    artist: Int64,
    n_artists: int,
    *,
    n_resamples: int = 200,
    rng: Rng = None,
) -> Calibration:
    """Compute the expected calibration error, each artist weighing the same.

    Parameters
    ----------
    confidence : ndarray, shape (n,), float64
    right : ndarray, shape (n,), bool
    artist : ndarray, shape (n,), int64
        Each artist has at least one work.
    n_artists : int
    n_resamples : int
        Draws for `if_calibrated`.
    rng : Generator or int, optional

    Returns
    -------
    Calibration

    Notes
    -----
    Bins of equal numbers of works (Nguyen & O'Connor 2015, arXiv:1508.05154): with equal widths, most would be empty.
    """
    order = np.argsort(confidence, kind="stable")
    bins = np.empty(len(order), np.int64)
    bins[order] = np.arange(len(order)) * BINS // len(order)
    weight = 1 / (n_artists * np.bincount(artist, minlength=n_artists)[artist])

    def sums(values: Float64) -> Float64:
        total: Float64 = np.bincount(bins, weights=weight * values, minlength=BINS).astype(np.float64)
        return total

    gap = sums(right - confidence)
    random = np.random.default_rng(rng)
    drawn = [
        np.abs(sums((random.random(len(confidence)) < confidence) - confidence)).sum()
        for _ in range(n_resamples)
    ]
    each: Float64 = np.bincount(
        artist, weights=n_artists * weight * (right - confidence) * np.sign(gap)[bins], minlength=n_artists
    ).astype(np.float64)
    mass = sums(np.ones(len(confidence)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return Calibration(
            float(np.abs(gap).sum()),
            float(np.mean(drawn)),
            sums(confidence) / mass,
            sums(right.astype(np.float64)) / mass,
            mass,
            each,
        )
