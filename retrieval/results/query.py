"""Results of `query`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from imindex.retrieval.results.base import Count, Level, Number, P, Result, Share, to_dict
from imindex.retrieval.results.tables import Row
from imindex.retrieval.results.testing import WhitenedBy


class Approximate(Result, kw_only=True, frozen=True):
    """An approximate search.

    Attributes
    ----------
    kind : str
        Type of the approximate index.
    recall : float
        recall@10 measured on pictures of the index.
    recall_queries : int
        Number of pictures it was measured on.
    """

    kind: str
    recall: Share
    recall_queries: Count


class QueryNeighbour(Result, kw_only=True, frozen=True):
    """A picture near a query.

    Attributes
    ----------
    rank : int
        1 is the nearest.
    row : int
        Row in the index.
    cosine : float
    artist : str
        Empty for control pictures.
    collection, path, prompt : str
    copies : int
        Number of further rows of this kind with the same file and the same artist. They are not listed.
    same_file : bool
        Whether the file has the bytes of the query.
    arm : str
        What the manifest says that the picture is for, such as placebo; empty if nothing.
    hub_term : float or None
        Mean cosine to the `csls_k` nearest works, of which half is taken off the cosine for the order; None without
        CSLS.
    """

    rank: Annotated[int, Meta(ge=1)]
    row: Count
    cosine: float
    artist: str
    collection: str
    path: str
    prompt: str
    copies: Count = 0
    same_file: bool = False
    arm: str = ""
    hub_term: Number = None


class QueryArtist(Result, kw_only=True, frozen=True):
    """An artist among the neighbours of a query.

    Attributes
    ----------
    artist : str
    votes : int
        Number of neighbours by this artist. Copies of a file count once.
    best : float
        Highest cosine of these.
    """

    artist: str
    votes: Count
    best: float


class KindNeighbours(Result, omit_defaults=True, kw_only=True, frozen=True):
    """The neighbours of a query among the pictures of one kind.

    Attributes
    ----------
    approximate : Approximate or None
        The approximation used; absent from JSON if the search was exact.
    pictures : tuple of QueryNeighbour
        Neighbours, nearest first.
    artists : tuple of QueryArtist
        Artists, most votes first.
    """

    approximate: Approximate | None = None
    pictures: tuple[QueryNeighbour, ...]
    artists: tuple[QueryArtist, ...]


class AttributedArtist(Result, kw_only=True, frozen=True):
    """Whether a picture stands out among the works of one artist.

    Attributes
    ----------
    artist : str
    p : float
        Conformal p-value: small if the picture stands out.
    n_works : int
        Copies of a picture count once.
    n_distinct_works : int
        With near-duplicates counted as one.
    smallest_p : float
        Smallest possible p-value.
    excludable : bool
        Whether there are enough distinct works to exclude the artist.
    in_set : bool
        Whether the artist is in the prediction set.
    score : float
        Nearness score of the picture to the works.
    """

    artist: str
    p: P
    n_works: Count
    n_distinct_works: Count
    smallest_p: P
    excludable: bool
    in_set: bool
    score: Number


class Attribution(Result, kw_only=True, frozen=True):
    """Conformal prediction set: the artists among whose works a picture does not stand out.

    Attributes
    ----------
    confidence_level : float
        Probability that the set contains the true artist, if it is one of the artists.
    n_itself : int
        Number of excluded works with the same bytes as the picture.
    set : tuple of str
        The prediction set, best fit first.
    artists : tuple of AttributedArtist
        All artists with works, best fit first.
    """

    confidence_level: Level
    n_itself: Count
    set: tuple[str, ...]
    artists: tuple[AttributedArtist, ...]


class QueryAnswer(Result, omit_defaults=True, kw_only=True, frozen=True):
    """Result of one query.

    Attributes
    ----------
    query : str
        The path of the picture, or the text in quotes.
    kinds : dict of str to KindNeighbours
        Neighbours by kind of collection.
    attribution : Attribution or None
        Attribution of a picture, if works were searched; otherwise absent from JSON.
    attribution_pending : bool
        Whether the attribution is left out because the works have not been compared with each other yet (the service
        does so when it starts); absent from JSON if not.
    tokens, tokens_read : int
        Of a text that is longer than the encoder reads: its tokens, and how many are read; otherwise absent from JSON.
    """

    query: str
    kinds: Mapping[str, KindNeighbours]
    attribution: Attribution | None = None
    attribution_pending: bool = False
    tokens: Count = 0
    tokens_read: Count = 0


class QueryResult(Result, kw_only=True, frozen=True):
    """Result of `query`.

    Attributes
    ----------
    index : str, or tuple of str
        The index file; the files, if several are searched as one.
    k : int
        Number of neighbours requested of each kind.
    queries : tuple of QueryAnswer
    rejects : dict of str to str
        Pictures that could not be read, with the reason.
    csls_k : int or None
        Number of works over which hub terms average; None if neighbours are ordered by cosine.
    whitened : WhitenedBy or None
        How vectors were whitened; None if they are as stored.
    """

    index: str | tuple[str, ...]
    k: Count
    queries: tuple[QueryAnswer, ...]
    rejects: Mapping[str, str]
    csls_k: Count | None = None
    whitened: WhitenedBy | None = None

    def records(self) -> list[Row]:
        """Return one row per query and neighbour."""
        return [
            {"query": answer.query, "kind": kind, **to_dict(picture)}
            for answer in self.queries
            for kind, neighbours in answer.kinds.items()
            for picture in neighbours.pictures
        ]
