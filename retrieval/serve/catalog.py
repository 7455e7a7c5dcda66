"""What is served: indexes and audits, each under an identifier that URLs use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.slug import slug
from imindex.indexer.system.index_files import Named, shown_place
from imindex.retrieval import api
from imindex.retrieval.serve.settings import Settings


@dataclass
class ServedIndex:
    """An index that is served.

    Attributes
    ----------
    id : str
    place : path-like
    index : OpenIndex
    audit : str
        Identifier of the audit that it belongs to; empty if none.
    """

    id: str
    place: Named
    index: api.OpenIndex
    audit: str = ""


@dataclass
class ServedAudit:
    """A finished or unfinished audit.

    Attributes
    ----------
    id : str
    folder : Path
    indexes : tuple of str
        Identifiers of its indexes.
    """

    id: str
    folder: Path
    indexes: tuple[str, ...] = ()


class Unknown(ImindexError):
    """What a request names is not served."""


class Catalog:
    """The indexes and audits that are served.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings):
        self.indexes: dict[str, ServedIndex] = {}
        self.audits: dict[str, ServedAudit] = {}
        self._settings = settings
        for place in settings.indexes:
            self._add_index(place)
        for folder in settings.audits:
            for audit in audits_in(folder):
                self._add_audit(audit)

    def index(self, id: str | None = None) -> ServedIndex:
        """Return an index by its identifier, or the first one."""
        if not self.indexes:
            raise Unknown("No index is served. Start imindex serve with -i INDEX or --audit DIR.")
        if id is None:
            return next(iter(self.indexes.values()))
        if id not in self.indexes:
            raise Unknown(f"No index {id} is served. There are: {', '.join(self.indexes)}.")
        return self.indexes[id]

    def audit(self, id: str) -> ServedAudit:
        """Return an audit by its identifier."""
        if id not in self.audits:
            known = ", ".join(self.audits) or "none; pass --audit DIR"
            raise Unknown(f"No audit {id} is served. There are: {known}.")
        return self.audits[id]

    def close(self) -> None:
        """Close all indexes."""
        for served in self.indexes.values():
            served.index.close()

    def _add_index(self, place: Named, audit: str = "") -> str:
        stem = Path(shown_place(place)).stem
        id = _unused(slug(f"{audit}-{stem}" if audit else stem), self.indexes)
        opened = api.open(place, roots=self._settings.roots)
        self.indexes[id] = ServedIndex(id, place, opened, audit)
        return id

    def _add_audit(self, folder: Path) -> None:
        id = _unused(slug(folder.name), self.audits)
        indexes = tuple(self._add_index(path, id) for path in sorted(folder.glob("*.h5")))
        self.audits[id] = ServedAudit(id, folder, indexes)


def audits_in(folder: Path) -> Iterator[Path]:
    """Yield the folder, if it is an audit, or the audits one and two levels below it."""
    if not folder.is_dir():
        raise ImindexError(
            f"{folder} is not a folder. --audit takes the folder of an audit, or one that holds audits."
        )
    if is_audit(folder):
        yield folder
        return
    below = sorted(
        {
            path.parent
            for pattern in ("*/register.jsonl", "*/*/register.jsonl")
            for path in folder.glob(pattern)
        }
    )
    if not below:
        raise ImindexError(f"{folder} holds no audit: there is no register.jsonl in it or below it.")
    yield from below


def is_audit(folder: Path) -> bool:
    """Whether a folder holds the register of an audit."""
    return (folder / "register.jsonl").exists()


def _unused(name: str, taken: Sequence[str] | dict[str, ServedIndex] | dict[str, ServedAudit]) -> str:
    id, n = name or "index", 2
    while id in taken:
        id, n = f"{name}-{n}", n + 1
    return id
