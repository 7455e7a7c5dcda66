"""`imindex audit`: plan -> generate -> build -> classify -> match -> compare -> report.

`audit` lists the stages in order. Each stage stores its result in the audit's folder and is skipped while its inputs
are unchanged, so an interrupted audit resumes where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path

from msgspec.structs import replace

from imindex.indexer.build.build import BuildReport, build
from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.preprocess_bounds import REJECT, SRGB
from imindex.indexer.core.provenance import now, program, versions
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_intact
from imindex.indexer.system.atomic import clear_folder, make_folder, refuse_links
from imindex.indexer.system.locks import alone
from imindex.retrieval.audit.assess import Built, assess, texts_of
from imindex.retrieval.audit.by_api import log_digests
from imindex.retrieval.audit.inputs import Inputs, gather, named_roots, roots_of
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.models import BY_WORKS, Encoders, check_models, make
from imindex.retrieval.audit.on_cluster import encoders_of, on_cluster
from imindex.retrieval.audit.plan import EncoderSpec, Plan
from imindex.retrieval.audit.register import drawing_of, record_requests, register
from imindex.retrieval.audit.run import Run
from imindex.retrieval.audit.runs import first_provenance, recorded
from imindex.retrieval.audit.what_changed import picture_changes
from imindex.retrieval.compare.gate import outcome
from imindex.retrieval.evidence.label_lengths import label_texts, texts_to_the_name
from imindex.retrieval.results import AuditFindings, Provenance, Report


@dataclass(frozen=True)
class Outcome:
    """Result of `audit`.

    Attributes
    ----------
    folder : Path
    report : Report
        The content of report.json.
    files : list of Path
        Files of the report.
    failed : list of str
        Conditions of the gate that failed, with the reason.
    undecided : list of str
        Conditions of the gate that could not be decided, with the reason.
    """

    folder: Path
    report: Report
    files: list[Path]
    failed: list[str]
    undecided: list[str]


def audit(run: Run, *, amend: str = "", pictures: bool = True) -> Outcome:
    """Run an audit, from its plan to the report.

    Parameters
    ----------
    run : Run
    amend : str
        Reason for a change of the plan or of existing pictures since they were registered.
    pictures : bool
        Whether the report shows pictures.

    Returns
    -------
    Outcome

    Raises
    ------
    ImindexError
        Something that the plan names does not exist or differs from the register, or another audit uses this folder.
    """
    plan, started = run.plan, now()
    make_folder(run.workspace.folder, inside=run.workspace.folder)
    refusal = (
        f"{run.workspace.folder} is in use by {{by}}. Wait for it to end, or use another folder with --out."
    )
    with (
        alone(run.workspace.folder / ".lock", refusal, run.command) as killed,
        recorded(run.workspace.folder, started, run.command) as unfinished,
        on_cluster(run) as run,
    ):
        if killed:
            run.show.note(killed)
        for folder in (run.workspace.folder, *run.workspace.folder.glob("results/*")):
            clear_folder(folder)
        with run.stage("check", 0):
            drawing = drawing_of(run.workspace.folder)
            inputs = gather(plan, run.show.note, drawing=drawing, roots=named_roots(run))
        for note in inputs.notes:
            run.show.note(note)
        encoders = Encoders(run, names=[*plan.tested, *dict.fromkeys(item.artist for item in inputs.works)])
        incomplete = check_models(run, inputs, encoders)
        entries = register(
            plan,
            inputs.digests,
            run.workspace.folder,
            amend=amend,
            drawing=drawing,
            detail=lambda name: _changes(run, inputs, name),
        )
        if amend and entries[-1].why != amend:
            run.show.note("Neither plan nor pictures have changed: no amendment was recorded.")
        made = [make(run, release, inputs, whole=release.name not in incomplete) for release in plan.releases]
        if logs := log_digests(made):
            entries = [*entries, *record_requests(run.workspace.folder, logs)]
        built = [_build(run, encoder, inputs, made, encoders) for encoder in plan.encoders]
        _require_distinct(plan, built)
        findings = assess(run, inputs, entries, made, built)
        provenance = Provenance(
            command=run.command,
            program=program(),
            started=started,
            finished=now(),
            versions=versions(),
            seconds={name: round(s, 2) for name, s in run.seconds.items()},
            unfinished=unfinished,
        )
        return _report(run, findings, provenance, pictures)


def _changes(run: Run, inputs: Inputs, name: str) -> str:
    """Say which pictures of an input differ from those that the audit encoded before; empty if nothing shows it."""
    # A secret seed, or a release that the plan no longer has, has no pictures.
    items = inputs.works if name == "works" else inputs.made.get(name, ())
    return picture_changes(run.workspace.index(run.plan.encoders[0]), items, run.plan.folder) if items else ""


# Build


def _build(run: Run, encoder: EncoderSpec, inputs: Inputs, made: Sequence[Made], encoders: Encoders) -> Built:
    items: list[Item] = [*inputs.works, *(item for release in made for item in release.every_item)]
    path = run.workspace.index(encoder)
    refuse_links(path)
    if path.exists() and not _has_arms(path):
        items = [replace_fields(item, arm="", model="") for item in items]
    with run.stage(f"encode with {encoder.name}", len(items)) as progress:
        lazy = encoders.of(encoder, path)
        with encoders_of(run, lazy) as runner:
            report: BuildReport = build(
                items,
                path,
                lazy,
                prune=True,
                limits=run.compute.limits,
                roots=roots_of(run),
                command=run.command,
                runner=runner,
                progress=progress,
            )
        with Index(path) as index:
            require_intact(index)
        built = Built(path, texts_of(run, encoder, path))
        if lazy.loaded and not lazy.get().has_text:
            run.show.note(f"{encoder.name} has no text side: its pictures are {BY_WORKS}.")
        if lazy.loaded:
            with Index(path) as index:
                lists = label_texts(index.artists, run.plan.tests.labels, run.plan.label_templates)
                to_names = texts_to_the_name(index.artists, run.plan.label_templates)
            built.texts.encode_with(lazy.get(), lists, counted=to_names)
    if report.rejected:
        run.show.note(f"{report.rejected} pictures were rejected; the report lists them.")
    if report.blocked:
        run.show.note(
            f"{report.blocked} pictures are all black, so they count as blocked; the report lists them."
        )
    return built


def _require_distinct(plan: Plan, built: Sequence[Built]) -> None:
    """Refuse the same network under two names, which would seem to confirm itself; its precision does not matter."""
    names: dict[str, str] = {}
    for spec, one in zip(plan.encoders, built, strict=True):
        with Index(one.path) as index:
            info = index.encoder.rendered(SRGB, REJECT)
        network = json_digest([info.weights_sha256, info.config, info.preprocess])
        other = names.setdefault(network, spec.name)
        if other != spec.name:
            raise ImindexError(
                f"{plan.path}: the encoders {other} and {spec.name} are the same network, so one cannot confirm what "
                "the other finds. Drop one of them from the plan, or name another encoder."
            )


def _has_arms(path: Path) -> bool:
    """Return whether an index has arms. That of an audit which was begun before there were any stays as it is."""
    with Index(path) as index:
        return any(index.column("arm"))


# Report


def _report(run: Run, findings: AuditFindings, provenance: Provenance, pictures: bool) -> Outcome:
    from imindex.retrieval.report.report import assemble, renderer, write

    with run.stage("report", 0):
        report = assemble(findings, provenance)
        provenance = first_provenance(report, run.workspace.folder / "report.json")
        report = replace(report, provenance=replace(provenance, rendering=renderer()))
        files = write(report, run.workspace.folder, base=run.workspace.folder, pictures=pictures)
    failed, undecided = (
        [verdict.reason for verdict in findings.gate if outcome(verdict) == kind]
        for kind in ("failed", "undecided")
    )
    return Outcome(run.workspace.folder, report, list(files), failed, undecided)
