"""What is served: indexes and audits, each under an identifier that URLs use.

A file that is replaced is noticed by its inode, size and time, on a timer and at each request. The generation of an
index that was replaced does not answer any more: it is dropped, and its file is closed when the last request that uses
it ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.slug import slug
from imindex.indexer.core.url import Url
from imindex.indexer.system.index_files import Named, index_files, shown_place
from imindex.retrieval import api
from imindex.retrieval.evidence.classify_pictures import PictureClassifier
from imindex.retrieval.serve.audits import Audit
from imindex.retrieval.serve.problems import Problem
from imindex.retrieval.serve.rows import Rows
from imindex.retrieval.serve.settings import Settings

Signature = tuple[tuple[str, int, int, int, int], ...]
T = TypeVar("T")
_AFTER = 2
"""Seconds after which a client may ask again for what is being replaced."""


class Generation:
    """An index as it was when it was opened.

    Parameters
    ----------
    index : OpenIndex
    signature : tuple
        Of its files.
    number : int
        1 for the first, and one more for each replacement.
    """

    def __init__(self, index: api.OpenIndex, signature: Signature, number: int):
        self.index, self.signature, self.number = index, signature, number
        self.prepared = index.prepared()
        self._lock = threading.Lock()
        self._classifier: PictureClassifier | None = None

    @property
    def rows(self) -> Rows:
        """The columns of the index, read once."""
        with self._lock:
            return self._rows

    def classifier(self, encoder: api.Encoder) -> PictureClassifier:
        """Return what classifies pictures by the artists of the index; it is made once."""
        with self._lock:
            if self._classifier is None:
                self._classifier = self.index.classifier(encoder, prepared=self.prepared)
            return self._classifier

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.index)


class ServedIndex:
    """An index that is served.

    Parameters
    ----------
    id : str
    place : path-like
    settings : Settings
    audit : str
        Identifier of the audit that it belongs to; empty if none.
    inside : sequence of Path
        Folders that its pictures may be in, besides its own and its named roots.

    Raises
    ------
    ImindexError
        If it cannot be opened.
    """

    def __init__(
        self, id: str, place: Named, settings: Settings, audit: str = "", inside: tuple[Path, ...] = ()
    ):
        self.id, self.place, self.audit, self.inside = id, place, audit, inside
        self._settings = settings
        self._lock = threading.Lock()
        self._number = 0
        self._generation: Generation | None = None
        self._generation = self._open(self._signature())

    @property
    def name(self) -> str:
        """The name of the file, or the pattern of several."""
        return Path(shown_place(self.place)).name

    def current(self) -> Generation:
        """Return the index as it is on the disk now.

        Raises
        ------
        Problem
            503 if the file is gone or cannot be read.
        """
        try:
            signature = self._signature()
            generation = self._generation
            if generation is not None and generation.signature == signature:
                return generation
            with self._lock:
                if self._generation is None or self._generation.signature != signature:
                    self._generation = None  # it must not answer while the new one is opened
                    self._generation = self._open(signature)
                return self._generation
        except (ImindexError, OSError) as error:
            self._generation = None
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            raise Problem(
                503,
                f"The index {self.name} cannot be read at the moment: {reason.rstrip('.')}. It is served again once it "
                "can be read.",
                retry_after=_AFTER,
            ) from error

    def rows(self) -> Rows:
        """Return the columns of the index as it is on the disk now.

        Raises
        ------
        Problem
            503 as `current`, and as `require`, since reading them takes seconds when there are a million rows.
        """
        generation = self.current()
        rows = generation.rows
        self.require(generation)
        return rows

    def require(self, generation: Generation) -> None:
        """Check that an answer is still one of the index as it is on the disk, before it is given.

        Raises
        ------
        Problem
            503 if the index has been replaced since; what was computed may hold pictures that were removed.
        """
        if self.current() is not generation:
            raise Problem(
                503, f"The index {self.name} was replaced while this was computed. Ask again.", retry_after=1
            )

    def drop(self) -> None:
        """Answer no more. The file is closed when the last request that uses it ends."""
        self._generation = None

    def _open(self, signature: Signature) -> Generation:
        index = api.open(self.place, roots=self._settings.roots)
        self._number += 1
        return Generation(index, signature, self._number)

    def _signature(self) -> Signature:
        return tuple(_signature_of(path) for path in index_files(self.place))


class Catalog:
    """The indexes and audits that are served.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    ImindexError
        If an index cannot be opened, or a folder holds no audit.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._indexes: dict[str, ServedIndex] = {}
        self._audits: dict[str, Audit] = {}
        self._ids: dict[str, str] = {}
        for place in settings.indexes:
            self._add_index(place, (), "")
        for folder in settings.audits:
            if not list(audits_in(folder)):
                raise ImindexError(f"{folder} holds no audit: there is no register.jsonl in it or below it.")
        self.refresh()

    @property
    def indexes(self) -> Mapping[str, ServedIndex]:
        """The indexes by identifier."""
        return self._indexes

    @property
    def audits(self) -> Mapping[str, Audit]:
        """The audits by identifier."""
        return self._audits

    def index(self, id: str = "") -> ServedIndex:
        """Return an index by its identifier, or the first one.

        Raises
        ------
        Problem
            404 if there is none.
        """
        if not id and self._indexes:
            return next(iter(self._indexes.values()))
        known = ", ".join(self._indexes) or "none; start imindex serve with -i INDEX or --audit DIR"
        return _known(self._indexes, id, f"No index {id!r} is served. There are: {known}.")

    def audit(self, id: str) -> Audit:
        """Return an audit by its identifier.

        Raises
        ------
        Problem
            404 if there is none.
        """
        known = ", ".join(self._audits) or "none; start imindex serve with --audit DIR"
        return _known(self._audits, id, f"No audit {id!r} is served. There are: {known}.")

    def refresh(self) -> None:
        """Look for audits that are new or gone, and for indexes of theirs."""
        found = {folder.resolve(): folder for top in self._settings.audits for folder in _audits_now(top)}
        audits, indexes = dict(self._audits), dict(self._indexes)
        for id in [id for id, audit in audits.items() if audit.folder.resolve() not in found]:
            del audits[id]
        known = {audit.folder.resolve() for audit in audits.values()}
        for real, folder in found.items():
            if real not in known:
                id = self._id(str(real), folder.name, audits)
                audits[id] = Audit(id, folder)
        self._audits = audits
        for id in [id for id, one in indexes.items() if one.audit and one.audit not in audits]:
            indexes.pop(id).drop()
        self._indexes = indexes
        held = {_key(one.place) for one in indexes.values()}
        for id, audit in audits.items():
            for path in sorted(audit.folder.glob("*.h5")):
                if _key(path) not in held:
                    try:
                        self._add_index(path, (audit.folder.resolve().parent,), id)
                    except ImindexError:
                        continue  # unfinished or damaged; it is looked at again

    def check(self) -> list[Generation]:
        """Open indexes that were replaced, and return all that can be read."""
        generations = []
        for served in list(self._indexes.values()):
            try:
                generations.append(served.current())
            except Problem:
                continue
        return generations

    def indexes_of(self, audit: str) -> list[ServedIndex]:
        """Return the indexes of an audit."""
        return [one for one in self._indexes.values() if one.audit == audit]

    def without_folders(self, text: str) -> str:
        """Return a message without the folders of this machine that hold what is served."""
        folders = {audit.folder.absolute() for audit in self._audits.values()}
        folders |= {Path(shown_place(one.place)).absolute().parent for one in self._indexes.values()}
        folders |= {Path(str(place)).absolute() for place in self._settings.roots.values()}
        folders |= {
            Path(value).absolute().parent for value in self._settings.encoder.values() if _is_path(value)
        }
        folders |= {folder.parent for folder in folders} | set(self._settings.pictures_from) | {Path.home()}
        for folder in sorted(map(str, folders), key=len, reverse=True):
            if len(folder) > 1:
                text = text.replace(f"{folder}{os.sep}", "")
        return text

    def close(self) -> None:
        """Let go of all indexes."""
        for served in self._indexes.values():
            served.drop()

    def _add_index(self, place: Named, inside: tuple[Path, ...], audit: str) -> None:
        stem = Path(shown_place(place)).stem
        id = self._id(_key(place), f"{audit}-{stem}" if audit else stem, self._indexes)
        served = ServedIndex(id, place, self._settings, audit, (*self._settings.pictures_from, *inside))
        self._indexes = {**self._indexes, id: served}

    def _id(self, key: str, name: str, taken: Mapping[str, object]) -> str:
        """Return the identifier of a thing, the same each time."""
        if key not in self._ids:
            base = slug(name) or "index"
            id, n = base, 2
            while id in taken or id in self._ids.values():
                id, n = f"{base}-{n}", n + 1
            self._ids[key] = id
        return self._ids[key]


def audits_in(folder: Path) -> Iterator[Path]:
    """Yield the folder, if it is an audit, or the audits one and two levels below it.

    Raises
    ------
    ImindexError
        If it is not a folder.
    """
    if not folder.is_dir():
        raise ImindexError(
            f"{folder} is not a folder. --audit takes the folder of an audit, or one that holds audits."
        )
    if (folder / "register.jsonl").exists():
        yield folder
        return
    for pattern in ("*/register.jsonl", "*/*/register.jsonl"):
        yield from sorted(path.parent for path in folder.glob(pattern))


def _audits_now(folder: Path) -> list[Path]:
    """Return the audits in a folder; none while it is away or may not be read."""
    try:
        return list(audits_in(folder))
    except (ImindexError, OSError):
        return []


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike)) and os.sep in os.fspath(value)


def _signature_of(path: Path | Url) -> tuple[str, int, int, int, int]:
    if isinstance(path, Url):
        return str(path), 0, 0, 0, 0
    status = os.stat(path)  # noqa: PTH116 - follows links, as the reader does
    return str(path), status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _key(place: Named) -> str:
    return str(Path(shown_place(place)).resolve())


def _known(table: Mapping[str, T], id: str, error: str) -> T:
    if id not in table:
        raise Problem(404, error)
    return table[id]
