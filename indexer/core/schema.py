"""What an index holds: the encoder, artists, collections, columns of rows, and the digests over them.

Plain data and pure functions; `imindex.indexer.store` puts them into HDF5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.digest import DIGEST_SCHEME, canonical_json, json_digest
from imindex.indexer.core.preprocess_bounds import AS_ENCODED, REJECT

FORMAT = "imindex"
FORMAT_VERSION = "1.4"
"""What is written."""
FORMATS_READ = ("1.0", "1.1", "1.2", "1.3", "1.4")
KINDS = ("works", "imitations", "control", "background")
NO_SEED = -1
NOBODY = -1
"""`items/artist` of a picture that has no artist (a control picture)."""

ITEM_DTYPES: dict[str, npt.DTypeLike] = {
    "artist": "<i4",
    "collection": "<i4",
    "sha256": "u1",
    "path": object,
    "width": "<i4",
    "height": "<i4",
    "prompt": object,
    "seed": "<i8",
    "caption": object,
}
REJECT_DTYPES: dict[str, npt.DTypeLike] = {
    "artist": "<i4",
    "collection": "<i4",
    "sha256": "u1",
    "path": object,
    "reason": object,
}
OPTIONAL_DTYPES: dict[str, dict[str, npt.DTypeLike]] = {
    "items": {"arm": object, "model": object, "origin": object},
    "rejects": {"arm": object, "model": object, "prompt": object, "seed": "<i8", "blocked": object},
}
"""Columns of /items and /rejects that a file leaves out if all of their values are empty.

`origin` is there since format 1.4, the others since 1.3.
"""
ARMS = ("own", "placebo", "nameless", "control", "rival")
"""Values of the column `arm`: what a picture of a release is for. Empty if unknown."""
BLOCKED = "blocked: "
"""How the reason begins of a reject that a safety filter replaced."""

PRECISIONS = ("fp16", "bf16", "fp32")
"""The arithmetic of a forward pass."""
MAX_PREPROCESS_FROM = 1000
"""Characters of `preprocess-from` in an index, which are printed. The longest of published weights is half of it."""
OPTIONAL_ENCODER = ("tokens-sha256", "text-probe", "package", "preprocess-from", "pretrained-sha256")
"""The attributes of /encoder that may be missing."""
LOG_COLUMNS = ("when", "who", "command", "summary", "versions", "digest-before", "digest-after")

RENDERING = ("color", "truncated")
"""The keys of the preprocessing that say how the pixels of a file are interpreted."""

Attribute = str | int | float | bool
"""The value of an attribute in the file."""
Columns = dict[str, npt.NDArray[Any]]
Stamp = tuple[int, int, int]
"""Stamp of a file: size in bytes, modification time in nanoseconds since 1970, inode."""
NO_STAMP: Stamp = (0, 0, 0)
"""Stamp of a file that has to be read again."""
Stamps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EncoderInfo:
    """How the vectors of an index were made.

    Attributes
    ----------
    model : str
        The encoder's name, as `--model` takes it; a path in it is absolute. Not part of the identity.
    pretrained : str
        The weights' name, as `--pretrained` takes it; the path of a file is absolute. Not part of the identity.
    weights_sha256 : str
        Digest of the loaded weights (`imindex.indexer.encoders.torch_encoder.weights_digest`), 64 hexadecimal digits.
    config : mapping
        The back end's configuration of the model (JSON). `backend` names the back end; without it, that is open_clip.
    preprocess : mapping
        Size, mean, std, interpolation, resize_mode, fill_color, color, truncated:
        `imindex.indexer.decode.preprocess.Preprocess`.
    dim : int
        Length of a vector.
    precision : str
        fp16, bf16 or fp32: the arithmetic of the forward pass.
    tokens_sha256 : str
        Digest of the token ids of fixed texts (`imindex.indexer.encoders.probe.tokens_digest`). Empty if the encoder
        has no text side, and in indexes of formats before 1.2.
    text_probe : str
        The vector of a fixed text, float16, in hexadecimal digits (`imindex.indexer.encoders.probe.with_text_probe`).
        Empty if there is none. Not part of the identity, because it depends on the rounding of the machine.
    package : str
        The name and version of the package that the back end comes from, `imindex-mean-colour 1.2`. Empty if it comes
        with imindex, or is unknown. Not part of the identity.
    preprocess_from : str
        Where preprocessing and activation were taken from, in words, if the weights do not state them
        (`imindex.indexer.encoders.published`). Empty if they do. Not part of the identity.
    pretrained_sha256 : str
        Digest of the file of weights, where the back end states it. Not part of the identity: the same weights can come
        in several files.
    """

    model: str
    pretrained: str
    weights_sha256: str
    config: Mapping[str, Any]
    preprocess: Mapping[str, Any]
    dim: int
    precision: str
    tokens_sha256: str = ""
    text_probe: str = ""
    package: str = ""
    preprocess_from: str = ""
    pretrained_sha256: str = ""

    @property
    def color(self) -> str:
        """Whether colour profiles were converted (`srgb`) or ignored (`as-encoded`)."""
        return str(self.preprocess.get("color") or AS_ENCODED)

    @property
    def truncated(self) -> str:
        """Whether pictures whose file ends early were rejected (`reject`) or decoded in part (`accept`)."""
        return str(self.preprocess.get("truncated") or REJECT)

    def rendered(self, color: str, truncated: str) -> EncoderInfo:
        """Return this description with other settings of `color` and `truncated`."""
        kept = {key: value for key, value in self.preprocess.items() if key not in RENDERING}
        stated = {"color": color, "truncated": truncated}
        defaults = {"color": AS_ENCODED, "truncated": REJECT}
        changed = {key: value for key, value in stated.items() if value != defaults[key]}
        return replace(self, preprocess={**kept, **changed})

    def identity(self) -> dict[str, Any]:
        """Return the part that the root digest covers: what the vectors depend on, and no local path."""
        tokens = {"tokens-sha256": self.tokens_sha256} if self.tokens_sha256 else {}
        return {
            **tokens,
            "config": dict(self.config),
            "weights-sha256": self.weights_sha256,
            "preprocess": dict(self.preprocess),
            "dim": self.dim,
            "precision": self.precision,
        }

    def mismatch(
        self,
        other: EncoderInfo,
        compared_config: Callable[[Mapping[str, Any]], Mapping[str, object]] | None = None,
    ) -> list[str]:
        """Name what makes vectors of `other` incomparable with these.

        `truncated` does not: it decides which pictures have a vector, and changes no vector of a whole picture.

        Parameters
        ----------
        other : EncoderInfo
        compared_config : callable, optional
            Takes a configuration and returns the parts of it that vectors depend on, by name. By default the whole
            configuration counts.

        Returns
        -------
        list of str
            Such as `precision fp32 against bf16`; empty if the vectors are comparable.
        """
        parts = compared_config or _whole_config
        tokens_known = bool(self.tokens_sha256 and other.tokens_sha256)
        mine, theirs = (
            {
                "tokenizer": info.tokens_sha256[:12] if tokens_known else "",
                "weights": info.weights_sha256[:12],
                "preprocessing": {
                    key: value for key, value in info.preprocess.items() if key not in RENDERING
                },
                "color": info.color,
                **parts(info.config),
                "dimensions": info.dim,
                "precision": info.precision,
            }
            for info in (self, other)
        )
        return [
            f"{what} {mine.get(what)} against {theirs.get(what)}"
            for what in {**mine, **theirs}
            if mine.get(what) != theirs.get(what)
        ]

    def name(self) -> str:
        """Return a short name for messages, such as `ViT-B-32/openai at bf16`."""
        pretrained = f"/{self.pretrained}" if self.pretrained else ""
        return f"{self.model}{pretrained} at {self.precision}"

    def short_name(self) -> str:
        """Return model and weights as recorded, such as `ViT-B-32/openai`; of a path only the last part."""
        prefix, colon, folder = self.model.rpartition(":")
        known = prefix == "local-dir" or PurePath(folder).is_absolute()
        model = f"{prefix}{colon}{PurePath(folder).name}" if known else _last_part(self.model)
        return f"{model}/{_last_part(self.pretrained)}" if self.pretrained else model


def _last_part(name: str) -> str:
    return PurePath(name).name if PurePath(name).is_absolute() else name


def _whole_config(config: Mapping[str, Any]) -> dict[str, object]:
    """Return each value of a configuration, long ones as a digest."""
    return {
        key: value if len(canonical_json(value)) <= 60 else json_digest(value)[:12]
        for key, value in config.items()
    }


@dataclass(frozen=True)
class Collection:
    """A named set of pictures of one kind, such as the works, the imitations of a release, or the controls."""

    name: str
    kind: str
    generator: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """The content of an index except the vectors, which are streamed.

    `items` and `rejects` are columns of equal length, named as in FORMAT.md. `item_stamps` and `reject_stamps` are
    (n, 3) int64 arrays of size, modification time and inode. `roots` has the folder of each named root by its name.
    """

    encoder: EncoderInfo
    artists: Sequence[str]
    collections: Sequence[Collection]
    items: Columns
    rejects: Columns
    log: Sequence[Mapping[str, str]] = ()
    created_at: str = ""
    created_by: str = ""
    item_stamps: Stamps | None = None
    reject_stamps: Stamps | None = None
    roots: Mapping[str, str] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return len(self.items["artist"])

    def stamps(self) -> tuple[Stamps, Stamps]:
        """Return the stamps of the files of /items and of /rejects, (n, 3) int64 each, zeros where unknown."""
        return (
            stamps_or_zeros(self.item_stamps, self.n),
            stamps_or_zeros(self.reject_stamps, len(self.rejects["artist"])),
        )


def stamps_or_zeros(stamps: Stamps | None, n: int) -> Stamps:
    """Return them as they are, or n rows of zeros."""
    return np.zeros((n, 3), np.int64) if stamps is None else stamps


def stamp_rows(stamps: Iterable[Stamp]) -> Stamps:
    """Stamps -> (n, 3) int64."""
    return np.array(list(stamps), np.int64).reshape(-1, 3)


def columns(
    dtypes: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    optional: Mapping[str, Any] = MappingProxyType({}),
) -> Columns:
    """Turn rows (dicts) into columns of the given dtypes; `sha256` becomes (n, 32) bytes.

    A value of an optional column may be missing: it is then the empty text, or `NO_SEED` of numbers.
    """
    listed: dict[str, list[Any]] = {name: [] for name in (*dtypes, *optional)}
    empty = {name: "" if dtype is object else NO_SEED for name, dtype in optional.items()}
    for row in rows:  # an iterator: only one row is in memory at a time
        for name, values in listed.items():
            values.append(row.get(name, empty[name]) if name in empty else row[name])
    table: Columns = {}
    for name, dtype in {**dtypes, **optional}.items():
        if name == "sha256":
            table[name] = np.frombuffer(b"".join(listed.pop(name)), np.uint8).reshape(-1, 32)
        else:
            table[name] = np.array(listed.pop(name), dtype=dtype)
    return table


def item_columns(rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Return the columns of /items from rows with its keys; those of optional columns may be missing."""
    return columns(ITEM_DTYPES, rows, OPTIONAL_DTYPES["items"])


def reject_columns(rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Return the columns of /rejects from rows with its keys; those of optional columns may be missing."""
    return columns(REJECT_DTYPES, rows, OPTIONAL_DTYPES["rejects"])


def empty_column(table: str, name: str, n: int) -> npt.NDArray[Any]:
    """Return the values of an optional column that a file leaves out: n times the empty text, or `NO_SEED`."""
    dtype = OPTIONAL_DTYPES[table][name]
    return np.full(n, "" if dtype is object else NO_SEED, dtype=dtype)


def is_left_out(table: str, name: str, values: npt.NDArray[Any]) -> bool:
    """Return whether a writer leaves out a column: an optional one, without any value."""
    return name in OPTIONAL_DTYPES.get(table, ()) and not (
        any(values) if values.dtype == object else (values != NO_SEED).any()
    )


def digests_of(column: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield the digests of a column of SHA-256, (n, 32) uint8, as bytes."""
    raw = column.tobytes()
    return (raw[start : start + 32] for start in range(0, len(raw), 32))


def root_digest(encoder: EncoderInfo, digests: Mapping[str, str]) -> str:
    """Return the SHA-256 of the identity of the encoder and the digests of all columns (FORMAT.md, "Root digest")."""
    return json_digest({"format": DIGEST_SCHEME, "encoder": encoder.identity(), "digests": dict(digests)})


def without_rows(
    contents: Contents, keep: npt.NDArray[np.bool_], keep_rejects: npt.NDArray[np.bool_]
) -> Contents:
    """Return the contents of the kept rows, without unreferenced artists and collections."""
    items, rejects = _kept(contents.items, keep), _kept(contents.rejects, keep_rejects)
    artists, items["artist"], rejects["artist"] = _renumber(
        contents.artists, items["artist"], rejects["artist"]
    )
    collections, items["collection"], rejects["collection"] = _renumber(
        contents.collections, items["collection"], rejects["collection"]
    )
    item_stamps, reject_stamps = contents.stamps()
    return replace(
        contents,
        items=items,
        rejects=rejects,
        artists=artists,
        collections=collections,
        item_stamps=item_stamps[keep],
        reject_stamps=reject_stamps[keep_rejects],
    )


def _kept(table: Columns, keep: npt.NDArray[np.bool_]) -> Columns:
    return dict(table) if keep.all() else {name: values[keep] for name, values in table.items()}


def _renumber(
    names: Sequence[Any], first: npt.NDArray[np.int32], second: npt.NDArray[np.int32]
) -> tuple[list[Any], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    used = np.zeros(len(names) + 1, dtype=bool)
    used[first] = used[second] = True  # -1 (no artist) marks the last element
    used[-1] = False
    new = np.where(used, np.cumsum(used) - 1, -1).astype(np.int32)
    return [name for name, keep in zip(names, used, strict=False) if keep], new[first], new[second]
