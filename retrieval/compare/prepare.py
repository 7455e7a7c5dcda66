"""Load two releases, find the artists and works in common, and rank the imitations of both by the works."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.registry import differences
from imindex.indexer.store.index import Index, opened
from imindex.retrieval.compare.overall import DEFAULTS, Findings
from imindex.retrieval.evidence.prompt_templates import template_labels
from imindex.retrieval.evidence.release_walk import Pair
from imindex.retrieval.evidence.testing import (
    Testing,
    numbers_of,
    placebo_numbers,
    prompt_labels,
    shared_texts,
)
from imindex.retrieval.match.paired_cells import Cells, PairedCells
from imindex.retrieval.match.set_sums import SetSums
from imindex.retrieval.match.similarity_pass import Columns, Watch, walk
from imindex.retrieval.results import LeftOut
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.checks import check_vectors
from imindex.retrieval.vectors.select import Pictures, distinct, pictures, release
from imindex.stats.keyed import generators
from imindex.stats.set_scores import Sets


@dataclass(frozen=True)
class Side:
    """A release in an index.

    Attributes
    ----------
    index : Path or Index
        An open index is used as it is, whatever has become of its path.
    release : str
        The name of its collection of imitations.
    findings : mapping of str to Finding, optional
        The finding of each artist, if the release has been matched already. By default it is matched now.
    placebos : sequence of str, optional
        Placebo names of this release, or patterns that match them; by default those of the testing.
    rivals : sequence of str, optional
        Further real names of this release, which are neither compared nor candidates; by default those of the testing.
    """

    index: Path | Index
    release: str
    findings: Findings | None = None
    placebos: Sequence[str] | None = None
    rivals: Sequence[str] | None = None

    @property
    def path(self) -> Path:
        """Path of the index."""
        return self.index.path if isinstance(self.index, Index) else self.index

    def tested(self, testing: Testing) -> Testing:
        """Return the testing with this release's placebo names and rivals."""
        placebos = testing.placebos if self.placebos is None else self.placebos
        rivals = testing.rivals if self.rivals is None else self.rivals
        return replace(testing, placebos=tuple(placebos), rivals=tuple(rivals))


@dataclass(frozen=True, eq=False)
class Loaded:
    """The data of one side.

    `work_key` identifies each work by artist, digest of its bytes, and occurrence. `template`, `cluster` and
    `shared` tell for each imitation the number of its template, that of its prompt, and what it shares with those of
    other names.
    """

    side: Side
    label: str
    root_digest: str
    encoder: EncoderInfo
    names: tuple[str, ...]
    placebos: list[int]
    rivals: list[int]
    works: Pictures
    work_key: list[tuple[str, bytes, int]]
    imitations: Pictures
    prompt: list[str]
    seed: Int64
    template: Int64
    cluster: Int64
    shared: list[str]

    def artists_of(self, pictures: Pictures) -> set[str]:
        return {self.names[a] for a in np.unique(pictures.artist).tolist()}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Two loaded releases; returned by `prepare`.

    Attributes
    ----------
    sides : list of Loaded
    artists : list of str
        Artists that are compared.
    left_out : list of LeftOut
    works : list of ndarray of int64
        Positions of the common works among the works of each side, in the same order.
    notes : list of str
    cells : callable, optional
        Returns the ranks of an artist's imitations by name, if works and imitations have been walked already.
    aucs : callable, optional
        Returns the AUC of every set for every artist, given the release (0 or 1) and a size; see
        `imindex.retrieval.match.set_sums.SetSums.auc`. Rows are in the order of `artists`.
    references : mapping of str to sequence of str
        The placebo names that some artists are compared with; the others are compared with all.
    seed : int
    """

    sides: list[Loaded]
    artists: list[str]
    left_out: list[LeftOut]
    works: list[Int64]
    notes: list[str]
    cells: Callable[[str], Cells] | None = None
    aucs: Callable[[int, int], Float64] | None = None
    references: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seed: int = 0

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """Number of every name in the walk: that of the index, or one of both indexes."""
        base, new = self.sides
        if base.root_digest == new.root_digest:
            return {name: number for number, name in enumerate(base.names)}
        return {name: number for number, name in enumerate(sorted({*base.names, *new.names}))}

    @functools.cached_property
    def sets(self) -> tuple[Sets, Sets]:
        """The sets of both releases."""
        names = list(self.numbers)
        compared = np.isin(names, self.artists)
        base, new = (
            Sets(
                self.artist_of(side),
                len(names),
                compared=compared,
                prompt=side.cluster,
                template=side.template,
                rng=generators(self.seed, "subsample", names),
            )
            for side in self.sides
        )
        return base, new

    def artist_of(self, side: Loaded) -> Int64:
        """Return the number in the walk of the name of each imitation."""
        numbers = np.array([self.numbers[name] for name in side.names], np.int64)
        return numbers[side.imitations.artist]

    def sums(self) -> SetSums:
        """Return an observer of the sets of both releases, for the artists that are compared."""
        return SetSums(self.sets, [self.numbers[artist] for artist in self.artists])

    def watched(self) -> tuple[Prepared, Pair]:
        """Prepare `imindex.retrieval.evidence.release_walk.observe` to compute the cells of two releases of one index.

        Returns
        -------
        prepared : Prepared
            With `cells`, which are valid after the walk.
        pair : Pair
            Argument of the walk.
        """
        base, new = self.sides
        numbers = np.full(len(base.works.rows), -1)
        numbers[self.works[0]] = np.arange(len(self.works[0]))
        sums = self.sums()
        cells = PairedCells(sums)
        pair = Pair(base.side.release, new.side.release, cells, numbers)
        ready = replace(self, cells=lambda artist: cells.of(base.names.index(artist)), aucs=sums.auc)
        return ready, pair


def prepare(base: Side, new: Side, testing: Testing = DEFAULTS) -> Prepared:
    """Load two releases and find the artists and works in common.

    Raises
    ------
    ImindexError
        As for `compare`.
    """
    sides = [_load(side, side.tested(testing)) for side in (base, new)]
    _check_sides(sides)
    artists, left_out = _comparable(sides)
    artists, works, notes = _same_works(sides, artists, left_out)
    if not artists:
        reasons = Counter(artist.why for artist in left_out).most_common(1)
        raise ImindexError(
            f"No artist has works, and imitations in both {sides[0].label} and {sides[1].label}"
            f"{f' ({reasons[0][0]})' if reasons else ''}. Build both releases into the index "
            "under the same artist names."
        )
    return Prepared(
        sides, artists, left_out, works, notes, references=testing.references or {}, seed=testing.seed
    )


def _load(side: Side, testing: Testing) -> Loaded:
    with opened(side.index) as index:
        name, _ = release(index, side.release)
        works, _ = distinct(pictures(index, "works"))
        imitations, _ = distinct(pictures(index, "imitations", collections=[name]))
        digests, seen = index.column("sha256"), Counter[tuple[str, bytes]]()
        keys = []
        for row, artist in zip(works.rows.tolist(), works.artist.tolist(), strict=True):
            key = (index.artists[artist], digests[row].tobytes())
            keys.append((*key, seen[key]))
            seen[key] += 1
        prompts = index.column("prompt")
        return Loaded(
            side,
            name,
            index.root_digest,
            index.encoder,
            index.artists,
            placebo_numbers(index, testing.placebos, imitations),
            numbers_of(index, testing.rivals, imitations),
            works,
            keys,
            imitations,
            [prompts[row] for row in imitations.rows.tolist()],
            index.column("seed")[imitations.rows].astype(np.int64),
            template_labels(index, imitations),
            prompt_labels(index, imitations),
            shared_texts(index, imitations),
        )


def _check_sides(sides: list[Loaded]) -> None:
    base, new = sides
    mismatches = differences(base.encoder, new.encoder)
    if mismatches:
        raise ImindexError(
            f"{base.side.path} was encoded with {base.encoder.name()} and {new.side.path} with {new.encoder.name()}: "
            f"{'; '.join(mismatches)}. Rebuild one of them with the "
            "other's model, weights and precision (--model, --pretrained, --precision)."
        )
    same_index = base.root_digest == new.root_digest
    if base.label == new.label and same_index:
        raise ImindexError(
            f"BASE and NEW are both {base.label} of {base.side.path}. Choose another release or another index."
        )
    if base.label == new.label:
        sides[:] = [replace(loaded, label=f"{loaded.label} of {loaded.side.path}") for loaded in sides]


def _comparable(sides: Sequence[Loaded]) -> tuple[list[str], list[LeftOut]]:
    """Return the artists to compare, and the others with the reason why they are not compared."""
    works = [side.artists_of(side.works) for side in sides]
    imitated = [side.artists_of(side.imitations) for side in sides]
    placebos = {side.names[a] for side in sides for a in (*side.placebos, *side.rivals)}
    artists, left_out = [], []
    for name in sorted(set().union(*works, *imitated) - placebos):
        reasons = [
            f"no imitations in {side.label}"
            for side, names in zip(sides, imitated, strict=True)
            if name not in names
        ]
        if not all(name in names for names in works):
            reasons.append(
                "no works" if not any(name in names for names in works) else "works in one index only"
            )
        reasons += [
            f"no imitations by others in {side.label}"
            for side, names in zip(sides, imitated, strict=True)
            if names == {name}
        ]
        if reasons:
            left_out.append(LeftOut(artist=name, why=", ".join(reasons)))
        else:
            artists.append(name)
    return artists, left_out


def _same_works(
    sides: Sequence[Loaded], artists: list[str], left_out: list[LeftOut]
) -> tuple[list[str], list[Int64], list[str]]:
    """Return the artists with works in both indexes, and the positions of these works in each, in the same order."""
    wanted = set(artists)
    places = [{key: place for place, key in enumerate(side.work_key) if key[0] in wanted} for side in sides]
    common = sorted(places[0].keys() & places[1].keys())
    shared = {key[0] for key in common}
    left_out += [
        LeftOut(artist=name, why="no works that both indexes hold") for name in artists if name not in shared
    ]
    notes = []
    counts = [len(own) for own in places]
    if max(counts) > len(common):
        notes.append(
            f"Compared by the {len(common):,} works that both indexes hold, of {counts[0]:,} and {counts[1]:,}; the "
            "findings are by all works of each."
        )
    works = [np.array([own[key] for key in common], dtype=np.int64) for own in places]
    return [name for name in artists if name in shared], works, notes


def walked(prepared: Prepared) -> Prepared:
    """Rank the imitations of both releases by the works."""
    sides, works = prepared.sides, prepared.works
    numbers = prepared.numbers
    work_artist = np.array([numbers[sides[0].work_key[place][0]] for place in works[0].tolist()])
    columns = [
        Columns.of(
            side.imitations.vectors,
            prepared.artist_of(side),
            len(numbers),
        )
        for side in sides
    ]
    vectors = [side.works.vectors[places] for side, places in zip(sides, works, strict=True)]
    for work_vectors in vectors:
        check_vectors(work_vectors, "works")
    for imitations in columns:
        check_vectors(imitations.vectors, "imitations")

    def by_works(by: Float16) -> tuple[PairedCells, SetSums]:
        sums = prepared.sums()
        cells = PairedCells(sums)
        walk(by, work_artist, columns, [Watch(cells, (0, 1), np.arange(len(by)))])
        return cells, sums

    base, base_sums = by_works(vectors[0])
    if np.array_equal(vectors[0], vectors[1]):
        return replace(prepared, cells=lambda artist: base.of(numbers[artist]), aucs=base_sums.auc)
    # Two indexes may contain different vectors of the same work; each release is ranked by its own.
    new, new_sums = by_works(vectors[1])
    return replace(
        prepared,
        cells=lambda artist: base.of(numbers[artist])._replace(new=new.of(numbers[artist]).new),
        aucs=lambda release, size: (base_sums, new_sums)[release].auc(release, size),
    )
