"""Key and answers -> what the panel says: shares, tests, agreement, and how they compare with the metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from imindex.retrieval.results import (
    PanelAnswers,
    PanelEstimate,
    PanelFigures,
    PanelKey,
    PanelledArtist,
    PanelMetric,
    PanelRater,
    PanelResult,
    PanelTrial,
)
from imindex.retrieval.vectors.blocks import Float64
from imindex.stats.accuracy import accuracy_interval
from imindex.stats.agreement import (
    ChoiceShare,
    half_test,
    krippendorff_alpha,
    placebo_test,
    rank_correlation,
    share_of_choices,
)
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust, called
from imindex.stats.paired import sign_flip_test

UNFINISHED = "did not finish"


@dataclass(frozen=True, eq=False)
class Choices:
    """The answers of all raters as arrays.

    Attributes
    ----------
    own : ndarray, shape (R, T), float64
        1 where the picture that the key marks was chosen, at the first showing; NaN where there is no answer.
    again : list of list of float
        For each rater and repeated trial with both answers, 1 if they are alike.
    left : list of list of float
        For each rater and answer, 1 if it was on the left.
    """

    own: Float64
    again: list[list[float]]
    left: list[list[float]]

    def of(self, rows: Sequence[int]) -> Choices:
        """Return the answers of some raters."""
        return Choices(self.own[list(rows)], [self.again[n] for n in rows], [self.left[n] for n in rows])


def evaluate(key: PanelKey, answers: Sequence[PanelAnswers]) -> PanelResult:
    """Evaluate a panel by the rule of its key.

    Parameters
    ----------
    key : PanelKey
    answers : sequence of PanelAnswers
        One per rater, checked by `imindex.retrieval.panel.answers.read_answers`.

    Returns
    -------
    PanelResult
        The same answers give the same result in any order: draws depend on the seed of the key and on names.
    """
    answers = sorted(answers, key=lambda one: one.sheet)
    choices = _choices(key, answers)
    raters = [_rater(key, one, choices, place) for place, one in enumerate(answers)]
    kept = [place for place, rater in enumerate(raters) if not rater.excluded]
    everybody = _figures(key, choices)
    notes = list(key.notes)
    if not kept:
        notes.append("The rule excludes every rater, so there is no result.")
    elif len(kept) < 3:
        notes.append("With fewer than 3 raters, intervals are wide or undefined.")
    few = [
        one.artist for one in everybody.artists if 0.5**one.n_opponents > key.rule.level / len(key.artists)
    ]
    if few:
        notes.append(
            f"With {min(one.n_opponents for one in everybody.artists)} trials, the smallest possible p-value of an "
            "artist is too large to be found alone after correction over the artists."
        )
    return PanelResult(
        panel=key.digest,
        report=key.report,
        release=key.release,
        encoder=key.encoder,
        rule=key.rule,
        raters=tuple(raters),
        kept=None if not kept else everybody if len(kept) == len(raters) else _figures(key, choices.of(kept)),
        everybody=everybody,
        notes=tuple(notes),
    )


def _choices(key: PanelKey, answers: Sequence[PanelAnswers]) -> Choices:
    own = np.full((len(answers), len(key.trials)), np.nan)
    sheets = {sheet.number: sheet for sheet in key.sheets}
    again: list[list[float]] = []
    left: list[list[float]] = []
    for row, one in enumerate(answers):
        alike: list[float] = []
        for shown, answer in zip(sheets[one.sheet].shown, one.answers, strict=False):
            picture = shown.left if answer.side == "left" else "b" if shown.left == "a" else "a"
            chosen = float(picture == key.trials[shown.trial].imitation)
            if np.isnan(own[row, shown.trial]):
                own[row, shown.trial] = chosen
            else:
                alike.append(float(own[row, shown.trial] == chosen))
        again.append(alike)
        left.append([float(answer.side == "left") for answer in one.answers])
    return Choices(own, again, left)


def _rater(key: PanelKey, answers: PanelAnswers, choices: Choices, place: int) -> PanelRater:
    n_shown = next(len(sheet.shown) for sheet in key.sheets if sheet.number == answers.sheet)
    caught = choices.own[place, _of_kind(key, "catch")]
    caught = caught[~np.isnan(caught)]
    excluded = ""
    if len(answers.answers) < n_shown:
        excluded = UNFINISHED
    elif len(caught) and caught.mean() < key.rule.least_catch:
        excluded = f"{int(caught.sum())} of {len(caught)} catch trials right"
    return PanelRater(
        rater=answers.rater,
        sheet=answers.sheet,
        n_answers=len(answers.answers),
        n_shown=n_shown,
        catch=_mean(caught),
        alike=_mean(choices.again[place]),
        left=_mean(choices.left[place]),
        median_ms=float(np.median([one.ms for one in answers.answers])) if answers.answers else None,
        excluded=excluded,
    )


def _figures(key: PanelKey, choices: Choices) -> PanelFigures:
    level = key.rule.confidence_level
    imitation, placebo, catch = (_of_kind(key, kind) for kind in ("imitation", "placebo", "catch"))
    own = choices.own[:, imitation]
    trials = [trial for trial in key.trials if trial.kind == "imitation"]
    of_artist = np.array([trial.artist for trial in trials])
    sets = _placebo_sets(key, choices.own)
    artists = [_artist(key, one.artist, one.auc, choices.own, sets) for one in key.artists]
    adjusted = adjust(
        np.array([np.nan if one.p is None else one.p for one in artists]), method=key.rule.adjust
    )
    found = called(adjusted, level=key.rule.level)
    artists = [
        replace(one, p_adjusted=None if np.isnan(p) else float(p), chosen=bool(is_found))
        for one, p, is_found in zip(artists, adjusted, found, strict=True)
    ]
    shares = np.array([one.share - 0.5 for one in artists if one.share is not None])
    overall = share_of_choices(own, of_artist, confidence_level=level)
    signs = (
        sign_flip_test(
            shares,
            alternative="greater",
            n_resamples=key.rule.n_resamples,
            rng=generator(key.seed, "panel overall"),
        )
        if len(shares)
        else None
    )
    first = np.array([trial.imitation == "a" for trial in key.trials])
    chose_a = np.where(first, choices.own, 1 - choices.own)
    alpha = krippendorff_alpha(chose_a[:, imitation | placebo], confidence_level=level)
    return PanelFigures(
        n_raters=int((~np.isnan(choices.own)).any(axis=1).sum()),
        artists=tuple(artists),
        overall=_estimate(overall),
        p_overall=None if signs is None else signs.pvalue,
        n_chosen=sum(one.chosen for one in artists),
        placebo_sd=float(np.sqrt(np.mean((np.array(sets) - 0.5) ** 2))) if sets else None,
        placebo_shares=tuple(sets),
        alpha=PanelEstimate(
            value=alpha.estimate,
            low=alpha.interval.low,
            high=alpha.interval.high,
            n_answers=int((~np.isnan(chose_a[:, imitation | placebo])).sum()),
            n_raters=alpha.n_raters,
            n_units=alpha.n_trials,
        ),
        alike=_by_rater(choices.again, level),
        catch=_by_rater([row[~np.isnan(row)].tolist() for row in choices.own[:, catch]], level),
        left=_by_rater(choices.left, level),
        metric=_metric(key, artists, choices.own, level),
    )


def _artist(
    key: PanelKey, artist: str, auc: float | None, own: Float64, sets: Sequence[float]
) -> PanelledArtist:
    """Return the figures of an artist, before correction."""
    places = [
        place
        for place, trial in enumerate(key.trials)
        if trial.kind == "imitation" and trial.artist == artist
    ]
    answers = own[:, places]
    answered = np.flatnonzero((~np.isnan(answers)).any(axis=0)).tolist()
    places = [places[n] for n in answered]
    answers = answers[:, answered]
    opponents = [_opponent(key, key.trials[place]) for place in places]
    share = share_of_choices(answers, confidence_level=key.rule.confidence_level)
    half = name = p = None
    if places:
        half = half_test(
            np.nanmean(answers, axis=0),
            opponents,
            n_resamples=key.rule.n_resamples,
            rng=generator(key.seed, "panel half", artist),
        ).pvalue
        n_opponents, size = len(set(opponents)), _set_size(key)
        if sets and size <= n_opponents:
            n_raters = float((~np.isnan(answers)).sum(axis=0).mean())
            name = placebo_test(
                share.estimate, sets, n_opponents=n_opponents, set_size=size, n_raters=n_raters
            ).pvalue
            p = max(half, name)
    picks = [pick for place in places if (pick := _pick(key.trials[place])) is not None]
    return PanelledArtist(
        artist=artist,
        share=share.estimate,
        low=share.interval.low,
        high=share.interval.high,
        n_answers=share.n_answers,
        n_raters=share.n_raters,
        n_trials=len(places),
        n_opponents=len(set(opponents)),
        p_half=half,
        p_placebo=name,
        p=p,
        p_adjusted=None,
        chosen=False,
        auc=auc,
        metric=_mean(picks),
    )


def _metric(key: PanelKey, artists: Sequence[PanelledArtist], own: Float64, level: float) -> PanelMetric:
    pairs = [(one.share, one.auc) for one in artists if one.share is not None and one.auc is not None]
    correlation = PanelEstimate(value=None, low=None, high=None, n_answers=0, n_raters=0, n_units=len(pairs))
    p = None
    if pairs:
        x, y = np.array(pairs, np.float64).T
        found = rank_correlation(
            x,
            y,
            confidence_level=level,
            n_resamples=key.rule.n_resamples,
            rng=generator(key.seed, "panel rank correlation"),
        )
        correlation = PanelEstimate(
            value=found.estimate,
            low=found.interval.low,
            high=found.interval.high,
            n_answers=int((~np.isnan(own)).sum()),
            n_raters=len(own),
            n_units=found.n,
        )
        p = found.pvalue
    imitation, placebo = _of_kind(key, "imitation"), _of_kind(key, "placebo")
    people = krippendorff_alpha(own[:, imitation]).observed
    return PanelMetric(
        rank_correlation=correlation,
        p_rank_correlation=p,
        imitation=_with_metric(key, own, imitation, level),
        placebo=_with_metric(key, own, placebo, level),
        people=people,
    )


def _with_metric(key: PanelKey, own: Float64, chosen: npt.NDArray[np.bool_], level: float) -> PanelEstimate:
    """Return the share of answers that are the choice of the metric; a tie of the metric counts half."""
    trials = [trial for trial, here in zip(key.trials, chosen, strict=True) if here]
    picks = np.array([np.nan if (pick := _pick(trial)) is None else pick for trial in trials], np.float64)
    answers = own[:, chosen]
    agreed = np.where(picks == 0.5, np.where(np.isnan(answers), np.nan, 0.5), 1 - np.abs(answers - picks))
    unit = [trial.artist if trial.kind == "imitation" else str(trial.set) for trial in trials]
    return _estimate(share_of_choices(agreed, np.array(unit), confidence_level=level))


def _pick(trial: PanelTrial) -> float | None:
    """Return 1 if the metric chooses the picture that the key marks, 0 for the other, 1/2 for a tie."""
    if trial.metric is None:
        return None
    near = trial.metric if trial.imitation == "a" else 1 - trial.metric
    return 0.5 if near == 0.5 else float(near > 0.5)


def _placebo_sets(key: PanelKey, own: Float64) -> list[float]:
    """Return the share of each placebo set all of whose trials have answers."""
    out = []
    for number in sorted({trial.set for trial in key.trials if trial.kind == "placebo"}):
        answers = own[:, [trial.kind == "placebo" and trial.set == number for trial in key.trials]]
        if (~np.isnan(answers)).any(axis=0).all():
            out.append(float(np.nanmean(answers, axis=0).mean()))
    return out


def _set_size(key: PanelKey) -> int:
    """Return the largest number of opponents of a placebo set."""
    opponents: dict[int, set[str]] = {}
    for trial in key.trials:
        if trial.kind == "placebo":
            opponents.setdefault(trial.set, set()).add(_opponent(key, trial))
    return max(map(len, opponents.values()), default=0)


def _opponent(key: PanelKey, trial: PanelTrial) -> str:
    other = trial.b if trial.imitation == "a" else trial.a
    return next(one.name for one in key.pictures if one.id == other)


def _of_kind(key: PanelKey, kind: str) -> npt.NDArray[np.bool_]:
    return np.array([trial.kind == kind for trial in key.trials], np.bool_)


def _by_rater(values: Sequence[Sequence[float]], level: float) -> PanelEstimate:
    """Return the mean of values that raters have several of, with an interval over raters."""
    flat = [value for listed in values for value in listed]
    rater = [place for place, listed in enumerate(values) for _ in listed]
    if not flat:
        return PanelEstimate(value=None, low=None, high=None, n_answers=0, n_raters=0, n_units=0)
    found = accuracy_interval(flat, cluster=rater, confidence_level=level)
    return PanelEstimate(
        value=found.estimate,
        low=found.interval.low,
        high=found.interval.high,
        n_answers=found.n,
        n_raters=len(set(rater)),
        n_units=len(set(rater)),
    )


def _estimate(share: ChoiceShare) -> PanelEstimate:
    return PanelEstimate(
        value=share.estimate,
        low=share.interval.low,
        high=share.interval.high,
        n_answers=share.n_answers,
        n_raters=share.n_raters,
        n_units=share.n_units,
    )


def _mean(values: npt.ArrayLike) -> float | None:
    listed = np.asarray(values, np.float64)
    return float(listed.mean()) if listed.size else None
