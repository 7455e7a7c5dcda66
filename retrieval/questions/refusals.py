"""Which names does a service refuse more often than invented ones, and what could the withheld pictures change?"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.image_api.outcome import BLOCKED, ERROR, NO_PICTURE, PICTURE, REFUSED
from imindex.retrieval.questions.question import Asking, Plain
from imindex.retrieval.questions.settings import Refusals
from imindex.retrieval.questions.study import Study
from imindex.retrieval.questions.wording import counted, listed, reach
from imindex.retrieval.results.questions import RefusalsAnswer, RefusedName
from imindex.retrieval.vectors.blocks import Float64
from imindex.stats.drift import Drift, drift_test, early_and_late
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust, fewest_findable, is_called
from imindex.stats.references import references_needed
from imindex.stats.refusals import withheld_bounds, withheld_test

SCENARIOS = ("p_as_answered", "p_as_placebos", "p_best", "p_worst")


class _Refusals(Plain):
    key, answered = "refusals", RefusalsAnswer

    def check(self, asking: Asking, settings: Refusals) -> None:
        """Require a release with a log of requests."""
        if not asking.logged:
            raise ImindexError(
                "questions.refusals needs a release with a log of requests: one with api, or with pictures and "
                "requests. Add one, or remove the question."
            )

    def answer(self, study: Study, settings: Refusals) -> RefusalsAnswer | None:
        """Count what became of the requests, and test it."""
        if not study.requests:
            return None
        counts = _counts(study)
        rows = _rows(study, counts)
        rows = _with_bounds(study, counts, rows)
        rows = _adjusted(rows, "p", "p_adjusted", settings)
        for scenario in SCENARIOS:
            rows = _adjusted(rows, scenario, scenario, settings)
        level = study.testing.level
        found = [row.artist for row in rows if is_called(row.p_adjusted, level=level)]
        depends = [
            row.artist
            for row in rows
            if is_called(row.p_as_answered, level=level) and not is_called(row.p_as_placebos, level=level)
        ]
        drift = _drift(study)
        placebos = [counts.get(name, Counter()) for name in study.placebos]
        return RefusalsAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(study, settings, rows, found, placebos),
            notes=tuple(_notes(study, settings, counts, rows, depends, drift)),
            adjust=settings.adjust,
            level=level,
            confidence_level=study.testing.confidence_level,
            n_found=len(found),
            n_asked=sum(row.n_asked for row in rows),
            n_withheld=sum(row.n_refused + row.n_blocked for row in rows),
            n_placebo_asked=sum(_asked(one) for one in placebos),
            n_placebo_withheld=sum(_withheld(one) for one in placebos),
            n_depend=len(depends),
            p_drift=_or_none(drift.pvalue),
            drift=drift.shift / drift.expected if drift.expected > 0 else None,
            n_drift_names=drift.n_names,
            models=tuple(sorted({one.reported_model for one in study.requests if one.reported_model})),
            artists=tuple(rows),
        )


Counts = Mapping[str, Counter[str]]


def _counts(study: Study) -> Counts:
    """Return how often each outcome came, by name."""
    counts: dict[str, Counter[str]] = {}
    for one in study.requests:
        if one.name:
            counts.setdefault(one.name, Counter())[one.outcome] += 1
    return counts


def _asked(count: Counter[str]) -> int:
    return count.total() - count[ERROR]


def _withheld(count: Counter[str]) -> int:
    return count[REFUSED] + count[BLOCKED]


def _rows(study: Study, counts: Counts) -> list[RefusedName]:
    own = [counts.get(name, Counter()) for name in study.tested]
    placebos = [counts.get(name, Counter()) for name in study.placebos]
    tested = withheld_test(
        [_asked(one) for one in own],
        [_withheld(one) for one in own],
        [_asked(one) for one in placebos],
        [_withheld(one) for one in placebos],
        confidence_level=study.testing.confidence_level,
    )
    return [
        RefusedName(
            artist=artist,
            n_asked=_asked(count),
            n_pictures=count[PICTURE],
            n_refused=count[REFUSED],
            n_blocked=count[BLOCKED],
            n_no_picture=count[NO_PICTURE],
            n_errors=count[ERROR],
            share=_or_none(tested.share[n]),
            low=_or_none(tested.low[n]),
            high=_or_none(tested.high[n]),
            placebo_share=_or_none(tested.reference[n]),
            p=_or_none(tested.pvalue[n]),
            n_placebos=int(tested.n_references[n]),
            n_left_out=int(tested.n_left_out[n]),
        )
        for n, (artist, count) in enumerate(zip(study.tested, own, strict=True))
    ]


def _with_bounds(study: Study, counts: Counts, rows: Sequence[RefusedName]) -> list[RefusedName]:
    """Add what the withheld pictures could change, for artists that the encoder can tell."""
    pictures = study.imitations()
    names = np.array(pictures.names)
    places = {name: np.flatnonzero(names == name) for name in (*study.tested, *study.placebos)}
    missing = [_withheld(counts.get(name, Counter())) for name in study.placebos]
    done = []
    for row in rows:
        if row.artist not in study.judged or not study.placebos:
            done.append(row)
            continue
        scores = study.scores(pictures.vectors, row.artist) if len(pictures.rows) else np.zeros(0)
        bounds = withheld_bounds(
            scores[places[row.artist]],
            row.n_refused + row.n_blocked,
            [scores[places[name]] for name in study.placebos],
            missing,
        )
        done.append(
            replace(
                row,
                auc=_or_none(bounds.auc),
                auc_low=_or_none(bounds.auc_low),
                auc_as_placebos=_or_none(bounds.auc_as_references),
                auc_high=_or_none(bounds.auc_high),
                p_as_answered=_or_none(bounds.p_as_answered),
                p_as_placebos=_or_none(bounds.p_as_references),
                p_best=_or_none(bounds.p_low),
                p_worst=_or_none(bounds.p_high),
            )
        )
    return done


def _adjusted(rows: Sequence[RefusedName], source: str, target: str, settings: Refusals) -> list[RefusedName]:
    raw = [np.nan if getattr(row, source) is None else getattr(row, source) for row in rows]
    values: Float64 = adjust(raw, method=settings.adjust)
    return [replace(row, **{target: _or_none(value)}) for row, value in zip(rows, values, strict=True)]


def _drift(study: Study) -> Drift:
    """Compare early and late pictures of placebo names."""
    pictures = study.imitations().of(study.placebos)
    times: dict[str, float] = {}
    for one in study.requests:
        if one.sha256 and (seconds := _seconds(one.time)) is not None:
            times[one.sha256] = min(seconds, times.get(one.sha256, seconds))
    when = np.array([times.get(digest, -1.0) for digest in study.file_digests(pictures)])
    names = np.array(pictures.names)
    halves = []
    for name in sorted(study.placebos):
        own = np.flatnonzero((names == name) & (when >= 0))
        if len(own) >= 2:
            halves.append(early_and_late(pictures.vectors[own].astype(np.float64), when[own]))
    dim = study.shared.index.encoder.dim
    early = np.array([one for one, _ in halves]).reshape(-1, dim)
    late = np.array([one for _, one in halves]).reshape(-1, dim)
    rng = generator(study.testing.seed, "drift", study.release)
    return drift_test(early, late, n_resamples=study.testing.n_resamples, rng=rng)


def _seconds(time: str) -> float | None:
    """Return a time of a log as a number; None if it is not ISO 8601. Without a zone it is UTC."""
    try:
        when = datetime.datetime.fromisoformat(time.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=datetime.timezone.utc)).timestamp()


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _statement(
    study: Study,
    settings: Refusals,
    rows: Sequence[RefusedName],
    found: Sequence[str],
    placebos: Sequence[Counter[str]],
) -> str:
    asked, withheld = sum(row.n_asked for row in rows), sum(row.n_refused + row.n_blocked for row in rows)
    placebo_asked, placebo_withheld = sum(map(_asked, placebos)), sum(map(_withheld, placebos))
    shares = (
        f"{withheld:,} of {asked:,} pictures with artists’ names were refused or blocked, and {placebo_withheld:,} of "
        f"{placebo_asked:,} with invented names."
    )
    if found:
        verb = "is" if len(found) == 1 else "are"
        return f"{shares} {listed(found)} {verb} shown to be withheld more often than invented names."
    if not any(row.p is not None for row in rows):
        return f"{shares} Whether artists’ names are withheld more often cannot be tested without invented names."
    tests = [1 / (1 + row.n_placebos) for row in rows if row.p is not None]
    limit = reach(tests, level=study.testing.level, method=settings.adjust)
    return (
        f"{shares} No artist’s name is shown to be withheld more often than invented names"
        f"{f' ({limit})' if limit else ''}."
    )


def _notes(
    study: Study,
    settings: Refusals,
    counts: Counts,
    rows: Sequence[RefusedName],
    depends: Sequence[str],
    drift: Drift,
) -> list[str]:
    notes = []
    level = study.testing.level
    resolution = [1 / (1 + row.n_placebos) for row in rows if row.n_placebos]
    fewest = fewest_findable(resolution, level=level, method=settings.adjust) if resolution else None
    if resolution and fewest is None:
        notes.append(
            f"With {max(row.n_placebos for row in rows)} invented names no artist can be found at level {level:g}: "
            f"{references_needed(level)} are needed for one test, and more for several."
        )
    elif fewest is not None and fewest > 1:
        notes.append(
            f"With these invented names, either at least {fewest} artists are found together or none."
        )
    left_out = [row.artist for row in rows if row.n_left_out]
    if left_out:
        notes.append(
            f"For {listed(left_out)}, invented names of which another number of pictures was asked for, or failed, are "
            "left out."
        )
    if depends:
        notes.append(
            f"{listed(depends)}: the set is significant if the withheld pictures were like those that were made, and "
            "not if they were like those of invented names. The finding depends on what was withheld."
        )
    sizes = Counter(counts.get(name, Counter())[PICTURE] for name in study.placebos)
    if len(sizes) > 1:
        usual, n = sizes.most_common(1)[0]
        notes.append(
            f"Because of what was withheld, only {n} of {len(study.placebos)} invented names have {usual} pictures, "
            "and the others fewer or more. The main test compares sets of one size and leaves smaller ones out."
        )
    empty = [row.artist for row in rows if row.n_asked and not row.n_pictures]
    if empty:
        notes.append(f"{listed(empty)}: no picture was made, so nothing can be said of imitation.")
    if drift.pvalue <= level:
        notes.append(
            f"Late pictures of invented names differ from early ones (p = {drift.pvalue:.2g}): the service changed "
            "while it was asked. If names were asked for in a random order, the tests stay valid, but the pictures are "
            "of several states of the service."
        )
    models = sorted({one.reported_model for one in study.requests if one.reported_model})
    if len(models) > 1:
        notes.append(f"The service named several models: {listed(models)}.")
    digests = [one.sha256 for one in study.requests if one.sha256]
    if (same := len(digests) - len(set(digests))) > 0:
        notes.append(
            f"Repetitions of others, byte by byte: {counted(same, 'picture')}. The service may keep its answers."
        )
    return notes


QUESTION = _Refusals()
