"""A seal: a small manifest beside an index that says what it is now, to be signed or time-stamped by other tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import now, program, versions
from imindex.indexer.integrity.verify import Verification
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import put_in_place

FORMAT, VERSION = "imindex-seal", "1.0"
IDENTICAL, REWRITTEN, DIFFERS, UNCHECKED = "identical", "rewritten", "differs", "not checked"
_AT_ONCE = 2**22
_KEYS = {"audit", "encoder", "format", "index", "program", "version", "versions", "when"}
_INDEX_KEYS = {"bytes", "format", "name", "rejects", "root-digest", "rows", "sha256"}


@dataclass(frozen=True)
class Match:
    """How one thing stands to a seal: `identical`, `rewritten`, `differs` or `not checked`, and a sentence."""

    what: str
    status: str
    said: str


def file_digest(path: Path, progress: Callable[[int], None] = lambda done: None) -> str:
    """SHA-256 of a file's bytes, read a piece at a time."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_AT_ONCE):
            digest.update(piece)
            progress(done := done + len(piece))
    return digest.hexdigest()


def seal(index: Index, audit: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a seal says of an open index.

    Parameters
    ----------
    index : Index
        Verified: a seal of a file with a fault would attest the fault.
    audit : mapping, optional
        Digests of the plan, of the register's last line, and of the report.
    """
    encoder = index.encoder
    return {
        "format": FORMAT,
        "version": VERSION,
        "when": now(),
        "program": program(),
        "versions": versions(),
        "index": {
            "name": index.path.name,
            "bytes": index.path.stat().st_size,
            "sha256": file_digest(index.path),
            "format": index.version,
            "root-digest": index.root_digest,
            "rows": index.n,
            "rejects": index.raw().rows("rejects/artist"),
        },
        "encoder": {
            "dim": encoder.dim,
            "precision": encoder.precision,
            "weights-sha256": encoder.weights_sha256,
        },
        "audit": None if audit is None else dict(audit),
    }


def write_seal(manifest: Mapping[str, Any], path: Path) -> None:
    """Write a seal as canonical JSON, one line: the same content is the same bytes."""
    with put_in_place(path) as temporary:
        temporary.write_bytes(canonical_json(manifest).encode("utf-8", "surrogateescape") + b"\n")


def read_seal(path: Path) -> dict[str, Any]:
    """Read a seal.

    Raises
    ------
    ImindexError
        It is not there, is no seal, or not in the canonical form in which it was written.
    """
    try:
        data = path.read_bytes()
        manifest = json.loads(data)
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Make a seal with `imindex seal -o {path}`.") from None
    except ValueError as error:
        raise ImindexError(f"{path} is not a seal: {error}. `imindex seal` writes one.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ImindexError(f"{path} is JSON, and not a seal of an index. `imindex seal` writes one.")
    if manifest.get("version") != VERSION:
        raise ImindexError(
            f"{path} is a seal of version {manifest.get('version')}; this imindex reads {VERSION}. Install the imindex "
            "that wrote it (key program)."
        )
    whole = (
        manifest.keys() == _KEYS
        and isinstance(manifest["index"], dict)
        and isinstance(manifest["encoder"], dict)
        and isinstance(manifest["audit"], (dict, type(None)))
        and manifest["index"].keys() == _INDEX_KEYS
        and canonical_json(manifest).encode("utf-8", "surrogateescape") + b"\n" == data
    )
    if not whole:
        raise ImindexError(
            f"{path} is not as `imindex seal` wrote it: it was edited, or reformatted. Restore it from a copy."
        )
    return manifest


def check_seal(manifest: Mapping[str, Any], index: Index, found: Verification) -> list[Match]:
    """What of a seal an index still matches.

    Parameters
    ----------
    manifest : mapping
        As `read_seal` returns it.
    index : Index
        Open.
    found : Verification
        Of this index: content is what it holds now, and not what its root digest says it holds.
    """
    said, encoder = manifest["index"], manifest["encoder"]
    content = bool(found.root) and found.root == said["root-digest"]
    matches = []
    if index.path.stat().st_size == said["bytes"] and file_digest(index.path) == said["sha256"]:
        matches.append(Match("file", IDENTICAL, "byte for byte the file that was sealed"))
    elif content:
        matches.append(
            Match("file", REWRITTEN, "other bytes with the same content: the file was written anew since")
        )
    else:
        matches.append(Match("file", DIFFERS, "not the file that was sealed"))
    if content:
        matches.append(Match("content", IDENTICAL, f"root digest {found.root[:12]}, {index.n} rows"))
    else:
        now_is = found.root[:12] or "none, for it cannot be read"
        matches.append(Match("content", DIFFERS, f"root digest {now_is}, sealed {said['root-digest'][:12]}"))
    weights = index.encoder.weights_sha256
    if weights == encoder["weights-sha256"]:
        matches.append(Match("encoder", IDENTICAL, f"weights {weights[:12]}"))
    else:
        matches.append(
            Match("encoder", DIFFERS, f"weights {weights[:12]}, sealed {encoder['weights-sha256'][:12]}")
        )
    return matches
