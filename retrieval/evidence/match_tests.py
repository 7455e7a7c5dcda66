"""Ranks of a release -> tests, intervals and a finding for each artist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from msgspec.structs import replace

from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.compared import sampling_notes
from imindex.retrieval.evidence.detectable import Scored, detectable_auc
from imindex.retrieval.evidence.error_rates import error_rates
from imindex.retrieval.evidence.exchangeability import diagnose
from imindex.retrieval.evidence.prompt_templates import prompt_notes, without_prompt
from imindex.retrieval.evidence.release_walk import Observed
from imindex.retrieval.evidence.testing import (
    Testing,
    enough_prompts,
    numbers_of,
    placebo_numbers,
    prompt_labels,
    reference_numbers,
    shared_prompts,
)
from imindex.retrieval.findings import Finding
from imindex.retrieval.results import ArtistTests, MatchEvidence, OverallTests
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.hierarchical import Flags, TwoSteps, two_steps
from imindex.stats.intervals import Bootstrap
from imindex.stats.keyed import generator, generators
from imindex.stats.multiple import adjust, adjust_all, called, fewest_findable
from imindex.stats.permutation import assignment_test
from imindex.stats.references import name_test, nearest_pvalue, references_needed, rival_test
from imindex.stats.resampling import bootstrap_artists, macro_bootstrap, work_test
from imindex.stats.set_scores import SetScores
from imindex.stats.set_statistics import SetTable, Statistic, set_table
from imindex.stats.validity import FEWEST


def match_evidence(observed: Observed, testing: Testing) -> tuple[dict[int, ArtistTests], MatchEvidence]:
    """Test every artist, and all together.

    Parameters
    ----------
    observed : Observed
        Of the release, with this testing.
    testing : Testing

    Returns
    -------
    artists : dict of int to ArtistTests
        By number in the index; those with works and imitations.
    evidence : MatchEvidence
        How it was done, and the tests over all artists.
    """
    index, scores, imitations = observed.shared.index, observed.scores, observed.imitations
    placebos = placebo_numbers(index, testing.placebos, imitations)
    n_artists = len(index.artists)
    prompts, fixed = _prompts(index, scores, imitations)
    series = _series(observed, testing)
    boots = bootstrap_artists(
        scores.own,
        clusters=prompts,
        row_clusters=series,
        n_resamples=testing.n_resamples,
        confidence_level=testing.confidence_level,
        rng=generators(testing.seed, "AUC interval", index.artists),
    )
    only = reference_numbers(index, testing, imitations)
    statistic, table = learned_table(observed, testing)
    name, rival = name_test(scores, placebos, table, only=only), rival_test(scores, placebos, table)
    by_work = work_test(
        scores, n_resamples=testing.n_resamples, rng=generators(testing.seed, "work test", index.artists)
    )
    nothing = np.full(n_artists, np.nan)
    placebo_floor = _placebo_floor(scores, placebos)
    control_floor = nothing if observed.control is None else observed.control.finish()
    differs = nothing if observed.differences is None else observed.differences.finish()
    among = observed.shared.among(testing)
    gaps, best = among.gaps, among.ceiling
    assert gaps is not None and best is not None
    told = observed.shared.told(statistic, testing)
    # Whether an artist can be judged rests on works only, so the tests of the others stay valid.
    judged = told.told & (told.n_clusters >= FEWEST)
    p_name, p_rival = (name.pvalue_t, rival.pvalue_t) if testing.approximate else (name.pvalue, rival.pvalue)
    p = by_work.pvalue if testing.unit == "work" else p_name if placebos else p_rival
    p = np.where(judged, p, np.nan)
    adjusted = adjust_all(p)
    family = adjusted.n_tests
    steps = None
    if testing.unit == "artist" and placebos:
        resolution = np.where(np.isnan(p_rival), np.nan, 0.0) if testing.approximate else rival.resolution
        steps = two_steps(
            p,
            p_rival,
            resolution,
            p_nearest=_nearest(scores, placebos, table, only, testing),
            level=testing.level,
            method=testing.adjust,
        )
    untold = (told.n_clusters >= FEWEST) & np.isfinite(told.auc) & ~told.told
    findings = findings_by(p, untold, steps, testing)
    smallest = name.resolution if placebos else rival.resolution
    tested = [a for a in range(n_artists) if scores.sizes[a] > 0]
    by_name = sorted(tested, key=lambda a: index.artists[a])
    found = {
        a: ArtistTests(
            artist=index.artists[a],
            finding=findings[a],
            **_interval(boots[a]),
            n_distinct_works=len(np.unique(series[a])),
            prompts_held_fixed=bool(fixed[a]),
            p_name=name.pvalue[a],
            p_name_approximate=name.pvalue_t[a],
            z_name=name.z[a],
            n_name_references=name.n_reference[a],
            n_name_at_least_as_near=name.n_at_least[a],
            n_name_left_out=name.n_left_out[a],
            resolution_name=name.resolution[a],
            status_name=name.status[a],
            p_rival=rival.pvalue[a],
            p_rival_approximate=rival.pvalue_t[a],
            z_rival=rival.z[a],
            n_rival_references=rival.n_reference[a],
            n_rival_at_least_as_near=rival.n_at_least[a],
            n_rival_left_out=rival.n_left_out[a],
            resolution_rival=rival.resolution[a],
            status_rival=rival.status[a],
            set_size=rival.set_size[a],
            p_work=by_work.pvalue[a],
            p=by_work.pvalue[a] if testing.unit == "work" else p_name[a] if placebos else p_rival[a],
            p_holm=adjusted.holm[a],
            p_bh=adjusted.bh[a],
            p_by=adjusted.by[a],
            p_rival_selected=None if steps is None else steps.rival_adjusted[a],
            specificity_testable=None if steps is None else bool(steps.testable[a]),
            score=name.statistic[a],
            told_auc=told.auc[a],
            told_low=told.low[a],
            told_high=told.high[a],
            p_told=told.pvalue[a],
            gap_class=gaps.status[a],
            gap_low=gaps.low[a],
            gap_high=gaps.high[a],
            ceiling_auc=best.auc[a],
            floor_placebo=placebo_floor[a],
            floor_control=control_floor[a],
            p_differs=differs[a],
            placebo_reference=None if testing.references is None else "same origin" if a in only else "all",
        )
        for a in tested
    }
    n_without = without_prompt(index, imitations)
    detectable = None
    if steps is not None:
        scored = Scored(
            observed.shared.works[0],
            imitations,
            scores,
            None if table is None else observed.shared.scorer(statistic),
            table,
        )
        detectable = detectable_auc(
            scored, index.artists, placebos, ~np.isnan(p), steps.name_called, testing, only=only
        )
    diagnostics, notes = diagnose(
        index,
        scores,
        placebos,
        testing,
        imitations,
        nearest=among.discrimination.nearest,
        learned=table,
        p_name=name.pvalue,
    )
    return found, MatchEvidence(
        placebos=tuple(index.artists[a] for a in placebos),
        question=_question(testing.unit, bool(placebos)),
        unit=testing.unit,
        statistic=statistic,
        approximate=testing.approximate,
        level=testing.level,
        adjust=testing.adjust,
        family=family,
        references_needed=references_needed(testing.level, max(1, family)),
        seed=testing.seed,
        n_resamples=testing.n_resamples,
        confidence_level=testing.confidence_level,
        overall=replace(
            _overall(
                scores,
                _shared(index, scores, imitations),
                by_name,
                found,
                family,
                None if testing.approximate or testing.unit == "work" else smallest[judged],
                testing,
            ),
            detectable_auc=detectable,
        ),
        rivals=tuple(index.artists[a] for a in numbers_of(index, testing.rivals, imitations)),
        error_rates=error_rates(index, scores, placebos, judged, testing, table),
        exchangeability=diagnostics,
        n_without_prompt=n_without,
        notes=(
            *prompt_notes(n_without, len(imitations.rows)),
            *notes,
            *sampling_notes(observed.shared.compared(testing).sampled),
        ),
    )


def _prompts(index: Index, scores: SetScores, imitations: Pictures) -> tuple[list[Int64], list[bool]]:
    """Of every artist: a label for each own imitation, its prompt or itself; and whether prompts are held fixed."""
    numbers = prompt_labels(index, imitations)[scores.order]
    ends = np.cumsum(scores.n_imitations)
    labels, fixed = [], []
    for artist, cell in enumerate(scores.own):
        own = numbers[ends[artist] - scores.n_imitations[artist] : ends[artist]][: cell.shape[1]]
        clusters, few = enough_prompts(own)
        labels.append(np.arange(len(own)) if clusters is None else clusters)
        fixed.append(few)
    return labels, fixed


def _shared(index: Index, scores: SetScores, imitations: Pictures) -> list[Int64]:
    """Return what each artist's own imitations share with those of others."""
    numbers = shared_prompts(index, imitations)[scores.order]
    starts = np.cumsum(scores.n_imitations) - scores.n_imitations
    return [numbers[start : start + cell.shape[1]] for start, cell in zip(starts, scores.own, strict=True)]


def _series(observed: Observed, testing: Testing) -> list[Int64]:
    """Return the clusters of near-duplicates of each artist's works."""
    clusters = observed.shared.clusters(testing)[observed.shared.works[1]]
    artist = observed.scores.work_artist
    order = np.argsort(artist, kind="stable")
    return np.split(
        clusters[order], np.cumsum(np.bincount(artist, minlength=len(observed.scores.sizes)))[:-1]
    )


class _Interval(TypedDict, total=False):
    """The fields of `ArtistTests` that the bootstrap gives."""

    auc_low: float
    auc_high: float
    auc_bca: tuple[float, float]
    auc_basic: tuple[float, float]
    auc_standard_error: float
    p_bootstrap: float
    n_prompts_or_imitations: int


def _interval(boot: Bootstrap | None) -> _Interval:
    if boot is None:
        return {}
    return _Interval(
        auc_low=boot.interval.low,
        auc_high=boot.interval.high,
        auc_bca=(boot.bca.low, boot.bca.high),
        auc_basic=(boot.basic.low, boot.basic.high),
        auc_standard_error=boot.standard_error,
        p_bootstrap=boot.pvalue,
        n_prompts_or_imitations=boot.n[-1],
    )


def _placebo_floor(scores: SetScores, placebos: Sequence[int]) -> Float64:
    """Mean rank percentile of all placebo names' imitations, to each artist's works, shape (A,)."""
    floor = np.full(len(scores.sizes), np.nan)
    if len(placebos):
        counts = scores.n_imitations[list(placebos)]
        near = scores.per_work[:, np.searchsorted(scores.present, placebos)] @ counts / counts.sum()
        for artist in np.flatnonzero(scores.n_works).tolist():
            floor[artist] = near[scores.work_artist == artist].mean()
    return floor


def learned_table(observed: Observed, testing: Testing) -> tuple[Statistic, SetTable | None]:
    """Score the sets by the statistic of the tests; without works of two artists there are only ranks."""
    scorer = None if testing.statistic == "rank" else observed.shared.scorer(testing.statistic)
    if scorer is None:
        return "rank", None
    if testing.statistic not in observed.tables:
        observed.tables[testing.statistic] = set_table(scorer, observed.imitations.vectors, observed.scores)
    return testing.statistic, observed.tables[testing.statistic]


def _nearest(
    scores: SetScores,
    placebos: Sequence[int],
    table: SetTable | None,
    only: Mapping[int, object],
    testing: Testing,
) -> Float64 | None:
    """Return the name p-value that the nearest real name's set would have; None if all artists count as at risk."""
    if testing.approximate:
        return None
    nearest = nearest_pvalue(scores, placebos, table)
    nearest[list(only)] = 0  # these are compared with placebo names of their own
    return nearest


def findings_by(p: Float64, untold: Flags, steps: TwoSteps | None, testing: Testing) -> list[Finding]:
    """Return the finding of each artist.

    Parameters
    ----------
    p : ndarray, shape (A,)
        p-value of the first step; NaN for artists that cannot be judged or tested.
    untold : ndarray, shape (A,), bool
        Whether the statistic does not tell works of the artist from those of others.
    steps : TwoSteps or None
        None without placebo names, or if the unit is the work.
    testing : Testing
    """
    passed = (
        called(adjust(p, method=testing.adjust), level=testing.level) if steps is None else steps.name_called
    )
    findings = []
    for artist in range(len(p)):
        if untold[artist]:
            findings.append(Finding.CANNOT_TELL)
        elif np.isnan(p[artist]):
            findings.append(Finding.NOT_TESTED)
        elif not passed[artist]:
            findings.append(Finding.NOT_SHOWN)
        elif steps is None:
            findings.append(Finding.BY_WORK if testing.unit == "work" else Finding.NEARER)
        elif steps.rival_called[artist]:
            findings.append(Finding.IMITATED)
        elif steps.testable[artist]:
            findings.append(Finding.NAME_EFFECT)
        else:
            findings.append(Finding.SPECIFICITY_NOT_TESTABLE)
    return findings


def _question(unit: str, with_placebos: bool) -> str:
    if unit == "work":
        return "are the artist's works nearer to the own imitations than works drawn from all artists are"
    if with_placebos:
        return "does the name matter, and is it this artist rather than another"
    return "is it this artist rather than another (whether the name matters is not tested: no placebo names)"


def _overall(
    scores: SetScores,
    shared: Sequence[Int64],
    tested: Sequence[int],
    artists: Mapping[int, ArtistTests],
    family: int,
    resolution: Float64 | None,
    testing: Testing,
) -> OverallTests:
    """Figures over all artists, in an order that does not depend on the index. Their draws are joint."""
    known = [a for a in tested if scores.own[a].size]
    macro, p = None, np.nan
    if known:
        macro = macro_bootstrap(
            [scores.own[a] for a in known], clusters=[shared[a] for a in known], n_resamples=testing.n_resamples,
            confidence_level=testing.confidence_level, rng=generator(testing.seed, "mean AUC interval"),
        )  # fmt: skip
        table = scores.percentiles(min(scores.sums))[np.ix_(tested, tested)]
        if len(tested) > 1 and np.isfinite(table).all():
            random = generator(testing.seed, "AUC assignment")
            p = assignment_test(table, n_resamples=testing.n_resamples, rng=random).pvalue
    fewest: int | None = 1 if family else None
    if resolution is not None:
        fewest = fewest_findable(
            resolution[np.isfinite(resolution)], level=testing.level, method=testing.adjust
        )
    return OverallTests(
        auc=macro.estimate if macro else None,
        auc_low=macro.interval.low if macro else None,
        auc_high=macro.interval.high if macro else None,
        auc_bca=(macro.bca.low, macro.bca.high) if macro else None,
        p_assignment=p,
        n_artists=len(known),
        n_shared_prompts=macro.n[1] if macro and len(macro.n) > 1 else 0,
        n_tested=family,
        findings={label: sum(one.finding == label for one in artists.values()) for label in Finding},
        fewest_findable=fewest,
    )
