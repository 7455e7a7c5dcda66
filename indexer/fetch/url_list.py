"""Read the list of URLs, and name each picture by its artist and URL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from imindex.indexer.core import secrets
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.names import clean_name
from imindex.indexer.core.slug import safe_name
from imindex.indexer.sources import manifest_rows

KINDS = ("works", "background")
"""What a fetched picture may be: imitations are not on the web under an artist's name."""
OWN = frozenset(
    {"path", "url", "artist", "kind", "caption", "status", "reason", "sha256", "size", "fetched_at", "etag",
     "last_modified", "content_type", "final_url", "robots"}
)  # fmt: skip
"""The columns of `manifest.csv`. Further columns of the list, such as `licence`, are carried over."""
_SECRET = re.compile(
    r"(?:x-(?:amz|goog|oss)-.*|(?:.*[-_])?(?:token|signature|secret|password|passwd|api[-_]?key|auth|credential)s?"
    r"|sig|key|access[-_]?key(?:id)?|awsaccesskeyid|googleaccessid|key-pair-id|policy|hmac|jwt|session(?:id)?)",
    re.IGNORECASE,
)
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\^`{|}<>\"]|[^\x00-\x7f]")
_MAX_URL = 8192


@dataclass(frozen=True, slots=True)
class Wanted:
    """One picture that the list asks for.

    Attributes
    ----------
    url : str
        As it is requested: percent-encoded, without a fragment. It may hold a secret, so it is never written.
    shown : str
        The URL without user, password and the values of secret parameters.
    key : str
        32 hexadecimal digits of the SHA-256 of `url`.
    artist, kind, caption : str
    more : tuple of (str, str)
        The further columns of the list.
    """

    url: str
    shown: str
    key: str
    artist: str
    kind: str
    caption: str
    more: tuple[tuple[str, str], ...]

    def path(self, suffix: str) -> str:
        """Return the path of the picture in the output folder.

        Distinct URLs have distinct paths, and so do distinct artists, even on case-insensitive file systems.
        """
        name = unquote(self.shown.partition("?")[0].rpartition("/")[2])
        stem = name.rpartition(".")[0] or name
        readable = safe_name(stem).rpartition("-")[0]
        return f"{self.kind}/{safe_name(self.artist)}/{readable}-{self.key[:16]}{suffix}"


def read_list(
    path: Path, *, artist: str = "", kind: str = "works", note: Callable[[str], None] = lambda _: None
) -> list[Wanted]:
    """Read a list of URLs: CSV, TSV, JSON lines or Parquet.

    Parameters
    ----------
    path : Path
        Its columns are `url`, `artist` and, if wanted, `caption`, `kind` (works or background) and any others, which
        are carried over into the manifest.
    artist, kind : str
        For rows without their own.
    note : callable
        Called with what a user should know, such as repeated rows.

    Returns
    -------
    list of Wanted
        In the order of the list. A URL that is repeated for the same artist is there once.

    Raises
    ------
    ImindexError
        If the list cannot be read, or a row lacks a URL or an artist.
    """
    if path.suffix.lower() not in manifest_rows.SUFFIXES:
        raise ImindexError(
            f"{path} is not a list of URLs. Write CSV, TSV, JSON lines or Parquet "
            f"({', '.join(manifest_rows.SUFFIXES)})."
        )
    found: dict[tuple[str, str], Wanted] = {}
    repeated = 0
    for wanted in _rows(path, artist, kind, note):
        repeated += (wanted.url, wanted.artist) in found
        found.setdefault((wanted.url, wanted.artist), wanted)
    if repeated:
        rows = "1 row repeats" if repeated == 1 else f"{repeated:,} rows repeat"
        note(
            f"{path}: {rows} a URL and an artist of an earlier row, and {'is' if repeated == 1 else 'are'} not used."
        )
    return list(found.values())


def _rows(path: Path, artist: str, kind: str, note: Callable[[str], None]) -> Iterator[Wanted]:
    for where, row in manifest_rows.rows(path, note, required="url"):
        text = {key: _text(where, key, value) for key, value in row.items() if key}
        url = text.pop("url", "").strip()
        if not url:
            raise ImindexError(f"{where}: no URL. Every row names its picture in the column `url`.")
        name = clean_name(text.pop("artist", "")) or clean_name(artist)
        if not name:
            raise ImindexError(f"{where}: no artist. Fill in the column `artist`, or pass --artist.")
        of = text.pop("kind", "").strip().lower() or kind
        if of not in KINDS:
            raise ImindexError(f"{where}: kind {of!r}. Fetched pictures are {' or '.join(KINDS)}.")
        requested = requested_url(url)
        more = tuple((key, _public_text(value)) for key, value in text.items() if key not in OWN)
        yield Wanted(
            url=requested,
            shown=without_secrets(requested),
            key=key_of(requested),
            artist=name,
            kind=of,
            caption=_public_text(text.get("caption", "")),
            more=more,
        )


def key_of(url: str) -> str:
    """Return the key of a URL in the journal."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def requested_url(text: str) -> str:
    """Return a URL as it is requested: without a fragment; spaces and characters beyond ASCII are percent-encoded.

    Existing escapes are kept, so that an encoded URL and its decoded form are one. What is no URL is returned as it
    is, and refused when it is fetched.

    Examples
    --------
    >>> requested_url("https://museum.example/a b/é%20c.jpg#top")
    'https://museum.example/a%20b/%C3%A9%20c.jpg'
    """
    scheme, separator, rest = text.partition("://")
    if not separator or len(text) > _MAX_URL:
        return text
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :].partition("#")[0]
    path, question, query = tail.partition("?")
    return f"{scheme.lower()}://{authority}{_quoted(path or '/')}{question}{_quoted(query)}"


def _quoted(text: str) -> str:
    return _UNSAFE.sub(lambda match: quote(match[0], safe="", errors="surrogatepass"), text)


def without_secrets(url: str) -> str:
    """Return a URL without user, password, and the values of parameters that are secret, such as signatures.

    Examples
    --------
    >>> without_secrets("https://me:pw@cdn.example/1.jpg?w=300&X-Amz-Signature=f00&token=1")
    'https://cdn.example/1.jpg?w=300&X-Amz-Signature=removed&token=removed'
    """
    text, question, query = url.partition("#")[0].partition("?")
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]", text):  # no URL, though it may have been meant as one
        return text.rpartition("@")[2]
    scheme, _, rest = secrets.public_url(text).partition("://")
    authority, slash, path = rest.partition("/")
    parameters = [_public_parameter(part) for part in re.split("([&;])", query)]
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}{question}{''.join(parameters)}"


def _public_parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    plain = unquote(name.replace("+", " "))
    is_secret = bool(_SECRET.fullmatch(plain)) or secrets.is_secret(plain)
    return f"{name}=removed" if equals and is_secret else text


def _public_text(text: str) -> str:
    """Return a cell without the credentials of URLs in it, since it is written to the manifest."""
    return secrets.without_secrets(text) if "://" in text else text


def _text(where: str, key: str, value: Any) -> str:
    """Return a cell as text."""
    if value is None or value != value:
        return ""
    if isinstance(value, (bytes, Mapping, list)):
        if key in OWN:
            raise ImindexError(f"{where}: `{key}` is not text. Write it as a string, in quotes.")
        return ""
    return str(value).replace("\0", "")
