"""Does the finding depend on how the model is asked? The name test by class of prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec.structs import replace

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import Shot
from imindex.retrieval.questions.named_prompts import (
    PLACEHOLDERS,
    aliases_of,
    check_classes,
    class_shots,
    filled,
    kinds_of,
)
from imindex.retrieval.questions.question import Asking, Plain
from imindex.retrieval.questions.settings import PromptClass, PromptClasses
from imindex.retrieval.questions.study import Named, Study
from imindex.retrieval.questions.wording import counted, listed, meant, reach
from imindex.retrieval.results.questions import ByPromptClass, PromptClassesAnswer, PromptClassResult
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust, called, fewest_findable, is_called
from imindex.stats.named_sets import NamedSet, compare_names, in_cells
from imindex.stats.over_artists import Contributions, difference, interval
from imindex.stats.references import references_needed

KEY = "prompt_classes"


class _PromptClasses(Plain):
    key, answered = KEY, PromptClassesAnswer
    own_pictures = True

    def check(self, asking: Asking, settings: PromptClasses) -> None:
        """Check the classes, and that aliases belong to tested artists."""
        check_classes(f"questions.{KEY}", settings.classes, settings.per_name)
        for name in settings.aliases:
            if name not in asking.tested:
                remedy = meant(name, asking.tested, "Remove the line.")
                raise ImindexError(f"questions.{KEY}.aliases: {name!r} is not tested. {remedy}")
        uses = any(
            PLACEHOLDERS[-1] in kind.template + kind.negative
            for one in settings.classes
            for kind in kinds_of(one)
        )
        if uses and not settings.aliases:
            raise ImindexError(
                f"questions.{KEY} uses {PLACEHOLDERS[-1]}, but aliases is empty. Name the artists' aliases."
            )
        if not asking.placebos:
            raise ImindexError(
                f"questions.{KEY} compares names with placebo names, but {asking.release} has none. Set "
                "prompts.placebos, or "
                "the placebos of the release."
            )

    def shots(self, asking: Asking, settings: PromptClasses) -> Sequence[Shot]:
        """Every name with every template."""
        return class_shots(
            settings.classes,
            tested=asking.tested,
            placebos=asking.placebos[: settings.placebos or None],
            aliases=settings.aliases,
            per_name=settings.per_name,
            seed=asking.seed,
        )

    def answer(self, study: Study, settings: PromptClasses) -> PromptClassesAnswer:
        """Test each artist in each class, and compare the classes."""
        sets = ClassSets.of(study, settings)
        rows = [
            _row(study, one, artist, sets.compared(one.name, artist))
            for one in settings.classes
            for artist in study.tested
        ]
        rows = _corrected(rows, settings)
        results = _classes(study, settings, rows)
        return PromptClassesAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(study, settings, results, rows),
            notes=tuple(_notes(study, settings, sets, rows)),
            adjust=settings.adjust,
            level=study.testing.level,
            confidence_level=study.testing.confidence_level,
            classes=tuple(results),
            artists=tuple(rows),
        )


@dataclass(frozen=True, eq=False)
class ClassSets:
    """The pictures of the classes, in tables of names x cells.

    Attributes
    ----------
    study : Study
    placebos : tuple of str
        Placebo names with pictures.
    pictures : dict of str to Named
        By class.
    cells : dict of str to ndarray of int64
        Cell of each picture, by class.
    pushed : frozenset of str
        Classes with a negative prompt, whose names push pictures away.
    without_class : int
        Number of pictures whose prompt is of no class, or that repeat a prompt and a seed of their name.
    limited : bool
        Whether the question asks for some of the placebo names only. All of these are then references of every artist.
    """

    study: Study
    placebos: tuple[str, ...]
    pictures: dict[str, Named]
    cells: dict[str, Int64]
    pushed: frozenset[str]
    without_class: int
    limited: bool
    _scores: dict[str, Float64] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, settings: PromptClasses) -> ClassSets:
        """Sort the pictures of the question into classes, by name, prompt and, where it is known, seed."""
        placebos = study.placebos[: settings.placebos or None]
        pictures = study.imitations(KEY).of([*study.tested, *placebos])
        alias = aliases_of(study.tested, placebos, settings.aliases)
        kinds = [kind for one in settings.classes for kind in kinds_of(one)]
        seeds = {
            (shot.template, shot.seed): shot.number
            for shot in class_shots(
                settings.classes,
                tested=(),
                placebos=placebos[:1],
                aliases={},
                per_name=settings.per_name,
                seed=study.testing.seed,
            )
        }
        places: dict[str, list[tuple[int, int]]] = {one.name: [] for one in settings.classes}
        used: set[tuple[str, int]] = set()
        counted: Counter[tuple[str, str]] = Counter()
        without = 0
        for place, (name, prompt, seed) in enumerate(
            zip(pictures.names, pictures.prompts, pictures.seeds.tolist(), strict=True)
        ):
            fits = [n for n, kind in enumerate(kinds) if filled(kind.template, name, alias[name]) == prompt]
            planned = [n for n in fits if (kinds[n].identity, seed) in seeds]
            if len(planned) != 1 and len(fits) != 1:
                without += 1
                continue
            kind = kinds[(planned or fits)[0]]
            within = seeds.get((kind.identity, seed), counted[name, kind.identity])
            counted[name, kind.identity] += 1
            cell = kinds.index(kind) * 10**6 + within
            if (name, cell) in used:  # the same prompt and seed twice
                without += 1
                continue
            used.add((name, cell))
            places[kind.group].append((place, cell))
        return cls(
            study,
            placebos,
            {group: pictures.at(np.array([p for p, _ in own], np.int64)) for group, own in places.items()},
            {group: np.array([c for _, c in own], np.int64) for group, own in places.items()},
            frozenset(one.name for one in settings.classes if one.negative),
            without,
            bool(settings.placebos),
        )

    def tables(self, group: str, artist: str) -> tuple[Float64, Float64]:
        """Return the scores for an artist: of the own pictures, shape (C,), and of the placebo names', shape (R, C)."""
        chosen = self.placebos if self.limited else self.study.placebos_of(artist)
        names = (artist, *chosen)
        mine = self.pictures[group]
        kept = np.flatnonzero([name in names for name in mine.names])
        cells = np.unique(self.cells[group])
        number = {name: place for place, name in enumerate(names)}
        table = in_cells(
            np.searchsorted(cells, self.cells[group][kept]),
            [number[mine.names[place]] for place in kept.tolist()],
            self._table(group)[kept, self.study.column(artist)],
            len(names),
            len(cells),
        )
        return table[0], table[1:]

    def _table(self, group: str) -> Float64:
        """Return the scores of the pictures of a class for all artists."""
        if group not in self._scores:
            self._scores[group] = self.study.table(self.pictures[group].vectors)
        return self._scores[group]

    def compared(self, group: str, artist: str, *, confidence_level: float | None = None) -> NamedSet | None:
        """Compare an artist's pictures of a class with those of placebo names; None if there are none."""
        if not self.study.has_works(artist) or artist not in self.pictures[group].names:
            return None
        own, placebos = self.tables(group, artist)
        return compare_names(
            own,
            placebos,
            alternative="less" if group in self.pushed else "greater",
            confidence_level=confidence_level or self.study.testing.confidence_level,
        )


def _row(study: Study, one: PromptClass, artist: str, found: NamedSet | None) -> ByPromptClass:
    judged = artist in study.judged
    if found is None:
        return ByPromptClass(artist=artist, prompt_class=one.name, judged=judged, n_pictures=0, n_placebos=0)
    return ByPromptClass(
        artist=artist,
        prompt_class=one.name,
        judged=judged,
        auc=found.auc,
        auc_low=found.auc_interval.low,
        auc_high=found.auc_interval.high,
        own=found.difference,
        own_low=found.interval.low,
        own_high=found.interval.high,
        p=found.pvalue if judged else None,
        n_pictures=found.n_pictures,
        n_placebos=found.n_references,
    )


def _corrected(rows: list[ByPromptClass], settings: PromptClasses) -> list[ByPromptClass]:
    """Correct over the artists of each class, and over all artists and classes."""

    def values(chosen: Sequence[ByPromptClass]) -> Float64:
        return np.array([np.nan if row.p is None else row.p for row in chosen])

    overall = adjust(values(rows), method=settings.adjust)
    out = []
    for one in settings.classes:
        own = [place for place, row in enumerate(rows) if row.prompt_class == one.name]
        within = adjust(values([rows[place] for place in own]), method=settings.adjust)
        out += [
            replace(rows[place], p_adjusted=float(p), p_adjusted_all=float(overall[place]))
            if not np.isnan(p)
            else rows[place]
            for place, p in zip(own, within, strict=True)
        ]
    return out


def _classes(study: Study, settings: PromptClasses, rows: Sequence[ByPromptClass]) -> list[PromptClassResult]:
    level, first = study.testing.level, settings.classes[0].name
    by_class = {
        one.name: {row.artist: row for row in rows if row.prompt_class == one.name}
        for one in settings.classes
    }
    results = []
    for one in settings.classes:
        own = by_class[one.name]
        p = np.array([np.nan if row.p_adjusted is None else row.p_adjusted for row in own.values()])
        every = np.array(
            [np.nan if row.p_adjusted_all is None else row.p_adjusted_all for row in own.values()]
        )
        aucs = {name: row.auc for name, row in own.items() if row.auc is not None and row.judged}
        values = np.array(list(aucs.values()))
        rng = generator(study.testing.seed, "prompt class", one.name)
        ends = (
            interval(
                Contributions(float(values.mean()), values),
                confidence_level=study.testing.confidence_level,
                rng=rng,
            )
            if len(values)
            else None
        )
        base = by_class[first]
        both = [name for name in aucs if base[name].auc is not None]
        change = None
        if one.name != first and len(both) >= 2:
            before, after = (
                np.array([table[name].auc for name in both], np.float64) for table in (base, own)
            )
            change = difference(
                Contributions(float(before.mean()), before),
                Contributions(float(after.mean()), after),
                confidence_level=study.testing.confidence_level,
                n_resamples=study.testing.n_resamples,
                rng=rng,
            )
        results.append(
            PromptClassResult(
                name=one.name,
                templates=one.templates,
                negative=one.negative,
                source=one.source,
                typicality=one.typicality,
                n_judged=int(np.count_nonzero(~np.isnan(p))),
                n_found=int(called(p, level=level).sum()),
                n_found_all=int(called(every, level=level).sum()),
                auc=float(values.mean()) if len(values) else None,
                auc_low=ends.low if ends else None,
                auc_high=ends.high if ends else None,
                change=change.estimate if change else None,
                change_low=change.interval.low if change else None,
                change_high=change.interval.high if change else None,
                p_change=change.pvalue if change else None,
            )
        )
    return results


def _statement(
    study: Study, settings: PromptClasses, results: Sequence[PromptClassResult], rows: Sequence[ByPromptClass]
) -> str:
    if not any(one.n_judged for one in results):
        return "This cannot be answered: there are no pictures of any class whose artist can be judged."
    limits = []
    for one in results:
        tests = [
            1 / (1 + row.n_placebos) for row in rows if row.prompt_class == one.name and row.p is not None
        ]
        limits.append("" if one.n_found else reach(tests, level=study.testing.level, method=settings.adjust))
    common = limits[0] if len(limits) > 1 and len(set(limits)) == 1 else ""
    parts = [
        f"“{one.name}”: {one.n_found} of {one.n_judged}{' pushed away' if one.negative else ''}"
        f"{f' ({limit})' if limit and not common else ''}"
        for one, limit in zip(results, limits, strict=True)
    ]
    text = f"Artists whose name is shown to make a difference, by class of prompts: {'; '.join(parts)}."
    return f"{text} In each class, {common}." if common else text


def _notes(
    study: Study, settings: PromptClasses, sets: ClassSets, rows: Sequence[ByPromptClass]
) -> list[str]:
    notes = []
    n = max((row.n_placebos for row in rows), default=0)
    if n and 1 / (1 + n) > study.testing.level:
        notes.append(
            f"With {counted(n, 'placebo name')} no p-value is at or below the level: "
            f"{references_needed(study.testing.level)} are needed."
        )
    if sets.without_class:
        notes.append(
            f"Not used: {counted(sets.without_class, 'picture')} whose prompt is of no class or of several, or repeats "
            "a prompt and a seed."
        )
    same = [name for name in study.tested if settings.aliases and name not in settings.aliases]
    if same and any(PLACEHOLDERS[-1] in kind.template for one in settings.classes for kind in kinds_of(one)):
        notes.append(f"No alias is stated for {listed(same)}: their own name stands in its place.")
    tested = sum(row.p is not None for row in rows)
    fewest = (
        fewest_findable([1 / (1 + n)] * tested, level=study.testing.level, method=settings.adjust)
        if n
        else None
    )
    if tested and (fewest is None or fewest > 1):
        notes.append(
            f"Over all classes together, {f'no fewer than {fewest}' if fewest else 'none'} of {tested} pairs of an "
            f"artist and a class can be found with {counted(n, 'placebo name')}."
        )
    notes.append(
        "The p-values are corrected over the artists of each class. Corrected over all classes together, "
        f"{sum(is_called(row.p_adjusted_all, level=study.testing.level) for row in rows)} of "
        f"{sum(row.p is not None for row in rows)} pairs of an artist and a class are found."
    )
    return notes


QUESTION = _PromptClasses()
