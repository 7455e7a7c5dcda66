"""A URL of an object, in the parts that a store needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from imindex.indexer.core.credentials import credentials_for, is_named
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.secrets import public_url

WEB = ("https", "http")
BUCKETS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
"""Schemes that obstore reads. The part before the first slash is a bucket or container."""
_PATH = "/%:@!$&'()*+,;=~-._"
_QUERY = _PATH + "?"


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
        return is_named(self.url)


def parse(url: str) -> Address:
    """Return the parts of a URL, with the credentials that hold for it.

    Raises
    ------
    ImindexError
        If it is not a URL of an object.
    """
    public = public_url(url)
    scheme, _, rest = public.partition("://")
    scheme = scheme.lower()
    place, _, key = rest.partition("/")
    if scheme in WEB:
        parts = urlsplit(public)
        place = parts.netloc.lower()
        path = quote(parts.path or "/", safe=_PATH)
        key = path + (f"?{quote(parts.query, safe=_QUERY)}" if parts.query else "")
    if not scheme or (not place and scheme not in ("file", "memory")):
        raise ImindexError(
            f"{public} is not a URL of an object. Write it as scheme://place/key, such as s3://bucket/a.jpg."
        )
    if any(ord(c) < 32 or ord(c) == 127 for c in public):
        raise ImindexError(f"{public!r} contains control characters. Rename the object.")
    known = credentials_for(public)
    return Address(public, scheme, place, key, known.user, known.password, known.query)
