"""A stored audit, computed once more from its plan, its pictures and its indexes, and held against what it said.

Nothing in the audit's folder is written. No model is asked for pictures, and no result that was kept is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.paths import StoredPaths
from imindex.indexer.core.provenance import versions
from imindex.indexer.integrity.seal import DIFFERS, IDENTICAL, REWRITTEN, UNCHECKED, Match, SealedAudit
from imindex.indexer.integrity.verify import Fault, opened, verify_index
from imindex.retrieval.audit.assess import Built, assess, texts_of
from imindex.retrieval.audit.decisions import decided
from imindex.retrieval.audit.inputs import Inputs, gather
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.models import made_before
from imindex.retrieval.audit.plan import Plan, read_plan
from imindex.retrieval.audit.register import changed, read_register
from imindex.retrieval.audit.run import Run, Workspace
from imindex.retrieval.report.report import assemble, covered, digest
from imindex.retrieval.results import AuditFindings, Provenance, from_dict, to_dict
from imindex.stats.keyed import STREAMS

StoredReport = dict[str, Any]
"""A report.json as it is in the file, perhaps of an older version or edited: it is compared, never decoded."""
_LISTED = 20
_NAMES = ("name", "artist", "release", "encoder")


@dataclass
class Recomputed:
    """What computing an audit once more came to.

    Attributes
    ----------
    folder : Path
    plan : str
        Digest of the plan, as registered last.
    stored, now : str
        Digests of the stored report, and of the one computed now.
    figures : int
        Values that were compared.
    versions : dict
        Packages that are of another version than those that the stored report was made with: (then, now).
    other_streams : bool
        Whether the kept results were drawn from other random streams than those of this imindex. Bootstrap intervals
        and Monte-Carlo p-values then differ within their Monte-Carlo error, and figures without a draw do not.
    faults : list of Fault
    """

    folder: Path
    plan: str
    stored: str = ""
    now: str = ""
    figures: int = 0
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    other_streams: bool = False
    faults: list[Fault] = field(default_factory=list)


def plan_of(folder: Path) -> Path:
    """The plan of an audit in the folder that it has by default.

    Raises
    ------
    ImindexError
    """
    path = folder.absolute()
    plan = path.with_name(f"{path.name.removesuffix('-audit')}.toml")
    if not path.name.endswith("-audit") or not plan.exists():
        raise ImindexError(f"The plan of {folder} is not beside it. Name it with --plan.")
    return plan


def recompute(run: Run) -> Recomputed:
    """Compute the results of an audit again, and say what differs from those that are stored.

    Parameters
    ----------
    run : Run
        With the plan, the folder of the audit, and `keeps` unset.

    Raises
    ------
    ImindexError
        There is no audit in the folder, or pictures, an index or an encoder are gone.
    """
    entries = read_register(run.workspace.folder)
    found = Recomputed(run.workspace.folder, entries[-1].plan)
    stored = _read(run.workspace.folder / "report.json")
    with run.stage("check", 0):
        inputs = gather(run.plan, run.show.note)
    if run.plan.digest != entries[-1].plan:
        said = f"digest {run.plan.digest[:12]}, registered {entries[-1].plan[:12]}"
        found.faults.append(Fault("plan", f"{run.plan.path} is not the plan that was registered: {said}"))
    for what in changed(entries[-1].inputs, inputs.digests):
        found.faults.append(Fault("inputs", f"{what} changed since the plan was registered"))
    made = [made_before(run, one, inputs) for one in run.plan.releases]
    built = [run.workspace.index(encoder) for encoder in run.plan.encoders]
    for path in built:
        found.faults += _index_faults(path, inputs, made, stored)
    provenance = from_dict(
        Provenance, stored["provenance"], f"{run.workspace.folder / 'report.json'}: provenance"
    )
    indexes = [
        Built(path, texts_of(run, encoder, path))
        for encoder, path in zip(run.plan.encoders, built, strict=True)
    ]
    findings = assess(run, inputs, entries, made, indexes)
    _compare_report(found, stored, to_dict(assemble(findings, provenance)))
    _compare_kept(found, run.plan, built, findings)
    then = provenance.versions
    found.versions = {
        name: (then.get(name, ""), value) for name, value in versions().items() if then.get(name, "") != value
    }
    return found


def _read(path: Path) -> StoredReport:
    try:
        stored: StoredReport = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored["digest"], str) or not isinstance(stored["provenance"], dict):
            raise TypeError("no report")
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist: the audit is not finished. Run it again.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ImindexError(f"{path} is not a report of imindex: {error}. Restore it from a copy.") from error
    return stored


def _index_faults(path: Path, inputs: Inputs, made: list[Made], stored: StoredReport) -> Iterator[Fault]:
    """Whether an index is sound, the one that the report names, and of these pictures."""
    with opened(path) as index:
        for fault in verify_index(index).faults:
            yield Fault(f"{path.name}: {fault.where}", fault.said)
        named = {one["index"]: one["root_digest"] for one in stored["encoders"]}
        if named.get(path.name) != index.root_digest:
            said = (
                f"has the root digest {index.root_digest[:12]}, the report {str(named.get(path.name))[:12]}"
            )
            yield Fault(path.name, said)
        there = {*index.column("path"), *index.column("path", "rejects")}
    place = StoredPaths(path.parent)
    wanted = {place(item.path) for item in (*inputs.works, *(item for one in made for item in one.items))}
    for which, paths in (("lacks", wanted - there), ("also holds", there - wanted)):
        if paths:
            yield Fault(path.name, f"{which} {len(paths)} pictures, {min(paths)} among them")


def _compare_report(found: Recomputed, stored: StoredReport, report: StoredReport) -> None:
    found.stored, found.now = stored["digest"], report["digest"]
    if digest(stored) != stored["digest"]:
        found.faults.append(Fault("report.json", "its content is not that of its digest: it was edited"))
    found.figures += _hold(found, "report", covered(stored), covered(report))
    if found.stored != found.now and not any(f.where.startswith("report") for f in found.faults):
        said = f"its digest is {found.stored[:12]}, and that of the same content {found.now[:12]}"
        found.faults.append(Fault("report.json", said))


def _compare_kept(found: Recomputed, plan: Plan, built: list[Path], findings: AuditFindings) -> None:
    """The results that the audit kept for its next run, where they are still there."""
    index = {encoder.name: path for encoder, path in zip(plan.encoders, built, strict=True)}
    for result in findings.results:
        file = Workspace(found.folder).results(index[result.encoder], result.release)
        _compare_one(found, file, to_dict(decided(result, ())))
    for comparison in findings.comparisons:
        file = Workspace(found.folder).results(index[comparison.encoder], comparison.new.release, plan.base)
        _compare_one(found, file, to_dict(comparison))


def _compare_one(found: Recomputed, file: Path, result: Mapping[str, Any]) -> None:
    if not file.exists():
        return
    name = file.relative_to(found.folder).as_posix()
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        same = kept["digest"] == json_digest(kept["result"])
        found.other_streams |= kept["key"].get("streams") != STREAMS
        stored = {
            **kept["result"],
            "encoder": result["encoder"],
        }  # by the plan's name; what is kept may have the model's
    except (ValueError, KeyError, TypeError) as error:
        found.faults.append(Fault(name, f"cannot be read: {error}"))
        return
    if not same:
        found.faults.append(Fault(name, "its content is not that of its digest: it was edited"))
    found.figures += _hold(found, name, stored, result)


def _hold(found: Recomputed, where: str, stored: Any, now: Any) -> int:
    """Note every value that differs, the first ones by name; return how many were compared."""
    n, differing = 0, []
    for path, before, after in _pairs(where, stored, now):
        n += 1
        if before != after or type(before) is not type(after):
            differing.append(Fault(path, f"is {_short(after)} now, {_short(before)} stored"))
    found.faults += differing[:_LISTED]
    if len(differing) > _LISTED:
        found.faults.append(Fault(where, f"{len(differing) - _LISTED} more values differ"))
    return n


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _pairs(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every value of two pieces of JSON with its place, side by side.

    A key that is missing and one that is null say the same: earlier versions left out what was not known.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            then, now = before.get(key, _NOTHING), after.get(key, _NOTHING)
            if {id(then), id(now)} == {id(None), id(_NOTHING)}:
                then = now = None
            yield from _pairs(f"{path}.{key}", then, now)
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            pair = [one[place] if place < len(one) else _NOTHING for one in (before, after)]
            yield from _pairs(f"{path}[{_called(pair[0], place)}]", *pair)
    else:
        yield path, before, after


def _called(one: Any, place: int) -> str:
    """An element by its name, where it has one."""
    if isinstance(one, dict):
        named = [one[key] for key in _NAMES if isinstance(one.get(key), str)]
        if named:
            return ", ".join(named)
    return str(place)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def audit_digests(folder: Path, plan: Path | None = None) -> SealedAudit:
    """What a seal says of an audit: digests of its plan, of the register's last line, and of the report.

    Raises
    ------
    ImindexError
        No register, or a plan that is not the one that was registered last.
    """
    last = read_register(folder)[-1]
    if plan is not None:
        own = read_plan(plan).digest
        if own != last.plan:
            raise ImindexError(
                f"{plan} has the digest {own[:12]}, and {folder} was registered with {last.plan[:12]}. Seal the "
                "plan that was audited, or amend the audit first."
            )
    report = folder / "report.json"
    return SealedAudit(
        plan=last.plan,
        register=last.digest,
        report=_read(report)["digest"] if report.exists() else "",
    )


def sealed_audit(sealed: SealedAudit, folder: Path | None) -> list[Match]:
    """What of a seal's audit still stands in its folder.

    A register may have gone on since; the sealed line must be in it.
    """
    if folder is None:
        return [Match("audit", UNCHECKED, "name its folder with --results to have it checked")]
    entries = read_register(folder)
    digests = [entry.digest for entry in entries]
    if sealed.register not in digests:
        return [Match("register", DIFFERS, f"has no line with the digest {sealed.register[:12]}")]
    place = digests.index(sealed.register)
    later = len(entries) - place - 1
    matches = [Match("register", REWRITTEN, f"has {later} more lines since") if later else
               Match("register", IDENTICAL, f"last line {digests[-1][:12]}")]  # fmt: skip
    digests_now = [("plan", entries[place].plan, sealed.plan)]
    if sealed.report:
        digests_now.append(("report", _read(folder / "report.json")["digest"], sealed.report))
    for name, own, before in digests_now:
        status = IDENTICAL if own == before else DIFFERS
        matches.append(Match(name, status, f"digest {own[:12]}, sealed {before[:12]}"))
    return matches
