"""Remove pictures from an index: from vectors, rows, rejects, names and part files."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imindex.indexer.ann.upkeep import ann_after
from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import as_stored, clean_name
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.removal import Removal, removal_of
from imindex.indexer.core.schema import Columns, Contents, without_rows
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_unchanged, unchanged_blocks
from imindex.indexer.store.working_copy import on_working_copy
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, real_file

ERASED = "(erased)"


@dataclass(frozen=True)
class RemoveReport:
    """Result of a removal.

    Attributes
    ----------
    removed, rejects : int
        Numbers of removed pictures and rejects.
    rows : int
        Rows that are left.
    root_digest : str
        Root digest of the index after the removal.
    notes : tuple of str
        What happened to an approximate index.
    removal : Removal, optional
        What was removed, or with `dry_run` would be: by artist, by collection, and the size of the file.
    """

    removed: int
    rejects: int
    rows: int
    root_digest: str
    notes: tuple[str, ...] = ()
    removal: Removal | None = None


@on_working_copy("path")
def remove(
    path: Path,
    *,
    artists: Sequence[str] = (),
    collections: Sequence[str] = (),
    digests: Sequence[str] = (),
    dry_run: bool = False,
    expected: str = "",
) -> RemoveReport:
    """Rewrite the index without the pictures that match every kind of condition given.

    Parameters
    ----------
    path : Path
        The index; or its `Url` in an object store, whose object is then replaced as a whole.
    artists, collections : sequence of str
        Names; a picture matches if it belongs to any of them.
    digests : sequence of str
        SHA-256 in hexadecimal; a picture matches if it has any of them.
    dry_run : bool
        Count only, without changing the index.
    expected : str
        Root digest of the index that a person was shown; an index that has changed since is refused.

    Returns
    -------
    RemoveReport

    Raises
    ------
    ImindexError
        If the index does not have a name or digest, is damaged, or another builder is running.
    """
    path = real_file(path)
    with Index(path) as index:
        encoder = index.encoder
        artists = as_stored(artists, index.artists)
        collections = as_stored(collections, [c.name for c in index.collections])
    with Parts(path, encoder, "imindex remove") as parts, Index(path) as index:
        if expected and index.root_digest != expected:
            raise ImindexError(
                f"{path} was changed in the meantime. Nothing was removed. Run the command again."
            )
        contents = index.contents()
        raw = _digests(digests)
        gone = _matches(contents, contents.items, artists, collections, raw)
        gone_rejects = _matches(contents, contents.rejects, artists, collections, raw)
        _check_known(index, artists, collections, raw)
        left = without_rows(contents, ~gone, ~gone_rejects)
        removed, rejects = int(gone.sum()), int(gone_rejects.sum())
        removal = removal_of(contents, gone, gone_rejects, path.stat().st_size)
        if dry_run or not removed + rejects:
            return RemoveReport(removed, rejects, left.n, index.root_digest, tuple(parts.notes), removal)
        require_unchanged(index)
        clear_leftovers(path)
        # The part files first: if this crashes in between, the same command still finds the artist and completes.
        tables = (contents.items["sha256"][gone], contents.rejects["sha256"][gone_rejects])
        parts.drop({bytes(digest) for digests_gone in tables for digest in digests_gone})
        command, summary = (
            _command(artists, collections, digests),
            f"remove: {removed} pictures, {rejects} rejects",
        )
        ann, notes = ann_after(index, np.flatnonzero(~gone), left.n, encoder.dim)
        root = write(
            path,
            replace(left, log=[_erase(line, artists) for line in contents.log]),
            unchanged_blocks(index, np.flatnonzero(~gone)),
            entry=entry(command, summary, index.root_digest),
            **ann,
        )
    removal = replace(removal, bytes_after=path.stat().st_size)
    return RemoveReport(removed, rejects, left.n, root, (*parts.notes, *notes), removal)


def _matches(
    contents: Contents,
    table: Columns,
    artists: Sequence[str],
    collections: Sequence[str],
    digests: Sequence[bytes],
) -> npt.NDArray[np.bool_]:
    rows = np.ones(len(table["artist"]), bool)
    if artists:
        rows &= np.isin(table["artist"], [n for n, name in enumerate(contents.artists) if name in artists])
    if collections:
        numbers = [n for n, collection in enumerate(contents.collections) if collection.name in collections]
        rows &= np.isin(table["collection"], numbers)
    if digests:
        rows &= np.array([bytes(digest) in digests for digest in table["sha256"]], bool)
    return rows


def _check_known(
    index: Index, artists: Sequence[str], collections: Sequence[str], digests: Sequence[bytes]
) -> None:
    for what, wanted, known in (
        ("artist", artists, set(index.artists)),
        ("collection", collections, {c.name for c in index.collections}),
    ):
        missing = [name for name in wanted if name not in known]
        if missing:
            raise ImindexError(
                f"{index.path} has no {what} {', '.join(missing)}. See `imindex info --artists -i {index.path}`."
            )
    if digests:
        known_digests = {bytes(d) for d in index.column("sha256")} | {
            bytes(d) for d in index.rejects()["sha256"]
        }
        unknown = [digest.hex() for digest in digests if digest not in known_digests]
        if unknown:
            raise ImindexError(f"{index.path} has no picture with the SHA-256 {', '.join(unknown)}.")


def _digests(texts: Sequence[str]) -> list[bytes]:
    try:
        raw = [bytes.fromhex(text) for text in texts]
    except ValueError:
        raw = [b""]
    if any(len(digest) != 32 for digest in raw):
        raise ImindexError("--sha256 takes 64 hexadecimal digits. `imindex export` lists them.")
    return raw


def _command(artists: Sequence[str], collections: Sequence[str], digests: Sequence[str]) -> str:
    """Return the command line for the log, without the names and digests that were removed."""
    words = ["imindex", "remove", *(word for _ in artists for word in ("--artist", ERASED))]
    words += [word for name in collections for word in ("--collection", name)]
    words += [word for _ in digests for word in ("--sha256", ERASED)]
    return shlex.join(words)


def _erase(line: Mapping[str, str], artists: Sequence[str]) -> dict[str, str]:
    """Erase the artists' names from an earlier command line, word by word as the shell split it.

    Of a line that no shell could have split, such as one with an open quote, only the first two words are kept.
    """
    if not line["command"]:
        return dict(line)
    try:
        words = [_nfc(word) for word in shlex.split(line["command"])]
    except ValueError:
        begun = re.match(r"imindex [a-z]+(?= )", line["command"])
        return {**line, "command": f"{begun[0]} {ERASED}" if begun else ERASED}
    for name in dict.fromkeys(spelling for artist in artists for spelling in (artist, clean_name(artist))):
        whole_name = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
        for position, word in enumerate(words[2:], 2):
            if not whole_name.search(word) and whole_name.search(clean_name(word)):
                word = clean_name(word)
            option = re.match(r"(--?[\w-]+(=|$))?", word)
            start = option.end() if option else 0
            words[position] = word[:start] + whole_name.sub(ERASED, word[start:])
    return {**line, "command": shlex.join(words)}


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)
