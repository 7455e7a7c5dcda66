"""Query an index by picture or text for the nearest pictures and artists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imindex.indexer.core.bounds import CSLS_NEIGHBOURS, NEIGHBOURS, SHARE
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.decode.limits import Limits
from imindex.indexer.store.index import Index
from imindex.indexer.store.opening import opened
from imindex.indexer.system.index_files import Named
from imindex.retrieval.results import QueryResult
from imindex.retrieval.search.prepared import Prepared, SearchElsewhere
from imindex.retrieval.search.queries import encode_queries
from imindex.retrieval.vectors.hubs import CSLS_K
from imindex.retrieval.vectors.whitened import whitened, whitening_of


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
        prepared = Prepared(index)
        prepared.selection(collections, artists)  # refused before the encoder is loaded
        with weights_mapped():
            loaded = load_with(index.encoder, encoder or {})
        queries = encode_queries(loaded, [str(picture) for picture in pictures], texts, limits)
        if whiten:
            seen = whitened(index)
            whitening = whitening_of(seen)
            assert whitening is not None
            queries = replace(queries, vectors=whitening.apply(queries.vectors))
        else:
            seen = index
        return prepared.seen_as(seen, str(loaded.device)).answer(
            queries,
            k=k,
            collections=collections,
            artists=artists,
            confidence_level=confidence_level,
            exact=exact,
            search=search,
            csls_k=csls_k if csls else None,
        )
