"""How the log says that an index was merged from several, or split from one (FORMAT.md, "Chained digests")."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imindex.indexer.core.digest import json_digest

CHAIN_SCHEME = "chain-1"
_DIGEST = r"[0-9a-f]{64}"
_MERGED = re.compile(rf"merge: \d+ indexes: (?P<roots>{_DIGEST}(?: {_DIGEST})*)(?:;.*)?", re.DOTALL)
_SPLIT = re.compile(
    rf"split: part (?P<number>\d{{1,9}}) of (?P<total>\d{{1,9}}) of (?P<root>{_DIGEST})(?:[;,] ?(?P<how>.*))?",
    re.DOTALL,
)
_ROWS = re.compile(r"rows (?P<first>\d{1,18}) to (?P<last>\d{1,18})")
_OF_ARTISTS = ("one artist", "without artist")
Line = Mapping[str, str]


def chained_digest(roots: Sequence[str]) -> str:
    """Return the digest of several indexes in this order, from their root digests: it reads no file."""
    return json_digest({"format": CHAIN_SCHEME, "parts": list(roots)})


@dataclass(frozen=True)
class PartOf:
    """What a line of the log says about a part: its number from 1, the number of parts, and the root of the whole."""

    number: int
    total: int
    root: str


def merged_summary(roots: Sequence[str], notes: str = "") -> str:
    """Return the summary of a line of the log: the root digests of the merged files, in their order."""
    return f"merge: {len(roots)} indexes: {' '.join(roots)}{f'; {notes}' if notes else ''}"


def split_summary(part: PartOf, how: str) -> str:
    """Return the summary of a line of the log of a part; `how` says which rows it has."""
    return f"split: part {part.number} of {part.total} of {part.root}, {how}"


def merged_from(line: Line) -> tuple[str, ...]:
    """Return the root digests that a line of the log says were merged; empty if it is no such line."""
    match = _MERGED.fullmatch(line.get("summary", ""))
    return tuple(match["roots"].split(" ")) if match else ()


def split_from(line: Line) -> PartOf | None:
    """Return of what a line of the log says that the index became a part."""
    match = _SPLIT.fullmatch(line.get("summary", ""))
    return PartOf(int(match["number"]), int(match["total"]), match["root"]) if match else None


def part_of(log: Sequence[Line], root: str) -> PartOf | None:
    """Return of what an index is a part, if it was not changed since: its log ends with the split that made it."""
    if not log or log[-1].get("digest-after") != root:
        return None
    part = split_from(log[-1])
    return part if part is not None and log[-1].get("digest-before") == part.root else None


def are_of_one_split(logs: Sequence[Sequence[Line]], roots: Sequence[str]) -> bool:
    """Return whether the logs say that all indexes are different parts of one split, unchanged since.

    An index may have been split in several ways. Parts of two ways may share pictures, even if both ways have as many
    parts. So parts by rows must have rows that do not overlap, and parts by artist are not mixed with others.
    """
    lines = [log[-1] for log in logs if log]
    parts = [part_of(log, root) for log, root in zip(logs, roots, strict=True)]
    known = [part for part in parts if part is not None]
    if (
        len(known) < len(logs)
        or len({(part.root, part.total) for part in known}) != 1
        or len({part.number for part in known}) < len(known)
    ):
        return False
    how = [match["how"] or "" if (match := _SPLIT.fullmatch(line["summary"])) else "" for line in lines]
    if all(one in _OF_ARTISTS for one in how):
        return how.count(_OF_ARTISTS[1]) <= 1
    ranges = sorted(
        (int(rows["first"]), int(rows["last"])) for one in how if (rows := _ROWS.fullmatch(one)) is not None
    )
    return len(ranges) == len(how) and all(
        last < first for (_, last), (first, _) in itertools.pairwise(ranges)
    )


def missing_parts(logs: Sequence[Sequence[Line]], roots: Sequence[str]) -> list[str]:
    """Return of which splits some parts are there, unchanged, and others not, in sentences."""
    there: dict[tuple[str, int], set[int]] = {}
    for log, root in zip(logs, roots, strict=True):
        part = part_of(log, root)
        if part is not None:
            there.setdefault((part.root, part.total), set()).add(part.number)
    return [
        f"The files hold {len(numbers):,} of the {total:,} parts into which the index with the root digest {root[:12]} "
        "was split, and not the others."
        for (root, total), numbers in there.items()
        if len(numbers) < total
    ]


def joined_log(logs: Sequence[Sequence[Line]]) -> list[dict[str, str]]:
    """Return the lines of several logs, each log in its order; a line that several have is there once."""
    lines: dict[tuple[tuple[str, str], ...], None] = {}
    for log in logs:
        for line in log:
            lines.setdefault(tuple(line.items()))
    return [dict(line) for line in lines]


def chain_faults(lines: Sequence[Line]) -> list[str]:
    """Return where the lines of a log do not continue each other, in sentences.

    A line continues from the root digest with which the line before it ended. A log of merged indexes has the lines of
    each of them, one index after another, and then a line that names their root digests. Up to the last such line, a
    line may begin a new index or continue from any earlier line, and what lines ended with must be continued or merged.
    """
    merges = [number for number, line in enumerate(lines) if merged_from(line)]
    last = merges[-1] + 1 if merges else 0
    faults = _merge_faults(lines[:last])
    before = lines[last - 1]["digest-after"] if last else ""
    for number, line in enumerate(lines[last:], last + 1):
        if line["digest-before"] != before:
            faults.append(
                f"line {number} starts from the root digest {line['digest-before'][:12] or '(none)'}, but the line "
                f"before it ended with {before[:12] or '(none)'}"
            )
        before = line["digest-after"]
    return faults


def _merge_faults(lines: Sequence[Line]) -> list[str]:
    """Return what is wrong with lines of which the last is a merge."""
    faults = []
    known: dict[str, int] = {"": 0}
    used = {""}
    for number, line in enumerate(lines, 1):
        roots = merged_from(line)
        if roots:
            if line["digest-before"] != chained_digest(roots):
                faults.append(
                    f"line {number} starts from another digest than that of the indexes which it names"
                )
            missing = [root for root in roots if root not in known]
            used.update(roots)
        else:
            missing = [line["digest-before"]] if line["digest-before"] not in known else []
            if line["digest-after"] != line["digest-before"]:
                used.add(line["digest-before"])
        faults += [
            f"line {number} continues from the root digest {digest[:12]}, with which no line before it ended"
            for digest in missing[:1]
        ]
        known.setdefault(line["digest-after"], number)
    end = lines[-1]["digest-after"] if lines else ""
    faults += [
        f"line {number} ends with the root digest {digest[:12]}, which no later line continues or merges"
        for digest, number in known.items()
        if digest not in used and digest != end
    ]
    return faults
