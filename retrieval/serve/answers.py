"""Answers of the service that wrap a result with what a page needs to ask again."""

from __future__ import annotations

import base64
import binascii

import numpy as np
import numpy.typing as npt

from imindex.retrieval.results import QueryResult
from imindex.retrieval.results.base import Count, Result
from imindex.retrieval.serve.problems import Problem
from imindex.retrieval.serve.rows import ArtistCounts


class Asked(Result, omit_defaults=True, kw_only=True, frozen=True):
    """A query, in a form that can be asked again.

    Attributes
    ----------
    query : str
        Name of the picture, or the text in quotes.
    vector : str
        Its vector: the bytes of the float16 numbers, little-endian, in base64url without padding.
    sha256 : str
        Of the bytes of a picture; empty for a text.
    text : str
        The text; empty for a picture.
    row : int or None
        The row, if the query is a picture of the index.
    """

    query: str
    vector: str
    sha256: str = ""
    text: str = ""
    row: int | None = None


class QueryResponse(Result, kw_only=True, frozen=True):
    """An answer to queries.

    Attributes
    ----------
    index : str
        Identifier of the index.
    root : str
        Its root digest: the same root means the same rows.
    asked : tuple of Asked
        The queries, in the order of ``result.queries``.
    result : QueryResult
        As `imindex query --json` prints it.
    """

    index: str
    root: str
    asked: tuple[Asked, ...]
    result: QueryResult


class CollectionInfo(Result, kw_only=True, frozen=True):
    """A collection of an index: a name and a kind (works, imitations, control or background)."""

    name: str
    kind: str


class IndexInfo(Result, kw_only=True, frozen=True):
    """An index that is served.

    Attributes
    ----------
    id : str
        As URLs use it.
    name : str
        Name of the file.
    audit : str
        Identifier of the audit that it belongs to; empty if none.
    rows, artists : int
    root : str
        SHA-256 over its entire content.
    generation : int
        How often it was opened.
    encoder : str
    dim : int
        Length of a vector.
    encoder_state : str
        loading, ready or failed.
    encoder_reason : str
        Why it failed.
    texts : bool or None
        Whether the encoder takes texts; None while it is loaded.
    demonstration : bool
        Whether the encoder is for demonstration only.
    approximate : str
        Kind of the approximate index; empty if every search is exact.
    collections : tuple of CollectionInfo
    pictures : bool
        Whether pictures are served.
    """

    id: str
    name: str
    audit: str
    rows: Count
    artists: Count
    root: str
    generation: Count
    encoder: str
    dim: Count
    encoder_state: str
    encoder_reason: str
    texts: bool | None
    demonstration: bool
    approximate: str
    collections: tuple[CollectionInfo, ...]
    pictures: bool


class IndexList(Result, kw_only=True, frozen=True):
    """The indexes that are served."""

    indexes: tuple[IndexInfo, ...]


class ArtistFinding(Result, kw_only=True, frozen=True):
    """What an audit found of an artist in a release.

    Attributes
    ----------
    audit, release, encoder : str
    finding : str
    auc : float or None
        By the first encoder.
    p_adjusted : float or None
    """

    audit: str
    release: str
    encoder: str
    finding: str
    auc: float | None
    p_adjusted: float | None


class ArtistInfo(ArtistCounts, kw_only=True, frozen=True):
    """An artist of an index: what it has, and what audits found.

    Attributes
    ----------
    findings : tuple of ArtistFinding
        Of the audits that are served and hold this index.
    """

    findings: tuple[ArtistFinding, ...]


class ArtistPage(Result, kw_only=True, frozen=True):
    """Some artists of an index.

    Attributes
    ----------
    root : str
    total : int
        Artists that pass the filters.
    offset : int
    artists : tuple of ArtistInfo
    """

    root: str
    total: Count
    offset: Count
    artists: tuple[ArtistInfo, ...]


def to_text(vector: npt.NDArray[np.float16]) -> str:
    """Return a vector as text.

    Examples
    --------
    >>> to_text(np.array([1, 0], np.float16))
    'ADwAAA'
    """
    return base64.urlsafe_b64encode(vector.astype("<f2").tobytes()).decode().rstrip("=")


def from_text(text: str, dim: int) -> npt.NDArray[np.float16]:
    """Return the vector that `to_text` wrote.

    Raises
    ------
    Problem
        422 if it is no unit vector of this length.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Problem(422, "vector: it is not base64url. Copy the whole link.") from None
    if len(data) != 2 * dim:
        raise Problem(
            422,
            f"vector: it has {len(data) // 2} numbers, and those of this index have {dim}. Copy the whole link.",
        )
    vector = np.frombuffer(data, "<f2").astype(np.float16)
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(norm) or abs(norm - 1) > 0.01:
        raise Problem(422, f"vector: its length is {norm:.4g}. Send a unit vector.")
    return vector
