"""What an API is asked for, and how fast: the settings of a model that can only be reached by HTTP."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from imindex.indexer.core.bounds import (
    CONNECTIONS,
    MEMORY,
    PER_MINUTE,
    PRICE,
    SECONDS,
    SIDE,
    SOME_ATTEMPTS,
    SOME_REQUESTS,
)
from imindex.indexer.core.credentials import name_by_user
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.secrets import remember_secret, split_secrets
from imindex.indexer.remote.connection import LOOPBACK

RESPONSE_FORMATS = ("", "b64_json", "url")
_ENDPOINT = "/images/generations"
_SIZE = re.compile(r"auto|(\d{1,5})(?:x(\d{1,5}))?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
NO_SEEDS = "none is sent: every picture is a new draw of the service"
SEEDS_SENT = "sent; nothing shows that the service uses them, so pictures are not paired by seed"


@dataclass(frozen=True)
class ApiSettings:
    """What an API is asked for. These settings are recorded with the pictures.

    Attributes
    ----------
    api : str
        Its URL: of the endpoint, `https://host/v1/images/generations`, or the part before it.
    model : str
        As the API names it.
    size : str
        auto, 1024, or 1024x1536 as width x height; empty for the API's default.
    key_env : str
        Name of the environment variable that holds the key; empty if the API needs none.
    send_seeds : bool
        Whether to send the seed of each picture. Many APIs refuse a request with a seed, or ignore it.
    response_format : str
        b64_json or url; empty leaves it to the API.
    refusal_codes : tuple of str
        Further codes by which the API says that it refuses a prompt.

    Raises
    ------
    ImindexError
        If the URL is not https (or http on this machine), or a setting is invalid.
    """

    api: str
    model: str
    size: str = ""
    key_env: str = ""
    send_seeds: bool = False
    response_format: str = ""
    refusal_codes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "api", endpoint(self.api))
        if not self.model.strip():
            raise ImindexError("No model. Pass the name by which the API knows the model.")
        if self.size:
            match = _SIZE.fullmatch(self.size)
            if match is None:
                raise ImindexError(
                    f"size {self.size!r} is not a size. Write auto, 1024, or 1024x1536 for width x height."
                )
            for side in filter(None, match.groups()):
                SIDE.check(int(side), f"size {self.size!r}: a side")
        if self.key_env and not _VARIABLE.fullmatch(self.key_env):
            raise ImindexError(
                "key_env is not the name of an environment variable. Put the key into a variable, and write its name, "
                "such as IMAGE_API_KEY; the key itself is never written down."
            )
        if self.response_format not in RESPONSE_FORMATS:
            raise ImindexError(
                f"response_format {self.response_format!r} is unknown. Write b64_json or url, or leave it out."
            )

    def key(self, environment: Mapping[str, str] | None = None) -> str:
        """Return the key, and remember it, so that no log or message shows it; empty if the API needs none.

        Raises
        ------
        ImindexError
            If the variable is not set, or its value cannot be sent.
        """
        if not self.key_env:
            return ""
        key = (os.environ if environment is None else environment).get(self.key_env, "").strip()
        if not key:
            raise ImindexError(
                f"The environment variable {self.key_env} is not set. Set it to the key of {self.api}: "
                f"export {self.key_env}=..."
            )
        remember_secret(key)
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ImindexError(
                f"The value of {self.key_env} has spaces or characters that a header cannot hold. Copy the key again."
            )
        return key

    def about(self) -> Mapping[str, Any]:
        """Return what is recorded of the settings, in release.json and in the report."""
        return {
            "api": self.api,
            "size": self.size,
            "seeds": SEEDS_SENT if self.send_seeds else NO_SEEDS,
            "response_format": self.response_format,
        }


@dataclass(frozen=True)
class Asking:
    """How fast and how often an API is asked. It has no influence on the pictures, and is not part of a plan.

    Attributes
    ----------
    per_minute : float
        Requests per minute, retries included.
    concurrency : int
        Requests at the same time.
    timeout : float
        Seconds for one request, to the last byte of its answer.
    attempts : int
        Attempts per picture in one run.
    backoff : float
        Seconds before the second attempt. Each further one waits twice as long, up to `LONGEST_WAIT`.
    max_requests : int, optional
        Stop after this many requests; the next run asks for the rest.
    max_bytes : int
        Bytes of one answer.
    price : float, optional
        Of one picture, for the expected cost.
    """

    per_minute: float = 60.0
    concurrency: int = 2
    timeout: float = 180.0
    attempts: int = 5
    backoff: float = 2.0
    max_requests: int | None = None
    max_bytes: int = 64 * 2**20
    price: float | None = None

    def __post_init__(self) -> None:
        for value, bounds, name in (
            (self.per_minute, PER_MINUTE, "per_minute"),
            (self.concurrency, CONNECTIONS, "concurrency"),
            (self.timeout, SECONDS, "timeout"),
            (self.attempts, SOME_ATTEMPTS, "attempts"),
            (self.max_bytes, MEMORY, "max_bytes"),
        ):
            bounds.check(value, name)
        if self.max_requests is not None:
            SOME_REQUESTS.check(self.max_requests, "max_requests")
        if self.price is not None:
            PRICE.check(self.price, "price")


LONGEST_WAIT = 60.0
"""Seconds before a further attempt, if the API does not ask for more."""


def endpoint(api: str) -> str:
    """Return the URL that requests are sent to. Credentials in a URL are kept in memory, and taken out of it.

    Raises
    ------
    ImindexError
        If it is not https, or http on this machine.

    Examples
    --------
    >>> endpoint("https://images.example.org"), endpoint("http://127.0.0.1:8000/v1/")
    ('https://images.example.org/v1/images/generations', 'http://127.0.0.1:8000/v1/images/generations')
    """
    public = split_secrets(api.strip()).public
    try:
        parts = urlsplit(public)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host:
        raise ImindexError(
            f"{public!r} is not the URL of an API. Write it as https://host/v1/images/generations."
        )
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ImindexError(
            f"{public} is http, by which anybody on the way can read the key and change the pictures. Write https."
        )
    name_by_user(api.strip())
    path = parts.path.rstrip("/")
    if not path.endswith(_ENDPOINT):
        path += _ENDPOINT if path.endswith("/v1") else f"/v1{_ENDPOINT}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
