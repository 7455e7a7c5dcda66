"""What a worker does: open the files of an index by itself, and compute what it is asked for from their mapped vectors.

Its methods are called through `imindex.indexer.runners.calls`: the first argument is what all tasks share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import open_index
from imindex.indexer.system.cpu import processors
from imindex.retrieval.classify.by_works import knn_scores, prototype_scores
from imindex.retrieval.match.shards import Counts, Own, Piece, Works
from imindex.retrieval.search.nearest import Neighbours, nearest
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.checks import check_vectors
from imindex.retrieval.vectors.select import row_keys

WORKER = "imindex.retrieval.evidence.observing_worker:ObservingWorker"
"""What makes a worker: this one, which can also observe a release (`imindex.retrieval.evidence.release_walk`)."""


@dataclass(frozen=True)
class File:
    """A file of an index, as the driver opened it."""

    path: str
    root_digest: str


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of one file, for a worker.

    Attributes
    ----------
    file : int
        Number of the file.
    rows : ndarray, shape (m,), int64
        Rows of that file, ascending.
    artist : ndarray, shape (m,), int64
        In the numbering of all files.
    penalties : ndarray, shape (m,), int64, or None
        For CSLS.
    """

    file: int
    rows: Int64
    artist: Int64
    penalties: Int64 | None = None


@dataclass(frozen=True, eq=False)
class Range:
    """Consecutive rows of one file, of which some are searched.

    Attributes
    ----------
    file, start, stop : int
    among : ndarray, uint8
        Which of them to search, as packed bits.
    """

    file: int
    start: int
    stop: int
    among: npt.NDArray[np.uint8]


SCORED_TOGETHER = 2**13
"""Number of pictures that a worker compares with works at a time."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The works that pictures are compared with.

    Attributes
    ----------
    method : {"prototype", "vote"}
    works : ndarray, shape (W, d), float16, unit norm
    artist : ndarray, shape (W,), int64
    n_artists : int
    k : int
        Number of works that vote.
    csls_k : int, optional
        Correct for hubs with terms over this many works.
    """

    method: str
    works: Float16
    artist: Int64
    n_artists: int
    k: int
    csls_k: int | None = None


class Worker:
    """Answers calls from the files of one index. Each is opened when it is first needed, and kept open.

    Parameters
    ----------
    made : tuple of (files, device)
        The files, each a `File`, and where imitations are counted.
    """

    def __init__(self, made: tuple[Sequence[File], str]):
        files, self._device = made
        self._files = tuple(files)
        self._open: dict[int, Index] = {}
        self._searchers: dict[tuple[int, int, int], Any] = {}

    def keys(self, _: None, rows: Rows) -> npt.NDArray[np.uint64]:
        """Validate the vectors of some rows, and return their keys (`row_keys`)."""
        vectors = check_vectors(self._vectors(rows), "imitations")
        return row_keys(np.ascontiguousarray(vectors).view(np.uint16), rows.artist)

    def penalties(self, works: Works, rows: Rows) -> Int64:
        """See `Piece.penalties`."""
        return self._piece(works, rows).penalties()

    def own(self, works: Works, rows: Rows) -> Own:
        """See `Piece.own`; for all of the works."""
        return self._piece(works, rows).own(np.arange(len(works.artist)))

    def count(self, common: tuple[Works, Own], rows: Rows) -> Counts:
        """See `Piece.count`; for all of the works."""
        works, own = common
        return self._piece(works, rows).count(np.arange(len(works.artist)), own)

    def nearest(self, queries: Float16, rows: Range, k: int) -> Neighbours:
        """Find the nearest rows of a range, exactly, numbered from its first row."""
        from imindex.indexer.ann.exact import ExactSearcher

        vectors = self._file(rows.file).vectors[rows.start : rows.stop]
        place = rows.file, rows.start, rows.stop
        if place not in self._searchers:
            self._searchers[place] = ExactSearcher(vectors, "cpu")
        among = np.unpackbits(rows.among, count=rows.stop - rows.start).astype(np.bool_)
        return nearest(self._searchers[place], vectors, queries, k=k, among=among)

    def scores(
        self, candidates: Candidates, vectors: Float16, exclude: npt.NDArray[np.bool_] | None
    ) -> Float64:
        """Return the scores of some pictures by works (`imindex.retrieval.classify.by_works`)."""
        works = candidates.works, candidates.artist, candidates.n_artists
        if candidates.method == "prototype":
            return prototype_scores(vectors, *works, exclude=exclude, csls_k=candidates.csls_k)
        return knn_scores(vectors, *works, k=candidates.k, exclude=exclude, csls_k=candidates.csls_k)

    def _piece(self, works: Works, rows: Rows) -> Piece:
        return Piece(
            works,
            self._vectors(rows),
            rows.artist,
            rows.penalties,
            threads=processors(),
            device=self._device,
        )

    def _vectors(self, rows: Rows) -> Float16:
        vectors, chosen = self._file(rows.file).vectors, rows.rows
        if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1:
            return np.asarray(vectors[int(chosen[0]) : int(chosen[-1]) + 1])
        return np.asarray(vectors[chosen])

    def _file(self, number: int) -> Index:
        if number not in self._open:
            self._open[number] = _same(open_index(self._files[number].path), self._files[number])
        return self._open[number]

    def joined(self) -> Index:
        """Open all files as one index."""
        index = open_index([file.path for file in self._files])
        for part, file in zip(index.parts, self._files, strict=True):
            _same(part, file)
        return index


def files_of(index: Index, device: str = "cpu") -> tuple[tuple[File, ...], str]:
    """Return the files of an open index, and where to count: what workers are made from."""
    files = tuple(
        File(str(part.path.absolute() if isinstance(part.path, Path) else part.path), part.root_digest)
        for part in index.parts
    )
    return files, device


def _same(index: Index, file: File) -> Index:
    if index.root_digest != file.root_digest:
        index.close()
        raise ImindexError(f"{file.path} was replaced while this command was running. Run it again.")
    return index
