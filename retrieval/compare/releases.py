"""Compare two releases on the same artists, for each artist and over all artists."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace as set_fields

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.encoders.registry import differences
from imindex.indexer.generate.prompts import DEFAULT_TEMPLATE
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import opened
from imindex.indexer.system.index_files import Named, shown_place
from imindex.retrieval.compare.overall import (
    DEFAULTS,
    UNKNOWN,
    Findings,
    Resolution,
    conclude,
    finding,
    resolution_of,
)
from imindex.retrieval.compare.placebo_changes import Asked, PlaceboChanges, Sums, placebo_changes
from imindex.retrieval.compare.reports import NO_NAMES
from imindex.retrieval.compare.reports import compare_reports as compare_reports
from imindex.retrieval.compare.sets import ReleaseSet, SetComparison, compare_sets
from imindex.retrieval.evidence.classify_release import (
    GENERIC_LABELS,
    candidate_numbers,
    load_encoder,
    scores_by_name,
)
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.prompt_templates import template_labels
from imindex.retrieval.evidence.release_names import names_of_release
from imindex.retrieval.evidence.release_walk import Observed, Pair, Wanted, observe
from imindex.retrieval.evidence.shared import Shared, TextEncoder, Texts
from imindex.retrieval.evidence.testing import Testing, numbers_of, placebo_numbers
from imindex.retrieval.match.paired_cells import Cells, PairedCells
from imindex.retrieval.match.ranking import csls_penalties
from imindex.retrieval.match.similarity_pass import Columns, Watch, walk
from imindex.retrieval.results import (
    Alternative,
    ArtistChange,
    Comparison,
    LeftOut,
    ReleaseNames,
    ReleaseSide,
    adjusted,
)
from imindex.retrieval.vectors.blocks import Float16, Int64
from imindex.retrieval.vectors.checks import check_vectors
from imindex.retrieval.vectors.select import Pictures, distinct, pictures, release
from imindex.retrieval.vectors.whitened import as_stored, described, learnt, whitened, whitening_of
from imindex.stats.changes import ChangeTest
from imindex.stats.keyed import generator
from imindex.stats.whitening import Whitening

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Side:
    """A release in an index.

    Attributes
    ----------
    index : path-like, sequence of path-like, or Index
        An open index is used as it is, whatever has become of its path.
    release : str
        The name of its collection of imitations.
    findings : mapping of str to Finding, optional
        The finding of each artist, if the release has been matched already. By default it is matched now.
    placebos : sequence of str, optional
        Placebo names of this release, or patterns that match them; by default those of the testing.
    rivals : sequence of str, optional
        Further real names of this release, which are neither compared nor candidates; by default those of the testing.
    resolution : Resolution
        What the tests behind `findings` can find; of no effect without findings.
    """

    index: Named | Index
    release: str
    findings: Findings | None = None
    placebos: Sequence[str] | None = None
    rivals: Sequence[str] | None = None
    resolution: Resolution = UNKNOWN

    @property
    def shown(self) -> str:
        """Path of the index, or what names its files, for messages."""
        return str(self.index.path) if isinstance(self.index, Index) else shown_place(self.index)

    def tested(self, testing: Testing) -> Testing:
        """Return the testing with this release's placebo names and further real names."""
        placebos = testing.placebos if self.placebos is None else tuple(self.placebos)
        rivals = testing.rivals if self.rivals is None else tuple(self.rivals)
        return replace(testing, placebos=placebos, rivals=rivals)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """The data of one side; `work_key` identifies each work by artist, digest of its bytes, and occurrence."""

    side: Side
    label: str
    files: str | tuple[str, ...]
    root_digest: str
    encoder: EncoderInfo
    names: tuple[str, ...]
    placebos: list[int]
    rivals: list[int]
    works: Pictures
    work_key: list[tuple[str, bytes, int]]
    imitations: Pictures
    prompt: list[str]
    template: Int64
    seed: Int64
    known: ReleaseNames | None

    def artists_of(self, pictures: Pictures) -> set[str]:
        return {self.names[a] for a in np.unique(pictures.artist).tolist()}

    @property
    def asked(self) -> Asked:
        """The imitations by name, prompt, template and seed."""
        names = [self.names[a] for a in self.imitations.artist.tolist()]
        return Asked(names, self.prompt, self.template, self.seed)


def compare(  # noqa: PLR0913
    base: Side,
    new: Side,
    *,
    testing: Testing = DEFAULTS,
    encoder: Mapping[str, Any] | None = None,
    alternative: Alternative = "two-sided",
    by_name: bool = True,
    labels: Sequence[str] = GENERIC_LABELS,
    templates: Sequence[str] = (DEFAULT_TEMPLATE,),
    texts: TextEncoder | None = None,
    prepared: Prepared | None = None,
    margin: float | None = None,
) -> Comparison:
    """Compare two releases on the artists that have works, and imitations in both releases.

    Parameters
    ----------
    base, new : Side
        Releases of one index, or of two indexes with the same encoder.
    testing : Testing
    encoder : mapping, optional
        model, pretrained, device: current location and device of the index's encoder. Used by `by_name` only.
    alternative : {"two-sided", "less", "greater"}
        "greater": the new release imitates more.
    by_name : bool
        Also compare the accuracy of classification by the text of the artist's name, if the encoder has a text side.
    labels, templates : sequence of str
        As in `imindex.retrieval.evidence.classify_release.classify_release`.
    texts : TextEncoder, optional
        The index's encoder for texts, if it is loaded already.
    prepared : Prepared, optional
        Result of `prepare` for these releases and this testing, if available.
    margin : float, optional
        Also test whether the mean change of the AUC, beyond that of placebo names, is within this margin.

    Returns
    -------
    Comparison

    Raises
    ------
    ImindexError
        If a release does not exist, the encoders differ, both releases are the same, or no artist can be compared.
    """
    if prepared is None:
        prepared = prepare(base, new, testing)
    prepared, found = _findings(prepared, base, new, testing)
    findings = (found[0].findings, found[1].findings)
    sides, artists, notes = prepared.sides, prepared.artists, list(prepared.notes)
    rights: list[Right | None] = [None, None]
    if not by_name:
        notes.append("Accuracy by name was not asked for.")
    elif (
        named_by := texts or Texts(functools.partial(load_encoder, sides[0].encoder, encoder or {}))
    ).has_text:
        rights, naming_notes = _named(sides, named_by, labels, templates)
        notes += naming_notes
    else:
        notes.append(NO_NAMES)
    rows = []
    ranks = prepared.ranks or _walked(prepared, testing.csls_k)
    everything = _sets(sides, artists, ranks.cells, rights)
    placebos = [{side.names[a] for a in side.placebos} for side in sides]
    changes = placebo_changes(
        {artist: len(sets[0].own) for artist, sets in zip(artists, everything, strict=True)},
        sorted(placebos[0] & placebos[1]),
        sides[0].asked,
        sides[1].asked,
        ranks.sums,
        testing,
        alternative,
    )
    for artist, sets in zip(artists, everything, strict=True):
        comparison = compare_sets(
            *sets,
            alternative=alternative,
            confidence_level=testing.confidence_level,
            n_resamples=testing.n_resamples,
            rng=generator(testing.seed, "comparison", artist),
        )
        rows.append(_row(artist, sets, comparison, findings, changes.artists.get(artist)))
    concluded = conclude(
        rows,
        findings,
        base=_release_side(sides[0]),
        new=_release_side(sides[1]),
        encoder=sides[0].encoder.name(),
        left_out=prepared.left_out,
        testing=testing,
        alternative=alternative,
        notes=[*_notes(rows, changes), *notes],
        changes=changes,
        margin=margin,
        resolutions=(found[0].resolution, found[1].resolution),
    )
    return set_fields(concluded, demonstration=is_demonstration(sides[0].encoder.weights_sha256))


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks of imitations by works, for both releases.

    Attributes
    ----------
    cells : callable
        Returns the ranks of an artist's own imitations.
    sums : callable
        For an artist and a name, returns the sums of ranks of the imitations of the name by the artist's works.
    """

    cells: Callable[[str], Cells]
    sums: Sums

    @classmethod
    def of(cls, seen: PairedCells, numbers: Mapping[str, int]) -> Ranks:
        """Return the ranks that an observer has kept, with the numbers under which it knows the names."""
        return cls(
            lambda artist: seen.of(numbers[artist]),
            lambda artist, name: seen.sums(numbers[artist], numbers[name]),
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """Two loaded releases; returned by `prepare`.

    Attributes
    ----------
    sides : list of _Loaded
    artists : list of str
        Artists that are compared.
    left_out : list of LeftOut
    works : list of ndarray of int64
        Positions of the common works among the works of each side, in the same order.
    notes : list of str
    ranks : Ranks, optional
        If works and imitations have been walked already.
    """

    sides: list[_Loaded]
    artists: list[str]
    left_out: list[LeftOut]
    works: list[Int64]
    notes: list[str]
    ranks: Ranks | None = None

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
        cells = PairedCells()
        pair = Pair(base.side.release, new.side.release, cells, numbers)
        numbers_of = {name: number for number, name in enumerate(base.names)}
        return replace(self, ranks=Ranks.of(cells, numbers_of)), pair


def prepare(base: Side, new: Side, testing: Testing = DEFAULTS) -> Prepared:
    """Load two releases and find the artists and works in common.

    Raises
    ------
    ImindexError
        As for `compare`.
    """
    whitening = None
    if testing.whiten:
        with opened(base.index) as index:
            whitening = whitening_of(index) or learnt(index)
    sides = [_load(side, side.tested(testing), whitening) for side in (base, new)]
    _check_sides(sides)
    artists, left_out = _comparable(sides)
    artists, works, notes = _same_works(sides, artists, left_out)
    how = adjusted(testing.csls_k, None if whitening is None else described(whitening))
    notes = [*_names_notes(sides), *notes, *([f"Similarities are {how}."] if how else [])]
    if not artists:
        reasons = Counter(artist.why for artist in left_out).most_common(1)
        raise ImindexError(
            f"No artist has works, and imitations in both {sides[0].label} and {sides[1].label}"
            f"{f' ({reasons[0][0]})' if reasons else ''}. Build both releases into the index "
            "under the same artist names."
        )
    return Prepared(sides, artists, left_out, works, notes)


def _names_notes(sides: Sequence[_Loaded]) -> list[str]:
    """Say which names of both releases are placebo names and why, what contradicts that, and what is blocked."""
    return [
        f"{side.label}: {sentence}"
        for side in sides
        if side.known is not None
        for sentence in side.known.sentences([side.names[a] for a in side.placebos])
    ]


def _release_side(loaded: _Loaded) -> ReleaseSide:
    return ReleaseSide(release=loaded.side.release, index=loaded.files, root_digest=loaded.root_digest)


def _load(side: Side, testing: Testing, whitening: Whitening | None) -> _Loaded:
    with opened(side.index) as index:
        if whitening is not None:
            index = whitened(index, whitening)
        name, _ = release(index, side.release)
        works, _ = distinct(pictures(index, "works"))
        imitations, _ = distinct(pictures(index, "imitations", collections=[name]))
        testing, known = names_of_release(index, name, imitations, testing)
        digests, seen = index.column("sha256"), Counter[tuple[str, bytes]]()
        keys = []
        for row, artist in zip(works.rows.tolist(), works.artist.tolist(), strict=True):
            key = (index.artists[artist], digests[row].tobytes())
            keys.append((*key, seen[key]))
            seen[key] += 1
        prompts = index.column("prompt")
        return _Loaded(
            side,
            name,
            index.files,
            index.root_digest,
            index.encoder,
            index.artists,
            placebo_numbers(index, testing.placebos, imitations),
            numbers_of(index, testing.rivals, imitations),
            works,
            keys,
            imitations,
            [prompts[row] for row in imitations.rows.tolist()],
            template_labels(index, imitations),
            index.column("seed")[imitations.rows].astype(np.int64),
            known,
        )


def _check_sides(sides: list[_Loaded]) -> None:
    base, new = sides
    mismatches = differences(base.encoder, new.encoder)
    if mismatches:
        raise ImindexError(
            f"{base.side.shown} was encoded with {base.encoder.name()} and {new.side.shown} with {new.encoder.name()}: "
            f"{'; '.join(mismatches)}. Rebuild one of them with the "
            "other's model, weights and precision (--model, --pretrained, --precision)."
        )
    same_index = base.root_digest == new.root_digest
    if base.label == new.label and same_index:
        raise ImindexError(
            f"BASE and NEW are both {base.label} of {base.side.shown}. Choose another release or another index."
        )
    if base.label == new.label:
        sides[:] = [replace(loaded, label=f"{loaded.label} of {loaded.side.shown}") for loaded in sides]


def _comparable(sides: Sequence[_Loaded]) -> tuple[list[str], list[LeftOut]]:
    """Return the artists to compare, and the others with the reason why they are not compared."""
    works = [side.artists_of(side.works) for side in sides]
    imitated = [side.artists_of(side.imitations) for side in sides]
    others = {side.names[a] for side in sides for a in (*side.placebos, *side.rivals)}
    artists, left_out = [], []
    for name in sorted(set().union(*works, *imitated) - others):
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
    sides: Sequence[_Loaded], artists: list[str], left_out: list[LeftOut]
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


class _Found(NamedTuple):
    """The findings of a release, and what its tests can find."""

    findings: Findings
    resolution: Resolution


def _findings(
    prepared: Prepared, base: Side, new: Side, testing: Testing
) -> tuple[Prepared, tuple[_Found, _Found]]:
    """Return the findings of both releases. Two releases of one index are matched in a single walk."""
    known = base.findings is not None and new.findings is not None
    if known or prepared.ranks or prepared.sides[0].root_digest != prepared.sides[1].root_digest:
        return prepared, (_findings_of(base, base.index, testing), _findings_of(new, new.index, testing))
    prepared, pair = prepared.watched()
    with opened(base.index) as index:
        wanted = [
            Wanted(side.release, side.tested(testing) if side.findings is None else None, testing.csls_k)
            for side in (base, new)
        ]
        if testing.whiten:
            index = whitened(index)
        observed = observe(Shared(index), wanted, [pair])
        first, second = (_findings_of(side, index, testing, observed[side.release]) for side in (base, new))
    return prepared, (first, second)


def _findings_of(
    side: Side, index: Named | Index, testing: Testing, observed: Observed | None = None
) -> _Found:
    if side.findings is not None:
        return _Found(side.findings, side.resolution)
    matching = match_release(index, side.release, testing=side.tested(testing), observed=observed)
    return _Found(
        {row.artist: row.finding for row in matching.artists if row.finding is not None},
        resolution_of(matching),
    )


def _named(
    sides: Sequence[_Loaded], texts: TextEncoder, labels: Sequence[str], templates: Sequence[str]
) -> tuple[list[Right | None], list[str]]:
    """Return whether each imitation is named correctly among the candidates of both releases."""
    tables, candidates = [], []
    for side in sides:
        named, path = side.imitations.without([*side.placebos, *side.rivals]), side.side.index
        with opened(path) as index:
            # Vectors of texts are not whitened, so those of pictures must not be.
            named = replace(named, vectors=np.asarray(as_stored(index).vectors[named.rows]))
            _, scores = scores_by_name(
                index, named, labels, templates, texts, candidate_numbers(index, named)
            )
        tables.append(scores)
        names = [*side.names, *labels]
        candidates.append({names[c] for c in np.flatnonzero(np.isfinite(scores).any(axis=0)).tolist()})
    common = candidates[0] & candidates[1]
    rights: list[Right | None] = []
    for side, scores in zip(sides, tables, strict=True):
        columns = [c for c, name in enumerate([*side.names, *labels]) if name in common]
        kept = ~np.isin(side.imitations.artist, [*side.placebos, *side.rivals])
        own = scores[np.arange(len(scores)), side.imitations.artist[kept]]
        right = np.zeros(len(kept), np.bool_)
        right[kept] = (scores[:, columns] >= own[:, None]).sum(axis=1) == 1
        rights.append(right)
    notes = []
    if candidates[0] != candidates[1]:
        notes.append(
            f"Pictures are named among the {len(common)} labels that are candidates under both releases "
            f"({len(candidates[0])} and {len(candidates[1])} are under one)."
        )
    return rights, notes


def _sets(
    sides: Sequence[_Loaded],
    artists: Sequence[str],
    cells: Callable[[str], Cells],
    rights: Sequence[Right | None],
) -> list[tuple[ReleaseSet, ReleaseSet]]:
    """Return the imitations of each artist in both releases, ranked by the same works."""
    prompts = _prompt_numbers(sides)
    n_base = len(sides[0].imitations.rows)
    sets = []
    for artist in artists:
        rows = [np.flatnonzero(side.imitations.artist == side.names.index(artist)) for side in sides]
        own = cells(artist)
        order = _in_order(artist, len(rows[0]) + len(rows[1]))
        shared = np.empty(len(order))
        shared[order] = np.take(own.both, order, axis=1).mean(axis=0)
        pair = []
        for side, own_rows, cell, first, start, right in zip(
            sides, rows, (own.base, own.new), (0, len(rows[0])), (0, n_base), rights, strict=True
        ):
            order = _in_order(artist, len(own_rows))
            columns = own_rows[order]
            pair.append(
                ReleaseSet(
                    np.take(cell, order, axis=1),
                    shared[first + order],
                    prompts[start + columns],
                    side.seed[columns],
                    None if right is None else right[columns],
                )
            )
        sets.append((pair[0], pair[1]))
    return sets


def _in_order(artist: str, n: int) -> Int64:
    """Return a permutation of an artist's n imitations that depends only on the name, not on the seed."""
    return generator(0, "column order", artist).permutation(n)


def _walked(prepared: Prepared, csls_k: int | None) -> Ranks:
    """Rank the imitations of both releases by the works."""
    sides, works = prepared.sides, prepared.works
    numbers = {name: number for number, name in enumerate(sorted({n for side in sides for n in side.names}))}
    work_artist = np.array([numbers[sides[0].work_key[place][0]] for place in works[0].tolist()])
    vectors = [side.works.vectors[places] for side, places in zip(sides, works, strict=True)]
    columns = []
    for side, work_vectors in zip(sides, vectors, strict=True):
        k, penalties = csls_penalties(work_vectors, side.imitations.vectors, csls_k)
        artist = np.array([numbers[side.names[a]] for a in side.imitations.artist.tolist()], np.int64)
        columns.append(
            Columns.of(side.imitations.vectors, artist, len(numbers), csls_k=k, penalties=penalties)
        )
    for work_vectors in vectors:
        check_vectors(work_vectors, "works")
    for imitations in columns:
        check_vectors(imitations.vectors, "imitations")

    def walked(by: Float16) -> PairedCells:
        cells = PairedCells()
        walk(by, work_artist, columns, [Watch(cells, (0, 1), np.arange(len(by)))])
        return cells

    base = walked(vectors[0])
    if np.array_equal(vectors[0], vectors[1]):
        return Ranks.of(base, numbers)
    # Two indexes may contain different vectors of the same work; each release is ranked by its own.
    new = walked(vectors[1])
    first, second = Ranks.of(base, numbers), Ranks.of(new, numbers)
    return Ranks(
        lambda artist: first.cells(artist)._replace(new=second.cells(artist).new),
        lambda artist, name: (first.sums(artist, name)[0], second.sums(artist, name)[1]),
    )


def _prompt_numbers(sides: Sequence[_Loaded]) -> Int64:
    """Number the prompts of both releases; a picture without a prompt gets its own number."""
    texts = [text for side in sides for text in side.prompt]
    labels = np.array([text or f"\0{place:020d}" for place, text in enumerate(texts)])
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _row(
    artist: str,
    sets: tuple[ReleaseSet, ReleaseSet],
    comparison: SetComparison,
    findings: Sequence[Findings],
    test: ChangeTest | None,
) -> ArtistChange:
    auc, accuracy = comparison.auc, comparison.accuracy
    return ArtistChange(
        artist=artist,
        n_works=len(sets[0].own),
        n_base=sets[0].own.shape[1],
        n_new=sets[1].own.shape[1],
        auc_shared_change=comparison.shared_change,
        auc_base=auc.base,
        auc_new=auc.new,
        auc_change=auc.change,
        auc_low=auc.low,
        auc_high=auc.high,
        p_auc_if_exchangeable=auc.pvalue,
        accuracy_base=accuracy.base if accuracy else None,
        accuracy_new=accuracy.new if accuracy else None,
        accuracy_change=accuracy.change if accuracy else None,
        accuracy_low=accuracy.low if accuracy else None,
        accuracy_high=accuracy.high if accuracy else None,
        p_accuracy_if_exchangeable=accuracy.pvalue if accuracy else None,
        finding_base=finding(findings[0], artist),
        finding_new=finding(findings[1], artist),
        design=comparison.design.name,
        prompts_held_fixed=comparison.design.prompts_held_fixed,
        approximate=comparison.design.uneven,
        p_auc=test.pvalue if test else None,
        auc_placebo_change=test.placebo_change if test else None,
        auc_beyond=test.beyond if test else None,
        auc_beyond_low=test.interval.low if test else None,
        auc_beyond_high=test.interval.high if test else None,
        n_placebos=test.n_placebos if test else 0,
    )


def _notes(rows: Sequence[ArtistChange], changes: PlaceboChanges) -> list[str]:
    designs = Counter(row.design for row in rows)
    notes = []
    if changes.artists:
        notes.append(
            "p of an artist is the rank of the change of its AUC among the changes of placebo names between the same "
            f"releases, by the same works ({len(changes.placebos)} names). Any drift that all names share is harmless."
        )
    notes += changes.notes
    notes.append(
        "How pictures of both releases correspond: "
        + ", ".join(f"{name} for {n}" for name, n in designs.most_common())
        + "."
    )
    fixed = sum(row.prompts_held_fixed for row in rows)
    if fixed:
        artists = "1 artist" if fixed == 1 else f"{fixed:,} artists"
        notes.append(f"For {artists}, prompts are few and held fixed: figures are for these prompts.")
    return notes
