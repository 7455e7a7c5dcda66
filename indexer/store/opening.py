"""Open what a user names as an index: one file, a pattern of several, or a list of these."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.errors import BadVectors
from imindex.indexer.core.locations import is_url
from imindex.indexer.core.paths import Place
from imindex.indexer.core.url import Url
from imindex.indexer.store.in_object_store import open_remote
from imindex.indexer.store.index import Index, named_error
from imindex.indexer.store.joined import Joined
from imindex.indexer.system.index_files import Named, index_files, shown_place


def open_index(place: Named, roots: Mapping[str, Place] | None = None) -> Index:
    """Open one index file, or several as one index.

    Parameters
    ----------
    place : path-like, URL, or sequence of these
        A file; the URL of one in an object store, of which only what is needed is read; a pattern with ``*``, ``?`` or
        ``[...]``, of which the matching files count in natural order (``part-9`` before ``part-10``); or several of
        these, in their order. A file that is named twice counts once.
    roots : mapping of str to path-like, optional
        Where the pictures of named roots are now.

    Returns
    -------
    Index
        Of one file, an `Index`; of several, a `Joined`.

    Raises
    ------
    ImindexError
        If a file does not exist, is not an index, or a pattern matches nothing; or the files cannot be joined.
    """
    _keep_credentials(place)
    paths = index_files(place)
    if len(paths) == 1:
        return _open_one(paths[0], roots)
    _allow_files(len(paths))
    files: list[Index] = []
    try:
        for path in paths:
            files.append(_open_one(path, roots))
    except BaseException:
        for file in files:
            file.close()
        raise
    return Joined(files, shown_place(place), roots)


@contextlib.contextmanager
def opened(index: Index | Named) -> Iterator[Index]:
    """Open an index for the duration of a block. An index that is already open is passed through and stays open.

    Raises
    ------
    ImindexError
        As in `open_index`.
    """
    if isinstance(index, Index):
        try:
            yield index
        except BadVectors as error:
            raise named_error(error, index.path) from error
        return
    with open_index(index) as file:
        yield file


def _open_one(path: Path | Url, roots: Mapping[str, Place] | None) -> Index:
    return open_remote(path, roots) if isinstance(path, Url) else Index(path, roots)


def _keep_credentials(place: Named) -> None:
    """Keep the credentials of URLs as the user wrote them; from here on, URLs have none."""
    for word in [place] if isinstance(place, (str, os.PathLike)) else place:
        if is_url(os.fspath(word)) and not isinstance(word, Url):
            name_by_user(os.fspath(word))


def _allow_files(n: int) -> None:
    """Raise the limit of open files of this process, if it is too low for so many files and may be raised."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * n + 128
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
