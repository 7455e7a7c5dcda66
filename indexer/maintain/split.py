"""Split an index file into several, by rows or by artist, without encoding anything."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from imindex.indexer.ann import exact
from imindex.indexer.ann.record import is_approximate
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Columns, Contents
from imindex.indexer.core.slug import slug
from imindex.indexer.core.url import Url
from imindex.indexer.maintain.merge import counted, rebased
from imindex.indexer.store.index import Index
from imindex.indexer.store.intact import require_intact
from imindex.indexer.store.lineage import PartOf, part_of, split_summary
from imindex.indexer.store.opening import open_index
from imindex.indexer.store.writer import write
from imindex.indexer.system.atomic import clear_leftovers, make_folder, real_file
from imindex.indexer.system.locks import alone

MOST_PARTS = 100_000
_DIGITS = 4
Rows = npt.NDArray[np.intp]
T = TypeVar("T")


@dataclass(frozen=True)
class SplitReport:
    """Result of a split.

    Attributes
    ----------
    files : tuple of Path
        The parts, in order.
    rows : tuple of int
        Rows of each part.
    kept : int
        Parts that an interrupted run of the same command had written.
    root_digest : str
        Of the index that was split, which the log of each part names.
    keeps_order : bool
        Whether `imindex merge` of the parts has the same root digest.
    notes : tuple of str
    """

    files: tuple[Path, ...]
    rows: tuple[int, ...]
    kept: int
    root_digest: str
    keeps_order: bool
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the report as it is written to JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows and rejects of a part, ascending; what the log says of it; and its file name."""

    rows: Rows
    rejects: Rows
    how: str
    name: str


def split(
    path: Path | Url,
    folder: Path | None = None,
    *,
    rows: int | None = None,
    by_artist: bool = False,
    command: str = "",
    progress: Callable[[int], None] = lambda done: None,
) -> SplitReport:
    """Write the rows of an index to several new files, which are read as one index (`imindex.indexer.store.joined`).

    The index itself stays. Each part is written whole or not at all; after an interruption the same command keeps the
    parts that are there. Vectors are streamed.

    Parameters
    ----------
    path : Path or Url
        The index.
    folder : Path, optional
        Where to write the parts; by default the folder of the index. Paths of pictures are stored relative to it.
    rows : int, optional
        Most rows of a part, in the order of the rows. All rejects are in the first part.
    by_artist : bool
        A part for each artist, with the artist's rejects, in order of the first row; one for pictures without an
        artist. Rejects of artists without a row are in the first part.
    command : str
        The command line, for the log.
    progress : callable
        Called with the number of rows written so far.

    Returns
    -------
    SplitReport

    Raises
    ------
    ImindexError
        If the index is damaged, the folder holds other files of such names, or there is no room.
    """
    if (rows is None) == (not by_artist):
        raise ImindexError("Split either by rows (--rows N) or by artist (--by artist).")
    if isinstance(path, Url):
        if folder is None:
            raise ImindexError(
                f"{path} is in an object store. Name a folder on this machine for the parts (-o)."
            )
    else:
        path = real_file(path)
    folder = Path(path.parent) if folder is None else folder
    with open_index(path) as index:
        contents = index.contents()
        parts = _by_artist(path.stem, contents) if by_artist else _by_rows(path.stem, contents, rows or 1)
        if len(parts) > MOST_PARTS:
            raise ImindexError(f"{path} would become {len(parts):,} files. Pass larger parts (--rows N).")
        make_folder(folder)
        refusal = f"{folder} is being written to by {{by}}. Wait for it to end, or name another folder (-o)."
        with alone(folder / f".{path.stem}-split.lock", refusal, command):
            _refuse_others(folder, path, parts)
            lists_all = not _keeps_names(contents, parts)
            whole = rebased(contents, index.folder, folder.absolute())
            known = [PartOf(number, len(parts), index.root_digest) for number in range(1, len(parts) + 1)]
            there = [
                _is_there(folder / part.name, part, whole, of) for part, of in zip(parts, known, strict=True)
            ]
            require_intact(index)
            to_do = [part for part, is_there in zip(parts, there, strict=True) if not is_there]
            _require_room(folder, index, sum(len(part.rows) for part in to_do))
            done = 0
            for part, of, is_there in zip(parts, known, there, strict=True):
                if not is_there:
                    piece = _contents(whole, part, lists_all=lists_all and of.number == 1)
                    _write(folder / part.name, index, part, piece, of, command, progress, done)
                done += len(part.rows)
                progress(done)
        notes = [] if not is_approximate(index.ann()) else [
            f"The approximate index of {path} is not split: the parts are searched exactly."
        ]  # fmt: skip
        return SplitReport(
            tuple(folder / part.name for part in parts),
            tuple(len(part.rows) for part in parts),
            sum(there),
            index.root_digest,
            _keeps_rows(contents, parts),
            tuple(notes),
        )


def _by_rows(stem: str, contents: Contents, most: int) -> list[_Part]:
    n, n_rejects = contents.n, len(contents.rejects["artist"])
    starts = range(0, max(n, 1), most)
    return [
        _Part(
            np.arange(start, min(n, start + most)),
            np.arange(n_rejects if number == 0 else 0),
            f"rows {start} to {min(n, start + most) - 1}" if n else "no rows",
            f"{stem}-{number:0{_width(len(starts))}d}.h5",
        )
        for number, start in enumerate(starts)
    ]


def _by_artist(stem: str, contents: Contents) -> list[_Part]:
    artist, of_rejects = contents.items["artist"], contents.rejects["artist"]
    numbers, first = np.unique(artist, return_index=True)
    ordered = numbers[np.argsort(first)].tolist() or [-1]
    order, order_of_rejects = np.argsort(artist, kind="stable"), np.argsort(of_rejects, kind="stable")
    rest = np.flatnonzero(~np.isin(of_rejects, ordered))
    width = _width(len(ordered))
    parts = []
    for number, one in enumerate(ordered):
        own = _group(artist, order, one)
        rejects = _group(of_rejects, order_of_rejects, one)
        name = contents.artists[one] if one >= 0 else ""
        parts.append(
            _Part(
                own,
                np.union1d(rejects, rest) if number == 0 else rejects,
                "one artist" if name else "without artist",
                f"{stem}-{number:0{width}d}-{slug(name)[:80] if name else 'no-artist'}.h5",
            )
        )
    return parts


def _group(values: npt.NDArray[np.int32], order: Rows, wanted: int) -> Rows:
    """Return the ascending positions of a value, of which `order` sorts the positions."""
    start, end = np.searchsorted(values, [wanted, wanted + 1], sorter=order)
    return np.sort(order[start:end])


def _width(n: int) -> int:
    return max(_DIGITS, len(str(n - 1)))


def _keeps_names(contents: Contents, parts: Sequence[_Part]) -> bool:
    """Return whether numbering the parts' artists and collections by first appearance gives their numbers back."""
    for name, n in (("artist", len(contents.artists)), ("collection", len(contents.collections))):
        seen: dict[int, None] = {}
        for part in parts:
            used = np.unique(
                np.concatenate([contents.items[name][part.rows], contents.rejects[name][part.rejects]])
            )
            seen.update(dict.fromkeys(number for number in used.tolist() if number >= 0))
        if list(seen) != list(range(n)):
            return False
    return True


def _keeps_rows(contents: Contents, parts: Sequence[_Part]) -> bool:
    """Return whether the parts have the rows and the rejects in their order."""
    return all(
        np.array_equal(np.concatenate(pieces), np.arange(n))
        for pieces, n in (
            ([part.rows for part in parts], contents.n),
            ([part.rejects for part in parts], len(contents.rejects["artist"])),
        )
    )


def _contents(whole: Contents, part: _Part, *, lists_all: bool) -> Contents:
    """Return the contents of a part; with `lists_all`, also the artists and collections that it has no row of."""
    stamps, reject_stamps = whole.stamps()
    items, rejects = _taken(whole.items, part.rows), _taken(whole.rejects, part.rejects)
    artists, collections = list(whole.artists), list(whole.collections)
    if not lists_all:
        artists = _renumbered(artists, "artist", items, rejects)
        collections = _renumbered(collections, "collection", items, rejects)
    return replace(
        whole,
        artists=artists,
        collections=collections,
        items=items,
        rejects=rejects,
        item_stamps=stamps[part.rows],
        reject_stamps=reject_stamps[part.rejects],
    )


def _taken(table: Columns, rows: Rows) -> Columns:
    return {name: values[rows] for name, values in table.items()}


def _renumbered(names: Sequence[T], column: str, items: Columns, rejects: Columns) -> list[T]:
    """Renumber the artists or collections that a part refers to, in their order, and return their names."""
    used = np.unique(np.concatenate([items[column], rejects[column]]))
    used = used[used >= 0]
    for table in (items, rejects):
        values = table[column]
        table[column] = np.where(values < 0, values, np.searchsorted(used, values)).astype(np.int32)
    return [names[number] for number in used.tolist()]


def _is_there(file: Path, part: _Part, whole: Contents, of: PartOf) -> bool:
    """Return whether a file is this part already, as an interrupted run left it.

    Raises
    ------
    ImindexError
        If it is another file, or was damaged since.
    """
    if not file.exists():
        return False
    with Index(file) as there:
        log = there.log()
        same = (
            part_of(log, there.root_digest) == of
            and log[-1]["summary"] == split_summary(of, part.how)
            and there.n == len(part.rows)
            and np.array_equal(there.column("path"), whole.items["path"][part.rows])
        )
        if same:
            require_intact(there)
    if not same:
        raise ImindexError(f"{file} exists and is another index. Name another folder (-o), or move it away.")
    return True


def _refuse_others(folder: Path, path: Path | Url, parts: Sequence[_Part]) -> None:
    """Refuse files that a pattern of the parts would match, and which are none of them."""
    known = {part.name for part in parts}
    pattern = re.compile(rf"{re.escape(path.stem)}-\d{{{_DIGITS},}}(-.*)?\.h5", re.DOTALL)
    others = sorted(
        file.name for file in folder.iterdir() if pattern.fullmatch(file.name) and file.name not in known
    )
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ImindexError(
            f"{folder} holds {others[0]}{more}, which would be taken for a part and is none of this split. Name "
            "another folder (-o), or move it away."
        )


def _require_room(folder: Path, index: Index, rows: int) -> None:
    needed = 2 * rows * index.encoder.dim
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ImindexError(
            f"{folder} has {free / 1e9:.2f} GB free, and the parts need more than {needed / 1e9:.2f} GB. Free space, "
            "or name a folder on another disk (-o)."
        )


def _write(  # noqa: PLR0913
    file: Path,
    index: Index,
    part: _Part,
    contents: Contents,
    of: PartOf,
    command: str,
    progress: Callable[[int], None],
    before: int,
) -> None:
    clear_leftovers(file)
    write(
        file,
        contents,
        counted(index.blocks(part.rows), lambda done: progress(before + done)),
        ann=exact.describe(),
        ann_data=exact.exact_header(len(part.rows), index.encoder.dim),
        entry=entry(command, split_summary(of, part.how), index.root_digest),
    )
