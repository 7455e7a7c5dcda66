"""Where pictures come from: folders and manifests -> a stream of items, in a fixed order."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer import manifests
from indexer.contents import KINDS, NO_SEED
from indexer.errors import ImindexError

_TEXT_KEYS = ("artist", "kind", "collection", "prompt", "caption")
_SEED_MAX = 2**63 - 1
_STRAY = re.compile("[\ud800-\udfff]")
_NOT_PICTURES = (".h5", ".h5.parts")
_LAYOUT = "works/<artist>/*, imitations/<release>/<artist>/*, control/*, background/<artist>/*"


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to be indexed, and what is said of it.

    Attributes
    ----------
    path : str
        Where the file is.
    artist : str
        Empty for a picture that is nobody's (kind control).
    kind : str
        works, imitations, control or background.
    collection : str
        The set it belongs to: `works`, or a release's name.
    prompt, caption : str
        Empty when unknown.
    seed : int
        -1 when unknown.
    """

    path: str
    artist: str
    kind: str
    collection: str
    prompt: str = ""
    seed: int = NO_SEED
    caption: str = ""


@dataclass(frozen=True)
class Given:
    """What the user said on the command line of every picture of a source."""

    kind: str | None = None
    collection: str | None = None
    artist: str | None = None


def find(
    sources: Sequence[str | os.PathLike[str]],
    *,
    kind: str | None = None,
    collection: str | None = None,
    artist: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[Item]:
    """Yield the pictures of folders and manifests, in a fixed order.

    Parameters
    ----------
    sources : sequence of path-like
        Folders laid out as `works/<artist>/*`, `imitations/<release>/<artist>/*`, `control/*` and
        `background/<artist>/*` (or one of these); any other folder, as `<artist>/*`, with `kind`; manifests
        (CSV, JSONL, Parquet) with the columns path, artist, kind, collection, prompt, seed, caption, of
        which only path must be there, relative to the manifest; rows with anything in `blocked` are left out.
    kind, collection, artist : str, optional
        For folders without the layout, and for what a manifest leaves out.
    note : callable
        Is told what was passed over.

    Raises
    ------
    ImindexError
        A source that does not exist or whose layout or rows are not understood.
    """
    given = Given(kind, collection, artist)
    for source in sources:
        path = Path(source)
        if path.is_dir():
            yield from _folder(path, given, note)
        elif path.suffix.lower() in manifests.SUFFIXES and path.is_file():
            yield from _manifest(path, given, note)
        elif path.exists():
            raise ImindexError(
                f"{path} is neither a folder nor a manifest ({', '.join(manifests.SUFFIXES)}). "
                "Put the picture in a folder, or name it in a manifest."
            )
        else:
            raise ImindexError(f"{path} does not exist. Give a folder of pictures or a manifest.")


# Folders


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


def _clean(name: str) -> str:
    """One spelling for one name: macOS hands out decomposed accents."""
    return unicodedata.normalize("NFC", name.strip())


# Manifests


def _manifest(path: Path, given: Given, note: Callable[[str], None]) -> Iterator[Item]:
    unknown: set[str] = set()
    n_blocked = 0
    inside = _Inside(path)
    for where, row in manifests.rows(path):
        unknown |= set(row) - {"path", "seed", "blocked", *_TEXT_KEYS}
        if row.get("blocked"):  # a safety filter took the picture away, and left a black one
            n_blocked += 1
        else:
            yield _item(inside, where, row, given)
    if n_blocked:
        note(f"{path}: {n_blocked} pictures are marked as blocked, and left out.")
    if (
        unknown and not (path.parent / "release.json").exists()
    ):  # what `imindex generate` wrote says more than we need
        note(f"{path}: the columns {', '.join(sorted(unknown))} are not used.")


def _item(inside: _Inside, where: str, row: Mapping[str, Any], given: Given) -> Item:
    name = row.get("path")
    if not isinstance(name, str) or not _text(where, "path", name):
        raise ImindexError(f"{where}: no path. Every row names its picture in the column `path`.")
    text = {key: _text(where, key, row.get(key)) for key in _TEXT_KEYS}
    kind = text["kind"] or given.kind
    if kind not in KINDS:
        said = f"kind {kind!r} is unknown" if kind else "no kind"
        raise ImindexError(f"{where}: {said}. Write one of {', '.join(KINDS)}, or pass --kind.")
    artist = _clean(text["artist"] or given.artist or "")
    if kind == "control":
        artist = ""
    elif not artist:
        raise ImindexError(f"{where}: no artist. Fill in the column `artist`, or pass --artist.")
    collection = _clean(text["collection"] or given.collection or (kind if kind != "imitations" else ""))
    if not collection:
        raise ImindexError(
            f"{where}: imitations of which release? Fill in `collection`, or pass --collection."
        )
    return Item(
        path=inside(where, name),
        artist=artist,
        kind=kind,
        collection=collection,
        prompt=text["prompt"],
        seed=_seed(where, row.get("seed")),
        caption=text["caption"],
    )


class _Inside:
    """Paths as a manifest names them -> paths of files inside its folder; links are followed once a folder."""

    def __init__(self, manifest: Path):
        self._folder = manifest.parent
        self._real = os.path.realpath(self._folder)
        self._lies_inside: dict[str, bool] = {}

    def __call__(self, where: str, name: str) -> str:
        full = os.path.normpath(self._folder / name)
        if Path(name).is_absolute() or Path(os.path.relpath(full, self._folder)).parts[:1] == (os.pardir,):
            raise ImindexError(
                f"{where}: {name} leads out of the manifest's folder. Paths are relative to the manifest: "
                "put it beside the pictures."
            )
        if not self._inside(os.path.dirname(full)) or (os.path.islink(full) and not self._inside(full)):  # noqa: PTH114, PTH120 - many
            raise ImindexError(
                f"{where}: {name} is, or lies behind, a symbolic link out of the manifest's folder. "
                "Put the picture itself there, or give its folder instead of a manifest."
            )
        return full

    def _inside(self, path: str) -> bool:
        if path not in self._lies_inside:
            self._lies_inside[path] = Path(os.path.realpath(path)).is_relative_to(self._real)
        return self._lies_inside[path]


def _text(where: str, key: str, value: Any) -> str:
    if value is None or value != value:  # NaN: an empty cell of a Parquet file
        return ""
    if isinstance(value, (dict, list, bytes)):
        raise ImindexError(f"{where}: `{key}` is not a text. Write it as one, in quotes.")
    text = str(value)
    if "\0" in text:
        raise ImindexError(f"{where}: `{key}` holds a NUL character. Remove it.")
    if _STRAY.search(text):
        raise ImindexError(f"{where}: `{key}` holds half of a character (a lone surrogate). Remove it.")
    return text


def _seed(where: str, value: Any) -> int:
    if value is None or value == "" or value != value:
        return NO_SEED
    if isinstance(value, str):  # pandas writes 12.0 where a cell of the column is empty
        value = re.sub(r"\.0*$", "", value.strip())
    try:
        seed = int(value)
        if (not isinstance(value, str) and seed != value) or not 0 <= seed <= _SEED_MAX:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        said = repr(value)[:40]
        raise ImindexError(f"{where}: seed {said} is not a whole number from 0 to {_SEED_MAX}.") from None
    return seed
