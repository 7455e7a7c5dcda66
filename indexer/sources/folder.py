"""Find pictures in a folder tree."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import KINDS
from imindex.indexer.sources.item import Given, Item, _clean

_NOT_PICTURES = (".h5", ".h5.parts")
_LAYOUT = "works/<artist>/*, imitations/<release>/<artist>/*, control/*, background/<artist>/*"


def _folder(path: Path, given: Given, note: Callable[[str], None]) -> Iterator[Item]:
    named = path.resolve().name if path.name in ("", "..") else path.name
    if given.kind is not None:
        if named != given.kind and (held := [kind for kind in KINDS if (path / kind).is_dir()]):
            raise ImindexError(
                f"{path} holds the folders {', '.join(held)}, which say themselves what they are. "
                "Leave --kind away, or give the folder of the artists."
            )
        if named == given.kind == "imitations":
            yield from _kind_folder(path, named, given)
            return
        yield from _by_artist(path, given.kind, _collection(given, path.resolve().name), given.artist)
        return
    if named in KINDS:
        yield from _kind_folder(path, named, given)
        return
    if path.absolute().parent.name == "imitations":
        yield from _by_artist(path, "imitations", given.collection or named, given.artist)
        return
    kinds = [kind for kind in KINDS if (path / kind).is_dir()]
    if not kinds:
        raise ImindexError(
            f"{path} holds none of the folders {', '.join(KINDS)} ({_LAYOUT}). "
            "Say what its pictures are with --kind works (or imitations, control, background)."
        )
    for child in _entries(path):
        if child.name not in KINDS and child.is_dir():
            note(f"{child.path} is not one of the folders {', '.join(KINDS)}: passed over.")
    for kind in kinds:
        yield from _kind_folder(path / kind, kind, given)


def _kind_folder(path: Path, kind: str, given: Given) -> Iterator[Item]:
    if kind in ("works", "background"):
        yield from _by_artist(path, kind, given.collection or kind, given.artist)
    elif kind == "control":
        for child in _entries(path):
            collection = given.collection or (child.name if child.is_dir() else kind)
            for file in _files(child):
                yield Item(file, "", kind, _clean(collection))
    else:
        for child in _entries(path):
            if not child.is_dir():
                raise ImindexError(
                    f"{child.path} lies directly in {path}, but imitations are laid out as "
                    "imitations/<release>/<artist>/*. Move it into the folder of its release and artist."
                )
            yield from _by_artist(Path(child.path), kind, given.collection or child.name, given.artist)


def _by_artist(path: Path, kind: str, collection: str, artist: str | None) -> Iterator[Item]:
    if kind == "control":
        for file in _files(path):
            yield Item(file, "", kind, _clean(collection))
        return
    # A link out of an artist's folder to one above would make others' pictures this artist's.
    above = frozenset(_identity(folder) for folder in (path, *path.resolve().parents))
    for child in _entries(path):
        if artist is None and not _is_dir(child):
            raise ImindexError(
                f"{child.path} lies directly in {path}, so its artist is not known. "
                "Put it in a folder with the artist's name, or name the artist with --artist."
            )
        for file in _files(child, above):
            yield Item(file, _clean(artist or child.name), kind, _clean(collection))


def _entries(path: Path | str) -> list[os.DirEntry[str]]:
    """The children of a folder, sorted by name; hidden ones are left out, and so are indexes and their parts."""
    try:
        with os.scandir(path) as entries:
            return sorted(
                (e for e in entries if not e.name.startswith(".") and not e.name.endswith(_NOT_PICTURES)),
                key=lambda e: os.fsencode(e.name),
            )
    except OSError as error:
        raise ImindexError(f"{path} cannot be listed: {error.strerror}. Check its permissions.") from error


def _files(entry: os.DirEntry[str] | Path, seen: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Every file below, in order; links are followed, loops are not. A folder that cannot be listed comes as a file."""
    path = os.fspath(entry)
    children: list[os.DirEntry[str]] | None = None
    if _is_dir(entry):
        with contextlib.suppress(OSError, ImindexError):
            here = _identity(Path(path))
            if here in seen:
                return
            children = _entries(path)
    if children is None:  # the reader will say why
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
    except OSError:  # a link to itself: reading it will say so
        return False


def _collection(given: Given, default: str) -> str:
    if given.collection is None and given.kind in ("works", "background"):
        return str(given.kind)
    return given.collection or default
