"""What a change removes from an index, for the question that is asked before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.schema import Contents

SHOWN_PATHS = 5
_NOBODY = "(no artist)"


@dataclass(frozen=True)
class Counted:
    """A name, and the numbers of its pictures and rejects that are removed."""

    name: str
    pictures: int
    rejects: int


@dataclass(frozen=True)
class Removal:
    """Pictures that are to be removed from an index.

    Attributes
    ----------
    pictures, rejects : int
        Numbers that are removed.
    rows : int
        Rows that are left.
    bytes_before, bytes_after : int
        Size of the file, and roughly what is left of it: the same share as of its rows.
    artists, collections : tuple of Counted
        Most pictures first.
    paths : tuple of str
        The first few paths that are removed.
    """

    pictures: int
    rejects: int
    rows: int
    bytes_before: int
    bytes_after: int
    artists: tuple[Counted, ...]
    collections: tuple[Counted, ...]
    paths: tuple[str, ...]


def removal_of(
    contents: Contents, gone: npt.NDArray[np.bool_], gone_rejects: npt.NDArray[np.bool_], size: int
) -> Removal:
    """Count what is removed, by artist and by collection.

    Parameters
    ----------
    contents : Contents
        Of the index before the change.
    gone : (n_rows,) bool
    gone_rejects : (n_rejects,) bool
    size : int
        Size of the index file in bytes.
    """
    tables = ((contents.items, gone), (contents.rejects, gone_rejects))
    n_gone, n_rejects = int(gone.sum()), int(gone_rejects.sum())
    left = contents.n - n_gone
    paths = [str(path) for table, rows in tables for path in table["path"][rows][:SHOWN_PATHS]]
    return Removal(
        pictures=n_gone,
        rejects=n_rejects,
        rows=left,
        bytes_before=size,
        bytes_after=round(size * left / contents.n) if contents.n else size,
        artists=_counted("artist", [*contents.artists, _NOBODY], tables),
        collections=_counted("collection", [c.name for c in contents.collections], tables),
        paths=tuple(paths[:SHOWN_PATHS]),
    )


def _counted(column: str, names: list[str], tables: tuple[tuple[object, ...], ...]) -> tuple[Counted, ...]:
    (items, gone), (rejects, gone_rejects) = tables
    # A missing artist is -1, which becomes the last name.
    pictures, bad = (
        np.bincount(table[column][rows].astype(np.int64) % len(names), minlength=len(names))  # type: ignore[index]
        for table, rows in ((items, gone), (rejects, gone_rejects))
    )
    order = sorted(range(len(names)), key=lambda n: (-pictures[n], -bad[n], names[n]))
    return tuple(Counted(names[n], int(pictures[n]), int(bad[n])) for n in order if pictures[n] or bad[n])
