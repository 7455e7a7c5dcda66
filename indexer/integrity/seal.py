"""A seal: a small manifest of the current state of an index, to be signed or time-stamped by other tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from imindex.indexer.core.digest import canonical_json
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import now, program, versions
from imindex.indexer.integrity.verify import Verification
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.input_files import open_input, read_input

FORMAT, VERSION = "imindex-seal", "1.1"
READABLE = ("1.0", VERSION)
IDENTICAL, REWRITTEN, DIFFERS, UNCHECKED = "identical", "rewritten", "differs", "not checked"
_CHUNK = 2**22


class _Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """Base of the parts of a seal; JSON keys have hyphens."""


class SealedIndex(_Sealed, kw_only=True, frozen=True):
    """An index file.

    Attributes
    ----------
    name : str
    bytes : int
    sha256 : str
        Of the file.
    format : str
        Format version.
    root_digest : str
    rows, rejects : int
    """

    name: str
    bytes: int
    sha256: str
    format: str
    root_digest: str
    rows: int
    rejects: int


class SealedEncoder(_Sealed, kw_only=True, frozen=True):
    """The encoder of an index."""

    dim: int
    precision: str
    weights_sha256: str


class SealedAudit(_Sealed, kw_only=True, frozen=True):
    """An audit.

    Attributes
    ----------
    plan : str
        Digest of the plan.
    register : str
        Digest of the last line of the register.
    report : str
        Digest of the content of the report, without times; empty without a report.
    files : dict of str to str
        SHA-256 of each file of the report, by name: report.html, report.json, artists.csv. Empty in seals of version
        1.0.
    """

    plan: str
    register: str
    report: str
    files: dict[str, str] = {}


class Seal(_Sealed, kw_only=True, frozen=True):
    """The state of an index, and of an audit, at a point in time.

    Attributes
    ----------
    format, version : str
        Of the seal.
    when : str
        ISO 8601, UTC.
    program : str
        Name and version.
    versions : dict of str to str
        By package.
    index : SealedIndex
    encoder : SealedEncoder
    audit : SealedAudit or None
    """

    format: str
    version: str
    when: str
    program: str
    versions: dict[str, str]
    index: SealedIndex
    encoder: SealedEncoder
    audit: SealedAudit | None

    def to_dict(self) -> dict[str, object]:
        """Return the seal as it is written to JSON."""
        values: dict[str, object] = msgspec.to_builtins(self)
        return values


@dataclass(frozen=True)
class Match:
    """Result of comparing one thing with a seal.

    Attributes
    ----------
    what : str
        file, content, encoder or audit.
    status : str
        `identical`, `rewritten`, `differs` or `not checked`.
    said : str
        An explanation.
    """

    what: str
    status: str
    said: str


def file_digest(path: Path, progress: Callable[[int], None] = lambda done: None) -> str:
    """Return the SHA-256 of a file, read in chunks."""
    digest, done = hashlib.sha256(), 0
    with open_input(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            progress(done := done + len(chunk))
    return digest.hexdigest()


def seal(index: Index, audit: SealedAudit | None = None) -> Seal:
    """Return the seal of an open index.

    Parameters
    ----------
    index : Index
        A verified index; the seal of a faulty file would attest the fault.
    audit : SealedAudit, optional
    """
    encoder = index.encoder
    return Seal(
        format=FORMAT,
        version=VERSION,
        when=now(),
        program=program(),
        versions=versions(),
        index=SealedIndex(
            name=index.path.name,
            bytes=index.path.stat().st_size,
            sha256=file_digest(index.path),
            format=index.version,
            root_digest=index.root_digest,
            rows=index.n,
            rejects=index.raw().rows("rejects/artist"),
        ),
        encoder=SealedEncoder(
            dim=encoder.dim, precision=encoder.precision, weights_sha256=encoder.weights_sha256
        ),
        audit=audit,
    )


def write_seal(manifest: Seal, path: Path) -> None:
    """Write a seal as one line of canonical JSON, so that equal content gives equal bytes."""
    write_file(path, _line(manifest.to_dict()))


def _line(manifest: dict[str, object]) -> bytes:
    return canonical_json(manifest).encode("utf-8", "surrogateescape") + b"\n"


def read_seal(path: Path) -> Seal:
    """Read a seal.

    Raises
    ------
    ImindexError
        If the file does not exist, is not a seal, or is not in canonical form.
    """
    try:
        data = read_input(path)
        manifest = json.loads(data)
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Make a seal with `imindex seal -o {path}`.") from None
    except ValueError as error:
        raise ImindexError(f"{path} is not a seal: {error}. `imindex seal` writes one.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ImindexError(f"{path} is JSON, but not the seal of an index. `imindex seal` writes one.")
    if manifest.get("version") not in READABLE:
        raise ImindexError(
            f"{path} is a seal of version {manifest.get('version')}; this imindex reads {' and '.join(READABLE)}. "
            "Install the imindex that wrote it (see its key `program`)."
        )
    try:
        read = msgspec.convert(manifest, Seal)
    except (msgspec.ValidationError, UnicodeError):
        read = None
    if read is None or _line(manifest) != data:
        raise ImindexError(
            f"{path} was edited or reformatted since `imindex seal` wrote it. Restore it from a backup."
        )
    return read


def check_seal(manifest: Seal, index: Index, verification: Verification) -> list[Match]:
    """Compare an index with a seal.

    Parameters
    ----------
    manifest : Seal
    index : Index
        The open index.
    verification : Verification
        Verification of this index. Its root digest is that of the actual content, not the one stored in the file.
    """
    sealed, encoder = manifest.index, manifest.encoder
    content = bool(verification.root) and verification.root == sealed.root_digest
    matches = []
    if index.path.stat().st_size == sealed.bytes and file_digest(index.path) == sealed.sha256:
        matches.append(Match("file", IDENTICAL, "byte for byte the sealed file"))
    elif content:
        matches.append(
            Match("file", REWRITTEN, "different bytes with the same content: the file was rewritten since")
        )
    else:
        matches.append(Match("file", DIFFERS, "not the sealed file"))
    if content:
        matches.append(Match("content", IDENTICAL, f"root digest {verification.root[:12]}, {index.n} rows"))
    else:
        root = verification.root[:12] or "unknown, since the content cannot be read"
        matches.append(Match("content", DIFFERS, f"root digest {root}, sealed {sealed.root_digest[:12]}"))
    weights = index.encoder.weights_sha256
    if weights == encoder.weights_sha256:
        matches.append(Match("encoder", IDENTICAL, f"weights {weights[:12]}"))
    else:
        matches.append(
            Match("encoder", DIFFERS, f"weights {weights[:12]}, sealed {encoder.weights_sha256[:12]}")
        )
    return matches
