"""The credentials that a user passes within URLs: kept in the memory of this process, for requests only.

Every path that is stored, shown or passed on is the public form of its URL (`imindex.indexer.core.secrets`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from imindex.indexer.core.locations import is_url
from imindex.indexer.core.secrets import remember_secret, split_secrets

_lock = threading.Lock()
_users: dict[str, tuple[str, str]] = {}
_queries: dict[str, str] = {}
_named: set[str] = set()


@dataclass(frozen=True)
class Credentials:
    """What requests for a URL are sent with.

    Attributes
    ----------
    user, password : str
        For its host or bucket.
    query : str
        A presigned query, or the parameters of a shared access signature.
    """

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    query: str = field(default="", repr=False)


def place_of(url: str) -> str:
    """Return scheme and place of a URL: host and port, bucket or container.

    Examples
    --------
    >>> place_of("https://Example.org/a/b.jpg"), place_of("s3://bucket/a.jpg")
    ('https://example.org', 's3://bucket')
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}".lower()


def take_up(url: str) -> str:
    """Keep the credentials of a URL for requests, and return its public form.

    User information is used for every URL of the same host or bucket; a query with credentials for this URL and, if it
    is a folder, for what is in it.
    """
    split = split_secrets(url)
    if split.secret:
        values = [pair.partition("=")[2] for pair in split.query.split("&")]
        remember_secret(split.password, split.query, *values, *map(unquote, values))
        if split.password:
            remember_secret(split.user)
        with _lock:
            if split.user or split.password:
                _users[place_of(split.public)] = split.user, split.password
            if split.query:
                _queries[split.public] = split.query
    return split.public


def name_by_user(location: str) -> str:
    """Take up a URL that the user wrote, as a source, a root or an argument; return a path of this machine as it is.

    The place of the URL is then one that the user named: it may be in a private network.
    """
    if not is_url(location):
        return location
    if location[:7].lower() == "file://":
        return _local(location)
    public = take_up(location)
    with _lock:
        _named.add(public)
    return public


def _local(url: str) -> str:
    """Return the path that a `file:` URL means; the URL itself if it is on another machine."""
    host, slash, path = url[7:].partition("/")
    if host.lower() not in ("", "localhost"):
        return url
    path = unquote(path)
    return path if os.name == "nt" else slash + path


def is_named(url: str) -> bool:
    """Return whether the user named the place of a URL, rather than a manifest."""
    return place_of(url) in {place_of(named) for named in _named}


def named_by_user() -> tuple[str, ...]:
    """Return the URLs that the user named in this process: sources, roots and arguments."""
    return tuple(sorted(_named))


def credentials_for(url: str) -> Credentials:
    """Return the credentials that hold for a public URL."""
    if not (_users or _queries):
        return Credentials()
    user, password = _users.get(place_of(url), ("", ""))
    return Credentials(user, password, _query_of(url))


def _query_of(url: str) -> str:
    """Return the query for a URL: its own, or that of the nearest folder that has one."""
    if not _queries:
        return ""
    folder = url
    while folder not in _queries and folder + "/" not in _queries:
        if "/" not in folder.partition("://")[2]:
            return ""
        folder = folder.rpartition("/")[0]
    return _queries.get(folder) or _queries[folder + "/"]


def forget() -> None:
    """Forget all credentials and names, as a new process would."""
    with _lock:
        _users.clear()
        _queries.clear()
        _named.clear()


def exported() -> Mapping[str, object]:
    """Return the credentials of this process, to be handed to a worker by a channel that is not logged."""
    with _lock:
        return {"users": dict(_users), "queries": dict(_queries), "named": sorted(_named)}


def adopt(users: Mapping[str, tuple[str, str]], queries: Mapping[str, str], named: list[str]) -> None:
    """Take over what `exported` returned in another process."""
    with _lock:
        _users.update({place: (user, password) for place, (user, password) in users.items()})
        _queries.update(queries)
        _named.update(named)
    for user, password in users.values():
        remember_secret(password, *([user] if password else []))
    remember_secret(*queries.values())
