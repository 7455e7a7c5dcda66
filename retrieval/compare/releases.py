"""Compare two releases on the same artists, for each artist and over all artists."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace as set_fields

from imindex.indexer.demo.recognise import is_demonstration
from imindex.indexer.generate.prompts import DEFAULT_TEMPLATE
from imindex.indexer.store.index import Index, opened
from imindex.indexer.terminal.output import count
from imindex.retrieval.compare.against_placebos import Against, changes_of, notes_on, spreads
from imindex.retrieval.compare.overall import DEFAULTS, Findings, conclude, fewest_found, finding
from imindex.retrieval.compare.prepare import Loaded, Prepared, Side, prepare, walked
from imindex.retrieval.compare.reports import compare_reports as compare_reports
from imindex.retrieval.compare.sets import ReleaseSet, SetComparison, compare_sets
from imindex.retrieval.evidence.classify_release import (
    GENERIC_LABELS,
    candidate_numbers,
    load_encoder,
    scores_by_name,
)
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.release_walk import Observed, Wanted, observe
from imindex.retrieval.evidence.shared import Shared, TextEncoder, Texts
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.match.paired_cells import Cells
from imindex.retrieval.results import Alternative, ArtistChange, Comparison, ReleaseSide
from imindex.retrieval.vectors.blocks import Int64
from imindex.stats.changes import ChangeTest, MeanChange
from imindex.stats.keyed import generator

Right = npt.NDArray[np.bool_]


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
        Also compare the accuracy of classification by the text of the artist's name.
    labels, templates : sequence of str
        As in `imindex.retrieval.evidence.classify_release.classify_release`.
    texts : TextEncoder, optional
        The index's encoder for texts, if it is loaded already.
    prepared : Prepared, optional
        Result of `prepare` for these releases and this testing, if available.
    margin : float, optional
        The largest change of the mean AUC that does not matter: test whether the change is within it.

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
    prepared, findings = _findings(prepared, base, new, testing)
    sides, artists, notes = prepared.sides, prepared.artists, list(prepared.notes)
    rights: list[Right | None] = [None, None]
    if by_name:
        if texts is None:
            texts = Texts(functools.partial(load_encoder, sides[0].encoder, encoder or {}))
        rights, naming_notes = _named(sides, texts, labels, templates)
        notes += naming_notes
    else:
        notes.append("Accuracy by name was not asked for.")
    rows = []
    if prepared.cells is None:
        prepared = walked(prepared)
    assert prepared.cells is not None
    pairs = _sets(sides, artists, prepared.cells, rights)
    against = changes_of(prepared, alternative, testing)
    for place, (artist, sets) in enumerate(zip(artists, pairs, strict=True)):
        comparison = compare_sets(
            *sets,
            alternative=alternative,
            confidence_level=testing.confidence_level,
            n_resamples=testing.n_resamples,
            rng=generator(testing.seed, "comparison", artist),
        )
        rows.append(_row(artist, sets, comparison, findings, against.tests, place))
    beyond = against.mean(pairs, sides, alternative, testing)
    concluded = conclude(
        rows,
        findings,
        beyond=beyond,
        spreads=spreads(pairs, sides),
        margin=margin,
        base=_release_side(sides[0]),
        new=_release_side(sides[1]),
        encoder=sides[0].encoder.name(),
        left_out=prepared.left_out,
        testing=testing,
        alternative=alternative,
        notes=[*_notes(rows, against, beyond, testing), *notes],
    )
    return set_fields(concluded, demonstration=is_demonstration(sides[0].encoder.weights_sha256))


def _release_side(loaded: Loaded) -> ReleaseSide:
    return ReleaseSide(
        release=loaded.side.release, index=str(loaded.side.path), root_digest=loaded.root_digest
    )


def _findings(
    prepared: Prepared, base: Side, new: Side, testing: Testing
) -> tuple[Prepared, tuple[Findings, Findings]]:
    """Return the findings of both releases. Two releases of one index are matched in a single walk."""
    known = base.findings is not None and new.findings is not None
    if known or prepared.cells or prepared.sides[0].root_digest != prepared.sides[1].root_digest:
        return prepared, (_findings_of(base, base.index, testing), _findings_of(new, new.index, testing))
    prepared, pair = prepared.watched()
    with opened(base.index) as index:
        wanted = [
            Wanted(side.release, side.tested(testing) if side.findings is None else None)
            for side in (base, new)
        ]
        observed = observe(Shared(index), wanted, [pair])
        first, second = (_findings_of(side, index, testing, observed[side.release]) for side in (base, new))
    return prepared, (first, second)


def _findings_of(
    side: Side, index: Path | Index, testing: Testing, observed: Observed | None = None
) -> Findings:
    if side.findings is not None:
        return side.findings
    matching = match_release(index, side.release, testing=side.tested(testing), observed=observed)
    return {row.artist: row.finding for row in matching.artists if row.finding is not None}


def _named(
    sides: Sequence[Loaded], texts: TextEncoder, labels: Sequence[str], templates: Sequence[str]
) -> tuple[list[Right | None], list[str]]:
    """Return whether each imitation is named correctly among the candidates of both releases."""
    tables, candidates = [], []
    for side in sides:
        named, path = side.imitations.without([*side.placebos, *side.rivals]), side.side.index
        with opened(path) as index:
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
    sides: Sequence[Loaded],
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
                    columns,
                )
            )
        sets.append((pair[0], pair[1]))
    return sets


def _in_order(artist: str, n: int) -> Int64:
    """Return a permutation of an artist's n imitations that depends only on the name, not on the seed."""
    return generator(0, "column order", artist).permutation(n)


def _prompt_numbers(sides: Sequence[Loaded]) -> Int64:
    """Number the prompts of both releases; a picture without a prompt gets its own number."""
    texts = [text for side in sides for text in side.prompt]
    labels = np.array([text or f"\0{place:020d}" for place, text in enumerate(texts)])
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _row(
    artist: str,
    sets: tuple[ReleaseSet, ReleaseSet],
    comparison: SetComparison,
    findings: Sequence[Findings],
    test: ChangeTest,
    place: int,
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
        auc_placebo_change=test.placebo_change[place],
        auc_beyond=test.beyond[place],
        auc_beyond_low=test.low[place],
        auc_beyond_high=test.high[place],
        n_placebos=int(test.n_reference[place]),
        p_auc_placebo=test.pvalue[place],
        p_auc_exchange=auc.pvalue,
        # Under a drift the rank among placebo names is right, and where a release imitates the artist, the exchange.
        p_auc=np.maximum(test.pvalue[place], auc.pvalue),
        accuracy_base=accuracy.base if accuracy else None,
        accuracy_new=accuracy.new if accuracy else None,
        accuracy_change=accuracy.change if accuracy else None,
        accuracy_low=accuracy.low if accuracy else None,
        accuracy_high=accuracy.high if accuracy else None,
        p_accuracy_exchange=accuracy.pvalue if accuracy else None,
        finding_base=finding(findings[0], artist),
        finding_new=finding(findings[1], artist),
        design=comparison.design.name,
        prompts_held_fixed=comparison.design.prompts_held_fixed,
        approximate=comparison.design.uneven,
    )


def _notes(
    rows: Sequence[ArtistChange], against: Against, beyond: MeanChange | None, testing: Testing
) -> list[str]:
    fewest = fewest_found(rows, testing)
    notes = notes_on(against, beyond, testing, fewest)
    fixed = sum(row.prompts_held_fixed for row in rows)
    if fixed:
        verb = "are" if fixed > 1 else "is"
        notes.append(
            f"Prompts of {count(fixed, 'artist')} {verb} few and held fixed: figures are for these prompts."
        )
    return notes
