"""Describe an index, for `imindex info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from imindex.indexer.ann.record import Record, is_approximate
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.jsonable import json_ready
from imindex.indexer.core.preprocess_bounds import ACCEPT, AS_ENCODED, SRGB
from imindex.indexer.core.schema import ARMS, KINDS, NOBODY, Columns
from imindex.indexer.decode.rendering import from_log
from imindex.indexer.store.index import Index


class _Described(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Base of the types below; JSON keys have hyphens."""


class ArmSummary(_Described, kw_only=True, frozen=True):
    """The pictures of an arm in a collection: names in the prompts, and pictures."""

    arm: str
    names: int
    pictures: int


class CollectionSummary(_Described, kw_only=True, frozen=True):
    """A collection and its size: artists with pictures, pictures, and those that were rejected and blocked.

    `arms` lists the arms of its pictures, as far as they are known.
    """

    name: str
    kind: str
    generator: Mapping[str, Any]
    artists: int
    pictures: int
    rejected: int
    blocked: int
    arms: tuple[ArmSummary, ...]


class ArtistSummary(_Described, kw_only=True, frozen=True):
    """An artist, and the number of pictures of each kind."""

    name: str
    works: int
    imitations: int
    control: int
    background: int


class RejectSummary(_Described, kw_only=True, frozen=True):
    """A picture that could not be read or encoded, or was blocked by a safety filter for the reason `blocked`."""

    artist: str
    collection: str
    kind: str
    sha256: str
    path: str
    reason: str
    blocked: str


class DuplicateSummary(_Described, kw_only=True, frozen=True):
    """A row that shares its bytes with another row."""

    row: int
    sha256: str
    artist: str
    collection: str
    path: str


class IndexSummary(_Described, kw_only=True, frozen=True):
    """What `imindex info --json` prints.

    Attributes
    ----------
    index : str, or tuple of str
        Path of the file; the paths, if several are read as one.
    n : int
        Rows.
    root_digest, format, created_at, created_by : str
    encoder : mapping
        Name, model, pretrained, and what the vectors depend on.
    ann : mapping
        Attributes of /ann, and its size in bytes.
    collections : tuple of CollectionSummary
    artists : tuple of ArtistSummary
    rejects : tuple of RejectSummary
    duplicates : tuple of DuplicateSummary
        Rows with the same bytes follow each other.
    duplicates_summary : str
        The duplicates in a sentence.
    log : tuple of dict
        Changes of the index, oldest first.
    rendering : str
        How the pixels of files were interpreted, in words.
    told : mapping of str to int
        What builds told about pictures when they were added (`imindex.indexer.decode.rendering.NOTES`), and how many
        they were; they may have been removed since.
    """

    index: str | tuple[str, ...]
    n: int
    root_digest: str
    format: str
    created_at: str
    created_by: str
    encoder: Mapping[str, Any]
    ann: Mapping[str, Any]
    collections: tuple[CollectionSummary, ...]
    artists: tuple[ArtistSummary, ...]
    rejects: tuple[RejectSummary, ...]
    duplicates: tuple[DuplicateSummary, ...]
    duplicates_summary: str
    log: tuple[Mapping[str, str], ...]
    rendering: str = ""
    told: Mapping[str, int] = {}

    def to_dict(self) -> dict[str, object]:
        """Return the summary as it is written to JSON."""
        values: dict[str, object] = msgspec.to_builtins(self)
        if "seed" in self.ann:  # a number of 63 bits does not survive readers that use doubles
            values["ann"] = {**self.ann, "seed": str(self.ann["seed"])}
        return values


NOT_COMPARED = "not compared, since the index is in an object store (--duplicates)"
"""What is said of duplicates where looking for them would read the digests of all pictures."""


def describe(index: Index, *, duplicates: bool = True) -> IndexSummary:
    """Describe an index: counts, encoder, collections, rejects, duplicates, log.

    Parameters
    ----------
    index : Index
    duplicates : bool
        Whether to look for duplicates. Without, the digests of the pictures are not read.
    """
    artist, collection = index.column("artist"), index.column("collection")
    rejects, arm = index.rejects(), index.column("arm")
    is_blocked = rejects["blocked"] != ""
    kind_of = np.array([KINDS.index(c.kind) for c in index.collections], dtype=np.int64)
    per_kind = np.zeros((len(index.artists), len(KINDS)), np.int64)
    named = artist != NOBODY
    np.add.at(per_kind, (artist[named], kind_of[collection[named]]), 1)
    found, sentence = _duplicates(index, artist, collection) if duplicates else ((), NOT_COMPARED)
    return IndexSummary(
        index=index.files,
        n=index.n,
        root_digest=index.root_digest,
        format=index.version,
        created_at=index.created_at,
        created_by=index.created_by,
        encoder={
            "name": index.encoder.name(),
            "model": index.encoder.model,
            "pretrained": index.encoder.pretrained,
            **({"package": index.encoder.package} if index.encoder.package else {}),
            **index.encoder.identity(),
            **({"preprocess-from": taken} if (taken := index.encoder.preprocess_from) else {}),
            **({"pretrained-sha256": file} if (file := index.encoder.pretrained_sha256) else {}),
        },
        ann=json_ready(index.ann() | {"bytes": index.ann_bytes()}),
        collections=tuple(
            CollectionSummary(
                name=c.name,
                kind=c.kind,
                generator=c.generator,
                artists=len(np.unique(artist[(collection == number) & named])),
                pictures=int(np.count_nonzero(collection == number)),
                rejected=int(np.count_nonzero((rejects["collection"] == number) & ~is_blocked)),
                blocked=int(np.count_nonzero((rejects["collection"] == number) & is_blocked)),
                arms=_arms(arm, artist, collection == number),
            )
            for number, c in enumerate(index.collections)
        ),
        artists=tuple(
            ArtistSummary(name=name, **dict(zip(KINDS, counts, strict=True)))
            for name, counts in zip(index.artists, per_kind.tolist(), strict=True)
        ),
        rejects=_rejects(index, rejects),
        duplicates=found,
        duplicates_summary=sentence,
        log=tuple(index.log()),
        rendering=_rendering(index),
        told=from_log(str(line["summary"]) for line in index.log()),
    )


def _rendering(index: Index) -> str:
    """Describe how the pixels of files were interpreted."""
    info = index.encoder
    colors = {SRGB: "converted to sRGB by colour profiles", AS_ENCODED: "as encoded, without colour profiles"}
    partial = "; files that end early are rows" if info.truncated == ACCEPT else ""
    return colors[info.color] + partial


def describe_search(ann: Mapping[str, Any]) -> str:
    """Describe the attributes of /ann and its size in one line: kind, measured recall, parameters, size."""
    version = f"FAISS {ann.get('faiss-version', 'of an unknown version')}"
    if not is_approximate(ann):
        return f"{ann.get('kind')} ({ann.get('metric')}), {version}"
    record = Record.read(ann)
    parameters = ", ".join(f"{name} {value}" for name, value in record.parameters.items())
    text = (
        f"{record.words()} (target {record.target:g}), {parameters}, {ann['bytes'] / 1e6:.1f} MB, {version}"
    )
    if record.rows_changed:
        text += f"; {record.rows_changed} rows changed since the measurement"
    return text


def provenance_rows(line: Mapping[str, str]) -> list[list[str]]:
    """Return a line of /log as rows of name and value, for display."""
    try:
        versions = ", ".join(f"{name} {value}" for name, value in parse_json(line["versions"]).items())
    except (ValueError, AttributeError):
        versions = line["versions"]
    rows = {
        "when": line["when"],
        "who": line.get("who") or "not recorded",
        "command": line["command"] or "a call from Python",
        "what": line["summary"],
        "versions": versions,
        "digest before": line["digest-before"] or "none: a new index",
        "digest after": line["digest-after"],
    }
    return [[name, value] for name, value in rows.items()]


def _duplicates(
    index: Index, artist: npt.NDArray[np.int32], collection: npt.NDArray[np.int32]
) -> tuple[tuple[DuplicateSummary, ...], str]:
    """List the rows that share their bytes with another row, and summarise them in a sentence."""
    digests = np.ascontiguousarray(index.column("sha256")).view("V32").ravel()
    _, group, counts = np.unique(digests, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[group] > 1)
    if not len(rows):
        return (), "none"
    rows = rows[np.argsort(group[rows], kind="stable")]
    shared = {int(g): set(artist[rows[group[rows] == g]].tolist()) for g in np.unique(group[rows])}
    across = sum(len(artists) > 1 for artists in shared.values())
    paths = index.column("path")
    duplicates = tuple(
        DuplicateSummary(
            row=int(row),
            sha256=bytes(digests[row]).hex(),
            artist=_name(index, int(artist[row])),
            collection=index.collections[collection[row]].name,
            path=paths[row],
        )
        for row in rows
    )
    return (
        duplicates,
        f"{len(rows)} rows share {len(shared)} pictures, {across} of them across artists (--duplicates)",
    )


def _arms(
    arm: npt.NDArray[np.object_], artist: npt.NDArray[np.int32], chosen: npt.NDArray[np.bool_]
) -> tuple[ArmSummary, ...]:
    arms = arm[chosen]
    return tuple(
        ArmSummary(
            arm=name,
            names=len(set(artist[chosen][arms == name].tolist()) - {NOBODY}),
            pictures=int(np.count_nonzero(arms == name)),
        )
        for name in ARMS
        if (arms == name).any()
    )


def _name(index: Index, artist: int) -> str:
    return index.artists[artist] if artist != NOBODY else ""


def _rejects(index: Index, table: Columns) -> tuple[RejectSummary, ...]:
    """Convert columns to rows, with names for numbers and digests in hexadecimal."""
    return tuple(
        RejectSummary(
            artist=_name(index, artist),
            collection=index.collections[collection].name,
            kind=index.collections[collection].kind,
            sha256=bytes(digest).hex(),
            path=path,
            reason=reason,
            blocked=blocked,
        )
        for artist, collection, digest, path, reason, blocked in zip(
            table["artist"].tolist(),
            table["collection"].tolist(),
            table["sha256"],
            table["path"],
            table["reason"],
            table["blocked"],
            strict=True,
        )
    )
