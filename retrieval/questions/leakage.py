"""Does an artist resurface in pictures whose prompts name nobody? Compared with artists who cannot be there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from imindex.indexer.core.cosine import shown_cosine
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.generate.prompts import Shot, picture_seed, shots
from imindex.retrieval.questions.question import Asking, Plain
from imindex.retrieval.questions.settings import Leakage
from imindex.retrieval.questions.study import Named, Study
from imindex.retrieval.questions.wording import counted, listed, reach
from imindex.retrieval.results.questions import (
    AbsentArtist,
    KindsDiffer,
    LeakageAnswer,
    LeakedArtist,
    LeakedPicture,
)
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.near_duplicates import near_duplicates
from imindex.retrieval.vectors.select import Pictures
from imindex.stats import leakage as statistics
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust, fewest_findable, is_called
from imindex.stats.references import references_needed

KEY = "leakage"
BACKGROUND = "background"
NEAREST = 5
"""Pictures per artist that are listed with their nearest works."""
FEWEST_WORKS = 2


class _Leakage(Plain):
    key, answered = KEY, LeakageAnswer

    def check(self, asking: Asking, settings: Leakage) -> None:
        """Require absent artists with works, nameless pictures, and prompts that name nobody."""
        if settings.works < FEWEST_WORKS:
            raise ImindexError(
                f"questions.leakage.works is {settings.works}, but a score is learned from at least {FEWEST_WORKS} "
                "works of each artist. Write a larger number."
            )
        self._check_absent(asking, settings)
        if settings.clean and settings.clean not in asking.releases:
            raise ImindexError(
                f"questions.leakage.clean is {settings.clean!r}, which is not a release of this plan. Write one of "
                f"{', '.join(asking.releases)}, or remove it."
            )
        n = asking.nameless + asking.generic + len(self.shots(asking, settings))
        if asking.generates and n < statistics.FEWEST_PICTURES:
            raise ImindexError(
                f"questions.leakage is about pictures without a name, but the plan asks for {n}, and at least "
                f'{statistics.FEWEST_PICTURES} are needed. Write prompts = ["Artwork", "a painting"] in '
                "[questions.leakage], or increase prompts.nameless."
            )

    def _check_absent(self, asking: Asking, settings: Leakage) -> None:
        background = {clean_name(name): n for name, n in asking.background.items()}
        absent = _absent(settings, tuple(background))
        if not absent:
            lacking = (
                "is not set"
                if settings.absent != BACKGROUND
                else "is background, but there are no such works"
            )
            raise ImindexError(
                f"questions.leakage.absent {lacking}. State artists whose works the releases cannot have seen, such as "
                'works made later: absent = ["Ada Example", "Bo Sample"], with their works in works.background.'
            )
        both = sorted({*absent} & {clean_name(name) for name in asking.tested})
        if both:
            raise ImindexError(
                f"questions.leakage.absent lists {both[0]}, who is tested. An artist cannot be both: remove the name "
                "from one of the lists."
            )
        twice = sorted({name for name in absent if absent.count(name) > 1})
        if twice:
            raise ImindexError(f"questions.leakage.absent lists {twice[0]} twice. Remove one of them.")
        unknown = [name for name in absent if name not in background]
        if unknown:
            near = difflib.get_close_matches(unknown[0], background, 1)
            hint = f"Did you mean {near[0]}?" if near else "Add works of this artist to works.background."
            raise ImindexError(
                f"questions.leakage.absent: {unknown[0]} has no works in works.background. {hint}"
            )
        enough = [name for name in absent if background[name] >= settings.works]
        if len(enough) < 2:
            raise ImindexError(
                f"questions.leakage.absent: {len(enough)} of {len(absent)} artists have at least {settings.works} "
                "works, and two are needed. Add works, or write a smaller number for works in [questions.leakage]."
            )

    def shots(self, asking: Asking, settings: Leakage) -> Sequence[Shot]:
        """List the pictures of the question's own prompts. Their seeds differ from those of the main pictures."""
        if not settings.prompts:
            return ()
        names = {
            *asking.tested,
            *asking.placebos,
            *asking.rivals,
            *_absent(settings, tuple(asking.background)),
        }
        for prompt in settings.prompts:
            for name in sorted(names):
                if name.casefold() in prompt.casefold():
                    raise ImindexError(
                        f"questions.leakage.prompts: {prompt!r} names {name}, but these pictures are to name nobody. "
                        "Remove the name."
                    )
        try:
            return shots(
                (),
                generic=settings.prompts,
                per_generic=settings.per_prompt,
                seed=picture_seed(asking.seed, "", KEY, 0),
            )
        except ImindexError as error:
            raise ImindexError(f"questions.leakage.prompts: {error}") from error

    def answer(self, study: Study, settings: Leakage) -> LeakageAnswer:
        """Rank each tested artist among the absent ones."""
        works = _Works.of(study, settings)
        pictures = _nameless(study)
        why = _unanswerable(works, pictures, settings)
        if why:
            return _nothing(study, settings, works, pictures, why)
        vectors = works.vectors()
        level = study.testing.confidence_level
        found = statistics.leakage(vectors, pictures.vectors, works.n_tested, confidence_level=level)
        clean = _clean(study, settings, vectors, works.n_tested)
        kinds = statistics.kinds_test(
            vectors,
            works.n_tested,
            nearness=None if clean is None else clean.statistic,
            n_resamples=study.testing.n_resamples,
            rng=generator(study.testing.seed, "leakage kinds"),
        )
        rows = _rows(study, settings, works, found, clean)
        n_found = sum(is_called(row.p_adjusted, level=study.testing.level) for row in rows)
        place = {name: number for number, name in enumerate(works.compared)}
        return LeakageAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(study, settings, rows, found),
            notes=tuple(_notes(study, settings, works, found, kinds)),
            adjust=settings.adjust,
            level=study.testing.level,
            confidence_level=level,
            clean="" if clean is None else settings.clean,
            n_pictures=found.n_pictures,
            n_works=found.n_works,
            n_absent=found.n_absent,
            n_found=n_found,
            absent_share=found.absent_share,
            kinds=KindsDiffer(
                p=kinds.pvalue,
                p_typical=kinds.typical_pvalue,
                p_alike=kinds.alike_pvalue,
                p_place=kinds.place_pvalue,
                p_nearness=kinds.nearness_pvalue,
            ),
            artists=rows,
            absent=tuple(
                AbsentArtist(
                    artist=name,
                    n_works=works.counts[name],
                    statistic=float(found.statistic[place[name]]) if name in place else None,
                    share=float(found.share[place[name]]) if name in place else None,
                )
                for name in works.absent
            ),
            nearest=tuple(_nearest(study, works, pictures, found.odds)),
        )


def _absent(settings: Leakage, background: Sequence[str]) -> list[str]:
    """Return the clean names of the absent artists."""
    if settings.absent == BACKGROUND:
        return [clean_name(name) for name in background]
    names = (settings.absent,) if isinstance(settings.absent, str) else settings.absent
    return [clean_name(name) for name in names]


@dataclass(frozen=True, eq=False)
class _Works:
    """Distinct works of the tested and the absent artists.

    Attributes
    ----------
    tested, absent : tuple of str
    compared : tuple of str
        Those with enough works, the tested artists first.
    counts : dict of str to int
        Distinct works of each; near-duplicates count once.
    pictures : Pictures
        All works of these artists.
    chosen : dict of str to ndarray of int64
        Positions in `pictures` of the works of each compared artist: as many of all.
    """

    tested: tuple[str, ...]
    absent: tuple[str, ...]
    compared: tuple[str, ...]
    counts: dict[str, int]
    pictures: Pictures
    chosen: dict[str, Int64]

    @property
    def n_tested(self) -> int:
        """Number of compared artists that are tested."""
        return len({*self.compared} & {*self.tested})

    def vectors(self) -> Float64:
        """Return the works of the compared artists, shape (artists, works, d)."""
        return np.stack([self.pictures.vectors[self.chosen[name]] for name in self.compared]).astype(
            np.float64
        )

    @classmethod
    def of(cls, study: Study, settings: Leakage) -> _Works:
        """Choose as many works of each artist, one of each cluster of near-duplicates."""
        known, artists = study.shared.known, study.shared.index.artists
        tested_numbers = {study.number(name) for name in study.tested}
        with_works = [artists[number] for number in np.unique(known.artist[known.artist >= 0]).tolist()]
        background = [name for name in with_works if study.number(name) not in tested_numbers]
        absent = tuple(_absent(settings, background))
        names = (*study.tested, *absent)
        numbers = [study.number(name) for name in names]
        pictures = known.of([number for number in numbers if number >= 0])
        cluster = near_duplicates(pictures.vectors, pictures.artist)[0]
        first = np.unique(cluster, return_index=True)[1]
        own = {
            name: first[pictures.artist[first] == number] for name, number in zip(names, numbers, strict=True)
        }
        counts = {name: len(places) for name, places in own.items()}
        compared = tuple(name for name in names if counts[name] >= settings.works)
        n = min((counts[name] for name in compared), default=0)
        chosen = {
            name: np.sort(
                generator(study.testing.seed, KEY, name).choice(np.sort(own[name]), n, replace=False)
            )
            for name in compared
        }
        return cls(study.tested, absent, compared, counts, pictures, chosen)


def _nameless(study: Study) -> Named:
    """Return the distinct nameless pictures of a release: its controls, and those of the question."""
    parts = [study.controls(), study.controls(KEY)]
    both = Named(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.vectors for part in parts]),
        tuple(name for part in parts for name in part.names),
        tuple(prompt for part in parts for prompt in part.prompts),
        np.concatenate([part.seeds for part in parts]),
        tuple(arm for part in parts for arm in part.arms),
    )
    if not len(both.rows):
        return both
    _, first = np.unique(both.vectors, axis=0, return_index=True)
    return both.at(np.sort(first).astype(np.int64))


def _clean(study: Study, settings: Leakage, vectors: Float64, n_tested: int) -> statistics.Leakage | None:
    """Return the test by the pictures of the clean release; None if there is none, or this is the clean release."""
    if settings.clean not in study.others:
        return None
    pictures = _nameless(study.others[settings.clean])
    if len(pictures.rows) < statistics.FEWEST_PICTURES:
        return None
    return statistics.leakage(vectors, pictures.vectors, n_tested)


def _rows(
    study: Study,
    settings: Leakage,
    works: _Works,
    found: statistics.Leakage,
    clean: statistics.Leakage | None,
) -> tuple[LeakedArtist, ...]:
    place = {name: number for number, name in enumerate(works.compared[: works.n_tested])}
    changes = (
        None if clean is None else statistics.change_pvalues(found.statistic, clean.statistic, works.n_tested)
    )
    rows = []
    for name in study.tested:
        row = LeakedArtist(artist=name, n_works=works.counts[name])
        if name in place:
            at = place[name]
            row = replace(
                row,
                statistic=float(found.statistic[at]),
                n_at_least=int(found.n_at_least[at]),
                p=float(found.pvalue[at]),
                p_clean=None if clean is None else float(clean.pvalue[at]),
                p_change=None if changes is None else float(changes[at]),
                share=_number(found.share[at]),
                excess=_number(found.excess[at]),
                excess_low=_number(found.intervals[at].low),
                excess_high=_number(found.intervals[at].high),
            )
        rows.append(row)
    p = adjust([np.nan if row.p is None else row.p for row in rows], method=settings.adjust)
    return tuple(
        row if np.isnan(value) else replace(row, p_adjusted=float(value))
        for row, value in zip(rows, p, strict=True)
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _nearest(study: Study, works: _Works, pictures: Named, odds: Float64) -> list[LeakedPicture]:
    """List, for each tested artist, the pictures with the highest log odds and the nearest work of each."""
    paths = study.shared.index.column("path")
    listed_pictures = []
    for at, name in enumerate(works.compared[: works.n_tested]):
        own = works.pictures.of([study.number(name)])
        for picture in np.argsort(-odds[:, at], kind="stable")[:NEAREST].tolist():
            cosines = own.vectors.astype(np.float64) @ pictures.vectors[picture].astype(np.float64)
            work, seed = int(cosines.argmax()), int(pictures.seeds[picture])
            listed_pictures.append(
                LeakedPicture(
                    artist=name,
                    picture=str(paths[pictures.rows[picture]]),
                    work=str(paths[own.rows[work]]),
                    prompt=pictures.prompts[picture],
                    seed=seed if seed >= 0 else None,
                    odds=float(odds[picture, at]),
                    cosine=shown_cosine(float(cosines[work])),
                )
            )
    return listed_pictures


def _unanswerable(works: _Works, pictures: Named, settings: Leakage) -> str:
    """Return why the question cannot be answered, with the remedy; empty if it can be."""
    if len(pictures.rows) < statistics.FEWEST_PICTURES:
        return (
            f"there are {len(pictures.rows)} distinct pictures without a name, and at least "
            f"{statistics.FEWEST_PICTURES} are needed. List them in the manifest with the kind control."
        )
    if not works.n_tested:
        return (
            f"no tested artist has {settings.works} distinct works. Add works, or write a smaller number for works in "
            "[questions.leakage]."
        )
    n_absent = len(works.compared) - works.n_tested
    if n_absent < 2:
        return (
            f"{n_absent} absent artists have {settings.works} distinct works, and two are needed. Add absent artists "
            "to works.background."
        )
    return ""


def _nothing(study: Study, settings: Leakage, works: _Works, pictures: Named, why: str) -> LeakageAnswer:
    return LeakageAnswer(
        release=study.release,
        encoder=study.encoder,
        statement=f"This cannot be answered: {why}",
        adjust=settings.adjust,
        level=study.testing.level,
        confidence_level=study.testing.confidence_level,
        n_pictures=len(pictures.rows),
        n_works=0,
        n_absent=0,
        n_found=0,
        kinds=KindsDiffer(),
        artists=tuple(LeakedArtist(artist=name, n_works=works.counts[name]) for name in study.tested),
        absent=tuple(AbsentArtist(artist=name, n_works=works.counts[name]) for name in works.absent),
    )


def _statement(
    study: Study, settings: Leakage, rows: Sequence[LeakedArtist], found: statistics.Leakage
) -> str:
    tested = [row for row in rows if row.p is not None]
    names = [row.artist for row in tested if is_called(row.p_adjusted, level=study.testing.level)]
    reference = f"{counted(found.n_absent, 'artist')} stated to be absent from the training data"
    if not names:
        limit = reach(
            [found.resolution] * len(tested),
            level=study.testing.level,
            method=settings.adjust,
            references="absent artists",
        )
        return (
            f"No artist was shown to resurface in the {found.n_pictures} pictures whose prompts name nobody, compared "
            f"with {reference} ({len(tested)} tested{f'; {limit}' if limit else ''})."
        )
    return (
        f"Some of the {found.n_pictures} pictures whose prompts name nobody look like works of {len(names)} of "
        f"{len(tested)} artists, more than like works of {reference}: {listed(names)}."
    )


def _notes(
    study: Study,
    settings: Leakage,
    works: _Works,
    found: statistics.Leakage,
    kinds: statistics.KindsTest,
) -> list[str]:
    stated = "all background artists are" if settings.absent == BACKGROUND else f"{listed(works.absent)} are"
    notes = [
        f"Assumption, stated in the plan and not checked: the works of the absent artists are not in the training data "
        f"({stated} stated to be absent). If some are, the p-values are too large."
    ]
    n_tested = works.n_tested
    fewest = fewest_findable([found.resolution] * n_tested, level=study.testing.level, method=settings.adjust)
    if fewest is None or fewest > 1:
        reach = (
            "no artist can be found"
            if fewest is None
            else f"no fewer than {fewest} of {n_tested} artists can be found together"
        )
        notes.append(
            f"With {counted(found.n_absent, 'absent artist')} and the correction over {n_tested}, {reach}. Finding "
            f"one takes {references_needed(study.testing.level, n_tested)} absent artists."
        )
    if np.isnan(kinds.pvalue):
        notes.append(
            "Whether tested and absent artists are alike was not tested: that takes "
            f"{statistics.FEWEST_ARTISTS} of each."
        )
    elif kinds.pvalue <= study.testing.level:
        notes.append(
            f"Tested and absent artists differ in kind ({_difference(kinds)}; p = {kinds.pvalue:.2g}), so the p-values "
            "may be too small or too large. Choose absent artists of the same medium, time and source."
        )
    if settings.clean and settings.clean in study.others and np.isnan(kinds.nearness_pvalue):
        notes.append(f"{settings.clean} has too few pictures without a name to serve as the clean release.")
    few = [name for name in (*works.tested, *works.absent) if name not in works.compared]
    if few:
        notes.append(
            f"Left out, because there are fewer than {settings.works} distinct works: {listed(few)}."
        )
    return notes


def _difference(kinds: statistics.KindsTest) -> str:
    """Return in words what differs most between the kinds."""
    nearer, more = ("nearer" if value > 0 else "less near" for value in (kinds.typical, kinds.nearness))
    alike = "more" if kinds.alike > 0 else "less"
    p_and_words = [
        (kinds.place_pvalue, "their works are in different places of the encoder’s space"),
        (kinds.typical_pvalue, f"works of tested artists are {nearer} to works in general"),
        (kinds.alike_pvalue, f"works of a tested artist are {alike} alike"),
    ]
    if not np.isnan(kinds.nearness_pvalue):
        p_and_words.append((kinds.nearness_pvalue, f"tested artists are {more} to the clean release"))
    return min(p_and_words)[1]


QUESTION = _Leakage()
