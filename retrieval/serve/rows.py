"""The rows of an index: filtered, searched, sorted and paged; and what each artist has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.compute as pc

from imindex.retrieval import api
from imindex.retrieval.results.base import Count, PictureSeed, Result
from imindex.retrieval.serve.problems import Problem

RowSort = Literal["row", "artist", "collection", "path", "-row"]
ArtistSort = Literal["artist", "-works", "-imitations"]
_NOBODY = 65_535
FILTERS = ("artist", "kind", "collection", "arm")


class RowInfo(Result, kw_only=True, frozen=True):
    """A picture of an index.

    Attributes
    ----------
    row : int
    artist : str
        Empty for control pictures.
    kind : str
        works, imitations, control or background.
    collection, path, prompt, caption, model, arm : str
        Empty if unknown.
    seed : str
        -1 if unknown.
    width, height : int
        In pixels.
    sha256 : str
        Of the file.
    """

    row: Count
    artist: str
    kind: str
    collection: str
    path: str
    prompt: str
    seed: PictureSeed
    caption: str
    arm: str
    model: str
    width: int
    height: int
    sha256: str


class RowPage(Result, kw_only=True, frozen=True):
    """Some rows of an index.

    Attributes
    ----------
    root : str
        Root digest of the index.
    total : int
        Rows that pass the filters.
    offset : int
    rows : tuple of RowInfo
    """

    root: str
    total: Count
    offset: Count
    rows: tuple[RowInfo, ...]


class ArtistCounts(Result, kw_only=True, frozen=True):
    """What an index has of an artist.

    Attributes
    ----------
    artist : str
    works, background : int
    imitations : dict of str to int
        By collection.
    arms : tuple of str
        What the pictures are for, such as placebo; empty if they are the artist's own.
    """

    artist: str
    works: Count
    background: Count
    imitations: Mapping[str, int]
    arms: tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """Which rows are asked for.

    Attributes
    ----------
    where : dict of str to tuple of str
        Allowed values of columns of `FILTERS`.
    search : str
        Must occur in the path, the prompt, the caption or the artist's name, in any case.
    sort : str
    """

    where: Mapping[str, Sequence[str]]
    search: str = ""
    sort: str = "row"


@dataclass(frozen=True, eq=False)
class Codes:
    """Columns of all rows as numbers, and what the numbers mean.

    Attributes
    ----------
    artist, collection, arm : ndarray, shape (n,)
        Numbers; 65535 stands for no artist, or one beyond the first 65535.
    artists, collections, kinds, arms : tuple of str
        Names by number; `kinds` are those of the collections.
    """

    artist: npt.NDArray[np.uint16]
    collection: npt.NDArray[np.uint8]
    arm: npt.NDArray[np.uint8]
    artists: tuple[str, ...]
    collections: tuple[str, ...]
    kinds: tuple[str, ...]
    arms: tuple[str, ...]


class Rows:
    """The columns of an index in memory.

    Parameters
    ----------
    index : OpenIndex
    """

    def __init__(self, index: api.OpenIndex):
        table = index.items.to_arrow()
        for name in ("kind", "collection", "artist", "arm", "model"):
            if name in table.column_names and not pyarrow.types.is_dictionary(table.schema.field(name).type):
                column = pc.dictionary_encode(table[name])
                table = table.set_column(table.column_names.index(name), name, column)
        self._table, self.root = table, index.root_digest
        self._artists: dict[str, ArtistCounts] | None = None

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def page(self, query: Query, offset: int, limit: int) -> RowPage:
        """Return some of the rows that pass the filters.

        Raises
        ------
        Problem
            422 if the order is unknown.
        """
        if query.sort not in get_args(RowSort):
            raise Problem(422, f"sort: {query.sort!r} is unknown. Use one of {', '.join(get_args(RowSort))}.")
        table = self._filtered(query)
        if query.sort == "-row":  # the last rows first
            table = table.take(pyarrow.array(range(table.num_rows - 1, -1, -1)))
        elif query.sort != "row":
            plain = pc.fill_null(table[query.sort].cast(pyarrow.string()), "")
            table = table.take(pc.sort_indices(plain))  # stable: equal ones stay in the order of rows
        return RowPage(
            root=self.root,
            total=table.num_rows,
            offset=offset,
            rows=tuple(_info(one) for one in table.slice(offset, limit).to_pylist()),
        )

    def one(self, row: int) -> RowInfo:
        """Return a row.

        Raises
        ------
        Problem
            404 if there is none.
        """
        if not 0 <= row < len(self):
            raise Problem(404, f"There is no row {row}. The index has {len(self)} rows, from 0.")
        return _info(self._table.slice(row, 1).to_pylist()[0])

    def codes(self) -> Codes:
        """Return artist, collection and arm of all rows as numbers."""
        pairs = pc.binary_join_element_wise(
            self._table["collection"].cast(pyarrow.string()),
            self._table["kind"].cast(pyarrow.string()),
            "\x1f",
        )
        collection, names = _numbered(pairs)
        artist, artists = _numbered(self._table["artist"].cast(pyarrow.string()))
        arm, arms = _numbered(self._table["arm"].cast(pyarrow.string()))
        nobody = np.array([not name for name in artists], np.bool_)
        artist = np.where(nobody[artist] if len(artist) else False, _NOBODY, np.minimum(artist, _NOBODY))
        return Codes(
            artist=artist.astype(np.uint16),
            collection=np.minimum(collection, 255).astype(np.uint8),
            arm=np.minimum(arm, 255).astype(np.uint8),
            artists=tuple(artists[:_NOBODY]),
            collections=tuple(name.split("\x1f")[0] for name in names),
            kinds=tuple(name.split("\x1f")[1] for name in names),
            arms=tuple(arms),
        )

    def with_digests(self, digests: Collection[str]) -> dict[str, int]:
        """Return the first row of each of some files, by the SHA-256 of the file."""
        column = self._table["sha256"]
        found = pc.indices_nonzero(
            pc.is_in(column, pyarrow.array(sorted(digests), pyarrow.string()))
        ).to_pylist()
        rows: dict[str, int] = {}
        for row in found:
            rows.setdefault(column[row].as_py(), row)
        return rows

    def artists(self) -> Mapping[str, ArtistCounts]:
        """Return what the index has of each artist, by name."""
        if self._artists is None:
            names = ["artist", "kind", "collection", "arm"]
            counted = self._table.select(names).group_by(names).aggregate([([], "count_all")]).to_pylist()
            grouped: dict[str, list[Mapping[str, object]]] = {}
            for one in counted:
                if one["artist"]:
                    grouped.setdefault(str(one["artist"]), []).append(one)
            self._artists = {artist: _counts(artist, grouped[artist]) for artist in sorted(grouped)}
        return self._artists

    def _filtered(self, query: Query) -> pyarrow.Table:
        table = self._table
        for name, values in query.where.items():
            if values:
                table = table.filter(
                    pc.is_in(table[name].cast(pyarrow.string()), pyarrow.array(list(values)))
                )
        if query.search:
            masks = [
                pc.match_substring(table[name].cast(pyarrow.string()), query.search, ignore_case=True)
                for name in ("path", "prompt", "caption", "artist")
            ]
            mask = masks[0]
            for other in masks[1:]:
                mask = pc.or_kleene(mask, other)
            table = table.filter(mask)
        return table


def _numbered(column: pyarrow.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return a column of texts as numbers, and the texts by number."""
    encoded = pc.fill_null(column, "").combine_chunks().dictionary_encode()
    if isinstance(encoded, pyarrow.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _counts(artist: str, parts: Sequence[Mapping[str, object]]) -> ArtistCounts:
    def of(kind: str) -> int:
        return sum(int(str(one["count_all"])) for one in parts if one["kind"] == kind)

    imitations: dict[str, int] = {}
    for one in parts:
        if one["kind"] == "imitations":
            name = str(one["collection"])
            imitations[name] = imitations.get(name, 0) + int(str(one["count_all"]))
    return ArtistCounts(
        artist=artist,
        works=of("works"),
        background=of("background"),
        imitations=dict(sorted(imitations.items())),
        arms=tuple(sorted({str(one["arm"] or "") for one in parts})),
    )


def _info(one: Mapping[str, object]) -> RowInfo:
    def text(name: str) -> str:
        return str(one.get(name) or "")

    sha256 = one["sha256"]
    return RowInfo(
        row=int(str(one["row"])),
        artist=text("artist"),
        kind=text("kind"),
        collection=text("collection"),
        path=text("path"),
        prompt=text("prompt"),
        seed=int(str(one["seed"])),
        caption=text("caption"),
        arm=text("arm"),
        model=text("model"),
        width=int(str(one["width"] or 0)),
        height=int(str(one["height"] or 0)),
        sha256=sha256.hex() if isinstance(sha256, bytes) else str(sha256),
    )
