"""Answer queries from an open index, of which everything that does not depend on the query is read once."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.arguments import one_of
from imindex.indexer.core.bounds import NEIGHBOURS, SHARE
from imindex.indexer.core.cosine import shown_cosine
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.indexer.store.remote_vectors import RemoteVectors
from imindex.retrieval.results import (
    Approximate,
    Attribution,
    KindNeighbours,
    QueryAnswer,
    QueryArtist,
    QueryNeighbour,
    QueryResult,
)
from imindex.retrieval.search.adjusted import nearest_adjusted
from imindex.retrieval.search.attribution import Attributions
from imindex.retrieval.search.digests import Digests
from imindex.retrieval.search.nearest import Neighbours, nearest, vote
from imindex.retrieval.search.one_pass import MOST_QUERIES, nearest_of, together
from imindex.retrieval.search.queries import Queries
from imindex.retrieval.search.selection import Selection, select
from imindex.retrieval.search.texts import Texts
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.hubs import hub_terms
from imindex.retrieval.vectors.rough import RoughTable
from imindex.retrieval.vectors.select import Pictures, distinct
from imindex.retrieval.vectors.select import pictures as pictures_of
from imindex.retrieval.vectors.whitened import whitened_by

if TYPE_CHECKING:
    from imindex.indexer.ann.approximate import ApproximateSearcher
    from imindex.indexer.ann.exact import Searcher
    from imindex.indexer.ann.record import Record

SearchElsewhere = Callable[[Index, Float16, int, npt.NDArray[np.bool_]], Neighbours]
"""Finds the k nearest rows of queries among some rows of an index: (index, queries, k, among) -> neighbours."""
Attributing = Literal["wait", "ready", "none"]
"""Attribute pictures, even if the works have to be compared with each other first; only if they have been; or not."""
_SELECTIONS = 8
"""Number of choices of collections and artists that are kept."""


class Prepared:
    """An open index that answers many queries, from several threads at a time.

    Columns, masks, copies of works and searchers are read or computed when they are first needed, and kept.

    Parameters
    ----------
    index : Index
        Must stay open.
    device : str
        Where exact search runs.
    """

    def __init__(self, index: Index, device: str = "cpu"):
        self._index, self._device = index, device
        self._lock = threading.RLock()
        self._texts = Texts(index)
        self._selections: OrderedDict[tuple[tuple[str, ...], tuple[str, ...]], Selection] = OrderedDict()
        self._attributed: WeakKeyDictionary[Selection, Attributions] = WeakKeyDictionary()

    def seen_as(self, index: Index, device: str) -> Prepared:
        """Return the same choices of rows over another view of the index, such as a whitened one, and on a device."""
        other = Prepared(index, device)
        other._texts = self._texts
        other._selections.update(self._selections)
        other.__dict__["columns"] = self.columns
        return other

    @property
    def index(self) -> Index:
        """The index."""
        return self._index

    @cached_property
    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """The columns artist, collection and sha256."""
        return {name: self._index.column(name) for name in ("artist", "collection", "sha256")}

    @cached_property
    def digests(self) -> Digests:
        """The rows by the digests of their pictures."""
        return Digests(self.columns["sha256"])

    def warm(self) -> None:
        """Read what every query needs, so that the first one does not wait for it.

        Threads go on to read the texts that answers show, and to compare the works with each other. Until the first is
        done, answers take longer; until the second is, ``attribution="ready"`` leaves out attributions.
        """
        selection = self.selection()
        with self._lock:
            _ = self.digests
            _ = self._exact
            _ = self._stored
        if self._index.is_local:
            self.query_rows([0], k=1, attribution="none")  # imports, and maps the vectors
        if "works" in selection.masks:
            self._attributions(selection).start()
        self._texts.start()

    def selection(self, collections: Sequence[str] = (), artists: Sequence[str] = ()) -> Selection:
        """Return the rows of some collections and artists; by default all.

        Raises
        ------
        ImindexError
            If a collection or an artist does not exist, or no picture is left.
        """
        key = tuple(collections), tuple(artists)
        with self._lock:
            chosen = self._selections.get(key)
            if chosen is None:
                chosen = select(self._index, self.columns, *key)
                self._selections[key] = chosen
            self._selections.move_to_end(key)
            while len(self._selections) > _SELECTIONS:
                self._selections.popitem(last=False)
            return chosen

    def rows(self, rows: Sequence[int]) -> Queries:
        """Return rows of the index as queries, named by their paths.

        Raises
        ------
        ImindexError
            If there is no such row.
        """
        wrong = [row for row in rows if not 0 <= row < self._index.n]
        if wrong:
            raise ImindexError(
                f"{self._index.path} has no row {wrong[0]}. Its rows are 0 to {self._index.n - 1}."
                if self._index.n
                else f"{self._index.path} has no rows."
            )
        numbers = np.asarray(rows, np.int64)
        with self._lock:
            digests = self.columns["sha256"][numbers]
        paths = self._texts.at(numbers)["path"]
        return Queries(
            names=tuple(paths),
            vectors=np.asarray(self._index.vectors[numbers]),
            digests=tuple(bytes(digest) for digest in digests),
        )

    def query_vectors(  # noqa: PLR0913
        self,
        vectors: npt.ArrayLike,
        names: Sequence[str],
        digests: Sequence[bytes | None],
        *,
        k: int = 10,
        collections: Sequence[str] = (),
        artists: Sequence[str] = (),
        confidence_level: float = 0.95,
        exact: bool = False,
        attribution: Attributing = "wait",
    ) -> QueryResult:
        """Answer queries whose vectors are known.

        Parameters
        ----------
        vectors : array_like, shape (Q, d), float16
            Unit vectors of the encoder of the index.
        names : sequence of str
            What the result calls the queries.
        digests : sequence of bytes or None
            SHA-256 of the bytes of a picture; empty if it is unknown, so that no row is known to be the picture itself;
            None for a text.
        k, collections, artists, confidence_level, exact, attribution
            As in `answer`.

        Returns
        -------
        QueryResult
            Bit for bit that of `imindex.OpenIndex.query` for pictures and texts with these vectors.

        Raises
        ------
        ImindexError
            If a collection or an artist does not exist, or a number is out of bounds.
        ValueError
            If the lengths differ, or the vectors are not float16 unit vectors of the dimension of the index.
        """
        queries = Queries(tuple(names), np.asarray(vectors), tuple(digests))
        return self.answer(
            queries,
            k=k,
            collections=collections,
            artists=artists,
            confidence_level=confidence_level,
            exact=exact,
            attribution=attribution,
        )

    def query_rows(
        self,
        rows: Sequence[int],
        *,
        k: int = 10,
        collections: Sequence[str] = (),
        artists: Sequence[str] = (),
        confidence_level: float = 0.95,
        exact: bool = False,
        attribution: Attributing = "wait",
    ) -> QueryResult:
        """Answer queries by pictures of the index, with their stored vectors; see `rows` and `answer`."""
        return self.answer(
            self.rows(rows),
            k=k,
            collections=collections,
            artists=artists,
            confidence_level=confidence_level,
            exact=exact,
            attribution=attribution,
        )

    def answer(  # noqa: PLR0913
        self,
        queries: Queries,
        *,
        k: int = 10,
        collections: Sequence[str] = (),
        artists: Sequence[str] = (),
        confidence_level: float = 0.95,
        exact: bool = False,
        attribution: Attributing = "wait",
        search: SearchElsewhere | None = None,
        csls_k: int | None = None,
    ) -> QueryResult:
        """Find the neighbours of each kind of queries, and attribute the pictures among them.

        Parameters
        ----------
        queries : Queries
        k : int
            Number of neighbours of each kind.
        collections, artists : sequence of str
            Search only these.
        confidence_level : float
            Confidence level of the set of artists among whose works a picture does not stand out.
        exact : bool
            Search exactly, even if the index is optimized. Texts are always searched exactly.
        attribution : {"wait", "ready", "none"}
            "ready": leave the attribution out, and mark it as pending, until works have been compared with each other.
        search : callable, optional
            Searches in place of this process; see `imindex.retrieval.search.query.ask`.
        csls_k : int, optional
            Order neighbours by CSLS over this many works.

        Returns
        -------
        QueryResult

        Raises
        ------
        ImindexError
            If a collection or an artist does not exist, or a number is out of bounds.
        """
        NEIGHBOURS.check(k, "k")
        SHARE.check(confidence_level, "confidence_level")
        one_of(attribution, ("wait", "ready", "none"), "attribution")
        index, columns = self._index, self.columns
        if queries.vectors.shape[1] != index.encoder.dim:
            raise ValueError(
                f"queries: the vectors have {queries.vectors.shape[1]} dimensions, and those of {index.path} have "
                f"{index.encoder.dim}. Encode the queries with the encoder of the index."
            )
        selection = self.selection(collections, artists)
        n = len(queries.names)
        attributions: list[Attribution | None] = [None] * n
        kinds: list[dict[str, KindNeighbours]] = [{} for _ in range(n)]
        is_pending = False
        is_picture = np.array([digest is not None for digest in queries.digests], np.bool_)
        if n:
            rough = None
            if search is None and csls_k is None:
                attributes = attribution != "none" and bool(is_picture.any())
                rough = self._rough(queries, selection, exact or not is_picture.any(), attributes)
            if "works" in selection.masks and attribution != "none":
                known = self._attributions(selection)
                is_pending = attribution == "ready" and not known.is_ready
                if is_pending:
                    known.start()
                for place in np.flatnonzero(is_picture & (not is_pending)).tolist():
                    attributions[place] = known.attribute(
                        queries.vectors[place],
                        queries.digests[place] or b"",
                        confidence_level,
                        rough=None if rough is None else rough[place],
                    )
            searcher: _Search | _AdjustedSearch
            if csls_k is not None or whitened_by(index):
                searcher = _AdjustedSearch(index, csls_k)
            else:
                searcher = _Search(self, is_picture, exact, search)
            for kind, among in selection.masks.items():
                once = None if rough is None else self._nearest_of(rough, queries.vectors, k, among)
                neighbours, approximate = once or searcher.nearest(queries.vectors, k, among)
                texts = self._texts.at(neighbours.rows.ravel())
                found = neighbours.rows.shape[1]
                for place, votes in enumerate(vote(neighbours, columns["artist"])):
                    kinds[place][kind] = KindNeighbours(
                        approximate=approximate if is_picture[place] else None,
                        pictures=_neighbours(
                            index,
                            columns,
                            neighbours.rows[place],
                            neighbours.scores[place],
                            {
                                name: column[place * found : (place + 1) * found]
                                for name, column in texts.items()
                            },
                            selection.copies,
                            queries.digests[place] or b"",
                            None if searcher.half is None else searcher.half[place],
                        ),
                        artists=tuple(
                            QueryArtist(
                                artist=index.artists[v.artist], votes=v.votes, best=shown_cosine(v.best)
                            )
                            for v in votes
                        ),
                    )
        return QueryResult(
            index=index.files,
            k=k,
            queries=tuple(
                QueryAnswer(
                    query=name,
                    kinds=kinds[place],
                    attribution=attributions[place],
                    attribution_pending=is_pending and bool(is_picture[place]),
                    tokens=queries.cut.get(place, (0, 0))[0],
                    tokens_read=queries.cut.get(place, (0, 0))[1],
                )
                for place, name in enumerate(queries.names)
            ),
            rejects=queries.rejects,
            csls_k=csls_k,
            whitened=whitened_by(index),
        )

    def exact_searcher(self) -> Searcher:
        """Return what searches the vectors exactly."""
        with self._lock:
            return self._exact

    def approximate_searcher(self) -> tuple[ApproximateSearcher, Record] | None:
        """Return the approximate index, if there is one. Its count of queries is the caller's own."""
        with self._lock:
            stored = self._stored
        if stored is None:
            return None
        searcher = copy.copy(stored[0])
        searcher.approximate_queries = 0
        return searcher, stored[1]

    def _rough(
        self, queries: Queries, selection: Selection, is_exact: bool, attributes: bool
    ) -> list[npt.NDArray[np.float32]] | None:
        """Return the rough cosines of queries to all rows, if one pass over these is faster than several searches."""
        n_searched = sum(int(np.count_nonzero(mask)) for mask in selection.masks.values())
        if (
            len(queries.names) > MOST_QUERIES
            or self._device != "cpu"
            or not isinstance(self._index.vectors, np.ndarray)
            or len(selection.masks) + attributes < 2
            or 2 * n_searched < self._index.n
            or (not is_exact and self.approximate_searcher() is not None)
        ):
            return None
        table = self._table
        return [table.rough(vector) for vector in queries.vectors]

    def _nearest_of(
        self,
        rough: list[npt.NDArray[np.float32]],
        vectors: Float16,
        k: int,
        among: npt.NDArray[np.bool_],
    ) -> tuple[Neighbours, None] | None:
        """Return the neighbours of queries among some rows, if rough cosines tell them."""
        found = []
        for cosines, vector in zip(rough, vectors, strict=True):
            one = nearest_of(self._table, cosines, vector, k, among)
            if one is None:
                return None
            found.append(one)
        return together(found), None

    @cached_property
    def _table(self) -> RoughTable:
        return RoughTable(self._index.vectors, np.arange(self._index.n))

    def _attributions(self, selection: Selection) -> Attributions:
        """Return what attributes pictures to the works of a selection."""
        with self._lock:
            if selection not in self._attributed:
                self._attributed[selection] = Attributions(
                    self._index, selection.masks["works"], self.columns["artist"], self.digests
                )
            return self._attributed[selection]

    @cached_property
    def _exact(self) -> Searcher:
        from imindex.indexer.ann.exact import exact_searcher

        return exact_searcher(self._index.vectors, self._device)

    @cached_property
    def _stored(self) -> tuple[ApproximateSearcher, Record] | None:
        from imindex.indexer.ann.approximate import stored

        return stored(self._index)


class _Search:
    """Exact search for texts; for pictures, the approximate index if there is one, unless `exact` is set."""

    half: Float64 | None = None

    def __init__(
        self,
        prepared: Prepared,
        is_picture: npt.NDArray[np.bool_],
        exact: bool,
        elsewhere: SearchElsewhere | None,
    ):
        self._prepared, self._elsewhere = prepared, elsewhere
        self._vectors, self._is_picture = prepared.index.vectors, is_picture
        self._is_exact = exact or not is_picture.any()

    def _quick(self, n_rows: int) -> tuple[ApproximateSearcher, Record] | None:
        """Return the approximate index, if this search may use it."""
        if self._is_exact:
            return None
        if isinstance(self._vectors, RemoteVectors) and self._vectors.is_few(n_rows):
            from imindex.indexer.ann.record import EXACT_ROWS

            if n_rows <= EXACT_ROWS:  # searched exactly in any case: the approximate index is not fetched
                return None
        return self._prepared.approximate_searcher()

    def nearest(
        self, queries: Float16, k: int, among: npt.NDArray[np.bool_]
    ) -> tuple[Neighbours, Approximate | None]:
        """Return the neighbours, and the approximation used for pictures, or None if the search was exact."""
        if self._elsewhere is not None:
            return self._elsewhere(self._prepared.index, queries, k, among), None
        everything = bool(among.all())
        allowed = None if everything else among
        quick = self._quick(int(np.count_nonzero(among)))
        exact = self._prepared.exact_searcher()
        if quick is None:
            return nearest(exact, self._vectors, queries, k=k, among=allowed), None
        searcher, record = quick
        by_pictures = nearest(searcher, self._vectors, queries[self._is_picture], k=k, among=allowed)
        neighbours = by_pictures
        if not self._is_picture.all():
            by_texts = nearest(exact, self._vectors, queries[~self._is_picture], k=k, among=allowed)
            neighbours = _interleaved(self._is_picture, by_pictures, by_texts)
        if not searcher.approximate_queries:
            return neighbours, None
        recall = record.recall if everything else min(record.recall, record.recall_among)
        return neighbours, Approximate(kind=record.kind, recall=recall, recall_queries=record.n_queries)


def _interleaved(is_first: npt.NDArray[np.bool_], first: Neighbours, second: Neighbours) -> Neighbours:
    """Put the neighbours of two groups of queries back into the order of the queries."""
    shape = len(is_first), first.rows.shape[1]
    rows, scores = np.empty(shape, np.int64), np.empty(shape)
    for mask, part in ((is_first, first), (~is_first, second)):
        rows[mask], scores[mask] = part.rows, part.scores
    return Neighbours(rows, scores)


class _AdjustedSearch:
    """Exact search by whitened vectors or with hub terms.

    Parameters
    ----------
    index : Index
        Whitened, if vectors are to be.
    csls_k : int or None

    Attributes
    ----------
    half : ndarray, shape (Q, k), or None
        With CSLS, the half hub terms of the neighbours that were found last.
    """

    def __init__(self, index: Index, csls_k: int | None):
        self._index, self._k = index, csls_k
        self.half: Float64 | None = None

    @cached_property
    def _works(self) -> Pictures:
        return distinct(pictures_of(self._index, "works", "background"))[0]

    def _half(self, vectors: Float16, rows: Int64) -> Float64:
        """Return the half hub terms of rows of the index. For works, those of the same artist are left out."""
        assert self._k is not None
        kinds = np.array([c.kind in ("works", "background") for c in self._index.collections], np.bool_)
        is_work = kinds[self._index.column("collection")[rows]]
        artist = np.where(is_work, self._index.column("artist")[rows].astype(np.int64), -1)
        works = self._works
        return hub_terms(vectors, works.vectors, self._k, artists=(artist, works.artist)).half

    def nearest(self, queries: Float16, k: int, among: np.ndarray[Any, Any]) -> tuple[Neighbours, None]:
        """Return the neighbours in the adjusted order, with their cosines."""
        neighbours, half = nearest_adjusted(
            self._index.vectors, np.flatnonzero(among), queries, k, None if self._k is None else self._half
        )
        self.half = None if self._k is None else half
        return Neighbours(neighbours.rows, neighbours.scores + half), None


def _neighbours(  # noqa: PLR0913 - what an answer shows
    index: Index,
    columns: Mapping[str, Any],
    rows: Int64,
    scores: Float64,
    texts: Mapping[str, Sequence[str]],
    copies: Mapping[int, int],
    digest: bytes,
    half: Float64 | None,
) -> tuple[QueryNeighbour, ...]:
    artists, collections = columns["artist"][rows].tolist(), columns["collection"][rows].tolist()
    return tuple(
        QueryNeighbour(
            rank=place + 1,
            row=int(rows[place]),
            cosine=shown_cosine(scores[place]),
            artist=index.artists[artists[place]] if artists[place] >= 0 else "",
            collection=index.collections[collections[place]].name,
            path=texts["path"][place],
            prompt=texts["prompt"][place],
            copies=copies.get(int(rows[place]), 0),
            same_file=bytes(columns["sha256"][rows[place]]) == digest,
            arm=texts["arm"][place],
            hub_term=None if half is None else float(2 * half[place]),
        )
        for place in range(len(rows))
    )
