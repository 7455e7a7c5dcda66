"""Find the pictures of a folder tree."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import (
    SEPARATOR,
    SHARD_SUFFIX,
    absolute,
    is_ambiguous,
    is_shard,
    is_url,
    split_member,
)
from imindex.indexer.core.names import clean_name
from imindex.indexer.core.schema import KINDS
from imindex.indexer.sources import manifest_rows
from imindex.indexer.sources.artist_from import ArtistFrom
from imindex.indexer.sources.img2dataset import is_beside, numbered_parts
from imindex.indexer.sources.item import Item, SourceOptions
from imindex.indexer.sources.manifest import items_of_manifest
from imindex.indexer.sources.remote_folder import Folder, RemoteFolder, folder_at, relative_to
from imindex.indexer.sources.shards import items_of_part, items_of_shard
from imindex.indexer.sources.stray import (
    OTHER_FOLDER,
    OUTSIDE,
    UNMATCHED,
    PassedOver,
    kind_of_file,
    kind_of_folder,
    kind_of_name,
)

Entry = os.DirEntry[str] | RemoteFolder
_LAYOUT = "works/<artist>/*, imitations/<release>/<artist>/*, control/*, background/<artist>/*"


def items_of_folder(
    path: Folder, options: SourceOptions, note: Callable[[str], None], passed: PassedOver
) -> Iterator[Item]:
    """Yield the pictures of a folder in a fixed order, and count everything else in `passed`."""
    folder_name = path.resolve().name if path.name in ("", "..") else path.name
    if options.kind is not None:
        if folder_name != options.kind and (present := [kind for kind in KINDS if (path / kind).is_dir()]):
            raise ImindexError(
                f"{path} holds the folders {', '.join(present)}, which define the kind of their pictures. "
                "Drop --kind, or pass the folder that holds the artists."
            )
        if folder_name == options.kind == "imitations":
            yield from _kind_folder(path, folder_name, options, note, passed)
            return
        collection = _collection(options, path.resolve().name)
        listed = (
            options.artist_from is None and manifest_in(path) is not None
        )  # which may name other collections
        if options.collection is None and collection not in KINDS and not listed:
            note(
                f"{path}: the collection is {collection!r}, by the name of the folder. --collection names another."
            )
        yield from _by_artist(path, options.kind, collection, options, note, passed)
        return
    if folder_name in KINDS:
        yield from _kind_folder(path, folder_name, options, note, passed)
        return
    if path.absolute().parent.name == "imitations":
        yield from _by_artist(path, "imitations", options.collection or folder_name, options, note, passed)
        return
    if options.artist_from is None and (manifest := manifest_in(path)) is not None:
        yield from _listed_in(manifest, options, note)
        return
    kinds = [kind for kind in KINDS if (path / kind).is_dir()]
    shards = [child for child in _entries(path, PassedOver()) if is_shard_or_part(child)]
    if not kinds and not shards:
        raise ImindexError(
            f"{path} holds none of the folders {', '.join(KINDS)} ({_LAYOUT}). "
            "Pass their kind with --kind works (or imitations, control, background)."
        )
    loose = []
    for child in _entries(path, passed):
        if is_shard_or_part(child):
            yield from _samples(child.path, options, passed)
        elif _is_dir(child) and child.name not in KINDS:
            note(f"{child.path} is not one of the folders {', '.join(KINDS)}: skipped.")
            passed.add(child.path, OTHER_FOLDER)
        elif not _is_dir(child):
            loose.append(child.name)
            passed.add(child.path, OUTSIDE)
    if loose:
        one = len(loose) == 1
        are = f"{loose[0]} is a picture" if one else f"{loose[0]} and {len(loose) - 1:,} more are pictures"
        folders = f"folder{'s' if len(kinds) > 1 else ''} {', '.join(kinds)}"
        into = "one of these folders" if len(kinds) > 1 else "this folder"
        note(f"{path}: {are} beside the {folders}: skipped. Move {'it' if one else 'them'} into {into}.")
    for kind in kinds:
        yield from _kind_folder(path / kind, kind, options, note, passed)


def manifest_in(folder: Folder) -> Folder | None:
    """Return the manifest that lists the pictures of a folder: a file named manifest.* directly in it."""
    names = [folder / f"manifest{suffix}" for suffix in manifest_rows.SUFFIXES if suffix != ".txt"]
    return next((path for path in names if path.is_file()), None)


def _listed_in(manifest: Folder, options: SourceOptions, note: Callable[[str], None]) -> Iterator[Item]:
    listed = set()
    for item in items_of_manifest(manifest, options, note):
        listed |= {absolute(item.path), absolute(split_member(item.path)[0])}
        yield item
    others = [file for file in _files(manifest.parent, PassedOver()) if absolute(file) not in listed]
    used = f"{manifest.parent} is read by its {manifest.name}"
    if others:
        are = "1 picture in it is" if len(others) == 1 else f"{len(others):,} pictures in it are"
        note(
            f"{used}: {are} not listed there, and not used, such as {relative_to(others[0], manifest.parent)}."
        )
    else:
        note(f"{used}, which lists all its pictures.")


def _kind_folder(
    path: Folder, kind: str, options: SourceOptions, note: Callable[[str], None], passed: PassedOver
) -> Iterator[Item]:
    default = kind if kind != "imitations" else None
    by_path = options.artist_from is not None and kind != "control"
    if not by_path and (manifest := manifest_in(path)) is not None:
        of_kind = replace(options, kind=kind, collection=options.collection or default)
        yield from _listed_in(manifest, of_kind, note)
    elif kind in ("works", "background"):
        yield from _by_artist(path, kind, options.collection or kind, options, note, passed)
    elif kind == "control":
        for child in _entries(path, passed):
            collection = options.collection or (child.name if _is_dir(child) else None)
            for file in _files(child, passed):
                if is_shard(file):
                    yield from _samples(file, replace(options, kind=kind, collection=collection), passed)
                else:
                    yield Item(file, "", kind, clean_name(collection or kind))
    else:
        for child in _entries(path, passed):
            if is_shard(child.path):
                yield from _samples(child.path, replace(options, kind=kind), passed)
                continue
            if not _is_dir(child):
                raise ImindexError(
                    f"{child.path} is directly in {path}, but imitations are laid out as "
                    "imitations/<release>/<artist>/*. Move it into the folder of its release and artist."
                )
            collection = options.collection or child.name
            yield from _by_artist(folder_at(child), kind, collection, options, note, passed)


def _by_artist(
    path: Folder,
    kind: str,
    collection: str,
    options: SourceOptions,
    note: Callable[[str], None],
    passed: PassedOver,
) -> Iterator[Item]:
    if options.artist_from is not None and kind != "control":
        yield from _by_pattern(path, kind, collection, options.artist_from, note, passed)
        return
    if (manifest := manifest_in(path)) is not None:
        yield from _listed_in(manifest, replace(options, kind=kind, collection=collection), note)
        return
    artist = options.artist
    of_all = replace(options, kind=kind, collection=collection)
    if kind == "control":
        for file in _files(path, passed):
            if is_shard(file):
                yield from _samples(file, of_all, passed)
            else:
                yield Item(file, "", kind, clean_name(collection))
        return
    if numbered_parts(path.parent, path.name):
        yield from _samples(os.fspath(path), of_all, passed)
        return
    # A symbolic link to a parent folder would assign other artists' pictures to this artist.
    above = frozenset(_identity(folder) for folder in (path, *path.resolve().parents))
    for child in _entries(path, passed):
        if is_shard_or_part(child):
            yield from _samples(child.path, of_all, passed)
            continue
        if artist is None and not _is_dir(child):
            if kind == "imitations" and _lacks_release(path, passed):
                raise ImindexError(
                    f"{child.path} is directly in {path}. It looks as if the level RELEASE is missing: imitations are "
                    f"laid out as imitations/RELEASE/{path.name}/*. Move the folders of the artists into a folder with "
                    f"the name of the release; or, if {path.name} is a release, pass --artist."
                )
            raise ImindexError(
                f"{child.path} is directly in {path}, so its artist is unknown. "
                "Move it into a folder with the artist's name, or pass --artist, or --artist-from if its path tells it."
            )
        empty = True
        for file in _files(child, passed, above):
            empty = False
            if is_shard(file):
                yield from _samples(file, replace(of_all, artist=artist or child.name), passed)
            else:
                yield Item(file, clean_name(artist or child.name), kind, clean_name(collection))
        if empty and not child.is_symlink():
            passed.empty.append(child.path)


def _lacks_release(path: Folder, passed: PassedOver) -> bool:
    """Return whether a folder in the place of a release holds pictures only, as the folder of an artist does."""
    return path.absolute().parent.name == "imitations" and not any(map(_is_dir, _entries(path, passed)))


def _by_pattern(
    path: Folder,
    kind: str,
    collection: str,
    artist_from: ArtistFrom,
    note: Callable[[str], None],
    passed: PassedOver,
) -> Iterator[Item]:
    """Yield the pictures of a folder whose paths tell their artists; tell of the others."""
    artists: dict[str, str] = {}
    unmatched: list[str] = []
    above = frozenset(_identity(folder) for folder in (path, *path.resolve().parents))
    of_all = SourceOptions(kind, collection, artist_from=artist_from)
    for child in _entries(path, passed):
        for file in _files(child, passed, above):
            if is_shard(file):
                yield from _samples(file, of_all, passed)
                continue
            relative = relative_to(file, path)
            if artist := artist_from.artist_of(relative):
                artists.setdefault(artist, relative)
                yield Item(file, artist, kind, clean_name(collection))
            else:
                unmatched.append(relative)
                passed.add(file, UNMATCHED)
    if unmatched:
        example = f"such as {unmatched[0]}" if len(unmatched) > 1 else f"which is {unmatched[0]}"
        if not artists:
            raise ImindexError(
                f"{path}: no path matches --artist-from {artist_from.text!r}, {example}. Correct the pattern; it is "
                "compared with paths as this one."
            )
        n = len(unmatched)
        note(
            f"{path}: {n:,} picture{'s do' if n > 1 else ' does'} not match --artist-from {artist_from.text!r} and "
            f"{'are' if n > 1 else 'is'} not used, {example}."
        )
    if artists:
        name, relative = next(iter(artists.items()))
        note(
            f"{path}: {len(artists):,} artist{'s' if len(artists) > 1 else ''} by --artist-from {artist_from.text!r}, "
            f"such as {name!r} from {relative}."
        )


def _entries(path: Folder | str, passed: PassedOver) -> Sequence[Entry]:
    """List the pictures and folders of a folder, sorted by name; `passed` counts what is left out."""
    listed: Sequence[Entry]
    if isinstance(path, RemoteFolder):
        listed = path.sorted_children()
    else:
        try:
            with os.scandir(path) as entries:
                listed = sorted(entries, key=lambda e: os.fsencode(e.name))
        except OSError as error:
            raise ImindexError(
                f"{path} cannot be listed: {error.strerror}. Check its permissions."
            ) from error
    kept = []
    names = {entry.name for entry in listed}
    for entry in listed:
        if is_beside(entry.name, names):
            continue
        if _is_dir(entry):
            kind = kind_of_folder(entry.path)
        else:
            kind = kind_of_name(entry.name) if is_shard(entry.name) else kind_of_file(entry.path)
        if kind and kind != SHARD_SUFFIX:
            passed.add(entry.path, kind)
        else:
            kept.append(entry)
    return kept


def is_shard_or_part(entry: Entry) -> bool:
    """Return whether an entry is a tar shard, or a numbered folder that img2dataset wrote."""
    if _is_dir(entry):
        return numbered_parts(folder_at(entry).parent, entry.name)
    return is_shard(entry.path)


def _refuse_ambiguous(path: str) -> None:
    if is_ambiguous(path):
        raise ImindexError(
            f"{path} has {SHARD_SUFFIX}{SEPARATOR} in its path, so that it would be read as a member of a shard, which "
            "may be another picture. Rename it."
        )


def _samples(path: str, options: SourceOptions, passed: PassedOver) -> Iterator[Item]:
    _refuse_ambiguous(path)
    if is_shard(path):
        yield from items_of_shard(path, options, passed)
    elif is_url(path):
        raise ImindexError(
            f"{path} is a numbered folder that img2dataset wrote, which cannot be read from an object store. Copy it "
            "to this machine, or write tar shards (--output_format webdataset)."
        )
    else:
        yield from items_of_part(path, options, passed)


def _files(
    entry: Entry | Folder, passed: PassedOver, seen: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[str]:
    """Yield all pictures below an entry, in order.

    Symbolic links are followed, except loops. A folder that cannot be listed is yielded like a file.
    """
    path = os.fspath(entry)
    _refuse_ambiguous(path)
    children: Sequence[Entry] | None = None
    if isinstance(entry, RemoteFolder):
        here = _identity(entry)
        children = _entries(entry, passed) if entry.is_dir() else None
    elif _is_dir(entry):
        with contextlib.suppress(OSError, ImindexError):
            here = _identity(Path(path))
            if here in seen:
                return
            children = _entries(path, passed)
    if children is None:  # a file, or a folder for which the reader will report the reason
        yield path
        return
    for child in children:
        yield from _files(child, passed, seen | {here})


def _identity(path: Folder) -> tuple[int, int]:
    if isinstance(path, RemoteFolder):  # without links, there are no circles
        return 0, 0
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_dir(entry: Entry | Folder) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself; the reader will report it
        return False


def _collection(options: SourceOptions, default: str) -> str:
    if options.collection is None and options.kind in ("works", "background"):
        return str(options.kind)
    return options.collection or default
