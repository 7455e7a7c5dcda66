"""How much does a picture speak for one origin against another? Likelihood ratios, and their validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.questions.question import Asking, Plain
from imindex.retrieval.questions.settings import LikelihoodRatio
from imindex.retrieval.questions.study import Named, Study
from imindex.retrieval.questions.wording import cost, listed, percent
from imindex.retrieval.results.questions import (
    CalibratedArtist,
    LikelihoodRatioAnswer,
    QuestionedPictures,
    ValidatedRatios,
)
from imindex.retrieval.results.questions.likelihood_ratio import Other
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.stats.keyed import generator
from imindex.stats.likelihood_ratio import (
    LEAST_ARTISTS,
    CrossCalibrated,
    Trials,
    Validation,
    cross_calibrated,
    likelihood_ratio,
    trials,
    validate,
    verbal,
)

INVENTED: Other = "invented names"
REAL: Other = "other real names"
OTHERS: tuple[Other, ...] = get_args(Other)
POINTS = 60
"""Most points of the Tippett curves in a report."""


class _LikelihoodRatio(Plain):
    key, answered = "likelihood_ratio", LikelihoodRatioAnswer

    def check(self, asking: Asking, settings: LikelihoodRatio) -> None:
        """Require enough artists, and as many pictures of each name as are scored together."""
        if len(asking.tested) <= LEAST_ARTISTS:
            raise ImindexError(
                f"questions.likelihood_ratio calibrates the ratios of each artist on the other artists and needs more "
                f"than {LEAST_ARTISTS}, but {len(asking.tested)} are tested. Add artists to artists.tested."
            )
        if asking.generates and settings.pictures > asking.per_artist:
            raise ImindexError(
                f"questions.likelihood_ratio.pictures is {settings.pictures}, but there are {asking.per_artist} "
                "pictures of each name. Lower it, or raise prompts.per_artist."
            )

    def given(self, asking: Asking, settings: LikelihoodRatio) -> str:
        """Be about the questioned pictures."""
        return settings.questioned

    def answer(self, study: Study, settings: LikelihoodRatio) -> LikelihoodRatioAnswer:
        """Calibrate and validate likelihood ratios, and evaluate the questioned pictures."""
        groups = _Groups.of(study, settings.pictures)
        systems: dict[Other, _System] = {}
        notes = []
        for other in OTHERS:
            try:
                systems[other] = _System.of(study, groups, other)
            except ValueError as error:
                notes.append(f"No likelihood ratios against {other}: {error}")
        elsewhere = [
            _validated(other, name, validation, system)
            for name, one in study.others.items()
            for other, system in systems.items()
            if (validation := _applied(one, settings, system)) is not None
        ]
        questioned = _questioned(study, settings, systems)
        return LikelihoodRatioAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(study, systems, questioned),
            notes=tuple(notes + _notes(study, settings, groups)),
            confidence_level=study.testing.confidence_level,
            statistic=study.testing.statistic,
            group=settings.pictures,
            scale=settings.scale,
            validations=tuple(
                _validated(other, study.release, system.validation, system)
                for other, system in systems.items()
            ),
            elsewhere=tuple(elsewhere),
            questioned=tuple(questioned),
            artists=tuple(
                _calibrated(artist, artist in study.judged, other, system, groups)
                for other, system in systems.items()
                for artist in study.tested
            ),
        )


@dataclass(frozen=True, eq=False)
class _Groups:
    """The pictures of a release in groups of one size, each from one name.

    Attributes
    ----------
    names : tuple of str
        Names with a group: tested artists first.
    name : ndarray, shape (G,), int64
        Number of the name of each group.
    kinds : dict of str to Other or None
        Which alternative a name belongs to; None for one that is neither invented nor a known real name.
    scores : dict of str to ndarray, shape (G,), float64
        Mean score of each group for each judged artist.
    n_whole : int
        Number of names with too few pictures for a group.
    """

    names: tuple[str, ...]
    name: Int64
    kinds: Mapping[str, Other]
    scores: Mapping[str, Float64]
    too_few: tuple[str, ...]

    @classmethod
    def of(cls, study: Study, size: int) -> _Groups:
        """Group the pictures of each name at random, by a generator of its own."""
        kinds: dict[str, Other] = dict.fromkeys((*study.tested, *study.rivals), REAL)
        kinds |= dict.fromkeys(study.placebos, INVENTED)
        pictures = study.imitations().of(list(kinds))
        of_name: dict[str, list[int]] = {name: [] for name in kinds}
        for place, name in enumerate(pictures.names):
            of_name[name].append(place)
        places: list[Int64] = []
        name_of: list[int] = []
        names = tuple(kinds)
        for number, name in enumerate(names):
            own = np.array(of_name[name], np.int64)
            if size > 1:
                own = generator(study.testing.seed, "likelihood ratio groups", name).permutation(own)
            for start in range(0, len(own) - size + 1, size):
                places.append(own[start : start + size])
                name_of.append(number)
        table = np.array(places, np.int64).reshape(-1, size)
        scores = {
            artist: study.scores(pictures.vectors, artist)[table].mean(axis=1) for artist in study.judged
        }
        too_few = tuple(name for name in names if of_name[name] and len(of_name[name]) < size)
        return cls(names, np.array(name_of, np.int64), kinds, scores, too_few)

    def trials(self, other: Other) -> Trials:
        """Return the trials of judged artists against one kind of other names.

        Raises
        ------
        ValueError
            One of the propositions has no trial.
        """
        score, artist, source = [], [], []
        of_kind = np.array([self.kinds[name] == other for name in self.names], bool)
        for name, values in self.scores.items():
            number = self.names.index(name)
            rows = of_kind[self.name] | (self.name == number)
            score.append(values[rows])
            artist.append(np.full(int(rows.sum()), number))
            source.append(self.name[rows])
        if not score:
            raise ValueError("no artist can be judged by this encoder.")
        return trials(np.concatenate(score), np.concatenate(artist), np.concatenate(source))


@dataclass(frozen=True, eq=False)
class _System:
    """Likelihood ratios against one kind of other names."""

    trials: Trials
    crossed: CrossCalibrated
    validation: Validation

    @classmethod
    def of(cls, study: Study, groups: _Groups, other: Other) -> _System:
        """Calibrate for each artist on the others, and validate.

        Raises
        ------
        ValueError
            There are too few artists or names.
        """
        known = groups.trials(other)
        crossed = cross_calibrated(known)
        level = study.testing.confidence_level
        return cls(known, crossed, validate(crossed.trials, crossed.log10_lr, confidence_level=level))


def _applied(study: Study, settings: LikelihoodRatio, system: _System) -> Validation | None:
    """Validate likelihood ratios of this release on the pictures of another; None if it lacks the names."""
    other = INVENTED if np.all(system.trials.same | (system.trials.source >= len(study.tested))) else REAL
    try:
        known = _Groups.of(study, settings.pictures).trials(other)
    except ValueError:
        return None
    known = known.part(np.isin(known.artist, list(system.crossed.by_artist)))
    known = known.part(np.isin(known.artist, known.artists))
    ratio = np.empty(len(known.score))
    for artist, learned in system.crossed.by_artist.items():
        rows = known.artist == artist
        ratio[rows] = learned.log10_lr(known.score[rows])
    try:
        return validate(known, ratio, confidence_level=study.testing.confidence_level)
    except ValueError:
        return None


def _validated(other: Other, release: str, one: Validation, system: _System) -> ValidatedRatios:
    curve = one.tippett
    chosen = np.unique(np.linspace(0, len(curve.log10_lr) - 1, POINTS).astype(int))
    learned = system.crossed.by_artist.values()
    return ValidatedRatios(
        other=other,
        tried_on=release,
        n_artists=one.n_artists,
        n_others=one.n_others,
        n_same=one.n_same,
        n_different=one.n_different,
        cllr=one.cllr.value,
        cllr_low=one.cllr.low,
        cllr_high=one.cllr.high,
        cllr_min=one.cllr_min.value,
        cllr_min_low=one.cllr_min.low,
        cllr_min_high=one.cllr_min.high,
        loss=one.calibration_loss.value,
        loss_low=one.calibration_loss.low,
        loss_high=one.calibration_loss.high,
        equal_error_rate=_share(one.equal_error_rate),
        misleading_same=_share(one.misleading_same.value),
        misleading_same_low=_share(one.misleading_same.low),
        misleading_same_high=_share(one.misleading_same.high),
        misleading_different=_share(one.misleading_different.value),
        misleading_different_low=_share(one.misleading_different.low),
        misleading_different_high=_share(one.misleading_different.high),
        informative=one.informative,
        log10_lowest=min(each.low for each in learned),
        log10_highest=max(each.high for each in learned),
        curve=tuple(
            (float(curve.log10_lr[i]), float(curve.same[i]), float(curve.different[i]))
            for i in chosen.tolist()
        ),
    )


def _share(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)


def _calibrated(
    artist: str, judged: bool, other: Other, system: _System, groups: _Groups
) -> CalibratedArtist:
    number = groups.names.index(artist)
    n_own = int((groups.name == number).sum())
    learned = system.crossed.by_artist.get(number)
    if learned is None:
        return CalibratedArtist(artist=artist, judged=judged, other=other, n_own=n_own)
    own = (system.crossed.trials.artist == number) & system.crossed.trials.same
    ratio = system.crossed.log10_lr[own]
    return CalibratedArtist(
        artist=artist,
        judged=judged,
        other=other,
        n_own=n_own,
        log10_lr=float(np.median(ratio)),
        misleading=float((ratio < 0).mean()),
        intercept=learned.intercept,
        slope=learned.slope,
        log10_lowest=learned.low,
        log10_highest=learned.high,
    )


def _questioned(
    study: Study, settings: LikelihoodRatio, systems: Mapping[Other, _System]
) -> list[QuestionedPictures]:
    """Evaluate the questioned pictures: each of them, or a random group of those credited to one name."""
    if not settings.questioned:
        return []
    pictures = study.imitations("likelihood_ratio")
    paths = study.shared.index.column("path")
    out = []
    for artist in dict.fromkeys(pictures.names):
        own = pictures.of([artist])
        for group in _questioned_groups(study, settings.pictures, own, artist):
            listed_paths = tuple(sorted(str(paths[row]) for row in own.rows[group].tolist()))
            for other, system in systems.items():
                out.append(_evaluated(study, settings, own, group, (artist, other, listed_paths), system))
    return out


def _questioned_groups(study: Study, size: int, own: Named, artist: str) -> list[Int64]:
    everything = np.arange(len(own.names), dtype=np.int64)
    if size == 1:
        return [everything[i : i + 1] for i in range(len(everything))]
    if len(everything) > size:
        random = generator(study.testing.seed, "likelihood ratio questioned", artist)
        everything = np.sort(random.permutation(everything)[:size])
    return [everything]


def _evaluated(
    study: Study,
    settings: LikelihoodRatio,
    own: Named,
    group: Int64,
    about: tuple[str, Other, tuple[str, ...]],
    system: _System,
) -> QuestionedPictures:
    artist, other, paths = about
    row = QuestionedPictures(artist=artist, pictures=paths, other=other)
    if artist not in study.tested:
        return _withheld(row, "no tested artist has this name")
    if artist not in study.judged:
        return _withheld(row, "the encoder does not tell the artist’s works from those of others")
    if len(group) < settings.pictures:
        return _withheld(row, f"there are {len(group)} pictures, and {settings.pictures} are scored together")
    if same := next((text for text in study.same_files(own.at(group)) if text), ""):
        return _withheld(row, f"the same file is {same} in this audit, so its origin is not in question")
    score = float(study.scores(own.vectors[group], artist).mean())
    if not system.validation.informative:
        return _withheld(row, "the validation does not show that these ratios are informative", score)
    number = study.tested.index(artist)
    try:
        (ratio,), _ = likelihood_ratio(
            [score], system.trials.without(number), confidence_level=study.testing.confidence_level
        )
    except ValueError as error:
        return _withheld(row, str(error), score)
    return QuestionedPictures(
        artist=artist,
        pictures=paths,
        other=other,
        score=score,
        log10_lr=ratio.log10_lr,
        log10_low=ratio.low,
        log10_high=ratio.high,
        at_bound=ratio.at_bound,
        words=verbal(ratio.log10_lr) if settings.scale == "enfsi" else "",
    )


def _withheld(row: QuestionedPictures, why: str, score: float | None = None) -> QuestionedPictures:
    return QuestionedPictures(
        artist=row.artist, pictures=row.pictures, other=row.other, score=score, withheld=why
    )


def _statement(
    study: Study, systems: Mapping[Other, _System], questioned: Sequence[QuestionedPictures]
) -> str:
    if not systems:
        return (
            "This cannot be answered: likelihood ratios cannot be calibrated, for the reasons below. Add artists whose "
            "works the encoder can tell, and pictures of other names."
        )
    parts = []
    for other, system in systems.items():
        one = system.validation
        verdict = (
            "are informative"
            if one.informative
            else "were not shown to be informative, and are not to be used"
        )
        parts.append(
            f"Against {other}, likelihood ratios {verdict}. Tried on artists who took no part in the calibration, "
            f"they have a cost (Cllr) of {cost(one.cllr.value)}, {percent(one.confidence_level)} interval "
            f"{cost(one.cllr.low)} to {cost(one.cllr.high)}, where 1 is no information; "
            f"{percent(one.misleading_same.value)} of own pictures and "
            f"{percent(one.misleading_different.value)} of others’ mislead."
        )
    if questioned:
        shown = [row for row in questioned if row.log10_lr is not None]
        parts.append(
            f"Questioned pictures or groups: {len({row.pictures for row in questioned})}. Likelihood ratios: "
            f"{len(shown)} stated, and {len(questioned) - len(shown)} withheld."
        )
    return " ".join(parts)


def _notes(study: Study, settings: LikelihoodRatio, groups: _Groups) -> list[str]:
    notes = []
    if groups.too_few:
        notes.append(
            f"Names with fewer than {settings.pictures} pictures take no part: {listed(groups.too_few)}."
        )
    unjudged = [artist for artist in study.tested if artist not in study.judged]
    if unjudged:
        notes.append(f"Not judged by this encoder, and left out: {listed(unjudged)}.")
    return notes


QUESTION = _LikelihoodRatio()
