"""Which pictures are candidates for copies: calibrated against pictures that cannot be copies of these works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

RATE = 0.05
"""Probability that an audit without copies has a candidate."""
FLOOR = 0.6
"""No picture below this value is a candidate, whatever the placebo names reach."""


@dataclass(frozen=True)
class Nearest:
    """The work that a picture comes nearest to.

    Attributes
    ----------
    value : float
        How far the outlines agree.
    artist : str
        Artist of the work.
    beyond_series : bool
        Whether the picture is nearer to the work than the artist's other works are; see `near_series`.
    """

    value: float
    artist: str
    beyond_series: bool = True


@dataclass(frozen=True)
class Calibration:
    """The threshold of a release, and how often it is wrong.

    Attributes
    ----------
    threshold : float
    n_names : int
        Number of placebo names.
    n_allowed : int
        Number of placebo names whose most similar picture lies above the threshold.
    bound : float or None
        Highest probability that a release without copies has a candidate; None without placebo names.
    n_false : int
        Number of placebo names that the rule would call candidates, each tested against the other placebo names.
    """

    threshold: float
    n_names: int
    n_allowed: int
    bound: float | None
    n_false: int


def calibrate(
    placebos: Sequence[Sequence[Nearest]], rate: float = RATE, *, lowest: float = FLOOR
) -> Calibration:
    """Set the threshold from the pictures of placebo names.

    Parameters
    ----------
    placebos : sequence of sequences of Nearest
        Of each placebo name, its pictures with the work of any artist that each comes nearest to.
    rate : float
        Wanted probability that a release without copies has a candidate.
    lowest : float
        The threshold is at least this.

    Returns
    -------
    Calibration

    Notes
    -----
    Let C(Y) be the highest value of a set of pictures Y with any work of any artist, and a(Y) the artist of that work.
    The threshold t is the j-th highest C of the P placebo names, j = max(1, floor(rate (P + 1))). The set of artist A
    has candidates only if C > t and a = A. If it is exchangeable with the placebo sets, it is among the j highest of
    P + 1 sets with probability j / (P + 1), and by the same symmetry P(C > t and a = A) is what any of these sets has;
    summed over the artists A, whose events a = A exclude each other, this is at most j / (P + 1). So the probability of
    any candidate in the release is at most j / (P + 1), however many artists, works and pictures there are, and however
    the pictures of one set depend on each other. Ties, `FLOOR` and `near_series` only lower it.

    Examples
    --------
    >>> sets = [[Nearest(0.01 * n, "a")] for n in range(39)]
    >>> found = calibrate(sets, 0.05)
    >>> found.n_allowed, found.bound, found.threshold
    (1, 0.05, 0.6)
    """
    peaks = [max(names, key=lambda one: one.value) for names in placebos if names]
    if not peaks:
        return Calibration(lowest, 0, 0, None, 0)
    values = sorted((peak.value for peak in peaks), reverse=True)
    place = _place(len(values), rate)
    n_false = 0
    for peak in peaks:
        others = list(values)
        others.remove(peak.value)
        limit = max(lowest, others[_place(len(others), rate) - 1]) if others else lowest
        n_false += peak.value > limit and peak.beyond_series
    return Calibration(
        threshold=max(lowest, values[place - 1]),
        n_names=len(peaks),
        n_allowed=place - 1,
        bound=place / (len(peaks) + 1),
        n_false=n_false,
    )


def _place(n: int, rate: float) -> int:
    """Return which of the highest values is the threshold, counted from 1."""
    return max(1, floor(rate * (n + 1) + 1e-9))


def candidates(pictures: Mapping[str, Sequence[Nearest]], threshold: float) -> dict[str, list[int]]:
    """Return the positions of each artist's candidates among the artist's pictures.

    Parameters
    ----------
    pictures : mapping of str to sequences of Nearest
        By the artist that they were made for.
    threshold : float
    """
    called: dict[str, list[int]] = {}
    for artist, own in pictures.items():
        peak = max(own, key=lambda one: one.value, default=None)
        if peak is None or peak.value <= threshold or peak.artist != artist:
            continue
        called[artist] = [
            place
            for place, one in enumerate(own)
            if one.value > threshold and one.artist == artist and one.beyond_series
        ]
    return called


def near_series(value: float, series: float) -> bool:
    """Return whether a picture is no nearer to a work than a further work of the artist may be.

    Parameters
    ----------
    value : float
        How far the outlines of picture and work agree.
    series : float
        The highest such value of the work with another work of its artist; NaN if there is none.

    Notes
    -----
    An artist who always paints one composition is not copied by a picture that has it too: a copy stands at most half
    as far from 1 as the artist's other works do.
    """
    return 1 - value > (1 - series) / 2
