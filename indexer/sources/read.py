"""Read the bytes of a picture at its location: a local file, a member of a tar shard, or a URL."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from imindex.indexer.core.locations import is_url, split_member
from imindex.indexer.core.schema import Stamp
from imindex.indexer.sources import remote_shards, tar, urls
from imindex.indexer.sources.local import raw_stamp, read_file


def read_location(
    location: str | os.PathLike[str], admit: Callable[[int], object] = lambda size: None
) -> tuple[bytes, Stamp]:
    """Return the bytes of a picture, and its stamp if it did not change while reading.

    Everything that needs the bytes of a picture calls this function.

    Parameters
    ----------
    location : path-like
        A local path, `SHARD.tar::MEMBER`, or a URL (`imindex.indexer.core.locations`).
    admit : callable
        Called with the number of bytes before they are read, such as to wait for memory.

    Returns
    -------
    bytes
    (int, int, int)
        Of a file: size, modification time and inode. Of a member: its size, the modification time of the shard, and a
        hash of the shard's inode, or etag, and the member's offset. Of a URL: size, date and a hash of the etag.
        `NO_STAMP` if it cannot be trusted.

    Raises
    ------
    BadPicture
        If it is not a regular file or member, is larger than `MAX_BYTES`, or is not in its shard.
    OSError
        If the file or the shard cannot be read.
    ImindexError
        If an object store cannot be reached, or refuses the credentials.
    """
    location = os.fspath(location)
    container, member = split_member(location)
    if is_url(container):
        if member is not None:
            return remote_shards.read_member(container, member, admit)
        return urls.read_url(location, admit)
    admit(size_of(location))
    if member is not None:
        return tar.read_member(container, member)
    return read_file(location)


def read_bytes(location: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a picture: `read_location` without the stamp."""
    return read_location(location)[0]


def head_of_member(shard: str, member: str, size: int) -> bytes:
    """Return the first bytes of a member of a shard; none if it cannot be read."""
    if is_url(shard):
        return remote_shards.head_of_member(shard, member, size)
    return tar.head_of_member(shard, member, size)


def size_of(location: str) -> int:
    """Return the number of bytes that `read_location` is going to read.

    Raises
    ------
    BadPicture, OSError
        As `read_location` does.
    """
    container, member = split_member(location)
    if is_url(container):
        if member is not None:
            return remote_shards.member_stamp(container, member)[0]
        return urls.stamp_of_url(location)[0]
    if member is not None:
        return tar.member_stamp(container, member)[0]
    return os.stat(location).st_size  # noqa: PTH116 - many


def stamp_at(location: str) -> Stamp:
    """Return the present stamp of a picture without reading it; `NO_STAMP` if there is none.

    Raises
    ------
    BadPicture, OSError
        If it is not there.
    """
    container, member = split_member(location)
    if is_url(container):
        return (
            urls.stamp_of_url(container) if member is None else remote_shards.member_stamp(container, member)
        )
    if member is not None:
        return tar.member_stamp(container, member)
    return raw_stamp(os.stat(location))  # noqa: PTH116 - many


def is_gone(location: str) -> bool:
    """Return whether a picture is no longer at its location. A URL is not looked up, and counts as present."""
    container, member = split_member(location)
    if is_url(container):
        return False
    if not os.path.exists(container):  # noqa: PTH110 - many
        return True
    if member is None:
        return False
    try:
        return not stat.S_ISREG(os.stat(container).st_mode) or not tar.has_member(container, member)  # noqa: PTH116
    except OSError:
        return False
