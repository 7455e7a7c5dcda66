"""Select the rows of an index that a query searches, by kind, without copies of works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import as_stored
from imindex.indexer.core.schema import KINDS
from imindex.indexer.store.index import Index
from imindex.retrieval.vectors.select import artist_numbers, require_rows, same_files

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows that a query searches.

    Attributes
    ----------
    masks : dict of str to ndarray, shape (n,), bool
        For each kind that has any, its rows.
    copies : dict of int to int
        For each row that has copies, their number. The copies are not in the masks.
    """

    masks: Mapping[str, Bool]
    copies: Mapping[int, int]


def select(
    index: Index, columns: Mapping[str, npt.NDArray[Any]], collections: Sequence[str], artists: Sequence[str]
) -> Selection:
    """Select the rows of some collections and artists; by default of all.

    Parameters
    ----------
    index : Index
    columns : mapping of str to ndarray
        The columns artist, collection and sha256 of the index.
    collections, artists : sequence of str

    Raises
    ------
    ImindexError
        If a collection or an artist does not exist, or no picture is left.
    """
    masks = _masks(index, columns, collections, artists)
    return Selection(masks, _leave_out_copies(columns, masks))


def _masks(
    index: Index, columns: Mapping[str, npt.NDArray[Any]], collections: Sequence[str], artists: Sequence[str]
) -> dict[str, Bool]:
    """Return the mask of rows to search, for each kind that has any."""
    require_rows(index)
    names = {c.name for c in index.collections}
    collections = as_stored(collections, [c.name for c in index.collections])
    unknown = [name for name in collections if name not in names]
    if unknown:
        raise ImindexError(
            f"{index.path} has no collection {', '.join(unknown)}. It has {', '.join(sorted(names))}."
        )
    allowed = np.array([not collections or c.name in collections for c in index.collections], dtype=np.bool_)
    kinds = np.array([KINDS.index(c.kind) for c in index.collections], dtype=np.int64)
    collection = columns["collection"]
    selected = allowed[collection]
    if artists:
        selected &= np.isin(columns["artist"], artist_numbers(index, artists))
    masks = {kind: selected & (kinds[collection] == number) for number, kind in enumerate(KINDS)}
    masks = {kind: mask for kind, mask in masks.items() if mask.any()}
    if not masks:
        raise ImindexError(_nothing_to_search(index, collections, artists))
    return masks


def _leave_out_copies(columns: Mapping[str, npt.NDArray[Any]], masks: Mapping[str, Bool]) -> dict[int, int]:
    """Take copies of works out of the masks: rows with the same file, artist and kind as an earlier row.

    The same folder of works, built twice under two paths, would otherwise fill the list of neighbours twice. Imitations
    keep their copies, because two releases that return the same file are a finding.

    Returns
    -------
    dict of int to int
        For each row that has copies, their number.
    """
    copies: dict[int, int] = {}
    sha256, artist = columns["sha256"], columns["artist"]
    for kind in ("works", "background"):
        if kind not in masks:
            continue
        rows = np.flatnonzero(masks[kind])
        first = rows[same_files(sha256[rows], artist[rows])]
        repeated = rows[first != rows]
        masks[kind][repeated] = False
        kept, counts = np.unique(first[first != rows], return_counts=True)
        copies.update(zip(kept.tolist(), counts.tolist(), strict=True))
    return copies


def _nothing_to_search(index: Index, collections: Sequence[str], artists: Sequence[str]) -> str:
    """Return the message for a search over no rows, with what to change."""
    given = {"collections (--collection)": collections, "artists (--artist)": artists}
    names = [name for name, values in given.items() if values]
    if len(names) == 2:
        return f"{index.path} has no pictures that match both {' and '.join(names)}. Drop one of them."
    listed = "; ".join(f"{name}: {', '.join(given[name])}" for name in names)
    return f"{index.path} has no pictures of the {listed}. Drop it, or name another."
