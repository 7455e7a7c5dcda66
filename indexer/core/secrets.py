"""Take credentials out of URLs and texts: none of them may reach an index, a log, an error or a report.

A URL carries credentials as user information (`https://user:password@host/`) or in its query (presigned URLs, shared
access signatures, tokens). The public form of a URL has neither, and names the same picture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

HIDDEN = "***"
"""What stands for a credential in a text."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>`]+")
_PARTS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_SLASHED = re.compile(r"[^:]*:(?!\d*$)")
"""An authority without @ whose part after the colon is no port."""
_SECRET = re.compile(
    r"(?:^|[-_.])(?:sig|signature|secret|passw(?:or)?d|passwd|pwd|pass|token|jwt|auth|authorization|credentials?"
    r"|api[-_]?key|access[-_]?key(?:[-_]?id)?|security[-_]?token|session|sas|key[-_]?pair[-_]?id|policy|apikey"
    r"|accesstoken|client[-_]?secret|private[-_]?key)(?:$|[-_.])|^x-(?:amz|goog|ms|oss|cos|obs)-|accesskeyid$|accessid$"
    r"|^key$|^code$|^sign$|^hdn[a-z]{1,3}$",
    re.IGNORECASE,
)
"""Names of parameters of a query that are credentials."""
_COMPANIONS = frozenset(
    {"expires", "se", "st", "sv", "sr", "sp", "sip", "spr", "ss", "srt", "sks", "skv", "skt", "ske", "skoid", "sktid",
     "ses", "sdd", "saoid", "suoid", "scid", "response-expires"}
)  # fmt: skip
"""Parameters that go with a signature. They are taken out only where there is one."""
_NO_USER = frozenset({"abfs", "abfss", "wasb", "wasbs", "adl"})
"""Schemes in which what stands before the @ is a container."""
_LITERAL = frozenset({"s3", "s3a", "gs", "gcs", "hf", "file", "memory"})
"""Schemes whose keys may hold a question mark."""
_ENVIRONMENT = re.compile(
    r"(?:SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|ACCOUNT_KEY|STORAGE_KEY|SAS|CREDENTIAL|API_KEY)",
    re.IGNORECASE,
)
"""Names of environment variables whose values are credentials."""
_SHORTEST = 8
"""A shorter value of an environment variable is no credential: `true`, `auto`."""
_LONG = 20
"""A shorter value of a parameter `X-...` is a date, or the name of an algorithm."""
_known: set[str] = set()


@dataclass(frozen=True)
class SplitUrl:
    """A URL and the credentials that it carried.

    Attributes
    ----------
    public : str
        The URL without them.
    user, password : str
        Its user information, decoded.
    query : str
        The whole query, if a parameter of it was a credential; else empty.
    """

    public: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    query: str = field(default="", repr=False)

    @property
    def secret(self) -> bool:
        """Whether the URL carried a credential."""
        return bool(self.user or self.password or self.query)


def split_secrets(url: str) -> SplitUrl:
    """Split a URL into its public form and the credentials that it carries.

    The fragment of a URL of the web, which is not sent, is left out, too.

    Examples
    --------
    >>> split_secrets("https://ada:pw@example.org/a.jpg?id=5").public
    'https://example.org/a.jpg?id=5'
    >>> split_secrets("https://example.org/a.jpg?id=5&X-Amz-Signature=abc&X-Amz-Date=1").public
    'https://example.org/a.jpg?id=5'
    >>> split_secrets("s3://bucket/what?.jpg").public
    's3://bucket/what?.jpg'
    """
    parts = _PARTS.fullmatch(url)
    if parts is None:
        return SplitUrl(url)
    scheme, authority, rest = parts["scheme"], parts["authority"], parts["rest"]
    user = password = ""
    if (
        "@" not in authority and _SLASHED.match(authority) and "@" in rest
    ):  # secret keys of S3 may have a slash
        more, _, rest = rest.partition("@")
        host, slash, rest = rest.partition("/")
        authority, rest = f"{authority}{more}@{host}", slash + rest
    if "@" in authority and scheme.lower() not in _NO_USER:
        information, _, authority = authority.rpartition("@")
        user, _, password = (unquote(part) for part in information.partition(":"))
    literal = scheme.lower() in _LITERAL
    path, query = _public_query(rest if literal else rest.partition("#")[0], literal=literal)
    return SplitUrl(f"{scheme}://{authority}{path}", user, password, query)


def is_secret(name: str) -> bool:
    """Return whether a parameter of a query is a credential, by its name."""
    return _SECRET.search(name) is not None


def public_url(url: str) -> str:
    """Return a URL without the credentials that it carries."""
    return split_secrets(url).public


def public_argument(argument: str) -> str:
    """Return an argument of a command line without credentials: a URL, or `NAME=URL`.

    Examples
    --------
    >>> public_argument("art=s3://key:a secret@bucket/x"), public_argument("--root=https://a:b@c/d")
    ('art=s3://bucket/x', '--root=https://c/d')
    """
    name, url = "", argument
    if "://" in argument and not _PARTS.fullmatch(argument):
        name, equals, url = argument.partition("=")
        name += equals
    return without_secrets(name + public_url(url))


def remember_secret(*values: str) -> None:
    """Remember credentials, so that `without_secrets` takes them out of every text."""
    _known.update(value for value in values if len(value) >= _SHORTEST)


def secret_values(query: str) -> list[str]:
    """Return the values of a query that are credentials, and not dates or the names of algorithms.

    Examples
    --------
    >>> secret_values("X-Amz-Date=20260101T000000Z&X-Amz-Signature=0123456789abcdef0123&token=12345678&w=1024")
    ['0123456789abcdef0123', '12345678']
    """
    pairs = [pair.partition("=") for pair in re.split("[&;]", query)]
    return [
        value
        for name, _, value in pairs
        if _SECRET.search(unquote(name)) and (len(value) >= _LONG or not name.lower().startswith("x-"))
    ]


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text with the public forms of its URLs, and without the credentials of this process.

    Parameters
    ----------
    text : str
    environment : mapping of str to str, optional
        Environment variables whose names say that they are credentials; by default those of the process.

    Examples
    --------
    >>> without_secrets("cannot read https://ada:pw@example.org/a.jpg?token=12345678", {})
    'cannot read https://example.org/a.jpg'
    """
    if "://" in text:
        text = _URL.sub(lambda match: public_url(match[0]), text)
    known = set(_known)
    for name, value in (os.environ if environment is None else environment).items():
        if len(value) >= _SHORTEST and _ENVIRONMENT.search(name) and value[:1] != os.sep:
            known.add(value)
    for value in sorted(known, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def _public_query(rest: str, *, literal: bool) -> tuple[str, str]:
    """Return what follows the authority of a URL, without credentials, and the query if there were any."""
    path, mark, query = rest.rpartition("?") if literal else rest.partition("?")
    if not mark:
        return rest, ""
    parameters = re.split("[&;]", query)
    names = [unquote(parameter.partition("=")[0]) for parameter in parameters]
    if not any(_SECRET.search(name) for name in names):
        return rest, ""
    kept = [
        parameter
        for parameter, name in zip(parameters, names, strict=True)
        if not _SECRET.search(name) and name.lower() not in _COMPANIONS
    ]
    return path + ("?" + "&".join(kept) if kept else ""), query
