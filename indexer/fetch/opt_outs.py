"""What an owner says against the use of a picture, in headers and in `/.well-known/tdmrep.json`.

- `X-Robots-Tag`: `noindex`, `none`, `noimageindex`, and `unavailable_after` a date that has passed, addressed to all
  robots or to this one; `noai` and `noimageai` to any robot, because they speak of the use, not of the robot.
- `tdm-reservation: 1` (TDM Reservation Protocol). The header takes precedence over the file.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from imindex.indexer.core.json_text import parse_json
from imindex.indexer.fetch.robots import parse

TDM_FILE = "/.well-known/tdmrep.json"
_FOR_ALL = frozenset({"noai", "noimageai"})
_FOR_US = frozenset({"noindex", "none", "noimageindex"})
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_UNTIL = "unavailable_after"


def refused_by_tag(values: Sequence[str], token: str, now: datetime.datetime) -> str:
    """Return the directive of `X-Robots-Tag` headers that refuses a picture; empty if none does.

    Parameters
    ----------
    values : sequence of str
        One for each header.
    token : str
        The product token of this robot.
    now : datetime
        With a time zone.

    Examples
    --------
    >>> now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    >>> refused_by_tag(["otherbot: noindex", "img2dataset: nofollow, noai"], "imindex", now)
    'img2dataset: noai'
    >>> refused_by_tag(["unavailable_after: 25 Jun 2010 15:00:00 GMT"], "imindex", now)
    'unavailable_after: 25 Jun 2010 15:00:00 GMT'
    """
    for value in values:
        if date := re.search(rf"{_UNTIL}\s*:\s*(.+)", value, re.IGNORECASE):
            before = value[: date.start()].strip().rstrip(",")
            if _concerns(before.rpartition(":")[0], token) and _passed(date[1], now):
                return value.strip()[:200]
            value = before
        agent = ""
        for part in value.split(","):
            name, colon, rest = part.partition(":")
            if colon and name.strip().lower() not in _WITH_VALUE:
                agent, part = name.strip(), rest
            directive = part.strip().lower()
            if directive in _FOR_ALL or (directive in _FOR_US and _concerns(agent, token)):
                return f"{agent}: {directive}" if agent else directive
    return ""


def _concerns(agent: str, token: str) -> bool:
    agent = agent.rpartition(",")[2].strip().lower()
    return agent in ("", "*") or agent.partition("/")[0] == token.lower()


def _passed(text: str, now: datetime.datetime) -> bool:
    """Return whether a date has passed. A date that cannot be read has not."""
    text = text.strip()
    for parsed in (parsedate_to_datetime, datetime.datetime.fromisoformat):
        try:
            date = parsed(text)
        except (ValueError, TypeError, IndexError):
            continue
        return (date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)) <= now
    return False


@dataclass(frozen=True)
class Reservations:
    """The reserved paths of a site, by its `tdmrep.json`.

    Attributes
    ----------
    locations : tuple of str
        Patterns as in robots.txt.
    """

    locations: tuple[str, ...] = ()

    def reserved(self, target: str) -> str:
        """Return the location that reserves a path; empty if none does. Of several entries, one is enough."""
        for location in self.locations:
            rule = parse(f"User-agent: *\nDisallow: {location}".encode(), "*")
            if not rule.verdict(target).allowed:
                return location
        return ""


def read_reservations(data: bytes) -> Reservations:
    """Read a `tdmrep.json`. A file that is not as the protocol has it reserves nothing.

    Examples
    --------
    >>> file = b'[{"location": "/art/", "tdm-reservation": 1}, {"location": "/free", "tdm-reservation": 0}]'
    >>> read_reservations(file).reserved("/art/1.jpg")
    '/art/'
    """
    try:
        entries = parse_json(data)
    except (ValueError, UnicodeDecodeError):
        return Reservations()
    found = []
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, dict) and str(entry.get("tdm-reservation", "")).strip() == "1":
            location = entry.get("location", "/")
            if isinstance(location, str) and "\n" not in location:
                found.append(location.strip() or "/")
    return Reservations(tuple(found))


def reserved_by_header(value: str | None) -> bool | None:
    """Return what a header `tdm-reservation` says; None without one."""
    if value is None:
        return None
    return value.strip() == "1"
