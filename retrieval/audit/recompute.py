"""Recompute a stored audit from its plan, pictures and indexes, and compare the result with the stored report.

Nothing is written to the audit's folder. No pictures are generated, and no cached result is used.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.provenance import versions
from imindex.indexer.integrity.seal import (
    DIFFERS,
    IDENTICAL,
    REWRITTEN,
    UNCHECKED,
    Match,
    SealedAudit,
    file_digest,
)
from imindex.indexer.integrity.verify import Fault, opened, verify_index
from imindex.indexer.system.input_files import read_input, read_text
from imindex.retrieval.audit.assess import Built, assess, texts_of
from imindex.retrieval.audit.by_api import log_digests
from imindex.retrieval.audit.decisions import decided
from imindex.retrieval.audit.inputs import Inputs, gather
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.models import made_before, named_as_planned
from imindex.retrieval.audit.plan import EncoderSpec, Plan, read_plan
from imindex.retrieval.audit.provenance_check import provenance_faults
from imindex.retrieval.audit.register import changed, read_register
from imindex.retrieval.audit.row_check import row_faults
from imindex.retrieval.audit.run import Run, Workspace
from imindex.retrieval.evidence.testing import version_of_tests
from imindex.retrieval.report.rendering import PAGE, TABLE, Rendered, check_rendered
from imindex.retrieval.report.report import assemble, files_of_answers
from imindex.retrieval.results import (
    AuditFindings,
    AuditResult,
    Comparison,
    Provenance,
    RegisterEntry,
    from_dict,
    to_dict,
)
from imindex.retrieval.results.questions import Answered
from imindex.retrieval.results.report_digest import covered, digest
from imindex.stats.keyed import STREAMS

StoredReport = dict[str, Any]
"""The content of a report.json, possibly of an older version or edited: it is compared, not decoded into types."""
REPORT = "report.json"
ROUNDING = 1e-9
"""Relative difference of two floats that counts as rounding: sums in another order differ by less than 1e-12."""
_LISTED = 20
_NAMES = ("name", "artist", "release", "encoder")


@dataclass
class Recomputed:
    """Result of `recompute`.

    Attributes
    ----------
    folder : Path
    plan : str
        Digest of the plan in the last entry of the register.
    stored, now : str
        Digests of the stored and the recomputed report.
    figures : int
        Number of values compared.
    versions : dict
        Packages whose version differs from that of the stored report: (then, now).
    other_streams : bool
        Whether the cached results used other random streams than this version of imindex. Bootstrap intervals and
        Monte-Carlo p-values then differ by Monte-Carlo error; all other figures are the same.
    other_tests : bool
        Whether the audit used an earlier version of the tests. Findings and p-values of the tests then differ, and
        only values that both versions have are compared.
    tests_before : int
        That version; 0 if it is the present one.
    same : tuple of str
        Files of the report that agree with a new rendering.
    notes : tuple of str
        What was compared of the page and the table, and what could not be compared.
    faults : list of Fault
    """

    folder: Path
    plan: str
    stored: str = ""
    now: str = ""
    figures: int = 0
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    other_streams: bool = False
    other_tests: bool = False
    tests_before: int = 0
    same: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    faults: list[Fault] = field(default_factory=list)


def plan_of(folder: Path) -> Path:
    """Return the path of an audit's plan, for an audit in its default folder.

    Raises
    ------
    ImindexError
    """
    path = folder.absolute()
    plan = path.with_name(f"{path.name.removesuffix('-audit')}.toml")
    if not path.name.endswith("-audit") or not plan.exists():
        raise ImindexError(f"There is no plan next to {folder}. Pass it with --plan.")
    return plan


def recompute(run: Run) -> Recomputed:
    """Recompute the results of an audit and list the differences from the stored ones.

    Parameters
    ----------
    run : Run
        With the plan, the folder of the audit, and `keeps` unset.

    Returns
    -------
    Recomputed

    Raises
    ------
    ImindexError
        The folder contains no audit, or pictures, an index or an encoder are missing.
    """
    entries = read_register(run.workspace.folder)
    outcome = Recomputed(run.workspace.folder, entries[-1].plan)
    stored = _read(run.workspace.folder / REPORT)
    run = replace(run, as_paper=any(result.get("as_paper") for result in stored["results"]))
    before = stored["plan"].get("tests_used", 1)
    outcome.other_tests = any("statistic" not in result["summary"] for result in stored["results"])
    if isinstance(before, int) and before < version_of_tests(len(run.plan.encoders)):
        outcome.other_tests, outcome.tests_before = True, before
    with run.stage("check", 0):
        inputs = gather(run.plan, run.show.note, drawing=entries[-1].placebo_drawing, roots=run.compute.roots)
    if run.plan.digest != entries[-1].plan:
        digests = f"digest {run.plan.digest[:12]}, registered {entries[-1].plan[:12]}"
        outcome.faults.append(
            Fault("plan", f"{run.plan.path} is not the plan that was registered: {digests}")
        )
    for what in changed(entries[-1].inputs, inputs.digests):
        outcome.faults.append(Fault("inputs", f"{what} changed since the plan was registered"))
    made = [made_before(run, release, inputs) for release in run.plan.releases]
    registered = entries[-1].requests
    for name, log in log_digests(made).items():
        if registered.get(name) != log:
            outcome.faults.append(
                Fault("inputs", f"the log of requests of {name} changed since it was registered")
            )
    built = [run.workspace.index(encoder) for encoder in run.plan.encoders]
    for spec, path in zip(run.plan.encoders, built, strict=True):
        outcome.faults += _index_faults(run, spec, path, inputs, made, stored)
    provenance = from_dict(
        Provenance, stored["provenance"], f"{run.workspace.folder / 'report.json'}: provenance"
    )
    indexes = [
        Built(path, texts_of(run, encoder, path))
        for encoder, path in zip(run.plan.encoders, built, strict=True)
    ]
    findings = assess(run, inputs, entries, made, indexes)
    report = assemble(findings, provenance)
    _compare_report(outcome, stored, to_dict(report))
    outcome.faults += provenance_faults(stored, to_dict(report), run.workspace.folder)
    rendered = check_rendered(run.workspace.folder, stored, report)
    outcome.same, outcome.notes = rendered.same, rendered.notes
    outcome.uncompared = rendered.uncompared
    outcome.faults += rendered.faults
    _compare_kept(outcome, run.plan, built, findings)
    then = provenance.versions
    outcome.versions = {
        name: (then.get(name, ""), value) for name, value in versions().items() if then.get(name, "") != value
    }
    return outcome


def _read(path: Path) -> StoredReport:
    try:
        stored: StoredReport = parse_json(read_text(path))
        if not isinstance(stored["digest"], str) or not isinstance(stored["provenance"], dict):
            raise TypeError("no report")
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist: the audit is not finished. Run it again.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ImindexError(
            f"{path} is not a report of imindex: {error}. Restore it from a backup."
        ) from error
    return stored


def _index_faults(
    run: Run, spec: EncoderSpec, path: Path, inputs: Inputs, made: list[Made], stored: StoredReport
) -> Iterator[Fault]:
    """Check that an index is intact, that the report names it, and that its rows are exactly these pictures."""
    with opened(path) as index:
        for fault in verify_index(index).faults:
            yield Fault(f"{path.name}: {fault.where}", fault.said)
        reported = {record["index"]: record["root_digest"] for record in stored["encoders"]}
        if reported.get(path.name) != index.root_digest:
            yield Fault(
                path.name,
                f"has the root digest {index.root_digest[:12]}; "
                f"the report states {str(reported.get(path.name))[:12]}",
            )
        if not named_as_planned(run.plan, spec, index.encoder):
            yield Fault(
                f"{path.name}: encoder",
                f"the index names {index.encoder.short_name()}, not the encoder of the plan, {spec.model}",
            )
        items = (*inputs.works, *(item for release in made for item in release.every_item))
        for fault in row_faults(index, items, run.compute.limits, run.compute.roots):
            yield Fault(f"{path.name}: {fault.where}", fault.said)


def _compare_report(outcome: Recomputed, stored: StoredReport, report: StoredReport) -> None:
    report = _as_stored(stored, report)
    outcome.stored, outcome.now = stored["digest"], digest(report)
    if digest(stored) != stored["digest"]:
        outcome.faults.append(Fault("report.json", "has changed since it was written: its digest is wrong"))
    outcome.figures += _compare_values(outcome, "report", covered(stored), covered(report))
    if outcome.stored != outcome.now and not any(f.where.startswith("report") for f in outcome.faults):
        digests = f"{outcome.stored[:12]}; the same content has the digest {outcome.now[:12]}"
        outcome.faults.append(Fault("report.json", f"has the digest {digests}"))


def _as_stored(stored: Any, now: Any) -> Any:
    """Return a report with its seeds as numbers where the stored one, of an earlier version, has numbers."""
    if isinstance(stored, dict) and isinstance(now, dict):
        return {key: _seed_as(stored.get(key), value) if key == "seed" else _as_stored(stored.get(key), value)
                for key, value in now.items()}  # fmt: skip
    if isinstance(stored, list) and isinstance(now, list):
        more = [None] * max(len(now) - len(stored), 0)
        return [_as_stored(*pair) for pair in zip([*stored, *more], now, strict=False)]
    return now


def _seed_as(stored: Any, now: Any) -> Any:
    return stored if type(stored) is int and str(stored) == now else _as_stored(stored, now)


def _compare_kept(outcome: Recomputed, plan: Plan, built: list[Path], findings: AuditFindings) -> None:
    """Compare the cached results that still exist."""
    index = {encoder.name: path for encoder, path in zip(plan.encoders, built, strict=True)}
    kept: list[tuple[Path, AuditResult | Comparison]] = [
        (Workspace(outcome.folder).results(index[result.encoder], result.release), decided(result, ()))
        for result in findings.results
    ]
    kept += [
        (Workspace(outcome.folder).results(index[one.encoder], one.new.release, plan.base), one)
        for one in findings.comparisons
    ]
    for file, result in kept:
        _compare_file(outcome, file, to_dict(result))
    for answer in findings.questions:
        key = str(type(answer).__struct_config__.tag)
        file = Workspace(outcome.folder).answers(index[answer.encoder], answer.release, key)
        _compare_file(outcome, file, to_dict(Answered(answer=answer)))
    if missing := [file for file, _ in kept if not file.exists()]:
        folder = missing[0].parent
        outcome.notes += (
            f"{folder} {'lacks' if folder.is_dir() else 'is missing, and with it'} {len(missing)} of "
            f"{len(kept)} files of results, so that fewer values were compared. The report's own values were all "
            "compared. Ask the sender for the folder, or run the audit again to write it.",
        )


def _compare_file(outcome: Recomputed, file: Path, result: Mapping[str, Any]) -> None:
    if not file.exists():
        return
    name = file.relative_to(outcome.folder).as_posix()
    try:
        cached = parse_json(read_text(file))
        intact = cached["digest"] == json_digest(cached["result"])
        outcome.other_streams |= cached["key"].get("streams") != STREAMS
        # The plan's name of the encoder; a cached result may have the model's.
        stored = {**cached["result"], **({"encoder": result["encoder"]} if "encoder" in result else {})}
    except (ValueError, KeyError, TypeError) as error:
        outcome.faults.append(Fault(name, f"cannot be read: {error}"))
        return
    if not intact:
        outcome.faults.append(Fault(name, "has changed since it was written: its digest is wrong"))
    outcome.figures += _compare_values(outcome, name, stored, _as_stored(stored, result))


def _compare_values(outcome: Recomputed, where: str, stored: Any, now: Any) -> int:
    """Record the values that differ, the first ones by name, and return the number of values compared."""
    n, differing = 0, []
    for path, before, after in _pairs(where, stored, now):
        if outcome.other_tests and _NOTHING in (before, after):
            continue
        n += 1
        if not _equal(before, after):
            differing.append(Fault(path, f"is {_short(after)} now, {_short(before)} stored"))
    outcome.faults += differing[:_LISTED]
    if len(differing) > _LISTED:
        outcome.faults.append(Fault(where, f"{len(differing) - _LISTED} more values differ"))
    return n


def _equal(before: Any, after: Any) -> bool:
    """Return whether two JSON values are equal; floats, within what another number of threads or processor changes."""
    if isinstance(before, float) and isinstance(after, float):
        return math.isclose(before, after, rel_tol=ROUNDING, abs_tol=ROUNDING)
    return bool(before == after) and type(before) is type(after)


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _pairs(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the values of two JSON documents side by side, with their path.

    A missing key equals null: earlier versions omitted unknown values.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            then, now = before.get(key, _NOTHING), after.get(key, _NOTHING)
            if {id(then), id(now)} == {id(None), id(_NOTHING)}:
                then = now = None
            yield from _pairs(f"{path}.{key}", then, now)
    elif isinstance(before, list) and isinstance(after, list):
        for position in range(max(len(before), len(after))):
            pair = [values[position] if position < len(values) else _NOTHING for values in (before, after)]
            yield from _pairs(f"{path}[{_label(pair[0], position)}]", *pair)
    else:
        yield path, before, after


def _label(element: Any, position: int) -> str:
    """Name an element of a list: by its names if it has any, or else by its position."""
    if isinstance(element, dict):
        names = [element[key] for key in _NAMES if isinstance(element.get(key), str)]
        if names:
            return ", ".join(names)
    return str(position)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def audit_digests(folder: Path, plan: Path | None = None) -> SealedAudit:
    """Return the digests of an audit that a seal records: plan, last line of the register, report and files.

    Raises
    ------
    ImindexError
        There is no register, or the plan is not the one that was registered last.
    """
    last = read_register(folder)[-1]
    if plan is not None:
        own = read_plan(plan).digest
        if own != last.plan:
            raise ImindexError(
                f"{plan} has the digest {own[:12]}, but {folder} was registered with {last.plan[:12]}. Pass the plan "
                "that was audited, or amend the audit first."
            )
    report = folder / REPORT
    stored = _read(report) if report.exists() else {"digest": ""}
    if stored["digest"] and stored["digest"] != digest(stored):
        raise ImindexError(
            f"{report} was edited since imindex wrote it, so it was not sealed. `imindex verify --results {folder}` "
            "shows what differs. Restore it from a backup, or run the audit again."
        )
    return SealedAudit(
        plan=last.plan,
        register=last.digest,
        report=stored["digest"],
        files={
            name: file_digest(folder / name)
            for name in (PAGE, REPORT, TABLE, *files_of_answers(folder))
            if (folder / name).exists()
        },
    )


def stored_rendered(folder: Path) -> Rendered:
    """Compare the page and the table of an audit with report.json alone, without recomputing any figure.

    Raises
    ------
    ImindexError
        There is no report.json, or it is not a report.
    """
    return check_rendered(folder, _read(folder / REPORT))


def sealed_audit(sealed: SealedAudit, folder: Path | None, same: Container[str] = ()) -> list[Match]:
    """Compare an audit with a seal.

    Parameters
    ----------
    sealed : SealedAudit
    folder : Path or None
        Of the audit.
    same : container of str
        Files of the report that agree with a new rendering of report.json. If their bytes differ from the sealed ones,
        they were written again from the same content.

    Returns
    -------
    list of Match
        The register may have grown since; it must contain the sealed line.
    """
    if folder is None:
        return [Match("audit", UNCHECKED, "pass its folder with --results to check it")]
    try:
        entries = read_register(folder)
    except ImindexError as error:
        return [Match("register", DIFFERS, str(error)), *_sealed_files(sealed, folder, same)]
    digests = [entry.digest for entry in entries]
    if sealed.register not in digests:
        no_line = Match("register", DIFFERS, f"has no line with the digest {sealed.register[:12]}")
        return [no_line, *_sealed_files(sealed, folder, same)]
    position = digests.index(sealed.register)
    later = entries[position + 1 :]
    if later:
        decisions = sum(entry.decision is not None for entry in later)
        amendments = len(later) - decisions
        said = f"has {len(later)} more lines since: amendments {amendments}, decisions on copies {decisions}"
        matches = [Match("register", REWRITTEN, said)]
    else:
        matches = [Match("register", IDENTICAL, f"last line {digests[-1][:12]}")]
    matches += _sealed_plan(sealed, entries[position], entries[-1])
    return [*matches, *_sealed_files(sealed, folder, same)]


def _sealed_plan(sealed: SealedAudit, then: RegisterEntry, last: RegisterEntry) -> Iterator[Match]:
    """Compare the plan and the inputs that are in use with those of the sealed line."""
    plan = _same_digest("plan", then.plan, sealed.plan)
    if plan.status == IDENTICAL and last.plan != sealed.plan:
        said = f"amended since it was sealed: digest {last.plan[:12]} in use, sealed {sealed.plan[:12]}"
        plan = Match("plan", REWRITTEN, said)
    yield plan
    inputs = changed(then.inputs, last.inputs)
    if inputs:
        yield Match("inputs", REWRITTEN, f"amended since the seal: {' and '.join(inputs)} changed")


def _sealed_files(sealed: SealedAudit, folder: Path, same: Container[str]) -> list[Match]:
    """Compare the report and its files with a seal."""
    if not sealed.report:
        said = "the seal holds no report: it was made before the audit had one"
        return [Match("report", UNCHECKED, said)]
    matches = []
    try:
        matches.append(_same_digest("report", _read(folder / REPORT)["digest"], sealed.report))
    except ImindexError as error:
        matches.append(Match("report", DIFFERS, str(error)))
    intact = matches[0].status == IDENTICAL
    for name, before in sealed.files.items():
        try:
            own = file_digest(folder / name)
        except OSError as error:
            matches.append(Match(name, DIFFERS, f"cannot be read: {error.strerror or error}"))
            continue
        if own == before:
            matches.append(Match(name, IDENTICAL, f"SHA-256 {own[:12]}"))
        elif intact and name == REPORT and _intact(folder / name):
            said = "the findings are the sealed ones, but times, command line, versions or layout were edited"
            matches.append(Match(name, DIFFERS, said))
        elif intact and name == PAGE and b"data:image/" not in read_input(folder / name):
            matches.append(Match(name, DIFFERS, "has no pictures, and other bytes than the sealed page"))
        elif intact and name in same:
            matches.append(Match(name, REWRITTEN, "other bytes, which agree with a new rendering"))
        else:
            matches.append(Match(name, DIFFERS, f"SHA-256 {own[:12]}, sealed {before[:12]}"))
    if not sealed.files:
        said = "this seal is of version 1.0, which does not hold the digests of page and table"
        matches.append(Match("report files", UNCHECKED, said))
    return matches


def _same_digest(what: str, own: str, before: str) -> Match:
    return Match(what, IDENTICAL if own == before else DIFFERS, f"digest {own[:12]}, sealed {before[:12]}")


def _intact(path: Path) -> bool:
    stored = _read(path)
    return bool(digest(stored) == stored["digest"])
