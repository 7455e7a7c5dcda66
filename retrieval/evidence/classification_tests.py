"""Confidence intervals and tests for the accuracy of a classification."""

from __future__ import annotations

import functools

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.classify.classify import Classification
from imindex.retrieval.evidence.testing import Testing, enough_prompts, prompt_labels
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
from imindex.stats.keyed import generator
from imindex.stats.label_count import accuracy_by_label_count
from imindex.stats.multiple import adjust_all
from imindex.stats.permutation import assignment_test


def classification_evidence(
    index: Index, scores: Float64, result: Classification, chosen: Pictures, testing: Testing
) -> tuple[dict[int, AccuracyTests], ClassificationEvidence]:
    """Compute confidence intervals and tests for a classification.

    Parameters
    ----------
    index : Index
    scores : ndarray, shape (n, L), float64
        The scores that were classified; -inf where a label is not a candidate.
    result : Classification
        The classification of these scores.
    chosen : Pictures
        The classified pictures.
    testing : Testing

    Returns
    -------
    artists : dict of int to AccuracyTests
        Keyed by the artist's number in the index.
    evidence : ClassificationEvidence
        Results over all artists.
    """
    interval = functools.partial(
        accuracy_interval, confidence_level=testing.confidence_level, n_resamples=testing.n_resamples
    )
    n_artists = len(index.artists)
    artists = np.flatnonzero(result.n_images)
    correct = result.scored & (result.rank == 1)
    prompts = prompt_labels(index, chosen)
    counts = np.bincount(chosen.artist[correct], minlength=n_artists)
    chance = chance_test(counts[artists], result.n_images[artists], result.chance[1])
    adjusted = adjust_all(chance.pvalue)
    tests = {}
    for position, artist in enumerate(artists.tolist()):
        own = chosen.artist == artist
        generic = int(result.confusion[artist, n_artists:].sum())
        clusters, too_few = enough_prompts(prompts[own])
        rng = generator(testing.seed, "accuracy interval", index.artists[artist])
        tests[artist] = AccuracyTests(
            artist=index.artists[artist],
            **fields_of(_interval(interval(correct[own], cluster=clusters, rng=rng))),
            prompts_held_fixed=too_few,
            p_chance=chance.pvalue[position],
            p_chance_holm=adjusted.holm[position],
            p_chance_bh=adjusted.bh[position],
            p_chance_by=adjusted.by[position],
            p_generic=generic_test(int(counts[artist]), generic).pvalue if result.n_generic else None,
            n_generic=generic,
        )
    has_own = np.isfinite(scores[np.arange(len(chosen.artist)), chosen.artist])
    has_several = np.isfinite(scores[:, :n_artists]).sum(axis=1) > 1
    curve = None
    if (has_own & has_several).any():
        curve = accuracy_by_label_count(scores, chosen.artist, n_generic=result.n_generic)
    # Figures over all artists resample them jointly, in order of name: the result does not depend on their numbers.
    by_name = np.array(sorted(range(n_artists), key=lambda a: index.artists[a]), dtype=np.int64)
    macro = macro_interval(
        correct,
        np.argsort(by_name)[chosen.artist],
        cluster=_clusters(prompts, chosen.artist),
        confidence_level=testing.confidence_level,
        n_resamples=testing.n_resamples,
        rng=generator(testing.seed, "mean accuracy interval"),
    )
    return tests, ClassificationEvidence(
        macro=_interval(macro),
        p_assignment=_assignment(result, by_name[np.isin(by_name, artists)], testing),
        assumes=chance.assumes,
        by_label_count=LabelCurve(
            counts=tuple(curve.counts.tolist()),
            top1=tuple(curve.accuracy.tolist()),
            macro_top1=tuple(curve.macro.tolist()),
            chance=tuple(curve.chance.tolist()),
        )
        if curve
        else None,
    )


def _clusters(prompts: Int64, artist: Int64) -> Int64:
    """Return the resampling unit of each picture: its prompt if the artist has enough prompts, else the picture."""
    clusters: Int64 = np.arange(len(prompts), dtype=np.int64) + prompts.max(initial=0) + 1
    for number in np.unique(artist):
        own = artist == number
        if enough_prompts(prompts[own])[0] is not None:
            clusters[own] = prompts[own]
    return clusters


def _interval(accuracy: Accuracy) -> AccuracyInterval:
    return AccuracyInterval(
        top1_low=accuracy.interval.low,
        top1_high=accuracy.interval.high,
        interval=accuracy.method,
        interval_note=accuracy.note,
        n_units=accuracy.n_units,
    )


def _assignment(result: Classification, artists: Int64, testing: Testing) -> float:
    """Return the p-value of the macro accuracy under random assignments of sets to artists; NaN for one artist."""
    if len(artists) < 2:
        return float("nan")
    shares = result.confusion[np.ix_(artists, artists)] / result.n_images[artists][:, None]
    rng = generator(testing.seed, "accuracy assignment")
    return assignment_test(shares.T, n_resamples=testing.n_resamples, rng=rng).pvalue
