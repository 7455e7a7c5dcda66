"""`imindex audit`: a written plan -> generate -> build -> classify -> match -> compare -> report.

Read from top to bottom, `audit` is the whole story. Every stage leaves its result in the audit's folder and is not done
again while what it came from is the same, so a run that was stopped goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import glob
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from indexer.build import BuildReport, build
from indexer.console import json_ready
from indexer.contents import canonical_json, json_digest
from indexer.files import clear_folder, make_folder, put_in_place
from indexer.lazy_encoder import encoder_for
from indexer.limits import Limits
from indexer.locks import alone
from indexer.prompts import safe_name, slug
from indexer.provenance import now, program, versions
from indexer.sources import Item
from indexer.store import Index
from retrieval.attribution import classify_release, match_release
from retrieval.audit_inputs import Inputs, gather
from retrieval.audit_models import Made, check_models, encoder_arguments, make
from retrieval.audit_record import asked, encoder_of, rejects, release_of
from retrieval.copies import copies
from retrieval.evidence import Testing
from retrieval.gallery import gallery
from retrieval.plan import EncoderSpec, Plan, Release
from retrieval.register import register

Progress = Callable[[int, int], None]


class Show:
    """Where an audit tells how far it is; this one tells nobody."""

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """A stage begins; yields the function to call with (done, done in this run)."""
        yield lambda done, new: None

    def note(self, text: str) -> None:
        """Something a reader should know."""


@dataclass(frozen=True)
class Outcome:
    """What an audit came to.

    Attributes
    ----------
    folder : Path
    report : dict
        The content of report.json.
    files : list of Path
        What was written for readers.
    failed : list of str
        The gate's conditions that failed, with the reason.
    """

    folder: Path
    report: dict[str, Any]
    files: list[Path]
    failed: list[str]


@dataclass(frozen=True)
class Run:
    """One run of an audit: the plan, where it lies, and how it computes.

    A run that `keeps` takes the results that it finds in the folder, and leaves its own there; one that does not
    computes all of them, and writes nothing.
    """

    plan: Plan
    folder: Path
    device: str = "auto"
    batch_size: int | None = None
    generate_batch: int | None = None
    limits: Limits = field(default_factory=Limits)
    command: str = ""
    show: Show = field(default_factory=Show)
    seconds: dict[str, float] = field(default_factory=dict)
    keeps: bool = True

    @contextlib.contextmanager
    def stage(self, name: str, total: int) -> Iterator[Progress]:
        """Show a stage, and take its time."""
        started = time.monotonic()
        with self.show.stage(name, total) as progress:
            yield progress
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started


def audit(run: Run, *, amend: str = "", pictures: bool = True) -> Outcome:
    """Take a plan and its releases to a finished report.

    Parameters
    ----------
    run : Run
    amend : str
        Why the plan, or the pictures that were there before, have changed since they were registered.
    pictures : bool
        Whether the report shows pictures.

    Returns
    -------
    Outcome

    Raises
    ------
    ImindexError
        What the plan names is not there, or not what was registered; another audit is at work in this folder.
    """
    plan, started = run.plan, now()
    make_folder(run.folder)
    refusal = (
        f"{run.folder} is being audited into by {{by}}. Wait for it to end, or audit into another with --out."
    )
    with alone(run.folder / ".lock", refusal, run.command) as killed:
        if killed:
            run.show.note(killed)
        for folder in (run.folder, *run.folder.glob("results/*")):
            clear_folder(folder)
        with run.stage("check", 0):
            inputs = gather(plan, run.show.note)
        for note in inputs.notes:
            run.show.note(note)
        incomplete = check_models(run, inputs)
        entries = register(plan, inputs.digests, run.folder, amend=amend)
        if amend and entries[-1]["why"] != amend:
            run.show.note("Neither plan nor pictures have changed: no amendment was recorded.")
        made = [make(run, one, inputs, whole=one.name not in incomplete) for one in plan.releases]
        built = [_build(run, encoder, inputs, made) for encoder in plan.encoders]
        raw = assess(run, inputs, entries, made, built)
        raw["provenance"] = {
            "command": run.command,
            "program": program(),
            "started": started,
            "finished": now(),
            "versions": versions(),
            "seconds": {name: round(s, 2) for name, s in run.seconds.items()},
        }
        return _report(run, json_ready(raw), pictures)


def assess(
    run: Run,
    inputs: Inputs,
    entries: Sequence[Mapping[str, Any]],
    made: Sequence[Made],
    built: Sequence[Path],
) -> dict[str, Any]:
    """What pictures and indexes come to: all that a report is made of, but for its provenance.

    Parameters
    ----------
    run : Run
    inputs : Inputs
    entries : sequence of mapping
        Of the register.
    made : sequence of Made
        The releases, in the plan's order.
    built : sequence of Path
        The encoders' indexes, likewise.
    """
    plan = run.plan
    results = [
        _result(run, encoder, path, release, inputs)
        for encoder, path in zip(plan.encoders, built, strict=True)
        for release in plan.releases
    ]
    comparisons = [
        _comparison(run, encoder, path, release, inputs, results)
        for encoder, path in zip(plan.encoders, built, strict=True)
        for release in plan.releases
        if plan.base and release.name != plan.base
    ]
    return {
        "title": plan.title,
        "plan": asked(plan, inputs, entries),
        "encoders": [encoder_of(e, path) for e, path in zip(plan.encoders, built, strict=True)],
        "releases": [release_of(one, inputs) for one in made],
        "results": results,
        "comparisons": comparisons,
        "gate": _gate(plan, results, comparisons),
        "rejects": rejects(built),
    }


# Build


def index_path(folder: Path, encoder: EncoderSpec) -> Path:
    """Where the index of an encoder lies: another encoder under the same name is another file."""
    said = canonical_json([encoder.name, encoder.model, encoder.pretrained, encoder.precision])
    return folder / f"{safe_name(encoder.name, said)}.h5"


def _build(run: Run, encoder: EncoderSpec, inputs: Inputs, made: Sequence[Made]) -> Path:
    items: list[Item] = [*inputs.works, *(item for one in made for item in one.items)]
    path = index_path(run.folder, encoder)
    named = {} if path.exists() else encoder_arguments(run.plan, encoder)
    with run.stage(f"encode with {encoder.name}", len(items)) as progress:
        lazy = encoder_for(path, **named, device=run.device, batch_size=run.batch_size)
        report: BuildReport = build(
            items, path, lazy, prune=True, limits=run.limits, command=run.command, progress=progress
        )
    if report.rejected:
        run.show.note(f"{report.rejected} pictures could not be read; the report lists them.")
    return path


# Classify, match


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


def _result(run: Run, encoder: EncoderSpec, path: Path, release: Release, inputs: Inputs) -> dict[str, Any]:
    """Classification, matching, galleries and near-copies of one release by one encoder."""
    plan = run.plan
    testing = testing_of(plan, release, inputs)
    how: dict[str, Any] = {"labels": plan.tests.labels, "templates": plan.label_templates}
    asked = {"testing": asdict(testing), **how, "copies": plan.tests.copies, "tested": plan.tested}
    moved = {**encoder_arguments(plan, encoder, paths_only=True), "device": run.device}

    def compute() -> dict[str, Any]:
        who: dict[str, Any] = {"artists": plan.tested, "testing": testing}
        named = classify_release(path, release.name, **who, encoder=moved, **how)
        by_works = classify_release(path, release.name, **who, by="works")
        matching = match_release(path, release.name, testing=testing)
        with Index(path) as index:
            shown = gallery(index, release.name, plan.tested)
            copied = copies(index, release.name, plan.tests.copies)
        return {
            "release": release.name,
            "encoder": encoder.name,
            "classification": named,
            "by_works": by_works,
            "matching": matching,
            "rank_histogram": {artist: one["rank_histogram"] for artist, one in shown.items()},
            "neighbours": {artist: one["neighbours"] for artist, one in shown.items()},
            "copies": copied,
        }

    file = results_file(run.folder, path, release.name)
    with run.stage(f"test {release.name} by {encoder.name}", 0):
        return _kept(run, file, path, asked, compute)


def _comparison(
    run: Run,
    encoder: EncoderSpec,
    path: Path,
    release: Release,
    inputs: Inputs,
    results: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What changed from the base release to this one, by one encoder."""
    from retrieval.compare import Side, compare

    plan = run.plan
    testing = testing_of(plan, release, inputs)
    how: dict[str, Any] = {"labels": plan.tests.labels, "templates": plan.label_templates}
    asked = {"testing": asdict(testing), "base_placebos": inputs.placebos[plan.base], **how}

    def side(name: str) -> Side:
        result = next(r for r in results if (r["release"], r["encoder"]) == (name, encoder.name))
        rows = result["matching"]["artists"]
        findings = {row["artist"]: row["finding"] for row in rows if "finding" in row}
        return Side(path, name, findings, [glob.escape(one) for one in inputs.placebos[name]])

    def compute() -> dict[str, Any]:
        moved = {**encoder_arguments(plan, encoder, paths_only=True), "device": run.device}
        found = compare(side(plan.base), side(release.name), testing=testing, encoder=moved, **how)
        for one in ("base", "new"):
            found[one]["index"] = path.name
        return found

    file = results_file(run.folder, path, release.name, plan.base)
    with run.stage(f"compare {release.name} with {plan.base} by {encoder.name}", 0):
        return {**_kept(run, file, path, asked, compute), "encoder": encoder.name}


def results_file(folder: Path, index: Path, release: str, base: str = "") -> Path:
    """Where the results of a release by an index are kept, or its comparison with a base."""
    against = f"-against-{slug(base)}" if base else ""
    return folder / "results" / index.stem / f"{slug(release)}{against}.json"


def _kept(
    run: Run, file: Path, path: Path, asked: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The result in `file` if it came from this index and this question; else compute and keep it."""
    if not run.keeps:
        fresh: dict[str, Any] = json_ready(compute())
        return fresh
    with Index(path) as index:
        roots = [index.root_digest]
    key = json_ready({"roots": roots, "asked": asked, "program": program(), "versions": versions()})
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] == key and kept["digest"] == json_digest(kept["result"]):
            result: dict[str, Any] = kept["result"]
            return result
    result = json_ready(compute())
    make_folder(file.parent)
    with put_in_place(file) as temporary:
        temporary.write_text(
            json.dumps({"key": key, "digest": json_digest(result), "result": result}, indent=1),
            encoding="utf-8",
        )
    return result


# Report


def _gate(
    plan: Plan, results: Sequence[Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    from retrieval.gate import verdicts

    if not plan.fail_if:
        return []
    return verdicts(plan.fail_if, plan.base, results, comparisons)


def _report(run: Run, raw: Mapping[str, Any], pictures: bool) -> Outcome:
    from retrieval.report import assemble, write

    with run.stage("report", 0):
        report = assemble(raw)
        files = write(report, run.folder, base=run.folder, pictures=pictures)
    failed = [one["reason"] for one in raw["gate"] if one["failed"]]
    return Outcome(run.folder, report, list(files), failed)
