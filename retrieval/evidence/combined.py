"""Results of a release by several encoders -> one finding for each artist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import scipy

from imindex.indexer.core.names import as_stored
from imindex.retrieval.evidence.detectable import POWER
from imindex.retrieval.evidence.match_tests import findings_by
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import (
    ArtistSetScores,
    AuditResult,
    CombinedArtist,
    CombinedResult,
    EncoderPart,
    ErrorRates,
    MatchedArtist,
    MovedSets,
    ReleaseSetScores,
)
from imindex.stats.combination import (
    COMBINATION,
    CombinedTest,
    combined_error_card,
    combined_pvalues,
    combined_test,
    encoder_level,
    nearest_combined,
)
from imindex.stats.hierarchical import Flags, TwoSteps, two_steps
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust, called, fewest_findable, level_of_next
from imindex.stats.power import placebos_allowed
from imindex.stats.set_scores import Float64

_ROUNDING = 1e-12
_PRECISION = 1e-3
"""Of the detectable AUC, on the probit scale."""


@dataclass(frozen=True, eq=False)
class _Sets:
    """Scores of S sets for A artists by E encoders, and which sets can be compared.

    Attributes
    ----------
    artists, sets : list of str
    own : ndarray, shape (A,)
        Column of the own set.
    scores, rival_scores : ndarray, shape (E, A, S)
    weights : ndarray, shape (A, E)
        1 if the encoder tells the artist's works from those of others, otherwise 0: it depends on works only. All are 0
        if an encoder has no scores for the artist, for instance because it rejected every picture of the own set: the
        artist is then not tested, since the other sets are not chosen by what an encoder rejects.
    untold : ndarray, shape (A,), bool
        No encoder tells the artist's works, and some encoder had enough works to say so.
    comparable : ndarray, shape (A, S), bool
        Sets of the design of the own set, by every encoder with weight.
    placebo : ndarray, shape (S,), bool
    only : dict of int to ndarray, shape (S,), bool
        The placebo sets that some artists are compared with.
    moved : dict of int to list of MovedSets or None
        By artist, one per encoder.
    """

    artists: list[str]
    sets: list[str]
    own: npt.NDArray[np.int64]
    scores: Float64
    rival_scores: Float64
    weights: Float64
    untold: Flags
    comparable: Flags
    placebo: Flags
    only: dict[int, Flags]
    moved: dict[int, list[MovedSets | None]]

    def usable_placebos(self) -> Flags:
        """Return the placebo sets that each artist is compared with, shape (A, S)."""
        usable = self.comparable & self.placebo
        for artist, chosen in self.only.items():
            usable[artist] &= chosen
        return usable

    def usable_rivals(self) -> Flags:
        """Return the rivals' sets that each artist is compared with, shape (A, S)."""
        usable = self.comparable & ~self.placebo
        usable[np.arange(len(self.own)), self.own] = False
        return usable


def combine_encoders(
    results: Sequence[AuditResult], tested: Sequence[str], testing: Testing
) -> CombinedResult:
    """Test every artist by all encoders together.

    Parameters
    ----------
    results : sequence of AuditResult
        Of one release, one per encoder, with `sets`.
    tested : sequence of str
        The artists of the plan.
    testing : Testing
        Of the release.

    Returns
    -------
    CombinedResult
    """
    sets = _gather(results, testing)
    with_placebos = bool(sets.placebo.any())
    name = combined_test(list(sets.scores), sets.usable_placebos(), sets.weights, own=sets.own)
    rival = combined_test(list(sets.rival_scores), sets.usable_rivals(), sets.weights, own=sets.own)
    first = name if with_placebos else rival
    p = first.pvalue
    adjusted = adjust(p, method=testing.adjust)
    steps = None
    if with_placebos:
        steps = two_steps(
            p,
            rival.pvalue,
            rival.resolution,
            p_nearest=_nearest(sets),
            level=testing.level,
            method=testing.adjust,
        )
    found = called(adjusted, level=testing.level) if steps is None else steps.name_called
    findings = findings_by(p, sets.untold, steps, testing)
    family = int(np.isfinite(p).sum())
    smallest = first.resolution[sets.weights.any(axis=1)]
    level = encoder_level(int(found.sum()), family, level=testing.level, method=testing.adjust)
    matched = [{row.artist: row for row in result.matching.artists} for result in results]
    number = {artist: place for place, artist in enumerate(sets.artists)}
    rows = tuple(
        _artist(
            artist,
            number.get(stored),
            [rows.get(stored) for rows in matched],
            [result.encoder for result in results],
            sets,
            (name, rival, first),
            adjusted,
            steps,
            findings,
            found,
            level,
            testing,
        )
        for artist, stored in zip(tested, as_stored(tested, sets.artists), strict=True)
    )
    return CombinedResult(
        release=results[0].release,
        encoders=tuple(result.encoder for result in results),
        combination=COMBINATION,
        statistics=tuple(_sets(result).statistic for result in results),
        level=testing.level,
        adjust=testing.adjust,
        n_artists=len(tested),
        n_placebo_names=int(sets.placebo.sum()),
        family=family,
        findings={label: sum(row.finding == label for row in rows) for label in Finding},
        fewest_findable=fewest_findable(
            smallest[np.isfinite(smallest)], level=testing.level, method=testing.adjust
        ),
        detectable_auc=_detectable_auc(sets, np.isfinite(p), found, testing) if with_placebos else None,
        encoder_level=level,
        error_rates=_error_rates(sets, np.isfinite(p), testing) if with_placebos else None,
        artists=rows,
    )


def _sets(result: AuditResult) -> ReleaseSetScores:
    if result.sets is None:
        raise ValueError(f"The result of {result.release} by {result.encoder} has no scores of sets.")
    return result.sets


def _gather(results: Sequence[AuditResult], testing: Testing) -> _Sets:
    """Bring the scores by all encoders into one order of artists and sets: that of their names."""
    records = [_sets(result) for result in results]
    sets = sorted({name for record in records for name in record.sets})
    column = {name: place for place, name in enumerate(sets)}
    rows: list[dict[str, ArtistSetScores]] = [
        {row.artist: row for row in record.artists} for record in records
    ]
    artists = sorted({artist for each in rows for artist in each})
    shape = (len(records), len(artists), len(sets))
    scores, rival_scores = np.full((2, *shape), np.nan)
    same_design = np.zeros(shape, np.bool_)
    weights = np.zeros(shape[:2]).T
    cannot = np.zeros(len(artists), np.bool_)
    moved: dict[int, list[MovedSets | None]] = {}
    for e, (record, each) in enumerate(zip(records, rows, strict=True)):
        columns = np.array([column[name] for name in record.sets], np.int64)
        for a, artist in enumerate(artists):
            row = each.get(artist)
            if row is None:
                continue
            scores[e, a, columns] = np.array(row.scores, np.float64)
            rival_scores[e, a, columns] = np.array(
                row.scores if row.rival_scores is None else row.rival_scores, np.float64
            )
            same_design[e, a, columns] = row.same_design
            weights[a, e] = 1.0 if row.told else 0.0
            cannot[a] |= row.told is False
            moved.setdefault(a, [None] * len(records))[e] = row.moved
    lacking = np.array([any(artist not in each for each in rows) for artist in artists], np.bool_)
    weights[lacking] = 0.0
    known = np.isfinite(scores) & same_design
    comparable = (known | (weights.T == 0)[:, :, None]).all(axis=0)
    placebo = np.zeros(len(sets), np.bool_)
    for result in results:
        if result.matching.evidence is not None:
            placebo[[column[name] for name in result.matching.evidence.placebos if name in column]] = True
    only = {}
    for artist, names in (testing.references or {}).items():
        if artist in artists:
            chosen = set(as_stored(names, sets))
            only[artists.index(artist)] = np.array([name in chosen for name in sets], np.bool_)
    return _Sets(
        artists=artists,
        sets=sets,
        own=np.array([column[artist] for artist in artists], np.int64),
        scores=scores,
        rival_scores=rival_scores,
        weights=weights,
        untold=cannot & ~weights.any(axis=1) & ~lacking,
        comparable=comparable & weights.any(axis=1)[:, None],
        placebo=placebo,
        only=only,
        moved={a: each for a, each in moved.items() if any(each)},
    )


def _nearest(sets: _Sets) -> Float64:
    """Return the combined name p-value that the nearest real name's set would have for each artist."""
    nearest = np.full(len(sets.artists), np.nan)
    for a in range(len(sets.artists)):
        if sets.weights[a].any():
            real, placebos = sets.comparable[a] & ~sets.placebo, sets.comparable[a] & sets.placebo
            nearest[a] = nearest_combined(
                sets.scores[:, a, real], sets.scores[:, a, placebos], sets.weights[a]
            )
    nearest[list(sets.only)] = 0  # these are compared with placebo names of their own
    return nearest


def _artist(  # noqa: PLR0913
    artist: str,
    a: int | None,
    matched: Sequence[MatchedArtist | None],
    encoders: Sequence[str],
    sets: _Sets,
    tests: tuple[CombinedTest, CombinedTest, CombinedTest],
    adjusted: Float64,
    steps: TwoSteps | None,
    findings: Sequence[Finding],
    found: Flags,
    level: float,
    testing: Testing,
) -> CombinedArtist:
    name, rival, first = tests
    parts = []
    for e, (encoder, row) in enumerate(zip(encoders, matched, strict=True)):
        weight = 0.0 if a is None else float(sets.weights[a, e])
        closed = None if a is None else first.closed[a, e]
        stated = a is not None and found[a] and weight > 0 and closed is not None and np.isfinite(closed)
        parts.append(
            EncoderPart(
                encoder=encoder,
                weight=weight,
                finding=(row.finding if row else None) or Finding.NOT_TESTED,
                auc=row.auc if row else None,
                p=None if a is None else first.by_encoder[a, e],
                p_closed=closed,
                alone=bool(closed <= level * (1 + _ROUNDING)) if stated and closed is not None else None,
            )
        )
    if a is None:
        return CombinedArtist(
            artist=artist,
            finding=Finding.NOT_TESTED,
            p_name=None,
            p_rival=None,
            p=None,
            p_adjusted=None,
            p_rival_selected=None,
            specificity_testable=None,
            n_name_references=0,
            n_rival_references=0,
            resolution_name=None,
            resolution_rival=None,
            placebo_reference=None,
            encoders=tuple(parts),
        )
    return CombinedArtist(
        artist=artist,
        finding=findings[a],
        p_name=name.pvalue[a],
        p_rival=rival.pvalue[a],
        p=first.pvalue[a],
        p_adjusted=adjusted[a],
        p_rival_selected=None if steps is None else steps.rival_adjusted[a],
        specificity_testable=None if steps is None else bool(steps.testable[a]),
        n_name_references=int(name.n_reference[a]),
        n_rival_references=int(rival.n_reference[a]),
        resolution_name=name.resolution[a],
        resolution_rival=rival.resolution[a],
        placebo_reference=None if testing.references is None else "same origin" if a in sets.only else "all",
        encoders=tuple(parts),
    )


def _error_rates(sets: _Sets, judged: Flags, testing: Testing) -> ErrorRates | None:
    """Put placebo sets in the artists' places. Only artists with the most frequent reference sets are used."""
    artists = np.flatnonzero(judged)
    if not len(artists):
        return None
    patterns, of, counts = np.unique(
        sets.comparable[artists], axis=0, return_inverse=True, return_counts=True
    )
    most = int(np.argmax(counts))
    artists = artists[of.ravel() == most]
    usable = patterns[most]
    real = np.flatnonzero(usable & ~sets.placebo)
    card = combined_error_card(
        list(sets.scores[:, artists]),
        sets.weights[artists],
        np.flatnonzero(usable & sets.placebo),
        [real[real != sets.own[a]] for a in artists.tolist()],
        rival_tables=list(sets.rival_scores[:, artists]),
        level=testing.level,
        method=testing.adjust,
        rng=generator(testing.seed, "combined error rates"),
    )
    return None if card is None else ErrorRates(**asdict(card))


# The smallest effect


def _detectable_auc(sets: _Sets, judged: Flags, found: Flags, testing: Testing) -> float | None:
    """Return the AUC by every encoder that the combined name test finds with 80 % power in one more artist.

    The placebo sets are moved towards the artist's works by each encoder until they have this AUC by the encoder. The
    result is the median over the artists that were not found, or over all of them if all were found.
    """
    family = int(judged.sum())
    if not family:
        return None
    level = level_of_next(family, int((found & judged).sum()), level=testing.level, method=testing.adjust)
    movable = [a for a in sets.moved if judged[a]]
    chosen = [a for a in movable if not found[a]] or movable
    usable = sets.usable_placebos()
    values = [_detectable(sets, a, usable[a], level) for a in chosen]
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) * 2 > len(values) else None


def _detectable(sets: _Sets, a: int, usable: Flags, level: float) -> float | None:
    with_weight = np.flatnonzero(sets.weights[a] > 0)
    moved = [sets.moved[a][e] for e in with_weight.tolist()]
    allowed = placebos_allowed(int(usable.sum()), level)
    curves = [one for one in moved if one is not None]
    if len(curves) < len(moved) or not 0 <= allowed < usable.sum():
        return None
    common = [
        name
        for name in curves[0].sets
        if all(name in one.sets for one in curves) and usable[sets.sets.index(name)]
    ]
    if not common:
        return None
    references = sets.scores[with_weight, a][:, usable]
    weights = sets.weights[a, with_weight]
    reached = (1 + allowed) / (1 + int(usable.sum())) * (1 + _ROUNDING)
    tables = [
        (
            scipy.special.ndtri(np.maximum.accumulate(one.auc)),
            np.array(one.scores)[:, [one.sets.index(name) for name in common]],
        )
        for one in curves
    ]

    def power(x: float) -> float:
        at = np.array([_interpolated(x, auc, scores) for auc, scores in tables])
        return float((combined_pvalues(at, references, weights) <= reached).mean())

    low, high = (edge(tables) for edge in (_least, _most))
    if power(high) < POWER:
        return None
    if power(low) >= POWER:
        return float(scipy.special.ndtr(low))
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return float(scipy.special.ndtr(high))


_Curves = Sequence[tuple[Float64, Float64]]


def _least(tables: _Curves) -> float:
    return float(max(auc[0] for auc, _ in tables))


def _most(tables: _Curves) -> float:
    return float(max(_least(tables), min(auc[-1] for auc, _ in tables)))


def _interpolated(x: float, auc: Float64, scores: Float64) -> Float64:
    """Return the scores of sets whose AUC, on the probit scale, is x."""
    place = float(np.interp(x, auc, np.arange(len(auc))))
    before = min(int(place), len(auc) - 1)
    after = min(before + 1, len(auc) - 1)
    return np.asarray(scores[before] + (place - before) * (scores[after] - scores[before]))


def by_release(combined: Sequence[CombinedResult]) -> Mapping[str, CombinedResult]:
    """Return the combined results by the name of their release."""
    return {one.release: one for one in combined}
