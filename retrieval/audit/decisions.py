"""What people say of candidates for copies: read from the register, and applied to results."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.paths import PicturePaths
from imindex.indexer.sources.read import read_bytes
from imindex.indexer.system.input_files import read_text
from imindex.indexer.system.locks import alone
from imindex.retrieval.audit.register import read_register, record_decisions
from imindex.retrieval.report.thumbnails import places_of_audit
from imindex.retrieval.results import AuditResult, CopyDecision, CopyPair, RegisterEntry, from_dict
from imindex.retrieval.results.report_digest import digest


@dataclass(frozen=True)
class Listed:
    """A pair that an audit's report lists.

    Attributes
    ----------
    release : str
    pair : CopyPair
        With what the register says of it.
    """

    release: str
    pair: CopyPair


def decided(result: AuditResult, entries: Sequence[RegisterEntry]) -> AuditResult:
    """Return a result with what the register's last decisions say of its pairs, and nothing else."""
    decisions = _decisions(entries)
    pairs = tuple(_with_decision(pair, decisions) for pair in result.copies.pairs)
    return replace(result, copies=replace(result.copies, pairs=pairs))


def listed_pairs(folder: Path) -> list[Listed]:
    """Return the pairs that the report of an audit lists, candidates first, each picture once.

    Raises
    ------
    ImindexError
        There is no register or no report, or the report was edited or is of an earlier version.
    """
    decisions, path = _decisions(read_register(folder)), folder / "report.json"
    try:
        report = parse_json(read_text(path))
        found = [(str(one["release"]), pair) for one in report["results"] for pair in one["copies"]["pairs"]]
        edited = digest(report) != report["digest"]
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist: the audit is not finished. Run it again.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImindexError(f"{path} is not a report of imindex: {error}. Run the audit again.") from error
    if edited:
        raise ImindexError(
            f"{path} was edited since it was written: its digest is wrong. Run the audit again, then decide."
        )
    listed: dict[tuple[str, str], Listed] = {}
    for release, value in found:
        if not isinstance(value, dict) or not value.get("imitation_sha256"):
            raise ImindexError(f"{path} lists pairs without their digests. Run the audit again.")
        pair = _with_decision(from_dict(CopyPair, value, str(path)), decisions)
        # Several encoders may list one picture; a candidate by one of them is a candidate.
        before = listed.get((release, pair.imitation))
        if before is None or (pair.candidate and not before.pair.candidate):
            listed[release, pair.imitation] = Listed(release, pair)
    return sorted(listed.values(), key=lambda one: not one.pair.candidate)


def find_pair(listed: Sequence[Listed], word: str) -> Listed:
    """Return the pair that RELEASE/PICTURE names; the picture's path may be shortened to its end.

    Raises
    ------
    ImindexError
        None or several are named.
    """
    matches = [one for one in listed if _names(word, one)]
    # A whole path is meant for itself, also where it is the end of another one.
    matches = [one for one in matches if word == f"{one.release}/{one.pair.imitation}"] or matches
    if len(matches) == 1:
        return matches[0]
    if not matches:
        known = ", ".join(f"{one.release}/{one.pair.imitation}" for one in listed if one.pair.candidate)
        raise ImindexError(
            f"{word} is no picture that the report lists. "
            + (f"Name one of: {known}." if known else "The report has no candidates.")
        )
    raise ImindexError(
        f"{word} is ambiguous. Name more of the path: "
        + ", ".join(f"{one.release}/{one.pair.imitation}" for one in matches)
        + "."
    )


def decide(
    folder: Path, decisions: Sequence[tuple[Listed, bool]], *, by: str, note: str = "", command: str = ""
) -> list[RegisterEntry]:
    """Record in the register of an audit which pairs are copies, and which are not.

    Parameters
    ----------
    folder : Path
    decisions : sequence of (Listed, bool)
        True confirms a copy, False rejects it. An earlier decision stays in the register, and the later one holds.
    by : str
        Name of the person.
    note, command : str

    Returns
    -------
    list of RegisterEntry
        The new entries.

    Raises
    ------
    ImindexError
        Nobody is named, a picture has changed since the report was written, or an audit is at work in the folder.
    """
    if not by.strip():
        raise ImindexError("A decision has a name to it. Say whose it is with --by NAME.")
    refusal = f"{folder} is in use by {{by}}. Wait for it to end."
    with alone(folder / ".lock", refusal, command):
        places = places_of_audit(folder, [path.name for path in sorted(folder.glob("*.h5"))])
        for one, _ in decisions:
            _check(places, one.pair.imitation, one.pair.imitation_sha256)
            _check(places, one.pair.work, one.pair.work_sha256)
        return record_decisions(
            folder,
            [
                CopyDecision(
                    release=one.release,
                    imitation=one.pair.imitation,
                    imitation_sha256=one.pair.imitation_sha256,
                    work=one.pair.work,
                    work_sha256=one.pair.work_sha256,
                    decided="confirmed" if copied else "rejected",
                    by=by.strip(),
                    note=note,
                )
                for one, copied in decisions
            ],
        )


def _decisions(entries: Sequence[RegisterEntry]) -> dict[tuple[str, str], RegisterEntry]:
    """Return the last decision on each pair of pictures, by their digests."""
    return {
        (entry.decision.imitation_sha256, entry.decision.work_sha256): entry
        for entry in entries
        if entry.decision is not None
    }


def _with_decision(pair: CopyPair, decisions: Mapping[tuple[str, str], RegisterEntry]) -> CopyPair:
    entry = decisions.get((pair.imitation_sha256, pair.work_sha256))
    if entry is None or entry.decision is None:
        return replace(pair, decided="", decided_by="", decided_when="", note="")
    decision = entry.decision
    return replace(
        pair, decided=decision.decided, decided_by=decision.by, decided_when=entry.when, note=decision.note
    )


def _names(word: str, one: Listed) -> bool:
    if not word.startswith(f"{one.release}/"):  # the name of a release may have slashes, too
        return False
    whole = one.pair.imitation.removeprefix("./")
    picture = word.removeprefix(f"{one.release}/").removeprefix("./")
    return bool(picture) and (whole == picture or whole.endswith(f"/{picture}"))


def _check(places: PicturePaths, stored: str, digest: str) -> None:
    path = places.full(stored)
    if path is None:
        raise ImindexError(f"{stored} is in no root that an index of the audit names. Run the audit again.")
    try:
        now = hashlib.sha256(read_bytes(path)).hexdigest()
    except (BadPicture, OSError) as error:
        raise ImindexError(f"{path} cannot be read: {error}. Put the picture back.") from error
    if now != digest:
        raise ImindexError(f"{path} is not the picture of the report: it has changed. Run the audit again.")
