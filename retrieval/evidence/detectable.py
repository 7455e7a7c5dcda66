"""Compute the smallest effect that the name test of a release could have found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import MovedSets
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.multiple import level_of_next
from imindex.stats.power import placebos_allowed
from imindex.stats.set_scores import Float64, SetScores
from imindex.stats.set_statistics import Scorer, SetTable

POWER = 0.8
"""Probability with which an artist with the smallest effect is found."""
MOST_ARTISTS = 12
MOST_SETS = 100
MOST_PICTURES = 20_000
"""More artists, placebo sets or other pictures are thinned out evenly: their order is that of the names."""
STEPS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Lengths by which sets are moved for the combined test; pictures have the length 1."""
_FEWEST_SETS = 5
_FURTHEST = 64.0


@dataclass(frozen=True, eq=False)
class Scored:
    """What the sets of a release are scored with.

    Attributes
    ----------
    works, imitations : Pictures
        As they were matched; the imitations in the order that `scores` numbers them.
    scores : SetScores
    scorer : Scorer or None
        None if the statistic is the rank.
    table : SetTable or None
    """

    works: Pictures
    imitations: Pictures
    scores: SetScores
    scorer: Scorer | None
    table: SetTable | None


def detectable_auc(
    scored: Scored,
    names: Sequence[str],
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
    scored : Scored
    names : sequence of str
        Of the artists, by number.
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
        Median over the artists that were not found, or over all if all were found. None if most of them could not be
        found whatever the effect, there are too few placebo sets, or findings do not rest on exact tests.

    Notes
    -----
    The pictures of the placebo sets are moved towards the mean work of the artist until 80 % of the sets would be found
    in the artist's place: until the 20 % quantile of their scores passes as many of the unmoved placebo sets as the
    correction asks for, if the findings of the other artists stay as they are. The result is the AUC of the moved sets,
    averaged on the probit scale. So it rests on the spread of the actual placebo sets and on the statistic of the
    tests.
    """
    family = int(judged.sum())
    if not family or not len(placebos) or testing.approximate or testing.unit != "artist":
        return None
    level = level_of_next(family, int((found & judged).sum()), level=testing.level, method=testing.adjust)
    left = judged & ~found
    artists = sorted(np.flatnonzero(left if left.any() else judged).tolist(), key=lambda a: names[a])
    chosen = [artists[i] for i in evenly(len(artists), MOST_ARTISTS)]
    ordered = sorted(placebos, key=lambda a: names[a])
    values = []
    for artist in chosen:
        among = set((only or {}).get(artist, placebos))
        values.append(_of_artist(scored, artist, [a for a in ordered if a in among], level))
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) * 2 > len(values) else None


def evenly(n: int, most: int) -> list[int]:
    """Return the positions of at most `most` of n elements, at even steps."""
    return [int(i) for i in np.unique(np.linspace(0, n - 1, min(n, most)).round())]


def _of_artist(scored: Scored, artist: int, placebos: list[int], level: float) -> float | None:
    scores = scored.scores
    size = int(scores.sizes[artist])
    if not size:
        return None
    designs = scores.designs[size]
    usable = [number for number in placebos if designs[number] == designs[artist]]
    allowed = placebos_allowed(len(usable), level)
    if len(usable) < _FEWEST_SETS or not 0 <= allowed < len(usable):
        return None
    mover = _Mover.of(scored, artist, usable, size)
    if mover is None:
        return None
    threshold = float(np.sort(mover.references)[-1 - allowed])

    def short(step: float) -> float:
        return threshold - float(np.quantile(mover.score(mover.moved(step)), 1 - POWER, method="weibull"))

    near, far = 0.0, 0.0
    while short(far) >= 0:
        if far >= _FURTHEST:
            return None
        near, far = far, max(0.25, 2 * far)
    step = 0.0 if far == 0 else scipy.optimize.bisect(short, near, far, xtol=1e-3, rtol=1e-3)
    return mover.mean_auc(mover.moved(step))


@dataclass(frozen=True, eq=False)
class _Mover:
    """Moves placebo sets towards the works of an artist.

    Attributes
    ----------
    chosen : list of int
        Numbers of the names whose sets are moved.
    sets : ndarray, shape (n, size, d)
    direction : ndarray, shape (d,)
        Unit vector.
    auc : callable
        AUC of each of some sets.
    score : callable
        Score of each of some sets, by the statistic of the tests.
    references : ndarray
        Scores of all usable placebo sets.
    least : float
        AUCs are kept this far from 0 and 1.
    """

    chosen: list[int]
    sets: Float64
    direction: Float64
    auc: Callable[[Float64], Float64]
    score: Callable[[Float64], Float64]
    references: Float64
    least: float

    @classmethod
    def of(cls, scored: Scored, artist: int, usable: list[int], size: int) -> _Mover | None:
        """Return the mover of an artist; None if the mean work is 0."""
        scores = scored.scores
        works = np.asarray(scored.works.vectors[scored.works.artist == artist], np.float64)
        centre = works.mean(axis=0)
        length = float(np.linalg.norm(centre))
        if not length > 0:
            return None
        starts = np.cumsum(scores.n_imitations) - scores.n_imitations
        chosen = [usable[i] for i in evenly(len(usable), MOST_SETS)]
        rows = scores.order[starts[chosen][:, None] + np.arange(size)]
        sets = np.asarray(scored.imitations.vectors[rows], np.float64)  # (sets, size, d)
        auc = _auc_of(works, scored.imitations, artist)
        score, references = _score_of(scored, artist, usable, size, auc)
        least = 1 / (2 * max(2, min(MOST_PICTURES, len(scored.imitations.vectors))))
        return cls(chosen, sets, centre / length, auc, score, references, least)

    def moved(self, step: float) -> Float64:
        """Return the sets, moved by a step."""
        vectors = self.sets + step * self.direction
        return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float64)

    def mean_auc(self, sets: Float64) -> float:
        """Return the AUC of sets, averaged on the probit scale."""
        probit = scipy.special.ndtri(np.clip(self.auc(sets), self.least, 1 - self.least))
        return float(scipy.special.ndtr(probit.mean()))


def moved_sets(
    scored: Scored, artist: int, names: Sequence[str], placebos: Sequence[int]
) -> MovedSets | None:
    """Move placebo sets towards an artist's works step by step, for the test of several encoders.

    Parameters
    ----------
    scored : Scored
    artist : int
    names : sequence of str
        Of the artists, by number.
    placebos : sequence of int
        Numbers of the placebo names that the artist is compared with.

    Returns
    -------
    MovedSets or None
        Until the AUC is nearly 1. None if there are too few sets.
    """
    size = int(scored.scores.sizes[artist])
    if not size:
        return None
    designs = scored.scores.designs[size]
    usable = sorted((n for n in placebos if designs[n] == designs[artist]), key=lambda n: names[n])
    mover = _Mover.of(scored, artist, usable, size) if len(usable) >= _FEWEST_SETS else None
    if mover is None:
        return None
    auc: list[float] = []
    scores: list[tuple[float, ...]] = []
    for step in STEPS:
        moved = mover.moved(step)
        auc.append(mover.mean_auc(moved))
        scores.append(tuple(mover.score(moved).tolist()))
        if auc[-1] >= 1 - max(1e-3, 2 * mover.least):
            break
    return MovedSets(sets=tuple(names[n] for n in mover.chosen), auc=tuple(auc), scores=tuple(scores))


def _auc_of(works: Float64, imitations: Pictures, artist: int) -> Callable[[Float64], Float64]:
    """Return a function from sets of pictures to their AUC for an artist's works."""
    others = np.flatnonzero(imitations.artist != artist)
    others = others[evenly(len(others), MOST_PICTURES)]
    ranked = np.sort(works @ np.asarray(imitations.vectors[others], np.float64).T, axis=1)

    def auc(sets: Float64) -> Float64:
        below = np.zeros(sets.shape[:2])
        for row, work in zip(ranked, works, strict=True):
            below += np.searchsorted(row, sets @ work)
        return np.asarray((below / (len(works) * ranked.shape[1])).mean(axis=1), np.float64)

    return auc


def _score_of(
    scored: Scored, artist: int, usable: list[int], size: int, auc: Callable[[Float64], Float64]
) -> tuple[Callable[[Float64], Float64], Float64]:
    """Return a function that scores sets by the statistic of the tests, and the scores of the placebo sets."""
    scorer, scores = scored.scorer, scored.scores
    if scorer is None or scored.table is None:
        starts = np.cumsum(scores.n_imitations) - scores.n_imitations
        rows = scores.order[starts[usable][:, None] + np.arange(size)]
        return auc, auc(np.asarray(scored.imitations.vectors[rows], np.float64))
    place = int(np.searchsorted(scorer.artists, artist))

    def score(sets: Float64) -> Float64:
        n, m, d = sets.shape
        return np.asarray(
            scorer.score(sets.reshape(n * m, d))[:, place].reshape(n, m).mean(axis=1), np.float64
        )

    return score, scored.table.values[size][artist, usable]
