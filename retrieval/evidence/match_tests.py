"""Tests, confidence intervals and a finding for each artist of a release, from its ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.release_walk import Observed
from imindex.retrieval.evidence.testing import (
    Testing,
    enough_prompts,
    placebo_numbers,
    prompt_labels,
)
from imindex.retrieval.findings import GAP_CLASSES, ROBUST, Finding
from imindex.retrieval.results import Adjust, ArtistTests, MatchEvidence, OverallTests
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.intervals import Bootstrap
from imindex.stats.keyed import generator, generators
from imindex.stats.multiple import Adjusted, adjust_all, called
from imindex.stats.permutation import assignment_test
from imindex.stats.references import imitated, name_test, references_needed, rival_test
from imindex.stats.resampling import bootstrap_artists, macro_bootstrap, work_test
from imindex.stats.set_scores import SetScores


def match_evidence(observed: Observed, testing: Testing) -> tuple[dict[int, ArtistTests], MatchEvidence]:
    """Test each artist, and all artists jointly.

    Parameters
    ----------
    observed : Observed
        The release, observed with this `testing`.
    testing : Testing

    Returns
    -------
    artists : dict of int to ArtistTests
        Artists with works and imitations, keyed by their number in the index.
    evidence : MatchEvidence
        The method, and the tests over all artists.
    """
    index, scores, imitations = observed.shared.index, observed.scores, observed.imitations
    placebos = placebo_numbers(index, testing.placebos, imitations)
    n_artists = len(index.artists)
    prompts, fixed = _prompts(index, scores, imitations)
    boots = bootstrap_artists(
        scores.own,
        clusters=prompts,
        n_resamples=testing.n_resamples,
        confidence_level=testing.confidence_level,
        rng=generators(testing.seed, "AUC interval", index.artists),
    )
    name, rival = name_test(scores, placebos), rival_test(scores, placebos)
    by_work = work_test(
        scores, n_resamples=testing.n_resamples, rng=generators(testing.seed, "work test", index.artists)
    )
    missing = np.full(n_artists, np.nan)
    placebo_floor = _placebo_floor(scores, placebos)
    control_floor = missing if observed.control is None else observed.control.finish()
    differs = missing if observed.differences is None else observed.differences.finish()
    among = observed.shared.among(testing)
    gaps, ceiling = among.gaps, among.ceiling
    assert gaps is not None and ceiling is not None
    robust = np.array([status == ROBUST for status in gaps.status])
    p_name, p_rival = (name.pvalue_t, rival.pvalue_t) if testing.approximate else (name.pvalue, rival.pvalue)
    p = imitated(name, rival, approximate=testing.approximate) if placebos else p_rival
    p = by_work.pvalue if testing.unit == "work" else p
    # Gaps depend only on works, so selecting artists by their gap does not bias the tests.
    adjusted, names = adjust_all(np.where(robust, p, np.nan)), adjust_all(np.where(robust, p_name, np.nan))
    family = max(adjusted.n_tests, names.n_tests)
    findings = _findings(gaps.status, adjusted, names, testing, bool(placebos))
    tested = [a for a in range(n_artists) if scores.sizes[a] > 0]
    by_name = sorted(tested, key=lambda a: index.artists[a])
    tests = {
        a: ArtistTests(
            artist=index.artists[a],
            finding=findings[a],
            **_interval(boots[a]),
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
            p=p[a],
            p_holm=adjusted.holm[a],
            p_bh=adjusted.bh[a],
            p_by=adjusted.by[a],
            p_name_holm=names.holm[a],
            p_name_bh=names.bh[a],
            p_name_by=names.by[a],
            gap_class=gaps.status[a],
            gap_low=gaps.low[a],
            gap_high=gaps.high[a],
            ceiling_auc=ceiling.auc[a],
            floor_placebo=placebo_floor[a],
            floor_control=control_floor[a],
            p_differs=differs[a],
        )
        for a in tested
    }
    return tests, MatchEvidence(
        placebos=tuple(index.artists[a] for a in placebos),
        question=_question(testing.unit, bool(placebos)),
        unit=testing.unit,
        approximate=testing.approximate,
        level=testing.level,
        adjust=testing.adjust,
        family=family,
        references_needed=references_needed(testing.level, max(1, family)),
        seed=testing.seed,
        n_resamples=testing.n_resamples,
        confidence_level=testing.confidence_level,
        overall=_overall(scores, boots, by_name, tests, family, testing),
    )


def _prompts(index: Index, scores: SetScores, imitations: Pictures) -> tuple[list[Int64], list[bool]]:
    """Return, for each artist, the resampling unit of each own imitation, and whether prompts are held fixed.

    The unit is the prompt if there are enough prompts, else the imitation.
    """
    numbers = prompt_labels(index, imitations)[scores.order]
    ends = np.cumsum(scores.n_imitations)
    labels, fixed = [], []
    for artist, cell in enumerate(scores.own):
        own = numbers[ends[artist] - scores.n_imitations[artist] : ends[artist]][: cell.shape[1]]
        clusters, too_few = enough_prompts(own)
        labels.append(np.arange(len(own)) if clusters is None else clusters)
        fixed.append(too_few)
    return labels, fixed


class _Interval(TypedDict, total=False):
    """The fields of `ArtistTests` that the bootstrap fills."""

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
        auc_low=boot.percentile.low,
        auc_high=boot.percentile.high,
        auc_bca=(boot.bca.low, boot.bca.high),
        auc_basic=(boot.basic.low, boot.basic.high),
        auc_standard_error=boot.standard_error,
        p_bootstrap=boot.pvalue,
        n_prompts_or_imitations=boot.n[-1],
    )


def _placebo_floor(scores: SetScores, placebos: Sequence[int]) -> Float64:
    """Return the mean rank percentile of all placebo imitations for each artist's works, shape (A,)."""
    floor = np.full(len(scores.sizes), np.nan)
    if len(placebos):
        counts = scores.n_imitations[list(placebos)]
        near = scores.per_work[:, list(placebos)] @ counts / counts.sum()
        for artist in np.flatnonzero(scores.n_works).tolist():
            floor[artist] = near[scores.work_artist == artist].mean()
    return floor


def _findings(
    gap_status: Sequence[str], both: Adjusted, name: Adjusted, testing: Testing, with_placebos: bool
) -> list[Finding]:
    """Return each artist's finding after correction: from both tests, or else from the name test alone."""
    p = _by_method(both, testing.adjust)
    significant = called(p, level=testing.level)
    p_name = _by_method(name, testing.adjust)
    name_significant = called(p_name, level=testing.level)
    named = testing.unit == "artist" and with_placebos
    strongest = Finding.BY_WORK if testing.unit == "work" else Finding.IMITATED if named else Finding.NEARER
    findings = []
    for artist, status in enumerate(gap_status):
        if status in GAP_CLASSES and status != ROBUST:
            findings.append(Finding.CANNOT_TELL)
        elif np.isnan(p[artist]) and not (named and np.isfinite(p_name[artist])):
            findings.append(Finding.NOT_TESTED)
        elif significant[artist]:
            findings.append(strongest)
        else:
            findings.append(Finding.NAME_MATTERS if named and name_significant[artist] else Finding.NOT_SHOWN)
    return findings


def _by_method(adjusted: Adjusted, method: Adjust) -> Float64:
    return {"holm": adjusted.holm, "bh": adjusted.bh, "by": adjusted.by}[method]


def _question(unit: str, with_placebos: bool) -> str:
    if unit == "work":
        return "are the artist's works nearer to the own imitations than works drawn from all artists are"
    if with_placebos:
        return "does the name matter, and is it this artist rather than another"
    return "is it this artist rather than another (whether the name matters is not tested: no placebo names)"


def _overall(
    scores: SetScores,
    boots: Sequence[Bootstrap | None],
    tested: Sequence[int],
    artists: Mapping[int, ArtistTests],
    family: int,
    testing: Testing,
) -> OverallTests:
    """Return figures over all artists, resampled jointly, in an order that does not depend on the index."""
    known = [boot for boot in (boots[a] for a in tested) if boot is not None]
    macro, p = None, np.nan
    if known:
        macro = macro_bootstrap(
            known, n_resamples=testing.n_resamples, confidence_level=testing.confidence_level,
            rng=generator(testing.seed, "mean AUC interval"),
        )  # fmt: skip
        table = scores.percentiles(min(scores.sums))[np.ix_(tested, tested)]
        if len(tested) > 1 and np.isfinite(table).all():
            rng = generator(testing.seed, "AUC assignment")
            p = assignment_test(table, n_resamples=testing.n_resamples, rng=rng).pvalue
    name_matters = [artist for artist in artists.values() if artist.finding == Finding.NAME_MATTERS]
    return OverallTests(
        auc=macro.estimate if macro else None,
        auc_low=macro.percentile.low if macro else None,
        auc_high=macro.percentile.high if macro else None,
        auc_bca=(macro.bca.low, macro.bca.high) if macro else None,
        p_assignment=p,
        n_artists=len(known),
        n_tested=family,
        findings={
            finding: sum(artist.finding == finding for artist in artists.values()) for finding in Finding
        },
        n_name_matters_and_rival_below_level=sum(
            artist.p_rival is not None and artist.p_rival <= testing.level for artist in name_matters
        ),
    )
