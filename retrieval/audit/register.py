"""The register of an audit: what was asked, written down before the first picture is made, and never rewritten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from imindex.indexer.core.digest import canonical_json, json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import now, versions
from imindex.indexer.system.atomic import put_in_place
from imindex.retrieval.audit.plan import Plan
from imindex.retrieval.results import CopyDecision, RegisterEntry, from_dict, to_dict

NAME = "register.jsonl"


def register(plan: Plan, inputs: Mapping[str, str], folder: Path, *, amend: str = "") -> list[RegisterEntry]:
    """Register the plan's digest, unless it is registered already.

    Parameters
    ----------
    plan : Plan
    inputs : mapping
        Digests of the pictures that were there before.
    folder : Path
        Of the audit.
    amend : str
        Why plan or pictures have changed since; empty: they must not have.

    Returns
    -------
    list of RegisterEntry
        All entries, the first first. Each holds a SHA-256 of itself and of the line before it, so that a line cannot be
        changed or taken out without a trace to whoever noted a later one.

    Raises
    ------
    ImindexError
        Plan or pictures differ from what was registered, and there is no `amend`; the register was altered; or there is
        none, but pictures or results are there.
    """
    path = folder / NAME
    lines = _lines(path)
    entries = _checked(path, lines)
    if entries and _same(entries[-1], plan, inputs):
        return entries
    if entries and not amend:
        raise ImindexError(_refusal(path, entries[-1], plan, inputs))
    late = not entries and _begun(folder)
    if late and not amend:
        raise ImindexError(
            f"{folder} holds {late} but no {NAME}: nothing says what was asked before they were made. Audit into "
            'another folder with --out, or record why with --amend "the reason".'
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


def _append(path: Path, lines: Sequence[str], entry: RegisterEntry) -> RegisterEntry:
    """Write an entry after the lines of a register, with its digest."""
    entry = replace(entry, digest=_own_digest(to_dict(entry)))
    with put_in_place(path) as temporary:
        temporary.write_text("\n".join([*lines, canonical_json(to_dict(entry)), ""]), encoding="utf-8")
    return entry


def read_register(folder: Path) -> list[RegisterEntry]:
    """All entries of an audit's register, checked; nothing is written.

    Raises
    ------
    ImindexError
        There is none, or it was altered.
    """
    path = folder / NAME
    entries = _checked(path, _lines(path))
    if not entries:
        raise ImindexError(
            f"{folder} has no {NAME}: it is not the folder of an audit. Name one with a register."
        )
    return entries


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _same(entry: RegisterEntry, plan: Plan, inputs: Mapping[str, str]) -> bool:
    return entry.plan == plan.digest and entry.inputs == dict(inputs)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Which of the pictures that were there before have changed, in words."""
    return [
        "the works" if name == "works" else f"the pictures of {name}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _begun(folder: Path) -> str:
    """What an earlier run left in the folder, in a word; empty if it left nothing."""
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
            entry = json.loads(line)
            right = entry["previous"] == (_digest(lines[number - 2]) if number > 1 else "")
            right = right and entry["digest"] == _own_digest(entry)
        except (ValueError, TypeError, KeyError, AttributeError):
            right = False
        if not right:
            raise ImindexError(
                f"{path}, line {number} is not as it was written: the register was altered. Audit into another folder "
                "with --out; keep this one as it is if it is evidence."
            )
        entries.append(from_dict(RegisterEntry, entry, f"{path}, line {number}"))
    return entries


def _refusal(path: Path, entry: RegisterEntry, plan: Plan, inputs: Mapping[str, str]) -> str:
    what = changed(entry.inputs, inputs)
    if entry.plan != plan.digest:
        what.insert(0, f"the plan (now {plan.digest[:12]}, registered {entry.plan[:12]})")
    return (
        f"{plan.path}: {' and '.join(what)} changed after the plan was registered on {entry.when} ({path}). "
        'Change it back, audit into another folder with --out, or record why with --amend "the reason".'
    )
