"""Match a release without tests, with its imitations divided into pieces that workers count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from imindex.indexer.runners.calls import Calls
from imindex.indexer.store.index import Index
from imindex.retrieval.match.match import Match
from imindex.retrieval.match.ranking import csls_neighbours
from imindex.retrieval.match.shards import Own, Works, cut, match_in_pieces
from imindex.retrieval.shards.worker import Rows
from imindex.retrieval.vectors.blocks import Int64
from imindex.retrieval.vectors.checks import check_artists, check_vectors
from imindex.retrieval.vectors.select import Pictures, rows_of, same_by_keys


@dataclass(frozen=True, eq=False)
class Ranked:
    """A release that was matched in pieces.

    Attributes
    ----------
    match : Match
    imitations : Pictures
        The distinct imitations, without their vectors.
    n_repeated : int
        Number of repeated imitations that are excluded.
    """

    match: Match
    imitations: Pictures
    n_repeated: int


def match_by_workers(
    index: Index,
    collection: str,
    works: Pictures,
    calls: Calls,
    *,
    csls_k: int | None = None,
    recall_at: Sequence[int] = (1, 5, 10, 50),
    progress: Callable[[int], None] = lambda _: None,
) -> Ranked:
    """Match a release as `imindex.retrieval.match.match.match` does with ``matrix=False``, by workers.

    Parameters
    ----------
    index : Index
        Of one or more files. The driver reads of them the columns, and vectors only where two may be equal.
    collection : str
        The release.
    works : Pictures
        The distinct works.
    calls : Calls
        Workers made from `imindex.retrieval.shards.worker.Worker`, with the files of the index.
    csls_k, recall_at
        See `imindex.retrieval.match.match.match`.
    progress : callable
        Called with the number of works that are done.

    Returns
    -------
    Ranked
        Equal to that of a single process, to the bit.

    Raises
    ------
    ImindexError
        If workers die again and again, or a file was replaced.
    ValueError
        If the vectors are not float16 unit vectors.
    """
    rows, artist = rows_of(index, "imitations", collections=[collection])
    check_vectors(works.vectors, "works")
    artist = check_artists(artist, len(rows), len(index.artists), "imitation_artist")
    pieces = list(pieces_of(index, rows, artist, calls.n_workers))
    keys = np.concatenate(list(calls.map("keys", ((piece,) for piece in pieces))))
    vectors = index.vectors
    first = np.unique(
        same_by_keys(keys, artist, lambda places: np.asarray(vectors[rows[places]]).view(np.uint16))
    )
    n_repeated = len(rows) - len(first)
    if n_repeated:
        rows, artist = rows[first], artist[first]
        pieces = list(pieces_of(index, rows, artist, calls.n_workers))
    every = Works(works.vectors, works.artist, len(index.artists), csls_neighbours(csls_k, len(works.artist)))
    if every.csls_k is not None:
        penalties = calls.map("penalties", [(piece,) for piece in pieces], every)
        pieces = [replace(piece, penalties=own) for piece, own in zip(pieces, penalties, strict=True)]

    def own(numbers: Int64) -> Iterator[Own]:
        wanted = np.unique(works.artist[numbers])
        chosen = [(piece,) for piece in pieces if np.isin(piece.artist, wanted).any()]
        return calls.map("own", chosen, every.at(numbers))

    match = match_in_pieces(
        every,
        artist,
        own,
        lambda numbers, own: calls.map("count", [(piece,) for piece in pieces], (every.at(numbers), own)),
        recall_at=recall_at,
        state_bytes=calls.state_bytes,
        progress=progress,
    )
    imitations = Pictures(rows, np.empty((len(rows), 0), np.float16), artist)
    return Ranked(match, imitations, n_repeated)


def pieces_of(index: Index, rows: Int64, artist: Int64, n_workers: int) -> Iterator[Rows]:
    """Divide rows of an index, ascending, into pieces that each lie in one file, in order."""
    for file, (start, places, kept) in enumerate(file_rows(index)):
        here = slice(*np.searchsorted(rows, [start, start + places]).tolist())
        local = rows[here] - start
        if kept is not None:
            local = kept[local]
        for piece in cut(len(local), n_workers):
            yield Rows(file, local[piece], artist[here][piece])


def file_rows(index: Index) -> Iterator[tuple[int, int, Int64 | None]]:
    """Yield the first row of each file, the number of its rows, and which of its rows these are (None: all)."""
    from imindex.indexer.store.joined_vectors import JoinedVectors

    vectors = index.vectors
    if isinstance(vectors, JoinedVectors):
        for start, own, kept in vectors.segments():
            yield start, len(own) if kept is None else len(kept), kept
    else:
        yield 0, index.n, None
