"""Find the pictures of tar shards as webdataset and img2dataset write them, with the data that stand beside them.

A sample is the members of one key: the path up to the first dot of the base name. Its picture may have a `.json` with
columns as those of a manifest, and a `.txt` with its caption. img2dataset also writes `NNNNN.parquet`, one row for each
picture that it tried, and `NNNNN_stats.json` beside the shard. What stands nearest to the picture counts: `.json`, then
the Parquet file, then `.txt`.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from imindex.indexer.core.errors import BadPicture, ImindexError
from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.locations import SHARD_SUFFIX, is_url, join_member
from imindex.indexer.core.origin import origin_of
from imindex.indexer.core.schema import KINDS
from imindex.indexer.remote import objects
from imindex.indexer.remote.errors import Missing
from imindex.indexer.sources import manifest_rows, remote_shards, tar
from imindex.indexer.sources.arms import blocked_of
from imindex.indexer.sources.delimited import plain_row
from imindex.indexer.sources.item import Item, SourceOptions
from imindex.indexer.sources.manifest import item_of_row
from imindex.indexer.sources.read import head_of_member, read_bytes
from imindex.indexer.sources.remote_manifest import rows_of_url
from imindex.indexer.sources.shard_tally import ShardTally
from imindex.indexer.sources.stray import (
    UNMATCHED,
    PassedOver,
    is_undecided,
    kind_of_folder,
    kind_of_name,
    starts_as_picture,
)
from imindex.indexer.system.input_files import read_input

MAX_SIDECAR = 2**20
"""Bytes of a `.json` or `.txt`."""
_MAX_SIDECARS_BESIDE = 2**24
"""Bytes of a `NNNNN_stats.json`."""
_MAX_SHARDS = 1_000_000
_HEAD = 64
_SUCCESS = "success"
_SEVERAL = "Samples with several pictures under one key, all of which are used"
_WITHOUT = "Samples without a picture"
_BAD_SIDECAR = "Sidecars that are not used, because they are no JSON object or are larger than 1 MiB"
_TOO_LONG = "Origins that are too long, of which EXIF data or URL are left out"
_REPEATED = "Names that occur several times in a shard, of which the last member is used"
_KEYS_TWICE = "Keys that occur several times in a list beside a shard, of which the first row is used"
_UNLISTED = "Rows of lists beside shards that say success, without a picture in the shard"
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_BRACES = re.compile(r"\{([^{}]*)\}")
Row = Mapping[str, Any]


class _Samples(Protocol):
    """The files of a shard, or of a numbered folder."""

    names: list[str]
    about: str

    def location(self, name: str) -> str: ...
    def head(self, name: str) -> bytes: ...
    def sidecar(self, name: str) -> bytes | None: ...


class _Tar:
    def __init__(self, path: str, shard: tar.Shard):
        self._path, self._shard = path, shard
        self.names = list(shard.rows)
        self.about = ""

    def location(self, name: str) -> str:
        return join_member(self._path, name)

    def head(self, name: str) -> bytes:
        return head_of_member(self._path, name, _HEAD)

    def sidecar(self, name: str) -> bytes | None:
        place = self._shard.place(name)
        if place is None or place[1] > MAX_SIDECAR:
            return None
        try:
            return read_bytes(self.location(name))
        except (BadPicture, OSError):
            return None


class _Folder:
    def __init__(self, path: str):
        self._path = path
        self.about = f" {path} was written by img2dataset, whose numbered folders are not artists."
        self.names = [entry.name for entry in os.scandir(path) if not entry.is_dir()]

    def location(self, name: str) -> str:
        return os.path.join(self._path, name)  # noqa: PTH118 - many

    def head(self, name: str) -> bytes:
        return b""

    def sidecar(self, name: str) -> bytes | None:
        try:
            if os.stat(self.location(name)).st_size > MAX_SIDECAR:  # noqa: PTH116 - many
                return None
            return read_bytes(self.location(name))
        except (BadPicture, OSError):
            return None


def items_of_shard(
    path: str, options: SourceOptions, passed: PassedOver, *, named: bool = False
) -> Iterator[Item]:
    """Yield the pictures of a tar shard, sorted by their names.

    Parameters
    ----------
    path : str
    options : SourceOptions
        Kind, collection and artist as far as the caller or the folders around the shard tell them. Data of the sample
        take precedence; the folders inside the shard, and `artist_from`, are used for what is still unknown.
    passed : PassedOver
        Counts the members that are no pictures; its `shards` counts everything else that is worth telling.
    named : bool
        Whether the user named this shard: it must then be one.

    Raises
    ------
    ImindexError
        If the artist, kind or collection of a picture cannot be told, or `named` and it cannot be read.
    """
    tally = passed.shards
    try:
        shard = remote_shards.shard_at(path) if is_url(path) else tar.shard_at(path)
    except (BadPicture, ImindexError, OSError) as error:
        fault = f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
        if isinstance(error, ImindexError):
            fault = str(error).removeprefix(f"{path} ")
        if named:
            raise ImindexError(f"{path} {fault}") from error
        tally.faults.append((path, fault.rstrip(".")))
        return
    tally.shards += 1
    if shard.fault:
        n = len(shard.rows)
        passed.cut.append(path)
        tally.faults.append(
            (path, f"{shard.fault}. {n:,} member{'s' if n != 1 else ''} before that can be read")
        )
    for reason, names in shard.refused.items():
        tally.add(f"Members of shards that are not used ({reason})", join_member(path, names[0]), len(names))
    if shard.repeated:
        tally.add(_REPEATED, join_member(path, shard.repeated[0]), len(shard.repeated))
    before = tally.pictures
    yield from _items(_Tar(path, shard), options, passed, path[: -len(SHARD_SUFFIX)])
    if tally.pictures == before and not shard.fault:
        tally.faults.append((path, "holds no pictures that can be used"))


def items_of_part(path: str, options: SourceOptions, passed: PassedOver) -> Iterator[Item]:
    """Yield the pictures of a numbered folder that img2dataset wrote (`--output_format files`), sorted by name.

    Parameters and errors are as in `items_of_shard`.
    """
    try:
        samples = _Folder(path)
    except OSError as error:
        raise ImindexError(f"{path} cannot be listed: {error.strerror}. Check its permissions.") from error
    yield from _items(samples, options, passed, path)


def expand(pattern: str, *, look: bool = True) -> list[str] | None:
    """Return the shards that a pattern of webdataset means, such as `data/{00000..00099}.tar` or `data/*.tar`, sorted.

    Braces hold a range of numbers, whose zeros at the beginning are kept, or alternatives separated by commas. Shards
    of a pattern with braces need not exist; those of `*`, `?` and `[...]` are looked for, unless `look` is False, as it
    is for URLs.

    Returns
    -------
    list of str or None
        None if it is no pattern.

    Raises
    ------
    ImindexError
        If it means more than a million shards, or no file matches.

    Examples
    --------
    >>> expand("data/{008..010}.tar")
    ['data/008.tar', 'data/009.tar', 'data/010.tar']
    >>> expand("data/{train,test}-{0..1}.tar")[1:3]
    ['data/train-1.tar', 'data/test-0.tar']
    >>> expand("data/00000.tar") is None
    True
    """
    expanded, has_braces = [pattern], False
    while match := _BRACES.search(expanded[0]):
        has_braces = True
        choices = _choices(match[1])
        if len(expanded) * len(choices) > _MAX_SHARDS:
            raise ImindexError(f"{pattern} means more than {_MAX_SHARDS:,} shards. Name fewer.")
        expanded = [
            f"{text[: brace.start()]}{choice}{text[brace.end() :]}"
            for text in expanded
            for brace in (_BRACES.search(text),)
            if brace
            for choice in choices
        ]
    if not look or not any(glob.has_magic(text) for text in expanded):
        return expanded if has_braces else None
    each = (sorted(glob.iglob(text), key=os.fsencode) for text in expanded)  # noqa: PTH207 - as written
    found = list(itertools.chain.from_iterable(each))
    if not found:
        raise ImindexError(f"No file matches {pattern}. Correct the pattern, or name the shards.")
    return found


def _choices(text: str) -> list[str]:
    if match := _RANGE.fullmatch(text):
        first, last = int(match[1]), int(match[2])
        width = max(map(len, match.groups())) if "0" in (match[1][:1], match[2][:1]) else 0
        step = 1 if first <= last else -1
        if abs(last - first) >= _MAX_SHARDS:
            raise ImindexError(f"{{{text}}} means more than {_MAX_SHARDS:,} shards. Name fewer.")
        return [str(number).zfill(width) for number in range(first, last + step, step)]
    return text.split(",")


@dataclass
class _Keys:
    """The files of samples by their keys."""

    pictures: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: _Samples, passed: PassedOver) -> _Keys:
        keys = cls()
        for name in samples.names:
            folder, _, base = name.rpartition("/")
            system = next(filter(None, map(kind_of_folder, folder.split("/"))), "")
            stem, _, suffix = base.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            kind = system or kind_of_name(base)
            if not kind or (is_undecided(base, kind) and starts_as_picture(samples.head(name))):
                keys.pictures[key].append(name)
            elif suffix.lower() == "json" and not system:
                keys.objects[key] = name
            elif suffix.lower() == "txt" and not system:
                keys.texts[key] = name
            else:
                passed.add(name, kind)
                keys.others[key] = name
        return keys

    def tell(self, samples: _Samples, tally: ShardTally) -> None:
        """Count keys without a picture, and with several."""
        for key, name in {**self.others, **self.texts, **self.objects}.items():
            if key not in self.pictures:
                tally.add(_WITHOUT, samples.location(name))
        for names in self.pictures.values():
            if len(names) > 1:
                tally.add(_SEVERAL, " and ".join(map(samples.location, sorted(names)[:2])))


def _items(samples: _Samples, options: SourceOptions, passed: PassedOver, beside: str) -> Iterator[Item]:
    tally = passed.shards
    keys = _Keys.of(samples, passed)
    keys.tell(samples, tally)
    listed = _listed_beside(beside, tally)
    unlisted = dict.fromkeys(listed)
    names = {name: key for key, names in keys.pictures.items() for name in names}
    for name in sorted(names, key=_order):
        key = names[name]
        unlisted.pop(key.rpartition("/")[2], None)
        row = dict(listed.get(key.rpartition("/")[2], {}))
        if key in keys.objects:
            row |= _object(samples, keys.objects[key], tally)
        if key in keys.texts and not row.get("caption"):
            row["caption"] = _text(samples, keys.texts[key], tally)
        item = _item(samples, name, row, options, passed)
        if item is not None:
            tally.pictures += 1
            yield item
    if unlisted:
        tally.add(_UNLISTED, f"{next(iter(unlisted))} of {beside}.parquet", len(unlisted))


def _item(samples: _Samples, name: str, row: Row, options: SourceOptions, passed: PassedOver) -> Item | None:
    """Return a picture with what its sample, the caller and the folders inside the shard say of it."""
    where, inside = samples.location(name), _layout(name, row, options)
    if options.artist_from is not None and not row.get("artist") and inside.kind != "control":
        artist = options.artist_from.artist_of(name)
        if not artist:
            passed.add(name, UNMATCHED)
            passed.shards.add(f"Pictures that do not match --artist-from {options.artist_from.text!r}", where)
            return None
        inside = replace(inside, artist=artist)
    if not row.get("kind") and not row.get("arm") and inside.kind is None:
        raise ImindexError(
            f"{where}: no kind. Pass --kind works (or imitations, control, background), put the shard into a folder of "
            "that name, or write the key `kind` in the .json of each sample."
        )
    kind = str(row.get("kind") or inside.kind or "").strip().lower()
    if not row.get("artist") and not inside.artist and kind in ("works", "imitations", "background"):
        raise ImindexError(
            f"{where}: no artist.{samples.about} Pass --artist NAME if all pictures are by one artist, or put them "
            "into the folder of the artist; pass --artist-from if their names tell it; write `artist` into the .json "
            "of each sample, or as a column of the Parquet file beside them; or list the pictures in a manifest with "
            "the columns path (such as 00000.tar::000000001.jpg) and artist."
        )
    origin, shortened = origin_of(row)
    if shortened:
        passed.shards.add(_TOO_LONG, where)
    columns = {column: row[column] for column in manifest_rows.COLUMNS if column in row and column != "path"}
    item = item_of_row(lambda _, path: path, where, {**columns, "path": where}, inside)
    return replace(item, blocked=blocked_of(row.get("blocked")), origin=origin)


def _layout(name: str, row: Row, options: SourceOptions) -> SourceOptions:
    """Return the options with what the folders inside the shard add: KIND, then RELEASE for imitations, then ARTIST."""
    folders = name.split("/")[:-1]
    at = next((i for i, folder in enumerate(folders) if folder in KINDS), None)
    kind = str(row.get("kind") or "").strip().lower() or options.kind
    if kind is None and at is not None:
        kind = folders[at]
    if at is not None and folders[at] == kind:
        folders = folders[at + 1 :]
    collection, artist = options.collection, options.artist
    if (
        kind == "imitations"
        and folders
        and (collection is None or (folders[0] == collection and len(folders) > 1))
    ):
        collection, folders = folders[0], folders[1:]
    if kind == "control" and folders:
        collection = collection or folders[0]
    elif artist is None and folders:
        artist = folders[0]
    return replace(options, kind=kind, collection=collection, artist=artist)


def _order(name: str) -> list[bytes]:
    return [os.fsencode(part) for part in name.split("/")]


def _object(samples: _Samples, name: str, tally: ShardTally) -> Row:
    """Return the values of the `.json` of a sample, by the plain names of its keys; none if it is none."""
    content = samples.sidecar(name)
    try:
        row = None if content is None else parse_json(content)
    except ValueError:  # including bytes that are not UTF-8
        row = None
    if not isinstance(row, dict):
        tally.add(_BAD_SIDECAR, samples.location(name))
        return {}
    plain = plain_row(samples.location(name), row, manifest_rows.COLUMNS)
    return {column: value for column, value in plain.items() if value not in (None, "")}


def _text(samples: _Samples, name: str, tally: ShardTally) -> str:
    """Return the caption in the `.txt` of a sample; empty if it cannot be used."""
    content = samples.sidecar(name)
    if content is None:
        tally.add(_BAD_SIDECAR, samples.location(name))
        return ""
    return content.decode("utf-8", "replace").replace("\0", "").strip()


def _listed_beside(stem: str, tally: ShardTally) -> dict[str, Row]:
    """Return the rows of the Parquet file beside a shard by their keys, and count pictures that were not downloaded."""
    rows: dict[str, Row] = {}
    path = f"{stem}.parquet"
    is_read = False
    if beside := _rows_beside(path):
        try:
            for _, row in beside:
                status = row.get("status")
                if isinstance(status, str) and status != _SUCCESS:
                    tally.fail(str(row.get("error_message") or status))
                    continue
                key = row.get("key")
                if not isinstance(key, (str, int)):
                    continue
                if str(key) in rows:
                    tally.add(_KEYS_TWICE, f"{key} of {path}")
                else:
                    rows[str(key)] = {name: value for name, value in row.items() if value not in (None, "")}
            is_read = True
        except Missing:
            pass
        except ImindexError as error:
            tally.faults.append((f"{path} is not used:", str(error).removeprefix(f"{path}: ").rstrip(".")))
    if not is_read:
        _count_failed(f"{stem}_stats.json", tally.fail)
    return rows


def _rows_beside(path: str) -> Iterator[tuple[str, Row]] | None:
    if is_url(path):
        return rows_of_url(path, lambda _: None)
    return manifest_rows.rows(Path(path)) if os.path.isfile(path) else None  # noqa: PTH113


def _count_failed(path: str, fail: Callable[[str, int], None]) -> None:
    """Count the pictures that were not downloaded, by the statistics of img2dataset."""
    try:
        if is_url(path):
            content = objects.read(path, most=_MAX_SIDECARS_BESIDE)[0]
        elif os.path.isfile(path) and os.stat(path).st_size <= _MAX_SIDECARS_BESIDE:  # noqa: PTH113, PTH116
            content = read_input(path)
        else:
            return
        counts = parse_json(content).get("status_dict", {})
        failed = [
            (str(reason), n)
            for reason, n in counts.items()
            if reason != _SUCCESS and type(n) is int and n > 0
        ]
    except (ValueError, AttributeError, OSError, ImindexError):
        return
    for reason, n in failed:
        fail(reason, n)
