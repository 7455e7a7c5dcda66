"""Compute the smallest effect that the name test of a release could have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import special

from imindex.retrieval.evidence.testing import Testing
from imindex.stats.multiple import level_of_next
from imindex.stats.power import detectable_shift
from imindex.stats.set_scores import Float64, SetScores

POWER = 0.8
"""Probability with which an artist with the smallest effect is found."""


def detectable_auc(
    scores: SetScores,
    placebos: Sequence[int],
    judged: npt.NDArray[np.bool_],
    found: npt.NDArray[np.bool_],
    testing: Testing,
    *,
    only: Mapping[int, Sequence[int]] | None = None,
) -> float | None:
    """Return the AUC that the name test finds with 80 % power in one more artist.

    Parameters
    ----------
    scores : SetScores
    placebos : sequence of int
        Numbers of the placebo names.
    judged, found : ndarray, shape (A,), bool
        The artists of the family, and those for which the name test is significant after correction.
    testing : Testing
    only : mapping from int to sequence of int, optional
        Placebo names that some artists are compared with.

    Returns
    -------
    float or None
        Median over the artists that were not found, or over all if all were found. None if a further artist could not
        be found whatever the effect, there are fewer than 3 placebo sets, or findings do not rest on exact tests.

    Notes
    -----
    The AUCs of the placebo sets for an artist's works have a mean and a standard deviation on the probit scale, on
    which a constant shift of similarities is a constant shift (the binormal model). The AUC is the one at which an own
    set with the same spread has a p-value small enough with this probability (`imindex.stats.power.detectable_shift`),
    if the findings of the other artists stay as they are. It is computed for sets scored by their ranks. The
    discriminant of the works, which is the default, finds such a set at least about as often.
    """
    family = int(judged.sum())
    if not family or not len(placebos) or testing.approximate or testing.unit != "artist":
        return None
    level = level_of_next(family, int((found & judged).sum()), level=testing.level, method=testing.adjust)
    artists = np.flatnonzero(judged & ~found)
    values = [
        _of_artist(scores, int(artist), list((only or {}).get(int(artist), placebos)), level)
        for artist in (artists if len(artists) else np.flatnonzero(judged))
    ]
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) * 2 > len(values) else None


def _of_artist(scores: SetScores, artist: int, placebos: list[int], level: float) -> float | None:
    size = int(scores.sizes[artist])
    if not size:
        return None
    designs = scores.designs[size]
    usable = [number for number in placebos if designs[number] == designs[artist]]
    if len(usable) < 3:
        return None
    shift = detectable_shift(len(usable), level, POWER)
    if shift is None:
        return None
    auc = _auc(scores, artist, usable, size)
    probit = special.ndtri(auc)
    return float(special.ndtr(probit.mean() + shift * probit.std(ddof=1)))


def _auc(scores: SetScores, artist: int, sets: list[int], size: int) -> Float64:
    """Return the AUC of some sets for an artist's works, from their rank percentiles among all imitations."""
    n, own = scores.n_ranked, scores.n_imitations[sets]
    among_others = (scores.percentiles(size)[artist, sets] * n - own / 2) / np.maximum(n - own, 1)
    least = 1 / (2 * n)
    return np.asarray(np.clip(among_others, least, 1 - least), np.float64)
