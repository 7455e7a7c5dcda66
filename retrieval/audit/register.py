"""The register of an audit: an append-only record of the plan, begun before the first picture is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from imindex.indexer.core.digest import canonical_json, json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json, split_lines
from imindex.indexer.core.provenance import now, versions
from imindex.indexer.generate.matched_names import DRAWING, INDEPENDENT
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.input_files import read_text
from imindex.retrieval.audit.chosen import PROTOCOL
from imindex.retrieval.audit.inputs import LOG_OF, SECRET
from imindex.retrieval.audit.plan import Plan
from imindex.retrieval.evidence.testing import version_of_tests
from imindex.retrieval.results import CopyDecision, RegisterEntry, from_dict, to_dict

NAME = "register.jsonl"
_EDITED = (
    "If the audit is yours, leave this folder as it is, because it may be evidence, and audit into another folder with "
    "--out. If somebody sent it to you, the file was changed after registration: ask the sender for the original, and "
    "compare it with a seal (`imindex verify --seal`)."
)


def drawing_of(folder: Path) -> int:
    """Return the version of the drawing of placebo names that an audit in this folder uses.

    An audit keeps the names with which it was registered. Pictures without a register have the first version.

    Raises
    ------
    ImindexError
        The register was altered.
    """
    path = folder / NAME
    entries = _checked(path, _lines(path))
    if entries:
        return entries[-1].placebo_drawing
    return INDEPENDENT if next(folder.glob("imitations/*"), None) else DRAWING


def register(
    plan: Plan,
    inputs: Mapping[str, str],
    folder: Path,
    *,
    amend: str = "",
    drawing: int = DRAWING,
    detail: Callable[[str], str] = lambda name: "",
) -> list[RegisterEntry]:
    """Append the plan to the register if it has changed or is new.

    Parameters
    ----------
    plan : Plan
    inputs : mapping
        Digests of the pictures that existed before the audit.
    folder : Path
        The audit's folder.
    amend : str
        Reason for a change of the plan or the pictures. Without one, a change is refused.
    drawing : int
        Version of the drawing of placebo names, `drawing_of` this folder.
    detail : callable
        Says which pictures of an input have changed, for the message of a refusal; empty if it does not know.

    Returns
    -------
    list of RegisterEntry
        All entries, oldest first. Each contains its own SHA-256 and that of the previous line, so anyone who recorded
        a later line can tell that an earlier one was changed or removed.

    Raises
    ------
    ImindexError
        The plan or the pictures differ from the register and `amend` is empty; the register was altered; or it is
        missing although the folder contains pictures or results.
    """
    path = folder / NAME
    lines = _lines(path)
    entries = _checked(path, lines)
    if entries and _same(entries[-1], plan, inputs):
        return entries
    if entries and not amend:
        raise ImindexError(_refusal(path, entries[-1], plan, inputs, detail))
    late = not entries and _begun(folder)
    if late and not amend:
        raise ImindexError(
            f"{folder} contains {late} but no {NAME}: nothing shows that the plan came first. Audit into "
            'another folder with --out, or record the reason with --amend "the reason".'
        )
    entry = RegisterEntry(
        event="registered late" if late else "amended" if entries else "registered",
        when=now(),
        plan=plan.digest,
        inputs=dict(inputs),
        why=amend if entries or late else "",
        text=plan.text,
        versions=versions(),
        previous=_digest(lines[-1]) if lines else "",
        placebo_drawing=drawing,
        tests=version_of_tests(len(plan.encoders)),
    )
    return [*entries, _append(path, lines, entry)]


def record_decisions(folder: Path, decisions: Sequence[CopyDecision]) -> list[RegisterEntry]:
    """Append what a person says of candidates for copies; plan and inputs are repeated from the last line.

    Returns
    -------
    list of RegisterEntry
        The new entries.

    Raises
    ------
    ImindexError
        There is no register, or it was altered.
    """
    path, last = folder / NAME, read_register(folder)[-1]
    entries: list[RegisterEntry] = []
    for decision in decisions:
        lines = _lines(path)
        entry = replace(
            last,
            event=f"copy {decision.decided}",
            when=now(),
            why="",
            versions=versions(),
            previous=_digest(lines[-1]),
            digest="",
            decision=decision,
        )
        entries.append(_append(path, lines, entry))
    return entries


def record_requests(folder: Path, logs: Mapping[str, str]) -> list[RegisterEntry]:
    """Append the digests of the logs of requests to APIs, unless they are those of the last line.

    Parameters
    ----------
    folder : Path
        The audit's folder.
    logs : mapping of str to str
        SHA-256 of each log, by collection.

    Returns
    -------
    list of RegisterEntry
        The new entry, if there is one.
    """
    path, last = folder / NAME, read_register(folder)[-1]
    if not logs or dict(last.requests) == dict(logs):
        return []
    lines = _lines(path)
    entry = replace(
        last,
        event="asked",
        when=now(),
        why="",
        versions=versions(),
        previous=_digest(lines[-1]),
        digest="",
        decision=None,
        requests=dict(logs),
    )
    return [_append(path, lines, entry)]


def _append(path: Path, lines: Sequence[str], entry: RegisterEntry) -> RegisterEntry:
    """Write an entry after the lines of a register, with its digest."""
    entry = replace(entry, digest=_own_digest(to_dict(entry)))
    write_file(path, "\n".join([*lines, canonical_json(to_dict(entry)), ""]).encode())
    return entry


def read_register(folder: Path) -> list[RegisterEntry]:
    """Read and check the register of an audit, without writing.

    Raises
    ------
    ImindexError
        The register is missing or was altered.
    """
    path = folder / NAME
    entries = _checked(path, _lines(path))
    if not entries:
        raise ImindexError(
            f"{folder} has no {NAME}, so it is not the folder of an audit. Pass the folder of an audit."
        )
    return entries


def _lines(path: Path) -> list[str]:
    return split_lines(read_text(path)) if path.exists() else []


def _same(entry: RegisterEntry, plan: Plan, inputs: Mapping[str, str]) -> bool:
    return entry.plan == plan.digest and entry.inputs == dict(inputs)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Name the inputs that have changed, as phrases for a message."""
    return [_what(name) for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def _what(name: str) -> str:
    if name.startswith(PROTOCOL):
        return name.removeprefix(PROTOCOL)
    if name.endswith(LOG_OF):
        return f"the log of requests of {name.removesuffix(LOG_OF)}"
    own = {"works": "the works", SECRET: "the secret seed of the placebo names"}
    return own.get(name, f"the pictures of {name}")


def _begun(folder: Path) -> str:
    """Name what an earlier run left in the folder; empty if nothing."""
    for pattern, what in (("imitations/*", "imitations"), ("*.h5", "an index"), ("results/*", "results")):
        if next(folder.glob(pattern), None):
            return what
    return ""


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _own_digest(entry: Mapping[str, object]) -> str:
    return json_digest({key: value for key, value in entry.items() if key != "digest"})


def _checked(path: Path, lines: Sequence[str]) -> list[RegisterEntry]:
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = parse_json(line)
            intact = line == canonical_json(entry)
            intact = intact and entry["previous"] == (_digest(lines[number - 2]) if number > 1 else "")
            intact = intact and entry["digest"] == _own_digest(entry)
        except (ValueError, TypeError, KeyError, AttributeError):
            intact = False
        if not intact:
            raise ImindexError(f"{path}, line {number} has changed since it was written. {_EDITED}")
        entries.append(from_dict(RegisterEntry, entry, f"{path}, line {number}"))
        fault = _event_fault(entries[-2] if number > 1 else None, entries[-1])
        if fault:
            raise ImindexError(f"{path}, line {number} was not written by imindex: {fault}. {_EDITED}")
    return entries


def _event_fault(before: RegisterEntry | None, entry: RegisterEntry) -> str:
    """Say why an entry cannot follow the one before; empty if it can.

    Only an amendment changes the plan or the inputs, and it says why. Nothing changes the drawing of placebo names.
    """
    changes = [
        name
        for name in ("plan", "inputs", "text", "placebo_drawing", "tests")
        if before is not None and getattr(before, name) != getattr(entry, name)
    ]
    if entry.decision is not None:
        fitting: tuple[str, ...] = (f"copy {entry.decision.decided}",) if before is not None else ()
        what = "a decision on a copy"
    elif entry.event == "asked":
        fitting, what = ("asked",) if before is not None and entry.requests else (), "a log of requests"
    elif before is None:
        fitting, what = ("registered", "registered late"), "the first line"
    else:
        fitting, what = ("amended",), "a later line"
    if entry.event not in fitting:
        return f"{what} has the event {entry.event!r}"
    if (entry.decision is not None or entry.event == "asked") and changes:
        return f"{what} changes {' and '.join(changes)}"
    if "placebo_drawing" in changes:
        return "it changes the drawing of placebo names"
    if entry.event == "amended" and not {"plan", "inputs"} & {*changes}:
        return "an amendment changes neither the plan nor the inputs"
    if bool(entry.why) != (entry.event in ("amended", "registered late")):
        return f"the event {entry.event!r} has {'a' if entry.why else 'no'} reason"
    return ""


def _refusal(
    path: Path, entry: RegisterEntry, plan: Plan, inputs: Mapping[str, str], detail: Callable[[str], str]
) -> str:
    what = changed(entry.inputs, inputs)
    names = [name for name in inputs if name in entry.inputs and inputs[name] != entry.inputs[name]]
    shown = "".join(f"In {name}, {said}. " for name in names if (said := detail(name)))
    if entry.plan != plan.digest:
        what.insert(0, f"the plan (now {plan.digest[:12]}, registered {entry.plan[:12]})")
    return (
        f"{plan.path}: {' and '.join(what)} changed after the plan was registered on {entry.when} ({path}). {shown}"
        'Undo the change, audit into another folder with --out, or record the reason with --amend "the reason".'
    )
