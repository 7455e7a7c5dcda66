"""What does a name add? From no name to an invented name to the artist's name, at equal seeds."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.remove_name import PLACEHOLDER
from imindex.retrieval.evidence.prompt_templates import template_of
from imindex.retrieval.questions.question import Asking, Plain
from imindex.retrieval.questions.settings import NameAdds
from imindex.retrieval.questions.study import Named, Study
from imindex.retrieval.questions.wording import listed, percent, reach
from imindex.retrieval.results.questions import AddedByName, NameAddsAnswer
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust, called
from imindex.stats.name_change import movement
from imindex.stats.named_sets import compare_names, in_cells
from imindex.stats.over_artists import Contributions, interval
from imindex.stats.references import references_needed

_SOMEBODY = "Somebody"
FEWEST_CELLS = 4
"""Pictures of each name below which the movement is not split."""


class _NameAdds(Plain):
    key, answered = "name_adds", NameAddsAnswer

    def check(self, asking: Asking, settings: NameAdds) -> None:
        """Require placebo names, equal seeds, and a nameless picture for each picture of a name."""
        if not asking.placebos:
            raise ImindexError(
                f"questions.name_adds compares names with placebo names, but {asking.release} has none. Set "
                "prompts.placebos, or the placebos of the release."
            )
        if not asking.generates:
            return
        if not asking.equal_seeds:
            raise ImindexError(
                "questions.name_adds compares pictures of equal seeds, but prompts.equal_seeds is not set. Write "
                "equal_seeds = true in [prompts]."
            )
        if asking.nameless < asking.per_artist:
            raise ImindexError(
                f"questions.name_adds needs a picture without a name for each picture of a name, but prompts.nameless "
                f"is {asking.nameless}. Write nameless = {asking.per_artist} in [prompts]."
            )

    def answer(self, study: Study, settings: NameAdds) -> NameAddsAnswer:
        """Split what each artist's name adds into what all names share and what is the artist's own."""
        tables = _Tables.of(study)
        rows = [_artist(study, tables, artist) for artist in study.tested]
        p = adjust([np.nan if row.p is None else row.p for row in rows], method=settings.adjust)
        rows = [
            row if np.isnan(value) else replace(row, p_adjusted=float(value))
            for row, value in zip(rows, p, strict=True)
        ]
        found = [
            row.artist for row, yes in zip(rows, called(p, level=study.testing.level), strict=True) if yes
        ]
        shares = np.array([row.moved_shared for row in rows if row.moved_shared is not None])
        ends = (
            interval(
                Contributions(float(shares.mean()), shares, is_share=True),
                confidence_level=study.testing.confidence_level,
                rng=generator(study.testing.seed, "name adds"),
            )
            if len(shares)
            else None
        )
        return NameAddsAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(study, settings, rows, found, shares),
            notes=tuple(_notes(study, tables, rows)),
            adjust=settings.adjust,
            level=study.testing.level,
            confidence_level=study.testing.confidence_level,
            statistic=study.testing.statistic,
            n_found=len(found),
            moved_shared=float(shares.mean()) if len(shares) else None,
            moved_low=ends.low if ends else None,
            moved_high=ends.high if ends else None,
            artists=tuple(rows),
        )


class _Tables:
    """The pictures of all names in cells of one template and one seed."""

    def __init__(
        self, pictures: Named, nameless: Named, names: tuple[str, ...], cell: Int64, nameless_of: Int64
    ):
        self.pictures, self.nameless, self.names = pictures, nameless, names
        self.cell, self.name = cell, _numbers(pictures.names, names)
        self.nameless_of = nameless_of
        self._tables: tuple[Float64, Float64] | None = None

    @classmethod
    def of(cls, study: Study) -> _Tables:
        """Arrange the pictures of a release; cells have a seed that a picture without a name has."""
        pictures = study.imitations().of([*study.tested, *study.placebos])
        nameless = study.controls()
        nameless = nameless.at(np.flatnonzero([arm == "nameless" for arm in nameless.arms]))
        nameless = nameless.at(np.flatnonzero(nameless.seeds >= 0))
        pictures = pictures.at(np.flatnonzero(np.isin(pictures.seeds, nameless.seeds)))
        labels = [
            template_of(prompt, name) or ""
            for prompt, name in zip(pictures.prompts, pictures.names, strict=True)
        ]
        keys = list(zip(labels, pictures.seeds.tolist(), strict=True))
        order = {key: number for number, key in enumerate(sorted(set(keys)))}
        names = (*study.tested, *study.placebos)
        cell = np.array([order[key] for key in keys], np.int64)
        _, first = np.unique(np.array([_numbers(pictures.names, names), cell]).T, axis=0, return_index=True)
        kept = np.sort(first)
        return cls(pictures.at(kept), nameless, names, cell[kept], _nameless_of(study, nameless, list(order)))

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.nameless_of)

    def scores(self, study: Study, artist: str) -> tuple[Float64, Float64]:
        """Return the table of names x cells of scores, and the scores of the pictures without a name."""
        column = study.column(artist)
        named, without = self._scored(study)
        table = in_cells(self.cell, self.name, named[:, column], len(self.names), self.n_cells)
        return table, without[self.nameless_of, column]

    def _scored(self, study: Study) -> tuple[Float64, Float64]:
        if self._tables is None:
            self._tables = study.table(self.pictures.vectors), study.table(self.nameless.vectors)
        return self._tables

    @functools.cached_property
    def vectors(self) -> Float64:
        """The vectors of all names, shape (names, cells, d); NaN where there is no picture."""
        vectors = np.full((len(self.names), self.n_cells, self.pictures.vectors.shape[1]), np.nan)
        vectors[self.name, self.cell] = self.pictures.vectors
        return vectors

    @functools.cached_property
    def without(self) -> Float64:
        """The vectors of the pictures without a name, shape (cells, d)."""
        return self.nameless.vectors[self.nameless_of].astype(np.float64)


def _numbers(names: tuple[str, ...], among: tuple[str, ...]) -> Int64:
    place = {name: number for number, name in enumerate(among)}
    return np.array([place[name] for name in names], np.int64)


def _nameless_of(study: Study, nameless: Named, cells: Sequence[tuple[str, int]]) -> Int64:
    """Return the picture without a name of each cell: of its seed and, where there is one, of its template."""
    seen: dict[tuple[str, int], int] = {}
    for place, (prompt, seed) in enumerate(zip(nameless.prompts, nameless.seeds.tolist(), strict=True)):
        template = study.template_of(prompt, "")
        label = template_of(template.replace(PLACEHOLDER, _SOMEBODY), _SOMEBODY) if template else None
        if label:
            seen.setdefault((label, seed), place)
        seen.setdefault(("", seed), place)
    return np.array([seen.get(cell, seen["", cell[1]]) for cell in cells], np.int64)


def _artist(study: Study, tables: _Tables, artist: str) -> AddedByName:
    judged = artist in study.judged
    n_tested, own_place = len(study.tested), study.tested.index(artist)
    nothing = AddedByName(artist=artist, judged=judged, n_cells=0, n_invented=0)
    if not tables.n_cells or not study.has_works(artist):
        return nothing
    values, none = tables.scores(study, artist)
    used = np.isin(study.placebos, study.placebos_of(artist))
    own, invented = values[own_place], values[n_tested:][used]
    cells = ~np.isnan(own)
    whole = ~np.isnan(invented[:, cells]).any(axis=1)
    if not cells.any() or not whole.any():
        return nothing
    level = study.testing.confidence_level
    tested = compare_names(own, invented, confidence_level=level)
    # "What any name adds" compares the invented names with no name: the roles of `compare_names` are reversed.
    shared = compare_names(-none[cells], -invented[whole][:, cells], confidence_level=level)
    result = AddedByName(
        artist=artist,
        judged=judged,
        nameless=float(none[cells].mean()),
        invented=tested.reference,
        named=tested.own,
        works=float(study.scores(study.works_of(artist), artist).mean()),
        shared=shared.difference,
        shared_low=shared.interval.low,
        shared_high=shared.interval.high,
        own=tested.difference,
        own_low=tested.interval.low,
        own_high=tested.interval.high,
        p=tested.pvalue if judged else None,
        n_cells=tested.n_pictures,
        n_invented=tested.n_references,
    )
    if tested.n_pictures < FEWEST_CELLS or tested.n_references < 2:
        return result
    vectors = tables.vectors
    moved = movement(
        vectors[own_place, cells],
        vectors[n_tested:][used][whole][:, cells],
        tables.without[cells],
        confidence_level=level,
    )
    return replace(
        result,
        moved_shared=moved.shared,
        moved_low=moved.interval.low,
        moved_high=moved.interval.high,
        moved_shared_invented=moved.reference_shared,
        p_moved=moved.pvalue,
    )


def _statement(
    study: Study, settings: NameAdds, rows: list[AddedByName], found: list[str], shares: Float64
) -> str:
    judged = sum(row.p is not None for row in rows)
    if not any(study.has_works(row.artist) for row in rows):
        return "This cannot be answered: no tested artist has works that can be read, beside works of other artists."
    if not any(row.n_cells for row in rows):
        return (
            "This cannot be answered: no picture without a name has the same seed as a picture of an artist's name. "
            "Record seeds in the manifest, and make both with the same ones."
        )
    if not judged:
        return "This cannot be answered: the encoder tells no artist’s works from those of others."
    if found:
        verb = "adds something of its own" if len(found) == 1 else "add something of their own"
        text = f"{len(found)} of {judged} artists’ names {verb}, beyond what invented names add: {listed(found)}."
    else:
        tests = [1 / (1 + row.n_invented) for row in rows if row.p is not None]
        limit = reach(tests, level=study.testing.level, method=settings.adjust)
        text = (
            f"No artist’s name was shown to add anything beyond what invented names add ({judged} tested"
            f"{f'; {limit}' if limit else ''})."
        )
    if len(shares):
        text += (
            f" On average over the {len(shares)} artists whose pictures move, {percent(float(shares.mean()))} of the "
            "movement from no name to the artist’s name "
            "is along the direction that invented names share."
        )
    return text


def _notes(study: Study, tables: _Tables, rows: list[AddedByName]) -> list[str]:
    notes = []
    n = max((row.n_invented for row in rows), default=0)
    if n and 1 / (1 + n) > study.testing.level:
        notes.append(
            f"With {n} invented names no p-value is at or below the level: "
            f"{references_needed(study.testing.level)} are needed."
        )
    still = [row.artist for row in rows if row.n_cells and row.moved_shared is None]
    if still:
        notes.append(
            f"The shared part of the movement is not stated for {len(still)} of {len(rows)} artists, whose name, or "
            "invented "
            "names in common, are not shown to move the pictures at all."
        )
    lacking = [row.artist for row in rows if 0 < row.n_cells < tables.n_cells]
    if lacking:
        notes.append(
            f"Pictures of some seeds are missing for {listed(lacking)}; only seeds that the artist has are compared."
        )
    return notes


QUESTION = _NameAdds()
