"""Open an index in an object store: what is read of it is fetched by ranges, and kept in a cache on this machine."""

from __future__ import annotations

from collections.abc import Mapping

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.paths import Place
from imindex.indexer.core.url import Url
from imindex.indexer.store.index import Index


def open_remote(url: Url, roots: Mapping[str, Place] | None = None) -> Index:
    """Open an index by its URL.

    Parameters
    ----------
    url : Url
        Such as ``s3://bucket/audit.h5``, without credentials.
    roots : mapping of str to path-like, optional
        Where the pictures of named roots are now.

    Returns
    -------
    Index
        At the version (etag) that the object has now.

    Raises
    ------
    ImindexError
        If there is no such object, it cannot be read, or it is not an index.
    """
    from imindex.indexer.remote.cached import CachedObject
    from imindex.indexer.remote.errors import Missing

    try:
        backing = CachedObject(url)
    except Missing as error:
        raise ImindexError(
            f"{url} does not exist. Build it with `imindex build SOURCE... -i {url}`, or name another index (-i, "
            "or $IMINDEX_INDEX)."
        ) from error
    return Index(url, roots, backing=backing)
