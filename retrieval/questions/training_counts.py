"""Does imitation depend on how many works of an artist the training data hold, and from which number on?"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.questions.question import Asking, Plain
from imindex.retrieval.questions.settings import TrainingCounts
from imindex.retrieval.questions.study import Study
from imindex.retrieval.questions.wording import listed, percent
from imindex.retrieval.results.questions import CountedArtist, TrainingCountsAnswer
from imindex.stats.exposure import (
    LEAST_ARTISTS,
    Association,
    Threshold,
    association,
    isotonic_curve,
    threshold,
)
from imindex.stats.keyed import generator

NOISY = (
    "Counts that are estimates weaken the correlation and blur a threshold. A famous artist may have many works in the "
    "training data and be imitated for other reasons: this is a correlation."
)


class _TrainingCounts(Plain):
    key, answered = "training_counts", TrainingCountsAnswer

    def check(self, asking: Asking, settings: TrainingCounts) -> None:
        """Require counts of enough artists."""
        n = len(asking.training_images)
        if n < LEAST_ARTISTS:
            raise ImindexError(
                f"questions.training_counts needs the number of works in the training data of at least {LEAST_ARTISTS} "
                f'artists, and {n} are stated. Write them into [artists.training_images], such as "Ada Example" = 120, '
                "or into a column training_images of the file of artists."
            )

    def answer(self, study: Study, settings: TrainingCounts) -> TrainingCountsAnswer:
        """Relate the measure of each artist to the stated count."""
        values = _values(study, settings)
        used = [a for a in study.tested if a in study.judged and a in study.training_images and a in values]
        counts = np.array([study.training_images[a] for a in used], np.float64)
        measured = np.array([values[a] for a in used], np.float64)
        curve = isotonic_curve(counts, measured) if used else None
        fitted = dict(zip(curve.count.tolist(), curve.value.tolist(), strict=True)) if curve else {}
        related = located = None
        if len(used) >= LEAST_ARTISTS:
            testing = study.testing
            related = association(
                counts, measured, n_resamples=testing.n_resamples, confidence_level=testing.confidence_level,
                rng=generator(testing.seed, "training counts"),
            )  # fmt: skip
            located = threshold(
                counts, measured, shape=settings.shape, level=testing.level, n_resamples=testing.n_resamples,
                confidence_level=testing.confidence_level, rng=generator(testing.seed, "training threshold"),
            )  # fmt: skip
        found = located if located is not None and located.located else None
        if related is None or not related.pvalue <= study.testing.level:
            found = None  # a threshold is looked for only where there is a rise
        return TrainingCountsAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(study, settings, len(used), related, located),
            notes=tuple(_notes(study, used, related)),
            measure=cast(Literal["auc", "score"], settings.measure),
            level=study.testing.level,
            confidence_level=study.testing.confidence_level,
            n_artists=len(used),
            rho=_plain(related.rho if related else None),
            rho_low=_plain(related.low if related else None),
            rho_high=_plain(related.high if related else None),
            p=related.pvalue if related else None,
            shape=settings.shape,
            located=found is not None,
            threshold=found.estimate if found else None,
            threshold_low=found.low if found else None,
            threshold_high=found.high if found else None,
            open_low=found.open_low if found else False,
            open_high=found.open_high if found else False,
            p_threshold=located.pvalue if located else None,
            before=found.before if found else None,
            after=found.after if found else None,
            explained=located.explained if located else None,
            explained_line=located.explained_line if located else None,
            curve=tuple(fitted.items()),
            artists=tuple(
                CountedArtist(
                    artist=artist,
                    training_images=study.training_images.get(artist),
                    judged=artist in study.judged,
                    value=values.get(artist),
                    fitted=fitted.get(float(study.training_images[artist])) if artist in used else None,
                )
                for artist in study.tested
            ),
        )


def _values(study: Study, settings: TrainingCounts) -> dict[str, float]:
    """Return the measure of each artist that has one."""
    if settings.measure == "auc":
        if study.matching is None:
            return {}
        return {row.artist: row.auc for row in study.matching.artists if row.auc is not None}
    pictures = study.imitations()
    own = {artist: pictures.of([artist]) for artist in study.tested}
    invented = pictures.of(study.placebos)
    values = {}
    for artist in study.judged:
        if len(own[artist].names) and len(invented.names):
            mean = study.scores(own[artist].vectors, artist).mean()
            values[artist] = float(mean - study.scores(invented.vectors, artist).mean())
    return values


def _plain(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _statement(
    study: Study, settings: TrainingCounts, n: int, related: Association | None, located: Threshold | None
) -> str:
    what = "nearness (AUC)" if settings.measure == "auc" else "own part of the score"
    if related is None or located is None:
        return (
            f"This cannot be answered: {n} artists have a count and can be judged, and at least {LEAST_ARTISTS} are "
            "needed. State counts of further artists."
        )
    if np.isnan(related.rho):
        return f"This cannot be answered: the counts, or the {what}, are the same for all {n} artists."
    level = study.testing.level
    rises = "rises" if related.pvalue <= level else "was not shown to rise"
    ends = (
        f" {percent(study.testing.confidence_level)} interval {related.low:.2f} to {related.high:.2f},"
        if np.isfinite([related.low, related.high]).all()
        else ""
    )
    text = (
        f"Over {n} artists, the {what} {rises} with the number of works in the training data (rank correlation "
        f"{related.rho:.2f},{ends} p = {related.pvalue:.2g})."
    ).replace("-", "−")
    if not located.located or not related.pvalue <= level:
        why = (
            "the values do not depend on the count clearly enough"
            if max(located.pvalue, related.pvalue) > level
            else "thresholds over the whole range of the counts fit alike"
        )
        return f"{text} A number from which on imitation begins cannot be located: {why}."
    low = f"at or below {located.high:,.0f}" if located.open_low else ""
    high = f"at or above {located.low:,.0f}" if located.open_high else ""
    between = low or high or f"between {located.low:,.0f} and {located.high:,.0f}"
    text += f" If there is one number from which on imitation begins, it is {between} works."
    if located.explained_line >= located.explained:
        text += " A gradual rise without such a number fits as well or better."
    return text


def _notes(study: Study, used: list[str], related: Association | None) -> list[str]:
    notes = [NOISY]
    if related is not None and related.pvalue <= study.testing.level and related.low <= 0:
        notes.append(
            f"The test finds a rise, but the interval of the rank correlation includes 0: {len(used)} artists are "
            "few, and each of them matters. More artists make it narrower."
        )
    uncounted = [artist for artist in study.tested if artist not in study.training_images]
    if uncounted:
        notes.append(f"Without a count, and left out: {listed(uncounted)}.")
    unjudged = [artist for artist in study.training_images if artist not in used]
    if unjudged:
        notes.append(f"With a count, but not judged by this encoder or without a value: {listed(unjudged)}.")
    return notes


QUESTION = _TrainingCounts()
