"""The location of a picture as text: a local path, `SHARD.tar::MEMBER`, or a URL.

The shard of a member is itself a local path or a URL. These functions look at the text only and open nothing.
"""

from __future__ import annotations

import os
import re

SEPARATOR = "::"
"""Between a tar shard and the name of its member."""
SHARD_SUFFIX = ".tar"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_MEMBER = re.compile(r"(.*?\.tar)::(.+)", re.DOTALL | re.IGNORECASE)


def is_url(location: str) -> bool:
    """Return whether a location is a URL, or a member of a shard at a URL.

    A scheme has at least two characters, so that `C://art` is a path of Windows.

    Examples
    --------
    >>> is_url("s3://bucket/1.jpg"), is_url("s3://bucket/0.tar::1.jpg"), is_url("//art/1.jpg"), is_url("C://art/1.jpg")
    (True, True, False, False)
    """
    return _URL.match(location) is not None


def split_member(location: str) -> tuple[str, str | None]:
    """Return the shard of a location and the name of the member; the location and None if it is no member.

    The first `.tar::` separates the two, in upper or lower case.

    Examples
    --------
    >>> split_member("data/00000.tar::works/Ada/1.jpg")
    ('data/00000.tar', 'works/Ada/1.jpg')
    >>> split_member("data/1::2.jpg")
    ('data/1::2.jpg', None)
    """
    if SEPARATOR in location and (match := _MEMBER.fullmatch(location)):
        return match[1], match[2]
    return location, None


def is_ambiguous(path: str | os.PathLike[str]) -> bool:
    """Return whether a file or folder at a path, or below it, would be taken for a member of a shard.

    Examples
    --------
    >>> is_ambiguous("works/0.tar::1.jpg"), is_ambiguous("works/0.tar::/1.jpg"), is_ambiguous("works/0.tar")
    (True, True, False)
    """
    return f"{SHARD_SUFFIX}{SEPARATOR}" in os.fspath(path).lower()


def join_member(shard: str, member: str) -> str:
    """Return the location of a member of a shard.

    Examples
    --------
    >>> join_member("data/00000.tar", "0000001.jpg")
    'data/00000.tar::0000001.jpg'
    """
    return f"{shard}{SEPARATOR}{member}"


def with_container(location: str, container: str) -> str:
    """Return a location with another container: the shard if it is a member, all of it otherwise."""
    member = split_member(location)[1]
    return container if member is None else join_member(container, member)


def is_shard(path: str | os.PathLike[str]) -> bool:
    """Return whether a path or URL ends as that of a tar shard."""
    return os.fspath(path).lower().endswith(SHARD_SUFFIX)


def split_folder(location: str, separator: str = "/") -> tuple[str, str]:
    """Return the folder of a location and the rest: the name of a file, or that of a shard with the member.

    Examples
    --------
    >>> split_folder("data/00000.tar::works/Ada/1.jpg")
    ('data', '00000.tar::works/Ada/1.jpg')
    >>> split_folder("works/Ada/1.jpg")
    ('works/Ada', '1.jpg')
    """
    folder = split_member(location)[0].rpartition(separator)[0]
    return folder, location[len(folder) :].removeprefix(separator)


def absolute(location: str | os.PathLike[str]) -> str:
    """Return a location with an absolute, normalised path; the name of a member, and a URL, are kept.

    Symbolic links are not followed.
    """
    location = os.fspath(location)
    if is_url(location):
        return location
    container, member = split_member(location)
    full = os.path.abspath(container)  # noqa: PTH100 - links stay
    return full if member is None else join_member(full, member)


def is_below(url: str, prefix: str) -> bool:
    """Return whether a URL is a prefix, or below it, and its path has no part `.` or `..`.

    Examples
    --------
    >>> is_below("s3://b/art/1.jpg", "s3://b/art"), is_below("s3://b/artist/1.jpg", "s3://b/art")
    (True, False)
    >>> is_below("s3://b/art/../private/1.jpg", "s3://b/art"), is_below("s3://b/art/..%2Fprivate", "s3://b/art")
    (False, False)
    """
    container = split_member(url)[0]
    prefix = prefix.rstrip("/")
    decoded = re.sub(
        "%2e", ".", re.sub("%(?:2f|5c)", "/", container, flags=re.IGNORECASE), flags=re.IGNORECASE
    )
    if "\\" in container or not {".", ".."}.isdisjoint(decoded.split("/")):
        return False
    return container == prefix or container.startswith(f"{prefix}/")
