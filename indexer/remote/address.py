"""A URL of an object, in the parts that a store needs, and the credentials that users pass within URLs.

Credentials stay in the memory of this process, by the place that they are for. Every text, and every index, has the
public form of the URL only.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.secrets import SplitUrl, remember_secret, split_secrets

WEB = ("https", "http")
BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes that obstore reads. The part before the first slash is a bucket or container."""
_lock = threading.Lock()
_users: dict[tuple[str, str], tuple[str, str]] = {}
_queries: dict[str, str] = {}
_hosts: set[str] = set()


@dataclass(frozen=True)
class Address:
    """The parts of a URL.

    Attributes
    ----------
    url : str
        Its public form.
    scheme : str
        In lower case.
    place : str
        Bucket, container (with the account, as `container@account.dfs.core.windows.net`), or host and port.
    key : str
        The name of the object in its place: literal for object stores, percent-encoded for https.
    user, password : str
        The user information that holds for this place.
    query : str
        The query with credentials that holds for this URL.
    """

    url: str
    scheme: str
    place: str
    key: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    query: str = field(default="", repr=False)

    @property
    def named(self) -> bool:
        """Whether the user named this place: as a source, a root or an argument, not within a manifest."""
        return f"{self.scheme}://{self.place}" in _hosts


def name_by_user(url: str) -> str:
    """Take up a URL that the user wrote: keep its credentials for requests, and return its public form.

    User information is used for every URL of the same host or bucket; a query with credentials for this URL and, if it
    is a folder, for what is in it.
    """
    split = take_up(url)
    address = parse(split.public)
    with _lock:
        _hosts.add(f"{address.scheme}://{address.place}")
    return split.public


def take_up(url: str) -> SplitUrl:
    """Keep the credentials of a URL for requests, and return it split."""
    split = split_secrets(url)
    if split.secret:
        parts = parse(split.public)
        remember_secret(split.user if parts.scheme not in WEB else "", split.password, split.query)
        remember_secret(*(unquote(pair.partition("=")[2]) for pair in split.query.split("&")))
        remember_secret(*(pair.partition("=")[2] for pair in split.query.split("&")))
        with _lock:
            if split.user or split.password:
                _users[parts.scheme, parts.place] = split.user, split.password
            if split.query:
                _queries[split.public] = split.query
    return split


def parse(url: str) -> Address:
    """Return the parts of a URL, with the credentials that hold for it.

    Raises
    ------
    ImindexError
        If it is not a URL of an object.
    """
    public = split_secrets(url).public
    scheme, _, rest = public.partition("://")
    scheme = scheme.lower()
    place, _, key = rest.partition("/")
    if scheme in WEB:
        parts = urlsplit(public)
        place = parts.netloc.lower()
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        key = path + (f"?{quote(parts.query, safe=_QUERY)}" if parts.query else "")
    if not scheme or (not place and scheme not in ("file", "memory")):
        raise ImindexError(
            f"{public} is not a URL of an object. Write it as scheme://place/key, such as s3://bucket/a.jpg."
        )
    if any(ord(c) < 32 or ord(c) == 127 for c in public):
        raise ImindexError(f"{public!r} contains control characters. Rename the object.")
    user, password = _users.get((scheme, place), ("", ""))
    return Address(public, scheme, place, key, user, password, _query_of(public))


_QUERY = "/%:@!$&'()*+,;=~-._?"


def _query_of(public: str) -> str:
    """Return the query with credentials for a URL: its own, or that of the nearest folder that has one."""
    if not _queries:
        return ""
    if public in _queries:
        return _queries[public]
    folder = public
    while "/" in folder.partition("://")[2]:
        folder = folder.rpartition("/")[0]
        for known in (folder, folder + "/"):
            if known in _queries:
                return _queries[known]
    return ""
