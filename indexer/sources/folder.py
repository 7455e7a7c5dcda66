"""Find the pictures of a folder tree."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.core.schema import KINDS
from imindex.indexer.sources import manifest_rows
from imindex.indexer.sources.item import Item, SourceOptions
from imindex.indexer.sources.manifest import items_of_manifest

_NOT_PICTURES = (".h5", ".h5.parts")
_LAYOUT = "works/<artist>/*, imitations/<release>/<artist>/*, control/*, background/<artist>/*"


def items_of_folder(path: Path, options: SourceOptions, note: Callable[[str], None]) -> Iterator[Item]:
    folder_name = path.resolve().name if path.name in ("", "..") else path.name
    if options.kind is not None:
        if folder_name != options.kind and (present := [kind for kind in KINDS if (path / kind).is_dir()]):
            raise ImindexError(
                f"{path} holds the folders {', '.join(present)}, which define the kind of their pictures. "
                "Drop --kind, or pass the folder that holds the artists."
            )
        if folder_name == options.kind == "imitations":
            yield from _kind_folder(path, folder_name, options, note)
            return
        collection = _collection(options, path.resolve().name)
        yield from _by_artist(path, options.kind, collection, options.artist, note)
        return
    if folder_name in KINDS:
        yield from _kind_folder(path, folder_name, options, note)
        return
    if path.absolute().parent.name == "imitations":
        yield from _by_artist(path, "imitations", options.collection or folder_name, options.artist, note)
        return
    kinds = [kind for kind in KINDS if (path / kind).is_dir()]
    if not kinds:
        raise ImindexError(
            f"{path} holds none of the folders {', '.join(KINDS)} ({_LAYOUT}). "
            "Pass their kind with --kind works (or imitations, control, background)."
        )
    for child in _entries(path):
        if child.name not in KINDS and child.is_dir():
            note(f"{child.path} is not one of the folders {', '.join(KINDS)}: skipped.")
    for kind in kinds:
        yield from _kind_folder(path / kind, kind, options, note)


def manifest_in(folder: Path) -> Path | None:
    """Return the manifest that lists the pictures of a folder: a file named manifest.* directly in it."""
    names = [folder / f"manifest{suffix}" for suffix in manifest_rows.SUFFIXES if suffix != ".txt"]
    return next((path for path in names if path.is_file()), None)


def _listed_in(manifest: Path, options: SourceOptions, note: Callable[[str], None]) -> Iterator[Item]:
    note(f"{manifest.parent} is read by its {manifest.name}: pictures that it does not list are not used.")
    yield from items_of_manifest(manifest, options, note)


def _kind_folder(
    path: Path, kind: str, options: SourceOptions, note: Callable[[str], None]
) -> Iterator[Item]:
    default = kind if kind != "imitations" else None
    if (manifest := manifest_in(path)) is not None:
        yield from _listed_in(
            manifest, SourceOptions(kind, options.collection or default, options.artist), note
        )
    elif kind in ("works", "background"):
        yield from _by_artist(path, kind, options.collection or kind, options.artist, note)
    elif kind == "control":
        for child in _entries(path):
            collection = options.collection or (child.name if child.is_dir() else kind)
            for file in _files(child):
                yield Item(file, "", kind, clean_name(collection))
    else:
        for child in _entries(path):
            if not child.is_dir():
                raise ImindexError(
                    f"{child.path} is directly in {path}, but imitations are laid out as "
                    "imitations/<release>/<artist>/*. Move it into the folder of its release and artist."
                )
            collection = options.collection or child.name
            yield from _by_artist(Path(child.path), kind, collection, options.artist, note)


def _by_artist(
    path: Path, kind: str, collection: str, artist: str | None, note: Callable[[str], None]
) -> Iterator[Item]:
    if (manifest := manifest_in(path)) is not None:
        yield from _listed_in(manifest, SourceOptions(kind, collection, artist), note)
        return
    if kind == "control":
        for file in _files(path):
            yield Item(file, "", kind, clean_name(collection))
        return
    # A symbolic link to a parent folder would assign other artists' pictures to this artist.
    above = frozenset(_identity(folder) for folder in (path, *path.resolve().parents))
    for child in _entries(path):
        if artist is None and not _is_dir(child):
            raise ImindexError(
                f"{child.path} is directly in {path}, so its artist is unknown. "
                "Move it into a folder with the artist's name, or pass --artist."
            )
        for file in _files(child, above):
            yield Item(file, clean_name(artist or child.name), kind, clean_name(collection))


def _entries(path: Path | str) -> list[os.DirEntry[str]]:
    """List a folder, sorted by name, without hidden files, indexes and their part files."""
    try:
        with os.scandir(path) as entries:
            return sorted(
                (e for e in entries if not e.name.startswith(".") and not e.name.endswith(_NOT_PICTURES)),
                key=lambda e: os.fsencode(e.name),
            )
    except OSError as error:
        raise ImindexError(f"{path} cannot be listed: {error.strerror}. Check its permissions.") from error


def _files(entry: os.DirEntry[str] | Path, seen: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Yield all files below an entry, in order.

    Symbolic links are followed, except loops. A folder that cannot be listed is yielded like a file.
    """
    path = os.fspath(entry)
    children: list[os.DirEntry[str]] | None = None
    if _is_dir(entry):
        with contextlib.suppress(OSError, ImindexError):
            here = _identity(Path(path))
            if here in seen:
                return
            children = _entries(path)
    if children is None:  # a file, or a folder for which the reader will report the reason
        yield path
        return
    for child in children:
        yield from _files(child, seen | {here})


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_dir(entry: os.DirEntry[str] | Path) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself; the reader will report it
        return False


def _collection(options: SourceOptions, default: str) -> str:
    if options.collection is None and options.kind in ("works", "background"):
        return str(options.kind)
    return options.collection or default
