"""Ranks of a release -> tests, intervals and a finding for each artist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imindex.indexer.store.index import Index
from imindex.retrieval.evidence.release_walk import Observed
from imindex.retrieval.evidence.testing import (
    ADJUSTMENTS,
    Testing,
    enough_prompts,
    placebo_numbers,
    prompt_labels,
)
from imindex.retrieval.findings import GAP_CLASSES, ROBUST, Finding
from imindex.retrieval.results import ArtistTests, MatchEvidence, OverallTests
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.retrieval.vectors.select import Pictures
from imindex.stats.intervals import Bootstrap
from imindex.stats.keyed import generator, generators
from imindex.stats.multiple import Adjusted, adjust_all, called
from imindex.stats.permutation import assignment_test
from imindex.stats.references import ReferenceTest, imitated, name_test, references_needed, rival_test
from imindex.stats.resampling import bootstrap_artists, macro_bootstrap, work_test
from imindex.stats.set_scores import SetScores


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
    how: dict[str, Any] = {"n_resamples": testing.n_resamples, "confidence_level": testing.confidence_level}
    prompts, fixed = _prompts(index, scores, imitations)
    boots = bootstrap_artists(
        scores.own, clusters=prompts, rng=generators(testing.seed, "AUC interval", index.artists), **how
    )
    name, rival = name_test(scores, placebos), rival_test(scores, placebos)
    by_work = work_test(
        scores, n_resamples=testing.n_resamples, rng=generators(testing.seed, "work test", index.artists)
    )
    nothing = np.full(n_artists, np.nan)
    floors = {
        "placebo": _placebo_floor(scores, placebos),
        "control": nothing if observed.control is None else observed.control.finish(),
    }
    differs = nothing if observed.differences is None else observed.differences.finish()
    among = observed.shared.among(testing)
    gaps, best = among.gaps, among.ceiling
    assert gaps is not None and best is not None
    tells = np.array([label == ROBUST for label in gaps.status])
    p_name, p_rival = (name.pvalue_t, rival.pvalue_t) if testing.approximate else (name.pvalue, rival.pvalue)
    p = imitated(name, rival, approximate=testing.approximate) if placebos else p_rival
    p = by_work.pvalue if testing.unit == "work" else p
    # The gap rests on works only, so to choose by it does not bend the tests.
    adjusted, names = adjust_all(np.where(tells, p, np.nan)), adjust_all(np.where(tells, p_name, np.nan))
    family = max(adjusted.n_tests, names.n_tests)
    findings = _findings(gaps.status, adjusted, names, testing, bool(placebos))
    tested = [a for a in range(n_artists) if scores.sizes[a] > 0]
    by_name = sorted(tested, key=lambda a: index.artists[a])
    found = {
        a: ArtistTests(
            artist=index.artists[a],
            finding=findings[a],
            **_interval(boots[a]),
            prompts_held_fixed=bool(fixed[a]),
            **_reference("name", name, a),
            **_reference("rival", rival, a),
            set_size=int(rival.set_size[a]),
            p_work=by_work.pvalue[a],
            p=p[a],
            **{f"p_{method}": getattr(adjusted, method)[a] for method in ADJUSTMENTS},
            **{f"p_name_{method}": getattr(names, method)[a] for method in ADJUSTMENTS},
            gap_class=gaps.status[a],
            gap_low=gaps.low[a],
            gap_high=gaps.high[a],
            ceiling_auc=best.auc[a],
            floor_placebo=floors["placebo"][a],
            floor_control=floors["control"][a],
            p_differs=differs[a],
        )
        for a in tested
    }
    return found, MatchEvidence(
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
        overall=_overall(scores, boots, by_name, found, family, testing),
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


def _interval(boot: Bootstrap | None) -> dict[str, Any]:
    if boot is None:
        return {}
    return {
        "auc_low": boot.percentile.low,
        "auc_high": boot.percentile.high,
        "auc_bca": (boot.bca.low, boot.bca.high),
        "auc_basic": (boot.basic.low, boot.basic.high),
        "auc_standard_error": boot.standard_error,
        "p_bootstrap": boot.pvalue,
        "n_prompts_or_imitations": boot.n[-1],
    }


def _reference(label: str, test: ReferenceTest, artist: int) -> dict[str, Any]:
    return {
        f"p_{label}": test.pvalue[artist],
        f"p_{label}_approximate": test.pvalue_t[artist],
        f"z_{label}": test.z[artist],
        f"n_{label}_references": int(test.n_reference[artist]),
        f"n_{label}_at_least_as_near": int(test.n_at_least[artist]),
        f"n_{label}_left_out": int(test.n_left_out[artist]),
        f"resolution_{label}": test.resolution[artist],
        f"status_{label}": test.status[artist],
    }


def _placebo_floor(scores: SetScores, placebos: Sequence[int]) -> Float64:
    """Mean rank percentile of all placebo names' imitations, to each artist's works, shape (A,)."""
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
    """Each artist's finding, after correction: of both tests, else of the name alone, else none."""
    p: Float64 = getattr(both, testing.adjust)
    passed = called(p, level=testing.level)
    by_name: Float64 = getattr(name, testing.adjust)
    name_passed = called(by_name, level=testing.level)
    named = testing.unit == "artist" and with_placebos
    best = Finding.BY_WORK if testing.unit == "work" else Finding.IMITATED if named else Finding.NEARER
    findings = []
    for artist, status in enumerate(gap_status):
        if status in GAP_CLASSES and status != ROBUST:
            findings.append(Finding.CANNOT_TELL)
        elif np.isnan(p[artist]) and not (named and np.isfinite(by_name[artist])):
            findings.append(Finding.NOT_TESTED)
        elif passed[artist]:
            findings.append(best)
        else:
            findings.append(Finding.NAME_MATTERS if named and name_passed[artist] else Finding.NOT_SHOWN)
    return findings


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
    """Figures over all artists, in an order that does not depend on the index. Their draws are joint."""
    known = [boot for boot in (boots[a] for a in tested) if boot is not None]
    macro, p = None, np.nan
    if known:
        macro = macro_bootstrap(
            known, n_resamples=testing.n_resamples, confidence_level=testing.confidence_level,
            rng=generator(testing.seed, "mean AUC interval"),
        )  # fmt: skip
        table = scores.percentiles(min(scores.sums))[np.ix_(tested, tested)]
        if len(tested) > 1 and np.isfinite(table).all():
            random = generator(testing.seed, "AUC assignment")
            p = assignment_test(table, n_resamples=testing.n_resamples, rng=random).pvalue
    matters = [one for one in artists.values() if one.finding == Finding.NAME_MATTERS]
    return OverallTests(
        auc=macro.estimate if macro else None,
        auc_low=macro.percentile.low if macro else None,
        auc_high=macro.percentile.high if macro else None,
        auc_bca=(macro.bca.low, macro.bca.high) if macro else None,
        p_assignment=p,
        n_artists=len(known),
        n_tested=family,
        findings={label: sum(one.finding == label for one in artists.values()) for label in Finding},
        n_name_matters_and_rival_below_level=sum(
            one.p_rival is not None and one.p_rival <= testing.level for one in matters
        ),
    )
