"""Read single pictures at URLs, and remember what a listing said of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.schema import Stamp
from imindex.indexer.decode.limits import MAX_BYTES
from imindex.indexer.remote import objects
from imindex.indexer.remote.address import WEB
from imindex.indexer.remote.errors import Changed, Missing, RemoteError, TooLarge
from imindex.indexer.remote.info import Info

HEAD = 64
"""Bytes that tell whether a file is a picture."""
IN_FLIGHT = 32
"""Pictures at URLs that are requested at a time."""
_heads: dict[str, bytes] = {}
_listed: dict[str, Info] = {}
"""What the listings of the sources said, so that an unchanged picture costs no request of its own."""


def remember(infos: Iterable[Info]) -> None:
    """Remember what a listing said, until `forget`."""
    _listed.update((info.url, info) for info in infos)


def forget() -> None:
    """Forget the listings: they are of the past."""
    _listed.clear()
    _heads.clear()


def look_at_heads(infos: Sequence[Info]) -> None:
    """Read the first bytes of files whose names do not tell whether they are pictures, several at a time."""
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="heads") as pool:
        heads = pool.map(_head_of, infos)
        _heads.update((info.url, head) for info, head in zip(infos, heads, strict=True))


def head_of(url: str) -> bytes:
    """Return the first bytes of an object.

    Raises
    ------
    RemoteError
    """
    return _heads[url] if url in _heads else _head_of(_listed.get(url) or objects.head(url))


def _head_of(info: Info) -> bytes:
    size = min(HEAD, info.size)
    try:
        return objects.read_ranges(info.url, [(0, size)], version=info)[0] if size > 0 else b""
    except Changed:
        return objects.read(info.url, most=MAX_BYTES)[0][:HEAD]


def read_url(url: str, admit: Callable[[int], object] = lambda size: None) -> tuple[bytes, Stamp]:
    """Return the bytes of a picture and its stamp, by one request.

    Raises
    ------
    BadPicture
        If it is larger than `MAX_BYTES`.
    OSError
        If there is none, or a web server does not hand it out.
    RemoteError
        If an object store cannot be reached or refuses the credentials: every further picture would fail as well.
    """
    try:
        data, info = objects.read(url, most=MAX_BYTES, admit=admit)
    except RemoteError as error:
        failure = _failure(url, error)
    else:
        return data, info.stamp
    raise failure


def stamp_of_url(url: str) -> Stamp:
    """Return the present stamp of an object: as listed, or else by a request for its headers.

    Raises
    ------
    OSError, RemoteError
        As `read_url` does.
    """
    if (info := _listed.get(url)) is not None:
        return info.stamp
    try:
        return objects.head(url).stamp
    except RemoteError as error:
        failure = _failure(url, error)
    raise failure


def _failure(url: str, error: RemoteError) -> Exception:
    if isinstance(error, Missing):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), error.url)
    if isinstance(error, TooLarge):
        return BadPicture(f"it {error.problem}".rstrip("."))
    if url.partition("://")[0].lower() in WEB:
        problem = error.problem.removeprefix("cannot be read: ").removeprefix("cannot be reached: ")
        return OSError(errno.EIO, problem.partition(". ")[0].rstrip("."), error.url)
    return error
