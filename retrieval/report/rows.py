"""Compute the rows, summaries and agreements of a report from the results of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from msgspec.structs import replace

from imindex.retrieval.findings import UNJUDGED, Finding
from imindex.retrieval.report.as_paper import as_paper
from imindex.retrieval.results import (
    Adjust,
    Agreement,
    AgreementArtist,
    AuditResult,
    Classification,
    ClassificationMethod,
    ClassifiedArtist,
    CombinedResult,
    Confusion,
    MatchedArtist,
    ReportArtist,
    ReportResult,
    Summary,
    WorksArtist,
    WorksClassification,
    adjusted,
)
from imindex.stats.multiple import adjust as adjusted_p

NOT_MATCHED = "not in the index"
NO_CONFUSION = Confusion(rows=(), columns=(), n_generic=0, counts=())
A = TypeVar("A", MatchedArtist, ClassifiedArtist)


def report_result(result: AuditResult, artists: Sequence[str], *, with_paper: bool = False) -> ReportResult:
    """Summarise the results of one release and one encoder.

    Parameters
    ----------
    result : AuditResult
    artists : sequence of str
        The tested artists. Each gets a row, even one who is not in the index.
    with_paper : bool
        Whether to add the tests of Casper et al. 2023.

    Returns
    -------
    ReportResult
    """
    named = result.classification
    method = named.methods[0] if named else None
    rows = tuple(_row(result, artist) for artist in artists)
    evidence = result.matching.evidence
    return ReportResult(
        release=result.release,
        encoder=result.encoder,
        summary=_summary(result, rows),
        artists=rows,
        confusion=_confusion(method, artists) if method else NO_CONFUSION,
        label_curve=method.evidence.by_label_count if method and method.evidence else None,
        copies=result.copies,
        exchangeability=evidence.exchangeability if evidence else (),
        n_without_prompt=evidence.n_without_prompt if evidence else 0,
        notes=evidence.notes if evidence else (),
        error_rates=evidence.error_rates if evidence else None,
        as_paper=as_paper(rows, result, evidence.level if evidence else 0.05) if with_paper else None,
        cut_texts=named.cut_texts if named else None,
        by_works=_by_works(result.by_works, artists, evidence.adjust if evidence else "holm")
        if result.by_works and not named
        else None,
        adjusted=adjusted(result.matching.csls_k, result.matching.whitened),
    )


def _by_works(found: Classification, artists: Sequence[str], adjust: Adjust) -> WorksClassification:
    method = found.methods[0]
    evidence = method.evidence
    return WorksClassification(
        method=method.method,
        n_classified=found.n,
        n_labels=method.n_labels,
        n_unscored=method.n_unscored,
        accuracy=method.macro_top1,
        accuracy_low=evidence.macro.top1_low if evidence else None,
        accuracy_high=evidence.macro.top1_high if evidence else None,
        accuracy_chance=method.macro_chance_top1,
        accuracy_top5=method.macro_top5,
        accuracy_top5_chance=method.macro_chance_top5,
        p_accuracy=evidence.p_assignment if evidence else None,
        artists=tuple(
            _given_by_works(_find(method.artists, artist) or _not_classified(artist), adjust)
            for artist in artists
        ),
        confusion=_confusion(method, artists),
        label_curve=evidence.by_label_count if evidence else None,
    )


def _given_by_works(found: ClassifiedArtist, adjust: Adjust) -> WorksArtist:
    return WorksArtist(
        artist=found.artist,
        n=found.n,
        top1=found.top1,
        top1_low=found.top1_low,
        top1_high=found.top1_high,
        top5=found.top5,
        p_named=found.p_named,
        p_named_adjusted=found.p_named_adjusted(adjust),
        placebo_share=found.placebo_share,
        p_chance_if_independent=found.p_chance_if_independent,
        confused_with=found.confused_with if found.n else None,
    )


def _row(result: AuditResult, artist: str) -> ReportArtist:
    evidence = result.matching.evidence
    adjust = evidence.adjust if evidence else "holm"
    matched = _find(result.matching.artists, artist) or _not_matched(artist)
    by_name = result.classification.methods[0].artists if result.classification else ()
    named = _find(by_name, artist) or _not_classified(artist)
    by_works = _find(result.by_works.methods[0].artists, artist) if result.by_works else None
    return ReportArtist(
        artist=artist,
        finding=matched.finding or Finding.NOT_TESTED,
        status=matched.status,
        n_works=matched.n_works,
        n_distinct_works=matched.n_distinct_works,
        n_imitations=matched.n_imitations,
        top1=named.top1,
        top1_low=named.top1_low,
        top1_high=named.top1_high,
        top5=named.top5,
        p_named=named.p_named,
        p_named_adjusted=named.p_named_adjusted(adjust),
        placebo_share=named.placebo_share,
        p_chance_if_independent=named.p_chance_if_independent,
        p_generic_if_independent=named.p_generic_if_independent,
        confused_with=named.confused_with if named.n else None,
        top1_by_works=by_works.top1 if by_works else None,
        auc=matched.auc,
        auc_low=matched.auc_low,
        auc_high=matched.auc_high,
        p_name=matched.p_name,
        p_rival=matched.p_rival,
        p=matched.p,
        n_name_references=matched.n_name_references,
        n_rival_references=matched.n_rival_references,
        resolution_name=matched.resolution_name,
        resolution_rival=matched.resolution_rival,
        gap=matched.gap,
        gap_low=matched.gap_low,
        gap_high=matched.gap_high,
        gap_class=matched.gap_class,
        ceiling_auc=matched.ceiling_auc,
        floor_placebo=matched.floor_placebo,
        floor_control=matched.floor_control,
        p_differs=matched.p_differs,
        prompts_held_fixed=matched.prompts_held_fixed,
        p_adjusted=matched.p_adjusted(adjust),
        p_rival_selected=matched.p_rival_selected,
        specificity_testable=matched.specificity_testable,
        told_auc=matched.told_auc,
        told_low=matched.told_low,
        told_high=matched.told_high,
        p_told=matched.p_told,
        copies=sum(pair.artist == artist for pair in result.copies.of("confirmed")),
        candidates=sum(pair.artist == artist for pair in result.copies.of("candidate", "confirmed")),
        rank_histogram=result.rank_histogram.get(artist),
        neighbours=result.neighbours.get(artist, ()),
        placebo_reference=matched.placebo_reference,
    )


def _find(artists: Sequence[A], name: str) -> A | None:
    return next((artist for artist in artists if artist.artist == name), None)


def _not_matched(artist: str) -> MatchedArtist:
    return MatchedArtist(
        artist=artist,
        n_works=0,
        n_imitations=0,
        status=NOT_MATCHED,
        auc=None,
        rank_percentile=None,
        reciprocal_rank=None,
        average_precision=None,
        recall={},
        hit={},
        gap=None,
        gap_nearest="",
        gap_status=NOT_MATCHED,
    )


def _not_classified(artist: str) -> ClassifiedArtist:
    return ClassifiedArtist(artist=artist, n=0, top1=None, top5=None, mrr=None, confused_with="")


def _summary(result: AuditResult, rows: Sequence[ReportArtist]) -> Summary:
    classified, matching = result.classification, result.matching
    named = classified.methods[0] if classified else None
    evidence, tested = named.evidence if named else None, matching.evidence
    overall = tested.overall if tested else None
    findings = Counter(row.finding for row in rows)
    return Summary(
        n_artists=len(rows),
        n_tested=overall.n_tested if overall else None,
        n_works=matching.n_works,
        n_ranked=matching.n_imitations,
        n_repeated=matching.n_repeated_works + matching.n_repeated_imitations,
        n_classified=classified.n if classified else 0,
        n_labels=named.n_labels if named else 0,
        n_placebo_names=len(tested.placebos) if tested else 0,
        findings={finding: findings[finding] for finding in Finding},
        accuracy=named.macro_top1 if named else None,
        accuracy_low=evidence.macro.top1_low if evidence else None,
        accuracy_high=evidence.macro.top1_high if evidence else None,
        accuracy_chance=named.macro_chance_top1 if named else None,
        accuracy_top5=named.macro_top5 if named else None,
        accuracy_top5_chance=named.macro_chance_top5 if named else None,
        accuracy_by_works=result.by_works.methods[0].macro_top1 if result.by_works else None,
        generic_share=named.generic_share if named else None,
        p_accuracy=evidence.p_assignment if evidence else None,
        auc=overall.auc if overall else matching.macro.auc,
        auc_low=overall.auc_low if overall else None,
        auc_high=overall.auc_high if overall else None,
        p_auc=overall.p_assignment if overall else None,
        templates_top1=classified.templates_top1 if classified else {},
        level=tested.level if tested else None,
        adjust=tested.adjust if tested else None,
        confidence_level=tested.confidence_level if tested else None,
        statistic=tested.statistic if tested else None,
        family=tested.family if tested else None,
        fewest_findable=overall.fewest_findable if overall else None,
        references_needed=tested.references_needed if tested else None,
        n_copies=result.copies.n_copies,
        n_candidates=result.copies.n_candidates,
        detectable_auc=overall.detectable_auc if overall else None,
    )


def _confusion(method: ClassificationMethod, artists: Sequence[str]) -> Confusion:
    """Return the confusion table. Columns are the artists of the rows, other predicted artists, and generic labels."""
    table, labels, n_generic = method.confusion, method.labels, method.n_generic
    places = {name: place for place, name in enumerate(table.rows)}
    rows = [name for name in artists if name in places]
    counts = [table.counts[places[name]] for name in rows]
    first_generic = len(labels) - n_generic
    number = {name: place for place, name in reversed(list(enumerate(labels[:first_generic])))}
    own = [number[name] for name in rows]
    others = [c for c in range(first_generic) if c not in set(own) and any(row[c] for row in counts)]
    columns = [*own, *others, *range(first_generic, len(labels))]
    return Confusion(
        rows=tuple(rows),
        columns=tuple(labels[c] for c in columns),
        n_generic=n_generic,
        counts=tuple(tuple(row[c] for c in columns) for row in counts),
    )


def report_wide(results: Sequence[ReportResult], method: Adjust) -> tuple[ReportResult, ...]:
    """Adjust the p-values of the first step over all artists, releases and encoders; unchanged if there is one result.

    The family is that of the artists that are judged, in each result.
    """
    if len(results) < 2:
        return tuple(results)
    p = [
        np.nan if row.p_adjusted is None or row.p is None else row.p
        for result in results
        for row in result.artists
    ]
    adjusted = iter(adjusted_p(p, method=method).tolist())
    return tuple(
        replace(
            result, artists=tuple(replace(row, p_adjusted_report=next(adjusted)) for row in result.artists)
        )
        for result in results
    )


def combined_report_wide(combined: Sequence[CombinedResult], method: Adjust) -> tuple[CombinedResult, ...]:
    """Adjust the combined p-values of the first step over all artists and releases; unchanged with one release."""
    if len(combined) < 2:
        return tuple(combined)
    p = [np.nan if row.p is None else row.p for one in combined for row in one.artists]
    adjusted = iter(adjusted_p(p, method=method).tolist())
    return tuple(
        replace(one, artists=tuple(replace(row, p_adjusted_report=next(adjusted)) for row in one.artists))
        for one in combined
    )


def agreement(results: Sequence[ReportResult], releases: Sequence[str]) -> tuple[Agreement, ...] | None:
    """Count, for each release, the artists on whom all encoders agree; None if there is one encoder."""
    agreements = []
    for release in releases:
        own = [result for result in results if result.release == release]
        if len(own) < 2:
            continue
        artists = tuple(map(_agreement_on, zip(*(result.artists for result in own), strict=True)))
        n_judged = sum(artist.agree is not None for artist in artists)
        n_agree = sum(artist.agree is True for artist in artists)
        agreements.append(
            Agreement(
                release=release,
                encoders=tuple(result.encoder for result in own),
                n_judged=n_judged,
                n_agree=n_agree,
                share=n_agree / n_judged if n_judged else None,
                artists=artists,
            )
        )
    return tuple(agreements) or None


def _agreement_on(rows: Sequence[ReportArtist]) -> AgreementArtist:
    findings = tuple(row.finding for row in rows)
    judged = not any(finding in UNJUDGED for finding in findings)
    agree = len(set(findings)) == 1 if judged else None
    return AgreementArtist(artist=rows[0].artist, findings=findings, agree=agree)
