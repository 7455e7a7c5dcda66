"""Query an index by picture or text for the nearest pictures and artists."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.bounds import CSLS_NEIGHBOURS, NEIGHBOURS, SHARE
from imindex.indexer.core.cosine import shown_cosine
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.locations import is_shard
from imindex.indexer.core.names import as_stored
from imindex.indexer.core.schema import KINDS
from imindex.indexer.decode.limits import Limits
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import opened
from imindex.indexer.store.remote_vectors import RemoteVectors
from imindex.indexer.system.index_files import Named
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
from imindex.retrieval.search.attribution import attribute
from imindex.retrieval.search.nearest import Neighbours, nearest, vote
from imindex.retrieval.vectors.blocks import Float16, Float64, Int64
from imindex.retrieval.vectors.hubs import CSLS_K, hub_terms
from imindex.retrieval.vectors.select import Pictures, artist_mask, distinct, require_rows, same_files
from imindex.retrieval.vectors.select import pictures as pictures_of
from imindex.retrieval.vectors.whitened import whitened, whitened_by, whitening_of

if TYPE_CHECKING:
    from imindex.indexer.ann.approximate import ApproximateSearcher
    from imindex.indexer.ann.record import Record


SearchElsewhere = Callable[[Index, Float16, int, npt.NDArray[np.bool_]], Neighbours]
"""Finds the k nearest rows of queries among some rows of an index: (index, queries, k, among) -> neighbours."""


def ask(  # noqa: PLR0913
    path: Named | Index,
    pictures: Sequence[str | Path],
    texts: Sequence[str],
    *,
    k: int = 10,
    collections: Sequence[str] = (),
    artists: Sequence[str] = (),
    confidence_level: float = 0.95,
    encoder: Mapping[str, Any] | None = None,
    exact: bool = False,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    search: SearchElsewhere | None = None,
    csls: bool = False,
    csls_k: int = CSLS_K,
    whiten: bool = False,
) -> QueryResult:
    """Encode pictures and texts with the index's encoder, and find their neighbours of each kind.

    Parameters
    ----------
    path : path-like, sequence of path-like, or Index
        The index, or an open index; several files, or a pattern of them, are searched as one.
    pictures : sequence of str or Path
        Paths, or URLs.
    texts : sequence of str
    k : int
        Number of neighbours of each kind.
    collections, artists : sequence of str
        Search only these.
    confidence_level : float
        Confidence level of the set of artists among whose works a picture does not stand out.
    encoder : mapping, optional
        model, pretrained, device: current location and device of the index's encoder.
    exact : bool
        Search exactly, even if the index is optimized (`imindex optimize`). Texts are always searched exactly, because
        recall is measured on pictures and text vectors are distributed differently.
    limits : Limits
        Pictures that exceed these limits are rejected.
    search : callable, optional
        Searches the index in place of this process, exactly, such as
        `imindex.retrieval.shards.search.nearest_by_workers`. An approximate index is then not used.
    csls : bool
        Order neighbours by CSLS, which corrects for hubs (`imindex.retrieval.vectors.hubs`), with terms over `csls_k`
        works. The search is then exact. Each row that is searched is compared with each work.
    csls_k : int
    whiten : bool
        Whiten all vectors by what is learnt on the works of the index (`imindex.stats.whitening`). The search is then
        exact.

    Returns
    -------
    QueryResult
        An answer for each query; copies of a work are listed and counted once. `rejects` holds the pictures that could
        not be read, with the reason. If none could be read and there are no texts, `queries` is empty (`imindex query`
        then exits with 1).
        If neighbours may be missing, `approximate` holds the type of index and the measured recall@10. For a search
        over part of the rows, this is the smaller of the recall over all rows and the recall over a tenth of them.

    Raises
    ------
    ImindexError
        If the index, a collection or an artist does not exist, or the encoder is missing or is not that of the index;
        or a text or `search` comes with what it cannot be combined with.
    """
    from imindex.indexer.encoders.load import load_with
    from imindex.indexer.encoders.tokens import tokens_of
    from imindex.indexer.encoders.weights import weights_mapped

    NEIGHBOURS.check(k, "k")
    SHARE.check(confidence_level, "confidence_level")
    CSLS_NEIGHBOURS.check(csls_k, "csls_k")
    if whiten and texts:
        raise ImindexError(
            "whiten (--whiten) is learnt on pictures, and vectors of texts lie elsewhere. Drop the texts (--text), or "
            "whiten."
        )
    if search is not None and (csls or whiten):
        raise ImindexError(
            "csls and whiten (--csls, --whiten) search in this process alone. Drop workers (--workers, --on)."
        )
    with opened(path) as index:
        masks = _masks(index, collections, artists)
        columns = {name: index.column(name) for name in ("artist", "collection", "sha256")}
        copies = _leave_out_copies(columns, masks)
        with weights_mapped():
            loaded = load_with(index.encoder, encoder or {})
        queries, vectors, digests, rejected = _encode(loaded, pictures, texts, limits)
        tokens = tokens_of(loaded, texts) if texts else None
        cut = (
            {
                len(digests) + place: needed
                for place, needed in enumerate(tokens.needed)
                if needed > tokens.limit
            }
            if tokens
            else {}
        )
        if whiten:
            index = whitened(index)
            whitening = whitening_of(index)
            assert whitening is not None
            vectors = whitening.apply(vectors)
        attributions: list[Attribution | None] = [None] * len(queries)
        kinds: list[dict[str, KindNeighbours]] = [{} for _ in queries]
        if queries:
            if "works" in masks:
                for place, digest in enumerate(digests):  # pictures precede texts
                    attributions[place] = attribute(
                        index, vectors[place], digest, masks["works"], confidence_level
                    )
            searcher: _Search | _AdjustedSearch
            if csls or whiten:
                searcher = _AdjustedSearch(index, csls_k if csls else None)
            else:
                searcher = _Search(index, len(digests), str(loaded.device), exact, search)
            for kind, among in masks.items():
                neighbours, approximate = searcher.nearest(vectors, k, among)
                for place, votes in enumerate(vote(neighbours, columns["artist"])):
                    kinds[place][kind] = KindNeighbours(
                        approximate=approximate if place < len(digests) else None,
                        pictures=_neighbours(
                            index,
                            columns,
                            neighbours.rows[place],
                            neighbours.scores[place],
                            copies,
                            digests[place] if place < len(digests) else b"",
                            None if searcher.half is None else searcher.half[place],
                        ),
                        artists=tuple(
                            QueryArtist(
                                artist=index.artists[v.artist], votes=v.votes, best=shown_cosine(v.best)
                            )
                            for v in votes
                        ),
                    )
        answers = enumerate(zip(queries, kinds, attributions, strict=True))
        return QueryResult(
            index=index.files,
            k=k,
            queries=tuple(
                QueryAnswer(
                    query=name,
                    kinds=kind_neighbours,
                    attribution=attribution,
                    tokens=cut.get(place, 0),
                    tokens_read=tokens.limit if tokens and place in cut else 0,
                )
                for place, (name, kind_neighbours, attribution) in answers
            ),
            rejects=rejected,
            csls_k=csls_k if csls else None,
            whitened=whitened_by(index),
        )


class _Search:
    """Exact search for texts; for pictures, the approximate index if there is one, unless `exact` is set."""

    half: Float64 | None = None

    def __init__(
        self, index: Index, n_pictures: int, device: str, exact: bool, elsewhere: SearchElsewhere | None
    ):
        from imindex.indexer.ann.exact import exact_searcher

        self._index, self._elsewhere = index, elsewhere
        self._vectors, self._n_pictures = index.vectors, n_pictures
        self._is_exact = exact or not n_pictures
        if elsewhere is None:
            self._exact = exact_searcher(index.vectors, device)

    @cached_property
    def _stored(self) -> tuple[ApproximateSearcher, Record] | None:
        from imindex.indexer.ann.approximate import stored

        return stored(self._index)

    def _quick(self, n_rows: int) -> tuple[ApproximateSearcher, Record] | None:
        """Return the approximate index, if this search may use it."""
        if self._is_exact:
            return None
        if isinstance(self._vectors, RemoteVectors) and self._vectors.is_few(n_rows):
            from imindex.indexer.ann.record import EXACT_ROWS

            if n_rows <= EXACT_ROWS:  # searched exactly in any case: the approximate index is not fetched
                return None
        return self._stored

    def nearest(
        self, queries: Float16, k: int, among: np.ndarray[Any, Any]
    ) -> tuple[Neighbours, Approximate | None]:
        """Return the neighbours, and the approximation used for pictures, or None if the search was exact."""
        if self._elsewhere is not None:
            return self._elsewhere(self._index, queries, k, among), None
        quick = self._quick(int(np.count_nonzero(among)))
        if quick is None:
            return nearest(self._exact, self._vectors, queries, k=k, among=among), None
        searcher, record = quick
        before = searcher.approximate_queries
        by_pictures = nearest(searcher, self._vectors, queries[: self._n_pictures], k=k, among=among)
        by_texts = nearest(self._exact, self._vectors, queries[self._n_pictures :], k=k, among=among)
        neighbours = Neighbours(
            np.concatenate([by_pictures.rows, by_texts.rows]),
            np.concatenate([by_pictures.scores, by_texts.scores]),
        )
        if searcher.approximate_queries == before:
            return neighbours, None
        recall = record.recall if among.all() else min(record.recall, record.recall_among)
        return neighbours, Approximate(kind=record.kind, recall=recall, recall_queries=record.n_queries)


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


def _masks(
    index: Index, collections: Sequence[str], artists: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
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
    collection = index.column("collection")
    selected = allowed[collection] if index.n else np.zeros(0, np.bool_)
    if artists:
        selected &= artist_mask(index, artists)
    masks = (
        {kind: selected & (kinds[collection] == number) for number, kind in enumerate(KINDS)}
        if index.n
        else {}
    )
    masks = {kind: mask for kind, mask in masks.items() if mask.any()}
    if not masks:
        raise ImindexError(_nothing_to_search(index, collections, artists))
    return masks


def _leave_out_copies(
    columns: Mapping[str, Any], masks: Mapping[str, np.ndarray[Any, Any]]
) -> dict[int, int]:
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


def _encode(
    encoder: Any, pictures: Sequence[str | Path], texts: Sequence[str], limits: Limits
) -> tuple[list[str], Float16, list[bytes], dict[str, str]]:
    import torch

    from imindex.indexer.core.errors import BadPicture
    from imindex.indexer.decode.pool import picture_of
    from imindex.indexer.encoders.base import require_text_side
    from imindex.indexer.sources.read import read_bytes

    if texts:
        require_text_side(encoder)
    names: list[str] = []
    pixels = []
    digests = []
    rejected: dict[str, str] = {}
    for picture in pictures:
        try:
            data = read_bytes(str(picture))
            pixels.append(picture_of(data, encoder.preprocess, limits).pixels)
            digests.append(hashlib.sha256(data).digest())
            names.append(str(picture))
        except BadPicture as error:
            remedy = f"a tar shard: name one of its members, {picture}::MEMBER"
            rejected[str(picture)] = remedy if is_shard(str(picture)) else str(error)
        except OSError as error:
            rejected[str(picture)] = error.strerror or str(error)
    vectors = [encoder.encode_images(torch.stack(pixels))] if pixels else []
    vectors += [encoder.encode_texts(texts)] if texts else []
    stacked = np.concatenate(vectors) if vectors else np.empty((0, encoder.dim), np.float16)
    return [*names, *(f'"{text}"' for text in texts)], stacked, digests, rejected


def _neighbours(
    index: Index,
    columns: Mapping[str, Any],
    rows: Int64,
    scores: Float64,
    copies: Mapping[int, int],
    digest: bytes,
    half: Float64 | None,
) -> tuple[QueryNeighbour, ...]:
    artists, collections = columns["artist"][rows].tolist(), columns["collection"][rows].tolist()
    paths, prompts, arms = (index.text_at(name, rows) for name in ("path", "prompt", "arm"))
    return tuple(
        QueryNeighbour(
            rank=place + 1,
            row=int(rows[place]),
            cosine=shown_cosine(scores[place]),
            artist=index.artists[artists[place]] if artists[place] >= 0 else "",
            collection=index.collections[collections[place]].name,
            path=paths[place],
            prompt=prompts[place],
            copies=copies.get(int(rows[place]), 0),
            same_file=bytes(columns["sha256"][rows[place]]) == digest,
            arm=arms[place],
            hub_term=None if half is None else float(2 * half[place]),
        )
        for place in range(len(rows))
    )
