"""A seal: a small manifest of the current state of an index, to be signed or time-stamped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from imindex.indexer.core.digest import canonical_json, encode_text, json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.provenance import now, program, versions
from imindex.indexer.core.schema import LOG_COLUMNS
from imindex.indexer.integrity.verify import Verification
from imindex.indexer.store.digests import THE_REST
from imindex.indexer.store.index import Index
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.input_files import open_input

FORMAT, VERSION = "imindex-seal", "1.2"
READABLE = ("1.0", "1.1", VERSION)
IDENTICAL, REWRITTEN, DIFFERS, UNCHECKED = "identical", "rewritten", "differs", "not checked"
_CHUNK = 2**22
_CLOCKS = timedelta(hours=1)
_KEYS_BEFORE_1_2 = 7
"""Keys of `SealedIndex` in older seals."""
_MAX_BYTES = 2**20
"""A seal takes about 2 kB."""


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
    created_at, created_by : str or None
        When the index was created, and by which version. This and what follows is None in seals before version 1.2.
    log_lines : int or None
        Number of lines of the log.
    log_digest : str or None
        SHA-256 of the log as canonical JSON, a list of objects (`log_digest`).
    digests : dict of str to str, or None
        The digests of the file for what the root digest does not cover: attributes, ann, stamps and log.
    """

    name: str
    bytes: int
    sha256: str
    format: str
    root_digest: str
    rows: int
    rejects: int
    created_at: str | None = None
    created_by: str | None = None
    log_lines: int | None = None
    log_digest: str | None = None
    digests: dict[str, str] | None = None


class SealedEncoder(_Sealed, kw_only=True, frozen=True):
    """The encoder of an index.

    Attributes
    ----------
    dim : int
    precision : str
    weights_sha256 : str
    name : str or None
        Model and weights as recorded, without folders. None in seals before version 1.2.
    """

    dim: int
    precision: str
    weights_sha256: str
    name: str | None = None


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
        SHA-256 of each file of the report, by name: report.html, report.json, artists.csv and the tables of further
        questions. Empty in seals of version 1.0.
    """

    plan: str
    register: str
    report: str
    files: dict[str, str] = {}


class Signature(_Sealed, kw_only=True, frozen=True):
    """A signature.

    Attributes
    ----------
    algorithm : str
        Ed25519.
    public_key, value : str
        In hexadecimal.
    """

    algorithm: str
    public_key: str
    value: str


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
    digest : str or None
        SHA-256 of the seal as canonical JSON without `digest` and `signature`. It detects accidents; whoever edits a
        seal on purpose can compute it again. None in seals before version 1.2.
    signature : Signature or None
        Of the seal as canonical JSON without `signature`.
    """

    format: str
    version: str
    when: str
    program: str
    versions: dict[str, str]
    index: SealedIndex
    encoder: SealedEncoder
    audit: SealedAudit | None
    digest: str | None = None
    signature: Signature | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the seal as it is written to JSON."""
        values: dict[str, object] = msgspec.to_builtins(self)
        return values

    def signed_bytes(self) -> bytes:
        """Return what a signature covers: the canonical JSON of the seal without the key `signature`."""
        return _bytes({key: value for key, value in self.to_dict().items() if key != "signature"})

    def own_digest(self) -> str:
        """Return the SHA-256 that `digest` must have."""
        values = {key: value for key, value in self.to_dict().items() if key not in ("digest", "signature")}
        return hashlib.sha256(_bytes(values)).hexdigest()


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


def _digest_of(index: Index) -> str:
    """Return the SHA-256 of the file of an open index; one in an object store is read whole."""
    digest = hashlib.sha256()
    for piece in index.pieces():
        digest.update(piece)
    return digest.hexdigest()


def readable(name: str) -> str:
    """Return a name with bytes that are not UTF-8 escaped, so that a seal is valid JSON."""
    return name.encode("utf-8", "backslashreplace").decode()


def log_digest(lines: Sequence[Mapping[str, str]]) -> str:
    """Return the SHA-256 of lines of a log: canonical JSON of a list of objects with the keys of `LOG_COLUMNS`."""
    return json_digest([{name: line.get(name, "") for name in LOG_COLUMNS} for line in lines])


def seal(index: Index, audit: SealedAudit | None = None) -> Seal:
    """Return the seal of an open index.

    Parameters
    ----------
    index : Index
        A verified index; the seal of a faulty file would attest the fault.
    audit : SealedAudit, optional
    """
    encoder, log = index.encoder, index.log()
    unsealed = Seal(
        format=FORMAT,
        version=VERSION,
        when=now(),
        program=program(),
        versions=versions(),
        index=SealedIndex(
            name=readable(index.path.name),
            bytes=index.size,
            sha256=_digest_of(index),
            format=index.version,
            root_digest=index.root_digest,
            rows=index.n,
            rejects=index.raw().rows("rejects/artist"),
            created_at=index.created_at,
            created_by=index.created_by,
            log_lines=len(log),
            log_digest=log_digest(log),
            digests=_digests_of_the_rest(index),
        ),
        encoder=SealedEncoder(
            dim=encoder.dim,
            precision=encoder.precision,
            weights_sha256=encoder.weights_sha256,
            name=readable(encoder.short_name()),
        ),
        audit=audit,
    )
    return msgspec.structs.replace(unsealed, digest=unsealed.own_digest())


def write_seal(manifest: Seal, path: Path) -> None:
    """Write a seal as one line of canonical JSON, so that equal content gives equal bytes."""
    write_file(path, _line(manifest.to_dict()))


def _bytes(values: Mapping[str, object]) -> bytes:
    return encode_text(canonical_json(values))


def _line(manifest: Mapping[str, object]) -> bytes:
    return _bytes(manifest) + b"\n"


def read_seal(path: Path) -> Seal:
    """Read a seal.

    Raises
    ------
    ImindexError
        If the file does not exist, is not a seal, is not in canonical form, or has another digest than its own.
    """
    try:
        with open_input(path) as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
        manifest = parse_json(data)
    except FileNotFoundError:
        raise ImindexError(f"{path} does not exist. Make a seal with `imindex seal -o {path}`.") from None
    except ValueError as error:
        raise ImindexError(f"{path} is not a seal: {error}. `imindex seal` writes one.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ImindexError(f"{path} is JSON, but not the seal of an index. `imindex seal` writes one.")
    version = manifest.get("version")
    if version not in READABLE:
        raise ImindexError(
            f"{path} is a seal of version {version}; this imindex reads {', '.join(READABLE)}. "
            "Install the imindex that wrote it (see its key `program`)."
        )
    try:
        read = msgspec.convert(manifest, Seal)
    except (msgspec.ValidationError, UnicodeError, RecursionError):
        read = None
    if read is None or _line(manifest) != data or not _is_whole(read):
        raise ImindexError(
            f"{path} was edited or reformatted since `imindex seal` wrote it. Restore it from a backup."
        )
    return read


def _is_whole(read: Seal) -> bool:
    """Return whether a seal has exactly the keys of its version and, since version 1.2, its own digest."""
    parts = (*msgspec.structs.astuple(read.index), read.encoder.name)
    present = [value is not None for value in parts]
    if read.version != VERSION:
        return sum(present) == _KEYS_BEFORE_1_2 and read.digest is None and read.signature is None
    return all(present) and read.digest == read.own_digest()


def _digests_of_the_rest(index: Index) -> dict[str, str]:
    raw = index.raw()
    return {name: compute(raw) for name, compute in THE_REST.items()}


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
    sealed = manifest.index
    content = bool(verification.root) and verification.root == sealed.root_digest
    same_file = _digest_of(index) == sealed.sha256
    matches = []
    if same_file:
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
    matches += [_check_encoder(manifest.encoder, index), *_check_figures(sealed, index, same_file, content)]
    if sealed.log_lines is None:
        said = f"seals of version {manifest.version} do not hold the log, dates and names"
        return [*matches, Match("log", UNCHECKED, said)]
    return [*matches, *_check_history(manifest, index)]


def _lines(n: int) -> str:
    return f"{n} line" if n == 1 else f"{n} lines"


def _is_before(when: str, sealed: str) -> bool:
    """Return whether a line is older than a seal, by more than clocks of two machines may differ; or has no date."""
    try:
        return datetime.fromisoformat(sealed) - datetime.fromisoformat(when) > _CLOCKS
    except (ValueError, TypeError):
        return True


def _check_encoder(sealed: SealedEncoder, index: Index) -> Match:
    own = index.encoder
    differences = [
        f"{name} {mine}, sealed {theirs}"
        for name, mine, theirs in (
            ("weights", own.weights_sha256[:12], sealed.weights_sha256[:12]),
            ("precision", own.precision, sealed.precision),
            ("dimensions", own.dim, sealed.dim),
        )
        if mine != theirs
    ]
    if own.weights_sha256 == sealed.weights_sha256 and not differences:
        return Match("encoder", IDENTICAL, f"weights {own.weights_sha256[:12]}")
    return Match("encoder", DIFFERS, "; ".join(differences) or "other weights")


def _check_figures(sealed: SealedIndex, index: Index, same_file: bool, content: bool) -> list[Match]:
    """Compare sizes, counts and the format, which must agree if the file or the content is the sealed one."""
    figures: list[tuple[str, object, object]] = []
    if content:
        figures += [
            ("rows", index.n, sealed.rows),
            ("rejects", index.raw().rows("rejects/artist"), sealed.rejects),
        ]
    if same_file:
        figures += [
            ("bytes", index.size, sealed.bytes),
            ("format", index.version, sealed.format),
        ]
    elif float(index.version) < float(sealed.format):
        figures.append(("format", index.version, sealed.format))
    return [
        Match(name, DIFFERS, f"the index has {own}, the seal says {theirs}: one of them was edited")
        for name, own, theirs in figures
        if own != theirs
    ]


def _check_history(manifest: Seal, index: Index) -> list[Match]:
    """Compare the log, whose sealed lines must come first, and what else the root digest does not cover."""
    sealed = manifest.index
    lines, count = index.log(), sealed.log_lines or 0
    later = len(lines) - count
    if later < 0 or log_digest(lines[:count]) != sealed.log_digest:
        said = f"has {_lines(len(lines))}, sealed were {count}" if later < 0 else "a sealed line differs"
        matches = [Match("log", DIFFERS, f"{said}: who changed the file, when or how was edited")]
    elif early := [line["when"] for line in lines[count:] if _is_before(line["when"], manifest.when)]:
        said = f"a line that was added since the seal is dated {early[0]}, before the seal ({manifest.when})"
        matches = [Match("log", DIFFERS, said)]
    elif later:
        matches = [Match("log", REWRITTEN, f"{_lines(count)} as sealed, and {later} more since")]
    else:
        matches = [Match("log", IDENTICAL, _lines(count))]
    for name, own, theirs in (
        ("created-at", index.created_at, sealed.created_at),
        ("created-by", index.created_by, sealed.created_by),
    ):
        if own != theirs:
            matches.append(Match(name, DIFFERS, f"{own}, sealed {theirs}"))
    if (own_name := readable(index.encoder.short_name())) != manifest.encoder.name:
        said = f"the index names {own_name}, sealed {manifest.encoder.name}, with the same weights"
        matches.append(Match("encoder name", REWRITTEN if later > 0 else DIFFERS, said))
    if later <= 0:  # every command that rewrites a file adds a line to its log
        digests = _digests_of_the_rest(index)
        matches += [
            Match(name, DIFFERS, "differs from what was sealed, although the log has no new line")
            for name, digest in (sealed.digests or {}).items()
            if name != "log" and digests.get(name) != digest
        ]
    return matches
