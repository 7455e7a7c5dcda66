"""A classified release -> intervals and tests of the accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.classify.classify import Classification
from imindex.retrieval.evidence.prompt_templates import template_labels
from imindex.retrieval.evidence.testing import (
    Testing,
    enough_prompts,
    prompt_labels,
    reference_numbers,
    shared_prompts,
)
from imindex.retrieval.results import (
    AccuracyInterval,
    AccuracyTests,
    ClassificationEvidence,
    LabelCurve,
    fields_of,
)
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.accuracy import Accuracy, accuracy_interval, chance_test, generic_test, macro_interval
from imindex.stats.keyed import generator, generators
from imindex.stats.label_count import accuracy_by_label_count
from imindex.stats.multiple import adjust_all, fewest_findable
from imindex.stats.naming import NamingTest, best_labels, naming_test
from imindex.stats.permutation import assignment_test
from imindex.stats.set_scores import Sets


def classification_evidence(
    index: Index,
    scores: Float64,
    result: Classification,
    chosen: Pictures,
    testing: Testing,
    named: NamingTest | None = None,
) -> tuple[dict[int, AccuracyTests], ClassificationEvidence]:
    """Say how sure a classification is.

    Parameters
    ----------
    index : Index
    scores : ndarray, shape (n, L), float64
        What was classified, -inf where a label is no candidate.
    result : Classification
        Of these scores.
    chosen : Pictures
    testing : Testing
    named : NamingTest, optional
        By number in the index; None without placebo names.

    Returns
    -------
    artists : dict of int to AccuracyTests
        By number in the index.
    evidence : ClassificationEvidence
        Over all artists.
    """
    n_artists = len(index.artists)
    artists = np.flatnonzero(result.n_images)
    right = result.scored & (result.rank == 1)
    prompts = prompt_labels(index, chosen)
    counts = np.bincount(chosen.artist[right], minlength=n_artists)
    chance = chance_test(counts[artists], result.n_images[artists], result.chance[1])
    tests = {} if named is None else _named(named, artists)
    found = {}
    for place, artist in enumerate(artists.tolist()):
        mine = chosen.artist == artist
        generic = int(result.confusion[artist, n_artists:].sum())
        clusters, few = enough_prompts(prompts[mine])
        own = accuracy_interval(right[mine], cluster=clusters, confidence_level=testing.confidence_level)
        found[artist] = AccuracyTests(
            artist=index.artists[artist],
            **fields_of(_interval(own)),
            prompts_held_fixed=few,
            **tests.get(artist, {}),
            p_chance_if_independent=chance.pvalue[place],
            p_generic_if_independent=generic_test(int(counts[artist]), generic).pvalue
            if result.n_generic
            else None,
            n_generic=generic,
        )
    candidate = np.isfinite(scores[np.arange(len(chosen.artist)), chosen.artist])
    several = np.isfinite(scores[:, :n_artists]).sum(axis=1) > 1
    curve = None
    if (candidate & several).any():
        curve = accuracy_by_label_count(scores, chosen.artist, n_generic=result.n_generic)
    # In the order of their names, whatever their numbers are.
    by_name = np.array(sorted(range(n_artists), key=lambda a: index.artists[a]), dtype=np.int64)
    macro = macro_interval(
        right,
        np.argsort(by_name)[chosen.artist],
        cluster=shared_prompts(index, chosen),
        confidence_level=testing.confidence_level,
    )
    return found, ClassificationEvidence(
        macro=_interval(macro),
        p_assignment=_assignment(result, by_name[np.isin(by_name, artists)], testing),
        assumes=chance.assumes,
        fewest_nameable=None
        if named is None
        else fewest_findable(
            named.resolution[artists][np.isfinite(named.pvalue[artists])],
            level=testing.level,
            method=testing.adjust,
        ),
        by_label_count=LabelCurve(
            counts=tuple(curve.counts.tolist()),
            top1=tuple(curve.accuracy.tolist()),
            macro_top1=tuple(curve.macro.tolist()),
            chance=tuple(curve.chance.tolist()),
        )
        if curve
        else None,
    )


def naming(
    index: Index, scores: Float64, both: Pictures, placebos: Sequence[int], testing: Testing
) -> NamingTest:
    """Compare how often each artist's pictures, and those of placebo names, are named as the artist.

    Parameters
    ----------
    index : Index
    scores : ndarray, shape (n, L), float64
        Scores of the labels for these pictures.
    both : Pictures
        The classified pictures and those of the placebo names.
    placebos : sequence of int
    testing : Testing

    Returns
    -------
    NamingTest
        By number in the index.
    """
    names = index.artists
    sets = Sets(
        both.artist,
        len(names),
        compared=~np.isin(np.arange(len(names)), placebos),
        prompt=prompt_labels(index, both),
        template=template_labels(index, both),
        rng=generators(testing.seed, "subsample", names),
    )
    only = reference_numbers(index, testing, both)
    return naming_test(sets, both.artist, *best_labels(scores), placebos, only=only)


class _Named(TypedDict, total=False):
    """The fields of `AccuracyTests` that the naming test gives."""

    p_named: float
    p_named_holm: float
    p_named_bh: float
    p_named_by: float
    n_named_references: int
    placebo_share: float


def _named(test: NamingTest, artists: Int64) -> dict[int, _Named]:
    """Return the fields of each artist, by number; corrected over these artists."""
    adjusted = adjust_all(test.pvalue[artists])
    return {
        artist: _Named(
            p_named=test.pvalue[artist],
            p_named_holm=adjusted.holm[place],
            p_named_bh=adjusted.bh[place],
            p_named_by=adjusted.by[place],
            n_named_references=int(test.n_reference[artist]),
            placebo_share=test.placebo_share[artist],
        )
        for place, artist in enumerate(artists.tolist())
    }


def _interval(found: Accuracy) -> AccuracyInterval:
    return AccuracyInterval(
        top1_low=found.interval.low,
        top1_high=found.interval.high,
        interval=found.method,
        interval_note=found.note,
        n_units=found.n_units,
    )


def _assignment(result: Classification, artists: Int64, testing: Testing) -> float:
    """p of the macro accuracy under random assignments of sets to artists; NaN with one artist."""
    if len(artists) < 2:
        return float("nan")
    shares = result.confusion[np.ix_(artists, artists)] / result.n_images[artists][:, None]
    random = generator(testing.seed, "accuracy assignment")
    return assignment_test(shares.T, n_resamples=testing.n_resamples, rng=random).pvalue
