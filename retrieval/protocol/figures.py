"""The figures of one encoder, from the vectors of works that are the same for all encoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.retrieval.match.among_works import among_works
from imindex.retrieval.protocol.walk import Walked, walk
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.stats.anisotropy import anisotropy
from imindex.stats.calibration import Calibration, calibration, cross_fitted_confidence
from imindex.stats.keyed import generator, generators
from imindex.stats.over_artists import Contributions
from imindex.stats.retrieval_scores import expected_average_precision, top_scores
from imindex.stats.validity import POSITIVE, GapBootstrap, GapCollector
from imindex.stats.verification import share_from, threshold_at, verification, without_each

SPLITS = 20
"""Random splits of the artists into two halves, for the thresholds."""
FALSE_POSITIVE_RATE = 0.05
"""The rate that a threshold is learned for."""
SET_LEVEL = 0.8
"""Level of the conformal sets: at 95 %, an artist with fewer than 19 works could never be excluded; at 80 %, 4 do."""
FEWEST_ARTISTS = 4
"""Fewest artists of the protocol: two for each half."""

SHARES = {
    "map": "mean average precision",
    "map_at_k": "mean average precision among the k nearest",
    "recall_at_1": "share of works whose nearest other work is by the same artist",
    "auc": "AUC of pairs by one artist against pairs by two",
    "equal_error_rate": "equal error rate of the same pairs",
    "false_positive_rate": "share of pairs by two artists above a threshold learned on other artists",
    "false_negative_rate": "share of pairs by one artist below a threshold learned on other artists",
    "told": "share of artists that the encoder tells from all others",
    "coverage": "share of works whose conformal set has their artist",
    "calibration_error": "expected calibration error of the artist prediction",
    "robin_hood": "Robin Hood index of the occurrences among the k nearest",
    "anti_hubs": "share of works that are among the k nearest of no other work",
}
"""Figures from 0 to 1."""
NUMBERS = {
    "skewness": "skewness of the occurrences among the k nearest",
    "mean_cosine": "mean cosine of works by two artists",
    "effective_rank": "effective rank of the vectors",
    "set_size": "mean number of artists in a conformal set",
}
"""Other figures."""


@dataclass(frozen=True, eq=False)
class Figures:
    """Figures of an encoder.

    Attributes
    ----------
    values : mapping from str to Contributions
        The keys of `SHARES` and `NUMBERS`.
    chance : mapping from str to float
        Of `map` and `recall_at_1`: their expectation for a random ranking.
    average_precision, recall_at_1 : ndarray, shape (A,), float64
        Of each artist.
    gaps : GapBootstrap
        The test whether an artist is told from all others.
    calibration : Calibration
    same, different : ndarray, shape (B,), float64
        Histograms of the similarities of pairs, for a figure.
    low, high : float
        Ends of their range.
    false_positive_range : tuple of float
        2.5 % and 97.5 % quantiles, over splits and halves, of the false positive rate at the threshold of the other
        half. (The mean over both halves of a split hardly varies: what one half exceeds, the other falls short of.)
    """

    values: Mapping[str, Contributions]
    chance: Mapping[str, float]
    average_precision: Float64
    recall_at_1: Float64
    gaps: GapBootstrap
    calibration: Calibration
    same: Float64
    different: Float64
    low: float
    high: float
    false_positive_range: tuple[float, float]


def splits(n_artists: int, seed: int, names: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Draw `SPLITS` splits of the artists into halves, the same for all encoders. Shape (SPLITS, A).

    An artist's position in a split is drawn by its name, and does not depend on the other artists' draws.
    """
    position = np.stack([one.random(SPLITS) for one in generators(seed, "encoders split", names)])
    ranks = position.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return np.ascontiguousarray((ranks < n_artists // 2).T)


def figures(
    works: Float16,
    artist: Int64,
    names: tuple[str, ...],
    *,
    k: int = 10,
    confidence_level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Figures:
    """Compute all figures of an encoder.

    Parameters
    ----------
    works : ndarray, shape (W, d), float16, unit norm
        In the order of their artists, without near-duplicates.
    artist : ndarray, shape (W,), int64
        From 0 to A - 1, ascending, each at least twice.
    names : tuple of str, length A
        At least `FEWEST_ARTISTS`.
    k : int
        Number of neighbours.
    confidence_level : float
        Of the test whether an artist is told.
    n_resamples : int
        Resamples of the test whether an artist is told.
    seed : int

    Returns
    -------
    Figures
    """
    n_works = np.bincount(artist)
    n = len(n_works)
    if n != len(names) or n < FEWEST_ARTISTS or n_works.min() < 2 or (np.diff(artist) < 0).any():
        raise ValueError(
            f"Expected works of at least {FEWEST_ARTISTS} artists, sorted by artist, at least 2 of each."
        )
    half = splits(n, seed, names)
    found = walk(works, n_works, half, k=k, confidence_level=SET_LEVEL)
    top = top_scores(found.neighbour, artist, n, k=k)
    space = anisotropy(works, artist, n)
    collector = GapCollector(
        artist, n, confidence_level=confidence_level, n_resamples=n_resamples,
        rng=generators(seed, "encoders told", names),
    )  # fmt: skip
    gaps = among_works(works, artist, n, gaps=collector, keep_bytes=0).gaps
    assert gaps is not None
    told = np.array([status == POSITIVE for status in gaps.status], np.float64)
    calibrated = _calibrate(found, artist, names, seed)
    own = found.average_precision - found.taken
    share, number = Contributions.from_jackknife, _number
    pairs = verification(found.all_same, found.all_different)
    left = without_each(found.same, found.different)
    false_positive, false_negative, reached = _thresholds(found, half)

    covered, sizes = (
        np.bincount(artist, weights=one.astype(np.float64)) / n_works
        for one in (found.covered, found.set_size)
    )
    values = {
        "map": Contributions.from_influence(float(found.average_precision.mean()), own),
        "map_at_k": share(top.map_at_k, top.without[0]),
        "recall_at_1": share(top.recall_at_1, top.without[1]),
        "auc": share(pairs.auc, [one.auc for one in left]),
        "equal_error_rate": share(pairs.equal_error_rate, [one.equal_error_rate for one in left]),
        "false_positive_rate": false_positive,
        "false_negative_rate": false_negative,
        "told": Contributions(float(told.mean()), told),
        "coverage": Contributions(float(covered.mean()), covered),
        "calibration_error": Contributions.from_influence(calibrated.error, calibrated.of_artist),
        "robin_hood": share(top.robin_hood, top.without[3]),
        "anti_hubs": share(top.anti_hubs, top.without[4]),
        "skewness": number(top.skewness, top.without[2]),
        "mean_cosine": number(space.mean_cosine, space.mean_cosine_without),
        "effective_rank": Contributions.from_influence(
            space.effective_rank, space.rank_influence, is_share=False
        ),
        "set_size": Contributions(float(sizes.mean()), sizes, is_share=False),
    }
    relevant = n_works - 1
    chance = {
        "map": float(expected_average_precision(relevant, len(works) - 1).mean()),
        "recall_at_1": float((relevant / (len(works) - 1)).mean()),
    }
    return Figures(
        values=values,
        chance=chance,
        average_precision=found.average_precision,
        recall_at_1=top.of_artist[1],
        gaps=gaps,
        calibration=calibrated,
        same=found.same.sum(axis=0) / found.same.sum(),
        different=found.different.sum(axis=0) / found.different.sum(),
        low=found.low,
        high=found.high,
        false_positive_range=reached,
    )


def _number(estimate: float, without: Float64) -> Contributions:
    return Contributions.from_jackknife(estimate, without, is_share=False)


def _calibrate(found: Walked, artist: Int64, names: tuple[str, ...], seed: int) -> Calibration:
    """Fit the temperature on one half of each artist's works, and use it on the other half."""
    fold = np.empty(len(artist), np.int64)
    for number, random in enumerate(generators(seed, "encoders fold", names)):
        rows = np.flatnonzero(artist == number)
        fold[rows] = random.permutation(len(rows)) % 2
    confidence, right = cross_fitted_confidence(found.score, artist, fold)
    return calibration(
        confidence, right, artist, len(names), rng=generator(seed, "encoders calibration", "outcomes")
    )


def _thresholds(
    found: Walked, half: npt.NDArray[np.bool_]
) -> tuple[Contributions, Contributions, tuple[float, float]]:
    """Learn a threshold on each half of the artists, and apply it to the other half."""
    n = half.shape[1]
    rates: list[Float64] = []
    per_split: list[float] = []
    accepted, missed, times = np.zeros((3, n))
    fine_per_coarse = found.half_same.shape[2] // found.same.shape[1]
    below_own = np.cumsum(found.same, axis=1) / found.same.sum(axis=1, keepdims=True)
    below_other = np.cumsum(found.different, axis=1) / found.different.sum(axis=1, keepdims=True)
    for split, members in enumerate(half):
        of_split = []
        for test in (0, 1):
            threshold = threshold_at(found.half_different[split, 1 - test], FALSE_POSITIVE_RATE)
            of_split.append(
                (
                    share_from(found.half_different[split, test], threshold),
                    1 - share_from(found.half_same[split, test], threshold),
                )
            )
            # The spread between artists, from their coarse histograms.
            at = max(threshold // fine_per_coarse - 1, 0)
            here = members == bool(test)
            accepted[here] += 1 - below_other[here, at]
            missed[here] += below_own[here, at]
            times[here] += 1
        weight = np.array([(members == bool(test)).sum() for test in (0, 1)]) / n
        rates.append(weight @ np.array(of_split))
        per_split.extend(rate for rate, _ in of_split)
    false_positive, false_negative = np.mean(rates, axis=0)
    low, high = np.quantile(per_split, [0.025, 0.975]).tolist()
    # A pair of two artists moves with both of them.
    return (
        Contributions.from_influence(float(false_positive), 2 * accepted / times),
        Contributions.from_influence(float(false_negative), missed / times),
        (low, high),
    )
