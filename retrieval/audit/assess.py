"""Pictures and indexes -> classification, matching, comparisons and gate verdicts."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from imindex.indexer.store.index import Index
from imindex.retrieval.audit.inputs import Inputs
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.models import encoder_arguments
from imindex.retrieval.audit.plan import EncoderSpec, Plan, Release
from imindex.retrieval.audit.record import encoder_record, plan_record, rejected_pictures, release_record
from imindex.retrieval.audit.results_cache import _kept, results_file
from imindex.retrieval.audit.run import Run
from imindex.retrieval.evidence.classify_release import classify_release
from imindex.retrieval.evidence.gallery import gallery
from imindex.retrieval.evidence.match_release import match_release
from imindex.retrieval.evidence.near_copies import copies
from imindex.retrieval.evidence.testing import Testing
from imindex.retrieval.results import AuditFindings, AuditResult, Comparison, RegisterEntry, Verdict


def assess(
    run: Run,
    inputs: Inputs,
    entries: Sequence[RegisterEntry],
    made: Sequence[Made],
    built: Sequence[Path],
) -> AuditFindings:
    """Classify, match, test and compare the releases by each encoder.

    Parameters
    ----------
    run : Run
    inputs : Inputs
    entries : sequence of RegisterEntry
    made : sequence of Made
        The releases, in the plan's order.
    built : sequence of Path
        The encoders' indexes, likewise.

    Returns
    -------
    AuditFindings
    """
    plan = run.plan
    results = tuple(
        _result(run, encoder, path, release, inputs)
        for encoder, path in zip(plan.encoders, built, strict=True)
        for release in plan.releases
    )
    comparisons = tuple(
        _comparison(run, encoder, path, release, inputs, results)
        for encoder, path in zip(plan.encoders, built, strict=True)
        for release in plan.releases
        if plan.base and release.name != plan.base
    )
    return AuditFindings(
        title=plan.title,
        plan=plan_record(plan, inputs, entries),
        encoders=tuple(encoder_record(e, path) for e, path in zip(plan.encoders, built, strict=True)),
        releases=tuple(release_record(release, inputs) for release in made),
        results=results,
        comparisons=comparisons,
        gate=_gate(plan, results, comparisons),
        rejects=rejected_pictures(built),
    )


def testing_of(plan: Plan, release: Release, inputs: Inputs) -> Testing:
    """How a release is tested: against its own placebo names."""
    tests = plan.tests
    return Testing(
        placebos=tuple(glob.escape(name) for name in inputs.placebos[release.name]),
        level=tests.level,
        adjust=tests.adjust,
        n_resamples=tests.n_resamples,
        confidence_level=tests.confidence_level,
        seed=plan.seed,
    )


def _result(run: Run, encoder: EncoderSpec, path: Path, release: Release, inputs: Inputs) -> AuditResult:
    """Classification, matching, galleries and near-copies of one release by one encoder."""
    plan = run.plan
    testing = testing_of(plan, release, inputs)
    how: dict[str, Any] = {"labels": plan.tests.labels, "templates": plan.label_templates}
    asked = {"testing": asdict(testing), **how, "copies": plan.tests.copies, "tested": plan.tested}
    moved = {**encoder_arguments(plan, encoder, paths_only=True), "device": run.device}

    def compute() -> AuditResult:
        who: dict[str, Any] = {"artists": plan.tested, "testing": testing}
        named = classify_release(path, release.name, **who, encoder=moved, **how)
        by_works = classify_release(path, release.name, **who, by="works")
        matching = match_release(path, release.name, testing=testing)
        with Index(path) as index:
            shown = gallery(index, release.name, plan.tested)
            copied = copies(index, release.name, plan.tests.copies)
        return AuditResult(
            release=release.name,
            encoder=encoder.name,
            classification=named,
            by_works=by_works,
            matching=matching,
            rank_histogram={artist: one.rank_histogram for artist, one in shown.items()},
            neighbours={artist: one.neighbours for artist, one in shown.items()},
            copies=copied,
        )

    file = results_file(run.folder, path, release.name)
    with run.stage(f"test {release.name} by {encoder.name}", 0):
        return _kept(run, file, path, asked, AuditResult, compute)


def _comparison(
    run: Run,
    encoder: EncoderSpec,
    path: Path,
    release: Release,
    inputs: Inputs,
    results: Sequence[AuditResult],
) -> Comparison:
    """What changed from the base release to this one, by one encoder."""
    from imindex.retrieval.compare.releases import Side, compare

    plan = run.plan
    testing = testing_of(plan, release, inputs)
    how: dict[str, Any] = {"labels": plan.tests.labels, "templates": plan.label_templates}
    asked = {"testing": asdict(testing), "base_placebos": inputs.placebos[plan.base], **how}

    def side(name: str) -> Side:
        result = next(r for r in results if (r.release, r.encoder) == (name, encoder.name))
        findings = {row.artist: row.finding for row in result.matching.artists if row.finding is not None}
        return Side(path, name, findings, [glob.escape(one) for one in inputs.placebos[name]])

    def compute() -> Comparison:
        moved = {**encoder_arguments(plan, encoder, paths_only=True), "device": run.device}
        found = compare(side(plan.base), side(release.name), testing=testing, encoder=moved, **how)
        return replace(
            found, base=replace(found.base, index=path.name), new=replace(found.new, index=path.name)
        )

    file = results_file(run.folder, path, release.name, plan.base)
    with run.stage(f"compare {release.name} with {plan.base} by {encoder.name}", 0):
        return replace(_kept(run, file, path, asked, Comparison, compute), encoder=encoder.name)


def _gate(
    plan: Plan, results: Sequence[AuditResult], comparisons: Sequence[Comparison]
) -> tuple[Verdict, ...]:
    from imindex.retrieval.compare.gate import verdicts

    if not plan.fail_if:
        return ()
    return verdicts(plan.fail_if, plan.base, results, comparisons)
